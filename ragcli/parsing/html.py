"""HTML -> Document: the main content without menus and footers. Offsets point into the extracted text.

What is main? Losing content is worse than keeping a menu, so nothing is left out on one sign alone:

1. What is never content (scripts, form controls, `nav`, the page's `footer`) goes, and so does what is hidden, unless
   that is most of the page.
2. A page that says itself what its `main` content is, is believed: all of that is kept, and the title above it.
3. On other pages a paragraph or list item is left out where two signs agree: it is mostly links; it stands in an
   element whose name says so (`header`, `aside`, class `sidebar`, `cookie-banner`, ...); the extractor trafilatura
   leaves it out. Headings and table rows are never judged by their links, the title and a single `article` not at all.
4. Where nothing would be left, everything is kept.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.decode import decode
from ragcli.parsing.html_elements import (
    BREAKS,
    HEADINGS,
    classes,
    clean,
    is_header,
    key,
    named_elements,
    size_of,
    text_of,
)
from ragcli.parsing.numbering import write_number
from ragcli.records import Block, BlockKind, Document

_DECLARED = re.compile(rb"(?:<meta[^>]{0,200}?charset|<\?xml[^>]{0,100}?encoding)\s*=\s*[\"']?\s*([\w-]{2,30})", re.I)
_NOTE_MARKS = "//a[contains(@href, '#')][sup or parent::sup or @role='doc-noteref' or @*[name()='epub:type']='noteref']"
_NOTE_MARK = re.compile(r"\d{1,4}|[a-z*†‡§]{1,3}")
_ITEMS = frozenset(("li", "dt", "dd"))
_NUMBERS = {  # by an element's type, a class of docutils', or its style
    **dict.fromkeys(("a", "loweralpha", "lower-alpha", "lower-latin"), "lowerLetter"),
    **dict.fromkeys(("A", "upperalpha", "upper-alpha", "upper-latin"), "upperLetter"),
    **dict.fromkeys(("i", "lowerroman", "lower-roman"), "lowerRoman"),
    **dict.fromkeys(("I", "upperroman", "upper-roman"), "upperRoman"),
    "none": "",
}
_LIST_STYLE = re.compile(r"list-style(?:-type)?\s*:\s*([\w-]+)")
_NUMBER = re.compile(r"-?\d{1,6}", re.ASCII)
_SPACE = re.compile(r"\s+")
_MAX_CELL = 2000
_MAX_REPEATED = 100  # characters of a cell that stands in several rows
_MAX_COLUMNS = 100  # in which cells over several rows or columns are heeded
_MAX_HEADING = 300


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block before it has offsets. `signs` counts what speaks against it; `mark` stands before the text."""

    text: str
    kind: BlockKind
    heading: tuple[str, ...]
    header: str
    signs: int
    mark: str


def parse_html(data: bytes, *, whole: bool = False) -> Document:
    """Read a page's main content: headings, paragraphs, lists, tables and code.

    Where the `whole` page is content (a chapter, a mail), nothing but scripts, page numbers and hidden text is left
    out. Raises ParseFailed where there is no text in it, or its elements are nested too deeply to be read.
    """
    named = _DECLARED.search(data[:4096])
    source, warnings = decode(data, named[1].decode("ascii", "replace").lower() if named else "")
    root = _parse(source)
    titles = root.xpath("//head//title") or root.xpath("//title")
    title = _squash(titles[0].text or "")[:_MAX_HEADING] if titles else ""
    pieces = [] if whole else _main_pieces(root, source)
    if not pieces:
        pieces = list(_Walk(clean(root if whole else _parse(source), whole=True), judge=False).pieces())
    if not pieces:
        raise ParseFailed("no text")
    return _document(pieces, title, warnings)


def _parse(source: str) -> Any:
    from lxml import etree
    from lxml.html import HTMLParser

    # Without huge_tree libxml2 stops at 256 nested elements or 10 MB of text, and says nothing.
    parser = HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(source.replace("\0", "").encode("utf-8", "replace"), parser)
    except etree.LxmlError:
        root = None
    troubles = {entry.type_name for entry in parser.error_log}
    if "ERR_NO_MEMORY" in troubles:
        raise MemoryError
    if "ERR_RESOURCE_LIMIT" in troubles:
        raise ParseFailed("its elements are nested too deeply")
    if root is None:
        raise ParseFailed("no text")
    for mark in root.xpath(_NOTE_MARKS):  # in brackets: 25<sup>2</sup> is not 252
        if _NOTE_MARK.fullmatch(number := _squash(text_of(mark))):
            del mark[:]
            mark.text = f"[{number}]"
    return root


