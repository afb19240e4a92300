"""GGUF file -> what it holds, checked before llama.cpp sees it.

llama.cpp aborts the process on many malformed files, so a file is read here first: its header only (`header.py`), and
what the parts of it say of each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ragcli.errors import ModelBad
from ragcli.llama.header import (
    FLOAT32,
    INT32,
    STRING,
    TENSOR_TYPES,
    Array,
    Contents,
    Malformed,
    Scalar,
    Tensor,
    bad,
    read,
    read_strings,
)

MAX_LAYERS = 512  # llama.cpp's LLAMA_MAX_LAYERS
BATCH = 512
"""Tokens that are read at once."""

_FILE_TYPES = """F32 F16 Q4_0 Q4_1 - - - Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K
    IQ2_XXS IQ2_XS Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16"""
"""Names of `general.file_type` from 0 on, as people know them."""


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """A model file that passed its checks.

    `size` is in bytes, `parameters` counts weights, `context_length` is the longest context it was trained for (0 where
    the file does not say). `metadata` holds every value that is not an array, `types` the GGUF type of each, `lists`
    the short arrays of numbers, and `arrays` where in the file each array lies. `tensors` gives the dimensions of each,
    the length of a row first.
    """

    path: Path
    size: int
    name: str
    architecture: str
    parameters: int
    context_length: int
    quantization: str
    chat_template: str | None
    vocabulary_size: int
    tokenizer: str
    metadata: Mapping[str, Scalar]
    types: Mapping[str, int]
    lists: Mapping[str, tuple[int | float, ...]]
    arrays: Mapping[str, Array]
    tensors: Mapping[str, tuple[int, ...]]

    @property
    def embeds(self) -> bool:
        """Whether the model turns texts into vectors or scores and writes none."""
        causal = self.metadata.get(f"{self.architecture}.attention.causal", True)
        return not causal or f"{self.architecture}.pooling_type" in self.metadata


@dataclass(frozen=True, slots=True)
class Memory:
    """What a loaded model takes, in bytes: its weights, what it remembers of the context, and room to compute in."""

    weights: int
    cache: int
    buffers: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.buffers


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """A LoRA adapter that fits a model. `rank` is the largest of its pairs', and `tensors` counts both of each pair."""

    path: Path
    size: int
    rank: int
    alpha: float
    tensors: int


def inspect(path: Path) -> GgufInfo:
    """Check a model's header and return what it says.

    Raises ModelMissing where there is no file, and ModelBad with the reason where it is not a whole model.
    """
    contents = read(path)
    try:
        return _info(path, contents)
    except Malformed as error:
        raise bad(path, str(error)) from None
    except OSError:
        raise bad(path, "it changed while it was read") from None


def _info(path: Path, contents: Contents) -> GgufInfo:
    metadata = contents.metadata
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise Malformed("it names no architecture")
    if metadata.get("general.type") == "adapter":
        raise Malformed("it is an adapter, which changes a model; give it with --adapter")
    vocabulary_size = _check_vocabulary(contents.arrays)
    if len(set(read_strings(path, contents.arrays["tokenizer.ggml.tokens"]))) < vocabulary_size:
        raise Malformed("two of its tokens are the same")
    template = metadata.get("tokenizer.chat_template")
    context_length = metadata.get(f"{architecture}.context_length", 0)
    info = GgufInfo(
        path=path,
        size=contents.size,
        name=str(metadata.get("general.name", path.stem)),
        architecture=architecture,
        parameters=sum(t.elements for t in contents.tensors),
        context_length=context_length if isinstance(context_length, int) and context_length > 0 else 0,
        quantization=_quantization(metadata.get("general.file_type"), contents.tensors),
        chat_template=template if isinstance(template, str) else None,
        vocabulary_size=vocabulary_size,
        tokenizer=str(metadata.get("tokenizer.ggml.model", "")),
        metadata=metadata,
        types=contents.types,
        lists=contents.lists,
        arrays=contents.arrays,
        tensors={t.name: t.dimensions for t in contents.tensors},
    )
    _check_numbers(info)
    return info


