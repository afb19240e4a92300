"""`ragcli watch`, as a process beside which files are saved."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shared import Done, environment_of

from ragcli.storage.lock import writing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")

PATIENCE = 60.0


class Watcher:
    """A running `ragcli watch --json`, and the lines that it prints."""

    def __init__(self, home: Path, *arguments: object, cwd: Path) -> None:
        command = [sys.executable, "-m", "ragcli", "watch", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=environment_of(home), text=True
        )
        self.out: queue.Queue[str] = queue.Queue()
        self.err: queue.Queue[str] = queue.Queue()
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    @staticmethod
    def _read(stream: Any, lines: queue.Queue[str]) -> None:
        for line in stream:
            lines.put(line)
        stream.close()

    def line(self) -> str:
        """Return the next line on stdout."""
        try:
            return self.out.get(timeout=PATIENCE)
        except queue.Empty:
            told = [self.err.get_nowait() for _ in range(self.err.qsize())]
            raise AssertionError(f"nothing came; exit code {self.process.poll()}; it said {told}") from None

    def next(self) -> dict[str, Any]:
        """Return what the next look has changed."""
        value: dict[str, Any] = json.loads(self.line())
        return {name: value[name] for name in ("added", "updated", "removed") if value[name]}

    def said(self, part: str) -> str:
        """Wait for a line on stderr."""
        while part not in (line := self.err.get(timeout=PATIENCE)):
            pass
        return line

    def is_quiet(self, seconds: float) -> bool:
        try:
            self.out.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(n) for task in tasks.glob("*/children") for n in task.read_text("ascii").split()]

    def stop(self) -> tuple[int, float]:
        """Press Ctrl-C; return the exit code, and how many seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE), time.monotonic() - start


Start = Callable[..., Watcher]


@pytest.fixture
def watch(home: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Watcher] = []

    def start(*arguments: object) -> Watcher:
        started.append(Watcher(home, *arguments, cwd=tmp_path))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            one.process.kill()
        one.process.wait()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "pump.md").write_text("The pump hums.", "utf-8")
    time.sleep(2.1)  # what was read within two seconds of its last change is read again
    return folder


def test_what_is_saved_is_found(watch: Start, docs: Path, ragcli: Callable[..., Done]) -> None:
    """With the index inside the watched folder, which must not wake it."""
    index = docs / "index"
    watcher = watch(docs, "--index", index, "--json")
    assert watcher.next() == {"added": 1}
    watcher.said("watching")
    assert watcher.is_quiet(1.5), "what it writes itself is no change"

    (docs / "valve.md").write_text("The valve whistles at noon.", "utf-8")
    start = time.monotonic()
    assert watcher.next() == {"added": 1}
    assert time.monotonic() - start < 10
    hits = ragcli("search", "What whistles?", "--index", index, "--json").json["hits"]
    assert hits[0]["source"] == "valve.md"

    (docs / ".pump.tmp").write_text("The pump roars.", "utf-8")
    (docs / ".pump.tmp").replace(docs / "pump.md")
    assert watcher.next() == {"updated": 1}

    (docs / "many").mkdir()
    for number in range(300):
        (docs / "many" / f"{number}.md").write_text(f"Number {number}.", "utf-8")
    added = 0
    while added < 300:
        added += watcher.next().get("added", 0)
    (docs / "many" / "7.md").unlink()
    assert watcher.next() == {"removed": 1}
    (docs / "sheet.pdf").write_bytes(b"%PDF-1.4 nonsense")
    watcher.next()
    (docs / "motor.md").write_text("The motor purrs.", "utf-8")
    assert watcher.next() == {"added": 1}
    sources = [row["source"] for row in ragcli("sources", "--index", index, "--json").json["sources"]]
    assert len(sources) == 302 and "many/7.md" not in sources
    children = watcher.children()
    code, seconds = watcher.stop()
    assert code == 130
    assert seconds < 5
    assert "stopped watching" in watcher.said("stopped")
    if sys.platform == "linux":
        assert children
        deadline = time.monotonic() + 5
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline, "a child is left"
            time.sleep(0.05)
    assert ragcli("check", "--deep", "--index", index).code == 0


def test_nothing_is_lost_while_others_write_or_the_folder_is_gone(
    watch: Start, docs: Path, home: Path, ragcli: Callable[..., Done]
) -> None:
    watcher = watch(docs, "--wait", "0.2")
    watcher.said("watching")
    with writing(home / "index", 10):
        (docs / "valve.md").write_text("The valve whistles.", "utf-8")
        watcher.said("it is tried again")
    assert "1 added" in watcher.line() + watcher.line()

    docs.rename(docs.with_name("elsewhere"))
    watcher.said("is not there: nothing is removed")
    assert ragcli("status", "--json").json["documents"] == 2
    docs.with_name("elsewhere").rename(docs)
    watcher.said("is back")
    (docs / "empty.md").write_text("", "utf-8")
    assert "empty file" in watcher.said("failed:")
    for path in docs.iterdir():
        path.unlink()
    assert "2 of 2 files are gone; --yes removes them" in watcher.said("are gone")
    (docs / "motor.md").write_text("The motor purrs.", "utf-8")
    assert "1 added" in watcher.line()
    assert ragcli("status", "--json").json["documents"] == 3
    assert ragcli("forget", "valve.md").code == 0, "it does not keep the index to itself"
    assert watcher.stop()[0] == 130


def test_a_path_that_is_not_there(ragcli: Callable[..., Done], tmp_path: Path) -> None:
    done = ragcli("watch", tmp_path / "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "no such file or folder" in done.err
