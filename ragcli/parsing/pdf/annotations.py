"""What people write into a PDF: fields they fill in, boxes they tick, text they put on a page, comments.

pdfium's text of a page has none of it. Fields and text become lines with their places; comments stand by themselves.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ragcli.parsing.building import clean, squash
from ragcli.parsing.pdf.layout import Line
from ragcli.parsing.pdf.turning import turn

TICKED, UNTICKED = "☒", "☐"

_MAX_ANNOTATIONS = 1_000  # of one page
_MAX_VALUE = 20_000  # UTF-16 units
_MAX_AUTHOR = 100
_TYPE = 12.0  # points: a field may be higher than what is written in it
_COMMENTS = frozenset((1, *range(4, 16)))  # FPDF_ANNOT_TEXT, and the marks from _LINE to _INK


@dataclass(frozen=True, slots=True)
class Comment:
    """A note on a page; `author` is empty where none is named."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Annotations:
    """What was written on one page: lines with their places, and comments. `fields` counts those of a form."""

    lines: tuple[Line, ...] = ()
    comments: tuple[Comment, ...] = ()
    fields: int = 0

    @property
    def size(self) -> int:
        """How many characters all of it has."""
        return sum(len(line.text) for line in self.lines) + sum(len(comment.text) for comment in self.comments)


def read_annotations(page: Any, form: Any, turns: int) -> Annotations:
    """Read the annotations of a pdfium page that are shown. `form` is its document's form, or None.

    Their places are those on the page turned to the right by so many quarters.
    """
    import pypdfium2.raw as pdfium

    hidden = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
    lines: list[Line] = []
    comments: list[Comment] = []
    fields = 0
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page), _MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if pdfium.FPDFAnnot_GetFlags(annotation) & hidden:
                continue
            if kind == pdfium.FPDF_ANNOT_WIDGET:
                fields += 1
                lines += _placed(annotation, _field(form, annotation), turns)
            elif kind == pdfium.FPDF_ANNOT_FREETEXT:
                lines += _placed(annotation, _string(annotation, b"Contents"), turns)
            elif kind in _COMMENTS and (text := clean(_string(annotation, b"Contents")).strip()):
                comments.append(Comment(squash(_string(annotation, b"T"))[:_MAX_AUTHOR], text))
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
    return Annotations(tuple(lines), tuple(comments), fields)


def _field(form: Any, annotation: Any) -> str:
    """Return what a form's field shows. Passwords and buttons show nothing."""
    import pypdfium2.raw as pdfium

    if form is None:  # a page that was taken out of its form keeps the fields
        return _string(annotation, b"V") if _string(annotation, b"FT") in ("Tx", "Ch") else ""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        return TICKED if pdfium.FPDFAnnot_IsChecked(form, annotation) else UNTICKED
    if kind not in (pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
        return ""
    if pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & pdfium.FPDF_FORMFLAG_TEXT_PASSWORD:
        return ""
    return _text(lambda buffer, size: pdfium.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, size))


def _string(annotation: Any, key: bytes) -> str:
    import pypdfium2.raw as pdfium

    return _text(lambda buffer, size: pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, size))


def _text(read: Callable[[Any, int], int]) -> str:
    """Return the UTF-16 text that `read` writes into a buffer of so many bytes; it returns how many it needs."""
    size = read(None, 0)
    if not 2 < size <= 2 * _MAX_VALUE:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    read(buffer, size)
    return bytes(buffer).decode("utf-16-le", "replace").rstrip("\0")


def _placed(annotation: Any, text: str, turns: int) -> Iterator[Line]:
    """Yield the lines of a text at the place of its annotation: from its top down, or in its middle if it is one."""
    import pypdfium2.raw as pdfium

    box = pdfium.FS_RECTF()
    lines = [line for raw in clean(text).split("\n") if (line := squash(raw))]
    if not lines or not pdfium.FPDFAnnot_GetRect(annotation, box):
        return
    turn(box, turns)
    left, right = sorted((box.left, box.right))
    low, high = sorted((box.bottom, box.top))
    step = (high - low) / len(lines)
    size = min(step, _TYPE)
    if size > 0:
        for number, line in enumerate(lines, 1):
            yield Line(line, left, right, high - number * step + (step - size) / 2, size)
