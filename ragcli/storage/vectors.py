"""Vectors in Chroma: an index for nearest neighbours that can be thrown away and made again from the catalog.

Only the writer that holds the index's lock may open it to write: two writers corrupt it without a word. Every folder
of vectors is written by one `rebuild` or by `ingest` runs; the catalog names the one in use, and notes the size of
each of its files when a writer is done, because Chroma answers silently short when a file of it is cut or lost.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.errors import IndexDamaged

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors

COLLECTION = "chunks"
_BATCH = 5000  # Chroma refuses more than 5461 rows at once


class VectorIndex:
    """An open folder of vectors, keyed by chunk id. Exceptions of Chroma become IndexDamaged."""

    def __init__(self, folder: Path) -> None:
        os.environ["ANONYMIZED_TELEMETRY"] = "False"
        import chromadb
        from chromadb.config import Settings

        self.folder = folder
        with self._mapped():
            self._client = chromadb.PersistentClient(
                str(folder), settings=Settings(anonymized_telemetry=False, allow_reset=False)
            )
            self._collection = self._client.get_or_create_collection(
                COLLECTION,
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}},
            )

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, SystemExit, IndexDamaged):
            raise
        except BaseException as error:  # Chroma raises its own types, Rust's panics (no Exception) and plain ones
            message = " ".join(str(error).split())[:200]
            if "no space left" in message.lower() or "disk is full" in message.lower():
                raise OSError(28, "no space left on device") from None
            raise IndexDamaged(
                f"the vectors in {self.folder} cannot be used: {message}", "run `ragcli rebuild`"
            ) from None

    def upsert(self, chunk_ids: Sequence[str], vectors: Vectors) -> None:
        """Store one vector, shape [dimension], for each chunk id; what was there is replaced."""
        with self._mapped():
            for at in range(0, len(chunk_ids), _BATCH):
                part = slice(at, at + _BATCH)
                self._collection.upsert(ids=list(chunk_ids[part]), embeddings=vectors[part])

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove vectors; ids that are not there are passed over."""
        with self._mapped():
            for at in range(0, len(chunk_ids), _BATCH):
                self._collection.delete(ids=list(chunk_ids[at : at + _BATCH]))

    def search(self, vector: Vectors, count: int) -> list[tuple[str, float]]:
        """Return up to `count` chunk ids with their cosines, best first."""
        with self._mapped():
            there = self._collection.count()
            if there == 0 or count == 0:
                return []
            found = self._collection.query(
                query_embeddings=[vector], n_results=min(count, there), include=["distances"]
            )
            distances: Any = found["distances"]
            return [(i, 1.0 - float(d)) for i, d in zip(found["ids"][0], distances[0], strict=True)]

    def ids(self) -> set[str]:
        """Return every chunk id that is there."""
        with self._mapped():
            return set(self._collection.get(include=[])["ids"])

    def count(self) -> int:
        """Return the number of vectors."""
        with self._mapped():
            return int(self._collection.count())

    def close(self) -> None:
        """Write what is pending and let the files go."""
        with contextlib.suppress(Exception):
            self._client.close()


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the size of every file under a folder of vectors, SQLite's passing side files left out."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm", "-journal"))
    }


def remove_folder(folder: Path) -> None:
    """Remove a folder of vectors that is no longer in use."""
    shutil.rmtree(folder, ignore_errors=True)