def _main_pieces(root: Any, source: str) -> list[_Piece]:
    """Return the pieces of the main content. Removes from the tree what is none."""
    clean(root, whole=False)
    mains = root.xpath("//main|//*[@role='main']")
    if len(mains) == 1 and size_of(mains[0]) * 4 > size_of(root):
        return _titled_pieces(mains[0])
    articles = root.xpath("//article[not(ancestor::article)]")
    pieces = list(_Walk(root, judge=True, article=articles[0] if len(articles) == 1 else None).pieces())
    if any(piece.signs == 1 for piece in pieces):
        extracted = _extract(source)
        return [p for p in pieces if p.signs + (p.signs > 0 and bool(extracted) and key(p.text) not in extracted) < 2]
    return [piece for piece in pieces if piece.signs < 2]


def _titled_pieces(main: Any) -> list[_Piece]:
    """Return the pieces of the declared main content, below the page's title where that stands in a header above it.

    Of that header all is kept that no sign speaks against: subtitle, authors, date.
    """
    walk, above = _Walk(main, judge=False), []
    if len(main.xpath(".//h1")) != 1:  # one is the title; several are those of sections
        around = set(main.iterancestors())
        for title in main.xpath("preceding::h1")[-1:]:
            headers = [element for element in title.iterancestors() if element not in around and is_header(element)]
            header = _Walk(headers[-1] if headers else title, judge=True)
            above = [piece for piece in header.pieces() if not piece.signs]
            walk.path = header.path[:1]
    return [*above, *walk.pieces()]


def _extract(source: str) -> str:
    """Return the letters and digits of what trafilatura takes for the main content; "" where it cannot tell."""
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    try:
        return key(trafilatura.extract(source, favor_recall=True, include_comments=False) or "")
    except MemoryError:
        raise
    except Exception:  # it is asked for an opinion only, and may have any trouble with a broken page
        return ""


