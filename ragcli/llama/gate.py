"""Who may grow the child process when: native work of several threads, or one chat template alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

_TEMPLATE_MEMORY = 256 << 20
"""Bytes that a chat template may take while it runs. It may come with somebody's model, and may mean harm."""


class Gate:
    """Native work goes on side by side; a chat template runs alone.

    Its memory is limited by a limit on the whole process, under which nothing else may have to grow.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._working = 0

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Let native work go on."""
        with self._changed:
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no native work goes on, keep it out, and let this process grow by little."""
        with self._changed:  # which nobody can enter meanwhile
            self._changed.wait_for(lambda: self._working == 0)
            with _limited_memory(_TEMPLATE_MEMORY):
                yield


gate = Gate()


@contextlib.contextmanager
def _limited_memory(more: int) -> Iterator[None]:
    """Let this process grow by at most `more` bytes meanwhile, where the system can say and limit its size."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
