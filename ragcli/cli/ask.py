"""`ragcli ask`: an answer with sources."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ragcli.cli import asking, console, options
from ragcli.cli.batch import questions
from ragcli.cli.search import explanation, how, show_explanation, show_hit
from ragcli.errors import UsageError

_NO_MODEL = "no language model was given: these are quotes"
_NO_MODEL_HINT = "`ragcli models list --fits` names models; `ragcli ask --model NAME ...` writes in its own words"


def ask(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION|-", help="The question; - reads it from stdin.")
    ] = None,
    limit: asking.Limit = 5,
    collection: options.Collections = None,
    mode: options.SearchMode = "hybrid",
    source: options.Sources = None,
    min_score: options.MinScore = 0.0,
    rerank: options.Rerank = "",
    model: asking.Model = "",
    adapter: asking.Adapter = None,
    adapter_scale: asking.AdapterScale = 1.0,
    device: asking.Device = None,
    temperature: asking.Temperature = None,
    seed: asking.Seed = 0,
    max_tokens: asking.MaxTokens = None,
    judge: asking.JudgeName = "",
    prompt: asking.Prompt = None,
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
    settings = asking.settings_of(
        index,
        model=model,
        device=device,
        temperature=temperature,
        max_tokens=max_tokens,
        rerank=rerank,
        judge=judge,
        prompt=prompt,
    )
    chosen, filters = how(mode, collection, source, min_score)
    if batch and question is not None:
        raise UsageError("give a question or --batch, not both")
    rows = questions(batch) if batch else []
    asked = "" if batch else _read(question)
    request = asking.Request(limit, chosen, filters, seed, adapter, adapter_scale)
    with asking.asker(settings, request) as asker:
        if batch:
            for row in rows:
                answer = asker.ask(row.question)
                console.write_json(asking.to_json(answer, id=row.id))
                if answer.draft.interrupted:
                    raise typer.Exit(130)
            return
        streaming = not (json or no_stream) and asker.model is not None
        answer = asker.ask(asked, on_text=console.write_piece if streaming else None)
        if json:
            console.write_json(answer.to_json() | ({"explain": explanation(answer.result)} if explain else {}))
        else:
            asking.show_answer(answer, streamed=streaming, quotes=asker.model is not None)
            if show_context:
                console.write("")
                for hit in answer.result.hits:
                    show_hit(hit, explain=explain)
            if explain:
                show_explanation(answer.result)
        asking.say_cost(asker, answer)
        if asker.model is None and not answer.abstained:
            console.say(_NO_MODEL, "dim")
            console.hint(_NO_MODEL_HINT)
    if answer.draft.interrupted:
        raise typer.Exit(130)
    if answer.abstained:
        raise typer.Exit(3)


def _read(question: str | None) -> str:
    text = sys.stdin.read() if question == "-" else question
    if text is None or not text.strip():
        raise UsageError("the question is empty", "ragcli ask QUESTION")
    return text.strip()
