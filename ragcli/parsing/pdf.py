"""PDF -> Document: every page's text in order, cut into blocks under the headings of the outline.

Two readers stand behind one function each: pdfium (fast, and nearer to the printed text: docs/decisions.md has the
figures) and pypdf, which reads what pdfium cannot. Both are run on hostile files, so this module is meant to be
called in a limited child process.
"""

from __future__ import annotations

import io
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.blocks import MAX_TEXT, page_ranges
from ragcli.parsing.limits import Limits
from ragcli.parsing.lines import Mark, line_blocks, line_spans
from ragcli.parsing.scanned import SCANNED, Scanned
from ragcli.records import Block, Document

PAGE_BREAK = "\n\f\n"
"""What stands between two pages in a document's text. A form feed stands nowhere else in it."""

_MAX_OUTLINE = 10_000
_MAX_DEPTH = 8
_MAX_TITLE = 200
_PASSWORD_NEEDED, _UNKNOWN_ENCRYPTION = 4, 5  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY

_HYPHEN = re.compile(r"(?<![^\W_])([^\W_]++)[\ufffe\x02]([^\W_]*)(\S*)[^\S\n]?")
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_EMPTY_LINES = re.compile(r"\n{3,}")
_NUMBERING = re.compile(r"(?:(?:chapter|part|section|appendix|item)\s+)?[\dA-Z](?:[\d.]*\d)?[.:)]?\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A bookmark: its title, its depth from 0, and its page from 1."""

    title: str
    level: int
    page: int


@dataclass(frozen=True, slots=True)
class PdfText:
    """What a reader got out of a PDF. A page that it could not read is empty, and a problem."""

    pages: tuple[str, ...]
    outline: tuple[OutlineEntry, ...] = ()
    title: str = ""
    problems: tuple[str, ...] = ()

    @property
    def is_blank(self) -> bool:
        """Whether no page has any text."""
        return not any(page.strip() for page in self.pages)


class _Refused(ParseFailed):
    """A verdict that another reader would only repeat."""


def parse_pdf(data: bytes, limits: Limits) -> Document:
    """Read a PDF of at most `limits.pages` pages.

    Raises ParseFailed where it is empty, locked, broken, too long, or wholly without text (Scanned, where that is all).
    """
    if not data:
        raise ParseFailed("empty file")
    if b"%PDF-" not in data[:1024]:
        raise ParseFailed("not a PDF, whatever its name says")
    read = _read(data, limits.pages)
    pages = [_clean(page) for page in _join_hyphens(read.pages)]
    problems = [*read.problems, *_empty_pages(pages)]
    if b"%%EOF" not in data[-4096:]:
        problems.append("its end is missing: pages may be lost")
    text = PAGE_BREAK.join(pages)
    blocks = tuple(_blocks(text, pages, read.outline))
    textless = tuple(number for number, page in enumerate(pages, 1) if not page.strip())
    return Document(text, blocks, _clean(read.title)[:_MAX_TITLE], len(pages), tuple(problems), textless=textless)


def _read(data: bytes, max_pages: int) -> PdfText:
    """Read with pdfium; where that fails or finds no text at all, with pypdf."""
    trouble: ParseFailed
    try:
        first = read_with_pdfium(data, max_pages)
        if not first.is_blank:
            return first
        if not first.problems:
            trouble = Scanned("no text: it seems to be a scan", _without_text(first))
        else:
            trouble = ParseFailed(f"no text: {first.problems[0]}")
    except _Refused:
        raise
    except ParseFailed as error:
        trouble = error
    try:
        second = read_with_pypdf(data, max_pages)
    except _Refused:
        raise
    except ParseFailed:
        raise trouble from None
    if second.is_blank:
        raise trouble
    return second


def _without_text(read: PdfText) -> Document:
    count = len(read.pages)
    title = _clean(read.title)[:_MAX_TITLE]
    return Document(PAGE_BREAK * (count - 1), (), title, count, textless=tuple(range(1, count + 1)))


def read_with_pdfium(data: bytes, max_pages: int) -> PdfText:
    """Read a PDF with pdfium. Raises ParseFailed."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD_NEEDED:
            raise _Refused("it is locked by a password") from None
        known = error.err_code != _UNKNOWN_ENCRYPTION
        raise ParseFailed("broken PDF" if known else "its encryption is not supported") from None
    with document:
        _check_length(len(document), max_pages)
        pages: list[str] = []
        unreadable: list[int] = []
        size = 0
        for index in range(len(document)):
            try:
                page = document[index]
                words = page.get_textpage()
                pages.append(words.get_text_range())
                words.close()
                page.close()
            except pypdfium2.PdfiumError:
                pages.append("")
                unreadable.append(index + 1)
            size = _check_size(size + len(pages[-1]))
        outline = tuple(_pdfium_outline(document, len(pages)))
        title = ""
        with suppress(pypdfium2.PdfiumError, UnicodeError):
            title = document.get_metadata_value("Title")
    return PdfText(tuple(pages), outline, title, _unreadable_pages(unreadable))


def _pdfium_outline(document: Any, pages: int) -> Iterator[OutlineEntry]:
    from pypdfium2 import PdfiumError

    for bookmark in islice(document.get_toc(max_depth=_MAX_DEPTH), _MAX_OUTLINE):
        with suppress(PdfiumError, UnicodeError):
            place = bookmark.get_dest()
            index = None if place is None else place.get_index()
            title = _title(bookmark.get_title())
            if index is not None and 0 <= index < pages and title:
                yield OutlineEntry(title, bookmark.level, index + 1)


def read_with_pypdf(data: bytes, max_pages: int) -> PdfText:
    """Read a PDF with pypdf. Raises ParseFailed.

    pypdf lets almost any exception through on a broken file, so that all are taken for "broken" here; running out of
    memory is not the file's verdict and goes up.
    """
    import pypdf

    pages: list[str] = []
    unreadable: list[int] = []
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _Refused("it is locked by a password")
        count = len(reader.pages)
        _check_length(count, max_pages)
        size = 0
        for index in range(count):
            try:
                pages.append(reader.pages[index].extract_text())
            except MemoryError:
                raise
            except Exception:
                pages.append("")
                unreadable.append(index + 1)
            size = _check_size(size + len(pages[-1]))
    except (ParseFailed, MemoryError):
        raise
    except Exception:
        raise ParseFailed("broken PDF") from None
    outline: tuple[OutlineEntry, ...] = ()
    title = ""
    with suppress(Exception):
        title = str((reader.metadata and reader.metadata.title) or "")
    with suppress(Exception):
        outline = tuple(islice(_pypdf_outline(reader, reader.outline, 0), _MAX_OUTLINE))
    return PdfText(tuple(pages), outline, title, _unreadable_pages(unreadable))


def _pypdf_outline(reader: Any, entries: Sequence[Any], level: int) -> Iterator[OutlineEntry]:
    for entry in entries:
        if isinstance(entry, list):
            if level < _MAX_DEPTH:
                yield from _pypdf_outline(reader, entry, level + 1)
            continue
        index = reader.get_destination_page_number(entry)
        title = _title(str(entry.title or ""))
        if index is not None and 0 <= index < len(reader.pages) and title:
            yield OutlineEntry(title, level, index + 1)


def _check_length(pages: int, max_pages: int) -> None:
    if pages > max_pages:
        hint = "raise it with `ragcli config set max_pages`"
        raise _Refused(f"it has {pages} pages, over the limit of {max_pages}", hint)


def _check_size(size: int) -> int:
    if size > MAX_TEXT:
        raise _Refused(f"its text is over {MAX_TEXT // 1_000_000} million characters long")
    return size


def _title(text: str) -> str:
    return " ".join(_clean(text).split())[:_MAX_TITLE].rstrip()


def _clean(page: str) -> str:
    """Return a page's text in lines without spaces at their ends, holding nothing that UTF-8 or a terminal cannot."""
    page = "\n".join(line.strip() for line in page.splitlines())
    page = _SURROGATE.sub("\ufffd", _UNWANTED.sub("", page))
    return _EMPTY_LINES.sub("\n\n", page).strip("\n")


def _join_hyphens(pages: Sequence[str]) -> list[str]:
    """Rejoin words that a line's end has cut. pdfium puts U+FFFE in the place of hyphen and line break.

    Whether the hyphen belongs to the word (`cloud-based`) or to the line (`exam-ple`) is asked of the document: does
    it write the word elsewhere in one of the two ways? Or know both parts as words? Else the word goes with most.
    """
    if not any("\ufffe" in page or "\x02" in page for page in pages):
        return list(pages)
    known = Counter(word.casefold() for page in pages for word in _WORD.findall(_HYPHEN.sub(" ", page)))

    def verdict(match: re.Match[str]) -> int:
        """Return above 0 where the hyphen stays, below 0 where it goes, 0 where the document does not say."""
        left, right = match[1].casefold(), match[2].casefold()
        return known[f"{left}-{right}"] - known[left + right] or min(known[left], known[right])

    verdicts = [found for page in pages for match in _HYPHEN.finditer(page) if (found := verdict(match))]
    usual = 1 if sum(found > 0 for found in verdicts) * 2 > len(verdicts) else -1

    def join(match: re.Match[str]) -> str:
        is_plain = match[1][-1].isalpha() and match[2][:1].islower()  # `AX-200` and `non-GAAP` keep theirs
        hyphen = "" if is_plain and (verdict(match) or usual) < 0 else "-"
        return f"{match[1]}{hyphen}{match[2]}{match[3]}\n"

    return [_HYPHEN.sub(join, page) for page in pages]


def _empty_pages(pages: Sequence[str]) -> list[str]:
    empty = [number for number, page in enumerate(pages, 1) if not page.strip()]
    return [f"{_ranges(empty)} {SCANNED}"] if empty else []


def _unreadable_pages(numbers: Sequence[int]) -> tuple[str, ...]:
    return (f"{_ranges(numbers)} faults and could not be read",) if numbers else ()


def _ranges(numbers: Sequence[int]) -> str:
    """Return "page 3 has" or "pages 3-7, 9 have"."""
    return f"{page_ranges(numbers)} {'has' if len(numbers) == 1 else 'have'}"


def _blocks(text: str, pages: Sequence[str], outline: Sequence[OutlineEntry]) -> Iterator[Block]:
    by_page: dict[int, list[OutlineEntry]] = {}
    for entry in outline:
        by_page.setdefault(entry.page, []).append(entry)
    path: list[OutlineEntry] = []
    start = 0
    for number, page in enumerate(pages, 1):
        lines = line_spans(text, start, start + len(page))
        heading = tuple(entry.title for entry in path)
        marks: list[Mark] = []
        if number in by_page:
            marks, path = _marks([text[a:b] for a, b in lines], by_page[number], path)
        yield from line_blocks(text, lines, number, heading, marks)
        start += len(page) + len(PAGE_BREAK)


def _marks(
    lines: Sequence[str], entries: Sequence[OutlineEntry], path: list[OutlineEntry]
) -> tuple[list[Mark], list[OutlineEntry]]:
    """Find the titles of a page's outline entries in its lines, and return them with the path in force at its end.

    A title that is not there comes into force at the top of the page, or where the entry before it did.
    """
    places = _title_places(lines, {_key(entry.title) for entry in entries})
    marks: list[Mark] = []
    at = 0
    for entry in entries:
        path = [step for step in path if step.level < entry.level] + [entry]
        heading = tuple(step.title for step in path)
        found = places.get(_key(entry.title), [])
        next_one = bisect_left(found, (at, 0))
        if next_one < len(found):
            first, last = found[next_one]
            marks.append(Mark(first, last, heading))
            at = last + 1
        else:
            marks.append(Mark(at, at - 1, heading))
    return marks, path


def _title_places(lines: Sequence[str], titles: set[str]) -> dict[str, list[tuple[int, int]]]:
    """Return the first and last line of every place where one to three lines make up a title."""
    places: dict[str, list[tuple[int, int]]] = {}
    bare = [(_key(line), _key(_NUMBERING.sub("", line, count=1))) for line in (line[:300] for line in lines)]
    for first, keys in enumerate(bare):
        rest = ""
        for last in range(first, min(first + 3, len(bare))):
            rest += bare[last][0] if last > first else ""
            for title in {keys[0] + rest, keys[1] + rest} & titles - {""}:
                places.setdefault(title, []).append((first, last))
    return places


def _key(title: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", title).casefold()))
