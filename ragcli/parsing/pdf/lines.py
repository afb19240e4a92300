"""The lines of a printed page -> blocks: paragraphs, list items, table rows.

A PDF knows nothing of paragraphs or tables; its reader gives lines of text. What they were is told from the lines
alone: how wide they are, how they begin and end, and how many numbers they close with. Of rows that
only their places show, gutters.py tells.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ragcli.records import Block, BlockKind
from ragcli.words import CJK

MAX_HEADER = 150
_MAX_HEADER_LINES = 10
_MAX_GAP = 3  # lines without numbers that a table may have between two rows: subheadings, labels of several lines
_MAX_ROW = 400
_SHORT = 0.85  # of the page's usual width; the letters of a proportional font are not all equally wide

_LINE = re.compile(r"[^\n]+")
_WIDE = re.compile(f"[{CJK}\uff01-\uff60\u3000-\u303f]")
_FIRST_WORD = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
_SENTENCE_END = re.compile(r"[.!?:;。！？；：…][\"'”’)\]」』）]*$")
_PROSE_END = re.compile(r"[.!?。！？][\"'”’)\]」』）]*$")
_BULLET = "[-–—*•‣⁃·∙●○◦▪▫■□➢➤✓✔❖\uf0b7\uf0a7\uf0d8\uf0fc]"
_ITEM = re.compile(
    rf"""(?:{_BULLET} | \d{{1,3}}[.)] | \(\d{{1,3}}\) | [a-zA-Z][.)] | \([a-zA-Z]{{1,4}}\) | [ivxIVX]{{1,5}}[.)])
         (?:\s+(?=\S)|$)
       | \d{{1,3}}、 | [（(][\d一二三四五六七八九十]{{1,3}}[）)] | [一二三四五六七八九十]{{1,3}}、 | [①-⑳]
    """,
    re.VERBOSE,
)
_MARKER_ALONE = re.compile(rf"{_BULLET}$")
_NUMBER = re.compile(r"[(\[$€£¥￥+−–-]*\d[\d,.]*(?:[%)\]x*pt]|bps?)*")
_EMPTY_CELL = frozenset(("—", "–", "-", "--", "N/A", "NA", "n/a", "NM", "N/M", "nm", "n.m.", "*", "–%", "—%"))
_SIGN = frozenset(("$", "€", "£", "¥", "￥", "%", "(", ")", ")%", "%)", "US$", "$("))
_YEAR = re.compile(r"(?:19|20)\d\d")
_NO_HEADER = re.compile(r"[\d:：]")
_GAP = re.compile(r"\S(?:\t| {3,})(?=\S)")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where another heading comes into force: lines `first` to `last` hold its title; none do if `last` < `first`."""

    first: int
    last: int
    heading: tuple[str, ...]


_Shape = Literal["text", "item", "row"]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table among lines: its title's first line, its first row, its first row below the header, and its end."""

    first: int
    row: int
    below: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of a page's `text`: their spans, texts and shapes, and how wide the page's lines are."""

    text: str
    spans: Sequence[tuple[int, int]]
    texts: Sequence[str]
    shapes: Sequence[_Shape]
    width: float
    page: int

    def part(self, first: int, end: int) -> _Lines:
        """Return the lines from `first` to before `end`."""
        return replace(self, spans=self.spans[first:end], texts=self.texts[first:end], shapes=self.shapes[first:end])


def line_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the spans of the lines of `text[start:end]` that are not empty."""
    return [m.span() for m in _LINE.finditer(text, start, end) if not m.group().isspace()]


def is_row(line: str) -> bool:
    """Return whether a line reads as a row of a table."""
    return _shape(line) == "row"


def is_marker(line: str) -> bool:
    """Return whether a line is the mark of a list's item alone."""
    return _MARKER_ALONE.match(line) is not None


def in_tables(lines: Sequence[str], rows: Collection[int] = ()) -> tuple[set[int], set[int]]:
    """Return which lines stand in the rows of a table, and which above them as its title; `rows` are known to."""
    shapes = _shapes(lines, rows)
    if shapes.count("row") < 2:
        return set(), set()
    inside: set[int] = set()
    above: set[int] = set()
    for table in _tables(lines, shapes, _usual_width(lines)):
        above.update(range(table.first, table.row))
        inside.update(range(table.row, table.stop))
    return inside, above


def ends_as_prose(line: str) -> bool:
    """Return whether a line ends as a sentence does, or goes on."""
    return _SENTENCE_END.search(line) is not None or line.endswith((",", "，", "、", "-"))


def line_blocks(
    text: str,
    lines: Sequence[tuple[int, int]],
    page: int,
    heading: tuple[str, ...],
    marks: Sequence[Mark],
    rows: Collection[int] = (),
) -> Iterator[Block]:
    """Cut the lines of one page into blocks, in order.

    `heading` is the path in force at the top of the page; `marks` are in the order of their lines. The lines `rows` are
    known to stand in tables.
    """
    texts = [text[a:b] for a, b in lines]
    whole = _Lines(text, lines, texts, _shapes(texts, rows), _usual_width(texts), page)
    at = 0
    for mark in marks:
        yield from _section(whole.part(at, mark.first), heading)
        heading, at = mark.heading, max(at, mark.first)
        if mark.last >= mark.first:
            yield Block(lines[mark.first][0], lines[mark.last][1], "heading", heading, page)
            at = mark.last + 1
    yield from _section(whole.part(at, len(lines)), heading)


