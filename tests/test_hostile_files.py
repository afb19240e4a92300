"""Files that mean harm: each is told in one line, within its limits, and the next file goes in."""

from __future__ import annotations

import os
import random
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_files import HARMFUL, ODD
from shared import ROOT, Done

from ragcli.errors import ParseFailed
from ragcli.formats import BY_SUFFIX
from ragcli.parsing.pool import ParserPool

SECONDS, MEMORY_MB = 10, 1024
Ragcli = Callable[..., Done]


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(1, SECONDS, MEMORY_MB, 5000) as parsers:
        yield parsers


def format_of(name: str) -> str:
    return BY_SUFFIX[Path(name).suffix].name


@pytest.mark.parametrize("name", HARMFUL)
def test_what_cannot_be_read_is_refused_with_its_reason(pool: ParserPool, name: str) -> None:
    start = time.monotonic()
    with pytest.raises(ParseFailed) as caught:
        pool.parse(HARMFUL[name](), format_of(name), name)  # type: ignore[arg-type]
    assert time.monotonic() - start < SECONDS + 10, "making it takes a few seconds, too"
    reason = caught.value.message
    assert reason and "\n" not in reason
    assert "its parser failed" not in reason, "a reason of ours, not of a library"
    assert "root:" not in reason, "nothing of another file"


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_does_no_harm(pool: ParserPool, name: str) -> None:
    data = ODD[name]()
    start = time.monotonic()
    try:
        document = pool.parse(data, format_of(name), name)  # type: ignore[arg-type]
    except ParseFailed as error:
        assert "its parser failed" not in error.message and "crashed" not in error.message
    else:
        assert document.text.strip()
        assert len(document.text) <= 20 * max(len(data), 1000), "it has not grown out of nothing"
    assert time.monotonic() - start < SECONDS + 2


def fill(folder: Path, made: pytest.MonkeyPatch) -> tuple[set[str], set[str]]:
    """Write hostile files and 50 good ones into a folder, and return the names of both."""
    made.syspath_prepend(str(ROOT / "benchmarks"))
    import made_up_files

    bad, good = set(HARMFUL), set()
    for name, make in HARMFUL.items():
        (folder / name).write_bytes(make())
    for name, make in ODD.items():
        (folder / name).write_bytes(make())
    suffixes = list(made_up_files.WRITERS)
    for number in range(44):
        name = f"good-{number:02}{suffixes[number % len(suffixes)]}"
        made_up_files.write(folder / name, (), random.Random(number))
        good.add(name)
    for odd in ("new\nline.md", "esc\x1b[31mape.md", "bidi\u202egnp.md", "[bold]brackets.md", " space.md", "-n.md"):
        (folder / odd).write_text(f"# A good file\n\nIts name is odd: number {len(good)}.\n", "utf-8")
        good.add(odd)
    os.mkfifo(folder / "pipe.md")
    (folder / "loop.md").symlink_to(folder / "loop.md")
    (folder / "itself").symlink_to(folder, target_is_directory=True)
    (folder / "zero.md").symlink_to("/dev/zero")
    (folder / "passwd.md").symlink_to("/etc/passwd")
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)  # the name of a socket is limited to some 100 bytes
    try:
        listener.bind("socket.md")
    finally:
        os.chdir(here)
        listener.close()
    return bad | {"pipe.md", "loop.md", "itself", "zero.md", "passwd.md", "socket.md"}, good


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_all_of_them_in_one_folder_with_50_good_ones(
    ragcli: Ragcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    bad, good = fill(folder, monkeypatch)
    assert len(good) == 50
    limits = {"RAGCLI_PARSE_SECONDS": str(SECONDS), "RAGCLI_PARSE_MEMORY_MB": str(MEMORY_MB)}
    done = ragcli("ingest", folder, "--json", **limits)
    assert done.code == 1
    assert "Traceback" not in done.err
    told = {Path(row["path"]).name: row["reason"] for kind in ("failed", "skipped") for row in done.json[kind]}
    assert bad <= set(told), bad - set(told)
    assert all(told.values())
    stored = {row["source"] for row in ragcli("sources", "--json").json["sources"]}
    assert good <= stored, good - stored
    assert stored <= good | set(ODD)
    largest_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
    assert largest_mb < 2 * MEMORY_MB
    assert ragcli("check", "--deep").code == 0

    again = ragcli("ingest", folder, **limits)
    assert again.code == 1
    assert "\x1b" not in again.err and "\u202e" not in again.err
    assert "new\nline" not in again.err
