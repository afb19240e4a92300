"""Make the ONNX graph of all-MiniLM-L6-v2 that ships with ragcli, from the header of its `model.safetensors`.

    python scripts/make_minilm_graph.py model.safetensors ragcli/embedding/all-minilm-l6-v2.onnx

Why a graph of our own: the encoder's weights come as a safetensors file, and running that directly takes torch. A
safetensors file is a short header and then the tensors, raw and one after another; ONNX can name a tensor as "external
data", a place in another file. So this graph, some 20 kB, holds only the operations, and points into the safetensors
file beside it: no torch, no conversion on the user's machine, no second copy of the weights.

Only the header is read, so the same header gives the same graph, byte for byte. The weights of a torch layer are
stored [out, in]; `Gemm` with transB takes them as they lie, but wants matrices, hence the reshapes between
[batch, tokens, width] and [batch * tokens, width]. Attention and GELU are ONNX Runtime's own fused operators.

Inputs: `input_ids` and `attention_mask`, int64 [batch, tokens], tokens <= 512. The attention mask is 1 for a token and
0 for padding. Output: `last_hidden_state`, float32 [batch, tokens, 384].
"""

from __future__ import annotations

import argparse
import json
import struct
from pathlib import Path
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

WEIGHTS = "model.safetensors"
WIDTH, LAYERS, HEADS = 384, 6, 12
NORM_EPSILON = 1e-12
MICROSOFT = "com.microsoft"
MAX_HEADER = 1 << 20


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the tensors that a safetensors file describes, by name, and the offset at which their data begins."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > MAX_HEADER:
            raise ValueError(f"{path}: the header takes {length} bytes")
        return json.loads(stream.read(length)), 8 + length


class GraphBuilder:
    """Collects nodes and the tensors that they use."""

    def __init__(self, header: dict[str, Any], data_start: int) -> None:
        self._header = header
        self._data_start = data_start
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def weight(self, name: str) -> str:
        """Point at a tensor of the safetensors file and return its name."""
        entry = self._header[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{name} is {entry['dtype']}, not F32")
        start, end = entry["data_offsets"]
        tensor = TensorProto(
            name=name, data_type=TensorProto.FLOAT, dims=entry["shape"], data_location=TensorProto.EXTERNAL
        )
        for key, value in (("location", WEIGHTS), ("offset", self._data_start + start), ("length", end - start)):
            tensor.external_data.add(key=key, value=str(value))
        self.tensors.append(tensor)
        return name

    def constant(self, name: str, values: list[int], *, scalar: bool = False) -> str:
        """Add a small int64 tensor to the graph itself and return its name."""
        self.tensors.append(helper.make_tensor(name, TensorProto.INT64, [] if scalar else [len(values)], values))
        return name

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Add one operation and return the name of its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def linear(self, x: str, layer: str, output: str) -> str:
        """Add `x @ weight.T + bias`; x has shape [rows, in]."""
        weights = [self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias")]
        return self.node("Gemm", [x, *weights], output, transB=1)

    def normalize(self, x: str, layer: str, output: str) -> str:
        """Add a layer normalization over the last axis."""
        weights = [self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias")]
        return self.node("LayerNormalization", [x, *weights], output, epsilon=NORM_EPSILON)


def embeddings(graph: GraphBuilder) -> str:
    """Add word, position and type embeddings, normalized. Returns a tensor of shape [batch * tokens, 384]."""
    graph.node("Shape", ["input_ids"], "ids.shape")
    graph.node("Gather", ["ids.shape", "one"], "ids.tokens")
    words = graph.node("Gather", [graph.weight("embeddings.word_embeddings.weight"), "input_ids"], "embed.words")
    position_table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.node("Slice", [position_table, "zero", "ids.tokens", "zero"], "embed.positions")
    # Every token is of type 0: an encoder of single texts has no second segment.
    type_table = graph.weight("embeddings.token_type_embeddings.weight")
    kind = graph.node("Gather", [type_table, "type_0"], "embed.type")
    places = graph.node("Add", [positions, kind], "embed.places")
    total = graph.node("Add", [words, places], "embed.sum")
    normal = graph.normalize(total, "embeddings.LayerNorm", "embed.normal")
    return graph.node("Reshape", [normal, "rows_shape"], "embed.rows")


def layer(graph: GraphBuilder, number: int, x: str) -> str:
    """Add one transformer layer, from and to shape [batch * tokens, 384]."""
    weights, name = f"encoder.layer.{number}", f"layer{number}"
    parts = []
    for part in ("query", "key", "value"):
        rows = graph.linear(x, f"{weights}.attention.self.{part}", f"{name}.{part}.rows")
        parts.append(graph.node("Reshape", [rows, "hidden_shape"], f"{name}.{part}"))
    attended = graph.node(
        "MultiHeadAttention", [*parts, "", "mask"], f"{name}.attended", domain=MICROSOFT, num_heads=HEADS
    )
    rows = graph.node("Reshape", [attended, "rows_shape"], f"{name}.attended.rows")
    projected = graph.linear(rows, f"{weights}.attention.output.dense", f"{name}.projected")
    residual = graph.node("Add", [projected, x], f"{name}.residual1")
    middle = graph.normalize(residual, f"{weights}.attention.output.LayerNorm", f"{name}.normal1")

    wide = graph.linear(middle, f"{weights}.intermediate.dense", f"{name}.wide")
    active = graph.node("Gelu", [wide], f"{name}.active", domain=MICROSOFT)
    narrow = graph.linear(active, f"{weights}.output.dense", f"{name}.narrow")
    residual = graph.node("Add", [narrow, middle], f"{name}.residual2")
    return graph.normalize(residual, f"{weights}.output.LayerNorm", f"{name}.normal2")


def build(header: dict[str, Any], data_start: int) -> ModelProto:
    """Return the whole encoder as an ONNX model."""
    graph = GraphBuilder(header, data_start)
    graph.constant("zero", [0])
    graph.constant("one", [1])
    graph.constant("type_0", [0], scalar=True)
    graph.constant("width", [WIDTH])
    graph.constant("rows_shape", [-1, WIDTH])
    graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)

    x = embeddings(graph)
    graph.node("Concat", ["ids.shape", "width"], "hidden_shape", axis=0)
    for number in range(LAYERS):
        x = layer(graph, number, x)
    graph.node("Reshape", [x, "hidden_shape"], "last_hidden_state")

    sizes = ["batch", "tokens"]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info(n, TensorProto.INT64, sizes) for n in ("input_ids", "attention_mask")],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*sizes, WIDTH])],
            graph.tensors,
        ),
        producer_name="ragcli",
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=8,
    )


def main() -> None:
    """Write the graph."""
    parser = argparse.ArgumentParser(description="Make the ONNX graph of all-MiniLM-L6-v2.")
    parser.add_argument("weights", type=Path, help=f"the model's {WEIGHTS}")
    parser.add_argument("graph", type=Path, help="the .onnx file to write")
    arguments = parser.parse_args()
    model = build(*read_header(arguments.weights))
    arguments.graph.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
