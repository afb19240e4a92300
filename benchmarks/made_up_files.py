"""Files of every format that ragcli reads, made up, with given sentences planted in all the places that a format has.

`write(path, sentences, rng, chinese)` writes one file by its suffix; the sentences stand in its body, tables, lists,
notes, comments, attachments and so on in turn, among other text. The same arguments give the same text.
"""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from xml.sax.saxutils import escape

import docx
import fpdf
import openpyxl
import pptx
from made_up import sentence as english_sentence
from openpyxl.comments import Comment
from pptx.util import Inches

STAMP = datetime(2025, 3, 14, 9, 30, tzinfo=UTC)

_THINGS = (
    *("阀门", "水泵", "合同", "仓库", "探头", "发票", "报表", "电缆", "温室", "网关", "手册", "传感器", "过滤器"),
    *("控制柜", "运输车", "轴承", "档案", "展厅", "锅炉", "计量表"),
)
_KINDS = ("北侧的", "备用的", "新装的", "旧式的", "公用的", "临时的", "主要的", "小型的", "户外的", "年度的", "进口的")
_ACTS = ("连接", "检查", "更换", "覆盖", "登记", "记录", "保护", "替代", "供应", "支撑", "测量", "校准")


def sentence(rng: random.Random, chinese: bool) -> str:
    """Return a sentence in either language that hardly ever comes twice."""
    if not chinese:
        return english_sentence(rng)
    one, other = rng.sample(_THINGS, 2)
    return (
        f"{rng.choice(_KINDS)}{one}每{rng.randint(2, 99)}天{rng.choice(_ACTS)}一次{rng.choice(_KINDS)}{other}，"
        f"编号{rng.randint(1000, 9999)}。"
    )


class Text:
    """Other text around the planted sentences: `next()` is the next planted one among it, until none is left."""

    def __init__(self, sentences: Sequence[str], rng: random.Random, chinese: bool) -> None:
        self.rng = rng
        self.chinese = chinese
        self._planted: Iterator[str] = iter(sentences)

    def filler(self, count: int = 3) -> str:
        """Return some sentences of no interest."""
        return ("" if self.chinese else " ").join(sentence(self.rng, self.chinese) for _ in range(count))

    def planted(self) -> str:
        """Return the next planted sentence, or a filler where none is left."""
        return next(self._planted, "") or self.filler(1)

    def paragraph(self) -> str:
        """Return a paragraph with a planted sentence in its middle."""
        return ("" if self.chinese else " ").join((self.filler(2), self.planted(), self.filler(1)))

    def title(self) -> str:
        """Return a heading."""
        if self.chinese:
            return f"{self.rng.choice(_KINDS)}{self.rng.choice(_THINGS)}说明"
        return " ".join(english_sentence(self.rng).split()[1:4]).strip(".,").title()

    def name(self) -> str:
        """Return a name for a function, a key or a column."""
        return "_".join(word.strip(".,").lower() for word in english_sentence(self.rng).split()[1:4])


def write(path: Path, sentences: Sequence[str], rng: random.Random, chinese: bool = False) -> None:
    """Write a file of the format that `path`'s suffix says."""
    text = Text(sentences, rng, chinese)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(WRITERS[path.suffix](text))


def _markdown(text: Text) -> bytes:
    return "\n\n".join(
        (
            *(f"# {text.title()}", text.paragraph(), f"## {text.title()}"),
            f"- {text.filler(1)}\n- {text.planted()}\n- {text.filler(1)}",
            f"| {text.title()} | {text.title()} |\n|---|---|\n| {text.rng.randint(1, 99)} | {text.planted()} |",
            text.filler(),
        )
    ).encode()


def _plain(text: Text) -> bytes:
    body = "\r\n\r\n".join((text.title(), text.paragraph(), text.paragraph(), text.paragraph()))
    encoding = text.rng.choice(("utf-8", "utf-8-sig", "utf-16", "gb18030" if text.chinese else "cp1252"))
    return body.encode(encoding)


def _rst(text: Text) -> bytes:
    one, two = text.title(), text.title()
    return (
        f"{one}\n{'=' * len(one) * 2}\n\n{text.paragraph()}\n\n{two}\n{'-' * len(two) * 2}\n\n* {text.filler(1)}\n"
        f"* {text.planted()}\n\n.. note::\n\n   {text.planted()}\n\n.. code-block:: python\n\n   answer = 42\n"
    ).encode()


