"""The real worker, on a machine whose extra buffer types fault: at loading, or at the first prompt of this length.

The fault itself cannot be had on every machine. This process dies by the same signal, at the same moments.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from ragcli.child import Channel, serve
from ragcli.llama.worker import run


class FaultyChannel(Channel):
    """A channel that ends its process at the message that would meet the fault."""

    fault_at = "load"
    _extra_buffers = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Return the next message, or die of it."""
        message, payload = self._channel.receive()
        self._extra_buffers = message.get("extra_buffers", self._extra_buffers)
        if self._extra_buffers and message["do"] == self.fault_at:
            os.kill(os.getpid(), signal.SIGSEGV)
        return message, payload

    def send(self, message: Any, payload: bytes | None = None) -> None:
        """Send one message."""
        self._channel.send(message, payload)

    def poll(self, timeout: float | None) -> bool:
        """Return whether a message is there."""
        return self._channel.poll(timeout)


if __name__ == "__main__":
    run(FaultyChannel(serve()))
