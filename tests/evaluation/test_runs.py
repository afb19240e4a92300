"""Runs: what they hold, and the files they are kept in, whole, cut off, damaged, or another's."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragcli.errors import UsageError
from ragcli.evaluation.records import Case, Context, Family, Gold, Outcome, Response, Row, Stage
from ragcli.evaluation.runs import (
    FORMAT,
    RowLog,
    Run,
    figures,
    read_run,
    row_from_json,
    row_to_json,
    summarize,
    write_run,
)
from ragcli.evaluation.statistics import wilson

PRINTS = {"corpus": "c1", "cases": "k1", "settings": "s1", "adapter": None, "version": "0.1.0"}


def row(
    id: str,
    outcome: Outcome = "correct",
    stage: Stage | None = "flexible",
    family: Family = "paraphrase",
    lang: str = "en",
    document: str = "",
    cause: str | None = None,
    ms: float | None = 5.0,
    more: dict[str, float] | None = None,
    **metrics: float | None,
) -> Row:
    gold = (Gold(document),) if document else ()
    case = Case(id, "Why?", ("so",), family != "unanswerable", gold=gold, family=family, lang=lang)
    return Row(case, Response(id, "It is so.", ms=ms), outcome, stage, cause, {**metrics, **(more or {})})


ROWS = [
    row("a", f1=1.0, em=1.0, more={"hit@5": 1.0}),
    row("b", "incorrect", "illusory", lang="zh", cause="ranked too low", f1=0.25, em=0.0, more={"hit@5": 0.0}),
    row("c", "refusal", "rigid", "literal", cause="wrongly abstained", f1=None, em=0.0, ms=None),
    row("d", "correct", "abstain-ok", "unanswerable", ms=15.0),
    row("e", "incorrect", "illusory", "unanswerable", lang="zh", cause="should have abstained"),
    row("f", "correct", None, "synthesis", f1=0.5, em=0.0, cause=None),
]


@pytest.fixture
def run() -> Run:
    return summarize(ROWS, PRINTS)


def test_the_metrics_by_hand(run: Run) -> None:
    values = {name: (one.value, one.n, one.unscored) for name, one in run.metrics.items()}
    assert values == {
        "correct": (0.5, 6, 0),
        "illusory": (pytest.approx(2 / 6), 6, 0),
        "flexible": (0.5, 2, 1),  # a yes, b no, f cannot be told
        "latency_ms": (pytest.approx(7.0), 5, 0),
        "f1": (pytest.approx(1.75 / 3), 3, 1),
        "em": (0.25, 4, 0),
        "hit@5": (0.5, 2, 0),
        "abstain_precision": (0.5, 2, 0),  # c and d were refused
        "abstain_recall": (0.5, 2, 0),  # d was, e was not
        "abstain_f1": (0.5, 3, 0),  # 2 x 1 / (2 x 1 + 1 + 1)
    }
    assert (run.metrics["em"].low, run.metrics["em"].high) == wilson(1, 4)


def test_a_metric_that_does_not_apply_is_not_unscored() -> None:
    assert "f1" not in figures(ROWS[3]) and "abstain_recall" not in figures(ROWS[0])
    assert figures(row("x", illusory=0.0))["illusory"] == 0.0, "what the row says stands"


def test_groups_have_the_same_metrics(run: Run) -> None:
    assert set(run.by) == {"lang", "family"}
    assert list(run.by["lang"]) == ["en", "zh"]
    assert run.by["lang"]["zh"]["correct"].value == 0.0 and run.by["lang"]["zh"]["correct"].n == 2
    assert set(run.by["family"]) == {"literal", "paraphrase", "synthesis", "unanswerable"}
    assert "abstain_recall" not in run.by["family"]["literal"]
    nameless = summarize([row("a", lang="")], {})
    assert nameless.by["lang"] == {}


def test_it_holds_what_the_contract_names(run: Run) -> None:
    data = run.to_json()
    assert {"metrics", "by", "stage", "causes", "fingerprints"} <= set(data)
    assert set(data["metrics"]["f1"]) == {"value", "low", "high", "n", "unscored"}
    assert data["stage"]["declared"] is None and len(data["stage"]["p"]) == 3
    assert data["causes"] == {"ranked too low": 1, "wrongly abstained": 1, "should have abstained": 1}
    assert data["fingerprints"] == PRINTS | {"prompt": None, "model": None}
    assert data["outcomes"] == {"correct": 3, "incorrect": 2, "refusal": 1}
    assert data["format"] == FORMAT
    json.dumps(data, allow_nan=False)


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [row(str(i), f1=i / 40, document=f"d{i % 7}", lang="en" if i % 2 else "zh") for i in range(40)]
    shuffled = rows[:]
    random.Random(1).shuffle(shuffled)
    assert summarize(rows, PRINTS, seed=3) == summarize(shuffled, PRINTS, seed=3)
    assert summarize(rows, PRINTS, seed=3).metrics["f1"] != summarize(rows, PRINTS, seed=4).metrics["f1"]


def test_no_rows_are_an_error() -> None:
    with pytest.raises(UsageError, match="no rows"):
        summarize([], {})


def test_ten_thousand_rows_are_quick() -> None:
    draw = random.Random(0)
    names = [f"hit@{k}" for k in range(1, 4)] + ["mrr", "ndcg@5", "f1", "support", "copied", "citation_recall"]
    families: list[Family] = ["literal", "paraphrase", "synthesis", "noise"]
    rows = [
        row(str(i), family=families[i % 4], document=f"d{i % 3000}", more={name: draw.random() for name in names})
        for i in range(10_000)
    ]
    started = time.perf_counter()
    summarize(rows, {})
    assert time.perf_counter() - started < 10


def test_a_run_comes_back_as_it_was(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "RUN.json"
    write_run(path, run, compare={"n": 3})
    assert read_run(path) == run
    assert json.loads(path.read_text("utf-8"))["compare"] == {"n": 3}
    assert path.stat().st_mode & 0o077 == 0, "private"
    assert [entry.name for entry in tmp_path.iterdir()] == ["RUN.json"], "nothing else is left"


def test_writing_replaces_in_one_step(run: Run, tmp_path: Path) -> None:
    path, link = tmp_path / "RUN.json", tmp_path / "latest.json"
    write_run(path, run)
    link.symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="NaN|nan|range"):
        write_run(path, run, more=float("nan"))
    assert path.read_bytes() == before
    write_run(link, replace(run, causes={}))
    assert link.is_symlink() and read_run(path).causes == {}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_run(tmp_path / "missing" / "RUN.json", run)
    with pytest.raises(UsageError, match="is not a file"):
        write_run(tmp_path, run)


def broken(run: Run, tmp_path: Path, change: Any) -> Path:
    path = tmp_path / "broken.json"
    write_run(path, run)
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data), "utf-8")
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("metrics"),
        lambda data: data.pop("questions"),
        lambda data: data.pop("format"),
        lambda data: data.update(format="one"),
        lambda data: data.update(metrics=[1, 2]),
        lambda data: data.update(by={"lang": 3}),
        lambda data: data["metrics"]["f1"].update(value="high"),
        lambda data: data["metrics"]["f1"].update(value=float("nan")),
        lambda data: data["metrics"]["f1"].update(value=True),
        lambda data: data["questions"][0].update(outcome="maybe"),
        lambda data: data["questions"][0].update(outcome=["correct"]),
        lambda data: data["questions"][0].update(stage="great"),
        lambda data: data["questions"].append(data["questions"][0]),
        lambda data: data["questions"].append(7),
        lambda data: data.update(causes=None),
    ],
)
def test_a_damaged_run_is_one_clear_line(change: Any, run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run of ragcli eval") as error:
        read_run(broken(run, tmp_path, change))
    assert "\n" not in error.value.message and error.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "NaN", "[" * 100_000, "\x00\xff", '{"format": NaN}'])
def test_what_is_no_run_at_all(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, "latin-1")
    with pytest.raises(UsageError, match="is not a run of ragcli eval"):
        read_run(path)


def test_a_later_format_is_named(run: Run, tmp_path: Path) -> None:
    path = broken(run, tmp_path, lambda data: data.update(format=FORMAT + 1, metrics="something new"))
    with pytest.raises(UsageError, match=f"later ragcli: its format is {FORMAT + 1}, this program reads {FORMAT}"):
        read_run(path)


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_run(tmp_path / "none.json")
    with pytest.raises(UsageError, match="cannot be read"):
        read_run(tmp_path)


def cases() -> list[Case]:
    return [one.case for one in ROWS]


def test_rows_are_written_as_they_come_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with RowLog(path, PRINTS) as log:
        for count, one in enumerate(ROWS, start=1):
            log.append(one)
            assert path.read_bytes().count(b"\n") == count, "before the next one is asked"
    assert path.stat().st_mode & 0o077 == 0
    with RowLog(path, PRINTS, cases(), resume=True) as log:
        assert list(log.rows.values()) == ROWS
    assert len(path.read_bytes().splitlines()) == len(ROWS)


def test_a_row_is_the_contracts() -> None:
    data = row_to_json(ROWS[1])
    assert {"id", "question", "answer", "outcome", "stage", "cause", "metrics", "hits", "citations", "ms"} <= set(data)
    assert data["metrics"] == {"f1": 0.25, "em": 0.0, "hit@5": 0.0} and data["cause"] == "ranked too low"


def searched(id: str, mrr: float) -> Row:
    """Return a row of retrieval alone."""
    return replace(row(id, mrr=mrr), response=Response(id, "", ms=3.0), outcome=None, stage=None)


def test_where_nothing_was_asked_there_is_no_outcome(tmp_path: Path) -> None:
    rows = [searched("a", mrr=1.0), searched("b", mrr=0.5)]
    assert row_to_json(rows[0])["outcome"] is None
    run = summarize(rows, PRINTS)
    assert set(run.metrics) == {"mrr", "latency_ms"} and run.metrics["mrr"].value == 0.75
    assert (run.outcomes, run.stage["declared"], run.stage["p"]) == ({}, None, [None, None, None])
    write_run(tmp_path / "RUN.json", run)
    assert read_run(tmp_path / "RUN.json") == run
    mixed = summarize([*rows, *ROWS], PRINTS)
    assert mixed.metrics["correct"] == summarize(ROWS, PRINTS).metrics["correct"]
    assert mixed.stage == summarize(ROWS, PRINTS).stage


@pytest.mark.parametrize("change", [{"outcome": "refusal"}, {"outcome": None}, {}])
def test_rows_without_an_outcome_are_resumed(change: dict[str, Any], tmp_path: Path) -> None:
    """Earlier files call it a refusal where nothing was asked."""
    path = tmp_path / "rows.jsonl"
    with RowLog(path, PRINTS) as log:
        log.append(searched("a", mrr=1.0))
    data = json.loads(path.read_bytes())
    del data["outcome"]
    path.write_text(json.dumps(data | change) + "\n", "utf-8")
    with RowLog(path, PRINTS, [searched("a", mrr=1.0).case], resume=True) as log:
        assert log.rows == {"a": searched("a", mrr=1.0)}


def test_without_resume_the_log_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("something else\n" * 5, "utf-8")
    with RowLog(path, PRINTS) as log:
        assert log.rows == {}
        log.append(ROWS[0])
    assert len(path.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("cut", [1, 2, 40, "zeros", "newline"])
def test_a_cut_last_line_is_dropped_and_written_again(cut: int | str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with RowLog(path, PRINTS) as log:
        for one in ROWS[:3]:
            log.append(one)
    data = path.read_bytes()
    if isinstance(cut, int):
        path.write_bytes(data[:-cut])
    else:
        path.write_bytes(data[:-30] + (b"\0" * 30 if cut == "zeros" else b"\n"))
    with RowLog(path, PRINTS, cases(), resume=True) as log:
        assert list(log.rows) == ["a", "b"]
        for one in ROWS[2:]:
            log.append(one)
    with RowLog(path, PRINTS, cases(), resume=True) as log:
        assert list(log.rows.values()) == ROWS


def test_resuming_what_is_not_there_begins(tmp_path: Path) -> None:
    with RowLog(tmp_path / "rows.jsonl", PRINTS, cases(), resume=True) as log:
        assert log.rows == {}
        log.append(ROWS[0])


def test_a_log_of_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with RowLog(path, PRINTS) as log:
        log.append(ROWS[0])
    before = path.read_bytes()
    for prints, named in (
        (PRINTS | {"corpus": "c2"}, "another corpus"),
        (PRINTS | {"settings": "s2", "version": "0.2"}, "another settings and another version"),
        (PRINTS | {"model": "m"}, "another model"),
        ({}, "another cases and another corpus and another settings and another version"),
    ):
        with pytest.raises(UsageError, match="cannot be resumed") as error:
            RowLog(path, prints, cases(), resume=True)
        assert named in error.value.message
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text", ['{"id": "a", "question": "my cases"}\n', '{"id": "a"}', "[1]\n", "3\n", "rubbish\n{}\n", '{"run": 1}\n']
)
def test_a_file_that_is_no_log_is_refused_and_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match="cannot be resumed: line 1"):
        RowLog(path, PRINTS, cases(), resume=True)
    assert path.read_text("utf-8") == text


def test_a_log_with_a_damaged_line_or_an_unknown_case_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with RowLog(path, PRINTS) as log:
        for one in ROWS[:3]:
            log.append(one)
    with pytest.raises(UsageError, match="line 3 is no row of this run"):
        RowLog(path, PRINTS, cases()[:2], resume=True)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2])
    with pytest.raises(UsageError, match="line 2 is damaged"):
        RowLog(path, PRINTS, cases(), resume=True)


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        RowLog(tmp_path, PRINTS)
    with pytest.raises(UsageError, match="cannot be written"):
        RowLog(tmp_path / "no" / "rows.jsonl", PRINTS)


texts = st.text(st.characters(), max_size=30)
numbers = st.none() | st.floats(-1e9, 1e9)


@given(texts, texts, numbers, st.dictionaries(texts, numbers, max_size=4), st.lists(texts, max_size=3))
@settings(max_examples=80, deadline=None)
def test_any_row_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    answer: str,
    source: str,
    ms: float | None,
    metrics: dict[str, float | None],
    passages: list[str],
) -> None:
    case = Case("é\u2028\ud800", "?")
    contexts = tuple(Context(text, source, 1, 2, 3, 0.5) for text in passages) or None
    hits = tuple({"rank": i, "text": text} for i, text in enumerate(passages))
    response = Response(case.id, answer, contexts, True, ({"quote": source},), hits, ms, 3)
    whole = Row(case, response, "correct", "literal", source, metrics)
    assert row_from_json(json.loads(json.dumps(row_to_json(whole))), case) == whole
    path = tmp_path_factory.mktemp("log") / "rows.jsonl"
    with RowLog(path, PRINTS) as log:
        log.append(whole)
    with RowLog(path, PRINTS, [case], resume=True) as log:
        assert log.rows == {case.id: whole}
