"""One writer at a time, whatever becomes of it; readers do not care."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared import ROOT

from ragcli.errors import IndexLocked
from ragcli.storage.index import Index, open_to_write
from ragcli.storage.lock import NOTE, holder, writing

HOLD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
sys.argv[1:] = ["ingest", "papers"]
from ragcli.storage.lock import writing
with writing(Path({folder!r}), 0):
    print("held", flush=True)
    time.sleep({seconds})
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `tmp_path`."""
    with hold(tmp_path, 60) as process:
        yield process
        process.kill()


def hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    code = HOLD.format(folder=str(folder), seconds=seconds)
    process = subprocess.Popen([sys.executable, "-c", code, str(ROOT)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    heard: list[str] = []
    start = time.monotonic()
    named = rf"written by process {other.pid} \(ragcli ingest papers\) on "
    with pytest.raises(IndexLocked, match=named) as caught, writing(tmp_path, 0.5, heard.append):
        pass
    assert 0.4 < time.monotonic() - start < 3
    assert "--wait" in caught.value.hint
    assert len(heard) == 1 and f"process {other.pid} (ragcli ingest papers)" in heard[0]
    with pytest.raises(IndexLocked), writing(tmp_path, 0, heard.append):
        pass
    assert len(heard) == 1  # who does not wait is not told that he waits


def test_who_waits_goes_on(tmp_path: Path) -> None:
    with hold(tmp_path, 0.7), writing(tmp_path, 20):
        pass
    assert not (tmp_path / NOTE).exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_writer_holds_nothing(tmp_path: Path, other: subprocess.Popen[str], number: int) -> None:
    other.send_signal(number)
    other.wait()
    assert (tmp_path / NOTE).exists()  # its note is left
    with writing(tmp_path, 5):
        assert json.loads((tmp_path / NOTE).read_text("utf-8"))["pid"] == os.getpid()
    assert not (tmp_path / NOTE).exists()


def test_the_same_process_is_no_exception(tmp_path: Path) -> None:
    with writing(tmp_path, 0):
        with pytest.raises(IndexLocked, match=f"process {os.getpid()} "), writing(tmp_path, 0.2):
            pass
        with pytest.raises(IndexLocked), writing(tmp_path, 0):
            pass
    with writing(tmp_path, 0):
        pass


@pytest.mark.parametrize("note", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}', "[" * 9000, "\udcff", "null"], ids=repr)
def test_a_note_of_nonsense_does_not_matter(tmp_path: Path, other: subprocess.Popen[str], note: str) -> None:
    (tmp_path / NOTE).write_bytes(os.fsencode(note))
    assert holder(tmp_path) == "another process"
    with pytest.raises(IndexLocked, match="written by another process"), writing(tmp_path, 0):
        pass


def test_readers_never_wait(made: Path) -> None:
    with hold(made, 60) as process:
        start = time.monotonic()
        reader = Index(made, few=0)
        assert reader.catalog.counts()[0] == 10
        assert reader.vectors.count() > 0
        reader.close()
        assert time.monotonic() - start < 5
        with pytest.raises(IndexLocked), open_to_write(made, 0, few=0):
            pass
        process.kill()


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path, 0):
        raise ZeroDivisionError
    with writing(tmp_path, 0):
        pass
