"""Tiny GGUF encoders through real llama.cpp, held against the same computation in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_parts import WIDTH, Encoder

from ragcli.chunking import chunk
from ragcli.embedding.base import Embedder
from ragcli.errors import ModelBad
from ragcli.llama import embedder as gguf
from ragcli.llama.embedder import GgufEmbedder
from ragcli.llama.gguf import inspect
from ragcli.llama.process import LlamaProcess
from ragcli.records import Block, Document

WORDS = ["the", "pump", "runs", "night", "water", "garden", "warranty", "lasts", "months", "invoice"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[LlamaProcess]:
    """A process with one thread for each model."""
    with LlamaProcess(tmp_path / "hosts.json", threads=1) as opened:
        yield opened


def unit(vector: Any) -> Any:
    """Return a vector scaled to length 1."""
    return vector / np.linalg.norm(vector)


def open_encoder(tmp_path: Path, process: LlamaProcess, encoder: Encoder, **arguments: Any) -> GgufEmbedder:
    """Open a tiny encoder."""
    info = inspect(encoder.write(tmp_path / "encoder.gguf"))
    return GgufEmbedder(info, process, **{"id": "tiny", "fingerprint": "f", **arguments})


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_the_models_own_pooling(tmp_path: Path, process: LlamaProcess, pooling: Any) -> None:
    encoder = Encoder(pooling)
    embedder: Embedder = open_encoder(tmp_path, process, encoder)
    texts = ["the pump runs", "water", "how long is the warranty of the pump", "invoice months garden night"]
    told: list[int] = []
    vectors = embedder.embed_documents(texts * 8, told.append)
    assert vectors.shape == (32, WIDTH) and vectors.dtype == np.float32
    assert embedder.dimension == WIDTH
    assert sum(told) == 32 and len(told) == 2
    expected = np.array([unit(encoder.encode(text)) for text in texts * 8])
    assert np.allclose(vectors, expected, atol=1e-3)  # llama.cpp computes GELU in 16 bits
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert np.allclose(embedder.embed_query(texts[2]), expected[2], atol=1e-3)


def test_prefixes(tmp_path: Path, process: LlamaProcess) -> None:
    encoder = Encoder()
    embedder = open_encoder(tmp_path, process, encoder, query_prefix="who ", passage_prefix="a pump ")
    assert np.allclose(embedder.embed_query("runs"), unit(encoder.encode("who runs")), atol=1e-3)
    assert np.allclose(embedder.embed_documents(["runs"])[0], unit(encoder.encode("a pump runs")), atol=1e-3)
    assert embedder.window == 64 - 2 - 2 - 2  # special tokens, prefix, and some to spare


def test_nothing_of_a_long_text_is_lost(tmp_path: Path, process: LlamaProcess) -> None:
    encoder = Encoder()
    embedder = open_encoder(tmp_path, process, encoder)
    words = (WORDS * 20)[:150]
    parts = [words[i : i + 62] for i in range(0, 150, 62)]
    mean = sum(len(part) * encoder.encode(" ".join(part)) for part in parts) / 150
    (vector,) = embedder.embed_documents([" ".join(words)])
    assert np.allclose(vector, unit(mean), atol=1e-3)
    assert np.allclose(embedder.embed_query(" ".join(words)), vector, atol=1e-6)


def test_tokens_start_where_words_and_their_pieces_do(tmp_path: Path, process: LlamaProcess) -> None:
    embedder = open_encoder(tmp_path, process, Encoder())
    text = "The pump,  runs\n保修期 running xyzzy."
    (starts, empty) = embedder.token_starts([text, ""])
    assert empty == []
    words = [text[a:b].strip() for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    # An unknown word is one token, and "running" two, spread evenly.
    assert words == ["The", "pump", ",", "runs", "保", "修", "期", "run", "ning", "xyzzy", "."]


def test_chunks_fit_into_the_window(tmp_path: Path, process: LlamaProcess) -> None:
    embedder = open_encoder(tmp_path, process, Encoder(window=48))
    text = " ".join((WORDS * 40)[:390]) + ". " + "保修期" * 60
    document = Document(text, (Block(0, len(text), "paragraph"),))
    chunks = chunk(document, "notes", embedder, limit=embedder.window)
    assert len(chunks) > 8
    assert all(len(starts) <= embedder.window for starts in embedder.token_starts([c.text for c in chunks]))


def test_any_text_has_a_vector(tmp_path: Path, process: LlamaProcess) -> None:
    embedder = open_encoder(tmp_path, process, Encoder())

    @settings(deadline=None, max_examples=60)
    @given(st.text(max_size=120) | st.lists(st.sampled_from(["[CLS]", "[SEP]", "</s>", "保", "pump "])).map("".join))
    def check(text: str) -> None:
        assert float(np.linalg.norm(embedder.embed_query(text))) == pytest.approx(1.0, abs=1e-5)
        (starts,) = embedder.token_starts([text])
        assert starts == sorted(starts) and all(0 <= at < len(text) for at in starts)

    check()


def test_control_tokens_in_a_text_are_words(tmp_path: Path, process: LlamaProcess) -> None:
    embedder = open_encoder(tmp_path, process, Encoder("cls"))
    plain, hostile = (embedder.embed_query(text) for text in ("pump runs", "pump [SEP] runs"))
    encoder = Encoder("cls")
    forged = unit(encoder.vector([2, *encoder.ids("pump"), 3, *encoder.ids("runs"), 3]))
    assert float(hostile @ forged) < 0.9999
    assert float(plain @ hostile) < 0.9999


def test_what_it_reads(tmp_path: Path, process: LlamaProcess) -> None:
    assert open_encoder(tmp_path, process, Encoder()).reads("保修") == 1.0
    assert open_encoder(tmp_path, process, Encoder(), languages=("en",)).reads("保修") == 0.0


def test_a_model_that_writes_is_no_encoder(tmp_path: Path, process: LlamaProcess) -> None:
    info = inspect(tiny_gguf.build(tmp_path / "writer.gguf"))
    with pytest.raises(ModelBad, match="it is no encoder"):
        GgufEmbedder(info, process, id="x", fingerprint="f")


def test_a_reranker_gives_no_vectors(tmp_path: Path, process: LlamaProcess) -> None:
    with pytest.raises(ModelBad, match="gives no vector"):
        open_encoder(tmp_path, process, Encoder("rank")).embed_query("pump")


def test_the_floor_is_measured(tmp_path: Path, process: LlamaProcess) -> None:
    """It is the mean cosine of questions and passages on different things, with the prefixes of each."""
    embedder = open_encoder(tmp_path, process, Encoder("mean"), query_prefix="who ", passage_prefix="the ")
    texts = gguf._UNRELATED
    passages = embedder.embed_documents(texts)
    cosines = [
        float(embedder.embed_query(question) @ passages[j])
        for i, question in enumerate(texts)
        for j in range(len(texts))
        if i != j
    ]
    assert embedder.floor == pytest.approx(min(0.9, max(0.0, sum(cosines) / len(cosines))), abs=1e-3)
    assert 0.0 <= embedder.floor <= 0.9


@pytest.mark.parametrize(
    ("name", "prefixes", "languages"),
    [
        ("multilingual-e5-large-Q8_0", ("query: ", "passage: "), ("*",)),
        ("nomic-embed-text-v1.5.Q4_K_M", ("search_query: ", "search_document: "), ("*",)),
        ("bge-m3-F16", ("", ""), ("*",)),
        ("bge-small-en-v1.5-q8_0", ("Represent this sentence for searching relevant passages: ", ""), ("en",)),
        ("all-MiniLM-L6-v2-F16", ("", ""), ("en",)),
        ("paraphrase-multilingual-MiniLM-L12-v2", ("", ""), ("*",)),
    ],
)
def test_what_families_are_used_to(name: str, prefixes: tuple[str, str], languages: tuple[str, ...]) -> None:
    found = gguf.habits(name)
    assert (found["query_prefix"], found["passage_prefix"]) == prefixes
    assert found["languages"] == languages
