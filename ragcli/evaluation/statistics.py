"""Figures with honest intervals: what is known of a mean from the rows at hand, and of a difference from pairs.

Questions about one document stand or fall together, so rows are drawn by source document wherever one is known: a
cluster is drawn whole. Which interval is used when:

    all values 0 or 1, no two rows of one document    Wilson's (1927), which holds for few rows and near 0 and 1
    all values 0, or all 1                            Wilson's over the rows: draws of equal values have no width
    2 to 1,000 clusters                               bootstrap, bias-corrected and accelerated (Efron 1987), by scipy;
                                                      percentile where that correction has no value
    more                                              normal, by the linearized variance of a ratio: the same to three
                                                      digits, and BCa would take the square of the clusters
    one cluster                                       its rows are drawn one by one: the figure speaks of it alone

None is a value that could not be scored: it is left out and counted, never read as 0. All draws are seeded.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

DRAWS = 2_000
FLIPS = 9_999
MOST_CLUSTERS = 1_000
"""With more clusters than these, the normal distribution stands in for draws."""
_BATCH = 500  # draws at a time: 500 x 1,000 clusters are 4 MB


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its interval. `n` values made it; `unscored` more could not be scored.

    `value` is None where nothing was scored, `low` and `high` where one value that is no share says nothing of others.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unscored: int = 0

    def to_json(self) -> dict[str, float | int | None]:
        """Return the contract's metric object."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "unscored": self.unscored}


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of a - b over `n` pairs, its interval, and how likely as large a one is where a and b are alike."""

    value: float
    low: float | None
    high: float | None
    p: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return the object that `compare` holds for a metric."""
        return {"value": self.value, "low": self.low, "high": self.high, "p": self.p, "n": self.n}


