"""reStructuredText by its structure."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.parsing.rst import parse_rst
from ragcli.records import Document


def parse(source: str) -> Document:
    document = parse_rst(dedent(source).lstrip("\n"))
    check_blocks(document)
    return document


def headings(document: Document) -> list[str]:
    return [" > ".join(block.heading) for block in document.blocks if block.kind == "heading"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_levels_follow_the_order_in_which_styles_appear(end: str) -> None:
    source = """\
=======
 Plant
=======

Valves
======

Opening
-------

Text.

Pumps
=====
Deep
~~~~

概述
====
"""
    document = parse_rst(source.replace("\n", end))
    check_blocks(document)
    assert headings(document) == [
        "Plant",
        "Plant > Valves",
        "Plant > Valves > Opening",
        "Plant > Pumps",
        "Plant > Pumps > Deep",
        "Plant > 概述",
    ]
    assert document.title == "Plant"
    assert block_of(document, "Text.").heading == ("Plant", "Valves", "Opening")


def test_titles_lose_their_marks() -> None:
    titles = [":py:func:`open` *now*", "`The site <http://a.b>`_ and ``x``", "Snake_case \\*"]
    document = parse("\n\n".join(f"{title}\n{'=' * 40}" for title in titles))
    assert headings(document) == ["open now", "The site and x", "Snake_case *"]


@pytest.mark.parametrize(
    "source", ["Text\n\n----\n\nmore\n", "Text:\n\n  Quoted\n  ------\n", "A title\n--\n", "..\n\nx::\n"]
)
def test_what_is_no_title(source: str) -> None:
    assert headings(parse(source)) == []


def test_lists_terms_and_fields() -> None:
    document = parse(
        """
        :Author: Ann
        :Version: 2
           and more

        - one
          goes on
        - two

        1. first
        #. second

        (a) third

        A. Einstein wrote
        this.

        valve
           It opens.
        pump
           It runs.
        """
    )
    assert [(b.kind, text) for b, text in zip(document.blocks, texts(document), strict=True)] == [
        ("list_item", ":Author: Ann"),
        ("list_item", ":Version: 2\n   and more"),
        ("list_item", "- one\n  goes on"),
        ("list_item", "- two"),
        ("list_item", "1. first"),
        ("list_item", "#. second"),
        ("list_item", "(a) third"),
        ("paragraph", "A. Einstein wrote\nthis."),
        ("paragraph", "valve\n   It opens."),
        ("paragraph", "pump\n   It runs."),
    ]


def test_code_is_whole() -> None:
    document = parse(
        """
        Run this::

            fenconf get soil

            fenconf set interval=30

        Then:

        .. code-block:: python
           :linenos:

           def f():

               return 1

        - item::

              inside

          after

        >>> f()
        1

        Text.
        """
    )
    assert texts(document, "code") == [
        "fenconf get soil\n\n    fenconf set interval=30",
        ".. code-block:: python\n   :linenos:\n\n   def f():\n\n       return 1",
        "inside",
        ">>> f()\n1",
    ]
    assert texts(document, "paragraph") == ["Run this::", "Then:", "after", "Text."]


TABLES = {
    "grid": """
        +-------+--------+
        | Model | Price  |
        |       | (EUR)  |
        +=======+========+
        | VC-4  | 129    |
        +-------+--------+
        | FP-60 | 80     |
        | probe |        |
        +-------+--------+
        """,
    "simple": """
        =====  ======
        Model  Price
               (EUR)
        =====  ======
        VC-4   129
        FP-60  80
        probe
        =====  ======
        """,
    "list": """
        .. list-table:: Prices
           :header-rows: 1

           * - Model
             - Price
               (EUR)
           * - VC-4
             - 129
           * - FP-60 probe
             - 80
        """,
    "csv": """
        .. csv-table:: Prices
           :header: Model | Price (EUR)

           VC-4, 129
           FP-60 probe, 80
        """,
}


@pytest.mark.parametrize("kind", TABLES)
def test_rows_carry_their_header(kind: str) -> None:
    document = parse(TABLES[kind] + "\n        After.\n")
    for cell in ("129", "80"):
        row = block_of(document, cell)
        assert (row.kind, row.header.replace(" (EUR)", "")) == ("table_row", "Model | Price")
        assert "(EUR)" in row.header
    assert block_of(document, "129") != block_of(document, "80")
    assert block_of(document, "After.").kind == "paragraph"
    assert all(block.header == "" for block in document.blocks if "EUR" in document.text[block.start : block.end])


def test_a_table_without_a_header() -> None:
    document = parse("==  ==\na   b\n--  --\nc   d\n==  ==\n\n+--+\n|e |\n+--+\n|f |\n+--+\n")
    assert [b.header for b in document.blocks if b.kind == "table_row"] == [""] * 4


def test_notes_comments_and_directives() -> None:
    document = parse(
        """
        Top
        ===

        .. note:: Mind the step,
           it is high.

           - really

        .. [1] First note.
        .. [#pump] Second
           note.
        .. [Ann2020] A book.

        .. Nobody
           reads this.

        .. _target: http://a.b
        .. |logo| image:: x.png

        ..

        Text.
        """
    )
    named = {
        "Mind the step": (),
        "really": (),
        "First note": ("Footnote 1",),
        "Second\n": ("Footnote pump",),
        "A book": ("Citation Ann2020",),
        "reads this": ("Comment",),
        "_target": (),
        "|logo|": (),
        "Text.": (),
    }
    assert {text: block_of(document, text).heading[1:] for text in named} == named
    assert block_of(document, "really").kind == "list_item"


def test_nothing_is_included() -> None:
    source = (
        ".. include:: /etc/passwd\n\n.. raw:: html\n   :file: /etc/passwd\n\n.. csv-table::\n   :file: /etc/passwd\n"
    )
    assert parse(source).text == source


@pytest.mark.parametrize(
    "text",
    [
        "".join(" " * (2 * depth) + "- a\n\n" for depth in range(1500)),
        "- " * 100_000,
        "=" * 100_000 + "\n" + "=" * 100_000,
        "== " * 50_000,
        "== ==\n" * 20_000,
        "+-" * 50_000 + "\n",
        ("+-+\n| |\n") * 20_000,
        "x\n=\n" * 20_000,
        "".join(f"x\n{mark * 4}\n\n" for mark in "=-~^\"'`:.+*#_<>!$%&,;?@[]|{}/()\\" * 500),
        ":a" * 50_000,
        "a::\n\n" * 20_000,
        "..\n" * 50_000,
        ".. x\n\n" * 20_000,
        ".. list-table::\n\n" + "   * - a\n" * 20_000,
        "`a <" * 20_000 + "\n" + "=" * 40,
    ],
)
def test_hostile_text_is_read(text: str) -> None:
    check_blocks(parse_rst(text))


PIECES = [
    *("Title", "====", "----", "", "  ", "- a", "1. b", "::", "a::", "    code", ".. note::", ".. code::", ".."),
    *(".. c", "+--+--+", "|a |b |", "+==+==+", "== ==", "a  b", "   x", ":f: v", ">>> 1", "| line", "\t"),
    *("\x0c", "\r", ".. [1] n"),
    *(".. list-table::", "   * - a", "     - b", ".. csv-table::", "   :header: a"),
]  # fmt: skip


@given(text=st.one_of(st.lists(st.sampled_from(PIECES)).map("\n".join), st.text()))
def test_blocks_hold_every_character(text: str) -> None:
    document = parse_rst(text)
    assert document.text == text
    check_blocks(document)
