"""What was learned about this machine: whether llama.cpp's extra buffer types work on it.

ggml packs quantized weights anew for instructions such as AMX where the processor reports them. On some virtual
machines it reports them and faults on their first use. A user's folder may be shared between machines, so each is
known by its name and processor.
"""

from __future__ import annotations

import contextlib
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

_LARGEST = 1 << 20


def this_host() -> str:
    """Return the name under which this machine is remembered: its host name and processor model."""
    return f"{platform.node()}, {_processor()}"


def _processor() -> str:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def extra_buffers_work(path: Path) -> bool:
    """Return whether llama.cpp may use its extra buffer types here: yes, unless `path` remembers that it may not."""
    host = _read(path).get(this_host())
    return not (isinstance(host, dict) and host.get("extra_buffers") is False)


def remember_extra_buffers(path: Path, work: bool) -> None:
    """Write down whether they work. A folder that cannot be written costs a restart next time, and nothing else."""
    known = _read(path)
    known[this_host()] = {"extra_buffers": work}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as stream:  # mode 0600
            json.dump(known, stream, indent=1)
        Path(stream.name).replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            known = json.loads(stream.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
