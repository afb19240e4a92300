"""reStructuredText -> Document. Offsets point into the decoded file.

Read line by line, not by docutils: that knows most nodes by a line number at best, makes an error of every directive
and role that Sphinx adds, and recurses as deep as the text is indented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ragcli.parsing.blocks import cover
from ragcli.parsing.building import MAX_HEADING, squash
from ragcli.records import Block, BlockKind, Document

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*+[^\S\r\n]*+")
_ITEM = re.compile(r"(?:[-*+•‣⁃]|\(?(?:\d{1,9}|[a-zA-Z]|[ivxlcIVXLC]{1,8}|#)[.)])(?:[ \t]+|$)")
_FIELD = re.compile(r":(?![:\s`])(?:[^:\\]|\\.|:(?=[^\s`])){1,100}+:(?=\s|$)")
_EXPLICIT = re.compile(r"\.\.(?=\s|$)")
_DIRECTIVE = re.compile(r"\.\.[ \t]++(?:\|[^|]{1,100}\|[ \t]++)?(\w[\w.:+-]{0,60}?)[ \t]*::(?=\s|$)")
_NOTE = re.compile(r"\.\.[ \t]++\[([^\]]{1,100})\](?=\s|$)")
_TARGET = re.compile(r"\.\.[ \t]++(?:_|\|)|__[ \t]")
_CODE = frozenset(
    {"code", "code-block", "sourcecode", "parsed-literal", "literalinclude", "doctest", "testcode", "testoutput"}
    | {"testsetup", "prompt", "ipython", "math", "productionlist", "raw", "graphviz", "uml", "plot"}
)
_TABLES = frozenset({"list-table", "csv-table"})
_GRID = re.compile(r"\+(?:[-=]++\+)++")
_SIMPLE = re.compile(r"=++(?: ++=++)++")
_SPAN = re.compile(r"[- \t]++")
_ROW = re.compile(r"\*[ \t]+-(?=\s|$)")
_ROLE = re.compile(r":[\w:.+-]{1,60}:(?=`)")
_REFERENCE = re.compile(r"`([^`<]{1,300})<[^`<>]{1,300}>`_{0,2}")
_MARKS = re.compile(r"`++_{0,2}|\*++(?=\w)|(?<=[\w)])\*++|\\(?=\S)")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line: its span, its text without indentation and line end, and how far it is indented."""

    start: int
    end: int
    body: str
    indent: int


def parse_rst(text: str) -> Document:
    """Cut reStructuredText into blocks under its section titles. Directives are read, never carried out."""
    blocks = list(_Reader(text).blocks())
    title = next((block.heading[0] for block in blocks if block.kind == "heading"), "")
    return Document(text, cover(text, blocks), title=title)


def _line(match: re.Match[str]) -> _Line:
    whole = match.group().rstrip()
    body = whole.lstrip()
    return _Line(*match.span(), body, len(whole[: len(whole) - len(body)].expandtabs(8)))


