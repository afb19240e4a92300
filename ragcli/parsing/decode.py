"""Bytes -> text, with a warning where the encoding had to be guessed."""

from __future__ import annotations

import codecs
import re

from ragcli.errors import ParseFailed
from ragcli.parsing.charsets import decode_labelled
from ragcli.parsing.guessing import guess, unmarked_utf16

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FAR_ENOUGH = 4096
_CONTROL = bytes(set(range(0x20)) - set(b"\t\n\x0b\x0c\r\x1b"))
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_BY_CHANCE = re.compile("[\u0100-\u07ff]")
"""What a pair of bytes of a short text in Chinese, Korean or Japanese becomes in UTF-8, where it is valid there."""
_JAPANESE = re.compile(rb"\x1b\$[@B]")
"""How ISO-2022-JP, all of whose bytes are ASCII, begins a stretch of Japanese."""
_DECLARED = re.compile(
    rb"<\?xml[^>]{0,100}?\sencoding\s*=\s*[\"']([\w.-]{2,30})"
    rb"|(?:[^\r\n]*(?:\r\n?|\n))?(?:[ \t\f]*#|[^\r\n]*-\*-)[^\r\n]{0,200}?coding[:=][ \t]*([\w.-]{2,30})"
)
"""How XML, and source code in its first two lines (PEP 263, Emacs), say what they are written in."""
_DECLARABLE = re.compile(r"gb|big5|shift|sjis|x-sjis|euc|ks_c|iso-|latin|windows-|cp\d|koi8|us-ascii", re.I)


def decode(data: bytes, label: str = "") -> tuple[str, tuple[str, ...]]:
    """Return the text of a file, its BOM removed and its line ends as they are, and the warnings.

    The encoding that it says it is in, `label` where its format has a way of its own to say so, is believed where the
    bytes are not UTF-8, and nearly all are in it. Raises ParseFailed where the bytes are no text.
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
        text, warnings = _as_most_of_it(data) or _as_declared(data, label) or _guess(data, error.start)
    else:
        if _JAPANESE.search(data):
            text = decode_labelled(data, "iso-2022-jp-ext") or text
    return text, (*warnings, "holds NUL characters") if "\0" in text else warnings


def _decode_as(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        return data.decode(encoding, "replace"), (f"not valid {encoding}: broken characters were replaced",)


def _as_most_of_it(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Decode as UTF-8 what is that but for a few bytes: in no other encoding is much of a text UTF-8 by chance."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    valid = sum(character > "\x7f" for character in text) - bad
    if valid > 4 * bad or (bad == 1 < valid and not _BY_CHANCE.search(text)) or _is_utf8(_SURROGATE.sub(b"", data)):
        return text, (f"{bad} characters are not valid UTF-8 and were replaced",)
    return None


def _as_declared(data: bytes, label: str) -> tuple[str, tuple[str, ...]] | None:
    """Decode as `label`, or the text itself, says."""
    if not label and (named := _DECLARED.match(data[:_FAR_ENOUGH])):
        label = (named[1] or named[2]).decode("ascii").lower()
    text = decode_labelled(data, label, "replace") if _DECLARABLE.match(label) else None
    broken = text.count("\ufffd") if text else 0
    if not text or broken * 50 > sum(character > "\x7f" for character in text):
        return None
    return text, (f"{broken} characters are not valid {label} and were replaced",) if broken else ()


def _guess(data: bytes, first_bad: int) -> tuple[str, tuple[str, ...]]:
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
