"""How fast `eval` is: questions a second of retrieval, and the scoring of recorded answers, with its memory.

Retrieval: the questions of XQuAD, straight from its files, by `ragcli eval --retrieval-only` on an index that is there;
the time is that of the whole command. Recorded answers: the questions of sample_docs many times over, each with an
answer that `ask` gave and its passages, scored with every deterministic metric by `ragcli eval --answers`.

    python benchmarks/evaluation.py [--answers 2000] [--many 10000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, data, index_of, ragcli, report


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--many", type=int, default=10_000)
    options = parser.parse_args()
    report(
        "evaluation",
        retrieval={language: retrieval(language) for language in ("en", "zh")},
        answers=answers(options.answers, options.many),
    )


def retrieval(language: str) -> dict[str, Any]:
    """Return questions a second, and where they stand."""
    path = data("xquad") / f"xquad.{language}.dev.json"
    with tempfile.TemporaryDirectory() as folder:
        for article in json.loads(path.read_text("utf-8"))["data"]:
            paragraphs = [paragraph["context"] for paragraph in article["paragraphs"]]
            text = "\n\n".join([f"# {article['title'].replace('_', ' ')}", *paragraphs]) + "\n"
            (Path(folder) / f"{article['title']}.md").write_text(text, "utf-8")
        with index_of(Path(folder)) as index:
            start = time.perf_counter()
            run = json.loads(ragcli("eval", path, "--retrieval-only", "--index", index, "--json"))
            seconds = time.perf_counter() - start
    count = run["metrics"]["hit@1"]["n"]
    figures = {name: round(run["metrics"][name]["value"], 4) for name in ("hit@1", "hit@5", "mrr")}
    return {"questions": count, "seconds": round(seconds, 2), "per_second": round(count / seconds, 1), **figures}


def answers(*counts: int) -> dict[str, Any]:
    """Return seconds and peak memory of scoring so many recorded answers."""
    cases = [json.loads(line) for line in (ROOT / "sample_docs" / "cases.jsonl").read_text("utf-8").splitlines()]
    rows = "\n".join(json.dumps({"id": case["id"], "question": case["question"]}) for case in cases)
    with index_of(ROOT / "sample_docs") as index:
        told = [json.loads(line) for line in ragcli("ask", "--batch", "-", "--index", index, stdin=rows).splitlines()]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            for name, kind in (("cases", cases), ("answers", told)):
                lines = (json.dumps(kind[n % len(kind)] | {"id": f"{n}"}) for n in range(count))
                (Path(folder) / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
            command = ["eval", f"{folder}/cases.jsonl", "--answers", f"{folder}/answers.jsonl", "--json"]
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-m", "ragcli", *command], cwd=ROOT, capture_output=True)
            if done.returncode:
                sys.exit(done.stderr.decode())
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
            figures[str(count)] = {"seconds": round(time.perf_counter() - start, 1), "most_mb": peak}
    return figures


if __name__ == "__main__":
    main()