def figure(
    values: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> Figure:
    """Return the mean of `values` with its interval; where `weights` are given, sum(weight x value) / sum(weight).

    `clusters` names each value's source document; "" or None is a document of its own. Values that are not finite
    count as unscored.
    """
    clusters, weights = _spread(values, clusters, weights)
    rows = [
        (value, cluster, weight)
        for value, cluster, weight in zip(values, clusters, weights, strict=True)
        if value is not None and math.isfinite(value) and weight > 0
    ]
    unscored = sum(value is None or not math.isfinite(value) for value in values)
    if not rows:
        return Figure(None, None, None, 0, unscored)
    scored, kept, weighed = (list(column) for column in zip(*rows, strict=True))
    total = math.fsum(weighed)
    mean = math.fsum(value * weight for value, weight in zip(scored, weighed, strict=True)) / total
    bounds = _bounds(scored, kept, weighed, confidence, seed)
    low, high = bounds if bounds is not None else (None, None)
    return Figure(mean, low, high, len(rows), unscored)


def interval(
    values: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the interval of the mean of `values`, or None where there is nothing to tell it from. See `figure`."""
    found = figure(values, clusters, confidence, seed)
    return (found.low, found.high) if found.low is not None and found.high is not None else None


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share of `n` > 0 (Wilson 1927).

    (p + z^2/2n  -+  z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), with z the normal quantile of (1 + confidence) / 2.
    """
    z, share = _quantile(confidence), successes / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and 1 the bound is the share itself, which rounding may miss by a hair.
    low = 0.0 if successes == 0 else (middle - half) / scale
    high = 1.0 if successes == n else (middle + half) / scale
    return max(0.0, low), min(1.0, high)


def paired_difference(
    a: Sequence[float | None],
    b: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference | None:
    """Return how far `a` lies above `b`, pair by pair; None where no pair is scored on both sides.

    The interval is the bootstrap's over clusters, as in `figure`. p is the two-sided permutation test's by samples:
    where both are alike, each pair's difference (a document's together) may as well have the other sign. It is exact up
    to 13 differing clusters, drawn (9,999 times) up to 1,000, and normal beyond.
    """
    clusters, _ = _spread(a, clusters, None)
    rows = [
        (float(one) - float(other), cluster)
        for one, other, cluster in zip(a, b, clusters, strict=True)
        if one is not None and other is not None and math.isfinite(one) and math.isfinite(other)
    ]
    if not rows:
        return None
    differences, kept = (list(column) for column in zip(*rows, strict=True))
    sums, counts = _group(differences, kept, [1.0] * len(rows))
    bounds = _bootstrap(sums, counts, confidence, seed)
    low, high = bounds if bounds is not None else (None, None)
    return Difference(math.fsum(differences) / len(rows), low, high, _sign_flips(sums, seed), len(rows))


def cohens_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float | None:
    """Return Cohen's kappa of two raters' labels of the same things (Cohen 1960).

    (observed - expected) / (1 - expected): `observed` is the share of equal labels, `expected` the sum over labels of
    the product of both raters' shares of it. None where it has no value: no labels, or both give one and the same to
    everything.
    """
    if len(a) != len(b):
        raise ValueError("two raters must have labelled the same things")
    n = len(a)
    if n == 0:
        return None
    ours, theirs = Counter(a), Counter(b)
    expected = sum(ours[label] * theirs[label] for label in ours)  # times n^2: whole numbers, so 1 is exactly 1
    if expected == n * n:
        return None
    observed = sum(one == other for one, other in zip(a, b, strict=True))
    return (observed * n - expected) / (n * n - expected)


def _spread(
    values: Sequence[object], clusters: Sequence[Hashable] | None, weights: Sequence[float] | None
) -> tuple[Sequence[Hashable], Sequence[float]]:
    return (
        clusters if clusters is not None else [None] * len(values),
        weights if weights is not None else [1.0] * len(values),
    )


def _bounds(
    values: list[float], clusters: list[Hashable], weights: list[float], confidence: float, seed: int
) -> tuple[float, float] | None:
    sums, totals = _group(values, clusters, weights)
    equal, apart = len(set(values)) == 1, len(sums) == len(values) and len(set(weights)) == 1
    if (equal or apart) and all(value in (0.0, 1.0) for value in values):
        return wilson(sum(values), len(values), confidence)
    return _bootstrap(sums, totals, confidence, seed)


def _group(values: list[float], clusters: list[Hashable], weights: list[float]) -> tuple[Floats, Floats]:
    """Return each cluster's weighted sum and its weight, in order of appearance. One cluster falls apart into rows."""
    import numpy

    weighted = numpy.asarray(values, float) * numpy.asarray(weights, float)
    codes: dict[object, int] = {}
    # An object() equals nothing else, so that each row without a document has a cluster of its own.
    members = [codes.setdefault(cluster if cluster not in ("", None) else object(), len(codes)) for cluster in clusters]
    if len(codes) < 2:
        return weighted, numpy.asarray(weights, float)
    return numpy.bincount(members, weighted), numpy.bincount(members, weights)


def _bootstrap(sums: Floats, totals: Floats, confidence: float, seed: int) -> tuple[float, float] | None:
    """Return the interval of sum(sums) / sum(totals) when clusters are drawn; None for a single one."""
    import numpy

    n = len(sums)
    if n < 2:
        return None
    mean = float(sums.sum() / totals.sum())
    residuals = sums - mean * totals
    if numpy.abs(residuals).max() < 1e-12 * max(1.0, float(numpy.abs(sums).max())):
        return mean, mean
    if n > MOST_CLUSTERS:
        error = math.sqrt(float(residuals @ residuals) * n / (n - 1)) / float(totals.sum())
        half = _quantile(confidence) * error
        ratios = sums / totals
        return max(mean - half, float(ratios.min())), min(mean + half, float(ratios.max()))
    for method in ("BCa", "percentile"):
        low, high = _scipy_bootstrap(sums, totals, confidence, seed, method)
        if math.isfinite(low) and math.isfinite(high):
            return low, high
    return None


def _scipy_bootstrap(sums: Floats, totals: Floats, confidence: float, seed: int, method: str) -> tuple[float, float]:
    import numpy
    from scipy import stats

    def ratio(parts: Floats, wholes: Floats, axis: int) -> Floats:
        return numpy.asarray(parts.sum(axis=axis) / wholes.sum(axis=axis))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.bootstrap(
            (sums, totals),
            ratio,
            paired=True,
            vectorized=True,
            n_resamples=DRAWS,
            batch=_BATCH,
            confidence_level=confidence,
            method=method,
            rng=numpy.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)


def _sign_flips(sums: Floats, seed: int) -> float:
    """Return the two-sided p-value of the clusters' summed differences. Those that are 0 have no sign to flip."""
    import numpy
    from scipy import stats

    differing = sums[numpy.abs(sums) > 1e-12]
    if len(differing) < 2:  # one sign is as likely as the other
        return 1.0
    if len(differing) > MOST_CLUSTERS:
        return float(2 * stats.norm.sf(abs(differing.sum()) / math.sqrt(float(differing @ differing))))
    return float(
        stats.permutation_test(
            (differing,),
            numpy.sum,
            permutation_type="samples",
            vectorized=True,
            n_resamples=FLIPS,
            batch=_BATCH,
            rng=numpy.random.default_rng(seed),
        ).pvalue
    )


def _quantile(confidence: float) -> float:
    from scipy import stats

    return float(stats.norm.ppf((1 + confidence) / 2))
