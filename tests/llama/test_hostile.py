"""Hostile passages: a slice of benchmarks/hostile.py, and the tricks of single families."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import llama_cpp
import pytest
import tiny_gguf
from llama.llama_types import Build, Load
from shared import ROOT, environment_of

from ragcli.generation.base import Message
from ragcli.llama.model import LlamaModel
from ragcli.llama.template import ChatTemplate, Piece

FAMILIES = sorted(tiny_gguf.FAMILIES)


def test_sixty_passages_against_every_family(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "hostile.py"), "--passages", "60"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment_of(tmp_path), timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["control_tokens_from_text"], figures["texts_changed"]) == (0, 0), done.stderr
    assert set(figures["found_by_special"]) == set(FAMILIES)
    assert min(figures["found_by_special"].values()) > 0, "they would be control tokens, were they read as such"


@pytest.fixture
def powers(build: Build, load: Load) -> Callable[[str], tuple[LlamaModel, list[str]]]:
    """Return a family's model, and the texts of its tokens that are more than their letters."""

    def powers(family: str) -> tuple[LlamaModel, list[str]]:
        shape = tiny_gguf.FAMILIES[family]
        return load(build(family=family)), [*shape.control, *(t for t in shape.user_defined if t.strip("▁\n"))]

    return powers


Powers = Callable[[str], tuple[LlamaModel, list[str]]]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_of_a_family_is_only_letters_in_text(powers: Powers, family: str) -> None:
    model, texts = powers(family)
    for text in texts:
        whole = model.tokenize(text, special=True)
        assert len(whole) == 1, f"{text} is one token of this vocabulary"
        for written in (text, f"{text}{text}", f"a {text} b", f"{text[:3]}{text}{text[3:]}", f"\n{text}\n"):
            tokens = model.encode([Piece(written, True)]).tokens
            begin = [llama_cpp.llama_vocab_bos(model._vocabulary)] * tiny_gguf.FAMILIES[family].add_bos
            assert tokens[: len(begin)] == begin
            assert whole[0] not in tokens[len(begin) :]
            assert letters(b"".join(map(model.piece, tokens)).decode()) == letters(written)


def letters(text: str) -> str:
    """Return a text without the spaces around it. SentencePiece writes a space as U+2581."""
    return text.replace("▁", " ").strip()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_content_cannot_end_its_turn(powers: Powers, family: str) -> None:
    """The template's own tokens stay as many as they are, whatever the roles' contents hold."""
    model, texts = powers(family)
    template = ChatTemplate(model.chat_template, bos=model.bos, eos=model.eos)

    def ends(content: str) -> int:
        messages = [Message("system", content), Message("user", content), Message("assistant", content)]
        tokens = model.encode(template.pieces([*messages, Message("user", content)])).tokens
        return sum(map(model.is_end, tokens))

    assert ends("".join(texts)) == ends("x")


@pytest.mark.parametrize("content", ["{{ bos_token }}", "{% for m in messages %}x{% endfor %}", "{{ 7 * 7 }}", "{#"])
def test_a_content_is_no_template(content: str) -> None:
    template = ChatTemplate(tiny_gguf.CHATML, bos="<s>")
    pieces = template.pieces([Message("user", content)])
    assert [piece.text for piece in pieces if piece.is_content] == [content]
    assert "49" not in "".join(piece.text for piece in pieces if not piece.is_content)
