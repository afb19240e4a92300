"""Files of models: copied, hashed and counted in one pass."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ragcli.errors import ModelBad, ModelError

Progress = Callable[[str, int, int], None]
"""Called with a label, the bytes done, and the bytes in all (0 where that is not known)."""

BLOCK = 1 << 20
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a model in the store. `size` is in bytes."""

    name: str
    sha256: str
    size: int


def no_progress(label: str, done: int, total: int) -> None:
    """Show nothing."""


def copy(stream: IO[bytes], target: Path, size: int, progress: Progress = no_progress) -> StoredFile:
    """Write `stream` to the new file `target`, to the disk, and return what was written.

    Raises ModelBad where the stream does not hold exactly `size` bytes; no more than that is ever written.
    """
    digest = hashlib.sha256()
    done = 0
    with target.open("xb") as out:
        while block := stream.read(min(BLOCK, size - done + 1)):
            done += len(block)
            if done > size:
                break
            out.write(block)
            digest.update(block)
            progress(target.name, done, size)
        out.flush()
        os.fsync(out.fileno())
    if done != size:
        raise ModelBad(f"{target.name}: expected {size} bytes, found {'more' if done > size else done}")
    return StoredFile(target.name, digest.hexdigest(), size)


def describe(path: Path, progress: Progress = no_progress) -> StoredFile:
    """Read the file at `path` and return its name, checksum and size."""
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            done += len(block)
            digest.update(block)
            progress(path.name, done, total)
    return StoredFile(path.name, digest.hexdigest(), done)


def ensure_space(folder: Path, size: int) -> None:
    """Raise ModelError where the disk of `folder` has no room for `size` more bytes."""
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE_BYTES:
        raise ModelError(
            f"{size / 1e6:,.0f} MB are needed in {folder}, and {free / 1e6:,.0f} MB are free",
            "make room, or set RAGCLI_HOME to a folder on a larger disk",
        )
