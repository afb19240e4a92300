"""An exported file -> index. It may have come from anybody: every row of it is checked before it is believed.

The index is put together in a folder within that of the index, and takes its place in one transaction when it is
whole. Ids, words and the keys of vectors are not taken from the file but made of its texts.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, get_args

from ragcli.errors import IndexError_, UsageError
from ragcli.records import Block, BlockKind, Document, Format
from ragcli.storage import bundle
from ragcli.storage.bundle import Bundle, OnProgress
from ragcli.storage.catalog import FILES
from ragcli.storage.index import Index, exists, make_folder, refuse_foreign
from ragcli.storage.keys import chunk_id, vector_key
from ragcli.storage.lock import LOCK, NOTE, writing
from ragcli.storage.rows import StoredChunk, StoredFile
from ragcli.words import WORDS_VERSION, words

_MAX_LINE = 1 << 30
_LONGEST_SOURCE, _LONGEST_COLLECTION = 4096, 100
_ROWS = 1000
_NORM_ERROR = 1e-2
IMPORTED = Path("imported")
"""Stands in for the folder that a document was read from on the other machine."""


def take(
    exported: Bundle,
    folder: Path,
    on_progress: OnProgress,
    *,
    wait: float,
    on_wait: Callable[[str], None] | None = None,
    replace_old: bool = False,
) -> None:
    """Make the index in `folder` one of what was exported.

    Raises UsageError where it holds documents already, unless they are to be replaced, IndexLocked where another
    process writes to it, IndexDamaged where what the file holds is not in order, and IndexError_ where the index cannot
    be written. It then is as it was.
    """
    made = not folder.exists()
    make_folder(folder)
    refuse_foreign(folder)
    try:
        with writing(folder, wait, on_wait):
            if not replace_old:
                require_empty(folder)
            for old in folder.glob("import-*"):  # of one that was killed
                shutil.rmtree(old, ignore_errors=True)
            staging = folder / f"import-{secrets.token_hex(8)}"
            try:
                with closing(Index(staging, create=True)) as staged:
                    _fill(exported, staged, on_progress)
                    staged.close_vectors()
                    _take_place(staged, folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise IndexError_(f"{folder} cannot be written: {error.strerror}", "give another --index") from None
    finally:
        if made and not exists(folder):
            with suppress(OSError):
                for name in (LOCK, NOTE):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()


def require_empty(folder: Path) -> None:
    """Raise UsageError where an index in `folder` holds documents."""
    if not exists(folder):
        return
    with closing(Index(folder, create=True)) as there:
        documents = there.catalog.counts()[0]
    if documents:
        raise UsageError(f"the index in {folder} holds {documents} documents", "--replace removes them; or --index DIR")


def _take_place(staged: Index, folder: Path) -> None:
    """Put what was made in the place of what was there: its vectors under a new number, then the catalog at once."""
    there = [int(path.name[8:]) for path in folder.glob("vectors-*") if path.name[8:].isdecimal()]
    made = staged.generation()
    taken = replace(made, number=max([0, *there]) + 1)
    staged.catalog.set_meta(vectors=json.dumps(asdict(taken)))
    keeps = exists(folder)
    try:
        with closing(Index(folder, create=True)) as target:
            if made.count:
                staged.folder_of(made).rename(target.folder_of(taken))
            try:
                with target.catalog.mapped():
                    staged.catalog.connection.backup(target.catalog.connection)
                with suppress(IndexError_), target.catalog.mapped():  # what is in the log is in the index all the same
                    target.catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                keeps = keeps or target.generation() == taken
                target.remove_old_vectors()  # those that were there, or else the new ones
    finally:
        if not keeps:
            for name in FILES:
                (folder / name).unlink(missing_ok=True)


# --- reading -----------------------------------------------------------------------------------------------------


def _fill(exported: Bundle, index: Index, on_progress: OnProgress) -> None:
    manifest = exported.manifest
    if exported.size(bundle.VECTORS) != manifest.vectors * manifest.dimension * 4:
        raise exported.bad(f"{bundle.VECTORS} does not hold {manifest.vectors} vectors of {manifest.dimension} numbers")
    keys: dict[int, bytes] = {}
    names: set[tuple[str, str]] = set()
    with exported.member(bundle.DOCUMENTS) as stream, index.catalog.transaction():
        for number, line in enumerate(_lines(exported, stream), start=1):
            if number > manifest.documents:
                raise exported.bad(f"it holds more than {manifest.documents} documents")
            try:
                _put(index, json.loads(line), manifest.fingerprint, keys, names)
            except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
                raise exported.bad(f"line {number} of {bundle.DOCUMENTS}: {str(error)[:200]}") from None
            on_progress(number, manifest.documents)
    found = index.catalog.counts()
    if found[:2] != (manifest.documents, manifest.chunks):
        raise exported.bad(f"it holds {found[0]} documents with {found[1]} chunks, and says otherwise")
    ordered = [keys[number] for number in sorted(keys)]
    if sorted(keys) != list(range(manifest.vectors)) or ordered != sorted(set(ordered)):
        raise exported.bad("its vectors are not those of its texts, each once, in order")
    _put_vectors(exported, index, ordered)
    index.write_vectors(anew=True)
    index.catalog.set_meta(
        encoder=manifest.encoder,
        fingerprint=manifest.fingerprint,
        dimension=str(manifest.dimension),
        chunker=str(manifest.chunker),
        words=str(WORDS_VERSION),
    )


def _lines(exported: Bundle, stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(_MAX_LINE):
        if not line.endswith(b"\n"):
            raise exported.bad(f"{bundle.DOCUMENTS} has a line that does not end")
        yield line


def _put(index: Index, row: Any, fingerprint: str, keys: dict[int, bytes], names: set[tuple[str, str]]) -> None:
    """Store one document. Raises ValueError, KeyError or TypeError where anything about it is not in order."""
    document = _document(row)
    file = _file(row, document)
    if (file.collection, file.source) in names:
        raise ValueError("a source occurs twice")
    names.add((file.collection, file.source))
    chunks: list[StoredChunk] = []
    seen: list[str] = []
    end = 0
    for given in row["chunks"]:
        chunk, number = _chunk(given, document)
        own = document.text[chunk.start : chunk.end]
        if document.text[end : chunk.start].strip() or chunk.start < end:
            raise ValueError("its chunks overlap or leave text out")
        end = chunk.end
        key = None
        if number is not None:
            key = vector_key(fingerprint, f"{chunk.context if chunk.encoded is None else chunk.encoded}\n{own}")
            if keys.setdefault(number, key) != key:
                raise ValueError("two texts have one vector")
        ident = chunk_id(file.collection, file.source, chunk.start, chunk.end, own)
        chunks.append(replace(chunk, chunk_id=ident, vector=key))
        seen.append(" ".join(words(f"{chunk.context}\n{own}")))
    if document.text[end:].strip():
        raise ValueError("its chunks end before its text does")
    index.catalog.put_document(file, document, chunks, seen)


def _file(row: Any, document: Document) -> StoredFile:
    collection, source = _text(row["collection"]), _text(row["source"])
    if not collection.isprintable() or not 0 < len(collection) <= _LONGEST_COLLECTION:
        raise ValueError("its collection has no proper name")
    parts = source.split("/")
    if "\0" in source or len(source) > _LONGEST_SOURCE or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError("its source has no proper name")
    if row["format"] not in get_args(Format):
        raise ValueError("its format is not known")
    return StoredFile(
        id=0,
        collection=collection,
        root=IMPORTED,
        path=IMPORTED.joinpath(*parts),
        source=source,
        format=row["format"],
        size=_count(row["size"]),
        mtime_ns=0,
        hash=_text(row["sha256"]),
        title=document.title,
        pages=document.pages,
        warnings=document.warnings,
        read_at=time.time_ns(),
        parser=_count(row["parser"]),
    )


def _document(row: Any) -> Document:
    text = _text(row["text"])
    blocks = []
    end = 0
    for start, stop, kind, heading, page, header in row["blocks"]:
        if not end <= _count(start) <= _count(stop) <= len(text) or kind not in get_args(BlockKind):
            raise ValueError("its blocks are not in order")
        blocks.append(Block(start, stop, kind, _texts(heading), _page(page), _text(header)))
        end = stop
    return Document(
        text, tuple(blocks), _text(row["title"]), _page(row["pages"]), _texts(row["warnings"]), _texts(row["labels"])
    )


def _chunk(given: Any, document: Document) -> tuple[StoredChunk, int | None]:
    """Return a chunk, without id and vector, and the number of its vector."""
    start, end, page, line, width, heading, context, encoded, number = given
    if not _count(start) < _count(end) <= len(document.text):
        raise ValueError("a chunk lies outside of its text")
    chunk = StoredChunk(
        id=0,
        chunk_id="",
        document=0,
        start=start,
        end=end,
        page=_page(page),
        line=_page(line),
        width=_count(width),
        heading=_texts(heading),
        context=_text(context),
        vector=None,
        encoded=None if encoded is None else _text(encoded),
    )
    return chunk, None if number is None else _count(number)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is none")
    value.encode()  # half of a surrogate pair is not a character
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError("a list is none")
    return tuple(map(_text, values))


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("a number is none, or too large")
    return value


def _page(value: Any) -> int | None:
    return None if value is None else _count(value)


def _put_vectors(exported: Bundle, index: Index, keys: list[bytes]) -> None:
    import numpy as np

    width = exported.manifest.dimension * 4
    with exported.member(bundle.VECTORS) as stream, index.catalog.transaction():
        for at in range(0, len(keys), _ROWS):
            part = keys[at : at + _ROWS]
            data = stream.read(len(part) * width)
            if len(data) != len(part) * width:
                raise exported.bad(f"{bundle.VECTORS} is too short")
            rows = np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(len(part), -1)
            with np.errstate(all="ignore"):
                lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
            if not np.all(np.abs(lengths - 1.0) < _NORM_ERROR):  # NaN is not less than anything
                raise exported.bad(f"{bundle.VECTORS} holds what is no vector of length 1")
            index.catalog.put_vectors({key: row.tobytes() for key, row in zip(part, rows, strict=True)})
