"""Sources -> index: bring an index to the state of some paths, one file at a time.

Files that changed are read and parsed while the encoder works on those before them. A file becomes visible in one
transaction of the catalog, after its vectors are in Chroma; what is interrupted in between is only work to redo.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ragcli.chunking import chunk, width
from ragcli.embedding.base import Embedder
from ragcli.errors import ParseFailed, UsageError
from ragcli.records import TEXT_FORMATS, Chunk, Document, Format, SourceFile
from ragcli.sources import Skipped, Walk, read
from ragcli.storage.catalog import Catalog, Failure, StoredChunk, StoredFile
from ragcli.storage.index import Index
from ragcli.words import words

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors
    from ragcli.storage.vectors import VectorIndex

FLUSH_CHUNKS = 256
FLUSH_FILES = 64
READABLE = 0.5
"""A chunk of which the encoder reads less than this share gets no vector: it would only be noise."""


class Parser(Protocol):
    """Reads one file's bytes. Safe for use by several threads."""

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        """Return the document. Raises ParseFailed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `done` and `total` count bytes of the files that changed."""

    done: int
    total: int
    files: int
    chunks: int


@dataclass(slots=True)
class Report:
    """What a run did; see the contract's JSON for `ingest`."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    documents: int = 0
    chunks: int = 0
    embedded: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("parse", "chunk", "embed", "store"), 0.0))

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time that the body takes to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phases[phase] += time.perf_counter() - start

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON."""
        return {
            **{name: getattr(self, name) for name in ("added", "updated", "unchanged", "removed")},
            **{name: getattr(self, name) for name in ("skipped", "failed", "warnings")},
            **{name: getattr(self, name) for name in ("documents", "chunks", "embedded")},
            "seconds": round(self.seconds, 3),
            "phases": {name: round(value, 3) for name, value in self.phases.items()},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with some paths, decided before anything is read.

    `removals` are grouped by the given folder that they were stored under, since each is asked about by itself.
    """

    changed: tuple[SourceFile, ...]
    unchanged: int
    removals: tuple[tuple[Path, tuple[StoredFile, ...], int], ...]
    remembered: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that was read: its document, or None where its content is what is stored already."""

    file: SourceFile
    hash: str
    document: Document | None


@dataclass(frozen=True, slots=True)
class Cut:
    """A document cut into chunks: what the encoder sees of each, and its key (None where it could not read it)."""

    chunks: tuple[Chunk, ...]
    inputs: tuple[str, ...]
    keys: tuple[bytes | None, ...]

    def words(self) -> list[str]:
        """Return, for each chunk, the words that lexical search sees: those of its context and of its text."""
        return [" ".join(words(text)) for text in self.inputs]

    def stored(self, collection: str, source: str) -> list[StoredChunk]:
        """Return the chunks as the catalog keeps them. An id is a hash of where a chunk is and what it says."""
        rows = []
        for c, key in zip(self.chunks, self.keys, strict=True):
            identity = "\0".join((collection, source, str(c.start), str(c.end), c.text))
            ident = hashlib.blake2b(identity.encode(), digest_size=10).hexdigest()
            rows.append(
                StoredChunk(0, ident, 0, c.start, c.end, c.page, c.line, width(c.text), c.heading, c.context, key)
            )
        return rows


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A file that was read and cut, and waits to be embedded and stored."""

    file: SourceFile
    hash: str
    document: Document
    cut: Cut


def plan(
    paths: Sequence[Path], walk: Walk, report: Report, files: Sequence[StoredFile], failed: Sequence[Failure] = ()
) -> Plan:
    """Walk `paths` and compare what is there with the `files` that are stored and those that `failed` before.

    Fills the report's skipped and failed. Raises UsageError where none of the paths exists.
    """
    stored = {file.path: file for file in files}
    remembered = {failure.path: failure for failure in failed}
    folders = {file.root for file in stored.values() if file.root != file.path}
    there = [path for path in paths if path.exists()]
    if not there:
        raise UsageError("no such file or folder: " + ", ".join(map(str, paths)), "check the path")
    report.failed += [{"path": str(path), "reason": "no such file or folder"} for path in paths if path not in there]
    changed: dict[Path, SourceFile] = {}
    unchanged: set[Path] = set()
    failures: dict[Path, Failure] = {}
    removals = []
    for given in there:
        start = given.resolve()
        root = next((f for f in sorted(folders) if start.is_relative_to(f)), start if start.is_dir() else start.parent)
        seen: set[Path] = set()
        unread: list[Path] = []
        for found in walk.files(start, root):
            seen.add(found.path)
            if isinstance(found, Skipped):
                if not found.ignored:
                    unread.append(found.path)
                entry = {"path": str(found.path), "reason": found.reason}
                (report.failed if found.failed else report.skipped).append(entry)
                if found.ignored or found.path not in stored:
                    seen.discard(found.path)
                continue
            file = found if start.is_dir() or root in folders else replace(found, root=found.path)
            before = stored.get(file.path)
            failure = remembered.get(file.path)
            if failure is not None and (failure.size, failure.mtime_ns) == (file.size, file.mtime_ns):
                failures[file.path] = failure
            elif before is not None and _same(file, before):
                unchanged.add(file.path)
            else:
                changed.setdefault(file.path, file)
        if start.is_dir():
            below = [f for f in stored.values() if f.path.is_relative_to(start)]
            gone = [f for f in below if f.path not in seen and not any(f.path.is_relative_to(u) for u in unread)]
            removals.append((start, tuple(gone), len(below)))
    return Plan(tuple(changed.values()), len(unchanged), tuple(removals), tuple(failures.values()))


def _same(file: SourceFile, before: StoredFile) -> bool:
    """Trust size and time, but not where the file changed within two seconds of being read (as git does)."""
    indexed_ns = int(before.indexed_at)
    same = (file.size, file.mtime_ns) == (before.size, before.mtime_ns)
    return same and file.mtime_ns < indexed_ns - 2_000_000_000


def sync(
    index: Index,
    embedder: Embedder,
    parser: Parser,
    todo: Plan,
    collection: str,
    report: Report,
    *,
    jobs: int,
    max_bytes: int,
    remove: Callable[[Path, int, int], bool],
    on_progress: Callable[[Progress], None],
) -> None:
    """Carry out a plan. The caller holds the writer's lock.

    `remove(folder, gone, stored)` is asked for each folder whether what is gone from it may be removed. What is
    interrupted loses no file that was committed; the vectors computed so far are kept for the next run.
    """
    index.begin_writing()
    try:
        report.unchanged += todo.unchanged
        report.failed += [{"path": str(f.path), "reason": f"{f.reason} (not tried again)"} for f in todo.remembered]
        _remove_gone(index, todo, report, remove)
        _Writer(index, embedder, collection, report, todo.changed, on_progress).run(parser, jobs, max_bytes)
        if report.removed or report.updated:
            index.catalog.drop_unused_vectors()
    finally:
        index.end_writing()
        report.documents, report.chunks, _ = index.catalog.counts()


def _remove_gone(index: Index, todo: Plan, report: Report, remove: Callable[[Path, int, int], bool]) -> None:
    for folder, gone, stored in todo.removals:
        if not gone or not remove(folder, len(gone), stored):
            continue
        forget_files(index, gone)
        report.removed += len(gone)


def forget_files(index: Index, files: Sequence[StoredFile]) -> None:
    """Remove files from the catalog, all at once, and then their vectors from Chroma."""
    gone: list[str] = []
    with index.catalog.transaction():
        for file in files:
            gone += index.catalog.remove_path(file.collection, file.path)
    index.vectors.delete(gone)


class _Writer:
    """Reads, cuts, embeds and stores the files that changed."""

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        collection: str,
        report: Report,
        files: Sequence[SourceFile],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.index = index
        self.embedder = embedder
        self.collection = collection
        self.report = report
        self.files = files
        self.on_progress = on_progress
        self.stored = {file.path: file for file in index.catalog.files(collection)}
        self.names = {file.source: file.path for file in self.stored.values()}
        self.total = sum(file.size for file in files)
        self.done = 0
        self.count = 0

    def run(self, parser: Parser, jobs: int, max_bytes: int) -> None:
        waiting: list[_Waiting] = []
        for found in self._read_all(parser, jobs, max_bytes):
            if found.document is None:
                self._finish(found.file)
                continue
            with self.report.timed("chunk"):
                file = replace(found.file, source=self._name(found.file))
                pieces = cut(self.embedder, found.document, file.source, file.format)
            waiting.append(_Waiting(file, found.hash, found.document, pieces))
            if sum(len(one.cut.chunks) for one in waiting) >= FLUSH_CHUNKS or len(waiting) >= FLUSH_FILES:
                self._flush(waiting)
                waiting = []
        self._flush(waiting)

    def _read_all(self, parser: Parser, jobs: int, max_bytes: int) -> Iterator[_Read]:
        """Yield the files in order, with `jobs` of them being read and parsed ahead."""

        def work(file: SourceFile) -> _Read:
            data, digest = read(file, max_bytes)
            before = self.stored.get(file.path)
            if before is not None and before.hash == digest:
                return _Read(file, digest, None)
            document = parser.parse(data, file.format, file.source)
            if not document.text.strip():
                raise ParseFailed("no text" if data else "empty file")
            return _Read(file, digest, document)

        pool = ThreadPoolExecutor(jobs)
        ahead: deque[tuple[SourceFile, Future[_Read]]] = deque()
        try:
            rest = iter(self.files)
            while True:
                while len(ahead) < jobs * 2 and (file := next(rest, None)) is not None:
                    ahead.append((file, pool.submit(work, file)))
                if not ahead:
                    return
                file, future = ahead.popleft()
                try:
                    with self.report.timed("parse"):
                        found = future.result()
                except ParseFailed as error:
                    self._fail(file, error.message)
                    continue
                if found.document is None:
                    before = self.stored[file.path]
                    self.index.catalog.touch(before.id, file.size, file.mtime_ns)
                    self.index.catalog.drop_failure(self.collection, file.path)
                    self.report.unchanged += 1
                yield found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _fail(self, file: SourceFile, reason: str) -> None:
        self.report.failed.append({"path": str(file.path), "reason": reason})
        failure = Failure(self.collection, file.path, file.size, file.mtime_ns, reason)
        self.index.catalog.put_failure(failure, file.root)
        self._finish(file)

    def _finish(self, file: SourceFile) -> None:
        self.done += file.size
        self.count += 1
        self._tell()

    def _tell(self, part: float = 0.0) -> None:
        self.on_progress(Progress(int(self.done + part), self.total, self.count, self.report.embedded))

    def _name(self, file: SourceFile) -> str:
        """Return the file's name in the index: what it has, its relative path, or that with folders before it."""
        if file.path in self.stored:
            return self.stored[file.path].source
        name = os.fsencode(file.source).decode("utf-8", "replace")
        above = file.path.parent if file.root == file.path else file.root
        while self.names.get(name, file.path) != file.path:
            name = f"{above.name or 'root'}/{name}"
            above = above.parent
        self.names[name] = file.path
        return name

    def _flush(self, waiting: Sequence[_Waiting]) -> None:
        """Embed what is new in some documents, put it into Chroma, and commit the documents one by one."""
        if not waiting:
            return
        catalog, report = self.index.catalog, self.report
        size = sum(one.file.size for one in waiting)
        cuts = [one.cut for one in waiting]
        vectors = embed(catalog, self.embedder, cuts, report, lambda share: self._tell(size * share))
        rows = [one.cut.stored(self.collection, one.file.source) for one in waiting]
        with report.timed("store"):
            upsert(self.index.vectors, [chunk for chunks in rows for chunk in chunks], vectors)
        for one, chunks in zip(waiting, rows, strict=True):
            with report.timed("store"):
                with catalog.transaction():
                    gone = catalog.put_document(self._stored(one), one.document, chunks, one.cut.words())
                if gone:
                    self.index.vectors.delete(gone)
            if one.file.path in self.stored:
                report.updated += 1
            else:
                report.added += 1
            report.unreadable += sum(key is None for key in one.cut.keys)
            report.warnings += [{"path": str(one.file.path), "reason": w} for w in one.document.warnings]
            self._finish(one.file)

    def _stored(self, one: _Waiting) -> StoredFile:
        file, document = one.file, one.document
        return StoredFile(
            id=0,
            collection=self.collection,
            root=file.root,
            path=file.path,
            source=file.source,
            format=file.format,
            size=file.size,
            mtime_ns=file.mtime_ns,
            hash=one.hash,
            title=document.title,
            pages=document.pages,
            warnings=document.warnings,
            indexed_at=str(time.time_ns()),
        )


def cut(embedder: Embedder, document: Document, source: str, format: str) -> Cut:
    """Cut a document into chunks; `source` is the file's name in the index, `format` one of `records.Format`."""
    lines = format in TEXT_FORMATS
    chunks = chunk(document, title_of(source), embedder, limit=embedder.window, lines=lines)
    inputs = tuple(f"{c.context}\n{c.text}" for c in chunks)
    keys = tuple(
        _key(embedder.fingerprint, text) if embedder.reads(c.text) >= READABLE else None
        for c, text in zip(chunks, inputs, strict=True)
    )
    return Cut(chunks, inputs, keys)


def title_of(source: str) -> str:
    """Return a file's name as words: no folders, no suffix, no punctuation between words."""
    return " ".join(Path(source).stem.replace("_", " ").replace("-", " ").split())


def _key(fingerprint: str, text: str) -> bytes:
    return hashlib.blake2b(f"{fingerprint}\0{text}".encode(), digest_size=20).digest()


def embed(
    catalog: Catalog, embedder: Embedder, cuts: Sequence[Cut], report: Report, on_share: Callable[[float], None]
) -> dict[bytes, bytes]:
    """Return the vector of every key, from the catalog where it is known, else computed and kept there."""
    texts = {key: text for one in cuts for key, text in zip(one.keys, one.inputs, strict=True) if key is not None}
    with report.timed("store"):
        vectors = catalog.vectors(texts)
    missing = [key for key in texts if key not in vectors]
    finished = 0

    def on_done(count: int) -> None:
        nonlocal finished
        finished += count
        report.embedded += count
        on_share(finished / len(missing))

    if missing:
        with report.timed("embed"):
            computed = embedder.embed_documents([texts[key] for key in missing], on_done)
        fresh = {key: row.tobytes() for key, row in zip(missing, computed, strict=True)}
        with report.timed("store"), catalog.transaction():
            catalog.put_vectors(fresh)
        vectors.update(fresh)
    return vectors


def upsert(index: VectorIndex, chunks: Sequence[StoredChunk], vectors: dict[bytes, bytes]) -> None:
    """Put the vectors of some chunks into Chroma."""
    import numpy as np

    chosen = {c.chunk_id: vectors[c.vector] for c in chunks if c.vector is not None}
    if chosen:
        rows: Vectors = np.stack([np.frombuffer(v, dtype=np.float32) for v in chosen.values()])
        index.upsert(list(chosen), rows)


def rebuild(index: Index, embedder: Embedder, on_progress: Callable[[Progress], None]) -> Report:
    """Make chunks, words and vectors anew from the documents in the catalog, with any encoder.

    The caller holds the writer's lock. Searches go on over the old index until the new one is whole; what an
    interrupted rebuild has embedded is kept for the next.
    """
    catalog, report = index.catalog, Report()
    start = time.perf_counter()
    files = catalog.files()
    total = sum(file.size for file in files)
    fresh, generation = index.next_vectors()
    done = 0
    for at in range(0, len(files), FLUSH_FILES // 4):
        part = files[at : at + FLUSH_FILES // 4]
        with report.timed("chunk"):
            cuts = [cut(embedder, catalog.document(file.id), file.source, file.format) for file in part]
        vectors = embed(catalog, embedder, cuts, report, lambda _: None)
        for file, one in zip(part, cuts, strict=True):
            with report.timed("store"):
                upsert(fresh, one.stored(file.collection, file.source), vectors)
            report.unreadable += sum(key is None for key in one.keys)
            done += file.size
        on_progress(Progress(done, total, at + len(part), report.embedded))
    fresh.close()
    with report.timed("store"), catalog.transaction():
        for file in files:
            one = cut(embedder, catalog.document(file.id), file.source, file.format)
            catalog.replace_chunks(file.id, one.stored(file.collection, file.source), one.words())
        index.switch(generation, embedder)
    index.drop_old_vectors()
    catalog.drop_unused_vectors()
    report.documents, report.chunks, _ = catalog.counts()
    report.seconds = time.perf_counter() - start
    return report
