"""The bytes of an e-mail -> the tree of its parts, read by the standard library's parser within bounds.

That parser may raise nearly anything on hostile headers, so every question to it goes through `_safely`. It is asked
by its oldest rules (`Compat32`): those keep headers as they were sent, of which much is broken in ways that people's
mail programs forgive. Decoding them is done here.
"""

from __future__ import annotations

import binascii
import quopri
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.errors import InvalidBase64LengthDefect
from email.message import Message
from email.parser import BytesFeedParser
from email.policy import Compat32, Policy
from email.utils import collapse_rfc2231_value
from itertools import groupby
from typing import TypeVar
from urllib.parse import quote

from ragcli.errors import ParseFailed
from ragcli.parsing.building import squash
from ragcli.parsing.charsets import decode_labelled
from ragcli.parsing.decode import decode

MAX_HEADER = 10_000
"""Most characters of a header that are looked at."""
_MAX_NESTING = 50
_MAX_PARTS = 20_000
_FED_AT_ONCE = 1 << 20  # bytes

_USUAL_HEADERS = ("from", "to", "subject", "date", "received", "message-id", "content-type", "mime-version", "x-mailer")
_ENCODED_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,40})?\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_FOLD = re.compile(r"\r\n?|\n")
_UNLABELLED = frozenset(("", "us-ascii", "ascii", "unknown", "unknown-8bit", "x-unknown", "8bit", "binary", "default"))
_LATIN = frozenset(("iso-8859-1", "latin1", "windows-1252"))
_SINGLE_BYTE = re.compile(r"(?:x-)?(?:iso-?8859|latin|windows-125|cp-?125|koi8)", re.IGNORECASE)
_NO_CHANCE = 10
"""So many characters beyond ASCII, all of them right, make a text UTF-8, whatever it says."""
_DELIMITER = re.compile(rb"^--([\w'()+,./:=?-]{1,100})[ \t]*\r?\n(?=Content-[\w-]+:)", re.IGNORECASE | re.MULTILINE)
_FAR_ENOUGH = 2_000
"""How far into the text of a broken multipart its first part must begin."""

Answer = TypeVar("Answer")


