"""The catalog: one SQLite file that holds everything an index knows. Chroma can always be made again from it.

    meta        what made the index: format, encoder, versions, where the vectors lie
    documents   one row per file: its text, its blocks, and what was true of it when it was read
    chunks      the spans of a document; `vector` names a row of `vectors`, or is NULL where the encoder cannot read it
    vectors     float32 rows keyed by encoder and text: text that stays is never embedded again
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ragcli.errors import IndexDamaged, IndexMissing, IndexTooNew
from ragcli.records import Block, Document

FORMAT = 1
FILE = "catalog.sqlite3"

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        collection TEXT NOT NULL,
        root BLOB NOT NULL,
        path BLOB NOT NULL,
        source TEXT NOT NULL,
        format TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        hash TEXT NOT NULL,
        title TEXT NOT NULL,
        pages INTEGER,
        text TEXT NOT NULL,
        blocks BLOB NOT NULL,
        warnings TEXT NOT NULL,
        indexed_at TEXT NOT NULL,
        UNIQUE (collection, path),
        UNIQUE (collection, source)
    );
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        chunk_id TEXT NOT NULL UNIQUE,
        document INTEGER NOT NULL REFERENCES documents (id),
        start INTEGER NOT NULL,
        end INTEGER NOT NULL,
        page INTEGER,
        line INTEGER,
        width INTEGER NOT NULL,
        heading TEXT NOT NULL,
        context TEXT NOT NULL,
        vector BLOB
    );
    CREATE INDEX chunks_document ON chunks (document);
    CREATE INDEX chunks_vector ON chunks (vector);
    CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL);
    CREATE VIRTUAL TABLE words USING fts5 (
        body, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
    );
    CREATE VIRTUAL TABLE postings USING fts5vocab (words, instance);
    CREATE TABLE failures (
        collection TEXT NOT NULL,
        root BLOB NOT NULL,
        path BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (collection, path)
    ) WITHOUT ROWID;
    """,
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A row of `documents` without its text. `path` and `root` are absolute."""

    id: int
    collection: str
    root: Path
    path: Path
    source: str
    format: str
    size: int
    mtime_ns: int
    hash: str
    title: str
    pages: int | None
    warnings: tuple[str, ...]
    indexed_at: str


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A row of `chunks`; the text lies in its document."""

    id: int
    chunk_id: str
    document: int
    start: int
    end: int
    page: int | None
    line: int | None
    width: int
    heading: tuple[str, ...]
    context: str
    vector: bytes | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read."""

    collection: str
    path: Path
    size: int
    mtime_ns: int
    reason: str


_FILE_COLUMNS = "id, collection, root, path, source, format, size, mtime_ns, hash, title, pages, warnings, indexed_at"
_CHUNK_COLUMNS = "id, chunk_id, document, start, end, page, line, width, heading, context, vector"


def _file(row: Sequence[Any]) -> StoredFile:
    ident, collection, root, path, source, fmt, size, mtime_ns, digest, title, pages, warnings, indexed_at = row
    return StoredFile(
        ident, collection, Path(os.fsdecode(root)), Path(os.fsdecode(path)), source, fmt, size, mtime_ns, digest, title,
        pages, tuple(json.loads(warnings)), indexed_at,
    )  # fmt: skip


def _chunk(row: Sequence[Any]) -> StoredChunk:
    ident, chunk_id, document, start, end, page, line, width, heading, context, vector = row
    headings = tuple(json.loads(heading))
    return StoredChunk(ident, chunk_id, document, start, end, page, line, width, headings, context, vector)


class Catalog:
    """An open catalog. Every sqlite3 error becomes IndexDamaged, but for a full disk, which stays an OSError."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        self.folder = folder
        path = folder / FILE
        if not create and not path.is_file():
            raise IndexMissing(f"there is no index in {folder}", "make one with `ragcli ingest PATH`")
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        try:
            with self.mapped():
                self._migrate(create)
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
            raise IndexDamaged(f"the catalog in {self.folder} is empty", "remove the folder and ingest again")
        self.connection.execute("PRAGMA journal_mode = WAL")
        with self.transaction():
            for step in _MIGRATIONS[version:]:
                for statement in step.split(";\n"):
                    if statement.strip():
                        self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {FORMAT}")

    @contextlib.contextmanager
    def mapped(self) -> Iterator[None]:
        """Turn sqlite3's errors into ragcli's."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                raise OSError(28, "no space left on device") from None
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
                raise PermissionError(13, f"cannot write to {self.folder}") from None
            raise IndexDamaged(
                f"the catalog in {self.folder} cannot be used: {error}", "restore it from a backup, or ingest again"
            ) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body in one transaction: all of it is stored, or none."""
        with self.mapped():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

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

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self.mapped():
            return self.connection.execute(sql, values).fetchall()

    # --- what made the index -----------------------------------------------------------------------------------

    def meta(self) -> dict[str, str]:
        """Return every key and value of `meta`."""
        return dict(self._rows("SELECT key, value FROM meta"))

    def set_meta(self, **values: str | None) -> None:
        """Set keys of `meta`; None removes a key."""
        with self.mapped():
            for key, value in values.items():
                if value is None:
                    self.connection.execute("DELETE FROM meta WHERE key = ?", (key,))
                else:
                    self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- documents ---------------------------------------------------------------------------------------------

    def files(self, collection: str | None = None) -> list[StoredFile]:
        """Return every file, in order of collection and name."""
        where = "" if collection is None else "WHERE collection = ?"
        values = () if collection is None else (collection,)
        rows = self._rows(f"SELECT {_FILE_COLUMNS} FROM documents {where} ORDER BY collection, source", values)
        return [_file(row) for row in rows]

    def files_by_id(self, ids: Iterable[int]) -> dict[int, StoredFile]:
        """Return some files by id."""
        found = self._by_ids(f"SELECT {_FILE_COLUMNS} FROM documents WHERE id IN", ids)
        return {row[0]: _file(row) for row in found}

    def document(self, ident: int) -> Document:
        """Return what was read from a file."""
        row = self._rows("SELECT text, blocks, title, pages, warnings FROM documents WHERE id = ?", (ident,))
        if not row:
            raise IndexDamaged(f"document {ident} is not in the catalog", "run `ragcli check`")
        text, blocks, title, pages, warnings = row[0]
        return Document(text, _unpack(blocks), title, pages, tuple(json.loads(warnings)))

    def text(self, ident: int) -> str:
        """Return a document's text."""
        rows = self._rows("SELECT text FROM documents WHERE id = ?", (ident,))
        return str(rows[0][0]) if rows else ""

    def put_document(
        self, file: StoredFile, document: Document, chunks: Sequence[StoredChunk], words: Sequence[str]
    ) -> list[str]:
        """Store a file and its chunks in place of what was stored under its path; return the chunk ids that are gone.

        `file.id` and the chunks' `id` and `document` are ignored; `words` has one entry per chunk. Call it within a
        transaction.
        """
        gone = self.remove_path(file.collection, file.path)
        with self.mapped():
            cursor = self.connection.execute(
                "INSERT INTO documents (collection, root, path, source, format, size, mtime_ns, hash, title, pages,"
                " text, blocks, warnings, indexed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(file.collection, os.fsencode(file.root), os.fsencode(file.path), file.source, file.format),
                    *(file.size, file.mtime_ns, file.hash, document.title, document.pages, document.text),
                    *(_pack(document.blocks), json.dumps(document.warnings), file.indexed_at),
                ),
            )
            ident = cursor.lastrowid
            assert ident is not None
            self._put_chunks(ident, chunks, words)
            self.connection.execute(
                "DELETE FROM failures WHERE collection = ? AND path = ?", (file.collection, os.fsencode(file.path))
            )
        kept = {chunk.chunk_id for chunk in chunks}
        return [chunk_id for chunk_id in gone if chunk_id not in kept]

    def replace_chunks(self, document: int, chunks: Sequence[StoredChunk], words: Sequence[str]) -> None:
        """Store new chunks for a document that stays. Call it within a transaction."""
        with self.mapped():
            self._drop_chunks(document)
            self._put_chunks(document, chunks, words)

    def _put_chunks(self, document: int, chunks: Sequence[StoredChunk], words: Sequence[str]) -> None:
        for chunk, text in zip(chunks, words, strict=True):
            cursor = self.connection.execute(
                "INSERT INTO chunks (chunk_id, document, start, end, page, line, width, heading, context, vector)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(chunk.chunk_id, document, chunk.start, chunk.end, chunk.page, chunk.line, chunk.width),
                    *(json.dumps(chunk.heading, ensure_ascii=False), chunk.context, chunk.vector),
                ),
            )
            self.connection.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (cursor.lastrowid, text))

    def _drop_chunks(self, document: int) -> list[str]:
        rows = self.connection.execute("SELECT id, chunk_id FROM chunks WHERE document = ?", (document,)).fetchall()
        self.connection.executemany("DELETE FROM words WHERE rowid = ?", [(ident,) for ident, _ in rows])
        self.connection.execute("DELETE FROM chunks WHERE document = ?", (document,))
        return [chunk_id for _, chunk_id in rows]

    def remove_path(self, collection: str, path: Path) -> list[str]:
        """Remove a file; return its chunk ids. Call it within a transaction."""
        key = (collection, os.fsencode(path))
        gone: list[str] = []
        with self.mapped():
            for (ident,) in self.connection.execute(
                "SELECT id FROM documents WHERE collection = ? AND path = ?", key
            ).fetchall():
                gone += self._drop_chunks(ident)
                self.connection.execute("DELETE FROM documents WHERE id = ?", (ident,))
            self.connection.execute("DELETE FROM failures WHERE collection = ? AND path = ?", key)
        return gone

    def touch(self, ident: int, size: int, mtime_ns: int) -> None:
        """Note that a file has another time but the same content."""
        with self.mapped():
            self.connection.execute("UPDATE documents SET size = ?, mtime_ns = ? WHERE id = ?", (size, mtime_ns, ident))

    # --- chunks and vectors ------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of documents, chunks, and chunks that have a vector."""
        row = self._rows("SELECT (SELECT count(*) FROM documents), count(*), count(vector) FROM chunks")[0]
        return (int(row[0]), int(row[1]), int(row[2]))

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Return some chunks by id; ids that are not there are left out."""
        return {row[0]: _chunk(row) for row in self._by_ids(f"SELECT {_CHUNK_COLUMNS} FROM chunks WHERE id IN", ids)}

    def chunks_of(self, document: int) -> list[StoredChunk]:
        """Return a document's chunks in order."""
        rows = self._rows(f"SELECT {_CHUNK_COLUMNS} FROM chunks WHERE document = ? ORDER BY id", (document,))
        return [_chunk(row) for row in rows]

    def find_chunks(self, chunk_ids: Sequence[str]) -> dict[str, int]:
        """Return the row ids of some chunk ids; those that are not there are left out."""
        return dict(self._by_ids("SELECT chunk_id, id FROM chunks WHERE chunk_id IN", chunk_ids))

    def all_chunk_ids(self) -> list[tuple[str, bytes | None]]:
        """Return every chunk id and the key of its vector."""
        return self._rows("SELECT chunk_id, vector FROM chunks ORDER BY id")

    def vectors(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the stored vectors among `keys`."""
        return dict(self._by_ids("SELECT key, vector FROM vectors WHERE key IN", set(keys)))

    def put_vectors(self, vectors: Mapping[bytes, bytes]) -> None:
        """Store vectors."""
        with self.mapped():
            self.connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", vectors.items())

    def drop_unused_vectors(self) -> None:
        """Remove the vectors that no chunk names."""
        with self.mapped():
            self.connection.execute(
                "DELETE FROM vectors WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.vector = vectors.key)"
            )

    def _by_ids(self, sql: str, ids: Iterable[Any]) -> list[Any]:
        values = list(ids)
        rows: list[Any] = []
        for at in range(0, len(values), 500):
            part = values[at : at + 500]
            rows += self._rows(f"{sql} ({','.join('?' * len(part))})", part)
        return rows

    # --- failures ----------------------------------------------------------------------------------------------

    def failures(self, collection: str | None = None) -> list[Failure]:
        """Return the files that could not be read."""
        rows = self._rows(
            "SELECT collection, path, size, mtime_ns, reason FROM failures"
            " WHERE ?1 IS NULL OR collection = ?1 ORDER BY path",
            (collection,),
        )
        return [Failure(c, Path(os.fsdecode(path)), size, mtime, reason) for c, path, size, mtime, reason in rows]

    def put_failure(self, failure: Failure, root: Path) -> None:
        """Remember that a file could not be read."""
        values = asdict(failure) | {"path": os.fsencode(failure.path), "root": os.fsencode(root)}
        with self.mapped():
            self.connection.execute(
                "INSERT OR REPLACE INTO failures (collection, root, path, size, mtime_ns, reason)"
                " VALUES (:collection, :root, :path, :size, :mtime_ns, :reason)",
                values,
            )

    def drop_failure(self, collection: str, path: Path) -> None:
        """Forget that a file could not be read."""
        with self.mapped():
            self.connection.execute(
                "DELETE FROM failures WHERE collection = ? AND path = ?", (collection, os.fsencode(path))
            )


def _pack(blocks: Sequence[Block]) -> bytes:
    rows = [[b.start, b.end, b.kind, b.heading, b.page, b.header] for b in blocks]
    return zlib.compress(json.dumps(rows, ensure_ascii=False).encode("utf-8"), 3)


def _unpack(data: bytes) -> tuple[Block, ...]:
    rows = json.loads(zlib.decompress(data))
    return tuple(Block(s, e, kind, tuple(heading), page, header) for s, e, kind, heading, page, header in rows)
