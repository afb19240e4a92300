"""Sources -> index: bring an index to the state of some paths, one file at a time.

Files that changed are read and parsed while the encoder works on those before them. A file becomes visible in one
transaction of the catalog, together with its words and vectors. What is interrupted before that is only work to redo,
and vectors are kept as they are computed: they are never computed twice.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ragcli.embedding.base import Embedder
from ragcli.encoding import Cut, Encoding, UnderWay, cut
from ragcli.errors import ParseFailed
from ragcli.moving import place
from ragcli.naming import Names
from ragcli.pace import Pace
from ragcli.planning import Plan, Removal
from ragcli.records import Document, Format, SourceFile
from ragcli.reporting import OnProgress, Progress, Report
from ragcli.sources import Content, read
from ragcli.storage.index import MANY_PENDING, Index
from ragcli.storage.nearby import source_at
from ragcli.storage.rows import Failure, StoredFile

FLUSH_CHUNKS, FLUSH_FILES = 256, 64
"""Chunks, or files, that are collected before they are embedded: enough to sort by length."""
_TICK = 1.0  # seconds between two looks at a file that takes long


class Parser(Protocol):
    """Reads one file's bytes. Safe for use by several threads."""

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        """Return the document. Raises ParseFailed."""


def settle(index: Index, plan: Plan, collection: str, report: Report, may_remove: Callable[[Removal], bool]) -> None:
    """Do what a plan asks for and needs neither parser nor encoder.

    Files whose content is known get their places, those that are gone are removed where `may_remove` says so, and of
    failures those are noted that are remembered, and those forgotten that are none any more.
    """
    placed = place(index.catalog, plan, collection)
    report.added += placed.added
    report.updated += placed.updated
    report.moved += placed.moved
    report.removed += placed.replaced
    for removal in weighed(index, collection, plan.removals):
        _remove(index, removal, collection, report, may_remove)
    with index.catalog.transaction():
        for failure in plan.settled:
            index.catalog.drop_failure(collection, failure.path)
        for failure in plan.remembered:
            index.catalog.put_failure(failure)
        for one in plan.skipped:
            if one.failed:  # it has no content by which to remember it: it is looked at again in any case
                index.catalog.put_failure(Failure(collection, one.path, -1, -1, one.reason))


def weighed(index: Index, collection: str, removals: Sequence[Removal]) -> Iterator[Removal]:
    """Add to each removal how many files were gone when it was last refused."""
    refusals = _refusals(index)
    return (replace(one, refused=refusals.get(_key(collection, one), 0)) for one in removals)


def _remove(
    index: Index, removal: Removal, collection: str, report: Report, may_remove: Callable[[Removal], bool]
) -> None:
    """Remove the files that are gone from a folder, or note how many would have been.

    Else they would go unasked as soon as others have joined that are there.
    """
    allowed = may_remove(removal)
    refusals, key, gone = _refusals(index), _key(collection, removal), len(removal.gone)
    if not allowed:
        refusals[key] = gone
    elif gone >= removal.refused:
        refusals.pop(key, None)
    with index.catalog.transaction():
        for file in removal.gone if allowed else ():
            index.catalog.remove_path(collection, file.path)
        index.catalog.set_meta(refusals=json.dumps(refusals) if refusals else None)
    report.removed += gone * allowed


def _key(collection: str, removal: Removal) -> str:
    return f"{collection}:{removal.folder}"


def _refusals(index: Index) -> dict[str, int]:
    """Return what was noted of refusals; what is no such note, in an index that somebody else made, counts as none."""
    try:
        noted = json.loads(index.catalog.meta().get("refusals", "{}"))
        return {key: gone for key, gone in noted.items() if isinstance(gone, int)}
    except (ValueError, AttributeError):
        return {}


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


