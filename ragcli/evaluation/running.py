"""Cases -> rows: ask or search, score, say why it failed, and keep each row as it comes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ragcli.answering import Answer
from ragcli.embedding.base import Embedder, Reranker
from ragcli.evaluation.causes import Corpus, explain, named_by
from ragcli.evaluation.records import Case, Context, Response, Row
from ragcli.evaluation.retrieval_metrics import is_stale
from ragcli.evaluation.scoring import KS, score, score_retrieval
from ragcli.records import Hit
from ragcli.retrieval import MAX_QUESTION, Filters, Mode, dense_weight, search
from ragcli.storage.index import Index

CANDIDATES = 100
AT_ONCE = 64
"""Questions that are embedded together where nothing is asked."""


class IndexCorpus:
    """An index as what was ingested and what retrieval finds in it."""

    def __init__(
        self, index: Index, embedder: Embedder, mode: Mode, filters: Filters, reranker: Reranker | None = None
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._mode = mode
        self._filters = filters
        self._reranker = reranker

    @cached_property
    def _files(self) -> dict[str, int]:
        return {file.source: file.id for file in self._index.catalog.files()}

    @property
    def sources(self) -> Sequence[str]:
        """Names of all sources."""
        return list(self._files)

    def text(self, source: str) -> tuple[str, Mapping[int, tuple[int, int]]]:
        """Return the text that was read of a source, and the span of each of its pages."""
        document = self._index.catalog.document(self._files[source])
        pages: dict[int, tuple[int, int]] = {}
        for block in document.blocks:
            if block.page is not None:
                start, _ = pages.get(block.page, (block.start, 0))
                pages[block.page] = (start, block.end)
        return document.text, pages

    def candidates(self, question: str) -> Sequence[Mapping[str, Any]]:
        """Return the hits of a question, many more than are used."""
        return [hit.to_json() for hit in self.search(question, CANDIDATES)]

    def search(self, question: str, limit: int, vector: Any = None) -> Sequence[Hit]:
        """Return the hits of a question; `vector` is its own, where it is known."""
        return search(
            self._index,
            self._embedder,
            question,
            limit=limit,
            mode=self._mode,
            filters=self._filters,
            reranker=self._reranker,
            vector=vector,
        ).hits

    def vectors(self, questions: Sequence[str]) -> Sequence[Any]:
        """Return the vectors of many questions, which is quicker at once; None for those that need none."""
        needed = [question for question in questions if dense_weight(self._embedder, question, self._mode)]
        found = self._embedder.embed_queries([question[:MAX_QUESTION] for question in needed]) if needed else ()
        vectors = dict(zip(needed, found, strict=True))
        return [vectors.get(question) for question in questions]

    def fingerprint(self) -> str:
        """Return the SHA-256 of what was ingested: every source's name and content, and what made the vectors."""
        files = sorted((file.source, file.collection, file.hash) for file in self._index.catalog.files())
        return hashlib.sha256(json.dumps([files, self._embedder.fingerprint]).encode()).hexdigest()


def stale(cases: Sequence[Case], corpus: Corpus) -> list[str]:
    """Return the ids of cases whose gold is in its source no more: it changed since they were written."""
    found = []
    texts: dict[str, tuple[str, Mapping[int, tuple[int, int]]]] = {}
    for case in cases:
        for gold in case.gold:
            names = named_by(gold, corpus)
            if names:
                if names[0] not in texts:
                    texts[names[0]] = corpus.text(names[0])
                if is_stale(gold, *texts[names[0]]):
                    found.append(case.id)
                    break
    return found


def ask_all(
    cases: Sequence[Case],
    ask: Callable[[Case], Answer],
    corpus: Corpus | None,
    done: Mapping[str, Row],
    limit: int,
) -> Iterator[Row]:
    """Ask every case that is not `done` yet, from `limit` passages, and give its row.

    Raises KeyboardInterrupt where an answer was interrupted.
    """
    ks = tuple(k for k in KS if k <= limit) or (limit,)
    for case in cases:
        if case.id in done:
            continue
        start = time.perf_counter()
        answer = ask(case)
        if answer.draft.interrupted:
            raise KeyboardInterrupt
        yield explain(score(case, response_of(case, answer, _ms(start)), ks), corpus)


def search_all(cases: Sequence[Case], corpus: IndexCorpus, limit: int, done: Mapping[str, Row]) -> Iterator[Row]:
    """Search for every case that is not `done` yet, and give its row."""
    left = [case for case in cases if case.id not in done]
    for at in range(0, len(left), AT_ONCE):
        part = left[at : at + AT_ONCE]
        start = time.perf_counter()
        vectors = corpus.vectors([case.question for case in part])
        share = _ms(start) / len(part)
        for case, vector in zip(part, vectors, strict=True):
            start = time.perf_counter()
            hits = corpus.search(case.question, limit, vector)
            yield score_retrieval(case, [hit.to_json() for hit in hits], round(share + _ms(start), 2))


def score_all(cases: Sequence[Case], responses: Mapping[str, Response], done: Mapping[str, Row]) -> Iterator[Row]:
    """Score the recorded answers of every case that is not `done` yet. Cases without one are left out."""
    for case in cases:
        if case.id in responses and case.id not in done:
            yield explain(score(case, responses[case.id]))


def response_of(case: Case, answer: Answer, ms: float) -> Response:
    """Return what `ask` made of a case."""
    told = answer.to_json()
    contexts = tuple(
        Context(hit.text, hit.source, hit.page, hit.start, hit.end, hit.score) for hit in answer.draft.hits
    )
    return Response(
        case.id,
        answer.text,
        contexts,
        answer.abstained,
        tuple(told["citations"]),
        tuple(told["hits"]),
        ms,
        answer.draft.completion_tokens or None,
    )


def _ms(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 2)
