"""Forget: what was removed leaves no byte behind in the index folder; and remove an index as a whole.

To delete a row is not enough. SQLite keeps the bytes in free pages and in its log, FTS5 keeps the words in segments
that are merged some day, and Chroma keeps vectors that were deleted in its files. So after the rows are gone, every
part of the index is written anew without them (`scrub`). That this has begun is noted in the catalog, in the
transaction that removes the rows: where it is interrupted, the next writer finishes it.

What the disk keeps of files that were deleted or overwritten is beyond this program's reach.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ragcli.errors import IndexError_, IndexLocked, IndexMissing
from ragcli.storage.catalog import FILE, FILES, REMOVED, Catalog, is_half_removed, missing
from ragcli.storage.index import Index, refuse_foreign
from ragcli.storage.lock import LOCK, NOTE, writing
from ragcli.storage.rows import Failure, StoredFile

AGAIN = "run `ragcli forget --removed`"
UNFINISHED = "what was to be forgotten is not found any more, but its bytes are still in the folder"
_GITIGNORE = ".gitignore"
_OWN_FOLDER = re.compile(r"vectors-\d+|import-[0-9a-f]{16}")
_TABLES = {"meta", "documents", "chunks"}

OnStep = Callable[[str, int, int], None]
"""Called with what is being done, and how much of it is done, of how much (0 where that is not known)."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The collection and source of a file whose rows are gone."""

    collection: str
    source: str


def forget(index: Index, files: Iterable[StoredFile], failures: Iterable[Failure], on_step: OnStep) -> None:
    """Remove files, and notes of files that could not be read, and all that was ever stored of them.

    The caller holds the writer's lock. Raises IndexError_ where the rows cannot be removed, as on a full disk: nothing
    has changed then; and what `scrub` raises: the rows are gone then, the bytes are not, until it is run again.
    """
    catalog = index.catalog
    with catalog.transaction():
        gone = set(unfinished(index))
        for file in files:
            catalog.remove_path(file.collection, file.path)
            gone.add(Removed(file.collection, file.source))
        for failure in failures:
            catalog.remove_path(failure.collection, failure.path)
        catalog.drop_unused_vectors()
        catalog.set_meta(forgetting=json.dumps(sorted([one.collection, one.source] for one in gone)))
    scrub(index, on_step)


def unfinished(index: Index) -> list[Removed]:
    """Return the files whose rows a forget has removed that was interrupted before it had removed the bytes."""
    with contextlib.suppress(ValueError, TypeError):
        noted = json.loads(index.catalog.meta().get("forgetting", "[]"))
        return [Removed(str(collection), str(source)) for collection, source in noted]
    return []


def is_unfinished(index: Index) -> bool:
    """Return whether a forget was interrupted before it was done."""
    return "forgetting" in index.catalog.meta()


def scrub(index: Index, on_step: OnStep) -> None:
    """Write every part of the index anew, so that only what its rows say is left of anything.

    Raises IndexLocked where a reader keeps the old state for too long, and IndexError_ where anything cannot be written
    or removed. `is_unfinished` tells then, and it can be run again.

    Whatever else comes to lie in the index folder belongs here, and into `_OWN_FOLDER` or `remove` below.
    """
    try:
        index.catalog.set_meta(forgetting=index.catalog.meta().get("forgetting", "[]"))
        _scrub_vectors(index, on_step)
        _scrub_folders(index)
        _scrub_catalog(index.catalog, on_step)
        index.catalog.set_meta(forgetting=None)  # the names in it are overwritten, as secure_delete is on
        _empty_log(index.catalog)
    except IndexError_ as error:
        full = type(error) is IndexError_ and AGAIN not in error.hint
        hint = f"free some disk space and {AGAIN}; or `ragcli rebuild`, where the index is damaged"
        raise type(error)(f"{error.message}; {UNFINISHED}", hint if full else error.hint) from None


