"""Word files (.docx, .docm) -> Document, as the finished document reads. No pages: Word makes those when it draws.

Tracked changes are read as accepted, hidden text and field codes are left out, a text box and a note follow the
block that they belong to, headers and footers stand once at the end. Macros and links to elsewhere are never looked
at. Nothing here recurses: what lies in each other waits on a stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.building import MAX_HEADING, Builder, TableCell, TableRows, squash
from ragcli.parsing.office.docx_package import MC, R_ID, Package, W
from ragcli.parsing.office.docx_runs import Runs, chosen, read_runs
from ragcli.parsing.office.docx_styles import Look, Numbering, Styles, number, switch
from ragcli.parsing.office.package import local
from ragcli.parsing.office.slide_text import write_chart, write_diagram
from ragcli.records import Document

_PARAGRAPH, _TABLE, _ROW, _CELL = f"{W}p", f"{W}tbl", f"{W}tr", f"{W}tc"
_BLOCKS = frozenset((_PARAGRAPH, _TABLE))
_WRAPPERS = frozenset(
    (
        *(f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag")),
        *(f"{MC}{name}" for name in ("AlternateContent", "Choice", "Fallback")),
    )
)
_MAX_CELL = 2000
_NO_TITLE = re.compile(
    r"(?:microsoft word\b.*|word document|(?:document|doc|dokument|文档|文檔|文件) ?\d*|untitled.*|title|"
    r".*\.(?:docx?|dotx?|rtf))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Something whose blocks are still to be read. Headings count in the main text only."""

    items: Iterator[Any]
    under: tuple[str, ...] = ()
    main: bool = False
    rows: TableRows | None = None


def parse_docx(data: bytes) -> Document:
    """Read a Word file.

    Raises ParseFailed where it is locked, broken, a bomb or without text. Parts beside the main text that cannot be
    read are left out with a warning.
    """
    package = Package(data)
    reader = _Reader(package)
    reader.read()
    warnings = list(package.warnings)
    others = sum(1 for _ in package.document.iter(f"{W}altChunk"))
    if others:
        warnings.append(f"{others} {'file' if others == 1 else 'files'} put into it could not be read")
    title = squash(package.title)[:MAX_HEADING]
    if not title or _NO_TITLE.fullmatch(title):
        title = reader.title
    try:
        return reader.builder.document(title, warnings=warnings)
    except ParseFailed:
        if others:  # as programs write it that make Word files of web pages
            raise ParseFailed("no text but in another file put into it", "save it with a word processor") from None
        if package.has_pictures:
            raise ParseFailed("no text, only pictures") from None
        raise


