"""Outcome x answerable x copying -> where a row stands, and where the system does.

    illusory    it is wrong, or its passages do not support it, and it was given as an answer
    rigid       safe: a question with an answer that was refused, an explanation that is copied, an off-target quote
    flexible    right, supported, in its own words
    abstain-ok  an unanswerable question that was refused
    literal     right, and copied where a span was asked for: neither rigid nor flexible

With I the illusory rows over all, F the flexible ones over the cases that ask for an explanation, and R the refused
ones over the unanswerable, a system is in stage

    1 illusory    I > .20
    3 flexible    I <= .20, F >= .70 over at least 20 cases, R >= .70 over at least 20 cases
    2 rigid       else

A stage is declared where at least .95 of 2,000 draws of source documents are in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ragcli.evaluation.records import EXPLAINING, Case, Outcome, Row, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

DRAWS = 2_000
COPIED_FROM = 0.5
"""Share of an answer in long fragments of its passages from which it counts as copied."""
QUOTE_FROM = 0.95
"""The same, from which an answer is nothing but quotes: what is left are the joints between them."""
QUOTE_WORDS = 5
"""Words from which a whole span is a quote, and not a name or a figure that the passages hold as well."""
_FARTHEST = 1_000.0  # times the rows at hand: with more than these, no number of rows is given
_CELLS = 2_000_000  # drawn at a time: 16 MB


class Copied(Protocol):
    """How far an answer was copied from its passages.

    `share` of it stands there in fragments of 8 words or more, 12 characters in Chinese; `whole` where all of it is one
    span, however short; `density` is the mean length of the fragment that a word lies in, which is the span's then.
    """

    @property
    def share(self) -> float:
        """0 to 1."""

    @property
    def whole(self) -> bool:
        """Whether the whole answer is one located span."""

    @property
    def density(self) -> float:
        """In words; a Chinese character counts as one."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What places a system in a stage: shares 0 to 1, the least cases of a kind, and the probability to declare it."""

    illusory: float = 0.20
    flexible: float = 0.70
    refused: float = 0.70
    least: int = 20
    declare_at: float = 0.95


@dataclass(frozen=True, slots=True)
class Declaration:
    """The stage of a system, where the rows decide it.

    `p` are the probabilities of stages 1, 2 and 3, by the rule above; they sum to 1. `declared` is the stage whose
    probability is high enough, and None where there is none, or where the cases cannot tell 2 from 3: `missing` then
    says which cases they lack. `more_rows` is about how many rows more, of the same mix, would decide; None where the
    stage is declared or no number of rows would. `flexible` and `refused` are None where no case is of their kind.
    """

    declared: Literal[1, 2, 3] | None
    p: tuple[float, float, float]
    illusory: float
    flexible: float | None
    refused: float | None
    missing: tuple[str, ...] = ()
    more_rows: int | None = None
    thresholds: Thresholds = Thresholds()

    def to_json(self) -> dict[str, Any]:
        """Return the object that `stage` holds in a run."""
        return {
            "declared": self.declared,
            "p": list(self.p),
            "illusory": self.illusory,
            "flexible": self.flexible,
            "refused": self.refused,
            "missing": list(self.missing),
            "more_rows": self.more_rows,
            "illusory_limit": self.thresholds.illusory,
            "flexible_limit": self.thresholds.flexible,
            "refused_limit": self.thresholds.refused,
        }

    def __str__(self) -> str:
        """Say it in a line."""
        if self.declared is not None:
            return f"stage {self.declared} ({('illusory', 'rigid', 'flexible')[self.declared - 1]})"
        lacking = "".join(f"; missing: {case}" for case in self.missing)
        if self.more_rows is None:
            return f"undecided{lacking}"
        return f"undecided: about {self.more_rows} more row{'s' * (self.more_rows != 1)} would decide{lacking}"


