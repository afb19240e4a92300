"""Which models fit, and which of them is the best."""

from __future__ import annotations

from ragcli.models.fitting import Candidate, best_first, fits

GIB = 1 << 30
MODELS = [
    Candidate("small", 1, 1 * GIB),
    Candidate("good", 7, 6 * GIB),
    Candidate("tight", 9, 8 * GIB),
    Candidate("tighter", 8, 9 * GIB),
    Candidate("huge", 70, 40 * GIB),
]


def test_fits() -> None:
    assert fits(5, 5) and not fits(6, 5) and not fits(1, 0)
    assert fits(1 << 60, None), "where nobody knows, nothing is left out"


def test_the_best_is_the_largest_that_leaves_room() -> None:
    assert [one.id for one in best_first(MODELS, 10 * GIB)] == ["good", "small", "tight", "tighter"]
    assert [one.id for one in best_first(MODELS, None)] == ["huge", "tight", "tighter", "good", "small"]
    assert best_first(MODELS, GIB // 2) == best_first(MODELS, 0) == []
