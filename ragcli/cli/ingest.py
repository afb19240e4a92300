"""`ragcli ingest`: bring the index to the state of some paths."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, options, writing
from ragcli.cli.tools import Tools, lent
from ragcli.errors import UsageError
from ragcli.settings import index_folder

if TYPE_CHECKING:
    from ragcli.parsing.ocr.scans import PageAt
    from ragcli.planning import Plan, Removal
    from ragcli.reporting import Progress, Report
    from ragcli.settings import Settings
    from ragcli.storage.index import Index

_SHOWN, _SHOWN_ROOTS = 20, 3
_LONGEST_NAME = 100
_LONGEST_SCAN = 40
_LONGEST_LIST, _LONGEST_PATH = 256_000_000, 32_767  # bytes


def ingest(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Files and folders.", parser=options.path)
    ] = None,
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
    from ragcli import parts, planning
    from ragcli.reporting import Report
    from ragcli.storage.index import Index, exists

    start = time.perf_counter()
    settings = options.settings(index, jobs=jobs)
    wanted = [*(paths or []), *_listed(files_from)]
    if not wanted:
        raise UsageError("no path was given", "ragcli ingest PATH...")
    planning.existing(wanted)
    check_name(collection)
    parts.check_ocr(settings)
    folder = index_folder(settings)
    console.say(f"index: {folder}", "dim")
    walk = parts.walk(settings, tuple(include or ()), tuple(exclude or ()))

    def look(opened: Index) -> planning.Plan:
        stored, failures = opened.catalog.files(collection), opened.catalog.failures(collection)
        return planning.plan(wanted, walk, stored, failures, retry_failed=retry_failed, prune=prune)

    if dry_run:
        if exists(folder):
            with contextlib.closing(Index(folder)) as opened:
                report = _foretold(look(opened), opened, collection, yes=yes)
        else:
            report = _foretold(planning.plan(wanted, walk, ()), None, collection)
        console.say("dry run: nothing was changed", "dim")
        finish(report, start, json=json, foretold=True)
        if not json and report.estimate_s:
            console.say(f"that would take about {_duration(report.estimate_s)}", "dim")
        return
    report = Report()
    interrupted = False
    try:
        with writing.opened(folder, wait, create=True) as opened:
            plan = look(opened)
            report = Report.of(plan)
            try:
                sync(opened, plan, collection, report, settings, yes=yes)
            finally:
                report.documents, report.chunks, _ = opened.catalog.counts()
    except KeyboardInterrupt:
        interrupted = True
    finish(report, start, json=json)
    if not interrupted:
        _hint_at_old_places(plan)
    if interrupted:
        console.say("interrupted: what was done is kept, and the same command goes on from there")
        raise typer.Exit(130)
    if report.failed:
        raise typer.Exit(1)


def _hint_at_old_places(plan: Plan) -> None:
    """Say how to be rid of what was read from folders that are gone, where the same was found elsewhere now."""
    from ragcli import planning

    roots = {one.before.root for one in plan.copied if one.before.place is not None}
    for root in sorted(root for root in roots if not planning.exists(root))[:_SHOWN_ROOTS]:
        name = shlex.quote(str(root))
        console.hint(f"{root} is gone; what was read from there stays in the index until `ragcli forget {name}`")


def _duration(seconds: float) -> str:
    """Return seconds, from two minutes on minutes, from two hours on hours."""
    if seconds < 120:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def _listed(files_from: str) -> list[Path]:
    """Read paths, one a line, or each ended by NUL as `find -print0` writes them."""
    if not files_from:
        return []
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if files_from == "-" else Path(files_from).open("rb") as stream:
            data = stream.read(_LONGEST_LIST + 1)
    except OSError as error:
        raise UsageError(f"{files_from}: {(error.strerror or str(error)).lower()}") from None
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    if len(data) > _LONGEST_LIST or any(len(line) > _LONGEST_PATH for line in lines):
        raise UsageError(f"{files_from} is no list of paths", "one path a line; a folder stands for all that is in it")
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def check_name(collection: str) -> None:
    """Raise UsageError where a collection cannot be called so."""
    if not collection.isprintable() or not 0 < len(collection) <= _LONGEST_NAME:
        raise UsageError(f"{collection!r} cannot be the name of a collection", "give -c a short, printable name")


def _kept(removal: Removal) -> str:
    return f"{len(removal.gone)} of {removal.stored} files are gone; --yes removes them"


def _foretold(plan: Plan, opened: Index | None, collection: str, *, yes: bool = False) -> Report:
    """Return the report of what a plan would do in a collection where nobody is there to be asked."""
    from ragcli import indexing
    from ragcli.pace import Pace
    from ragcli.reporting import Report

    report = Report.of(plan)
    stored = {one.file.path for one in plan.claimed}
    if opened is not None:
        stored |= {file.path for file in opened.catalog.files(collection)} - {one.before.path for one in plan.moved}
        report.documents, report.chunks, _ = opened.catalog.counts()
    incoming = [*plan.changed, *(one.file for one in plan.copied)]
    report.updated = sum(file.path in stored for file in incoming)
    report.added = len(incoming) - report.updated
    report.moved = len(plan.moved)
    noted = opened.catalog.meta().get("pace", "") if opened is not None else ""
    report.estimate_s = Pace.read(noted).estimate(plan.changed)
    for removal in indexing.weighed(opened, collection, plan.removals) if opened is not None else ():
        if yes or not removal.is_doubtful:
            report.removed += len(removal.gone)
        else:
            report.warn(removal.folder, _kept(removal))
    report.removed += sum(one.file.path in stored for one in plan.moved)  # what lies where they go
    return report


def sync(
    index: Index,
    plan: Plan,
    collection: str,
    report: Report,
    settings: Settings,
    *,
    yes: bool,
    ask: Callable[[str], bool] = console.confirm,
    tools: Tools | None = None,
) -> None:
    """Do what a plan says, and report it. `tools` are used where they are given."""
    from ragcli import indexing, parts

    def may_remove(removal: Removal) -> bool:
        if yes or not removal.is_doubtful:
            return True
        gone = f"{len(removal.gone)} of the {removal.stored} files from {removal.folder} are gone"
        if ask(f"{gone}. Remove them from the index?"):
            return True
        report.warn(removal.folder, _kept(removal))
        return False

    indexing.settle(index, plan, collection, report, may_remove)
    if plan.changed:
        with lent(tools, settings, index) as (parser, embedder), console.bar("reading", "bytes") as bar:

            def show(progress: Progress) -> None:
                label = f"{progress.files} of {len(plan.changed)} files, {progress.chunks} chunks embedded"
                bar.update(progress.done, progress.total, _reading(parser.scanning()) or label)

            indexing.store(
                index,
                embedder,
                parser,
                plan.changed,
                collection,
                report,
                jobs=parts.jobs(settings),
                max_bytes=settings.max_file_mb * 1_000_000,
                on_progress=show,
            )
        _warn_unreadable(report, embedder.id)
    with console.bar("storing", "vectors") as bar:
        indexing.finish(index, report, bar.update)
    indexing.warn_of_kept(index, collection, report)


def _reading(at: PageAt | None) -> str:
    """Return how far a scan is, of which each page takes seconds."""
    if at is None:
        return ""
    name = at.name.rpartition("/")[2]
    short = name if len(name) <= _LONGEST_SCAN else f"{name[: _LONGEST_SCAN - 3]}..."
    return f"reading {short}: page {at.page} of {at.pages} by OCR"


def _warn_unreadable(report: Report, encoder: str) -> None:
    if report.unreadable:
        share = f"{report.unreadable} chunks are in a language that {encoder} cannot read"
        report.warn("", f"{share}; they are found by their words alone")
        console.warn(report.warnings[-1]["reason"])
        console.hint("`ragcli rebuild --encoder multilingual-e5-small` reads 100 languages")


def finish(report: Report, start: float, *, json: bool, foretold: bool = False) -> None:
    """Print what a run has done that began at `start`, by the clock `time.perf_counter`; `foretold`: would do."""
    report.seconds = time.perf_counter() - start
    if json:
        console.write_json(report.to_json())
    else:
        console.write(_would(report) if foretold else _did(report))
        _show_entries(report)
        console.say(_totals(report) if foretold else f"{_totals(report)}; {_embedded(report)}", "dim")


def _did(report: Report) -> str:
    moved = f"{report.moved} moved, " if report.moved else ""
    return (
        f"{report.added} added, {report.updated} updated, {moved}{report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.failed)} failed"
    )


def _would(report: Report) -> str:
    """Say what a run would do. Files are not read for that: those that fail are the ones that are known to."""
    moved = f"move {report.moved}, " if report.moved else ""
    failed = f", {len(report.failed)} failed" if report.failed else ""
    return (
        f"would add {report.added}, update {report.updated}, {moved}remove {report.removed}; "
        f"{report.unchanged} unchanged{failed}"
    )


def _show_entries(report: Report) -> None:
    for kind, style in (("failed", "red"), ("warnings", "yellow"), ("skipped", "dim")):
        entries = [entry for entry in getattr(report, kind) if entry["path"]]
        for entry in entries[:_SHOWN]:
            line = f"  {kind.removesuffix('s')}: {entry['path']}: {entry['reason']}"
            console.say(line.replace("\n", "\\n"), style)  # a file's name must not look like lines of ours
        if len(entries) > _SHOWN:
            console.say(f"  and {len(entries) - _SHOWN} more {kind}; --json lists all", style)


def _totals(report: Report) -> str:
    return f"{report.documents} documents and {report.chunks} chunks in the index"


def _embedded(report: Report) -> str:
    rate = (
        f", {report.embedded / report.phases['embed']:.0f} chunks/s"
        if report.embedded and report.phases["embed"]
        else ""
    )
    return f"{report.embedded} embedded in {report.seconds:.1f} s{rate}"
