"""Question -> Answer: retrieve, write, check the citations, abstain where the documents do not answer.

Whether they do is judged twice: before writing by the evidence that retrieval found, and after it by the answer, which
may say itself that the passages do not hold it, or be borne out by them too little. `ragcli calibrate` finds both
thresholds from questions of the user's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ragcli.citations import Citation, Judge, cite
from ragcli.embedding.base import Embedder, Reranker
from ragcli.generation import extractive
from ragcli.generation.base import Generator, Message
from ragcli.prompting import Template, build_prompt, is_refusal, without_markers
from ragcli.records import Hit
from ragcli.retrieval import Filters, Mode, Result, search
from ragcli.storage import lexical
from ragcli.storage.index import Index
from ragcli.support import support
from ragcli.words import content_words, latin_share

OnText = Callable[[str], None]
Turn = tuple[str, str]
"""An earlier question and its answer."""

NO_ANSWER = {"zh": "文档中没有找到答案。", "en": "The documents do not answer this."}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a writer made of a question and its hits. Markers `[n]` in the text count `hits` from 1.

    `evidence` is what retrieval found for an answer, on the writer's own scale from 0 up. `dropped` hits and
    `dropped_turns` did not fit into the model's context.
    """

    text: str
    abstained: bool
    hits: tuple[Hit, ...]
    evidence: float = 0.0
    dropped: int = 0
    dropped_turns: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    load_ms: float = 0.0
    first_token_ms: float = 0.0
    tokens_per_s: float = 0.0
    interrupted: bool = False


class Writer(Protocol):
    """Writes an answer from hits. `kind` is "llama.cpp", "extractive" or "endpoint"."""

    @property
    def name(self) -> str:
        """What the model is called."""

    @property
    def kind(self) -> str:
        """What runs it."""

    def write(self, question: str, result: Result, history: Sequence[Turn], on_text: OnText | None) -> Draft:
        """Return an answer, giving its pieces to `on_text` as they are written."""

    def to_json(self) -> dict[str, Any]:
        """Return what wrote: the contract's `model`, and the template of the prompt where there is one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its checked citations.

    `support` says how far its passages bear it out, 0 to 1; None where it abstained at once. `withheld` is the text of
    a model that was borne out too little.
    """

    question: str
    draft: Draft
    abstained: bool
    text: str
    support: float | None
    citations: tuple[Citation, ...]
    result: Result
    writer: dict[str, Any]
    timings: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON for `ask`."""
        draft = self.draft
        evidence = {"retrieval": round(draft.evidence, 4), "support": self.support}
        return {
            "question": self.question,
            "answer": self.text,
            "abstained": self.abstained,
            "citations": [citation.to_json() for citation in self.citations],
            "hits": [hit.to_json() for hit in self.result.hits],
            **self.writer,
            "usage": {
                "prompt_tokens": draft.prompt_tokens,
                "reused_tokens": draft.reused_tokens,
                "completion_tokens": draft.completion_tokens,
                "dropped_hits": draft.dropped,
                "dropped_turns": draft.dropped_turns,
            },
            "evidence": evidence | ({"withheld": draft.text} if self.text != draft.text else {}),
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

    def write(self, question: str, result: Result, history: Sequence[Turn], on_text: OnText | None) -> Draft:
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
        evidence = extractive.evidence(question, result.hits, chosen, rarity, reads)
        if evidence < self._abstain_below:
            return Draft(refusal(question), True, result.hits, evidence)
        text = extractive.compose(chosen)
        if on_text is not None:
            on_text(text)
        return Draft(text, False, result.hits, evidence, first_token_ms=_ms(start))

    def to_json(self) -> dict[str, Any]:
        """Return the contract's `model`."""
        return {"model": {"name": self.name, "kind": self.kind, "adapter": None}}


class ModelWriter:
    """Answers with a language model, from as many hits as its context holds."""

    def __init__(
        self,
        model: Generator,
        template: Template,
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        nothing_below: float,
        adapter: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self._template = template
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._seed = seed
        self._nothing_below = nothing_below
        self._adapter = adapter

    def prepare(self) -> None:
        """Have the model read, while nobody waits for it, what all prompts begin with."""
        self.model.prepare([self._template.instructions, Message("user", "?")])

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.model.name

    @property
    def kind(self) -> str:
        """What runs it."""
        return self.model.kind

    def write(self, question: str, result: Result, history: Sequence[Turn], on_text: OnText | None) -> Draft:
        """Ask the model; a refusal of its own, or hits that hardly match, count as abstention."""
        if result.best < self._nothing_below or not result.hits:
            return Draft(refusal(question), True, result.hits, result.best)
        start = time.perf_counter()
        model = self.model
        max_tokens = min(self._max_tokens, model.context_size // 2)
        prompt = build_prompt(
            question,
            result.hits,
            room=model.context_size - max_tokens,
            count=model.count_tokens,
            template=self._template,
            history=history,
        )
        waited = _ms(start)
        made = model.generate(
            prompt.messages, max_tokens=max_tokens, temperature=self._temperature, seed=self._seed, on_text=on_text
        )
        return Draft(
            made.text.strip(),
            is_refusal(made.text),
            prompt.hits,
            result.best,
            prompt.dropped,
            prompt.dropped_turns,
            made.prompt_tokens,
            made.reused_tokens,
            made.completion_tokens,
            load_ms=model.load_ms,
            first_token_ms=waited + made.first_token_ms,
            tokens_per_s=made.tokens_per_s,
            interrupted=made.stopped == "interrupted",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the contract's `model`, and the prompt's template."""
        model = {"name": self.name, "kind": self.kind, "adapter": self._adapter, "device": self.model.device}
        return {"model": model, "prompt": {"template": self._template.name, "sha256": self._template.sha256}}


def refusal(question: str) -> str:
    """Return the sentence that says that the documents do not answer, in the question's language."""
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
    reranker: Reranker | None = None,
    judge: Judge | None = None,
    history: Sequence[Turn] = (),
    support_below: float = 0.0,
    on_hits: Callable[[Sequence[Hit]], None] | None = None,
    on_text: OnText | None = None,
) -> Answer:
    """Answer a question from an index. `judge` decides citations that are weak."""
    start = time.perf_counter()
    result = search(index, embedder, question, limit=limit, mode=mode, filters=filters, reranker=reranker)
    retrieve_ms = _ms(start)
    if on_hits is not None:
        on_hits(result.hits)
    draft = writer.write(result.question, result, history, on_text)
    borne = None if draft.abstained else _support(draft)
    abstained = draft.abstained or (borne is not None and borne < support_below and not draft.interrupted)
    text = refusal(question) if abstained and not draft.abstained else draft.text
    citations = () if abstained else cite(text, draft.hits, judge)
    timings = {
        "retrieve_ms": retrieve_ms,
        "load_ms": round(draft.load_ms, 1),
        "first_token_ms": round(draft.first_token_ms, 1),
        "total_ms": _ms(start),
        "tokens_per_s": round(draft.tokens_per_s, 1),
    }
    return Answer(result.question, draft, abstained, text, borne, citations, result, writer.to_json(), timings)


def _support(draft: Draft) -> float:
    """Return how far the passages that a model was given bear out what it wrote."""
    return round(support(without_markers(draft.text), "\n".join(hit.text for hit in draft.hits)), 4)


def _ms(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 1)