class _Reader:
    """Goes down the lines once. `at` is the line that comes next; all methods that take lines move it on."""

    def __init__(self, text: str) -> None:
        self._lines = [_line(match) for match in _LINE.finditer(text) if match.group()]
        self._at = 0
        self._styles: list[tuple[str, bool]] = []
        self._path: list[tuple[int, str]] = []

    def blocks(self) -> Iterator[Block]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.body:
                self._at += 1
            elif line.indent == 0 and (title := self._title()) is not None:
                yield title
            elif line.indent == 0 and len(line.body) >= 4 and _ADORNMENT.fullmatch(line.body):
                self._at += 1  # a rule between two paragraphs
            elif _GRID.fullmatch(line.body):
                yield from self._grid()
            elif _SIMPLE.fullmatch(line.body):
                yield from self._simple()
            elif _EXPLICIT.match(line.body):
                yield from self._explicit()
            elif line.body.startswith(">>> "):
                yield self._block(self._at, self._paragraph_end(line.indent - 1), "code")
            else:
                yield from self._body()

    @property
    def _heading(self) -> tuple[str, ...]:
        return tuple(title for _, title in self._path)

    def _block(self, first: int, after: int, kind: BlockKind, under: tuple[str, ...] = (), header: str = "") -> Block:
        """Make a block of the lines from `first` to before `after`, and go on there."""
        self._at = max(self._at, after)
        return Block(self._lines[first].start, self._lines[after - 1].end, kind, self._heading + under, header=header)

    def _body_at(self, at: int) -> str:
        return self._lines[at].body if at < len(self._lines) else ""

    def _title(self) -> Block | None:
        """Take a section title: one line with a line of punctuation below it, and perhaps above it, too."""
        at = self._at
        over = _ADORNMENT.fullmatch(self._body_at(at))
        under = _ADORNMENT.fullmatch(self._body_at(at + 2)) if over else None
        if over and under and under[1] == over[1] and (title := self._body_at(at + 1)):
            lines, mark = 3, over[1]
        else:
            under = _ADORNMENT.fullmatch(self._body_at(at + 1))
            title = self._body_at(at)
            if under is None or self._lines[at + 1].indent or (over and len(title) < 4):
                return None
            lines, mark = 2, under[1]
        length = len(under.group().strip())
        if length < max(2, min(4, len(title))) or under.group() in ("::", ".."):
            return None
        style = (mark, lines == 3)
        if style not in self._styles:
            self._styles.append(style)
        level = self._styles.index(style)
        plain = squash(_plain(title[: 2 * MAX_HEADING]))[:MAX_HEADING]
        self._path = [step for step in self._path if step[0] < level] + [(level, plain or title[:MAX_HEADING])]
        return self._block(at, at + lines, "heading")

    def _paragraph_end(self, indent: int) -> int:
        """Return the line after the lines that follow each other without a gap, indented further than `indent`."""
        after = self._at + 1
        while after < len(self._lines) and self._lines[after].body and self._lines[after].indent > indent:
            after += 1
        return after

    def _indented_end(self, indent: int) -> int:
        """Return the line after all that is indented further than `indent`, empty lines between included."""
        after = scan = self._at + 1
        while scan < len(self._lines) and (not self._lines[scan].body or self._lines[scan].indent > indent):
            scan += 1
            if self._lines[scan - 1].body:
                after = scan
        return after

    def _body(self) -> Iterator[Block]:
        """Take a paragraph, a list item, or a term with its definition, and the literal block that it announces."""
        first = self._at
        line = self._lines[first]
        item = _ITEM.match(line.body) or _FIELD.match(line.body)
        if item and self._is_item(first, line.indent):
            after = self._paragraph_end(line.indent)
            inner = self._lines[after - 1].indent if after > first + 1 else line.indent + item.end()
            yield self._block(first, after, "list_item")
        else:
            after = self._paragraph_end(line.indent - 1)
            for at in range(first + 1, after):
                if self._lines[at].indent == line.indent < self._lines[at - 1].indent:
                    after = at  # the next term
                    break
            inner = self._lines[after - 1].indent
            yield self._block(first, after, "paragraph")
        if self._lines[after - 1].body.endswith("::"):
            yield from self._literal(inner)

    def _is_item(self, at: int, indent: int) -> bool:
        """Return whether a line that looks like a list item is one: `A. Smith wrote` goes on at the same indent."""
        if at + 1 == len(self._lines) or self._lines[at].body[0] in "-*+•‣⁃:":
            return True
        following = self._lines[at + 1]
        return not following.body or following.indent != indent or _ITEM.match(following.body) is not None

    def _literal(self, indent: int) -> Iterator[Block]:
        first = self._at
        while first < len(self._lines) and not self._lines[first].body:
            first += 1
        if first < len(self._lines) and self._lines[first].indent > indent:
            self._at = first
            yield self._block(first, self._indented_end(indent), "code")

    def _explicit(self) -> Iterator[Block]:
        """Take what begins with two dots: a directive, footnote, target or comment."""
        first = self._at
        line = self._lines[first]
        directive, note = _DIRECTIVE.match(line.body), _NOTE.match(line.body)
        if directive is not None and directive[1].lower() in _CODE:
            yield self._block(first, self._indented_end(line.indent), "code")
        elif directive is not None and directive[1].lower() in _TABLES:
            yield from self._listed(directive[1].lower())
        elif directive is not None or _TARGET.match(line.body):
            yield self._block(first, self._paragraph_end(line.indent), "paragraph")  # what follows is read as any text
        elif note is not None:
            name = "Footnote" if note[1].lstrip("#*").isdigit() or note[1][0] in "#*" else "Citation"
            yield self._block(
                first, self._indented_end(line.indent), "paragraph", (f"{name} {squash(note[1]).lstrip('#*')}".strip(),)
            )
        else:
            yield self._block(first, self._indented_end(line.indent), "paragraph", ("Comment",))

    def _listed(self, name: str) -> Iterator[Block]:
        """Take a table that is written as a list, or as CSV."""
        first, after = self._at, self._indented_end(self._lines[self._at].indent)
        top = first + 1
        while top < after and self._lines[top].body and not _ROW.match(self._lines[top].body):
            top += 1
        options = [line.body for line in self._lines[first + 1 : top]]
        starts = [
            at
            for at in range(top, after)
            if self._lines[at].body and (name == "csv-table" or _ROW.match(self._lines[at].body))
        ]
        yield self._block(first, starts[0] if starts else after, "paragraph")
        header = next((one[len(":header:") :].strip() for one in options if one.startswith(":header:")), "")
        in_rows = any(one.startswith(":header-rows:") and not one.endswith(" 0") for one in options)
        for start, end in pairwise([*starts, after]):
            yield self._block(start, end, "table_row", header=header)
            if in_rows and not header:
                header = _listed_header([line.body for line in self._lines[start:end]])
        self._at = after

    def _grid(self) -> Iterator[Block]:
        """Take a table that is drawn with lines. A row is what stands between two borders."""
        first, after = self._at, self._at + 1
        while after < len(self._lines) and self._lines[after].body[:1] in ("+", "|"):
            after += 1
        borders = [at for at in range(first, after) if _GRID.fullmatch(self._lines[at].body)]
        heads = [at for at in borders if "=" in self._lines[at].body]
        header = ""
        start = first
        for border in borders[1:]:
            if border - start < 2 or (heads and start < border < heads[0]):
                continue
            yield self._block(start, border, "table_row", header=header)
            if heads and border == heads[0]:
                header = _drawn_header([line.body for line in self._lines[start:border]])
            start = border
        self._at = after

    def _simple(self) -> Iterator[Block]:
        """Take a table whose columns are marked by lines of `=` above, below and under its header."""
        first = self._at
        borders = [first]
        after = first + 1
        while after < len(self._lines) and len(borders) < 3:
            line = self._lines[after]
            if line.body and line.indent < self._lines[first].indent:
                break
            after += 1
            if _SIMPLE.fullmatch(line.body):
                borders.append(after - 1)
                if not self._body_at(after):
                    break
        if len(borders) < 2:
            yield self._block(first, self._paragraph_end(self._lines[first].indent - 1), "paragraph")
            return
        header = ""
        top = borders[0]
        if len(borders) == 3:
            header = _columns_header(self._lines[first], self._lines[top + 1 : borders[1]])
            yield self._block(top, borders[1], "table_row")
            top = borders[1]
        yield from self._simple_rows(top, borders[-1], header)
        self._at = after

    def _simple_rows(self, top: int, bottom: int, header: str) -> Iterator[Block]:
        """Yield the rows between two borders: one begins where the first column is not empty."""
        border = self._lines[top]
        second = border.indent + border.body.index(" =") + 1
        starts = [
            at
            for at in range(top + 1, bottom)
            if (line := self._lines[at]).body and line.indent < second and not _SPAN.fullmatch(line.body)
        ]
        for start, end in pairwise([*starts, bottom]):
            yield self._block(start, end, "table_row", header=header)


