"""How much faster it is to parse and encode at once than one after the other.

Twelve company reports (FinanceBench, 628 pages) are ingested into a new index by the library as `ragcli ingest` does
it, and by the same parts one after the other: every file is read, parsed by one parser and cut; then all chunks are
embedded; then all is stored. All take turns, as often as `--runs` says, and the encoders are loaded before: the speed
of a machine changes from minute to minute, so only neighbours can be compared.

`ratio` is that to the same encoder, which has as many batches under way as there are cores. `ratio_one_batch` is that
to an encoder that has one batch under way, which the threads share. Both are medians of the rounds.

    python benchmarks/concurrency.py [--runs 3] [--files 12]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from functools import cached_property
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

from common import ENCODER, data, report

from ragcli import indexing, parts, planning, reporting
from ragcli.embedding.onnx import OnnxEmbedder
from ragcli.encoding import cut, embed
from ragcli.models.catalog import ENCODERS
from ragcli.parsing.pool import ParserPool
from ragcli.records import SourceFile
from ragcli.settings import Settings, resolve
from ragcli.storage.index import Index, open_to_write
from ragcli.storage.rows import StoredFile

Figures = dict[str, float]


class OneBatch(OnnxEmbedder):
    """The encoder with all threads on one batch after the other."""

    @cached_property
    def _bulk_session(self) -> Any:
        return self._load(
            resources.files("ragcli").joinpath("embedding", self._spec.bulk_graph).read_bytes(), self._threads
        )

    def _in_batches(self, session: Any, encoded: Any, on_done: Any, threads: int = 1) -> Any:
        return super()._in_batches(session, encoded, on_done, threads=1)


def at_once(index: Index, embedder: OnnxEmbedder, files: tuple[SourceFile, ...], settings: Settings) -> Figures:
    """Ingest as the product does."""
    told = reporting.Report()
    with parts.parser_pool(settings) as parser:
        indexing.store(
            index,
            embedder,
            parser,
            files,
            "main",
            told,
            jobs=parts.jobs(settings),
            max_bytes=settings.max_file_mb * 1_000_000,
            on_progress=lambda _: None,
        )
    return told.phases


def in_turn(index: Index, embedder: OnnxEmbedder, files: tuple[SourceFile, ...], settings: Settings) -> Figures:
    """Ingest one thing after the other."""
    told = reporting.Report()
    documents, cuts, hashes = [], [], []
    with told.timed("parse"), ParserPool(1, settings.parse_seconds, settings.parse_memory_mb, 10_000) as parser:
        for file in files:
            content = file.path.read_bytes()
            hashes.append(hashlib.sha256(content).hexdigest())
            documents.append(parser.parse(content, file.format, file.source))
    with told.timed("chunk"):
        for file, document in zip(files, documents, strict=True):
            cuts.append(cut(embedder, document, file.source, file.format))
    embed(index.catalog, embedder, cuts, told, lambda _: None)
    with told.timed("store"):
        for file, document, pieces, digest in zip(files, documents, cuts, hashes, strict=True):
            stored = StoredFile(
                0, "main", file.root, file.path, file.source, file.format, file.size, file.mtime_ns, digest,
                document.title, document.pages, document.warnings, time.time_ns(), file.parser,
            )  # fmt: skip
            index.catalog.put_document(stored, document, pieces.rows("main", file.source), pieces.words())
    return told.phases


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--files", type=int, default=12)
    arguments = parser.parse_args()
    settings = resolve()
    stored = parts.model_store().require(ENCODER)
    embedder = OnnxEmbedder(stored.folder, ENCODERS[ENCODER], stored.fingerprint)
    one_batch = OneBatch(stored.folder, ENCODERS[ENCODER], stored.fingerprint)
    for one in (embedder, one_batch):
        one.embed_documents(["A sentence that has the encoder loaded and checked before it counts."] * 400)
    ways = [("at_once", at_once, embedder), ("in_turn", in_turn, embedder), ("one_batch", in_turn, one_batch)]
    files = planning.plan([data("financebench") / "pdfs"], parts.walk(settings, (), ()), ()).changed
    files = files[: arguments.files]
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    phases: dict[str, Figures] = {}
    for number in range(arguments.runs):
        for name, way, encoder in ways if number % 2 == 0 else ways[::-1]:
            with tempfile.TemporaryDirectory() as folder, open_to_write(Path(folder), 0, create=True) as index:
                index.adopt(encoder)
                start = time.perf_counter()
                found = way(index, encoder, files, settings)
                index.follow()
                seconds[name].append(time.perf_counter() - start)
                phases[name] = {phase: round(value, 2) for phase, value in found.items()}
            print(f"{name}: {seconds[name][-1]:.1f} s", phases[name], file=sys.stderr)
    ratios, to_one_batch = (
        [slow / fast for slow, fast in zip(seconds[name], seconds["at_once"], strict=True)]
        for name in ("in_turn", "one_batch")
    )
    report(
        "concurrency",
        runs=arguments.runs,
        files=len(files),
        ratio=round(median(ratios), 3),
        ratio_one_batch=round(median(to_one_batch), 3),
        ratios=[round(ratio, 3) for ratio in ratios],
        seconds={name: [round(s, 1) for s in values] for name, values in seconds.items()},
        phases=phases,
    )


if __name__ == "__main__":
    main()
