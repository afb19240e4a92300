"""The border to the terminal: what is printed where, and how text from elsewhere is made safe first.

stdout carries results, stderr everything else. Text of documents, models and file names may hold escape sequences,
and Rich passes those on; whatever comes from outside goes through `safe` before it is printed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
SHOW_AFTER = 1.0
"""Seconds that a step may take before its progress is shown."""

out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def safe(text: str) -> str:
    """Return `text` with control characters and invisible direction marks made visible."""
    return _UNSAFE.sub(
        lambda m: f"\\x{ord(m.group()):02x}" if ord(m.group()) < 256 else f"\\u{ord(m.group()):04x}", text
    )


def write(text: str, style: str = "") -> None:
    """Print a result."""
    out.print(Text(safe(text), style=style))


def write_json(value: Mapping[str, Any]) -> None:
    """Print one JSON document on one line. It carries text as it is, so what is not printable is escaped in it."""
    line = json.dumps(value, ensure_ascii=True)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say(text: str, style: str = "") -> None:
    """Tell the user something."""
    err.print(Text(safe(text), style=style))


def warn(text: str) -> None:
    """Warn the user."""
    err.print(Text.assemble(("warning: ", "yellow"), safe(text)))


def hint(text: str) -> None:
    """Name the next command."""
    err.print(Text.assemble(("hint: ", "cyan"), safe(text)))


def error(message: str, next_step: str = "") -> None:
    """Say what is wrong, in one line, and what to do, in another."""
    err.print(Text.assemble(("error: ", "red"), safe(" ".join(message.split()))))
    if next_step:
        hint(next_step)


def confirm(question: str) -> bool:
    """Ask a yes-or-no question on stderr; no where nobody can answer."""
    if not (sys.stdin.isatty() and err.is_terminal):
        return False
    err.print(Text(safe(f"{question} [y/N] ")), end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def place(source: str, page: int | None, line: int | None, path: Path | None) -> Text:
    """Return `manual.pdf p. 12`, clickable where the terminal can."""
    label = safe(source.replace("\n", " ")) + (f" p. {page}" if page is not None else f":{line}" if line else "")
    if path is None or not out.is_terminal or os.environ.get("TERM") == "dumb":
        return Text(label)
    target = path.as_uri() + (f"#page={page}" if page is not None else "")
    return Text(label, style=f"link {target}")


class Bar:
    """A progress bar on stderr with rate and time left. It shows itself after a second, and only on a terminal."""

    def __init__(self, label: str, unit: str) -> None:
        self._label = label
        self._unit = unit
        self._start = time.monotonic()
        self._progress: Progress | None = None

    def update(self, done: int, total: int, label: str = "") -> None:
        """Show how far the step is; `total` 0 means unknown."""
        if not err.is_terminal or (self._progress is None and time.monotonic() - self._start < SHOW_AFTER):
            return
        if self._progress is None:
            self._progress = self._make()
            self._task = self._progress.add_task(safe(label or self._label), total=total or None)
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total or None, description=safe(label or self._label))

    def _make(self) -> Progress:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        amount = [DownloadColumn(), TransferSpeedColumn()] if self._unit == "bytes" else [MofNCompleteColumn()]
        return Progress(
            TextColumn("{task.description}"), BarColumn(), *amount, TimeRemainingColumn(), console=err, transient=True
        )

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def bar(label: str, unit: str = "bytes") -> Iterator[Bar]:
    """Show a progress bar while the body runs."""
    one = Bar(label, unit)
    try:
        yield one
    finally:
        one.close()
