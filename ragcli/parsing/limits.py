"""Bounds on what one file may make a parser do, beside the time and memory of its process."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_DEPTH = 4
"""How deep files may lie in files: an attachment of a message that is attached to a message, and one more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one file: its `pages`, how many files it lies in, as attachment (`depth`), and its attachments.

    Attachments may be read until `deadline`, a time of `time.monotonic`. Where there is a reason `unattached` why not,
    none is read but mails.
    """

    pages: int
    depth: int = 0
    deadline: float = math.inf
    unattached: str = ""
