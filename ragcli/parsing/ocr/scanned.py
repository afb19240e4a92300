"""How a parser says that pages have no text, so that whoever can read pictures may try."""

from __future__ import annotations

from collections.abc import Sequence

from ragcli.errors import ParseFailed
from ragcli.parsing.blocks import page_ranges
from ragcli.records import Document

SCANNED = "(scanned?)"
"""How the warning about pages that may be scanned ends."""


def pictures(numbers: Sequence[int]) -> str:
    """Return "page 3 is a picture with hardly any text", of scans that bear a label."""
    return f"{page_ranges(numbers)} {'is a picture' if len(numbers) == 1 else 'are pictures'} with hardly any text"


def letters(text: str) -> str:
    """Return text without white space and case: a label is known again by that."""
    return "".join(text.split()).casefold()


class Scanned(ParseFailed):
    """A PDF of which no page has text that is of use, and that has no fault otherwise.

    `document` is what is known of it: pages without text, all of them `textless`.
    """

    def __init__(self, reason: str, document: Document) -> None:
        super().__init__(reason)
        self.document = document
