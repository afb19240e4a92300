"""Plain text, source code and CSV -> Document. Offsets point into the decoded file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, islice

from ragcli.parsing.blocks import cover, paragraphs
from ragcli.records import Block, BlockKind, Document

_LIST_ITEM = re.compile(
    r"""[^\S\r\n]*+(?:[-*+•·–—]\s | \d{1,3}[.)]\s | \(\d{1,3}\) | [a-zA-Z][.)]\s
                     | \d{1,3}、 | [（(][\d一二三四五六七八九十]{1,3}[）)] | [一二三四五六七八九十]{1,3}、)""",
    re.VERBOSE,
)
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_SEPARATOR = re.compile(r"\s*sep=([,;\t|])\s*", re.IGNORECASE)
_PERIOD = re.compile(
    r"(?:19|20)\d\d(?:年(?:度|\d{1,2}月)?|[-/.]?(?:0[1-9]|1[0-2])|[-/ ]?[QH][1-4])?|\d{1,2}月份?|[1-4](?:Q|季度)"
)
"""A year, a month or a quarter, which name columns though they begin with a digit."""
_MAX_CELL = 1 << 20
_MAX_LINE = 10_000
_SAMPLE = 30
"""Lines that are looked at to tell what parts the fields."""
_AHEAD = 12
"""Records that are looked at to tell which is the header."""
_LEAST_ROWS = 3
"""Records of two fields or more that an empty line ends: fewer are names with their values above a table."""

_Record = tuple[int, int, list[str]]
"""The span of a record, and its fields where they can be told."""


def parse_text(text: str) -> Document:
    """Cut plain text into its paragraphs; every item of a list is a block of its own."""
    blocks: list[Block] = []
    for start, end in paragraphs(text):
        lines = [m.span() for m in _LINE.finditer(text, start, end) if m.end() > m.start()]
        if sum(_LIST_ITEM.match(text, a, b) is not None for a, b in lines) < 2:
            blocks.append(Block(start, end, "paragraph"))
            continue
        for a, b in lines:
            if _LIST_ITEM.match(text, a, b) or a == start:
                blocks.append(Block(a, b, "list_item" if _LIST_ITEM.match(text, a, b) else "paragraph"))
            else:
                blocks[-1] = Block(blocks[-1].start, b, blocks[-1].kind)
    return Document(text, cover(text, blocks))


def parse_csv(text: str) -> Document:
    """Make every record of a CSV or TSV file a table row under its header; title lines above it are paragraphs.

    The header is the first record that is as wide as what follows, where it is mostly words, with the one that names
    groups of its columns. After an empty line another table may begin. A record may span lines where a field is quoted.
    From where the quoting is broken, the lines are rows as they stand.
    """
    blocks: list[Block] = []
    header, width = "", 0
    for table in _tables(text):
        head = list(islice(table, _AHEAD))
        records = [fields for _, _, fields in head]
        first, after = _header_rows(records)
        if blocks and not _is_another(records, first, after, width):
            first = after = 0
        else:
            header = " / ".join(text[start:end].strip() for start, end, _ in head[first:after])
            width = max(map(_width, records))
        for at, (start, end, _) in enumerate(chain(head, table)):
            kind: BlockKind = "table_row" if at >= first else "paragraph"
            if text[start:end].strip():
                blocks.append(Block(start, end, kind, header=header if at >= after else ""))
    return Document(text, cover(text, blocks))


def _tables(text: str) -> Iterator[Iterator[_Record]]:
    """Yield the runs of records that may be tables. One or two above an empty line belong to what is below it."""
    count = rows = 0

    def table_of(record: _Record) -> int:
        nonlocal count, rows
        width = _width(record[2])
        if not width:
            count += rows >= _LEAST_ROWS
            rows = 0
        rows += width > 1
        return count

    for _, table in groupby(_records(text), key=table_of):
        yield table


def _width(fields: Sequence[str]) -> int:
    return sum(map(bool, map(str.strip, fields)))


def _records(text: str) -> Iterator[_Record]:
    """Yield every record, and an empty one for the empty lines between two."""
    lines = [m.span() for m in _LINE.finditer(text) if m.end() > m.start()]
    csv.field_size_limit(_MAX_CELL)
    sample = [line for a, b in lines[:_SAMPLE] if (line := text[a:b][:_MAX_LINE]).strip()]
    reader = csv.reader((text[a:b].replace("\0", " ") for a, b in lines), delimiter=_delimiter(sample), strict=True)
    first = 0
    empty = True
    try:
        for fields in reader:
            if fields or not empty:
                yield lines[first][0], lines[reader.line_num - 1][1], fields
            empty = not fields
            first = reader.line_num
    except csv.Error:
        yield from ((a, b, []) for a, b in lines[first:])


def _delimiter(lines: Sequence[str]) -> str:
    """Return what parts the fields: the sign that most lines have, and have most of; or what `sep=;` says."""
    if lines and (declared := _SEPARATOR.fullmatch(lines[0])):
        return declared[1]
    return max(",;\t|", key=lambda sign: (sum(sign in line for line in lines), sum(line.count(sign) for line in lines)))


def _header_rows(records: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return at which record the table begins, and where its header ends; the same where it has none."""
    widths = [_width(fields) for fields in records]
    if max(widths, default=0) < 2:
        return 0, 1
    first = next(
        at
        for at, width in enumerate(widths)
        if width >= 2 and width * 3 >= max(widths[at:]) * 2 and not _is_preamble(widths[at:])
    )
    names = [sum(_is_name(name) for field in fields if (name := field.strip())) for fields in records]
    if names[first] * 2 <= widths[first]:
        return first, first
    if (
        first and sum(bool(field.strip()) for field in records[first - 1][1:]) > 1
    ):  # no title, nor a name with its value
        return first - 1, first + 1
    grouped = len(set(records[first])) < len(records[first]) and len(records) > first + 2
    if grouped and 0 < names[first + 1] == widths[first + 1] and names[first + 2] * 2 <= widths[first + 2]:
        return first, first + 2
    return first, first + 1


def _is_preamble(widths: Sequence[int]) -> bool:
    """Whether what stands above an empty line is narrower than what is below: names with their values, no table."""
    end = widths.index(0) if 0 in widths else len(widths)
    return max(widths[:end]) < max(widths[end:], default=0)


def _is_another(records: Sequence[Sequence[str]], first: int, after: int, width: int) -> bool:
    """Whether records after an empty line have a header of their own, as those of the table before would not look.

    That is a full row of names: above more columns than before, or above a row that holds more than names.
    """
    if not first < after < len(records):
        return False
    named, below = ([_is_name(name) for field in records[at] if (name := field.strip())] for at in (after - 1, after))
    if len(named) < max(2, *map(_width, records)):
        return False
    return all(named) and (len(named) > width or not all(below))


def _is_name(field: str) -> bool:
    """Whether a field may name a column: words, or a time."""
    return (any(map(str.isalpha, field)) and not field[0].isdigit()) or _PERIOD.fullmatch(field) is not None
