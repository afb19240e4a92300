"""The check of a GGUF file: what it reads is right, and nothing in a file makes it crash, hang or trust."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_gguf
from generation.generation_types import Build, Open
from hypothesis import given, settings
from hypothesis import strategies as st

from ragcli.errors import ModelBad, ModelError, ModelMissing
from ragcli.generation.base import Message
from ragcli.generation.gguf import MAX_HEADER, TENSOR_TYPES, inspect


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


def damaged(whole: bytes, seed: int) -> bytes:
    """Cut a file, or flip up to 4 bits in its header."""
    chance = random.Random(seed)
    if seed % 2:
        return whole[: chance.randrange(len(whole))]
    data = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(12_000)] ^= 1 << chance.randrange(8)
    return bytes(data)


def test_forty_damaged_models(build: Build, open_model: Open, tmp_path: Path) -> None:
    wholes = [build(quantize="Q8_0").read_bytes(), build(vocabulary="spm").read_bytes()]
    refused = 0
    for seed in range(40):
        path = tmp_path / "damaged.gguf"
        path.write_bytes(damaged(wholes[seed // 2 % 2], seed))
        start = time.monotonic()
        try:
            with open_model(path, context_size=512, seconds=9) as model:
                model.generate([Message("user", "How long?")], max_tokens=8)
        except ModelError as error:
            refused += 1
            assert error.hint and "\n" not in error.message
        assert time.monotonic() - start < 10
    assert refused >= 20  # every cut one; a flipped bit may fall into some token's text
