"""Markdown: blocks under headings, whatever the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.parsing.markdown import parse_markdown

LINES = ["\n", "\r", "\r\n", "\n\n", "| a | b |\n", "|---|---|\n", "```\n", "---\n", "===\n", "[x]: y\n", "title: x\n"]
STARTS = ["# ", "## ", "- ", "> ", "1. ", "    ", "\t", "<div>", "<!-- ", "-->", "**"]
PIECES = [*LINES, *STARTS, "word", "\f", "\0", "中", "。", "\u2028", "\x85"]
SAMPLE = """---
title: "The manual"
---
# **Pump** `P-1` <b>set</b>

One line
goes on.

- first
  more

  second paragraph
  - nested
> quoted

## Data

| name | value |
|------|-------|
| flow | 3     |
| lift | 20    |

```py
x = 1

y = 2
```
Setext
------
end
"""


@given(st.one_of(st.lists(st.sampled_from(PIECES)).map("".join), st.text()))
def test_blocks_hold_every_character(text: str) -> None:
    document = parse_markdown(text)
    assert document.text == text
    check_blocks(document)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_structure_is_the_same_with_every_line_end(end: str) -> None:
    text = SAMPLE.replace("\n", end)
    document = parse_markdown(text)
    pump = ("Pump P-1 set",)
    assert [(b.kind, b.heading, text[b.start : b.end].split()[0]) for b in document.blocks] == [
        ("code", (), "---"),
        ("heading", pump, "#"),
        ("paragraph", pump, "One"),
        ("list_item", pump, "-"),
        ("list_item", pump, "second"),
        ("list_item", pump, "-"),
        ("paragraph", pump, ">"),
        ("heading", (*pump, "Data"), "##"),
        ("table_row", (*pump, "Data"), "|"),
        ("table_row", (*pump, "Data"), "|"),
        ("table_row", (*pump, "Data"), "|"),
        ("code", (*pump, "Data"), "```py"),
        ("heading", (*pump, "Setext"), "Setext"),
        ("paragraph", (*pump, "Setext"), "end"),
    ]
    assert document.title == "The manual"


def test_table_rows_carry_their_header_and_the_header_row_its_delimiter() -> None:
    document = parse_markdown(SAMPLE)
    assert texts(document, "table_row")[0] == "| name | value |\n|------|-------|"
    assert [b.header for b in document.blocks if b.kind == "table_row"] == ["", "| name | value |", "| name | value |"]


def test_heading_marks_do_not_part_chinese_words() -> None:
    assert parse_markdown("# **安全**说明\n").blocks[0].heading == ("安全说明",)


@pytest.mark.parametrize("attributes", ["{#install .wide}", "{ #install }", "{: .wide}"])
def test_attributes_of_a_heading_are_no_part_of_it(attributes: str) -> None:
    assert parse_markdown(f"# Install it {attributes}\n").blocks[0].heading == ("Install it",)
    assert parse_markdown("# Use {braces}\n").blocks[0].heading == ("Use {braces}",)


def test_headings_in_html_are_headings() -> None:
    text = '<h1 align="center">\n  <img src="a.png"><br>Pumps &amp; more\n</h1>\n\nWords.\n\n<h2>Use</h2>\n\nOil it.\n'
    document = parse_markdown(text)
    check_blocks(document)
    assert [(b.kind, b.heading) for b in document.blocks] == [
        *(("heading", ("Pumps & more",)), ("paragraph", ("Pumps & more",))),
        *(("heading", ("Pumps & more", "Use")), ("paragraph", ("Pumps & more", "Use"))),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_a_chinese_heading_needs_no_space(end: str) -> None:
    document = parse_markdown(end.join(("# 手册", "", "##安装", "先看图。", "", "#标签", "###1.1 接线", "")))
    assert [(b.kind, b.heading) for b in document.blocks] == [
        ("heading", ("手册",)),
        *(("heading", ("手册", "安装")), ("paragraph", ("手册", "安装")), ("paragraph", ("手册", "安装"))),
    ]
    assert texts(document)[1] == "##安装"


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    document = parse_markdown("---\n\nA text.\n\n---\n\nAnother.\n")
    assert block_of(document, "A text.").kind == "paragraph"


def test_the_first_heading_is_the_title_where_front_matter_names_none() -> None:
    assert parse_markdown("---\ntags: [a]\n---\n\n# Guide\n").title == "Guide"


def test_links_below_a_heading_do_not_swell_it() -> None:
    document = parse_markdown("# Links\n\n[a]: http://a\n[b]: http://b\n")
    assert [(b.kind, b.heading) for b in document.blocks] == [("heading", ("Links",)), ("paragraph", ("Links",))]


@pytest.mark.parametrize(
    "text",
    [
        ">" * 100_000,
        "> " * 50_000,
        "[" * 100_000,
        "# " + "[" * 100_000,
        "- " * 50_000,
        "".join(" " * 2 * depth + "- a\n" for depth in range(500)),
        "*" * 100_000,
        "".join("`" * n + " " for n in range(400)),
        "<!--" * 25_000,
        "|" + "a|" * 30_000 + "\n|" + "-|" * 30_000 + "\n" + "|x\n" * 5_000,
        "# a\n" * 20_000,
        "x" * 1_000_000,
    ],
    ids=[
        "gt",
        "quotes",
        "brackets",
        "heading",
        "items",
        "nested",
        "stars",
        "ticks",
        "comments",
        "table",
        "heads",
        "line",
    ],
)
def test_hostile_text_is_read_in_seconds(text: str) -> None:
    start = time.perf_counter()
    check_blocks(parse_markdown(text))
    assert time.perf_counter() - start < 5