def _check_numbers(info: GgufInfo) -> None:
    """Raise Malformed for numbers at which llama.cpp aborts, or would compute nonsense."""
    for key, value in info.metadata.items():
        if key.endswith("epsilon") and not (isinstance(value, float) and 0 <= value < 1):
            raise Malformed(f"its {key} is {str(value)[:40]}")
    if f"{info.architecture}.block_count" not in info.metadata:
        return  # which llama.cpp says in clear words
    shape = _Shape(info)
    rotated = info.metadata.get(f"{info.architecture}.rope.dimension_count", shape.key_length)
    if not isinstance(rotated, int) or not 0 <= rotated <= max(shape.key_length, shape.width):
        raise Malformed(f"its rope.dimension_count is {str(rotated)[:40]}")
    if info.architecture in _ROTATED_WHOLE and rotated != shape.key_length:
        raise Malformed(f"its rope.dimension_count is {rotated}, and its heads have {shape.key_length} numbers")


def _check_vocabulary(arrays: Mapping[str, Array]) -> int:
    """Return the number of tokens."""
    tokens = arrays.get("tokenizer.ggml.tokens")
    if tokens is None or tokens.type != STRING or not tokens.length:
        raise Malformed("it holds no vocabulary")
    for name, kinds in (("scores", (FLOAT32, INT32)), ("token_type", (INT32,))):
        array = arrays.get(f"tokenizer.ggml.{name}")
        if array is not None and (array.type not in kinds or array.length != tokens.length):
            raise Malformed(f"its vocabulary has {tokens.length} tokens, but not as many of their {name}")
    return tokens.length


def _quantization(file_type: Scalar | None, tensors: tuple[Tensor, ...]) -> str:
    names = dict(enumerate(_FILE_TYPES.split()))
    if isinstance(file_type, int) and names.get(file_type, "-") != "-":
        return names[file_type]
    bytes_by_type: Counter[int] = Counter()
    for tensor in tensors:
        bytes_by_type[tensor.type] += tensor.bytes
    return TENSOR_TYPES[bytes_by_type.most_common(1)[0][0]][0]


_ROTATED_WHOLE = frozenset({"llama", "qwen2", "qwen2moe", "qwen3", "qwen3moe"})
"""Architectures in which the rotary embedding turns whole heads."""