class _Policy(Compat32):
    """Headers as they were sent, none of them longer than MAX_HEADER."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, _, value = sourcelines[0].partition(":")
        return name, "".join((value, *sourcelines[1:])).strip(" \t\r\n")[:MAX_HEADER]

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value


_POLICY = _Policy()


class _Message(Message):
    """A part that knows how deep it lies, and how many there are in all.

    Raises ParseFailed, in the middle of parsing, where that is too much.
    """

    nesting = 0
    family: list[int]

    def __init__(self, policy: Policy = _POLICY) -> None:
        super().__init__(policy)
        self.family = [1]

    def attach(self, payload: _Message) -> None:  # type: ignore[override]
        payload.nesting = self.nesting + 1
        payload.family = self.family
        self.family[0] += 1
        if payload.nesting > _MAX_NESTING:
            raise ParseFailed(f"its parts are nested over {_MAX_NESTING} deep")
        if self.family[0] > _MAX_PARTS:
            raise ParseFailed(f"it has over {_MAX_PARTS} parts")
        super().attach(payload)


class Part:
    """One part of a mail: text, an attachment, an attached mail, or what holds other parts."""

    def __init__(self, message: Message, mend: bool = True) -> None:
        self._message = message
        self._mend = mend
        self.type = squash(_safely(message.get_content_type, "text/plain"))
        self.charset = squash(_safely(lambda: str(message.get_content_charset("") or ""), ""))
        self.attached: bool = _safely(message.get_content_disposition, None) == "attachment"
        self.name = squash(header_text(_safely(lambda: _file_name(message), ""), self.charset))
        inner = message.get_payload() if message.is_multipart() else ()
        self._inner = [one for one in inner if isinstance(one, Message)]
        if mend and not self._inner and self.type.startswith("multipart/"):
            self._mend, self._inner = False, _unannounced_parts(message)

    @property
    def parts(self) -> Iterator[Part]:
        """The parts that stand in this one; of an attached mail, that mail."""
        return (Part(message, self._mend) for message in self._inner)

    @property
    def holds_parts(self) -> bool:
        """Whether there are any."""
        return bool(self._inner)

    @property
    def embedded(self) -> bool:
        """Whether the text shows this part where it wants: a picture of the layout, no attachment of its own."""
        return not self.attached and self._message.get("content-id") is not None

    def header(self, name: str) -> str:
        """Return a header's text on one line, the first of that name; "" where there is none."""
        return squash(header_text(str(self._message.get(name, "")), self.charset))

    def is_cut(self, name: str) -> bool:
        """Whether a header is so long that only its beginning is looked at."""
        return len(str(self._message.get(name, ""))) >= MAX_HEADER

    def parameter(self, name: str) -> str:
        """Return a parameter of the content type in lower case; "" where it is not given."""
        return _safely(lambda: str(self._message.get_param(name, "")), "").lower()

    def data(self) -> bytes:
        """Return the content of a part without parts; of damaged base64 what can be read of it.

        Raises ParseFailed where it cannot be decoded at all.
        """
        value = _safely(lambda: self._message.get_payload(decode=True), None)
        if not isinstance(value, bytes):
            raise ParseFailed("it cannot be decoded")
        undecoded = any(isinstance(defect, InvalidBase64LengthDefect) for defect in self._message.defects)
        return _base64(value) if undecoded else value

    def wrapped(self) -> bytes:
        """Return the content of an attached mail that was encoded, which it must not be and some are; else b""."""
        encoding = str(self._message.get("content-transfer-encoding", "")).strip().lower()
        if encoding not in ("base64", "quoted-printable") or len(self._inner) != 1 or self._inner[0].keys():
            return b""
        with suppress(ParseFailed):
            raw = Part(self._inner[0]).data()
            return _base64(raw) if encoding == "base64" else quopri.decodestring(raw)
        return b""

    def fields(self) -> str:
        """Return all headers, and the text after them, as they stand: what a delivery report consists of."""
        text = b""
        with suppress(ParseFailed):
            text = self.data()
        fields = (f"{name}: {header_text(str(value), self.charset)}" for name, value in self._message.raw_items())
        return "\n".join((*fields, text.decode("utf-8", "replace")))


def read_message(data: bytes) -> Part:
    """Return the message, whatever mark or empty lines stand before it.

    Raises ParseFailed where it is none, or has too many parts or too deep ones.
    """
    message = _parsed(data.removeprefix(BOM_UTF8).lstrip(b"\r\n"))
    if not any(name in message for name in _USUAL_HEADERS):
        raise ParseFailed("broken: it has none of the headers of an e-mail")
    return Part(message)


