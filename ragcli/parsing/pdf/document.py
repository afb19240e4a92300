"""PDF -> Document: every page's text in reading order, cut into blocks under its headings.

What is printed on every page is dropped, and so is a page whose letters make no sense; words that a line's end cuts
are made whole. The reading itself is in reading.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from ragcli.errors import ParseFailed
from ragcli.parsing.building import clean, squash
from ragcli.parsing.limits import Limits
from ragcli.parsing.ocr.scanned import SCANNED, Scanned, pictures
from ragcli.parsing.pdf.annotations import Comment
from ragcli.parsing.pdf.furniture import drop_furniture
from ragcli.parsing.pdf.garbled import is_garbled, is_spaced, join_characters, join_letters
from ragcli.parsing.pdf.headings import body_size, outline_marks, type_marks
from ragcli.parsing.pdf.hyphens import join_hyphens, join_wide
from ragcli.parsing.pdf.layout import Line
from ragcli.parsing.pdf.lines import Mark, line_blocks
from ragcli.parsing.pdf.reading import (
    OutlineEntry,
    PdfText,
    Refused,
    ranges,
    read_with_pdfium,
    read_with_pypdf,
)
from ragcli.records import Block, Document

_SAME_PLACE = 2.0
"""Points by which the rows of one table may begin apart."""
PAGE_BREAK = "\n\f\n"
"""What stands between two pages in a document's text. A form feed stands nowhere else in it."""

_COMMENT = "Comment"
_SCAN = "no text: it seems to be a scan"
_NO_SENSE = "garbled text (its font tells no letters)"
_NO_WORDS = "text whose letters stand apart, with no telling where words end,"


def parse_pdf(data: bytes, limits: Limits) -> Document:
    """Read a PDF of at most `limits.pages` pages.

    Raises ParseFailed where it is empty, locked, broken, too long, or wholly without text.
    """
    if not data:
        raise ParseFailed("empty file")
    if b"%PDF-" not in data[:1024]:
        raise ParseFailed("not a PDF, whatever its name says")
    read = _read(data, limits.pages)
    sound, problems = _sound_pages(read)
    if b"%%EOF" not in data[-4096:]:
        problems.append("its end is missing: pages may be lost")
    body = body_size(sound)
    kept = drop_furniture(sound, body)
    texts = join_hyphens([[line.text for line in page] for page in kept])
    pages = [
        [
            line if line.text == text and text.isprintable() else replace(line, text=_clean(text))
            for line, text in zip(page, its, strict=True)
        ]
        for page, its in zip(kept, texts, strict=True)
    ]
    comments = read.comments or ((),) * len(pages)
    text, blocks = _written(pages, comments, read.outline, body)
    textless = tuple(
        number for number, page in enumerate(sound, 1) if number in read.pictures or not any(line.text for line in page)
    )
    if textless and not blocks:  # scans with one label on all of them
        raise Scanned(_SCAN, _without_text(read))
    return Document(text, blocks, read.title, len(pages), tuple(problems), _labels(read, len(pages)), textless)


def _read(data: bytes, max_pages: int) -> PdfText:
    """Read with pdfium; where that fails or finds no text at all, with pypdf."""
    trouble: ParseFailed
    try:
        first = read_with_pdfium(data, max_pages)
        if not first.is_blank:
            return first
        scan = Scanned(_SCAN, _without_text(first))
        trouble = ParseFailed(f"no text: {first.problems[0]}") if first.problems else scan
    except Refused:
        raise
    except ParseFailed as error:
        trouble = error
    try:
        second = read_with_pypdf(data, max_pages)
    except Refused:
        raise
    except ParseFailed:
        raise trouble from None
    if second.is_blank:
        raise trouble
    return second


def _without_text(read: PdfText) -> Document:
    """Return what is known of a PDF of which no page has text that is of use."""
    count = len(read.lines)
    every = tuple(range(1, count + 1))
    return Document(PAGE_BREAK * (count - 1), (), read.title, count, (), _labels(read, count), every)


def _sound_pages(read: PdfText) -> tuple[list[Sequence[Line]], list[str]]:
    """Return the pages, garbled ones without their lines, and what is to be said of them.

    Raises Scanned where nothing is left.
    """
    pages: list[Sequence[Line]] = []
    empty: list[int] = []
    without: dict[str, list[int]] = {_NO_SENSE: [], _NO_WORDS: []}
    unmapped = read.unmapped or (0.0,) * len(read.lines)
    for number, (page, share) in enumerate(zip(read.lines, unmapped, strict=True), 1):
        texts = [line.text for line in page]
        lines: Sequence[Line] = page
        if not any(texts):
            empty.append(number)
        elif is_garbled("\n".join(texts), share):
            lines = ()
            without[_NO_SENSE].append(number)
        elif is_spaced(texts):
            whole = join_letters(texts)
            lines = [replace(line, text=text) for line, text in zip(page, whole or texts, strict=True)]
            if whole is None:
                lines = ()
                without[_NO_WORDS].append(number)
        elif (whole := join_characters(texts)) != texts:
            lines = [replace(line, text=text) for line, text in zip(page, whole, strict=True)]
        pages.append(lines)
    left_out = {what: numbers for what, numbers in without.items() if numbers}
    if not any(line.text for page in pages for line in page):
        what_is_there = " and ".join(f"it has only {what}".rstrip(",") for what in left_out)
        raise Scanned(f"no text: {what_is_there}", _without_text(read))
    problems = [*read.problems]
    if empty:
        problems.append(f"{ranges(empty)} no text {SCANNED}")
    if labelled := sorted(read.pictures.difference(*left_out.values())):
        problems.append(f"{pictures(labelled)} {SCANNED}")
    for what, numbers in left_out.items():
        problems.append(f"{ranges(numbers)} {what} and {'was' if len(numbers) == 1 else 'were'} left out")
    return pages, problems


