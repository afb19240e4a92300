"""Documents -> chunks -> vectors in the catalog. The encoder works in a thread of its own.

So the caller can read, cut and store other documents meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragcli.chunking import chunk, width
from ragcli.embedding.base import Embedder
from ragcli.naming import title_of
from ragcli.records import TEXT_FORMATS, Chunk, Document
from ragcli.reporting import Report
from ragcli.storage.catalog import Catalog
from ragcli.storage.keys import chunk_id, vector_key
from ragcli.storage.rows import StoredChunk
from ragcli.words import words

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors

SLICE = 128
"""Texts given to the encoder at once: enough for it to be quick, few enough to lose when the run is ended."""
READABLE = 0.5
"""A chunk of which the encoder reads less than this share gets no vector: it would only be noise."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A document cut into chunks: what the encoder sees of each, and its key (None where it could not read it)."""

    chunks: tuple[Chunk, ...]
    inputs: tuple[str, ...]
    keys: tuple[bytes | None, ...]

    def words(self) -> list[str]:
        """Return, for each chunk, the words that lexical search sees: those of its context and of its text."""
        return [" ".join(words(text)) for text in self.inputs]

    def rows(self, collection: str, source: str) -> list[StoredChunk]:
        """Return the chunks as the catalog keeps them."""
        rows = []
        for c, key in zip(self.chunks, self.keys, strict=True):
            ident = chunk_id(collection, source, c.start, c.end, c.text)
            rows.append(
                StoredChunk(0, ident, 0, c.start, c.end, c.page, c.line, width(c.text), c.heading, c.context, key)
            )
        return rows


def cut(embedder: Embedder, document: Document, source: str, format: str) -> Cut:
    """Cut a document into chunks; `source` is the file's name in the index, `format` one of `records.Format`."""
    lines = format in TEXT_FORMATS
    chunks = chunk(document, title_of(source), embedder, limit=embedder.window, lines=lines)
    inputs = tuple(f"{c.context}\n{c.text}" for c in chunks)
    keys = tuple(
        vector_key(embedder.fingerprint, text) if embedder.reads(c.text) >= READABLE else None
        for c, text in zip(chunks, inputs, strict=True)
    )
    return Cut(chunks, inputs, keys)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Vectors that are being computed: the keys of each slice, and what the encoder gives with its seconds."""

    slices: tuple[tuple[list[bytes], Future[tuple[Vectors, float]]], ...]


class Encoding:
    """An encoder at work beside the caller, whose thread alone reads and writes the catalog."""

    def __init__(self, catalog: Catalog, embedder: Embedder, report: Report) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._report = report
        self._thread = ThreadPoolExecutor(1)
        self._under_way: set[bytes] = set()

    def start(self, cuts: Sequence[Cut]) -> UnderWay:
        """Have those vectors of some documents computed that are neither stored nor under way."""
        texts = {key: text for one in cuts for key, text in zip(one.keys, one.inputs, strict=True) if key is not None}
        with self._report.timed("store"):
            known = self._catalog.known_keys(texts)
        missing = [key for key in texts if key not in known and key not in self._under_way]
        missing.sort(key=lambda key: -len(texts[key]))
        self._under_way.update(missing)
        slices = max(1, len(missing) // SLICE) if missing else 0
        parts = [missing[n * len(missing) // slices : (n + 1) * len(missing) // slices] for n in range(slices)]
        return UnderWay(tuple((part, self._thread.submit(self._embed, [texts[key] for key in part])) for part in parts))

    def _embed(self, texts: list[str]) -> tuple[Vectors, float]:
        start = time.perf_counter()
        vectors = self._embedder.embed_documents(texts)
        return vectors, time.perf_counter() - start

    def finish(self, under_way: UnderWay, on_share: Callable[[float], None]) -> None:
        """Store vectors as they come, each slice at once. `on_share` hears what share is done.

        Those that were started before have to be finished before.
        """
        for number, (keys, future) in enumerate(under_way.slices, 1):
            vectors, seconds = future.result()
            self._report.phases["embed"] += seconds
            with self._report.timed("store"):
                self._catalog.put_vectors({key: row.tobytes() for key, row in zip(keys, vectors, strict=True)})
            self._under_way.difference_update(keys)
            self._report.embedded += len(keys)
            on_share(number / len(under_way.slices))

    def close(self) -> None:
        """End the thread, with the slice that it is at."""
        self._thread.shutdown(cancel_futures=True)


def embed(
    catalog: Catalog, embedder: Embedder, cuts: Sequence[Cut], report: Report, on_share: Callable[[float], None]
) -> None:
    """Make sure that the catalog holds the vector of every key. `on_share` hears what share is done."""
    with closing(Encoding(catalog, embedder, report)) as encoding:
        encoding.finish(encoding.start(cuts), on_share)
