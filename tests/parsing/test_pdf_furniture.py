"""Running headers, footers and page numbers: dropped where they run, kept where they only look so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fpdf import FPDF
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing.parsing_helpers import check_blocks, make_pdf, pdf_of, write_lines

from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import PAGE_BREAK, parse_pdf
from ragcli.parsing.pdf.furniture import drop_furniture
from ragcli.parsing.pdf.layout import Line

COLOURS = ["amber", "blue", "coral", "denim", "ebony", "flax", "green", "hazel", "indigo", "jade"]


def pages_of(*pages: list[str]) -> list[list[Line]]:
    """Return pages without places, as pypdf gives them."""
    return [[Line(text) for text in page] for page in pages]


def kept(*pages: list[str]) -> list[list[str]]:
    return [[line.text for line in page] for page in drop_furniture(pages_of(*pages), 0.0)]


def bodies(count: int) -> list[str]:
    return [f"The {COLOURS[n % 10]} one is here." for n in range(count)]


RUNNING: dict[str, Callable[[int], str]] = {
    "same": lambda n: "Annual report",
    "word": lambda n: "Civil",
    "number": lambda n: f"{n + 12}",
    "dashes": lambda n: f"- {n + 1} -",
    "wide dashes": lambda n: f"— {n + 57} —",
    "page of": lambda n: f"Page {n + 1} of 8",
    "year": lambda n: f"2022 Annual report | {n + 57}",
    "letter": lambda n: f"F-{n + 1}",
    "roman": lambda n: ["ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"][n],
    "chinese": lambda n: f"第{n + 1}页 共8页",
    "sides": lambda n: "The left side" if n % 2 else "The right side",
    "numbered sides": lambda n: f"{n + 1} Chapter one" if n % 2 else f"The whole book {n + 1}",
}


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.parametrize("is_top", [True, False], ids=["top", "bottom"])
def test_what_runs_is_dropped(name: str, is_top: bool) -> None:
    running, body = RUNNING[name], bodies(8)
    pages = [[running(n), text] if is_top else [text, running(n)] for n, text in enumerate(body)]
    assert kept(*pages) == [[text] for text in body]


def test_a_short_chapter_has_a_running_header_too() -> None:
    """Its first page has its number below, the others have it above, beside the chapter's title."""
    body = bodies(9)
    pages = [
        [text, f"{n + 1}"] if n % 3 == 0 else [f"Chapter {'abc'[n // 3]} {n + 1}", text] for n, text in enumerate(body)
    ]
    assert kept(*pages) == [[text] for text in body]


@pytest.mark.parametrize(
    "pages",
    [
        [["Annual report", "a b"], ["Annual report", "c d"]],  # two pages only
        [["Notes", *bodies(8)[n : n + 1]] if n in (0, 4, 8) else ["x y"] for n in range(9)],  # too few near by
        [[f"{n * n + 3}", text] for n, text in enumerate(bodies(9))],  # numbers that do not count
        [[f"Total {n} {n + 4}", text] for n, text in enumerate(bodies(9))],
        [["Item 3 5", "Bolt 4 7", f"Nut {n} 9"] for n in range(9)],  # a table's header above its rows
        [["first", "second", "third", "fourth", f"{n} and", "The same", f"{n} or", "b", "c", "d"] for n in (0, 7, 2)],
    ],
    ids=["two-pages", "rare", "numbers", "values", "table", "inside"],
)
def test_what_only_looks_so_is_kept(pages: list[list[str]]) -> None:
    if pages[0][:1] == ["first"]:
        assert [page[-6:] for page in kept(*pages)] == [page[-6:] for page in pages]
    else:
        assert kept(*pages) == pages


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b c", "Notes", "1", "2", "3", "Page 4", ""]), max_size=6), max_size=9))
def test_what_occurs_once_stays(pages: list[list[str]]) -> None:
    everything = [line for page in pages for line in page]
    left = [line for page in kept(*pages) for line in page]
    for line in set(everything):
        if everything.count(line) == 1 and not any(c.isdigit() for c in line):
            assert line in left


