"""Lines of a printed page -> rows: what is drawn apart and stands side by side belongs together.

Places are those of layout.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ragcli.parsing.pdf.layout import Line, Measure, beside, pieces, shares_row
from ragcli.parsing.pdf.lines import is_marker

_MIN_ROWS = 3  # of a table that is drawn column by column
_SURE = 0.7  # of such a column's cells
_COLONS = (":", "：")
_LABEL = 24  # letters at most
_TO_ITEM, _MAX_MARKS = 4.0, 200  # ems from a list item's mark to its text, at most; marks that are looked at
_FILLED = 0.1  # of a page's rows, where values stand apart from their labels; and three of them


def in_rows(lines: Sequence[Line], measure: Measure, *, is_form: bool = False) -> list[Line]:
    """Put the rows together of a page that is filled in: its labels are drawn first, all values after them.

    So invoices and forms are made. It is told by short labels that end in a colon, while what stands behind them is
    drawn elsewhere. Columns, boxes and figures have no such labels. A page that `is_form` is known to be one.
    """
    placed = [line for line in lines if line.size and line.text]
    labels = (piece.text for line in placed if _may_hold_labels(line.text) for piece in pieces(line, measure))
    if not is_form and sum(map(_is_label, labels)) < _MIN_ROWS:
        return list(lines)
    cut = [piece for line in placed for piece in pieces(line, measure)]
    rows = _rows(cut)
    parted = sum(_is_label(cut[a].text) and b != a + 1 for row in rows for a, b in pairwise(row))
    if not is_form and parted < max(_MIN_ROWS, _FILLED * len(rows)):
        return list(lines)
    return [cut[at] for row in rows for at in row] + [line for line in lines if line.text and not line.size]


def _may_hold_labels(text: str) -> bool:
    return text.endswith(_COLONS) or any(f"{colon} " in text for colon in _COLONS)


def _is_label(text: str) -> bool:
    return text.endswith(_COLONS) and len(text) <= _LABEL


def put_beside(lines: Sequence[Line], written: Sequence[Line], measure: Measure) -> list[Line]:
    """Put what was written into a page's fields among its lines: behind what stands on the left, else below.

    A line that a field stands within is cut there, if there is a gap.
    """
    placed = [list(pieces(line, measure)) if _has_within(line, written) else [line] for line in lines]
    page = [piece for line in placed for piece in line]
    for field in sorted(written, key=lambda one: (-one.bottom, one.left)):
        page.insert(_place(page, field), field)
    return page


def _has_within(line: Line, written: Sequence[Line]) -> bool:
    return line.size > 0 and any(line.left < one.left < line.right and shares_row(line, one) for one in written)


def _place(page: Sequence[Line], field: Line) -> int:
    """Return where a field's line goes among those of a page."""
    before = behind = above = -1
    for at, line in enumerate(page):
        if not line.size or not line.text:
            continue
        if shares_row(line, field):
            if line.left <= field.left and (before < 0 or line.left >= page[before].left):
                before = at
            elif line.left > field.left and (behind < 0 or line.left < page[behind].left):
                behind = at
        elif (
            line.bottom > field.bottom
            and line.left < field.right
            and line.right > field.left
            and (above < 0 or line.bottom <= page[above].bottom)
        ):
            above = at
    if before >= 0:
        return before + 1
    if behind >= 0:
        return behind
    return above + 1 if above >= 0 else len(page)


def _rows(lines: Sequence[Line]) -> list[list[int]]:
    """Return the places of the lines that stand on one base line, from the top down, each row from left to right.

    What is printed over a row's other writing, as a stamp is, makes a row of its own.
    """
    rows: list[list[int]] = []
    for here in sorted(range(len(lines)), key=lambda one: -lines[one].bottom):
        line = lines[here]
        for row in reversed(rows[-2:]):
            if shares_row(lines[row[0]], line) and all(_is_clear(lines[other], line) for other in row):
                row.append(here)
                break
        else:
            rows.append([here])
    return [sorted(row, key=lambda one: lines[one].left) for row in rows]


def _is_clear(one: Line, other: Line) -> bool:
    overlap = min(one.right, other.right) - max(one.left, other.left)
    return overlap < 0.5 * min(one.size, other.size)


def put_markers(lines: Sequence[Line]) -> list[Line]:
    """Put the mark of a list's item before the item's text, where it was drawn elsewhere."""
    marks = [at for at, line in enumerate(lines) if is_marker(line.text)]
    moved: dict[int, Line] = {}
    for at in marks if len(marks) <= _MAX_MARKS else ():
        if at + 1 < len(lines) and beside(lines[at], lines[at + 1]):
            continue
        texts = [number for number, line in enumerate(lines) if number != at and beside(lines[at], line)]
        nearest = min(texts, key=lambda number: lines[number].left, default=at)
        if nearest != at and lines[nearest].left - lines[at].right < _TO_ITEM * lines[at].size:
            moved[nearest] = lines[at]
    gone = {id(mark) for mark in moved.values()}
    return [
        one
        for at, line in enumerate(lines)
        if id(line) not in gone
        for one in ([moved[at], line] if at in moved else [line])
    ]


def join_rows(lines: Sequence[Line]) -> list[Line]:
    """Join what stands side by side on one base line and follows each other from left to right: cells of one row."""
    joined: list[Line] = []
    for line in lines:
        last = joined[-1] if joined else None
        if last is not None and beside(last, line):
            larger = max(last, line, key=lambda one: one.size)
            bold = last.bold and line.bold
            joined[-1] = replace(
                last,
                text=f"{last.text} {line.text}",
                right=line.right,
                bottom=larger.bottom,
                size=larger.size,
                bold=bold,
                in_table=last.in_table or line.in_table,
            )
        else:
            joined.append(line)
    return joined


def join_cells(lines: Sequence[Line]) -> list[Line]:
    """Put the rows together of a table that is drawn column by column: labels first, then numbers beside them.

    A column is taken for one only where each of its cells stands beside one line of the column before it, and nearly
    all are numbers or stand behind a colon.
    """
    runs = list(_downward(lines))
    joined: list[list[Line]] = []
    for run in runs:
        rows = _rows_beside(joined[-1], run) if joined else None
        if rows is None:
            joined.append(run)
            continue
        for at, cell in zip(rows, run, strict=True):
            last = joined[-1][at]
            joined[-1][at] = replace(last, text=f"{last.text} {cell.text}", right=cell.right, bold=False)
    return [line for run in joined for line in run]


def _downward(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Part lines wherever one stands higher than the line before it."""
    run: list[Line] = []
    for line in lines:
        if run and line.size and run[-1].size and line.bottom > run[-1].bottom + line.size:
            yield run
            run = []
        run.append(line)
    if run:
        yield run


def _rows_beside(labels: Sequence[Line], cells: Sequence[Line]) -> list[int] | None:
    """Return the places of the lines that a column's cells stand beside; None where it is no column of these lines."""
    if len(cells) < _MIN_ROWS:
        return None
    places: list[int] = []
    at = 0
    for cell in cells:
        while at < len(labels) and labels[at].bottom > cell.bottom + 0.3 * cell.size:
            at += 1
        if at == len(labels) or not cell.size or not beside(labels[at], cell):
            return None
        places.append(at)
        at += 1
    sure = sum(
        _is_label(labels[at].text) or not any(map(str.isalpha, cell.text))
        for at, cell in zip(places, cells, strict=True)
    )
    return places if sure >= _SURE * len(cells) else None
