"""How long until a change that was saved is found, with `ragcli watch` running over a folder of 300 files.

In turns, a file is added, written over, and replaced as editors do it (written beside and renamed). Each holds a word
that nothing else holds; the clock runs from the moment it is saved until a search in another process returns it.

    python benchmarks/watch.py [--files 300] [--changes 12]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import ENCODER, report
from made_up import write_folder

from ragcli import parts, retrieval, settings
from ragcli.embedding.base import Embedder
from ragcli.storage.index import Index

SIZE, PATIENCE, POLL = 4000, 60.0, 0.02


def save(path: Path, text: str, way: str) -> None:
    """Save a text in one of the ways in which programs do."""
    if way == "replaced":
        beside = path.with_name(f".{path.name}.tmp")
        beside.write_text(text, "utf-8")
        beside.replace(path)
    else:
        path.write_text(text, "utf-8")


def wait_for(index: Index, embedder: Embedder, word: str) -> float:
    """Return how many seconds it takes until a search for a word returns it."""
    start = time.perf_counter()
    while time.perf_counter() - start < PATIENCE:
        hits = retrieval.search(index, embedder, f"the {word} of the pump", limit=3).hits
        if any(word in hit.text for hit in hits):
            return time.perf_counter() - start
        time.sleep(POLL)
    sys.exit(f"{word} was not found after {PATIENCE} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--changes", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        documents, folder = Path(place) / "documents", Path(place) / "index"
        write_folder(documents, options.files, SIZE)
        command = [sys.executable, "-m", "ragcli", "watch", str(documents), "--index", str(folder), "--json"]
        watcher = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "RAGCLI_ENCODER": ENCODER})
        try:
            assert watcher.stdout is not None
            told = json.loads(watcher.stdout.readline())
            time.sleep(2)
            seconds = measure(documents, folder, options.changes)
        finally:
            start = time.perf_counter()
            watcher.send_signal(signal.SIGINT)
            code = watcher.wait(60)
            ended = time.perf_counter() - start
    report(
        "watch",
        files=told["documents"],
        chunks=told["chunks"],
        seconds=[round(one, 2) for one in seconds],
        median=round(median(seconds), 2),
        worst=round(max(seconds), 2),
        exit_code=code,
        ended_after=round(ended, 2),
    )


def measure(documents: Path, folder: Path, changes: int) -> list[float]:
    """Save changes one after the other, and return how long each takes to be found."""
    process_settings = settings.resolve({"index": str(folder)})
    index = Index(folder)
    seconds = []
    with parts.llama_process(process_settings) as process:
        embedder = parts.embedder_of(index, process_settings, process, lambda *_: None)
        for number in range(changes):
            way = ("added", "written over", "replaced")[number % 3]
            path = documents / f"change {number // 3}.md"
            word = f"quorvex{number}"
            save(path, f"# Pump\n\nThe {word} of the pump is on the left, and is checked every spring.\n", way)
            seconds.append(wait_for(index, embedder, word))
            print(f"{way}: {seconds[-1]:.2f} s", file=sys.stderr)
            time.sleep(0.3)
    index.close()
    return seconds


if __name__ == "__main__":
    main()
