"""The kinds of data that flow through ragcli, in the order in which they appear.

    paths -> SourceFile -> Document -> Chunk -> vector + words -> index
    question -> Hit -> Prompt -> Answer (with Citations)

All are frozen; none knows more than what it holds. Offsets are always code points, ends are exclusive, and pages and
lines count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Format = Literal[
    "markdown", "text", "rst", "code", "json", "csv",
    "html", "pdf", "docx", "odt", "pptx", "xlsx", "epub", "mail", "mbox", "notebook",
]  # fmt: skip

TEXT_FORMATS: frozenset[Format] = frozenset({"markdown", "text", "rst", "code", "json", "csv"})
"""Formats whose offsets point into the decoded file itself; the others' point into their extracted text."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file that a walk found.

    `source` is its name in the index: the path relative to `root`, with `/` on every system. `parser` is the version
    of what reads its format now.
    """

    path: Path
    root: Path
    source: str
    format: Format
    size: int
    mtime_ns: int
    parser: int = 0


BlockKind = Literal["heading", "paragraph", "list_item", "table_row", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a document that belongs together and lies on one page.

    The blocks of a document are in order, do not overlap, and hold every character that is not white space.
    `heading` is the path of headings above the block; a heading's own block has the path that it opens.
    `header` is the header row of the table that a `table_row` belongs to ("" for the header row itself).
    """

    start: int
    end: int
    kind: BlockKind
    heading: tuple[str, ...] = ()
    page: int | None = None
    header: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """What a parser read from one file: its text, cut into blocks.

    `labels` are the names that the document gives its pages (`iv`, `A-3`), one for each page; empty where it gives
    none, or just counts them from 1. `textless` are the pages, from 1, that have no text or only garbled text.
    """

    text: str
    blocks: tuple[Block, ...]
    title: str = ""
    pages: int | None = None
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    textless: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One contiguous span of a document, small enough for the encoder to read whole.

    `context` (file name, headings, table header) goes to the encoder and the lexical index before the text, and is
    never part of the text. `line` is None where lines mean nothing, as in a PDF.
    """

    start: int
    end: int
    text: str
    context: str = ""
    heading: tuple[str, ...] = ()
    page: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """Where one retrieval leg ranked a chunk, counted from 1, and the leg's own score."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Place:
    """Another place whose text is the same, white space aside."""

    source: str
    page: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that retrieval found: one contiguous span of one source, on one page.

    `score` is the fused score, 0 to 1; where a reranker read the passages, the ranks follow `rerank`. `chunk_id` is the
    best of the chunks that were joined into the span. `page_label` is what the document itself calls the page, where
    that is not its number. `path` and `document` (the catalog's id) say where the source lies; they are not part of
    the JSON.
    """

    rank: int
    score: float
    chunk_id: str
    source: str
    collection: str
    page: int | None
    heading: tuple[str, ...]
    start: int
    end: int
    line: int | None
    text: str
    dense: Leg | None = None
    lexical: Leg | None = None
    also: tuple[Place, ...] = ()
    rerank: Leg | None = None
    page_label: str | None = None
    path: Path | None = None
    document: int = 0

    @property
    def link(self) -> str | None:
        """Address of the file, at the page where it has pages; None where its place is not known."""
        if self.path is None:
            return None
        return self.path.absolute().as_uri() + (f"#page={self.page}" if self.page is not None else "")

    def to_json(self) -> dict[str, Any]:
        """Return the contract's HIT object."""
        return {
            "rank": self.rank,
            "score": self.score,
            "chunk_id": self.chunk_id,
            "source": self.source,
            "collection": self.collection,
            "page": self.page,
            "page_end": self.page,
            "page_label": self.page_label,
            "heading": list(self.heading),
            "start": self.start,
            "end": self.end,
            "line": self.line,
            "text": self.text,
            "legs": {"dense": _leg(self.dense), "lexical": _leg(self.lexical)}
            | ({"rerank": _leg(self.rerank)} if self.rerank else {}),
            "also": [{"source": p.source, "page": p.page, "start": p.start, "end": p.end} for p in self.also],
        }


def _leg(leg: Leg | None) -> dict[str, Any] | None:
    return None if leg is None else {"rank": leg.rank, "score": leg.score}
