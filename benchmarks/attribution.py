"""How well `ragcli.support` and the citation statuses agree with people: BEGIN (wow, cmu) and WiCE.

BEGIN: real responses with the passage they were given, attributable to it or not (generic ones left out). WiCE: claims
with chunks of the pages they cite, of which the best counts. `unsupported` is what a citation of the passage would be
called. Prints the areas under the ROC curve, and the precision and recall of `unsupported`.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path

from common import data, report

from ragcli.citations import WEAK_FROM
from ragcli.support import support


def area(good: Sequence[float], bad: Sequence[float]) -> float:
    """Return how often a good one scores above a bad one; a tie counts half."""
    wins = sum((a > b) + 0.5 * (a == b) for a in good for b in bad)
    return round(wins / (len(good) * len(bad)), 4)


def begin(path: Path) -> tuple[list[float], list[float]]:
    """Return the support of attributable responses, and of the others."""
    good: list[float] = []
    bad: list[float] = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["begin_label"] != "Generic":
                is_good = row["begin_label"].startswith("Fully")
                (good if is_good else bad).append(support(row["response"], row["knowledge"]))
    return good, bad


def unsupported(good: Sequence[float], bad: Sequence[float]) -> dict[str, float]:
    """Return the precision and recall of `unsupported` against "not attributable"."""
    right = sum(value < WEAK_FROM for value in bad)
    named = right + sum(value < WEAK_FROM for value in good)
    return {"precision": round(right / named, 4), "recall": round(right / len(bad), 4)}


def main() -> None:
    folder = data("attribution")
    start = time.perf_counter()
    wow, cmu = (begin(folder / f"begin_{name}.dev.tsv") for name in ("wow", "cmu"))
    best: dict[str, float] = {}
    labels: dict[str, str] = {}
    for line in (folder / "wice_oracle_chunks.dev.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        claim = row["meta"]["id"]
        labels[claim] = row["label"]
        best[claim] = max(best.get(claim, 0.0), support(row["claim"], " ".join(row["evidence"])))
    by = {label: [best[claim] for claim in best if labels[claim] == label] for label in set(labels.values())}
    whole, part, none = by["supported"], by["partially_supported"], by["not_supported"]
    report(
        "attribution",
        begin_wow_auc=area(*wow),
        begin_cmu_auc=area(*cmu),
        unsupported_wow=unsupported(*wow),
        unsupported_cmu=unsupported(*cmu),
        unsupported_both=unsupported(wow[0] + cmu[0], wow[1] + cmu[1]),
        wice_not_supported_auc=area(whole + part, none),
        wice_supported_auc=area(whole, part + none),
        pairs=sum(map(len, (*wow, *cmu))) + len(best),
        seconds=round(time.perf_counter() - start, 2),
    )


if __name__ == "__main__":
    main()