def _section(lines: _Lines, heading: tuple[str, ...]) -> Iterator[Block]:
    """Cut the lines between two headings: first find the tables, then join what is left into paragraphs."""
    at = 0
    for table in _tables(lines.texts, lines.shapes, lines.width):
        yield from _paragraphs(lines.part(at, table.first), heading)
        header = _clip(lines.texts[table.first : table.below])
        for row in range(table.first, table.stop):
            yield Block(*lines.spans[row], "table_row", heading, lines.page, header if row >= table.below else "")
        at = table.stop
    yield from _paragraphs(lines.part(at, len(lines.texts)), heading)


def _shapes(lines: Sequence[str], rows: Collection[int]) -> list[_Shape]:
    return ["row" if at in rows else _shape(line) for at, line in enumerate(lines)]


def _shape(line: str) -> _Shape:
    if len(line) <= _MAX_ROW and (_closes_with_numbers(line) or len(_GAP.findall(line)) >= 2):
        return "row"
    return "item" if _ITEM.match(line) else "text"


def _closes_with_numbers(line: str) -> bool:
    """Return whether a line ends in two or more cells that hold numbers, not all of them years."""
    cells = years = numbers = 0
    for word in reversed(line.split()):
        if _NUMBER.fullmatch(word) and word[-1] not in ",.":
            cells += 1
            numbers += 1
            years += _YEAR.fullmatch(word) is not None
        elif word in _EMPTY_CELL:
            cells += 1
        elif word not in _SIGN and word.strip("_"):
            break
    return cells >= 2 and (numbers == 0 or numbers > years)


def _tables(texts: Sequence[str], shapes: Sequence[_Shape], width: float) -> Iterator[_Table]:
    """Yield the tables among lines.

    A line that closes with numbers is a row only in company: prose ends so by chance.
    """
    done = at = 0
    while at < len(shapes):
        if shapes[at] != "row":
            at += 1
            continue
        stop, count, gap = at + 1, 1, 0
        for line in range(at + 1, len(shapes)):
            if shapes[line] == "row":
                stop, count, gap = line + 1, count + 1, 0
            elif gap == _MAX_GAP or _is_prose(texts[line], width):
                break
            else:
                gap += 1
        if count > 1:
            below = at + _is_header(texts[at])
            yield _Table(_header_start(texts, shapes, done, at, width), at, below, stop)
            done = stop
        at = stop


def _is_header(row: str) -> bool:
    """Return whether a table's first row names its columns: it holds no number but years, and labels nothing."""
    return not _NO_HEADER.search(_YEAR.sub("", row)) and not _closes_with_numbers(row)


def _is_prose(line: str, width: float) -> bool:
    return _PROSE_END.search(line) is not None and _width(line) > width * 0.6


def _header_start(texts: Sequence[str], shapes: Sequence[_Shape], low: int, row: int, width: float) -> int:
    """Return the first of the lines above a table's first row that head it: its title, units, years.

    The last line of a paragraph above the table is not one of them.
    """
    first, size = row, 0
    for at in range(row - 1, max(low, row - _MAX_HEADER_LINES) - 1, -1):
        line = texts[at]
        size += len(line) + 1
        if shapes[at] != "text" or size > MAX_HEADER or _PROSE_END.search(line):
            break
        above = texts[at - 1] if at > low and shapes[at - 1] != "row" else ""
        if above and not _ends_early(above, line, width) and not _SENTENCE_END.search(above):
            break
        first = at
    return first


def _clip(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())[:MAX_HEADER].rstrip()


def _paragraphs(lines: _Lines, heading: tuple[str, ...]) -> Iterator[Block]:
    start = 0
    for at in range(1, len(lines.texts) + 1):
        if at < len(lines.texts) and not _parts(lines, at):
            continue
        kind: BlockKind = "list_item" if lines.shapes[start] == "item" else "paragraph"
        yield Block(lines.spans[start][0], lines.spans[at - 1][1], kind, heading, lines.page)
        start = at


def _parts(lines: _Lines, at: int) -> bool:
    """Return whether a paragraph ends before line `at`.

    The line above was broken on purpose, not by the margin, where the first word of this one would have fitted on it.
    A line that goes on in a small letter is taken for a narrow column's, unless the sentence was over.
    """
    above, here = lines.texts[at - 1], lines.texts[at]
    if lines.shapes[at] == "item":
        return True
    if is_marker(above):
        return False
    if lines.text.count("\n", lines.spans[at - 1][1], lines.spans[at][0]) > 1:
        return True
    return _ends_early(above, here, lines.width) and (not here[0].islower() or _SENTENCE_END.search(above) is not None)


def _ends_early(above: str, here: str, width: float) -> bool:
    word = _FIRST_WORD.search(here)
    return word is not None and _width(above) + 1 + _width(word.group()) < width * _SHORT


def _usual_width(lines: Sequence[str]) -> float:
    """Return how wide the wide lines of a page are: the width that nine lines in ten do not exceed."""
    widths = sorted(_width(line) for line in lines)
    return widths[len(widths) * 9 // 10] if widths else 0


def _width(line: str) -> int:
    return len(line) if line.isascii() else len(line) + len(_WIDE.findall(line))
