"""Plain text, source code and CSV -> Document. Offsets point into the decoded file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

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
    groups of its columns. A record may span lines where a field is quoted. From where the quoting is broken, the lines
    are rows as they stand.
    """
    blocks: list[Block] = []
    records = (record for record in _records(text) if text[record[0] : record[1]].strip())
    head = list(islice(records, _AHEAD))
    first, after = _header_rows([fields for _, _, fields in head])
    header = " / ".join(text[start:end].strip() for start, end, _ in head[first:after])
    for at, (start, end, _) in enumerate(chain(head, records)):
        kind: BlockKind = "table_row" if at >= first else "paragraph"
        blocks.append(Block(start, end, kind, header=header if at >= after else ""))
    return Document(text, cover(text, blocks))


def _records(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the span of every record, and its fields where they can be told."""
    lines = [m.span() for m in _LINE.finditer(text) if m.end() > m.start()]
    csv.field_size_limit(_MAX_CELL)
    sample = [line for a, b in lines[:_SAMPLE] if (line := text[a:b][:_MAX_LINE]).strip()]
    reader = csv.reader((text[a:b].replace("\0", " ") for a, b in lines), delimiter=_delimiter(sample), strict=True)
    first = 0
    try:
        for fields in reader:
            yield lines[first][0], lines[reader.line_num - 1][1], fields
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
    widths = [sum(bool(field.strip()) for field in fields) for fields in records]
    if max(widths, default=0) < 2:
        return 0, 1
    first = next(at for at, width in enumerate(widths) if width >= 2 and width * 3 >= max(widths[at:]) * 2)
    names = [sum(_is_name(name) for field in fields if (name := field.strip())) for fields in records]
    if names[first] * 2 <= widths[first]:
        return first, first
    if (
        first and sum(bool(field.strip()) for field in records[first - 1][1:]) > 1
    ):  # no title, nor a name with its value
        return first - 1, first + 1
    grouped = len(set(records[first])) < len(records[first]) and len(records) > first + 2
    if grouped and names[first + 1] == widths[first + 1] and names[first + 2] * 2 <= widths[first + 2]:
        return first, first + 2
    return first, first + 1


def _is_name(field: str) -> bool:
    """Whether a field may name a column: words, or a time."""
    return (any(map(str.isalpha, field)) and not field[0].isdigit()) or _PERIOD.fullmatch(field) is not None
