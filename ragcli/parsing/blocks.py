"""What the parsers of several formats share: keeping blocks whole and in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ragcli.records import Block

MAX_TEXT = 200_000_000
"""Longest text, in characters, that one document may have."""

_GAP = re.compile(r"\S")
_PARAGRAPH_BREAK = re.compile(r"(?:\r\n?+|\n)[^\S\r\n]*(?:\r\n?+|\n)\s*")  # ?+: \r\n is never two line ends


def cover(text: str, blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Return `blocks` grown so that together they hold every character of `text` that is not white space.

    What no block holds (list markers, rules, quote marks, table delimiters) goes to the block after it when it
    stands on that block's line, else to the one before it. Below a heading it becomes a paragraph.
    """
    kept: list[Block] = []
    end = 0
    for block in blocks:
        start = max(block.start, end)
        if start >= block.end:
            continue
        if _GAP.search(text, end, start):
            line = max(text.rfind("\n", end, start), text.rfind("\r", end, start)) + 1 or end
            if kept and _GAP.search(text, end, line):
                _append(kept, end, line)
                start = line if _GAP.search(text, line, start) else start
            else:
                start = end
        kept.append(replace(block, start=start))
        end = block.end
    if _GAP.search(text, end):
        _append(kept, end, len(text))
    return tuple(kept)


def _append(kept: list[Block], start: int, end: int) -> None:
    """Give `text[start:end]`, which follows the last block, to it or to a block of its own."""
    if not kept:
        kept.append(Block(start, end, "paragraph"))
    elif kept[-1].kind == "heading":
        kept.append(replace(kept[-1], start=start, end=end, kind="paragraph"))
    else:
        kept[-1] = replace(kept[-1], end=end)


def paragraphs(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the spans of `text[start:end]` that empty lines part."""
    stop = len(text) if end is None else end
    for match in _PARAGRAPH_BREAK.finditer(text, start, stop):
        if text[start : match.start()].strip():
            yield start, match.start()
        start = match.end()
    if text[start:stop].strip():
        yield start, stop


def page_ranges(numbers: Sequence[int]) -> str:
    """Return "page 3" or "pages 3-7, 9", at most ten ranges long. The numbers are in order."""
    borders = [at for at, (a, b) in enumerate(pairwise(numbers), 1) if b != a + 1]
    runs = [(numbers[a], numbers[b - 1]) for a, b in pairwise([0, *borders, len(numbers)])]
    named = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs[:10]) + (" ..." if len(runs) > 10 else "")
    return f"page {named}" if len(numbers) == 1 else f"pages {named}"
