"""What `ask`, `chat` and `calibrate` share: their options, the parts that answer, and how an answer is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragcli.cli import console, options
from ragcli.cli.search import opened

if TYPE_CHECKING:
    from ragcli.answering import Answer, OnText, Turn, Writer
    from ragcli.citations import Citation
    from ragcli.embedding.base import Embedder, Reranker
    from ragcli.generation.base import Generator
    from ragcli.generation.judge import Judge
    from ragcli.prompting import Template
    from ragcli.retrieval import Filters, Mode
    from ragcli.settings import Settings
    from ragcli.storage.index import Index

STATUS_STYLE = {"supported": "green", "weak": "yellow", "unsupported": "red"}
_LONGEST_QUOTE = 160

Limit = Annotated[int, typer.Option("-n", "--limit", metavar="N", min=1, max=100, help="Most passages used.")]
Model = Annotated[
    str,
    typer.Option("--model", metavar="NAME|PATH|URL", help="A model of the store, a GGUF file, or an OpenAI endpoint."),
]
Adapter = Annotated[Path | None, typer.Option("--adapter", metavar="PATH", help="A LoRA adapter (GGUF).")]
AdapterScale = Annotated[float, typer.Option("--adapter-scale", metavar="X", help="How strongly the adapter counts.")]
Device = Annotated[str | None, typer.Option("--device", metavar="auto|cpu|gpu", help="Where the model runs.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", metavar="T", help="0 gives the same answer every time.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed for a temperature above 0.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", metavar="N", help="Longest answer, in tokens.")]
JudgeName = Annotated[
    str, typer.Option("--judge", metavar="NAME|PATH|URL", help="A model that decides citations which are weak.")
]
Prompt = Annotated[
    Path | None, typer.Option("--prompt", metavar="FILE", help="Words around passages and question of your own.")
]


@dataclass(frozen=True)
class Request:
    """What the command line asks for, beside the settings."""

    limit: int
    mode: Mode
    filters: Filters
    seed: int = 0
    adapter: Path | None = None
    adapter_scale: float = 1.0


def settings_of(
    index: Path | None,
    *,
    model: str,
    device: str | None,
    temperature: float | None,
    max_tokens: int | None,
    rerank: str,
    judge: str,
    prompt: Path | None,
) -> Settings:
    """Resolve the settings with what the command line gives."""
    return options.settings(
        index,
        model=model or None,
        device=device,
        temperature=temperature,
        max_tokens=max_tokens,
        rerank=rerank or None,
        judge=judge or None,
        prompt=None if prompt is None else str(prompt),
    )


@dataclass
class Asker:
    """Everything that answers questions, opened and loading. `model` is None where quotes are the answer."""

    index: Index
    embedder: Embedder
    writer: Writer
    model: Generator | None
    reranker: Reranker | None
    judge: Judge | None
    request: Request
    support_below: float
    template: Template

    def ask(
        self,
        question: str,
        history: Sequence[Turn] = (),
        on_text: OnText | None = None,
        without: tuple[str, ...] = (),
    ) -> Answer:
        """Answer one question, from all sources that the filters name but those in `without`."""
        from ragcli import answering

        return answering.ask(
            self.index,
            self.embedder,
            self.writer,
            question,
            limit=self.request.limit,
            mode=self.request.mode,
            filters=replace(self.request.filters, without=without),
            reranker=self.reranker,
            judge=self.judge,
            history=history,
            support_below=self.support_below,
            on_text=on_text,
        )


@contextlib.contextmanager
def asker(settings: Settings, request: Request, *, thresholds: bool = True) -> Iterator[Asker]:
    """Start to load the models that are named, open the index, and end all of it in any case.

    Models are checked first: a bad one is an error even where the index holds nothing. Without `thresholds`, nothing
    but the model itself abstains.
    """
    from ragcli import parts
    from ragcli.answering import ExtractiveWriter, ModelWriter

    with contextlib.ExitStack() as stack:
        process = stack.enter_context(parts.llama_process(settings))
        served = stack.enter_context(parts.language_models(settings, process, request.adapter, request.adapter_scale))
        for notice in served.notices:
            console.say(notice, "yellow")
        template = parts.template(settings)
        writer: Writer
        if served.model is not None:
            writer = ModelWriter(
                served.model,
                template,
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                seed=request.seed,
                nothing_below=settings.nothing_below if thresholds else 0.0,
                adapter=served.adapter,
            )
            writer.prepare()
        index, embedder = stack.enter_context(opened(settings, process))
        if served.model is None:
            writer = ExtractiveWriter(index, embedder, settings.abstain_below if thresholds else 0.0)
        support_below = settings.support_below if thresholds and served.model is not None else 0.0
        judge, reranker = served.judge, served.reranker
        yield Asker(index, embedder, writer, served.model, reranker, judge, request, support_below, template)


def show_answer(answer: Answer, *, streamed: bool, quotes: bool) -> None:
    """Print an answer, as far as it was not streamed, and its citations; with `quotes`, what they lean on."""
    if streamed and answer.draft.text:
        console.write("")
    if not streamed or answer.text != answer.draft.text or not answer.draft.completion_tokens:
        console.write(answer.text)
    if answer.citations:
        console.write("")
    for citation in answer.citations:
        _show_citation(citation, quotes=quotes)
    if answer.text != answer.draft.text:
        console.say(
            f"the passages bear out {answer.support:.0%} of what the model wrote: too little to count as an answer",
            "dim",
        )
    draft = answer.draft
    if draft.dropped:
        console.say(f"{draft.dropped} passages did not fit into the model's context", "dim")
    if draft.dropped_turns:
        console.say(f"the {draft.dropped_turns} oldest questions did not fit into the model's context", "dim")


def _show_citation(citation: Citation, *, quotes: bool) -> None:
    marker = (f"[{citation.marker}] ", "bold")
    if citation.hit is None:
        console.write_line(marker, ("names no passage", "red"))
        return
    hit = citation.hit
    if hit.line and citation.start is not None:  # where the quote begins
        hit = replace(hit, line=hit.line + hit.text[: citation.start - hit.start].count("\n"))
    where = console.place(hit)
    reasons = f" ({'; '.join(citation.reasons)})" if citation.reasons else ""
    console.write_line(marker, where, (f"  {citation.status}{reasons}", STATUS_STYLE[citation.status]))
    quote = " ".join(citation.quote.split())
    if quotes and quote:
        shown = quote if len(quote) <= _LONGEST_QUOTE else quote[: _LONGEST_QUOTE - 1] + "…"
        console.write(f"    {shown}", "dim")


def say_cost(asker: Asker, answer: Answer) -> None:
    """Say on stderr what ran where, and what it cost; nothing where no model wrote."""
    draft = answer.draft
    model = asker.model
    for part in (model, asker.judge):
        if part is not None and part.warning:
            console.warn(part.warning)
    if model is None:
        return
    if not draft.prompt_tokens:
        return
    device = f" on {model.device}" if model.device else ""
    reused = f" ({draft.reused_tokens} reused)" if draft.reused_tokens else ""
    console.say(
        f"{model.name}{device}: {draft.prompt_tokens} prompt tokens{reused}, {draft.completion_tokens} written, "
        f"{draft.tokens_per_s:.0f} a second",
        "dim",
    )


def to_json(answer: Answer, **more: Any) -> dict[str, Any]:
    """Return an answer's JSON with more keys before it."""
    return {**more, **answer.to_json()}
