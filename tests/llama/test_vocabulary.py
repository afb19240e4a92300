"""Tokens made in the parent are those that llama.cpp makes, one by one: every kind of words, every character."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from llama.llama_types import Build, Load

from ragcli.llama.gguf import inspect
from ragcli.llama.merges import byte_letters, ranked
from ragcli.llama.model import LlamaModel
from ragcli.llama.template import Piece, with_spaces_in_front
from ragcli.llama.vocabulary import _LONG_RUN, _PATTERNS, Vocabulary

LETTERS = byte_letters()
MARKERS = ("<start_of_turn>", "<think>", "<|fim_prefix|>", "<|fim_pad|>", "<|file_sep|>", "  ", "a<", "</s>")
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FRAGMENTS = (
    *(" ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", "\u3000", "\u00a0", "\u2028", "\x85", "\x0b", "\x1c", "\x00"),
    *("'s", "'S", "'\u017f", "'Re", "'ll", "''", "'", "1", "12", "1234567", "٣", "Ⅷ", "½", "a", "B", "é", "e\u0301"),
    *(
        "ß",
        "ﬁ",
        "中",
        "中文字",
        "한국",
        "日本",
        "กำ",
        "हिन्दी",
        "\u0300",
        "\u20dd",
        ".",
        "...",
        "!?",
        "-",
        "—",
        "$",
        "€",
    ),
    *("<", ">", "|", "<|", "|>", "_", "\ud83d", "\ufeff", "\u200b", "😀", "👩‍👩‍👧", "🏳️‍🌈", "👍🏽", "1️⃣", "\U000f0000"),
    *("\U00010d4a", "\U0002ebf0", "\U00016d70", "warranty", " the", "user", "assistant", "=====", *CONTROL, *MARKERS),
)
PIECES = st.lists(
    st.builds(
        Piece,
        st.text(max_size=40) | st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join),
        st.booleans(),
    ),
    max_size=4,
)

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write the smallest model with a byte-level vocabulary of these merges."""

    def write(
        merges: Sequence[str],
        pre: str = "gpt-2",
        control: Sequence[str] = CONTROL,
        markers: Sequence[str] = (),
        letters: Sequence[str] = LETTERS,
        **numbers: int | bool,
    ) -> Path:
        tokens = list(dict.fromkeys([*letters, *(merge.replace(" ", "") for merge in merges)]))
        types = [1] * len(tokens) + [3] * len(control) + [4] * len(markers)
        path = tmp_path_factory.mktemp("vocabulary") / "model.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_context_length(512)
        writer.add_embedding_length(32)
        writer.add_block_count(1)
        writer.add_feed_forward_length(32)
        writer.add_head_count(1)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list([*tokens, *control, *markers])
        writer.add_token_types(types)
        writer.add_token_merges(list(merges))
        for name, number in numbers.items():
            if isinstance(number, bool):
                writer.add_bool(f"tokenizer.ggml.{name}", number)
            else:
                writer.add_uint32(f"tokenizer.ggml.{name}", number)
        shapes = {"token_embd": (len(types), 32), "output": (len(types), 32), "output_norm": (32,)}
        shapes |= {f"blk.0.attn_{n}": (32, 32) for n in ("q", "k", "v", "output")}
        shapes |= {f"blk.0.ffn_{n}": (32, 32) for n in ("gate", "up", "down")}
        shapes |= {f"blk.0.{n}_norm": (32,) for n in ("attn", "ffn")}
        for name, shape in shapes.items():
            writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def read(path: Path) -> Vocabulary:
    """Return the vocabulary of a file that has one."""
    vocabulary = Vocabulary.read(inspect(path))
    assert vocabulary is not None
    return vocabulary


def differences(vocabulary: Vocabulary, model: LlamaModel, prompts: Sequence[Sequence[Piece]]) -> list[str]:
    """Return the prompts that are counted otherwise."""
    return [ascii(p) for p in prompts if vocabulary.encode(p) != model.encode(p).tokens]


def mixed(seed: int, count: int) -> Iterator[list[Piece]]:
    """Give prompts of fragments and of any characters."""
    chance = random.Random(seed)
    for _ in range(count):
        parts = [chance.choice(FRAGMENTS) * chance.choice((1, 1, 2, 5)) for _ in range(chance.randint(1, 20))]
        any_character = "".join(chr(chance.randrange(0xD7FF)) for _ in range(chance.randint(0, 10)))
        yield [Piece("".join(parts), chance.random() < 0.7), Piece(any_character, True)]


