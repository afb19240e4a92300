"""Building a Document block by block, for the formats whose text is extracted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ragcli.errors import ParseFailed
from ragcli.parsing.blocks import MAX_TEXT
from ragcli.records import Block, BlockKind, Document

MAX_HEADING = 300
_MAX_REPEATED = 100
_MAX_COLUMNS = 100
_SPACE = re.compile(r"[^\S\n]+")
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u2060\ufeff\ufffe\uffff]")  # soft hyphens part words
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Return text without what UTF-8 or a terminal cannot hold, and with one kind of line end."""
    return _SURROGATE.sub("\ufffd", _UNWANTED.sub("", _LINE_END.sub("\n", text)))


def squash(text: str) -> str:
    """Return text on one line, with single spaces."""
    return " ".join(clean(text).split())


class Builder:
    """Collects the blocks of a document in order. `page` is the page (or slide) of what comes next."""

    def __init__(self) -> None:
        self.page: int | None = None
        self._path: list[tuple[int, str]] = []
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._end = 0

    @property
    def heading_path(self) -> tuple[str, ...]:
        """The headings in force."""
        return tuple(text for _, text in self._path)

    @property
    def size(self) -> int:
        """How long the text is so far."""
        return self._end

    def leave(self, level: int) -> None:
        """End the sections of `level` and deeper, without a new heading."""
        self._path = [step for step in self._path if step[0] < level]

    def heading(self, text: str, level: int, *, shown: bool = True) -> None:
        """Open a section; level 1 is the highest. Where it is not `shown`, its title is context and no text."""
        title = squash(text)[:MAX_HEADING].rstrip()
        if not title:
            return
        self.leave(level)
        self._path.append((level, title))
        if shown:
            self.add(squash(text), "heading")

    def add(
        self,
        text: str,
        kind: BlockKind = "paragraph",
        *,
        under: Sequence[str] = (),
        heading: tuple[str, ...] | None = None,
        header: str = "",
        depth: int = 0,
    ) -> None:
        """Add a block, where it has any text. Spaces are squashed except in code; line ends stay.

        It stands under the headings in force and, below them, `under`; or under `heading` alone. `header` is the
        header row of a table row. `depth` counts the lists around a list item's own: it is indented by two spaces
        for each. Raises ParseFailed where the document gets too long.
        """
        text = clean(text)
        if kind == "code":
            text = text.rstrip().lstrip("\n")
        else:
            indent = "  " * depth
            text = "\n".join(indent + line for raw in text.split("\n") if (line := _SPACE.sub(" ", raw).strip()))
        if not text.strip():
            return
        if heading is None:
            extra = tuple(title for one in under if (title := squash(one)[:MAX_HEADING].rstrip()))
            heading = self.heading_path + extra
        self._append(text, Block(0, len(text), kind, heading, self.page, header))

    def include(self, document: Document, under: Sequence[str] = ()) -> None:
        """Add all of another document, under the headings in force and `under`. Its pages become headings."""
        above = self.heading_path + tuple(squash(one)[:MAX_HEADING] for one in under)
        for at, block in enumerate(document.blocks):
            page = () if block.page is None else (f"page {block.page}",)
            text = document.text[block.start : block.end]
            if at and (gap := document.text[document.blocks[at - 1].end : block.start]) and not gap.strip():
                together = "\n" if gap.count("\n") < 2 else "\n\n"
            else:
                together = "\n\n"
            moved = replace(block, start=0, end=len(text), heading=above + page + block.heading, page=self.page)
            self._append(text, moved, together)

    def _append(self, text: str, block: Block, gap: str = "") -> None:
        if self._blocks:
            last = self._blocks[-1]
            lines = block.kind == last.kind and block.kind in ("table_row", "list_item")
            gap = gap or ("\n" if lines else "\n\n")
            self._parts.append(gap)
            self._end += len(gap)
        if self._end + len(text) > MAX_TEXT:
            raise ParseFailed(f"its text is over {MAX_TEXT // 1_000_000} million characters long")
        self._parts.append(text)
        self._blocks.append(replace(block, start=self._end, end=self._end + len(text)))
        self._end += len(text)

    def document(self, title: str = "", pages: int | None = None, warnings: Sequence[str] = ()) -> Document:
        """Return what was collected. Raises ParseFailed where that is nothing."""
        if not self._blocks:
            raise ParseFailed("no text")
        text = "".join(self._parts)
        return Document(text, tuple(self._blocks), squash(title)[:MAX_HEADING], pages, tuple(warnings))


class TableCell(NamedTuple):
    """A cell of a table: its text, over how many columns it stands, and whether it goes on from the row above."""

    text: str
    columns: int = 1
    merged: bool = False


class TableRows:
    """Adds the rows of a table to a Builder as they are read, for tables with other things between their rows.

    Where the table marks its header rows (`marked`), those are the header. Else its first row is, unless it is alone
    (`count` is how many rows there are); a title that stands over the table by itself is passed by, and where cells of
    the first row stand over several columns, the rows into which others of its cells go on belong to it. Short text
    that is merged over several rows stands in each.
    """

    def __init__(self, builder: Builder, marked: bool, count: int, under: Sequence[str] = ()) -> None:
        self._builder = builder
        self._marked = marked
        self._alone = count < 2
        self._under = under
        self._header = ""
        self._wide = False
        self._in_head = True
        self._above: list[str] = []

    def add(self, cells: Sequence[TableCell], is_header: bool = False) -> None:
        """Add one row, where it has any text. `is_header` is whether the table marks it so."""
        row: list[str] = []
        for cell in cells:
            text = squash(cell.text)
            if cell.merged and not text and len(row) < len(self._above) and len(self._above[len(row)]) <= _MAX_REPEATED:
                text = self._above[len(row)]
            row += [text] + [""] * (min(cell.columns, _MAX_COLUMNS) - 1)
        self._above = list(row)
        while row and not row[-1]:
            row.pop()
        text = squash(" | ".join(row))
        if not text.strip(" |"):
            return
        self._in_head = self._in_head and (is_header if self._marked else self._belongs_to_head(cells))
        self._builder.add(text, "table_row", under=self._under, header="" if self._in_head else self._header)
        is_title = not self._marked and text == row[0] and cells[0].columns > 1
        if self._in_head and not is_title:
            self._header = " / ".join(filter(None, (self._header, text)))
            self._wide = any(cell.columns > 1 for cell in cells)

    def _belongs_to_head(self, cells: Sequence[TableCell]) -> bool:
        return not self._alone and (not self._header or (self._wide and any(cell.merged for cell in cells)))
