"""Sources -> index: bring an index to the state of some paths, one file at a time.

Files that changed are read and parsed while the encoder works on those before them. A file becomes visible in one
transaction of the catalog, together with its words and vectors. What is interrupted before that is only work to redo,
and vectors are kept as they are computed: they are never computed twice.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ragcli.chunking import chunk, width
from ragcli.embedding.base import Embedder
from ragcli.errors import ParseFailed
from ragcli.formats import VERSIONS
from ragcli.planning import Plan, Removal
from ragcli.records import TEXT_FORMATS, Chunk, Document, Format, SourceFile
from ragcli.sources import Content, read
from ragcli.storage.catalog import Catalog
from ragcli.storage.index import MANY_PENDING, Index
from ragcli.storage.keys import chunk_id, vector_key
from ragcli.storage.rows import Failure, StoredChunk, StoredFile
from ragcli.words import words

FLUSH_CHUNKS, FLUSH_FILES = 256, 64
"""Chunks, or files, that are collected before they are embedded: enough to sort by length."""
SLICE = 64
"""Texts given to the encoder at once: enough for it to be quick, few enough to lose when the run is ended."""
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


OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Report:
    """What a run did; see the contract's JSON for `ingest`. Of `parse`, what counts is how long the run waited."""

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

    @classmethod
    def of(cls, plan: Plan) -> Report:
        """Return the report of what is known before anything is done."""
        report = cls(unchanged=plan.unchanged)
        for path in plan.missing:
            report.fail(path, "no such file or folder")
        for one in plan.skipped:
            (report.failed if one.failed else report.skipped).append({"path": str(one.path), "reason": one.reason})
        for failure in plan.remembered:
            report.fail(failure.path, f"{failure.reason} (not tried again)")
        return report

    def fail(self, path: Path, reason: str) -> None:
        """Note a file that could not be read."""
        self.failed.append({"path": str(path), "reason": reason})

    def warn(self, path: Path | str, reason: str) -> None:
        """Note something doubtful."""
        self.warnings.append({"path": str(path), "reason": reason})

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


def title_of(source: str) -> str:
    """Return a file's name as words: no folders, no suffix, no punctuation between words."""
    return " ".join(Path(source).stem.replace("_", " ").replace("-", " ").split())


def remove_gone(
    index: Index, plan: Plan, collection: str, report: Report, may_remove: Callable[[Removal], bool]
) -> None:
    """Remove what a plan found to be gone, where `may_remove` says so, and the failures that are none any more."""
    for removal in plan.removals:
        if may_remove(removal):
            with index.catalog.transaction():
                for file in removal.gone:
                    index.catalog.remove_path(collection, file.path)
            report.removed += len(removal.gone)
    with index.catalog.transaction():
        for failure in plan.settled:
            index.catalog.drop_failure(collection, failure.path)
        for one in plan.skipped:
            if one.failed:  # it has no size and time by which to remember it: it is looked at again in any case
                index.catalog.put_failure(Failure(collection, one.path, -1, -1, one.reason))


def store(
    index: Index,
    embedder: Embedder,
    parser: Parser,
    files: Sequence[SourceFile],
    collection: str,
    report: Report,
    *,
    jobs: int,
    max_bytes: int,
    on_progress: OnProgress,
) -> None:
    """Read the files that changed, `jobs` at once, and store each in place of what was stored under its path.

    The caller holds the writer's lock. What is interrupted loses no file that was committed.
    """
    _Writer(index, embedder, collection, report, files, on_progress).run(parser, jobs, max_bytes)


def finish(index: Index, report: Report, on_progress: Callable[[int, int], None] | None = None) -> None:
    """End a run: let go of vectors that no chunk has, bring Chroma up to date, and count."""
    with report.timed("store"):
        if report.removed or report.updated:
            index.catalog.drop_unused_vectors()
        index.follow(on_progress)
    report.documents, report.chunks, _ = index.catalog.counts()


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that was read: its document, or None where its content is what is stored already."""

    content: Content
    document: Document | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A file that was read and cut, and waits to be embedded and stored."""

    content: Content
    source: str
    document: Document
    cut: Cut


