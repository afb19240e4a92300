"""Files that mean harm, or are harmful by mishap: each is made here, by name, as bytes."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable

import docx
import openpyxl
import pptx
import pypdf
from fpdf import FPDF

MEGABYTE = 1 << 20


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def office(kind: str) -> dict[str, bytes]:
    """The members of a sound Office file."""
    out = io.BytesIO()
    if kind == "docx":
        document = docx.Document()
        document.add_paragraph("A sound paragraph.")
        document.save(out)
    elif kind == "pptx":
        deck = pptx.Presentation()
        deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "A sound title"
        deck.save(out)
    else:
        book = openpyxl.Workbook()
        book.active.append(["A sound cell", "and another"])
        book.save(out)
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


MAIN = {"docx": "word/document.xml", "pptx": "ppt/slides/slide1.xml", "xlsx": "xl/worksheets/sheet1.xml"}
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "'
    + b"ha" * 500
    + b'">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]>"
)
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


def with_main(kind: str, change: Callable[[bytes], bytes]) -> bytes:
    members = office(kind)
    members[MAIN[kind]] = change(members[MAIN[kind]])
    return zipped(members)


def entities(kind: str, declared: bytes, name: bytes) -> bytes:
    """An Office file whose main part declares entities and uses one."""

    def change(part: bytes) -> bytes:
        body = part.partition(b"?>")[2].lstrip() if part.startswith(b"<?xml") else part
        return declared + body.replace(b"A sound", b"&%s;" % name, 1)

    return with_main(kind, change)


def padded(kind: str) -> bytes:
    """An Office file that unpacks to some gigabytes."""
    members = office(kind)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            if name != MAIN[kind]:
                archive.writestr(name, data)
        with archive.open(MAIN[kind], "w", force_zip64=True) as stream:
            stream.write(members[MAIN[kind]])
            for _ in range(600):
                stream.write(b" " * MEGABYTE)
    return out.getvalue()


def pdf_of(objects: list[bytes]) -> bytes:
    """A PDF of numbered objects, of which the first is the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def stream(data: bytes, extra: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), extra, data)


def one_page(content: bytes, resources: bytes = b"", more: tuple[bytes, ...] = ()) -> bytes:
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    return pdf_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
            b" /Resources << /Font << /F 5 0 R >> %s >> >>" % resources,
            content,
            font,
            *more,
        ]
    )


def deep_pages(depth: int = 10_000) -> bytes:
    """A PDF whose one page lies under thousands of nodes."""
    nodes = [
        b"<< /Type /Pages /Kids [%d 0 R] /Count 1 /Parent %d 0 R >>" % (number + 1, number - 1)
        for number in range(2, depth + 2)
    ]
    page = b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 600 800] >>" % (depth + 1)
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", *nodes, page])


def flate_bomb() -> bytes:
    """A PDF whose page is over 1 GB of spaces, packed twice."""
    compressor = zlib.compressobj(9)
    once = b"".join(compressor.compress(b" " * MEGABYTE) for _ in range(1200)) + compressor.flush()
    return one_page(stream(zlib.compress(once, 9), b"/Filter [/FlateDecode /FlateDecode]"))


def image_bomb() -> bytes:
    """A PDF that shows a picture of 60,000 by 60,000 points."""
    compressor = zlib.compressobj(9)
    data = b"".join(compressor.compress(bytes(MEGABYTE)) for _ in range(430)) + compressor.flush()
    picture = stream(
        data,
        b"/Type /XObject /Subtype /Image /Width 60000 /Height 60000 /BitsPerComponent 1 /ColorSpace /DeviceGray"
        b" /Filter /FlateDecode",
    )
    return one_page(stream(b"600 0 0 800 0 0 cm /I Do"), b"/XObject << /I 6 0 R >>", (picture,))


def slow_page() -> bytes:
    """A PDF whose forms show each other: 3 to the power of 20 texts to draw."""
    forms = []
    count = 20
    for level in range(count):
        inner = b"/X Do " * 3 if level < count - 1 else b"BT /F 9 Tf (slow) Tj ET"
        below = b"/XObject << /X %d 0 R >>" % (7 + level) if level < count - 1 else b"/Font << /F 5 0 R >>"
        kind = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << %s >>" % below
        forms.append(stream(inner, kind))
    return one_page(stream(b"/X Do"), b"/XObject << /X 6 0 R >>", tuple(forms))


def encrypted_pdf() -> bytes:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica")
    pdf.cell(text="secret")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(bytes(pdf.output())))
    writer.encrypt("sesame", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def epub(page: bytes) -> bytes:
    container = b'<container><rootfiles><rootfile full-path="b.opf"/></rootfiles></container>'
    package = (
        b'<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="p" href="p.xhtml" media-type='
        b'"application/xhtml+xml"/></manifest><spine><itemref idref="p"/></spine></package>'
    )
    return zipped({"META-INF/container.xml": container, "b.opf": package, "p.xhtml": page})


def odt(content: bytes) -> bytes:
    return zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": content})


SPACES = (
    b'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    b'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    b'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
)


def odt_of(body: bytes) -> bytes:
    return odt(
        b"<office:document-content %s><office:body><office:text>%s</office:text></office:body>"
        b"</office:document-content>" % (SPACES, body)
    )


def nested_mail(depth: int) -> bytes:
    data = b"Subject: the innermost\n\nhello\n"
    for level in range(depth):
        data = b"Subject: level %d\nContent-Type: message/rfc822\n\n%s" % (level, data)
    return data


def nested_parts(depth: int) -> bytes:
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (level, level) for level in range(depth)
    )
    return b"Subject: parts\nMIME-Version: 1.0\n" + head + b"Content-Type: text/plain\n\nhello\n"