def _listed_header(lines: list[str]) -> str:
    """Return the cells of a list table's row: each begins with a dash."""
    cells: list[str] = []
    for line in lines:
        line = line.removeprefix("*").lstrip()
        if line.startswith("-") or not cells:
            cells.append(line.removeprefix("-"))
        else:
            cells[-1] += f" {line}"
    return squash(" | ".join(squash(cell) for cell in cells))


def _drawn_header(lines: list[str]) -> str:
    """Return the cells of a grid table's header, the lines of each joined."""
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    if not rows:
        return ""
    columns = max(len(row) for row in rows)
    cells = [" ".join(row[at] for row in rows if at < len(row)) for at in range(columns)]
    return squash(" | ".join(cells))


def _columns_header(border: _Line, lines: list[_Line]) -> str:
    """Return the cells of a simple table's header; its columns begin where the border's do."""
    starts = [match.start() for match in re.finditer(r"=+", border.body)]
    rows = [" " * (line.indent - border.indent) + line.body for line in lines if not _SPAN.fullmatch(line.body)]
    cells = [
        " ".join(row[start:end].strip() for row in rows) for start, end in zip(starts, [*starts[1:], None], strict=True)
    ]
    return squash(" | ".join(cells))


def _plain(title: str) -> str:
    """Return a title without its inline marks."""
    return _MARKS.sub("", _REFERENCE.sub(r"\1", _ROLE.sub("", title))).strip()
