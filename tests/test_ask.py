"""`ragcli ask` as a user runs it: quotes without a model, a real GGUF with one, and every way to end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_gguf
from shared import Done, environment_of

ENCODER = "all-minilm-l6-v2"

Run = Callable[..., Done]

WARRANTY = """# Warranty of the HX-5 controller

The warranty lasts 24 months from the day of delivery.

Seals and fuses are covered for 6 months.
"""
CARE = """# Care

Keep the controller dry. Wipe it with a soft cloth.
"""
CHINESE = """# 保修政策

控制器的保修期为二十四个月，自交货之日起计算。

电池不在保修范围内。
"""


@pytest.fixture
def documents(tmp_path: Path, ragcli: Run) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in (("warranty.md", WARRANTY), ("care.md", CARE), ("保修.md", CHINESE)):
        (folder / name).write_text(text, "utf-8")
    done = ragcli("ingest", folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.build(tmp_path_factory.mktemp("model") / "tiny.gguf", quantize="Q8_0")


def test_quotes_without_a_model(ragcli: Run, documents: Path) -> None:
    done = ragcli("ask", "How long does the warranty of the HX-5 last?", "--json")
    assert done.code == 0
    assert "The warranty lasts 24 months from the day of delivery." in done.json["answer"]
    assert done.json["model"] == {"name": "extractive", "kind": "extractive", "adapter": None}
    first = done.json["citations"][0]
    assert (first["marker"], first["source"], first["status"]) == (1, "warranty.md", "supported")
    assert first["chunk_id"] == done.json["hits"][0]["chunk_id"]
    assert set(done.json) == {
        *("question", "answer", "abstained", "citations", "hits", "model", "usage", "evidence", "timings"),
    }
    assert "--model" in done.err and "hint:" in done.err


def test_quotes_in_chinese(ragcli: Run, documents: Path) -> None:
    done = ragcli("ask", "控制器的保修期是多久？")
    assert done.code == 0
    assert "控制器的保修期为二十四个月" in done.out
    assert "[1] 保修.md" in done.out


@pytest.mark.parametrize("question", ["Who won the cup in 1998?", "红烧肉要炖多久才烂"])
def test_what_the_documents_do_not_answer(ragcli: Run, documents: Path, question: str) -> None:
    done = ragcli("ask", question, "--json")
    assert done.code == 3
    assert done.json["abstained"] is True
    assert done.json["answer"] and done.json["citations"] == []


def test_an_answer_from_a_real_model(ragcli: Run, documents: Path, model: Path) -> None:
    done = ragcli("ask", "How long does the warranty last?", "--model", model, "--json")
    assert done.code == 0, done.err
    assert done.json["answer"] == tiny_gguf.ANSWER
    assert done.json["model"]["kind"] == "llama.cpp"
    assert [(c["marker"], c["source"], c["status"]) for c in done.json["citations"]] == [
        (1, "warranty.md", "supported")
    ]
    assert done.json["citations"][0]["quote"] == "The warranty lasts 24 months from the day of delivery."
    assert done.json["usage"]["prompt_tokens"] > 50 and done.json["usage"]["completion_tokens"] > 3
    assert done.json["timings"]["first_token_ms"] > 0


def test_the_answer_is_streamed_and_then_cited(ragcli: Run, documents: Path, model: Path) -> None:
    done = ragcli("ask", "How long does the warranty last?", "--model", model)
    assert done.code == 0, done.err
    quote = "The warranty lasts 24 months from the day of delivery."
    assert done.out == f"{tiny_gguf.ANSWER}\n\n[1] warranty.md:3  supported\n    {quote}\n"
    assert re.search(r"tiny on cpu: \d+ prompt tokens.*, \d+ written", done.err)
    whole = ragcli("ask", "How long does the warranty last?", "--model", model, "--no-stream")
    assert whole.out == done.out


def test_a_model_of_the_store_by_name(ragcli: Run, documents: Path, model: Path, home: Path) -> None:
    shared_store = (home / "models").resolve()
    (home / "models").unlink()  # it is not this test's to write to
    shutil.copytree(shared_store / ENCODER, home / "models" / ENCODER, copy_function=os.link)
    assert ragcli("models", "add", model).code == 0
    done = ragcli("ask", "How long does the warranty last?", "--model", "tiny", "--json")
    assert done.code == 0, done.err
    assert done.json["model"]["name"] == "tiny"
    assert done.json["answer"] == tiny_gguf.ANSWER
    wrong = ragcli("ask", "How long does the warranty last?", "--model", "tinny")
    assert wrong.code == 5 and "tinny" in wrong.err


def test_a_model_that_refuses(ragcli: Run, documents: Path, tmp_path: Path) -> None:
    refusing = tiny_gguf.build(tmp_path / "refusing.gguf", answer=tiny_gguf.REFUSAL)
    done = ragcli("ask", "How long does the warranty last?", "--model", refusing, "--json")
    assert done.code == 3
    assert done.json["abstained"] is True and done.json["citations"] == []


def test_a_marker_without_a_passage_is_marked(ragcli: Run, documents: Path, tmp_path: Path) -> None:
    wild = tiny_gguf.build(tmp_path / "wild.gguf", answer="The warranty lasts ninety years [1] [9].")
    done = ragcli("ask", "How long does the warranty last?", "--model", wild, "--json")
    statuses = {c["marker"]: (c["source"], c["status"]) for c in done.json["citations"]}
    assert statuses[9] == (None, "unsupported")
    assert statuses[1][0] == "warranty.md" and statuses[1][1] != "supported"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no language model is called"), (b"not a model", "GGUF"), (b"GGUF" + b"\xff" * 60, "")],
    ids=["missing", "no gguf", "broken"],
)
def test_a_bad_model_ends_before_retrieval(ragcli: Run, tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    done = ragcli("ask", "Anything?", "--model", path, "--index", tmp_path / "no-index")
    assert done.code == 5
    assert reason in done.err and "hint:" in done.err and "Traceback" not in done.err


def test_a_question_from_stdin(ragcli: Run, documents: Path) -> None:
    done = ragcli("ask", "-", "--json", stdin="How long does the warranty of the HX-5 last?\n")
    assert done.code == 0
    assert done.json["question"] == "How long does the warranty of the HX-5 last?"


@pytest.mark.parametrize("question", ["", "   ", "\n"])
def test_an_empty_question(ragcli: Run, documents: Path, question: str) -> None:
    done = ragcli("ask", question)
    assert (done.code, done.out) == (2, "")
    assert "error: the question is empty" in done.err


def test_a_batch(ragcli: Run, documents: Path, model: Path) -> None:
    rows = [{"id": n, "question": q} for n, q in enumerate(("How long does the warranty last?", "红烧肉要炖多久"))]
    done = ragcli("ask", "--batch", "-", stdin="\n".join(map(json.dumps, rows)) + "\n\n")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [answer["id"] for answer in answers] == [0, 1]
    assert [answer["abstained"] for answer in answers] == [False, True]
    told = ragcli("ask", "--batch", "-", "--model", model, stdin="\n".join(map(json.dumps, rows)))
    assert json.loads(told.out.splitlines()[0])["answer"] == tiny_gguf.ANSWER


def test_a_bad_batch_is_named_before_anything_runs(ragcli: Run, tmp_path: Path) -> None:
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"id": 1, "question": "a"}\n{"id": 2}\n', "utf-8")
    done = ragcli("ask", "--batch", batch)
    assert (done.code, done.out) == (2, "")
    assert "batch.jsonl, line 2" in done.err and '"question"' in done.err


def test_the_passages_are_shown_on_request(ragcli: Run, documents: Path) -> None:
    done = ragcli("ask", "How long does the warranty of the HX-5 last?", "--show-context", "--explain")
    assert "Seals and fuses are covered for 6 months." in done.out
    assert "dense #" in done.out and "lexical #" in done.out
    assert "words: " in done.err


def test_ctrl_c_keeps_what_was_written(documents: Path, home: Path, tmp_path: Path) -> None:
    endless = tiny_gguf.build(tmp_path / "endless.gguf", answer="On and on it goes [1]. ", endless=True)
    command = [sys.executable, "-m", "ragcli", "ask", "How long does the warranty last?", "--model", str(endless)]
    process = subprocess.Popen(
        [*command, "--max-tokens", "2000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment_of(home) | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None and process.stderr is not None
    first = process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    rest, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 3
    assert process.returncode == 130
    assert (first + rest).startswith("On and on it goes [1")
    assert "Traceback" not in err
    assert not _children_of(process.pid)


def _children_of(pid: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == pid and int(folder.name) != os.getpid():
            found.append(folder.name)
    return found
