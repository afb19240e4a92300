"""`ragcli chat` as a user runs it: follow-ups, commands, pipes, and a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import tiny_gguf
from generation.local_endpoint import LocalEndpoint, Turn, serve
from shared import Done, environment_of
from terminal import Terminal

Run = Callable[..., Done]
DOCUMENTS = {
    "warranty.md": "# Warranty of the HX-5\n\nThe warranty of the HX-5 lasts 24 months from the day of delivery.\n",
    "seals.md": "# Seals of the HX-5\n\nSeals of the HX-5 are covered for 6 months.\n",
    "pump.md": "# Pump P-40\n\nThe pump P-40 holds 12 litres of oil and weighs 31 kg.\n",
}


@pytest.fixture
def documents(tmp_path: Path, ragcli: Run) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, "utf-8")
    assert ragcli("ingest", folder).code == 0


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with serve(LocalEndpoint(rule=_answer)) as endpoint:
        yield endpoint


def _answer(messages: Sequence[Mapping[str, str]]) -> str:
    """Behave as a model that rewrites a follow-up when asked to, and else answers from the first passage."""
    last = messages[-1]["content"]
    if last.startswith("Do not answer yet."):
        return "How long are the seals of the HX-5 covered?"
    if "seals" in last.rpartition("Question:")[2]:
        return "Seals are covered for 6 months [1]."
    return "The warranty lasts 24 months [1]."


def test_a_follow_up_stands_alone_before_retrieval(ragcli: Run, documents: None, endpoint: LocalEndpoint) -> None:
    done = ragcli(
        "chat", "--model", endpoint.url, stdin="How long does the warranty of the HX-5 last?\nand its seals?\n"
    )
    assert done.code == 0, done.err
    assert "How long are the seals of the HX-5 covered?" in done.err
    first, second = done.out.strip().split("\n\n")[::2]
    assert first == "The warranty lasts 24 months [1]."
    assert second == "Seals are covered for 6 months [1]."
    assert "[1] seals.md:3  supported" in done.out
    assert "are sent to 127.0.0.1" in done.err
    rewriting, answering = endpoint.asked[1:]
    assert rewriting["messages"][0] == answering["messages"][0] == endpoint.asked[0]["messages"][0]
    assert [m["role"] for m in answering["messages"]] == ["system", "user", "assistant", "user"]
    assert answering["messages"][1]["content"] == "How long does the warranty of the HX-5 last?"
    assert answering["messages"][2]["content"] == "The warranty lasts 24 months."


@pytest.mark.parametrize(
    "written",
    [
        "",
        "The documents do not answer this.",
        "x" * 500,
        "How about the moon?",
        "它的保修期是多久？",
        "The P-40 holds oil [1].",
        "P-40\n" * 3,
    ],
)
def test_what_the_model_makes_of_it_has_to_be_plausible(
    ragcli: Run, documents: None, endpoint: LocalEndpoint, written: str
) -> None:
    endpoint.rule = lambda messages: (
        written if messages[-1]["content"].startswith("Do not answer yet.") else "24 months [1]."
    )
    done = ragcli(
        "chat", "--json", "--model", endpoint.url, stdin="How long does the HX-5 warranty last?\nand the P-40 one?\n"
    )
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["asked"] for row in rows] == ["How long does the HX-5 warranty last?", "and the P-40 one?"]
    assert rows[1]["question"] == (
        "P-40" if written.startswith("P-40") else "and the P-40 one? (How long does the HX-5 warranty last?)"
    )


def test_without_a_model(ragcli: Run, documents: None) -> None:
    done = ragcli("chat", "--json", stdin="What does the pump P-40 weigh?\n\nand how much oil does it hold?\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["question"] for row in rows] == [
        "What does the pump P-40 weigh?",
        "and how much oil does it hold? (What does the pump P-40 weigh?)",
    ]
    assert all(row["citations"][0]["source"] == "pump.md" for row in rows)


def test_the_second_question_reads_the_instructions_no_more(ragcli: Run, documents: None, tmp_path: Path) -> None:
    model = tiny_gguf.build(tmp_path / "tiny.gguf")
    questions = "How long does the warranty of the HX-5 last?\nHow much oil does the pump P-40 hold?\n"
    done = ragcli("chat", "--json", "--model", model, stdin=questions)
    usage = [json.loads(line)["usage"] for line in done.out.splitlines()]
    assert usage[1]["reused_tokens"] > 200  # the instructions alone
    assert re.search(r"prompt tokens \(\d+ reused\)", done.err)


def test_commands(ragcli: Run, documents: None, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    saved = tmp_path / "saved.md"
    lines = ["/sources", "How long does the warranty of the HX-5 last?", "/sources", "/show 1", "/show 99", "/show x"]
    lines += [
        f"/save {saved}",
        f"/save {saved}",
        "/model",
        "/new",
        "/sources",
        "/nope",
        "/help",
        "/quit",
        "never asked",
    ]
    done = ragcli("chat", "--model", endpoint.url, stdin="\n".join(lines))
    assert done.code == 0, done.err
    assert "[1] warranty.md:1  " in done.out and "supported" in done.out and "not cited" in done.out
    assert "    The warranty of the HX-5 lasts 24 months from the day of delivery." in done.out
    assert done.err.count("nothing was asked yet") == 2
    assert done.err.count("/show N, with N from 1 to ") == 2
    assert "is there already" in done.err and "/nope is no command" in done.err and "/save [FILE]" in done.err
    assert "tiny-chat@127.0.0.1" in done.err
    assert saved.stat().st_mode & 0o777 == 0o600
    assert saved.read_text("utf-8") == (
        "## How long does the warranty of the HX-5 last?\n\nThe warranty lasts 24 months [1].\n\n"
        "- [1] warranty.md: supported\n"
    )
    assert len(endpoint.asked) == 1


def test_another_model(ragcli: Run, documents: None, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    model = tiny_gguf.build(tmp_path / "other.gguf", answer="Other words [1].")
    question = "How long does the warranty of the HX-5 last?"
    lines = [question, f"/model {model}", question, "/model nothing-like-it", question]
    done = ragcli("chat", "--json", "--model", endpoint.url, stdin="\n".join(lines))
    answers = [json.loads(line)["answer"] for line in done.out.splitlines()]
    assert answers == ["The warranty lasts 24 months [1].", "Other words [1].", "Other words [1]."]
    assert "no language model is called 'nothing-like-it'" in done.err
    assert done.code == 5  # one line could not be done


def test_a_question_that_fails_does_not_end_it(ragcli: Run, documents: None, endpoint: LocalEndpoint) -> None:
    endpoint.script.append(Turn(cut_after=2))
    question = "How long does the warranty of the HX-5 last?"
    done = ragcli("chat", "--json", "--model", endpoint.url, stdin=f"{question}\n{question}\n")
    first, second = map(json.loads, done.out.splitlines())
    assert set(first) == {"asked", "error"} and "127.0.0.1" in first["error"]
    assert second["answer"] == "The warranty lasts 24 months [1]."
    assert done.code == 5 and "Traceback" not in done.err


def test_bytes_that_are_no_text(documents: None, home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ragcli", "chat", "--json"],
        input=b"What does the pump P-40 weigh? \xff\xfe\x00\n",
        capture_output=True,
        cwd=tmp_path,
        env=environment_of(home),
    )
    assert done.returncode == 0, done.stderr
    assert "31 kg" in json.loads(done.stdout)["answer"]


def test_in_a_terminal(documents: None, home: Path, tmp_path: Path, endpoint: LocalEndpoint) -> None:
    """Ctrl-C ends an answer and keeps it, drops a line, and only a second one ends the command."""
    terminal = Terminal(["chat", "--model", endpoint.url], home, tmp_path)
    try:
        terminal.until("> ")
        endpoint.script.append(Turn(pieces=["The warranty ", "lasts "], stall_after=2))
        terminal.type("How long does the warranty of the HX-5 last?\n")
        terminal.until("The warranty lasts")
        start = time.monotonic()
        terminal.type("\x03")
        terminal.until("> ")
        assert time.monotonic() - start < 2
        terminal.type("How long does the warranty of the HX-5 last?\n")
        assert "supported" in terminal.until("\r\n> ")
        terminal.type("half a ques\x03")
        terminal.until("ends")
        terminal.type("/sources\n")
        terminal.until("warranty.md")
        terminal.until("> ")
        terminal.type("\x03")
        terminal.until("ends")
        terminal.until("> ")
        terminal.type("\x03")
        assert terminal.process.wait(timeout=20) == 130
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
    assert "Traceback" not in terminal.shown


def test_the_end_of_input_ends_it(documents: None, home: Path, tmp_path: Path) -> None:
    terminal = Terminal(["chat"], home, tmp_path)
    try:
        terminal.until("> ")
        terminal.type("\x04")
        assert terminal.process.wait(timeout=20) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
