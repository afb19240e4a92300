"""Reading `--batch` files: JSON Lines of {"id", "question"}, and for `calibrate`, "answerable"."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragcli.errors import UsageError

MAX_LINE = 1_000_000
MAX_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a batch. `answerable` says whether the documents hold an answer."""

    id: Any
    question: str
    answerable: bool = True


def questions(source: str) -> list[Question]:
    """Read a batch from a file, or from stdin for "-".

    Raises UsageError naming the line that is wrong, before anything runs.
    """
    try:
        text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"{source}: {(error.strerror or str(error)).lower()}") from None
    name = "stdin" if source == "-" else source
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            rows.append(_question(line, f"{name}, line {number}"))
    if not rows:
        raise UsageError(f"{name} holds no question", 'each line is {"id": ..., "question": ...}')
    return rows


def _question(line: bytes, where: str) -> Question:
    if len(line) > MAX_LINE:
        raise UsageError(f"{where}: the line is over {MAX_LINE} bytes long")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str | int) or isinstance(row.get("id"), bool):
        raise UsageError(f'{where}: "id" is missing')
    if not isinstance(row.get("question"), str) or not row["question"].strip():
        raise UsageError(f'{where}: "question" is missing or empty')
    if not isinstance(row.get("answerable", True), bool):
        raise UsageError(f'{where}: "answerable" is neither true nor false')
    return Question(row["id"], row["question"], row.get("answerable", True))
