"""The graphs that ship with ragcli, run on made-up weights and checked against a plain numpy transformer."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from ragcli.embedding.onnx import BULK_TOKENS, OnnxEmbedder
from ragcli.models.catalog import ALL_MINILM_L6_V2

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "ragcli" / "embedding" / ALL_MINILM_L6_V2.shipped_graph
BULK_GRAPH = GRAPH.parent / ALL_MINILM_L6_V2.bulk_graph
WEIGHTS_BYTES = ALL_MINILM_L6_V2.files[0].size

Array = NDArray[np.float64]


def places() -> dict[str, tuple[int, list[int]]]:
    """Return the offset and shape of every tensor that the graph takes from the safetensors file."""
    found = {}
    for tensor in onnx.load(str(GRAPH), load_external_data=False).graph.initializer:
        if tensor.external_data:
            external = {entry.key: entry.value for entry in tensor.external_data}
            assert external["location"] == "model.safetensors"
            assert int(external["length"]) == 4 * math.prod(tensor.dims)
            found[tensor.name] = (int(external["offset"]), list(tensor.dims))
    return found


def reference(w: dict[str, Array], ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Array:
    """BERT as its paper has it, one head at a time: last hidden states, [batch, tokens, 384]."""

    def normalize(x: Array, name: str) -> Array:
        x = x - x.mean(-1, keepdims=True)
        scaled: Array = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Array, name: str) -> Array:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def gelu(x: Array) -> Array:
        activated: Array = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
        return activated

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]] + w["embeddings.token_type_embeddings.weight"][0]
    x = normalize(x, "embeddings.LayerNorm")
    hidden_from = np.where(mask[:, None, :] == 1, 0.0, -1e9)
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        query, key, value = (linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(12):
            part = slice(32 * head, 32 * head + 32)
            scores = query[..., part] @ key[..., part].swapaxes(1, 2) / math.sqrt(32) + hidden_from
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(weights / weights.sum(-1, keepdims=True) @ value[..., part])
        attended = linear(np.concatenate(heads, -1), f"{name}.attention.output.dense")
        x = normalize(attended + x, f"{name}.attention.output.LayerNorm")
        wide = gelu(linear(x, f"{name}.intermediate.dense"))
        x = normalize(linear(wide, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
    return x


def test_the_tensors_lie_side_by_side_in_the_known_file() -> None:
    spans = sorted((offset, offset + 4 * math.prod(dims)) for offset, dims in places().values())
    assert len(spans) == 5 + 6 * 16
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert spans[-1][1] <= WEIGHTS_BYTES


@pytest.mark.parametrize("path", [GRAPH, BULK_GRAPH], ids=lambda path: path.stem)
def test_every_tensor_is_used(path: Path) -> None:
    graph = onnx.load(str(path), load_external_data=False).graph
    used = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= used


def test_the_graph_computes_what_the_paper_says(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    ids = random.integers(1000, 1040, size=(3, 9))
    mask = np.array([[1] * 9, [1] * 4 + [0] * 5, [1] * 6 + [0] * 3])
    (tmp_path / "encoder.onnx").write_bytes(GRAPH.read_bytes())
    weights: dict[str, Array] = {}
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.truncate(WEIGHTS_BYTES)
        for name, (offset, dims) in places().items():
            if name == "embeddings.word_embeddings.weight":  # zero but for the words in use, to keep the test quick
                tensor = np.zeros(dims, np.float32)
                tensor[1000:1040] = random.normal(0, 0.5, (40, 384))
            else:
                tensor = random.normal(1 if name.endswith("Norm.weight") else 0, 0.1, dims).astype(np.float32)
            weights[name] = tensor.astype(np.float64)
            stream.seek(offset)
            stream.write(tensor.tobytes())

    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    inputs = {node.name: (node.type, node.shape) for node in session.get_inputs()}
    assert inputs == {name: ("tensor(int64)", ["batch", "tokens"]) for name in ("input_ids", "attention_mask")}
    (output,) = session.run(["last_hidden_state"], {"input_ids": ids, "attention_mask": mask})
    assert output.shape == (3, 9, 384)
    expected = reference(weights, ids, mask)
    real = mask == 1
    np.testing.assert_allclose(output[real], expected[real], atol=2e-4)

    (tmp_path / "bulk.onnx").write_bytes(BULK_GRAPH.read_bytes())
    bulk = onnxruntime.InferenceSession(str(tmp_path / "bulk.onnx"), providers=["CPUExecutionProvider"])
    (near,) = bulk.run(["last_hidden_state"], {"input_ids": ids, "attention_mask": mask})
    cosines = (near * expected).sum(-1) / np.linalg.norm(near, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert cosines[real].min() > 0.99


def test_the_bulk_graph_gives_nearly_the_same_vectors(embedder: OnnxEmbedder) -> None:
    """With the real weights, on text that the outliers were not measured on; few texts take the plain graph."""
    paragraphs = (ROOT / "sample_docs" / "support" / "returns-desk-note-2023.txt").read_text("utf-8").split("\n\n")
    texts = [p for p in paragraphs if len(p) < 800] * 4
    texts = (texts * 128)[:128]
    tokens = [len(starts) for starts in embedder.token_starts(texts)]
    assert sum(tokens) > BULK_TOKENS > 10 * max(tokens)
    bulk = embedder.embed_documents(texts)
    plain = np.concatenate([embedder.embed_documents(texts[i : i + 8]) for i in range(0, 128, 8)])
    cosines = (bulk * plain).sum(axis=1)
    assert cosines.mean() > 0.999
    assert cosines.min() > 0.998


def test_the_script_makes_the_graph_that_ships(tmp_path: Path) -> None:
    """From a header with the same tensors at the same places, and as many bytes."""
    data_start = min(offset for offset, _ in places().values()) - 4096
    header: dict[str, Any] = {
        name: {
            "dtype": "F32",
            "shape": dims,
            "data_offsets": [offset - data_start, offset - data_start + 4 * math.prod(dims)],
        }
        for name, (offset, dims) in places().items()
    }
    text = json.dumps(header, separators=(",", ":")).encode().ljust(data_start - 8)
    assert len(text) == data_start - 8
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    script = ROOT / "scripts" / "make_minilm_graph.py"
    subprocess.run([sys.executable, script, tmp_path / "model.safetensors", tmp_path], check=True)
    for graph in (GRAPH, BULK_GRAPH):
        assert (tmp_path / graph.name).read_bytes() == graph.read_bytes()
