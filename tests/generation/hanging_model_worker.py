"""A worker that loads at once, and then never answers."""

from __future__ import annotations

import time

from ragcli.child import serve

if __name__ == "__main__":
    channel = serve()
    channel.receive()
    channel.send({"loaded": True, "context_size": 1, "load_ms": 0.0, "warning": ""})
    time.sleep(60)
