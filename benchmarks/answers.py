"""Whether the same question gives the same answer ten times, by whole `ask` runs at temperature 0.

Each run is a process of its own, of the tiny model that was trained on sample_docs (tests/data/sample-answers.gguf,
Q8_0) and of constructed ones in F16, Q8_0 and Q4_K_M. The first run begins with nothing known of this machine, so it
shows, too, whether quantized models answer here with no action by the user: where their kernels fault, the run starts
the model again without them, and the machine is remembered.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from common import ENCODER, ROOT, index_of, ragcli, report

sys.path.insert(0, str(ROOT / "tests"))
import tiny_gguf  # noqa: E402

RUNS = 10
QUESTION = "How many events does the event log of the VC-8 keep?"


def main() -> None:
    own = os.environ.get("RAGCLI_HOME")
    figures = {}
    with tempfile.TemporaryDirectory() as folder, index_of(ROOT / "sample_docs") as index:
        models = {"trained Q8_0": ROOT / "tests" / "data" / "sample-answers.gguf"}
        for quantize in (None, "Q8_0", "Q4_K_M"):
            name = f"constructed {quantize or 'F16'}"
            models[name] = tiny_gguf.build(Path(folder) / f"{quantize}.gguf", quantize=quantize)
        for number, (name, path) in enumerate(models.items()):
            home = Path(folder) / f"home{number}"
            home.mkdir()
            (home / "models").symlink_to(encoder_store(own), target_is_directory=True)
            flags = ("--model", path, "--index", index, "--temperature", "0", "--seed", "7", "--json")
            runs = [ragcli("ask", QUESTION, *flags, environment={"RAGCLI_HOME": str(home)}) for _ in range(RUNS)]
            answers = [json.loads(run) for run in runs]
            distinct = {json.dumps([a["answer"], a["citations"], a["hits"]]) for a in answers}
            buffers = json.loads((home / "hosts.json").read_text("utf-8")) if (home / "hosts.json").exists() else {}
            figures[name] = {
                "runs": RUNS,
                "distinct": len(distinct),
                "answer": answers[0]["answer"],
                "without_extra_buffers": bool(buffers),
            }
    report("answers", **figures)


def encoder_store(home: str | None) -> Path:
    """Return the model store that holds the encoder."""
    from ragcli import settings

    store = Path(home) / "models" if home else settings.home() / "models"
    if not (store / ENCODER).is_dir():
        sys.exit(f"{store} has no {ENCODER}: `ragcli models pull {ENCODER}`")
    return store


if __name__ == "__main__":
    main()
