"""Question -> Answer: retrieve, write, check the citations, abstain where the documents do not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ragcli.citations import Citation, cite
from ragcli.embedding.base import Embedder
from ragcli.generation import extractive
from ragcli.generation.base import Message
from ragcli.prompting import build_prompt, is_refusal
from ragcli.records import Hit
from ragcli.retrieval import Filters, Mode, Result, search
from ragcli.storage import lexical
from ragcli.storage.index import Index
from ragcli.words import content_words

if TYPE_CHECKING:
    from ragcli.generation.engine import LlamaGenerator

OnText = Callable[[str], None]

NO_ANSWER = {"zh": "文档中没有找到答案。", "en": "The documents do not answer this."}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a writer made of a question and its hits. Markers `[n]` in the text count `hits` from 1."""

    text: str
    abstained: bool
    hits: tuple[Hit, ...]
    dropped: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    load_ms: float = 0.0
    first_token_ms: float = 0.0
    tokens_per_s: float = 0.0
    interrupted: bool = False


class Writer(Protocol):
    """Writes an answer from hits. `kind` is "llama.cpp", "extractive" or "endpoint"."""

    name: str
    kind: str

    def write(self, question: str, result: Result, on_text: OnText | None) -> Draft:
        """Return an answer, giving its pieces to `on_text` as they are written."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its checked citations."""

    question: str
    draft: Draft
    citations: tuple[Citation, ...]
    result: Result
    name: str
    kind: str
    timings: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON for `ask`."""
        draft = self.draft
        return {
            "question": self.question,
            "answer": draft.text,
            "abstained": draft.abstained,
            "citations": [citation.to_json() for citation in self.citations],
            "hits": [hit.to_json() for hit in self.result.hits],
            "model": {"name": self.name, "kind": self.kind, "adapter": None},
            "usage": {
                "prompt_tokens": draft.prompt_tokens,
                "completion_tokens": draft.completion_tokens,
                "dropped_hits": draft.dropped,
            },
            "timings": self.timings,
        }


class ExtractiveWriter:
    """Answers without a language model, by quoting."""

    name = extractive.NAME
    kind = extractive.KIND

    def __init__(self, index: Index, embedder: Embedder, abstain_below: float) -> None:
        self._index = index
        self._embedder = embedder
        self._abstain_below = abstain_below

    def write(self, question: str, result: Result, on_text: OnText | None) -> Draft:
        """Quote the sentences that answer best, or abstain where none does."""
        start = time.perf_counter()
        catalog = self._index.catalog
        documents = {ident: catalog.document(ident) for ident in {hit.document for hit in result.hits}}
        units = [
            unit for at, hit in enumerate(result.hits) for unit in extractive.units_of(at, hit, documents[hit.document])
        ][: extractive.MAX_UNITS]
        rarity = lexical.rarity(catalog, content_words(question))
        units = extractive.score(question, result.hits, units, self._embedder, rarity)
        chosen = extractive.choose(units)
        reads = self._embedder.reads(question)
        if extractive.evidence(question, result.hits, chosen, rarity, reads) < self._abstain_below:
            return Draft(refusal(question), True, result.hits)
        text = extractive.compose(chosen)
        if on_text is not None:
            on_text(text)
        return Draft(text, False, result.hits, first_token_ms=_ms(start))


class ModelWriter:
    """Answers with a language model, from as many hits as its context holds."""

    def __init__(
        self, model: LlamaGenerator, *, max_tokens: int, temperature: float, seed: int, nothing_below: float
    ) -> None:
        self.name = model.name
        self.kind = model.kind
        self._model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._seed = seed
        self._nothing_below = nothing_below

    def write(self, question: str, result: Result, on_text: OnText | None) -> Draft:
        """Ask the model; a refusal of its own, or hits that hardly match, count as abstention."""
        if not result.hits or result.hits[0].score < self._nothing_below:
            return Draft(refusal(question), True, result.hits)
        start = time.perf_counter()
        model = self._model
        max_tokens = min(self._max_tokens, model.context_size // 2)
        prompt = build_prompt(
            question,
            result.hits,
            room=model.context_size - max_tokens,
            count=lambda text: model.count_tokens([Message("user", text)]),
        )
        waited = _ms(start)
        made = model.generate(
            prompt.messages, max_tokens=max_tokens, temperature=self._temperature, seed=self._seed, on_text=on_text
        )
        return Draft(
            made.text.strip(),
            is_refusal(made.text),
            prompt.hits,
            prompt.dropped,
            made.prompt_tokens,
            made.completion_tokens,
            load_ms=model.load_ms,
            first_token_ms=waited + made.first_token_ms,
            tokens_per_s=made.tokens_per_s,
            interrupted=made.stopped == "interrupted",
        )


def refusal(question: str) -> str:
    """Return the sentence that says that the documents do not answer, in the question's language."""
    from ragcli.words import latin_share

    return NO_ANSWER["en" if latin_share(question) >= 0.5 else "zh"]


def ask(
    index: Index,
    embedder: Embedder,
    writer: Writer,
    question: str,
    *,
    limit: int = 5,
    mode: Mode = "hybrid",
    filters: Filters | None = None,
    on_hits: Callable[[Sequence[Hit]], None] | None = None,
    on_text: OnText | None = None,
) -> Answer:
    """Answer a question from an index."""
    start = time.perf_counter()
    result = search(index, embedder, question, limit=limit, mode=mode, filters=filters)
    retrieve_ms = _ms(start)
    if on_hits is not None:
        on_hits(result.hits)
    draft = writer.write(result.question, result, on_text)
    citations = () if draft.abstained else cite(draft.text, draft.hits)
    timings = {
        "retrieve_ms": retrieve_ms,
        "load_ms": round(draft.load_ms, 1),
        "first_token_ms": round(draft.first_token_ms, 1),
        "total_ms": _ms(start),
        "tokens_per_s": round(draft.tokens_per_s, 1),
    }
    return Answer(result.question, draft, citations, result, writer.name, writer.kind, timings)


def _ms(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 1)
