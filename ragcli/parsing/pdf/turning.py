"""Which way a page's writing runs, and its places turned so that it runs to the right.

A page may be drawn sideways, be shown turned, or both, as wide tables are. PDF's places know nothing of how a page is
shown, and pdfium puts lines in order as they are shown. What is turned only in part, as a note in the margin, stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def turns_of(words: Any, sample: Sequence[int], shown: int) -> int:
    """Return by how many quarters most of a sample of a page's characters are turned to the left.

    That is `shown`, the quarters by which the page is shown turned to the right, where no direction has most of them.
    """
    import pypdfium2.raw as pdfium

    matrix = pdfium.FS_MATRIX()
    found = Counter(_turns(matrix) for at in sample if pdfium.FPDFText_GetMatrix(words, at, matrix))
    return next((turns for turns, count in found.items() if 2 * count > found.total()), shown)


def _turns(matrix: Any) -> int:
    if abs(matrix.b) > abs(matrix.a):
        return 1 if matrix.b > 0 else 3
    return 2 if matrix.a < 0 else 0


def turn(box: Any, turns: int) -> None:
    """Turn a rectangle of pdfium to the right by so many quarters, about the corner from which places are counted."""
    for _ in range(turns):
        box.left, box.bottom, box.right, box.top = box.bottom, -box.right, box.top, -box.left
