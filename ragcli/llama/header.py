"""The header of a GGUF file, read in bounded pieces, with no number in it trusted.

The format is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: magic, version, counts, metadata (key,
type, value), tensor table (name, dimensions, type, offset), padding, data.
"""

from __future__ import annotations

import math
import struct
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
_MAX_LIST = 1024
"""Numbers in an array that is kept: one for each layer, of which llama.cpp takes 512."""

UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Metadata value types and how `struct` reads them."""

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

Scalar = int | float | bool | str


class Array(NamedTuple):
    """Where an array lies: type of its values, how many, and the bytes from `start` to `end` of the file."""

    type: int
    length: int
    start: int
    end: int


class Tensor(NamedTuple):
    """A row of the tensor table. The first dimension is the length of a row."""

    name: str
    dimensions: tuple[int, ...]
    type: int
    offset: int

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.dimensions)

    @property
    def bytes(self) -> int:
        """How many bytes they take."""
        _, block, size = TENSOR_TYPES[self.type]
        return self.elements // block * size


@dataclass(frozen=True, slots=True)
class Contents:
    """A header whose parts fit each other and the file.

    `metadata` holds every value that is not an array, `types` the metadata type of each, `lists` the short arrays of
    numbers, and `arrays` where each array lies.
    """

    size: int
    metadata: dict[str, Scalar]
    types: dict[str, int]
    lists: dict[str, tuple[int | float, ...]]
    arrays: dict[str, Array]
    tensors: tuple[Tensor, ...]


class Malformed(Exception):
    """Why a file cannot be used."""


def read(path: Path, flag: str = "--model") -> Contents:
    """Return what the file's header says, when it is whole.

    Raises ModelMissing where there is no file, and ModelBad with the reason where it is not a whole GGUF file. `flag`
    is the one with which the user named it.
    """
    try:
        if path.exists() and not path.is_file():
            raise Malformed("it is not a file")
        with path.open("rb") as stream:
            return _read(stream)
    except FileNotFoundError:
        raise ModelMissing(f"{path}: no such file", f"give {flag} the path of a GGUF file") from None
    except Malformed as error:
        raise bad(path, str(error), flag) from None
    except OSError as error:
        raise ModelBad(f"{path}: {error.strerror or error}", f"give {flag} a GGUF file that can be read") from None


def read_strings(path: Path, array: Array) -> list[bytes]:
    """Return the texts of an array. Raises OSError."""
    data = _bytes(path, array)
    unpack = struct.Struct("<Q").unpack_from
    texts = []
    position = 0
    for _ in range(array.length):
        start = position + 8
        if start > len(data):
            raise OSError("the file changed")
        position = start + unpack(data, position)[0]
        texts.append(data[start:position])
    return texts


def read_numbers(path: Path, array: Array) -> tuple[int | float, ...]:
    """Return the numbers of an array. Raises OSError."""
    return struct.unpack(f"<{array.length}{SCALARS[array.type]}", _bytes(path, array))


def _bytes(path: Path, array: Array) -> bytes:
    with path.open("rb") as stream:
        stream.seek(array.start)
        data = stream.read(array.end - array.start)
    if len(data) < array.end - array.start:
        raise OSError("the file became shorter")
    return data


def bad(path: Path, reason: str, flag: str = "--model") -> ModelBad:
    """Return the error that says why a file cannot be used."""
    return ModelBad(f"{path}: {reason}", f"download the file again, or give {flag} another GGUF file")


def _read(stream: BinaryIO) -> Contents:
    size = stream.seek(0, 2)
    stream.seek(0)
    header = _Header(stream, min(size, MAX_HEADER))
    tensor_count, metadata_count = _counts(header)
    contents = Contents(size, {}, {}, {}, {}, ())
    for _ in range(metadata_count):
        _read_value(header, contents)
    tensors = _read_tensors(header, tensor_count)
    _check_data(tensors, header.position, contents)
    return Contents(size, contents.metadata, contents.types, contents.lists, contents.arrays, tuple(tensors))


class _Header:
    """The beginning of a file, read as far as needed and never past `limit`. All numbers are little-endian."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self.limit = limit
        self._data = b""
        self.position = 0

    def _need(self, count: int) -> None:
        """Make sure that `count` more bytes are in memory. Raises Malformed where the file has fewer."""
        end = self.position + count
        if end <= len(self._data):
            return
        if end > self.limit:
            raise Malformed("its header is cut off, or larger than any real one")
        wanted = min(self.limit, max(end, 2 * len(self._data), 1 << 20))
        self._data += self._stream.read(wanted - len(self._data))
        if end > len(self._data):
            raise Malformed("it became shorter while it was read")

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
            raise Malformed(f"a text in its header has {size} bytes")
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
                    raise Malformed(f"a text in its header has {size} bytes")
                position += 8 + size
                count -= 1
            self.position = min(position, len(data))
            self.skip(position - self.position)


