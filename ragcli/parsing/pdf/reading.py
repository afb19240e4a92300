"""PDF bytes -> lines with their places, outline, labels: what the two readers give.

pdfium is fast, and nearer to the printed text (docs/decisions.md has the figures); pypdf reads what pdfium cannot,
and knows no places. Both are run on hostile files, so this module is meant to be called in a limited child process.
"""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.blocks import MAX_TEXT, page_ranges
from ragcli.parsing.building import clean
from ragcli.parsing.pdf.annotations import UNTICKED, Annotations, Comment, read_annotations
from ragcli.parsing.pdf.garbled import is_spaced, is_torn
from ragcli.parsing.pdf.gutters import mark_tables
from ragcli.parsing.pdf.layout import SPACE, Box, Line, close_gaps, in_columns, mark_word_gaps, unfold
from ragcli.parsing.pdf.pictures import is_picture
from ragcli.parsing.pdf.rows import in_rows, join_cells, join_rows, put_beside, put_markers
from ragcli.parsing.pdf.turning import turn, turns_of

MAX_TITLE = 200

_MAX_OUTLINE = 10_000
_MAX_DEPTH = 8
_MAX_LABEL = 50
_MAX_PLACED = 2_000  # lines of one page; one with more is read as plain text
_MAX_PAGE = 100_000  # characters, likewise
_LABEL = 100  # characters; a page with more has a text of its own
_MIN_FIELDS = 5  # of a page that is a form
_SAMPLE = 50  # characters of a page that are asked which way they run, and whether their fonts know their letters
_PASSWORD_NEEDED, _UNKNOWN_ENCRYPTION = 4, 5  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY

_PRINTED_LINE = re.compile("[^\r\n\ufffe\x02]*(?:[\ufffe\x02]|\r\n?|\n|$)")
_NO_TITLE = re.compile(r"<[0-9a-f]{8,}>?|\(?(?:anonymous|untitled|unspecified)\)?", re.IGNORECASE)
"""What programs put where nobody gave a title; a printer driver the file's name, in bytes."""
_BOLD = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A bookmark: its title, its depth from 0, and its page from 1."""

    title: str
    level: int
    page: int


@dataclass(frozen=True, slots=True)
class PdfText:
    """What a reader got out of a PDF, page by page. A page that it could not read is empty, and a problem.

    `unmapped` is the share of each page's characters whose font does not say which letters they are, `comments` are
    what readers noted on each page; both are empty where the reader does not tell. `pictures` are the pages, from 1,
    that are pictures with hardly any text.
    """

    lines: tuple[tuple[Line, ...], ...]
    outline: tuple[OutlineEntry, ...] = ()
    title: str = ""
    problems: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    unmapped: tuple[float, ...] = ()
    comments: tuple[tuple[Comment, ...], ...] = ()
    pictures: frozenset[int] = frozenset()

    @property
    def pages(self) -> tuple[str, ...]:
        """The text of every page."""
        return tuple("".join(line.text + "\n" * (not line.is_cut) for line in page) for page in self.lines)

    @property
    def is_blank(self) -> bool:
        """Whether no page has any text."""
        return not any(line.text for page in self.lines for line in page)


class Refused(ParseFailed):
    """A verdict that another reader would only repeat."""


def read_with_pdfium(data: bytes, max_pages: int) -> PdfText:
    """Read a PDF with pdfium. Raises ParseFailed."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD_NEEDED:
            raise Refused("it is locked by a password") from None
        known = error.err_code != _UNKNOWN_ENCRYPTION
        raise ParseFailed("broken PDF" if known else "its encryption is not supported") from None
    with document:
        _check_length(len(document), max_pages)
        form = _form(document)
        pages: list[tuple[Line, ...]] = []
        unmapped: list[float] = []
        comments: list[tuple[Comment, ...]] = []
        unreadable: list[int] = []
        pictures: set[int] = set()
        size = 0
        for index in range(len(document)):
            try:
                page = document[index]
                words, place = _upright(page)
                text = words.get_text_range()
                written = read_annotations(page.raw, form, place.turns)
                size = _check_size(size + len(text) + written.size)
                pages.append(tuple(_placed_lines(text, place, written)))
                comments.append(written.comments)
                unmapped.append(place.unmapped())
                if 0 < sum(len(line.text) for line in pages[-1]) < _LABEL and is_picture(page):
                    pictures.add(index + 1)
                words.close()
                page.close()
            except pypdfium2.PdfiumError:
                pages.append(())
                unmapped.append(0.0)
                comments.append(())
                unreadable.append(index + 1)
        outline = tuple(_pdfium_outline(document, len(pages)))
        labels = tuple(_label(document, index) for index in range(len(pages)))
        title = ""
        with suppress(pypdfium2.PdfiumError, UnicodeError):
            title = document.get_metadata_value("Title")
    problems = _unreadable_pages(unreadable)
    told = tuple(unmapped), tuple(comments), frozenset(pictures)
    return PdfText(tuple(pages), outline, _title(title), problems, labels, *told)


