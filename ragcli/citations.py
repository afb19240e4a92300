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
    """Return each sentence without its markers, and the markers. Markers may stand before or after the full stop."""
    rows: list[tuple[str, list[int]]] = []
    for start, end in sentences(answer)[:_MAX_SENTENCES]:
        part = answer[start:end]
        markers = [int(n) for group in _MARKER.findall(part) for n in re.findall(r"\d+", group)]
        text = _MARKER.sub(" ", part).strip()
        leading = _MARKER.match(part)
        if rows and leading and (not text or not re.search(r"\w", text)):
            rows[-1][1].extend(markers)
        elif text:
            rows.append((text, markers))
    return rows


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