class _Reader:
    """Reads the parts of one file into a Builder, in order."""

    def __init__(self, package: Package) -> None:
        self.builder = Builder()
        self.title = ""
        self._package = package
        self._styles = Styles(package.part("styles"))
        self._numbering = Numbering(package.part("numbering"), self._styles)
        self._notes: dict[tuple[str, str], Any] = {}
        for kind in ("footnote", "endnote", "comment"):
            root = package.part(f"{kind}s")
            for note in () if root is None else root.iterchildren(f"{W}{kind}"):
                self._notes.setdefault((kind, note.get(f"{W}id", "")), note)
        self._counts = {"footnote": 0, "endnote": 0}
        self._frames: list[_Frame] = []

    def read(self) -> None:
        """Read the main text with its notes, then the headers and footers."""
        for body in self._package.document.iterchildren(f"{W}body"):
            self._frames.append(_Frame(_through(body, _BLOCKS), main=True))
            self._drain()
        self.builder.leave(0)
        for label, root in self._margins():
            self._frames.append(_Frame(_through(root, _BLOCKS), under=(label,)))
            self._drain()

    def _drain(self) -> None:
        while self._frames:
            frame = self._frames[-1]
            item = next(frame.items, None)
            if item is None:
                self._frames.pop()
            elif frame.rows is not None:
                self._row(item, frame, frame.rows)
            elif item.tag == _TABLE:
                self._table(item, frame)
            else:
                self._paragraph(item, frame)

    def _paragraph(self, paragraph: Any, frame: _Frame) -> None:
        runs, depth, mark, look = self._read(paragraph)
        text = f"{mark} {runs.text}" if mark else runs.text
        if frame.main and look.heading is not None and look.heading < 10 and len(squash(runs.text)) <= MAX_HEADING:
            self.builder.heading(runs.text if mark == "-" or not runs.text.strip() else text, look.heading)
            self.title = self.title or (squash(runs.text) if look.heading == 0 else "")
        elif not runs.text.strip():
            pass
        elif look.list_id:
            self.builder.add(text, "list_item", under=frame.under, depth=depth)
        else:
            self.builder.add(text, under=frame.under)
        self._open(runs, frame)

    def _read(self, paragraph: Any) -> tuple[Runs, int, str, Look]:
        """Return what stands in a paragraph, its depth and mark in a list ("" outside of any), and its look."""
        properties = paragraph.find(f"{W}pPr")
        style, look = self._styles.paragraph(properties)
        runs = read_runs(paragraph, self._styles, look.hidden is True)
        if not look.list_id or (not runs.text.strip() and properties is not None and _is_gone(properties)):
            return runs, 0, "", look
        return runs, *self._numbering.mark(style, look), look

    def _open(self, runs: Runs, frame: _Frame, tables: Sequence[Any] = ()) -> None:
        """Have what belongs to a block read right after it: charts and diagrams, then tables, text boxes and notes."""
        for id in runs.drawings:
            root = self._package.by_id(id)
            if root is not None:
                (write_diagram if local(root) == "dataModel" else write_chart)(self.builder, root)
        opened = [_Frame(iter((table,)), frame.under) for table in tables]
        opened += [_Frame(_through(box, _BLOCKS), frame.under) for box in runs.boxes]
        for kind, id, counted in runs.notes:
            note = self._notes.pop((kind, id), None)  # each once, so that no note leads back to itself
            if note is not None:
                label = self._label(kind, note, counted)
                opened.append(_Frame(_through(note, _BLOCKS), (*frame.under[-2:], label)))
        self._frames.extend(reversed(opened))

    def _label(self, kind: str, note: Any, counted: bool) -> str:
        if kind == "comment":
            return f"Comment by {squash(note.get(f'{W}author', ''))[:100] or 'somebody'}"
        if not counted:
            return kind.title()
        self._counts[kind] += 1
        return f"{kind.title()} {self._counts[kind]}"

    def _table(self, table: Any, frame: _Frame) -> None:
        """Have the rows of a table read; or, where it only lays out the page, the blocks in its cells."""
        rows = [row for row in _through(table, {_ROW}) if not _is_left_out(row)]
        cells = [list(_through(row, {_CELL})) for row in rows]
        if all(len(row) < 2 for row in cells) or any(_is_long(cell) for row in cells for cell in row):
            blocks = (block for row in cells for cell in row for block in _through(cell, _BLOCKS))
            self._frames.append(_Frame(blocks, frame.under, frame.main))
            return
        marked = bool(rows) and _is_header(rows[0])
        table_rows = TableRows(self.builder, marked, len(rows), frame.under)
        self._frames.append(_Frame(iter(rows), frame.under, rows=table_rows))

    def _row(self, row: Any, frame: _Frame, rows: TableRows) -> None:
        cells: list[TableCell] = []
        inside, tables = Runs(), []
        for cell in _through(row, {_CELL}):
            words = []
            for block in _through(cell, _BLOCKS):
                if block.tag == _TABLE:
                    tables.append(block)
                    continue
                runs, _, mark, _ = self._read(block)
                words.append(f"{mark} {runs.text}" if mark and runs.text.strip() else runs.text)
                inside.boxes += runs.boxes
                inside.drawings += runs.drawings
                inside.notes += runs.notes
            cells.append(TableCell(" ".join(words), *_merged(cell)))
        rows.add(cells, _is_header(row))
        self._open(inside, frame, tables)

    def _margins(self) -> Iterator[tuple[str, Any]]:
        """Yield the headers and footers that are shown, each text once."""
        settings = self._package.part("settings")
        even = switch(settings, "evenAndOddHeaders")
        known: set[tuple[str, str]] = set()
        for section in self._package.document.iter(f"{W}sectPr"):
            first = switch(section, "titlePg")
            for label in ("Header", "Footer"):
                for reference in section.iterchildren(f"{W}{label.lower()}Reference"):
                    kind, id = reference.get(f"{W}type"), reference.get(R_ID, "")
                    if ("id", id) in known or (kind == "first" and not first) or (kind == "even" and not even):
                        continue
                    known.add(("id", id))
                    root = self._package.by_id(id)
                    text = "" if root is None else squash("".join(root.itertext(f"{W}t")))
                    if text and (label, text) not in known:
                        known.add((label, text))
                        yield label, root


def _through(container: Any, wanted: frozenset[str] | set[str]) -> Iterator[Any]:
    """Yield the `wanted` elements in a container, in order, looking into what only wraps them."""
    stack = [iter(container)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag in wanted:
            yield element
        elif element.tag in _WRAPPERS and chosen(element):
            stack.append(iter(element))


def _is_gone(properties: Any) -> bool:
    """Whether the mark of a paragraph is hidden, or was deleted: it takes no number in its list."""
    mark = properties.find(f"{W}rPr")
    return mark is not None and (mark.find(f"{W}del") is not None or switch(mark, "vanish") is True)


def _is_left_out(row: Any) -> bool:
    properties = row.find(f"{W}trPr")
    return properties is not None and (properties.find(f"{W}del") is not None or switch(properties, "hidden") is True)


def _is_header(row: Any) -> bool:
    return switch(row.find(f"{W}trPr"), "tblHeader") is True


def _merged(cell: Any) -> tuple[int, bool]:
    """Return over how many columns a cell stands, and whether it goes on from the row above."""
    properties = cell.find(f"{W}tcPr")
    if properties is None:
        return 1, False
    down = properties.find(f"{W}vMerge")
    return max(number(properties, "gridSpan", 1), 1), down is not None and down.get(f"{W}val") != "restart"


def _is_long(cell: Any) -> bool:
    """Whether a cell holds so much text that its table must be there to lay out the page."""
    size = 0
    for text in cell.iter(f"{W}t"):
        size += 1 + len(text.text or "")
        if size > _MAX_CELL:
            return True
    return False
