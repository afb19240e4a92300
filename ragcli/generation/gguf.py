"""GGUF file -> what it holds, checked before llama.cpp sees it.

llama.cpp aborts the process on many malformed files, so a file is read here first: the header only, in bounded
pieces, trusting no number in it. The format is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md:
magic, version, counts, metadata (key, type, value), tensor table (name, dimensions, type, offset), padding, data.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ragcli.errors import ModelBad, ModelMissing

MAX_HEADER = 256 << 20
_MAX_METADATA = 100_000
_MAX_TENSORS = 100_000
_MAX_KEY = 1 << 16
_MAX_STRING = 4 << 20
_MAX_NAME = 64  # ggml's own limit for a tensor's name
_MAX_DIMENSIONS = 4
_MAX_ALIGNMENT = 1 << 16

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Metadata value types and how `struct` reads them."""
_STRING, _ARRAY = 8, 9

TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
"""Tensor types: name, elements in a block, bytes of a block."""

_FILE_TYPES = """F32 F16 Q4_0 Q4_1 - - - Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K
    IQ2_XXS IQ2_XS Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16"""
"""Names of `general.file_type` from 0 on, as people know them."""

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """A language model file that passed its checks.

    `size` is in bytes, `parameters` counts weights, `context_length` is the longest context it was trained for (0 where
    the file does not say). `metadata` holds every value that is not an array.
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
    metadata: dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class _Array:
    type: int
    count: int


class _Tensor(NamedTuple):
    name: str
    dimensions: tuple[int, ...]
    type: int
    offset: int

    @property
    def elements(self) -> int:
        return math.prod(self.dimensions)

    @property
    def bytes(self) -> int:
        _, block, size = TENSOR_TYPES[self.type]
        return self.elements // block * size


def inspect(path: Path) -> GgufInfo:
    """Check the file's header and return what it says.

    Raises ModelMissing where there is no file, and ModelBad with the reason where it is not a whole language model.
    """
    try:
        if path.exists() and not path.is_file():
            raise _Malformed("it is not a file")
        with path.open("rb") as stream:
            return _inspect(path, stream)
    except FileNotFoundError:
        raise ModelMissing(f"{path}: no such file", "give --model the path of a GGUF file") from None
    except _Malformed as error:
        raise ModelBad(f"{path}: {error}", "download the file again, or give --model another GGUF file") from None
    except OSError as error:
        raise ModelBad(f"{path}: {error.strerror or error}", "give --model a GGUF file that can be read") from None


def _inspect(path: Path, stream: BinaryIO) -> GgufInfo:
    size = stream.seek(0, 2)
    stream.seek(0)
    header = _Header(stream, min(size, MAX_HEADER))
    tensor_count, metadata_count = _counts(header)
    metadata, arrays = _read_metadata(header, metadata_count)
    tensors = _read_tensors(header, tensor_count)
    _check_data(tensors, header.position, size, metadata.get("general.alignment", 32))
    vocabulary_size = _check_vocabulary(arrays)
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise _Malformed("it names no architecture")
    template = metadata.get("tokenizer.chat_template")
    context_length = metadata.get(f"{architecture}.context_length", 0)
    return GgufInfo(
        path=path,
        size=size,
        name=str(metadata.get("general.name", path.stem)),
        architecture=architecture,
        parameters=sum(t.elements for t in tensors),
        context_length=context_length if isinstance(context_length, int) and context_length > 0 else 0,
        quantization=_quantization(metadata.get("general.file_type"), tensors),
        chat_template=template if isinstance(template, str) else None,
        vocabulary_size=vocabulary_size,
        tokenizer=str(metadata.get("tokenizer.ggml.model", "")),
        metadata=metadata,
    )


class _Malformed(Exception):
    """Why the file cannot be used."""


class _Header:
    """The beginning of a file, read as far as needed and never past `limit`. All numbers are little-endian."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self.limit = limit
        self._data = b""
        self.position = 0

    def _need(self, count: int) -> None:
        """Make sure that `count` more bytes are in memory. Raises _Malformed where the file has fewer."""
        end = self.position + count
        if end <= len(self._data):
            return
        if end > self.limit:
            raise _Malformed("its header is cut off, or larger than any real one")
        wanted = min(self.limit, max(end, 2 * len(self._data), 1 << 20))
        self._data += self._stream.read(wanted - len(self._data))
        if end > len(self._data):
            raise _Malformed("it became shorter while it was read")

    def skip(self, count: int) -> None:
        self._need(count)
        self.position += count

    def number(self, format: str) -> int | float | bool:
        size = struct.calcsize("<" + format)
        self._need(size)
        (value,) = struct.unpack_from("<" + format, self._data, self.position)
        self.position += size
        return value  # type: ignore[no-any-return]

    def integer(self, format: str) -> int:
        return int(self.number(format))

    def string(self, longest: int) -> str:
        size = self.integer("Q")
        if size > longest:
            raise _Malformed(f"a text in its header has {size} bytes")
        self._need(size)
        text = self._data[self.position : self.position + size]
        self.position += size
        return text.decode("utf-8", "replace")

    def skip_strings(self, count: int) -> None:
        """Pass over `count` strings. A vocabulary has some 150,000, so this loop is kept tight."""
        unpack = struct.Struct("<Q").unpack_from
        while count:
            self._need(8)
            data, position, end = self._data, self.position, len(self._data) - 8
            while count and position <= end:
                size = unpack(data, position)[0]
                if size > _MAX_STRING:
                    raise _Malformed(f"a text in its header has {size} bytes")
                position += 8 + size
                count -= 1
            self.position = min(position, len(data))
            self.skip(position - self.position)


