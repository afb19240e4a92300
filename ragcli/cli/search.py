"""`ragcli search`: retrieval alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ragcli.cli import console, options
from ragcli.cli.batch import questions
from ragcli.errors import UsageError

if TYPE_CHECKING:
    from ragcli.embedding.base import Embedder, Reranker
    from ragcli.parts import OpenProcess
    from ragcli.records import Hit
    from ragcli.retrieval import Filters, Mode, Result
    from ragcli.settings import Settings
    from ragcli.storage.index import Index


def search(
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="What to look for.")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", metavar="N", min=1, max=1000, help="Most hits.")] = 10,
    collection: options.Collections = None,
    mode: options.SearchMode = "hybrid",
    source: options.Sources = None,
    min_score: options.MinScore = 0.0,
    rerank: options.Rerank = "",
    explain: options.Explain = False,
    batch: Annotated[
        str, typer.Option("--batch", metavar="FILE|-", help="Read JSON Lines {id, question}; write one line per query.")
    ] = "",
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find passages. No language model writes anything."""
    from ragcli import retrieval

    settings = options.settings(index, rerank=rerank or None)
    chosen, filters = how(mode, collection, source, min_score)
    find = partial(retrieval.search, limit=limit, mode=chosen, filters=filters)
    if batch:
        if query is not None:
            raise UsageError("give a query or --batch, not both")
        rows = questions(batch)
        with searching(settings) as (index_, embedder, reranker):
            for row in rows:
                result = find(index_, embedder, row.question, reranker=reranker)
                hits = [hit.to_json() for hit in result.hits]
                console.write_json({"id": row.id, "query": row.question, "hits": hits})
        return
    if query is None or not query.strip():
        raise UsageError("the query is empty", "ragcli search QUERY")
    with searching(settings) as (index_, embedder, reranker):
        result = find(index_, embedder, query, reranker=reranker)
    if json:
        value = {"query": query, "hits": [hit.to_json() for hit in result.hits], "timings": result.timings}
        console.write_json(value | ({"explain": explanation(result)} if explain else {}))
        return
    for hit in result.hits:
        show_hit(hit, explain=explain)
    if explain:
        show_explanation(result)
    if not result.hits:
        console.say("nothing was found")


def how(mode: str, collection: list[str] | None, source: list[str] | None, min_score: float) -> tuple[Mode, Filters]:
    """Return the mode and filters that the options name. Raises UsageError for an unknown mode."""
    from ragcli.retrieval import Filters, Mode

    if mode not in get_args(Mode):
        raise UsageError(f"--mode is {mode!r}: expected one of {', '.join(get_args(Mode))}")
    return mode, Filters(tuple(collection or ()), tuple(source or ()), min_score)  # type: ignore[return-value]


@contextlib.contextmanager
def searching(settings: Settings) -> Iterator[tuple[Index, Embedder, Reranker | None]]:
    """Open the index for reading, with its encoder and the reranker that is named."""
    from ragcli import parts

    with (
        parts.llama_process(settings) as process,
        parts.reranker(settings, process) as reranker,
        opened(settings, process) as (index, embedder),
    ):
        yield index, embedder, reranker


@contextlib.contextmanager
def opened(settings: Settings, process: OpenProcess) -> Iterator[tuple[Index, Embedder]]:
    """Open the index for reading, with its encoder. Raises where it is damaged."""
    from ragcli import parts

    index = parts.open_index(settings)
    try:
        console.say(f"index: {index.folder}", "dim")
        index.require_whole()
        with console.bar("fetching the encoder") as bar:
            embedder = parts.embedder_of(
                index, settings, process, lambda label, done, total: bar.update(done, total, label)
            )
        yield index, embedder
    finally:
        index.close()


def show_hit(hit: Hit, *, explain: bool) -> None:
    """Print one hit."""
    heading = f"  {' > '.join(hit.heading)}" if hit.heading else ""
    console.write_line(
        (f"[{hit.rank}] ", "bold"),
        console.place(hit),
        (heading, "dim"),
        (f"  {hit.score:.3f}", "dim"),
    )
    if explain:
        legs = [("dense", hit.dense), ("lexical", hit.lexical)] + [("rerank", hit.rerank)] * (hit.rerank is not None)
        parts = [f"{name} #{leg.rank} {leg.score:.3f}" if leg else f"{name} -" for name, leg in legs]
        console.write("    " + ", ".join(parts), "cyan")
    for line in hit.text.strip().splitlines():
        console.write(f"    {line}".rstrip())
    for place in hit.also:
        console.write(f"    also in {place.source}" + (f" p. {place.page}" if place.page else ""), "dim")
    console.write("")


def explanation(result: Result) -> dict[str, object]:
    """Return what each leg did, for JSON."""
    e = result.explanation
    return {
        "words": e.words,
        "unknown_words": e.unknown_words,
        "dense_weight": round(e.dense_weight, 3),
        "dense_found": e.dense_found,
        "lexical_found": e.lexical_found,
    }


def show_explanation(result: Result) -> None:
    """Say what each leg did."""
    e = result.explanation
    console.say(f"words: {' '.join(e.words) or '-'}", "cyan")
    if e.unknown_words:
        console.say(f"in no document: {' '.join(e.unknown_words)}", "cyan")
    console.say(
        f"dense leg: weight {e.dense_weight:.2f}, {e.dense_found} candidates; "
        f"lexical leg: weight {1 - e.dense_weight:.2f}, {e.lexical_found} chunks with a word of the question",
        "cyan",
    )
    console.say(", ".join(f"{name.removesuffix('_ms')} {ms:.0f} ms" for name, ms in result.timings.items()), "cyan")
