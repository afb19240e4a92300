"""Paths and what is stored -> Plan: what an ingest has to do, decided before anything is read or changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ragcli.errors import UsageError
from ragcli.records import SourceFile
from ragcli.sources import Found, Skipped, Walk
from ragcli.storage.rows import Failure, StoredFile

_RACY_NS = 2_000_000_000
"""A file may change twice within one tick of its file system's clock. As git does, its time is not trusted where it
was read so soon after: then its content is compared. Two seconds is the slowest clock there is."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Files that are gone from a given folder, of the `stored` ones that were read from there."""

    folder: Path
    gone: tuple[StoredFile, ...]
    stored: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with some paths.

    `remembered` are files that failed before and have not changed since; `settled` are failures that are none any
    more, because the file is gone, left out, or as it was when it was stored.
    """

    changed: tuple[SourceFile, ...] = ()
    unchanged: int = 0
    removals: tuple[Removal, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    missing: tuple[Path, ...] = ()
    remembered: tuple[Failure, ...] = ()
    settled: tuple[Failure, ...] = ()


def plan(
    paths: Sequence[Path],
    walk: Walk,
    stored: Iterable[StoredFile],
    failures: Iterable[Failure] = (),
    *,
    retry_failed: bool = False,
) -> Plan:
    """Compare what lies at `paths` with what one collection holds.

    Nothing that could not be looked at counts as gone. Raises UsageError where none of the paths exists.
    """
    there = existing(paths)
    stored_at = {file.path: file for file in stored}
    failed_at = {failure.path: failure for failure in failures}
    starts = list(dict.fromkeys(path.resolve() for path in there))
    found = _find(starts, walk, stored_at.values())

    changed: list[SourceFile] = []
    remembered: list[Failure] = []
    settled = set(_gone(starts, found, failed_at))
    unchanged = 0
    for file in found.values():
        if isinstance(file, Skipped):
            continue
        before, failure = stored_at.get(file.path), failed_at.get(file.path)
        if failure and not retry_failed and (failure.size, failure.mtime_ns) == (file.size, file.mtime_ns):
            remembered.append(failure)
        elif before is not None and _is_same(file, before):
            unchanged += 1
            settled.add(file.path)
        else:
            changed.append(file)
    return Plan(
        changed=tuple(changed),
        unchanged=unchanged,
        removals=tuple(_removals(starts, found, stored_at)),
        skipped=tuple(one for one in found.values() if isinstance(one, Skipped)),
        missing=tuple(path for path in paths if path not in there),
        remembered=tuple(remembered),
        settled=tuple(failure for path, failure in failed_at.items() if path in settled),
    )


def existing(paths: Sequence[Path]) -> list[Path]:
    """Return the paths that exist. Raises UsageError where none does."""
    there = [path for path in paths if _exists(path)]
    if not there:
        raise UsageError("no such file or folder: " + ", ".join(map(str, paths[:5])), "check the path")
    return there


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # it cannot be looked at, which is the walk's to say
        return True


def _find(starts: Sequence[Path], walk: Walk, stored: Iterable[StoredFile]) -> dict[Path, Found]:
    """Walk every path once. A file that is given by itself is read even where a folder's rules leave it out.

    The names of files go by the outermost folder, of those given now or before, that they lie in.
    """
    folders = {start for start in starts if start.is_dir()} | {f.root for f in stored if f.root != f.path}
    found: dict[Path, Found] = {}
    for start in starts:
        root = min((f for f in folders if start.is_relative_to(f)), key=lambda f: len(f.parts), default=None)
        for one in walk.files(start, root or start.parent):
            if isinstance(one, SourceFile) and root is None:
                one = replace(one, root=one.path)
            if isinstance(found.get(one.path), SourceFile):
                continue
            found[one.path] = one
    return found


def _is_same(file: SourceFile, before: StoredFile) -> bool:
    same = (file.size, file.mtime_ns) == (before.size, before.mtime_ns)
    return same and file.mtime_ns < before.read_at - _RACY_NS


def _gone(starts: Sequence[Path], found: dict[Path, Found], known: Iterable[Path]) -> Iterator[Path]:
    """Yield the known paths below the given folders that are not there any more, or are ignored now."""
    unseen = {path for path, one in found.items() if isinstance(one, Skipped) and not one.ignored}
    folders = {start for start in starts if start.is_dir()}
    for path in known:
        above = (path, *path.parents)
        if not isinstance(found.get(path), SourceFile) and unseen.isdisjoint(above) and not folders.isdisjoint(above):
            yield path


def _removals(starts: Sequence[Path], found: dict[Path, Found], stored: dict[Path, StoredFile]) -> Iterator[Removal]:
    """Group the stored files that are gone by the given folder, since each is asked about by itself."""
    gone = {path for path in _gone(starts, found, stored) if not _was_given_and_is_there(stored[path])}
    for start in starts:
        here = [path for path in sorted(gone) if path.is_relative_to(start)] if gone else []
        gone.difference_update(here)
        if here:
            below = sum(path.is_relative_to(start) for path in stored)
            yield Removal(start, tuple(stored[path] for path in here), below)


def _was_given_and_is_there(file: StoredFile) -> bool:
    """A folder's ignore rules do not concern a file that was given by itself."""
    return file.root == file.path and _exists(file.path)
