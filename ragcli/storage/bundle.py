"""The file that an index is exported to: a ZIP archive with a manifest and checksums (docs/index-format.md).

    documents.jsonl    one line for each document: text, blocks and chunks
    vectors.f32        the chunks' vectors, float32, least significant byte first, in the order of their keys
    encoder/NAME       files of the encoder, where they were asked for
    manifest.json      what made the index, counts, and the size and SHA-256 of every other member

The archive's comment ends with the SHA-256 of all that stands before it, so that no byte can change unseen. That tells
accidents from whole files; it does not tell who made them. So whatever is read from one is checked like any input.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ragcli.errors import IndexDamaged, IndexError_, IndexTooNew, UsageError

FORMAT, VERSION = "ragcli index", 1
DOCUMENTS, VECTORS, MANIFEST, ENCODER = "documents.jsonl", "vectors.f32", "manifest.json", "encoder/"
BLOCK = 1 << 20
_COMMENT = b"ragcli sha256 "
_DIGEST = 64
_MAX_MANIFEST, _MAX_MEMBERS, _MAX_RATIO, _RATIO_FREE = 1 << 20, 20, 100, 10 << 20
_ENCODER_FILE = re.compile(r"encoder/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_WHEN = (1980, 1, 1, 0, 0, 0)
AGAIN = "copy it anew, or export the index again"

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive. `size` is in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an exported index is. `chunker` and `words` are the versions of what cut its texts and words."""

    ragcli: str
    encoder: str
    fingerprint: str
    dimension: int
    chunker: int
    words: int
    documents: int
    chunks: int
    vectors: int
    members: tuple[Member, ...]


# --- writing -----------------------------------------------------------------------------------------------------


