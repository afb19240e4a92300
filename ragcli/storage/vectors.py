"""Vectors in Chroma: an index for nearest neighbours that can be thrown away and made again from the catalog.

What Chroma does with damage and with company decides how it is used here (each was seen with Chroma 1.5.9). Two writers
of one folder corrupt it without a word, and a reader of a folder that is being written writes to it too. Its files are
written in place, so a writer that is killed can leave half of one. A file that was cut or lost makes searches silently
short, and one whose bytes changed can crash the process. Therefore a folder of vectors is written once, by one writer
that nobody sees, and never again (storage/index.py); its files are noted with their hashes when it is done, and looked
at before Chroma opens them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import struct
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.errors import FREE_SPACE, IndexDamaged, IndexError_

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors

COLLECTION = "vectors"
_HEADER = struct.calcsize("<iQQQQ")  # version, offset, room for vectors, vectors, bytes of each
DATABASE = "chroma.sqlite3"
_FULL = ("(code: 13)", "disk is full", "disk I/O error", "No space left")
"""What Chroma says, of SQLite or the system, where it cannot write; to open a folder, it writes, too."""
_BATCH = 500  # a second's work at most, and then Ctrl-C is heard; Chroma refuses more than 5461


class VectorIndex:
    """An open folder of vectors by key. Chroma's exceptions become IndexDamaged, or IndexError_ where the disk is full.

    `changes` opens the folder to be written, made if need be, and says how many vectors will be stored or deleted, two
    at least: after that many, Chroma writes its graph to its files. What it has not written, every reader writes.
    """

    def __init__(self, folder: Path, *, changes: int = 0) -> None:
        os.environ["ANONYMIZED_TELEMETRY"] = "False"
        import chromadb
        from chromadb.config import Settings

        self.folder = folder
        with self._mapped():
            try:
                self._client = chromadb.PersistentClient(
                    str(folder), settings=Settings(anonymized_telemetry=False, allow_reset=False)
                )
            except BaseException:  # it keeps what could not be started, and gives just that when it is asked again
                chromadb.api.client.Client.clear_system_cache()
                raise
            try:
                self._collection = self._written(changes) if changes else self._get()
            except BaseException:
                self._client.close()
                raise

    def _get(self) -> Any:
        return self._client.get_collection(COLLECTION, embedding_function=None)

    def _written(self, changes: int) -> Any:
        graph: dict[str, Any] = {"sync_threshold": changes}
        if COLLECTION in [collection.name for collection in self._client.list_collections()]:
            collection = self._get()
            with warnings.catch_warnings():  # that we make the vectors ourselves is "legacy" to it
                warnings.simplefilter("ignore", DeprecationWarning)
                collection.modify(configuration={"hnsw": graph})  # heeded until the graph is first looked at
            return collection
        graph |= {"space": "cosine", "ef_construction": 200, "ef_search": 200}
        return self._client.create_collection(COLLECTION, embedding_function=None, configuration={"hnsw": graph})

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # Chroma raises its own types, Rust's panics (no Exception) and plain ones
            message = " ".join(str(error).split())[:200]
            if any(sign in message for sign in _FULL):
                raise IndexError_(f"the vectors in {self.folder} cannot be opened: {message}", FREE_SPACE) from None
            raise IndexDamaged(
                f"the vectors in {self.folder} cannot be used: {message}", "run `ragcli rebuild`"
            ) from None

    def upsert(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Store vectors, an array of shape [len(keys), dimension]; what is there under a key is replaced."""
        with self._mapped():
            for at in range(0, len(keys), _BATCH):
                part = slice(at, at + _BATCH)
                self._collection.upsert(ids=[key.hex() for key in keys[part]], embeddings=vectors[part])

    def delete(self, keys: Sequence[bytes]) -> None:
        """Remove vectors; keys that are not there are passed over."""
        with self._mapped():
            for at in range(0, len(keys), _BATCH):
                self._collection.delete(ids=[key.hex() for key in keys[at : at + _BATCH]])

    def search(self, vector: Vectors, count: int) -> list[tuple[bytes, float]]:
        """Return the keys and cosines of about the `count` nearest vectors, best first; `count` is at most all."""
        with self._mapped():
            found = self._collection.query(query_embeddings=[vector], n_results=count, include=["distances"])
            distances: Any = found["distances"]
            return [(bytes.fromhex(key), 1.0 - float(d)) for key, d in zip(found["ids"][0], distances[0], strict=True)]

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """Return the vectors, of shape [dimension], that are stored under some keys."""
        with self._mapped():
            found = self._collection.get(ids=[key.hex() for key in keys], include=["embeddings"])
            return {bytes.fromhex(key): row for key, row in zip(found["ids"], found["embeddings"], strict=True)}

    def keys(self) -> set[bytes]:
        """Return every key that is there."""
        with self._mapped():
            return {bytes.fromhex(key) for key in self._collection.get(include=[])["ids"]}

    def count(self) -> int:
        """Return the number of vectors."""
        with self._mapped():
            return int(self._collection.count())

    def close(self) -> None:
        """Let the files go."""
        with contextlib.suppress(Exception):
            self._client.close()


