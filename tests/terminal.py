"""`ragcli` in a terminal of its own, for tests that type."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from shared import environment_of


class Terminal:
    """`ragcli` in a terminal of its own."""

    def __init__(self, arguments: Sequence[str], home: Path, cwd: Path) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ragcli", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=environment_of(home) | {"TERM": "xterm", "NO_COLOR": "1"},
            start_new_session=True,
            preexec_fn=lambda: _take_terminal(slave),
        )
        os.close(slave)
        self.shown = self.unread = ""

    def type(self, text: str) -> None:
        """Type as late as a person would: a signal between the prompt and the wait for input is seen only after it."""
        time.sleep(0.3)
        os.write(self.master, text.encode())

    def until(self, text: str, seconds: float = 20) -> str:
        """Read until `text` is shown; return what was shown since the last call, up to it."""
        end = time.monotonic() + seconds
        while text not in self.unread:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} was not shown: {self.shown + self.unread!r}"
            self.unread += os.read(self.master, 4096).decode("utf-8", "replace")
        at = self.unread.index(text) + len(text)
        read, self.unread = self.unread[:at], self.unread[at:]
        self.shown += read
        return read


def _take_terminal(slave: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
