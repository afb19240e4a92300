"""Source code -> Document. Offsets point into the decoded file."""

from __future__ import annotations

from ragcli.parsing.blocks import paragraphs
from ragcli.records import Block, Document


def parse_code(text: str) -> Document:
    """Cut source code at its empty lines."""
    return Document(text, tuple(Block(start, end, "code") for start, end in paragraphs(text)))
