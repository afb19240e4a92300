"""The check of a GGUF file: what it reads is right, and nothing in a file makes it crash, hang or trust."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from llama.llama_types import Build

from ragcli.errors import ModelBad, ModelMissing
from ragcli.llama.gguf import Memory, inspect, inspect_adapter, memory_needed
from ragcli.llama.header import MAX_HEADER, TENSOR_TYPES


def pack(*parts: tuple[str, Any] | bytes) -> bytes:
    """Return little-endian numbers, and raw bytes as they are."""
    return b"".join(p if isinstance(p, bytes) else struct.pack("<" + p[0], p[1]) for p in parts)


def text(value: str) -> bytes:
    """Return a GGUF string."""
    return pack(("Q", len(value.encode())), value.encode())


ARCHITECTURE = text("general.architecture") + pack(("I", 8)) + text("llama")
VOCABULARY = text("tokenizer.ggml.tokens") + pack(("I", 9), ("I", 8), ("Q", 2)) + text("a") + text("b")


def tensor(name: str = "t", dimensions: tuple[int, ...] = (32, 2), kind: int = 0, offset: int = 0) -> bytes:
    """Return a row of the tensor table."""
    return text(name) + pack(("I", len(dimensions)), *(("Q", d) for d in dimensions), ("I", kind), ("Q", offset))


def file(
    metadata: tuple[bytes, ...] = (ARCHITECTURE, VOCABULARY),
    tensors: tuple[bytes, ...] = (tensor(),),
    data: int = 256,
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """Return a GGUF file of these parts, with `data` bytes of tensors. As given, it is sound."""
    tensor_count, metadata_count = counts or (len(tensors), len(metadata))
    header = b"GGUF" + pack(("I", version), ("Q", tensor_count), ("Q", metadata_count), *metadata, *tensors)
    return header + bytes(-len(header) % 32) + bytes(data)


@pytest.fixture
def check(tmp_path: Path) -> Callable[[bytes], Any]:
    """Inspect a file of these bytes."""

    def check(data: bytes) -> Any:
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return inspect(path)

    return check


@pytest.mark.parametrize("quantize", [None, "Q8_0", "Q4_K_M"])
def test_what_a_file_says_of_itself(build: Build, quantize: str | None) -> None:
    path = build(quantize=quantize)
    info = inspect(path)
    reader = gguf.GGUFReader(path)
    assert info.parameters == sum(int(t.n_elements) for t in reader.tensors)
    assert info.vocabulary_size == len(reader.fields["tokenizer.ggml.tokens"].data)
    assert (info.architecture, info.name, info.tokenizer) == ("llama", "tiny", "gpt2")
    assert info.quantization == (quantize or "F16")
    assert info.context_length == info.metadata["llama.context_length"] == 32768
    assert info.chat_template == tiny_gguf.CHATML
    assert info.size == path.stat().st_size
    assert inspect(build(chat_template=None)).chat_template is None


def test_the_table_of_tensor_types_is_that_of_ggml() -> None:
    import llama_cpp

    (library,) = Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so")
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    ggml.ggml_type_name.restype = ctypes.c_char_p
    known = {
        kind: (ggml.ggml_type_name(kind).decode().upper(), ggml.ggml_blck_size(kind), ggml.ggml_type_size(kind))
        for kind in range(llama_cpp.GGML_TYPE_COUNT)
        if ggml.ggml_type_size(kind)
    }
    assert known == {kind: (name.upper(), *sizes) for kind, (name, *sizes) in TENSOR_TYPES.items()}


def test_sound_files(check: Callable[[bytes], Any]) -> None:
    assert check(file()).parameters == 64
    assert check(file()).quantization == "F32"  # of most bytes, where the file does not say
    assert check(file(version=2)).parameters == 64
    two = file(tensors=(tensor("a", (33,)), tensor("b", (32,), 8, 160)), data=160 + 34)
    assert check(two).parameters == 65  # the first is padded to 160 bytes, the last need not be
    aligned = text("general.alignment") + pack(("I", 4), ("I", 8))
    assert check(file(metadata=(ARCHITECTURE, VOCABULARY, aligned))).parameters == 64


def number(key: str, value: float, form: str = "I") -> bytes:
    """Return a metadata value: an unsigned integer, a float ("f") or another kind."""
    return text(key) + pack(("I", {"I": 4, "i": 5, "f": 6, "Q": 10, "d": 12}[form]), (form, value))


def shape(**numbers: Any) -> tuple[bytes, ...]:
    """Return the metadata of a Llama of 2 layers with 4 heads, but for these numbers of it."""
    values: dict[str, Any] = {"block_count": 2, "embedding_length": 64, "attention.head_count": 4} | numbers
    rows = []
    for name, value in values.items():
        if isinstance(value, tuple):
            array = pack(("I", 9), ("I", 5), ("Q", len(value)), *(("i", v) for v in value))
            rows.append(text(f"llama.{name}") + array)
        else:
            rows.append(number(f"llama.{name}", value, "f" if isinstance(value, float) else "I"))
    return (ARCHITECTURE, VOCABULARY, *rows)


SAME_TOKENS = text("tokenizer.ggml.tokens") + pack(("I", 9), ("I", 8), ("Q", 2)) + text("a") + text("a")
DOUBLED = (ARCHITECTURE, ARCHITECTURE, VOCABULARY)
SCORES = text("tokenizer.ggml.scores") + pack(("I", 9), ("I", 6), ("Q", 1), ("f", 0.0))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too short"),
        (b"GGUF", "too short"),
        (b"PK\3\4" + bytes(100), "no GGUF file"),
        (file(version=1), "version 1"),
        (file(version=4), "version 4"),
        (file(version=3 << 24), "big-endian"),
        (file(tensors=(), data=0), "vocabulary only"),
        (file(counts=(1 << 40, 2)), "claims"),
        (file(counts=(1, 1 << 63)), "claims"),
        (file(counts=(1, 40)), "unknown type|empty or doubled|cut off|bytes"),
        (file(metadata=(VOCABULARY,)), "no architecture"),
        (file(metadata=(ARCHITECTURE,)), "no vocabulary"),
        (file(metadata=DOUBLED), "doubled key"),
        (file(metadata=(ARCHITECTURE, VOCABULARY, SCORES)), "not as many of their scores"),
        (file(metadata=(text("x") + pack(("I", 13)),)), "unknown type 13"),
        (file(metadata=(text("x") + pack(("I", 8), ("Q", 1 << 62)),)), "bytes"),
        (file(metadata=(pack(("Q", 1 << 62)),)), "bytes"),
        (file(metadata=(text("x") + pack(("I", 9), ("I", 8), ("Q", 1 << 62)),)), "claims"),
        (file(metadata=(text("x") + pack(("I", 9), ("I", 10), ("Q", 1 << 27)),)), "cut off"),
        (file(metadata=(text("x") + pack(("I", 9), ("I", 8), ("Q", 1 << 20)),)), "cut off|bytes"),
        (file(metadata=(text("x") + pack(("I", 9), ("I", 9), ("Q", 1)),)), "array of type 9"),
        (file(metadata=(ARCHITECTURE, VOCABULARY, text("general.alignment") + pack(("I", 4), ("I", 24)))), "alignment"),
        (file(metadata=(ARCHITECTURE, VOCABULARY, text("general.alignment") + pack(("I", 4), ("I", 0)))), "alignment"),
        (file(metadata=(ARCHITECTURE, SAME_TOKENS)), "two of its tokens are the same"),
        (file(metadata=(ARCHITECTURE, VOCABULARY, text("general.type") + pack(("I", 8)) + text("adapter"))), "adapter"),
        (file(metadata=(ARCHITECTURE, VOCABULARY, number("general.alignment", 32, "Q"))), "alignment"),
        (file(metadata=shape(block_count=0)), "block_count is 0"),
        (file(metadata=shape(block_count=513)), "block_count is 513"),
        (file(metadata=shape(block_count=2.0)), "block_count is 2.0"),
        (file(metadata=shape(embedding_length=0)), "embedding_length is 0"),
        (file(metadata=shape(embedding_length=1 << 31)), "embedding_length is 2147483648"),
        (file(metadata=shape(**{"attention.head_count": 1 << 20})), "head_count is 1048576"),
        (file(metadata=shape(**{"attention.head_count_kv": (4,)})), "head_count_kv has 1 values for 2 layers"),
        (file(metadata=shape(**{"attention.head_count_kv": (4, -4)})), "head_count_kv is -4"),
        (file(metadata=shape(**{"attention.key_length": 1 << 30})), "key_length is"),
        (file(metadata=shape(**{"rope.dimension_count": 128})), "rope.dimension_count is 128"),
        (file(metadata=shape(**{"rope.dimension_count": 8})), "rope.dimension_count is 8, and its heads have 16"),
        (file(metadata=shape(**{"attention.layer_norm_rms_epsilon": -1e-5})), "epsilon is -"),
        (file(metadata=shape(**{"attention.layer_norm_rms_epsilon": float("nan")})), "epsilon is nan"),
        (file(tensors=(tensor("n" * 64),)), "bytes"),
        (file(tensors=(tensor(dimensions=()),)), "0 dimensions"),
        (file(tensors=(tensor(dimensions=(1, 1, 1, 1, 1)),)), "5 dimensions"),
        (file(tensors=(tensor(dimensions=(0, 4)),)), "impossible"),
        (file(tensors=(tensor(dimensions=(1 << 40, 1 << 40)),)), "impossible"),
        (file(tensors=(tensor(dimensions=(33,), kind=8),)), "impossible"),
        (file(tensors=(tensor(kind=4),)), "unknown type 4"),
        (file(tensors=(tensor(offset=32),)), "does not lie"),
        (file(tensors=(tensor("a"), tensor("a", offset=256)), data=512), "one name"),
        (file(data=255), "cut off"),
        (file(tensors=(tensor("a"), tensor("b", offset=256)), data=300), "cut off"),
    ],
)
def test_bad_files(check: Callable[[bytes], Any], data: bytes, reason: str) -> None:
    with pytest.raises(ModelBad, match=reason) as caught:
        check(data)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_header_is_bounded(tmp_path: Path) -> None:
    """A file that claims texts without end, and has room for them (without taking it on the disk)."""
    path = tmp_path / "huge.gguf"
    header = b"GGUF" + pack(("I", 3), ("Q", 1), ("Q", 1)) + text("x") + pack(("I", 9), ("I", 10), ("Q", 1 << 28))
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(16 * MAX_HEADER)
    start = time.monotonic()
    with pytest.raises(ModelBad, match="larger than any real one"):
        inspect(path)
    assert time.monotonic() - start < 0.5


def test_a_large_vocabulary_takes_less_than_half_a_second(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list([f"token {i} 词" for i in range(150_000)])
    writer.add_token_types([1] * 150_000)
    writer.add_token_merges([f"a{i} b{i}" for i in range(280_000)])
    writer.add_tensor("t", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    times = []
    for _ in range(3):
        start = time.monotonic()
        assert inspect(path).vocabulary_size == 150_000
        times.append(time.monotonic() - start)
    assert min(times) < 0.5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ModelBad, match="not a file"):
            inspect(path)
    with pytest.raises(ModelMissing):
        inspect(tmp_path / "none")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(file())), st.integers(0, 60))
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, replaced: int) -> None:
    whole = file()
    path = tmp_path_factory.getbasetemp() / "noise.gguf"
    path.write_bytes(whole[:at] + noise + whole[at + replaced :])
    with contextlib.suppress(ModelBad):
        assert inspect(path).size == path.stat().st_size


def test_the_memory_that_a_model_needs(build: Build, check: Callable[[bytes], Any]) -> None:
    info = check(file(metadata=shape()))
    assert memory_needed(info, 1000) == Memory(
        weights=info.size,
        cache=2 * 2 * 4 * (16 + 16) * 1024,  # bytes, layers, heads, numbers of a key and a value, cells
        buffers=4 * 512 * (2 + 4 * 64),
    )
    uneven: dict[str, Any] = {"attention.head_count_kv": (1, 0), "attention.key_length": 24, "rope.dimension_count": 24}
    few = check(file(metadata=shape(**uneven)))
    assert memory_needed(few, 256).cache == 2 * 1 * (24 + 16) * 256
    grouped = check(file(metadata=shape(**{"attention.head_count_kv": 2})))
    assert memory_needed(grouped, 256).cache * 2 == memory_needed(info, 256).cache
    real = memory_needed(inspect(build()), 4096)
    assert real.total == real.weights + real.cache + real.buffers < 1 << 28
    with pytest.raises(ModelBad, match="block_count is missing"):
        memory_needed(check(file()), 256)


def test_encoders(tmp_path: Path) -> None:
    """A file of the BERT kind: no chat template, pieces of words, and vectors for what it is given."""
    path = tmp_path / "encoder.gguf"
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_head_count(2)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.CLS)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(["[PAD]", "[UNK]", "▁a", "b"])
    writer.add_token_types([3, 3, 1, 1])
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float16))
    finish(writer)
    info = inspect(path)
    assert (info.embeds, info.tokenizer, info.vocabulary_size, info.chat_template) == (True, "bert", 4, None)
    assert info.tensors == {"token_embd.weight": (32, 4)}
    assert memory_needed(info, 512).buffers == 4 * 512 * 8 * 32


def finish(writer: gguf.GGUFWriter) -> None:
    """Write the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Write a LoRA adapter: each tensor by its name and its rows and columns."""

    def adapter(
        architecture: str = "llama",
        kind: str = "adapter",
        method: str = "lora",
        alpha: float = 8.0,
        numbers: Any = np.float32,
        **tensors: tuple[int, ...],
    ) -> Path:
        path = tmp_path / "adapter.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        writer.add_type(kind)
        writer.add_string("adapter.type", method)
        writer.add_float32("adapter.lora.alpha", alpha)
        for name, rows in tensors.items():
            writer.add_tensor(name, np.zeros(rows, numbers))
        finish(writer)
        return path

    return adapter


WIDTH, QUERY = tiny_gguf.EMBEDDING, "blk.0.attn_q.weight"
PAIR = {f"{QUERY}.lora_a": (4, WIDTH), f"{QUERY}.lora_b": (WIDTH, 4)}


def test_an_adapter(build: Build, adapter: Callable[..., Path]) -> None:
    base = inspect(build(answer=None))
    path = adapter(**PAIR)
    info = inspect_adapter(path, base)
    assert (info.path, info.size, info.rank, info.alpha, info.tensors) == (path, path.stat().st_size, 4, 8.0, 2)
    size = base.vocabulary_size
    embeddings = {"token_embd.weight.lora_a": (size, 2), "token_embd.weight.lora_b": (WIDTH, 2)}
    assert inspect_adapter(adapter(**PAIR, **embeddings, **{"blk.0.attn_norm.weight": (WIDTH,)}), base).tensors == 4
    narrow = {f"{QUERY}.lora_a": (WIDTH,), f"{QUERY}.lora_b": (WIDTH, 1)}  # a file may leave out dimensions of 1
    assert inspect_adapter(adapter(numbers=np.float16, **narrow), base).rank == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"architecture": "gemma2", **PAIR}, "the adapter is for the architecture gemma2, the model is llama"),
        ({"kind": "model", **PAIR}, "it is no adapter"),
        ({"method": "control_vector", **PAIR}, "not of the LoRA kind"),
        ({"alpha": float("nan"), **PAIR}, "alpha is nan"),
        ({"numbers": np.int32, **PAIR}, "holds no weights"),
        ({f"{QUERY}.lora_a": (4, WIDTH)}, "one half only"),
        ({"blk.7.attn_q.weight.lora_a": (4, WIDTH), "blk.7.attn_q.weight.lora_b": (WIDTH, 4)}, "does not have"),
        ({f"{QUERY}.lora_a": (4, WIDTH), f"{QUERY}.lora_b": (WIDTH, 8)}, "other dimensions"),
        ({f"{QUERY}.lora_a": (4, 64), f"{QUERY}.lora_b": (64, 4)}, "other dimensions"),
        ({f"{QUERY}.lora_a": (3, 4, WIDTH), f"{QUERY}.lora_b": (3, WIDTH, 4)}, "other dimensions"),
        ({**PAIR, "something": (4, 4)}, "no part of a LoRA adapter"),
        ({"blk.0.attn_norm.weight": (WIDTH,)}, "changes nothing"),
    ],
)
def test_adapters_for_something_else(
    build: Build, adapter: Callable[..., Path], given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelBad, match=reason) as caught:
        inspect_adapter(adapter(**given), inspect(build(answer=None)))
    assert "--adapter" in caught.value.hint


def test_a_model_is_no_adapter(build: Build, tmp_path: Path) -> None:
    base = inspect(build(answer=None))
    with pytest.raises(ModelBad, match="no adapter"):
        inspect_adapter(base.path, base)
    with pytest.raises(ModelMissing) as caught:
        inspect_adapter(tmp_path / "none", base)
    assert "--adapter" in caught.value.hint