def row_stage(case: Case, outcome: Outcome, supported: bool | None, copied: Copied) -> Stage | None:
    """Return where a row stands. `supported` is None where the answer's passages are not known.

    None where a right answer's stage cannot be told: without passages it may be anybody's words.

    A wrong answer is a quote only where its length makes it one: a wrong year or name stands somewhere in the passages
    too, and was not quoted but claimed. Cases of a family that is not known, or that asks for neither
    explanation nor span, are lenient on short spans and strict on copied passages.
    """
    quote = copied.share >= QUOTE_FROM or (copied.whole and copied.density >= QUOTE_WORDS)
    if not case.answerable:
        return "illusory" if outcome == "incorrect" else "abstain-ok"
    if outcome == "refusal":
        return "rigid"
    if outcome == "incorrect":
        return "rigid" if quote else "illusory"
    if supported is False and not copied.whole:  # what is a span of the passages stands in them, whatever its words
        return "illusory"
    if case.family == "literal" and (supported is None or copied.whole or copied.share >= COPIED_FROM):
        return "literal"
    if copied.share >= COPIED_FROM:
        return "rigid"
    if copied.whole:
        return "rigid" if case.family in EXPLAINING else "literal"
    return None if supported is None else "flexible"


def declare(
    rows: Sequence[Row], thresholds: Thresholds | None = None, draws: int = DRAWS, seed: int = 0
) -> Declaration:
    """Return the stage of the system that gave `rows`, in any order. Raises ValueError where there are none.

    Source documents are drawn with replacement, each with all its rows; a row without one is drawn by itself, and so
    are all rows where there is but one document. A row whose stage is None counts as one that is not illusory, and not
    among the cases that ask for an explanation.
    """
    if not rows:
        raise ValueError("a stage needs rows")
    thresholds = thresholds or Thresholds()
    counts = _counts(rows)
    drawn = _draw(counts, draws, seed)
    totals = counts.sum(axis=0)
    told = _Told.of(totals, thresholds)
    shares = _shares(totals[None, :])
    p = _probabilities(_shares(drawn), told, totals, thresholds)
    declared, more = _decided(p, thresholds), None
    if declared is None:
        more = _more_rows(shares, _shares(drawn), totals, thresholds)
    illusory, flexible, refused = (None if math.isnan(share) else float(share) for share in shares[0])
    rule = (p[0], p[1] + p[3], p[2])
    missing = _missing(rows, totals, thresholds) if p[3] > 1 - thresholds.declare_at else ()
    return Declaration(declared, rule, illusory or 0.0, flexible, refused, missing, more, thresholds)


@dataclass(frozen=True, slots=True)
class _Told:
    """Which of the two conditions of stage 3 there are enough cases for."""

    flexible: bool
    refused: bool

    @classmethod
    def of(cls, totals: Floats, thresholds: Thresholds, factor: float = 1.0) -> _Told:
        return cls(bool(totals[2] * factor >= thresholds.least), bool(totals[4] * factor >= thresholds.least))


def _counts(rows: Sequence[Row]) -> Floats:
    """Return per cluster: rows, illusory ones; explaining ones, flexible ones; unanswerable ones, refused ones.

    Clusters are in the order of their names, so that rows in another order, as after a resumed run, give equal draws.
    """
    import numpy

    by_document = len({row.document for row in rows}) > 1 or not rows[0].document
    clusters: dict[tuple[str, str], list[int]] = {}
    for row in sorted(rows, key=lambda row: row.case.id):
        key = (row.document, "") if by_document and row.document else ("", row.case.id)
        clusters.setdefault(key, [0] * 6)
        explaining = row.case.answerable and row.case.family in EXPLAINING and row.stage is not None
        for column, holds in enumerate(
            (
                True,
                row.stage == "illusory" or (row.stage is None and row.outcome == "incorrect"),
                explaining,
                explaining and row.stage == "flexible",
                not row.case.answerable,
                row.stage == "abstain-ok",
            )
        ):
            clusters[key][column] += holds
    return numpy.array([clusters[key] for key in sorted(clusters)], dtype=float)


