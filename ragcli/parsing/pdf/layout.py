"""Lines of a printed page with their places, and columns put into reading order.

Places are in points, y going up, as PDF has it. A line without a place (size 0: its writing is turned, or its reader
knows none) stays where the reader gave it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from ragcli.parsing.pdf.lines import is_row

CUT = "\ufffe\x02\u2010\u00ad"
"""What stands at the end of a line whose hyphen cuts a word in two: pdfium's marks, and what typesetters write."""
GUTTER = 0.9
"""Least width of a gutter, in ems."""

_MIN_LINES = 6  # of both columns, before a page is taken to have two
_BODY = 0.7  # share of the lines beside a gutter that it must part
_FILLED = 0.55  # of a column's width that its usual line fills; the cells of a table are shorter
_WORDS = 3.0  # that a line of a column holds on average
_SAMPLE = 6  # lines of a page that are looked at before all are
_LETTER_GAP = 0.2  # ems between the letters of one word, at most
_MAX_WORDS = 5_000  # measured on one page

SPACE = re.compile(r"(?<=\S)\s+(?=\S)")
"""White space between words."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a character stands; `size` is its type's em."""

    left: float
    right: float
    bottom: float
    size: float


Measure = Callable[[int], Box | None]
"""Position of a character in its page's text -> its place; None where it has none."""


@dataclass(frozen=True, slots=True)
class Line:
    """A printed line. `size` is the type's em in points, 0 where it is not known."""

    text: str
    left: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    size: float = 0.0
    bold: bool = False
    start: int = 0
    in_table: bool = False

    @property
    def top(self) -> float:
        """Upper border of its letters."""
        return self.bottom + self.size

    @property
    def is_cut(self) -> bool:
        """Whether it ends within a word."""
        return self.text.endswith(tuple(CUT))


def shares_row(one: Line, other: Line) -> bool:
    """Return whether two lines have a base line in common: a raised footnote mark is of the row, too."""
    return min(one.top, other.top) - max(one.bottom, other.bottom) > 0.5 * min(one.size, other.size)


def beside(left: Line, right: Line) -> bool:
    """Return whether one line stands to the right of another, on the same base line."""
    if not (left.size and right.size and left.text and right.text) or left.is_cut:
        return False
    return shares_row(left, right) and right.left - left.right > -0.1 * min(left.size, right.size)


def in_columns(lines: Sequence[Line], measure: Measure) -> list[Line]:
    """Put the lines of a page in two columns into reading order where they are not: the left column first.

    What spans both columns, stands above or below them, or in a table, stays in its place and parts them. `measure`
    finds the words' places in the page's text; it is asked only where a few lines show a gutter.
    """
    body = [line for line in lines if line.size and line.text and not line.in_table]
    if not _may_have_columns(body, measure):
        return list(lines)
    cut = [[line] if line.in_table else list(pieces(line, measure)) for line in _bounded(lines)]
    if len(cut) < len(lines):
        return list(lines)
    gutter = _gutter([piece for line in cut for piece in line if not piece.in_table])
    return list(lines) if gutter is None else list(_ordered(cut, gutter))


