"""What commands that write to an index share: the lock, waiting for it, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ragcli.cli import console

if TYPE_CHECKING:
    from ragcli.storage.index import Index


@contextmanager
def opened(folder: Path, wait: float, *, create: bool = False, mend: bool = True) -> Iterator[Index]:
    """Open an index to write, and say for whom it waits. Raises what `open_to_write` raises.

    With `mend`, a forget that was interrupted is finished first.
    """
    from ragcli.storage.index import open_to_write

    with (
        one_interrupt(),
        open_to_write(folder, wait, lambda who: console.say(f"waiting for {who}"), create=create) as index,
    ):
        if mend:
            finish_forget(index)
        yield index


def finish_forget(index: Index) -> None:
    """Finish a forget that was interrupted, where there is one. Raises what `forgetting.scrub` raises."""
    from ragcli.storage import forgetting

    if not forgetting.is_unfinished(index):
        return
    console.say("finishing a forget that was interrupted")
    with console.bar("forgetting", "steps") as bar:
        forgetting.scrub(index, lambda step, done, total: bar.update(done, total, f"writing {step}"))


@contextmanager
def one_interrupt(*others: signal.Signals) -> Iterator[None]:
    """Raise KeyboardInterrupt in the body at the first Ctrl-C, or signal among `others`.

    More of them, while that clears up, are ignored. A signal that was ignored stays so: a shell has Ctrl-C ignored by
    what it runs in the background. One that somebody handles already is left to them.
    """
    came = False
    free = (signal.default_int_handler, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *others)}
    before = {number: handler for number, handler in before.items() if handler in free}

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    except Exception:
        if came:  # an extension that was being loaded makes an ImportError of it
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is interrupt:
                signal.signal(number, handler)
