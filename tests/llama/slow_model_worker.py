"""The real worker, in which models that write take a second longer to load."""

from __future__ import annotations

import time
from typing import Any

from ragcli.child import serve
from ragcli.llama import worker


def _slowly(message: dict[str, Any]) -> Any:
    if message["purpose"] == "write":
        time.sleep(1)
    return _open(message)


_open, worker._open = worker._open, _slowly

if __name__ == "__main__":
    worker.run(serve())
