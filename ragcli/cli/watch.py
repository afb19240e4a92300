"""`ragcli watch`: keep the index at the state of some paths until Ctrl-C, or SIGTERM."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, ingest, options, writing
from ragcli.cli.tools import Tools
from ragcli.errors import IndexLocked, UsageError
from ragcli.settings import index_folder

if TYPE_CHECKING:
    from ragcli.planning import Plan
    from ragcli.reporting import Report
    from ragcli.settings import Settings
    from ragcli.sources import Walk
    from ragcli.storage.index import Index
    from ragcli.storage.nearby import Nearby
    from ragcli.watching import Changed

_SHOWN = 3
_CHANGES = ("added", "updated", "moved", "removed")


def watch(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and folders.", parser=options.path)],
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
    jobs: Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="Files parsed at once.")] = None,
    wait: options.Wait = 60,
    yes: Annotated[bool, typer.Option("--yes", help="Remove files even where over half of a folder is gone.")] = False,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Ingest, and ingest again whenever something changes, until Ctrl-C or SIGTERM (exit code 130).

    With --json, one line for each time.
    """
    from ragcli import parts, planning, watching

    settings = options.settings(index, jobs=jobs)
    planning.existing(paths)
    ingest.check_name(collection)
    folder = index_folder(settings)
    console.say(f"index: {folder}", "dim")
    walk = parts.walk(settings, tuple(include or ()), tuple(exclude or ()))
    resolved = list(dict.fromkeys(path.resolve() for path in paths))
    try:
        with writing.one_interrupt(signal.SIGTERM), Tools(settings) as tools:
            nothing = watching.NOTHING
            watched = _Watched(resolved, collection, walk, folder, settings, tools, wait, prune, yes, json, nothing)
            for changed in watching.changes(resolved, but=folder.resolve()):
                watched.look(changed)
    except KeyboardInterrupt:
        console.say("stopped watching")
        raise typer.Exit(130) from None


@dataclass(frozen=True)
class _Looked:
    """What one look has done: its report, the names of files that came in, and where it looked; None is everywhere."""

    report: Report
    names: list[str]
    near: Nearby | None


@dataclass
class _Watched:
    """Some paths, and what was said of them."""

    paths: Sequence[Path]
    collection: str
    walk: Walk
    folder: Path
    settings: Settings
    tools: Tools
    wait: float
    prune: bool
    yes: bool
    json: bool
    due: Changed
    times: int = 0
    linked: bool = False
    counts: tuple[int, int, int] = (0, 0, 0)
    missing: set[Path] = field(default_factory=set)
    said: set[tuple[str, str, str]] = field(default_factory=set)

    def look(self, changed: Changed) -> None:
        """Bring the index up to date where something has changed since it was, also while another was writing."""
        from ragcli.watching import NOTHING

        self.due |= changed
        if not self.due:
            return
        there = self._there()
        due, self.due = self.due, NOTHING
        if not there:
            return
        start = time.perf_counter()
        try:
            with writing.opened(self.folder, self.wait, create=True) as opened:
                looked = self._sync(opened, there, due)
        except IndexLocked as error:
            console.warn(f"{error.message}; it is tried again")
            self.due = due
            return
        self._show(looked, start)
        self.times += 1

    def _there(self) -> list[Path]:
        """Return the paths that exist. What comes and goes is said; nothing is removed with a path that is gone."""
        from ragcli import planning

        there = [path for path in self.paths if planning.exists(path)]
        missing = set(self.paths).difference(there)
        for path in sorted(missing - self.missing):
            console.warn(f"{path} is not there: nothing is removed from the index, and it is waited for")
        for path in sorted(self.missing - missing):
            console.say(f"{path} is back")
        self.missing = missing
        return there

    def _sync(self, opened: Index, there: list[Path], due: Changed) -> _Looked:
        from ragcli.reporting import Report

        try:
            plan, near = self._plan(opened, there, due)
        except UsageError:  # they have gone meanwhile, and the next look says so
            self.due = due
            return _Looked(Report(), [], None)
        report = Report.of(plan)
        try:
            ingest.sync(
                opened,
                plan,
                self.collection,
                report,
                self.settings,
                yes=self.yes,
                ask=lambda question: False,
                tools=self.tools,
            )
            if opened.encoder:  # so that the first change finds the encoder loaded
                self.tools.embedder(opened)
        finally:
            self.counts = opened.catalog.counts()
            report.documents, report.chunks, _ = self.counts
        moved = [one.file for one in (*plan.moved, *plan.copied)]
        return _Looked(report, [file.source for file in (*plan.changed, *moved)], near)

    def _plan(self, opened: Index, there: list[Path], due: Changed) -> tuple[Plan, Nearby | None]:
        """Plan for the places that changed, and return what is near them, or plan for everything.

        The places do not suffice where links lead to others, or where another process has changed the index.
        """
        from ragcli import planning
        from ragcli.storage.nearby import Nearby

        catalog = opened.catalog
        if not (due.anywhere or self.linked or catalog.counts() != self.counts):
            near = Nearby(catalog, self.collection, due.places)
            plan = planning.plan_near(there, self.walk, near, prune=self.prune)
            if not plan.links:
                return plan, near
        stored, failures = catalog.files(self.collection), catalog.failures(self.collection)
        plan = planning.plan(there, self.walk, stored, failures, prune=self.prune)
        self.linked = bool(plan.links)
        return plan, None

    def _show(self, looked: _Looked, start: float) -> None:
        """Print what one look has changed; nothing where it was nothing, but for the first."""
        report, names = looked.report, looked.names
        if self.times == 0:
            ingest.finish(report, start, json=self.json)
            self._news(looked)
            console.say(f"watching {', '.join(map(str, self.paths))}; Ctrl-C ends it".replace("\n", "\\n"), "dim")
            return
        report.seconds = time.perf_counter() - start
        news = self._news(looked)
        value = report.to_json()
        done = [f"{value[kind]} {kind}" for kind in _CHANGES if value.get(kind)]
        if not (news or done):
            return
        if self.json:
            console.write_json(value)
            return
        for line in news:
            console.say(f"  {line}".replace("\n", "\\n"), "yellow")
        if done:
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            line = f"{time.strftime('%H:%M:%S')}  {', '.join(done)} in {report.seconds:.1f} s" + f": {shown}" * bool(
                names
            )
            console.write(line.replace("\n", "\\n"))

    def _news(self, looked: _Looked) -> list[str]:
        """Return the failures and warnings that were not there at the last look."""
        rows = [("failed", row) for row in looked.report.failed] + [("warning", row) for row in looked.report.warnings]
        now = {(kind, row["path"], row["reason"].removesuffix(" (not tried again)")) for kind, row in rows}
        news = sorted(": ".join(row) for row in now - self.said)
        near = looked.near
        self.said = now if near is None else now | {row for row in self.said if near.is_apart(Path(row[1]))}
        return news
