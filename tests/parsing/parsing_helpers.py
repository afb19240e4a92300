"""What the parsers' tests share: the rule that every document obeys, and PDFs made on the spot."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

from fpdf import FPDF

from ragcli.records import Block, Document


def check_blocks(document: Document) -> None:
    """Assert that the blocks are in order, lie in the text, and hold all of it that is not white space."""
    end = 0
    for block in document.blocks:
        assert end <= block.start < block.end <= len(document.text)
        assert not document.text[end : block.start].strip()
        end = block.end
    assert not document.text[end:].strip()
    document.text.encode("utf-8")


def texts(document: Document, kind: str | None = None) -> list[str]:
    """Return the stripped texts of the blocks, or of those of one kind."""
    return [document.text[b.start : b.end].strip() for b in document.blocks if kind is None or b.kind == kind]


def block_of(document: Document, text: str) -> Block:
    """Return the only block that holds `text`."""
    (found,) = [block for block in document.blocks if text in document.text[block.start : block.end]]
    return found


def make_pdf(write: Callable[[FPDF], None]) -> bytes:
    """Return a PDF that `write` filled; it begins without a page."""
    pdf = FPDF()
    pdf.set_font("helvetica", size=11)
    write(pdf)
    return bytes(pdf.output())


def write_lines(pdf: FPDF, text: str) -> None:
    """Write lines of text below each other."""
    pdf.multi_cell(0, text=text, align="L", new_x="LMARGIN", new_y="NEXT")


def pdf_of(*pages: str) -> bytes:
    """Return a PDF of pages with the given lines; an empty string is a page without text."""

    def write(pdf: FPDF) -> None:
        for page in pages:
            pdf.add_page()
            if page:
                write_lines(pdf, page)

    return make_pdf(write)


def raw_pdf(*objects: bytes) -> bytes:
    """Return a PDF of the given objects, numbered from 1; the first is the catalog."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()


def raw_stream(content: bytes, entries: bytes = b"") -> bytes:
    """Return a stream object."""
    return b"<</Length %d%s>>\nstream\n%s\nendstream" % (len(content), entries, content)


def raw_page(content: bytes, entries: bytes = b"", times: int = 1) -> bytes:
    """Return a PDF whose only page, repeated `times` over, draws `content`."""
    return raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (b"3 0 R " * times, times),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>",
        raw_stream(content, entries),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )


SLOW = raw_page(  # 3,000 pages of 3,000 lines each, in 19 kB
    zlib.compress(b"BT /F1 1 Tf 1 0 0 1 50 500 Tm " + b"(hello world this is text) Tj 0 -1 Td " * 3000 + b"ET"),
    b"/Filter/FlateDecode",
    times=3000,
)
