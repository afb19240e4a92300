"""The parts of a Word file: the document, and what it names beside it (styles, notes, headers, ...).

Read without python-docx, which refuses .docm files, Strict Open XML, and any file that names a part which is not
there. Only members of the container are read; a link out of it is left alone.
"""

from __future__ import annotations

from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.archive import MAX_XML, parse_xml
from ragcli.parsing.office.package import main_part, open_package, relations, title_of

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
R_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT = (  # the names of Strict Open XML, and what the usual files call the same
    (b"http://purl.oclc.org/ooxml/wordprocessingml/main", W[1:-1].encode()),
    (b"http://purl.oclc.org/ooxml/officeDocument/math", M[1:-1].encode()),
    (b"http://purl.oclc.org/ooxml/officeDocument/relationships", R_ID[1:-3].encode()),
)


class Package:
    """A Word file in memory. Raises ParseFailed where it is broken, locked, a bomb, or no Word file.

    `warnings` tells of parts beside the document that could not be read.
    """

    def __init__(self, data: bytes) -> None:
        self._archive = open_package(data, ".doc", ".docx")
        self.warnings: list[str] = []
        self._optionals: dict[str, Any] = {}
        main = main_part(self._archive, "word/document.xml")
        self.document = self._xml(main)
        if self.document.tag != f"{W}document":
            raise ParseFailed("broken: it is no Word document")
        self._parts = relations(self._archive, main)

    @property
    def has_pictures(self) -> bool:
        """Whether there are pictures, which are never read."""
        return any("/media/" in name for name in self._archive.names)

    @property
    def title(self) -> str:
        """The title in the file's properties, or ""."""
        return title_of(self._archive)

    def part(self, kind: str) -> Any:
        """Return the root of the part that the document names as its `kind` ("styles", ...); None without one."""
        named = [relation.part for relation in self._parts.values() if relation.kind == kind]
        return self._optional(named[0]) if named else None

    def by_id(self, id: str) -> Any:
        """Return the root of the part that the document names by this relationship; None without one."""
        return self._optional(self._parts[id].part) if id in self._parts else None

    def _optional(self, name: str) -> Any:
        if name not in self._optionals:  # one part may have any number of relationships
            try:
                self._optionals[name] = self._xml(name)
            except ParseFailed as error:
                self.warnings.append(f"a part could not be read ({error.message})")
                self._optionals[name] = None
        return self._optionals[name]

    def _xml(self, name: str) -> Any:
        data = self._archive.read(name, MAX_XML)
        for strict, usual in _STRICT:
            data = data.replace(strict, usual)
        return parse_xml(data, name)
