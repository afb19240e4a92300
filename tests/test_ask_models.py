"""The models beside the one that answers, and what stands around it: adapters, rerankers, judges, encoders, prompts."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_gguf
from generation.local_endpoint import LocalEndpoint, Turn, refusal, serve
from shared import Done
from tiny_parts import Encoder, shortcut

from ragcli.prompting import REFUSALS

Run = Callable[..., Done]
QUESTION = "How long does the warranty of the HX-5 last?"
DOCUMENTS = {
    "warranty.md": "# Warranty of the HX-5\n\nThe warranty of the HX-5 lasts 24 months from the day of delivery.\n",
    "pump.md": "# Pump P-40\n\nThe pump P-40 holds 12 litres of oil and weighs 31 kg.\n",
    "night.md": "# Night shift\n\nThe pump runs at night and the garden gets its water then.\n",
}


@pytest.fixture
def documents(tmp_path: Path, ragcli: Run) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, "utf-8")
    assert ragcli("ingest", folder).code == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.build(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with serve(LocalEndpoint()) as endpoint:
        yield endpoint


@pytest.fixture
def store(home: Path) -> Path:
    """A model store that this test may write to."""
    shared = (home / "models").resolve()
    (home / "models").unlink()
    shutil.copytree(shared, home / "models")
    return home / "models"


def test_an_adapter(ragcli: Run, documents: None, model: Path, tmp_path: Path) -> None:
    tail = shortcut(tmp_path / "tail.gguf", model, steps=6)
    done = ragcli("ask", QUESTION, "--model", model, "--adapter", tail, "--json")
    assert done.code == 0, done.err
    assert tiny_gguf.ANSWER.endswith(done.json["answer"]) and done.json["answer"] != tiny_gguf.ANSWER
    assert done.json["model"]["adapter"] == {"path": str(tail), "scale": 1.0}
    off = ragcli("ask", QUESTION, "--model", model, "--adapter", tail, "--adapter-scale", "0", "--json")
    assert off.json["answer"] == tiny_gguf.ANSWER
    other = shortcut(tmp_path / "other.gguf", model, steps=6, architecture="gemma2")
    wrong = ragcli("ask", QUESTION, "--model", model, "--adapter", other)
    assert wrong.code == 5 and "gemma2" in wrong.err and "hint:" in wrong.err
    alone = ragcli("ask", QUESTION, "--adapter", tail)
    assert alone.code == 2 and "--model" in alone.err


def test_a_reranker_orders_the_passages(ragcli: Run, documents: None, tmp_path: Path) -> None:
    reranker = Encoder("rank").write(tmp_path / "reranker.gguf")
    plain = ragcli("search", "pump at night", "--json").json["hits"]
    hits = ragcli("search", "pump at night", "--rerank", reranker, "--json", "--explain").json["hits"]
    assert {hit["chunk_id"] for hit in hits} == {hit["chunk_id"] for hit in plain}
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    scores = [hit["legs"]["rerank"]["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 3
    by_id = {hit["chunk_id"]: hit["score"] for hit in plain}
    assert {hit["chunk_id"]: hit["score"] for hit in hits} == by_id  # they stay those of retrieval
    assert "rerank" not in plain[0]["legs"]
    batch = ragcli("search", "--batch", "-", "--rerank", reranker, stdin='{"id": 1, "question": "pump at night"}')
    assert [hit["chunk_id"] for hit in json.loads(batch.out)["hits"]] == [hit["chunk_id"] for hit in hits]
    shown = ragcli("search", "pump at night", "--rerank", reranker, "--explain")
    assert "rerank #1" in shown.out and "rerank " in shown.err


def test_reranker_and_model_in_one_process(ragcli: Run, documents: None, model: Path, tmp_path: Path) -> None:
    reranker = Encoder("rank").write(tmp_path / "reranker.gguf")
    done = ragcli("ask", QUESTION, "--model", model, "--rerank", reranker, "-n", "2", "--json")
    assert done.code == 0, done.err
    assert done.json["answer"] == tiny_gguf.ANSWER and len(done.json["hits"]) == 2
    wrong = ragcli("ask", QUESTION, "--rerank", model)
    assert wrong.code == 5 and "hint:" in wrong.err
    missing = ragcli("search", "pump", "--rerank", "no-such-reranker")
    assert missing.code == 5 and "no-such-reranker" in missing.err


def test_an_encoder_in_a_gguf_file(ragcli: Run, documents: None, store: Path, tmp_path: Path) -> None:
    encoder = Encoder("mean", window=256).write(tmp_path / "tiny-encoder.gguf")
    assert ragcli("models", "add", encoder).code == 0
    rebuilt = ragcli("rebuild", "--encoder", "tiny-encoder", "--json")
    assert rebuilt.code == 0, rebuilt.err
    assert rebuilt.json["encoder"] == "tiny-encoder" and rebuilt.json["embedded"] == 3
    found = ragcli("search", "the pump runs", "--mode", "dense", "--json")
    assert found.code == 0, found.err
    assert len(found.json["hits"]) > 0
    assert ragcli("check", "--deep").code == 0
    (tmp_path / "documents" / "new.md").write_text("# Garden\n\nThe garden is long.\n", "utf-8")
    assert ragcli("ingest", tmp_path / "documents", "--json").json["embedded"] == 1
    assert ragcli("models", "rm", "tiny-encoder").code == 0
    gone = ragcli("search", "the pump runs")
    assert gone.code in (4, 5) and "tiny-encoder" in gone.err and "Traceback" not in gone.err


def test_a_judge_decides_what_is_weak(ragcli: Run, documents: None, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    weak = tiny_gguf.build(tmp_path / "weak.gguf", answer="The warranty of the HX-5 lasts 36 months [1].")
    arguments = ("ask", QUESTION, "--model", weak, "--json")
    (citation,) = ragcli(*arguments).json["citations"]
    assert citation["status"] == "weak" and "36" in " ".join(citation["reasons"])
    for says, status in (("Yes", "supported"), ("No", "unsupported"), ("Perhaps", "weak")):
        endpoint.rule = lambda messages, says=says: says  # type: ignore[misc]
        judged = ragcli(*arguments, "--judge", endpoint.url)
        assert [c["status"] for c in judged.json["citations"]] == [status], judged.err
        assert "are sent to 127.0.0.1" in judged.err
    endpoint.script.append(Turn(cut_after=-1))
    endpoint.rule = lambda messages: "Yes"
    endpoint.script.extend([refusal(400, "no")] * 5)
    failed = ragcli(*arguments, "--judge", endpoint.url)
    assert failed.code == 0 and failed.json["citations"][0]["status"] == "weak"
    assert "weak citations are not judged" in failed.err


def test_a_prompt_of_the_users_own(ragcli: Run, documents: None, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("[system]\nSpeak like a pirate.\n[user]\n{question}\n\n{passages}\n", "utf-8")
    done = ragcli("ask", QUESTION, "--model", endpoint.url, "--prompt", mine, "--json")
    assert done.code == 0, done.err
    assert done.json["prompt"] == {"template": "mine.txt", "sha256": hashlib.sha256(mine.read_bytes()).hexdigest()}
    system, user = endpoint.asked[-1]["messages"]
    assert system["content"] == "Speak like a pirate."
    assert user["content"].startswith(f"{QUESTION}\n\n[1] warranty.md")
    shipped = ragcli("ask", QUESTION, "--model", endpoint.url, "--json").json["prompt"]
    assert shipped["template"] == "answer.txt" and len(shipped["sha256"]) == 64
    mine.write_text("[system]\nno user part\n", "utf-8")
    wrong = ragcli("ask", QUESTION, "--model", endpoint.url, "--prompt", mine)
    assert wrong.code == 2 and "[user]" in wrong.err
    (tmp_path / "ragcli.toml").write_text('prompt = "../../../etc/passwd"\n', "utf-8")
    outside = ragcli("ask", QUESTION)
    assert outside.code == 2 and "outside the project" in outside.err


def test_an_answer_that_its_passages_do_not_bear_out(ragcli: Run, documents: None, endpoint: LocalEndpoint) -> None:
    endpoint.rule = lambda messages: "Elephants are large grey animals that live in Africa and never forget [1]."
    done = ragcli("ask", QUESTION, "--model", endpoint.url, "--json", RAGCLI_SUPPORT_BELOW="0.2")
    assert done.code == 3
    assert done.json["abstained"] is True and done.json["answer"] == REFUSALS[0] and done.json["citations"] == []
    assert done.json["evidence"]["support"] < 0.2 and done.json["evidence"]["withheld"].startswith("Elephants")
    shown = ragcli("ask", QUESTION, "--model", endpoint.url, RAGCLI_SUPPORT_BELOW="0.2")
    assert shown.code == 3 and shown.out.endswith(f"\n{REFUSALS[0]}\n") and "too little" in shown.err
    trusted = ragcli("ask", QUESTION, "--model", endpoint.url, "--json")
    assert trusted.code == 0 and trusted.json["citations"][0]["status"] == "unsupported"


@pytest.mark.parametrize(
    "turns",
    [[refusal(401, "bad key")], [Turn(cut_after=1)], [Turn(cut_after=-1)] * 3],
    ids=["refuses", "half a stream", "hangs up"],
)
def test_an_endpoint_that_fails(ragcli: Run, documents: None, endpoint: LocalEndpoint, turns: list[Turn]) -> None:
    endpoint.script.extend(turns)
    done = ragcli("ask", QUESTION, "--model", endpoint.url, "--json", RAGCLI_API_KEY="a-secret-key")
    assert (done.code, done.out) == (5, "")
    assert "127.0.0.1" in done.err and "hint:" in done.err
    assert "Traceback" not in done.err and "a-secret-key" not in done.err


def test_an_endpoint_that_is_not_there_ends_before_retrieval(ragcli: Run, tmp_path: Path) -> None:
    done = ragcli("ask", QUESTION, "--model", "http://127.0.0.1:9", "--index", tmp_path / "none")
    assert done.code == 5 and "127.0.0.1:9" in done.err
    offline = ragcli("ask", QUESTION, "--model", "https://api.example.com", RAGCLI_OFFLINE="1")
    assert offline.code == 5 and "RAGCLI_OFFLINE" in offline.err


def test_thresholds_from_questions(ragcli: Run, documents: None, tmp_path: Path) -> None:
    asked = [("What does the pump P-40 weigh?", True), (QUESTION, True), ("How much oil does the P-40 hold?", True)]
    asked += [("When does the pump run?", True), ("What is the P-40?", True)]
    asked += [(f"Who won the {n}th cup of the league?", False) for n in range(5)]
    rows = [{"id": n, "question": question, "answerable": kind} for n, (question, kind) in enumerate(asked)]
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    done = ragcli("calibrate", cases, "--json", RAGCLI_ABSTAIN_BELOW="2")
    assert done.code == 0, done.err
    assert (done.json["questions"], done.json["answerable"]) == (10, 5)
    assert done.json["now"]["balanced"] <= done.json["then"]["balanced"]
    assert done.json["then"]["abstained"] == 1.0
    assert done.json["saved"] is None
    shown = ragcli("calibrate", cases, "--set")
    value = done.json["thresholds"]["then"]["abstain_below"]
    assert f"abstain_below = {value:g}" in shown.out
    assert ragcli("config", "show", "--json").json["settings"]["abstain_below"]["value"] == value
    cases.write_text("\n".join(map(json.dumps, rows[:7])), "utf-8")
    few = ragcli("calibrate", cases)
    assert few.code == 2 and "fewer than 5 unanswerable questions" in few.err
    cases.write_text('{"id": 1, "question": "x", "answerable": "no"}\n', "utf-8")
    wrong = ragcli("calibrate", cases)
    assert wrong.code == 2 and "line 1" in wrong.err


def test_thresholds_of_a_model(ragcli: Run, documents: None, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    """The model answers everything: what its passages bear out tells the good answers from the others."""
    endpoint.rule = lambda messages: (
        "The league is won by whoever dares to dream of glory [1]."
        if "league" in messages[-1]["content"].rpartition("Question:")[2]
        else "The warranty of the HX-5 lasts 24 months [1]."
    )
    asked = [(QUESTION, True)] * 5 + [(f"Is the HX-5 warranty league {n} won?", False) for n in range(5)]
    rows = [{"id": n, "question": question, "answerable": kind} for n, (question, kind) in enumerate(asked)]
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    done = ragcli("calibrate", cases, "--model", endpoint.url, "--json")
    assert done.code == 0, done.err
    assert done.json["then"] == {"answered": 1.0, "abstained": 1.0, "balanced": 1.0}
    assert set(done.json["thresholds"]["then"]) == {"nothing_below", "support_below"}
