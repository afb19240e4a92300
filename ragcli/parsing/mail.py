"""E-mail and mailboxes -> Document: every message under its subject, its attachments under their names.

Headings: Subject > (those of the text); Subject > Attachment: report.pdf > page 3 > (those of the page);
Subject > Attached message > Subject of that > and so on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath

from ragcli.errors import ParseFailed
from ragcli.formats import BY_SUFFIX, SHARED, UNREAD
from ragcli.parsing.alarm import TooLong, time_limit
from ragcli.parsing.building import Builder, clean, squash
from ragcli.parsing.charsets import decode_labelled
from ragcli.parsing.html import parse_html
from ragcli.parsing.invitation import events
from ragcli.parsing.limits import MAX_DEPTH, Limits
from ragcli.parsing.mime import MAX_HEADER, Part, packed_part, read_message, text_of
from ragcli.parsing.text import parse_text
from ragcli.parsing.tnef import packed_files
from ragcli.records import TEXT_FORMATS, Document, Format

_MAX_LEAVES = 1_000
_MAX_MESSAGES = 100_000
_MAX_WARNINGS = 20
_MAX_NAME = 100
_MAX_SAID = 100_000  # characters that are compared
_NO_TEXT = "no text"  # what parsers say of a page without any
_LEAST_SECONDS = 0.01  # to begin with an attachment

_SEPARATOR = re.compile(
    rb"(?:(?<=\n\n)|(?<=\n\r\n))From (?:(?=[^\n]*\b(?:19|20)\d\d\b)[^\n]*\d\d:\d\d[^\n]*\n|[^\n]*\n(?=[!-9;-~]+:))"
)
"""The line before each message but the first: a sender, a time and a year, or whatever stands before a header."""
_FIRST_SEPARATOR = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,1000}From [^\n]*\n")
_DELETED = re.compile(r"[0-9a-f]{3}[89a-f]", re.IGNORECASE)
"""Thunderbird's flags of a message that it shows no more and removes when it next compacts the mailbox."""
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)

_BY_TYPE: dict[str, Format] = {
    "text/html": "html",
    "text/markdown": "markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/json": "json",
    "application/pdf": "pdf",
    "application/epub+zip": "epub",
    "application/mbox": "mbox",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.text": "odt",
    "message/rfc822": "mail",
}
_SIGNATURES = re.compile(r"application/(?:pgp-signature|(?:x-)?pkcs7-signature|pgp-encrypted)")
_SEALED = frozenset((".asc", ".gpg", ".pgp", ".p7m", ".p7c"))
_ARCHIVES = frozenset((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".jar"))
_PICTURES = frozenset(
    (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".svg", ".emz", ".wmz")
)
_SEE_HTML = re.compile(
    r"(?:view|see|read|display|open)\b.{0,100}\b(?:html|browser|online)|\bhtml\b.{0,80}\b(?:client|viewer|reader|program)"
    r"|(?:support|enable)s?\b.{0,40}\bhtml|(?:请|請).{0,30}(?:html|浏览器|瀏覽器)|不支持.{0,10}html",
    re.IGNORECASE | re.DOTALL,
)
_MAX_SEE_HTML = 400
_ARMOURED = re.compile(r"-----BEGIN PGP (MESSAGE|SIGNATURE)-----(?:(?!-----BEGIN).)*?-----END PGP \1-----", re.DOTALL)


def parse_mail(data: bytes, limits: Limits) -> Document:
    """Read a message with its attachments. Raises ParseFailed where it is none."""
    message = read_message(data)
    reader = _Reader(limits)
    reader.add_message(message, 1, limits.depth)
    return reader.builder.document(message.header("subject"), warnings=_told(reader.warnings))


