"""Messages and mailboxes made on the spot."""

from __future__ import annotations

import base64

from parsing.parsing_helpers import check_blocks

from ragcli.parsing.limits import Limits
from ragcli.parsing.mail import parse_mail, parse_mbox
from ragcli.records import Document

LIMITS = Limits(pages=100)
HEADERS = b"From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: Pumps\nDate: Mon, 1 Jan 2024 10:00:00 +0800\n"
PLAIN, HTML = b"Content-Type: text/plain\n\n%s", b"Content-Type: text/html\n\n<p>%s</p>"
FROM = b"From ann@example.org Mon Jan  1 10:00:00 2024\n"


def mail(data: bytes, limits: Limits = LIMITS) -> Document:
    document = parse_mail(data, limits)
    check_blocks(document)
    return document


def mbox(data: bytes) -> Document:
    document = parse_mbox(data, LIMITS)
    check_blocks(document)
    return document


def simple(body: bytes, *headers: str) -> bytes:
    return HEADERS + "".join(f"{line}\n" for line in headers).encode("utf-8", "surrogateescape") + b"\n" + body


def multipart(kind: str, *parts: bytes) -> bytes:
    """Return the headers and body of a multipart; `parts` bring their own headers."""
    boundary = b"b%d" % (sum(map(len, parts)) + len(kind))
    body = b"".join(b"--" + boundary + b"\n" + part + b"\n" for part in parts)
    return b"Content-Type: multipart/%s; boundary=%s\n\n" % (kind.encode(), boundary) + body + b"--" + boundary + b"--"


def part(content_type: str, content: bytes, *headers: str) -> bytes:
    encoded = base64.encodebytes(content)
    lines = (f"Content-Type: {content_type}", "Content-Transfer-Encoding: base64", *headers)
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + encoded
