"""Where a row stands, and where a system does: the rule by hand, its draws, and what they do not decide."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragcli.evaluation.records import EXPLAINING, Case, Family, Gold, Outcome, Response, Row, Stage
from ragcli.evaluation.stages import Declaration, Thresholds, declare, row_stage


@dataclass(frozen=True)
class Copying:
    share: float = 0.0
    whole: bool = False
    density: float = 1.0


OWN, HALF, SPAN, QUOTE = Copying(), Copying(0.6), Copying(0.0, True), Copying(1.0, True, 9.0)


def case(family: Family | None = "paraphrase", answerable: bool = True, id: str = "q", document: str = "") -> Case:
    gold = (Gold(document),) if document else ()
    return Case(id, "Why?", ("because",), answerable, gold=gold, family=family)


@pytest.mark.parametrize(
    ("family", "outcome", "supported", "copied", "stage"),
    [
        ("paraphrase", "correct", True, OWN, "flexible"),
        ("paraphrase", "correct", True, Copying(0.49), "flexible"),
        ("paraphrase", "correct", True, HALF, "rigid"),
        ("paraphrase", "correct", True, SPAN, "rigid"),
        ("inference", "correct", True, QUOTE, "rigid"),
        ("synthesis", "correct", False, OWN, "illusory"),
        ("synthesis", "correct", False, HALF, "illusory"),
        ("synthesis", "correct", None, OWN, None),
        ("literal", "correct", True, SPAN, "literal"),
        ("literal", "correct", True, HALF, "literal"),
        ("literal", "correct", True, OWN, "flexible"),
        ("literal", "correct", None, OWN, "literal"),
        ("literal", "correct", False, OWN, "illusory"),
        ("literal", "correct", False, SPAN, "literal"),  # it stands in the passages
        (None, "correct", True, OWN, "flexible"),
        (None, "correct", True, SPAN, "literal"),
        (None, "correct", True, QUOTE, "rigid"),
        (None, "correct", None, OWN, None),
        ("noise", "correct", True, HALF, "rigid"),
        ("paraphrase", "incorrect", True, OWN, "illusory"),
        ("paraphrase", "incorrect", None, OWN, "illusory"),
        ("paraphrase", "incorrect", True, QUOTE, "rigid"),  # an off-target quote
        ("literal", "incorrect", True, QUOTE, "rigid"),
        ("literal", "incorrect", True, SPAN, "illusory"),  # a wrong name is a claim
        ("literal", "incorrect", True, Copying(0.0, True, 6.0), "rigid"),  # a short sentence
        ("literal", "incorrect", True, HALF, "illusory"),
        ("literal", "incorrect", True, Copying(0.97), "rigid"),  # several quotes
        ("paraphrase", "refusal", None, OWN, "rigid"),
        ("literal", "refusal", True, SPAN, "rigid"),
    ],
)
def test_a_row_of_a_case_with_an_answer(
    family: Family | None, outcome: Outcome, supported: bool | None, copied: Copying, stage: Stage | None
) -> None:
    assert row_stage(case(family), outcome, supported, copied) == stage


def test_copying_as_it_is_measured() -> None:
    from ragcli.evaluation.answer_metrics import copied

    passages = ["The lamp is sold in Oslo. Its warranty lasts two years. It weighs 3 kg."]
    for answer, stage in (
        ("Oslo", "illusory"),
        ("Its warranty lasts two years.", "rigid"),
        ("The warranty is good for ten years.", "illusory"),
    ):
        assert row_stage(case("literal"), "incorrect", True, copied(answer, passages)) == stage
    whole = copied("Its warranty lasts two years.", passages)
    assert row_stage(case("paraphrase"), "correct", True, whole) == "rigid"
    assert row_stage(case("literal"), "correct", True, whole) == "literal"


@pytest.mark.parametrize("copied", [OWN, HALF, SPAN, QUOTE])
def test_a_row_of_a_case_without_an_answer(copied: Copying) -> None:
    for outcome, stage in (("correct", "abstain-ok"), ("refusal", "abstain-ok"), ("incorrect", "illusory")):
        assert row_stage(case("unanswerable", False), outcome, True, copied) == stage  # type: ignore[arg-type]


def row(stage: Stage | None, family: Family | None = "paraphrase", id: str = "q", document: str = "") -> Row:
    outcome: Outcome = "incorrect" if stage == "illusory" else "correct"
    answerable = family != "unanswerable"
    return Row(case(family, answerable, id, document), Response(id, "so"), outcome, stage, None)


def rows(documents: int = 0, **stages: int) -> list[Row]:
    """Return rows of stages, by `stage` or `stage_family`, and of as many documents, in turn."""
    found: list[Row] = []
    for name, count in stages.items():
        stage, _, family = name.partition("_")
        for _ in range(count):
            i = len(found)
            named: Any = {"ok": "abstain-ok", "none": None}.get(stage, stage)
            kind: Any = family or ("unanswerable" if stage == "ok" else "paraphrase")
            found.append(row(named, kind, f"q{i:05}", f"d{i % documents}" if documents else ""))
    return found


def test_the_shares_by_hand() -> None:
    found = declare(rows(flexible=6, rigid=2, illusory=2, ok=3, illusory_unanswerable=1, literal_literal=6))
    assert found.illusory == pytest.approx(3 / 20)
    assert found.flexible == pytest.approx(6 / 10)
    assert found.refused == pytest.approx(3 / 4)


def test_the_three_stages() -> None:
    assert declare(rows(illusory=60, flexible=40)).declared == 1
    assert declare(rows(flexible=40, rigid=60, ok=30)).declared == 2
    assert declare(rows(flexible=80, rigid=5, ok=40)).declared == 3
    assert declare(rows(flexible=80, ok=10, illusory_unanswerable=14)).declared == 2, "it refuses too little"


def test_one_share_that_is_too_low_shows_stage_2_without_the_other() -> None:
    found = declare(rows(rigid=40, literal_literal=40))
    assert (found.declared, found.missing, found.refused) == (2, (), None)
    assert declare(rows(flexible=5, literal_literal=160, illusory_unanswerable=20, ok=2)).declared == 2


def test_the_threshold_of_stage_1_is_not_above_itself() -> None:
    """I = .20 exactly is not over it: with one document, all of whose rows are equal, every draw would say so."""
    mixed = [replace(one, case=replace(one.case, gold=(Gold(d),))) for d in "ab" for one in rows(illusory=4, rigid=16)]
    found = declare([replace(one, case=replace(one.case, id=f"{i}")) for i, one in enumerate(mixed)])
    assert found.illusory == pytest.approx(0.2) and found.declared == 2 and found.p == (0, 1, 0)


def test_the_probability_of_stage_1_is_the_binomials() -> None:
    """Drawing rows one by one is drawing from a binomial."""
    from scipy import stats

    found = declare(rows(illusory=12, literal_literal=38), draws=20_000)
    expected = float(stats.binom.sf(10, 50, 12 / 50))
    assert found.p[0] == pytest.approx(expected, abs=0.015)
    assert found.declared is None and sum(found.p) == pytest.approx(1)


def test_documents_are_drawn_whole() -> None:
    """Twelve wrong rows of one document of five are one piece of bad luck."""
    apart = declare(rows(illusory=12, literal_literal=28))
    together = rows(illusory=12, literal_literal=28)
    names = ["bad"] * 12 + ["a"] * 7 + ["b"] * 7 + ["c"] * 7 + ["d"] * 7
    together = [
        replace(one, case=replace(one.case, gold=(Gold(name),))) for one, name in zip(together, names, strict=True)
    ]
    found = declare(together)
    # Not drawn at all in (4/5)^5 of draws; drawn once, I = 12 / 40 > .2
    assert found.p[0] == pytest.approx(1 - 0.8**5, abs=0.03)
    assert apart.p[0] > found.p[0] + 0.2


def test_cases_that_cannot_tell_2_from_3_say_what_is_missing() -> None:
    found = declare(rows(flexible=8, literal_literal=60))
    assert found.declared is None and found.p[0] < 0.05 and sum(found.p) == pytest.approx(1)
    assert found.missing == ("12 more cases of the families inference, paraphrase, synthesis", "20 unanswerable cases")
    assert found.more_rows is None, "with no unanswerable case, more of the same decide nothing"
    assert "missing: 12 more" in str(found)
    enough = declare(rows(flexible=30, ok=15))
    assert enough.missing == ("5 more unanswerable cases",)
    assert enough.more_rows in (15, 16), "a third more of the same mix"


def test_answers_without_passages_are_neither_illusory_nor_flexible() -> None:
    found = declare(rows(none=60, ok=30, illusory=5))
    assert found.illusory == pytest.approx(5 / 95) and found.flexible == 0.0
    assert found.missing == ("the passages of 60 answers to cases that ask for an explanation",)
    assert declare(rows(none=60, illusory=40)).declared == 1


def test_a_few_equal_rows_decide_nothing() -> None:
    one, two = declare(rows(illusory=1)), declare(rows(illusory=2))
    assert one.declared is None and one.p[0] == pytest.approx(0.8)
    assert two.declared == 1 and two.p[0] == pytest.approx(0.96), "two in two are rare where one in five is wrong"
    assert one.more_rows == 1
    good = declare(rows(literal_literal=5))
    assert good.p[0] == pytest.approx(0.8**5)


@pytest.mark.parametrize(
    "mix",
    [
        {"illusory": 15, "literal_literal": 45},
        {"illusory": 8, "literal_literal": 42, "rigid": 10},
        {"flexible": 31, "rigid": 9, "ok": 25, "illusory_unanswerable": 5},
        {"flexible": 27, "rigid": 14, "ok": 30},
        {"flexible": 15, "ok": 12},
    ],
)
def test_as_many_more_rows_do_decide(mix: dict[str, int]) -> None:
    """The mix, taken as many times as it says: decided; with half of what it asks for, not yet."""
    found = declare(rows(**mix))
    assert found.declared is None and found.more_rows is not None and found.more_rows > 0
    total = sum(mix.values())
    times = (total + found.more_rows) / total
    more = {name: math.ceil(count * times * 1.3) for name, count in mix.items()}
    assert declare(rows(**more)).declared is not None
    if times > 2:
        fewer = {name: round(count * (1 + (times - 1) / 2)) for name, count in mix.items()}
        assert declare(rows(**fewer)).declared is None


def test_on_the_edge_no_number_of_rows_decides() -> None:
    found = declare(rows(flexible=28, rigid=12, ok=40, literal_literal=20))  # F = .70
    assert (found.declared, found.more_rows) == (None, None)
    assert str(found) == "undecided"


def test_what_it_says_in_a_line() -> None:
    told = Declaration(None, (0.6, 0.4, 0.0), 0.21, None, None, (), 120)
    assert str(told) == "undecided: about 120 more rows would decide"
    assert str(replace(told, more_rows=1)) == "undecided: about 1 more row would decide"
    assert str(Declaration(3, (0, 0.01, 0.99), 0.0, 0.9, 0.9)) == "stage 3 (flexible)"


def test_thresholds_are_settings() -> None:
    system = rows(illusory=30, flexible=70, ok=40)
    assert declare(system).declared == 1 or declare(system).p[0] > 0.5
    assert declare(system, Thresholds(illusory=0.5, flexible=0.5)).declared == 3
    assert declare(rows(flexible=8, ok=8), Thresholds(least=5)).declared == 3
    assert declare(rows(illusory=12, literal_literal=38), Thresholds(declare_at=0.6)).declared == 1


def test_no_rows_are_no_system() -> None:
    with pytest.raises(ValueError, match="rows"):
        declare([])


@given(st.integers(0, 2**31), st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_equal_seeds_give_equal_stages_in_any_order(seed: int, documents: int) -> None:
    system = rows(documents, flexible=20, rigid=8, illusory=9, ok=10, none=2)
    shuffled = system[:]
    random.Random(seed).shuffle(shuffled)
    found = declare(system, draws=200, seed=seed)
    assert found == declare(shuffled, draws=200, seed=seed)
    assert sum(found.p) == pytest.approx(1) and all(0 <= p <= 1 for p in found.p)
    assert found.declared is None or found.p[found.declared - 1] >= 0.95


def test_better_answers_never_make_the_first_stage_more_likely() -> None:
    chances = [declare(rows(illusory=k, literal_literal=50 - k)).p[0] for k in range(51)]
    assert chances == pytest.approx(sorted(chances), abs=1e-4)


def test_ten_thousand_rows_are_quick() -> None:
    kinds: list[tuple[Stage, Family]] = [("flexible", family) for family in sorted(EXPLAINING)]  # type: ignore[misc]
    kinds += [("illusory", "literal"), ("abstain-ok", "unanswerable"), ("literal", "literal")]
    system = [row(*kinds[i % 6], id=str(i), document=f"d{i}" if i % 2 else "") for i in range(10_000)]
    started = time.perf_counter()
    found = declare(system)
    assert time.perf_counter() - started < 5
    assert found.declared == 3 and found.illusory == pytest.approx(1 / 6, abs=1e-3)
