"""How long ingest takes where nothing has changed: 1,000 files of 4 kB, the second time against the first.

Then every file gets another name in another folder; `moved_embedded` counts the vectors that are computed for that.

Times are of whole processes. The files are a minute old, as most files are: one that was read within two seconds of its
last change is read again the next time, since its time does not tell whether it changed twice.

    python benchmarks/unchanged.py [--files 1000] [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import ENCODER, ragcli, report
from made_up import write_folder

SIZE = 4000


def settle(folder: Path) -> None:
    """Make files a minute old."""
    then = time.time() - 60
    for path in folder.rglob("*.md"):
        os.utime(path, (then, then))


def rename(folder: Path) -> None:
    """Give every file another name in another folder."""
    for number, path in enumerate(sorted(folder.rglob("*.md"))):
        target = folder / f"shelf {number % 9}" / f"renamed {number}.md"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)


def ingest(documents: Path, index: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds of a whole `ragcli ingest` process, and what it reported."""
    start = time.perf_counter()
    out = ragcli("ingest", documents, "--index", index, "--json", environment={"RAGCLI_ENCODER": ENCODER})
    return time.perf_counter() - start, json.loads(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        documents, index = Path(folder) / "documents", Path(folder) / "index"
        write_folder(documents, options.files, SIZE)
        settle(documents)
        first, told = ingest(documents, index)
        print(f"first: {first:.1f} s", file=sys.stderr)
        again = []
        for _ in range(options.runs):
            seconds, second = ingest(documents, index)
            if second["unchanged"] != options.files:
                sys.exit(f"{second['unchanged']} of {options.files} files were unchanged")
            again.append(seconds)
        rename(documents)
        moving, moved = ingest(documents, index)
    report(
        "unchanged",
        files=told["documents"],
        chunks=told["chunks"],
        first_seconds=round(first, 2),
        again_seconds=[round(seconds, 2) for seconds in again],
        ratio=round(median(again) / first, 4),
        moved=moved["moved"],
        moved_embedded=moved["embedded"],
        moved_seconds=round(moving, 2),
    )


if __name__ == "__main__":
    main()