def _draw(counts: Floats, draws: int, seed: int) -> Floats:
    """Return `draws` sums of as many clusters as there are, drawn with replacement."""
    import numpy

    generator = numpy.random.default_rng(seed)
    n = len(counts)
    sums = []
    step = max(1, _CELLS // n)
    for first in range(0, draws, step):
        size = min(step, draws - first)
        picked = generator.integers(0, n, (size, n)) + numpy.arange(size)[:, None] * n
        times = numpy.bincount(picked.ravel(), minlength=size * n).reshape(size, n)
        sums.append(times @ counts)
    return numpy.concatenate(sums)


def _shares(sums: Floats) -> Floats:
    """Return I, F and R for each row of sums; nan where a draw has no such case."""
    import numpy

    with numpy.errstate(invalid="ignore", divide="ignore"):
        return numpy.asarray(sums[:, 1::2] / sums[:, 0::2])


def _probabilities(
    shares: Floats, told: _Told, totals: Floats, thresholds: Thresholds, factor: float = 1.0
) -> tuple[float, float, float, float]:
    """Return the shares of draws in stages 1, 2 and 3, and of those that are 2 only because cases are missing."""
    illusory, flexible, refused = shares.T
    first = illusory > thresholds.illusory + 1e-12  # .6 - .4 is a hair over .2
    p1 = _tempered(float(first.mean()), totals, thresholds.illusory, factor)
    rest = ~first
    if not rest.any():
        return p1, 0.0, 0.0, 1 - p1
    fails = rest & (
        (told.flexible & (flexible < thresholds.flexible - 1e-12))
        | (told.refused & (refused < thresholds.refused - 1e-12))
    )
    # A comparison with nan is false: a draw without a case of a kind shows nothing of it.
    reaches = (
        rest
        & (told.flexible & (flexible >= thresholds.flexible - 1e-12))
        & (told.refused & (refused >= thresholds.refused - 1e-12))
    )
    p2, p3 = ((1 - p1) * float(stage.sum() / rest.sum()) for stage in (fails, reaches))
    return p1, p2, p3, max(0.0, 1 - p1 - p2 - p3)


def _tempered(p1: float, totals: Floats, threshold: float, factor: float) -> float:
    """Return the probability of stage 1, held back where every row is alike.

    Draws of equal rows are all equal, even where the rows are two. The chance that a system right at the threshold
    gives so many equal rows says what the draws cannot.
    """
    rows, illusory = totals[0] * factor, totals[1] * factor
    if illusory == rows:
        return 1 - math.pow(threshold, rows)
    return math.pow(1 - threshold, rows) if illusory == 0 else p1


def _decided(p: tuple[float, float, float, float], thresholds: Thresholds) -> Literal[1, 2, 3] | None:
    if p[0] >= thresholds.declare_at:
        return 1
    if p[1] >= thresholds.declare_at:
        return 2
    return 3 if p[2] >= thresholds.declare_at else None


def _more_rows(point: Floats, drawn: Floats, totals: Floats, thresholds: Thresholds) -> int | None:
    """Return about how many rows more would decide: with m times the rows, draws spread 1 / sqrt(m) as wide."""
    import numpy

    def decides(factor: float) -> bool:
        told = _Told.of(totals, thresholds, factor)
        shares = point + (drawn - point) / math.sqrt(factor)
        shares = numpy.where(numpy.isnan(shares), point, shares)
        return _decided(_probabilities(shares, told, totals, thresholds, factor), thresholds) is not None

    rows = int(totals[0])
    low, high = 1.0, 2.0
    while not decides(high):
        low, high = high, high * 2
        if high > _FARTHEST:
            return None
    while (high - low) * rows > 1 and high / low > 1.01:
        middle = (low + high) / 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return _rounded_up(math.ceil((high - 1) * rows))


def _rounded_up(count: int) -> int:
    """Return `count` with two digits: it is a guess."""
    unit = int("1".ljust(len(str(count)) - 1, "0"))
    return max(1, math.ceil(count / unit) * unit)


def _missing(rows: Sequence[Row], totals: Floats, thresholds: Thresholds) -> tuple[str, ...]:
    """Return in words which cases are missing to tell stage 2 from 3."""
    missing = []
    lacking = thresholds.least - int(totals[2])
    unknown = sum(row.case.answerable and row.case.family in EXPLAINING and row.stage is None for row in rows)
    if lacking > 0 and unknown:
        missing.append(f"the passages of {unknown} answers to cases that ask for an explanation")
    if lacking - unknown > 0:
        more = "" if lacking == thresholds.least else "more "
        missing.append(f"{lacking - unknown} {more}cases of the families {', '.join(sorted(EXPLAINING))}")
    lacking = thresholds.least - int(totals[4])
    if lacking > 0:
        missing.append(f"{lacking} {'' if lacking == thresholds.least else 'more '}unanswerable cases")
    return tuple(missing)
