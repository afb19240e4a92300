"""The catalog: one SQLite file that holds everything an index knows. Chroma can always be made again from it.

    meta        what made the index: encoder, versions, which folder of vectors is in use, damage that was found
    documents   one row per file: its text, its blocks, and what was true of it when it was read
    chunks      the spans of a document; `vector` names a row of `vectors`, or is NULL where the encoder cannot read it
    vectors     float32 rows keyed by encoder and text: text that stays is never embedded again
    pending     the keys among them that Chroma does not hold yet (storage/index.py)
    words       FTS5 over the normalized words of each chunk and its context (storage/lexical.py)
    failures    files that could not be read, so that they are not tried again until they change

Chunks of one document have consecutive ids, in the order of the text.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ragcli.errors import FREE_SPACE, IndexDamaged, IndexError_, IndexLocked, IndexMissing, IndexTooNew
from ragcli.records import Document
from ragcli.storage.rows import (
    CHUNK_COLUMNS,
    FAILURE_COLUMNS,
    FILE_COLUMNS,
    Failure,
    StoredChunk,
    StoredFile,
    chunk_of,
    document_of,
    failure_of,
    file_of,
    pack_blocks,
)
from ragcli.storage.schema import FORMAT, MIGRATIONS

FILE = "catalog.sqlite3"
FILES = (f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal", FILE)
"""What SQLite makes of it."""
REMOVED = f"{FILE}-removed"
"""The name of a catalog whose index is being removed (storage/forgetting.py)."""
_BUSY_SECONDS = 30


_UNUSED_VECTORS = "SELECT key FROM vectors EXCEPT SELECT vector FROM chunks"


class Catalog:
    """An open catalog. Every sqlite3 error becomes one of `IndexError_`'s kinds, as `mapped` says."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        self.folder = folder
        path = folder / FILE
        if create:
            _create_private(path)
        elif not path.is_file():
            raise missing(folder)
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            with self.mapped():
                self._migrate(create)
                # Without a sync at each commit: a power cut may undo the last ones, but never damages the file.
                self.connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            self.connection.close()
            raise

    def _migrate(self, create: bool) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise IndexTooNew(
                f"the index in {self.folder} has format {version}; this program knows {FORMAT}",
                "install a newer ragcli, or give another --index",
            )
        if version == FORMAT:
            return
        if not create and version == 0:
            if not any(self.folder.glob("vectors-*")):  # the first ingest was killed before it had made the tables
                raise missing(self.folder)
            raise IndexDamaged(f"the catalog in {self.folder} is empty", "remove the folder and ingest again")
        self.connection.execute("PRAGMA journal_mode = WAL")
        with self.transaction():
            for step in MIGRATIONS[version:]:
                for statement in step.split(";\n"):
                    self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {FORMAT}")

    @contextlib.contextmanager
    def mapped(self) -> Iterator[None]:
        """Turn sqlite3's errors into ragcli's."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where a message quotes garbage
            match getattr(error, "sqlite_errorcode", 0) & 0xFF:
                case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
                    raise IndexError_(
                        f"the index in {self.folder} cannot be written: {error}",
                        FREE_SPACE,
                    ) from None
                case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                    raise IndexError_(
                        f"the index in {self.folder} cannot be opened: {error}", "check the folder's permissions"
                    ) from None
                case sqlite3.SQLITE_BUSY:
                    raise IndexLocked(f"the index in {self.folder} is being written", "try again later") from None
            raise IndexDamaged(
                f"the catalog in {self.folder} cannot be used: {error}",
                "restore it from a backup, or remove the folder and ingest again",
            ) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body in one transaction: all of it is stored, or none. One within another is part of that."""
        if self.connection.in_transaction:
            yield
            return
        with self.mapped():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let the body see one state of the catalog, whatever a writer does meanwhile."""
        with self.mapped():
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def _rows(self, sql: str, values: Sequence[Any] = (), make: Callable[[Sequence[Any]], Any] = tuple) -> list[Any]:
        """Return what `make` makes of each row."""
        with self.mapped():
            rows = self.connection.execute(sql, values).fetchall()
        try:
            return [make(row) for row in rows]
        except (ValueError, TypeError, zlib.error) as error:
            raise IndexDamaged(f"the catalog in {self.folder} holds garbage: {error}", "run `ragcli check`") from None

    # --- what made the index -----------------------------------------------------------------------------------

    def meta(self) -> dict[str, str]:
        """Return every key and value of `meta`."""
        return dict(self._rows("SELECT key, value FROM meta"))

    def set_meta(self, **values: str | None) -> None:
        """Set keys of `meta`; None removes a key."""
        with self.transaction():
            for key, value in values.items():
                if value is None:
                    self.connection.execute("DELETE FROM meta WHERE key = ?", (key,))
                else:
                    self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- documents ---------------------------------------------------------------------------------------------

    def files(self, collection: str | None = None) -> list[StoredFile]:
        """Return every file, in order of collection and name."""
        where, values = _within(collection)
        return self._rows(f"SELECT {FILE_COLUMNS} FROM documents {where} ORDER BY collection, source", values, file_of)

    def files_by_id(self, ids: Iterable[int]) -> dict[int, StoredFile]:
        """Return some files by id."""
        found = self._by_ids(f"SELECT {FILE_COLUMNS} FROM documents WHERE id IN", ids, file_of)
        return {file.id: file for file in found}

    def document(self, ident: int) -> Document:
        """Return what was read from a file."""
        sql = "SELECT text, blocks, title, pages, warnings, labels FROM documents WHERE id = ?"
        found = self._rows(sql, (ident,), document_of)
        if not found:
            raise IndexDamaged(f"document {ident} is not in the catalog", "run `ragcli check`")
        document: Document = found[0]
        return document

    def labels(self, ids: Iterable[int]) -> dict[int, list[str]]:
        """Return the labels of the pages of those documents among `ids` that have any."""
        sql = "SELECT id, labels FROM documents WHERE labels != '[]' AND id IN"
        found: dict[int, list[str]] = dict(self._by_ids(sql, ids, lambda row: (row[0], json.loads(row[1]))))
        return found

    def text(self, ident: int) -> str:
        """Return a document's text."""
        rows = self._rows("SELECT text FROM documents WHERE id = ?", (ident,))
        return str(rows[0][0]) if rows else ""

    def put_document(
        self, file: StoredFile, document: Document, chunks: Sequence[StoredChunk], words: Sequence[str]
    ) -> None:
        """Store a file and its chunks in place of what was stored under its path.

        `file.id` and the chunks' `id` and `document` are ignored; `words` has one entry per chunk.
        """
        with self.transaction():
            self.remove_path(file.collection, file.path)
            cursor = self.connection.execute(
                "INSERT INTO documents (collection, root, path, source, format, size, mtime_ns, hash, title, pages,"
                " text, blocks, warnings, labels, read_at, parser)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(file.collection, os.fsencode(file.root), os.fsencode(file.path), file.source, file.format),
                    *(file.size, file.mtime_ns, file.hash, document.title, document.pages, document.text),
                    *(pack_blocks(document.blocks), json.dumps(document.warnings)),
                    *(json.dumps(document.labels, ensure_ascii=False), file.read_at, file.parser),
                ),
            )
            assert cursor.lastrowid is not None
            self._put_chunks(cursor.lastrowid, chunks, words)

    def replace_chunks(self, document: int, chunks: Sequence[StoredChunk], words: Sequence[str]) -> None:
        """Store new chunks for a document that stays."""
        with self.transaction():
            self._drop_chunks(document)
            self._put_chunks(document, chunks, words)

    def _put_chunks(self, document: int, chunks: Sequence[StoredChunk], words: Sequence[str]) -> None:
        for chunk, text in zip(chunks, words, strict=True):
            cursor = self.connection.execute(
                "INSERT INTO chunks (chunk_id, document, start, end, page, line, width, heading, context, vector,"
                " encoded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(chunk.chunk_id, document, chunk.start, chunk.end, chunk.page, chunk.line, chunk.width),
                    *(json.dumps(chunk.heading, ensure_ascii=False), chunk.context, chunk.vector, chunk.encoded),
                ),
            )
            self.connection.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (cursor.lastrowid, text))

    def _drop_chunks(self, document: int) -> None:
        self.connection.execute(
            "DELETE FROM words WHERE rowid IN (SELECT id FROM chunks WHERE document = ?)", (document,)
        )
        self.connection.execute("DELETE FROM chunks WHERE document = ?", (document,))

    def remove_path(self, collection: str, path: Path) -> None:
        """Remove a file, or the note that it could not be read."""
        key = (collection, os.fsencode(path))
        with self.transaction():
            rows = self.connection.execute("SELECT id FROM documents WHERE collection = ? AND path = ?", key)
            for (ident,) in rows.fetchall():
                self._drop_chunks(ident)
                self.connection.execute("DELETE FROM documents WHERE id = ?", (ident,))
            self.connection.execute("DELETE FROM failures WHERE collection = ? AND path = ?", key)

    def touch(self, ident: int, size: int, mtime_ns: int, read_at: int) -> None:
        """Note that a file has another time but the same content."""
        values = (size, mtime_ns, read_at, ident)
        with self.mapped():
            self.connection.execute("UPDATE documents SET size = ?, mtime_ns = ?, read_at = ? WHERE id = ?", values)

    # --- chunks and vectors ------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of documents, of chunks, and of chunks that have a vector."""
        counts = ("documents", "chunks", "chunks WHERE vector IS NOT NULL")  # each from an index, not from the rows
        documents, chunks, vectors = (self._rows(f"SELECT count(*) FROM {what}")[0][0] for what in counts)
        return documents, chunks, vectors

    def count_words(self) -> int:
        """Return the number of chunks whose words are stored."""
        return int(self._rows("SELECT count(*) FROM words")[0][0])

    def count_orphans(self) -> int:
        """Return the number of chunks whose document is not there; it should be 0."""
        return int(self._rows("SELECT count(*) FROM chunks WHERE document NOT IN (SELECT id FROM documents)")[0][0])

    def words_of(self, document: int) -> dict[int, str]:
        """Return the stored words of a document's chunks, by row id."""
        sql = "SELECT rowid, body FROM words WHERE rowid IN (SELECT id FROM chunks WHERE document = ?)"
        return dict(self._rows(sql, (document,)))

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Return some chunks by id; ids that are not there are left out."""
        found = self._by_ids(f"SELECT {CHUNK_COLUMNS} FROM chunks WHERE id IN", ids, chunk_of)
        return {chunk.id: chunk for chunk in found}

    def chunks_of(self, document: int) -> list[StoredChunk]:
        """Return a document's chunks in order."""
        return self._rows(f"SELECT {CHUNK_COLUMNS} FROM chunks WHERE document = ? ORDER BY id", (document,), chunk_of)

    def find_chunks(self, chunk_ids: Sequence[str]) -> dict[str, int]:
        """Return the row ids of some chunk ids; those that are not there are left out."""
        return dict(self._by_ids("SELECT chunk_id, id FROM chunks WHERE chunk_id IN", chunk_ids))

    def chunk_ids_of(self, keys: Iterable[bytes]) -> dict[bytes, list[str]]:
        """Return the ids of the chunks that have each vector; keys that no chunk has are left out."""
        found: dict[bytes, list[str]] = {}
        for key, chunk_id in self._by_ids("SELECT vector, chunk_id FROM chunks WHERE vector IN", keys):
            found.setdefault(key, []).append(chunk_id)
        return found

    def vector_keys(self) -> list[bytes]:
        """Return the key of every vector that a chunk has, in order."""
        rows = self._rows("SELECT DISTINCT vector FROM chunks WHERE vector IS NOT NULL ORDER BY vector")
        return [key for (key,) in rows]

    def known_keys(self, keys: Iterable[bytes]) -> set[bytes]:
        """Return those of `keys` under which a vector is stored."""
        return {key for (key,) in self._by_ids("SELECT key FROM vectors WHERE key IN", keys)}

    def vectors(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the stored vectors among `keys`."""
        return dict(self._by_ids("SELECT key, vector FROM vectors WHERE key IN", set(keys)))

    def put_vectors(self, vectors: Mapping[bytes, bytes]) -> None:
        """Store vectors, which Chroma does not hold yet."""
        with self.transaction():
            self.connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", vectors.items())
            self.connection.executemany("INSERT OR IGNORE INTO pending VALUES (?)", ((key,) for key in vectors))

    def pending_keys(self) -> list[bytes]:
        """Return the keys of the vectors that a chunk has and Chroma does not."""
        sql = "SELECT key FROM pending WHERE EXISTS (SELECT 1 FROM chunks WHERE vector = key)"
        return [key for (key,) in self._rows(sql)]

    def settle_pending(self) -> None:
        """Note that Chroma now holds just the vectors that a chunk has."""
        with self.transaction():
            self.connection.execute("DELETE FROM pending")
            self.connection.execute(f"INSERT INTO pending {_UNUSED_VECTORS}")

    def drop_unused_vectors(self) -> None:
        """Remove the vectors that no chunk has."""
        with self.transaction():
            self.connection.execute(f"DELETE FROM pending WHERE key IN ({_UNUSED_VECTORS})")
            self.connection.execute(f"DELETE FROM vectors WHERE key IN ({_UNUSED_VECTORS})")

    def _by_ids(self, sql: str, ids: Iterable[Any], make: Callable[[Sequence[Any]], Any] = tuple) -> list[Any]:
        values = list(ids)
        rows: list[Any] = []
        for at in range(0, len(values), 500):
            part = values[at : at + 500]
            rows += self._rows(f"{sql} ({','.join('?' * len(part))})", part, make)
        return rows

    # --- failures ----------------------------------------------------------------------------------------------

    def failures(self, collection: str | None = None) -> list[Failure]:
        """Return the files that could not be read."""
        where, values = _within(collection)
        return self._rows(f"SELECT {FAILURE_COLUMNS} FROM failures {where} ORDER BY path", values, failure_of)

    def put_failure(self, failure: Failure) -> None:
        """Remember that a file could not be read."""
        collection, path, *rest = astuple(failure)
        with self.mapped():
            values = (collection, os.fsencode(path), *rest)
            self.connection.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def drop_failure(self, collection: str, path: Path) -> None:
        """Forget that a file could not be read."""
        with self.mapped():
            self.connection.execute(
                "DELETE FROM failures WHERE collection = ? AND path = ?", (collection, os.fsencode(path))
            )


def _within(collection: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the condition that a row is in a collection, or in any, and its values."""
    return ("", ()) if collection is None else ("WHERE collection = ?", (collection,))


def is_half_removed(folder: Path) -> bool:
    """Return whether the removal of the index in a folder has begun, and was not finished."""
    path = folder / REMOVED
    return path.is_file() and not path.is_symlink()


def missing(folder: Path) -> IndexMissing:
    """Return the error that there is no index in a folder, or none any more."""
    if is_half_removed(folder):
        return IndexMissing(
            f"the removal of the index in {folder} was interrupted", "`ragcli forget --everything` finishes it"
        )
    return IndexMissing(f"there is no index in {folder}", "make one with `ragcli ingest PATH`")


def _create_private(path: Path) -> None:
    """Make a file that only its owner can read, where there is none. SQLite gives those beside it the same rights."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise IndexError_(f"{path} cannot be written: {error.strerror}", "give another folder with --index") from None