def warn_of_kept(index: Index, collection: str, report: Report) -> None:
    """Warn of files that were not read this time, but before: what they held then is still in the index."""
    for one in (*report.failed, *report.skipped):
        if source_at(index.catalog, collection, Path(one["path"])) is not None:
            report.warn(
                one["path"], "what it held when it was last read stays in the index; `ragcli forget` removes it"
            )


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that was read, and its document, or why there is none. `content` has no bytes any more."""

    content: Content
    document: Document | ParseFailed


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
        self.names = Names(index.catalog, collection)
        self.encoding = Encoding(index.catalog, embedder, report)
        self.flying: tuple[Sequence[_Waiting], UnderWay] = ((), UnderWay(()))
        self.total = sum(file.size for file in files)
        self.chunks: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.done = 0
        self.count = 0

    def run(self, parser: Parser, jobs: int, max_bytes: int) -> None:
        """While some documents are embedded, the next are read and cut, and those before them stored."""
        start = time.perf_counter()
        waiting: list[_Waiting] = []
        with closing(self.encoding), closing(self._read_all(parser, jobs, max_bytes)) as found:
            for one in found:
                file = one.content.file
                if isinstance(one.document, ParseFailed):
                    self._fail(file, one.document.message, one.content.hash)
                    continue
                with self.report.timed("chunk"):
                    source = self.names.of(file)
                    pieces = cut(self.embedder, one.document, source, file.format)
                waiting.append(_Waiting(one.content, source, one.document, pieces))
                if sum(len(w.cut.chunks) for w in waiting) >= FLUSH_CHUNKS or len(waiting) >= FLUSH_FILES:
                    self._flush(waiting)
                    waiting = []
            self._flush(waiting)
            self._flush([])
        self._note_pace(time.perf_counter() - start)

    def _read_all(self, parser: Parser, jobs: int, max_bytes: int) -> Generator[_Read]:
        """Yield the files in order, with `jobs` of them being read and parsed ahead."""

        def work(file: SourceFile) -> _Read:
            content = read(file, max_bytes)
            read_from = replace(content, data=b"")
            try:
                document = parser.parse(content.data, file.format, file.source)
            except ParseFailed as failed:
                return _Read(read_from, failed)
            if not document.text.strip():
                return _Read(read_from, ParseFailed("no text" if content.data else "empty file"))
            return _Read(read_from, document)

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
                        while not wait([future], _TICK).done:
                            self._tell()
                        found = future.result()
                except ParseFailed as error:
                    self._fail(file, error.message)
                else:
                    yield found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # what is being parsed ends when the caller ends the parser

    def _note_pace(self, seconds: float) -> None:
        """Remember how long the run took, where it embedded enough for that to mean anything."""
        if self.report.embedded >= FLUSH_CHUNKS:
            pace = Pace.read(self.index.catalog.meta().get("pace", ""))
            pace.add(seconds, self.chunks, self.sizes)
            self.index.catalog.set_meta(pace=pace.note())

    def _fail(self, file: SourceFile, reason: str, hash: str = "") -> None:
        """Note that a file failed; by its `hash` the content is known again, wherever it lies then."""
        self.report.fail(file.path, reason)
        failure = Failure(self.collection, file.path, file.size, file.mtime_ns, reason, hash, file.parser)
        self.index.catalog.put_failure(failure)
        self._finish(file)

    def _finish(self, file: SourceFile) -> None:
        self.done += file.size
        self.count += 1
        self._tell()

    def _tell(self, part: float = 0.0) -> None:
        self.on_progress(Progress(int(self.done + part), self.total, self.count, self.report.embedded))

    def _flush(self, waiting: Sequence[_Waiting]) -> None:
        """Have what is new in some documents embedded, and commit those that were given the last time."""
        documents, under_way = self.flying
        self.flying = waiting, self.encoding.start([one.cut for one in waiting])
        if not documents:
            return
        size = sum(one.content.file.size for one in documents)
        self.encoding.finish(under_way, lambda share: self._tell(size * share))
        for one in documents:
            self._commit(one)
        catalog = self.index.catalog
        if len(catalog.pending_keys()) > max(MANY_PENDING, self.index.generation().count):
            with self.report.timed("store"):
                self.index.write_vectors()

    def _commit(self, one: _Waiting) -> None:
        file, report = one.content.file, self.report
        with report.timed("store"):
            is_new = source_at(self.index.catalog, self.collection, file.path) is None
            rows = one.cut.rows(self.collection, one.source)
            self.index.catalog.put_document(self._stored(one), one.document, rows, one.cut.words())
        if is_new:
            report.added += 1
        else:
            report.updated += 1
        self.chunks[file.format] += len(rows)
        self.sizes[file.format] += file.size
        report.unreadable += sum(key is None for key in one.cut.keys)
        for warning in one.document.warnings:
            report.warn(file.path, warning)
        self._finish(file)

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
            parser=file.parser,
        )
