"""LoRA adapters: they change the answer, prove it, and are refused where they are for another model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_gguf
from llama.llama_types import Build, Open
from tiny_parts import adapter, shortcut

from ragcli.errors import ModelBad, ModelMissing
from ragcli.generation.base import Message
from ragcli.llama.hosts import remember_extra_buffers

QUESTION = (Message("user", "How long is the warranty?"),)
TAIL = "lasts 24 months [1]."
WIDTH, ROWS = tiny_gguf.EMBEDDING, 4


@pytest.fixture
def tail(build: Build, tmp_path: Path) -> Path:
    """An adapter that lets the answer begin at "lasts"."""
    return shortcut(tmp_path / "tail.gguf", build(), steps=tokens_before(TAIL))


def tokens_before(tail: str) -> int:
    """Return how many tokens of the tiny model's answer come before its end `tail`; each has two bytes."""
    return (len(tiny_gguf.ANSWER) - len(tail)) // 2


@pytest.mark.parametrize("quantize", [None, "Q8_0", "Q4_K_M"])
@pytest.mark.parametrize("extra_buffers", [True, False])
def test_an_adapter_changes_the_answer(
    build: Build, open_model: Open, hosts: Path, tail: Path, quantize: str | None, extra_buffers: bool
) -> None:
    remember_extra_buffers(hosts, work=extra_buffers)
    model = open_model(build(quantize=quantize), adapter=tail)
    answer = model.generate(QUESTION, max_tokens=64).text
    assert answer != tiny_gguf.ANSWER and tiny_gguf.ANSWER.endswith(answer.strip()) and len(answer) > 10
    assert model.adapter == "tail"
    plain = open_model(build(quantize=quantize))
    assert plain.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert plain.adapter is None


def test_its_scale_counts(build: Build, open_model: Open, tail: Path) -> None:
    def ask(scale: float) -> str:
        return open_model(build(), adapter=tail, adapter_scale=scale).generate(QUESTION, max_tokens=64).text

    assert ask(0.0) == tiny_gguf.ANSWER
    assert ask(0.1) == tiny_gguf.ANSWER  # 3 times 0.1 is less than the table's 1
    assert ask(-1.0) == tiny_gguf.ANSWER
    assert ask(0.5) == ask(1.0) != tiny_gguf.ANSWER


def test_an_adapter_that_changes_nothing_is_refused(build: Build, open_model: Open, tmp_path: Path) -> None:
    shape = np.zeros((ROWS, WIDTH), np.float32), np.zeros((WIDTH, ROWS), np.float32)
    empty = adapter(tmp_path / "empty.gguf", {"blk.0.attn_q.weight": shape, "blk.0.attn_output.weight": shape})
    model = open_model(build(), adapter=empty)
    for _ in range(2):
        with pytest.raises(ModelBad, match=r"empty\.gguf: the adapter changes nothing") as caught:
            model.generate(QUESTION, max_tokens=3)
        assert caught.value.exit_code == 5 and "--adapter" in caught.value.hint
    assert model.pid is None
    asked = open_model(build(), adapter=empty, adapter_scale=0.0)
    assert asked.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER, "at scale 0 nothing is to be proved"


def test_numbers_that_are_none_are_refused(build: Build, open_model: Open, tmp_path: Path) -> None:
    pair = np.full((ROWS, WIDTH), np.nan, np.float32), np.ones((WIDTH, ROWS), np.float32)
    path = adapter(tmp_path / "nan.gguf", {"blk.0.attn_output.weight": pair})
    with pytest.raises(ModelBad, match="no numbers"):
        open_model(build(), adapter=path).generate(QUESTION, max_tokens=3)


def test_an_adapter_for_another_model_is_refused_at_once(build: Build, open_model: Open, tmp_path: Path) -> None:
    other = shortcut(tmp_path / "other.gguf", build(), steps=3, architecture="qwen2")
    with pytest.raises(ModelBad, match="architecture qwen2") as caught:
        open_model(build(), adapter=other)
    assert caught.value.exit_code == 5
    wide = np.ones((ROWS, WIDTH * 2), np.float32), np.ones((WIDTH, ROWS), np.float32)
    with pytest.raises(ModelBad, match="other dimensions"):
        open_model(build(), adapter=adapter(tmp_path / "wide.gguf", {"blk.0.attn_q.weight": wide}))
    with pytest.raises(ModelBad, match="no adapter"):
        open_model(build(), adapter=build())
    with pytest.raises(ModelMissing):
        open_model(build(), adapter=tmp_path / "none.gguf")


def test_a_model_restarts_with_its_adapter(build: Build, open_model: Open, tail: Path) -> None:
    model = open_model(build(), adapter=tail, worker="late_faulty_model_worker")
    answer = model.generate(QUESTION, max_tokens=64).text
    assert answer and answer != tiny_gguf.ANSWER
    model.close()
    assert model.generate(QUESTION, max_tokens=64).text == answer
