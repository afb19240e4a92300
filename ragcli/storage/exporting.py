"""Index -> a file that another machine can import."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragcli import __version__
from ragcli.errors import UsageError
from ragcli.storage import bundle
from ragcli.storage.bundle import BLOCK, Manifest, OnProgress
from ragcli.storage.index import Index
from ragcli.storage.rows import StoredChunk, StoredFile

_ROWS = 1000


def export(index: Index, target: Path, encoder: Mapping[str, Path], on_progress: OnProgress) -> Manifest:
    """Write an index to the file `target`, with the files of its encoder that are given, and return what it holds.

    The state is that of one moment, whatever a writer does meanwhile. The same state gives the same bytes. Where files
    lie on this machine is left out. Raises UsageError where the index holds nothing, IndexDamaged where it is damaged,
    and IndexError_ where the file cannot be written.
    """
    with index.catalog.snapshot():
        index.require_whole()
        documents, chunks, _ = index.catalog.counts()
        if not documents:
            raise UsageError("the index holds nothing to export", "`ragcli ingest PATH` reads documents into it")
        keys = index.catalog.vector_keys()
        with bundle.writing(target) as out:
            out.add(bundle.DOCUMENTS, _documents(index, keys, on_progress), packed=True)
            out.add(bundle.VECTORS, _vectors(index, keys), packed=False)
            for name, path in sorted(encoder.items()):
                out.add(bundle.ENCODER + name, _blocks(path), packed=False)
            meta = index.catalog.meta()
            manifest = Manifest(
                ragcli=__version__,
                encoder=meta["encoder"],
                fingerprint=meta["fingerprint"],
                dimension=int(meta["dimension"]),
                chunker=int(meta["chunker"]),
                words=int(meta["words"]),
                documents=documents,
                chunks=chunks,
                vectors=len(keys),
                members=tuple(out.members),
            )
            out.finish(manifest)
    return manifest


def _documents(index: Index, keys: Sequence[bytes], on_progress: OnProgress) -> Iterator[bytes]:
    numbers = {key: number for number, key in enumerate(keys)}
    files = index.catalog.files()
    for done, file in enumerate(files, start=1):
        row = _row(index, file, numbers)
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        on_progress(done, len(files))


def _row(index: Index, file: StoredFile, numbers: Mapping[bytes, int]) -> dict[str, Any]:
    document = index.catalog.document(file.id)
    return {
        "collection": file.collection,
        "source": file.source,
        "format": file.format,
        "size": file.size,
        "sha256": file.hash,
        "parser": file.parser,
        "title": document.title,
        "pages": document.pages,
        "warnings": document.warnings,
        "labels": document.labels,
        "text": document.text,
        "blocks": [[b.start, b.end, b.kind, b.heading, b.page, b.header] for b in document.blocks],
        "chunks": [_chunk(chunk, numbers) for chunk in index.catalog.chunks_of(file.id)],
    }


def _chunk(chunk: StoredChunk, numbers: Mapping[bytes, int]) -> list[Any]:
    place = [chunk.start, chunk.end, chunk.page, chunk.line, chunk.width, chunk.heading, chunk.context]
    return [*place, chunk.encoded, None if chunk.vector is None else numbers[chunk.vector]]


def _vectors(index: Index, keys: Sequence[bytes]) -> Iterator[bytes]:
    import numpy as np

    for at in range(0, len(keys), _ROWS):
        part = keys[at : at + _ROWS]
        rows = index.catalog.vectors(part)
        yield np.frombuffer(b"".join(rows[key] for key in part), dtype=np.float32).astype("<f4").tobytes()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            yield block
