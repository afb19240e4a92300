"""An answer without a language model: the best supported sentences of the hits, quoted and cited.

Every sentence, list item and table row of the hits is scored by the question's words that it holds, by the cosine of
the two where the encoder reads both, by the score of its passage, and by whether it holds the kind of answer that is
asked for. The best ones are quoted as they stand, with what follows them, up to the length of a short paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ragcli.chunking import sentences, width
from ragcli.embedding.base import Embedder
from ragcli.generation.expected import expected, holds
from ragcli.records import Hit
from ragcli.retrieval import Result
from ragcli.words import content_words, words

NAME = "extractive"
KIND = "extractive"

PASSAGE_WEIGHT = 2.0
EXPECTED_BONUS = 0.3
BEST, WITHIN = 4, 0.7
"""At most this many sentences are chosen, each with at least this share of the best one's score."""
WIDTH = 600
_MAX_UNITS = 400
_ROW = re.compile(r"\s*(?:\||[-*•·]\s|\d{1,3}[.)、]\s?|（?[一二三四五六七八九十]+[）、])")
_HEADING = re.compile(r"\s*#{1,6}\s")
_RULE = re.compile(r"[\s|:+=-]*")


@dataclass(frozen=True, slots=True)
class Unit:
    """One sentence, list item or row of a hit, with its scores."""

    hit: int
    text: str
    covered: float
    cosine: float
    fits: bool
    score: float


@dataclass(frozen=True, slots=True)
class Extract:
    """What was chosen: the answer with its markers `[n]`, n counting the hits from 1."""

    text: str
    units: tuple[Unit, ...]


def units_of(text: str) -> Iterator[str]:
    """Yield the sentences, list items and rows of a passage, in order; headings and rules are passed over."""
    prose: list[str] = []

    def flush() -> Iterator[str]:
        paragraph = "\n".join(prose)
        prose.clear()
        for start, end in sentences(paragraph):
            yield " ".join(paragraph[start:end].split())

    for line in text.splitlines():
        if not line.strip() or _HEADING.match(line) or _RULE.fullmatch(line):
            yield from flush()
        elif _ROW.match(line) or " | " in line:
            yield from flush()
            yield line.strip()
        else:
            prose.append(line)
    yield from flush()


def score_units(question: str, hits: Sequence[Hit], embedder: Embedder, rarity: Mapping[str, float]) -> list[Unit]:
    """Return the units of the hits in order. `rarity` is the idf of each of the question's words."""
    wanted = dict.fromkeys(content_words(question))
    total = sum(rarity.get(word, 0.0) for word in wanted) or 1.0
    kind = expected(question)
    found = [(at, hit, text) for at, hit in enumerate(hits) for text in units_of(hit.text)][:_MAX_UNITS]
    cosines = _cosines(question, [(hit, text) for _, hit, text in found], embedder)
    units = []
    for (at, hit, text), cosine in zip(found, cosines, strict=True):
        there = set(words(text))
        covered = sum(rarity.get(word, 0.0) for word in wanted if word in there) / total
        fits = holds(kind, text)
        score = covered + cosine + PASSAGE_WEIGHT * hit.score + EXPECTED_BONUS * (bool(kind) and fits)
        units.append(Unit(at, text, covered, cosine, fits, score))
    return units


def _cosines(question: str, found: Sequence[tuple[Hit, str]], embedder: Embedder) -> list[float]:
    """Return the cosine of the question to each text under its headings; 0 where the encoder cannot read both."""
    cosines = [0.0] * len(found)
    if embedder.reads(question) < 0.5:
        return cosines
    readable = [i for i, (_, text) in enumerate(found) if embedder.reads(text) >= 0.5]
    if readable:
        texts = [" > ".join(found[i][0].heading[-2:])[:200] + "\n" + found[i][1] for i in readable]
        scores = embedder.embed_documents([_fit(text, embedder) for text in texts]) @ embedder.embed_query(question)
        for i, score in zip(readable, scores, strict=True):
            cosines[i] = max(0.0, (float(score) - embedder.floor) / (1.0 - embedder.floor))
    return cosines


def _fit(text: str, embedder: Embedder) -> str:
    starts = embedder.token_starts([text])[0] if len(text) > embedder.window else []
    return text if len(starts) <= embedder.window else text[: starts[embedder.window]]


def evidence(question: str, result: Result, units: Sequence[Unit]) -> float:
    """Return how well the hits bear an answer, from 0 up; ask abstains where it is low.

    Two things tell an answerable question from one that is merely on topic: the best passage stands out among the
    others, and some sentence is close to the question.
    """
    scores = [hit.score for hit in result.hits]
    if not scores or not units or scores[0] <= 0.0:
        return 0.0
    rest = scores[1:10]
    distinct = 1.0 - (sum(rest) / len(rest) / scores[0] if rest else 0.0)
    return distinct + 0.6 * max(unit.cosine for unit in units)


def choose(units: Sequence[Unit]) -> Extract:
    """Choose the best units and those right after them, and set them one after the other with their markers."""
    order = sorted(range(len(units)), key=lambda i: (-units[i].score, i))
    chosen: list[int] = []
    size = 0
    for best in order[:BEST]:
        if units[best].score < WITHIN * units[order[0]].score:
            break
        for at in (best, best + 1):
            if at >= len(units) or at in chosen or units[at].hit != units[best].hit:
                continue
            if not chosen or size + width(units[at].text) <= WIDTH:
                chosen.append(at)
                size += width(units[at].text)
    chosen.sort(key=lambda i: (order.index(next(j for j in order if units[j].hit == units[i].hit)), i))
    return Extract("\n".join(f"{units[i].text} [{units[i].hit + 1}]" for i in chosen), tuple(units[i] for i in chosen))
