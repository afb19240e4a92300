"""Containers as programs write them: names in other cases and with backslashes; templates and slide shows."""

from __future__ import annotations

import io
from collections.abc import Callable

import openpyxl
import pptx
import pytest
from parsing.office_files import docx_members, odt_members, zip_of
from parsing.office_helpers import pack, unpack

from ragcli.errors import ParseFailed
from ragcli.formats import BY_SUFFIX
from ragcli.parsing.archive import Archive
from ragcli.parsing.limits import Limits
from ragcli.parsing.office.docx import parse_docx
from ragcli.parsing.office.pptx import parse_pptx
from ragcli.parsing.office.xlsx import parse_xlsx
from ragcli.parsing.reading import read
from ragcli.records import Document


def word_file() -> dict[str, bytes]:
    """Return the members of a Word file with a header, which the document only names."""
    members = docx_members(
        "<w:p><w:r><w:t>The pump.</w:t></w:r></w:p>", {"footnotes": "<w:footnote/>", "header1": "<w:p/>"}
    )
    return {name: content.encode() if isinstance(content, str) else content for name, content in members.items()}


def workbook() -> dict[str, bytes]:
    book = openpyxl.Workbook()
    book.active.append(("pump", "litres"))
    book.active.append(("P-40", 12))
    book.create_sheet("Other").append(("valve", "V-1"))
    out = io.BytesIO()
    book.save(out)
    return unpack(out.getvalue())


def deck() -> dict[str, bytes]:
    made = pptx.Presentation()
    made.slides.add_slide(made.slide_layouts[5]).shapes.title.text = "The pump"
    out = io.BytesIO()
    made.save(out)
    return unpack(out.getvalue())


@pytest.mark.parametrize("respelt", [str.lower, str.upper, lambda name: name.replace("/", "\\").title()])
def test_names_have_no_case_and_either_slash(respelt: Callable[[str], str]) -> None:
    for members, parse in ((word_file(), parse_docx), (workbook(), parse_xlsx)):
        document = parse(pack(members))
        found = parse(pack({respelt(name): content for name, content in members.items()}))
        assert (found.text, found.blocks, found.warnings) == (document.text, document.blocks, document.warnings)


def test_of_two_names_that_fall_together_the_exact_one_counts_else_the_first() -> None:
    archive = Archive(
        pack({"A\\b": "1", "a/B": "2", "A/b": "3", "c\\d": "4", "C/D": "5", "e\\f\\g": "6", "e/f\\g": "7"})
    )
    assert archive.names == ["A/b", "a/B", "c/d", "C/D", "e/f/g"]
    for name, content in (("A/b", b"3"), ("a/B", b"2"), ("a/b", b"3"), ("c/d", b"4"), ("C/d", b"4"), ("E/F/G", b"6")):
        assert archive.read(archive.name_of(name)) == content
    assert archive.name_of("x/Y") == "x/Y"
    with pytest.raises(ParseFailed, match="it lacks a/b"):
        archive.read("a/b")


def test_a_sheet_that_is_named_in_two_spellings_is_read_once() -> None:
    members = workbook()
    rels = members["xl/_rels/workbook.xml.rels"]
    assert b"/xl/worksheets/sheet2.xml" in rels
    members["xl/_rels/workbook.xml.rels"] = rels.replace(b"/xl/worksheets/sheet2.xml", b"\\xl\\Worksheets\\SHEET1.xml")
    assert parse_xlsx(pack(members)).text.count("P-40") == 1


def as_kind(members: dict[str, bytes], old: str, new: str) -> bytes:
    """Return a file whose main part is of another kind."""
    types = members["[Content_Types].xml"]
    assert old.encode() in types
    return pack(members | {"[Content_Types].xml": types.replace(old.encode(), new.encode())})


POWERPOINT = "application/vnd.openxmlformats-officedocument.presentationml.{}.main+xml"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.{}.main+xml"
SHOWS = {
    ".ppsx": POWERPOINT.format("slideshow"),
    ".potx": POWERPOINT.format("template"),
    ".pptm": "application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
    ".ppsm": "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml",
    ".potm": "application/vnd.ms-powerpoint.template.macroEnabled.main+xml",
}
BOOKS = {
    ".xltx": EXCEL.format("template"),
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
    ".xltm": "application/vnd.ms-excel.template.macroEnabled.main+xml",
}


def by_suffix(suffix: str, data: bytes) -> Document:
    return read(data, BY_SUFFIX[suffix].name, Limits(100))


@pytest.mark.parametrize("suffix", SHOWS)
def test_slide_shows_and_templates(suffix: str) -> None:
    data = as_kind(deck(), POWERPOINT.format("presentation"), SHOWS[suffix])
    assert by_suffix(suffix, data).text == "The pump"


@pytest.mark.parametrize("suffix", BOOKS)
def test_templates_of_workbooks(suffix: str) -> None:
    assert "P-40 | 12" in by_suffix(suffix, as_kind(workbook(), EXCEL.format("sheet"), BOOKS[suffix])).text


@pytest.mark.parametrize("suffix", [".dotx", ".docm", ".dotm"])
def test_templates_of_word_files(suffix: str) -> None:
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.{}.main+xml"
    kind = {".dotx": word.format("template")}.get(suffix, f"application/vnd.ms-word.{suffix}.macroEnabled.main+xml")
    types = f'<Types><Override PartName="/word/document.xml" ContentType="{word.format("document")}"/></Types>'
    data = as_kind(word_file() | {"[Content_Types].xml": types.encode()}, word.format("document"), kind)
    assert by_suffix(suffix, data).text == "The pump."


def test_templates_of_opendocument_texts() -> None:
    members = odt_members("<text:p>The pump.</text:p>")
    members["mimetype"] = "application/vnd.oasis.opendocument.text-template"
    assert by_suffix(".ott", zip_of(members)).text == "The pump."


def test_a_deck_whose_main_part_is_something_else() -> None:
    for members in (word_file(), workbook()):
        with pytest.raises(ParseFailed, match="it is no PowerPoint deck"):
            parse_pptx(pack(members))
