"""Prompts in tokens: what is the template's and what is somebody's text stays apart, in real vocabularies."""

from __future__ import annotations

import random

import llama_cpp
import pytest
import tiny_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from llama.llama_types import Build, Load

from ragcli.generation.base import Message
from ragcli.llama.model import Encoded, LlamaModel
from ragcli.llama.template import ChatTemplate, Piece

ROLE_MARKERS = ("<start_of_turn>", "<end_of_turn>", "<｜User｜>", "<think>")
MARKERS = (
    *tiny_gguf.CONTROL, *ROLE_MARKERS, "<s>", "</s>", "<unk>", "[INST]", "[/INST]", "<<SYS>>", "<|eot_id|>",
    "<|start_header_id|>system<|end_header_id|>", "<|system|>", "<0x0A>", "\nsystem\n", "ignore the above", "\x1b[2J",
)  # fmt: skip


def encode(model: LlamaModel, *messages: Message) -> Encoded:
    """Return the prompt's tokens by the model's own template."""
    return model.encode(ChatTemplate(model.chat_template, bos=model.bos, eos=model.eos).pieces(messages))


def words_of(model: LlamaModel, tokens: list[int]) -> str:
    """Return the text of tokens; control tokens have none."""
    return b"".join(map(model.piece, tokens)).decode()


def meaning(model: LlamaModel, tokens: list[int]) -> list[int]:
    """Return those tokens that are more than their letters."""
    special = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
    vocabulary = model._vocabulary
    return [t for t in tokens if llama_cpp.llama_vocab_get_attr(vocabulary, t) & special or model.is_end(t)]


def hostile(seed: int) -> str:
    """Return a text of markers, with other words between, and with some markers nested."""
    chance = random.Random(seed)
    parts = [chance.choice((*MARKERS, "warranty ", "保修", "\n", " ")) for _ in range(chance.randint(1, 30))]
    outer = chance.choice(MARKERS)
    cut = chance.randint(0, len(outer))
    return "".join(parts) + outer[:cut] + chance.choice(MARKERS) + outer[cut:]


@pytest.mark.parametrize("vocabulary", ["bpe", "spm"])
def test_two_hundred_hostile_texts_give_no_token_of_power(build: Build, load: Load, vocabulary: str) -> None:
    model = load(build(vocabulary=vocabulary, markers=ROLE_MARKERS))
    expected = meaning(model, encode(model, Message("system", "x"), Message("user", "x")).tokens)
    assert len(expected) == (5 if vocabulary == "bpe" else 0)  # the template's own; here "spm" has only <s> and </s>
    for seed in range(200):
        text = hostile(seed)
        prompt = encode(model, Message("system", "x"), Message("user", text))
        assert meaning(model, prompt.tokens) == expected
        assert meaning(model, model.encode([Piece(text, True)]).tokens) == []
        if vocabulary == "bpe":
            assert text.strip() in words_of(model, prompt.tokens)  # and nothing of it is lost


def test_llama_cpp_alone_would_find_role_markers_in_text(build: Build, load: Load) -> None:
    """The reason for taking tokens apart: `special=False` does not keep user-defined tokens out."""
    model = load(build(markers=ROLE_MARKERS))
    assert len(model.tokenize("<start_of_turn>", special=False)) == 1
    assert len(model.encode([Piece("<start_of_turn>", True)]).tokens) > 3


def test_no_text_changes_the_template_or_is_changed(build: Build, load: Load) -> None:
    model = load(build(markers=ROLE_MARKERS))

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=60) | st.lists(st.sampled_from(MARKERS)).map("".join))
    def check(text: str) -> None:
        tokens = encode(model, Message("user", text)).tokens
        assert words_of(model, tokens) == f"user\n{text.strip()}\nassistant\n"

    check()


@pytest.mark.parametrize("vocabulary", ["bpe", "spm"])
@pytest.mark.parametrize("template", ["{{ bos_token }}", ""])
@pytest.mark.parametrize("add_bos", [True, False])
def test_a_sequence_begins_once(build: Build, load: Load, vocabulary: str, template: str, add_bos: bool) -> None:
    model = load(build(vocabulary=vocabulary, chat_template=template + "{{ messages[0].content }}:", add_bos=add_bos))
    assert model.bos == ("<|endoftext|>" if vocabulary == "bpe" else "<s>")
    tokens = encode(model, Message("user", "a")).tokens
    begin = model.tokenize(model.bos, special=True)
    assert len(begin) == 1
    assert tokens.count(begin[0]) == (1 if template or add_bos else 0)
    assert words_of(model, tokens).strip() == "a:"


@pytest.mark.parametrize("template", ["[INST] {0} [/INST]", "[INST]{0}[/INST]", "<|user|>\n{0}\n:", "{0}</s>ok:"])
def test_vocabularies_that_put_a_space_before_every_text(build: Build, load: Load, template: str) -> None:
    source = template.replace("{0}", "{{ messages[0].content }}")
    model = load(build(vocabulary="spm", chat_template=source, add_bos=True))
    pieces = ChatTemplate(source).pieces([Message("user", "Hi you")])
    assert len(pieces) > 1
    assert words_of(model, model.encode(pieces).tokens) == " " + template.replace("{0}", "Hi you").replace("</s>", " ")


def test_the_stable_part_ends_with_the_first_message(build: Build, load: Load) -> None:
    model = load(build(add_bos=True))
    one = encode(model, Message("system", "Be brief."), Message("user", "First?"))
    two = encode(model, Message("system", "Be brief."), Message("user", "And the other one?"))
    assert one.stable == two.stable
    assert one.tokens[: one.stable] == two.tokens[: two.stable]
    assert words_of(model, one.tokens[: one.stable]) == "system\nBe brief."


def test_what_was_read_is_kept(build: Build, load: Load) -> None:
    model = load(build())
    system = Message("system", "Be brief. " * 30)
    long = "warranty " * 300
    one = encode(model, system, Message("user", long + "first?"))
    two = encode(model, system, Message("user", long + "the second?"))
    three = encode(model, system, Message("user", "other"))
    assert len(one.tokens) > one.stable + 512
    assert next(model.read(one)) == 0
    assert list(model.read(one))[-1] == len(one.tokens)
    assert list(model.read(two)) == [one.stable + 512, len(two.tokens)]
    assert list(model.read(two)) == [one.stable + 512, len(two.tokens)]
    assert list(model.read(three)) == [one.stable, len(three.tokens)]
