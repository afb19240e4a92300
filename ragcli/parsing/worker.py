"""The child process that parses: bytes in, text and blocks out. Run as `python -m ragcli.parsing.worker MEMORY_MB`.

It first says `{"ready": true}`. A request is `{format, name, max_pages, seconds, unattached}` with the file's bytes as
payload: attachments may be read for `seconds`, or are left out for the reason `unattached`, if it is not empty. The
reply is what `pack` makes, with the text as payload, or `{failed, hint}`, or `{failed, scan}` where a document without
text is packed as `scan`. `spent` in a reply asks to be replaced.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from ragcli.child import serve
from ragcli.errors import ParseFailed
from ragcli.parsing.blocks import MAX_TEXT
from ragcli.parsing.limits import Limits
from ragcli.parsing.ocr.scanned import Scanned
from ragcli.parsing.reading import read
from ragcli.records import BlockKind, Document

OUT_OF_MEMORY = 77
"""Exit code of a child that met its memory limit: what it holds then is not to be trusted any more."""

KINDS: tuple[BlockKind, ...] = get_args(BlockKind)
_MAX_WARNINGS = 20
_MAX_REASON = 200


def pack(document: Document) -> dict[str, Any]:
    """Return everything but the text as JSON: a block is six numbers, its heading and header indices into lists."""
    headings: dict[tuple[str, ...], int] = {}
    headers: dict[str, int] = {}
    blocks = [
        (
            block.start,
            block.end,
            KINDS.index(block.kind),
            headings.setdefault(block.heading, len(headings)),
            block.page or 0,
            headers.setdefault(block.header, len(headers)),
        )
        for block in document.blocks
    ]
    return {
        "title": document.title,
        "pages": document.pages,
        "warnings": document.warnings[:_MAX_WARNINGS],
        "labels": document.labels,
        "textless": document.textless,
        "headings": list(headings),
        "headers": list(headers),
        "blocks": blocks,
    }


def answer(request: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """Parse one file and return the reply with its payload. Only MemoryError gets out."""
    try:
        document = read(data, request["format"], _limits(request), request.get("name", ""))
        if len(document.text) > MAX_TEXT:
            raise ParseFailed(f"its text is over {MAX_TEXT // 1_000_000} million characters long")
        return pack(document), document.text.encode("utf-8", "replace")
    except MemoryError:
        raise
    except Scanned as error:
        return {"scan": pack(error.document), "failed": error.message}, error.document.text.encode()
    except ParseFailed as error:
        return {"failed": error.message, "hint": error.hint}, None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_REASON]
        return {"failed": f"its parser failed ({reason})", "hint": ""}, None


def _limits(request: Mapping[str, Any]) -> Limits:
    deadline = time.monotonic() + request.get("seconds", math.inf)
    return Limits(request["max_pages"], deadline=deadline, unattached=request.get("unattached", ""))


def main() -> None:
    """Answer requests until the parent closes the channel."""
    memory_mb = int(sys.argv[1])
    channel = serve(memory_mb)
    channel.send({"ready": True})
    while True:
        try:
            request, data = channel.receive()
            began = time.monotonic()
            reply, text = answer(request, data)
            # No attachment is interrupted in the first half of the time; what was may have left anything behind.
            slow = time.monotonic() - began > request.get("seconds", math.inf) / 2
            channel.send({**reply, "spent": slow or resident_mb() > memory_mb / 4}, text)
            del request, data, reply, text
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except (EOFError, OSError):
            return


def resident_mb() -> float:
    """Return the memory that this process holds; 0 where the system cannot say.

    Not getrusage's ru_maxrss: on Linux a child inherits its parent's peak there.
    """
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / (1 << 20)
    return 0.0


if __name__ == "__main__":
    main()
