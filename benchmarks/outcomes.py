"""How well `ragcli.evaluation.outcomes` agrees with people: FinanceBench, 8 systems x 75 answers with their labels.

Cohen's kappa over all and per system, accuracy where one label has more than 80% of the rows, and the illusory share
(incorrect over all) beside people's. Then four answers that no rule may be taken in by, over the same 75 questions: all
passages (the evidence of questions.jsonl, the gold answer among it, once with the contexts known and once not), the
question repeated, nothing, and "I don't know" with the right answer after it. Also the stage that our outcomes declare
for each system, beside that of people's labels. Prints one JSON line.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from common import data, report

from ragcli.evaluation.compare import Label, relabelled
from ragcli.evaluation.outcomes import outcome
from ragcli.evaluation.records import Case, Outcome, Response, Row
from ragcli.evaluation.scoring import score
from ragcli.evaluation.stages import declare

LABELS: dict[str, Outcome] = {"Correct Answer": "correct", "Incorrect Answer": "incorrect", "Refusal": "refusal"}


def kappa(pairs: Sequence[tuple[str, str]]) -> float:
    """Return Cohen's kappa: (a - e) / (1 - e), the agreement beyond that of chance."""
    size = len(pairs)
    agreed = sum(a == b for a, b in pairs) / size
    ours, theirs = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(ours[label] * theirs[label] for label in ours) / size**2
    return 1.0 if chance == 1 else (agreed - chance) / (1 - chance)


def figures(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return what is said of one system: people's label and ours, in pairs."""
    size = len(pairs)
    return {
        "kappa": round(kappa(pairs), 3),
        "accuracy": round(sum(a == b for a, b in pairs) / size, 3),
        "largest_label": round(max(Counter(a for a, _ in pairs).values()) / size, 3),
        "illusory_people": round(sum(a == "incorrect" for a, _ in pairs) / size, 3),
        "illusory": round(sum(b == "incorrect" for _, b in pairs) / size, 3),
    }


def case(row: dict[str, Any]) -> Case:
    """Return a row's question with its gold answer."""
    return Case(row["financebench_id"], row["question"], (str(row["gold_answer"]),), lang="en")


def passages(row: dict[str, Any], evidence: dict[str, list[str]]) -> list[str]:
    """Return what a system may have had before it: the question's evidence, or that of others with the gold answer."""
    own = evidence.get(row["financebench_id"])
    if own is not None:
        return own
    first, second = list(evidence.values())[:2]
    return [*first, f"{row['question']} {row['gold_answer']}", *second]


def stages_of(pairs: Sequence[tuple[Row, Label]]) -> dict[str, int | None]:
    """Return the stage that our outcomes declare, and that people's labels do; None where undecided."""
    ours = [row for row, _ in pairs]
    theirs = relabelled(ours, {row.case.id: label for row, label in pairs})
    return {"ours": declare(ours).declared, "people": declare(theirs).declared}


def main() -> None:
    folder = data("financebench")
    start = time.perf_counter()
    systems: dict[str, list[tuple[str, str]]] = {}
    rows: dict[str, dict[str, Any]] = {}
    scored: dict[str, list[tuple[Row, Label]]] = {}
    for path in sorted((folder / "results").glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            rows[row["financebench_id"]] = row
            asked = case(row)
            scored_row = score(asked, Response(asked.id, row["model_answer"]))
            systems.setdefault(path.stem, []).append((LABELS[row["label"]], str(scored_row.outcome)))
            scored.setdefault(path.stem, []).append((scored_row, Label(asked.id, LABELS[row["label"]])))
    seconds = time.perf_counter() - start
    by = {name: figures(pairs) for name, pairs in systems.items()}
    every = [pair for pairs in systems.values() for pair in pairs]
    lines = (folder / "questions.jsonl").read_text("utf-8").splitlines()
    evidence = {
        row["financebench_id"]: [part["evidence_text"] for part in row["evidence"]] for row in map(json.loads, lines)
    }
    made: dict[str, Counter[str]] = {
        name: Counter() for name in ("dump", "dump_contexts_unknown", "question", "empty", "unsure_but_right")
    }
    for row in rows.values():
        asked, had = case(row), passages(row, evidence)
        made["dump"][outcome(asked, "\n\n".join(had), contexts=had).outcome] += 1
        made["dump_contexts_unknown"][outcome(asked, "\n\n".join(had)).outcome] += 1
        made["question"][outcome(asked, row["question"]).outcome] += 1
        made["empty"][outcome(asked, "").outcome] += 1
        made["unsure_but_right"][outcome(asked, f"I don't know. {row['gold_answer']}").outcome] += 1
    report(
        "outcomes",
        kappa=round(kappa(every), 4),
        lowest_kappa=min(found["kappa"] for found in by.values()),
        lowest_accuracy_of_one_sided=min(
            (f["accuracy"] for f in by.values() if f["largest_label"] > 0.8), default=None
        ),
        largest_illusory_difference=round(max(abs(f["illusory"] - f["illusory_people"]) for f in by.values()), 3),
        systems=by,
        declared={name: stages_of(pairs) for name, pairs in scored.items()},
        made_up={name: dict(counts) for name, counts in made.items()},
        answers=len(every),
        answers_per_second=round(len(every) / seconds),
    )


if __name__ == "__main__":
    main()
