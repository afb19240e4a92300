"""Prompts are counted in the parent while the child still loads, and never otherwise than the child counts."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama.llama_types import Build, Open
from llama.test_supervision import child_of

from ragcli.errors import ModelFailed
from ragcli.generation.base import Message
from ragcli.llama.counting import PromptCounter
from ragcli.llama.engine import LlamaGenerator
from ragcli.llama.gguf import inspect

SYSTEM, QUESTION, ANSWER = (Message("system", " Be brief. "), Message("user", "How long?"), Message("assistant", "24."))
MARKERS = ("<start_of_turn>", "<think>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "\n", " ", "保修", "ü", "a")


def asked(model: LlamaGenerator, messages: list[Message]) -> int:
    """Return what the child counts."""
    rows = [{"role": m.role, "content": m.content} for m in messages]
    return int(model._model.ask({"do": "count", "messages": rows})[0]["tokens"])


@pytest.mark.parametrize("add_bos", [True, False])
def test_the_parent_counts_what_the_child_counts(build: Build, open_model: Open, add_bos: bool) -> None:
    model = open_model(build(add_bos=add_bos, markers=MARKERS[:2]))
    for messages in ([QUESTION], [SYSTEM], [SYSTEM, QUESTION], [SYSTEM, QUESTION, ANSWER, QUESTION]):
        assert model._counter.count(messages) in (None, asked(model, messages))
        assert model.count_tokens(messages) == asked(model, messages)
    assert model._counter.count([SYSTEM, QUESTION]) == asked(model, [SYSTEM, QUESTION])

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.text(max_size=20) | st.lists(st.sampled_from(MARKERS)).map("".join), min_size=3, max_size=3))
    def check(texts: list[str]) -> None:
        messages = [Message("system", texts[0]), Message("user", texts[1]), ANSWER, Message("user", texts[2])]
        assert model._counter.count(messages) == asked(model, messages)

    check()


def test_it_counts_while_the_model_loads(build: Build, open_model: Open) -> None:
    model = open_model(build(), worker="slow_model_worker")
    counts = [model.count_tokens([SYSTEM, Message("user", "word " * n)]) for n in (1, 2, 3)]
    assert model.load_ms == 0, "nobody waited for it"
    assert counts[0] < counts[1] < counts[2]
    assert model.generate([SYSTEM, Message("user", "word " * 3)], max_tokens=3).prompt_tokens == counts[2]
    assert model.load_ms > 1000


def test_other_vocabularies_are_counted_by_the_child(build: Build, open_model: Open) -> None:
    model = open_model(build(vocabulary="spm"))
    assert model.count_tokens([SYSTEM, QUESTION]) == asked(model, [SYSTEM, QUESTION])
    assert model._counter.count([SYSTEM, QUESTION]) is None
    assert model.load_ms > 0


def test_a_sequence_that_was_not_foreseen_is_counted_by_the_child(build: Build, open_model: Open) -> None:
    model = open_model(build())
    messages = [SYSTEM, QUESTION, QUESTION, SYSTEM]
    assert model._counter.count(messages) is None
    assert model.count_tokens(messages) == asked(model, messages)


def test_a_template_that_refuses_a_sequence_is_an_error(build: Build, open_model: Open) -> None:
    template = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('no such order') }}{% endif %}{{ m.content }}\n{% endfor %}"
    )
    model = open_model(build(chat_template=template))
    assert model.count_tokens([QUESTION, ANSWER, QUESTION]) == asked(model, [QUESTION, ANSWER, QUESTION])
    with pytest.raises(ModelFailed, match="no such order"):
        model.count_tokens([QUESTION, QUESTION])


def test_what_differs_is_counted_by_the_child_from_then_on(build: Build, open_model: Open) -> None:
    model = open_model(build())
    counter = model._counter
    assert counter.request is not None
    assert model.count_tokens([SYSTEM, QUESTION]) == asked(model, [SYSTEM, QUESTION])
    counter.learn({"templates": [[["another template", None], ["", 0]] for _ in counter.request["roles"]]})
    assert model.count_tokens([SYSTEM, QUESTION]) != asked(model, [SYSTEM, QUESTION])
    model.generate([SYSTEM, QUESTION], max_tokens=3)
    assert model.count_tokens([SYSTEM, QUESTION]) == asked(model, [SYSTEM, QUESTION])
    assert not counter.works


def test_a_child_that_dies_before_it_answers_for_the_template(build: Build, open_model: Open) -> None:
    model = open_model(build())
    os.kill(child_of(model), signal.SIGKILL)
    with pytest.raises(ModelFailed, match="SIGKILL"):
        model.count_tokens([SYSTEM, QUESTION])
    assert model.count_tokens([SYSTEM, QUESTION]) > 10


def test_a_file_that_names_no_end_is_counted_by_the_child(build: Build) -> None:
    info = inspect(build())
    assert PromptCounter(info).request is not None
    metadata = {key: value for key, value in info.metadata.items() if key != "tokenizer.ggml.eos_token_id"}
    for other in (metadata, {**metadata, "tokenizer.ggml.eos_token_id": 1 << 30}):
        counter = PromptCounter(replace(info, metadata=other))
        assert counter.request is None and not counter.works
        assert counter.count([QUESTION]) is None