def _form(document: Any) -> Any:
    """Return the form that a pdfium document has; None where it has none. Nothing in it is run."""
    from pypdfium2 import PdfiumError

    with suppress(PdfiumError):
        document.init_forms()
    return document.formenv and document.formenv.raw


def _upright(page: Any) -> tuple[Any, _Place]:
    """Return the text of a pdfium page, read as if the page were shown with its writing upright, and the places."""
    words = page.get_textpage()
    shown = page.get_rotation() // 90
    place = _Place(words, shown)
    if place.turns == shown:
        return words, place
    words.close()
    page.set_rotation(90 * place.turns)
    words = page.get_textpage()
    return words, _Place(words, place.turns)


class _Place:
    """Asks pdfium for the places of a page's characters. A call costs about a microsecond, a page's text 3,000.

    They are those on the page turned to the right by as many quarters as `turns`, so that its writing is upright.
    """

    def __init__(self, words: Any, shown: int) -> None:
        import pypdfium2.raw as pdfium

        self._raw = words.raw
        self._pdfium = pdfium
        count = words.count_chars()
        self._sample = [
            at for at in range(0, count, max(1, count // _SAMPLE)) if not pdfium.FPDFText_IsGenerated(self._raw, at)
        ]
        self.turns = turns_of(self._raw, self._sample, shown)
        self._box = pdfium.FS_RECTF()
        self._name = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()

    def line(self, text: str, start: int, end: int) -> Line:
        """Return the line that is `text`, the page's text from `start` to `end`, ends not being white space."""
        pdfium, box = self._pdfium, self._box
        first = pdfium.FPDFText_GetCharIndexFromTextIndex(self._raw, start)
        last = pdfium.FPDFText_GetCharIndexFromTextIndex(self._raw, end - 1)
        if first < 0 or last < 0 or not self._find(last):
            return Line(text, start=start)
        right, end_size = box.right, box.top - box.bottom
        if not self._find(first):
            return Line(text, start=start)
        size = min(box.top - box.bottom, end_size)
        if size <= 0 or self._strays(start):
            return Line(text, start=start)
        bold = self._is_bold(first) and (first == last or self._is_bold(last))
        return Line(text, box.left, right, box.bottom, size, bold, start)

    def box(self, at: int) -> Box | None:
        """Return the place of the character at a position of the page's text."""
        box = self._box
        index = self._pdfium.FPDFText_GetCharIndexFromTextIndex(self._raw, at)
        if index < 0 or not self._find(index):
            return None
        return Box(box.left, box.right, box.bottom, box.top - box.bottom)

    def straight(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut a line of a turned page's text where its writing changes direction.

        pdfium takes a running header that stands upright, above a table on its side, for a part of its first row.
        """
        bare = text[start:end].strip()
        first = text.find(bare, start)
        if bare and self._strays(first) != self._strays(first + len(bare) - 1):
            for space in SPACE.finditer(text, start, end):
                if self._strays(space.start() - 1) != self._strays(space.end()):
                    yield start, space.start()
                    start = space.end()
        yield start, end

    def unmapped(self) -> float:
        """Return the share of a sample of the page's characters whose font tells no letter."""
        errors = sum(self._pdfium.FPDFText_HasUnicodeMapError(self._raw, at) == 1 for at in self._sample)
        return errors / len(self._sample) if self._sample else 0.0

    def _strays(self, at: int) -> bool:
        """Return whether a character of a turned page, by its position in the text, is turned otherwise than most."""
        if not self.turns:
            return False
        index = self._pdfium.FPDFText_GetCharIndexFromTextIndex(self._raw, at)
        return turns_of(self._raw, (index,), self.turns) != self.turns

    def _find(self, index: int) -> bool:
        """Put the place of a character into the box that is at hand; return whether it has one."""
        found = self._pdfium.FPDFText_GetLooseCharBox(self._raw, index, self._box)
        if self.turns:
            turn(self._box, self.turns)
        return bool(found)

    def _is_bold(self, index: int) -> bool:
        self._pdfium.FPDFText_GetFontInfo(self._raw, index, self._name, len(self._name), self._flags)
        return _BOLD.search(self._name.value) is not None


def _placed_lines(text: str, place: _Place, written: Annotations) -> list[Line]:
    """Return the lines of a page in reading order, the cells of a row on one line, with what was `written` on it."""
    if not text.strip() and all(line.text == UNTICKED for line in written.lines):
        return []
    printed = [match.span() for match in islice(_PRINTED_LINE.finditer(text), _MAX_PLACED + 1)]
    if len(printed) > _MAX_PLACED or len(text) > _MAX_PAGE:
        return [*_plain_lines(text), *written.lines]
    lines: list[Line] = []
    for start, end in (span for whole in printed for span in place.straight(text, *whole)):
        piece = text[start:end]
        bare = piece.strip()
        if bare:
            start += piece.index(bare[0])
            lines += unfold(place.line(bare, start, start + len(bare)), place.box)
        elif start < end:
            lines.append(Line("", start=start))
    if is_spaced([line.text for line in lines]):
        lines = [mark_word_gaps(line, place.box) if line.size else line for line in lines]
    else:
        lines = mark_tables(put_markers(lines), place.box)
    lines = in_rows(in_columns(lines, place.box), place.box, is_form=written.fields >= _MIN_FIELDS)
    if is_torn([line.text for line in lines]):
        lines = [close_gaps(line, place.box) if line.size else line for line in lines]
    if written.lines:
        lines = put_beside(lines, written.lines, place.box)
    return join_cells(join_rows(lines))


def _plain_lines(text: str) -> list[Line]:
    return [Line(match.group().strip(), start=match.start()) for match in _PRINTED_LINE.finditer(text) if match.group()]


def _label(document: Any, index: int) -> str:
    with suppress(UnicodeError):
        return _title(document.get_page_label(index))[:_MAX_LABEL]
    return ""


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

    pages: list[tuple[Line, ...]] = []
    unreadable: list[int] = []
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("it is locked by a password")
        count = len(reader.pages)
        _check_length(count, max_pages)
        size = 0
        for index in range(count):
            text = ""
            try:
                text = reader.pages[index].extract_text()
            except MemoryError:
                raise
            except Exception:
                unreadable.append(index + 1)
            size = _check_size(size + len(text))
            pages.append(tuple(_plain_lines(text)))
    except (ParseFailed, MemoryError):
        raise
    except Exception:
        raise ParseFailed("broken PDF") from None
    outline: tuple[OutlineEntry, ...] = ()
    labels: tuple[str, ...] = ()
    title = ""
    with suppress(Exception):
        title = str((reader.metadata and reader.metadata.title) or "")
    with suppress(Exception):
        labels = tuple(_title(label)[:_MAX_LABEL] for label in reader.page_labels)
    with suppress(Exception):
        outline = tuple(islice(_pypdf_outline(reader, reader.outline, 0), _MAX_OUTLINE))
    return PdfText(tuple(pages), outline, _title(title), _unreadable_pages(unreadable), labels)


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
        raise Refused(f"it has {pages} pages, over the limit of {max_pages}", hint)


def _check_size(size: int) -> int:
    if size > MAX_TEXT:
        raise Refused(f"its text is over {MAX_TEXT // 1_000_000} million characters long")
    return size


def _title(text: str) -> str:
    title = " ".join(clean(text).split())[:MAX_TITLE].rstrip()
    return "" if _NO_TITLE.fullmatch(title) else title


def _unreadable_pages(numbers: Sequence[int]) -> tuple[str, ...]:
    return (f"{ranges(numbers)} faults and could not be read",) if numbers else ()


def ranges(numbers: Sequence[int]) -> str:
    """Return "page 3 has" or "pages 3-7, 9 have"."""
    return f"{page_ranges(numbers)} {'has' if len(numbers) == 1 else 'have'}"
