"""Two runs side by side, gates, and people's labels."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from ragcli.errors import UsageError
from ragcli.evaluation.compare import (
    Breach,
    Comparison,
    Label,
    agreement,
    compare,
    gate,
    read_labels,
    relabelled,
)
from ragcli.evaluation.records import Case, Gold, Outcome, Response, Row, Stage
from ragcli.evaluation.runs import Run, read_run, summarize, write_run
from ragcli.evaluation.stages import declare
from ragcli.evaluation.statistics import paired_difference, wilson

PRINTS = {"corpus": "c" * 20, "cases": "k" * 20, "model": "small"}
STAGES: dict[Outcome, Stage] = {"correct": "flexible", "incorrect": "illusory", "refusal": "rigid"}
LETTERS: dict[str, Outcome] = {"c": "correct", "i": "incorrect", "r": "refusal"}


def rows(outcomes: str, f1: list[float] | None = None, ms: float = 10.0) -> list[Row]:
    """Return rows q0, q1, ... with outcomes by their first letters."""
    found = []
    for i, letter in enumerate(outcomes):
        case = Case(f"q{i}", "?", ("a",), gold=(Gold(f"d{i}"),), family="paraphrase")
        outcome = LETTERS[letter]
        metrics = {"f1": f1[i] if f1 else float(letter == "c")}
        found.append(Row(case, Response(case.id, "so", ms=ms), outcome, STAGES[outcome], None, metrics))
    return found


def run(outcomes: str, f1: list[float] | None = None, ms: float = 10.0, **prints: str | None) -> Run:
    return summarize(rows(outcomes, f1, ms), PRINTS | prints)


def test_the_questions_that_flipped_each_way() -> None:
    found = compare(run("ccciirri"), run("cirriccr"))
    assert found.gained == ("q1", "q2")
    assert found.lost == ("q5", "q6")
    assert found.turned == ("q3", "q7")
    assert (found.n, found.only_run, found.only_baseline) == (8, 0, 0)
    assert found.worse["correct"] == ("q5", "q6") and found.worse["illusory"] == ("q3", "q7")


def test_where_nothing_was_asked_no_question_flips() -> None:
    searched = summarize([replace(one, outcome=None, stage=None) for one in rows("cci", [0.5, 1.0, 0.0])], PRINTS)
    for found in (compare(searched, run("ccr")), compare(run("cri"), searched), compare(searched, searched)):
        assert (found.gained, found.lost, found.turned, found.n) == ((), (), (), 3)
        assert "correct" not in found.metrics and "f1" in found.metrics
    with pytest.raises(UsageError, match="no label names a case"):
        agreement([replace(one, outcome=None, stage=None) for one in rows("c")], {"q0": Label("q0", "correct")})


def test_the_differences_are_the_paired_ones() -> None:
    draw = random.Random(0)
    now, then = [draw.random() for _ in range(12)], [draw.random() for _ in range(12)]
    found = compare(run("c" * 12, now), run("c" * 12, then), seed=5)
    # Runs keep their questions by id: q0, q1, q10, q11, q2, ...
    order = sorted(range(12), key=lambda i: f"q{i}")
    assert found.metrics["f1"] == paired_difference([now[i] for i in order], [then[i] for i in order], seed=5)
    assert found.metrics["correct"].value == 0 and found.metrics["correct"].p == 1
    worst = sorted(range(12), key=lambda i: now[i] - then[i])
    assert found.worse["f1"] == tuple(f"q{i}" for i in worst if now[i] < then[i])


def test_runs_over_other_documents_or_cases_are_refused() -> None:
    with pytest.raises(UsageError, match="other documents: its corpus fingerprint is cccccccccccc, this run's is x"):
        compare(run("cc", corpus="x"), run("cc"))
    with pytest.raises(UsageError, match="other cases"):
        compare(run("cc", cases="x"), run("cc"))
    assert compare(run("cc", corpus=None), run("cc")).n == 2, "recorded answers know no corpus"
    other = summarize([replace(one, case=replace(one.case, id="z" + one.case.id)) for one in rows("cc")], PRINTS)
    with pytest.raises(UsageError, match="no question in common"):
        compare(run("cc"), other)


def test_what_else_changed_is_said() -> None:
    found = compare(run("cc", model="large", prompt="p2"), run("cc"))
    assert found.changed == {"model": ("large", "small"), "prompt": ("p2", None)}


def test_only_pairs_are_compared() -> None:
    found = compare(run("ccc"), run("iiiic"))
    assert (found.n, found.only_run, found.only_baseline) == (3, 0, 2)
    assert found.metrics["correct"].value == 1.0 and found.metrics["correct"].p == pytest.approx(0.25)


def test_a_baseline_from_its_file_compares_the_same(tmp_path: Path) -> None:
    now, then = run("cccic"), run("cicrc")
    write_run(tmp_path / "RUN.json", then)
    found = compare(now, read_run(tmp_path / "RUN.json"))
    assert found == compare(now, then)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["flipped"] == {"gained": ["q1"], "lost": [], "turned": ["q3"]}
    assert data["metrics"]["correct"]["value"] == pytest.approx(0.2)


def test_a_floor_is_under_the_intervals_low_bound() -> None:
    now = run("c" * 18 + "ir")
    low, _ = wilson(18, 20)  # .699
    assert gate(now, None, {"correct": low}) == []
    assert gate(now, None, {"correct": 0.69}) == []
    found = gate(now, None, {"correct": 0.71})
    assert found == [Breach("correct", low, 0.71, ("q18", "q19"))]
    assert "q18, q19" in str(found[0]) and "0.699" in str(found[0]) and "0.710" in str(found[0])


def test_a_floor_names_the_worst_questions_first() -> None:
    found = gate(run("cccc", [0.9, 0.2, 0.4, 1.0]), None, {"f1": 0.8})
    assert found[0].questions == ("q1", "q2")


def test_equal_runs_have_no_drop() -> None:
    now = run("ccir", [0.3, 0.7, 0.0, 0.0])
    assert gate(now, compare(now, now), max_drop={"f1": 0.0, "correct": 0.0, "latency_ms": 0.0, "illusory": 0.0}) == []


def test_a_drop_is_measured_by_the_bound_of_its_interval() -> None:
    now, then = run("c" * 28 + "ii"), run("c" * 30)
    comparison = compare(now, then)
    low = comparison.metrics["correct"].low
    assert low is not None and low < -2 / 30
    assert gate(now, comparison, max_drop={"correct": -low}) == []
    found = gate(now, comparison, max_drop={"correct": 0.07})
    assert found == [Breach("correct", low, -0.07, ("q28", "q29"), "max-drop")]
    assert str(found[0]).startswith("--max-drop: the change of correct may be as bad as -0.")
    assert gate(then, compare(then, now), max_drop={"correct": 0.0}) == [], "a gain is no drop"


def test_less_is_better_for_some() -> None:
    now, then = run("c" * 28 + "ii", ms=30.0), run("c" * 30, ms=10.0)
    found = {breach.metric: breach for breach in gate(now, compare(now, then), {}, {"illusory": 0.01, "latency_ms": 5})}
    assert found["illusory"].questions == ("q28", "q29") and (found["illusory"].bound or 0) > 0.06
    assert found["latency_ms"].bound == pytest.approx(20.0) and found["latency_ms"].limit == 5
    assert gate(then, compare(then, now), max_drop={"illusory": 0.0, "latency_ms": 0.0}) == []
    with pytest.raises(UsageError, match="better the lower"):
        gate(now, None, {"illusory": 0.1})


def test_a_gate_on_what_is_not_there() -> None:
    now = run("cc")
    with pytest.raises(UsageError, match="no metric hit@3") as error:
        gate(now, None, {"hit@3": 0.5})
    assert "f1" in error.value.hint
    with pytest.raises(UsageError, match="needs a run to compare with"):
        gate(now, None, {}, {"f1": 0.1})
    with pytest.raises(UsageError, match="share no metric mrr"):
        gate(now, compare(now, now), {}, {"mrr": 0.1})


def test_what_could_not_be_scored_passes_no_gate() -> None:
    now = summarize([replace(one, metrics={"f1": None}) for one in rows("ccc")], PRINTS)
    found = gate(now, None, {"f1": 0.0})
    assert found == [Breach("f1", None, 0.0, ())] and "could not be scored" in str(found[0])


def test_many_breaking_questions_are_counted() -> None:
    assert str(gate(run("i" * 30), None, {"correct": 0.5})[0]).endswith("(q0, q1, q10, q11, q12 and 25 more)")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.jsonl"
    path.write_text(text, "utf-8")
    return path


def test_labels_are_read(tmp_path: Path) -> None:
    text = '\ufeff{"id": "a", "outcome": "correct"}\n\n{"id": 7, "stage": "rigid", "who": "me"}\r\n'
    text += '{"id": "c", "outcome": "refusal", "stage": "flexible"}'
    assert read_labels(written(tmp_path, text)) == {
        "a": Label("a", "correct"),
        "7": Label("7", None, "rigid"),
        "c": Label("c", "refusal", "flexible"),
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "it is not JSON"),
        ("[]", "it has no id"),
        ('{"outcome": "correct"}', "it has no id"),
        ('{"id": true, "outcome": "correct"}', "it has no id"),
        ('{"id": "b"}', "it has neither outcome nor stage"),
        ('{"id": "b", "outcome": "right"}', "outcome is 'right', and not one of correct, incorrect, refusal"),
        ('{"id": "b", "stage": ["rigid"]}', "stage is"),
        ('{"id": "a", "outcome": "correct"}', "the id 'a' stands in it twice"),
        ("[" * 50_000, "it is not JSON"),
        (f'{{"id": "{"x" * (1 << 20)}"}}', "it is too long"),
    ],
)
def test_a_bad_label_is_named_with_its_line(line: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read_labels(written(tmp_path, '{"id": "a", "outcome": "correct"}\n' + line + "\n"))
    assert f"line 2: {reason}" in error.value.message


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_labels(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="no labels"):
        read_labels(written(tmp_path, "\n\n"))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"id": "\xff"}')
    with pytest.raises(UsageError, match="line 1: it is not JSON"):
        read_labels(path)


def test_agreement_by_hand() -> None:
    labels = {f"q{i}": Label(f"q{i}", LETTERS[letter]) for i, letter in enumerate("cciirrr")}
    found = agreement(rows("cciiirrc"), labels)  # q7 has no label
    # 6 of 7 agree; expected (2 x 2 + 2 x 3 + 3 x 2) / 49 = 16 / 49
    assert found.outcome_kappa == pytest.approx((6 / 7 - 16 / 49) / (1 - 16 / 49))
    assert sum(found.outcomes.values()) == 7 and found.outcomes["refusal", "incorrect"] == 1
    assert found.stage_kappa is None and found.stages == {}
    assert found.to_json()["outcome"]["n"] == 7
    with pytest.raises(UsageError, match="no label names a case"):
        agreement(rows("c"), {"other": Label("other", "correct")})


def test_stages_are_compared_in_the_words_that_people_use() -> None:
    ours = rows("cir")
    unanswerable = Case("u", "?", answerable=False)
    ours.append(Row(unanswerable, Response("u", "I cannot say."), "correct", "abstain-ok", None))
    labels = {"q0": Label("q0", None, "flexible"), "q1": Label("q1", None, "rigid"), "q2": Label("q2", None, "rigid")}
    labels["u"] = Label("u", None, "rigid")
    found = agreement(ours, labels)
    assert found.stages == {("flexible", "flexible"): 1, ("rigid", "illusory"): 1, ("rigid", "rigid"): 1}
    assert found.stage_kappa == pytest.approx((2 / 3 - 3 / 9) / (1 - 3 / 9))


def test_peoples_labels_make_a_stage_of_their_own() -> None:
    ours = rows("c" * 30 + "i" * 20)
    labels = {one.case.id: Label(one.case.id, "correct") for one in ours}
    assert declare(ours).declared == 1
    theirs = relabelled(ours, labels)
    assert declare(theirs).illusory == 0 and {one.outcome for one in theirs} == {"correct"}
    assert [one.stage for one in theirs] == ["flexible"] * 30 + [None] * 20, (
        "right, by people; in whose words, nobody said"
    )
    assert relabelled(ours, {}) == []
    assert [
        one.stage for one in relabelled(rows("cc"), {"q0": Label("q0", "incorrect"), "q1": Label("q1", "refusal")})
    ] == [
        "illusory",
        "rigid",
    ]
    assert relabelled(rows("c"), {"q0": Label("q0", None, "illusory")})[0].stage == "illusory"


def test_a_refusal_is_right_where_there_is_no_answer() -> None:
    case = Case("u", "?", answerable=False)
    wrong = Row(case, Response("u", "42"), "incorrect", "illusory", None)
    for label in (Label("u", "refusal"), Label("u", "correct"), Label("u", "refusal", "rigid")):
        assert relabelled([wrong], {"u": label})[0].stage == "abstain-ok"


def test_equal_seeds_compare_equally() -> None:
    draw = random.Random(2)
    now, then = (run("c" * 20, [draw.random() for _ in range(20)]) for _ in range(2))
    first, again = compare(now, then, seed=9), compare(now, then, seed=9)
    assert isinstance(first, Comparison) and first == again
