"""The real English encoder, held against values that its makers' own library gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragcli.embedding.onnx import BULK_TOKENS, OnnxEmbedder
from ragcli.errors import ModelBad
from ragcli.models.catalog import ALL_MINILM_L6_V2, MULTILINGUAL_E5_SMALL
from ragcli.models.store import ModelStore

SENTENCES = ["This is an example sentence", "Each sentence is converted"]
LENGTHS = [f"{'The pump runs in the night. ' * n}It stops at {n}." for n in (1, 30, 3, 12, 0, 25, 7, 2, 18, 5)]


@pytest.fixture
def folder(model_store: ModelStore) -> Path:
    """Where the encoder's files lie."""
    return model_store.require(ALL_MINILM_L6_V2.id).folder


def test_reference_values(embedder: OnnxEmbedder) -> None:
    """The two sentences of the model's card, encoded by sentence-transformers."""
    vectors = embedder.embed_documents(SENTENCES)
    assert vectors.shape == (2, 384) and vectors.dtype == np.float32
    assert np.allclose(vectors[0][:5], [0.0677, 0.0635, 0.0487, 0.0793, 0.0374], atol=5e-5)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.4046, abs=5e-5)


def test_a_query_is_encoded_as_a_passage_is(embedder: OnnxEmbedder) -> None:
    """This encoder has no prefixes."""
    (passage,) = embedder.embed_documents(SENTENCES[:1])
    assert np.allclose(embedder.embed_query(SENTENCES[0]), passage, atol=1e-6)


def test_what_else_is_in_the_batch_changes_nothing(embedder: OnnxEmbedder) -> None:
    alone = np.stack([embedder.embed_documents([text])[0] for text in LENGTHS])
    together = embedder.embed_documents(LENGTHS)
    backwards = embedder.embed_documents(LENGTHS[::-1])[::-1]
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(backwards, alone, atol=1e-5)


def test_many_texts_come_back_in_their_order(embedder: OnnxEmbedder) -> None:
    """From `BULK_TOKENS` on another graph may run; it has to give the same vectors, nearly."""
    texts = [f"{text} Again {n}." for n in range(8) for text in LENGTHS]
    assert sum(map(len, embedder.token_starts(texts))) > BULK_TOKENS
    many = embedder.embed_documents(texts)
    few = np.concatenate([embedder.embed_documents(texts[at : at + 10]) for at in range(0, len(texts), 10)])
    assert float((many * few).sum(axis=1).min()) > 0.995


def test_progress_counts_every_text_once(embedder: OnnxEmbedder) -> None:
    told: list[int] = []
    embedder.embed_documents(LENGTHS, told.append)
    assert sum(told) == len(LENGTHS) and len(told) > 1


def test_no_texts(embedder: OnnxEmbedder) -> None:
    assert embedder.embed_documents([]).shape == (0, 384)


@pytest.mark.parametrize("text", ["", " ", "\n", "\0", "\ud800", "😀", "x" * 5000, "盐" * 5000])
def test_any_query_has_a_vector(embedder: OnnxEmbedder, text: str) -> None:
    vector = embedder.embed_query(text)
    assert vector.shape == (384,)
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)


def test_what_does_not_fit_into_the_window_is_left_out_of_a_query(embedder: OnnxEmbedder) -> None:
    fitting = "pump " * embedder.window
    assert np.array_equal(embedder.embed_query(fitting + "valve"), embedder.embed_query(fitting))
    assert not np.array_equal(embedder.embed_query(fitting), embedder.embed_query("pump"))


def test_a_passage_that_does_not_fit_is_refused(embedder: OnnxEmbedder) -> None:
    assert len(embedder.embed_documents(["pump " * embedder.window])) == 1
    with pytest.raises(AssertionError, match="257 tokens in a window of 256"):
        embedder.embed_documents(["pump " * (embedder.window + 1)])


def test_window(embedder: OnnxEmbedder) -> None:
    assert embedder.window == 254  # 256, less the two tokens that every text is wrapped in
    assert (embedder.dimension, embedder.floor) == (384, 0.0)


def test_token_starts(embedder: OnnxEmbedder) -> None:
    assert embedder.token_starts(["The VC-8", "", "é阀 x", "unbelievably"]) == [
        [0, 4, 6, 7],
        [],
        [0, 1, 3],
        [0, 2, 5, 7, 9],  # un ##bel ##ie ##va ##bly
    ]


@settings(deadline=None)
@given(texts=st.lists(st.text(), max_size=4))
def test_token_starts_go_forward(embedder: OnnxEmbedder, texts: list[str]) -> None:
    for text, starts in zip(texts, embedder.token_starts(texts), strict=True):
        assert starts == sorted(starts)
        assert all(0 <= start < len(text) for start in starts)


@pytest.mark.parametrize(
    ("text", "share"), [("pump", 1.0), ("水泵", 0.0), ("", 1.0), ("42", 1.0), ("насос", 0.0), ("abc阀", 0.5)]
)
def test_an_english_encoder_reads_latin_letters(embedder: OnnxEmbedder, text: str, share: float) -> None:
    assert embedder.reads(text) == share


def test_a_multilingual_encoder_reads_everything(folder: Path) -> None:
    many = OnnxEmbedder(folder, MULTILINGUAL_E5_SMALL, "fingerprint")
    assert many.reads("水泵") == 1.0


def test_prefixes_are_put_before_the_text_and_taken_off_the_window(embedder: OnnxEmbedder, folder: Path) -> None:
    """E5's way with MiniLM's weights: what is encoded is the text with its prefix."""
    many = OnnxEmbedder(folder, MULTILINGUAL_E5_SMALL, "fingerprint")
    assert many.window == 512 - 4  # [CLS] passage : [SEP]
    assert np.allclose(many.embed_query("pump"), embedder.embed_query("query: pump"), atol=1e-6)
    assert np.allclose(many.embed_documents(["pump"])[0], embedder.embed_query("passage: pump"), atol=1e-6)


@pytest.mark.parametrize("broken", ["tokenizer.json", "encoder.onnx"])
def test_a_broken_file_is_named(folder: Path, tmp_path: Path, broken: str) -> None:
    for path in folder.iterdir():
        if path.name != broken:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / broken).write_bytes(b"{}")
    with pytest.raises(ModelBad) as caught:
        OnnxEmbedder(tmp_path, ALL_MINILM_L6_V2, "fingerprint").embed_query("pump")
    assert "all-minilm-l6-v2" in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hint == "ragcli models verify all-minilm-l6-v2"
