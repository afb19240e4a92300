"""How a parser says that pages have no text, so that whoever can read pictures may try."""

from __future__ import annotations

from ragcli.errors import ParseFailed
from ragcli.records import Document

SCANNED = "no text (scanned?)"
"""How the warning about pages without text ends."""


class Scanned(ParseFailed):
    """A PDF of which no page has text that is of use, and that has no fault otherwise.

    `document` is what is known of it: pages without text, all of them `textless`.
    """

    def __init__(self, reason: str, document: Document) -> None:
        super().__init__(reason)
        self.document = document