FileNotes = Mapping[str, Sequence[Any]]
"""By the name of each file of a folder: its size, time of change in nanoseconds, and SHA-256."""


def wipe_slack(folder: Path) -> None:
    """Overwrite with zeros what Chroma's files of a folder hold beyond the vectors.

    Chroma has room for a hundred vectors at first, and writes that room to its files as it finds it: full of whatever
    the process had in memory there before, vectors that were removed among it (seen with Chroma 1.5.9).
    """
    for header in folder.rglob("header.bin"):
        _, _, _, count, width = struct.unpack("<iQQQQ", header.read_bytes()[:_HEADER])
        for name, used in (("data_level0.bin", count * width), ("length.bin", count * 4)):
            path = header.with_name(name)
            size = path.stat().st_size
            if size > used:
                with path.open("r+b") as stream:
                    stream.seek(used)
                    stream.write(bytes(size - used))


def note_files(folder: Path) -> dict[str, list[Any]]:
    """Return the notes of a folder that has been written, after making sure that it is on the disk."""
    notes = {}
    for path in _files(folder):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            status = os.fstat(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        notes[path.relative_to(folder).as_posix()] = [status.st_size, status.st_mtime_ns, digest]
    return notes


def find_damage(folder: Path, notes: FileNotes, *, deep: bool = False) -> str:
    """Compare the files of a folder with their notes; return what is wrong, "" where nothing is.

    A file that has the noted size and time is taken to be the noted one, but for `deep`. Chroma's database is not the
    noted one for long (see `open_noted`), so it is asked whether it is consistent instead.
    """
    for name, (size, mtime_ns, digest) in notes.items():
        path = folder / name
        try:
            status = path.stat()
            if status.st_size < size:
                return f"{name} of the vectors was cut from {size} to {status.st_size} bytes"
            if (status.st_size, status.st_mtime_ns) == (size, mtime_ns) and not deep:
                continue
            if not (_is_consistent(path) if name == DATABASE else _digest(path) == digest):
                return f"{name} of the vectors was changed"
        except FileNotFoundError:
            return f"{name} is missing from the vectors"
        except OSError as error:
            return f"{name} of the vectors cannot be read: {error.strerror}"
    return ""


def open_noted(folder: Path, notes: FileNotes) -> VectorIndex:
    """Open a folder to read it, in which `find_damage` has found none.

    Chroma counts each opening in its database. The file's time is set back after that, so that it still tells whether
    anything else has changed it.
    """
    opened = VectorIndex(folder)
    with contextlib.suppress(OSError, KeyError):
        os.utime(folder / DATABASE, ns=(time.time_ns(), notes[DATABASE][1]))
    return opened


def copy_folder(old: Path, new: Path) -> None:
    """Copy a folder of vectors, which others may have open to read."""
    for path in _files(old):
        copy = new / path.relative_to(old)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.name != DATABASE:
            shutil.copyfile(path, copy)
            continue
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)


def _files(folder: Path) -> Iterable[Path]:
    """Yield the files of a folder of vectors, without the ones that SQLite makes while it works."""
    return (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(f"{DATABASE}-"))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_consistent(database: Path) -> bool:
    """Ask SQLite. Not while Chroma has the file open in this process: it brings an SQLite of its own, and when either
    closes the file, the system drops the locks of both.
    """
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.text_factory = bytes  # it quotes what it finds
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchall() == [(b"ok",)])
    except (sqlite3.Error, UnicodeDecodeError):
        return False
