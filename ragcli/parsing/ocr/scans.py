"""Scanned pages -> text: the pages of a PDF that have none are read by OCR, in child processes of their own.

A page may cost its child: it hangs, or needs too much memory. Then it is left out and the next one is read. What a
child sends back is checked like any other input.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ragcli.child import Child, ChildBabbled, ChildDied, ChildTimeout
from ragcli.errors import ParseFailed, RagcliError, UsageError
from ragcli.parsing.blocks import MAX_TEXT
from ragcli.parsing.children import Children, stopped
from ragcli.parsing.ocr.extra import REPAIR
from ragcli.parsing.ocr.outcome import Outcome
from ragcli.parsing.ocr.scanned import SCANNED, letters
from ragcli.parsing.pdf.document import PAGE_BREAK, is_comment
from ragcli.parsing.pdf.furniture import drop_furniture
from ragcli.parsing.pdf.hyphens import join_hyphens
from ragcli.parsing.pdf.layout import Line
from ragcli.parsing.pdf.lines import line_blocks, line_spans
from ragcli.parsing.worker import OUT_OF_MEMORY
from ragcli.records import Block, Document

MEMORY_MB = 3072
"""Address space of a child; a page of ordinary size takes up to two thirds of it."""
_MAX_CHILDREN = 2
_MAX_THREADS = 8  # of one child; more of them gain little
_ENVIRONMENT = {
    **{"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
    "ORT_DISABLE_TELEMETRY": "1",
}
"""What keeps a child within its address space on a machine of many cores, as each thread would reserve some; and what
keeps ONNX Runtime from telling its makers of each run."""
_MEAN_SECONDS = 30  # for each page of a file, one with another: several times what an honest one takes
_MAX_LOST = 3  # children that one file may cost
_MAX_REPLY = 1 << 23
_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class PageAt:
    """A page that is being read, from 1, of a file of so many pages."""

    name: str
    page: int
    pages: int


class ScanReader:
    """Reads scanned pages with up to two child processes, which share `threads` threads between them.

    `page_seconds` limits one page, `file_seconds` and `max_pages` all pages of one file (fewer seconds where it has few
    pages). Where `required`, an OCR
    library that does not start ends the run. Children start when they are first needed.
    """

    def __init__(
        self,
        threads: int,
        *,
        required: bool = False,
        page_seconds: float = 120,
        file_seconds: float = 3600,
        max_pages: int = 500,
        memory_mb: int = MEMORY_MB,
    ) -> None:
        self.required = required
        self.page_seconds = page_seconds
        self.file_seconds = file_seconds
        self.max_pages = max_pages
        self.memory_mb = memory_mb
        self._count = min(_MAX_CHILDREN, threads)
        each = min(_MAX_THREADS, max(1, threads // self._count))
        arguments = (str(memory_mb), str(each))
        self.children = Children("OCR", "ragcli.parsing.ocr.worker", *arguments, environment=_ENVIRONMENT)
        self._at: dict[str, PageAt] = {}
        self._seats: queue.LifoQueue[_Seat] = queue.LifoQueue()
        for _ in range(self._count):
            self._seats.put(_Seat(self))

    def read(self, document: Document, data: bytes, name: str) -> Document:
        """Return the document of the PDF `data` with the text of its `textless` pages, as far as OCR finds any.

        May be called from several threads at once. Raises ParseFailed where it has no text then either, and
        UsageError where OCR is `required` and does not start.
        """
        seat = self._seats.get()
        try:
            outcome = seat.read(document.textless, data, lambda page: self._note(name, page, document.pages or page))
        finally:
            self._at.pop(name, None)
            self._seats.put(seat)
        try:
            outcome.set_labels(_labels(document))
            whole = put_in(document, {number: text for number, (text, _) in outcome.read.items()})
        except ValueError:
            raise ParseFailed("its parser sent back nonsense") from None
        if not whole.blocks:
            raise ParseFailed(f"no text: it seems to be a scan, and {outcome.why_nothing()}")
        if len(whole.text) > MAX_TEXT:
            raise ParseFailed(f"its text is over {MAX_TEXT // 1_000_000} million characters long")
        warnings = [warning for warning in document.warnings if not warning.endswith(SCANNED)]
        return replace(whole, warnings=(*warnings, *outcome.warnings()))

    def at(self) -> PageAt | None:
        """Return which page is being read, of the file that came first. May be called from any thread."""
        return next(iter(list(self._at.values())), None)

    def _note(self, name: str, page: int, pages: int) -> None:
        self._at[name] = PageAt(name, page, pages)

    def close(self) -> None:
        """End every child, in the middle of a page if need be. Files that are being read fail."""
        self.children.close()
        seats = [self._seats.get() for _ in range(self._count)]  # a killed child's reader comes back at once
        for seat in seats:
            seat.leave()
            self._seats.put(seat)


class _Seat:
    """The place of one child, which is replaced when a page has cost it or it has grown."""

    def __init__(self, reader: ScanReader) -> None:
        self._reader = reader
        self._child: Child | None = None
        self._is_open = False

    def read(self, numbers: Sequence[int], data: bytes, on_page: Callable[[int], None]) -> Outcome:
        """Read some pages of a PDF, telling `on_page` before each, and say what became of them."""
        outcome = Outcome()
        seconds = min(self._reader.file_seconds, self._reader.page_seconds + _MEAN_SECONDS * len(numbers))
        deadline = time.monotonic() + seconds
        lost = 0
        self._is_open = False
        if self._child is not None and self._child.poll(0):  # it has nothing to say now but that it has ended
            self.leave()
        for at, number in enumerate(numbers):
            if at == self._reader.max_pages:
                outcome.fail(f"it stops after {at} {'page' if at == 1 else 'pages'}", numbers[at:])
                break
            if time.monotonic() > deadline:
                outcome.fail(f"it stops after {seconds:g} s", numbers[at:])
                break
            if lost == _MAX_LOST:
                outcome.fail(f"it failed on {lost} pages before", numbers[at:])
                break
            on_page(number)
            try:
                if not self._open(data):
                    outcome.fail("it cannot open the file", numbers[at:])
                    break
                self._page(number, outcome)
            except _NotStarted as error:
                outcome.fail(f"{error.message}: `{REPAIR}` mends that", numbers[at:])
                break
            except (ChildDied, ChildTimeout, AttributeError, LookupError, TypeError, ValueError) as error:
                self.leave()
                if self._reader.children.closed:
                    raise stopped() from None
                outcome.fail(self._reason(error), [number])
                lost += 1
            except BaseException:
                self.leave()
                raise
        return outcome

    def _open(self, data: bytes) -> bool:
        """Send the child the file, where it does not have it, and return whether it can be opened."""
        if self._child is None:
            self._child = self._start()
        if not self._is_open:
            self._child.send({"open": True}, data, self._reader.page_seconds)
            reply, _ = self._child.receive(self._reader.page_seconds)
            self._is_open = "failed" not in reply
        return self._is_open

    def _start(self) -> Child:
        try:
            return self._reader.children.start()
        except ParseFailed:
            raise
        except RagcliError as error:
            if self._reader.required:
                raise UsageError(error.message, f"`{REPAIR}` mends that; or set `ocr` to off") from None
            raise _NotStarted(error.message) from None

    def _page(self, number: int, outcome: Outcome) -> None:
        """Have one page read. Raises what stands for a lost child, or for a reply that makes no sense."""
        assert self._child is not None
        self._child.send({"page": number}, None, self._reader.page_seconds)
        reply, payload = self._child.receive(self._reader.page_seconds, _MAX_REPLY)
        if "failed" in reply:
            outcome.fail(" ".join(reply["failed"][:_MAX_REASON].encode("ascii", "replace").decode().split()), [number])
        else:
            outcome.note(number, payload.decode("utf-8"), reply["confidence"], reply["blank"])
        if reply.get("spent"):
            self.leave()

    def leave(self) -> None:
        """End the child; the next page gets another."""
        child, self._child, self._is_open = self._child, None, False
        if child is not None:
            self._reader.children.end(child)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, ChildTimeout):
            return f"it took over {self._reader.page_seconds:g} s"
        if isinstance(error, ChildBabbled) or not isinstance(error, ChildDied):
            return "it sent back nonsense"
        # pdfium, OpenCV and ONNX Runtime abort, or fault, where an allocation fails
        if error.code == OUT_OF_MEMORY or error.signal:
            return f"it crashed, or needed more than {self._reader.memory_mb} MB of memory"
        return f"it crashed ({error})"


class _NotStarted(RagcliError):
    """The OCR library is there and does not work."""


def _labels(document: Document) -> dict[int, str]:
    """Return the texts of the scans that bear a label, by page. Comments are none."""
    found: dict[int, str] = {}
    for block in document.blocks:
        if block.page in document.textless and not is_comment(block):
            found[block.page] = found.get(block.page, "") + document.text[block.start : block.end]
    return found


def _texts(document: Document) -> list[str]:
    """Return the text of each page. Raises ValueError where the document does not have its pages."""
    pages = document.text.split(PAGE_BREAK)
    if len(pages) != document.pages:
        raise ValueError("a text without its page breaks")
    return pages


def put_in(document: Document, found: Mapping[int, str]) -> Document:
    """Return a PDF's document with the texts of `found`, by page from 1, beside what these pages have.

    They stand below a label, which is left out where they repeat it, and above comments, under the last heading on
    their page or before it. Raises ValueError where the document's text does not have its pages.
    """
    found = _as_printed(found, document.pages or 0)
    by_page: dict[int, list[Block]] = {}
    for block in document.blocks:
        by_page.setdefault(block.page or 0, []).append(block)
    parts: list[str] = []
    blocks: list[Block] = []
    heading: tuple[str, ...] = ()
    before = start = 0  # where the page begins in the old text, and in the new one
    for number, page in enumerate(_texts(document), 1):
        own = [_moved(block, -before) for block in by_page.get(number, ())]
        if any(not 0 <= block.start < block.end <= len(page) for block in own):
            raise ValueError("a block that lies on another page")
        heading = next((block.heading for block in reversed(own) if not is_comment(block)), heading)
        before += len(page) + len(PAGE_BREAK)
        if number in found:
            text = found[number]
            read = line_blocks(text, line_spans(text, 0, len(text)), number, heading, ())
            page, own = _together(page, own, text, list(read))
        parts.append(page)
        blocks += (_moved(block, start) for block in own)
        start += len(page) + len(PAGE_BREAK)
    return replace(document, text=PAGE_BREAK.join(parts), blocks=tuple(blocks))


def _as_printed(found: Mapping[int, str], pages: int) -> dict[int, str]:
    """Return the texts of pages without what runs through them, and with the words whole that a line's end cuts."""
    lines = [[Line(line) for line in found.get(page, "").split("\n")] for page in range(1, pages + 1)]
    kept = [[line.text for line in page] for page in drop_furniture(lines, 0.0)]
    whole = ["\n".join(page).strip("\n") for page in join_hyphens(kept)]
    return {page: whole[page - 1] or text for page, text in found.items() if page <= pages}


def _together(page: str, own: Sequence[Block], text: str, read: list[Block]) -> tuple[str, list[Block]]:
    """Return a page and its blocks with the text that was read on it, and the blocks of that."""
    known = letters(text)
    kept = [block for block in own if letters(page[block.start : block.end]) not in known]
    alone = [(page[block.start : block.end], [_moved(block, -block.start)]) for block in kept]
    labels = [one for one, block in zip(alone, kept, strict=True) if not is_comment(block)]
    comments = [one for one, block in zip(alone, kept, strict=True) if is_comment(block)]
    whole, blocks = "", []
    for piece, its in (*labels, (text, read), *comments):
        whole += "\n\n" * bool(whole and piece)
        blocks += [_moved(block, len(whole)) for block in its]
        whole += piece
    return whole, blocks


def _moved(block: Block, by: int) -> Block:
    return replace(block, start=block.start + by, end=block.end + by)
