"""Pieces of recognised text with their places on a page -> the text of the page in reading order.

Columns of prose are read one after the other; the cells of a table row stay on one line, with wide gaps between them,
by which parsing/pdf/lines.py knows a row. Lengths are in pixels of an image whose lines run level.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ragcli.words import CJK

_GAP = "   "
_MOST_SPANNING = 0.25  # of the pieces: titles and captions that run over both columns
_FEWEST_LINES = 4  # that make a column
_FEWEST_BROAD_LINES, _BROAD = 6, 10.0  # on a page that is not in columns: lines, and widths in heights of a line
_FULL = 0.6  # of a column's width: what fills more is a line of prose
_FEWEST_ROWS = 3  # that make a table
_DEPTH = 2  # columns are looked for in columns: four at most
_WIDE = re.compile(f"[{CJK}\uff01-\uff60\u3000-\u303f]")

_EASTERN = re.compile(f"[{CJK}]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text on one line, and its box: x grows to the right, y downwards."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """How high the box is."""
        return self.bottom - self.top

    @property
    def centre(self) -> float:
        """The y of its middle."""
        return (self.top + self.bottom) / 2


def plain_line(text: str) -> str:
    """Return a line with single spaces. Full-width letters are made plain where no Chinese stands beside them."""
    text = " ".join(text.split())
    return text if _EASTERN.search(text) else text.translate(_FULL_WIDTH)


def page_text(pieces: Sequence[Piece]) -> str:
    """Return the text of a page: lines in reading order, with an empty line where a wide space parts them."""
    return "\n".join(line for part in _columns(pieces, _DEPTH) for line in _lines(part)).strip("\n")


def _columns(pieces: Sequence[Piece], depth: int) -> Iterator[Sequence[Piece]]:
    """Yield the parts of a page in reading order. What spans two columns parts what is above from what is below.

    Where lines of full width are many, columns are looked for between them.
    """
    gutter = _gutter(pieces, depth)
    is_everywhere = gutter is not None
    if gutter is None:
        gutter = _gutter_in_part(pieces, depth)
    if gutter is None:
        yield pieces
        return
    full: list[Piece] = []  # what spans the columns, or stands where there are none
    for band, below in _bands(pieces, gutter, _table_cells(pieces, gutter)):
        left, right = _sides(band, gutter)
        if band and (is_everywhere or _are_broad_columns(left, right)):
            if full:
                yield full
                full = []
            if below and left and right:
                left, full = _without_tail(left, right)
            for side in (left, right):
                if side:
                    yield from _columns(side, depth - 1)
        else:
            full += band
        full += below
    if full:
        yield full


def _bands(pieces: Sequence[Piece], x: float, cells: Collection[int] = ()) -> Iterator[tuple[list[Piece], list[Piece]]]:
    """Yield the pieces between those that span two columns, from the top, each time with the one below that does.

    Those span them that x crosses, and the `cells` of a table, known by their `id`.
    """
    band: list[Piece] = []
    for one in sorted(pieces, key=lambda one: one.centre):
        if one.left < x < one.right or id(one) in cells:
            yield band, [one]
            band = []
        else:
            band.append(one)
    yield band, []


def _table_cells(pieces: Sequence[Piece], x: float) -> set[int]:
    """Return the `id` of each piece in tables that reach over two columns: in rows on both sides that fill neither."""
    sides = _sides([one for one in pieces if not one.left < x < one.right], x)
    most = [_FULL * _width(side) for side in sides]
    found: set[int] = set()
    run: list[list[Piece]] = []
    for row in [*_rows([*sides[0], *sides[1]]), []]:
        filled = [sum(one.right - one.left for one in side) for side in _sides(row, x)]
        if row and filled[0] <= most[0] and filled[1] <= most[1]:
            run.append(row)
            continue
        at = [number for number, cells in enumerate(run) if len(cells) > 2 and all(_sides(cells, x))]
        if len(at) >= _FEWEST_ROWS:
            found.update(id(one) for cells in run[at[0] : at[-1] + 1] for one in cells)
        run = []
    return found


def _without_tail(left: list[Piece], right: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Return a left column and what stands apart below both, such as the heading of what follows."""
    end = _bottom(right)
    column, tail = [one for one in left if one.top < end], [one for one in left if one.top >= end]
    if column and tail and _top(tail) - _bottom(column) > tail[0].height / 2:
        return column, tail
    return left, []


def _sides(band: Sequence[Piece], x: float) -> tuple[list[Piece], list[Piece]]:
    return [one for one in band if one.right <= x], [one for one in band if one.right > x]


