"""Ingest without the command line and without child processes, by an encoder that takes no time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragcli import indexing, planning
from ragcli.parsing import reading
from ragcli.parsing.limits import Limits
from ragcli.planning import Plan, Removal
from ragcli.records import Document, Format
from ragcli.reporting import Report
from ragcli.sources import Walk
from ragcli.storage.index import Index

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors


class HashingEmbedder:
    """A bag of words, each a random direction. It knows nothing of meaning, and is a proper encoder otherwise."""

    def __init__(self, name: str = "hashing", dimension: int = 64) -> None:
        self.id = name
        self.fingerprint = f"{name}-1"
        self.dimension = dimension
        self.floor = 0.0
        self.window = 200
        self.embedded: list[str] = []

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        return [[match.start() for match in re.finditer(r"\w+|[^\w\s]", text)] for text in texts]

    def reads(self, text: str) -> float:
        return sum(map(str.isascii, text)) / max(1, len(text))

    def embed_documents(self, texts: Sequence[str], on_done: Callable[[int], None] | None = None) -> Vectors:
        self.embedded += texts
        if on_done is not None:
            on_done(len(texts))
        return np.stack([self.embed_query(text) for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Vectors:
        total = np.zeros(self.dimension, dtype=np.float32)
        for word in re.findall(r"\w+", text.lower()) or [""]:
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest())
            total += np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)
        return total / np.linalg.norm(total)


class DirectParser:
    """The parsers, in this process."""

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        return reading.read(data, format, Limits(100))


def ingest(
    index: Index,
    embedder: Any,
    *paths: Path,
    collection: str = "main",
    walk: Walk | None = None,
    parser: Any = None,
    retry_failed: bool = False,
    prune: bool = True,
    may_remove: Callable[[Removal], bool] = lambda removal: True,
    max_bytes: int = 50_000_000,
) -> Report:
    """Bring an index to the state of some paths, as `ragcli ingest` does."""
    plan = planning.plan(
        paths,
        walk or Walk(max_bytes=max_bytes),
        index.catalog.files(collection),
        index.catalog.failures(collection),
        retry_failed=retry_failed,
        prune=prune,
    )
    return follow(index, embedder, plan, collection, parser, may_remove, max_bytes)


def follow(
    index: Index,
    embedder: Any,
    plan: Plan,
    collection: str = "main",
    parser: Any = None,
    may_remove: Callable[[Removal], bool] = lambda removal: True,
    max_bytes: int = 50_000_000,
) -> Report:
    """Do what a plan says."""
    report = Report.of(plan)
    indexing.settle(index, plan, collection, report, may_remove)
    index.adopt(embedder)
    indexing.store(
        index,
        embedder,
        parser or DirectParser(),
        plan.changed,
        collection,
        report,
        jobs=2,
        max_bytes=max_bytes,
        on_progress=lambda progress: None,
    )
    indexing.finish(index, report)
    return report


def contents(index: Index) -> dict[str, Any]:
    """Return what an index holds, but for row ids and times: two that hold the same were made of the same."""
    catalog = index.catalog
    files = catalog.files()
    return {
        "files": [(f.collection, f.source, str(f.path), str(f.root), f.format, f.hash, f.title) for f in files],
        "chunks": {f.source: [(c.chunk_id, c.vector, c.context) for c in catalog.chunks_of(f.id)] for f in files},
        "vectors": set(catalog.vector_keys()),
        "counts": catalog.counts(),
    }
