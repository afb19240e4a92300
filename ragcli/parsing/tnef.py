"""The attachments in a winmail.dat, in which Outlook packs them (TNEF, [MS-OXTNEF])."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from ragcli.errors import ParseFailed
from ragcli.parsing.charsets import decode_labelled

_SIGNATURE = b"\x78\x9f\x3e\x22"
_BEGIN, _TITLE, _DATA, _PROPERTIES, _CODEPAGE = 0x69002, 0x18010, 0x6800F, 0x69005, 0x69007
_HEAD = struct.Struct("<BII")  # level, attribute, length; two bytes of checksum follow the value
_NUMBER = struct.Struct("<I")
_LONG_NAME = re.compile(
    rb"([\x1e\x1f])\0\x07\x37\x01\0\0\0(.{4})", re.DOTALL
)  # its type, PidTagAttachLongFilename, 1 value


def packed_files(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Yield the name and content of every attachment; None is that of a message or another object of Outlook's.

    Raises ParseFailed where it is no TNEF and, after what can be read, where it is cut.
    """
    if not data.startswith(_SIGNATURE):
        raise ParseFailed("broken: not what Outlook packs attachments into")
    charset, name, content = "cp1252", "", None
    begun = False
    at = len(_SIGNATURE) + 2
    while at + _HEAD.size <= len(data):
        _, attribute, length = _HEAD.unpack_from(data, at)
        start, at = at + _HEAD.size, at + _HEAD.size + length + 2
        if at > len(data):
            break
        value = data[start : start + length]
        if attribute == _CODEPAGE and length >= _NUMBER.size:
            charset = f"cp{_NUMBER.unpack_from(value)[0]}"
        elif attribute == _BEGIN:
            if begun:
                yield name, content
            begun, name, content = True, "", None
        elif attribute == _TITLE:
            name = name or _text(value, charset)
        elif attribute == _DATA:
            content = value
        elif attribute == _PROPERTIES:
            name = _long_name(value, charset) or name
    if begun:
        yield name, content
    if at > len(data):
        raise ParseFailed("broken: it is cut")


def _long_name(properties: bytes, charset: str) -> str:
    match = _LONG_NAME.search(properties)
    if match is None:
        return ""
    value = properties[match.end() : match.end() + _NUMBER.unpack(match[2])[0]]
    return _text(value, "utf-16-le" if match[1] == b"\x1f" else charset)


def _text(value: bytes, charset: str) -> str:
    label = {"cp65001": "utf-8", "cp54936": "gb18030", "cp20127": "us-ascii"}.get(charset, charset)
    text = decode_labelled(value, label) or value.decode("utf-8", "replace")
    return text.partition("\0")[0]
