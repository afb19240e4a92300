"""One process that holds several models: they work side by side, fall together, and come back together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_gguf
from llama.llama_types import Build, OpenProcess
from llama.test_supervision import is_alive, wait_until
from tiny_parts import Encoder

from ragcli.errors import ModelBad, ModelFailed
from ragcli.generation.base import Message
from ragcli.llama.embedder import GgufEmbedder
from ragcli.llama.engine import LlamaGenerator, LlamaReranker
from ragcli.llama.gguf import inspect
from ragcli.llama.hosts import extra_buffers_work
from ragcli.llama.process import LlamaProcess

QUESTION = (Message("system", "Answer from the passages."), Message("user", "How long is the warranty?"))


def embedder(tmp_path: Path, process: LlamaProcess) -> GgufEmbedder:
    """Open a tiny encoder in `process`."""
    path = Encoder().write(tmp_path / "encoder.gguf")
    return GgufEmbedder(inspect(path), process, id="tiny", fingerprint="f")


def reranker(tmp_path: Path, process: LlamaProcess) -> LlamaReranker:
    """Open a tiny reranker in `process`."""
    return LlamaReranker(Encoder("rank").write(tmp_path / "reranker.gguf"), process)


def test_three_models_in_one_process(build: Build, open_process: OpenProcess, tmp_path: Path) -> None:
    process = open_process()
    writer = LlamaGenerator(build(quantize="Q8_0"), process=process)
    encoder, ranker = embedder(tmp_path, process), reranker(tmp_path, process)
    alone = encoder.embed_query("the pump"), ranker.rank("how long", ["the pump", "warranty lasts"])
    assert writer.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert np.array_equal(encoder.embed_query("the pump"), alone[0])
    assert ranker.rank("how long", ["the pump", "warranty lasts"]) == alone[1]
    assert writer.pid == process.pid


def test_they_work_at_the_same_time(build: Build, open_process: OpenProcess, tmp_path: Path) -> None:
    process = open_process()
    writer = LlamaGenerator(build(endless=True), process=process, context_size=32768)
    encoder = embedder(tmp_path, process)
    vector = encoder.embed_query("the pump")
    started, done = threading.Event(), threading.Event()

    def on_text(text: str) -> None:
        started.set()
        if done.is_set():
            raise InterruptedError

    thread_failed: list[BaseException] = []

    def write() -> None:
        try:
            writer.generate(QUESTION, max_tokens=30_000, on_text=on_text)
        except InterruptedError as error:
            thread_failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    assert started.wait(20)
    for _ in range(20):
        assert np.array_equal(encoder.embed_query("the pump"), vector)
    done.set()
    thread.join(20)
    assert len(thread_failed) == 1, "it was still writing"


def test_a_slow_load_of_one_does_not_hold_up_another(build: Build, open_process: OpenProcess, tmp_path: Path) -> None:
    process = open_process(worker="slow_model_worker")
    writer = LlamaGenerator(build(), process=process)
    encoder = embedder(tmp_path, process)
    assert len(encoder.embed_query("the pump")) == encoder.dimension
    assert writer.load_ms == 0
    assert writer.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert writer.load_ms > 1000


def test_a_crash_takes_all_and_the_next_use_brings_all_back(
    build: Build, open_process: OpenProcess, tmp_path: Path, hosts: Path
) -> None:
    process = open_process()
    writer = LlamaGenerator(build(), process=process)
    encoder = embedder(tmp_path, process)
    vector = encoder.embed_query("the pump")
    assert writer.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGSEGV)
    with pytest.raises(ModelFailed, match="SIGSEGV"):
        encoder.embed_query("the pump")
    assert np.array_equal(encoder.embed_query("the pump"), vector)
    assert writer.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert process.pid != first
    assert not hosts.exists(), "both had worked before: it was no fault of the machine"


@pytest.mark.parametrize("worker", ["faulty_model_worker", "late_faulty_model_worker"])
def test_a_fault_restarts_all_with_plain_buffers(
    build: Build, open_process: OpenProcess, tmp_path: Path, hosts: Path, worker: str
) -> None:
    process = open_process(worker=worker)
    writer = LlamaGenerator(build(quantize="Q4_K_M"), process=process)
    encoder = embedder(tmp_path, process)
    assert len(encoder.embed_query("the pump")) == encoder.dimension
    assert writer.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert len(encoder.embed_query("the pump")) == encoder.dimension
    assert not extra_buffers_work(hosts)


def test_a_fault_met_by_two_threads_is_met_once(
    build: Build, open_process: OpenProcess, tmp_path: Path, hosts: Path
) -> None:
    process = open_process(worker="faulty_model_worker")
    writer = LlamaGenerator(build(), process=process)
    encoder = embedder(tmp_path, process)
    done: list[object] = []
    threads = [
        threading.Thread(target=lambda: done.append(writer.generate(QUESTION, max_tokens=64).text)),
        threading.Thread(target=lambda: done.append(encoder.embed_query("the pump").shape)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(map(str, done)) == ["(32,)", tiny_gguf.ANSWER]
    assert not extra_buffers_work(hosts)


def test_a_hang_of_one_ends_the_process(build: Build, open_process: OpenProcess, tmp_path: Path) -> None:
    process = open_process(worker="hanging_model_worker", seconds=0.8)
    encoder = embedder(tmp_path, process)
    pid = process.pid
    assert pid is not None
    with pytest.raises(ModelFailed, match="did not answer within 0.8 seconds"):
        encoder.embed_query("the pump")
    assert not is_alive(pid)


def test_a_bad_model_leaves_the_others_alone(build: Build, open_process: OpenProcess, tmp_path: Path) -> None:
    process = open_process()
    encoder = embedder(tmp_path, process)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(build().read_bytes().replace(b"blk.0.attn_norm.weight", b"blk.0.attn_nerm.weight"))
    writer = LlamaGenerator(broken, process=process)
    for _ in range(2):
        with pytest.raises(ModelBad, match="attn_norm"):
            writer.generate(QUESTION, max_tokens=3)
    pid = process.pid
    assert len(encoder.embed_query("the pump")) == encoder.dimension
    assert process.pid == pid


def test_a_closed_model_is_loaded_again_when_it_is_used(
    build: Build, open_process: OpenProcess, tmp_path: Path
) -> None:
    process = open_process()
    writer, encoder = LlamaGenerator(build(), process=process), embedder(tmp_path, process)
    for _ in range(2):
        assert writer.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
        assert len(encoder.embed_query("the pump")) == encoder.dimension
        writer.close()
        encoder.close()
    assert process.pid is not None


def test_what_llama_cpp_sees(open_process: OpenProcess) -> None:
    about = open_process().about()
    assert {device["kind"] for device in about["devices"]} >= {"cpu"}
    assert all(device["name"] for device in about["devices"])
    assert about["offload"] == any(device["kind"] == "gpu" for device in about["devices"])


def test_llama_cpp_that_cannot_be_started_is_an_error(open_process: OpenProcess) -> None:
    with pytest.raises(ModelFailed, match="a_module_that_is_not_there") as caught:
        open_process(worker="a_module_that_is_not_there").about()
    assert "doctor" in caught.value.hint


PARENT = """
import sys
from pathlib import Path
from ragcli.llama.embedder import GgufEmbedder
from ragcli.generation.base import Message
from ragcli.llama.engine import LlamaGenerator
from ragcli.llama.gguf import inspect
from ragcli.llama.process import LlamaProcess
process = LlamaProcess(Path(sys.argv[1]), threads=1)
writer = LlamaGenerator(Path(sys.argv[2]), process=process, context_size=32768)
embedder = GgufEmbedder(inspect(Path(sys.argv[3])), process, id="e", fingerprint="f")
print(process.pid, flush=True)
writer.generate([Message("user", "?")], max_tokens=30000, on_text=lambda text: print("text", flush=True))
"""


def test_no_models_survive_a_killed_parent(build: Build, hosts: Path, tmp_path: Path) -> None:
    encoder = Encoder().write(tmp_path / "encoder.gguf")
    arguments = [sys.executable, "-c", PARENT, str(hosts), str(build(endless=True)), str(encoder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == b"text\n"
        assert is_alive(pid)
        parent.kill()
        start = time.monotonic()
    assert wait_until(lambda: not is_alive(pid), 3), time.monotonic() - start
