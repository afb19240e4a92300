"""SourceFile -> its name in the index."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ragcli.records import SourceFile
from ragcli.storage.rows import StoredFile


def title_of(source: str) -> str:
    """Return a file's name as words: no folders, no suffix, no punctuation between words."""
    return " ".join(Path(source).stem.replace("_", " ").replace("-", " ").split())


class Names:
    """The names of one collection's files. One that was given stays with its path for as long as that is stored."""

    def __init__(self, stored: Iterable[StoredFile]) -> None:
        self._paths = {file.source: file.path for file in stored}
        self._names = {path: name for name, path in self._paths.items()}

    def of(self, file: SourceFile) -> str:
        """Return the name that the file has, its relative path, or where another has that, that after its folders."""
        if file.path in self._names:
            return self._names[file.path]
        name = os.fsencode(file.source).decode("utf-8", "replace")
        above = file.path.parent if file.root == file.path else file.root
        while name in self._paths:
            name = f"{above.name or 'root'}/{name}"
            above = above.parent
        self._paths[name] = file.path
        self._names[file.path] = name
        return name