class _Walk:
    """One walk through an element, collecting its pieces. Iterative, for pages may be nested 2,000 deep."""

    def __init__(self, root: Any, judge: bool, article: Any = None) -> None:
        self.root = root
        self.judge = judge
        self.article = article  # it and the title are not judged
        self.title = next(root.iter("h1"), None)
        self.furniture = named_elements(root) if judge else frozenset()
        self.path: list[tuple[int, str]] = []
        self.words: list[str] = []
        self.kinds: list[BlockKind] = ["paragraph"]
        self.lists: list[tuple[str, int]] = []  # how the items of what is open are numbered ("": not), and the next
        self.mark = ""
        self.linked = self.links = self.named = self.inside = 0

    def pieces(self) -> Iterator[_Piece]:
        from lxml import etree

        walk = etree.iterwalk(self.root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "end":
                yield from self._leave(element)
                continue
            if tag in BREAKS or tag == "pre":
                yield from self._flush()
            self._enter(element, 1)
            self.kinds.append("list_item" if tag in _ITEMS else self.kinds[-1])
            if tag in ("ol", "ul"):
                self.lists.append((_numbered(element) if tag == "ol" else "", _number(element, "start", 1)))
            elif tag == "li" and self.lists:
                form, number = self.lists.pop()
                number = _number(element, "value", number)
                self.lists.append((form, number + 1))
                self.mark = f"{write_number(number, form)}. " if form else ""
            if tag in HEADINGS:
                walk.skip_subtree()
                yield from self._heading(int(tag[1]), _squash(text_of(element)))
            elif tag == "pre":
                walk.skip_subtree()
                yield from self._piece("".join(element.itertext()).strip("\r\n"), "code")
            elif tag == "table" and (rows := _data_rows(element)):
                walk.skip_subtree()
                yield from self._table(element, rows)
            elif tag == "br":
                self.words.append("\n")
            else:
                self._add(element.text)

    def _leave(self, element: Any) -> Iterator[_Piece]:
        if element.tag in BREAKS:
            yield from self._flush()
        self._enter(element, -1)
        self.kinds.pop()
        if element.tag in ("ol", "ul"):
            self.lists.pop()
        elif element.tag == "li":
            self.mark = ""
        if element is not self.root:
            self._add(element.tail)

    def _enter(self, element: Any, step: int) -> None:
        """Count the signs that `element` puts on what stands in it; `step` is -1 when leaving it."""
        self.links += step * (element.tag == "a" and element.get("href") is not None)
        if self.judge:
            self.named += step * (element in self.furniture)
            self.inside += step * (element is self.article or element is self.title)

    def _add(self, text: str | None) -> None:
        if text:
            text = _SPACE.sub(" ", text)
            self.words.append(text)
            self.linked += len(text) if self.links else 0

    def _flush(self) -> Iterator[_Piece]:
        lines = (_squash(line) for line in "".join(self.words).split("\n"))
        text = "\n".join(line for line in lines if line)
        mostly_links = self.linked * 2 > len(text)
        self.words, self.linked = [], 0
        yield from self._piece(text, self.kinds[-1], "", self.judge and mostly_links)

    def _piece(self, text: str, kind: BlockKind, header: str = "", mostly_links: bool = False) -> Iterator[_Piece]:
        if text.strip():
            signs = 0 if self.inside else mostly_links + (self.named > 0)
            mark = self.mark if kind in ("list_item", "heading") else ""
            self.mark = "" if mark else self.mark
            yield _Piece(text, kind, tuple(title for _, title in self.path), header, signs, mark)

    def _heading(self, level: int, text: str) -> Iterator[_Piece]:
        if text:
            self.path = [step for step in self.path if step[0] < level] + [(level, text[:_MAX_HEADING])]
            yield from self._piece(text, "heading")

    def _table(self, table: Any, rows: Sequence[Any]) -> Iterator[_Piece]:
        for caption in table.iterchildren("caption"):
            yield from self._piece(_squash(text_of(caption)), "paragraph")
        has_heads = any(cell.tag == "th" for row in rows for cell in row)
        header, in_head = "", True
        open_: dict[int, tuple[int, str]] = {}
        for number, row in enumerate(rows):
            text = " | ".join(_cells(row, open_)).rstrip(" |")
            if not text:
                continue
            # A table without any th is taken to begin with its header; one with th in its rows only has none.
            in_head = in_head and (all(cell.tag == "th" for cell in row) or (number == 0 and not has_heads))
            yield from self._piece(text, "table_row", "" if in_head else header)
            header = " / ".join(filter(None, (header, text))) if in_head else header


def _numbered(list_: Any) -> str:
    """Return in which form an ordered list's items are numbered, as `write_number` names it; "" where they are not."""
    if list_.get("reversed") is not None:
        return ""
    style = _LIST_STYLE.search(list_.get("style") or "")
    said = (style[1] if style else "", list_.get("type") or "", *classes(list_))
    return next((_NUMBERS[one] for one in said if one in _NUMBERS), "decimal")


def _cells(row: Any, open_: dict[int, tuple[int, str]]) -> Iterator[str]:
    """Yield the cells of a row, one for each column. Short ones stand in all rows that they reach over.

    `open_` holds, by column, how many more rows a cell above reaches, and its text.
    """
    column = 0
    for cell in (*row.iterchildren("td", "th"), None):
        while column in open_:
            rows, text = open_.pop(column)
            if rows > 1:
                open_[column] = (rows - 1, text)
            yield text
            column += 1
        if cell is None:
            return
        text = _squash(text_of(cell))
        rows, columns = (max(1, _number(cell, name, 1)) for name in ("rowspan", "colspan"))
        for at in range(min(columns, max(1, _MAX_COLUMNS - column))):
            if rows > 1 and column < _MAX_COLUMNS:
                open_[column] = (rows - 1, "" if at or len(text) > _MAX_REPEATED else text)
            yield "" if at else text
            column += 1


def _number(element: Any, name: str, default: int) -> int:
    value = (element.get(name) or "").strip()
    return int(value) if _NUMBER.fullmatch(value) else default


def _data_rows(table: Any) -> list[Any]:
    """Return the rows of a table that holds data; none where it only lays out the page."""
    nested = next(table.iterdescendants("table", *HEADINGS), None) is not None
    if nested or table.get("role") in ("presentation", "none"):
        return []
    rows = [row for row in table.iter("tr") if len(row)]
    cells = [cell for row in rows for cell in row]
    wide = any(len(row) > 1 for row in rows)
    return [] if len(rows) < 2 or not wide or any(len(text_of(cell)) > _MAX_CELL for cell in cells) else rows


def _document(pieces: Sequence[_Piece], title: str, warnings: tuple[str, ...]) -> Document:
    """Join the pieces: rows and items line by line, other blocks with an empty line between."""
    parts: list[str] = []
    blocks: list[Block] = []
    end = 0
    for at, piece in enumerate(pieces):
        if at:
            together = piece.kind == pieces[at - 1].kind and piece.kind in ("table_row", "list_item")
            parts.append("\n" if together else "\n\n")
            end += len(parts[-1])
        parts += (piece.mark, piece.text)
        start, end = end, end + len(piece.mark) + len(piece.text)
        blocks.append(Block(start, end, piece.kind, piece.heading, header=piece.header))
    return Document("".join(parts), tuple(blocks), title=title, warnings=warnings)


def _squash(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
