"""Intervals, differences and kappa: by hand, against scipy's own, and by what must always hold."""

from __future__ import annotations

import itertools
import math
import random
import time

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ragcli.evaluation.statistics import Figure, cohens_kappa, figure, interval, paired_difference, wilson

SAMPLE = [0.1, 0.9, 0.4, 0.35, 0.8, 0.72, 0.05, 0.5]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.959964: middle (.8 + .19207) / 1.38415, half sqrt(.016 + .0096037) * 1.959964 / 1.38415
    low, high = wilson(8, 10)
    assert (low, high) == pytest.approx((0.490162, 0.943318), abs=1e-6)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 31), (999, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_is_scipys(successes: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_without_documents_has_wilsons_interval() -> None:
    assert interval([1, 1, 1, 0]) == wilson(3, 4)
    assert interval([1, 1, 1, 0], ["a", "b", "c", "d"]) == wilson(3, 4), "no two rows of one document"
    assert interval([1, 1, 1, 0], ["", "", "", ""]) == wilson(3, 4), "no document is no common document"


def test_rows_that_are_all_right_are_not_certain() -> None:
    assert interval([1.0] * 10, ["a"] * 5 + ["b"] * 5) == wilson(10, 10)
    assert interval([0.0]) == wilson(0, 1)


def test_other_means_have_scipys_bca_interval() -> None:
    expected = stats.bootstrap(
        (numpy.array(SAMPLE),), numpy.mean, n_resamples=2000, rng=numpy.random.default_rng(7), method="BCa"
    ).confidence_interval
    assert interval(SAMPLE, seed=7) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_clusters_are_drawn_whole() -> None:
    """Ten equal rows of each document say no more than one of them."""
    values = [value for value in SAMPLE for _ in range(10)]
    documents = [str(i) for i in range(len(SAMPLE)) for _ in range(10)]
    assert interval(values, documents) == pytest.approx(interval(SAMPLE), abs=5e-3)
    narrow = interval(values)
    wide = interval(values, documents)
    assert narrow is not None and wide is not None
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_the_rows_of_a_single_document_are_drawn_one_by_one() -> None:
    assert interval(SAMPLE, ["a"] * len(SAMPLE)) == interval(SAMPLE)


def test_what_was_not_scored_is_counted_and_not_zero() -> None:
    found = figure([0.5, None, 0.7, math.nan, None], ["a", "b", "c", "d", "e"])
    assert found.value == pytest.approx(0.6) and (found.n, found.unscored) == (2, 3)
    assert figure([None, None]) == Figure(None, None, None, 0, 2)
    assert figure([]) == Figure(None, None, None, 0, 0)
    assert figure([0.5]) == Figure(0.5, None, None, 1, 0), "one value tells of no other"
    assert figure([0.5, 0.5, 0.5]) == Figure(0.5, 0.5, 0.5, 3, 0)


def test_weights_make_a_ratio() -> None:
    # F1 of 2 right, 1 wrongly refused, 1 wrongly answered: 4 / (4 + 2)
    found = figure([1, 1, 0, 0, 0], weights=[2, 2, 1, 1, 0])
    assert found.value == pytest.approx(4 / 6) and found.n == 4
    assert found.low is not None and found.high is not None and 0 <= found.low < 4 / 6 < found.high <= 1


def test_many_rows_have_the_interval_that_draws_would_give() -> None:
    generator = random.Random(1)
    values = [generator.betavariate(2, 5) for _ in range(3000)]
    drawn = stats.bootstrap((numpy.array(values),), numpy.mean, n_resamples=2000, batch=200, method="percentile", rng=1)
    assert interval(values) == pytest.approx(tuple(drawn.confidence_interval), abs=5e-4)
    documents = [str(i // 2) for i in range(3000)]
    sums = numpy.array(values).reshape(-1, 2).sum(axis=1)
    drawn = stats.bootstrap((sums,), numpy.mean, n_resamples=2000, batch=200, method="percentile", rng=1)
    expected = tuple(bound / 2 for bound in drawn.confidence_interval)
    assert interval(values, documents) == pytest.approx(expected, abs=5e-4)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = random.Random(3)
    covered = 0
    for trial in range(200):
        found = interval([generator.random() for _ in range(40)], seed=trial)
        assert found is not None
        covered += found[0] <= 0.5 <= found[1]
    assert 0.88 <= covered / 200 <= 0.99


@given(st.lists(st.floats(0, 1), max_size=12), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_value_and_lies_among_the_values(values: list[float], documents: int) -> None:
    clusters = [str(i % documents) if documents else "" for i in range(len(values))]
    found = figure(values, clusters)
    assert found == figure(values, clusters), "equal seeds, equal draws"
    if found.low is not None and found.high is not None and found.value is not None:
        assert 0 <= found.low <= found.high <= 1
        share = set(values) <= {0.0, 1.0}
        assert share or min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_the_difference_by_hand() -> None:
    found = paired_difference([1, 1, 1, 0, None], [0, 0, 1, 1, 1])
    assert found is not None
    assert (found.value, found.n) == (0.25, 4)
    # Differences 1, 1, 0, -1: of the 8 signs of three ones, |sum| >= 1 in all. So p = 1.
    assert found.p == 1.0


def test_p_is_exact_for_few_pairs() -> None:
    a, b = [0.9, 0.8, 0.75, 0.6, 0.5, 0.9], [0.5, 0.7, 0.8, 0.2, 0.1, 0.3]
    differences = [x - y for x, y in zip(a, b, strict=True)]
    total = sum(differences)
    signs = list(itertools.product((-1, 1), repeat=6))
    sums = [sum(s * d for s, d in zip(sign, differences, strict=True)) for sign in signs]
    greater = sum(one >= total - 1e-12 for one in sums) / len(sums)
    less = sum(one <= total + 1e-12 for one in sums) / len(sums)
    found = paired_difference(a, b)
    assert found is not None and found.p == pytest.approx(min(1.0, 2 * min(greater, less)))


def test_p_is_scipys_paired_test() -> None:
    generator = numpy.random.default_rng(5)
    a, b = generator.random(60), generator.random(60) * 0.8
    expected = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", rng=2, vectorized=True
    )
    found = paired_difference(list(a), list(b))
    assert found is not None
    assert found.value == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue, abs=0.02)


def test_pairs_of_one_document_change_sign_together() -> None:
    """Five questions of one document that all gained are one piece of evidence, not five."""
    now, then = [1.0] * 5 + [0.0] * 5, [0.0] * 10
    together = paired_difference(now, then, ["a"] * 5 + list("bcdef"))
    apart = paired_difference(now, then)
    assert together is not None and apart is not None
    assert apart.p == pytest.approx(2 / 2**5) and together.p == 1.0
    assert together.value == apart.value == 0.5


def test_equal_runs_do_not_differ() -> None:
    found = paired_difference(SAMPLE, SAMPLE)
    assert found is not None
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert paired_difference([None, 1], [1, None]) is None


def test_the_difference_is_signed_and_seeded() -> None:
    shifted = [value * 0.7 + 0.01 * (i % 3) for i, value in enumerate(SAMPLE)]
    there, back = paired_difference(SAMPLE, shifted), paired_difference(shifted, SAMPLE)
    assert there is not None and back is not None
    assert there.value == pytest.approx(-back.value) and there.p == pytest.approx(back.p)
    assert there.low is not None and there.low > 0
    assert there == paired_difference(SAMPLE, shifted)


def test_many_pairs_are_tested_as_the_draws_would() -> None:
    generator = numpy.random.default_rng(4)
    a = generator.random(1500)
    b = a + generator.normal(0.004, 0.1, 1500)
    found = paired_difference(list(a), list(b))
    expected = stats.permutation_test(
        (a - b,), numpy.mean, permutation_type="samples", vectorized=True, batch=200, n_resamples=3000, rng=1
    )
    assert found is not None and found.p == pytest.approx(expected.pvalue, abs=0.02)


def test_kappa_by_hand() -> None:
    # Cohen's textbook table: both yes 20, both no 15, 5 and 10 apart: (.7 - .5) / (1 - .5)
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohens_kappa([a for a, _ in pairs], [b for _, b in pairs]) == pytest.approx(0.4)


def test_kappas_ends() -> None:
    assert cohens_kappa("abc", "abc") == 1.0
    assert cohens_kappa("ab", "ba") == -1.0
    assert cohens_kappa("aaaa", "abab") == 0.0, "one who always says the same agrees by chance alone"
    assert cohens_kappa("aaa", "aaa") is None
    assert cohens_kappa("", "") is None
    with pytest.raises(ValueError, match="same things"):
        cohens_kappa("ab", "a")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=30))
def test_kappa_is_symmetric_and_bounded(pairs: list[tuple[str, str]]) -> None:
    there = cohens_kappa([a for a, _ in pairs], [b for _, b in pairs])
    back = cohens_kappa([b for _, b in pairs], [a for a, _ in pairs])
    assert there == back
    assert there is None or -1 <= there <= 1


def test_ten_thousand_values_are_quick() -> None:
    generator = random.Random(2)
    values = [generator.random() for _ in range(10_000)]
    started = time.perf_counter()
    for documents in (1, 900, 10_000):
        figure(values, [str(i % documents) for i in range(10_000)])
    assert time.perf_counter() - started < 5