@pytest.mark.parametrize("add_bos", [False, True])
def test_the_tokens_are_those_of_llama_cpp(build: Build, load: Load, add_bos: bool) -> None:
    path = build(markers=MARKERS, add_bos=add_bos)
    vocabulary, model = read(path), load(path)

    @settings(max_examples=400, deadline=None)
    @given(PIECES)
    def check(pieces: list[Piece]) -> None:
        tokens = model.encode(pieces).tokens
        assert vocabulary.encode(pieces) == tokens
        assert vocabulary.count(pieces) == len(tokens)

    check()


@pytest.mark.parametrize("family", [name for name, f in tiny_gguf.FAMILIES.items() if f.vocabulary == "bpe"])
def test_families(build: Build, load: Load, family: str) -> None:
    path = build(family=family, answer=None)  # an answer's pieces would be tokens that no merges lead to
    if tiny_gguf.FAMILIES[family].pre in _PATTERNS:
        assert differences(read(path), load(path), list(mixed(1, 400))) == []
    else:
        assert Vocabulary.read(inspect(path)) is None


BORDERS = [f"{side} {letter}" for side in "x1! '" for letter in LETTERS]
BORDERS = [b.replace("  ", "Ġ ") for b in BORDERS] + [f"{x} {s}" for s in "x1!" for x in LETTERS if x not in "x1!Ġ'"]
"""Merges by which tokens show where words are cut: there is one for whatever stands at a cut."""


@pytest.mark.parametrize("pre", sorted(_PATTERNS))
def test_every_kind_of_words(write: Write, load: Load, pre: str) -> None:
    path = write(BORDERS, pre, markers=MARKERS)
    assert differences(read(path), load(path), list(mixed(2, 100))) == []


def characters() -> Iterator[str]:
    """Give the first characters of each category, and those at which letters, numbers or marks begin or end."""
    seen = Counter[str]()
    kind = ""
    for character in map(chr, range(0x110000)):
        category = unicodedata.category(character)
        seen[category] += 1
        if category != "Cs" and (seen[category] < 9 or kind != category[0] in "LNMZ" or ord(character) % 9973 == 0):
            yield character
        kind = category[0]


@pytest.mark.parametrize("pre", sorted({pattern: pre for pre, pattern in _PATTERNS.items()}.values()))
def test_every_kind_of_character(write: Write, load: Load, pre: str) -> None:
    path = write(BORDERS, pre)
    texts = [f"x{c}x {c}x1{c}1!{c}!{c}{c}\n{c} {c}  {c}" for c in characters()]
    lines = ["\nx".join(texts[i : i + 100]) for i in range(0, len(texts), 100)]
    assert differences(read(path), load(path), [[Piece(line, True)] for line in lines]) == []


