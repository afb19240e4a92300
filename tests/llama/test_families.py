"""The shapes of the model families: each runs in real llama.cpp, in every quantization, and by its own template."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import llama_cpp
import pytest
import tiny_gguf
from llama.llama_types import Build, Load, Open
from shared import ROOT, environment_of

from ragcli.generation.base import Message
from ragcli.llama.gguf import inspect
from ragcli.llama.template import ChatTemplate

CONVERSATION = (
    Message("system", "Be brief."),
    Message("user", "How long?"),
    Message("assistant", "24 months."),
    Message("user", "And seals?"),
)
RENDERED = {
    "llama2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHow long? [/INST] 24 months. </s><s>[INST] And seals? [/INST]",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHow long?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n24 months.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnd seals?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s>[INST] Be brief.\n\nHow long?[/INST] 24 months.</s>[INST] And seals?[/INST]",
    "mistral-nemo": "<s>[INST]How long?[/INST]24 months.</s>[INST]Be brief.\n\nAnd seals?[/INST]",
    "gemma": "<bos><start_of_turn>user\nBe brief.\n\nHow long?<end_of_turn>\n"
    "<start_of_turn>model\n24 months.<end_of_turn>\n<start_of_turn>user\nAnd seals?<end_of_turn>\n"
    "<start_of_turn>model\n",
    "qwen2": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow long?<|im_end|>\n"
    "<|im_start|>assistant\n24 months.<|im_end|>\n<|im_start|>user\nAnd seals?<|im_end|>\n<|im_start|>assistant\n",
    "phi3": "<|system|>\nBe brief.<|end|>\n<|user|>\nHow long?<|end|>\n<|assistant|>\n24 months.<|end|>\n"
    "<|user|>\nAnd seals?<|end|>\n<|assistant|>\n",
    "deepseek": "<｜begin▁of▁sentence｜>Be brief.<｜User｜>How long?<｜Assistant｜>24 months."
    "<｜end▁of▁sentence｜><｜User｜>And seals?<｜Assistant｜>",
}
"""What the families' own templates make of the conversation, as their makers describe it."""
SHAPES = ("llama3", "mistral", "gemma", "gemma2", "qwen2")


@pytest.mark.parametrize("quantize", [None, "Q8_0", "Q4_K_M"])
@pytest.mark.parametrize("family", SHAPES)
def test_every_shape_answers_in_every_quantization(
    build: Build, open_model: Open, family: str, quantize: str | None
) -> None:
    path = build(family=family, quantize=quantize)
    model = open_model(path, context_size=512)
    made = model.generate(CONVERSATION, max_tokens=64)
    assert (made.text, made.stopped, model.warning) == (tiny_gguf.ANSWER, "end", "")


@pytest.mark.parametrize("family", sorted(set(tiny_gguf.FAMILIES) - set(SHAPES)))
def test_every_family_answers(build: Build, open_model: Open, family: str) -> None:
    model = open_model(build(family=family), context_size=512)
    made = model.generate(CONVERSATION, max_tokens=64)
    assert (made.text, made.stopped, model.warning) == (tiny_gguf.ANSWER, "end", "")


@pytest.mark.parametrize("family", SHAPES)
def test_the_file_says_what_it_is(build: Build, family: str) -> None:
    info = inspect(build(family=family))
    shape = tiny_gguf.FAMILIES[family]
    assert (info.architecture, info.chat_template) == (shape.architecture, shape.template)


@pytest.mark.parametrize("family", sorted(RENDERED))
def test_conversations_in_the_families_own_form(family: str) -> None:
    shape = tiny_gguf.FAMILIES[family]
    template = ChatTemplate(shape.template, bos=shape.begin, eos=shape.end)
    assert template.warning == ""
    assert "".join(piece.text for piece in template.pieces(CONVERSATION)) == RENDERED[family]


@pytest.mark.parametrize("family", sorted(tiny_gguf.FAMILIES))
def test_a_templates_markers_are_tokens(build: Build, load: Load, family: str) -> None:
    shape = tiny_gguf.FAMILIES[family]
    model = load(build(family=family))
    assert (model.bos, model.eos) == (shape.begin, shape.end)
    tokens = model.encode(ChatTemplate(model.chat_template, bos=model.bos, eos=model.eos).pieces(CONVERSATION)).tokens
    begin = llama_cpp.llama_vocab_bos(model._vocabulary)
    known = [token for token in (*shape.control, *shape.user_defined) if token.strip("\n▁") and "<td" not in token]
    template = (shape.template or "").replace("{role}", "")
    used = [model.tokenize(m, special=True) for m in known if m in template and m != shape.begin]
    assert all(len(found) == 1 and found[0] in tokens for found in used)
    assert used or family in ("llama2", "phi3")  # whose markers are plain text, or are put together from the role
    assert tokens[0] == begin or not shape.add_bos


@pytest.mark.parametrize("family", ["mistral", "qwen2"])
def test_random_weights_of_other_shapes(build: Build, open_model: Open, family: str) -> None:
    model = open_model(build(answer=None, family=family), context_size=512)
    texts = {model.generate([Message("user", word)], max_tokens=12).text for word in ("warranty", "seals", "invoice")}
    assert len(texts) == 3


def test_the_script_writes_them(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "make_tiny_models.py"), str(tmp_path / "m"), "--family", "gemma"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment_of(tmp_path), timeout=60)
    assert done.returncode == 0, done.stderr
    names = ["gemma-F16.gguf", "gemma-Q8_0.gguf", "gemma-Q4_K_M.gguf"]
    assert [Path(line).name for line in done.stdout.splitlines()] == names
    sizes = [(tmp_path / "m" / name).stat().st_size for name in names]
    assert sizes == sorted(sizes, reverse=True)
