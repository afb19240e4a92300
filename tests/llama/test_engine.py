"""Whole answers through real llama.cpp, in a real child process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from llama.llama_types import Build, Open

from ragcli.errors import ModelBad, ModelFailed, ModelMissing
from ragcli.generation.base import Generator, Message

QUESTION = (Message("system", "Answer from the passages."), Message("user", "How long is the warranty?"))
CHINESE = "控制器的保修期为二十四个月，自交货之日起计算[1]。"


@pytest.mark.parametrize("quantize", [None, "Q8_0", "Q4_K_M"])
def test_ten_runs_give_one_answer(build: Build, open_model: Open, quantize: str | None) -> None:
    model = open_model(build(quantize=quantize))
    answers = [model.generate(QUESTION, max_tokens=64) for _ in range(10)]
    assert {a.text for a in answers} == {tiny_gguf.ANSWER}
    assert {a.stopped for a in answers} == {"end"}
    assert {a.prompt_tokens for a in answers} == {model.count_tokens(QUESTION)}
    assert all(a.completion_tokens > 5 and a.tokens_per_s > 0 and a.first_token_ms > 0 for a in answers)
    assert model.load_ms > 0
    assert model.warning == ""


@pytest.mark.parametrize("answer", [CHINESE, "Grüße 🚀 — naïve ½ [1]!"])
def test_characters_that_are_split_over_tokens_come_whole(build: Build, open_model: Open, answer: str) -> None:
    pieces: list[str] = []
    generation = open_model(build(answer=answer)).generate(QUESTION, max_tokens=99, on_text=pieces.append)
    assert generation.text == answer
    assert "".join(pieces) == answer
    assert len(pieces) > 5
    assert generation.completion_tokens > len(pieces)  # some tokens held no whole character


def test_a_limit_ends_the_answer(build: Build, open_model: Open) -> None:
    model = open_model(build(answer=CHINESE))
    answers = [model.generate(QUESTION, max_tokens=n) for n in range(1, 9)]
    assert [a.stopped for a in answers] == ["length"] * 8
    assert [a.completion_tokens for a in answers] == list(range(1, 9))
    assert all(CHINESE.startswith(a.text) for a in answers)  # and so no character is broken


def test_the_context_ends_the_answer(build: Build, open_model: Open) -> None:
    model = open_model(build(endless=True), context_size=256)
    answer = model.generate(QUESTION, max_tokens=10_000)
    assert answer.stopped == "length"
    assert answer.prompt_tokens + answer.completion_tokens == model.context_size == 256


def test_the_context_is_no_longer_than_the_model_was_trained_for(build: Build, open_model: Open) -> None:
    assert open_model(build(context_length=512), context_size=4096).context_size == 512


def test_a_context_larger_than_memory_is_refused(build: Build, open_model: Open) -> None:
    resource = pytest.importorskip("resource")
    path = build(context_length=2**24)  # for which 8 GB are needed
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, before[1]))  # the child inherits it
    try:
        model = open_model(path, context_size=2**24)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    with pytest.raises(ModelFailed, match="no memory for a context of 16777216 tokens") as caught:
        model.generate(QUESTION, max_tokens=8)
    assert "context_size" in caught.value.hint


def test_a_prompt_that_is_too_long_is_refused_and_the_model_goes_on(build: Build, open_model: Open) -> None:
    model = open_model(build(), context_size=256)
    question = [Message("user", "warranty 保修期 " * 400)]
    tokens = model.count_tokens(question)
    with pytest.raises(ModelFailed, match=f"has {tokens} tokens, and the model's context 256") as caught:
        model.generate(question, max_tokens=8)
    assert caught.value.hint
    assert model.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER


def test_what_was_asked_before_changes_nothing(build: Build, open_model: Open) -> None:
    """The memory of an earlier prompt is used again; with random weights any difference would change the text."""
    path = build(answer=None)
    others = [(QUESTION[0], Message("user", "word " * n)) for n in (3, 150, 300)]
    alone = [open_model(path).generate(q, max_tokens=40) for q in (QUESTION, *others)]
    assert len({a.text for a in alone}) == 4
    model = open_model(path)
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 2, 0, 3)):
        for i in order:
            assert model.generate((QUESTION, *others)[i], max_tokens=40).text == alone[i].text


def test_the_system_part_is_not_read_again(build: Build, open_model: Open) -> None:
    model = open_model(build())
    system = Message("system", "Answer from the passages only, and cite each of them. " * 8)
    first = model.generate((system, Message("user", "How long is the warranty?")), max_tokens=5)
    second = model.generate((system, Message("user", "And who repairs it?")), max_tokens=5)
    assert first.reused_tokens == 0
    assert second.prompt_tokens > second.reused_tokens >= model.count_tokens([system]) - 10 > 100
    other = model.generate((Message("system", "Be brief."), Message("user", "And who repairs it?")), max_tokens=5)
    assert other.reused_tokens == 0


def test_the_system_part_can_be_read_ahead(build: Build, open_model: Open) -> None:
    path = build(answer=None)
    system, question = Message("system", "Answer from the passages. " * 90), Message("user", "How long?")
    plain = open_model(path).generate((system, question), max_tokens=20)
    model = open_model(path)
    model.prepare((system, Message("user", "")))
    made = model.generate((system, question), max_tokens=20)
    assert made.prompt_tokens > made.reused_tokens > made.prompt_tokens - 30 > 512
    assert plain.reused_tokens == 0
    assert made.text == plain.text, "to the last bit"
    model.prepare([Message("user", "word " * 9000)])  # longer than the context
    model.prepare([Message("assistant", "x")] * 3)
    assert model.generate((system, question), max_tokens=20).text == plain.text


def test_reading_ahead_hides_no_error(build: Build, open_model: Open, hosts: Path) -> None:
    faulty = open_model(build(), worker="faulty_model_worker")
    faulty.prepare(QUESTION)
    assert faulty.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    broken = hosts.parent.parent / "broken.gguf"
    broken.write_bytes(build().read_bytes().replace(b"blk.0.attn_norm.weight", b"blk.0.attn_nerm.weight"))
    model = open_model(broken)
    model.prepare(QUESTION)
    with pytest.raises(ModelBad, match="attn_norm"):
        model.generate(QUESTION, max_tokens=3)


@pytest.mark.parametrize("device", ["auto", "cpu", "gpu"])
def test_where_it_runs(build: Build, open_model: Open, device: str) -> None:
    model = open_model(build(), device=device)
    assert (model.device, model.warning) == ("", "")
    assert model.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    offloads = model.about()["offload"]
    assert model.device.startswith("gpu (" if offloads and device != "cpu" else "cpu")
    assert ("runs on the CPU" in model.warning) == (device == "gpu" and not offloads)


def test_a_seed_decides_what_chance_gives(build: Build, open_model: Open) -> None:
    model = open_model(build(answer=None))

    def ask(temperature: float, seed: int) -> str:
        return model.generate(QUESTION, max_tokens=30, temperature=temperature, seed=seed).text

    assert ask(1.0, 1) == ask(1.0, 1) != ask(1.0, 2)
    assert ask(1.0, 2**32 - 1) == ask(1.0, 2**32 - 1)  # which means "any" to llama.cpp
    assert ask(0.0, 1) == ask(0.0, 2)


def test_it_is_a_generator(build: Build, open_model: Open) -> None:
    generator: Generator = open_model(build(), name="tiny")
    assert (generator.name, generator.kind, generator.context_size) == ("tiny", "llama.cpp", 4096)


def test_any_text_may_be_asked(build: Build, open_model: Open) -> None:
    model = open_model(build())

    @settings(deadline=None)
    @given(st.text(st.characters(), max_size=200))  # with NUL and lone surrogates
    def ask(text: str) -> None:
        messages = [Message("user", text)]
        assert model.generate(messages, max_tokens=64).text == tiny_gguf.ANSWER

    ask()


@pytest.mark.parametrize("vocabulary", ["bpe", "spm"])
@pytest.mark.parametrize("template", [None, "{{ no end", "{{ raise_exception('no') }}"])
def test_a_model_without_a_usable_template_is_asked_plainly(
    build: Build, open_model: Open, vocabulary: str, template: str | None
) -> None:
    answer = "\n\n  After 24 months\n\nUse: none [1].\n\nUser: and then?"
    pieces: list[str] = []
    model = open_model(build(answer=answer, chat_template=template, vocabulary=vocabulary))
    generation = model.generate(QUESTION, max_tokens=99, on_text=pieces.append)
    assert generation.text == "".join(pieces) == "After 24 months\n\nUse: none [1]."  # and not the next turn
    assert generation.stopped == "end"
    assert "plain form" in model.warning


def test_a_template_may_not_eat_the_memory(build: Build, open_model: Open) -> None:
    bomb = "{% set n = namespace(s='x' * 100000) %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}"
    model = open_model(build(chat_template=bomb))
    assert model.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER
    assert "plain form" in model.warning


def test_a_template_without_an_end_meets_the_deadline(build: Build, open_model: Open) -> None:
    bomb = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"
    with pytest.raises(ModelFailed, match="did not answer within 1 seconds"):
        open_model(build(chat_template=bomb), seconds=1).generate(QUESTION, max_tokens=64)


def test_no_answer_before_it_is_asked_for(build: Build, open_model: Open) -> None:
    start = time.monotonic()
    model = open_model(build())
    assert time.monotonic() - start < 0.5  # it loads in the background
    model.close()
    assert model.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER  # a closed one starts again


def test_a_reader_that_fails_stops_the_model(build: Build, open_model: Open) -> None:
    model = open_model(build(endless=True), context_size=32768)

    def fail(text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        model.generate(QUESTION, max_tokens=30_000, on_text=fail)
    assert model.generate(QUESTION, max_tokens=5).stopped == "length"


def test_files_that_are_no_model(tmp_path: Any, build: Build, open_model: Open) -> None:
    with pytest.raises(ModelMissing, match="no such file"):
        open_model(tmp_path / "none.gguf")
    with pytest.raises(ModelBad, match="not a file"):
        open_model(tmp_path)
    (tmp_path / "text.gguf").write_text("# not a model\n" * 10)
    with pytest.raises(ModelBad, match="no GGUF file"):
        open_model(tmp_path / "text.gguf")
