"""`ragcli forget`: remove sources so that no byte of them stays in the index; or remove an index."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, options, writing
from ragcli.errors import UsageError
from ragcli.settings import index_folder

if TYPE_CHECKING:
    from ragcli.storage.index import Index
    from ragcli.storage.rows import Failure, StoredFile

_SHOWN = 20


def forget(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="Names as `ragcli sources` lists them, globs, files or folders."),
    ] = None,
    collection: options.Collections = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Remove the whole index, also where it is damaged.")
    ] = False,
    removed: Annotated[
        bool, typer.Option("--removed", help="Forget what `ragcli ingest` has removed or replaced before.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Answer every question with yes.")] = False,
    wait: options.Wait = 60,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Remove sources from the index so that neither their text nor their vectors stand anywhere in its folder."""
    folder = index_folder(options.settings(index))
    if everything:
        if sources or collection or removed:
            raise UsageError("--everything removes the whole index; give nothing else with it")
        _forget_everything(folder, wait, yes=yes, json=json)
        return
    if not sources and not removed:
        raise UsageError("no source was given", "ragcli forget SOURCE..., and `ragcli sources` lists them")
    _forget(folder, sources or [], collection or [], wait, yes=yes, json=json)


def _forget(
    folder: Path, names: Sequence[str], collections: Sequence[str], wait: float, *, yes: bool, json: bool
) -> None:
    from ragcli.storage import forgetting

    start = time.perf_counter()
    with writing.opened(folder, wait, mend=False) as opened:
        console.say(f"index: {folder}", "dim")
        found = _find(opened, names, collections)
        if found.are_many and not yes and not console.confirm(f"Forget {_count(found)}?"):
            raise UsageError(f"{_count(found)} match, and nothing was forgotten", "--yes forgets them")
        try:
            with console.bar("forgetting", "steps") as bar:
                forgetting.forget(
                    opened,
                    found.files,
                    found.failures,
                    lambda step, done, total: bar.update(done, total, f"writing {step}"),
                )
        except KeyboardInterrupt:
            if forgetting.is_unfinished(opened):
                console.say(f"interrupted: {forgetting.UNFINISHED}")
                console.hint(forgetting.AGAIN)
            raise
        documents, chunks, _ = opened.catalog.counts()
    rows = [_row(file.source, file.collection, file.place) for file in found.files]
    rows += [_row(None, failure.collection, failure.path) for failure in found.failures]
    if json:
        seconds = round(time.perf_counter() - start, 3)
        console.write_json({"forgotten": rows, "documents": documents, "chunks": chunks, "seconds": seconds})
    else:
        for row in rows[:_SHOWN]:
            console.write(f"forgotten: {row['source'] or row['path']}".replace("\n", "\\n"))
        if len(rows) > _SHOWN:
            console.write(f"and {len(rows) - _SHOWN} more")
        console.say(f"{documents} documents and {chunks} chunks are left in the index", "dim")
    back = sum(bool(row["on_disk"]) for row in rows)
    if back:
        console.hint(
            f"on the disk still: {back} of {len(rows)}; the next `ragcli ingest` reads again what is there. "
            "Delete it, or name it in .ragcliignore"
        )


def _row(source: str | None, collection: str, path: Path | None) -> dict[str, object]:
    there = path is not None and os.path.lexists(path)
    return {"source": source, "collection": collection, "path": str(path) if path else None, "on_disk": there}


@dataclass
class _Found:
    """What the names on the command line mean, and whether a glob or a folder is among them."""

    files: list[StoredFile] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    are_many: bool = False


def _count(found: _Found) -> str:
    number = len(found.files) + len(found.failures)
    return "1 source" if number == 1 else f"{number} sources"


def _find(index: Index, names: Sequence[str], collections: Sequence[str]) -> _Found:
    """Return what some names mean. Raises UsageError, before anything is changed, where one means nothing.

    A name that a forget had removed before it was interrupted means just that.
    """
    from ragcli.storage import forgetting

    def here(collection: str) -> bool:
        return not collections or collection in collections

    files = [file for file in index.catalog.files() if here(file.collection)]
    failures = [failure for failure in index.catalog.failures() if here(failure.collection)]
    half_gone = {one.source for one in forgetting.unfinished(index) if here(one.collection)}
    found = _Found()
    for name in dict.fromkeys(names):
        places = options.places(name)
        named = [file for file in files if file.source == name] or [file for file in files if file.path in places]
        failed = [failure for failure in failures if failure.path in places]
        if not named and not failed and name not in half_gone:
            inside = [file for file in files if not places.isdisjoint(file.path.parents)]
            named = inside or [file for file in files if fnmatchcase(file.source, name)]
            failed = [failure for failure in failures if not places.isdisjoint(failure.path.parents)]
            found.are_many = True
            if not named and not failed:
                raise _unknown(name, [file.source for file in files])
        found.files += named
        found.failures += failed
    return _Found(list(dict.fromkeys(found.files)), list(dict.fromkeys(found.failures)), found.are_many)


def _unknown(name: str, known: Sequence[str]) -> UsageError:
    import difflib

    near = [one for one in known if name.casefold() in one.casefold()][:3] or difflib.get_close_matches(name, known)
    hint = f"did you mean {', '.join(near)}?" if near else "`ragcli sources` lists them"
    return UsageError(f"no source is called {name!r}; nothing was forgotten", hint)


def _forget_everything(folder: Path, wait: float, *, yes: bool, json: bool) -> None:
    from ragcli.storage import forgetting
    from ragcli.storage.catalog import is_half_removed

    forgetting.require_own(folder)
    if not yes and not console.confirm(f"Remove the index in {folder}, and all that it holds?"):
        raise UsageError("nothing was removed", "--yes removes the index")
    try:
        with writing.one_interrupt():
            left = forgetting.remove(folder, wait, lambda who: console.say(f"waiting for {who}"))
    except KeyboardInterrupt:
        if is_half_removed(folder):
            console.say(f"interrupted: a part of the index is still in {folder}")
            console.hint("`ragcli forget --everything` finishes it")
        raise
    if json:
        console.write_json({"index": str(folder), "left": left})
        return
    console.write(f"removed: {folder}")
    if left:
        names = ", ".join(left[:_SHOWN]).replace("\n", "\\n")
        console.warn(f"{len(left)} files there are not of an index, and were left: {names}")