def _counts(header: _Header) -> tuple[int, int]:
    """Return the numbers of tensors and of metadata values."""
    if header.limit < 24:
        raise Malformed("it is no GGUF file: it is too short")
    if header.integer("I") != int.from_bytes(b"GGUF", "little"):
        raise Malformed("it is no GGUF file")
    version = header.integer("I")
    if version not in (2, 3):
        reason = "is big-endian" if version in (2 << 24, 3 << 24) else f"has GGUF version {version}; 2 and 3 are known"
        raise Malformed(f"it {reason}")
    tensors, metadata = header.integer("Q"), header.integer("Q")
    if tensors > _MAX_TENSORS or metadata > _MAX_METADATA:
        raise Malformed(f"its header claims {tensors} tensors and {metadata} metadata values")
    if tensors == 0:
        raise Malformed("it holds a vocabulary only, no model")
    return tensors, metadata


def _read_value(header: _Header, contents: Contents) -> None:
    key = header.string(_MAX_KEY)
    if not key or key in contents.types:
        raise Malformed(f"its metadata has an empty or doubled key {key[:80]!r}")
    kind = contents.types[key] = header.integer("I")
    if kind == ARRAY:
        _read_array(header, key, contents)
    elif kind == STRING:
        contents.metadata[key] = header.string(_MAX_STRING)
    elif kind in SCALARS:
        contents.metadata[key] = header.number(SCALARS[kind])
    else:
        raise Malformed(f"its metadata {key[:80]!r} has an unknown type {kind}")


def _read_array(header: _Header, key: str, contents: Contents) -> None:
    kind, count = header.integer("I"), header.integer("Q")
    start = header.position
    if count > MAX_HEADER:
        raise Malformed(f"its metadata {key[:80]!r} claims {count} values")
    if kind == STRING:
        header.skip_strings(count)
    elif kind in SCALARS and count <= _MAX_LIST:
        contents.lists[key] = tuple(header.number(SCALARS[kind]) for _ in range(count))
    elif kind in SCALARS:
        header.skip(count * struct.calcsize("<" + SCALARS[kind]))
    else:
        raise Malformed(f"its metadata {key[:80]!r} is an array of type {kind}")
    contents.arrays[key] = Array(kind, count, start, header.position)


def _read_tensors(header: _Header, count: int) -> list[Tensor]:
    tensors = []
    for _ in range(count):
        name = header.string(_MAX_NAME - 1)
        rank = header.integer("I")
        if not 1 <= rank <= _MAX_DIMENSIONS:
            raise Malformed(f"its tensor {name!r} has {rank} dimensions")
        dimensions = tuple(header.integer("Q") for _ in range(rank))
        tensor = Tensor(name, dimensions, header.integer("I"), header.integer("Q"))
        if tensor.type not in TENSOR_TYPES:
            raise Malformed(f"its tensor {name!r} has an unknown type {tensor.type}")
        if not all(dimensions) or tensor.elements >= 1 << 62 or dimensions[0] % TENSOR_TYPES[tensor.type][1]:
            raise Malformed(f"its tensor {name!r} has impossible dimensions")
        tensors.append(tensor)
    if len({t.name for t in tensors}) < count:
        raise Malformed("two of its tensors have one name")
    return tensors


def _check_data(tensors: list[Tensor], header_end: int, contents: Contents) -> None:
    """Raise Malformed unless the tensors lie one after another, aligned, and inside the file, as ggml wants them."""
    alignment = contents.metadata.get("general.alignment", 32)
    kind = contents.types.get("general.alignment", UINT32)
    if kind != UINT32 or not isinstance(alignment, int) or not 0 < alignment <= _MAX_ALIGNMENT:
        raise Malformed(f"its alignment is {alignment}")
    if alignment & (alignment - 1):
        raise Malformed(f"its alignment is {alignment}")
    start = _padded(header_end, alignment)
    expected = 0
    for tensor in tensors:
        if tensor.offset != expected:
            raise Malformed(f"its tensor {tensor.name!r} does not lie where the one before it ends")
        if start + expected + tensor.bytes > contents.size:
            raise Malformed(f"it is cut off: its tensor {tensor.name!r} lies past the end of the file")
        expected = _padded(expected + tensor.bytes, alignment)


def _padded(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
