"""How long a command takes before it does anything: `ragcli --help`, and a search in a process of its own.

`help` is compared with importing what a command line of this kind imports at least; `search`, on an index of about
1,000 chunks, with a bare script that imports chromadb and onnxruntime, loads the same encoder, and asks once for the
nearest vectors. The two sides take turns, and the fastest run of each counts. Usage:

    python benchmarks/startup.py [RUNS]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ENCODER, ROOT, index_of, ragcli, report
from made_up import document

from ragcli.parts import model_store

DOCUMENTS, SIZE = 56, 10_000
QUESTION = "How often is the northern pump inspected?"
BARE = """
import sys
import chromadb, numpy, onnxruntime
from chromadb.config import Settings
from tokenizers import Tokenizer

vectors, folder, question = sys.argv[1:]
client = chromadb.PersistentClient(vectors, settings=Settings(anonymized_telemetry=False))
collection = client.get_collection("chunks", embedding_function=None)
tokens = Tokenizer.from_file(folder + "/tokenizer.json").encode(question)
session = onnxruntime.InferenceSession(folder + "/encoder.onnx", providers=["CPUExecutionProvider"])
ids = numpy.array([tokens.ids], dtype=numpy.int64)
inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
wanted = {node.name for node in session.get_inputs()}
hidden = session.run(["last_hidden_state"], {k: v for k, v in inputs.items() if k in wanted})[0]
vector = hidden[0].mean(axis=0)
found = collection.query(query_embeddings=[vector / numpy.linalg.norm(vector)], n_results=10)
print(len(found["ids"][0]))
"""
FILL = """
import sys
import chromadb, numpy
from chromadb.config import Settings

client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
collection = client.create_collection("chunks", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
rows = numpy.random.default_rng(0).standard_normal((int(sys.argv[2]), 384)).astype("float32")
rows /= numpy.linalg.norm(rows, axis=1, keepdims=True)
collection.upsert(ids=[str(n) for n in range(len(rows))], embeddings=rows)
"""


def seconds(*arguments: str) -> float:
    """Return the time that one run of Python takes; it must succeed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=os.environ, cwd=ROOT)
    taken = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(arguments)[:200]} ended with {done.returncode}:\n{done.stderr}")
    return taken


def fastest(runs: int, **sides: list[str]) -> dict[str, float]:
    """Return each side's fastest run, in milliseconds. The sides take turns."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(runs):
        for name, arguments in sides.items():
            best[name] = min(best[name], seconds(*arguments))
    return {name: round(value * 1000, 1) for name, value in best.items()}


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    light = fastest(runs * 2, ragcli=["-m", "ragcli", "--help"], imports=["-c", "import typer, rich"])
    with tempfile.TemporaryDirectory() as folder:
        documents, vectors = Path(folder) / "documents", Path(folder) / "vectors"
        documents.mkdir()
        rng = random.Random(7)
        for number in range(DOCUMENTS):
            (documents / f"{number}.md").write_text(document(rng, SIZE), "utf-8")
        with index_of(documents) as index:
            chunks = int(json.loads(ragcli("status", "--index", index, "--json"))["chunks"])
            subprocess.run([sys.executable, "-c", FILL, str(vectors), str(chunks)], check=True)
            encoder = str(model_store().require(ENCODER).folder)
            cold = fastest(
                runs,
                ragcli=["-m", "ragcli", "search", QUESTION, "--index", str(index)],
                bare=["-c", BARE, str(vectors), encoder, QUESTION],
            )
    report(
        "startup",
        help={**light, "ratio": round(light["ragcli"] / light["imports"], 2)},
        search={"chunks": chunks, **cold, "ratio": round(cold["ragcli"] / cold["bare"], 2)},
        runs=runs,
    )


if __name__ == "__main__":
    main()
