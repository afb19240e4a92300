"""Labelled questions -> the thresholds of abstention that suit them. Pure.

A question is *answerable* where the documents hold its answer. A threshold is good where answerable questions are
answered and the others abstained from, both counted by their own number, so that a set with few unanswerable questions
does not end in a tool that always answers:

    balanced accuracy = (answered / answerable + abstained / unanswerable) / 2

Thresholds are taken half way between neighbouring values that were seen. Of those that do equally well, the lowest one
is taken: it abstains least. As they are chosen on these very questions, their figure on these is too good; `held_out`
is that of thresholds chosen on four fifths and tried on the fifth left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST_VALUES = 200
"""Thresholds that are tried on each scale; of more values, evenly spaced ones."""
LEAST_OF_EACH = 5
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one labelled question, with no threshold in force.

    `evidence` is what retrieval found, `support` how far the answer is borne out: None where the model itself said
    that the documents do not hold one, 1 for quotes.
    """

    answerable: bool
    evidence: float
    support: float | None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A question is abstained from where its evidence or its answer's support is below these."""

    evidence: float = 0.0
    support: float = 0.0

    def answers(self, outcome: Outcome) -> bool:
        """Return whether a question with this outcome is answered."""
        return outcome.support is not None and outcome.evidence >= self.evidence and outcome.support >= self.support


@dataclass(frozen=True, slots=True)
class Figures:
    """How well thresholds do: shares, 0 to 1, of answerable questions answered and of the others abstained from."""

    answered: float
    abstained: float

    @property
    def balanced(self) -> float:
        """Mean of both."""
        return (self.answered + self.abstained) / 2


def figures(outcomes: Sequence[Outcome], thresholds: Thresholds) -> Figures:
    """Return how well `thresholds` do. Needs at least one question of each kind."""
    kinds = {kind: [thresholds.answers(o) for o in outcomes if o.answerable == kind] for kind in (True, False)}
    return Figures(sum(kinds[True]) / len(kinds[True]), 1 - sum(kinds[False]) / len(kinds[False]))


def calibrate(outcomes: Sequence[Outcome]) -> Thresholds:
    """Return the thresholds with the best balanced accuracy. Needs at least one question of each kind."""
    total = {kind: sum(o.answerable == kind for o in outcomes) for kind in (True, False)}
    best, best_value = Thresholds(), -1.0
    for support in _between([o.support for o in outcomes if o.support is not None]):
        # Each question's evidence, highest first: lowering the threshold past it answers it.
        rows = sorted(
            ((o.evidence, o.answerable) for o in outcomes if o.support is not None and o.support >= support),
            reverse=True,
        )
        at = answered = wrongly = 0
        for evidence in reversed(_between([o.evidence for o in outcomes])):
            while at < len(rows) and rows[at][0] >= evidence:
                answered += rows[at][1]
                wrongly += not rows[at][1]
                at += 1
            value = answered / total[True] - wrongly / total[False]
            if value > best_value or (value == best_value and (support, evidence) < (best.support, best.evidence)):
                best, best_value = Thresholds(evidence, support), value
    return best


def held_out(outcomes: Sequence[Outcome]) -> Figures:
    """Return how well thresholds do on questions that they were not chosen on: every fifth of each kind in turn."""
    answered = abstained = 0
    kinds = [[o for o in outcomes if o.answerable == kind] for kind in (True, False)]
    for fold in range(FOLDS):
        chosen = calibrate([o for kind in kinds for at, o in enumerate(kind) if at % FOLDS != fold])
        answered += sum(chosen.answers(o) for o in kinds[0][fold::FOLDS])
        abstained += sum(not chosen.answers(o) for o in kinds[1][fold::FOLDS])
    return Figures(answered / len(kinds[0]), abstained / len(kinds[1]))


def _between(values: Sequence[float]) -> list[float]:
    """Return 0, which abstains from nothing, and the points half way between neighbouring values, rising."""
    distinct = sorted({0.0, *values})
    middles = [round((low + high) / 2, 4) for low, high in pairwise(distinct)]
    step = -(-len(middles) // MOST_VALUES) or 1
    return [0.0, *middles[::step]]
