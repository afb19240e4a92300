"""Lines of a printed page -> which of them are rows of a table: those that share a white gutter.

Numbers tell most tables (lines.py); this tells the others, whose cells are words. Places are those of layout.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ragcli.parsing.pdf.layout import GUTTER, SPACE, Line, Measure, Span, beside

_MIN_ROWS = 3  # of a table; two will do where both have three cells
_WRAPPED = 2  # lines without a gutter between two rows, at most: those of a cell of several lines
_SHARED = 0.2  # ems of a gutter that two rows have in common
_STEP = 4.0  # ems from one row down to the next
_WHITE = 0.12  # of a row's width that is gutters
_PROSE = 3  # rows that may be of columns of prose are
_LOOSE = 1.2  # times as wide as its letters usually are: a line with a gutter, surely
_SAME = 0.15  # ems that gaps differ by, at most, where they were made to fill a line
_LONG = 30  # letters of a line that tells how wide letters usually are, and of more than a cell
_SHORT = 12  # letters of a cell
_WIDE_GUTTER = 0.3  # ems, between letters that no space parts
_USUAL = 0.42  # ems of a letter, where no line tells
_MARKER = re.compile(r"\W{1,2}|[(（]?(?:\d{1,3}(?:\.\d{1,3})*|[a-zA-Z]|[ivxIVX]{1,5})[.)）、]?")
_UNSPACED = re.compile("[\u2e80-\u9fff\uf900-\ufaff]{2}")
_LEADER = re.compile(r"(?:[.·…] ?){4}")


@dataclass(frozen=True, slots=True)
class _Row:
    """Lines that stand side by side, from `first` to before `end`, and the white gutters in them."""

    first: int
    end: int
    left: float
    right: float
    bottom: float
    size: float
    letters: int
    gutters: tuple[Span, ...] = ()

    @property
    def is_prose(self) -> bool:
        """Whether it may be of columns of prose: its parts are long, or not quite short with hardly any white."""
        white, parts = sum(b - a for a, b in self.gutters), len(self.gutters) + 1
        is_full = white < _WHITE * (self.right - self.left)
        return self.letters > (_SHORT if is_full else _LONG) * parts


@dataclass(frozen=True, slots=True)
class _Gap:
    """The white between two words, and the letters on both sides of it."""

    left: float
    right: float
    letters: str

    @property
    def is_wide(self) -> bool:
        """Whether it is between Chinese or Japanese letters, which have no spaces between them."""
        return _UNSPACED.fullmatch(self.letters) is not None


def mark_tables(lines: Sequence[Line], measure: Measure) -> list[Line]:
    """Return the lines of a page, those in a table marked so. `measure` is asked only near where letters stand loosely.

    The lines of a page are thousands of letters, whose places take longer to find than to read.
    """
    rows = list(_rows(lines))
    loose = _LOOSE * min(_USUAL, _usual_width(lines))
    near = [at for at, row in enumerate(rows) if any(_letter_width(line) > loose for line in _lines(row, lines))]
    looked_at: set[int] = set()
    while near:
        at = near.pop()
        if 0 <= at < len(rows) and at not in looked_at:
            looked_at.add(at)
            rows[at] = replace(rows[at], gutters=tuple(_gutters(_lines(rows[at], lines), measure)))
            if rows[at].gutters:
                near += range(at - _WRAPPED - 1, at + _WRAPPED + 2)
    marked = list(lines)
    at = 0
    while at < len(rows):
        stop = _table_end(rows, at)
        for row in rows[at:stop]:
            marked[row.first : row.end] = (replace(line, in_table=True) for line in marked[row.first : row.end])
        at = max(stop, at + 1)
    return marked


def _rows(lines: Sequence[Line]) -> Iterator[_Row]:
    at = 0
    while at < len(lines):
        end = at + 1
        while end < len(lines) and beside(lines[end - 1], lines[end]):
            end += 1
        line = lines[at]
        if line.text and line.size:
            letters = sum(len(one.text) for one in lines[at:end])
            yield _Row(at, end, line.left, lines[end - 1].right, line.bottom, line.size, letters)
        at = end


def _lines(row: _Row, lines: Sequence[Line]) -> Sequence[Line]:
    return lines[row.first : row.end]


def _usual_width(lines: Sequence[Line]) -> float:
    """Return how wide the letters of a page are, by its denser lines: the others may have gutters."""
    widths = sorted(_letter_width(line) for line in lines if len(line.text) >= _LONG and line.size)
    return widths[len(widths) // 4] if widths else _USUAL


def _letter_width(line: Line) -> float:
    """Return how wide a line is for each of its letters, in ems; 0 where its place is not known."""
    return (line.right - line.left) / len(line.text) / line.size if line.size and line.text else 0.0


def _gutters(row: Sequence[Line], measure: Measure) -> list[Span]:
    """Return the white in a row that is wider than a space, but for that behind the mark of a list's item."""
    gaps = [gap for line in row for gap in _gaps(line, measure)]
    gaps += (_Gap(a.right, b.left, a.text[-1] + b.text[0]) for a, b in pairwise(row))
    gaps.sort(key=lambda gap: gap.left)
    text = " ".join(line.text for line in row)
    size = max(line.size for line in row)
    widths = [gap.right - gap.left for gap in gaps if not gap.is_wide]
    if _LEADER.search(text) or (len(widths) > 1 and max(widths) - min(widths) < _SAME * size):
        return []  # of a table of contents; of a line that was stretched to fill its column
    first = 1 if _MARKER.fullmatch(text.split(maxsplit=1)[0]) else 0
    return [
        (gap.left, gap.right)
        for gap in gaps[first:]
        if gap.right - gap.left >= (_WIDE_GUTTER if gap.is_wide else GUTTER) * size
    ]


def _gaps(line: Line, measure: Measure) -> Iterator[_Gap]:
    for space in SPACE.finditer(line.text):
        before, behind = measure(line.start + space.start() - 1), measure(line.start + space.end())
        if before is not None and behind is not None:
            yield _Gap(before.right, behind.left, line.text[space.start() - 1] + line.text[space.end()])


def _table_end(rows: Sequence[_Row], at: int) -> int:
    """Return the end of the table that begins with a row; `at` where none does."""
    if rows[at].is_prose:
        return at
    shared, table, stop = rows[at].gutters, [rows[at]], at + 1
    for number in range(at + 1, len(rows)):
        row, above = rows[number], rows[number - 1]
        common = tuple(_common(shared, row))
        far = not 0 < above.bottom - row.bottom < _STEP * row.size
        if far or not common or number - stop > _WRAPPED - (not row.gutters):
            break
        if row.gutters:
            shared, stop = common, number + 1
            table.append(row)
        if len(table) > _PROSE and all(one.is_prose for one in table[-_PROSE:]):
            del table[-_PROSE:]
            stop = 1 + next(before for before in range(number, at - 1, -1) if rows[before] is table[-1])
            break
    columns = min(len(row.gutters) for row in table) + 1
    return stop if len(table) >= (_MIN_ROWS if columns < 3 else 2) else at


def _common(shared: Sequence[Span], row: _Row) -> Iterator[Span]:
    """Yield what is white of the shared gutters in one more row. One that stands beside a gutter leaves it white."""
    for left, right in shared:
        for a, b in (*row.gutters, (float("-inf"), row.left), (row.right, float("inf"))):
            if min(right, b) - max(left, a) >= _SHARED * row.size:
                yield max(left, a), min(right, b)
