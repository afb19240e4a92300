"""Question -> Hits.

Two legs look for chunks: *dense* compares the question's vector with the chunks' (cosine), *lexical* their words
(BM25). Both scores are absolute, 0 to 1, so they are simply added:

    score(chunk) = w * dense(chunk) + (1 - w) * lexical(chunk)

where w is `DENSE_WEIGHT` times the share of the question that the encoder can read. A leg that cannot read the question
therefore has no say, one that finds nothing adds nothing, and neither can push down what the other is sure of, as it
could under rank fusion. Each leg's score of a chunk is a mean of its own and its neighbours' on the same page, because
the passage that answers a question usually stands among others on the same topic. docs/decisions.md has the figures.

Then neighbouring chunks that score nearly as well are joined into one readable passage, those that hold the question
word for word are put first, further passages of a page that was shown already step back a little, and passages with the
same text are folded into one. A reranker, where there is one, reads the first of these together with the question and
puts them in its own order.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Literal

from ragcli.embedding.base import Embedder, Reranker
from ragcli.errors import IndexDamaged, UsageError
from ragcli.records import Hit, Leg, Place
from ragcli.storage import lexical
from ragcli.storage.catalog import Catalog
from ragcli.storage.index import REBUILD, Index
from ragcli.storage.rows import StoredChunk
from ragcli.words import content_words
from ragcli.words import words as all_words

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors

Mode = Literal["hybrid", "dense", "lexical"]

DENSE_WEIGHT = 0.5
CANDIDATES = 100
"""Chunks taken from each leg before they are scored by both."""
REACH, DECAY = 2, 0.7
"""How many neighbours on each side count, and how fast they count less."""
DENSE_AROUND, LEXICAL_AROUND = 0.6, 0.5
"""Weight of the neighbours' mean beside a chunk's own score of 1."""
JOIN_FROM = 0.92
"""A neighbour is joined where it has at least this share of the passage's best score."""
JOIN_WIDTH = 1400
SAME_PAGE = 0.8
"""Factor for each passage of the same page that is already among the hits."""
VERBATIM_WORDS = 6
"""Fewer words may stand together by chance."""
MAX_QUESTION = 4000
RERANKED = 20
"""Passages that a reranker reads, if not more are asked for. It takes some ten times as long as all before it."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which chunks may be found. Globs match the source's name; empty means all. `without` names sources left out."""

    collections: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    min_score: float = 0.0
    without: tuple[str, ...] = ()

    def documents(self, catalog: Catalog) -> set[int] | None:
        """Return the ids of the documents that may be found; None where all may."""
        if not self.collections and not self.sources and not self.without:
            return None
        return {
            file.id
            for file in catalog.files()
            if file.source not in self.without
            and (not self.collections or file.collection in self.collections)
            and (not self.sources or any(fnmatchcase(file.source, glob) for glob in self.sources))
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each leg did with a question."""

    words: tuple[str, ...]
    unknown_words: tuple[str, ...]
    dense_weight: float
    dense_found: int
    lexical_found: int


@dataclass(frozen=True, slots=True)
class Result:
    """Hits, best first, with milliseconds by step."""

    question: str
    hits: tuple[Hit, ...]
    timings: dict[str, float]
    explanation: Explanation

    @property
    def best(self) -> float:
        """Highest fused score of a hit, or 0."""
        return max((hit.score for hit in self.hits), default=0.0)


@dataclass(frozen=True, slots=True)
class _Scored:
    chunk: StoredChunk
    score: float
    dense: float | None
    lexical: float | None


@dataclass(frozen=True, slots=True)
class _Passage:
    """Consecutive chunks and their best one."""

    best: _Scored
    first: StoredChunk
    last: StoredChunk
    score: float


def search(
    index: Index,
    embedder: Embedder,
    question: str,
    *,
    limit: int = 10,
    mode: Mode = "hybrid",
    filters: Filters | None = None,
    reranker: Reranker | None = None,
    vector: Vectors | None = None,
) -> Result:
    """Find up to `limit` passages for a question. One without a single letter or digit finds nothing.

    `vector` is the question's, where it was embedded beforehand.

    Raises UsageError for an empty question and IndexDamaged where the vectors are not all there.
    """
    question = question.strip()
    if not question:
        raise UsageError("the question is empty")
    filters = filters or Filters()
    clock = _Clock()
    with index.catalog.snapshot():
        admitted = filters.documents(index.catalog)
        words = list(dict.fromkeys(content_words(question[:MAX_QUESTION]))) if mode != "dense" else []
        weight = dense_weight(embedder, question, mode)

        by_words = lexical.score(index.catalog, words)
        lexical_ids = sorted(by_words.scores, key=lambda ident: (-by_words.scores[ident], ident))
        lexical_ids = _admitted(index, lexical_ids, admitted)
        clock.lap("lexical_ms")
        dense_ids: list[int] = []
        if not weight:
            vector = None
        else:
            vector = embedder.embed_query(question[:MAX_QUESTION]) if vector is None else vector
            clock.lap("embed_ms")
            dense_ids = _nearest(index, vector, admitted)
            clock.lap("dense_ms")

        chunks = _with_neighbours(index, {*dense_ids, *lexical_ids})
        dense = {} if vector is None else _cosines(index, embedder.floor, vector, chunks.values())
        scored = _score(chunks, dense, by_words.scores, weight)
        joined = _verbatim_first(_join(scored), _verbatim(index, question[:MAX_QUESTION]) if words else set())
        passages = (p for p in _spread(joined) if round(p.score, 6) >= filters.min_score)
        ranks = tuple({ident: rank for rank, ident in enumerate(ids, 1)} for ids in (dense_ids, lexical_ids))
        hits = _hits(index, passages, ranks, limit if reranker is None else max(limit, RERANKED))
        clock.lap("rank_ms")
    if reranker is not None:
        hits = _reranked(hits, reranker.rank(question[:MAX_QUESTION], [hit.text for hit in hits]))[:limit]
        clock.lap("rerank_ms")
    explanation = Explanation(tuple(words), by_words.unknown, weight, len(dense_ids), len(by_words.scores))
    return Result(question, hits, clock.laps, explanation)


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round((now - self.last) * 1000, 2)
        self.last = now


def dense_weight(embedder: Embedder, question: str, mode: Mode) -> float:
    """Return what the dense leg counts for a question: 0 where the encoder cannot read it."""
    if mode == "lexical" or not any(map(str.isalnum, question)):
        return 0.0
    reads = embedder.reads(question)
    return (DENSE_WEIGHT if mode == "hybrid" else 1.0) * (reads if reads >= 0.1 else 0.0)


def _admitted(index: Index, ids: Sequence[int], documents: set[int] | None) -> list[int]:
    """Return the first `CANDIDATES` of `ids` that lie in some documents, or in all."""
    kept: list[int] = []
    for at in range(0, len(ids), CANDIDATES):
        part = ids[at : at + CANDIDATES]
        owners = index.catalog.chunks(part)
        kept += [i for i in part if i in owners and (documents is None or owners[i].document in documents)]
        if len(kept) >= CANDIDATES:
            break
    return kept[:CANDIDATES]


def _nearest(index: Index, vector: Vectors, documents: set[int] | None) -> list[int]:
    """Return the row ids of the chunks nearest to a vector, best first, in some documents or in all.

    Chroma takes 30 times as long with a filter that matches many rows, so it is asked without one, and for more where
    the filter leaves too few.
    """
    live = index.catalog.counts()[2]
    there = index.vectors.count() if live else 0
    if there < live:
        raise IndexDamaged(f"the index is damaged: {live - there} vectors are missing", REBUILD)
    wanted = CANDIDATES
    while live:
        found = [chunk_id for chunk_id, _ in index.vectors.search(vector, wanted)]
        rows = index.catalog.find_chunks(found)
        near = _admitted(index, [rows[chunk_id] for chunk_id in found if chunk_id in rows], documents)
        if len(near) >= CANDIDATES or wanted >= there:
            return near
        wanted *= 8
    return []


def _with_neighbours(index: Index, ids: set[int]) -> dict[int, StoredChunk]:
    """Return some chunks and those around them in the same documents, in order of row id."""
    found = index.catalog.chunks(ident + step for ident in ids for step in range(-REACH, REACH + 1))
    documents = {found[ident].document for ident in ids}
    return {ident: found[ident] for ident in sorted(found) if found[ident].document in documents}


def _cosines(index: Index, floor: float, vector: Vectors, chunks: Iterable[StoredChunk]) -> dict[int, float]:
    """Return each chunk's cosine to the question above the encoder's floor, scaled to at most 1; never below 0."""
    import numpy as np

    keyed = [(chunk.id, chunk.vector) for chunk in chunks if chunk.vector is not None]
    stored = index.catalog.vectors(key for _, key in keyed)
    if len(stored) < len({key for _, key in keyed}):
        raise IndexDamaged("the index is damaged: the catalog lacks vectors", REBUILD)
    if not keyed:
        return {}
    rows = np.stack([np.frombuffer(stored[key], dtype=np.float32) for _, key in keyed])
    cosines = np.maximum(rows @ vector - floor, 0.0) / (1.0 - floor)
    return {ident: float(cosine) for (ident, _), cosine in zip(keyed, cosines, strict=True)}


def _score(
    chunks: dict[int, StoredChunk], dense: dict[int, float], words: dict[int, float], weight: float
) -> dict[int, _Scored]:
    """Score every chunk by both legs, each smoothed over the chunk's page."""
    scored = {}
    for ident, chunk in chunks.items():
        own = (ident in dense, ident in words)
        if not any(own):
            continue
        score = weight * _smooth(chunk, chunks, dense, DENSE_AROUND)
        score += (1 - weight) * _smooth(chunk, chunks, words, LEXICAL_AROUND)
        scored[ident] = _Scored(chunk, score, dense.get(ident), words.get(ident))
    return scored


def _smooth(chunk: StoredChunk, chunks: dict[int, StoredChunk], scores: dict[int, float], around: float) -> float:
    """Return (own + around * mean of the neighbours' scores) / (1 + around); own, where there are no neighbours."""
    own = scores.get(chunk.id, 0.0)
    total = weights = 0.0
    for step in (*range(-REACH, 0), *range(1, REACH + 1)):
        other = chunks.get(chunk.id + step)
        if other is not None and (other.document, other.page) == (chunk.document, chunk.page):
            factor = DECAY ** abs(step)
            total += factor * scores.get(other.id, 0.0)
            weights += factor
    return own if weights == 0.0 else (own + around * total / weights) / (1 + around)


def _join(scored: dict[int, _Scored]) -> list[_Passage]:
    """Join neighbours under one heading on one page that score nearly as well, best first."""
    passages = []
    used: set[int] = set()
    for best in sorted(scored.values(), key=lambda s: (-s.score, s.chunk.id)):
        if best.chunk.id in used:
            continue
        used.add(best.chunk.id)
        first = last = best.chunk
        size = best.chunk.width
        while True:
            sides = [scored.get(first.id - 1), scored.get(last.id + 1)]
            fitting = [
                s
                for s in sides
                if s is not None
                and s.chunk.id not in used
                and _together(s.chunk, best.chunk)
                and s.score >= JOIN_FROM * best.score
                and size + s.chunk.width <= JOIN_WIDTH
            ]
            if not fitting:
                break
            joined = max(fitting, key=lambda s: s.score).chunk
            used.add(joined.id)
            size += joined.width
            first, last = (joined, last) if joined.id < first.id else (first, joined)
        passages.append(_Passage(best, first, last, best.score))
    return passages


def _together(a: StoredChunk, b: StoredChunk) -> bool:
    return (a.document, a.page, a.heading) == (b.document, b.page, b.heading)


def _verbatim(index: Index, question: str) -> set[int]:
    """Return the chunks that hold a question word for word."""
    said = all_words(question)
    return lexical.verbatim(index.catalog, said) if len(said) >= VERBATIM_WORDS else set()


def _verbatim_first(passages: Iterable[_Passage], chunks: set[int]) -> list[_Passage]:
    """Raise the score of passages with one of some chunks above .9, in their order, and sort anew."""
    raised = [
        replace(p, score=1.0 - 0.1 * (1.0 - p.score)) if not chunks.isdisjoint(range(p.first.id, p.last.id + 1)) else p
        for p in passages
    ]
    return sorted(raised, key=lambda passage: -passage.score)


def _spread(passages: Sequence[_Passage]) -> Iterator[_Passage]:
    """Yield passages best first, each counting `SAME_PAGE` times less for every one yielded from its page."""
    shown: Counter[tuple[int, int]] = Counter()
    heap = [(-passage.score, at) for at, passage in enumerate(passages)]
    heapify(heap)
    while heap:
        negative, at = heappop(heap)
        chunk = passages[at].best.chunk
        page = (chunk.document, chunk.page or 0)
        score = passages[at].score * (SAME_PAGE ** shown[page] if chunk.page is not None else 1.0)
        if score < -negative:
            heappush(heap, (-score, at))
            continue
        shown[page] += 1
        yield replace(passages[at], score=score)


def _hits(index: Index, passages: Iterable[_Passage], ranks: tuple[dict[int, int], ...], limit: int) -> tuple[Hit, ...]:
    """Make hits of the first `limit` passages that differ in more than white space; the others go into `also`."""
    texts: dict[int, str] = {}
    hits: dict[str, Hit] = {}
    for passage in passages:
        chunk = passage.best.chunk
        if chunk.document not in texts:
            texts[chunk.document] = index.catalog.text(chunk.document)
        text = texts[chunk.document][passage.first.start : passage.last.end]
        same = hits.get("".join(text.split()))
        if same is None and len(hits) == limit:
            break
        file = index.catalog.files_by_id([chunk.document])[chunk.document]
        if same is not None:
            place = Place(file.source, chunk.page, passage.first.start, passage.last.end)
            hits["".join(text.split())] = replace(same, also=(*same.also, place))
            continue
        hits["".join(text.split())] = Hit(
            rank=len(hits) + 1,
            score=round(passage.score, 6),
            chunk_id=chunk.chunk_id,
            source=file.source,
            collection=file.collection,
            page=chunk.page,
            page_label=_label(index, chunk),
            heading=chunk.heading,
            start=passage.first.start,
            end=passage.last.end,
            line=passage.first.line,
            text=text,
            dense=_leg(ranks[0].get(chunk.id), passage.best.dense),
            lexical=_leg(ranks[1].get(chunk.id), passage.best.lexical),
            also=(),
            path=file.place,
            document=chunk.document,
        )
    return tuple(hits.values())


def _label(index: Index, chunk: StoredChunk) -> str | None:
    """Return what a chunk's document calls its page, where that is not just its number."""
    if chunk.page is None:
        return None
    labels = index.catalog.labels([chunk.document]).get(chunk.document, [])
    label = labels[chunk.page - 1] if chunk.page <= len(labels) else ""
    return label if label and label != str(chunk.page) else None


def _reranked(hits: Sequence[Hit], scores: Sequence[float]) -> tuple[Hit, ...]:
    """Put hits in the order of a reranker's scores; among equals, the one that retrieval found better comes first."""
    order = sorted(range(len(hits)), key=lambda at: (-scores[at], at))
    return tuple(
        replace(hits[at], rank=rank, rerank=Leg(rank, round(scores[at], 6))) for rank, at in enumerate(order, 1)
    )


def _leg(rank: int | None, score: float | None) -> Leg | None:
    return None if rank is None or score is None else Leg(rank, round(score, 6))
