"""One writer at a time: an OS lock on a file in the index folder, with a note of who holds it.

The lock goes when its process does, however that ends. The note may outlive it, and is only read while the lock is
held. Readers know nothing of either.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ragcli.errors import IndexLocked

LOCK, NOTE = "writer.lock", "writer.json"
_POLL = 0.1


def holder(folder: Path) -> str:
    """Return who writes to the index, as far as the note says."""
    try:
        with (folder / NOTE).open("rb") as stream:
            note = json.loads(stream.read(10_000))
        return f"process {int(note['pid'])} ({note['command']}) on {note['host']}, since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"


@contextlib.contextmanager
def writing(folder: Path, wait: float, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the writer's lock of the index in `folder`.

    Waits up to `wait` seconds, telling `on_wait` once whom for. Raises IndexLocked after that.
    """
    from filelock import FileLock, Timeout  # which readers, who import this as well, never need

    lock = FileLock(folder / LOCK, mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if on_wait is not None and wait > 0:
            on_wait(holder(folder))
        try:
            lock.acquire(timeout=wait, poll_interval=_POLL)
        except Timeout:
            raise IndexLocked(
                f"the index is being written by {holder(folder)}", "wait for it to finish, or give --wait SECONDS"
            ) from None
    try:
        note = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(["ragcli", *sys.argv[1:]])[:200],
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        with contextlib.suppress(OSError):  # on a full disk there is no note, but still a lock
            (folder / NOTE).write_text(json.dumps(note), "utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / NOTE).unlink()
        lock.release()
