"""How fast ingest is: its embedding phase against the bare encoder, and all of it against LlamaIndex.

Twelve company reports (FinanceBench, 628 pages) are ingested by `ragcli ingest` into a new index, and by LlamaIndex
(benchmarks/peers/), in turns, as often as `--runs` says. Times are of whole processes, from start to searchable.

Then the library ingests them once more, and whenever it has embedded some texts, a bare loop over the same session
embeds as many: the speed of a machine changes from minute to minute, so only what takes turns can be compared. The
loop has all texts at once, sorted by length. What is compared with it is the whole phase, while files are parsed
beside it.

    RAGCLI_PEER_PYTHON=/path/to/peer/venv/bin/python python benchmarks/ingest.py [--runs 2]

Without RAGCLI_PEER_PYTHON the comparison with LlamaIndex is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from common import ENCODER, ROOT, data, ragcli, report

from ragcli import indexing, parts, planning, reporting
from ragcli.embedding.onnx import BATCH_TOKENS, OnnxEmbedder
from ragcli.models.catalog import ENCODERS
from ragcli.settings import resolve
from ragcli.storage.index import Index, open_to_write

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors

PEER = ROOT / "benchmarks" / "peers" / "llamaindex_ingest.py"


def ingest(documents: Path, index: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds of a whole `ragcli ingest` process, and what it reported."""
    start = time.perf_counter()
    out = ragcli("ingest", documents, "--index", index, "--json", environment={"RAGCLI_ENCODER": ENCODER})
    return time.perf_counter() - start, json.loads(out)


def embedded_texts(folder: Path) -> list[str]:
    """Return what the encoder saw of each chunk of an index, each text once."""
    index = Index(folder)
    texts = []
    for file in index.catalog.files():
        text = index.catalog.text(file.id)
        texts += [f"{c.context}\n{text[c.start : c.end]}" for c in index.catalog.chunks_of(file.id) if c.vector]
    index.close()
    return list(dict.fromkeys(texts))


class Paired(OnnxEmbedder):
    """The encoder, which after each call has a bare loop embed as many texts. `bare` is the loop's time in seconds."""

    bare = 0.0
    loop: Iterator[int] = iter(())
    ahead = 0

    def embed_documents(self, texts: Sequence[str], on_done: Callable[[int], None] | None = None) -> Vectors:
        """Return the vectors; then let the loop catch up."""
        vectors = super().embed_documents(texts, on_done)
        start = time.perf_counter()
        self.ahead += len(texts)
        while self.ahead > 0 and (count := next(self.loop, 0)):
            self.ahead -= count
        self.bare += time.perf_counter() - start
        return vectors

    def run_bare(self, texts: Sequence[str]) -> Iterator[int]:
        """Embed with tokenizer and session alone, without any of ragcli. Yields how many texts each batch had."""
        tokenizer, session = self._tokenizer, self._bulk_session
        ids = sorted((encoding.ids for encoding in tokenizer.encode_batch(list(texts))), key=len)
        at = 0
        while at < len(ids):
            size = max(1, BATCH_TOKENS // len(ids[min(at + 8, len(ids) - 1)]))
            batch = ids[at : at + size]
            width = len(batch[-1])
            tokens = np.array([row + [0] * (width - len(row)) for row in batch])
            mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in batch])
            hidden = session.run(["last_hidden_state"], {"input_ids": tokens, "attention_mask": mask})[0]
            (hidden * mask[:, :, None]).sum(axis=1)
            at += size
            yield len(batch)


def phase_to_bare(documents: Path, texts: list[str]) -> float:
    """Return the bare loop's time over the embedding phase's, for an ingest by the library."""
    settings = resolve()
    stored = parts.model_store().require(ENCODER)
    embedder = Paired(stored.folder, ENCODERS[ENCODER], stored.fingerprint)
    embedder.embed_documents(texts[:128])  # the sessions are loaded and checked
    embedder.loop, embedder.ahead, embedder.bare = embedder.run_bare(texts), 0, 0.0
    with tempfile.TemporaryDirectory() as folder, open_to_write(Path(folder), 0, create=True) as index:
        index.adopt(embedder)
        plan = planning.plan([documents], parts.walk(settings, (), ()), ())
        found = reporting.Report.of(plan)
        with parts.parser_pool(settings) as parser:
            indexing.store(
                index,
                embedder,
                parser,
                plan.changed,
                "main",
                found,
                jobs=parts.jobs(settings),
                max_bytes=settings.max_file_mb * 1_000_000,
                on_progress=lambda _: None,
            )
        for _ in embedder.loop:
            raise SystemExit("the loop had more to embed")
    return embedder.bare / (found.phases["embed"] - embedder.bare)


def peer_seconds(python: str, documents: Path, model: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds of a whole LlamaIndex process, and what it reported."""
    command = [python, str(PEER), str(documents), "--model", str(model), "--encoder", "onnx"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start, json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2)
    runs = parser.parse_args().runs
    documents = data("financebench") / "pdfs"
    python = os.environ.get("RAGCLI_PEER_PYTHON", "")
    model = parts.model_store().require(ENCODER).folder
    ours, peers = [], []
    texts: list[str] = []
    figures: dict[str, Any] = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            seconds, told = ingest(documents, Path(folder) / "index")
            ours.append(seconds)
            texts = embedded_texts(Path(folder) / "index")
            figures["ragcli"] = {"documents": told["documents"], "chunks": told["chunks"], "phases": told["phases"]}
        if python:
            seconds, told = peer_seconds(python, documents, model)
            peers.append(seconds)
            figures["llamaindex"] = {k: told[k] for k in ("files", "pages", "chunks", "tokens", "phases")}
    report(
        "ingest",
        runs=runs,
        ragcli_seconds=[round(s, 1) for s in ours],
        embedding_phase_to_bare_encoder=round(phase_to_bare(documents, texts), 3),
        llamaindex_seconds=[round(s, 1) for s in peers],
        times_as_fast_as_llamaindex=round(median(peers) / median(ours), 2) if peers else None,
        **figures,
    )


if __name__ == "__main__":
    main()
