"""How fast ingest is: its embedding phase against the bare encoder, and all of it against LlamaIndex.

Twelve company reports (FinanceBench, 628 pages) are ingested by `ragcli ingest` into a new index. Then, in the same
run: the texts that it embedded are embedded again by a bare loop over the same session, and LlamaIndex ingests the
folder (benchmarks/peers/), in turns, as often as `--runs` says. Times are of whole processes, from start to searchable.

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
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import ENCODER, ROOT, data, ragcli, report

from ragcli import parts
from ragcli.embedding.onnx import BATCH_TOKENS, OnnxEmbedder
from ragcli.settings import resolve
from ragcli.storage.index import Index

PEER = ROOT / "benchmarks" / "peers" / "llamaindex_ingest.py"


def ingest(documents: Path, index: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds of a whole `ragcli ingest` process, and what it reported."""
    start = time.perf_counter()
    out = ragcli("ingest", documents, "--index", index, "--json", environment={"RAGCLI_ENCODER": ENCODER})
    return time.perf_counter() - start, json.loads(out)


def embedded_texts(folder: Path) -> list[str]:
    """Return what the encoder saw of each chunk of an index."""
    index = Index(folder)
    texts = []
    for file in index.catalog.files():
        text = index.catalog.text(file.id)
        texts += [f"{c.context}\n{text[c.start : c.end]}" for c in index.catalog.chunks_of(file.id) if c.vector]
    index.close()
    return texts


def bare_seconds(embedder: OnnxEmbedder, texts: list[str]) -> float:
    """Return the seconds that tokenizer and session alone take, over length-sorted batches, without any of ragcli."""
    tokenizer, session = embedder._tokenizer, embedder._bulk_session
    start = time.perf_counter()
    ids = sorted((encoding.ids for encoding in tokenizer.encode_batch(texts)), key=len)
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
    return time.perf_counter() - start


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
    embedder = parts.embedder(ENCODER, resolve(), lambda *_: None)
    model = parts.model_store().require(ENCODER).folder
    ours, peers, shares = [], [], []
    figures: dict[str, Any] = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            seconds, told = ingest(documents, Path(folder) / "index")
            ours.append(seconds)
            texts = embedded_texts(Path(folder) / "index")
            shares.append(bare_seconds(embedder, texts) / told["phases"]["embed"])
            figures["ragcli"] = {"documents": told["documents"], "chunks": told["chunks"], "phases": told["phases"]}
        if python:
            seconds, told = peer_seconds(python, documents, model)
            peers.append(seconds)
            figures["llamaindex"] = {k: told[k] for k in ("files", "pages", "chunks", "tokens", "phases")}
    report(
        "ingest",
        runs=runs,
        ragcli_seconds=[round(s, 1) for s in ours],
        embedding_phase_to_bare_encoder=round(median(shares), 3),
        llamaindex_seconds=[round(s, 1) for s in peers],
        times_as_fast_as_llamaindex=round(median(peers) / median(ours), 2) if peers else None,
        **figures,
    )


if __name__ == "__main__":
    main()
