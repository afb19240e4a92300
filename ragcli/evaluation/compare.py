"""Run + baseline -> what changed, and whether a gate holds. And a run's labels beside people's.

Runs are compared pair by pair, on the questions that both have. A gate holds by the bound of an interval and not by its
middle: `--fail-under METRIC=X` asks that the interval's low bound reaches X, `--max-drop METRIC=X` that the interval of
the difference does not go further down than X. A figure that could not be scored passes no gate.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from ragcli.errors import UsageError
from ragcli.evaluation.records import Outcome, Row, Stage
from ragcli.evaluation.runs import Question, Run
from ragcli.evaluation.statistics import Difference, cohens_kappa, paired_difference

LOWER_IS_BETTER: frozenset[str] = frozenset({"illusory", "copied", "latency_ms"})
_EQUAL_FINGERPRINTS = ("corpus", "cases")
_LONGEST_LINE = 1 << 20
_MOST_LABELS = 1_000_000
_OUTCOMES: frozenset[str] = frozenset(get_args(Outcome))
_STAGES: frozenset[str] = frozenset(get_args(Stage))
_PEOPLES_STAGES = frozenset({"illusory", "rigid", "flexible"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run against a baseline: its figures minus the baseline's, over `n` questions that both have.

    `gained` are the questions that are correct now and were not, `lost` those that were and are no longer, `turned`
    those that went between incorrect and refusal. `only_run` and `only_baseline` count what has no pair. `changed` are
    the fingerprints that differ (now, then), `worse` the questions that each metric is worse for, the worst first.
    """

    metrics: Mapping[str, Difference]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    turned: tuple[str, ...]
    n: int
    only_run: int = 0
    only_baseline: int = 0
    changed: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    worse: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `compare` holds in a run."""
        return {
            "metrics": {name: difference.to_json() for name, difference in self.metrics.items()},
            "flipped": {"gained": list(self.gained), "lost": list(self.lost), "turned": list(self.turned)},
            "n": self.n,
            "only_run": self.only_run,
            "only_baseline": self.only_baseline,
            "changed": {name: {"run": now, "baseline": was} for name, (now, was) in self.changed.items()},
        }


@dataclass(frozen=True, slots=True)
class Breach:
    """A gate that does not hold: the interval's bound, None where there is no interval, and what it had to reach.

    `bound` and `limit` of a drop are negative: -.08 against -.05. Where less is better, they are a rise. `questions`
    are those that broke it, the worst first.
    """

    metric: str
    bound: float | None
    limit: float
    questions: tuple[str, ...]
    gate: str = "fail-under"

    def __str__(self) -> str:
        """Say it in a line."""
        bound = "could not be scored" if self.bound is None else f"may be as bad as {self.bound:.3f}"
        shown = ", ".join(self.questions[:5]) + (f" and {len(self.questions) - 5} more" * (len(self.questions) > 5))
        kind = self.metric if self.gate == "fail-under" else f"the change of {self.metric}"
        return f"--{self.gate}: {kind} {bound}; the limit is {self.limit:.3f}" + (f" ({shown})" if shown else "")


def compare(run: Run, baseline: Run, confidence: float = 0.95, seed: int = 0) -> Comparison:
    """Return how `run` differs from `baseline`, question by question.

    Raises UsageError where they are over other documents or other cases, or have no question in common. A fingerprint
    that one of them lacks, as recorded answers lack the corpus, is no difference.
    """
    for name in _EQUAL_FINGERPRINTS:
        ours, theirs = run.fingerprints.get(name), baseline.fingerprints.get(name)
        if ours is not None and theirs is not None and ours != theirs:
            what = {"corpus": "documents", "cases": "cases"}[name]
            raise UsageError(
                f"the baseline was measured on other {what}: its {name} fingerprint is {theirs[:12]}, this run's is "
                f"{ours[:12]}",
                f"measure the baseline again on these {what}, with --out",
            )
    before = {question.id: question for question in baseline.questions}
    pairs = [(question, before[question.id]) for question in run.questions if question.id in before]
    if not pairs:
        raise UsageError("the baseline has no question in common with this run", "name a run over the same cases")
    pairs.sort(key=lambda pair: pair[0].id)
    correct = [
        (now.outcome == "correct", was.outcome == "correct", now, was)
        for now, was in pairs
        if now.outcome and was.outcome  # else nothing was asked
    ]
    differences = {name: _difference(name, pairs, confidence, seed) for name in _names(pairs)}
    return Comparison(
        {name: difference for name, difference in differences.items() if difference is not None},
        tuple(now.id for right, was_right, now, _ in correct if right and not was_right),
        tuple(now.id for right, was_right, now, _ in correct if was_right and not right),
        tuple(
            now.id
            for right, was_right, now, was in correct
            if not right and not was_right and now.outcome != was.outcome
        ),
        len(pairs),
        len(run.questions) - len(pairs),
        len(baseline.questions) - len(pairs),
        {
            name: (run.fingerprints.get(name), baseline.fingerprints.get(name))
            for name in {**run.fingerprints, **baseline.fingerprints}
            if run.fingerprints.get(name) != baseline.fingerprints.get(name)
        },
        {name: _worse(name, pairs) for name in differences},
    )


def _names(pairs: Sequence[tuple[Question, Question]]) -> list[str]:
    before = {name for _, was in pairs for name in was.metrics}
    return list(dict.fromkeys(name for now, _ in pairs for name in now.metrics if name in before))


def _difference(
    name: str, pairs: Sequence[tuple[Question, Question]], confidence: float, seed: int
) -> Difference | None:
    return paired_difference(
        [now.metrics.get(name) for now, _ in pairs],
        [was.metrics.get(name) for _, was in pairs],
        [now.document for now, _ in pairs],
        confidence,
        seed,
    )


def _worse(name: str, pairs: Sequence[tuple[Question, Question]]) -> tuple[str, ...]:
    """Return the questions whose figure is worse than it was, the worst first."""
    sign = -1 if name in LOWER_IS_BETTER else 1
    changes = [
        (sign * (value - other), now.id)
        for now, was in pairs
        if (value := now.metrics.get(name)) is not None and (other := was.metrics.get(name)) is not None
    ]
    return tuple(id for change, id in sorted(changes) if change < 0)


def gate(
    run: Run,
    comparison: Comparison | None,
    fail_under: Mapping[str, float] | None = None,
    max_drop: Mapping[str, float] | None = None,
) -> list[Breach]:
    """Return the gates that do not hold, each with the questions that broke it.

    `fail_under`: the low bound of the metric's interval must reach the limit. `max_drop`: the low bound of the
    difference must not lie below minus the limit; of a metric where less is better, its high bound not above the limit.
    Equal runs have no drop, however few their questions. Raises UsageError for a metric that the run lacks, for a floor
    under one where less is better, and for a drop without a baseline.
    """
    breaches = []
    for metric, limit in (fail_under or {}).items():
        figure = run.metrics.get(metric)
        if figure is None:
            raise UsageError(f"--fail-under: this run has no metric {metric}", _known(run.metrics))
        if metric in LOWER_IS_BETTER:
            raise UsageError(f"--fail-under: {metric} is better the lower it is", f"use --max-drop {metric}=X")
        if figure.low is None or figure.low < limit - 1e-12:
            low = sorted((v, q.id) for q in run.questions if (v := q.metrics.get(metric)) is not None and v < limit)
            breaches.append(Breach(metric, figure.low, limit, tuple(id for _, id in low)))
    if max_drop and comparison is None:
        raise UsageError("--max-drop needs a run to compare with", "name one: --baseline RUN.json")
    for metric, limit in (max_drop or {}).items():
        assert comparison is not None
        difference = comparison.metrics.get(metric)
        if difference is None:
            raise UsageError(f"--max-drop: the two runs share no metric {metric}", _known(comparison.metrics))
        rise = metric in LOWER_IS_BETTER
        bound, limit = (difference.high, limit) if rise else (difference.low, -limit)
        if bound is None or (bound > limit + 1e-12 if rise else bound < limit - 1e-12):
            breaches.append(Breach(metric, bound, limit, comparison.worse.get(metric, ()), "max-drop"))
    return breaches


def _known(metrics: Mapping[str, object]) -> str:
    return f"its metrics are {', '.join(metrics)}"


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says of an answer: its outcome, its stage, or both."""

    id: str
    outcome: Outcome | None = None
    stage: Stage | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Our labels beside people's: Cohen's kappa, None where it has no value, and over how many rows.

    `outcomes` and `stages` count the pairs (theirs, ours).
    """

    outcome_kappa: float | None
    outcomes: Mapping[tuple[str, str], int]
    stage_kappa: float | None
    stages: Mapping[tuple[str, str], int]

    def to_json(self) -> dict[str, Any]:
        """Return the object that `human` holds in a run."""
        return {
            name: {
                "kappa": kappa,
                "n": sum(pairs.values()),
                "pairs": [{"human": theirs, "ours": ours, "n": n} for (theirs, ours), n in pairs.items()],
            }
            for name, kappa, pairs in (
                ("outcome", self.outcome_kappa, self.outcomes),
                ("stage", self.stage_kappa, self.stages),
            )
        }


def read_labels(path: Path) -> dict[str, Label]:
    """Return people's labels by case id, from JSON Lines of `{"id","outcome"?,"stage"?}`.

    Raises UsageError, with the line's number, for what is not such a line, for an unknown label and an id given twice.
    """
    labels: dict[str, Label] = {}
    try:
        with path.open("rb") as stream:
            number = 0
            while line := stream.readline(_LONGEST_LINE + 1):
                number += 1
                if len(line) > _LONGEST_LINE or number > _MOST_LABELS:
                    raise _bad_line(path, number, "it is too long" if number <= _MOST_LABELS else "there are too many")
                if line.removeprefix(b"\xef\xbb\xbf").strip():
                    label = _label(path, number, line)
                    if label.id in labels:
                        raise _bad_line(path, number, f"the id {label.id!r} stands in it twice")
                    labels[label.id] = label
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a file of labels, one per line") from error
    if not labels:
        raise UsageError(f"{path} holds no labels", 'write one per line: {"id": ..., "outcome": "correct"}')
    return labels


def _label(path: Path, number: int, line: bytes) -> Label:
    try:
        data = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _bad_line(path, number, "it is not JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("id"), str | int) or isinstance(data["id"], bool):
        raise _bad_line(path, number, "it has no id")
    for name, allowed in (("outcome", _OUTCOMES), ("stage", _STAGES)):
        value = data.get(name)
        if value is not None and (not isinstance(value, str) or value not in allowed):
            raise _bad_line(path, number, f"{name} is {value!r}, and not one of {', '.join(sorted(allowed))}")
    if data.get("outcome") is None and data.get("stage") is None:
        raise _bad_line(path, number, "it has neither outcome nor stage")
    return Label(str(data["id"]), data.get("outcome"), data.get("stage"))


def _bad_line(path: Path, number: int, reason: str) -> UsageError:
    return UsageError(f"{path}, line {number}: {reason}", 'write one per line: {"id": ..., "outcome": "correct"}')


def agreement(rows: Sequence[Row], labels: Mapping[str, Label]) -> Agreement:
    """Return how far our labels agree with people's. Raises UsageError where no answer has a label.

    People know illusory, rigid and flexible: a row that we call literal or abstain-ok is compared only where a person
    uses one of these two words as well.
    """
    pairs = [(labels[row.case.id], row) for row in rows if row.case.id in labels and row.outcome]
    if not pairs:
        raise UsageError("no label names a case of this run", "the ids of both files must be the same")
    outcomes = [(label.outcome, row.outcome) for label, row in pairs if label.outcome is not None and row.outcome]
    stages = [
        (label.stage, row.stage)
        for label, row in pairs
        if label.stage is not None
        and row.stage is not None
        and (row.stage in _PEOPLES_STAGES or label.stage not in _PEOPLES_STAGES)
    ]
    return Agreement(
        cohens_kappa([a for a, _ in outcomes], [b for _, b in outcomes]),
        dict(Counter(outcomes).most_common()),
        cohens_kappa([a for a, _ in stages], [b for _, b in stages]),
        dict(Counter(stages).most_common()),
    )


def relabelled(rows: Sequence[Row], labels: Mapping[str, Label]) -> list[Row]:
    """Return the rows that people labelled, with their labels for ours: what `declare` makes people's stage of.

    Where a person gave the outcome alone, a refusal is rigid or right as the case is, a wrong answer is illusory unless
    we found it wrong and rigid as well, and a right one keeps our stage where we found it right, and has none else.
    """
    found = []
    for row in rows:
        if (label := labels.get(row.case.id)) is None or not row.outcome:
            continue
        outcome = label.outcome or row.outcome
        stage = label.stage or _stage_from_outcome(row, outcome)
        if stage == "rigid" and not row.case.answerable:  # people's word for a refusal, which here is right
            stage = "abstain-ok"
        found.append(replace(row, outcome=outcome, stage=stage))
    return found


def _stage_from_outcome(row: Row, outcome: Outcome) -> Stage | None:
    if outcome == row.outcome:
        return row.stage
    if not row.case.answerable:
        return "illusory" if outcome == "incorrect" else "abstain-ok"
    stages: dict[Outcome, Stage | None] = {"refusal": "rigid", "incorrect": "illusory", "correct": None}
    return stages[outcome]
