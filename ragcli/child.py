"""Child processes that can crash, hang or eat memory without harm to their parent.

A child is a fresh Python interpreter (so it inherits no lock and no open file) that runs one module of ragcli. Parent
and child send each other JSON objects, each with an optional payload of raw bytes, over the child's stdin and stdout.
Nothing is ever pickled. Whatever the child's libraries print goes to its stderr, of which the parent keeps the end.

Parent side: `Child`. Child side: `Channel`, made by `serve()`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

MAX_MESSAGE = 1 << 30
_STDERR_KEPT = 8192


class ChildDied(Exception):
    """The child ended. `signal` is the signal's number, or 0 where it exited with `code`."""

    def __init__(self, code: int, stderr: str) -> None:
        self.signal = -code if code < 0 else 0
        self.code = code
        self.stderr = stderr
        name = signal.Signals(self.signal).name if self.signal in set(signal.Signals) else f"exit code {code}"
        super().__init__(name)


class ChildTimeout(Exception):
    """The child did not answer in time. It has been killed."""


class Channel:
    """One end of a two-way stream of JSON objects with optional payloads."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = Connection(reader, writable=False)
        self._writer = Connection(writer, readable=False)
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any], payload: bytes | None = None) -> None:
        """Send one message. Raises OSError where the other end is gone."""
        data = json.dumps({**message, "payload": payload is not None}, ensure_ascii=True).encode("ascii")
        with self._lock:
            self._writer.send_bytes(data)
            if payload is not None:
                self._writer.send_bytes(payload)

    def poll(self, timeout: float | None) -> bool:
        """Return whether a message is there within `timeout` seconds."""
        return self._reader.poll(timeout)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Return the next message and its payload. Raises EOFError or OSError where the other end is gone."""
        message = json.loads(self._reader.recv_bytes(MAX_MESSAGE))
        payload = self._reader.recv_bytes(MAX_MESSAGE) if message.pop("payload") else b""
        return message, payload

    def close(self) -> None:
        """Close both directions."""
        self._reader.close()
        self._writer.close()


class Child:
    """The parent's side of one child process. Not safe for use by two threads at once."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUTF8": "1", **(environment or {})},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._channel = Channel(os.dup(self._process.stdout.fileno()), os.dup(self._process.stdin.fileno()))
        self._process.stdin.close()
        self._process.stdout.close()
        self._stderr = b""
        self._drain = threading.Thread(target=self._keep_stderr, daemon=True)
        self._drain.start()

    def _keep_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            while block := stream.read1(4096):  # type: ignore[attr-defined]
                self._stderr = (self._stderr + block)[-_STDERR_KEPT:]

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def stderr(self) -> str:
        """The end of what the child has printed so far."""
        return self._stderr.decode("utf-8", "replace")

    def send(self, message: Mapping[str, Any], payload: bytes | None = None) -> None:
        """Send one message. Raises ChildDied where the child is gone."""
        try:
            self._channel.send(message, payload)
        except OSError:
            raise self._died() from None

    def receive(self, timeout: float) -> tuple[dict[str, Any], bytes]:
        """Return the child's next message and its payload.

        Raises ChildDied where the child ended, and ChildTimeout after `timeout` seconds, when it is killed.
        """
        deadline = time.monotonic() + timeout
        try:
            if not self._channel.poll(max(0.0, deadline - time.monotonic())):
                self.kill()
                raise ChildTimeout
            return self._channel.receive()
        except (EOFError, OSError, ValueError):
            raise self._died() from None

    def _died(self) -> ChildDied:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        self.kill()
        self._drain.join(timeout=1)
        return ChildDied(self._process.returncode, self.stderr)

    def kill(self) -> None:
        """End the child at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let the child end by itself, or kill it after two seconds."""
        with contextlib.suppress(OSError):
            self._channel.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.kill()
        self._drain.join(timeout=1)


def serve(memory_mb: int = 0) -> Channel:
    """Become a child: return the channel to the parent, after making this process safe to lose.

    stdout is moved away from whatever the libraries print, memory is limited where the system can, and the process
    ends when its parent does, even when that was killed.
    """
    reader, writer = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if memory_mb:
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource

            limit = memory_mb << 20
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    return Channel(reader, writer)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(0)