def _html(text: Text) -> bytes:
    encoding = text.rng.choice(("utf-8", "gb2312" if text.chinese else "iso-8859-1"))
    return (
        f'<html><head><meta charset="{encoding}"><title>{text.title()}</title></head><body><nav><a href="/">Home</a>'
        f"</nav><h1>{text.title()}</h1><p>{text.paragraph()}</p><ul><li>{text.planted()}</li><li>{text.filler(1)}</li>"
        f"</ul><table><tr><th>A</th><th>B</th></tr><tr><td>{text.filler(1)}</td><td>{text.planted()}</td></tr></table>"
        "</body></html>"
    ).encode(encoding)


def _csv(text: Text, delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(("number", text.name(), text.name()))
    for number in range(8):
        writer.writerow((number, text.filler(1), text.planted() if number % 3 == 1 else text.filler(1)))
    return out.getvalue().encode("gb18030" if text.chinese and delimiter == "," else "utf-8")


def _json(text: Text) -> bytes:
    rows = [
        {"id": number, "name": text.title(), "detail": {"note": text.planted() if number % 3 == 1 else text.filler(1)}}
        for number in range(8)
    ]
    return json.dumps({text.name(): rows}, ensure_ascii=False, indent=text.rng.choice((None, 2))).encode()


def _json_lines(text: Text) -> bytes:
    rows = ({"id": n, "text": text.planted() if n % 3 == 1 else text.filler(1)} for n in range(8))
    return "\n".join(json.dumps(row, ensure_ascii=bool(text.rng.randint(0, 1))) for row in rows).encode()


def _python(text: Text) -> bytes:
    parts = [f'"""{text.planted()}"""', f"import {text.name()}"]
    for _ in range(2):
        parts.append(
            f"def {text.name()}(value: int) -> int:\n    # {text.planted()}\n"
            f"    total = value * {text.rng.randint(2, 99)}\n\n    return total + {text.rng.randint(2, 99)}"
        )
    parts.append(f'class Thing:\n    """{text.filler(1)}"""\n\n    def {text.name()}(self) -> str:\n        return "x"')
    return "\n\n\n".join(parts).encode()


def _javascript(text: Text) -> bytes:
    return "\n\n".join(
        f"/** {text.planted()} */\nfunction {text.name()}(value) {{\n  // {text.filler(1)}\n  return value * 2;\n}}"
        for _ in range(3)
    ).encode()


def _notebook(text: Text) -> bytes:
    def cell(kind: str, source: str, **more: object) -> dict[str, object]:
        return {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True), **more}

    output = [{"output_type": "stream", "name": "stdout", "text": [text.planted()]}]
    cells = [
        cell("markdown", f"# {text.title()}\n\n{text.paragraph()}"),
        cell("code", f"# {text.planted()}\nprint(1)", execution_count=1, outputs=output),
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def _pdf(text: Text) -> bytes:
    pdf = fpdf.FPDF()
    pdf.set_creation_date(STAMP)
    for number in range(4):
        pdf.add_page()
        pdf.set_font("Helvetica", size=8)
        pdf.cell(text="Yearly report of the workshop", new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("Helvetica", "B", 16)
        pdf.cell(text=text.title(), new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("Helvetica", size=11)
        for _ in range(3):
            pdf.multi_cell(0, text=text.paragraph() if number else text.filler(4), new_x="LMARGIN", new_y="NEXT")
            pdf.ln()
        pdf.set_y(-25)
        pdf.cell(text=f"page {number + 1}")
    return bytes(pdf.output())


def _docx(text: Text) -> bytes:
    document = docx.Document()
    document.add_heading(text.title(), 1)
    document.add_paragraph(text.paragraph())
    document.add_heading(text.title(), 2)
    document.add_paragraph(text.filler(1), style="List Bullet")
    document.add_paragraph(text.planted(), style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, value in zip(table._cells, (text.title(), text.title(), text.filler(1), text.planted()), strict=True):
        cell.text = value
    runs = document.add_paragraph(text.filler()).runs
    document.add_comment(runs, text.planted(), author="Mara Lind", initials="ML")
    return _saved(document.save)


def _pptx(text: Text) -> bytes:
    deck = pptx.Presentation()
    for number in range(3):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = text.title()
        slide.placeholders[1].text = f"{text.filler(1)}\n{text.planted() if number != 1 else text.filler(1)}"
        if number == 1:
            table = slide.shapes.add_table(2, 2, Inches(1), Inches(4), Inches(6), Inches(1)).table
            values = iter((text.title(), text.title(), text.filler(1), text.planted()))
            for cell in table.iter_cells():
                cell.text = next(values)
        slide.notes_slide.notes_text_frame.text = text.planted() if number else text.filler(1)
    return _saved(deck.save)


def _xlsx(text: Text) -> bytes:
    book = openpyxl.Workbook()
    for number in range(2):
        sheet = book.create_sheet(text.title()[:25].replace("/", " ")) if number else book.active
        sheet.append(("number", text.name(), text.name()))
        for row in range(6):
            sheet.append((row, text.filler(1), text.planted() if row == 3 else text.filler(1)))
        sheet["B2"].comment = Comment(text.planted(), "Mara Lind")
    return _saved(book.save)


def _odt(text: Text) -> bytes:
    def p(value: str) -> str:
        return f"<text:p>{escape(value)}</text:p>"

    def cell(value: str) -> str:
        return f"<table:table-cell>{p(value)}</table:table-cell>"

    note = (
        '<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation>'
        "<text:note-body>{}</text:note-body></text:note>"
    )
    body = (
        f'<text:h text:outline-level="1">{escape(text.title())}</text:h>{p(text.paragraph())}<text:list>'
        f"<text:list-item>{p(text.filler(1))}</text:list-item><text:list-item>{p(text.planted())}</text:list-item>"
        f"</text:list><table:table><table:table-row>{cell('A')}{cell('B')}</table:table-row><table:table-row>"
        f"{cell(text.filler(1))}{cell(text.planted())}</table:table-row></table:table>"
        f"<text:p>{escape(text.filler(1))}{note.format(p(text.planted()))}</text:p>"
    )
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces} office:version="1.3"><office:body>'
        f"<office:text>{body}</office:text></office:body></office:document-content>"
    )
    return zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})


