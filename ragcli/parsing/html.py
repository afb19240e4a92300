"""HTML -> Document: the main content without menus and footers. Offsets point into the extracted text.

What is main? Losing content is worse than keeping a menu, so nothing is left out on one sign alone:

1. What is never content (scripts, form controls, `nav`, the page's `footer`) goes.
2. A page that says itself what its main content is (`main`, or a single `article`) is believed: all of that is kept.
3. On other pages a paragraph or list item is left out where two signs agree: it is mostly links; it stands in an
   element whose name says so (`header`, `aside`, class `sidebar`, `cookie-banner`, ...); it is hidden; the extractor
   trafilatura leaves it out. Headings and table rows are never judged by their links.
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
from ragcli.parsing.numbering import write_number
from ragcli.records import Block, BlockKind, Document

_DECLARED = re.compile(rb"(?:<meta[^>]{0,200}?charset|<\?xml[^>]{0,100}?encoding)\s*=\s*[\"']?\s*([\w-]{2,30})", re.I)
_SCRIPTS = (
    "//head|//script|//style|//noscript|//template|//svg|//iframe|//object|//audio|//video|//canvas"
    "|//*[@role='doc-pagebreak' or @*[name()='epub:type']='pagebreak']"  # the number of a printed book's page
    "|//rt|//rp"  # how a word is read aloud, written over each of its characters
    "|//a[starts-with(normalize-space(), '↩')]|//*[@class='mw-editsection']"
    "|//*[contains(concat(' ', normalize-space(@class), ' '), ' linenos ')]"  # the numbers of a listing's lines
)
_NOTE_MARKS = "//a[contains(@href, '#')][sup or parent::sup or @role='doc-noteref' or @*[name()='epub:type']='noteref']"
_NOTE_MARK = re.compile(r"\d{1,4}|[a-z*†‡§]{1,3}")
_FURNITURE = (
    "//nav|//select|//textarea|//*[@role='navigation' or @role='menu' or @role='menubar' or @role='search']"
    "|//*[@role='contentinfo']|//footer[not(ancestor::article or ancestor::main or ancestor::section)]"
    "|//button[not(ancestor::h1 or ancestor::h2 or ancestor::h3 or ancestor::h4 or ancestor::dt or ancestor::summary)]"
    "|//*[@aria-hidden='true'][not(.//p or .//h1 or .//main)]|//a[normalize-space()='¶' or normalize-space()='#']"
)
_NAME = re.compile(
    r"(?!has|with|no-)(?:\S*[-_])?(?:nav|navbar|navigation|\S*menu|\S*sidebar|footer|header|cookies?|consent|crumbs?|"
    r"breadcrumbs?|share|sharing|social|related|pag(?:er|ination)|toc|banner|newsletter|comments?|ads?|promo)(?:[-_]\S*)?",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
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
_BREAKS = _HEADINGS.union(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt"),
    ("fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "li", "main", "menu", "ol", "p", "section"),
    ("summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
)
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

    Where the `whole` page is content (a chapter, a mail), nothing but scripts and page numbers is left out. Raises
    ParseFailed where there is no text in it, or its elements are nested too deeply to be read.
    """
    named = _DECLARED.search(data[:4096])
    source, warnings = decode(data, named[1].decode("ascii", "replace").lower() if named else "")
    root = _parse(source)
    titles = root.xpath("//head//title") or root.xpath("//title")
    title = _squash(titles[0].text or "")[:_MAX_HEADING] if titles else ""
    pieces = [] if whole else _main_pieces(root, source)
    if not pieces:
        pieces = list(_Walk(_drop(root if whole else _parse(source), _SCRIPTS), judge=False).pieces())
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
        if _NOTE_MARK.fullmatch(number := _squash(_text(mark))):
            del mark[:]
            mark.text = f"[{number}]"
    return root


def _drop(root: Any, query: str) -> Any:
    """Remove what `query` finds. Not by drop_tree(), which refuses text with control characters."""
    from lxml import etree

    for element in root.xpath(query):
        element.tag = "dropped"
    etree.strip_elements(root, "dropped", with_tail=False)
    return root


def _main_pieces(root: Any, source: str) -> list[_Piece]:
    """Return the pieces of the main content. Removes from the tree what is none."""
    _drop(root, f"{_SCRIPTS}|{_FURNITURE}")
    size = len(_text(root))
    for query in ("//main|//*[@role='main']", "//article[not(ancestor::article)]"):
        found = root.xpath(query)
        if len(found) == 1 and len(_text(found[0])) * 4 > size:
            return list(_Walk(found[0], judge=False).pieces())
    pieces = list(_Walk(root, judge=True).pieces())
    if any(piece.signs == 1 for piece in pieces):
        extracted = _extract(source)
        return [p for p in pieces if p.signs + (p.signs > 0 and bool(extracted) and _key(p.text) not in extracted) < 2]
    return [piece for piece in pieces if piece.signs < 2]


