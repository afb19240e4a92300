"""An Excel workbook as its cells show it: sheets, and the rows of a sheet that are not empty, one after the other.

Rows are streamed: what a sheet claims to be its size is never believed, and empty cells and rows cost nothing but
their own XML. openpyxl and calamine were measured and left: see docs/decisions.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ragcli.errors import ParseFailed
from ragcli.parsing.archive import MAX_XML, Archive
from ragcli.parsing.building import squash
from ragcli.parsing.office.number_format import BUILT_IN, show_number
from ragcli.parsing.office.package import Relation, child, local, main_part, related, relations, stream

MAX_COLUMN = 16_384
_MERGED = re.compile(
    rb"<(?:\w{1,20}:)?mergeCell\s[^<>]{0,200}?\bref\s*=\s*[\"']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})[\"']"
)
_FILTER = re.compile(
    rb"<(?:\w{1,20}:)?autoFilter\s[^<>]{0,200}?\bref\s*=\s*[\"']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})[\"']"
)
_MAX_MERGED = 100_000
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")  # what XML cannot hold, a carriage return for example


class Cell(NamedTuple):
    """A cell that is not empty: its column from 1, what it shows on one line, whether that is words, and bold ones."""

    column: int
    text: str
    is_text: bool
    bold: bool


class Row(NamedTuple):
    """A row that is not empty, numbered from 1, with its cells from left to right."""

    number: int
    cells: list[Cell]


class Area(NamedTuple):
    """A rectangle of cells, ends included."""

    column: int
    row: int
    last_column: int
    last_row: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """One worksheet: `part` is its member of the container, `merged` its merged cells.

    `header_rows` are the rows of which the file itself says that they are headers.
    """

    name: str
    part: str
    hidden: bool
    merged: tuple[Area, ...]
    header_rows: frozenset[int]
    relations: dict[str, Relation]


@dataclass(frozen=True, slots=True)
class _Style:
    """How a cell looks: its number's format code, and whether it is bold."""

    code: str = ""
    bold: bool = False


_PLAIN = _Style()
_NO_WORKSHEETS = frozenset(("chartsheet", "dialogsheet", "xlmacrosheet", "xlintlmacrosheet"))
_BOOLEANS = {"1": "TRUE", "true": "TRUE", "0": "FALSE", "false": "FALSE"}


