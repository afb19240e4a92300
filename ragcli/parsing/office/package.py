"""Office Open XML packages (Word, PowerPoint, Excel): parts, the relations between them, and walking their XML.

Relations to places outside the package are never followed. Names of parts have no case (ECMA-376 part 2): each is
turned into that of the container's member, so that one part has one name. Tags are compared by their local name alone,
for the format's "strict" variant has other namespaces.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.archive import MAX_XML, Archive

_OLE = bytes.fromhex("D0CF11E0A1B11AE1")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@dataclass(frozen=True, slots=True)
class Relation:
    """One part's relation to another: the last word of its type (`slide`, `comments`), and the other's name."""

    kind: str
    part: str


def open_package(data: bytes, old: str, new: str) -> Archive:
    """Return the container of a file. Raises ParseFailed where it is none; `old` and `new` are suffixes to tell of."""
    if data.startswith(_OLE):
        if _ENCRYPTED in data:
            raise ParseFailed("it is locked by a password")
        raise ParseFailed(f"it is locked by a password, or an old {old} under a new name", f"save it as {new}")
    return Archive(data)


def relations(archive: Archive, part: str = "") -> dict[str, Relation]:
    """Return the relations of a part by their id; those of the whole package where none is named.

    Raises ParseFailed where they are broken.
    """
    folder, name = posixpath.split(part)
    member = archive.name_of(posixpath.join(folder, "_rels", f"{name}.rels"))
    found: dict[str, Relation] = {}
    if member in archive:
        for element in archive.xml(member):
            target = element.get("Target") or ""
            if element.get("TargetMode") != "External":
                target = target.replace("\\", "/")
                where = archive.name_of(posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/"))
                found[element.get("Id") or ""] = Relation(posixpath.basename(element.get("Type") or ""), where)
    return found


def main_part(archive: Archive, usual: str) -> str:
    """Return the name of the part that the package is about; `usual` where it does not say."""
    kinds = {relation.kind: relation.part for relation in relations(archive).values()}
    return kinds.get("officeDocument", archive.name_of(usual))


def title_of(archive: Archive) -> str:
    """Return the title in the file's properties, or ""."""
    try:
        root = archive.xml(archive.name_of("docProps/core.xml"))
    except ParseFailed:  # nothing depends on it
        return ""
    return next((element.text or "" for element in root if local(element) == "title"), "")


def local(element: Any) -> str:
    """Return an element's tag without its namespace; "" for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def child(element: Any, *names: str) -> Any:
    """Return what stands at a path of local names below `element` (the first of each name), or None."""
    for name in names:
        element = next((one for one in element if local(one) == name), None)
        if element is None:
            return None
    return element


def attribute(element: Any, name: str) -> str:
    """Return the attribute of this local name, in whatever namespace, or ""."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return ""


def related(element: Any) -> str:
    """Return the `r:id` of an element, or "". An `id` without a namespace is none."""
    for key, value in element.attrib.items():
        if key.startswith("{") and key.endswith("}id"):
            return str(value)
    return ""


def stream(archive: Archive, part: str, tag: str) -> Iterator[Any]:
    """Yield a part's elements of one local name as they end, and forget each one after it was looked at.

    Raises ParseFailed where the part is missing, broken, or declares entities.
    """
    from lxml import etree

    data = archive.read(part, MAX_XML)
    events = etree.iterparse(
        io.BytesIO(data),
        tag=f"{{*}}{tag}",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    checked = False
    try:
        for _, element in events:
            if not checked and element.getroottree().docinfo.internalDTD is not None:
                raise ParseFailed("its XML declares entities, which may be a bomb")
            checked = True
            yield element
            element.clear()
            parent = element.getparent()
            while parent is not None and parent[0] is not element:
                del parent[0]
    except (etree.LxmlError, ValueError):
        if any(entry.type_name == "ERR_NO_MEMORY" for entry in events.error_log):
            raise MemoryError from None
        raise ParseFailed(f"broken: {part[:100]} is no sound XML") from None
