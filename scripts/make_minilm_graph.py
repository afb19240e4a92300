"""Make the ONNX graphs of all-MiniLM-L6-v2 that ship with ragcli, from the header of its `model.safetensors`.

    python scripts/make_minilm_graph.py model.safetensors ragcli/embedding

Why graphs of our own: the encoder's weights come as a safetensors file, and running that directly takes torch. A
safetensors file is a short header and then the tensors, raw and one after another; ONNX can name a tensor as "external
data", a place in another file. So these graphs, of some 20 and 50 kB, hold only the operations, and point into the
safetensors file: no torch, no conversion on the user's machine, no second copy of the weights.

There are two. The plain graph computes in float32. The bulk graph, for the many texts of an ingest, multiplies in int8:
nearly twice as fast, at a cosine of 0.9995 to the plain one. It reads the same float32 weights; ONNX Runtime quantizes
them when it loads the graph, by folding constants. Every row of a weight and every token's activations have a scale of
their own. That alone reaches a cosine of 0.997 only, because in each layer a few channels are many times larger than
the rest and cost those their precision. So the largest (`OUTLIERS`) are multiplied in float32 and left out of the int8
product, as in LLM.int8() (Dettmers et al. 2022), but chosen once: `--outliers FOLDER TEXT...` measures them anew, on
any English texts, with the plain graph, weights and tokenizer in FOLDER.

Only the header is read, so the same header gives the same graphs, byte for byte. The weights of a torch layer are
stored [out, in]; `Gemm` with transB takes them as they lie, but wants matrices, hence the reshapes between
[batch, tokens, width] and [batch * tokens, width]. Attention and GELU are ONNX Runtime's own fused operators.

Inputs: `input_ids` and `attention_mask`, int64 [batch, tokens], tokens <= 512. The attention mask is 1 for a token and
0 for padding. Output: `last_hidden_state`, float32 [batch, tokens, 384].
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from pathlib import Path
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

WEIGHTS = "model.safetensors"
WIDTH, LAYERS, HEADS = 384, 6, 12
NORM_EPSILON = 1e-12
MICROSOFT = "com.microsoft"
MAX_HEADER = 1 << 20
KEPT = 16
# fmt: off
OUTLIERS: list[dict[str, list[int]]] = [
    {
        "attention": [63, 69, 94, 99, 102, 112, 115, 136, 157, 204, 207, 227, 272, 288, 291, 338],
        "wide": [63, 94, 98, 99, 145, 157, 163, 189, 227, 238, 245, 246, 267, 303, 338, 347],
        "narrow": [155, 282, 329, 374, 433, 602, 743, 829, 856, 944, 982, 984, 1163, 1170, 1239, 1389],
    },
    {
        "attention": [63, 94, 99, 112, 145, 157, 163, 189, 190, 204, 238, 252, 297, 304, 338, 347],
        "wide": [63, 94, 99, 131, 145, 157, 163, 189, 223, 238, 245, 267, 297, 303, 338, 347],
        "narrow": [17, 82, 116, 251, 360, 417, 505, 607, 801, 821, 869, 951, 1162, 1184, 1200, 1491],
    },
    {
        "attention": [63, 94, 99, 112, 145, 157, 163, 189, 223, 233, 245, 252, 297, 304, 338, 363],
        "wide": [63, 94, 99, 131, 145, 157, 163, 189, 223, 245, 267, 288, 297, 338, 347, 363],
        "narrow": [7, 164, 218, 304, 456, 606, 805, 874, 1004, 1042, 1166, 1265, 1287, 1306, 1309, 1484],
    },
    {
        "attention": [63, 94, 99, 112, 131, 145, 157, 163, 190, 223, 245, 288, 297, 304, 338, 363],
        "wide": [6, 28, 63, 94, 99, 112, 131, 145, 157, 163, 223, 245, 288, 338, 351, 363],
        "narrow": [111, 112, 201, 245, 318, 358, 548, 618, 722, 750, 759, 833, 1037, 1085, 1493, 1506],
    },
    {
        "attention": [63, 94, 99, 112, 131, 145, 157, 163, 223, 245, 288, 304, 338, 351, 363, 380],
        "wide": [28, 63, 99, 112, 127, 131, 145, 157, 163, 223, 288, 319, 338, 351, 363, 383],
        "narrow": [122, 192, 373, 621, 637, 716, 769, 852, 1031, 1097, 1257, 1260, 1313, 1321, 1397, 1498],
    },
    {
        "attention": [94, 99, 112, 131, 145, 157, 163, 223, 245, 252, 288, 297, 319, 338, 351, 363],
        "wide": [99, 112, 127, 157, 163, 221, 223, 249, 288, 310, 319, 338, 347, 351, 363, 380],
        "narrow": [85, 119, 256, 372, 423, 541, 580, 745, 784, 923, 959, 1191, 1297, 1300, 1302, 1426],
    },
]
# fmt: on
"""By layer: the channels that stay float32, of what enters attention, the wide linear layer, and the narrow one."""


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

    def linear(self, x: str, layer: str, output: str, outliers: list[int] | None = None) -> str:
        """Add `x @ weight.T + bias`; x has shape [rows, in]. Float32 needs no `outliers`."""
        return self.node("Gemm", [x, *self.weights(layer)], output, transB=1)

    def weights(self, layer: str) -> list[str]:
        """Point at a layer's weight and bias."""
        return [self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias")]

    def normalize(self, x: str, layer: str, output: str) -> str:
        """Add a layer normalization over the last axis."""
        return self.node("LayerNormalization", [x, *self.weights(layer)], output, epsilon=NORM_EPSILON)


class BulkGraphBuilder(GraphBuilder):
    """Builds the same encoder with int8 products.

    x @ W.T + b = (row scale of x) * (int8 x @ int8 W.T) * (row scales of W), without the outlier channels,
                + x[:, outliers] @ W[:, outliers].T + b.
    """

    def __init__(self, header: dict[str, Any], data_start: int) -> None:
        super().__init__(header, data_start)
        self._made: set[str] = set()
        self.constant("flat", [-1])
        for name, kind, value in (
            ("largest", TensorProto.FLOAT, 127.0),
            ("step", TensorProto.FLOAT, 1 / 127),
            ("middle", TensorProto.UINT8, 128),  # activations are unsigned, which is what processors multiply fastest
        ):
            self.tensors.append(helper.make_tensor(name, kind, [], [value]))

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Add an operation, but only once: queries, keys and values share what is made of their input."""
        if output not in self._made:
            self._made.add(output)
            super().node(operator, inputs, output, domain, **attributes)
        return output

    def linear(self, x: str, layer: str, output: str, outliers: list[int] | None = None) -> str:
        """Add `x @ weight.T + bias` as the sum of an int8 product and one of the outliers."""
        weight, bias = self.weights(layer)
        inner_x, inner_weight = x, weight
        if outliers:
            mask = self._mask(x, self._header[weight]["shape"][1], outliers)
            inner_x = self.node("Mul", [x, mask], f"{x}.inner")
            inner_weight = self.node("Mul", [weight, mask], f"{weight}.inner")
        quantized_x, scale_x = self._quantize_activations(inner_x)
        quantized_weight, scale_weight = self._quantize_weight(inner_weight)
        operands = [quantized_x, quantized_weight, "step", scale_weight, "middle"]
        product = self.node("MatMulIntegerToFloat", operands, f"{output}.product", domain=MICROSOFT)
        scaled = self.node("Mul", [product, scale_x], f"{output}.scaled")
        if outliers:
            outer = [self.node("Gather", [t, f"{x}.outliers"], f"{t}.outer", axis=1) for t in (x, weight)]
            bias = self.node("Gemm", [*outer, bias], f"{output}.outer", transB=1)
        return self.node("Add", [scaled, bias], output)

    def _mask(self, x: str, width: int, outliers: list[int]) -> str:
        """Return a row of ones, with zeros for the outliers; it is folded into a constant."""
        if f"{x}.mask" not in self._made:
            self.constant(f"{x}.outliers", outliers)
            self.constant(f"{x}.width", [width])
            one, zero = (helper.make_tensor("value", TensorProto.FLOAT, [1], [v]) for v in (1.0, 0.0))
            ones = self.node("ConstantOfShape", [f"{x}.width"], f"{x}.ones", value=one)
            count = self.node("Shape", [f"{x}.outliers"], f"{x}.count")
            zeros = self.node("ConstantOfShape", [count], f"{x}.zeros", value=zero)
            self.node("ScatterElements", [ones, f"{x}.outliers", zeros], f"{x}.mask", axis=0)
        return f"{x}.mask"

    def _quantize_activations(self, x: str) -> tuple[str, str]:
        """Return x as uint8 around 128, and each row's scale times 127."""
        size = self.node("Abs", [x], f"{x}.size")
        largest = self.node("ReduceMax", [size], f"{x}.largest", axes=[-1], keepdims=1)
        unit = self.node("Div", [x, largest], f"{x}.unit")
        return self.node("QuantizeLinear", [unit, "step", "middle"], f"{x}.uint8"), largest

    def _quantize_weight(self, weight: str) -> tuple[str, str]:
        """Return a weight [out, in] as int8 [in, out], and the scale of each output; both are folded into constants."""
        size = self.node("Abs", [weight], f"{weight}.size")
        largest = self.node("ReduceMax", [size], f"{weight}.largest", axes=[1], keepdims=1)
        scale = self.node("Div", [largest, "largest"], f"{weight}.scales")
        ratio = self.node("Div", [weight, scale], f"{weight}.ratio")
        rounded = self.node("Round", [ratio], f"{weight}.rounded")
        integer = self.node("Cast", [rounded], f"{weight}.integer", to=TensorProto.INT8)
        transposed = self.node("Transpose", [integer], f"{weight}.int8", perm=[1, 0])
        return transposed, self.node("Reshape", [scale, "flat"], f"{weight}.scale")


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
    outliers = OUTLIERS[number]
    parts = []
    for part in ("query", "key", "value"):
        rows = graph.linear(x, f"{weights}.attention.self.{part}", f"{name}.{part}.rows", outliers["attention"])
        parts.append(graph.node("Reshape", [rows, "hidden_shape"], f"{name}.{part}"))
    attended = graph.node(
        "MultiHeadAttention", [*parts, "", "mask"], f"{name}.attended", domain=MICROSOFT, num_heads=HEADS
    )
    rows = graph.node("Reshape", [attended, "rows_shape"], f"{name}.attended.rows")
    projected = graph.linear(rows, f"{weights}.attention.output.dense", f"{name}.projected")
    residual = graph.node("Add", [projected, x], f"{name}.residual1")
    middle = graph.normalize(residual, f"{weights}.attention.output.LayerNorm", f"{name}.normal1")

    wide = graph.linear(middle, f"{weights}.intermediate.dense", f"{name}.wide", outliers["wide"])
    active = graph.node("Gelu", [wide], f"{name}.active", domain=MICROSOFT)
    narrow = graph.linear(active, f"{weights}.output.dense", f"{name}.narrow", outliers["narrow"])
    residual = graph.node("Add", [narrow, middle], f"{name}.residual2")
    return graph.normalize(residual, f"{weights}.output.LayerNorm", f"{name}.normal2")


def build(graph: GraphBuilder) -> ModelProto:
    """Return the whole encoder as an ONNX model."""
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


def measure_outliers(folder: Path, texts: list[str]) -> list[dict[str, list[int]]]:
    """Return the channels that are largest on some texts, by running the plain graph with its inner tensors shown."""
    import numpy as np
    import onnx
    import onnxruntime
    from tokenizers import Tokenizer

    names = {
        (n, part): f"layer{n}.{tensor}"
        for n in range(LAYERS)
        for part, tensor in (("wide", "normal1"), ("narrow", "active"))
    }
    names |= {(n, "attention"): f"layer{n - 1}.normal2" if n else "embed.rows" for n in range(LAYERS)}
    model = onnx.load(str(folder / "encoder.onnx"), load_external_data=False)
    shown = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names.values()]
    model.graph.output.extend(shown)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    largest: dict[tuple[int, str], Any] = {}
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        values = session.run(list(names.values()), {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for key, value in zip(names, values, strict=True):
            largest[key] = np.maximum(largest.get(key, 0), np.abs(value).max(axis=0))
    return [
        {
            part: sorted(np.argsort(-largest[number, part], kind="stable")[:KEPT].tolist())
            for part in ("attention", "wide", "narrow")
        }
        for number in range(LAYERS)
    ]


def main() -> None:
    """Write the graphs, or print the table of outliers."""
    parser = argparse.ArgumentParser(description="Make the ONNX graphs of all-MiniLM-L6-v2.")
    parser.add_argument("--outliers", action="store_true", help="measure the outliers instead")
    parser.add_argument("weights", type=Path, help=f"the model's {WEIGHTS}, or its folder")
    parser.add_argument("rest", type=Path, nargs="+", help="the folder to write to, or texts to measure on")
    arguments = parser.parse_args()
    if arguments.outliers:
        for row in measure_outliers(arguments.weights, [path.read_text("utf-8") for path in arguments.rest]):
            sys.stdout.write(f"{row},\n")
        return
    for name, builder in (("all-minilm-l6-v2", GraphBuilder), ("all-minilm-l6-v2-bulk", BulkGraphBuilder)):
        model = build(builder(*read_header(arguments.weights)))
        (arguments.rest[0] / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