def memory_needed(info: GgufInfo, context_size: int) -> Memory:
    """Return what the model takes with a context of so many tokens, its cache in F16. Layers that look back over a
    window only are counted whole, so it may take less.

    Raises ModelBad where the file's numbers are missing or absurd.
    """
    try:
        shape = _Shape(info)
        cells = -(-context_size // 256) * 256  # llama.cpp rounds up
        cache = 2 * cells * sum(shape.heads_kv) * (shape.key_length + shape.value_length)
        # The largest buffer holds a batch's logits, or for a model that has none, its widest layer's numbers.
        buffers = 4 * BATCH * (8 * shape.width if info.embeds else info.vocabulary_size + 4 * shape.width)
        return Memory(info.size, cache, buffers)
    except Malformed as error:
        raise bad(info.path, str(error)) from None


class _Shape:
    """The numbers of a model's attention: heads for each layer, and lengths of a head's vectors."""

    def __init__(self, info: GgufInfo) -> None:
        self._info = info
        self.layers = self._number("block_count", MAX_LAYERS, least=1)
        self.width = self._number("embedding_length", 1 << 20, least=1)
        heads = self._numbers("attention.head_count", (0,) * self.layers)
        self.heads_kv = self._numbers("attention.head_count_kv", heads)
        length = self.width // heads[0] if heads[0] else 0
        self.key_length = self._number("attention.key_length", 1 << 16, otherwise=length)
        self.value_length = self._number("attention.value_length", 1 << 16, otherwise=length)

    def _number(self, name: str, most: int, *, least: int = 0, otherwise: int = -1) -> int:
        return self._bounded(name, self._info.metadata.get(f"{self._info.architecture}.{name}", otherwise), most, least)

    def _numbers(self, name: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        """Return one number for each layer, which the file gives as a number or as an array."""
        key = f"{self._info.architecture}.{name}"
        if key in self._info.arrays:
            numbers = self._info.lists.get(key, ())
            if len(numbers) < self.layers:
                raise Malformed(f"its {name} has {len(numbers)} values for {self.layers} layers")
            return tuple(self._bounded(name, number, 1 << 16, 0) for number in numbers[: self.layers])
        if key in self._info.metadata:
            return (self._number(name, 1 << 16),) * self.layers
        return otherwise

    @staticmethod
    def _bounded(name: str, number: Scalar, most: int, least: int) -> int:
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            said = "missing" if number == -1 else str(number)[:40]
            raise Malformed(f"its {name} is {said}")
        return number


_NO_WEIGHTS = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
"""Types in which nothing can be multiplied by a matrix."""


def inspect_adapter(path: Path, base: GgufInfo) -> AdapterInfo:
    """Check that a file is a LoRA adapter for `base`, and return what it says.

    Raises ModelMissing where there is no file, and ModelBad with the reason where it is none, or is for another model.
    """
    contents = read(path, "--adapter")
    try:
        return _adapter(path, contents, base)
    except Malformed as error:
        raise ModelBad(f"{path}: {error}", "give --adapter a LoRA adapter that was trained for this model") from None


def _adapter(path: Path, contents: Contents, base: GgufInfo) -> AdapterInfo:
    metadata = contents.metadata
    if metadata.get("general.type") != "adapter":
        raise Malformed("it is no adapter")
    if metadata.get("adapter.type") != "lora":
        raise Malformed("it is an adapter, but not of the LoRA kind")
    architecture = metadata.get("general.architecture")
    if architecture != base.architecture:
        reason = f"the adapter is for the architecture {architecture}, the model is {base.architecture}"
        raise Malformed(reason)
    alpha = metadata.get("adapter.lora.alpha", 0.0)
    if contents.types.get("adapter.lora.alpha", FLOAT32) != FLOAT32 or not math.isfinite(float(alpha)):
        raise Malformed(f"its alpha is {str(alpha)[:40]}")
    pairs = _pairs(contents.tensors)
    for name, pair in pairs.items():
        _check_pair(name, pair, base)
    rank = max(pair["b"].dimensions[0] for pair in pairs.values())
    return AdapterInfo(path, contents.size, rank, float(alpha), 2 * len(pairs))


def _pairs(tensors: tuple[Tensor, ...]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors "a" and "b" for each name of the model's."""
    pairs: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        name, _, part = tensor.name.rpartition(".lora_")
        if name and part in ("a", "b"):
            pairs.setdefault(name, {})[part] = tensor
        elif not tensor.name.endswith("_norm.weight"):  # llama.cpp passes over these
            raise Malformed(f"its tensor {tensor.name!r} is no part of a LoRA adapter")
        if TENSOR_TYPES[tensor.type][0] in _NO_WEIGHTS:
            raise Malformed(f"its tensor {tensor.name!r} holds no weights")
    if not pairs:
        raise Malformed("it changes nothing")
    return pairs


def _check_pair(name: str, pair: Mapping[str, Tensor], base: GgufInfo) -> None:
    if len(pair) < 2:
        raise Malformed(f"it has one half only of its change to {name!r}")
    if name not in base.tensors:
        raise Malformed(f"it changes the tensor {name!r}, which the model does not have")
    whole, a, b = (_four(d) for d in (base.tensors[name], pair["a"].dimensions, pair["b"].dimensions))
    if name == "token_embd.weight":  # whose halves change places
        fits = (a[0], b[1], a[1]) == (b[0], whole[0], whole[1])
    else:
        fits = (a[0], a[1], b[1]) == (whole[0], b[0], whole[1])
    if not fits or not whole[2:] == a[2:] == b[2:]:
        raise Malformed(f"its change to {name!r} has other dimensions than the model's tensor")


def _four(dimensions: tuple[int, ...]) -> tuple[int, ...]:
    """Return four dimensions: a file may leave out those of 1 at the end."""
    return dimensions + (1,) * (4 - len(dimensions))
