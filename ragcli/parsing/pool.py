"""Parse files in child processes that are limited in time and memory, so that no file can harm the run.

A child reads one file after the other. What it sends back is checked like any other input: a hostile file may have
taken its parser over.
"""

from __future__ import annotations

import queue
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from ragcli.child import Child, ChildBabbled, ChildDied, ChildTimeout
from ragcli.errors import ParseFailed
from ragcli.parsing.blocks import MAX_TEXT
from ragcli.parsing.children import Children, stopped
from ragcli.parsing.ocr.scanned import SCANNED, Scanned
from ragcli.parsing.ocr.scans import PageAt, ScanReader
from ragcli.parsing.worker import KINDS, OUT_OF_MEMORY
from ragcli.records import Block, Document, Format

_WITH_ATTACHMENTS: frozenset[Format] = frozenset({"mail", "mbox"})
_ATTACHMENTS, _FIRST_TRY = 5 / 8, 3 / 4
"""Shares of a mail's time: until when its attachments are read, and when it is read once more without them."""
_FILES_PER_CHILD = 500
_MAX_SENTENCE = 500
_MAX_REPLY = 1 << 29


class ParserPool:
    """Up to `jobs` child processes that parse.

    `seconds` and `memory_mb` limit each file, `max_pages` each PDF. Children start when they are first needed.
    Scanned pages are given to `scans`; without that, `scan_hint` says how they could be read.
    """

    def __init__(
        self,
        jobs: int,
        seconds: float,
        memory_mb: int,
        max_pages: int,
        scans: ScanReader | None = None,
        scan_hint: str = "",
    ) -> None:
        self.seconds = seconds
        self.memory_mb = memory_mb
        self.max_pages = max_pages
        self.children = Children("the parser", "ragcli.parsing.worker", str(memory_mb))
        self._scans = scans
        self._scan_hint = f"; {scan_hint}" if scan_hint else ""
        self._jobs = jobs
        self._seats: queue.LifoQueue[_Seat] = queue.LifoQueue()
        for _ in range(jobs):
            self._seats.put(_Seat(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        """Return the document that `data` holds. May be called from several threads at once.

        Raises ParseFailed with the reason: the parser's own, or that it took too long, needed too much memory, or
        crashed; and RagcliError where no parser starts, which is no fault of the file.
        """
        seat = self._seats.get()
        try:
            document = seat.parse(data, format, name)
        except Scanned as scan:
            if self._scans is None:
                raise ParseFailed(scan.message + self._scan_hint) from None
            document = scan.document
        finally:
            self._seats.put(seat)
        if document.textless and self._scans is not None:
            return self._scans.read(document, data, name)
        return self._with_hint(document) if document.textless else document

    def scanning(self) -> PageAt | None:
        """Return which page is being read by OCR, of the file that came first; None where there is none."""
        return self._scans.at() if self._scans is not None else None

    def _with_hint(self, document: Document) -> Document:
        return replace(
            document,
            warnings=tuple(one + self._scan_hint if one.endswith(SCANNED) else one for one in document.warnings),
        )

    def close(self) -> None:
        """End every child, in the middle of a file if need be. Files that are being parsed fail."""
        self.children.close()
        if self._scans is not None:
            self._scans.close()
        seats = [self._seats.get() for _ in range(self._jobs)]  # a killed child's reader comes back at once
        for seat in seats:
            seat.leave()
            self._seats.put(seat)


class _ChildLost(ParseFailed):
    """A file cost its child: time, memory or a crash."""


class _Seat:
    """The place of one child, which is replaced when it dies or has served long enough."""

    def __init__(self, pool: ParserPool) -> None:
        self._pool = pool
        self._child: Child | None = None
        self._served = 0

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        """Have the child parse one file; where it is lost on a mail, once more without the attachments."""
        self._child = self._child or self._pool.children.start()
        began, seconds = time.monotonic(), self._pool.seconds
        request = {"format": format, "name": name, "max_pages": self._pool.max_pages}
        if format not in _WITH_ATTACHMENTS:
            return self._read(request, data, began, seconds)
        try:
            return self._read({**request, "seconds": seconds * _ATTACHMENTS}, data, began, seconds * _FIRST_TRY)
        except _ChildLost as loss:
            if self._pool.children.closed:
                raise
            reason = f"with all attachments, {loss.message}"
            return self._read({**request, "unattached": reason}, data, began, seconds)

    def _read(self, request: Mapping[str, Any], data: bytes, began: float, seconds: float) -> Document:
        """Have a file parsed within `seconds` from when it `began`.

        Where the child dies and had read others before, a fresh one tries again. Raises ParseFailed.
        """
        while True:
            used = self._served > 0
            try:
                return self._ask(request, data, began + seconds)
            except ChildTimeout:
                raise _ChildLost(f"it took over {seconds:g} s to read") from None
            except ChildDied as death:
                if not used or self._pool.children.closed:
                    raise _ChildLost(self._reason(death)) from None

    def _ask(self, request: Mapping[str, Any], data: bytes, end: float) -> Document:
        """Send one file and return its document. Raises ParseFailed, ChildDied and ChildTimeout."""
        child = self._child = self._child or self._pool.children.start()
        try:
            child.send(request, data, max(0.0, end - time.monotonic()))
            reply, payload = child.receive(max(0.0, end - time.monotonic()), _MAX_REPLY)
            result = unpack(reply, payload)
        except (ChildBabbled, AttributeError, LookupError, TypeError, ValueError):
            self.leave()
            raise _ChildLost("its parser sent back nonsense") from None
        except BaseException:
            self.leave()
            raise
        self._served += 1
        if reply.get("spent") or self._served == _FILES_PER_CHILD:
            self.leave()
        if isinstance(result, ParseFailed):
            raise result
        return result

    def leave(self) -> None:
        """End the child; the next file gets another."""
        child, self._child, self._served = self._child, None, 0
        if child is not None:
            self._pool.children.end(child)

    def _reason(self, death: ChildDied) -> str:
        if self._pool.children.closed:
            return stopped().message
        # pdfium and C++ abort without a word where an allocation fails; Python's own fatal errors say what they are.
        silent_abort = death.signal == signal.SIGABRT and "Fatal Python error" not in death.stderr
        if death.code == OUT_OF_MEMORY or silent_abort:
            return f"it needed more than {self._pool.memory_mb} MB of memory"
        return f"the parser crashed on it ({death})"


def unpack(reply: dict[str, Any], payload: bytes) -> Document | ParseFailed:
    """Return what a child sent, after checking that it is a document or a reason.

    Raises AttributeError, LookupError, TypeError or ValueError where it is neither.
    """
    if "scan" in reply:
        return Scanned(_sentence(reply["failed"]), _document(reply["scan"], payload))
    if "failed" in reply:
        return ParseFailed(_sentence(reply["failed"]), _sentence(reply["hint"]))
    return _document(reply, payload)


def _document(reply: dict[str, Any], payload: bytes) -> Document:
    text = payload.decode("utf-8")
    _require(len(text) <= MAX_TEXT)
    headings = [tuple(_texts(path)) for path in _list(reply["headings"])]
    headers = _texts(reply["headers"])
    pages = reply["pages"]
    _require(pages is None or (type(pages) is int and pages >= 0))
    blocks: list[Block] = []
    at = 0
    for row in _list(reply["blocks"]):
        _require(type(row) is list and all(type(number) is int for number in row))
        start, end, kind, heading, page, header = row
        _require(at <= start < end <= len(text) and min(kind, heading, page, header) >= 0 and page <= (pages or 0))
        blocks.append(Block(start, end, KINDS[kind], headings[heading], page or None, headers[header]))
        at = end
    warnings = tuple(_sentence(warning) for warning in _texts(reply["warnings"]))
    labels = tuple(_sentence(label) for label in _texts(reply["labels"]))
    _require(len(labels) in (0, pages))
    textless = tuple(_list(reply["textless"]))
    _require(all(type(number) is int for number in textless) and list(textless) == sorted(set(textless)))
    _require(not textless or (textless[0] >= 1 and textless[-1] <= (pages or 0)))
    return Document(text, tuple(blocks), _sentence(reply["title"]), pages, warnings, labels, textless)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError


def _list(value: Any) -> list[Any]:
    _require(type(value) is list)
    return value  # type: ignore[no-any-return]


def _texts(value: Any) -> list[str]:
    return [_string(item) for item in _list(value)]


def _string(value: Any) -> str:
    _require(type(value) is str)
    value.encode("utf-8")  # JSON can carry halves of surrogate pairs, which nothing behind this can store
    return value  # type: ignore[no-any-return]


def _sentence(value: Any) -> str:
    return " ".join(_string(value)[:_MAX_SENTENCE].split())
