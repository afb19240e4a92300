"""An index as one thing: its folder, its catalog, its vectors, and the encoder that made them.

    catalog.sqlite3    everything (storage/catalog.py)
    vectors-N/         Chroma's files for the vectors of most chunks; N counts up
    writer.lock        held by the one process that writes, with a note of who that is in writer.json

A folder of vectors is never written once it is in use. To follow the catalog, a writer makes a copy, brings that up to
date, and then names it in the catalog, in one transaction, as the one in use. So readers never meet a folder that is
being written, and a writer that dies leaves nothing behind but a copy that nobody looks at. Vectors that are not in
the folder yet are `pending`, and are compared with a question one by one: searches are complete at any time. Where
there are few vectors in all, every one is, and Chroma, which takes longer to load than that, is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ragcli.chunking import CHUNKER_VERSION
from ragcli.embedding.base import Embedder
from ragcli.errors import EncoderMismatch, IndexDamaged, IndexError_
from ragcli.storage.catalog import FILE, Catalog, is_half_removed, missing
from ragcli.storage.lock import writing
from ragcli.storage.vectors import FileNotes, VectorIndex, copy_folder, find_damage, note_files, open_noted, wipe_slack
from ragcli.words import WORDS_VERSION

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors

REBUILD = "run `ragcli rebuild`"
MANY_PENDING = 20_000
"""A run that goes on for long brings Chroma up to date when more vectors than this are pending, and than it holds."""
FEW = 4096
"""So many vectors are compared one by one in some 10 ms; to load Chroma takes 800."""
_FEW_PENDING, _SMALL_SHARE = 2000, 20
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Generation:
    """A folder of vectors that was written in full. Number 0, before the first one, is no folder."""

    number: int = 0
    count: int = 0
    files: FileNotes = field(default_factory=dict)


class Index:
    """An open index. Chroma is loaded when `vectors` is first asked for and there are more than `few`.

    A reader may open it at any time. Only the holder of `storage.lock.writing` may pass `create` or change anything:
    see `open_to_write`.
    """

    def __init__(self, folder: Path, *, create: bool = False, few: int = FEW) -> None:
        self.folder = folder
        self._few = few
        if create:
            make_folder(folder)
        refuse_foreign(folder)
        if create and not _holds_something(folder / FILE) and any(folder.glob("vectors-*")):
            raise IndexDamaged(f"the catalog of the index in {folder} is gone", "remove the folder and ingest again")
        self.catalog = Catalog(folder, create=create)
        self._may_write = create
        self._fingerprint = ""
        self._open: tuple[Generation, VectorIndex] | None = None

    @property
    def encoder(self) -> str:
        """Id of the encoder that made the index; "" for a new one."""
        return self.catalog.meta().get("encoder", "")

    def adopt(self, embedder: Embedder) -> None:
        """Note what makes a new index. For an old one, raise EncoderMismatch unless it is the same."""
        meta = self.catalog.meta()
        made_by = _made_by(embedder)
        if "encoder" not in meta:
            if self._may_write:
                self.catalog.set_meta(**made_by)
        elif meta["encoder"] != embedder.id:
            raise EncoderMismatch(
                f"the index was built with {meta['encoder']}, not {embedder.id}",
                f"run `ragcli rebuild --encoder {embedder.id}`",
            )
        elif meta["fingerprint"] != embedder.fingerprint:
            raise EncoderMismatch(f"the index was built with other weights of {embedder.id}", REBUILD)
        elif any(meta.get(key) != value for key, value in made_by.items()):
            raise EncoderMismatch("the index was built by another version of ragcli", REBUILD)
        self._fingerprint = embedder.fingerprint

    # --- reading -----------------------------------------------------------------------------------------------

    @property
    def vectors(self) -> ChunkVectors:
        """The vectors of all chunks. Raises IndexDamaged where some of them cannot be read."""
        generation = self.generation()
        if self._open is None or self._open[0] != generation:
            self.close_vectors()
            self._refuse_other_encoder()
            self.require_whole()
            if self.catalog.counts()[2] <= self._few:
                return ChunkVectors(self.catalog, None, 0)
            if generation.count:
                opened = open_noted(self.folder_of(generation), generation.files)
                self._open = (generation, opened)
                if opened.count() != generation.count:
                    lost = generation.count - opened.count()
                    raise IndexDamaged(f"the index is damaged: {lost} vectors are missing", REBUILD)
        return ChunkVectors(self.catalog, self._open[1] if self._open else None, generation.count)

    def generation(self) -> Generation:
        """Return the folder of vectors that is in use."""
        try:
            return Generation(**json.loads(self.catalog.meta().get("vectors", "{}")))
        except (ValueError, TypeError):
            raise IndexDamaged(f"the catalog in {self.folder} does not say where the vectors are", REBUILD) from None

    def folder_of(self, generation: Generation) -> Path:
        """Return where a generation's files lie."""
        return self.folder / f"vectors-{generation.number}"

    def damage(self, *, deep: bool = False) -> str:
        """Return what is wrong with the index: what `check` noted, or what a look at the vectors' files tells."""
        noted: Mapping[str, str] = json.loads(self.catalog.meta().get("damage", "{}"))
        generation = self.generation()
        return "; ".join(noted.values()) or find_damage(self.folder_of(generation), generation.files, deep=deep)

    def require_whole(self) -> None:
        """Raise IndexDamaged where the index is known to be damaged: better no answer than half of one."""
        damage = self.damage()
        if damage:
            raise IndexDamaged(f"the index is damaged: {damage}", REBUILD)

    def _refuse_other_encoder(self) -> None:
        found = self.catalog.meta().get("fingerprint", "")
        if self._fingerprint and found and found != self._fingerprint:
            raise EncoderMismatch("the index was rebuilt with another encoder meanwhile", "run the command again")

    # --- writing -----------------------------------------------------------------------------------------------

    def outdated(self) -> tuple[int, int]:
        """Return how many vectors Chroma lacks, and how many it holds that no chunk has any more."""
        pending = len(self.catalog.pending_keys())
        used = len(self.catalog.vector_keys())
        return pending, self.generation().count - (used - pending)

    def follow(self, on_progress: Callable[[int, int], None] | None = None, *, always: bool = False) -> None:
        """Bring Chroma to the state of the catalog where enough has changed to be worth a copy of its folder."""
        lacking, unused = self.outdated()
        few = min(self.generation().count // _SMALL_SHARE, _FEW_PENDING)
        if always or lacking + unused > few or (self.generation().count and self.damage()):
            self.write_vectors(on_progress)

    def write_vectors(self, on_progress: Callable[[int, int], None] | None = None, *, anew: bool = False) -> None:
        """Write a folder that holds just the vectors of all chunks, and take it into use.

        It starts from a copy of the one in use, but for `anew`, where that is damaged, or where little of it would be
        left. Readers that have the folder before open keep it until the next time. Raises IndexError_ where it cannot
        be written; the index then stays as it was.
        """
        old = self.generation()
        self.close_vectors()
        self.remove_old_vectors()
        anew = anew or old.count == 0 or self.outdated()[1] * 2 > old.count or bool(self.damage())
        wanted = self.catalog.vector_keys()
        new = Generation(old.number + 1, len(wanted))
        folder = self.folder_of(new)
        try:
            if wanted:
                folder.mkdir(mode=0o700)
                if not anew:
                    copy_folder(self.folder_of(old), folder)
                self._fill(folder, wanted, set() if anew else _keys_in(folder), on_progress)
                wipe_slack(folder)
                new = Generation(new.number, new.count, note_files(folder))
        except (OSError, sqlite3.Error, struct.error, IndexError_) as error:
            shutil.rmtree(folder, ignore_errors=True)
            reason = error.strerror if isinstance(error, OSError) else error
            raise IndexError_(
                f"the vectors cannot be written to {folder}: {reason}",
                "free some disk space and run it again, or `ragcli rebuild`; what was committed is in the index",
            ) from None
        with self.catalog.transaction():
            self.catalog.settle_pending()
            noted = json.loads(self.catalog.meta().get("damage", "{}"))
            noted.pop("vectors", None)
            self.catalog.set_meta(vectors=json.dumps(asdict(new)), damage=json.dumps(noted))

    def remove_old_vectors(self) -> None:
        """Remove every folder of vectors but the one in use."""
        used = self.folder_of(self.generation())
        for folder in self.folder.glob("vectors-*"):
            if folder != used:
                shutil.rmtree(folder, ignore_errors=True)

    def _fill(
        self, folder: Path, wanted: list[bytes], there: set[bytes], on_progress: Callable[[int, int], None] | None
    ) -> None:
        """Make the folder, which holds the vectors `there`, hold just those `wanted`."""
        import numpy as np

        missing = [key for key in wanted if key not in there]
        surplus = sorted(there.difference(wanted))
        changes = len(missing) + len(surplus)

        def upsert(part: list[bytes]) -> None:
            rows = self.catalog.vectors(part)
            if len(rows) < len(part):
                raise IndexDamaged(f"the catalog lacks {len(part) - len(rows)} vectors", REBUILD)
            vectors.upsert(part, np.stack([np.frombuffer(rows[key], dtype=np.float32) for key in part]))

        vectors = VectorIndex(folder, changes=max(2, changes))
        try:
            vectors.delete(surplus)
            for at in range(0, len(missing), _BATCH):
                part = missing[at : at + _BATCH]
                upsert(part)
                if on_progress is not None:
                    on_progress(at + len(part), len(missing))
            if changes == 1:  # Chroma writes its graph from the second change on; else readers would write it
                upsert(wanted[:1])
            if vectors.count() != len(wanted):
                raise IndexDamaged(f"Chroma kept {vectors.count()} vectors of {len(wanted)}")
        finally:
            vectors.close()

    def note_made_by(self, embedder: Embedder) -> None:
        """Note that a rebuild has made all of the index, with `embedder`."""
        self.catalog.set_meta(**_made_by(embedder), damage=None)

    def close_vectors(self) -> None:
        """Let Chroma's files go."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        """Close everything."""
        self.close_vectors()
        self.catalog.close()


class ChunkVectors:
    """The vectors of all chunks: those in Chroma, and all others. It sees what the catalog sees."""

    def __init__(self, catalog: Catalog, chroma: VectorIndex | None, in_chroma: int) -> None:
        self._catalog = catalog
        self._chroma = chroma
        self._in_chroma = in_chroma

    def count(self) -> int:
        """Return how many chunks have a vector."""
        return self._catalog.counts()[2]

    def search(self, vector: Vectors, count: int) -> list[tuple[str, float]]:
        """Return the ids and cosines of the `count` nearest chunks, or of all where there are fewer, best first."""
        cosines = self._in_folder(vector, count) | self._one_by_one(vector)
        return sorted(cosines.items(), key=lambda found: (-found[1], found[0]))[:count]

    def _in_folder(self, vector: Vectors, count: int) -> dict[str, float]:
        """Ask Chroma, and for more where it still holds the vectors of chunks that are gone."""
        wanted = count
        while self._chroma is not None and count > 0:
            near = self._chroma.search(vector, min(wanted, self._in_chroma))
            chunk_ids = self._catalog.chunk_ids_of(key for key, _ in near)
            found = {chunk_id: cosine for key, cosine in near for chunk_id in chunk_ids.get(key, ())}
            if len(found) >= count or wanted >= self._in_chroma:
                return found
            wanted *= 4
        return {}

    def _one_by_one(self, vector: Vectors) -> dict[str, float]:
        import numpy as np

        keys = self._catalog.vector_keys() if self._chroma is None else self._catalog.pending_keys()
        if not keys:
            return {}
        stored = self._catalog.vectors(keys)
        if len(stored) < len(keys):
            raise IndexDamaged("the index is damaged: the catalog lacks vectors", REBUILD)
        rows = np.frombuffer(b"".join(stored.values()), dtype=np.float32).reshape(len(stored), -1)
        cosines = dict(zip(stored, (rows @ vector).tolist(), strict=True))
        chunk_ids = self._catalog.chunk_ids_of(stored)
        return {chunk_id: cosines[key] for key, ids in chunk_ids.items() for chunk_id in ids}


@contextlib.contextmanager
def open_to_write(
    folder: Path, wait: float, on_wait: Callable[[str], None] | None = None, *, create: bool = False, few: int = FEW
) -> Iterator[Index]:
    """Hold the writer's lock of an index, and open it. `create` makes one where there is none, `few` is `Index`'s.

    Waits for another writer up to `wait` seconds. Raises IndexLocked, and what `Index` raises.
    """
    if create:
        make_folder(folder)
    elif not exists(folder):
        raise missing(folder)
    refuse_foreign(folder)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(writing(folder, wait, on_wait))
        except OSError as error:
            raise IndexError_(
                f"{folder} cannot be written: {error.strerror}", "give another folder with --index"
            ) from None
        index = Index(folder, create=True, few=few)
        held.callback(index.close)
        yield index


def exists(folder: Path) -> bool:
    """Return whether there is an index in `folder`, whole or half removed."""
    return (folder / FILE).is_file() or is_half_removed(folder)


def _holds_something(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _keys_in(folder: Path) -> set[bytes]:
    vectors = VectorIndex(folder)
    try:
        return vectors.keys()
    finally:
        vectors.close()


def make_folder(folder: Path) -> None:
    """Make the folder of an index, where there is none. Raises IndexMissing where an index is half removed from it."""
    if is_half_removed(folder):
        raise missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise IndexError_(
            f"the folder {folder} cannot be made: {error.strerror}", "give another folder with --index"
        ) from None


def refuse_foreign(folder: Path) -> None:
    """Raise where there is no such folder, or where it is another user's."""
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError:
        raise missing(folder) from None
    except OSError as error:
        raise IndexError_(f"{folder}: {error.strerror}", "give another folder with --index") from None
    if hasattr(os, "geteuid") and owner != os.geteuid():
        raise IndexError_(f"{folder} belongs to another user", "give a folder of your own with --index")


def _made_by(embedder: Embedder) -> dict[str, str]:
    return {
        "encoder": embedder.id,
        "fingerprint": embedder.fingerprint,
        "dimension": str(embedder.dimension),
        "chunker": str(CHUNKER_VERSION),
        "words": str(WORDS_VERSION),
    }
