"""Finding the tables in the rows of a sheet: where a header is, what stands above it, and which cells it names.

A block of rows ends at an empty row. Its header is the first row that is as wide as what follows and mostly words, or
the row that the file says is one; rows above it, such as a title merged over the table, are paragraphs. A block without
a header of its own goes on under the header before it, where it has no more columns than that.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice

from ragcli.parsing.building import Builder
from ragcli.parsing.office.workbook import Area, Cell, Row

_AHEAD = 12
"""Rows of a block that are looked at to find its header."""
_WIDE = 300
"""Characters of a header beyond which it cannot be told with every row: then each cell has its name beside it."""
_DATE = re.compile(r"(?:19|20)\d\d(?:-\d\d){0,2}\Z")
_MAX_NAME = 60
_MAX_REPEATED = 100
_MAX_OPEN = 64
"""Columns of a row whose text is repeated from a merged cell above."""
_MAX_REPEATS = 2_000_000
"""Characters that are repeated in all of a sheet."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns of a table, what its header calls them, and the header as one line ("" without one)."""

    columns: tuple[int, ...] = ()
    names: dict[int, str] = field(default_factory=dict)
    header: str = ""
    bold: bool = False


def write_rows(builder: Builder, rows: Iterable[Row], merged: Sequence[Area], header_rows: frozenset[int]) -> None:
    """Add the rows of a sheet, as table rows with their header and paragraphs, to `builder`.

    Raises ParseFailed where the document gets too long.
    """
    table = _Table()
    spans = {(area.row, area.column): area.last_column for area in merged if area.last_column > area.column}
    for block in _blocks(_filled(rows, merged), header_rows):
        head = list(islice(block, _AHEAD))
        at = _header_at(head, spans, table, header_rows)
        for row in head[: at or 0]:
            builder.add(" | ".join(cell.text for cell in row.cells))
        if at is None:
            columns = {cell.column for row in head for cell in row.cells}
            table = table if columns <= set(table.columns) else _Table(tuple(sorted(columns)))
        else:
            count = _header_rows(head, at, spans)
            table = _table(head, at, count, spans)
            for row in head[at : at + count]:
                builder.add(_line(row, _Table(table.columns)), "table_row")
            head = head[at + count :]
        header = table.header if len(table.header) <= _WIDE else ""
        for row in chain(head, block):
            builder.add(_line(row, table), "table_row", header=header)


def _blocks(rows: Iterable[Row], header_rows: frozenset[int]) -> Iterator[Iterator[Row]]:
    """Yield the runs of rows without an empty row between; a row that is declared to be a header begins a new one."""
    last = count = 0

    def block_of(row: Row) -> int:
        nonlocal last, count
        count += row.number != last + 1 or row.number in header_rows
        last = row.number
        return count

    for _, block in groupby(rows, key=block_of):
        yield block


def _filled(rows: Iterable[Row], merged: Sequence[Area]) -> Iterator[Row]:
    """Yield the rows; short text that is merged over several rows stands in each of them."""
    tall = {(area.row, area.column): area.last_row for area in merged if area.last_row > area.row}
    if not tall:
        yield from rows
        return
    open_cells: dict[int, tuple[int, Cell]] = {}
    left = _MAX_REPEATS
    for row in rows:
        open_cells = {column: one for column, one in open_cells.items() if one[0] >= row.number and left > 0}
        own = {cell.column for cell in row.cells}
        repeated = [cell for column, (_, cell) in open_cells.items() if column not in own]
        left -= sum(len(cell.text) for cell in repeated)
        for cell in row.cells:
            fits = len(cell.text) <= _MAX_REPEATED and len(open_cells) < _MAX_OPEN
            if fits and (row.number, cell.column) in tall:
                open_cells[cell.column] = (tall[row.number, cell.column], cell)
        yield Row(row.number, sorted([*row.cells, *repeated])) if repeated else row


