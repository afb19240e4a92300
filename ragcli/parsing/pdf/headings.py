"""The headings of a PDF: its outline's titles, found in the lines; where it has none, lines in larger or bold type."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ragcli.parsing.pdf.layout import Line
from ragcli.parsing.pdf.lines import Mark, ends_as_prose, in_tables, is_row
from ragcli.parsing.pdf.reading import MAX_TITLE, OutlineEntry

_NUMBERING = re.compile(r"(?:(?:chapter|part|section|appendix|item)\s+)?[\dA-Z](?:[\d.]*\d)?[.:)]?\s+", re.IGNORECASE)
_LARGER = 1.15  # than the body's type
_LEVELS = 4
_FRONT = 0.1  # of the pages, where titles stand
_SAME = 0.96  # two sizes nearer than this are one
_LONGEST = 120  # characters of a heading's line; half as many where they are wide
_MANY = 0.3  # of the letters: so many are no headings
_APART = 0.8  # ems of white space between two headings
_WHOLE_PAGE = 10  # lines: such a page's own type may be larger than the document's
_LINES = 3  # that one heading may have
_VALUE = re.compile(r"(?:\. ?){4}|\d[)%]+$|[$€£¥] ?\d[\d.,]*$")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]{2}|[\u2e80-\u9fff\uac00-\ud7af]")


def outline_marks(
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


@dataclass(frozen=True, slots=True)
class _Heading:
    """Lines `first` to `last` of a page, in type of one size; bold ones of the body's size count as size 0."""

    page: int
    first: int
    last: int
    size: float


def body_size(pages: Sequence[Sequence[Line]]) -> float:
    """Return the size that most of a document's text is set in, in points; 0 where no line's size is known."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page:
            sizes[round(line.size * 2) / 2] += len(line.text)
    sizes.pop(0.0, None)
    return max(sizes, key=lambda size: (sizes[size], size), default=0.0)


def type_marks(pages: Sequence[Sequence[Line]], body: float) -> list[list[Mark]]:
    """Return the headings of every page, told from their type: larger than the body's, or bold and alone.

    Their levels are the ranks of their sizes in the whole document, at most four; bold ones stand lowest.
    """
    letters = sum(len(line.text) for page in pages for line in page)
    is_bold = 2 * sum(len(line.text) for page in pages for line in page if line.bold) > letters
    found = [
        heading for number, page in enumerate(pages) for heading in _page_headings(number, page, body, not is_bold)
    ]
    for bold in (True, False):
        these = [heading for heading in found if (heading.size == 0) is bold]
        if sum(len(_title(pages, heading)) for heading in these) > _MANY * letters:
            found = [heading for heading in found if (heading.size == 0) is not bold]
    levels = _levels(found, len(pages))
    marks: list[list[Mark]] = [[] for _ in pages]
    path: list[tuple[int, str]] = []
    for heading in found:
        level = levels[heading.size]
        title = _title(pages, heading)[:MAX_TITLE].rstrip()
        path = [step for step in path if step[0] < level] + [(level, title)]
        marks[heading.page].append(Mark(heading.first, heading.last, tuple(step[1] for step in path)))
    return marks


def _title(pages: Sequence[Sequence[Line]], heading: _Heading) -> str:
    lines = pages[heading.page][heading.first : heading.last + 1]
    return " ".join(" ".join(line.text for line in lines).split())


def _page_headings(number: int, page: Sequence[Line], body: float, may_be_bold: bool) -> list[_Heading]:
    if len(page) >= _WHOLE_PAGE:
        body = max(body, body_size([page]))
    kinds = [_type(line, body, may_be_bold) for line in page]
    if not any(kind is not None for kind in kinds):
        return []
    inside, above = in_tables([line.text for line in page], {at for at, line in enumerate(page) if line.in_table})
    found: list[_Heading] = []
    for size, stretch in groupby(range(len(page)), lambda at: kinds[at]):
        if size is None:
            continue
        runs = _runs(page, list(stretch))
        for at, (first, last) in enumerate(runs):
            if not size and not _is_first(page, [run[0] for run in runs], at):
                continue
            if (
                last - first < _LINES
                and not inside & {*range(first, last + 1)}
                and _heads(page, first, last, size, above)
            ):
                found.append(_Heading(number, first, last, size))
    return found


def _runs(page: Sequence[Line], stretch: Sequence[int]) -> list[tuple[int, int]]:
    """Part a stretch of lines where one does not go on below the other; return first and last line of each part."""
    runs = [(stretch[0], stretch[0])]
    for at in stretch[1:]:
        if _goes_on(page[at - 1], page[at]):
            runs[-1] = (runs[-1][0], at)
        else:
            runs.append((at, at))
    return runs


def _gap(page: Sequence[Line], at: int) -> float:
    """Return the white space above a line, in points; at the top of a page or a column, as much as one can wish."""
    line = page[at]
    above = page[at - 1] if at else None
    gap = above.bottom - line.top if above is not None and above.size else line.size
    return gap if gap >= 0 or abs(gap) < line.size else line.size


def _is_first(page: Sequence[Line], starts: Sequence[int], at: int) -> bool:
    """Return whether a part of a stretch of bold lines heads it, or has space above it; the others head columns."""
    first = page[starts[at]]
    if at:
        return page[starts[at] - 1].bottom - first.top >= _APART * first.size
    beside = len(starts) > 1 and first.bottom - page[starts[1]].top < -0.2 * first.size
    return not beside and (len(starts) <= _LINES or " " in first.text)


def _goes_on(above: Line, line: Line) -> bool:
    """Return whether a line stands right below another, flush with it or centred as it is."""
    apart = abs(above.left + above.right - line.left - line.right) / 2
    return above.bottom - line.top < _APART * line.size and min(abs(above.left - line.left), apart) < 1.5 * line.size


def _heads(page: Sequence[Line], first: int, last: int, size: float, above: set[int]) -> bool:
    """Return whether lines of heading's type are one: there is text below, and bold ones stand by themselves."""
    whole = " ".join(line.text for line in page[first : last + 1])
    if len(whole) > 1.5 * _LONGEST or not _WORD.search(whole) or ends_as_prose(whole):
        return False
    if size:
        return True
    if last + 1 >= len(page) or is_row(page[last + 1].text):
        return False
    if first in above and (first - 1 in above or not _is_title(page, page[first])):
        return False
    return _gap(page, first) > 0.3 * page[first].size


