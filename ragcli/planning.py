"""Paths and what is stored -> Plan: what an ingest has to do, decided before anything is changed.

A file is read here only where it changed and is as long as one that is stored: its content may be the same.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ragcli.errors import ParseFailed, UsageError
from ragcli.naming import title_of
from ragcli.records import SourceFile
from ragcli.sources import Content, Found, Skipped, Walk, is_folder, read
from ragcli.storage.nearby import Nearby
from ragcli.storage.rows import Failure, StoredFile

_RACY_NS = 2_000_000_000
"""A file may change twice within one tick of its file system's clock. As git does, its time is not trusted where it
was read so soon after: then its content is compared. Two seconds is the slowest clock there is."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Files that are gone from a given folder, of the `stored` ones that were read from there.

    So many were gone when their removal was last `refused`; 0 where it never was.
    """

    folder: Path
    gone: tuple[StoredFile, ...]
    stored: int
    refused: int = 0

    @property
    def is_doubtful(self) -> bool:
        """Whether this is to be asked: over half is gone, or what was kept before is gone still."""
        return len(self.gone) * 2 > self.stored or 0 < self.refused <= len(self.gone)


@dataclass(frozen=True, slots=True)
class Known:
    """A file, read at `read_at` (nanoseconds since 1970), whose content is stored as that of `before`."""

    file: SourceFile
    read_at: int
    before: StoredFile


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with some paths.

    `changed` are to be read. The content of others is known: `touched` files have just another time, `moved` ones take
    the place of a file that is gone or holds something else now, `copied` ones that of none. `claimed` are those of the
    `changed` ones that are called like an imported document, which becomes theirs. `remembered` are files
    whose content failed before; `settled` are failures that are none any more, because the file is gone, left out, or
    as it was when it was stored. `links` are those that are followed, or may be one day: what changes behind one, it
    changes at the link, too.
    """

    changed: tuple[SourceFile, ...] = ()
    unchanged: int = 0
    touched: tuple[Known, ...] = ()
    moved: tuple[Known, ...] = ()
    copied: tuple[Known, ...] = ()
    claimed: tuple[Known, ...] = ()
    removals: tuple[Removal, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    missing: tuple[Path, ...] = ()
    remembered: tuple[Failure, ...] = ()
    settled: tuple[Failure, ...] = ()
    links: tuple[Path, ...] = ()


def plan(
    paths: Sequence[Path],
    walk: Walk,
    stored: Iterable[StoredFile],
    failures: Iterable[Failure] = (),
    *,
    retry_failed: bool = False,
    prune: bool = True,
) -> Plan:
    """Compare what lies at `paths` with what one collection holds.

    Nothing that could not be looked at counts as gone, and without `prune` nothing at all does. Raises UsageError
    where none of the paths exists.
    """
    there = existing(paths)
    starts = list(dict.fromkeys(path.resolve() for path in there))
    files, failed = {file.path: file for file in stored}, {failure.path: failure for failure in failures}
    links: list[Path] = []
    found = _find(starts, walk, {file.root for file in files.values() if file.root != file.path}, None, links)

    def count(folder: Path) -> int:
        return sum(path.is_relative_to(folder) for path in files)

    known = _Stored(files, failed, {*files, *failed}, count)
    planned = _compare(starts, walk, found, known, retry_failed=retry_failed, prune=prune)
    return replace(planned, missing=tuple(path for path in paths if path not in there), links=tuple(links))


def plan_near(paths: Sequence[Path], walk: Walk, near: Nearby, *, prune: bool = True) -> Plan:
    """Compare what lies at some places at or below `paths` with what one collection holds there.

    That is the part of what `plan` finds that concerns these places. Where the plan has `links`, it cannot be told from
    the places alone, and is none to go by. Raises UsageError where none of the paths exists.
    """
    starts = list(dict.fromkeys(path.resolve() for path in existing(paths)))
    links: list[Path] = []
    found = _find(starts, walk, near.roots(), near.places, links)
    files = [one for one in found.values() if isinstance(one, SourceFile)]
    here = {file.path: file for file in near.files()}
    alike = near.alike({file.size for file in files}, {file.source for file in files})
    failed = {failure.path: failure for failure in near.failures()}
    gone = {*here, *(path for path in failed if not near.is_apart(path))}
    known = _Stored({file.path: file for file in alike} | here, failed, gone, near.count)
    return replace(_compare(starts, walk, found, known, retry_failed=False, prune=prune), links=tuple(links))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a collection holds, all of it or at some places. What may be gone is `here`, files as well as failures.

    Other files are known for the sake of their content and their names. `count` is that of the files in a folder.
    """

    files: dict[Path, StoredFile]
    failures: dict[Path, Failure]
    here: set[Path]
    count: Callable[[Path], int]


def _compare(
    starts: Sequence[Path], walk: Walk, found: dict[Path, Found], known: _Stored, *, retry_failed: bool, prune: bool
) -> Plan:
    stored_at, failed_at = known.files, known.failures
    claims = _claims(found, stored_at)
    gone = _gone_files(starts, found, stored_at, known.here) if prune else set()

    compared = _Comparison(stored_at, {} if retry_failed else failed_at, walk)
    for file in found.values():
        if isinstance(file, SourceFile):
            compared.add(file)
    imported = {path for path, file in stored_at.items() if file.place is None}
    moved, copied = _places(compared.known, compared.documents, gone | compared.replaced | imported)
    gone -= {one.before.path for one in moved}
    settled = {*_gone(starts, found, known.here.intersection(failed_at)), *compared.unchanged}
    settled.update(one.file.path for one in (*compared.touched, *moved, *copied))
    return Plan(
        changed=tuple(compared.changed),
        unchanged=len(compared.unchanged),
        touched=tuple(compared.touched),
        moved=tuple(moved),
        copied=tuple(copied),
        claimed=tuple(Known(file, 0, claims[file.path]) for file in compared.changed if file.path in claims),
        removals=tuple(_removals(starts, gone, known)),
        skipped=tuple(one for one in found.values() if isinstance(one, Skipped)),
        remembered=tuple(compared.remembered),
        settled=tuple(failure for path, failure in failed_at.items() if path in settled),
    )


def existing(paths: Sequence[Path]) -> list[Path]:
    """Return the paths that exist. Raises UsageError where none does."""
    there = [path for path in paths if exists(path)]
    if not there:
        raise UsageError("no such file or folder: " + ", ".join(map(str, paths[:5])), "check the path")
    return there


def exists(path: Path) -> bool:
    """Return whether something lies at a path, or might, where that cannot be looked at."""
    try:
        return path.exists()
    except OSError:  # it cannot be looked at, which is the walk's to say
        return True


def _find(
    starts: Sequence[Path], walk: Walk, roots: set[Path], places: Sequence[Path] | None, links: list[Path]
) -> dict[Path, Found]:
    """Walk every path once, or only to some places. A file given by itself is read even where rules leave it out.

    The names of files go by the outermost folder, of those given now or before, that they lie in.
    """
    folders = {start for start in starts if is_folder(start)} | roots
    found: dict[Path, Found] = {}
    for start in starts:
        inner = None
        if places is not None and start not in places and not any(place in start.parents for place in places):
            inner = [place for place in places if start in place.parents]
            if not inner:
                continue
        root = min((f for f in folders if start.is_relative_to(f)), key=lambda f: len(f.parts), default=None)
        for one in walk.files(start, root or start.parent, inner, links):
            if isinstance(one, SourceFile) and root is None:
                one = replace(one, root=one.path)
            if isinstance(found.get(one.path), SourceFile):
                continue
            found[one.path] = one
    return found


def _claims(found: dict[Path, Found], stored_at: dict[Path, StoredFile]) -> dict[Path, StoredFile]:
    """Put imported documents at the paths of the files that are called like them, and return them by those paths.

    Where the files lay on the other machine is not known: the name is all that tells.
    """
    imported = {file.source: file for file in stored_at.values() if file.place is None}
    claims = {}
    for path, file in found.items():
        if imported and isinstance(file, SourceFile) and path not in stored_at and file.source in imported:
            claims[path] = stored_at[path] = stored_at.pop(imported.pop(file.source).path)
    return claims


_Key = tuple[str, str]
"""What tells which contents are read alike: the hash, and the format or, of what failed, the suffix."""


class _Comparison:
    """Sorts files by what is stored of them and of their content."""

    def __init__(self, stored_at: dict[Path, StoredFile], failed_at: dict[Path, Failure], walk: Walk) -> None:
        self.stored_at = stored_at
        self.failed_at = failed_at
        self.max_bytes = walk.max_bytes
        self.documents: defaultdict[_Key, list[StoredFile]] = defaultdict(list)
        for stored in stored_at.values():
            if stored.parser >= walk.versions.get(stored.format, 0):
                self.documents[stored.hash, stored.format].append(stored)
        self.failures = {(failure.hash, _suffix(path)): failure for path, failure in failed_at.items() if failure.hash}
        self.sizes = {stored.size for stored in stored_at.values()} | {one.size for one in self.failures.values()}
        self.unchanged: list[Path] = []
        self.touched: list[Known] = []
        self.changed: list[SourceFile] = []
        self.known: defaultdict[_Key, list[Content]] = defaultdict(list)
        self.remembered: list[Failure] = []
        self.replaced: set[Path] = set()

    def add(self, file: SourceFile) -> None:
        before, failure = self.stored_at.get(file.path), self.failed_at.get(file.path)
        if failure and (failure.size, failure.mtime_ns) == (file.size, file.mtime_ns) and _still_fails(failure, file):
            self.remembered.append(failure)
        elif before is not None and _is_same(file, before):
            self.unchanged.append(file.path)
        elif (content := self._content(file)) is not None:
            self._compare(content, before)
        else:
            self.changed.append(file)
            if before is not None and before.size != file.size:
                self.replaced.add(file.path)

    def _content(self, file: SourceFile) -> Content | None:
        """Return the content, less its bytes, of a file that may be one that is known."""
        if file.size not in self.sizes:
            return None
        try:
            return replace(read(file, self.max_bytes), data=b"")
        except ParseFailed:  # to be said when it is read in earnest
            return None

    def _compare(self, content: Content, before: StoredFile | None) -> None:
        file = content.file
        failure = self.failures.get((content.hash, _suffix(file.path)))
        key = (content.hash, file.format)
        if before is not None and before.hash == content.hash and _is_read_as_now(before, file):
            self.touched.append(Known(file, content.read_at, before))
        elif failure and _still_fails(failure, file):
            self.remembered.append(replace(failure, path=file.path, size=file.size, mtime_ns=file.mtime_ns))
        else:
            if before is not None and before.hash != content.hash:
                self.replaced.add(file.path)
            if key in self.documents:
                self.known[key].append(content)
            else:
                self.changed.append(file)


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _still_fails(failure: Failure, file: SourceFile) -> bool:
    return bool(failure.hash) and failure.parser >= file.parser


def _is_same(file: SourceFile, before: StoredFile) -> bool:
    same = (file.size, file.mtime_ns) == (before.size, before.mtime_ns)
    return same and file.mtime_ns < before.read_at - _RACY_NS and _is_read_as_now(before, file)


def _is_read_as_now(before: StoredFile, file: SourceFile) -> bool:
    return before.format == file.format and before.parser >= file.parser


def _places(
    known: dict[_Key, list[Content]], documents: dict[_Key, list[StoredFile]], free: set[Path]
) -> tuple[list[Known], list[Known]]:
    """Pair files with the documents that hold their content: first with `free` ones, by name if they can.

    Returns what is moved and what is copied.
    """
    moved: list[Known] = []
    copied: list[Known] = []
    for key, contents in known.items():
        there = [document for document in documents[key] if document.path in free]
        rest = contents
        for name in (_name, _title, _anything):
            pairs, rest, there = _paired(rest, there, name)
            moved += pairs
        by_title = {_title(document.path): document for document in documents[key]}
        for content in rest:
            document = by_title.get(_title(content.file.path), documents[key][0])
            copied.append(Known(content.file, content.read_at, document))
    return moved, copied


def _paired(
    contents: Sequence[Content], documents: Sequence[StoredFile], name: Callable[[Path], str]
) -> tuple[list[Known], list[Content], list[StoredFile]]:
    """Pair contents and documents of the same name, in their order. Returns the pairs, and what is left of either."""
    named: defaultdict[str, deque[StoredFile]] = defaultdict(deque)
    for document in documents:
        named[name(document.path)].append(document)
    pairs: list[Known] = []
    rest: list[Content] = []
    for content in contents:
        same = named.get(name(content.file.path))
        if same:
            pairs.append(Known(content.file, content.read_at, same.popleft()))
        else:
            rest.append(content)
    return pairs, rest, [document for same in named.values() for document in same]


def _name(path: Path) -> str:
    return path.name


def _title(path: Path) -> str:
    return title_of(path.name)


def _anything(path: Path) -> str:
    return ""


def _gone_files(
    starts: Sequence[Path], found: dict[Path, Found], stored: dict[Path, StoredFile], here: set[Path]
) -> set[Path]:
    gone = _gone(starts, found, here.intersection(stored))
    return {path for path in gone if not _was_given_and_is_there(stored[path])}


def _gone(starts: Sequence[Path], found: dict[Path, Found], known: Iterable[Path]) -> Iterator[Path]:
    """Yield the known paths below the given folders that are not there any more, or are ignored now."""
    unseen = {path for path, one in found.items() if isinstance(one, Skipped) and not one.ignored}
    folders = {start for start in starts if is_folder(start)}
    for path in known:
        above = (path, *path.parents)
        if not isinstance(found.get(path), SourceFile) and unseen.isdisjoint(above) and not folders.isdisjoint(above):
            yield path


def _removals(starts: Sequence[Path], gone: set[Path], known: _Stored) -> Iterator[Removal]:
    """Group the stored files that are gone by the given folder, since each is asked about by itself."""
    for start in starts:
        here = [path for path in sorted(gone) if path.is_relative_to(start)] if gone else []
        gone.difference_update(here)
        if here:
            yield Removal(start, tuple(known.files[path] for path in here), known.count(start))


def _was_given_and_is_there(file: StoredFile) -> bool:
    """A folder's ignore rules do not concern a file that was given by itself."""
    return file.root == file.path and exists(file.path)
