"""A whole `ragcli ask` through real llama.cpp with the small trained model: known answers, cited and checked.

tests/data/README.md tells how the model was made. It knows some answers by heart, with their passages' numbers; the
citations are found and checked by the command, as with any model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from shared import ROOT, Done, environment_of

from ragcli.models.store import ModelStore

MODEL = ROOT / "tests" / "data" / "sample-answers.gguf"
KNOWN = [
    (
        "What air pressure may be used at most to blow out the pipes before winter?",
        "Blow out the pipes with compressed air of 3.5 bar at most",
        *("manuals/vc-8-controller-manual.pdf", 4),
    ),
    (
        "Flight to Dubai takes about six and a half hours. can I book premium economy?",
        "Premium economy is allowed for flights of more than 7 hours",
        "policies/travel-and-expenses.md",
        None,
    ),
    ("VC-4 水源前应该安装多少目的过滤器？", "水源前应安装 120 目过滤器", "产品手册/VC-4阀门控制器使用说明.pdf", 2),
    ("后台导出的报表下载链接多久有效", "下载链接 72 小时内有效", "fenview/FenView平台使用指南.md", None),
]
"""Question, answer without its marker and full stop, source, page. Their passages are found first by a wide margin."""
UNKNOWN = "Who won the football world cup in 1998?"

Ask = Callable[..., Done]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Ask:
    """Run `ragcli ask` with the trained model on an index of sample_docs."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(model_store.folder, target_is_directory=True)

    def run(*arguments: object, stdin: str | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "ragcli", *map(str, arguments), "--index", str(home / "index")],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            cwd=home,
            env=environment_of(home),
            timeout=300,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    ingested = run("ingest", ROOT / "sample_docs")
    assert ingested.code == 0, ingested.err
    return lambda *arguments, stdin=None: run("ask", "--model", MODEL, *arguments, stdin=stdin)


def test_the_file_is_small() -> None:
    assert MODEL.stat().st_size < 1_500_000


@pytest.mark.parametrize(("question", "answer", "source", "page"), [KNOWN[0], KNOWN[2]], ids=["en", "zh"])
def test_a_known_answer_with_a_checked_citation(
    ask: Ask, question: str, answer: str, source: str, page: int | None
) -> None:
    done = ask(question, "--json")
    assert done.code == 0, done.err
    assert is_known(done.json, answer, source, page)
    assert done.json["model"]["kind"] == "llama.cpp"
    cited = done.json["citations"][0]
    hit = done.json["hits"][cited["marker"] - 1]
    assert (hit["source"], hit["chunk_id"]) == (cited["source"], cited["chunk_id"])
    assert "".join(answer.split()) in "".join(hit["text"].split())


def is_known(answered: dict[str, Any], answer: str, source: str, page: int | None) -> bool:
    """Check that an answer is the known one, with one marker, which points at the right place and is supported."""
    [cited] = answered["citations"]
    stop = "." if answer.isascii() else "。"
    assert answered["answer"] == f"{answer} [{cited['marker']}]{stop}"
    assert (cited["source"], cited["page"], cited["status"]) == (source, page, "supported")
    return True


def test_ten_runs_give_one_answer(ask: Ask) -> None:
    """Two processes answer five times each, with other questions between."""
    rows = [{"id": f"{n} {at}", "question": row[0]} for n in range(5) for at, row in enumerate(KNOWN)]
    rows.append({"id": "unknown", "question": UNKNOWN})
    told = [ask("--batch", "-", stdin="\n".join(map(json.dumps, rows))) for _ in range(2)]
    answers = [json.loads(line) for done in told for line in done.out.splitlines()]
    assert len(answers) == 2 * len(rows), told[0].err
    for at, (_, answer, source, page) in enumerate(KNOWN):
        same = [a for a in answers if a["id"].endswith(f" {at}")]
        assert len({a["answer"] for a in same}) == 1 and len(same) == 10
        assert is_known(same[0], answer, source, page)
    assert all(a["abstained"] and not a["citations"] for a in answers if a["id"] == "unknown")


@pytest.mark.parametrize("limit", [1, 3])
def test_fewer_passages(ask: Ask, limit: int) -> None:
    question, answer, source, page = KNOWN[0]
    done = ask(question, "-n", limit, "--json")
    assert done.code == 0, done.err
    assert is_known(done.json, answer, source, page)


def test_an_answer_that_no_passage_holds_is_not_called_supported(ask: Ask) -> None:
    """What the model knows by heart is cited all the same; the check finds that the passage does not say so."""
    question, answer = "How many events does the event log of the VC-8 keep?", "The log keeps the last 500 events"
    done = ask(question, "--source", "policies/*", "--json")
    written = done.json["answer"] if done.code == 0 else json.dumps(done.json["evidence"])  # or is withheld
    assert answer in written
    assert {cited["status"] for cited in done.json["citations"]} <= {"unsupported"}


def test_a_question_that_nothing_answers(ask: Ask) -> None:
    done = ask(UNKNOWN, "--json")
    assert done.code == 3
    assert done.json["abstained"] and done.json["citations"] == []
