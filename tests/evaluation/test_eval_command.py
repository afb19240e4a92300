"""`ragcli eval` as a user runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from generation.local_endpoint import LocalEndpoint, Turn, serve
from shared import Done
from terminal import Terminal

Run = Callable[..., Done]
DOCUMENTS = {
    "warranty.md": "# Warranty of the HX-5\n\nThe warranty of the HX-5 lasts 24 months from the day of delivery.\n",
    "pump.md": "# Pump P-40\n\nThe pump P-40 holds 12 litres of oil and weighs 31 kg.\n",
    "night.md": "# Night shift\n\nThe night shift begins at 22:00 and ends at 06:00.\n",
}
CASES: list[dict[str, Any]] = [
    {
        "id": "w",
        "question": "How long does the warranty of the HX-5 last?",
        "answers": ["24 months"],
        "key_facts": [["24 months"]],
        "gold": [{"source": "warranty.md", "quote": "lasts 24 months"}],
        "family": "literal",
    },
    {
        "id": "p",
        "question": "What does the pump P-40 weigh?",
        "answers": ["31 kg"],
        "gold": [{"source": "pump.md", "quote": "weighs 31 kg"}],
        "family": "literal",
    },
    {"id": "u", "question": "Who won the football world cup in 1998?", "answerable": False},
    {
        "id": "gone",
        "question": "What colour is the cover of the ZZ-9?",
        "answers": ["green"],
        "gold": [{"source": "zz9.md", "quote": "a green cover"}],
    },
]


@pytest.fixture
def documents(tmp_path: Path, ragcli: Run) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, "utf-8")
    assert ragcli("ingest", folder).code == 0


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return write(tmp_path / "cases.jsonl", CASES)


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with serve(LocalEndpoint()) as endpoint:
        yield endpoint


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def lines(path: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in map(json.loads, path.read_text("utf-8").splitlines())}


def test_a_whole_run(ragcli: Run, documents: None, cases: Path, tmp_path: Path) -> None:
    files = ("--out", "run.json", "--rows", "rows.jsonl", "--report", "report.html")
    done = ragcli("eval", cases, *files)
    assert done.code == 0, done.err
    assert done.out.startswith("4 questions: 3 correct, 1 refusal\n")
    assert "why: never-ingested 1" in done.out and "stage undecided" in done.out
    assert "1 sources of the gold are not in the index: zz9.md (line 4)" in done.err
    rows = lines(tmp_path / "rows.jsonl")
    assert {row["id"]: (row["outcome"], row["cause"]) for row in rows.values()} == {
        "w": ("correct", None),
        "p": ("correct", None),
        "u": ("correct", None),
        "gone": ("refusal", "never-ingested"),
    }
    assert rows["w"]["stage"] == "literal" and rows["u"]["stage"] == "abstain-ok"
    assert rows["w"]["metrics"]["hit@1"] == 1.0 and rows["w"]["metrics"]["key_facts"] == 1.0
    assert "hit@1" not in rows["u"]["metrics"]
    run = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert run["metrics"]["hit@1"]["value"] == pytest.approx(2 / 3)
    assert run["metrics"]["hit@1"]["n"] == 3
    assert run["metrics"]["abstain_recall"]["value"] == 1.0 and run["metrics"]["abstain_precision"]["value"] == 0.5
    assert run["causes"] == {"never-ingested": 1}
    assert {"corpus", "cases", "settings", "model", "version"} <= {k for k, v in run["fingerprints"].items() if v}
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o600
    told = ragcli("eval", cases, "--json").json
    told["metrics"].pop("latency_ms"), run["metrics"].pop("latency_ms")
    assert told["metrics"] == run["metrics"] and told["stage"] == run["stage"]


def test_check_alone(ragcli: Run, cases: Path, tmp_path: Path) -> None:
    done = ragcli("eval", cases, "--check", "--json")
    assert done.code == 0, done.err
    assert (done.json["cases"], done.json["answerable"], done.json["form"]) == (4, 3, "ragcli")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": 1, "question": "a", "answers": ["x"]}\n{"id": 2, "question": ""}\nnonsense\n', "utf-8")
    wrong = ragcli("eval", bad, "--check")
    assert (wrong.code, wrong.out) == (2, "")
    assert "line 2" in wrong.err and "Traceback" not in wrong.err


def test_retrieval_alone(ragcli: Run, documents: None, cases: Path) -> None:
    done = ragcli("eval", cases, "--retrieval-only", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["hit@1"]["value"] == pytest.approx(2 / 3)
    assert not {"correct", "f1", "support", "illusory"} & set(done.json["metrics"])
    assert done.json["outcomes"] == {}


def test_retrieval_alone_needs_no_language_model(
    ragcli: Run, documents: None, cases: Path, endpoint: LocalEndpoint, tmp_path: Path
) -> None:
    missing = ("--model", tmp_path / "missing.gguf", "--judge", tmp_path / "missing.gguf")
    done = ragcli("eval", cases, "--retrieval-only", "--rows", "rows.jsonl", "--report", "report.html", *missing)
    assert done.code == 0, done.err
    assert done.out.startswith("4 questions, retrieval alone\n") and "stage" not in done.out
    rows = lines(tmp_path / "rows.jsonl")
    assert {(row["outcome"], row["stage"], row["cause"]) for row in rows.values()} == {(None, None, None)}
    assert "4</b> questions" in (tmp_path / "report.html").read_text("utf-8")
    again = ("--retrieval-only", "--rows", "rows.jsonl", "--resume", "--model", endpoint.url)
    assert ragcli("eval", cases, *again, "--json").json["outcomes"] == {}
    assert lines(tmp_path / "rows.jsonl") == rows and not endpoint.asked
    labels = write(tmp_path / "labels.jsonl", [{"id": "w", "outcome": "correct"}])
    assert ragcli("eval", cases, "--retrieval-only", "--human-labels", labels).code == 2


def test_recorded_answers_need_no_index(ragcli: Run, cases: Path, tmp_path: Path) -> None:
    answers = write(
        tmp_path / "answers.jsonl",
        [
            {
                "id": "w",
                "answer": "It is covered for 24 months.",
                "contexts": [{"source": "warranty.md", "text": DOCUMENTS["warranty.md"]}],
            },
            {"id": "p", "answer": "It weighs 35 kg."},
            {"id": "u", "answer": "France won it."},
        ],
    )
    done = ragcli("eval", cases, "--answers", answers, "--rows", tmp_path / "rows.jsonl", "--json")
    assert done.code == 0, done.err
    rows = lines(tmp_path / "rows.jsonl")
    assert {i: (r["outcome"], r["cause"]) for i, r in rows.items()} == {
        "w": ("correct", None),
        "p": ("incorrect", "ignored"),
        "u": ("incorrect", "should-have-abstained"),
    }
    assert "support" in rows["w"]["metrics"] and "support" not in rows["p"]["metrics"]
    assert "gone" in done.err


def test_two_runs_and_gates(ragcli: Run, documents: None, cases: Path, endpoint: LocalEndpoint) -> None:
    assert ragcli("eval", cases, "--out", "before.json").code == 0
    same = ragcli("eval", cases, "--baseline", "before.json", "--max-drop", "correct=0", "--json")
    assert same.code == 0, same.err
    assert same.json["compare"]["flipped"] == {"gained": [], "lost": [], "turned": []}
    endpoint.rule = lambda messages: "It is 7 bananas [1]."
    worse = ragcli(
        "eval", cases, "--model", endpoint.url, "--baseline", "before.json", "--max-drop", "correct=0.1", "--json"
    )
    assert worse.code == 1, worse.err
    assert {"w", "p"} <= set(worse.json["compare"]["flipped"]["lost"])
    assert worse.json["breaches"][0]["metric"] == "correct" and "w" in worse.json["breaches"][0]["questions"]
    low = ragcli("eval", cases, "--fail-under", "hit@1=0.99")
    assert low.code == 1 and "hit@1" in low.out
    for option, value in (("--fail-under", "hit@1"), ("--fail-under", "nothing=1"), ("--max-drop", "correct=1")):
        wrong = ragcli("eval", cases, option, value)
        assert wrong.code == 2, (option, value)


def test_other_cases_are_not_compared(ragcli: Run, documents: None, cases: Path, tmp_path: Path) -> None:
    assert ragcli("eval", cases, "--out", "before.json").code == 0
    write(cases, CASES[:2])
    done = ragcli("eval", cases, "--baseline", "before.json")
    assert done.code == 2 and "cases" in done.err


def test_it_goes_on_where_it_was_cut_off(
    ragcli: Run, documents: None, cases: Path, endpoint: LocalEndpoint, tmp_path: Path
) -> None:
    endpoint.script = [Turn(), Turn(cut_after=0), Turn(cut_after=0), Turn(cut_after=0)]
    cut = ragcli("eval", cases, "--model", endpoint.url, "--rows", "rows.jsonl")
    assert cut.code == 5 and "127.0.0.1" in cut.err
    assert list(lines(tmp_path / "rows.jsonl")) == ["w"]
    endpoint.script.clear()
    before = len(endpoint.asked)
    done = ragcli("eval", cases, "--model", endpoint.url, "--rows", "rows.jsonl", "--resume", "--json")
    assert done.code == 0, done.err
    assert set(lines(tmp_path / "rows.jsonl")) == {"w", "p", "u", "gone"}
    assert not any("HX-5 last" in one["messages"][-1]["content"].rpartition("Question:")[2] for one in
                   endpoint.asked[before:])  # fmt: skip
    other = ragcli("eval", cases, "--rows", "rows.jsonl", "--resume")
    assert other.code == 2 and "model" in other.err
    alone = ragcli("eval", cases, "--resume")
    assert alone.code == 2 and "--rows" in alone.err


def test_peoples_labels(ragcli: Run, documents: None, cases: Path, tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.jsonl", [{"id": "w", "outcome": "correct"}, {"id": "p", "outcome": "incorrect"}])
    done = ragcli("eval", cases, "--human-labels", labels, "--json")
    assert done.code == 0, done.err
    assert done.json["human"]


def test_gold_that_changed_is_flagged(ragcli: Run, documents: None, tmp_path: Path) -> None:
    cases = write(
        tmp_path / "cases.jsonl", [CASES[0] | {"gold": [{"source": "warranty.md", "quote": "lasts 36 months"}]}]
    )
    done = ragcli("eval", cases)
    assert done.code == 0 and "is in its source no more: w" in done.err
    strange = write(tmp_path / "strange.jsonl", [CASES[3]])
    refused = ragcli("eval", strange)
    assert refused.code == 2 and "strange.jsonl, line 1: zz9.md is not in this index" in refused.err


def test_a_judge(ragcli: Run, documents: None, cases: Path, tmp_path: Path, endpoint: LocalEndpoint) -> None:
    endpoint.rule = lambda messages: "Yes"
    done = ragcli("eval", cases, "--judge", endpoint.url, "--json")
    assert done.code == 0, done.err
    metrics = done.json["metrics"]
    assert metrics["judge_correctness"]["value"] == 1.0 and metrics["judge_correctness"]["n"] >= 2
    assert {"judge_faithfulness", "judge_context_precision"} <= set(metrics)
    assert done.json["judge"]["unscored"] == 0 and done.json["judge"]["agreement"]["n"] == 3
    endpoint.rule = lambda messages: "Perhaps"
    answers = write(tmp_path / "answers.jsonl", [{"id": "w", "answer": "24 months"}])
    unclear = ragcli("eval", cases, "--answers", answers, "--judge", endpoint.url, "--json")
    assert unclear.code == 0, unclear.err
    assert unclear.json["metrics"]["judge_correctness"]["value"] is None
    assert unclear.json["metrics"]["judge_correctness"]["unscored"] == 1
    shown = ragcli("eval", cases, "--judge", endpoint.url)
    assert "unscored" in shown.out and "kappa" in shown.out


def test_drafts_of_cases(ragcli: Run, documents: None, tmp_path: Path, endpoint: LocalEndpoint) -> None:
    done = ragcli("eval", "--propose", "5")
    assert done.code == 0, done.err
    drafts = [json.loads(line) for line in done.out.splitlines()]
    assert 2 <= len(drafts) <= 5
    texts = "".join(DOCUMENTS.values())
    for draft in drafts:
        assert draft["question"]
        assert not draft["answerable"] or all(gold["quote"] in texts for gold in draft["gold"])
    cases = write(tmp_path / "drafts.jsonl", drafts)
    checked = ragcli("eval", cases, "--check", "--json")
    assert checked.code == 0 and checked.json["warnings"] == []
    endpoint.rule = lambda messages: "How heavy would the thing be, all in all?"
    written = ragcli("eval", "--propose", "2", "--model", endpoint.url)
    assert "How heavy would the thing be, all in all?" in written.out
    assert ragcli("eval", "--propose", "5").out == done.out
    assert ragcli("eval").code == 2


def test_drafts_are_accepted_one_by_one(documents: None, home: Path, tmp_path: Path) -> None:
    cases = tmp_path / "mine.jsonl"
    cases.write_text('{"id": "old", "question": "Old?", "answers": ["x"]}', "utf-8")
    terminal = Terminal(["eval", str(cases), "--propose", "4"], home, tmp_path)
    try:
        terminal.until("q to end")
        terminal.type("y\n")
        terminal.until("q to end")
        terminal.type("q\n")
        terminal.until("1 cases added")
        assert terminal.process.wait(timeout=30) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
    kept = [json.loads(line) for line in cases.read_text("utf-8").splitlines()]
    assert len(kept) == 2 and kept[0]["id"] == "old"


def test_a_document_is_left_out(ragcli: Run, documents: None, tmp_path: Path) -> None:
    """What one document alone answers has no answer without it."""
    asked = CASES[0] | {"answerable": False, "answers": [], "key_facts": [], "gold": [], "family": "unanswerable"}
    cases = write(tmp_path / "cases.jsonl", [asked | {"left_out": "warranty.md"}])
    done = ragcli("eval", cases, "--rows", tmp_path / "rows.jsonl")
    assert done.code == 0, done.err
    row = lines(tmp_path / "rows.jsonl")["w"]
    assert (row["outcome"], row["stage"]) == ("correct", "abstain-ok")
    assert not any(hit["source"] == "warranty.md" for hit in row["hits"])
