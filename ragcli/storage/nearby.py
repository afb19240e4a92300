"""What an index holds at some places, and what matters to these elsewhere, without reading every file's row.

Paths are compared as bytes, so what lies below a folder is one range of the index over paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from ragcli.errors import IndexDamaged
from ragcli.storage.catalog import Catalog
from ragcli.storage.rows import FILE_COLUMNS, Failure, StoredFile, file_of

_SOME = 500
"""Values that one statement takes at most."""


class Nearby:
    """The files of one collection at and below some absolute places. Of its `places`, none lies in another."""

    def __init__(self, catalog: Catalog, collection: str, places: Iterable[Path]) -> None:
        self._catalog = catalog
        self._collection = collection
        self._given = frozenset(places)
        self.places = sorted(place for place in self._given if self._given.isdisjoint(place.parents))

    def files(self) -> list[StoredFile]:
        """Return what is stored of files at and below the places."""
        found: list[StoredFile] = []
        for place in self.places:
            found += self._files("(path = ? OR path > ? AND path < ?)", _below(place))
        return found

    def is_apart(self, path: Path) -> bool:
        """Return whether a path lies neither at nor below any of the places."""
        return self._given.isdisjoint((path, *path.parents))

    def failures(self) -> list[Failure]:
        """Return every failure: there are few, and a copy of what failed is known by its content."""
        return self._catalog.failures(self._collection)

    def roots(self) -> set[Path]:
        """Return the folders that files were read from."""
        sql = "SELECT DISTINCT root FROM documents WHERE collection = ? AND root != path"
        return {Path(os.fsdecode(root)) for (root,) in _rows(self._catalog, sql, (self._collection,))}

    def count(self, folder: Path) -> int:
        """Return how many files are stored at and below a folder."""
        sql = "SELECT count(*) FROM documents WHERE collection = ? AND (path = ? OR path > ? AND path < ?)"
        return int(_rows(self._catalog, sql, (self._collection, *_below(folder)))[0][0])

    def alike(self, sizes: Collection[int], names: Collection[str]) -> list[StoredFile]:
        """Return the stored files of some sizes in bytes, and those of some names."""
        return [*self._any("size", sizes), *self._any("source", names)]

    def _any(self, column: str, values: Collection[int] | Collection[str]) -> list[StoredFile]:
        every, found = list(values), list[StoredFile]()
        for at in range(0, len(every), _SOME):
            part = every[at : at + _SOME]
            found += self._files(f"{column} IN ({','.join('?' * len(part))})", part)
        return found

    def _files(self, condition: str, values: Sequence[Any]) -> list[StoredFile]:
        sql = f"SELECT {FILE_COLUMNS} FROM documents WHERE collection = ? AND {condition}"
        return _rows(self._catalog, sql, (self._collection, *values), file_of)


def source_at(catalog: Catalog, collection: str, path: Path) -> str | None:
    """Return the name of the file that is stored under a path, or None."""
    sql = "SELECT source FROM documents WHERE collection = ? AND path = ?"
    rows = _rows(catalog, sql, (collection, os.fsencode(path)))
    return rows[0][0] if rows else None


def path_of(catalog: Catalog, collection: str, source: str) -> Path | None:
    """Return the path of the file that has a name, or None."""
    rows = _rows(catalog, "SELECT path FROM documents WHERE collection = ? AND source = ?", (collection, source))
    return Path(os.fsdecode(rows[0][0])) if rows else None


def _below(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Return a path, and the ends of the range of all paths below it."""
    path = os.fsencode(folder)
    inner = path.rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
    return path, inner, inner[:-1] + bytes([inner[-1] + 1])


def _rows(catalog: Catalog, sql: str, values: Sequence[Any], make: Callable[[Sequence[Any]], Any] = tuple) -> list[Any]:
    with catalog.mapped():
        rows = catalog.connection.execute(sql, values).fetchall()
    try:
        return [make(row) for row in rows]
    except (ValueError, TypeError) as error:
        raise IndexDamaged(f"the catalog in {catalog.folder} holds garbage: {error}", "run `ragcli check`") from None
