"""Tiny GGUF encoders, rerankers and LoRA adapters for the tests, and what they should give, computed in numpy.

    encoder = Encoder(pooling="mean")
    encoder.write(path)
    encoder.vector([...token ids...])

The encoders are BERTs with random weights and a WordPiece vocabulary of whole words. An adapter makes a table model of
`tiny_gguf` begin its answer further on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Pooling = Literal["mean", "cls", "last", "rank"]

WIDTH, HEADS, FEED_FORWARD, LAYERS = 32, 4, 64, 2
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "pump", "runs", "night", "water", "garden", "warranty", "lasts", "months", "invoice", "is", "a", "of"]
WORDS += ["and", "how", "long", "who", "versus"]
PIECES = ["run", "##ning", "##s", "保", "修", "期", ".", "?", "-"]
CLS, SEP = 2, 3
_POOLING = {"mean": 1, "cls": 2, "last": 3, "rank": 4}
_EPSILON = 1e-12


class Encoder:
    """A BERT. `window` is how many tokens it was trained for. With `rank` pooling it has a classifier."""

    def __init__(self, pooling: Pooling = "mean", *, seed: int = 5, window: int = 64, template: str = "") -> None:
        self.pooling = pooling
        self.window = window
        self.template = template
        self.tokens = SPECIAL + WORDS + PIECES
        self._weights = _weights(len(self.tokens), window, seed, pooling == "rank")

    def ids(self, text: str) -> list[int]:
        """Return the tokens of known words that stand between spaces."""
        return [self.tokens.index(word) for word in text.split()]

    def write(self, path: Path) -> Path:
        """Write the model to `path` and return it."""
        import gguf

        writer = gguf.GGUFWriter(path, "bert")
        writer.add_name("tiny encoder")
        writer.add_file_type(0)
        writer.add_context_length(self.window)
        writer.add_embedding_length(WIDTH)
        writer.add_block_count(LAYERS)
        writer.add_feed_forward_length(FEED_FORWARD)
        writer.add_head_count(HEADS)
        writer.add_layer_norm_eps(_EPSILON)
        writer.add_causal_attention(False)
        writer.add_uint32("bert.pooling_type", _POOLING[self.pooling])
        writer.add_tokenizer_model("bert")
        writer.add_token_list([_llama_cpp_text(token) for token in self.tokens])
        writer.add_token_types([3] * len(SPECIAL) + [1] * (len(self.tokens) - len(SPECIAL)))
        writer.add_token_type_count(2)
        if self.pooling == "rank":  # as the converters write it for models that were trained with an end
            writer.add_bool("tokenizer.ggml.add_eos_token", True)
            writer.add_bool("tokenizer.ggml.add_sep_token", False)
        for name, token in (("unknown", 1), ("seperator", SEP), ("padding", 0), ("bos", CLS), ("mask", 4)):
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
        if self.template:
            writer.add_string("tokenizer.chat_template.rerank", self.template)
        for name, weights in self._weights.items():
            writer.add_tensor(name, weights)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def encode(self, *texts: str) -> Array:
        """Return what the model gives for a text, or a question and a passage, of known words."""
        return self.vector([CLS, *(token for text in texts for token in (*self.ids(text), SEP))])

    def vector(self, ids: list[int]) -> Array:
        """Return what the model gives for these tokens: a vector, or a list of one score."""
        weights = self._weights
        hidden = weights["token_embd.weight"][ids] + weights["token_types.weight"][0]
        hidden = self._norm(hidden + weights["position_embd.weight"][: len(ids)], "token_embd_norm")
        for layer in range(LAYERS):
            name = f"blk.{layer}."
            attended = self._linear(self._attend(hidden, name), name + "attn_output")
            hidden = self._norm(hidden + attended, name + "attn_output_norm")
            inner = _gelu(self._linear(hidden, name + "ffn_up"))
            hidden = self._norm(hidden + self._linear(inner, name + "ffn_down"), name + "layer_output_norm")
        if self.pooling == "mean":
            return np.asarray(hidden.mean(axis=0))
        if self.pooling == "rank":
            return np.asarray(self._linear(np.tanh(self._linear(hidden[:1], "cls")), "cls.output")[0])
        return np.asarray(hidden[-1 if self.pooling == "last" else 0])

    def _attend(self, hidden: Array, name: str) -> Array:
        queries, keys, values = (
            self._linear(hidden, f"{name}attn_{part}").reshape(len(hidden), HEADS, -1).swapaxes(0, 1) for part in "qkv"
        )
        scores = queries @ keys.swapaxes(1, 2) / np.sqrt(WIDTH // HEADS)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.asarray((shares @ values).swapaxes(0, 1).reshape(len(hidden), WIDTH))

    def _linear(self, hidden: Array, name: str) -> Array:
        return np.asarray(hidden @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"])

    def _norm(self, hidden: Array, name: str) -> Array:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)
        return np.asarray(scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"])


def _gelu(hidden: Array) -> Array:
    return np.asarray(0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3))))


def _llama_cpp_text(token: str) -> str:
    """Return a token of WordPiece as llama.cpp has it: the beginning of a word is marked, and not its rest."""
    if token in SPECIAL:
        return token
    return token.removeprefix("##") if token.startswith("##") else f"▁{token}"


def _weights(vocabulary: int, window: int, seed: int, ranks: bool) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    shapes = {"token_embd": (vocabulary, WIDTH), "token_types": (2, WIDTH), "position_embd": (window, WIDTH)}
    layers = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH)}
    layers |= {"attn_output": (WIDTH, WIDTH), "ffn_up": (FEED_FORWARD, WIDTH), "ffn_down": (WIDTH, FEED_FORWARD)}
    linear = {f"blk.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in layers.items()}
    linear |= {"cls": (WIDTH, WIDTH), "cls.output": (1, WIDTH)} if ranks else {}
    norms = ["token_embd_norm"]
    norms += [f"blk.{layer}.{name}" for layer in range(LAYERS) for name in ("attn_output_norm", "layer_output_norm")]

    def normal(*shape: int) -> Array:
        return random.normal(0, 0.3, shape).astype(np.float32)

    weights = {f"{name}.weight": normal(*shape) for name, shape in (shapes | linear).items()}
    weights |= {f"{name}.bias": normal(shape[0]) for name, shape in linear.items()}
    for name in norms:
        weights |= {f"{name}.weight": 1 + normal(WIDTH), f"{name}.bias": normal(WIDTH)}
    return weights


def shortcut(path: Path, base: Path, steps: int, *, strength: float = 3.0, architecture: str = "llama") -> Path:
    """Write a LoRA adapter that lets a table model's answer begin `steps` tokens later. `base` has F16 weights."""
    table, trigger = _table(base)
    start = int(table[:, trigger].argmax())
    for _ in range(steps):
        start = int(table[:, start].argmax())
    a, b = np.zeros((1, table.shape[1]), np.float32), np.zeros((table.shape[0], 1), np.float32)
    a[0, trigger] = 1
    b[start, 0] = strength
    return adapter(path, {"output.weight": (a, b)}, architecture=architecture)


def _table(base: Path) -> tuple[Array, int]:
    """Return the matrix from each token to the next, and the token after which an answer begins."""
    import gguf

    reader = gguf.GGUFReader(base)
    tokens = reader.fields["tokenizer.ggml.tokens"]
    texts = [bytes(tokens.parts[i]).decode("utf-8") for i in tokens.data]
    output = next(tensor for tensor in reader.tensors if tensor.name == "output.weight")
    return np.asarray(output.data, np.float32), texts.index("Ċ")


def adapter(
    path: Path, pairs: dict[str, tuple[Array, Array]], *, architecture: str = "llama", alpha: float | None = None
) -> Path:
    """Write a LoRA adapter of pairs by the name of the tensor that they change: rank x in, and out x rank."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(next(iter(pairs.values()))[0].shape[0]) if alpha is None else alpha)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a, np.float32))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
