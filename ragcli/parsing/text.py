"""Plain text, source code and CSV -> Document. Offsets point into the decoded file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from ragcli.parsing.blocks import cover, paragraphs
from ragcli.records import Block, Document

_LIST_ITEM = re.compile(
    r"""[^\S\r\n]*+(?:[-*+•·–—]\s | \d{1,3}[.)]\s | \(\d{1,3}\) | [a-zA-Z][.)]\s
                     | \d{1,3}、 | [（(][\d一二三四五六七八九十]{1,3}[）)] | [一二三四五六七八九十]{1,3}、)""",
    re.VERBOSE,
)
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_MAX_CELL = 1 << 20


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
    """Make every record of a CSV or TSV file a table row under the first one.

    A record may span lines where a field is quoted. From where the quoting is broken, the lines are rows as they stand.
    """
    blocks: list[Block] = []
    header = ""
    for start, end in _records(text):
        if text[start:end].strip():
            blocks.append(Block(start, end, "table_row", header=header))
            header = header or text[start:end].strip()
    return Document(text, cover(text, blocks))


def _records(text: str) -> Iterator[tuple[int, int]]:
    lines = [m.span() for m in _LINE.finditer(text) if m.end() > m.start()]
    first_line = next((line for a, b in lines if (line := text[a:b]).strip()), "")
    delimiter = max(",;\t|", key=first_line.count)
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader((text[a:b].replace("\0", " ") for a, b in lines), delimiter=delimiter, strict=True)
    first = 0
    try:
        for _ in reader:
            yield lines[first][0], lines[reader.line_num - 1][1]
            first = reader.line_num
    except csv.Error:
        yield from lines[first:]