def _clean(line: str) -> str:
    return clean(line).replace("\n", " ").strip()


def _labels(read: PdfText, pages: int) -> tuple[str, ...]:
    """Return the name of each page; () where they are just numbers from 1, or there are none."""
    counted = [str(number) for number in range(1, pages + 1)]
    labels = [label or number for label, number in zip(read.labels, counted, strict=True)] if read.labels else counted
    return () if labels == counted else tuple(labels)


def _written(
    pages: Sequence[Sequence[Line]],
    comments: Sequence[Sequence[Comment]],
    outline: Sequence[OutlineEntry],
    body: float,
) -> tuple[str, tuple[Block, ...]]:
    """Return the text of all pages and its blocks. What was noted on a page stands below its text."""
    parts: list[str] = []
    blocks: list[Block] = []
    above: Sequence[Line] = ()
    end = 0
    for number, (page_lines, heading, marks) in enumerate(_marked(pages, outline, body), 1):
        page, spans = _page_text(page_lines)
        lines = [line for line in page_lines if line.text]
        rows = {at for at, line in enumerate(lines) if line.in_table}
        its_blocks = list(line_blocks(page, spans, number, heading, marks, rows))
        if above and lines and abs(above[-1].left - lines[0].left) < _SAME_PLACE:
            its_blocks = _go_on(its_blocks, blocks[-1])
        above = lines
        page, its_blocks = join_wide(page, its_blocks)
        page, its_blocks = _with_comments(page, its_blocks, number, comments[number - 1])
        start = end + len(PAGE_BREAK) * (number > 1)
        parts.append(page)
        blocks += (replace(block, start=block.start + start, end=block.end + start) for block in its_blocks)
        end = start + len(page)
    return PAGE_BREAK.join(parts), tuple(blocks)


def _go_on(blocks: list[Block], last: Block) -> list[Block]:
    """Return the blocks of a page where the table goes on that ended the page before: its header holds here, too."""
    rows = list(takewhile(lambda block: block.kind == last.kind == "table_row" and not block.header, blocks))
    return [*(replace(row, header=last.header) for row in rows), *blocks[len(rows) :]]


def _with_comments(page: str, blocks: list[Block], number: int, comments: Sequence[Comment]) -> tuple[str, list[Block]]:
    """Return a page and its blocks with its comments; those that only repeat what they mark are left out."""
    printed = squash(page)
    path = blocks[-1].heading if blocks else ()
    for comment in comments:
        text = comment.text if squash(comment.text) not in printed else ""
        if text:
            start = len(page) + 2 * bool(page)
            page = f"{page}\n\n{text}" if page else text
            name = f"{_COMMENT} by {comment.author}" if comment.author else _COMMENT
            blocks = [*blocks, Block(start, len(page), "paragraph", (*path, name), number)]
    return page, blocks


def is_comment(block: Block) -> bool:
    """Return whether a block of a PDF was noted on its page."""
    name = block.heading[-1] if block.heading else ""
    return name == _COMMENT or name.startswith(f"{_COMMENT} by ")


def _marked(
    pages: Sequence[Sequence[Line]], outline: Sequence[OutlineEntry], body: float
) -> Iterator[tuple[Sequence[Line], tuple[str, ...], list[Mark]]]:
    """Yield each page's lines, the path of headings at its top, and the headings on it, by its lines that have text."""
    path: list[OutlineEntry] = []
    heading: tuple[str, ...] = ()
    by_page: dict[int, list[OutlineEntry]] = {}
    for entry in outline:
        by_page.setdefault(entry.page, []).append(entry)
    full = [[line for line in page if line.text] for page in pages]
    typed = type_marks(full, body) if not outline else []
    for number, page in enumerate(pages, 1):
        marks: list[Mark] = []
        top = heading
        if number in by_page:
            marks, path = outline_marks([line.text for line in full[number - 1]], by_page[number], path)
        elif typed:
            marks = typed[number - 1]
        heading = marks[-1].heading if marks else heading
        yield page, top, marks


def _page_text(lines: Sequence[Line]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of a page, with at most one empty line between two, and the spans of its lines."""
    text: list[str] = []
    spans: list[tuple[int, int]] = []
    end = 0
    gap = ""
    for line in lines:
        if not line.text:
            gap = "\n\n" if spans else ""
            continue
        if spans:
            gap = gap or "\n"
            text.append(gap)
            end += len(gap)
        text.append(line.text)
        spans.append((end, end + len(line.text)))
        end += len(line.text)
        gap = ""
    return "".join(text), spans
