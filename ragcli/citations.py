"""Answer -> Citations: which passage each sentence leans on, and how well it bears it.

Support is the share of a sentence's words, small ones included, that its passages hold. Measured against people's
labels (BEGIN, WiCE), all words judge better than content words alone. It sees neither negation nor swapped numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragcli.chunking import sentences
from ragcli.records import Hit
from ragcli.words import words

Status = Literal["supported", "weak", "unsupported"]

SUPPORTED_FROM, WEAK_FROM = 0.8, 0.5
_MARKER = re.compile(r"[\[【]\s*(\d{1,3}(?:\s*[,，、]\s*\d{1,3})*)\s*[\]】]")
_LEADING = re.compile(rf"(?:{_MARKER.pattern}\s*)+")
_GLUED = re.compile(r"(?<=[.!?])(?=[\[【]\s*\d)")  # a full stop ends a sentence only before white space
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w")
_MAX_SENTENCES = 500


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker in an answer. `hit` is None where the marker names no passage.

    `quote` is the passage's sentence that is most like the sentence which cites it.
    """

    marker: int
    hit: Hit | None
    quote: str
    status: Status

    def to_json(self) -> dict[str, Any]:
        """Return the contract's citation object."""
        return {
            "marker": self.marker,
            "source": self.hit.source if self.hit else None,
            "page": self.hit.page if self.hit else None,
            "chunk_id": self.hit.chunk_id if self.hit else None,
            "quote": self.quote,
            "status": self.status,
        }


def cite(answer: str, hits: Sequence[Hit]) -> tuple[Citation, ...]:
    """Return a citation for every marker of `answer`, in order of first use; `[1]` names `hits[0]`.

    A marker that is used more than once keeps the best status that any of its sentences has.
    """
    found: dict[int, Citation] = {}
    for sentence, markers in _cited_sentences(answer):
        for marker in markers:
            citation = _judge(marker, sentence, hits[marker - 1] if 1 <= marker <= len(hits) else None)
            before = found.get(marker)
            if before is None or _RANK[citation.status] < _RANK[before.status]:
                found[marker] = citation
    return tuple(found.values())


_RANK: dict[Status, int] = {"supported": 0, "weak": 1, "unsupported": 2}


def _cited_sentences(answer: str) -> list[tuple[str, list[int]]]:
    """Return each sentence without its markers, and the markers.

    A line ends a sentence. Markers may stand before or after the full stop: one at the beginning of a sentence belongs
    to the sentence before it on the same line, or where there is none, to its own.
    """
    rows: list[tuple[str, list[int]]] = []
    for line in answer.splitlines():
        first = len(rows)
        line = _GLUED.sub(" ", line)
        for start, end in sentences(line):
            part = line[start:end]
            leading = _LEADING.match(part)
            if leading is not None and len(rows) > first:
                rows[-1][1].extend(_markers(leading.group()))
                part = part[leading.end() :]
            text = _MARKER.sub(" ", part).strip()
            if rows and not _WORD.search(text):
                rows[-1][1].extend(_markers(part))
            else:
                rows.append((text, _markers(part)))
    return rows[:_MAX_SENTENCES]


def _markers(text: str) -> list[int]:
    return [int(number) for group in _MARKER.findall(text) for number in _NUMBER.findall(group)]


def _judge(marker: int, sentence: str, hit: Hit | None) -> Citation:
    if hit is None:
        return Citation(marker, None, "", "unsupported")
    share = support(sentence, hit.text)
    status: Status = "supported" if share >= SUPPORTED_FROM else "weak" if share >= WEAK_FROM else "unsupported"
    return Citation(marker, hit, quote(sentence, hit.text), status)


def support(sentence: str, passage: str) -> float:
    """Return the share of the words of `sentence` that `passage` holds; 0 for a sentence without words."""
    wanted = words(sentence)
    there = set(words(passage))
    return sum(word in there for word in wanted) / len(wanted) if wanted else 0.0


def quote(sentence: str, passage: str) -> str:
    """Return the sentence of `passage` that shares the most words with `sentence`."""
    wanted = set(words(sentence))
    best, best_share = "", -1.0
    for start, end in sentences(passage)[:_MAX_SENTENCES]:
        there = set(words(passage[start:end]))
        share = 2 * len(wanted & there) / (len(wanted) + len(there)) if there else 0.0
        if share > best_share:
            best, best_share = passage[start:end], share
    return best