def report(pdf: FPDF) -> None:
    """Five pages; their header is written after the text, and a table goes on over all of them."""
    for n in range(5):
        pdf.add_page()
        write_lines(pdf, f"Part Price Stock\nBolt {COLOURS[n]} 12.40 {n * 7}\nNut {COLOURS[n]} 3.10 {n * 31}")
        pdf.set_y(60)
        write_lines(pdf, f"The {COLOURS[n]} one is sold.")
        pdf.text(20, 5, "Works of the mill")
        pdf.text(100, 290, f"{n + 1}")


def test_a_printed_report_keeps_its_text_and_its_table() -> None:
    document = parse_pdf(make_pdf(report), Limits(10))
    check_blocks(document)
    assert document.text.split(PAGE_BREAK)[3] == (
        "Part Price Stock\nBolt denim 12.40 21\nNut denim 3.10 93\nThe denim one is sold."
    )
    assert "mill" not in document.text


def test_a_title_in_larger_type_comes_again() -> None:
    def slides(pdf: FPDF) -> None:
        for n in range(5):
            pdf.add_page()
            pdf.set_font_size(20)
            write_lines(pdf, "Our plan")
            pdf.set_font_size(11)
            pdf.set_y(60)
            write_lines(pdf, f"The {COLOURS[n]} step is a long one, and there is much to say of it.")

    assert parse_pdf(make_pdf(slides), Limits(10)).text.count("Our plan") == 5


def in_type(size: float, *top: str, bottom: str = "") -> str:
    """Return the text of five pages with lines at their edges, of which that at the top is in type of `size`."""

    def pages(pdf: FPDF) -> None:
        for n in range(5):
            pdf.add_page()
            pdf.set_font_size(size)
            pdf.text(20, 10, top[n % len(top)])
            pdf.set_font_size(10)
            pdf.set_y(40)
            write_lines(pdf, f"The {COLOURS[n]} step is a long one, and there is much to say of it.")
            pdf.set_font_size(12)
            pdf.text(100, 290, bottom.format(n + 1))

    return parse_pdf(make_pdf(pages), Limits(10)).text


@pytest.mark.parametrize("bottom", ["{}", "Page {}", "- {} -", "Page {} of 5", "Works of the mill | {}"])
def test_headers_and_numbers_in_somewhat_larger_type_run_where_all_pages_have_them(bottom: str) -> None:
    """Libraries that draw PDFs write both in their default type, which is larger than that of most texts."""
    assert in_type(12, "Works of the mill", bottom=bottom) == PAGE_BREAK.join(
        f"The {colour} step is a long one, and there is much to say of it." for colour in COLOURS[:5]
    )


def test_titles_in_somewhat_larger_type_are_kept() -> None:
    chapters = [f"Chapter {n} of the mill" for n in range(1, 6)]
    assert all(chapter in in_type(12, *chapters) for chapter in chapters)
    some = in_type(12, "The wheel", "The wheel", "The wheel", "The stones", "The sacks")
    assert some.count("The wheel") == 3


def test_short_documents_keep_all() -> None:
    assert (
        parse_pdf(pdf_of("Head\ntext\n1", "Head\nmore\n2"), Limits(10)).text
        == f"Head\ntext\n1{PAGE_BREAK}Head\nmore\n2"
    )


@pytest.mark.parametrize("angle", [90, 270])
def test_upright_headers_of_a_page_on_its_side_run_with_those_of_the_others(angle: int) -> None:
    """As reports have it where a table is too wide for the page."""
    rows = ["Part Interval Team", *(f"{colour} monthly Ann" for colour in COLOURS)]

    def write(pdf: FPDF) -> None:
        for n, body in enumerate(bodies(6)):
            pdf.add_page()
            pdf.text(20, 12, "Report of the mill")
            if n == 3:
                with pdf.rotation(angle, 105, 150):
                    for at, row in enumerate(rows):
                        for x, cell in zip((20, 80, 140), row.split(), strict=True):
                            pdf.text(x, 90 + 8 * at, cell)
            else:
                pdf.text(20, 40, body)
            pdf.text(100, 290, f"{n + 1}")

    document = parse_pdf(make_pdf(write), Limits(10))
    check_blocks(document)
    assert document.text.split(PAGE_BREAK) == [*bodies(3), "\n".join(rows), *bodies(6)[4:]]
    assert {b.header for b in document.blocks if b.kind == "table_row"} == {"", rows[0]}
