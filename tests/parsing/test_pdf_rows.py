"""Rows of a page come together, whatever the order in which their cells are drawn: tables, forms, invoices."""

from __future__ import annotations

import pytest
from fpdf import FPDF
from parsing.parsing_helpers import make_pdf

from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import parse_pdf
from ragcli.parsing.pdf.layout import Box, Line
from ragcli.parsing.pdf.rows import join_rows, put_beside

Cells = list[tuple[float, float, str]]
"""Place from the left and from the top in millimetres, and text."""

LABELS: Cells = [
    (20, 30, "Invoice no.:"),
    (120, 30, "Date:"),
    (20, 40, "Customer:"),
    (120, 40, "Tax number:"),
    (20, 60, "Article"),
    (80, 60, "Pieces"),
    (120, 60, "Price"),
    (20, 90, "Clerk:"),
    (120, 90, "Checked by:"),
]
VALUES: Cells = [
    (150, 40, "DE 99 881"),
    (50, 30, "2024-118"),
    (150, 30, "3 May 2024"),
    (50, 40, "Mill and Sons"),
    (20, 70, "Hinge, brass"),
    (80, 70, "40"),
    (120, 70, "84.00"),
    (150, 90, "Bo Lund"),
    (50, 90, "Ann Rask"),
]


def lines_of(cells: Cells) -> list[str]:
    def write(pdf: FPDF) -> None:
        pdf.add_page()
        for x, y, text in cells:
            pdf.text(x, y, text)

    return [line for line in parse_pdf(make_pdf(write), Limits(10)).text.split("\n") if line]


@pytest.mark.parametrize("cells", [LABELS + VALUES, VALUES + LABELS, LABELS[::-1] + VALUES])
def test_an_invoice_whose_labels_and_values_are_drawn_apart(cells: Cells) -> None:
    assert lines_of(cells) == [
        "Invoice no.: 2024-118 Date: 3 May 2024",
        "Customer: Mill and Sons Tax number: DE 99 881",
        "Article Pieces Price",
        "Hinge, brass 40 84.00",
        "Clerk: Ann Rask Checked by: Bo Lund",
    ]


def test_boxes_side_by_side_stay_whole() -> None:
    boxes = [["Quick:", "built in a day", "by two people"], ["Cheap:", "paid by the hour", "or by the month"]]
    cells = [(20.0 + 70 * x, 30.0 + 6 * y, line) for x, box in enumerate(boxes) for y, line in enumerate(box)]
    assert lines_of(cells) == boxes[0] + boxes[1]


def test_words_behind_labels_in_a_column_of_their_own() -> None:
    labels = ["Name:", "Street:", "Town:", "Country:"]
    values = ["Ann Rask", "Mill Lane", "Thisted", "Denmark"]
    cells = [(x, 30.0 + 8 * y, text) for x, part in ((20.0, labels), (60.0, values)) for y, text in enumerate(part)]
    assert lines_of(cells) == [f"{label} {value}" for label, value in zip(labels, values, strict=True)]


def test_what_is_written_goes_behind_its_label_before_its_box_or_below_its_heading() -> None:
    page = [
        Line("Name Age", 10, 160, 700, 10, start=0),  # cut at its gap, since a field stands within
        Line("Paid in cash", 40, 110, 650, 10),
        Line("Remarks", 10, 60, 600, 10),
        Line("", 0, 0, 0, 0),
        Line("Signed", 10, 50, 500, 10),
    ]
    written = [
        Line("Ann", 45, 100, 701, 10),
        Line("41", 165, 190, 701, 10),
        Line("☒", 25, 35, 650, 10),
        Line("none so far", 10, 200, 560, 10),
        Line("at the very top", 300, 400, 790, 10),
    ]

    letters = {3: Box(30, 35, 700, 10), 5: Box(140, 145, 700, 10)}  # where "Name" ends, and where "Age" begins
    put = put_beside(page, written, letters.get)
    assert [line.text for line in put if line.text] == [
        *("Name", "Ann", "Age", "41"),
        *("☒", "Paid in cash"),
        *("Remarks", "none so far"),
        *("Signed", "at the very top"),
    ]


def test_cells_on_one_base_line_are_one_row() -> None:
    cells = [Line("Rent", 10, 30, 100, 10), Line("120", 50, 65, 100.4, 10), Line("Heat", 10, 30, 88, 10)]
    assert [line.text for line in join_rows(cells)] == ["Rent 120", "Heat"]


@pytest.mark.parametrize(
    "other",
    [
        Line("120", 50, 65, 95, 10),  # lower
        Line("120", 12, 25, 100, 10),  # printed over it
        Line("120"),  # no place
    ],
)
def test_other_lines_are_rows_of_their_own(other: Line) -> None:
    assert len(join_rows([Line("Rent", 10, 30, 100, 10), other])) == 2
