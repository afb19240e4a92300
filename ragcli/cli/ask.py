"""`ragcli ask`: an answer with sources."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, options
from ragcli.cli.batch import questions
from ragcli.cli.search import explanation, how, opened, show_explanation, show_hit
from ragcli.errors import UsageError

if TYPE_CHECKING:
    from ragcli.answering import Answer, Writer
    from ragcli.embedding.base import Embedder
    from ragcli.generation.engine import LlamaGenerator
    from ragcli.settings import Settings
    from ragcli.storage.index import Index

_STATUS_STYLE = {"supported": "green", "weak": "yellow", "unsupported": "red"}
_NO_MODEL = "no language model was given: these are quotes"
_NO_MODEL_HINT = "`ragcli ask --model FILE.gguf ...` writes an answer in its own words"


def ask(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION|-", help="The question; - reads it from stdin.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", metavar="N", min=1, max=100, help="Most passages used.")] = 5,
    collection: options.Collections = None,
    mode: options.SearchMode = "hybrid",
    source: options.Sources = None,
    min_score: options.MinScore = 0.0,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME|PATH", help="A model of the store, or a GGUF file.")
    ] = "",
    device: Annotated[
        str | None, typer.Option("--device", metavar="auto|cpu|gpu", help="Where the model runs.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", metavar="T", help="0 gives the same answer every time.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed for a temperature above 0.")] = 0,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", metavar="N", help="Longest answer, in tokens.")
    ] = None,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is whole.")] = False,
    show_context: Annotated[
        bool, typer.Option("--show-context", help="Print the passages that were found, too.")
    ] = False,
    explain: options.Explain = False,
    batch: Annotated[
        str,
        typer.Option("--batch", metavar="FILE|-", help="Read JSON Lines {id, question}; write one line per answer."),
    ] = "",
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Answer a question from the index, and cite where it stands. Exit code 3: the documents do not answer."""
    settings = options.settings(
        index, model=model or None, device=device, temperature=temperature, max_tokens=max_tokens
    )
    chosen, filters = how(mode, collection, source, min_score)
    if batch and question is not None:
        raise UsageError("give a question or --batch, not both")
    rows = questions(batch) if batch else []
    asked = "" if batch else _read(question)
    from ragcli import answering

    with _language_model(settings) as model_, opened(settings) as (index_, embedder):
        writer = _writer(model_, index_, embedder, settings, seed)
        if batch:
            for row in rows:
                answer = answering.ask(
                    index_, embedder, writer, row.question, limit=limit, mode=chosen, filters=filters
                )
                console.write_json({"id": row.id, **answer.to_json()})
            return
        streaming = not (json or no_stream) and model_ is not None
        answer = answering.ask(
            index_,
            embedder,
            writer,
            asked,
            limit=limit,
            mode=chosen,
            filters=filters,
            on_text=console.write_piece if streaming else None,
        )
    if model_ is not None and model_.warning:
        console.warn(model_.warning)
    if json:
        console.write_json(answer.to_json() | ({"explain": explanation(answer.result)} if explain else {}))
    else:
        _show(answer, streamed=streaming, context=show_context, explain=explain)
    if model_ is None and not answer.draft.abstained:
        console.say(_NO_MODEL, "dim")
        console.hint(_NO_MODEL_HINT)
    if answer.draft.interrupted:
        raise typer.Exit(130)
    if answer.draft.abstained:
        raise typer.Exit(3)


def _read(question: str | None) -> str:
    text = sys.stdin.read() if question == "-" else question
    if text is None or not text.strip():
        raise UsageError("the question is empty", "ragcli ask QUESTION")
    return text.strip()


@contextlib.contextmanager
def _language_model(settings: Settings) -> Iterator[LlamaGenerator | None]:
    """Start to load the model, if one is named, and end its process in any case."""
    from ragcli import parts

    if not settings.model:
        yield None
        return
    with parts.language_model(settings.model, settings) as model:
        yield model


def _writer(model: LlamaGenerator | None, index: Index, embedder: Embedder, settings: Settings, seed: int) -> Writer:
    from ragcli.answering import ExtractiveWriter, ModelWriter

    if model is None:
        return ExtractiveWriter(index, embedder, settings.abstain_below)
    return ModelWriter(
        model,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
        nothing_below=settings.nothing_below,
    )


def _show(answer: Answer, *, streamed: bool, context: bool, explain: bool) -> None:
    draft = answer.draft
    if streamed and not draft.abstained:
        console.write("")
    else:
        console.write(draft.text)
    if answer.citations:
        console.write("")
    for citation in answer.citations:
        marker = (f"[{citation.marker}] ", "bold")
        if citation.hit is None:
            console.write_line(marker, ("names no passage", "red"))
        else:
            hit = citation.hit
            where = console.place(hit.source, hit.page, hit.line, hit.path)
            console.write_line(marker, where, (f"  {citation.status}", _STATUS_STYLE[citation.status]))
    if context:
        console.write("")
        for hit in answer.result.hits:
            show_hit(hit, explain=explain)
    if explain:
        show_explanation(answer.result)
    if draft.dropped:
        console.say(f"{draft.dropped} passages did not fit into the model's context", "dim")