class Workbook:
    """A workbook, read as far as its sheets need: shared strings and styles. Raises ParseFailed where it is broken.

    `failures` are the sheets that could be read in part or not at all, and why.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.part = main_part(archive, "xl/workbook.xml")
        self.relations = relations(archive, self.part)
        self.bare_formulas = 0
        self.failures: list[tuple[str, ParseFailed]] = []
        root = archive.xml(self.part)
        properties = child(root, "workbookPr")
        self._since_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self._sheets = [one for listed in root if local(listed) == "sheets" for one in listed if local(one) == "sheet"]
        parts = {relation.kind: relation.part for relation in self.relations.values()}
        self._strings = _strings(archive, parts["sharedStrings"]) if "sharedStrings" in parts else []
        self._styles = _styles(archive.xml(parts["styles"])) if "styles" in parts else {}

    def sheets(self) -> Iterator[Sheet]:
        """Yield the worksheets in their order, each part once; sheets of charts and of macros are none."""
        seen = set()
        for element in self._sheets:
            name = squash(element.get("name") or "")
            relation = self.relations.get(related(element))
            if relation is None or (relation.kind != "worksheet" and relation.kind.lower() not in _NO_WORKSHEETS):
                self.failures.append((name, ParseFailed(f"broken: it lacks the sheet {name[:100]}")))
            elif relation.kind == "worksheet" and relation.part not in seen:
                seen.add(relation.part)
                try:
                    yield self._sheet(name, relation.part, element.get("state", "visible") != "visible")
                except ParseFailed as error:
                    self.failures.append((name, error))

    def _sheet(self, name: str, part: str, hidden: bool) -> Sheet:
        data = self.archive.read(part, MAX_XML)
        below = relations(self.archive, part)
        return Sheet(name, part, hidden, _areas(_MERGED, data), frozenset(self._header_rows(data, below)), below)

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """Yield the rows of a sheet that are not empty, as far as it is sound. Hidden ones are rows and columns."""
        number = 0
        try:
            for element in stream(self.archive, sheet.part, "row"):
                given = element.get("r", "")
                number = int(given) if given.isdecimal() and len(given) < 8 else number + 1
                cells = list(self._cells(element))
                if cells:
                    yield Row(number, cells)
        except ParseFailed as error:
            self.failures.append((sheet.name, error))

    def _header_rows(self, data: bytes, below: dict[str, Relation]) -> Iterator[int]:
        for area in _areas(_FILTER, data):
            yield area.row
        for relation in below.values():
            if relation.kind == "table" and relation.part in self.archive:
                table = self.archive.xml(relation.part)
                if table.get("headerRowCount", "1") != "0" and (found := area_of(table.get("ref") or "")):
                    yield found.row

    def _cells(self, row: Any) -> Iterator[Cell]:
        column = 0
        for element in row:
            column = column_of(element.get("r", "")) or column + 1
            if len(element) and column <= MAX_COLUMN:
                style = self._styles.get(element.get("s", "0"), _PLAIN)
                text, is_text = self._value(element, style)
                if text:
                    yield Cell(column, text, is_text, style.bold)

    def _value(self, cell: Any, style: _Style) -> tuple[str, bool]:
        """Return what a cell shows, and whether that is text; "" where it shows nothing."""
        value = formula = ""
        for part in cell:
            name = local(part)
            if name == "v":
                value = part.text or ""
            elif name == "f":
                formula = part.text or ""
            elif name == "is":
                return squash(_rich_text(part)), True
        kind = cell.get("t", "n")
        if not value:
            if not formula or kind == "str":
                return "", False
            self.bare_formulas += 1
            return squash(f"={formula}"), False
        if kind == "s":
            return self._shared(value), True
        if kind == "n":
            return self._number(value, style), False
        return (_BOOLEANS[value] if kind == "b" and value in _BOOLEANS else squash(value)), kind == "str"

    def _shared(self, value: str) -> str:
        try:
            at = int(value)
        except ValueError:
            at = -1
        if not 0 <= at < len(self._strings):
            raise ParseFailed(f"broken: a cell asks for text {squash(value)[:20]} of {len(self._strings)}")
        return self._strings[at]

    def _number(self, value: str, style: _Style) -> str:
        if not style.code and len(value) < 12 and value.isdecimal() and value.isascii():
            return value
        try:
            return show_number(float(value), style.code, since_1904=self._since_1904)
        except ValueError:
            return squash(value)


def _strings(archive: Archive, part: str) -> list[str]:
    return [squash(_rich_text(element)) for element in stream(archive, part, "si")]


def _rich_text(element: Any) -> str:
    """Return the text of a string and its runs, without what says how it is pronounced (`rPh`)."""
    parts = []
    for one in element:
        name = local(one)
        if name == "t":
            parts.append(one.text or "")
        elif name == "r":
            parts.extend(inner.text or "" for inner in one if local(inner) == "t")
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), "".join(parts))


def _styles(root: Any) -> dict[str, _Style]:
    """Return the looks of cells, by the number by which cells name them."""
    codes = dict(BUILT_IN)
    formats, fonts, looks = (child(root, name) for name in ("numFmts", "fonts", "cellXfs"))
    for one in formats if formats is not None else ():
        if (one.get("numFmtId") or "").isdecimal():
            codes[int(one.get("numFmtId")[:9])] = one.get("formatCode") or ""
    marks = [child(font, "b") for font in (fonts if fonts is not None else ())]
    bold = {str(at) for at, mark in enumerate(marks) if mark is not None and mark.get("val", "1") not in ("0", "false")}
    found = {}
    for at, look in enumerate(looks if looks is not None else ()):
        number = look.get("numFmtId", "0")[:9]
        code = codes.get(int(number), "") if number.isdecimal() else ""
        found[str(at)] = _Style("" if code.lower() in ("general", "@") else code, look.get("fontId", "0") in bold)
    return found


@lru_cache(maxsize=1 << 15)
def _letters(letters: str) -> int:
    if not (len(letters) <= 3 and letters.isascii() and letters.isupper()):
        return 0
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column


def column_of(reference: str) -> int:
    """Return the column of a cell like `B4`, from 1; 0 where that is none."""
    return _letters(reference.rstrip("0123456789"))


def area_of(reference: str) -> Area | None:
    """Return the rectangle of `B3:D9`, or None."""
    first, _, last = reference.partition(":")
    rows = [one.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for one in (first, last)]
    if not all(row.isdecimal() and len(row) < 8 for row in rows):
        return None
    return Area(column_of(first), int(rows[0]), column_of(last), int(rows[1]))


def _areas(pattern: re.Pattern[bytes], data: bytes) -> tuple[Area, ...]:
    """Return the rectangles that stand behind a sheet's rows, before the rows are read."""
    found: list[Area] = []
    for match in pattern.finditer(data, max(data.rfind(b"sheetData"), 0)):
        area = area_of(match[1].decode("ascii"))
        if area is not None and len(found) < _MAX_MERGED:
            found.append(area)
    return tuple(found)
