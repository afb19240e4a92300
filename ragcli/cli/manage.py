"""`ragcli init`, `check` and `rebuild`: make, examine and mend an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, options, writing
from ragcli.errors import UsageError
from ragcli.settings import INDEX_FOLDER, index_folder

if TYPE_CHECKING:
    from ragcli.reporting import Progress


def init(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Where; the working directory if not given.")
    ] = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Give a folder an index of its own: commands run in it or below it will use that."""
    place = (folder or Path.cwd()).absolute() / INDEX_FOLDER
    there = place.is_dir()
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = place / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{place} cannot be made: {error.strerror}", "give a folder of your own") from None
    if json:
        console.write_json({"index": str(place), "created": not there})
        return
    console.write(f"{'already there: ' if there else ''}{place}")
    console.hint("`ragcli ingest PATH` reads documents into it")


def check(
    deep: Annotated[bool, typer.Option("--deep", help="Read every row and ask for every vector.")] = False,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Look for damage. What is found is remembered: searches refuse to answer until it is mended."""
    from ragcli import parts
    from ragcli.storage import repair

    opened = parts.open_index(options.settings(index))
    try:
        with console.bar("checking", "chunks") as bar:
            findings = repair.check(opened, deep=deep, on_progress=bar.update)
    finally:
        opened.close()
    damaged = [finding.name for finding in findings if finding.problem]
    if json:
        rows = [{"name": f.name, "problem": f.problem or None} for f in findings]
        console.write_json({"ok": not damaged, "findings": rows})
    else:
        for finding in findings:
            console.write(f"{finding.name:8} {finding.problem or 'ok'}", "red" if finding.problem else "")
    if damaged:
        lost = "catalog" in damaged
        console.hint("remove the folder and ingest again, or restore a backup" if lost else "run `ragcli rebuild`")
        raise typer.Exit(4)


def rebuild(
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="NAME", help="Change to this encoder.")] = None,
    wait: options.Wait = 60,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make chunks, words and vectors anew from the documents that are stored, with the same or another encoder."""
    from ragcli import parts, rebuilding

    settings = options.settings(index)
    folder = index_folder(settings)
    with writing.opened(folder, wait, mend=False) as opened, parts.llama_process(settings) as process:
        with console.bar("fetching the encoder") as bar:
            embedder = parts.embedder(
                encoder or opened.encoder or settings.encoder,
                settings,
                process,
                lambda label, done, total: bar.update(done, total, label),
            )
        with console.bar("rebuilding") as bar, console.bar("storing", "vectors") as storing:

            def show(progress: Progress) -> None:
                bar.update(progress.done, progress.total, f"{progress.files} files, {progress.chunks} chunks embedded")

            report = rebuilding.rebuild(opened, embedder, show, storing.update)
        writing.finish_forget(opened)  # not before: on a damaged index it cannot be finished
    if json:
        value = {"documents": report.documents, "chunks": report.chunks, "embedded": report.embedded}
        console.write_json({**value, "encoder": embedder.id, "seconds": round(report.seconds, 3)})
        return
    console.write(
        f"rebuilt {report.documents} documents, {report.chunks} chunks, with {embedder.id}; {report.embedded} embedded"
    )
    if report.unreadable:
        console.warn(f"{report.unreadable} chunks are in a language that {embedder.id} cannot read")