def _may_have_columns(body: Sequence[Line], measure: Measure) -> bool:
    """Return whether lines change sides, or several of the widest have a gap inside that is no space."""
    if len(body) < _MIN_LINES:
        return False
    low, high = min(line.left for line in body), max(line.right for line in body)
    middle = (low + high) / 2
    sides = [side for line in body if (side := _side(line, (middle, middle)))]
    if sum(a != b for a, b in pairwise(sides)) >= _MIN_LINES:
        return True
    wide = [line for line in body if line.right - line.left > 0.7 * (high - low) and not is_row(line.text)]
    if len(wide) < _MIN_LINES:
        return False
    misses = 0
    for line in wide[len(wide) // _SAMPLE // 2 :: max(1, len(wide) // _SAMPLE)][:_SAMPLE]:
        misses += not _has_gutter(line, measure)
        if 2 * misses > _SAMPLE:
            return False
    return True


def _has_gutter(line: Line, measure: Measure) -> bool:
    """Return whether there is a wide gap in the middle half of a line."""
    quarter = len(line.text) // 4
    for space in SPACE.finditer(line.text, quarter, 3 * quarter):
        before, behind = measure(line.start + space.start() - 1), measure(line.start + space.end())
        if before is not None and behind is not None and behind.left - before.right >= GUTTER * line.size:
            return True
    return False


def _bounded(lines: Sequence[Line]) -> Iterator[Line]:
    words = 0
    for line in lines:
        words += line.text.count(" ") + 1
        if words > _MAX_WORDS:
            return
        yield line


def pieces(line: Line, measure: Measure) -> Iterator[Line]:
    """Cut a line where the gap between two words is as wide as a gutter."""
    begin, first = 0, Box(line.left, line.left, line.bottom, line.size)
    for space in SPACE.finditer(line.text) if line.size else ():
        before, behind = measure(line.start + space.start() - 1), measure(line.start + space.end())
        if before is None or behind is None or behind.size <= 0:
            continue
        if behind.left - before.right >= GUTTER * line.size:
            yield _cut(line, begin, space.start(), first, before.right)
            begin, first = space.end(), behind
    yield _cut(line, begin, len(line.text), first, line.right) if begin else line


def unfold(line: Line, measure: Measure) -> Iterator[Line]:
    """Cut a line that holds more than its width has room for where the writing goes back to the left.

    pdfium puts several lines into one where their base lines lie near each other, in lists, and where a short line of
    the right column is drawn before one of the left. A line that ends left of its beginning, and of which not all
    parts run to the right, is turned or of a script that runs to the left: its place is not known.
    """
    goes_back = line.right < line.left
    if not line.size or (
        not goes_back and len(line.text) * 0.3 * line.size < max(line.right - line.left, 20 * line.size)
    ):
        yield line
        return
    parts = list(_folds(line, measure))
    if goes_back and any(part.right < part.left for part in parts):
        yield Line(line.text, start=line.start)
    else:
        yield from parts


def _folds(line: Line, measure: Measure) -> Iterator[Line]:
    begin, first = 0, Box(line.left, line.left, line.bottom, line.size)
    for space in SPACE.finditer(line.text):
        before, behind = measure(line.start + space.start() - 1), measure(line.start + space.end())
        if before is None or behind is None or behind.size <= 0:
            continue
        if behind.left < before.left - line.size:
            yield _cut(line, begin, space.start(), first, before.right)
            begin, first = space.end(), behind
    yield _cut(line, begin, len(line.text), first, line.right) if begin else line


def _cut(line: Line, begin: int, end: int, first: Box, right: float) -> Line:
    start = line.start + begin
    text = line.text[begin:end]
    return replace(line, text=text, left=first.left, right=right, bottom=first.bottom, size=first.size, start=start)


def mark_word_gaps(line: Line, measure: Measure) -> Line:
    """Return a line of single letters (`T h i s i s`) with two spaces where a gap is clearly wider than most."""
    gaps: list[tuple[float, int]] = []
    for space in SPACE.finditer(line.text):
        before, behind = measure(line.start + space.start() - 1), measure(line.start + space.end())
        if before is None or behind is None:
            return line
        gaps.append((behind.left - before.right, space.start()))
    if not gaps:
        return line
    usual = median(gap for gap, _ in gaps)
    wide = {at for gap, at in gaps if gap > 1.6 * usual}
    return replace(line, text="".join(" " + x if at in wide else x for at, x in enumerate(line.text)))


def close_gaps(line: Line, measure: Measure) -> Line:
    """Return a line without the spaces that its reader made up where letters stand a little apart (`Towe r`)."""
    made_up: set[int] = set()
    for space in SPACE.finditer(line.text):
        at = line.start + space.start()
        before, here, behind = measure(at - 1), measure(at), measure(line.start + space.end())
        if here and not here.size and before and behind and behind.left - before.right < _LETTER_GAP * behind.size:
            made_up.add(space.start())
    return replace(line, text="".join(x for at, x in enumerate(line.text) if at not in made_up)) if made_up else line


def _gutter(pieces: Sequence[Line]) -> Span | None:
    """Return the strip that parts two columns of prose; None where there is none, or they are a table's."""
    body = [piece for piece in pieces if piece.size and piece.text]
    if len(body) < 2 * _MIN_LINES:
        return None
    low, high = min(piece.left for piece in body), max(piece.right for piece in body)
    em = median(piece.size for piece in body)
    middle = _emptiest(body, low + 0.3 * (high - low), high - 0.3 * (high - low))
    lefts = [piece for piece in body if piece.right <= middle]
    rights = [piece for piece in body if piece.left >= middle]
    if min(len(lefts), len(rights)) < _MIN_LINES or len(lefts) + len(rights) < _BODY * len(body):
        return None
    gutter = (max(piece.right for piece in lefts), min(piece.left for piece in rights))
    if gutter[1] - gutter[0] < GUTTER * em / 2 or not _is_prose(lefts) or not _is_prose(rights):
        return None
    overlap = min(lefts[0].top, rights[0].top) - max(min(x.bottom for x in lefts), min(x.bottom for x in rights))
    height = max(piece.top for piece in body) - min(piece.bottom for piece in body)
    return gutter if overlap >= 0.3 * height else None


def _emptiest(body: Sequence[Line], low: float, high: float) -> float:
    """Return the place between `low` and `high` that the fewest pieces cover; of several, the widest strip's middle."""
    steps = [(low, 0), (high, 0)]
    covered = 0
    for piece in body:
        covered += piece.left < low < piece.right
        if low <= piece.left <= high:
            steps.append((piece.left, 1))
        if low <= piece.right <= high:
            steps.append((piece.right, -1))
    best = (len(body) + 1, 0.0)
    where = low
    steps.sort()
    for (here, change), (there, _) in pairwise(steps):
        covered += change
        if there > here and (covered, here - there) < best:
            best, where = (covered, here - there), (here + there) / 2
    return where


def _is_prose(column: Sequence[Line]) -> bool:
    width = max(piece.right for piece in column) - min(piece.left for piece in column)
    words = sum(len(piece.text) for piece in column) / 6 / len(column)  # of about six characters, in any script
    return words >= _WORDS and median(piece.right - piece.left for piece in column) >= _FILLED * width


def _side(line: Line, gutter: Span) -> int:
    """Return -1 for the left column, 1 for the right one, 0 for what crosses both."""
    if line.right <= gutter[0] + 0.1:
        return -1
    return 1 if line.left >= gutter[1] - 0.1 else 0


def _ordered(lines: Sequence[Sequence[Line]], gutter: Span) -> Iterator[Line]:
    """Yield the pieces, between two lines that cross the gutter those of the left column before those of the right."""
    reach = _reach([piece for line in lines for piece in line if piece.size and not piece.in_table], gutter)
    held: dict[int, list[Line]] = {-1: [], 1: []}
    for line in lines:
        if not line[0].text:
            continue
        sides = [0 if piece.in_table else _side(piece, gutter) for piece in line]
        if line[0].size and all(
            side and reach[side][0] <= piece.bottom <= reach[side][1] for piece, side in zip(line, sides, strict=True)
        ):
            for piece, side in zip(line, sides, strict=True):
                held[side].append(piece)
        else:
            yield from (*held[-1], *held[1])
            held = {-1: [], 1: []}
            yield from line
    yield from (*held[-1], *held[1])


def _reach(pieces: Sequence[Line], gutter: Span) -> dict[int, Span]:
    """Return how far down and up each column goes: beside the other, and on from there without a gap."""
    columns = {side: sorted((p.bottom for p in pieces if _side(p, gutter) == side), reverse=True) for side in (-1, 1)}
    high = min(column[0] for column in columns.values())
    low = max(column[-1] for column in columns.values())
    step = 2.2 * median(piece.size for piece in pieces)
    reach = {}
    for side, column in columns.items():
        bottom, top = low, high
        for at in column:
            if bottom - step <= at < bottom:
                bottom = at
        for at in reversed(column):
            if top < at <= top + step:
                top = at
        reach[side] = (bottom, top)
    return reach
