"""Give stored documents other places and names, without reading or embedding anything again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ragcli.storage.catalog import Catalog
from ragcli.storage.rows import StoredChunk, StoredFile


def set_aside(catalog: Catalog, documents: Iterable[int]) -> None:
    """Free the paths, names and chunk ids of some documents, which may have to go to one another.

    The caller holds a transaction in which each of them gets its place by `put_down` and `rename_chunks`.
    """
    with catalog.transaction():
        for ident in documents:
            # No file is called by a NUL and a number, and no absolute path is a number.
            catalog.connection.execute(
                "UPDATE documents SET path = CAST(id AS BLOB), source = char(0) || id WHERE id = ?", (ident,)
            )
            catalog.connection.execute("UPDATE chunks SET chunk_id = char(0) || id WHERE document = ?", (ident,))


def put_down(catalog: Catalog, file: StoredFile) -> None:
    """Store the place, name, size and times of a document, that with `file.id`."""
    places = (os.fsencode(file.root), os.fsencode(file.path), file.source)
    with catalog.transaction():
        catalog.connection.execute(
            "UPDATE documents SET root = ?, path = ?, source = ?, size = ?, mtime_ns = ?, read_at = ? WHERE id = ?",
            (*places, file.size, file.mtime_ns, file.read_at, file.id),
        )


def rename_chunks(catalog: Catalog, chunks: Sequence[StoredChunk], words: Sequence[str] | None) -> None:
    """Store the ids and contexts of chunks that stay where they are; `words` has one entry for each, None if they stay.

    A chunk is that with its `id`.
    """
    with catalog.transaction():
        catalog.connection.executemany(
            "UPDATE chunks SET chunk_id = ?, context = ?, encoded = ? WHERE id = ?",
            ((chunk.chunk_id, chunk.context, chunk.encoded, chunk.id) for chunk in chunks),
        )
        if words is not None:
            catalog.connection.executemany(
                "UPDATE words SET body = ? WHERE rowid = ?",
                ((text, chunk.id) for chunk, text in zip(chunks, words, strict=True)),
            )
