"""A worker that loads at once, and then never answers."""

from __future__ import annotations

import time

from ragcli.child import serve

if __name__ == "__main__":
    channel = serve()
    while True:
        message, _ = channel.receive()
        reply = {"loaded": True, "context_size": 1, "load_ms": 1.0, "warning": "", "device": "cpu"}
        if message["do"] == "template":
            reply = {"templates": [None for _ in message["roles"]], "warning": ""}
        elif message["do"] != "load":
            time.sleep(60)
        channel.send({**reply, "template_holds": True, "model": message["model"]})
