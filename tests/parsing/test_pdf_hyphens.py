"""Words cut by a line's end: hyphens follow the document, Chinese needs none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragcli.parsing.pdf.hyphens import join_hyphens, join_wide
from ragcli.records import Block


def test_hyphens_at_line_ends_follow_the_document() -> None:
    lines = [
        "The con\ufffe",
        "troller is water\ufffe",
        "proof. Each controller is",
        "water-proof; AX\ufffe",
        "200, exam\ufffe",
        "ple.",
    ]
    assert join_hyphens([lines]) == [
        ["The controller", "is water-proof.", "Each controller is", "water-proof; AX-200,", "example.", ""]
    ]


@pytest.mark.parametrize(
    ("elsewhere", "joined"),
    [
        ("The station is new.", ["A station", "here."]),  # the word is known whole
        ("Nothing of it.", ["A station", "here."]),  # neither half is known
        ("It is sta-tion.", ["A sta-", "tion here."]),  # it is written with its hyphen
        ("The sta is old.", ["A sta-", "tion here."]),  # a half is a word
    ],
)
def test_a_plain_hyphen_goes_only_on_good_grounds(elsewhere: str, joined: list[str]) -> None:
    assert join_hyphens([["A sta-", "tion here."], [elsewhere]])[0] == joined


@pytest.mark.parametrize("lines", [["1998-", "2002"], ["see A-", "B"], ["-", "a dash"], ["X-", "ray"]])
def test_other_hyphens_stay(lines: list[str]) -> None:
    assert join_hyphens([lines]) == [lines]


def test_a_word_over_three_lines_is_one() -> None:
    assert join_hyphens([["Donau\ufffe", "dampf\ufffe", "schiff fährt"]]) == [["Donaudampfschiff", "", "fährt"]]


@pytest.mark.parametrize("hyphen", ["\ufffe", "\x02", "\u2010", "\u00ad"])
def test_hyphens_of_typesetters_are_those_of_a_line(hyphen: str) -> None:
    lines = [f"The docu{hyphen}", "mentation is kept", f"by the inter{hyphen}", "nal office of documents."]
    assert join_hyphens([lines]) == [["The documentation", "is kept", "by the internal", "office of documents."]]
    assert join_hyphens([["a self\u2010made end", "the last\u2010"]]) == [["a self\u2010made end", "the last\u2010"]]


def test_words_without_end_take_little_time() -> None:
    start = time.perf_counter()
    join_hyphens([["\ufffe", "x" * 1_000_000], ["x\ufffe"] * 50_000, ["-" * 1_000_000, "a-" * 300_000, "b"]])
    assert time.perf_counter() - start < 5


@given(st.lists(st.text("ab-\ufffe\x02\u2010\u00ad X1", max_size=6), max_size=12))
def test_lines_keep_their_number_and_letters(lines: list[str]) -> None:
    (joined,) = join_hyphens([lines])
    assert len(joined) == len(lines)
    assert [c for c in "".join(joined) if c.isalnum()] == [c for c in "".join(lines) if c.isalnum()]


def test_chinese_lines_join_inside_a_paragraph_only() -> None:
    text = "所有设置通\n过手机完成。\n见 FenView\n平台\n标题\n表 一\n二"
    cut = text.index("标题")
    row = text.index("表")
    blocks = [Block(0, cut - 1, "paragraph"), Block(cut, row - 1, "heading"), Block(row, len(text), "table_row")]
    joined, moved = join_wide(text, blocks)
    assert joined == "所有设置通过手机完成。\n见 FenView\n平台\n标题\n表 一\n二"
    assert [joined[b.start : b.end] for b in moved] == ["所有设置通过手机完成。\n见 FenView\n平台", "标题", "表 一\n二"]
