"""Small sets of documents that tests make, ingest by the command line, and search."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from shared import Done, environment_of

from ragcli.cli import app
from ragcli.models.store import ModelStore

HOSTILE = (
    "x\x1b]8;;http://evil\x1b\\y\x1b[31m \x9b2J \u202eabc\u202c [link=http://evil]z[/link] hostileword \x07\x08 end"
)


class Corpus:
    """A folder of documents with a home and an index of its own."""

    def __init__(self, folder: Path, store: ModelStore) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "models").symlink_to(store.folder, target_is_directory=True)
        self.documents = folder / "documents"
        self.index = self.home / "index"

    def add(self, files: Mapping[str, str | bytes], *flags: str) -> None:
        """Write files, text in UTF-8 with its line ends as they are, and ingest the folder."""
        for name, content in files.items():
            path = self.documents / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        done = self.run(["ingest", str(self.documents), *flags])
        assert done.returncode == 0, done.stderr.decode()

    def run(self, arguments: Sequence[str | bytes], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the command line."""
        command = [sys.executable, "-m", "ragcli", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, env=environment_of(self.home), timeout=300)

    def call(self, *arguments: str, stdin: str = "") -> Done:
        """Run the command line in this process, which is quicker."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        given = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape")), "utf-8")
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            patch.object(sys, "stdin", given),
            patch.dict(os.environ, environment_of(self.home), clear=True),
        ):
            code = app.run(list(arguments))
        return Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    def show(self, *arguments: str | bytes, **environment: str) -> tuple[int, str]:
        """Run the command line on a terminal, and return its exit code and everything that reached the terminal."""
        import pty

        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "ragcli", *arguments],
            **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),  # type: ignore[call-overload]
            env=environment_of(self.home) | {"TERM": "xterm-256color"} | environment,
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # Linux's way of saying that nobody holds the other end any more
                break
            if not block:
                break
            shown += block
        os.close(ours)
        return process.wait(), shown.decode()