class BundleWriter:
    """An archive that is being written. The same members give the same bytes."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.members: list[Member] = []

    def add(self, name: str, pieces: Iterable[bytes], *, packed: bool) -> None:
        """Write a member in pieces."""
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(name, _WHEN)
        info.create_system, info.external_attr = 3, 0o600 << 16
        info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with self._archive.open(info, "w", force_zip64=True) as stream:
            for piece in pieces:
                stream.write(piece)
                digest.update(piece)
                size += len(piece)
        self.members.append(Member(name, size, digest.hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, the last member."""
        value = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
        self.add(MANIFEST, [json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"], packed=False)


@contextmanager
def writing(target: Path) -> Iterator[BundleWriter]:
    """Give an archive that becomes the file `target`, whole or not at all. Only its owner can read it.

    Raises IndexError_ where it cannot be written.
    """
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    try:
        with open(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as stream:  # noqa: PTH123
            with zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
                archive.comment = _COMMENT + b"0" * _DIGEST
                yield BundleWriter(archive)
            stream.seek(-_DIGEST, os.SEEK_END)
            end = stream.tell()
            digest = _digest(stream, end, lambda done, total: None)
            stream.seek(end)
            stream.write(digest)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    except OSError as error:
        hint = "free some disk space, or give another file" if error.errno == errno.ENOSPC else "give another file"
        raise IndexError_(f"{target} cannot be written: {error.strerror}", hint) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def _digest(stream: IO[bytes], end: int, on_progress: OnProgress) -> bytes:
    """Return the SHA-256, in hexadecimal digits, of a stream up to `end`."""
    stream.seek(0)
    digest = hashlib.sha256()
    done = 0
    while done < end and (block := stream.read(min(BLOCK, end - done))):
        digest.update(block)
        done += len(block)
        on_progress(done, end)
    return digest.hexdigest().encode()


# --- reading -----------------------------------------------------------------------------------------------------


class Bundle:
    """An archive that is whole, as far as checksums tell. What its members say is not checked yet."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._archive = archive
        self._sizes = {member.name: member.size for member in manifest.members}

    @property
    def encoder_files(self) -> dict[str, int]:
        """Sizes of the encoder's files, by name without folder."""
        return {name.removeprefix(ENCODER): size for name, size in self._sizes.items() if name.startswith(ENCODER)}

    def size(self, name: str) -> int:
        """Return the size of a member in bytes."""
        return self._sizes[name]

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member. A stream that ends early or late, or is not what its checksum says, is found by zipfile."""
        with self.mapped(), self._archive.open(name) as stream:
            yield stream

    @contextmanager
    def encoder_file(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file of the encoder."""
        with self.member(ENCODER + name) as stream:
            yield stream

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Turn what zipfile raises into IndexDamaged."""
        try:
            yield
        except (
            zipfile.BadZipFile,
            zipfile.LargeZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
        ) as error:
            raise self.bad(str(error)) from None
        except OSError as error:
            raise IndexError_(f"{self.path}: {error.strerror}", AGAIN) from None

    def bad(self, what: str) -> IndexDamaged:
        """Return the error for a file that is not what was exported."""
        return _bad(self.path, what)


def _bad(path: Path, what: str) -> IndexDamaged:
    return IndexDamaged(f"{path} cannot be imported: {what}", AGAIN)


@contextmanager
def reading(path: Path, on_progress: OnProgress) -> Iterator[Bundle]:
    """Open an export after reading all of it once.

    Raises UsageError where there is no such file, IndexDamaged where it was cut or altered or is something else,
    IndexTooNew where a later ragcli wrote it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}", "ragcli import FILE") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is not a file", "ragcli import FILE")
    with os.fdopen(descriptor, "rb") as stream:
        try:
            _require_whole(path, stream, on_progress)
            archive = zipfile.ZipFile(stream)
        except zipfile.BadZipFile as error:
            raise _bad(path, str(error)) from None
        except OSError as error:
            raise IndexError_(f"{path}: {error.strerror}", AGAIN) from None
        with archive:
            yield Bundle(path, archive, _manifest(path, archive))


def _require_whole(path: Path, stream: IO[bytes], on_progress: OnProgress) -> None:
    size = stream.seek(0, os.SEEK_END)
    end = size - _DIGEST
    stream.seek(0)
    if stream.read(4) != b"PK\3\4" or end < len(_COMMENT):
        raise _bad(path, "it is no export of ragcli's, or its beginning was altered")
    stream.seek(end - len(_COMMENT))
    if stream.read(len(_COMMENT)) != _COMMENT:
        raise _bad(path, "its end is missing or was altered")
    if stream.read(_DIGEST) != _digest(stream, end, on_progress):
        raise _bad(path, "it was altered: its checksum is not that of its content")


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise _bad(path, "a name occurs twice in it")
    for entry in entries:
        if entry.filename not in (DOCUMENTS, VECTORS, MANIFEST) and not _ENCODER_FILE.fullmatch(entry.filename):
            raise _bad(path, f"{entry.filename[:100]!r} does not belong in it")
        if entry.file_size > entry.compress_size * _MAX_RATIO + _RATIO_FREE:
            raise _bad(path, f"{entry.filename} would be over {_MAX_RATIO} times as long as it is packed")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise _bad(path, f"{entry.filename} is packed in another way")
    if not {DOCUMENTS, VECTORS, MANIFEST} <= set(names) or len(names) > _MAX_MEMBERS:
        raise _bad(path, "it lacks a member, or has too many")
    try:
        if archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
            raise ValueError("it is too long")
        value: Any = json.loads(archive.read(MANIFEST))
        if value["format"] != FORMAT or not _is_count(value["version"]):
            raise ValueError("it is of something else")
        if value["version"] > VERSION:
            raise IndexTooNew(
                f"{path} has version {value['version']} of the format; this program knows {VERSION}",
                "install a newer ragcli",
            )
        manifest = _checked(value)
        sizes = {entry.filename: entry.file_size for entry in entries if entry.filename != MANIFEST}
        if {member.name: member.size for member in manifest.members} != sizes or len(manifest.members) != len(sizes):
            raise ValueError("its members are not those that are there")
    except (ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise _bad(path, f"{MANIFEST}: {str(error)[:200]}") from None
    for member in manifest.members:
        if _member_digest(path, archive, member.name) != member.sha256:
            raise _bad(path, f"{member.name} is not what its checksum says")
    return manifest


def _checked(value: Any) -> Manifest:
    """Return the manifest in a JSON value. Raises ValueError, KeyError or TypeError."""
    texts = {name: value[name] for name in ("ragcli", "encoder", "fingerprint")}
    numbers = {name: value[name] for name in ("dimension", "chunker", "words", "documents", "chunks", "vectors")}
    if not all(isinstance(text, str) and text.isprintable() and 0 < len(text) <= 300 for text in texts.values()):
        raise ValueError("a name in it is no name")
    if not all(map(_is_count, numbers.values())) or not 0 < numbers["dimension"] <= 1 << 16:
        raise ValueError("a number in it is no number")
    members = tuple(Member(row["name"], row["size"], row["sha256"]) for row in value["members"])
    if any(not isinstance(m.name, str) or not _is_count(m.size) or not isinstance(m.sha256, str) for m in members):
        raise ValueError("its members are not well described")
    return Manifest(**texts, **numbers, members=members)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _member_digest(path: Path, archive: zipfile.ZipFile, name: str) -> str:
    try:
        with archive.open(name) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise _bad(path, f"{name}: {error}") from None
