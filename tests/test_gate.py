"""The project's own retrieval and extractive answers, held to a committed run.

Where sample_docs or its cases change, or answers get better, make the run anew:

    ragcli ingest sample_docs --index DIR
    ragcli eval sample_docs/cases.jsonl --index DIR --out tests/data/baseline.json
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shared import ROOT, Done

DROPS = {"correct": 0.03, "hit@1": 0.03, "hit@5": 0.03, "mrr": 0.03, "abstain_recall": 0.08}
"""What another processor may change: int8 vectors are not the same to the last bit everywhere."""


def test_nothing_got_worse(ragcli: Callable[..., Done], tmp_path: Path) -> None:
    done = ragcli("ingest", ROOT / "sample_docs", RAGCLI_ENCODER="all-minilm-l6-v2")
    assert done.code == 0, done.err
    gates = [word for name, most in DROPS.items() for word in ("--max-drop", f"{name}={most}")]
    done = ragcli(
        "eval", ROOT / "sample_docs" / "cases.jsonl", "--baseline", ROOT / "tests" / "data" / "baseline.json", *gates
    )
    assert done.code == 0, done.out + done.err
