"""Two columns come in reading order, tables keep their rows, whatever the order in which the lines are drawn."""

from __future__ import annotations

import io
from collections.abc import Callable

import pypdf
import pytest
from fpdf import FPDF
from parsing.parsing_helpers import check_blocks, make_pdf

from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import parse_pdf
from ragcli.records import Document

LEFT = [f"left line {n} tells of the mill and its wheel" for n in range(24)]
RIGHT = [f"right line {n} goes on with the pond and fish" for n in range(20)]
WIDE = "This sentence spans both of the columns from the left border of the page to the right one, as titles do."

Draw = Callable[[FPDF], None]


def text_of(draw: Draw) -> str:
    def write(pdf: FPDF) -> None:
        pdf.add_page()
        draw(pdf)

    document = parse_pdf(make_pdf(write), Limits(10))
    check_blocks(document)
    return document.text


def column(pdf: FPDF, x: float, y: float, lines: list[str], step: float = 5) -> None:
    for n, line in enumerate(lines):
        pdf.text(x, y + step * n, line)


def alternating(pdf: FPDF, shift: float = 0.0, top: float = 40) -> None:
    for n in range(max(len(LEFT), len(RIGHT))):
        column(pdf, 15, top + 5 * n, LEFT[n : n + 1])
        column(pdf, 110, top + 5 * n + shift, RIGHT[n : n + 1])


@pytest.mark.parametrize("shift", [0, 1, 2.3, -1.7])
def test_lines_drawn_left_and_right_in_turn(shift: float) -> None:
    assert text_of(lambda pdf: alternating(pdf, shift)).split("\n") == LEFT + RIGHT


def test_columns_drawn_one_after_the_other_stay() -> None:
    def draw(pdf: FPDF) -> None:
        column(pdf, 15, 40, LEFT)
        column(pdf, 110, 40, RIGHT)

    assert text_of(draw).split("\n") == LEFT + RIGHT


def test_full_width_lines_part_the_columns() -> None:
    def draw(pdf: FPDF) -> None:
        pdf.text(15, 20, WIDE)
        for n in range(10):
            pdf.text(15, 40 + 5 * n, LEFT[n])
            pdf.text(110, 40 + 5 * n, RIGHT[n])
        pdf.text(15, 95, WIDE)
        for n in range(10, 20):
            pdf.text(15, 60 + 5 * n, LEFT[n])
            pdf.text(110, 60 + 5 * n, RIGHT[n])
        pdf.text(15, 200, "1 A note at the foot.")

    assert text_of(draw).split("\n") == [
        *(WIDE, *LEFT[:10], *RIGHT[:10], WIDE, *LEFT[10:20], *RIGHT[10:20], "1 A note at the foot.")
    ]


def test_a_short_title_above_stays_above() -> None:
    def draw(pdf: FPDF) -> None:
        pdf.text(15, 20, "A title")
        alternating(pdf)

    assert text_of(draw).split("\n") == ["A title", *LEFT, *RIGHT]


def test_a_word_cut_in_a_column_is_joined_below() -> None:
    def draw(pdf: FPDF) -> None:
        for n in range(14):
            pdf.text(15, 40 + 5 * n, "here they tell of the old water-" if n == 6 else LEFT[n])
            pdf.text(110, 40 + 5 * n, "and others tell of the grain ele-" if n == 6 else RIGHT[n])
            if n == 7:
                break
        for n in range(8, 20):
            pdf.text(15, 40 + 5 * n, "mills of the town that were built" if n == 8 else LEFT[n])
            pdf.text(110, 40 + 5 * n, "vators that stand by the long road" if n == 8 else RIGHT[n])

    text = text_of(draw)
    assert text.index("left line 19") < text.index("right line 0")


def test_a_table_is_no_pair_of_columns() -> None:
    def draw(pdf: FPDF) -> None:
        for n in range(20):
            pdf.text(15, 40 + 5 * n, f"Part {n}")
            pdf.text(110, 40 + 5 * n, f"{n * 7} pieces")

    assert text_of(draw).split("\n") == [f"Part {n} {n * 7} pieces" for n in range(20)]


def test_one_column_with_wide_spaces_stays() -> None:
    lines = [f"Line {n} of   a text   that has   wide gaps   in it   now and then, as set in full." for n in range(20)]
    assert text_of(lambda pdf: column(pdf, 15, 40, lines)).split("\n") == [" ".join(line.split()) for line in lines]