def _scrub_vectors(index: Index, on_step: OnStep) -> None:
    """Make Chroma's folder anew. Readers that have the old one open keep what they have open."""
    if index.generation().count:
        index.write_vectors(lambda done, total: on_step("vectors", done, total), anew=True)
    index.close_vectors()


def _scrub_folders(index: Index) -> None:
    """Remove every folder of vectors but the one in use, and what an import that was killed has left."""
    used = index.folder_of(index.generation())
    try:
        for folder in _own_folders(index.folder):
            if folder != used:
                shutil.rmtree(folder)
    except OSError as error:
        raise IndexError_(
            f"{error.filename} cannot be removed: {error.strerror}", f"remove it by hand and {AGAIN}"
        ) from None


def _own_folders(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if _OWN_FOLDER.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]


def _scrub_catalog(catalog: Catalog, on_step: OnStep) -> None:
    with catalog.mapped():
        catalog.connection.execute("PRAGMA secure_delete = ON")
        on_step("words", 0, 0)
        catalog.connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
        on_step("catalog", 0, 0)
        catalog.connection.execute("VACUUM")
    _empty_log(catalog)


def _empty_log(catalog: Catalog) -> None:
    """Write what is in SQLite's log to the file, and cut the log to nothing. Waits for readers of an older state."""
    with catalog.mapped():
        busy, _, _ = catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise IndexLocked("the index as it was is in use by another process", f"{AGAIN} when it has ended")


# --- everything --------------------------------------------------------------------------------------------------


def remove(folder: Path, wait: float, on_wait: Callable[[str], None] | None = None) -> list[str]:
    """Remove the index in `folder`, whole, damaged or half removed, and the folder where nothing else is in it.

    Returns the names of what was left there because it is not of an index. Follows no link. Raises IndexMissing where
    there is no index, IndexLocked where another process writes to it, and IndexError_ where files cannot be removed.
    """
    require_own(folder)
    try:
        with writing(folder, wait, on_wait):
            _remove_files(folder)
        with contextlib.suppress(OSError):  # something else is in it, which is told below
            folder.rmdir()
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise IndexError_(
            f"{error.filename} cannot be removed: {error.strerror}", "remove it by hand and run it again"
        ) from None


def require_own(folder: Path) -> None:
    """Raise where `folder` is not a folder that holds an index of ragcli's, whole, damaged or half removed."""
    if folder.is_symlink():
        raise IndexError_(f"{folder} is a link", f"give the folder itself: --index {folder.resolve()}")
    if is_half_removed(folder):
        refuse_foreign(folder)
        return
    catalog = folder / FILE
    if not catalog.is_file():
        raise missing(folder)
    refuse_foreign(folder)
    if catalog.is_symlink() or not (_is_catalog(catalog)):
        raise IndexMissing(f"{catalog} is not the catalog of an index", "nothing was removed; give another --index")


def _is_catalog(path: Path) -> bool:
    """Return whether a file has the tables of a catalog, or is too damaged to tell and lies among an index's files."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (sqlite3.Error, UnicodeDecodeError):
        tables = set()
    beside = any((path.parent / name).is_file() for name in (LOCK, NOTE)) or any(path.parent.glob("vectors-*"))
    return tables >= _TABLES or (not tables and beside)


def _remove_files(folder: Path) -> None:
    """Remove the files of an index.

    The catalog takes another name first: what is left of the index is never taken for the whole, as its log without
    the catalog, or the catalog without its log, might be. Under that name it goes last: what was interrupted can be
    told, and removed.
    """
    if (folder / FILE).is_file():
        (folder / FILE).replace(folder / REMOVED)
    for path in _own_folders(folder):
        shutil.rmtree(path)
    ignore = folder / _GITIGNORE
    if ignore.is_file() and not ignore.is_symlink() and ignore.read_bytes() == b"*\n":  # `ragcli init` made it
        ignore.unlink()
    for name in (*FILES, NOTE, REMOVED, LOCK):
        (folder / name).unlink(missing_ok=True)
