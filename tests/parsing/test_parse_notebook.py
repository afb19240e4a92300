"""Notebooks: text under its headings, code and output under the numbers that Jupyter shows."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.notebook import parse_notebook


def notebook(*cells: Any) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def markdown(*lines: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": [f"{line}\n" for line in lines]}


def code(source: str, *outputs: Any, number: int | None = 1) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": number, "source": source, "outputs": list(outputs)}


STREAM = {"output_type": "stream", "name": "stdout", "text": ["10 rows\n", "\x1b[31mred\x1b[0m\n"]}
RESULT = {"output_type": "execute_result", "data": {"text/plain": ["   a\n", "0  1"], "text/html": "<table>"}}
FIGURE = {
    "output_type": "display_data",
    "data": {"image/png": "iVBO", "text/plain": "<Figure size 640x480 with 1 Axes>"},
}
ERROR = {"output_type": "error", "ename": "KeyError", "evalue": "'price'", "traceback": ["\x1b[0;31mlong"]}


def test_headings_hold_over_cells_and_code_stands_under_its_number() -> None:
    document = parse_notebook(
        notebook(
            markdown("# Sales", "", "By *month*.", "", "- one", "- two"),
            code("df = read()\n\n\nprint(df)", STREAM, RESULT, FIGURE, number=3),
            markdown("Setup", "-----", "Words."),
            code("df['price']", ERROR, number=None),
            markdown("### Deep"),
            {"cell_type": "raw", "source": "Raw words."},
            markdown("## Next", "", "| a | b |", "|---|---|", "| 1 | 2 |"),
            code("pass", FIGURE, number=5),
        )
    )
    check_blocks(document)
    assert (document.title, document.warnings) == ("Sales", ())
    setup, deep, following = ("Sales", "Setup"), ("Sales", "Setup", "Deep"), ("Sales", "Next")
    assert [(b.kind, b.heading, text) for b, text in zip(document.blocks, texts(document), strict=True)] == [
        ("heading", ("Sales",), "# Sales"),
        ("paragraph", ("Sales",), "By *month*."),
        ("list_item", ("Sales",), "- one"),
        ("list_item", ("Sales",), "- two"),
        ("code", ("Sales", "In [3]"), "df = read()\n\n\nprint(df)"),
        ("code", ("Sales", "Out [3]"), "10 rows\nred\n   a\n0  1"),
        ("heading", setup, "Setup\n-----"),
        ("paragraph", setup, "Words."),
        ("code", (*setup, "In [ ]"), "df['price']"),
        ("code", (*setup, "Out [ ]"), "KeyError: 'price'"),
        ("heading", deep, "### Deep"),
        ("paragraph", deep, "Raw words."),
        ("heading", following, "## Next"),
        ("table_row", following, "| a | b |\n|---|---|"),
        ("table_row", following, "| 1 | 2 |"),
        ("code", (*following, "In [5]"), "pass"),
    ]


def test_code_that_comes_first_does_not_make_the_title() -> None:
    assert parse_notebook(notebook(code("import x"), markdown("# One", "# Two"))).title == "One"


def test_an_empty_heading_ends_the_section_before_it() -> None:
    document = parse_notebook(notebook(markdown("# A", "## B", "b"), markdown("##", "c")))
    assert block_of(document, "c").heading == ("A",)


def test_format_3_has_worksheets() -> None:
    cells = [
        {"cell_type": "heading", "level": 1, "source": "Old"},
        {"cell_type": "code", "input": "1+1", "prompt_number": 7, "outputs": [{"output_type": "pyout", "text": ["2"]}]},
        {"cell_type": "code", "input": "x", "outputs": [{"output_type": "pyerr", "ename": "NameError", "evalue": "x"}]},
    ]
    document = parse_notebook(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}).encode())
    assert texts(document) == ["Old", "1+1", "2", "x", "NameError: x"]
    assert [block.heading[-1] for block in document.blocks] == ["Old", "In [7]", "Out [7]", "In [ ]", "Out [ ]"]


def test_long_output_is_cut_and_told() -> None:
    document = parse_notebook(notebook(code("x", {"output_type": "stream", "text": "y" * 20_001}, number=2)))
    assert document.warnings == ("the output of cell In [2] was cut after 20,000 characters",)
    assert document.text == "x\n\n" + "y" * 20_000


def test_pictures_within_the_text_are_left_out() -> None:
    document = parse_notebook(notebook(markdown("See ![plot](data:image/png;base64," + "iVBO" * 5000 + ") here.")))
    assert document.text == "See ![plot]() here."


def test_halves_of_surrogates_and_control_characters_do_no_harm() -> None:
    document = parse_notebook(notebook(markdown("# A\ud800b\x1b]0;x\x07"), code("z\0\udfff = 1")))
    check_blocks(document)
    assert texts(document) == ["# A\ufffdb]0;x", "z\ufffd = 1"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "broken: it is no sound JSON"),
        (b'{"cells":' + b"[" * 200_000, "broken: it is no sound JSON"),
        (b'{"cells": [' + b"9" * 5000 + b"]}", "broken: it is no sound JSON"),
        (b"\xff\xfe\xff", "broken: it is no sound JSON"),
        (b"[]", "it is no notebook"),
        (b'{"cells": []}', "one without cells"),
        (notebook(code("")), "no text"),
        (notebook(1, None, "x", [], {}, {"cell_type": []}, {"cell_type": "code", "outputs": {"a": 1}}), "no text"),
    ],
)
def test_what_is_no_notebook_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_notebook(data)


def test_values_of_the_wrong_kind_are_passed_over() -> None:
    odd = {"cell_type": "code", "execution_count": {}, "source": ["a", 1, None], "outputs": [1, {"data": []}, STREAM]}
    odd_heading = {"cell_type": "heading", "level": "deep", "source": "H"}
    document = parse_notebook(notebook(odd, odd_heading, {"source": "plain"}))
    assert texts(document) == ["a", "10 rows\nred", "H", "plain"]
    assert document.blocks[0].heading == ("In [ ]",)


def test_damaged_notebooks_give_a_document_or_a_reason() -> None:
    good = notebook(markdown("# A", "", "Text."), code("1", STREAM, RESULT, ERROR), markdown("## B"), code("2"))
    rng = random.Random(5)
    read = 0
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((1, 1, 10))] = rng.choice((b"", b"[", b'"', b"1", b"null", b"\\ud800", b"\xff"))
        try:
            check_blocks(parse_notebook(bytes(data)))
            read += 1
        except ParseFailed as error:
            assert error.message
    assert 0 < read < 200


def test_results_that_are_only_markdown_or_html_are_read() -> None:
    def result(**data: str) -> dict[str, Any]:
        return {"output_type": "display_data", "data": {f"text/{name}": text for name, text in data.items()}}

    table = "<style>td {color: red}</style><table><tr><th>Part</th><th>Net</th></tr><tr><td>Seal</td><td>9</td></tr>"
    document = parse_notebook(
        notebook(
            code("1", result(plain="<pandas.io.formats.style.Styler at 0x7f12ab>", html=table), number=1),
            code("2", result(html="<p>Only <b>here</b>.</p>"), number=2),
            code("3", result(plain="<IPython.core.display.Markdown object>", markdown="**17** valves"), number=3),
            code("4", result(plain="<Figure size 1x1>", html="<div><script>draw()</script></div>"), number=4),
            code("5", result(plain="0  9", html=table), number=5),
        )
    )
    check_blocks(document)
    outputs = [(b.heading, text) for b, text in zip(document.blocks, texts(document), strict=True)]
    assert [one for one in outputs if one[0][0].startswith("Out")] == [
        (("Out [1]",), "Part | Net\nSeal | 9"),
        (("Out [2]",), "Only here."),
        (("Out [3]",), "**17** valves"),
        (("Out [5]",), "0  9"),
    ]


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    bar = {"output_type": "stream", "name": "stderr", "text": "\r  0%| 0/9\r 50%| 5/9\r100%| 9/9\r\ndone\r\n"}
    assert texts(parse_notebook(notebook(code("run()", bar)))) == ["run()", "100%| 9/9\ndone"]


def test_headings_in_html_hold_over_cells_too() -> None:
    document = parse_notebook(notebook(markdown("<h1>Sales</h1>"), markdown("<h3>Parts</h3>", "", "Words."), code("1")))
    assert document.blocks[-1].heading == ("Sales", "Parts", "In [1]")


def test_chinese_headings_without_a_space_keep_their_level() -> None:
    document = parse_notebook(notebook(markdown("# 手册"), markdown("###接线"), markdown("##装"), code("1")))
    assert document.blocks[-1].heading == ("手册", "装", "In [1]")
