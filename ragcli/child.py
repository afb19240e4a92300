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
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

MAX_MESSAGE = 1 << 30
"""Most bytes of one message, payload included, where the receiver sets no other limit."""

_SIZES = struct.Struct(">QQ")  # bytes of JSON, bytes of payload
_BLOCK = 1 << 20
_STDERR_KEPT = 8192


class ChildDied(Exception):
    """The child ended. `signal` is the signal's number, or 0 where it exited with `code`."""

    def __init__(self, code: int, stderr: str) -> None:
        self.signal = -code if code < 0 else 0
        self.code = code
        self.stderr = stderr
        name = signal.Signals(self.signal).name if self.signal in set(signal.Signals) else f"exit code {code}"
        super().__init__(name)


class ChildBabbled(ChildDied):
    """What the child sent is no message, or too long a one. It has been killed."""

    def __init__(self, stderr: str) -> None:
        super().__init__(0, stderr)
        self.args = ("a message that makes no sense",)


class ChildTimeout(Exception):
    """The child did not answer, or did not listen, in time. It has been killed."""


class Channel:
    """One end of a two-way stream of JSON objects with optional payloads.

    Deadlines are times of `time.monotonic`; without one, the channel waits as long as it takes. They hold within a
    message too: the other end may stop in the middle of one.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = threading.Lock()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

    def send(self, message: Mapping[str, Any], payload: bytes | None = None, deadline: float | None = None) -> None:
        """Send one message. Raises OSError where the other end is gone, and TimeoutError."""
        data = json.dumps(message, ensure_ascii=True).encode("ascii")
        with self._lock:
            self._write(_SIZES.pack(len(data), len(payload or b"")) + data, deadline)
            self._write(payload or b"", deadline)

    def poll(self, timeout: float | None) -> bool:
        """Return whether a message, or the other end's end, is there within `timeout` seconds."""
        return _ready(self._reader, select.POLLIN, None if timeout is None else time.monotonic() + timeout)

    def receive(self, deadline: float | None = None, limit: int = MAX_MESSAGE) -> tuple[dict[str, Any], bytes]:
        """Return the next message and its payload, which have at most `limit` bytes together.

        Raises EOFError or OSError where the other end is gone, TimeoutError, and ValueError where it sends no message
        or a longer one; after the last two the channel is of no more use.
        """
        size, payload_size = _SIZES.unpack(self._read(_SIZES.size, deadline))
        if size + payload_size > limit:
            raise ValueError(f"a message of {size + payload_size} bytes")
        try:
            message = json.loads(self._read(size, deadline))
        except RecursionError:
            raise ValueError("a message too deep to read") from None
        if not isinstance(message, dict):
            raise ValueError("a message that is no object")
        return message, self._read(payload_size, deadline)

    def _write(self, data: bytes, deadline: float | None) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._writer, rest[:_BLOCK]) :]
            except BlockingIOError:
                if not _ready(self._writer, select.POLLOUT, deadline):
                    raise TimeoutError from None

    def _read(self, size: int, deadline: float | None) -> bytes:
        parts: list[bytes] = []  # grows with what really comes, not with the size that the other end claims
        while size:
            try:
                part = os.read(self._reader, min(size, _BLOCK))
            except BlockingIOError:
                if not _ready(self._reader, select.POLLIN, deadline):
                    raise TimeoutError from None
                continue
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close both directions. A second time does nothing."""
        for descriptor in {self._reader, self._writer} - {-1}:
            os.close(descriptor)
        self._reader = self._writer = -1


def _ready(descriptor: int, event: int, deadline: float | None) -> bool:
    poller = select.poll()
    poller.register(descriptor, event)
    return bool(poller.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000))


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

    def send(self, message: Mapping[str, Any], payload: bytes | None = None, timeout: float | None = None) -> None:
        """Send one message. Raises ChildDied where the child is gone, and ChildTimeout."""
        try:
            self._channel.send(message, payload, None if timeout is None else time.monotonic() + timeout)
        except TimeoutError:
            self.kill()
            raise ChildTimeout from None
        except OSError:
            raise self._died() from None

    def poll(self, timeout: float) -> bool:
        """Return whether a message, or the child's end, is there within `timeout` seconds."""
        return self._channel.poll(timeout)

    def receive(self, timeout: float, limit: int = MAX_MESSAGE) -> tuple[dict[str, Any], bytes]:
        """Return the child's next message and its payload, of at most `limit` bytes together.

        Raises ChildDied where the child ended, ChildBabbled where it sent nonsense, and ChildTimeout where the message
        was not there, whole, after `timeout` seconds. In the last two cases the child is killed.
        """
        try:
            return self._channel.receive(time.monotonic() + timeout, limit)
        except TimeoutError:
            self.kill()
            raise ChildTimeout from None
        except ValueError:
            self.kill()
            raise ChildBabbled(self.stderr) from None
        except (EOFError, OSError):
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
    for number in (signal.SIGINT, signal.SIGTERM):  # terminals and service managers send them to all of a group
        signal.signal(number, signal.SIG_IGN)
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
