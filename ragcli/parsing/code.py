"""Source code -> Document: functions and classes as headings. Offsets point into the decoded file."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ragcli.parsing.blocks import paragraphs
from ragcli.parsing.grammars import Found, find, knows
from ragcli.records import Block, Document

_MAX_PARSED = 1_000_000
"""Longest file, in bytes of UTF-8, that is read by its grammar: larger ones are made by machines, or bombs."""
_MAX_NESTED = 500
"""How deep brackets may lie in each other: tree-sitter overflows its stack on some languages' ten thousands."""
_MAX_DEPTH = 8
_WHOLE_FUNCTION = 2_000
"""A function up to this many characters is one: what is defined inside it is no heading."""
_SIGNATURE = 300
_SECTIONS = (".ini", ".cfg", ".conf", ".toml", ".properties")
_SECTION = re.compile(r"""^\[{1,2}([\w.\-"' :/@*]{1,200})\]{1,2}[^\S\n]*(?:[#;].*)?$""", re.MULTILINE)
_BRACKET = re.compile(r"[()\[\]{}]")
_CPP = re.compile(r"^\s*+(?:class|namespace|template|using)\b", re.MULTILINE)
_CONTINUATION = bytes(range(0x80, 0xC0))  # of the bytes that UTF-8 makes of a character, all but the first
_CLOSERS = re.compile(r"\W*+(?:end\b\W*+)*+")
_LINE_REST = re.compile(r"[^\S\r\n]*[;,)]*")

_Mark = tuple[int, tuple[str, ...]]


def parse_code(text: str, name: str = "") -> Document:
    """Cut source code at its definitions, and these at empty lines. The suffix of `name` says the language.

    Where it is not known, or nothing is defined, the text is cut at its empty lines alone.
    """
    suffix = PurePosixPath(name).suffix.lower()
    marks: list[_Mark] = []
    if suffix in _SECTIONS:
        marks = list(_sections(text))
    elif knows(suffix):
        source = text.encode("utf-8", "surrogatepass")
        if len(source) <= _MAX_PARSED and not _too_deep(text):
            found = find(source, ".cpp" if suffix == ".h" and _CPP.search(text) else suffix)
            marks = _marks(text, _in_characters(source, found))
    return Document(text, tuple(_blocks(text, marks)))


def _sections(text: str) -> Iterator[_Mark]:
    """Yield the sections of a settings file, each from the comments right above its name."""
    floor = 0
    for match in _SECTION.finditer(text):
        start = match.start()
        while start > floor and text[above := _line_start(text, start - 1, floor)] in "#;":
            start = above
        yield start, (" ".join(match[1].split()),)
        floor = match.end()


def _too_deep(text: str) -> bool:
    depth = 0
    for match in _BRACKET.finditer(text):
        depth = depth + 1 if match.group() in "([{" else max(depth - 1, 0)
        if depth > _MAX_NESTED:
            return True
    return False


def _in_characters(source: bytes, found: list[Found]) -> list[Found]:
    """Return `found` with offsets in characters instead of bytes."""
    if source.isascii():
        return found
    places = sorted({place for one in found for place in (one.start, one.end)})
    offsets = {}
    before = count = 0
    for place in places:
        count += len(source[before:place].translate(None, _CONTINUATION))
        before = place
        offsets[place] = count
    return [Found(offsets[one.start], offsets[one.end], one.kind, one.names) for one in found]


def _marks(text: str, found: Sequence[Found]) -> list[_Mark]:
    """Return where a path of headings begins to hold, in order."""
    leads = [one for one in found if one.kind == "lead"]
    lead_ends = [one.end - 1 if text[one.end - 1] == "\n" else one.end for one in leads]  # Rust's hold their line's end
    marks: list[_Mark] = []
    open_: list[tuple[int, tuple[str, ...], bool]] = []  # end, path, whether it is left whole
    wrapper: Found | None = None
    for one in found:
        if one.kind == "lead":
            continue
        if one.kind == "wrapper":
            wrapper = wrapper if wrapper is not None and one.end <= wrapper.end else one
            continue
        start = wrapper.start if wrapper is not None and one.end <= wrapper.end else one.start
        wrapper = None
        _close(open_, marks, one.start)
        path = open_[-1][1] if open_ else ()
        if (open_ and open_[-1][2]) or len(path) + len(one.names) > _MAX_DEPTH:
            continue
        start = _with_lead(text, start, leads, lead_ends, marks[-1][0] if marks else 0)
        whole = one.kind == "leaf" or (one.kind == "function" and one.end - one.start <= _WHOLE_FUNCTION)
        rest = _LINE_REST.match(text, one.end)
        open_.append((rest.end() if rest else one.end, path + one.names, whole))
        marks.append((start, path + one.names))
    _close(open_, marks, len(text) + 1)
    return marks


def _close(open_: list[tuple[int, tuple[str, ...], bool]], marks: list[_Mark], at: int) -> None:
    while open_ and open_[-1][0] <= at:
        end = open_.pop()[0]
        marks.append((max(end, marks[-1][0]), open_[-1][1] if open_ else ()))


def _with_lead(text: str, start: int, leads: Sequence[Found], lead_ends: Sequence[int], floor: int) -> int:
    """Return where a definition begins, its line and the comments and decorators right above included."""
    start = _line_start(text, start, floor)
    at = bisect_left(lead_ends, start + 1) - 1
    while at >= 0:
        gap = text[lead_ends[at] : start]
        above = _line_start(text, leads[at].start, floor)
        if leads[at].start < floor or gap.strip() or len(gap.splitlines()) > 1 or text[above : leads[at].start].strip():
            break
        start = above
        at -= 1
    return start


def _line_start(text: str, at: int, floor: int) -> int:
    return max(text.rfind("\n", floor, at), text.rfind("\r", floor, at), floor - 1) + 1


def _blocks(text: str, marks: Sequence[_Mark]) -> Iterator[Block]:
    """Yield the blocks between marks. What only closes (brackets, `end`) goes with the stretch before it."""
    kept: list[_Mark] = [(0, ())]
    for at, (start, path) in enumerate(marks):
        end = marks[at + 1][0] if at + 1 < len(marks) else len(text)
        if start >= end or (_CLOSERS.fullmatch(text, start, end) and start > 0):
            continue
        if start == kept[-1][0]:
            kept.pop()
        kept.append((start, path))
    for at, (start, path) in enumerate(kept):
        end, following = kept[at + 1] if at + 1 < len(kept) else (len(text), ())
        opens = len(following) > len(path) > 0 and following[: len(path)] == path and end - start <= _SIGNATURE
        for a, b in paragraphs(text, start, end):
            yield Block(a, b, "heading" if opens else "code", path)
