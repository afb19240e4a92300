"""The lines of a page: paragraphs, items and tables, told from the lines alone."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import check_blocks

from ragcli.parsing.pdf.lines import MAX_HEADER, Mark, line_blocks, line_spans
from ragcli.records import Block, Document

STATEMENT = """\
ACME INC. reports its results for the year, which were better than those of the year before it by a
small margin, and expects the same of the next.
CONSOLIDATED BALANCE SHEETS
(In millions)
December 31,
2021 2022
Current assets:
Cash and cash equivalents $ 4,236 $ 3,844
Goodwill 12,787
Other assets (1) — (293)
Liabilities
Trade payables 379 312 %
See the notes, which are part of these statements and are printed on the pages that follow them here.
"""
PIECES = [
    "word ",
    "Sentence. ",
    "• ",
    "1. ",
    "12 ",
    "$ 3 ",
    "(4) ",
    "— ",
    "2019 ",
    "中文。",
    "\t",
    "   ",
    "_",
    "\n",
    "\n\n",
]


def cut(text: str, marks: tuple[Mark, ...] = ()) -> Document:
    blocks = line_blocks(text, line_spans(text, 0, len(text)), 1, (), marks)
    return Document(text, tuple(blocks))


def shown(document: Document) -> list[tuple[str, str]]:
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


@given(st.one_of(st.lists(st.sampled_from(PIECES)).map("".join), st.text(alphabet=st.characters(codec="utf-8"))))
def test_blocks_hold_every_line(text: str) -> None:
    document = cut(text)
    check_blocks(document)
    assert all(len(block.header) <= MAX_HEADER for block in document.blocks)


def test_a_table_has_rows_subheadings_and_a_header() -> None:
    document = cut(STATEMENT)
    header = "CONSOLIDATED BALANCE SHEETS (In millions) December 31, 2021 2022 Current assets:"
    rows = [(document.text[b.start : b.end], b.header) for b in document.blocks if b.kind == "table_row"]
    assert rows == [
        ("CONSOLIDATED BALANCE SHEETS", ""),
        ("(In millions)", ""),
        ("December 31,", ""),
        ("2021 2022", ""),
        ("Current assets:", ""),
        ("Cash and cash equivalents $ 4,236 $ 3,844", header),
        ("Goodwill 12,787", header),
        ("Other assets (1) — (293)", header),
        ("Liabilities", header),
        ("Trade payables 379 312 %", header),
    ]
    assert [kind for kind, _ in shown(document)].count("paragraph") == 2


def test_one_line_of_prose_with_numbers_is_no_table() -> None:
    text = "The rate was raised in several steps, at first to 3, and then in 2019 and once more 5 7\nand then fell.\n"
    assert shown(cut(text)) == [("paragraph", text.strip())]


def test_a_line_that_ends_early_ends_its_paragraph() -> None:
    text = (
        "Overview\n"
        "This paragraph is wrapped by the margin of the page, so that its lines are about equally long and\n"
        "it goes on to the second line and ends there.\n"
        "Another paragraph begins here, and it is just as wide as the one above it was before it came to\n"
        "its end.\n"
    )
    assert [kind for kind, _ in shown(cut(text))] == ["paragraph"] * 3
    assert shown(cut(text))[1][1].endswith("ends there.")


def test_narrow_columns_are_not_torn_at_every_line() -> None:
    wide = "A line that is as wide as the page, which makes every other line look short beside it, by far.\n"
    column = "this column is\nnarrow and its\nsentences wrap\nearly. A new one\nwraps as well\n"
    assert [text for _, text in shown(cut(wide * 2 + "\n" + column))][-1].count("\n") == 4


def test_items_begin_with_their_marker_and_keep_their_continuation() -> None:
    text = (
        "Before you start, read the following list of the things that matter most, and keep it at hand:\n"
        "• switch off the mains before you open the cover of the cabinet, and lock the switch so that no\n"
        "one else can switch it on;\n"
        "(a) tell the others.\n"
        "2. Close the valve.\n"
        "•\nWait a minute.\n"
        "一、总则\n"
    )
    assert [(kind, text.split("\n")[0][:10]) for kind, text in shown(cut(text))] == [
        ("paragraph", "Before you"),
        ("list_item", "• switch o"),
        ("list_item", "(a) tell t"),
        ("list_item", "2. Close t"),
        ("list_item", "•"),
        ("list_item", "一、总则"),
    ]


def test_wrapped_chinese_is_one_paragraph() -> None:
    text = (
        "打开电池仓，按标记方向装入四节新的碱性电池。不要使用碳性电池，碳性电池一般只能用一个月左右。\n"
        "也不建议使用镍氢充电电池，其电压偏低，会过早报警。新旧电池不得混用。\n"
        "适用水压 0.1～0.8 MPa\n"
    )
    assert [text.count("\n") for _, text in shown(cut(text))] == [1, 0]


def test_marks_switch_the_heading_at_their_line() -> None:
    text = "intro\nTitle\nof two lines\nbody\nmore"
    document = cut(text, (Mark(1, 2, ("Title of two lines",)), Mark(3, 2, ("Title of two lines", "unseen"))))
    assert [(block.kind, block.heading) for block in document.blocks] == [
        ("paragraph", ()),
        ("heading", ("Title of two lines",)),
        ("paragraph", ("Title of two lines", "unseen")),
    ]


def test_a_page_without_lines_has_no_blocks_even_under_marks() -> None:
    assert list(line_blocks("", [], 1, (), [Mark(0, -1, ("A",))])) == []


def test_six_hundred_pages_take_little_time() -> None:
    page = STATEMENT * 5
    spans = line_spans(page, 0, len(page))
    start = time.perf_counter()
    blocks: list[Block] = []
    for number in range(600):
        blocks += line_blocks(page, spans, number, (), ())
    assert time.perf_counter() - start < 10  # under 1.5 s on an idle core
    assert len(blocks) > 600


def test_a_line_without_end_takes_little_time() -> None:
    start = time.perf_counter()
    for line in ("1 " * 500_000, "(" * 1_000_000, "$" * 1_000_000, "." * 1_000_000, " " * 1_000_000 + "x"):
        check_blocks(cut(f"{line}\n{line}\n"))
    assert time.perf_counter() - start < 5
