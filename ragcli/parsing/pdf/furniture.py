"""What is printed on every page and belongs to none: running headers, running footers, page numbers.

A line is dropped where it stands at the edge of its page and comes again, at the same edge, on pages near by: word
for word, or with a number in it that counts along with the pages. What occurs once is never dropped.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from ragcli.parsing.pdf.layout import Line
from ragcli.parsing.pdf.lines import is_row

_EDGE = 4  # lines at each edge that are looked at
_NEAR = 4  # pages before and after: two of the same side, where left and right pages differ
_TIMES = 3  # that a line must come on pages so near
_SHARE = 0.6  # of the pages so near that must have it, or nearly all of those of the same side
_MAX_LENGTH = 150
_LARGER, _LARGEST = 1.15, 1.5  # than the body's type: a title, which may well come again; and surely no header
_EVERYWHERE = 0.8  # of all pages that must have a line in larger type, in the same size

_INTEGER = re.compile(r"(?<![A-Za-z\d.,])\d{1,5}(?![A-Za-z\d]|[.,]\d)")
_NUMBER = re.compile(r"[-–—.·~ ]*(?:(\d{1,5})|([ivxlc]{1,8}))[-–—.·~ ]*")
_PAGE = re.compile(r"\bpage\b|[页頁]")
_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u9fff]")
_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}

_ALONE, _ANY = "#", "*"
Key = tuple[bool, str, int | None, int]
"""Whether it is at the top; its text, numbers that may count pages masked; what such a number is above the page's; its
size in points where that is larger than the body's, else 0."""


def drop_furniture(pages: Sequence[Sequence[Line]], body: float) -> list[list[Line]]:
    """Return the pages without their running headers and footers. `body` is the size of the document's type, or 0."""
    edges = [{is_top: list(_edge(page, is_top)) for is_top in (True, False)} for page in pages]
    seen: dict[Key, list[int]] = {}
    for number, page_edges in enumerate(edges):
        keys = {
            key for is_top, edge in page_edges.items() for line in edge for key in _keys(line, number, is_top, body)
        }
        for key in keys | {(False, _ANY, offset, 0) for _, _, offset, _ in keys}:
            seen.setdefault(key, []).append(number)
    kept = []
    for number, (page, page_edges) in enumerate(zip(pages, edges, strict=True)):
        gone = {
            id(line)
            for is_top, edge in page_edges.items()
            for line in _running(edge, number, is_top, seen, body, len(pages))
        }
        kept.append([line for line in page if id(line) not in gone] if gone else list(page))
    return kept


def _edge(page: Sequence[Line], is_top: bool) -> Iterator[Line]:
    """Yield the lines at one edge of a page, from the outermost on, and one more."""
    lines = [line for line in page if line.text]
    if all(line.size for line in lines):
        lines.sort(key=lambda line: line.bottom, reverse=is_top)
    elif not is_top:
        lines.reverse()
    yield from lines[: _EDGE + 1]


def _running(
    edge: Sequence[Line], number: int, is_top: bool, seen: dict[Key, list[int]], body: float, pages: int
) -> list[Line]:
    """Return those of the lines at an edge that run through the pages around."""
    found: list[Line] = []
    for line in edge[:_EDGE]:
        if not any(_is_running(key, seen, number, pages) for key in _keys(line, number, is_top, body)):
            break
        found.append(line)
    # A table's header comes again where the table goes on: what stands close above other text is not running.
    while found and not _counts(_keys(found[-1], number, is_top, body), seen, number):
        after = edge[len(found)] if len(found) < len(edge) else None
        if after is None or _stands_apart(found[-1], after, is_top):
            break
        found.pop()
    return found


def _stands_apart(line: Line, after: Line, is_top: bool) -> bool:
    if not (line.size and after.size):
        return not is_row(after.text)
    gap = line.bottom - after.top if is_top else after.bottom - line.top
    return gap > (2.0 if is_row(after.text) else 0.6) * line.size


def _counts(keys: Iterator[Key], seen: dict[Key, list[int]], number: int) -> bool:
    """Return whether a line holds the number of its page."""
    return any(key[2] is not None and _counts_pages(key, seen, number) for key in keys)


def _counts_pages(key: Key, seen: dict[Key, list[int]], number: int) -> bool:
    """Return whether the number in a line counts along with pages near by, with the same words on one of them at least.

    A number alone may stand at the other edge there, as on the first page of a chapter.
    """
    same = len(_near(seen[key], number))
    counting = len(_near(seen[False, _ANY, key[2], 0], number))
    return same >= _TIMES or (counting >= _TIMES and (same > 1 or key[1] == _ALONE))


def _is_running(key: Key, seen: dict[Key, list[int]], number: int, pages: int) -> bool:
    """Return whether a line of page `number` comes on enough pages near by; one that counts them needs fewest."""
    if key[3] and len(seen[key]) < max(_TIMES, _EVERYWHERE * pages):
        return False
    if key[2] is not None:
        return _counts_pages(key, seen, number)
    found = _near(seen[key], number)
    if len(found) < _TIMES:
        return False
    near = range(max(0, number - _NEAR), min(pages, number + _NEAR + 1))
    same = [other for other in near if (other - number) % 2 == 0]
    return len(found) >= _SHARE * len(near) or len({*found} & {*same}) == len(same) >= _TIMES


def _near(numbers: Sequence[int], number: int) -> Sequence[int]:
    return numbers[bisect_left(numbers, number - _NEAR) : bisect_right(numbers, number + _NEAR)]


def _keys(line: Line, number: int, is_top: bool, body: float) -> Iterator[Key]:
    """Yield what makes a line the same as others: its text, or its text around a number that counts the pages.

    A number in a title may count chapters, unless it says that it is a page's.
    """
    text = " ".join(line.text[: _MAX_LENGTH + 1].split()).casefold()
    is_larger = body > 0 and line.size > _LARGER * body
    if len(text) > _MAX_LENGTH or (is_larger and line.size > _LARGEST * body):
        return
    if alone := _NUMBER.fullmatch(text):
        yield is_top, _ALONE, (int(alone[1]) if alone[1] else _roman(alone[2])) - number, 0
    if (alone and alone[1]) or is_row(text):
        return
    size = round(line.size) if is_larger else 0
    if _WORD.search(text):
        yield is_top, text, None, size
    is_title = (is_top if is_larger else line.bold and len(text) >= 8) and not _PAGE.search(text)
    integers = list(_INTEGER.finditer(text))
    for found in {integers[0], integers[-1]} if integers and not is_title else ():
        masked = f"{text[: found.start()]}{_ALONE}{text[found.end() :]}"
        yield is_top, masked, int(found.group()) - number, size


def _roman(text: str) -> int:
    values = [_VALUES[letter] for letter in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
