"""Faults, hangs, Ctrl-C and sudden ends: the command goes on, and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_gguf
from llama.llama_types import Build, Open

from ragcli.errors import ModelFailed
from ragcli.generation.base import Message
from ragcli.llama.engine import LlamaGenerator
from ragcli.llama.hosts import extra_buffers_work, this_host

QUESTION = (Message("system", "Answer from the passages."), Message("user", "How long is the warranty?"))


def child_of(model: LlamaGenerator) -> int:
    """Return the process id of the model's child."""
    assert model.pid is not None
    return model.pid


def is_alive(pid: int) -> bool:
    """Return whether a process runs, a zombie counting as ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether `condition` came true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("worker", ["faulty_model_worker", "late_faulty_model_worker"])
def test_a_machine_whose_extra_buffers_fault_is_met_once(
    build: Build, open_model: Open, hosts: Path, worker: str
) -> None:
    path = build(quantize="Q8_0")
    assert extra_buffers_work(hosts)
    model = open_model(path, worker=worker)
    first = child_of(model)
    assert model.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert child_of(model) != first

    assert json.loads(hosts.read_text("utf-8")) == {this_host(): {"extra_buffers": False}}
    assert hosts.stat().st_mode & 0o777 == 0o600
    assert not extra_buffers_work(hosts)
    assert [f.name for f in hosts.parent.iterdir()] == [hosts.name]

    again = open_model(path, worker=worker)
    first = child_of(again)
    assert again.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert child_of(again) == first  # no second fault


def test_the_fault_is_also_met_while_counting(build: Build, open_model: Open, hosts: Path) -> None:
    model = open_model(build(vocabulary="spm"), worker="faulty_model_worker")  # which the child alone can count
    assert model.count_tokens(QUESTION) > 10
    assert not extra_buffers_work(hosts)


def test_a_folder_that_cannot_be_written_does_no_harm(build: Build, open_model: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    model = open_model(build(), worker="faulty_model_worker", hosts=tmp_path / "file" / "hosts.json")
    assert model.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER


def test_a_killed_child_is_an_error_and_no_fault_of_the_machine(build: Build, open_model: Open, hosts: Path) -> None:
    model = open_model(build(endless=True), context_size=32768)
    pieces: list[str] = []

    def kill(text: str) -> None:
        pieces.append(text)
        if len(pieces) == 5:
            os.kill(child_of(model), signal.SIGSEGV)  # later than at the first prompt

    with pytest.raises(ModelFailed, match="SIGSEGV"):
        model.generate(QUESTION, max_tokens=30_000, on_text=kill)
    assert not hosts.exists()
    assert model.generate(QUESTION, max_tokens=5).stopped == "length"  # by another child

    os.kill(child_of(model), signal.SIGKILL)
    with pytest.raises(ModelFailed, match="SIGKILL") as caught:
        model.generate(QUESTION, max_tokens=5)
    assert "memory" in caught.value.hint
    assert not hosts.exists()


def test_a_child_that_dies_at_both_tries_is_an_error(build: Build, open_model: Open, hosts: Path) -> None:
    model = open_model(build(), worker="a_module_that_is_not_there")
    with pytest.raises(ModelFailed, match="exit code 1.*a_module_that_is_not_there"):
        model.generate(QUESTION, max_tokens=5)
    assert not hosts.exists()


def test_a_hang_meets_the_deadline(build: Build, open_model: Open) -> None:
    model = open_model(build(), worker="hanging_model_worker", seconds=0.6)
    pid = child_of(model)
    start = time.monotonic()
    with pytest.raises(ModelFailed, match="did not answer within 0.6 seconds") as caught:
        model.generate(QUESTION, max_tokens=5)
    assert time.monotonic() - start < 3
    assert "generate_seconds" in caught.value.hint
    assert not is_alive(pid)


def test_ctrl_c_keeps_what_was_written(build: Build, open_model: Open, ctrl_c: Callable[[], None]) -> None:
    model = open_model(build(endless=True), context_size=32768)
    pieces: list[str] = []
    pressed = 0.0

    def press(text: str) -> None:
        nonlocal pressed
        pieces.append(text)
        if len(pieces) == 20:
            pressed = time.monotonic()
            ctrl_c()

    answer = model.generate(QUESTION, max_tokens=30_000, on_text=press)
    assert time.monotonic() - pressed < 0.5
    assert answer.stopped == "interrupted"
    assert answer.text == "".join(pieces)
    assert (tiny_gguf.ANSWER * 3).startswith(answer.text)
    assert answer.completion_tokens >= 20
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    pid = child_of(model)
    assert model.generate(QUESTION, max_tokens=3).stopped == "length"
    assert child_of(model) == pid  # the child, told to stop, is still of use


def test_ctrl_c_ends_a_child_that_does_not_listen(build: Build, open_model: Open, ctrl_c: Callable[[], None]) -> None:
    model = open_model(build(), worker="hanging_model_worker")
    pid = child_of(model)
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        ctrl_c()

    threading.Timer(1.0, press).start()
    answer = model.generate(QUESTION, max_tokens=5)
    assert time.monotonic() - pressed[0] < 0.5
    assert (answer.text, answer.stopped) == ("", "interrupted")
    assert not is_alive(pid)


def test_a_reader_may_be_interrupted_too(build: Build, open_model: Open) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    answer = open_model(build()).generate(QUESTION, max_tokens=99, on_text=interrupt)
    assert answer.stopped == "interrupted"
    assert tiny_gguf.ANSWER.startswith(answer.text) and answer.text


def test_ctrl_c_while_the_model_loads_is_raised(build: Build, open_model: Open, ctrl_c: Callable[[], None]) -> None:
    model = open_model(build())
    os.kill(child_of(model), signal.SIGSTOP)
    pid = child_of(model)
    threading.Timer(0.3, ctrl_c).start()
    with pytest.raises(KeyboardInterrupt):
        model.generate(QUESTION, max_tokens=5)
    assert not is_alive(pid)


def test_a_model_can_be_asked_from_another_thread(build: Build, open_model: Open) -> None:
    model = open_model(build())
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(model.generate(QUESTION, max_tokens=64).text))
    thread.start()
    thread.join(20)
    assert texts == [tiny_gguf.ANSWER]


PARENT = """
import sys, time
from pathlib import Path
from ragcli.generation.base import Message
from ragcli.llama.engine import LlamaGenerator
model = LlamaGenerator(Path(sys.argv[1]), threads=1, context_size=32768, hosts=Path(sys.argv[2]))
def show(text):
    print(model.pid, flush=True)
    time.sleep(60)
if sys.argv[3] == "loading":
    show("")
model.generate([Message("user", "?")], max_tokens=30000, on_text=show)
"""


@pytest.mark.parametrize("state", ["loading", "generating"])
def test_no_child_survives_a_killed_parent(build: Build, hosts: Path, state: str) -> None:
    arguments = [sys.executable, "-c", PARENT, str(build(endless=True)), str(hosts), state]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    assert wait_until(lambda: not is_alive(pid), 5)


def test_closing_leaves_nothing(build: Build, open_model: Open) -> None:
    model = open_model(build())
    pid = child_of(model)
    model.close()
    assert not is_alive(pid)
    model.close()
    assert model.pid is None
