"""Answers that may be one of a few texts alone: the grammar by hand, and models that would say anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_gguf
from hypothesis import given
from hypothesis import strategies as st
from llama.llama_types import Build, Open

from ragcli.errors import ModelFailed
from ragcli.generation.base import Message
from ragcli.llama.choices import LONGEST, MOST, BadChoices, grammar

QUESTION = (Message("system", "Answer yes or no."), Message("user", "Is it guaranteed?"))
YES_NO = ("Yes", "No")
CHINESE = ("是", "否")


def test_the_grammar() -> None:
    assert grammar(YES_NO) == 'root ::= " "? ("Yes" | "No")'
    assert grammar(CHINESE) == 'root ::= " "? ("是" | "否")'
    assert grammar(['a "b" \\n']) == 'root ::= " "? ("a \\"b\\" \\\\n")'


@pytest.mark.parametrize(
    "choices",
    [
        [],
        [""],
        [" Yes"],
        ["Yes\n"],
        ["a\0b"],
        ["\ud83d"],
        ["Yes", "Yes"],
        ["No", "None"],
        ["x" * (LONGEST + 1)],
        [f"{i:02}" for i in range(MOST + 1)],
    ],
)
def test_what_is_no_choice(choices: list[str]) -> None:
    with pytest.raises(BadChoices):
        grammar(choices)


@given(st.text(max_size=LONGEST))
def test_a_text_stays_within_its_quotes(text: str) -> None:
    try:
        rules = grammar([text])
    except BadChoices:
        return
    body = rules.removeprefix('root ::= " "? ("').removesuffix('")')
    assert body.replace('\\"', "").replace("\\\\", "").find('"') == -1
    assert body.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\") == text


@pytest.mark.parametrize("quantize", [None, "Q8_0", "Q4_K_M"])
@pytest.mark.parametrize("choices", [YES_NO, CHINESE, ('it \\ says "24"', "[1] | root", "🚀½")])
def test_a_model_that_says_anything_gives_a_choice(
    build: Build, open_model: Open, quantize: str | None, choices: tuple[str, ...]
) -> None:
    model = open_model(build(answer=None, quantize=quantize))
    for i in range(6):
        pieces: list[str] = []
        made = model.generate(
            [*QUESTION[:1], Message("user", f"{i} of them?")], max_tokens=99, on_text=pieces.append, choices=choices
        )
        assert made.text in choices and "".join(pieces) == made.text
        assert made.stopped == "end"
        assert 0 < made.completion_tokens <= len(made.text.encode()) + 1


@pytest.mark.parametrize("family", sorted(tiny_gguf.FAMILIES))
@pytest.mark.parametrize("choices", [YES_NO, CHINESE])
def test_every_family_gives_a_choice(build: Build, open_model: Open, family: str, choices: tuple[str, ...]) -> None:
    model = open_model(build(family=family))  # would say something else
    asked = QUESTION if family not in ("gemma", "gemma2", "gemma-user-defined") else QUESTION[1:]
    assert model.generate(asked, max_tokens=16, choices=choices).text in choices


def test_chance_decides_between_them(build: Build, open_model: Open) -> None:
    model = open_model(build(answer=None))
    said = [
        model.generate(QUESTION, max_tokens=16, temperature=5.0, seed=seed, choices=YES_NO).text for seed in range(40)
    ]
    assert set(said) == set(YES_NO)


def test_a_limit_cuts_a_choice_off(build: Build, open_model: Open) -> None:
    made = open_model(build(answer=None)).generate(QUESTION, max_tokens=2, choices=("Yesterday", "Tomorrow"))
    assert made.stopped == "length"
    assert any(choice.startswith(made.text) for choice in ("Yesterday", "Tomorrow"))


def test_refused_choices_raise_and_the_model_goes_on(build: Build, open_model: Open) -> None:
    model = open_model(build())
    with pytest.raises(ModelFailed, match="another choice begins with 'No'"):
        model.generate(QUESTION, max_tokens=8, choices=("No", "None"))
    assert model.generate(QUESTION, max_tokens=8, choices=YES_NO).text in YES_NO
    assert model.generate(QUESTION, max_tokens=64).text == tiny_gguf.ANSWER


def test_a_choice_that_the_vocabulary_cannot_write_is_refused(build: Build, open_model: Open, tmp_path: Path) -> None:
    """llama.cpp would abort where no token is left to go on with."""
    data = build(answer=None).read_bytes()
    token = b"\x02\0\0\0\0\0\0\0%b"  # length and text
    first, other = "是".encode()[:1].decode("latin-1").encode(), "Ɓ".encode()  # which is no byte's letter
    assert data.count(token % first) == 1
    lacking = tmp_path / "lacking.gguf"
    lacking.write_bytes(data.replace(token % first, token % other))
    model = open_model(lacking)
    with pytest.raises(ModelFailed, match="no tokens for '是'"):
        model.generate(QUESTION, max_tokens=8, choices=CHINESE)
    assert model.generate(QUESTION, max_tokens=8, choices=YES_NO).text in YES_NO