CLIMBING = b'<container><rootfiles><rootfile full-path="../../../etc/passwd"/></rootfiles></container>'

HARMFUL: dict[str, Callable[[], bytes]] = {
    "bomb.docx": lambda: padded("docx"),
    "bomb.pptx": lambda: padded("pptx"),
    "bomb.xlsx": lambda: padded("xlsx"),
    "bomb.odt": lambda: odt(b" " * (600 * MEGABYTE)),
    "laughs.docx": lambda: entities("docx", LAUGHS, b"j"),
    "laughs.pptx": lambda: entities("pptx", LAUGHS, b"j"),
    "laughs.xlsx": lambda: entities("xlsx", LAUGHS, b"j"),
    "laughs.odt": lambda: odt(LAUGHS + b"<r>&j;</r>"),
    "outside.docx": lambda: entities("docx", OUTSIDE, b"x"),
    "outside.odt": lambda: odt(OUTSIDE + b"<r>&x;</r>"),
    "no-main-part.docx": lambda: zipped({n: d for n, d in office("docx").items() if n != MAIN["docx"]}),
    "cut.xlsx": lambda: zipped(office("xlsx"))[:-300],
    "old.xlsx": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000),
    "climbing.epub": lambda: zipped({"META-INF/container.xml": CLIMBING}),
    "deep-pages.pdf": deep_pages,
    "flate-bomb.pdf": flate_bomb,
    "image-bomb.pdf": image_bomb,
    "slow.pdf": slow_page,
    "locked.pdf": encrypted_pdf,
    "garbage.pdf": lambda: b"%PDF-1.7\n" + bytes(range(256)) * 50,
    "deep.ipynb": lambda: b'{"nbformat": 4, "cells": ' + b"[" * 200_000,
    "no-cells.ipynb": lambda: json.dumps({"nbformat": 4, "cells": 7}).encode(),
    "empty.md": lambda: b"",
    "zeros.txt": lambda: bytes(100_000),
}
"""Files of which nothing can be read."""

ODD: dict[str, Callable[[], bytes]] = {
    "deep.json": lambda: b"[" * 200_000,
    "deep.html": lambda: b"<div>" * 1500 + b"deep",
    "deep.md": lambda: b"> " * 20_000 + b"deep",
    "brackets.md": lambda: b"[" * 50_000 + b"](" * 50_000,
    "stars.md": lambda: b"*a_ " * 50_000,
    "deep.py": lambda: b"x = " + b"(" * 50_000 + b")" * 50_000,
    "deep.rst": lambda: b"".join(b" " * (level % 900) + b"* item\n\n" for level in range(3000)),
    "deep.odt": lambda: odt_of(
        b"<text:list><text:list-item>" * 100 + b"<text:p>deep</text:p>" + b"</text:list-item></text:list>" * 100
    ),
    "wide.odt": lambda: odt_of(
        b'<text:p>wide</text:p><table:table><table:table-row table:number-rows-repeated="1000000"><table:table-cell '
        b'table:number-columns-repeated="1000000"><text:p>x</text:p></table:table-cell></table:table-row></table:table>'
    ),
    "wide.xlsx": lambda: with_main(
        "xlsx", lambda part: part.replace(b"<sheetData>", b'<dimension ref="A1:XFD1048576"/><sheetData>')
    ),
    "laughs.epub": lambda: epub(
        LAUGHS.replace(b"<!DOCTYPE r", b"<!DOCTYPE html") + b"<html><body><p>sound text &j;</p></body></html>"
    ),
    "laughs.html": lambda: (
        LAUGHS.replace(b"<!DOCTYPE r", b"<!DOCTYPE html") + b"<html><body><p>sound text &j;</p></body></html>"
    ),
    "nested.eml": lambda: nested_mail(2000),
    "parts.eml": lambda: nested_parts(2000),
    "header.eml": lambda: b"Subject: " + b"=?utf-8?q?=" * 100_000 + b"\n\nhello\n",
    "many.mbox": lambda: b"From x\n\n" * 20_000 + b"hello\n",
    "quote.csv": lambda: b'a,b\n"' + b"never closed\n" * 20_000,
    "line.txt": lambda: b"word " * 400_000,
    "controls.txt": lambda: b"red \x1b[31m \x9b2J \x1b]52;c;aGk=\x07 \xe2\x80\xae over \x00 nul " * 100,
}
"""Files of which something may be read, or nothing; they must not do any harm either way."""
