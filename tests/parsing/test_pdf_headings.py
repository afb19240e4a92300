"""Headings told from the type where a PDF has no outline; page labels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fpdf import FPDF
from parsing.parsing_helpers import block_of, check_blocks, make_pdf, pdf_of, raw_pdf, raw_stream, write_lines

from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import parse_pdf
from ragcli.records import Document

PROSE = "The wheel turns all day long, and the water of the river never stops.\nIt has done so for many years by now."
Part = tuple[str, int, str]
"""A line or more, their size and style."""


def typed(*pages: Sequence[Part], outline: str = "") -> Document:
    def write(pdf: FPDF) -> None:
        for page in pages:
            pdf.add_page()
            if outline:
                pdf.start_section(outline)
            for text, size, style in page:
                pdf.set_font("helvetica", style, size)
                write_lines(pdf, text)
                pdf.ln(2)

    document = parse_pdf(make_pdf(write), Limits(20))
    check_blocks(document)
    return document


def headings(document: Document) -> list[tuple[str, ...]]:
    return [block.heading for block in document.blocks if block.kind == "heading"]


BODY = (PROSE, 10, "")


def test_larger_and_bold_lines_are_headings_by_rank() -> None:
    document = typed(
        [("The mill", 20, ""), BODY, ("Its wheel", 14, "B"), BODY, ("Repair", 10, "B"), BODY],
        [BODY, ("Its pond", 14, "B"), BODY, ("The farm", 20, ""), BODY, ("Fields", 14, "B"), BODY],
    )
    assert headings(document) == [
        ("The mill",),
        ("The mill", "Its wheel"),
        ("The mill", "Its wheel", "Repair"),
        ("The mill", "Its pond"),
        ("The farm",),
        ("The farm", "Fields"),
    ]
    assert [b.heading for b in document.blocks if b.page == 2][0] == ("The mill", "Its wheel", "Repair")


def test_an_outline_wins() -> None:
    document = typed([("The mill", 20, ""), BODY], outline="Chapter of mills")
    assert {block.heading for block in document.blocks} == {("Chapter of mills",)}


def test_a_title_of_two_lines_is_one_heading() -> None:
    assert headings(typed([("The mill\nand its wheel", 18, ""), BODY])) == [("The mill and its wheel",)]


def test_the_title_page_is_not_above_all() -> None:
    cover = [("Report", 30, ""), ("Year of the mill", 16, ""), BODY]
    document = typed(cover, [("Wheel", 16, ""), BODY], [("Pond", 16, ""), BODY])
    assert headings(document) == [("Report",), ("Year of the mill",), ("Wheel",), ("Pond",)]


@pytest.mark.parametrize(
    "part",
    [
        ("All is well that ends here.", 14, ""),
        ("and it goes on,", 14, ""),
        ("12 400", 20, ""),
        ("Rent 1,200 1,300\nHeat 300 400\nWater 20 30", 14, "B"),
        ("This is bold.", 10, "B"),
        ("this goes on in bold", 10, "B"),
        ("Slightly larger", 11, ""),
        ("Smaller", 7, "B"),
        ("word " * 40, 14, ""),
    ],
    ids=["prose", "comma", "numbers", "rows", "bold-prose", "small-letter", "size", "smaller", "long"],
)
def test_other_lines_in_other_type_are_none(part: Part) -> None:
    assert headings(typed([BODY, part, BODY, BODY])) == []


def test_a_bold_header_row_heads_its_table_and_no_section() -> None:
    table = "Rent 1,200 1,300\nHeat 300 400\nWater 20 30"
    document = typed([BODY, ("Cost 2021 2022", 10, "B"), (table, 10, ""), BODY, BODY])
    assert headings(document) == []
    assert block_of(document, "Heat").header == "Cost 2021 2022"


def test_a_document_all_in_bold_has_no_bold_headings() -> None:
    assert headings(typed([(f"{PROSE}\nA line", 10, "B")] * 3)) == []


def test_many_large_lines_are_no_headings() -> None:
    assert (
        headings(
            typed([(PROSE, 10, ""), *[(f"A poster that says {n} to all", 18, "") for n in ("this", "that", "more")]])
        )
        == []
    )


def labelled(labels: bytes) -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>"
    return raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R/PageLabels<</Nums[%s]>>>>" % labels,
        b"<</Type/Pages/Kids[3 0 R 6 0 R 7 0 R 8 0 R]/Count 4>>",
        page,
        raw_stream(b"BT /F1 12 Tf 50 500 Td (hello) Tj ET"),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *[page] * 3,
    )


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (b"0<</S/r>>2<</S/D>>", ("i", "ii", "1", "2")),
        (b"0<</S/D/P(A-)/St 3>>", ("A-3", "A-4", "A-5", "A-6")),
        (b"0<</P(Cover)>>1<</S/D>>", ("Cover", "1", "2", "3")),
        (b"0<</S/D>>", ()),
        (b"", ()),
        (b"(x)<</S 7>>3", ()),
    ],
    ids=["roman", "prefix", "cover", "counted", "none", "broken"],
)
def test_page_labels(labels: bytes, names: tuple[str, ...]) -> None:
    assert parse_pdf(labelled(labels), Limits(10)).labels == names


def test_most_documents_have_no_labels() -> None:
    assert parse_pdf(pdf_of("a", "b"), Limits(10)).labels == ()
