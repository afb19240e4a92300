"""Answer -> Citations: what the passages say to each sentence that cites them.

A sentence is `supported` where its passage bears its words (`ragcli.support`), and `weak` where it bears them in part,
or bears the words but not a number, unit, name or negation among them (`ragcli.facts`). Below that it is
`unsupported`. The thresholds were set on people's labels (benchmarks/attribution.py): of what people call not
attributable, `unsupported` finds nine in ten, and nine in ten of what it names are so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ragcli.facts import differences, locate, read
from ragcli.records import Hit
from ragcli.sentences import sentences
from ragcli.support import evidence

Status = Literal["supported", "weak", "unsupported"]
Judge = Callable[[str, str], float | None]
"""Asked of a sentence and a passage: how surely the passage bears it, 0 to 1; None where it cannot say."""

SUPPORTED_FROM, WEAK_FROM = 0.75, 0.4
_WORST: tuple[Status, ...] = ("unsupported", "weak", "supported")
_MARKER = re.compile(r"[\[【]\s*(\d{1,3}(?:\s*[,，、]\s*\d{1,3})*)\s*[\]】]")
_LEADING = re.compile(rf"(?:{_MARKER.pattern}\s*)+")
_GLUED = re.compile(r"(?<=[.!?])(?=[\[【]\s*\d)")  # a full stop ends a sentence only before white space
_LIST_NUMBER = re.compile(r"^\s*(?:[-*•]\s+|[(（]?\d{1,2}[.)）]\s+|\d{1,2}、)(?=\S)")
_PREFACE = re.compile(
    r"""(?:(?:according\ to|based\ on|as\ (?:stated|described|noted|shown)\ in)\ (?:the|this|these)(?:\ [a-z]+){1,4}
         |yes|in\ (?:short|summary|addition|other\ words)|additionally|also|furthermore|moreover|therefore|thus|hence
         |however|overall|finally|similarly|specifically|for\ example),\ +
      | (?:please\ )?note\ that\ +
      | (?:(?:根据|按照|依据)[^，。,\d]{1,12}|是的|另外|此外|同时|总之|综上|因此|所以|例如|请注意|具体来说)
        [，,：:]\s*
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What joins a sentence to its answer. No passage holds it, and it says nothing of its own."""
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w")
_GAP = re.compile(r"\s+(?=[.,;:!?。，；：！？]|\s)")  # what a marker leaves
_MAX_SENTENCES = 500


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker in an answer. `hit` is None where the marker names no passage.

    `quote` is the passage's sentence that is most like the sentence which cites it, `start` and `end` its place in the
    document, counted as the hit's own. `sentence` is the index of that sentence among those of `check`; `reasons` say
    what the passage does not bear.
    """

    marker: int
    hit: Hit | None
    quote: str
    status: Status
    start: int | None = None
    end: int | None = None
    sentence: int = 0
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the contract's citation object."""
        return {
            "marker": self.marker,
            "source": self.hit.source if self.hit else None,
            "page": self.hit.page if self.hit else None,
            "chunk_id": self.hit.chunk_id if self.hit else None,
            "link": self.hit.link if self.hit else None,
            "quote": self.quote,
            "status": self.status,
            "start": self.start,
            "end": self.end,
            "sentence": self.sentence,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class CheckedSentence:
    """A sentence of an answer, without its markers, and what its passages together make of it.

    `status` is None where it cites nothing. `citations` holds one for each of its markers.
    """

    text: str
    markers: tuple[int, ...]
    status: Status | None
    reasons: tuple[str, ...] = ()
    citations: tuple[Citation, ...] = ()


def cite(answer: str, hits: Sequence[Hit], judge: Judge | None = None) -> tuple[Citation, ...]:
    """Return a citation for every marker of `answer`, in order of first use; `[1]` names `hits[0]`.

    A marker that is used more than once keeps the worst status that any of its sentences has, with that sentence's
    quote and reasons: a sentence that the passage bears must not hide one that it does not. `check` tells them apart.
    """
    found: dict[int, Citation] = {}
    for sentence in check(answer, hits, judge):
        for citation in sentence.citations:
            before = found.get(citation.marker)
            if before is None or _WORST.index(citation.status) < _WORST.index(before.status):
                found[citation.marker] = citation
    return tuple(found.values())


def check(answer: str, hits: Sequence[Hit], judge: Judge | None = None) -> tuple[CheckedSentence, ...]:
    """Return the sentences of `answer`, each checked against the passages that it cites.

    A sentence that cites several passages has the best status that one of them, or all together, give it; where it
    takes several to bear it, none of them is called unsupported. A judge decides what is weak, from .5 for supported.
    """
    rows = _cited_sentences(answer)
    return tuple(_check(i, text, list(dict.fromkeys(markers)), hits, judge) for i, (text, markers) in enumerate(rows))


def _check(index: int, text: str, markers: Sequence[int], hits: Sequence[Hit], judge: Judge | None) -> CheckedSentence:
    if not markers:
        return CheckedSentence(text, (), None)
    claim = text[preface.end() :] if (preface := _PREFACE.match(text)) and preface.end() < len(text) else text
    citations = [_cite(index, marker, claim, hits, judge) for marker in markers]
    best = max(citations, key=lambda citation: _WORST.index(citation.status))
    status, reasons = best.status, best.reasons
    bearing = [citation.hit for citation in citations if citation.hit is not None]
    if status != "supported" and len(bearing) > 1:
        together, its_reasons = _judge(claim, "\n\n".join(map(_passage, bearing)), judge)
        if _WORST.index(together) >= _WORST.index(status):
            status, reasons = together, its_reasons
        if together != "unsupported":
            citations = [
                replace(citation, status="weak") if citation.hit and citation.status == "unsupported" else citation
                for citation in citations
            ]
    return CheckedSentence(text, tuple(markers), status, reasons, tuple(citations))


def _cite(index: int, marker: int, text: str, hits: Sequence[Hit], judge: Judge | None) -> Citation:
    if not 1 <= marker <= len(hits):
        return Citation(marker, None, "", "unsupported", sentence=index, reasons=(f"there is no passage [{marker}]",))
    hit = hits[marker - 1]
    passage = _passage(hit)
    status, reasons = _judge(text, passage, judge)
    headings = len(passage) - len(hit.text)
    start, end = (place - headings for place in locate(text, passage))
    if start < 0:
        start, end = locate(text, hit.text)
    return Citation(marker, hit, hit.text[start:end], status, hit.start + start, hit.start + end, index, reasons)


def _passage(hit: Hit) -> str:
    """Return a hit's text under its headings, which name what it speaks of."""
    return "\n\n".join((*hit.heading, hit.text))


def _judge(sentence: str, passage: str, judge: Judge | None) -> tuple[Status, tuple[str, ...]]:
    """Return what a passage makes of a sentence, and what it does not bear."""
    if not read(sentence).tokens:
        return "unsupported", ("it says nothing",)
    shown = evidence(sentence, passage)
    reasons = tuple(differences(sentence, passage))
    status: Status = "supported" if shown.support >= SUPPORTED_FROM else "weak"
    if shown.support < WEAK_FROM:
        status = "unsupported"
    elif reasons:
        status = "weak"
    if status != "supported" and not reasons:
        reasons = (f"the passage holds {shown.share:.0%} of its words",)
    if status == "weak" and judge is not None and (opinion := judge(sentence, passage)) is not None:
        return ("supported", ()) if opinion >= 0.5 else ("unsupported", reasons)
    return status, () if status == "supported" else reasons


def _cited_sentences(answer: str) -> list[tuple[str, list[int]]]:
    """Return each sentence without its markers, and the markers.

    A line ends a sentence. Markers may stand before or after the full stop: one at the beginning of a sentence belongs
    to the sentence before it on the same line, or where there is none, to its own.
    """
    rows: list[tuple[str, list[int]]] = []
    for line in answer.splitlines():
        first = len(rows)
        line = _GLUED.sub(" ", _LIST_NUMBER.sub("", line))
        for start, end in sentences(line):
            part = line[start:end]
            leading = _LEADING.match(part)
            if leading is not None and len(rows) > first:
                rows[-1][1].extend(_markers(leading.group()))
                part = part[leading.end() :]
            text = _GAP.sub("", _MARKER.sub(" ", part)).strip()
            if rows and not _WORD.search(text):
                rows[-1][1].extend(_markers(part))
            else:
                rows.append((text, _markers(part)))
    return rows[:_MAX_SENTENCES]


def _markers(text: str) -> list[int]:
    return [int(number) for group in _MARKER.findall(text) for number in _NUMBER.findall(group)]