def joined_by_the_list(text: str, merges: Sequence[str]) -> list[str]:
    """Return the tokens of one word, as llama.cpp makes them: the first pair in the list goes first."""
    ranks = {tuple(merge.split(" ")): i for i, merge in reversed(list(enumerate(merges)))}
    parts = list(text)
    while pairs := [(ranks[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in ranks]:
        _, at = min(pairs)
        parts[at : at + 2] = ["".join(parts[at : at + 2])]
    return parts


@st.composite
def merge_lists(draw: st.DrawFn) -> list[str]:
    """Make lists of merges as training makes them, and others: with pairs left out, added, or in another order."""
    known = ["a", "b", "c"]
    merges: list[str] = []
    for _ in range(draw(st.integers(1, 12))):
        first, second = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        if f"{first} {second}" not in merges:
            merges.append(f"{first} {second}")
            known.append(first + second)
    return draw(st.permutations(merges)) if draw(st.booleans()) else merges


@settings(max_examples=300, deadline=None)
@given(merge_lists(), st.lists(st.text("abc", min_size=1, max_size=12), max_size=8), st.booleans())
def test_ranks_join_what_the_list_joins(merges: list[str], texts: list[str], whole: bool) -> None:
    from tiktoken import Encoding

    words = {merge.replace(" ", "") for merge in merges} | {"abcabc", "ccc"} if whole else set()
    order = ranked(merges, words)
    if order is None:
        return
    ranks = {text.encode(): i for i, text in enumerate(order) if text.isascii()}
    ranks |= {bytes([b]): i for i, b in enumerate(range(256)) if bytes([b]) not in ranks}
    ranks = {text: i for i, text in enumerate(ranks)}
    encoding = Encoding("test", pat_str="[abc]+", mergeable_ranks=ranks, special_tokens={})
    for text in [*texts, *(merge.replace(" ", "") for merge in merges)]:
        expected = [text] if text in words else joined_by_the_list(text, merges)
        assert [encoding.decode([t]) for t in encoding.encode_ordinary(text)] == expected


def test_most_lists_as_trained_can_be_ranked() -> None:
    assert ranked(["a b", "ab c", "c c"]) == [*LETTERS, "ab", "abc", "cc"]
    assert ranked(["a b", "b c", "ab c", "a bc"]) == [*LETTERS, "ab", "bc", "abc"]
    assert ranked(["a b", "b c", "a bc"]) == [*LETTERS, "ab", "bc"], "no text becomes abc"
    assert ranked(["a b", "b c", "a bc"], ["abc"]) is None, "alone it does, but tiktoken would make it elsewhere, too"
    assert ranked(["b c", "a b"], ["cba"]) == [*LETTERS, "bc", "ab", "cba"]
    assert ranked(["a b", "b c", "a bc", "c c", "ab c"]) is None, "abc has two ranks"
    assert ranked(["a  b"]) is None and ranked(["ab"]) is None


def test_a_word_that_is_a_token_needs_no_merges(write: Write, load: Load) -> None:
    merges = ["a b", "c d", "ab cd"]
    for pre in ("llama-bpe", "qwen2"):
        path = write(merges, pre, control=[*CONTROL, "xyz"])
        vocabulary, model = read(path), load(path)
        prompts = [
            [Piece(text, content)] for text in ("abcd xyz", "xyz", "abcde", "<xyz>") for content in (True, False)
        ]
        assert differences(vocabulary, model, prompts) == []


@pytest.mark.parametrize("ends", [{}, {"eos_token_id": 300}, {"bos_token_id": 257, "add_bos_token": True}])
@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "glm4", "chatglm-bpe"])
def test_what_begins_and_ends(write: Write, load: Load, pre: str, ends: dict[str, int]) -> None:
    """Where the file names no token for an end, llama.cpp takes number 11, whatever it is."""
    path = write(
        [f"a {x}" for x in LETTERS[33:120]], pre, markers=("<|message|>", "<|end|>", "<|return|>", "<|call|>"), **ends
    )
    vocabulary, model = read(path), load(path)
    texts = ["", LETTERS[11], "a" + LETTERS[45], "<|end|>", "<|call|><|return|>", "x<|message|>y", "<|endoftext|>a"]
    assert differences(vocabulary, model, [[Piece(t, c)] for t in texts for c in (True, False)]) == []


def test_bytes_without_a_token(write: Write, load: Load) -> None:
    path = write(["a b"], letters=[x for i, x in enumerate(LETTERS) if i not in (0xC0, 0xF1, 0x07)])
    prompts = [[Piece(text, True)] for text in ("a\x07b", "\U00040000x", "\U00050001", "ab")]
    assert differences(read(path), load(path), prompts) == []


def test_vocabularies_that_only_llama_cpp_can_count(build: Build, write: Write) -> None:
    assert Vocabulary.read(inspect(build(vocabulary="spm"))) is None
    assert Vocabulary.read(inspect(write(["a b"], "tekken"))) is None
    assert Vocabulary.read(inspect(write(["a b", "b c", "a c", "c c", "ab c", "b b", "a bc"]))) is None
    assert Vocabulary.read(inspect(write(["a b"], markers=["<ab", "b>a", "xx"]))) is None, "<ab>a is one or the other"
    assert Vocabulary.read(inspect(write(["a b"], markers=["<PRE>", "<fim_prefix>"]))) is None
    info = inspect(write(["a b"]))
    named = replace(info, metadata={**info.metadata, "general.name": "Phi-3 mini"})
    assert Vocabulary.read(named) is None, "its tokens take white space with them"
    assert Vocabulary.read(info) is not None


def test_very_long_runs(build: Build, load: Load) -> None:
    path = build()
    vocabulary, model = read(path), load(path)
    runs = ("a", "的", "1", "=", "\n", "a ", "e\u0301", "=\n")
    assert differences(vocabulary, model, [[Piece(run * 30_000, True)] for run in runs]) == []
    assert vocabulary.count([Piece("a" + " " * 90_000 + "b", True)]) is not None
    assert vocabulary.count([Piece("a" + " " * 2_000_000 + "b", True)]) is None, "tiktoken would run out of stack"
    assert _LONG_RUN.search("\u3000" * 100_000)


def test_a_space_at_the_end_moves_to_the_next_piece() -> None:
    pieces = [Piece("a ", False), Piece(" b", True), Piece(" ", False), Piece("c ", True)]
    assert list(with_spaces_in_front(pieces)) == [(0, "a", False), (1, "  b", True), (3, " c ", True)]
