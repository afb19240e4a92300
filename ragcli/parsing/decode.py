"""Bytes -> text, with a warning where the encoding had to be guessed."""

from __future__ import annotations

import codecs
import re

from ragcli.errors import ParseFailed
from ragcli.parsing.guessing import guess, unmarked_utf16

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = bytes(set(range(0x20)) - set(b"\t\n\x0b\x0c\r\x1b"))
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


def decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file, its BOM removed and its line ends as they are, and the warnings.

    Raises ParseFailed where the bytes are no text.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _decode_as(data[len(bom) :], encoding)
    nuls = data.count(b"\0")
    if (nuls or not _is_utf8(data)) and (unmarked := unmarked_utf16(data)) is not None:
        return data.decode(unmarked, "replace"), (f"read as {unmarked}, though no mark says so",)
    if nuls > len(data) // 10:
        raise ParseFailed("binary, whatever its name says")
    warnings: tuple[str, ...] = ()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        text, warnings = _guess(data, error.start)
    return text, (*warnings, "holds NUL characters") if "\0" in text else warnings


def _decode_as(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        return data.decode(encoding, "replace"), (f"not valid {encoding}: broken characters were replaced",)


def _guess(data: bytes, first_bad: int) -> tuple[str, tuple[str, ...]]:
    """Decode what is not valid UTF-8: as UTF-8 all the same where most of it is, else by guess."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    if sum(character > "\x7f" for character in text) > 5 * bad or _is_utf8(_SURROGATE.sub(b"", data)):
        return text, (f"{bad} characters are not valid UTF-8 and were replaced",)
    if len(data) - len(data.translate(None, _CONTROL)) > max(2, len(data) // 50):
        raise ParseFailed("binary, whatever its name says")
    encoding, doubtful = guess(data)
    text = data.decode(encoding, "replace")
    sure = "a doubtful guess" if doubtful else "which is a guess"
    broken = f"; {bad} characters are broken" if (bad := text.count("\ufffd")) else ""
    return text, (f"not UTF-8 (byte {first_bad}): read as {encoding}, {sure}{broken}",)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