def test_a_table_drawn_column_by_column_has_rows() -> None:
    def draw(pdf: FPDF) -> None:
        column(pdf, 15, 40, ["Cost of the mill", "Rent", "Heat", "Water", "Sum"])
        column(pdf, 80, 45, ["120", "80", "15", "215"])
        column(pdf, 110, 45, ["130", "(85)", "215"], step=7.5)
        column(pdf, 140, 45, ["1 %", "2 %", "0 %", "3 %"])

    assert text_of(draw).split("\n") == [
        *("Cost of the mill", "Rent 120", "Heat 80", "Water 15", "Sum 215"),
        *("130", "(85)", "215"),  # these stand beside no row
        *("1 %", "2 %", "0 %", "3 %"),
    ]


def test_lists_side_by_side_are_no_table() -> None:
    def draw(pdf: FPDF) -> None:
        column(pdf, 15, 40, ["apples", "pears", "plums", "quinces"])
        column(pdf, 110, 40, ["nuts", "figs", "dates", "olives"])

    assert text_of(draw).split("\n")[:5] == ["apples", "pears", "plums", "quinces", "nuts"]


def test_numbers_of_two_columns_join_their_labels() -> None:
    def draw(pdf: FPDF) -> None:
        column(pdf, 15, 40, ["Rent", "Heat", "Water", "Sum"])
        column(pdf, 80, 40, ["120", "80", "15", "215"])
        column(pdf, 110, 45, ["85", "16", "$ 226"])

    assert text_of(draw).split("\n") == ["Rent 120", "Heat 80 85", "Water 15 16", "Sum 215 $ 226"]


def test_a_short_line_on_the_right_does_not_hide_the_next_one_on_the_left() -> None:
    """pdfium takes the end of a paragraph on the right and the line drawn after it, below on the left, for one line."""
    right = ["of the pond." if n % 3 == 2 else line for n, line in enumerate(RIGHT[:18])]

    def draw(pdf: FPDF) -> None:
        for n in range(0, 18, 3):
            column(pdf, 15, 40 + 6 * n, LEFT[n : n + 3])
            column(pdf, 110, 45.5 + 6 * n, right[n : n + 3])

    assert text_of(draw).split("\n") == LEFT[:18] + right


def test_a_line_on_its_head_stays_whole() -> None:
    def draw(pdf: FPDF) -> None:
        column(pdf, 15, 40, LEFT)
        with pdf.rotation(180, 100, 200):
            pdf.text(100, 200, "The other side is up")

    assert text_of(draw).split("\n") == [*LEFT, "The other side is up"]


def turned(draw: Draw, drawn: int, shown: int) -> Document:
    """Return what is read of a page whose content is turned to the left, and which is shown turned to the right."""

    def write(pdf: FPDF) -> None:
        pdf.add_page()
        draw(pdf)

    writer = pypdf.PdfWriter(io.BytesIO(make_pdf(write)))
    (page,) = writer.pages
    page.add_transformation(pypdf.Transformation().translate(-300, -400).rotate(drawn).translate(500, 500))
    page.mediabox = page.cropbox = pypdf.generic.RectangleObject((0, 0, 1000, 1000))
    page.rotate(shown)
    out = io.BytesIO()
    writer.write(out)
    document = parse_pdf(out.getvalue(), Limits(10))
    check_blocks(document)
    return document


TURNS = [(drawn, shown) for drawn in (0, 90, 180, 270) for shown in (0, 90, 180, 270)]


@pytest.mark.parametrize(("drawn", "shown"), TURNS)
def test_columns_of_a_turned_page(drawn: int, shown: int) -> None:
    assert turned(alternating, drawn, shown).text.split("\n") == LEFT + RIGHT


@pytest.mark.parametrize(("drawn", "shown"), TURNS)
def test_a_turned_table_has_rows_and_a_note_on_its_side_stays_out_of_them(drawn: int, shown: int) -> None:
    def draw(pdf: FPDF) -> None:
        for n, row in enumerate([("Part", "Interval", "Team"), ("Pump", "monthly", "Ann"), ("Axle", "yearly", "Cy")]):
            for x, cell in zip((20, 70, 130), row, strict=True):
                pdf.text(x, 40 + 7 * n, cell)
        with pdf.rotation(90, 10, 60):
            pdf.text(10, 60, "Not to scale")

    document = turned(draw, drawn, shown)
    assert [(document.text[b.start : b.end], b.kind, b.header) for b in document.blocks] == [
        ("Part Interval Team", "table_row", ""),
        ("Pump monthly Ann", "table_row", "Part Interval Team"),
        ("Axle yearly Cy", "table_row", "Part Interval Team"),
        ("Not to scale", "paragraph", ""),
    ]