class _Writer:
    """Reads, cuts, embeds and stores the files that changed, in their order."""

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        collection: str,
        report: Report,
        files: Sequence[SourceFile],
        on_progress: OnProgress,
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
        with closing(self._read_all(parser, jobs, max_bytes)) as found:
            for one in found:
                if one.document is None:
                    self._keep(one.content)
                    continue
                file = one.content.file
                with self.report.timed("chunk"):
                    source = self._name(file)
                    pieces = cut(self.embedder, one.document, source, file.format)
                waiting.append(_Waiting(one.content, source, one.document, pieces))
                if sum(len(w.cut.chunks) for w in waiting) >= FLUSH_CHUNKS or len(waiting) >= FLUSH_FILES:
                    self._flush(waiting)
                    waiting = []
        self._flush(waiting)

    def _read_all(self, parser: Parser, jobs: int, max_bytes: int) -> Generator[_Read]:
        """Yield the files in order, with `jobs` of them being read and parsed ahead."""

        def work(file: SourceFile) -> _Read:
            content = read(file, max_bytes)
            before = self.stored.get(file.path)
            if before is not None and before.hash == content.hash:
                return _Read(replace(content, data=b""), None)
            document = parser.parse(content.data, file.format, file.source)
            if not document.text.strip():
                raise ParseFailed("no text" if content.data else "empty file")
            return _Read(replace(content, data=b""), document)

        pool = ThreadPoolExecutor(jobs)
        ahead: deque[tuple[SourceFile, Future[_Read]]] = deque()
        rest = iter(self.files)
        try:
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
                else:
                    yield found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # what is being parsed ends when the caller ends the parser

    def _fail(self, file: SourceFile, reason: str) -> None:
        self.report.fail(file.path, reason)
        self.index.catalog.put_failure(Failure(self.collection, file.path, file.size, file.mtime_ns, reason))
        self._finish(file)

    def _keep(self, content: Content) -> None:
        file = content.file
        with self.index.catalog.transaction():
            self.index.catalog.touch(self.stored[file.path].id, file.size, file.mtime_ns, content.read_at)
            self.index.catalog.drop_failure(self.collection, file.path)
        self.report.unchanged += 1
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
        """Embed what is new in some documents, and commit them one by one."""
        if not waiting:
            return
        catalog, report = self.index.catalog, self.report
        size = sum(one.content.file.size for one in waiting)
        embed(catalog, self.embedder, [one.cut for one in waiting], report, lambda share: self._tell(size * share))
        for one in waiting:
            file = one.content.file
            with report.timed("store"):
                rows = one.cut.rows(self.collection, one.source)
                catalog.put_document(self._stored(one), one.document, rows, one.cut.words())
            if file.path in self.stored:
                report.updated += 1
            else:
                report.added += 1
            report.unreadable += sum(key is None for key in one.cut.keys)
            for warning in one.document.warnings:
                report.warn(file.path, warning)
            self._finish(file)
        if len(catalog.pending_keys()) > max(MANY_PENDING, self.index.generation().count):
            with report.timed("store"):
                self.index.write_vectors()

    def _stored(self, one: _Waiting) -> StoredFile:
        file, document = one.content.file, one.document
        return StoredFile(
            id=0,
            collection=self.collection,
            root=file.root,
            path=file.path,
            source=one.source,
            format=file.format,
            size=file.size,
            mtime_ns=file.mtime_ns,
            hash=one.content.hash,
            title=document.title,
            pages=document.pages,
            warnings=document.warnings,
            read_at=one.content.read_at,
            parser=VERSIONS[file.format],
        )


def embed(
    catalog: Catalog, embedder: Embedder, cuts: Sequence[Cut], report: Report, on_share: Callable[[float], None]
) -> None:
    """Make sure that the catalog holds the vector of every key. `on_share` hears what share is done."""
    texts = {key: text for one in cuts for key, text in zip(one.keys, one.inputs, strict=True) if key is not None}
    with report.timed("store"):
        known = catalog.known_keys(texts)
    missing = sorted((key for key in texts if key not in known), key=lambda key: -len(texts[key]))
    finished = 0

    def on_done(count: int) -> None:
        nonlocal finished
        finished += count
        on_share(finished / len(missing))

    slices = max(1, len(missing) // SLICE)
    for number in range(slices if missing else 0):
        part = missing[number * len(missing) // slices : (number + 1) * len(missing) // slices]
        with report.timed("embed"):
            computed = embedder.embed_documents([texts[key] for key in part], on_done)
        with report.timed("store"):
            catalog.put_vectors({key: row.tobytes() for key, row in zip(part, computed, strict=True)})
        report.embedded += len(part)
