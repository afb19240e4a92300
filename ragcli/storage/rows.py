"""The rows of the catalog, as what the rest of ragcli sees of them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ragcli.records import Block, Document


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A row of `documents` without its text. `path` and `root` are absolute, `read_at` is in nanoseconds since 1970.

    A file that was given by itself is its own root. One that was imported lies at no known place: its `path` and `root`
    are relative, and stand for nothing on this machine. `parser` is the version of the format's parser that read it.
    """

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
    read_at: int
    parser: int = 0

    @property
    def place(self) -> Path | None:
        """Where the file lies, or lay, on this machine; None where that is not known."""
        return self.path if self.path.is_absolute() else None


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A row of `chunks`; the text lies in its document.

    `encoded` is the context that the vector was made with where that is not `context`: the file was renamed since.
    """

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
    encoded: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read. `hash` is of its content; "" where it could not even be opened."""

    collection: str
    path: Path
    size: int
    mtime_ns: int
    reason: str
    hash: str = ""
    parser: int = 0


FILE_COLUMNS = (
    "id, collection, root, path, source, format, size, mtime_ns, hash, title, pages, warnings, read_at, parser"
)
FAILURE_COLUMNS = "collection, path, size, mtime_ns, reason, hash, parser"
CHUNK_COLUMNS = "id, chunk_id, document, start, end, page, line, width, heading, context, vector, encoded"


def file_of(row: Sequence[Any]) -> StoredFile:
    """Return a row of `FILE_COLUMNS`."""
    ident, collection, root, path, source, fmt, size, mtime_ns, digest, title, pages, warnings, read_at, parser = row
    return StoredFile(
        ident, collection, Path(os.fsdecode(root)), Path(os.fsdecode(path)), source, fmt, size, mtime_ns, digest, title,
        pages, tuple(json.loads(warnings)), read_at, parser,
    )  # fmt: skip


def chunk_of(row: Sequence[Any]) -> StoredChunk:
    """Return a row of `CHUNK_COLUMNS`."""
    ident, chunk_id, document, start, end, page, line, width, heading, *rest = row
    return StoredChunk(ident, chunk_id, document, start, end, page, line, width, _headings(heading), *rest)


@lru_cache(maxsize=1 << 12)
def _headings(text: str) -> tuple[str, ...]:
    """Return a path of headings; neighbouring chunks have the same one."""
    return tuple(json.loads(text))


def failure_of(row: Sequence[Any]) -> Failure:
    """Return a row of `FAILURE_COLUMNS`."""
    collection, path, *rest = row
    return Failure(collection, Path(os.fsdecode(path)), *rest)


def document_of(row: Sequence[Any]) -> Document:
    """Return a row of text, blocks, title, pages, warnings and labels."""
    text, blocks, title, pages, warnings, labels = row
    return Document(text, unpack_blocks(blocks), title, pages, tuple(json.loads(warnings)), tuple(json.loads(labels)))


def pack_blocks(blocks: Sequence[Block]) -> bytes:
    """Return blocks as they are stored."""
    rows = [[b.start, b.end, b.kind, b.heading, b.page, b.header] for b in blocks]
    return zlib.compress(json.dumps(rows, ensure_ascii=False).encode("utf-8"), 3)


def unpack_blocks(data: bytes) -> tuple[Block, ...]:
    """Return blocks that were stored."""
    rows = json.loads(zlib.decompress(data))
    return tuple(Block(s, e, kind, tuple(heading), page, header) for s, e, kind, heading, page, header in rows)
