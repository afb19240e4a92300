"""Paths -> SourceFiles: walk folders, apply ignore rules, name each file, and read it safely.

Rules are those of git: `.gitignore` and `.ragcliignore` in every folder, deeper ones winning. Hidden files and folders
are left out, as are links that lead out of the folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pathspec import GitIgnoreSpec

from ragcli.errors import ParseFailed
from ragcli.records import Format, SourceFile

IGNORE_FILES = (".gitignore", ".ragcliignore")
FORMATS: dict[str, Format] = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd"), "markdown"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    ".pdf": "pdf",
    **dict.fromkeys((".txt", ".text", ".log", ".rst", ".org", ".adoc", ".tex", ".srt", ".vtt"), "text"),
    **dict.fromkeys(
        (
            *(".py", ".pyi", ".js", ".mjs", ".jsx", ".ts", ".tsx", ".java", ".kt", ".scala", ".c", ".h", ".cc"),
            *(".cpp", ".hpp", ".cs", ".go", ".rs", ".rb", ".php", ".swift", ".m", ".lua", ".pl", ".r", ".jl"),
            *(".sh", ".bash", ".zsh", ".ps1", ".bat", ".sql", ".css", ".scss", ".vue", ".svelte", ".proto"),
            *(".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".properties", ".json", ".jsonl", ".xml"),
        ),
        "code",
    ),
}
LATER_FORMATS = frozenset(
    (".docx", ".pptx", ".xlsx", ".odt", ".epub", ".eml", ".mbox", ".ipynb", ".doc", ".xls", ".ppt")
)
_SNIFF = 8192


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that was left out, and why.

    `ignored` is true where an ignore file says so, `failed` where the path should have been read and could not be.
    """

    path: Path
    reason: str
    ignored: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """How to walk: globs that a path must or must not match, and the largest file in bytes."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    max_bytes: int = 50_000_000

    def files(self, start: Path, root: Path) -> Iterator[SourceFile | Skipped]:
        """Yield what lies at or under `start`, in order of name. `root` is `start` or a folder above it."""
        if start.is_dir():
            yield from _Folder(self, root).walk(start)
        else:
            yield self._judge(start, root)

    def _judge(self, path: Path, root: Path) -> SourceFile | Skipped:
        relative = path.relative_to(root).as_posix()
        if self.include and not GitIgnoreSpec.from_lines(self.include).match_file(relative):
            return Skipped(path, "not included")
        if self.exclude and GitIgnoreSpec.from_lines(self.exclude).match_file(relative):
            return Skipped(path, "excluded")
        try:
            status = path.stat()
        except OSError as error:
            return Skipped(path, _reason(error), failed=True)
        if not stat.S_ISREG(status.st_mode):
            return Skipped(path, "not a regular file")
        if status.st_size > self.max_bytes:
            return Skipped(path, f"over the size limit ({status.st_size / 1e6:.0f} MB > {self.max_bytes / 1e6:.0f} MB)")
        found = _format(path)
        if isinstance(found, Skipped):
            return found
        return SourceFile(path, root, relative, found, status.st_size, status.st_mtime_ns)


@dataclass(slots=True)
class _Folder:
    rules: Walk
    root: Path
    seen: set[tuple[int, int]] = field(default_factory=set)

    def walk(self, folder: Path) -> Iterator[SourceFile | Skipped]:
        above = [f for f in (folder, *folder.parents) if f.is_relative_to(self.root)][::-1]
        specs = [(f, spec) for f in above[:-1] if (spec := _ignore_spec(f)) is not None]
        yield from self._walk(folder, specs)

    def _walk(self, folder: Path, specs: list[tuple[Path, GitIgnoreSpec]]) -> Iterator[SourceFile | Skipped]:
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(folder, _reason(error), failed=True)
            return
        if (status.st_dev, status.st_ino) in self.seen:
            yield Skipped(folder, "a link to a folder that was read already")
            return
        self.seen.add((status.st_dev, status.st_ino))
        own = _ignore_spec(folder)
        specs = [*specs, (folder, own)] if own is not None else specs
        for entry in entries:
            path = Path(entry.path)
            if entry.name in IGNORE_FILES or entry.name in (".git", ".ragcli"):
                continue
            if entry.name.startswith("."):
                yield Skipped(path, "hidden")
            elif _ignored(path, entry.is_dir(), specs):
                yield Skipped(path, "ignored", ignored=True)
            elif entry.is_symlink() and not _resolves_into(path, self.root):
                yield Skipped(path, "a link that leads out of the folder")
            elif entry.is_dir():
                yield from self._walk(path, specs)
            else:
                yield self.rules._judge(path, self.root)


def _ignore_spec(folder: Path) -> GitIgnoreSpec | None:
    lines: list[str] = []
    for name in IGNORE_FILES:
        try:
            with (folder / name).open("rb") as stream:
                lines += stream.read(1 << 20).decode("utf-8", "replace").splitlines()
        except OSError:
            continue
    return GitIgnoreSpec.from_lines(lines) if lines else None


def _ignored(path: Path, is_folder: bool, specs: list[tuple[Path, GitIgnoreSpec]]) -> bool:
    """Apply git's rule: the deepest folder whose patterns say anything about the path decides."""
    for folder, spec in reversed(specs):
        name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
        verdict = spec.check_file(name).include
        if verdict is not None:
            return verdict
    return False


def _resolves_into(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False


def _format(path: Path) -> Format | Skipped:
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    if suffix in LATER_FORMATS:
        return Skipped(path, f"binary ({suffix} is not read by this version)")
    try:
        with _open(path) as stream:
            head = stream.read(_SNIFF)
    except OSError as error:
        return Skipped(path, _reason(error), failed=True)
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Skipped(path, "binary")
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return Skipped(path, "binary")
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


def read(file: SourceFile, max_bytes: int) -> tuple[bytes, str]:
    """Return a file's bytes and their SHA-256, all of one moment.

    Raises ParseFailed where the file cannot be read, is over `max_bytes`, or keeps changing.
    """
    for _ in range(3):
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
            return data, hashlib.sha256(data).hexdigest()
    raise ParseFailed("it keeps changing while it is read")
