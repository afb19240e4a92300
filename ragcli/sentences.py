"""Text -> its sentences, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Mt|Gen|Col|Lt|Sen|Rep|Gov|Inc|Ltd|Co|Corp|Bros|No|Nos|Vol|Fig|Eq|Sec|Art|"
    r"vs|etc|al|cf|approx|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|e\.g|i\.e|p|pp)|\b[A-Z])\.$"
)
_SENTENCE_END = re.compile(
    r"""(?<![.!?])[.!?]++['")\]”’»]*+(?=\s)  # a Western end needs white space after it
      | [。！？；…]+[”’」』）】]*                # a Chinese or Japanese one does not
      | \n[ \t]*(?=\n)                       # an empty line
    """,
    re.VERBOSE,
)


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the offsets in `text` after each sentence between `start` and `end`, the last one excluded."""
    for match in _SENTENCE_END.finditer(text, start, end):
        at = match.end()
        if at >= end:
            return
        if match.group().startswith(".") and len(match.group()) == 1:
            rest = text[at : at + 12].lstrip()[:1]
            if rest.islower() or _ABBREVIATION.search(text[max(start, at - 12) : at]):
                continue
        yield at


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the spans of the sentences of `text`, white space at their borders left out."""
    borders = [0, *sentence_ends(text, 0, len(text)), len(text)]
    return [span for a, b in pairwise(borders) if (span := trim(text, a, b)) is not None]


def trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the span without the white space at its borders, None where it holds nothing else."""
    part = text[start:end]
    body = part.strip()
    if not body:
        return None
    start += len(part) - len(part.lstrip())
    return start, start + len(body)