def parse_mbox(data: bytes, limits: Limits) -> Document:
    """Read the messages of a mailbox, one after the other. Raises ParseFailed where it has none."""
    reader = _Reader(limits)
    warnings: list[str] = []
    for number, (start, end) in enumerate(_messages(data), 1):
        if number > _MAX_MESSAGES:
            warnings.append(f"only its first {_MAX_MESSAGES:,} messages were read")
            break
        try:
            message = read_message(_unescaped(data[start:end]))
        except ParseFailed as error:
            warnings.append(f"message {number} was not read: {error.message}")
            continue
        if _DELETED.fullmatch(message.header("x-mozilla-status")):
            continue
        reader.add_message(message, 1, limits.depth)
        warnings += [f"message {number}: {warning}" for warning in reader.warnings]
        reader.warnings.clear()
    try:
        return reader.builder.document(warnings=_told(warnings))
    except ParseFailed:
        raise ParseFailed(warnings[0] if warnings else "no text") from None


def _messages(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each message of a mailbox lies. Raises ParseFailed where it does not begin with one."""
    first = _FIRST_SEPARATOR.match(data)
    if first is None:
        raise ParseFailed("broken: it does not begin as a mailbox")
    start = first.end()
    for separator in _SEPARATOR.finditer(data, start):
        yield start, separator.start()
        start = separator.end()
    yield start, len(data)


def _unescaped(message: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", message) if b">From " in message else message


def _told(warnings: Sequence[str]) -> Sequence[str]:
    """Return the warnings, the many that a large mailbox may have as a number."""
    if len(warnings) <= _MAX_WARNINGS:
        return warnings
    kept = _MAX_WARNINGS - 1
    return [*warnings[:kept], f"and {len(warnings) - kept} more like these"]


class _Reader:
    """Adds messages to a document. `warnings` are those of the messages added so far."""

    def __init__(self, limits: Limits) -> None:
        self.builder = Builder()
        self.warnings: list[str] = []
        self._limits = limits
        self._said: list[str] = []  # in the message that is being read, as words on one line

    def add_message(self, message: Part, level: int, depth: int) -> None:
        """Add a message that lies in `depth` other files, its subject as a heading of `level`."""
        self.builder.heading(message.header("subject") or "(no subject)", level)
        headers = ((name, message.header(name)) for name in ("From", "To", "Cc", "Date"))
        self.builder.add("\n".join(f"{name}: {text}" for name, text in headers if text))
        if any(message.is_cut(name) for name in ("Subject", "From", "To", "Cc")):
            self.warnings.append(f"a header was cut after {MAX_HEADER:,} characters")
        self._said.clear()
        for number, leaf in enumerate(_leaves(message)):
            if number == _MAX_LEAVES:
                self.warnings.append(f"only its first {_MAX_LEAVES:,} parts were read")
                break
            self.builder.leave(level + 1)
            self._add_leaf(leaf, level + 1, depth)
        self.builder.leave(level + 1)

    def _add_leaf(self, leaf: Part, level: int, depth: int) -> None:
        if leaf.type == "message/rfc822" and leaf.holds_parts and not leaf.wrapped():
            self._add_attached_message(leaf, level, depth)
        elif leaf.type.startswith("message/") and leaf.holds_parts and not leaf.wrapped():
            for part in leaf.parts:
                self.builder.add(part.fields())
        elif _is_text(leaf):
            self._add_text(leaf)
        else:
            self._add_attachment(leaf, level, depth)

    def _add_attached_message(self, leaf: Part, level: int, depth: int) -> None:
        name = leaf.name[:_MAX_NAME]
        if depth + 1 > MAX_DEPTH:
            self.warnings.append(f"an attached message was not read: it lies in {depth + 1} others")
            return
        self.builder.heading(f"Attachment: {name}" if name else "Attached message", level)
        for message in leaf.parts:
            self.add_message(message, level + 1, depth + 1)

    def _add_text(self, leaf: Part) -> None:
        """Add a part that is text of the message itself."""
        text = ""
        try:
            text, warnings = text_of(leaf.data(), leaf.charset)
            if leaf.type.startswith("multipart/"):
                self.warnings.append("broken: its parts cannot be told apart")
            if any(block[1] == "MESSAGE" for block in _ARMOURED.finditer(text)):
                self.warnings.append("its text is encrypted")
            text = _ARMOURED.sub("", text)
            if not text.strip():
                return
            if leaf.type == "text/html":
                document = parse_html(text.encode("utf-8", "replace"), whole=True)
            elif leaf.parameter("format") == "flowed":
                document = parse_text(_unflowed(clean(text).strip("\n"), leaf.parameter("delsp") == "yes"))
            else:
                document = parse_text(clean(text).strip("\n"))
        except ParseFailed as error:
            if error.message != _NO_TEXT or "<img" in text.lower():  # what is sent with an attachment is often empty
                self.warnings.append(f"its text was not read: {error.message}")
            return
        self.warnings += [f"its text: {warning}" for warning in warnings]
        self._said.append(" ".join(document.text[:_MAX_SAID].split()))
        self.builder.include(document)

    def _add_attachment(self, leaf: Part, level: int, depth: int) -> None:
        """Add what its own parser reads in an attachment, or a warning with the reason why it reads nothing."""
        if _SIGNATURES.fullmatch(leaf.type):
            return
        name = leaf.name[:_MAX_NAME] or leaf.type
        if _is_invitation(leaf):
            self._add_invitation(leaf, name, level)
            return
        if _is_packed(leaf):
            self._add_packed(leaf, name, level, depth)
            return
        format = _format(leaf)
        reason = _why_not(leaf) if format is None else self._hindrance(format, depth + 1)
        if format is None or reason:
            if reason:
                self.warnings.append(f"attachment {name} was not read: {reason}")
            return
        try:
            document = self._read(leaf, format, depth + 1)
        except ParseFailed as error:
            self.warnings.append(f"attachment {name} was not read: {error.message}")
            return
        self.builder.heading(f"Attachment: {name}", level)
        self.builder.include(document)
        self.warnings += [f"attachment {name}: {warning}" for warning in document.warnings]

    def _hindrance(self, format: Format, depth: int) -> str:
        """Return why an attachment of a format that can be read is not; "" where nothing speaks against it."""
        if depth > MAX_DEPTH:
            return f"it lies in {depth} other files"
        return self._limits.unattached if format != "mail" else ""

    def _add_invitation(self, leaf: Part, name: str, level: int) -> None:
        """Add the events of an invitation that have not been told yet: many are sent as a part and as a file."""
        try:
            text, _ = text_of(leaf.data(), leaf.charset)
        except ParseFailed as error:
            self.warnings.append(f"attachment {name} was not read: {error.message}")
            return
        self.builder.heading("Invitation", level, shown=False)
        number = -1
        for number, (event, words) in enumerate(events(clean(text))):
            if number == _MAX_LEAVES:
                self.warnings.append(f"only the first {_MAX_LEAVES:,} events of {name} were read")
                break
            for told in (event, words):
                line = " ".join(told[:_MAX_SAID].split())
                if not any(line in said for said in self._said):
                    self._said.append(line)
                    self.builder.add(told)
        if number < 0:
            self.warnings.append(f"attachment {name} was not read: it holds no event")

    def _add_packed(self, leaf: Part, name: str, level: int, depth: int) -> None:
        """Add the attachments that Outlook has packed into one."""
        found = 0
        try:
            if hindrance := self._hindrance("mail", depth + 1):
                raise ParseFailed(hindrance)
            for found, (inner, data) in enumerate(packed_files(leaf.data()), 1):
                if found > _MAX_LEAVES:
                    self.warnings.append(f"only the first {_MAX_LEAVES:,} attachments in {name} were read")
                    break
                if data is None:
                    self.warnings.append(f"attachment {squash(inner)[:_MAX_NAME]} was not read: an object of Outlook's")
                    continue
                self.builder.leave(level)
                self._add_attachment(packed_part(inner, data), level, depth + 1)
        except ParseFailed as error:
            self.warnings.append(f"attachment {name} was not read: {error.message}")
            return
        if not found and not self._said:
            self.warnings.append(f"attachment {name} was not read: it holds the text in Outlook's own form")

    def _read(self, leaf: Part, format: Format, depth: int) -> Document:
        """Raises ParseFailed, also where it takes over half of the time that is left for attachments."""
        from ragcli.parsing.reading import read

        seconds = (self._limits.deadline - time.monotonic()) / 2
        if seconds < _LEAST_SECONDS:
            raise ParseFailed("no time was left for it")
        data = leaf.wrapped() or leaf.data()
        if leaf.charset and (format in TEXT_FORMATS or format == "html"):
            data = (decode_labelled(data, leaf.charset) or "").encode("utf-8", "replace") or data
        try:
            with time_limit(seconds):
                return read(data, format, replace(self._limits, depth=depth), leaf.name)
        except TooLong:
            raise ParseFailed(f"it took over {seconds:.2g} s to read") from None
        except (MemoryError, ParseFailed):
            raise
        except Exception as error:  # a parser's own failure must not lose the message
            raise ParseFailed(f"its parser failed ({type(error).__name__})") from None


def _leaves(part: Part, skip_text: bool = False) -> Iterator[Part]:
    """Yield the parts that hold no others, in order, and attached messages. Of alternatives, only one text.

    Parts are nested 50 deep at most.
    """
    if not part.type.startswith("multipart/") or not part.holds_parts:
        if not (skip_text and _is_text(part)):
            yield part
        return
    parts = list(part.parts)
    chosen = _chosen(parts) if part.type == "multipart/alternative" else None
    for one in parts:
        yield from _leaves(one, skip_text or (chosen is not None and one is not chosen))


def _chosen(alternatives: Sequence[Part]) -> Part | None:
    """Return the plain one, unless it is empty or only says that there is another; else the last, the richest."""
    others = [one for one in alternatives if one.type != "text/plain" and (one.holds_parts or one.type == "text/html")]
    for one in alternatives:
        if one.type == "text/plain" and _is_text(one):
            sample = ""
            with suppress(ParseFailed):
                sample = one.data()[: 4 * _MAX_SEE_HTML].decode("utf-8", "replace").strip()
            see_html = len(sample) < _MAX_SEE_HTML and _SEE_HTML.search(sample) is not None
            if sample and not (see_html and others):
                return one
    return others[-1] if others else None


def _is_text(part: Part) -> bool:
    """Whether a part is text of the message itself, and no attachment."""
    shown = part.type.startswith(("text/", "multipart/")) and not _is_invitation(part)
    return shown and not part.attached and not part.name


def _is_invitation(part: Part) -> bool:
    return part.type in ("text/calendar", "application/ics") or part.name.lower().endswith(".ics")


def _is_packed(part: Part) -> bool:
    return part.name.lower() == "winmail.dat" or "ms-tnef" in part.type


def _format(part: Part) -> Format | None:
    """Return the format of an attachment by its name, else by its type; None where it is not read."""
    suffix = PurePosixPath(part.name.lower()).suffix
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix].name
    if suffix in _ARCHIVES or (suffix in UNREAD and suffix not in SHARED):
        return None
    return _BY_TYPE.get(part.type, "text" if part.type.startswith("text/") else None)


def _why_not(part: Part) -> str:
    """Return why an attachment is not read; "" where it is a picture that only belongs to the layout."""
    suffix = PurePosixPath(part.name.lower()).suffix
    if part.type.startswith("image/") or suffix in _PICTURES:
        return "" if part.embedded else "a picture"
    if suffix in _SEALED or part.type.endswith("pkcs7-mime"):
        return "it is encrypted, or sealed by a signature around it"
    if suffix in _ARCHIVES:
        return "an archive"
    return UNREAD.get(suffix, "binary")


def _unflowed(text: str, joined: bool) -> str:
    """Join the lines of a paragraph that was sent as `format=flowed` (RFC 3676). `joined`: without the space."""
    lines: list[list[str]] = []
    open_depth = -1  # how deep the line that goes on is quoted; -1 where none does
    for raw in text.split("\n"):
        depth = len(raw) - len(raw.lstrip(">"))
        line = raw[depth:].removeprefix(" ")
        flows = line.endswith(" ") and line != "-- "
        kept = line[:-1] if flows and joined else line
        if depth == open_depth and line != "-- ":
            lines[-1].append(kept)
        else:
            lines.append([">" * depth + (" " if depth else ""), kept])
        open_depth = depth if flows else -1
    return "\n".join("".join(line) for line in lines)
