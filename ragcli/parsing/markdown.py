"""Markdown -> Document. Offsets point into the decoded file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ragcli.parsing.blocks import cover
from ragcli.records import Block, BlockKind, Document

_NEWLINE = re.compile(r"\r\n?|\n")  # markdown-it's own idea of a line
_FRONT_MATTER = re.compile(
    r"""---[ \t]*(?:\r\n?+|\n)
        (?=[\w"'-]+[ \t]*:|\#)                # a key or a comment: else it is a rule between two texts
        .*?(?:\r\n?+|\n)(?:---|\.\.\.)[ \t]*(?=\r|\n|\Z)""",
    re.DOTALL | re.VERBOSE,
)
_UNSPACED = re.compile(r"(?:^|(?<=\r))(#{2,6})(?=[\u4e00-\u9fff])", re.MULTILINE)
"""A Chinese heading without a space, as older editors took it. With one sign it would be a tag."""
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*([\"']?)(.+?)\1[ \t]*$", re.MULTILINE)
_HTML_HEADING = re.compile(r"\s*<h([1-6])\b[^>]*>(.*?)</h\1>\s*", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_ATTRIBUTES = re.compile(r"\{:?[ \t]*[#.][^{}]*\}[ \t]*$")  # `{#id .class}`, of pandoc, MkDocs, Docusaurus
_MAX_HEADING = 300


def parse_markdown(text: str) -> Document:
    """Cut Markdown (CommonMark and tables) into blocks under their headings."""
    front = _FRONT_MATTER.match(text)
    body = text if front is None else _NEWLINE.sub("\n", re.sub(r"[^\r\n]", " ", front.group()) + text[front.end() :])
    starts = [0, *(m.end() for m in _NEWLINE.finditer(text)), len(text)]
    blocks = [] if front is None else [Block(0, front.end(), "code")]
    blocks += _blocks(_block_parser().parse(_UNSPACED.sub(r"\1 ", body)), starts, text)
    return Document(text, cover(text, blocks), title=_title(front.group() if front else "", blocks))


@lru_cache(maxsize=1)
def _block_parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable("inline")


@lru_cache(maxsize=1)
def _inline_parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


def _title(front_matter: str, blocks: Sequence[Block]) -> str:
    named = _FRONT_TITLE.search(front_matter.replace("\r\n", "\n").replace("\r", "\n"))
    if named is not None:
        return named[2][:_MAX_HEADING]
    return next((block.heading[0] for block in blocks if block.heading), "")


def _blocks(tokens: list[Token], starts: list[int], text: str) -> Iterator[Block]:
    path: list[tuple[int, str]] = []
    heading: tuple[str, ...] = ()
    items = 0
    header = ""
    for at, token in enumerate(tokens):
        if token.type in ("list_item_open", "list_item_close"):
            items += token.nesting
        if token.map is None:
            continue
        start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
        kind: BlockKind
        written = _HTML_HEADING.fullmatch(text, start, end) if token.type == "html_block" else None
        if token.type == "heading_open" or written:
            level = int(written[1] if written else token.tag[1:])
            title = _plain(_TAG.sub(" ", written[2]) if written else tokens[at + 1].content)
            path = [step for step in path if step[0] < level] + [(level, title)]
            heading = tuple(title for _, title in path if title)
            kind = "heading"
        elif token.type == "paragraph_open":
            kind = "list_item" if items else "paragraph"
        elif token.type in ("fence", "code_block", "html_block"):
            kind = "code" if token.type != "html_block" else "paragraph"
        elif token.type == "thead_open":
            header = text[start : starts[token.map[0] + 1]].strip()
            continue
        elif token.type == "tr_open":
            row = text[start:end].strip()
            yield Block(start, end, "table_row", heading, header="" if row == header else header)
            continue
        else:
            continue
        yield Block(start, end, kind, heading)


def _plain(content: str) -> str:
    """Return a heading's text without its inline marks, on one line and clipped."""
    children = _inline_parser().parseInline(_ATTRIBUTES.sub("", content)[:_MAX_HEADING])[0].children or []
    pieces = (" " if token.type in ("softbreak", "hardbreak") else token.content for token in children)
    kept = "".join(p for p, t in zip(pieces, children, strict=True) if t.type != "html_inline")
    return " ".join(kept.split())
