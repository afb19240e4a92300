"""Whether a PDF's page is a picture: a scan that somebody has put a typed label on is told by that."""

from __future__ import annotations

from itertools import islice
from typing import Any

_MOST = 0.6  # of a page; where pictures cover less, they illustrate it
_MAX_OBJECTS = 5_000
_MAX_DEPTH = 4  # forms in forms


def is_picture(page: Any) -> bool:
    """Return whether pictures cover most of a page of pdfium. Those that lie on each other count twice."""
    import pypdfium2

    covered = 0.0
    try:
        left, bottom, right, top = page.get_cropbox()
        for one in islice(page.get_objects(max_depth=_MAX_DEPTH), _MAX_OBJECTS):
            if one.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE:
                its_left, its_bottom, its_right, its_top = _place(one)
                width, height = min(right, its_right) - max(left, its_left), min(top, its_top) - max(bottom, its_bottom)
                covered += max(0.0, width) * max(0.0, height)
    except pypdfium2.PdfiumError:
        return False
    return bool(covered > _MOST * (right - left) * (top - bottom) > 0)


def _place(one: Any) -> tuple[float, float, float, float]:
    """Return the left, bottom, right and top of an object on the page. Its own are those in the form that holds it."""
    box: tuple[float, float, float, float] = one.get_bounds()
    form = one.container
    while form is not None:
        box = form.get_matrix().on_rect(*box)
        form = form.container
    return box