def _extract(source: str) -> str:
    """Return the letters and digits of what trafilatura takes for the main content; "" where it cannot tell."""
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    try:
        return _key(trafilatura.extract(source, favor_recall=True, include_comments=False) or "")
    except MemoryError:
        raise
    except Exception:  # it is asked for an opinion only, and may have any trouble with a broken page
        return ""


class _Walk:
    """One walk through an element, collecting its pieces. Iterative, for pages may be nested 2,000 deep."""

    def __init__(self, root: Any, judge: bool) -> None:
        self.root = root
        self.judge = judge
        self.furniture = _named_elements(root) if judge else frozenset()
        self.path: list[tuple[int, str]] = []
        self.words: list[str] = []
        self.kinds: list[BlockKind] = ["paragraph"]
        self.lists: list[tuple[str, int]] = []  # how the items of what is open are numbered ("": not), and the next
        self.mark = ""
        self.linked = self.links = self.named = self.hidden = 0

    def pieces(self) -> Iterator[_Piece]:
        from lxml import etree

        walk = etree.iterwalk(self.root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "end":
                yield from self._leave(element)
                continue
            if tag in _BREAKS or tag == "pre":
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
            if tag in _HEADINGS:
                walk.skip_subtree()
                yield from self._heading(int(tag[1]), _squash(_text(element)))
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
        if element.tag in _BREAKS:
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
            hidden = element.get("hidden") is not None or _HIDDEN.search(element.get("style") or "") is not None
            self.hidden += step * hidden

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
            signs = mostly_links + (self.named > 0) + (self.hidden > 0)
            mark = self.mark if kind in ("list_item", "heading") else ""
            self.mark = "" if mark else self.mark
            yield _Piece(text, kind, tuple(title for _, title in self.path), header, signs, mark)

    def _heading(self, level: int, text: str) -> Iterator[_Piece]:
        if text:
            self.path = [step for step in self.path if step[0] < level] + [(level, text[:_MAX_HEADING])]
            yield from self._piece(text, "heading")

    def _table(self, table: Any, rows: Sequence[Any]) -> Iterator[_Piece]:
        for caption in table.iterchildren("caption"):
            yield from self._piece(_squash(_text(caption)), "paragraph")
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
    said = (style[1] if style else "", list_.get("type") or "", *(list_.get("class") or "")[:500].split())
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
        text = _squash(_text(cell))
        rows, columns = (max(1, _number(cell, name, 1)) for name in ("rowspan", "colspan"))
        for at in range(min(columns, max(1, _MAX_COLUMNS - column))):
            if rows > 1 and column < _MAX_COLUMNS:
                open_[column] = (rows - 1, "" if at or len(text) > _MAX_REPEATED else text)
            yield "" if at else text
            column += 1


def _number(element: Any, name: str, default: int) -> int:
    value = (element.get(name) or "").strip()
    return int(value) if _NUMBER.fullmatch(value) else default


def _named_elements(root: Any) -> frozenset[Any]:
    """Return the elements whose tag, class or id says that they are furniture, if they hold less than half the text."""
    from lxml import etree

    named: list[tuple[Any, int]] = []
    sizes = [0]
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            sizes.append(len(element.text or ""))
            continue
        size = sizes.pop()
        sizes[-1] += size + len(element.tail or "")
        names = f"{element.get('class') or ''} {element.get('id') or ''}"[:500].split()
        if element.tag in ("header", "aside", "footer") or any(_NAME.fullmatch(name) for name in names):
            named.append((element, size))
    return frozenset(element for element, size in named if size * 2 < sizes[0])


def _data_rows(table: Any) -> list[Any]:
    """Return the rows of a table that holds data; none where it only lays out the page."""
    nested = next(table.iterdescendants("table", *_HEADINGS), None) is not None
    if nested or table.get("role") in ("presentation", "none"):
        return []
    rows = [row for row in table.iter("tr") if len(row)]
    cells = [cell for row in rows for cell in row]
    wide = any(len(row) > 1 for row in rows)
    return [] if len(rows) < 2 or not wide or any(len(_text(cell)) > _MAX_CELL for cell in cells) else rows


def _text(element: Any) -> str:
    """Return the text of an element; what stands in different lines or boxes is kept apart."""
    from lxml import etree

    parts: list[str] = []
    for event, inner in etree.iterwalk(element, events=("start", "end")):
        if inner.tag in _BREAKS or inner.tag == "br":
            parts.append(" ")
        if event == "start":
            parts.append(inner.text or "")
        elif inner is not element:
            parts.append(inner.tail or "")
    return "".join(parts)


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


def _key(text: str) -> str:
    return "".join(filter(str.isalnum, text))
