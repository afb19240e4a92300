"""Paths -> SourceFiles: walk folders, apply ignore rules, name each file, and read it safely.

Rules are those of git: `.gitignore` and `.ragcliignore` in every folder from the given one down, deeper ones winning.
Hidden files and folders are left out, as are links that lead out of the folder. Only regular files are ever opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pathspec import GitIgnoreSpec

from ragcli.errors import ParseFailed, UsageError
from ragcli.formats import BY_SUFFIX, SHARED, UNREAD, VERSIONS
from ragcli.ignoring import Rules, compiled
from ragcli.records import Format, SourceFile
from ragcli.storage.catalog import FILE
from ragcli.storage.lock import LOCK

IGNORE_FILES = (".gitignore", ".ragcliignore")
_OWN_FOLDERS = (".git", ".ragcli")
HIDDEN = (".", "~$")
"""How the names begin of what is left out: hidden files, and those by which Office notes who has a document open."""
_SNIFF = 8192
_MAILBOX = re.compile(rb"From [^\n]*\n[!-9;-~]+:")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that was left out, and why.

    `ignored` is true where an ignore file says so or a link lies there that is not followed: then what was read there
    before goes. `failed` is true where the path should have been read and could not be.
    """

    path: Path
    reason: str
    ignored: bool = False
    failed: bool = False


Found = SourceFile | Skipped
_Rules = tuple[tuple[Path, Rules], ...]


class Walk:
    """How to walk: globs, as in ignore files, that a path must or must not match, and the largest file in bytes.

    The folder `index`, where it lies in what is walked, is passed over. `versions` are those of what reads each format.
    Raises UsageError for a glob that means nothing.
    """

    def __init__(
        self,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        max_bytes: int = 50_000_000,
        index: Path | None = None,
        versions: Mapping[str, int] = VERSIONS,
    ) -> None:
        self.max_bytes = max_bytes
        self.versions = versions
        self._index = index
        self._include = _given(include)
        self._exclude = _given(exclude)

    def files(
        self, start: Path, root: Path, places: Sequence[Path] | None = None, links: list[Path] | None = None
    ) -> Iterator[Found]:
        """Yield what lies at or under `start`. `root` is `start` or a folder above it; both are absolute.

        The order is that of names, links last: one that leads to what was read already is left out. With `places`, all
        below `start`, only what lies at or under one of those is yielded, and what is left out on the way to it. Put
        into `links` are those that lead to something in the folder, or that may one day, and those on that way.
        """
        if not is_folder(start):
            yield self._judge(start, root)
            return
        seen: set[tuple[int, int]] = set()
        met: list[tuple[Path, _Rules]] = []
        links = [] if links is None else links
        ways = _ways(start, places)
        yield from self._folder(start, root, _rules_above(start, root), seen, met, ways)
        links += (path for path, _ in met if path in ways)
        for path, rules in met:
            yield from self._link(path, root, rules, seen, links)

    def _folder(
        self,
        start: Path,
        root: Path,
        rules: _Rules,
        seen: set[tuple[int, int]],
        links: list[tuple[Path, _Rules]] | None,
        ways: Mapping[Path, set[str]],
    ) -> Iterator[Found]:
        """Walk without recursion: folders may be nested deeper than Python's stack. Links are put into `links`.

        Of the folders among `ways`, only the entries that those name are looked at.
        """
        stack: list[tuple[Iterator[os.DirEntry[str]], _Rules]] = [(iter(()), rules)]
        folder: Path | None = start
        while stack:
            if folder is not None:
                try:
                    rules = _with_rules_of(folder, stack[-1][1])
                    names = ways.get(folder)
                    wanted = (entry for entry in os.scandir(folder) if names is None or entry.name in names)
                    entries = sorted(wanted, key=lambda entry: entry.name)
                    seen.add(_identity(folder.stat()))
                    stack.append((iter(entries), rules))
                except OSError as error:
                    yield Skipped(folder, _reason(error), failed=True)
                folder = None
            entry = next(stack[-1][0], None)
            if entry is None:
                stack.pop()
                continue
            if entry.name in IGNORE_FILES or entry.name in _OWN_FOLDERS:
                continue
            path = Path(entry.path)
            if path == self._index:
                continue
            if (left_out := self._left_out(entry, path, root, stack[-1][1])) is not None:
                yield left_out
            elif entry.is_symlink():
                if links is not None:
                    links.append((path, stack[-1][1]))
            elif is_folder(entry):
                folder = path
            else:
                yield self._judge(path, root, seen)

    def _left_out(self, entry: os.DirEntry[str], path: Path, root: Path, rules: _Rules) -> Skipped | None:
        if entry.name.startswith(HIDDEN):
            return Skipped(path, "hidden")
        has_entries = is_folder(entry)
        if _ignored(path, has_entries, rules):
            return Skipped(path, "ignored", ignored=True)
        if has_entries and _is_index(path):
            return Skipped(path, "an index of ragcli's", ignored=True)
        if has_entries and self._exclude is not None and self._exclude.match_file(_relative(path, root) + "/"):
            return Skipped(path, "excluded")
        return None

    def _link(
        self, path: Path, root: Path, rules: _Rules, seen: set[tuple[int, int]], links: list[Path]
    ) -> Iterator[Found]:
        leads_out = False
        try:
            target = path.resolve(strict=True)
            leads_out = not target.is_relative_to(root.resolve())
            if leads_out:
                yield Skipped(path, "a link that leads out of the folder", ignored=True)
            elif _identity(target.stat()) in seen:
                yield Skipped(path, "a link to what is read anyway", ignored=True)
            elif target.is_dir():
                yield from self._folder(path, root, rules, seen, None, {})
            else:
                yield self._judge(path, root, seen)
        except FileNotFoundError:
            yield Skipped(path, "a link to nothing")
        except (OSError, RuntimeError):  # RuntimeError: links that lead to each other
            yield Skipped(path, "a link that cannot be followed")
        if not leads_out:
            links.append(path)

    def _judge(self, path: Path, root: Path, seen: set[tuple[int, int]] | None = None) -> Found:
        relative = _relative(path, root)
        if self._include is not None and not self._include.match_file(relative):
            return Skipped(path, "not included")
        if self._exclude is not None and self._exclude.match_file(relative):
            return Skipped(path, "excluded")
        try:
            status = path.stat()
        except OSError as error:
            return Skipped(path, _reason(error), failed=True)
        if seen is not None:
            seen.add(_identity(status))
        if not stat.S_ISREG(status.st_mode):
            return Skipped(path, "not a regular file")
        if status.st_size > self.max_bytes:
            return Skipped(path, f"over the size limit ({status.st_size / 1e6:.0f} MB > {self.max_bytes / 1e6:.0f} MB)")
        found = _format(path)
        if isinstance(found, Skipped):
            return found
        return SourceFile(path, root, relative, found, status.st_size, status.st_mtime_ns, self.versions[found])


