"""OpenDocument text (.odt) -> Document, as the finished document reads. No pages: they are made when it is drawn.

What tracked changes deleted, hidden text and pictures are left out; a text box and a note follow the block that they
belong to; headers and footers stand once at the end. Nothing here recurses: what lies in each other waits on a stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.archive import Archive
from ragcli.parsing.building import MAX_HEADING, Builder, TableCell, TableRows, squash
from ragcli.parsing.numbering import Counter
from ragcli.parsing.office.odt_styles import DC, DRAW, MAX_DEPTH, OFFICE, STYLE, TABLE, TEXT, XML_ID, Styles, number
from ragcli.records import Document

_PARAGRAPH, _HEADING, _LIST = f"{TEXT}p", f"{TEXT}h", f"{TEXT}list"
_TABLE, _ROW, _CELL = f"{TABLE}table", f"{TABLE}table-row", f"{TABLE}table-cell"
_NOTE, _COMMENT = f"{TEXT}note", f"{OFFICE}annotation"
_BLOCKS = frozenset((_PARAGRAPH, _HEADING, _LIST, _TABLE))
_LINES = frozenset((_PARAGRAPH, _HEADING, _TABLE))
_ITEMS = frozenset((f"{TEXT}list-item", f"{TEXT}list-header"))
_CELLS = frozenset((_CELL, f"{TABLE}covered-table-cell"))
_HEADER_ROWS = f"{TABLE}table-header-rows"
_INDEXES = ("table-of-content", "illustration-index", "table-index", "object-index", "user-index", "bibliography")
_WRAPPERS = frozenset(
    (
        *(f"{TEXT}{name}" for name in (*_INDEXES, "alphabetical-index", "index-title", "index-body")),
        *(f"{TEXT}{name}" for name in ("section", "numbered-paragraph", "note-body")),
        *(_HEADER_ROWS, f"{TABLE}table-rows", f"{TABLE}table-row-group"),
    )
)
_CHARACTERS = {f"{TEXT}s": " ", f"{TEXT}tab": "\t", f"{TEXT}line-break": "\n"}
_SKIPPED = frozenset(
    f"{TEXT}{name}" for name in ("ruby-text", "placeholder", "page-number", "page-count", "script", "number")
)
_SPACE = re.compile(r"\s+")
_MAX_CELL = 2000
_MAX_REPEATED, _MAX_REPEATED_TEXT = 64, 1000


@dataclass(slots=True)
class _Line:
    """What stands in one paragraph: its text, the boxes anchored in it, and its notes and comments."""

    text: str = ""
    boxes: list[Any] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class _Item:
    """An item of a list. `fresh` until its first paragraph has been read, which takes its mark."""

    style: str
    depth: int
    counter: Counter
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class _Frame:
    """Something whose blocks are still to be read. Headings count in the main text only."""

    items: Iterator[Any]
    under: tuple[str, ...] = ()
    main: bool = False
    item: _Item | None = None
    rows: TableRows | None = None


def parse_odt(data: bytes) -> Document:
    """Read an OpenDocument text.

    Raises ParseFailed where it is locked, broken, a bomb, no text document, or without text. Styles that cannot be
    read are left out with a warning.
    """
    archive = Archive(data)
    if "encrypted-package" in archive or _is_locked(archive):
        raise ParseFailed("it is locked by a password")
    content = archive.xml("content.xml")
    body = content.find(f"{OFFICE}body/{OFFICE}text")
    if body is None:
        raise ParseFailed("broken: it is no OpenDocument text")
    warnings: list[str] = []
    styles = _optional(archive, "styles.xml", warnings)
    meta = _optional(archive, "meta.xml", [])
    reader = _Reader(Styles(styles, content))
    reader.read(body, styles)
    title = "" if meta is None else meta.findtext(f"{OFFICE}meta/{DC}title") or ""
    try:
        return reader.builder.document(squash(title) or reader.title, warnings=warnings)
    except ParseFailed:
        if any(name.startswith("Pictures/") for name in archive.names):
            raise ParseFailed("no text, only pictures") from None
        raise


def _is_locked(archive: Archive) -> bool:
    manifest = _optional(archive, "META-INF/manifest.xml", [])
    return manifest is not None and next(manifest.iter("{*}encryption-data"), None) is not None


def _optional(archive: Archive, name: str, warnings: list[str]) -> Any:
    """Return the root of a member, or None; a broken one is added to the warnings."""
    if name not in archive:
        return None
    try:
        return archive.xml(name)
    except ParseFailed as error:
        warnings.append(f"a part could not be read ({error.message})")
        return None


class _Reader:
    """Reads one document into a Builder, in order."""

    def __init__(self, styles: Styles) -> None:
        self.builder = Builder()
        self.title = ""
        self._styles = styles
        self._frames: list[_Frame] = []
        self._chapters = Counter()
        self._lists: dict[str, Counter] = {}  # by their style and by their id, for lists that go on
        self._notes = 0
        self._read_as: dict[str, Callable[[Any, _Frame], None]] = {
            **{_PARAGRAPH: self._paragraph, _HEADING: self._paragraph, _LIST: self._list, _TABLE: self._table},
            **dict.fromkeys(_ITEMS, self._item),
            _ROW: self._row,
        }

    def read(self, body: Any, styles: Any) -> None:
        """Read the main text with its notes, then the headers and footers in the root of styles.xml."""
        self._frames.append(_Frame(_through(body, _BLOCKS), main=True))
        self._drain()
        self.builder.leave(0)
        for label, root in _margins(styles):
            self._frames.append(_Frame(_through(root, _BLOCKS), (label,)))
            self._drain()

    def _drain(self) -> None:
        while self._frames:
            frame = self._frames[-1]
            element = next(frame.items, None)
            if element is None:
                self._frames.pop()
            else:
                self._read_as[element.tag](element, frame)

    def _paragraph(self, element: Any, frame: _Frame) -> None:
        line = self._line(element)
        style = element.get(f"{TEXT}style-name", "")
        size = len(squash(line.text))
        if frame.main and size and element.tag == _HEADING and size <= MAX_HEADING:
            level = min(max(number(element, f"{TEXT}outline-level", 1), 1), MAX_DEPTH)
            listed = frame.item is not None and self._styles.levels(frame.item.style)
            mark = self._mark(frame.item) if frame.item and listed else self._chapter(element, level)
            self.builder.heading(f"{mark.removeprefix('-')} {line.text}", level)
        elif frame.main and 0 < size <= MAX_HEADING and frame.item is None and self._styles.is_title(style):
            self.title = self.title or squash(line.text)
            self.builder.heading(line.text, 0)
        elif frame.item is not None:
            depth = frame.item.depth + (not frame.item.fresh)
            mark = self._mark(frame.item) if size else ""
            self.builder.add(f"{mark} {line.text}", "list_item", under=frame.under, depth=depth)
        else:
            self.builder.add(line.text, under=frame.under)
        self._open([line], frame)

    def _chapter(self, heading: Any, level: int) -> str:
        """Return the number of a heading that is in no list, where the document numbers its chapters."""
        if heading.get(f"{TEXT}is-list-header") == "true":
            return ""
        shown = heading.findtext(f"{TEXT}number")
        counted = self._chapters.next(level - 1, self._styles.outline)
        return shown or counted

    def _list(self, element: Any, frame: _Frame) -> None:
        style = element.get(f"{TEXT}style-name", "")
        if frame.item is not None:
            outer = frame.item
            item = replace(outer, style=style or outer.style, depth=min(outer.depth + 1, MAX_DEPTH - 1))
        else:
            goes_on = element.get(f"{TEXT}continue-list") or (
                style if element.get(f"{TEXT}continue-numbering") == "true" else ""
            )
            item = _Item(style, 0, (self._lists.get(goes_on) if goes_on else None) or Counter())
            self._lists[style] = self._lists[element.get(XML_ID, "")] = item.counter
        self._frames.append(replace(frame, items=_through(element, _ITEMS), item=item))

    def _item(self, element: Any, frame: _Frame) -> None:
        assert frame.item is not None
        start = number(element, f"{TEXT}start-value", -1)
        if start >= 0:
            frame.item.counter.restart(frame.item.depth, start)
        item = replace(frame.item, fresh=element.tag == f"{TEXT}list-item")
        self._frames.append(replace(frame, items=_through(element, _BLOCKS), item=item))

    def _mark(self, item: _Item) -> str:
        if not item.fresh:
            return ""
        item.fresh = False
        return item.counter.next(item.depth, self._styles.levels(item.style))

    def _open(self, lines: list[_Line], frame: _Frame, tables: tuple[Any, ...] = ()) -> None:
        """Have what belongs to a block read right after it: tables in it, then text boxes, then notes."""
        opened = [_Frame(iter((table,)), frame.under) for table in tables]
        opened += [_Frame(_through(box, _BLOCKS), frame.under) for line in lines for box in line.boxes]
        for line in lines:
            opened += [_Frame(_through(note, _BLOCKS), (*frame.under, self._label(note))) for note in line.notes]
        self._frames.extend(reversed(opened))

    def _label(self, note: Any) -> str:
        if note.tag == _COMMENT:
            return f"Comment by {squash(note.findtext(f'{DC}creator') or '')[:100] or 'somebody'}"
        self._notes += 1
        kind = "Endnote" if note.get(f"{TEXT}note-class") == "endnote" else "Footnote"
        return f"{kind} {squash(note.findtext(f'{TEXT}note-citation') or '')[:20] or self._notes}"

    def _table(self, table: Any, frame: _Frame) -> None:
        """Have the rows of a table read; or, where it only lays out the page, the blocks in its cells."""
        rows = [row for row in _through(table, {_ROW}) if row.get(f"{TABLE}visibility", "visible") == "visible"]
        cells = [list(_through(row, _CELLS)) for row in rows]
        if all(len(row) < 2 for row in cells) or any(_is_long(cell) for row in cells for cell in row):
            blocks = (block for row in cells for cell in row for block in _through(cell, _BLOCKS))
            self._frames.append(_Frame(blocks, frame.under, frame.main))
            return
        marked = bool(rows) and rows[0].getparent().tag == _HEADER_ROWS
        table_rows = TableRows(self.builder, marked, len(rows), frame.under)
        self._frames.append(_Frame(iter(rows), frame.under, rows=table_rows))

    def _row(self, row: Any, frame: _Frame) -> None:
        assert frame.rows is not None
        cells: list[TableCell] = []
        lines: list[_Line] = []
        tables: list[Any] = []
        covered = 0  # cells under the one to their left; others that are covered are so by one above
        for cell in _through(row, _CELLS):
            here = [self._line(block) for block in _through(cell, _LINES, within_lists=True) if block.tag != _TABLE]
            tables += _through(cell, {_TABLE}, within_lists=True)
            lines += here
            text = squash(" ".join(line.text for line in here))
            times = min(number(cell, f"{TABLE}number-columns-repeated", 1), _MAX_REPEATED)
            if cell.tag == _CELL:
                wide = max(number(cell, f"{TABLE}number-columns-spanned", 1), 1)
                cells += [TableCell(text, wide)] * (times if times * len(text) <= _MAX_REPEATED_TEXT else 1)
                covered = wide - 1
            elif text or times > covered:
                cells += [TableCell(text, merged=True)] * (times - covered)
                covered = 0
            else:
                covered -= times
        frame.rows.add(cells, row.getparent().tag == _HEADER_ROWS)
        self._open(lines, frame, tuple(tables))

    def _line(self, paragraph: Any) -> _Line:
        """Read one paragraph. What is hidden in it, notes included, is not read."""
        from lxml import etree

        line = _Line()
        parts: list[str] = []
        mute = 0
        walk = etree.iterwalk(paragraph, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "end":
                mute -= self._hides(element)
                text = None if element is paragraph else element.tail
            else:
                mute += self._hides(element)
                aside = tag in (_NOTE, _COMMENT) or tag.startswith(DRAW)
                if aside or tag in _SKIPPED:
                    walk.skip_subtree()
                if aside and not mute:
                    (line.boxes if tag.startswith(DRAW) else line.notes).append(element)
                text = None if aside or tag in _SKIPPED else element.text
                if not mute and tag in _CHARACTERS:
                    parts.append(_CHARACTERS[tag])
            if text and not mute:
                parts.append(_SPACE.sub(" ", text))
        line.text = "".join(parts)
        return line

    def _hides(self, element: Any) -> bool:
        """Whether an element in a paragraph, or the paragraph itself, is hidden."""
        tag = element.tag
        if tag in (_PARAGRAPH, _HEADING, f"{TEXT}span"):
            family = "text" if tag == f"{TEXT}span" else "paragraph"
            hidden = element.find(f"{TEXT}hidden-paragraph") if family == "paragraph" else None
            style = element.get(f"{TEXT}style-name", "")
            return self._styles.hides(family, style) or (hidden is not None and _is_hidden(hidden))
        return tag == f"{TEXT}hidden-text" and _is_hidden(element)


def _is_hidden(element: Any) -> bool:
    return bool(element.get(f"{TEXT}is-hidden") == "true")


def _margins(styles: Any) -> Iterator[tuple[str, Any]]:
    """Yield the headers and footers that are shown, each text once."""
    known: set[tuple[str, str]] = set()
    for page in () if styles is None else styles.iter(f"{STYLE}master-page"):
        for label in ("Header", "Footer"):
            for ending in ("", "-left", "-first"):
                for root in page.iterchildren(f"{STYLE}{label.lower()}{ending}"):
                    text = squash("".join(root.itertext()))
                    if root.get(f"{STYLE}display") != "false" and (label, text) not in known:
                        known.add((label, text))
                        yield label, root


def _through(container: Any, wanted: frozenset[str] | set[str], within_lists: bool = False) -> Iterator[Any]:
    """Yield the `wanted` elements in a container, in order, looking into what only wraps them."""
    stack = [iter(container)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag in wanted:
            yield element
        elif _wraps(element) or (within_lists and (element.tag == _LIST or element.tag in _ITEMS)):
            stack.append(iter(element))


def _wraps(element: Any) -> bool:
    """Whether an element is read for what stands in it. A hidden section is not."""
    tag = element.tag
    if tag == f"{TEXT}section":
        return element.get(f"{TEXT}display") != "none" and not _is_hidden(element)
    return tag in _WRAPPERS or (isinstance(tag, str) and tag.startswith(DRAW))


def _is_long(cell: Any) -> bool:
    """Whether a cell holds so much text that its table must be there to lay out the page."""
    size = 0
    for text in cell.itertext():
        size += len(text)
        if size > _MAX_CELL:
            return True
    return False