def _counts(header: _Header) -> tuple[int, int]:
    """Return the numbers of tensors and of metadata values."""
    if header.limit < 24:
        raise _Malformed("it is no GGUF file: it is too short")
    if header.integer("I") != int.from_bytes(b"GGUF", "little"):
        raise _Malformed("it is no GGUF file")
    version = header.integer("I")
    if version not in (2, 3):
        reason = "is big-endian" if version in (2 << 24, 3 << 24) else f"has GGUF version {version}; 2 and 3 are known"
        raise _Malformed(f"it {reason}")
    tensors, metadata = header.integer("Q"), header.integer("Q")
    if tensors > _MAX_TENSORS or metadata > _MAX_METADATA:
        raise _Malformed(f"its header claims {tensors} tensors and {metadata} metadata values")
    if tensors == 0:
        raise _Malformed("it holds a vocabulary only, no model")
    return tensors, metadata


def _read_metadata(header: _Header, count: int) -> tuple[dict[str, Scalar], dict[str, _Array]]:
    scalars: dict[str, Scalar] = {}
    arrays: dict[str, _Array] = {}
    for _ in range(count):
        key = header.string(_MAX_KEY)
        if not key or key in scalars or key in arrays:
            raise _Malformed(f"its metadata has an empty or doubled key {key[:80]!r}")
        kind = header.integer("I")
        if kind == _ARRAY:
            arrays[key] = _skip_array(header, key)
        elif kind == _STRING:
            scalars[key] = header.string(_MAX_STRING)
        elif kind in _SCALARS:
            scalars[key] = header.number(_SCALARS[kind])
        else:
            raise _Malformed(f"its metadata {key[:80]!r} has an unknown type {kind}")
    return scalars, arrays


def _skip_array(header: _Header, key: str) -> _Array:
    kind, count = header.integer("I"), header.integer("Q")
    if count > MAX_HEADER:
        raise _Malformed(f"its metadata {key[:80]!r} claims {count} values")
    if kind == _STRING:
        header.skip_strings(count)
    elif kind in _SCALARS:
        header.skip(count * struct.calcsize("<" + _SCALARS[kind]))
    else:
        raise _Malformed(f"its metadata {key[:80]!r} is an array of type {kind}")
    return _Array(kind, count)


def _read_tensors(header: _Header, count: int) -> list[_Tensor]:
    tensors = []
    for _ in range(count):
        name = header.string(_MAX_NAME - 1)
        rank = header.integer("I")
        if not 1 <= rank <= _MAX_DIMENSIONS:
            raise _Malformed(f"its tensor {name!r} has {rank} dimensions")
        dimensions = tuple(header.integer("Q") for _ in range(rank))
        tensor = _Tensor(name, dimensions, header.integer("I"), header.integer("Q"))
        if tensor.type not in TENSOR_TYPES:
            raise _Malformed(f"its tensor {name!r} has an unknown type {tensor.type}")
        if not all(dimensions) or tensor.elements >= 1 << 62 or dimensions[0] % TENSOR_TYPES[tensor.type][1]:
            raise _Malformed(f"its tensor {name!r} has impossible dimensions")
        tensors.append(tensor)
    if len({t.name for t in tensors}) < count:
        raise _Malformed("two of its tensors have one name")
    return tensors


def _check_data(tensors: list[_Tensor], header_end: int, size: int, alignment: Scalar) -> None:
    """Raise _Malformed unless the tensors lie one after another, aligned, and inside the file, as ggml wants them."""
    if not isinstance(alignment, int) or not 0 < alignment <= _MAX_ALIGNMENT or alignment & (alignment - 1):
        raise _Malformed(f"its alignment is {alignment}")
    start = _padded(header_end, alignment)
    expected = 0
    for tensor in tensors:
        if tensor.offset != expected:
            raise _Malformed(f"its tensor {tensor.name!r} does not lie where the one before it ends")
        if start + expected + tensor.bytes > size:
            raise _Malformed(f"it is cut off: its tensor {tensor.name!r} lies past the end of the file")
        expected = _padded(expected + tensor.bytes, alignment)


def _padded(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _check_vocabulary(arrays: dict[str, _Array]) -> int:
    """Return the number of tokens."""
    tokens = arrays.get("tokenizer.ggml.tokens")
    if tokens is None or tokens.type != _STRING or not tokens.count:
        raise _Malformed("it holds no vocabulary")
    for name, kind in (("scores", 6), ("token_type", 5)):
        array = arrays.get(f"tokenizer.ggml.{name}")
        if array is not None and array != _Array(kind, tokens.count):
            raise _Malformed(f"its vocabulary has {tokens.count} tokens, but not as many of their {name}")
    return tokens.count


def _quantization(file_type: Scalar | None, tensors: list[_Tensor]) -> str:
    names = dict(enumerate(_FILE_TYPES.split()))
    if isinstance(file_type, int) and names.get(file_type, "-") != "-":
        return names[file_type]
    bytes_by_type: Counter[int] = Counter()
    for tensor in tensors:
        bytes_by_type[tensor.type] += tensor.bytes
    return TENSOR_TYPES[bytes_by_type.most_common(1)[0][0]][0]