def _ways(start: Path, places: Sequence[Path] | None) -> dict[Path, set[str]]:
    """Return, for each folder from `start` on that is only passed through, the names of what leads to the places."""
    ways: defaultdict[Path, set[str]] = defaultdict(set)
    outermost = set(places or ())
    for place in places or ():
        above = place.parents[: len(place.parts) - len(start.parts)]
        if outermost.isdisjoint(above):
            for path, folder in zip((place, *above), above, strict=False):
                ways[folder].add(path.name)
    return ways


def _given(globs: Sequence[str]) -> GitIgnoreSpec | None:
    """Compile the globs of a command line."""
    for glob in globs:
        if compiled([glob]) is None:
            raise UsageError(f"{glob!r} is no glob", "globs are those of .gitignore, for example '*.md' or 'drafts/'")
    return compiled(globs)


def _rules_above(start: Path, root: Path) -> _Rules:
    rules: _Rules = ()
    for folder in reversed([f for f in start.parents if f.is_relative_to(root)]):
        rules = _with_rules_of(folder, rules)
    return rules


def _with_rules_of(folder: Path, rules: _Rules) -> _Rules:
    lines: list[str] = []
    for name in IGNORE_FILES:
        try:
            with _open(folder / name) as stream:
                lines += stream.read(1 << 20).decode("utf-8", "replace").splitlines()
        except OSError:
            continue
    own = Rules.of(lines)
    return rules if own is None else (*rules, (folder, own))


def _ignored(path: Path, is_folder: bool, rules: _Rules) -> bool:
    """Apply git's rule: the deepest folder whose patterns say anything about the path decides."""
    for folder, own in reversed(rules):
        verdict = own.leave_out(_relative(path, folder) + ("/" if is_folder else ""))
        if verdict is not None:
            return verdict
    return False


def is_folder(entry: os.DirEntry[str] | Path) -> bool:
    """Return whether something is a folder. What cannot be looked at is none."""
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other, a folder above that is shut, a drive that is gone
        return False


def _is_index(folder: Path) -> bool:
    """Return whether an index lies in a folder, or a copy of one."""
    return all(os.path.lexists(folder / name) for name in (FILE, LOCK))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _format(path: Path) -> Format | Skipped:
    suffix = path.suffix.lower()
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix].name
    advice = f" ({suffix} is not read: {UNREAD[suffix]})" if suffix in UNREAD else ""
    binary = Skipped(path, f"binary{advice}")
    if advice and suffix not in SHARED:
        return binary
    try:
        with _open(path) as stream:
            head = stream.read(_SNIFF)
    except OSError as error:
        return Skipped(path, _reason(error), failed=True)
    if not suffix and _MAILBOX.match(head):  # as Thunderbird and Apple Mail name theirs
        return "mbox"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16 says so itself
        return "text"
    if b"\0" in head:
        return binary
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return binary
    return "text"


def _reason(error: OSError) -> str:
    return {FileNotFoundError: "it is gone", PermissionError: "permission denied"}.get(
        type(error), (error.strerror or str(error)).lower()
    )


def _open(path: Path) -> BinaryIO:
    """Open a regular file for reading; a FIFO or device can neither block nor be read."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held at one moment: its bytes, and the file with the size and time that it had then.

    `hash` is the bytes' SHA-256, `read_at` the moment in nanoseconds since 1970.
    """

    file: SourceFile
    data: bytes
    hash: str
    read_at: int


def read(file: SourceFile, max_bytes: int) -> Content:
    """Return a file's content, all of one moment.

    Raises ParseFailed where the file cannot be read, is over `max_bytes`, or keeps changing.
    """
    for _ in range(3):
        read_at = time.time_ns()
        try:
            with _open(file.path) as stream:
                before = os.fstat(stream.fileno())
                data = stream.read(max_bytes + 1)
                after = os.fstat(stream.fileno())
        except OSError as error:
            raise ParseFailed(_reason(error)) from None
        if len(data) > max_bytes:
            raise ParseFailed(f"it grew over the size limit ({max_bytes / 1e6:.0f} MB)")
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and len(data) == after.st_size:
            file = replace(file, size=after.st_size, mtime_ns=after.st_mtime_ns)
            return Content(file, data, hashlib.sha256(data).hexdigest(), read_at)
    raise ParseFailed("it keeps changing while it is read")
