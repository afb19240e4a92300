"""Pieces of recognised text with their places on a page -> the text of the page in reading order.

Columns of prose are read one after the other; the cells of a table row stay on one line, with wide gaps between them,
by which parsing/pdf/lines.py knows a row. Lengths are in pixels of an image whose lines run level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ragcli.words import CJK

_GAP = "   "
_MOST_SPANNING = 0.25  # of the pieces: titles and captions that run over both columns
_FEWEST_LINES = 4  # that make a column
_DEPTH = 2  # columns are looked for in columns: four at most
_WIDE = re.compile(f"[{CJK}\uff01-\uff60\u3000-\u303f]")


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


def page_text(pieces: Sequence[Piece]) -> str:
    """Return the text of a page: lines in reading order, with an empty line where a wide space parts them."""
    return "\n".join(line for part in _columns(pieces, _DEPTH) for line in _lines(part)).strip("\n")


def _columns(pieces: Sequence[Piece], depth: int) -> Iterator[Sequence[Piece]]:
    """Yield the parts of a page in reading order. What spans two columns parts what is above from what is below."""
    gutter = _gutter(pieces, depth)
    if gutter is None:
        yield pieces
        return
    spanning = sorted((one for one in pieces if one.left < gutter < one.right), key=lambda one: one.centre)
    rest = [one for one in pieces if not one.left < gutter < one.right]
    bands: list[list[Piece]] = [[] for _ in range(len(spanning) + 1)]
    for one in rest:
        bands[sum(other.centre < one.centre for other in spanning)].append(one)
    title: list[Piece] = []
    for band, after in zip(bands, [*spanning, None], strict=True):
        if band:
            if title:
                yield title
                title = []
            for side in ([p for p in band if p.right <= gutter], [p for p in band if p.right > gutter]):
                if side:
                    yield from _columns(side, depth - 1)
        if after is not None:
            title.append(after)
    if title:
        yield title


def _gutter(pieces: Sequence[Piece], depth: int) -> float | None:
    """Return the x that parts two columns of prose, or of columns; None where there are none.

    Columns of a table are narrow, or their cells are; those of prose are filled by their lines.
    """
    if not depth or len(pieces) < 2 * _FEWEST_LINES:
        return None
    low, high = min(one.left for one in pieces), max(one.right for one in pieces)
    best: tuple[int, float] | None = None
    for edge in {round(one.left) for one in pieces}:
        x = edge - 0.5
        if not low + (high - low) * 0.2 < x < low + (high - low) * 0.8:
            continue
        crossing = sum(one.left < x < one.right for one in pieces)
        if best is None or (crossing, abs(x - (low + high) / 2)) < (best[0], abs(best[1] - (low + high) / 2)):
            best = crossing, x
    if best is None or best[0] > _MOST_SPANNING * len(pieces):
        return None
    left = [one for one in pieces if one.right <= best[1]]
    right = [one for one in pieces if one.left >= best[1]]
    if not all(_is_prose(side) or _gutter(side, depth - 1) is not None for side in (left, right)):
        return None
    shared = min(max(p.bottom for p in left), max(p.bottom for p in right)) - max(
        min(p.top for p in left), min(p.top for p in right)
    )
    lower = min(max(p.bottom for p in side) - min(p.top for p in side) for side in (left, right))
    return best[1] if shared > lower / 2 else None


def _is_prose(pieces: Sequence[Piece]) -> bool:
    """Return whether the pieces fill the column that they stand in, as lines of prose do."""
    if len(pieces) < _FEWEST_LINES:
        return False
    width = max(one.right for one in pieces) - min(one.left for one in pieces)
    full = sum(one.right - one.left > max(width * 0.6, one.height * 6) for one in pieces)
    return full * 2 > len(pieces)


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
