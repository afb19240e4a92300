"""`ragcli ingest`: bring the index to the state of some paths."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, options
from ragcli.errors import IndexError_, UsageError
from ragcli.settings import Settings, index_folder

if TYPE_CHECKING:
    from ragcli.embedding.onnx import OnnxEmbedder
    from ragcli.indexing import Plan, Progress, Report
    from ragcli.sources import Walk
    from ragcli.storage.catalog import StoredFile
    from ragcli.storage.index import Index

_SHOWN = 20


def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="Files and folders.")] = None,
    collection: Annotated[
        str, typer.Option("-c", "--collection", metavar="NAME", help="Collection to put them into.")
    ] = "main",
    prune: Annotated[bool, typer.Option("--prune/--no-prune", help="Remove files that are gone from a folder.")] = True,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="GLOB", help="Read only what matches.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Leave out what matches.")
    ] = None,
    files_from: Annotated[
        str, typer.Option("--files-from", metavar="FILE|-", help="Read paths from a file, one a line.")
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try unchanged files that failed before.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="Files parsed at once.")] = None,
    wait: options.Wait = 60,
    yes: Annotated[bool, typer.Option("--yes", help="Answer every question with yes.")] = False,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Read files and folders into the index: what is new or changed is read, what is gone is removed."""
    from ragcli import indexing, parts
    from ragcli.storage.index import Index
    from ragcli.storage.lock import writing

    start = time.perf_counter()
    settings = options.settings(index, jobs=jobs)
    wanted = [*(paths or []), *_listed(files_from)]
    if not wanted:
        raise UsageError("no path was given", "ragcli ingest PATH...")
    missing = [path for path in wanted if not path.exists()]
    if len(missing) == len(wanted):
        raise UsageError("no such file or folder: " + ", ".join(map(str, missing[:5])), "check the path")
    folder = index_folder(settings)
    console.say(f"index: {folder}", "dim")
    report = indexing.Report()
    walk = parts.walk(settings, tuple(include or ()), tuple(exclude or ()))
    if dry_run:
        _dry_run(folder, wanted, collection, walk, report, json=json)
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with writing(folder, wait, lambda who: console.say(f"waiting for {who}")):
        opened = Index(folder, create=True)
        try:
            failed = [] if retry_failed else opened.catalog.failures(collection)
            plan = indexing.plan(wanted, walk, report, opened.catalog.files(collection), failed)
            _sync(opened, plan, collection, report, settings, walk.max_bytes, prune=prune, yes=yes)
        except KeyboardInterrupt:
            console.say(
                f"interrupted; {report.added + report.updated} files are in, the same command goes on from there"
            )
            raise
        except OSError as error:
            if error.errno == 28:
                raise IndexError_(
                    "no space left on the device", "free some space; what was committed is in the index"
                ) from None
            raise
        finally:
            report.seconds = time.perf_counter() - start
            opened.close()
    _show(report, json=json)
    if report.failed:
        raise typer.Exit(1)


def _listed(files_from: str) -> list[Path]:
    if not files_from:
        return []
    try:
        text = sys.stdin.read() if files_from == "-" else Path(files_from).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{files_from}: {error}") from None
    return [Path(line) for line in text.splitlines() if line.strip()]


def _dry_run(folder: Path, paths: list[Path], collection: str, walk: Walk, report: Report, *, json: bool) -> None:
    from ragcli import indexing
    from ragcli.storage.index import Index, exists

    files: list[StoredFile] = []
    if exists(folder):
        opened = Index(folder)
        files = opened.catalog.files(collection)
        report.documents, report.chunks, _ = opened.catalog.counts()
        opened.close()
    plan = indexing.plan(paths, walk, report, files)
    stored = {file.path for file in files}
    report.updated = sum(file.path in stored for file in plan.changed)
    report.added = len(plan.changed) - report.updated
    report.unchanged = plan.unchanged
    report.removed = sum(len(gone) for _, gone, _ in plan.removals)
    console.say("dry run: nothing was changed", "dim")
    _show(report, json=json)


def _sync(
    index: Index,
    plan: Plan,
    collection: str,
    report: Report,
    settings: Settings,
    max_bytes: int,
    *,
    prune: bool,
    yes: bool,
) -> None:
    from ragcli import indexing, parts

    def may_remove(folder: Path, gone: int, stored: int) -> bool:
        if not prune:
            return False
        if gone * 2 <= stored or yes:
            return True
        question = f"{gone} of the {stored} files from {folder} are gone. Remove them from the index?"
        if console.confirm(question):
            return True
        reason = f"{gone} of {stored} files are gone and were kept; --yes removes them"
        report.warnings.append({"path": str(folder), "reason": reason})
        return False

    if not plan.changed and not index.encoder:
        report.failed += [{"path": str(f.path), "reason": f.reason} for f in plan.remembered]
        return
    with console.bar("fetching the encoder") as bar:
        embedder = parts.embedder_of(index, settings, lambda label, done, total: bar.update(done, total, label))
    with parts.parser_pool(settings) as parser, console.bar("reading", "bytes") as bar:

        def show(progress: Progress) -> None:
            label = f"{progress.files} of {len(plan.changed)} files, {progress.chunks} chunks embedded"
            bar.update(progress.done, progress.total, label)

        indexing.sync(
            index,
            embedder,
            parser,
            plan,
            collection,
            report,
            jobs=parts.jobs(settings),
            max_bytes=max_bytes,
            remove=may_remove,
            on_progress=show,
        )
    _warn_unreadable(report, embedder)


def _warn_unreadable(report: Report, embedder: OnnxEmbedder) -> None:
    if report.unreadable:
        share = f"{report.unreadable} chunks are in a language that {embedder.id} cannot read"
        reason = f"{share}; they are found by their words alone"
        report.warnings.append({"path": "", "reason": reason})
        console.warn(reason)
        console.hint("`ragcli rebuild --encoder multilingual-e5-small` reads 100 languages")


def _show(report: Report, *, json: bool) -> None:
    if json:
        console.write_json(report.to_json())
        return
    console.write(
        f"{report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.failed)} failed"
    )
    for kind, style in (("failed", "red"), ("warnings", "yellow"), ("skipped", "dim")):
        entries = [entry for entry in getattr(report, kind) if entry["path"]]
        for entry in entries[:_SHOWN]:
            console.say(f"  {kind.removesuffix('s')}: {entry['path']}: {entry['reason']}", style)
        if len(entries) > _SHOWN:
            console.say(f"  and {len(entries) - _SHOWN} more {kind}; --json lists all", style)
    rate = (
        f", {report.embedded / report.phases['embed']:.0f} chunks/s"
        if report.embedded and report.phases["embed"]
        else ""
    )
    console.say(
        f"{report.documents} documents and {report.chunks} chunks in the index; "
        f"{report.embedded} embedded in {report.seconds:.1f} s{rate}",
        "dim",
    )
