"""Scanned PDFs, made by drawing pages and putting the pictures into a PDF without text."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import pypdfium2
import pytest
from fpdf import FPDF
from parsing.parsing_helpers import raw_pdf, raw_stream
from PIL import Image
from shared import ROOT

needs_ocr = pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="the extra ragcli[ocr] is missing")

CARD = (420, 240)
"""Points: a page small enough to be read in a second."""
FUSE = (
    "The pump house at Fenwick has two spare fuses.",
    "They lie in the grey cabinet behind the door,",
    "on the shelf below the meter.",
)
BOAT = (
    "The ferry to Lower Marsh leaves at 6:40 on weekdays.",
    "On Sundays the first boat is the one at 9:15,",
    "and dogs travel free of charge.",
)


def picture(lines: Sequence[str], dpi: int = 150, size: int = 14) -> Image.Image:
    """Return lines of Latin text as a picture of a small page."""
    pdf = FPDF(unit="pt", format=CARD)
    pdf.set_font("times", size=size)
    pdf.add_page()
    pdf.multi_cell(0, text="\n".join(lines), h=size * 1.3, align="L")
    return draw(bytes(pdf.output()), 0, dpi)


def chinese_picture(dpi: int = 150) -> tuple[Image.Image, str]:
    """Return the upper part of a page of the sample manual as a picture, and its text without white space."""
    (path,) = (ROOT / "sample_docs").glob("*/VC-4*.pdf")
    with pypdfium2.PdfDocument(path) as document:
        page = document[1]
        width, height = page.get_size()
        words = page.get_textpage()
        text = words.get_text_bounded(0, height * 0.7, width, height)
        words.close()
        page.close()
    drawn = draw(path.read_bytes(), 1, dpi)
    return drawn.crop((0, 0, drawn.width, int(drawn.height * 0.3))), "".join(text.split())


def draw(data: bytes, page: int, dpi: int) -> Image.Image:
    """Return a page of a PDF, counted from 0, as a grey picture."""
    with pypdfium2.PdfDocument(data) as document:
        one = document[page]
        drawn: Image.Image = one.render(scale=dpi / 72).to_pil().convert("L")
        one.close()
    return drawn


def scan_of(*pages: Image.Image | str, dpi: int = 150) -> bytes:
    """Return a PDF whose pages are pictures at `dpi`, or lines of real text; "" is a blank page."""
    pdf = FPDF(unit="pt")
    pdf.set_font("helvetica", size=12)
    for page in pages:
        if isinstance(page, str):
            pdf.add_page(format=CARD)
            if page:
                pdf.multi_cell(0, text=page)
        else:
            size = page.width * 72 / dpi, page.height * 72 / dpi
            pdf.add_page(format=size)
            pdf.image(page, 0, 0, *size)
    return bytes(pdf.output())


def labelled(pages: Sequence[tuple[Image.Image, str]], share: float = 1.0, dpi: int = 150) -> bytes:
    """Return a PDF of pages of pictures, each with a line of real text at its foot.

    A picture covers the upper `share` of its page.
    """
    pdf = FPDF(unit="pt")
    pdf.set_auto_page_break(False)
    pdf.set_font("helvetica", size=12)
    for drawn, label in pages:
        width, height = drawn.width * 72 / dpi, drawn.height * 72 / dpi
        pdf.add_page(format=(width, height / share))
        pdf.image(drawn, 0, 0, width, height)
        pdf.text(20, height / share - 20, label)
    return bytes(pdf.output())


def raw_picture(data: bytes, width: int, height: int, bits: int, entries: bytes = b"") -> bytes:
    """Return a PDF of one page of 600 x 800 points that is a picture of `data`, as encoded by `entries`."""
    kind = b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent %d/ColorSpace/DeviceGray"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</XObject<</I 5 0 R>>>>/Contents 4 0 R>>"
    return raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        raw_stream(b"q 600 0 0 800 0 0 cm /I Do Q"),
        raw_stream(data, kind % (width, height, bits) + entries),
    )


def errors(truth: str, found: str) -> float:
    """Return the share of `truth` that has to be changed to make it `found`, white space left out of both."""
    a, b = "".join(truth.split()), "".join(found.split())
    row = list(range(len(b) + 1))
    for number, letter in enumerate(a, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(b, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != other))
    return row[-1] / len(a)
