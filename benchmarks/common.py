"""What the benchmarks share: where the measuring sets lie, and an index to measure on.

The sets are public and stay outside the repository: `RAGCLI_SHARED` names their folder, `../shared` beside the
repository if it is not set. Each script prints one JSON line on stdout, and talks on stderr.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("RAGCLI_SHARED", ROOT.parent / "shared"))
ENCODER = "all-minilm-l6-v2"


def data(name: str) -> Path:
    """Return a measuring set's folder or file; end the script where it is not there."""
    path = SHARED / "data" / name
    if not path.exists():
        sys.exit(f"{path} is not there; set RAGCLI_SHARED")
    return path


def report(benchmark: str, **figures: Any) -> None:
    """Print the one JSON line."""
    print(json.dumps({"benchmark": benchmark, **figures}, ensure_ascii=False))


def ragcli(*arguments: str | Path, stdin: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run the command line in a process of its own, as a user would, and return its stdout."""
    command = [sys.executable, "-m", "ragcli", *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, text=True, capture_output=True, env={**os.environ, **(environment or {})}, cwd=ROOT
    )
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command[2:])} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


@contextmanager
def index_of(documents: Path) -> Iterator[Path]:
    """Ingest a folder into a new index with the English encoder; the index goes when the body ends."""
    with tempfile.TemporaryDirectory() as folder:
        ragcli("ingest", documents, "--index", folder, "--json", environment={"RAGCLI_ENCODER": ENCODER})
        yield Path(folder)


def batch_search(index: Path, questions: Sequence[str], limit: int, *flags: str) -> list[list[dict[str, Any]]]:
    """Return the hits of each question, by `ragcli search --batch`."""
    rows = "\n".join(json.dumps({"id": i, "question": q}) for i, q in enumerate(questions))
    lines = ragcli("search", "--batch", "-", "-n", str(limit), "--index", index, *flags, stdin=rows)
    return [json.loads(line)["hits"] for line in lines.splitlines()]


def squeeze(text: str) -> str:
    """Return `text` without white space."""
    return "".join(text.split())
