"""An index as one thing: its folder, its catalog, its vectors, and the encoder that made them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from ragcli.chunking import CHUNKER_VERSION
from ragcli.embedding.base import Embedder
from ragcli.errors import EncoderMismatch, IndexDamaged, IndexError_, IndexMissing
from ragcli.storage.catalog import FILE, Catalog
from ragcli.storage.vectors import VectorIndex, file_sizes, remove_folder
from ragcli.words import WORDS_VERSION

REBUILD = "run `ragcli rebuild`"


class Index:
    """An open index. Chroma is loaded when `vectors` is first asked for.

    A reader may open it at any time; only one who holds `storage.lock.writing` may pass `create` or change anything.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        self.folder = folder
        if create:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_foreign(folder)
        self.catalog = Catalog(folder, create=create)

    @property
    def encoder(self) -> str:
        """Id of the encoder that made the index; "" for a new one."""
        return self.catalog.meta().get("encoder", "")

    @property
    def vectors_folder(self) -> Path:
        """Folder of the vectors in use."""
        return self.folder / f"vectors-{self.catalog.meta().get('vectors', '1')}"

    @cached_property
    def vectors(self) -> VectorIndex:
        """The open vectors. For readers, call `require_whole` first."""
        return VectorIndex(self.vectors_folder)

    def adopt(self, embedder: Embedder) -> None:
        """Note what makes a new index. For an old one, raise EncoderMismatch unless it is the same."""
        meta = self.catalog.meta()
        made_by = _made_by(embedder)
        if "encoder" not in meta:
            self.catalog.set_meta(**made_by, vectors="1")
        elif meta["encoder"] != embedder.id:
            raise EncoderMismatch(
                f"the index was built with {meta['encoder']}, not {embedder.id}",
                f"run `ragcli rebuild --encoder {embedder.id}`",
            )
        elif meta["fingerprint"] != embedder.fingerprint:
            raise EncoderMismatch(f"the index was built with other weights of {embedder.id}", REBUILD)
        elif any(meta[key] != value for key, value in made_by.items()):
            raise EncoderMismatch("the index was built by another version of ragcli", REBUILD)

    def next_vectors(self) -> tuple[VectorIndex, int]:
        """Open an empty folder of vectors beside the one in use, and return it with its number."""
        generation = int(self.catalog.meta().get("vectors", "0")) + 1
        self.drop_old_vectors()
        return VectorIndex(self.folder / f"vectors-{generation}"), generation

    def switch(self, generation: int, embedder: Embedder) -> None:
        """Use other vectors, made by `embedder` and written in full, from the end of this transaction on."""
        self._close_vectors()
        sizes = json.dumps(file_sizes(self.folder / f"vectors-{generation}"))
        self.catalog.set_meta(**_made_by(embedder), vectors=str(generation), files=sizes, damage=None)

    def drop_old_vectors(self) -> None:
        """Remove every folder of vectors but the one in use."""
        for folder in self.folder.glob("vectors-*"):
            if folder != self.vectors_folder:
                remove_folder(folder)

    def damage(self) -> str:
        """Return what is known to be wrong with the vectors, by a look at their files; "" where nothing is."""
        meta = self.catalog.meta()
        if meta.get("damage"):
            return meta["damage"]
        noted: Mapping[str, int] = json.loads(meta.get("files", "{}"))
        found = file_sizes(self.vectors_folder) if noted else {}
        for name, size in noted.items():
            if name not in found:
                return f"{name} is missing from the vectors"
            if found[name] < size:
                return f"{name} of the vectors was cut from {size} to {found[name]} bytes"
        return ""

    def require_whole(self) -> None:
        """Raise IndexDamaged where the vectors are known to be damaged: better no answer than half of one."""
        damage = self.damage()
        if damage:
            raise IndexDamaged(f"the index is damaged: {damage}", REBUILD)

    def begin_writing(self) -> None:
        """Note that the vectors' files are about to change."""
        self.catalog.set_meta(files=None)

    def end_writing(self) -> None:
        """Close the vectors and note the size of each of their files."""
        self._close_vectors()
        folder = self.vectors_folder
        self.catalog.set_meta(files=json.dumps(file_sizes(folder)) if folder.is_dir() else None)

    def close(self) -> None:
        """Close everything."""
        self._close_vectors()
        self.catalog.close()

    def _close_vectors(self) -> None:
        if "vectors" in self.__dict__:
            self.vectors.close()
            del self.vectors


def _made_by(embedder: Embedder) -> dict[str, str]:
    return {
        "encoder": embedder.id,
        "fingerprint": embedder.fingerprint,
        "dimension": str(embedder.dimension),
        "chunker": str(CHUNKER_VERSION),
        "words": str(WORDS_VERSION),
    }


def _refuse_foreign(folder: Path) -> None:
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError:
        raise IndexMissing(f"there is no index in {folder}", "make one with `ragcli ingest PATH`") from None
    except OSError as error:
        raise IndexError_(f"{folder}: {error.strerror}") from None
    if hasattr(os, "geteuid") and owner != os.geteuid():
        raise IndexError_(f"{folder} belongs to another user", "give a folder of your own with --index")


def exists(folder: Path) -> bool:
    """Return whether there is an index in `folder`."""
    return (folder / FILE).is_file()
