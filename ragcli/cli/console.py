"""The border to the terminal: what is printed where, and how text from elsewhere is made safe first.

stdout carries results, stderr everything else. Text of documents, models and file names may hold escape sequences,
and Rich passes those on; whatever is printed goes through `safe`. Styles and links are only for terminals, and not
where NO_COLOR is set: files and pipes get plain text. Rich is loaded when a terminal first needs it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from ragcli.records import Hit

    Part = tuple[str, str]
    """A piece of a line: its text, and a style of Rich's or ""."""

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
SHOW_AFTER = 1.0
"""Seconds that a step may take before its progress is shown."""


class ReaderGone(Exception):
    """Whoever read our stdout has closed it. Not an OSError: those would not get past the command line's library."""


def safe(text: str) -> str:
    """Return `text` with control characters and invisible direction marks made visible, and CRLF made LF."""
    return _UNSAFE.sub(
        lambda m: f"\\x{ord(m.group()):02x}" if ord(m.group()) < 256 else f"\\u{ord(m.group()):04x}",
        text.replace("\r\n", "\n"),
    )


def is_terminal(name: Literal["stdout", "stderr"]) -> bool:
    """Return whether a stream goes to a terminal that can do more than print."""
    stream = getattr(sys, name)
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


@cache
def _console(name: Literal["stdout", "stderr"]) -> Console:
    from rich.console import Console

    return Console(stderr=name == "stderr", highlight=False, markup=False, emoji=False, soft_wrap=True)


def _print(name: Literal["stdout", "stderr"], *parts: Part, end: str = "\n") -> None:
    stream = getattr(sys, name)
    if stream is None:  # it was closed before we began
        return
    try:
        if is_terminal(name) and not os.environ.get("NO_COLOR"):
            from rich.text import Text

            _console(name).print(Text.assemble(*((safe(text), style) for text, style in parts)), end=end)
        else:
            stream.write("".join(safe(text) for text, _ in parts) + end)
    except BrokenPipeError:
        raise ReaderGone from None


def write(text: str, style: str = "") -> None:
    """Print a result. It is there at once, in a pipe, too: the command may go on for long."""
    _print("stdout", (text, style))
    _flush()


def write_line(*parts: Part) -> None:
    """Print a result of several styles on one line."""
    _print("stdout", *parts)


def write_piece(text: str) -> None:
    """Print the next piece of a result that is still being made."""
    _print("stdout", (text, ""), end="")
    _flush()


def write_text(text: str) -> None:
    """Print the text of a document: into a file or pipe exactly as it is, so that offsets into it hold."""
    if is_terminal("stdout"):
        write(text)
    else:
        _write_as_it_is(text + "\n")


def write_json(value: Mapping[str, Any]) -> None:
    """Print one JSON document on one line. It carries text as it is, so what is not printable is escaped in it."""
    _write_as_it_is(json.dumps(value, ensure_ascii=True) + "\n")
    _flush()


def _write_as_it_is(text: str) -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
    except BrokenPipeError:
        raise ReaderGone from None


def _flush() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None


def say(text: str, style: str = "") -> None:
    """Tell the user something."""
    _print("stderr", (text, style))


def warn(text: str) -> None:
    """Warn the user."""
    _print("stderr", ("warning: ", "yellow"), (text, ""))


def hint(text: str) -> None:
    """Name the next command."""
    _print("stderr", ("hint: ", "cyan"), (text, ""))


def error(message: str, next_step: str = "") -> None:
    """Say what is wrong, in one line, and what to do, in another."""
    _print("stderr", ("error: ", "red"), (" ".join(message.split()), ""))
    if next_step:
        hint(next_step)


def confirm(question: str) -> bool:
    """Ask a yes-or-no question on stderr; no where nobody can answer."""
    if sys.stdin is None or sys.stderr is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    _print("stderr", (f"{question} [y/N] ", ""), end="")
    sys.stderr.flush()
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: what is said next stands on a line of its own
            say("")
    return answer.strip().lower() in ("y", "yes")


def place(hit: Hit) -> Part:
    """Return `manual.pdf p. 12`, clickable where the terminal can."""
    label = f" ({hit.page_label})" if hit.page_label else ""
    where = f" p. {hit.page}{label}" if hit.page is not None else f":{hit.line}" if hit.line else ""
    return hit.source.replace("\n", " ") + where, f"link {hit.link}" if hit.link else ""


class Bar:
    """A progress bar on stderr with rate and time left. It shows itself after a second, and only on a terminal."""

    def __init__(self, label: str, unit: str) -> None:
        self._label = label
        self._unit = unit
        self._start = time.monotonic()
        self._progress: Progress | None = None

    def update(self, done: int, total: int, label: str = "") -> None:
        """Show how far the step is; `total` 0 means unknown."""
        if not is_terminal("stderr") or (self._progress is None and time.monotonic() - self._start < SHOW_AFTER):
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
            TextColumn("{task.description}", markup=False),
            *(BarColumn(), *amount, TimeRemainingColumn()),
            console=_console("stderr"),
            transient=True,
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