def _epub(text: Text) -> bytes:
    chapters = {
        f"c{number}.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body>'
        f"<h1>{escape(text.title())}</h1><p>{escape(text.paragraph())}</p><p>{escape(text.filler())}</p></body></html>"
        for number in range(3)
    }
    items = "".join(f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"/>' for n in chapters)
    refs = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(text.title())}</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{refs}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles><rootfile '
        'full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    members = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "OEBPS/book.opf": package}
    return zipped(members | {f"OEBPS/{name}": page for name, page in chapters.items()})


def _message(text: Text) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = text.title()
    message["From"] = "Mara Lind <mara@hallowfen.example>"
    message["To"] = "Ines Park <ines@hallowfen.example>"
    message["Date"] = format_datetime(STAMP)
    message.set_content(text.paragraph(), charset="gb2312" if text.chinese else "utf-8")
    return message


def _mail(text: Text) -> bytes:
    message = _message(text)
    message.add_attachment(_csv(text, "\t"), maintype="text", subtype="tab-separated-values", filename="list.tsv")
    message.set_boundary("=====1234567890==")
    return message.as_bytes()


def _mbox(text: Text) -> bytes:
    messages = (_message(text).as_bytes(unixfrom=False) for _ in range(4))
    return b"\n".join(b"From mara@hallowfen.example Fri Mar 14 09:30:00 2025\n" + message for message in messages)


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """Return a ZIP file of the same bytes at any time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 3, 14, 9, 30, 0)), data)
    return out.getvalue()


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


WRITERS: dict[str, Callable[[Text], bytes]] = {
    ".md": _markdown,
    ".txt": _plain,
    ".rst": _rst,
    ".html": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".odt": _odt,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
    ".csv": _csv,
    ".tsv": lambda text: _csv(text, "\t"),
    ".epub": _epub,
    ".eml": _mail,
    ".mbox": _mbox,
    ".ipynb": _notebook,
    ".json": _json,
    ".jsonl": _json_lines,
    ".py": _python,
    ".js": _javascript,
}
PLANTED = 3
"""How many sentences are planted in a file; every writer has room for at least so many."""