def _gutter(pieces: Sequence[Piece], depth: int) -> float | None:
    """Return the x that parts two columns of prose, or of columns; None where there are none.

    Columns of a table are narrow, or their cells are; those of prose are filled by their lines.
    """
    if not depth or len(pieces) < 2 * _FEWEST_LINES:
        return None
    best = min(
        _gutters(pieces),
        key=lambda one: (sum(piece.left < one[0] < piece.right for piece in pieces), one[1]),
        default=None,
    )
    if best is None:
        return None
    x = best[0]
    if sum(one.left < x < one.right for one in pieces) > _MOST_SPANNING * len(pieces):
        return None
    left = [one for one in pieces if one.right <= x]
    right = [one for one in pieces if one.left >= x]
    if not all(_is_prose(side) or _gutter(side, depth - 1) is not None for side in (left, right)):
        return None
    return x if _stand_beside(left, right) else None


def _gutter_in_part(pieces: Sequence[Piece], depth: int) -> float | None:
    """Return the x that parts most pieces into two columns, somewhere on a page; None where there are none."""
    if not depth or len(pieces) < 2 * _FEWEST_BROAD_LINES:
        return None

    def parted(x: float) -> int:
        bands = (_sides(band, x) for band, _ in _bands(pieces, x))
        return sum(len(left) + len(right) for left, right in bands if min(len(left), len(right)) >= _FEWEST_BROAD_LINES)

    best = max(_gutters(pieces), key=lambda one: (parted(one[0]), -one[1]), default=None)
    if best is None or not any(_are_broad_columns(*_sides(band, best[0])) for band, _ in _bands(pieces, best[0])):
        return None
    return best[0]


def _gutters(pieces: Sequence[Piece]) -> Iterator[tuple[float, float]]:
    """Yield each x at which a right column may begin, and how far it is from the middle."""
    low, high = min(one.left for one in pieces), max(one.right for one in pieces)
    for edge in {round(one.left) for one in pieces}:
        x = edge - 0.5
        if low + (high - low) * 0.2 < x < low + (high - low) * 0.8:
            yield x, abs(x - (low + high) / 2)


def _are_broad_columns(left: Sequence[Piece], right: Sequence[Piece]) -> bool:
    """Return whether both are prose of lines so many and so long that they are no cells of a table."""
    return _stand_beside(left, right) and all(
        _is_prose(side) and sum(one.right - one.left > one.height * _BROAD for one in side) >= _FEWEST_BROAD_LINES
        for side in (left, right)
    )


def _stand_beside(left: Sequence[Piece], right: Sequence[Piece]) -> bool:
    """Return whether the lower of two sides stands beside the other for more than half of its height."""
    if not (left and right):
        return False
    tops, bottoms = ([extreme(p) for p in (left, right)] for extreme in (_top, _bottom))
    lower = min(bottom - top for top, bottom in zip(tops, bottoms, strict=True))
    return min(bottoms) - max(tops) > lower / 2


def _width(pieces: Sequence[Piece]) -> float:
    return max(one.right for one in pieces) - min(one.left for one in pieces) if pieces else 0.0


def _top(pieces: Sequence[Piece]) -> float:
    return min(one.top for one in pieces)


def _bottom(pieces: Sequence[Piece]) -> float:
    return max(one.bottom for one in pieces)


def _is_prose(pieces: Sequence[Piece]) -> bool:
    """Return whether most of what stands in a column are lines that fill it, as those of prose do.

    The labels of a figure that stands in it are many, but short.
    """
    if len(pieces) < _FEWEST_LINES:
        return False
    width = _width(pieces) * _FULL
    full = [one.right - one.left for one in pieces if one.right - one.left > max(width, one.height * 6)]
    return len(full) >= _FEWEST_LINES and sum(full) * 2 > sum(one.right - one.left for one in pieces)


def _lines(pieces: Sequence[Piece]) -> Iterator[str]:
    rows = _rows(pieces)
    middles = [sum(one.centre for one in row) / len(row) for row in rows]
    pitch = median([b - a for a, b in zip(middles, middles[1:], strict=False)] or [0.0])
    for at, row in enumerate(rows):
        if at and middles[at] - middles[at - 1] > pitch * 1.5:
            yield ""
        line = row[0].text
        for before, after in zip(row, row[1:], strict=False):
            line += _space(before, after) + after.text
        yield line


def _rows(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the pieces that stand beside each other, from the top, each row from the left."""
    rows: list[list[Piece]] = []
    for one in sorted(pieces, key=lambda one: one.centre):
        last = rows[-1][-1] if rows else None
        if last is not None and one.centre - last.centre < min(one.height, last.height) / 2:
            rows[-1].append(one)
        else:
            rows.append([one])
    return [sorted(row, key=lambda one: one.left) for row in rows]


def _space(before: Piece, after: Piece) -> str:
    if after.left - before.right > min(before.height, after.height) * 1.2:
        return _GAP
    return "" if _WIDE.match(before.text[-1:]) and _WIDE.match(after.text[:1]) else " "