def packed_part(name: str, data: bytes) -> Part:
    """Return an attachment that was not sent as a part of its own."""
    message = _Message()
    message["Content-Type"] = "application/octet-stream"
    message["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(name, safe='', errors='replace')}"
    message["Content-Transfer-Encoding"] = "base64"
    message.set_payload(binascii.b2a_base64(data).decode("ascii"))
    return Part(message)


def _parsed(data: bytes) -> Message:
    parser = BytesFeedParser(_Message, policy=_POLICY)
    try:
        for start in range(0, len(data), _FED_AT_ONCE):
            parser.feed(data[start : start + _FED_AT_ONCE])
        return parser.close()
    except (MemoryError, ParseFailed):
        raise
    except Exception as error:
        raise ParseFailed(f"broken: its parts cannot be told apart ({type(error).__name__})") from None


def _file_name(message: Message) -> str:
    """Return the name of an attachment, not yet decoded; of two, the one that names its encoding (RFC 2231)."""
    for header, parameter in (("content-disposition", "filename"), ("content-type", "name")):
        names = [value for name, value in message.get_params([], header) if name.lower() == parameter]
        if names:
            name = next((name for name in names if isinstance(name, tuple)), names[0])
            label, raw = (name[0] or "", name[2].encode("raw-unicode-escape")) if isinstance(name, tuple) else ("", b"")
            return decode_labelled(raw, label) or collapse_rfc2231_value(name)
    return ""


def _unannounced_parts(message: Message) -> list[Message]:
    """Return the parts of a multipart that are parted by another boundary than the one that it names, if any."""
    body = str(message.get_payload()).encode("utf-8", "surrogateescape")
    delimiter = _DELIMITER.search(body, 0, _FAR_ENOUGH)
    if delimiter is None:
        return []
    with suppress(ParseFailed):
        whole = _parsed(b'Content-Type: multipart/mixed; boundary="%s"\n\n' % delimiter[1] + body)
        return [one for one in whole.get_payload() if isinstance(one, Message)] if whole.is_multipart() else []
    return []


def text_of(data: bytes, charset: str) -> tuple[str, tuple[str, ...]]:
    """Decode a text that says what its encoding is, and say where that was not to be believed.

    Raises ParseFailed where it is no text.
    """
    if charset in _UNLABELLED:
        return decode(data)
    if not data.isascii() and (text := decode_labelled(data, "utf-8")) is not None and _is_sure(text, charset):
        return text, ()
    replaced = decode_labelled(data, charset, "replace")
    if replaced is None:
        text, warnings = decode(data)
        return text, warnings or (f"its encoding {charset[:40]} is unknown",)
    for label in (charset, "utf-8"):
        if (text := decode_labelled(data, label)) is not None:
            return text, ()
    return replaced, (f"{replaced.count(chr(0xFFFD))} characters are not valid {charset} and were replaced",)


def _is_sure(text: str, charset: str) -> bool:
    """Whether text that can be read as UTF-8 is, though it says `charset`, as many programs do for anything.

    No text is UTF-8 by chance, unless it is short, and then seldom in an encoding of one byte for each character.
    """
    return _SINGLE_BYTE.match(charset) is not None or sum(character > "\x7f" for character in text) >= _NO_CHANCE


def header_text(raw: str, charset: str) -> str:
    """Return what a header says: encoded words (RFC 2047) and raw bytes decoded, as far as they can be.

    `raw` holds bytes over 127 as the surrogates that stand for them; `charset` is that of the text below.
    """
    raw = _FOLD.sub("", raw[:MAX_HEADER])
    pieces: list[tuple[str, bytes]] = []  # label, or "" for what stands between encoded words
    end = 0
    for match in _ENCODED_WORD.finditer(raw):
        between = raw[end : match.start()]
        if between.strip() or not pieces:  # white space between two encoded words is none
            pieces.append(("", between.encode("utf-8", "surrogateescape")))
        pieces.append((match[1].lower(), _word_bytes(match[2].lower(), match[3])))
        end = match.end()
    pieces.append(("", raw[end:].encode("utf-8", "surrogateescape")))
    # Words of one encoding are joined before they are decoded: a character may have been cut between them.
    groups = groupby(pieces, key=lambda piece: piece[0])
    return "".join(_short_text(b"".join(piece for _, piece in group), label or charset) for label, group in groups)


def _word_bytes(how: str, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if how == "q":
        return quopri.decodestring(raw, header=True)
    return _base64(raw)


def _base64(raw: bytes) -> bytes:
    """Decode what comes before the padding, whatever is in between or missing at the end."""
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", raw.partition(b"=")[0])
    kept = kept[:-1] if len(kept) % 4 == 1 else kept
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


def _short_text(data: bytes, label: str) -> str:
    """Decode a few words, on which guessing an encoding would be in vain."""
    if data.isascii() and label not in ("utf-7", "hz-gb-2312", "iso-2022-jp", "iso-2022-kr", "iso-2022-cn"):
        return data.decode("ascii")
    labels = ("utf-8", label, "gb18030") if label in _UNLABELLED | _LATIN else (label, "utf-8", "gb18030")
    found = next((text for one in labels if (text := decode_labelled(data, one)) is not None), None)
    return data.decode("utf-8", "replace") if found is None else found


def _safely(ask: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Return the standard library's answer, or `otherwise` where a broken header is too much for it."""
    try:
        return ask()
    except MemoryError:
        raise
    except Exception:
        return otherwise
