"""Made-up encoders of a few kilobytes."""

from __future__ import annotations

import random

from ragcli.models.catalog import EncoderSpec, ModelFile

CONTENT = {
    "english": {"model.safetensors": random.Random(1).randbytes(3000), "tokenizer.json": b'{"english": true}'},
    "many": {"model.onnx": random.Random(2).randbytes(5000), "tokenizer.json": b'{"many": true}'},
}


def tiny_spec(id: str, files: tuple[ModelFile, ...], wheel: str = "", shipped_graph: str = "") -> EncoderSpec:
    """Return the spec of a made-up encoder."""
    return EncoderSpec(
        id, f"maker/{id}", files, "", "", 256, 384, ("en",), 0.0, wheel, "MIT", shipped_graph=shipped_graph
    )
