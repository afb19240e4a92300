"""ZIP containers (Office files, OpenDocument, EPUB) and the XML in them, read within bounds.

No size that a file states is believed further than this: the sum of the stated sizes is bounded before anything is
unpacked, and zipfile never gives more of a member than is stated.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

from ragcli.errors import ParseFailed

MAX_MEMBERS = 20_000
MAX_UNPACKED = 400_000_000
"""Most bytes, all members together."""
MAX_XML = 150_000_000
"""Most bytes of one XML member."""
_SUSPICIOUS, _MAX_RATIO = 50_000_000, 250  # a text of this size that shrinks more than that says nothing


class Archive:
    """A ZIP file in memory. Raises ParseFailed where it is broken, encrypted, or a bomb."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, IndexError):
            raise ParseFailed("broken: it is no ZIP container") from None
        members = self._zip.infolist()
        size = sum(member.file_size for member in members)
        if len(members) > MAX_MEMBERS:
            raise ParseFailed(f"it holds {len(members)} files, over the limit of {MAX_MEMBERS}")
        if size > MAX_UNPACKED or (size > _SUSPICIOUS and size > _MAX_RATIO * len(data)):
            raise ParseFailed(f"it would unpack to {size / 1e6:.0f} MB: a ZIP bomb?")
        if any(member.flag_bits & 1 for member in members):
            raise ParseFailed("it is locked by a password")
        self._members = _by_name(members)
        self._folded: dict[str, str] = {}
        for name in self._members:
            self._folded.setdefault(name.lower(), name)

    @property
    def names(self) -> list[str]:
        """The names of the members, in their order."""
        return list(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def name_of(self, name: str) -> str:
        """Return what a member is called that may be spelt in other cases: of two, the first. `name` without one."""
        return name if name in self._members else self._folded.get(name.lower(), name)

    def read(self, name: str, limit: int = MAX_UNPACKED) -> bytes:
        """Return a member's bytes. Raises ParseFailed where it is missing, broken, or over `limit` bytes."""
        member = self._members.get(name)
        if member is None:
            raise ParseFailed(f"broken: it lacks {name[:100]}")
        if member.file_size > limit:
            raise ParseFailed(f"{name[:100]} is over {limit // 1_000_000} MB")
        try:
            return self._zip.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
            raise ParseFailed(f"broken: {name[:100]} cannot be unpacked") from None

    def xml(self, name: str) -> Any:
        """Return the root element of an XML member. Raises ParseFailed as `read` and `parse_xml` do."""
        return parse_xml(self.read(name, MAX_XML), name)


def _by_name(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return members by their names, with the slashes that some programs write backslashes for.

    Of two that so have one name, the one that is spelt so counts, else the first.
    """
    exact = {member.filename: member for member in members}
    named: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename.replace("\\", "/")
        named.setdefault(name, exact.get(name, member))
    return named


def parse_xml(data: bytes, name: str = "its XML") -> Any:
    """Parse XML that may come from anybody: nothing outside of it is ever read, and no entity is put in.

    Raises ParseFailed where it is broken or declares entities of its own.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError):
        if any(entry.type_name == "ERR_NO_MEMORY" for entry in parser.error_log):
            raise MemoryError from None
        raise ParseFailed(f"broken: {name[:100]} is no sound XML") from None
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and next(dtd.iterentities(), None) is not None:
        raise ParseFailed("its XML declares entities, which may be a bomb")
    return root
