"""The child processes of one pool: started when they are needed, and ended all at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ragcli.child import Child, ChildDied, ChildTimeout
from ragcli.errors import ParseFailed, RagcliError

START_SECONDS = 60
_MAX_SENTENCE = 500


class Children:
    """Child processes that run `module` with `arguments`; `name` is what users know them by. Safe for threads."""

    def __init__(self, name: str, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._command = (module, *arguments)
        self._environment = environment
        self._lock = threading.Lock()
        self._running: set[Child] = set()
        self.closed = False

    def start(self) -> Child:
        """Return a child that is ready. Raises ParseFailed after the end, and RagcliError where it does not start."""
        with self._lock:
            if self.closed:
                raise stopped()
            child = Child(*self._command, environment=self._environment)
            self._running.add(child)
        try:
            child.receive(START_SECONDS)
        except (ChildDied, ChildTimeout) as error:
            self.end(child)
            if self.closed:
                raise stopped() from None
            last = child.stderr.strip().rpartition("\n")[2][:_MAX_SENTENCE]
            raise RagcliError(f"{self._name} does not start ({last or error})", "run `ragcli doctor`") from None
        return child

    def end(self, child: Child) -> None:
        """End one child at once."""
        child.kill()
        child.close()
        with self._lock:
            self._running.discard(child)

    def close(self) -> None:
        """End every child at once, whatever it is doing; none starts any more."""
        with self._lock:
            self.closed = True
            for child in self._running:
                child.kill()


def stopped() -> ParseFailed:
    """Return the failure of a file that was being read when the run ended."""
    return ParseFailed("stopped before it was read")
