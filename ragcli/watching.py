"""Paths -> where something at them may have changed, moment by moment, for as long as anybody asks.

The system tells what changes in folders (inotify, FSEvents, ReadDirectoryChangesW, by the library watchfiles). It does
not tell all: a watched folder that was replaced is silent from then on, so is a file that an editor replaced; what is
put into a new folder before that is watched is not told, and what overflows a queue is lost. Network drives may say
nothing at all. So every half second the given paths themselves are looked at, a new folder is told twice, and a change
anywhere is assumed some time after very many at once, and every few minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragcli.errors import RagcliError
from ragcli.sources import HIDDEN, IGNORE_FILES, is_folder

TICK = 0.5
"""Seconds between two looks at the given paths."""
QUIET, LONGEST = 0.1, 1.0
"""Changes are told together when none has come for so many seconds, or when they have gone on for so long."""
MANY = 1000
"""With so many places at once, as when an archive is unpacked, the system's queue may have overflowed."""
SETTLED, ASSUMED = 20.0, 300.0
"""Seconds after which a change anywhere is assumed: after very many changes at once, and in any case."""
_MODIFIED = 2
"""What watchfiles calls that, as a number."""

_State = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Where something may have changed: at and below some absolute `places`, or anywhere at what is watched."""

    places: frozenset[Path] = frozenset()
    anywhere: bool = False

    def __bool__(self) -> bool:
        return self.anywhere or bool(self.places)

    def __or__(self, other: Changed) -> Changed:
        return Changed(self.places | other.places, self.anywhere or other.anywhere)


NOTHING, ANYTHING = Changed(), Changed(anywhere=True)


def changes(
    paths: Sequence[Path], *, but: Path, tick: float = TICK, settled: float = SETTLED, assumed: float = ASSUMED
) -> Generator[Changed, None, None]:
    """Yield where something at the absolute `paths` may have changed, and NOTHING every `tick` seconds otherwise.

    ANYTHING comes first, as soon as nothing can be missed any more. What changes while the caller is busy is told
    afterwards. Left out is what lies in the folder `but`, and what is hidden, but for files of ignore rules. Ctrl-C
    ends it with KeyboardInterrupt. Raises RagcliError where a folder cannot be watched at all.
    """
    while True:
        states = {path: _state(path) for path in paths}
        folders = [path for path in paths if is_folder(path)]
        assumed_at = time.monotonic() + assumed
        settled_at = float("inf")
        new: frozenset[Path] = frozenset()
        with closing(_events(folders, _Filter(folders, but), tick)) as events:
            next(events, NOTHING)
            yield ANYTHING
            for heard in events:
                now = {path: _state(path) for path in paths}
                if any(now[path] != states[path] for path in paths if path in folders or is_folder(path)):
                    break  # a watch on what was there before hears nothing any more
                told = heard | Changed(frozenset(path for path in paths if now[path] != states[path]))
                states = now
                if heard:
                    new |= {place for place in heard.places if place.is_dir()}
                else:
                    told, new = told | Changed(new), frozenset()
                if time.monotonic() > min(assumed_at, settled_at):
                    told, assumed_at, settled_at = ANYTHING, time.monotonic() + assumed, float("inf")
                yield told
                if heard.anywhere:
                    settled_at = time.monotonic() + settled


def _state(path: Path) -> _State:
    """Return what tells one state of a given path from the next: for a folder, whether it is the same folder."""
    try:
        status = path.stat()
    except OSError:
        return None
    if path.is_dir():
        return status.st_dev, status.st_ino
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _events(folders: Sequence[Path], wanted: _Filter, tick: float) -> Generator[Changed, None, None]:
    """Yield changes in folders, and NOTHING after each tick without any; NOTHING at first. It ends to begin anew."""
    if not folders:
        yield NOTHING
        while True:
            time.sleep(tick)
            yield NOTHING
    from watchfiles._rust_notify import WatchfilesRustInternalError as Failed

    failed: Exception | None = None
    # Where folders are too many for the system's watches, they are compared again and again.
    for force_polling in (None, True):
        try:
            yield from _watched(folders, wanted, tick, force_polling)
        except FileNotFoundError:  # it went between two looks
            return
        except UnicodeEncodeError:
            raise RagcliError(f"{folders[0]} cannot be watched: a folder's name is not UTF-8", _HINT) from None
        except (OSError, Failed) as error:
            if "Unable to decode path" in str(error):  # of a file whose name is not UTF-8
                return
            failed = error
    raise RagcliError(f"{folders[0]} cannot be watched: {failed}", _HINT)


_HINT = "run `ragcli ingest` when something has changed"


def _watched(folders: Sequence[Path], wanted: _Filter, tick: float, force_polling: bool | None) -> Iterator[Changed]:
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
        places = frozenset(_place(Path(path)) for _, path in changed)
        yield Changed(places) if len(places) < MANY else ANYTHING


def _place(path: Path) -> Path:
    """Return where a change of what lies at `path` matters."""
    return path.parent if path.name in IGNORE_FILES else path


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
        return not hidden and (not name.startswith(HIDDEN) or name in IGNORE_FILES)
