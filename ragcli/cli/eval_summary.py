"""What `ragcli eval` prints: a summary of a run, or of a case file that was only checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.cli import console

if TYPE_CHECKING:
    from ragcli.evaluation.cases import CaseFile
    from ragcli.evaluation.compare import Agreement, Breach, Comparison
    from ragcli.evaluation.runs import Run

_SHOWN = (
    *("correct", "illusory", "flexible", "hit@1", "hit@5", "mrr", "ndcg@10", "gold_chars@5", "em", "f1", "key_facts"),
    *("support", "citation_recall", "citation_precision", "copied", "abstain_precision", "abstain_recall"),
)
_FLIPPED = 10


def show_checked(file: CaseFile, *, json: bool) -> None:
    """Print how many cases a file holds, and of which kinds."""
    families: dict[str, int] = {}
    for case in file.cases:
        families[case.family or "-"] = families.get(case.family or "-", 0) + 1
    answerable = sum(case.answerable for case in file.cases)
    if json:
        console.write_json(
            {
                "cases": len(file.cases),
                "answerable": answerable,
                "form": file.form,
                "families": families,
                "sha256": file.sha256,
                "warnings": list(file.warnings),
            }
        )
        return
    console.write(f"{len(file.cases)} cases ({file.form}), {answerable} of them answerable: fine")
    console.write(", ".join(f"{name} {count}" for name, count in sorted(families.items())))


def show(
    run: Run,
    comparison: Comparison | None,
    agreement: Agreement | None,
    people: Mapping[str, Any] | None,
    breaches: list[Breach],
    report: Path | None,
) -> None:
    """Print a summary."""
    told = run.to_json()
    outcomes = ", ".join(f"{count} {name}" for name, count in told["outcomes"].items())
    console.write(f"{len(run.questions)} questions" + (f": {outcomes}" if outcomes else ", retrieval alone"))
    for name in [*(n for n in _SHOWN if n in run.metrics), *(["latency_ms"] if "latency_ms" in run.metrics else [])]:
        figure = run.metrics[name]
        if figure.value is None:
            continue
        digits = 0 if name == "latency_ms" else 3
        interval = "" if figure.low is None else f"  {figure.low:.{digits}f} to {figure.high:.{digits}f}"
        change = comparison.metrics.get(name) if comparison is not None else None
        drift = "" if change is None else f"   {change.value:+.{digits}f} (p {change.p:.3f})"
        console.write(f"  {name:20} {figure.value:8.{digits}f}{interval:20}  n {figure.n}{drift}")
    for kind, groups in run.by.items():
        for group, metrics in groups.items():
            one = metrics.get("correct")
            if one is not None and one.value is not None and "correct" in run.metrics:
                console.write(f"  {kind} {group:15} correct {one.value:.3f}  n {one.n}", "dim")
    if told["causes"]:
        console.write("why: " + ", ".join(f"{name} {count}" for name, count in told["causes"].items()))
    if outcomes:
        console.write(_stage_line(told["stage"]), "bold")
    if comparison is not None:
        for label, ids in (("gained", comparison.gained), ("lost", comparison.lost)):
            if ids:
                console.write(f"{label}: {', '.join(ids[:_FLIPPED])}" + (" ..." if len(ids) > _FLIPPED else ""))
    if agreement is not None and people is not None:
        for name, one in agreement.to_json().items():
            kappa = "-" if one["kappa"] is None else f"{one['kappa']:.2f}"
            console.write(f"people's labels, {name}: kappa {kappa} over {one['n']} rows")
        console.write("by people's labels: " + _stage_line(people))
    for breach in breaches:
        console.write(str(breach), "red")
    if report is not None:
        console.say(f"report: {report}", "dim")


def show_judge(told: Mapping[str, Any]) -> None:
    """Print what a run holds of its judge."""
    kappa = told["agreement"]["kappa"]
    console.write(
        f"judge: {told['asked']} questions, {told['unscored']} unscored; agrees with the outcomes at kappa "
        f"{'-' if kappa is None else format(kappa, '.2f')} over {told['agreement']['n']} rows"
    )


def _stage_line(stage: Mapping[str, Any]) -> str:
    p = " / ".join(f"{one:.2f}" for one in stage["p"])
    if stage["declared"] is not None:
        name = ("illusory", "rigid", "flexible")[stage["declared"] - 1]
        return f"stage {stage['declared']} ({name}); probabilities of 1 / 2 / 3: {p}"
    lacking = "".join(f"; missing: {one}" for one in stage["missing"])
    more = "" if stage["more_rows"] is None else f": about {stage['more_rows']} more rows would decide"
    return f"stage undecided{more}; probabilities of 1 / 2 / 3: {p}{lacking}"
