"""Thresholds from labelled questions."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from ragcli.calibration import Figures, Outcome, Thresholds, calibrate, figures, held_out


def outcomes(answerable: list[float], others: list[float]) -> list[Outcome]:
    return [Outcome(True, e, 1.0) for e in answerable] + [Outcome(False, e, 1.0) for e in others]


def test_figures_by_hand() -> None:
    rows = outcomes([0.9, 0.5, 0.3, 0.2], [0.4, 0.1])
    assert figures(rows, Thresholds()) == Figures(1.0, 0.0)
    assert figures(rows, Thresholds(0.25)) == Figures(0.75, 0.5)
    assert figures(rows, Thresholds(0.25)).balanced == 0.625
    assert figures(rows, Thresholds(2.0)) == Figures(0.0, 1.0)


def test_evidence_that_separates_is_cut_half_way() -> None:
    assert calibrate(outcomes([0.9, 0.6], [0.4, 0.1])) == Thresholds(0.5, 0.0)


def test_support_decides_where_evidence_cannot() -> None:
    rows = [Outcome(True, 0.5, 0.9), Outcome(True, 0.4, 0.8), Outcome(False, 0.5, 0.2), Outcome(False, 0.6, None)]
    chosen = calibrate(rows)
    assert chosen == Thresholds(0.0, 0.5)
    assert figures(rows, chosen) == Figures(1.0, 1.0)


def test_where_nothing_helps_it_abstains_least() -> None:
    assert calibrate(outcomes([0.1, 0.2], [0.8, 0.9])) == Thresholds()


def test_a_refusal_of_the_model_counts_as_abstention() -> None:
    rows = [Outcome(True, 0.9, None), Outcome(True, 0.9, 1.0), Outcome(False, 0.9, None)]
    assert figures(rows, Thresholds()) == Figures(0.5, 1.0)


def test_held_out_questions_have_no_say() -> None:
    """One of five is far off in each kind: thresholds chosen without it fail on it, and only on it."""
    rows = outcomes([0.9, 0.9, 0.9, 0.9, 0.0], [0.1, 0.1, 0.1, 0.1, 1.0])
    assert held_out(rows) == Figures(0.8, 0.8)


values = st.floats(0, 1).map(lambda x: round(x, 2))
rows_ = st.lists(st.builds(Outcome, st.booleans(), values, st.none() | values), min_size=2, max_size=12)


@given(rows_)
def test_no_other_thresholds_do_better(rows: list[Outcome]) -> None:
    """But for one that abstains from everything, which is not looked for."""
    if len({row.answerable for row in rows}) < 2:
        return
    best = figures(rows, calibrate(rows)).balanced
    evidences = {0.0, *(row.evidence for row in rows)}
    supports = {0.0, *(row.support for row in rows if row.support is not None)}
    for evidence, support in product(evidences, supports):
        assert figures(rows, Thresholds(evidence, support)).balanced <= best + 1e-9