def _header_at(
    head: Sequence[Row], spans: dict[tuple[int, int], int], before: _Table, header_rows: frozenset[int]
) -> int | None:
    """Return which row of a block's first ones is its header, or None."""
    first = min(row.cells[0].column for row in head)
    for at, row in enumerate(head):
        if row.number in header_rows:
            return at
        is_title = len(row.cells) == 1 and row.cells[0].column == first  # however many columns it is merged over
        width = _width(row, spans)
        if is_title or width < 2 or width * 3 < max(len(later.cells) for later in head[at:]) * 2:
            continue
        following = head[at + 1 :]
        if not following or not _names_columns(row, following[0]) or not _differs(row, following[0], before):
            return None
        return at
    return None


def _width(row: Row, spans: dict[tuple[int, int], int]) -> int:
    """Return over how many columns a row has text."""
    return sum(min(spans.get((row.number, cell.column), cell.column) - cell.column, 50) + 1 for cell in row.cells)


def _names_columns(row: Row, following: Row) -> bool:
    """Whether a row is mostly words, and none of them is the name of what stands beside it.

    Years count as words, and so do dates, unless the next row has a date there as well.
    """
    dates = {cell.column for cell in following.cells if len(cell.text) > 4 and _DATE.match(cell.text)}
    words = sum(cell.is_text or (cell.column not in dates and bool(_DATE.match(cell.text))) for cell in row.cells)
    return words * 2 > len(row.cells) and not row.cells[0].text.endswith((":", "："))


def _differs(row: Row, following: Row, before: _Table) -> bool:
    """Whether a row looks like a header: by itself, or, where it may be one more row of the table before, by a sign."""
    marks, next_marks = [cell.bold for cell in row.cells], [cell.bold for cell in following.cells]
    if marks[0] and not all(marks) and marks == next_marks:  # a form: names in bold, values beside them
        return False
    if not {cell.column for cell in row.cells} <= set(before.columns):
        return True
    if before.bold:
        return all(marks)
    return all(cell.is_text for cell in row.cells) and not all(cell.is_text for cell in following.cells)


def _header_rows(head: Sequence[Row], at: int, spans: dict[tuple[int, int], int]) -> int:
    """Return how many rows the header has: one more after each of which a cell stands over several columns."""
    last = at
    while (
        any((head[last].number, cell.column) in spans for cell in head[last].cells)
        and last + 2 < len(head)
        and _names_columns(head[last + 1], head[last + 2])
    ):
        last += 1
    return last + 1 - at


def _table(head: Sequence[Row], at: int, count: int, spans: dict[tuple[int, int], int]) -> _Table:
    """Return the table whose header is the `count` rows of `head` from `at` on."""
    columns = sorted({cell.column for row in head[at:] for cell in row.cells})
    names: dict[int, list[str]] = {}
    for row in head[at : at + count]:
        for cell in row.cells:
            last = spans.get((row.number, cell.column), cell.column) if count > 1 else cell.column
            for column in columns if last > cell.column else (cell.column,):
                if cell.column <= column <= last and cell.text not in names.setdefault(column, []):
                    names[column].append(cell.text)
    joined = {column: " ".join(words)[:_MAX_NAME] for column, words in names.items()}
    header = " | ".join(joined.get(column, "") for column in columns).rstrip(" |")
    return _Table(tuple(columns), joined, header, all(cell.bold for cell in head[at].cells))


def _line(row: Row, table: _Table) -> str:
    """Return a row as one line: its cells in the table's columns, or each with its name where those are too many."""
    own = {cell.column: cell.text for cell in row.cells}
    count = bisect_right(table.columns, row.cells[-1].column)
    if len(table.header) > _WIDE or count > 20 + 5 * len(own):
        named = ((table.names.get(column, ""), text) for column, text in own.items())
        return " | ".join(f"{name}: {text}" if name else text for name, text in named)
    columns: Sequence[int] = table.columns[:count]
    if not own.keys() <= set(columns):
        columns = sorted({*columns, *own})
    return " | ".join(own.get(column, "") for column in columns)
