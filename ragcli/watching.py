"""Paths -> moments at which something at them may have changed, for as long as anybody asks.

The system tells what changes in folders (inotify, FSEvents, ReadDirectoryChangesW, by the library watchfiles). It does
not tell all: a watched folder that was replaced is silent from then on, so is a file that an editor replaced, queues
overflow, and network drives may say nothing. So every half second the given paths themselves are looked at, and every
few minutes a change is assumed. Whoever hears of one compares the whole path with the index: nothing is taken from
the events but that there was one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ragcli.errors import RagcliError
from ragcli.sources import IGNORE_FILES

TICK = 0.5
"""Seconds between two looks at the given paths."""
QUIET, LONGEST = 0.1, 1.0
"""Changes are told together when none has come for so many seconds, or when they have gone on for so long."""
ASSUMED = 300.0
"""Seconds after which a change is assumed."""
_MODIFIED = 2
"""What watchfiles calls that, as a number."""

_State = tuple[int, ...] | None


def changes(
    paths: Sequence[Path], *, but: Path, tick: float = TICK, assumed: float = ASSUMED
) -> Generator[bool, None, None]:
    """Yield True when something at the absolute `paths` may have changed, and False every `tick` seconds otherwise.

    The first True comes as soon as nothing can be missed any more. What changes while the caller is busy is told
    afterwards. Left out is what lies in the folder `but`, and what is hidden, but for files of ignore rules. Ctrl-C
    ends it with KeyboardInterrupt.
    """
    while True:
        states = {path: _state(path) for path in paths}
        folders = [path for path in paths if path.is_dir()]
        assumed_at = time.monotonic() + assumed
        with closing(_events(folders, _Filter(folders, but), tick)) as events:
            next(events, False)
            yield True
            for told in events:
                now = {path: _state(path) for path in paths}
                replaced = any(now[path] != states[path] for path in paths if path in folders or path.is_dir())
                if replaced:  # a watch on what was there before hears nothing any more
                    break
                due = time.monotonic() > assumed_at
                if due:
                    assumed_at = time.monotonic() + assumed
                yield told or due or now != states
                states = now


def _state(path: Path) -> _State:
    """Return what tells one state of a given path from the next: for a folder, whether it is the same folder."""
    try:
        status = path.stat()
    except OSError:
        return None
    if path.is_dir():
        return status.st_dev, status.st_ino
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _events(folders: Sequence[Path], wanted: _Filter, tick: float) -> Generator[bool, None, None]:
    """Yield True for changes in folders, and False after each tick without any; False at first."""
    if not folders:
        yield False
        while True:
            time.sleep(tick)
            yield False
    from watchfiles._rust_notify import WatchfilesRustInternalError as Failed

    try:
        yield from _watched(folders, wanted, tick, force_polling=None)
    except FileNotFoundError:  # it went between two looks
        return
    except (OSError, Failed):  # too many folders for the system's watches: then they are compared again and again
        try:
            yield from _watched(folders, wanted, tick, force_polling=True)
        except (OSError, Failed) as error:
            hint = "run `ragcli ingest` when something has changed"
            raise RagcliError(f"{folders[0]} cannot be watched: {error}", hint) from None


def _watched(folders: Sequence[Path], wanted: _Filter, tick: float, *, force_polling: bool | None) -> Iterator[bool]:
    import watchfiles

    found = watchfiles.watch(
        *folders,
        watch_filter=wanted,
        debounce=int(LONGEST * 1000),
        step=int(QUIET * 1000),
        rust_timeout=int(tick * 1000),
        yield_on_timeout=True,
        force_polling=force_polling,
        poll_delay_ms=int(tick * 1000),
        ignore_permission_denied=True,
    )
    for changed in found:
        yield bool(changed)


class _Filter:
    """Tells whether a change may matter: hidden files are never read, and what ragcli writes must not wake it."""

    def __init__(self, folders: Sequence[Path], but: Path) -> None:
        self._folders = tuple(f"{os.fspath(folder).rstrip(os.sep)}{os.sep}" for folder in folders)
        self._but = os.fspath(but)

    def __call__(self, change: Any, path: str) -> bool:
        if path == self._but or path.startswith(self._but + os.sep):
            return False
        below = next((path[len(folder) :] for folder in self._folders if path.startswith(folder)), "")
        name = Path(below).name
        if change == _MODIFIED and Path(path).is_dir():  # polling says so where anything was put into a folder
            return False
        hidden = f"{os.sep}." in f"{os.sep}{below[: len(below) - len(name)]}"
        return not hidden and (not name.startswith(".") or name in IGNORE_FILES)
