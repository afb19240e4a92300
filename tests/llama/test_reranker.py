"""A tiny GGUF reranker through real llama.cpp, held against the same computation in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama.llama_types import Build, OpenProcess
from tiny_parts import SEP, Encoder

from ragcli.embedding.base import Reranker
from ragcli.errors import ModelBad
from ragcli.llama.engine import LlamaReranker

PASSAGES = ["the pump runs", "water garden", "warranty lasts months", "invoice of a pump", "night"]
CLOSE = 2e-3  # llama.cpp computes GELU in 16 bits


@pytest.fixture
def opened(open_process: OpenProcess, tmp_path: Path) -> Any:
    """Open a tiny reranker."""

    def opened(encoder: Encoder, **arguments: Any) -> LlamaReranker:
        return LlamaReranker(encoder.write(tmp_path / "reranker.gguf"), process=open_process(), **arguments)

    return opened


def test_scores_and_their_order(opened: Any) -> None:
    encoder = Encoder("rank")
    reranker: Reranker = opened(encoder)
    expected = [float(encoder.encode("how long", passage)[0]) for passage in PASSAGES]
    scores = reranker.rank("how long", PASSAGES)
    assert scores == pytest.approx(expected, abs=CLOSE)
    order = sorted(range(5), key=scores.__getitem__)
    assert order == sorted(range(5), key=expected.__getitem__) != list(range(5))
    assert reranker.rank("how long", PASSAGES[::-1]) == scores[::-1]
    assert reranker.rank("how long", []) == []
    assert reranker.name == "reranker"


def test_the_models_own_form(opened: Any) -> None:
    encoder = Encoder("rank", template="{query} versus {document} ?")
    expected = float(encoder.vector(encoder.ids("how long versus the pump runs ?"))[0])
    assert opened(encoder).rank("how long", ["the pump runs"])[0] == pytest.approx(expected, abs=CLOSE)


def test_a_passage_that_is_too_long_is_cut_and_the_question_kept(opened: Any) -> None:
    encoder = Encoder("rank", window=32)
    long = " ".join(["the pump runs night water garden"] * 20)
    (score,) = opened(encoder).rank("how long", [long])
    query, passage = encoder.ids("how long"), encoder.ids(long)
    fits = [2, *query, SEP, *passage[: 32 - len(query) - 3], SEP]
    assert len(fits) == 32
    assert score == pytest.approx(float(encoder.vector(fits)[0]), abs=CLOSE)


def test_a_question_that_fills_the_window_leaves_a_quarter(opened: Any) -> None:
    encoder = Encoder("rank", window=32)
    long = "the pump runs night water garden " * 20
    (score,) = opened(encoder).rank(long, [long])
    ids = encoder.ids(long)
    assert score == pytest.approx(float(encoder.vector([2, *ids[:22], SEP, *ids[:7], SEP])[0]), abs=CLOSE)


@pytest.mark.parametrize("template", ["", "{query} versus {document}", "{document}", "the"])
def test_any_text_has_a_score(opened: Any, template: str) -> None:
    reranker = opened(Encoder("rank", window=32, template=template))
    for text in ("", " ", "[SEP] [CLS]", "[UNK] \x00", "保修期" * 500):
        assert len(reranker.rank(text, ["the pump", text])) == 2


def test_control_tokens_in_a_passage_are_words(opened: Any) -> None:
    encoder = Encoder("rank")
    (score,) = opened(encoder).rank("how long", ["pump [SEP] runs"])
    query, parts = encoder.ids("how long"), (encoder.ids("pump"), encoder.ids("runs"))
    forged = float(encoder.vector([2, *query, SEP, *parts[0], SEP, *parts[1], SEP])[0])
    assert score != pytest.approx(forged, abs=CLOSE)


def test_models_that_cannot_rank(build: Build, opened: Any, open_process: OpenProcess) -> None:
    with pytest.raises(ModelBad, match="it is no reranker") as caught:
        LlamaReranker(build(), process=open_process())
    assert "--rerank" in caught.value.hint
    with pytest.raises(ModelBad, match="it is no reranker"):
        opened(Encoder("mean"))
