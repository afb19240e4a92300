"""SourceFile -> its name in the index."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from ragcli.records import SourceFile
from ragcli.storage.nearby import path_of, source_at

if TYPE_CHECKING:
    from ragcli.storage.catalog import Catalog


def title_of(source: str) -> str:
    """Return a file's name as words: no folders, no suffix, no punctuation between words."""
    return " ".join(Path(source).stem.replace("_", " ").replace("-", " ").split())


class Names:
    """The names of one collection's files. One that was given stays with its path for as long as that is stored.

    The files at the paths `left` are about to lose theirs.
    """

    def __init__(self, catalog: Catalog, collection: str, left: Container[Path] = ()) -> None:
        self._catalog = catalog
        self._collection = collection
        self._left = left
        self._given: dict[Path, str] = {}
        self._taken: set[str] = set()

    def of(self, file: SourceFile) -> str:
        """Return the name that the file has, its relative path, or where another has that, that after its folders."""
        if file.path not in self._given:
            stored = None if file.path in self._left else source_at(self._catalog, self._collection, file.path)
            self._given[file.path] = stored or self._new(file)
            self._taken.add(self._given[file.path])
        return self._given[file.path]

    def _new(self, file: SourceFile) -> str:
        name = os.fsencode(file.source).decode("utf-8", "replace")
        above = file.path.parent if file.root == file.path else file.root
        while self._is_taken(name):
            name = f"{above.name or 'root'}/{name}"
            above = above.parent
        return name

    def _is_taken(self, name: str) -> bool:
        if name in self._taken:
            return True
        path = path_of(self._catalog, self._collection, name)
        return path is not None and path not in self._left