def _is_title(page: Sequence[Line], line: Line) -> bool:
    """Return whether a line above a table is its title, by its place: at the left border or in the middle."""
    left, right = min(one.left for one in page if one.size), max(one.right for one in page if one.size)
    return line.left < left + line.size or abs(line.left - left - (right - line.right)) < 2 * line.size


def _type(line: Line, body: float, may_be_bold: bool) -> float | None:
    """Return the size of a line that may be a heading, 0 for a bold one, None for any other."""
    if not line.size or not body:
        return None
    length = len(line.text) if line.text.isascii() else sum(1 if letter < "\u2e80" else 2 for letter in line.text)
    letter = _LETTER.search(line.text)
    if length > _LONGEST or letter is None or is_row(line.text) or _VALUE.search(line.text) or line.text[0] == "(":
        return None
    if line.size >= max(_LARGER * body, body + 1):
        return round(line.size * 2) / 2
    if may_be_bold and line.bold and line.size > 0.93 * body and not letter.group().islower():
        return 0.0
    return None


def _levels(headings: Sequence[_Heading], count: int) -> dict[float, int]:
    """Return each size's level, from 0, in a document of `count` pages.

    Sizes that only one page has, or only the first few, are a title's: they rank with the next and stand above none.
    """
    pages: dict[float, set[int]] = {}
    for heading in headings:
        pages.setdefault(heading.size, set()).add(heading.page)
    lasting = {size for size, its in pages.items() if len(its) > 1 and max(its) >= _FRONT * count}
    levels: dict[float, int] = {}
    level, last = -1, 0.0
    for size in sorted(pages, reverse=True):
        if level == -1 and lasting and size not in lasting:
            levels[size] = 0
        elif level == -1 or not size or size < _SAME * last:
            level, last = min(level + 1, _LEVELS - 1), size
            levels[size] = level
        else:
            levels[size] = level
    return levels
