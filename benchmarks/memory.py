"""How much memory ingest takes at most: 1,000 files of 4 kB against 20, all of its processes together. Linux only.

While `ragcli ingest` runs, the proportional set sizes (PSS: memory that processes share counts once) of it and of all
processes below it are added up every 50 ms; the greatest sum counts. What the main process alone had resident at most
is the system's own figure (ru_maxrss). In MB of 1,000,000 bytes.

    python benchmarks/memory.py [--files 1000] [--few 20]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import ENCODER, ROOT, report
from made_up import write_folder

SIZE = 4000
PAUSE = 0.05


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all that it or its children have started."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text("ascii").split()]
    except OSError:  # it has ended
        return
    for child in children:
        yield from tree(child)


def memory_of(pid: int) -> int:
    """Return a process's proportional set size in bytes; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def ingest(documents: Path, index: Path) -> dict[str, Any]:
    """Ingest a folder into a new index, and return what that took."""
    command = [sys.executable, "-m", "ragcli", "ingest", str(documents), "--index", str(index), "--json"]
    start = time.perf_counter()
    most = processes = status = 0
    with tempfile.TemporaryFile() as out:
        environment = {**os.environ, "RAGCLI_ENCODER": ENCODER}
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=environment, cwd=ROOT)
        ended = 0
        while not ended:
            running = list(tree(process.pid))
            most = max(most, sum(map(memory_of, running)))
            processes = max(processes, len(running))
            time.sleep(PAUSE)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"ingest ended with {process.returncode}")
        out.seek(0)
        told = json.load(out)
    return {
        "files": told["documents"],
        "chunks": told["chunks"],
        "peak_mb": round(most / 1e6, 1),
        "main_process_mb": round(usage.ru_maxrss * 1024 / 1e6, 1),
        "processes": processes,
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--few", type=int, default=20)
    options = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("this looks into /proc, which only Linux has")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (options.few, options.files):
            documents = Path(folder) / f"documents-{count}"
            write_folder(documents, count, SIZE)
            rows.append(ingest(documents, Path(folder) / f"index-{count}"))
            print(rows[-1], file=sys.stderr)
    few, many = rows
    report("memory", few=few, many=many, more_mb=round(many["peak_mb"] - few["peak_mb"], 1))


if __name__ == "__main__":
    main()
