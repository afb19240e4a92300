"""Catalog -> index: make chunks, words and vectors anew from the documents that are stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from ragcli.embedding.base import Embedder
from ragcli.encoding import Cut, cut, embed
from ragcli.reporting import OnProgress, Progress, Report
from ragcli.storage.catalog import Catalog
from ragcli.storage.index import Index
from ragcli.storage.rows import StoredFile

_FILES = 16


def rebuild(
    index: Index,
    embedder: Embedder,
    on_progress: OnProgress,
    on_stored: Callable[[int, int], None] | None = None,
) -> Report:
    """Make chunks, words and vectors anew from the documents in the catalog, with any encoder.

    The caller holds the writer's lock. Searches go on over the old index until the new one takes its place in one
    transaction; what an interrupted rebuild has embedded is kept for the next.
    """
    catalog, report = index.catalog, Report()
    start = time.perf_counter()
    files = catalog.files()
    total = sum(file.size for file in files)
    done = count = 0
    for cuts in _cut_all(catalog, embedder, files, report):
        embed(catalog, embedder, [one for _, one in cuts], report, lambda _: None)
        report.unreadable += sum(key is None for _, one in cuts for key in one.keys)
        done += sum(file.size for file, _ in cuts)
        count += len(cuts)
        on_progress(Progress(done, total, count, report.embedded))
    with catalog.transaction():
        for cuts in _cut_all(catalog, embedder, files, report):
            with report.timed("store"):
                for file, one in cuts:
                    catalog.replace_chunks(file.id, one.rows(file.collection, file.source), one.words())
        with report.timed("store"):
            index.write_vectors(on_stored, anew=True)
            index.note_made_by(embedder)
    catalog.drop_unused_vectors()
    report.documents, report.chunks, _ = catalog.counts()
    report.seconds = time.perf_counter() - start
    return report


def _cut_all(
    catalog: Catalog, embedder: Embedder, files: Sequence[StoredFile], report: Report
) -> Iterator[list[tuple[StoredFile, Cut]]]:
    """Yield all documents, cut, a few at a time: they are too many to keep."""
    for at in range(0, len(files), _FILES):
        with report.timed("chunk"):
            part = files[at : at + _FILES]
            cuts = [(file, cut(embedder, catalog.document(file.id), file.source, file.format)) for file in part]
        yield cuts
