"""A time limit on one piece of work in the main thread, for what must not cost the rest of its file."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_AGAIN = 0.5
"""Seconds after which the alarm rings once more, where a library lost the first one."""


class TooLong(BaseException):
    """The time is over. It is no Exception, so that no library takes it for a failure of its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooLong in the body once it has taken `seconds` (over 0). Inside another limit, that one alone holds.

    Code that is not Python's is interrupted when it returns, and not before.
    """
    if math.isinf(seconds) or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    over = False

    def ring(*_: object) -> None:
        if not over:
            raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
