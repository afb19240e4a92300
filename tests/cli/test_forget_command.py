"""`ragcli forget` as people type it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from shared import Done, environment_of, leave_free

Run = Callable[..., Done]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    for name in ("pump.md", "valve.md", "sub/motor.md"):
        (folder / name).write_text(f"# {Path(name).stem}\n\nThe {Path(name).stem} hums zyxcanary.\n", "utf-8")
    (folder / "empty.md").write_text("", "utf-8")
    return folder


def sources(ragcli: Run) -> list[str]:
    return [row["source"] for row in ragcli("sources", "--json").json["sources"]]


def test_forget(ragcli: Run, docs: Path) -> None:
    ragcli("ingest", docs)
    done = ragcli("forget", "pump.md", docs / "sub" / "motor.md", docs / "empty.md")
    assert (done.code, done.out) == (
        0,
        f"forgotten: pump.md\nforgotten: sub/motor.md\nforgotten: {docs / 'empty.md'}\n",
    )
    assert "1 documents and 1 chunks are left" in done.err
    assert "hint: on the disk still: 3 of 3; the next `ragcli ingest` reads again" in done.err
    assert sources(ragcli) == ["valve.md"]
    assert ragcli("sources", "--failed", "--json").json == {"failed": []}
    assert ragcli("check", "--deep").code == 0
    assert [hit["source"] for hit in ragcli("search", "zyxcanary", "--json").json["hits"]] == ["valve.md"]


def test_a_root_that_was_moved(ragcli: Run, docs: Path) -> None:
    """It is not known to be moved: the drive that it was on may come back."""
    ragcli("ingest", docs)
    moved = docs.rename(docs.with_name("the new place"))
    done = ragcli("ingest", moved)
    assert done.out.startswith("3 added")
    hint = f"hint: {docs} is gone; what was read from there stays in the index until `ragcli forget {docs}`\n"
    assert done.err.endswith(hint)
    assert "hint" not in ragcli("ingest", moved).err
    assert ragcli("forget", docs, "--yes").code == 0
    assert [row["path"] for row in ragcli("sources", "--json").json["sources"]] == [
        str(moved / name) for name in ("pump.md", "sub/motor.md", "valve.md")
    ]


def test_json(ragcli: Run, docs: Path, home: Path) -> None:
    ragcli("ingest", docs)
    (docs / "pump.md").unlink()
    value = ragcli("forget", "pump.md", "--json").json
    path = str((docs / "pump.md").resolve())
    assert value.pop("seconds") >= 0
    assert value == {
        "forgotten": [{"source": "pump.md", "collection": "main", "path": path, "on_disk": False}],
        "documents": 2,
        "chunks": 2,
    }
    assert ragcli("forget", "--everything", "--yes", "--json").json == {"index": str(home / "index"), "left": []}
    assert ragcli("status").code == 4


def test_nothing_is_forgotten_where_one_name_means_nothing(ragcli: Run, docs: Path) -> None:
    ragcli("ingest", docs)
    for arguments, said in [
        (["pump.md", "valv.md"], "did you mean valve.md?"),
        (["pump.md", "qqqq"], "`ragcli sources` lists them"),
        (["pump.md", "-c", "other"], "no source is called 'pump.md'; nothing was forgotten"),
        (["*.md"], "3 sources match, and nothing was forgotten"),
        ([], "no source was given"),
        (["--everything"], "nothing was removed"),
        (["--everything", "--yes", "pump.md"], "give nothing else with it"),
    ]:
        done = ragcli("forget", *arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert said in done.err
    assert len(sources(ragcli)) == 3


def test_globs_and_collections(ragcli: Run, docs: Path) -> None:
    ragcli("ingest", docs)
    ragcli("ingest", docs, "-c", "other")
    assert ragcli("forget", "sub/*", "-c", "other", "--yes").code == 0
    assert len(sources(ragcli)) == 5
    assert ragcli("forget", "pump.md").out == "forgotten: pump.md\n" * 2
    assert ragcli("forget", "*", "--yes").code == 0
    assert sources(ragcli) == []


def test_a_folder_is_all_that_was_read_from_it(ragcli: Run, docs: Path, tmp_path: Path) -> None:
    (docs / "sub" / "broken.pdf").write_text("no PDF", "utf-8")
    ragcli("ingest", docs)
    for arguments in (["docs/sub"], ["", "--yes"]):
        assert ragcli("forget", *arguments).code == 2
    assert len(sources(ragcli)) == 3
    done = ragcli("forget", "docs/sub", "--yes")
    assert done.out == f"forgotten: sub/motor.md\nforgotten: {docs / 'sub' / 'broken.pdf'}\n"
    (tmp_path / "moved").symlink_to(docs)
    assert ragcli("forget", "moved", "--yes").code == 0
    assert sources(ragcli) == ragcli("sources", "--failed", "--json").json["failed"] == []


def test_what_ingest_removed(ragcli: Run, docs: Path, home: Path) -> None:
    ragcli("ingest", docs)
    (docs / "pump.md").write_text("Nothing hums.", "utf-8")
    (docs / "valve.md").write_text("Nothing hums.", "utf-8")
    (docs / "sub" / "motor.md").unlink()
    ragcli("ingest", docs)
    assert ragcli("forget", "--removed").code == 0
    assert [p for p in (home / "index").rglob("*") if p.is_file() and b"zyxcanary" in p.read_bytes()] == []
    assert sources(ragcli) == ["pump.md", "valve.md"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill with")
def test_killed_and_typed_again(ragcli: Run, docs: Path, home: Path, tmp_path: Path) -> None:
    """The name is gone from the index by then, and means what the killed command had begun."""
    ragcli("ingest", docs)
    kill = (
        "import os, signal, sys; from pathlib import Path; from ragcli.storage import forgetting, index\n"
        "with index.open_to_write(Path(sys.argv[1]), 0) as one:\n"
        "    files = [f for f in one.catalog.files() if f.source == 'pump.md']\n"
        "    forgetting.forget(one, files, (), lambda *_: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    arguments = [sys.executable, "-c", kill, str(home / "index")]
    for again in (["forget", "pump.md"], ["ingest", docs / "valve.md"]):
        ragcli("ingest", docs)
        assert subprocess.run(arguments, env=environment_of(home)).returncode == -signal.SIGKILL
        done = ragcli(*again)
        assert done.code == 0, done.err
        assert ("finishing a forget" in done.err) == (again[0] == "ingest")
        held = [p for p in (home / "index").rglob("*") if p.is_file() and b"pump hums" in p.read_bytes()]
        assert held == []
        assert ragcli("forget", "pump.md").code == 2


def test_a_full_disk(ragcli: Run, docs: Path, small_disk: Path) -> None:
    """First nothing is forgotten; then it is not found any more, and its bytes are said to be there; then they go."""
    index = small_disk / "index"
    (docs / "long.txt").write_text(" ".join(f"Слово{n}" for n in range(3000)), "utf-8")
    ragcli("ingest", docs, "--index", index)
    for free, names in ((0, ["pump.md", "sub/motor.md", "valve.md"]), (300_000, ["sub/motor.md", "valve.md"])):
        ballast = leave_free(small_disk, free)
        done = ragcli("forget", "pump.md", "--index", index)
        assert (done.code, done.out) == (4, "")
        error, hint = done.err.splitlines()[-2:]
        assert error.startswith("error: ") and hint.startswith("hint: free some disk space and ")
        assert ("its bytes are still in the folder" in error) == (len(names) == 2)
        ballast.unlink()
        assert ragcli("check", "--deep", "--index", index).code == 0
        found = [row["source"] for row in ragcli("sources", "--json", "--index", index).json["sources"]]
        assert sorted({*found} - {"long.txt"}) == names
    assert "forget --removed" in hint
    assert ragcli("forget", "--removed", "--index", index).code == 0
    assert [p for p in index.rglob("*") if p.is_file() and b"pump hums" in p.read_bytes()] == []


PRESSED = """
import os, signal, sys
from ragcli.cli import app
left = int(sys.argv[1])
def happens(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir") and "writer.json" not in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(happens)
sys.exit(app.run(["forget", "--everything", "--yes"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to press")
@pytest.mark.parametrize("moment", [1, 3, 5])
def test_ctrl_c_while_an_index_is_removed(ragcli: Run, docs: Path, home: Path, moment: int) -> None:
    ragcli("ingest", docs)
    command = [sys.executable, "-c", PRESSED, str(moment)]
    done = subprocess.run(command, env=environment_of(home), capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == (
        f"interrupted: a part of the index is still in {home / 'index'}\n"
        "hint: `ragcli forget --everything` finishes it\n"
    )
    for refused in (["status"], ["search", "hums"], ["ingest", docs], ["ingest", docs, "--dry-run"], ["check"]):
        again = ragcli(*refused)
        assert (again.code, again.out) == (4, "")
        assert "the removal of the index in" in again.err
        assert again.err.endswith("hint: `ragcli forget --everything` finishes it\n")
    assert "was interrupted" in ragcli("doctor").out
    assert ragcli("forget", "--everything", "--yes").code == 0
    assert not (home / "index").exists()
    assert ragcli("ingest", docs / "pump.md").code == 0


def test_rebuild_finishes_a_forget_that_damage_stops(ragcli: Run, docs: Path, home: Path) -> None:
    ragcli("ingest", docs)
    with closing(sqlite3.connect(home / "index" / "catalog.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM vectors WHERE key = (SELECT max(vector) FROM chunks WHERE id = 3)")
    done = ragcli("forget", "pump.md")
    assert done.code == 4 and "the catalog lacks 1 vectors" in done.err and "`ragcli rebuild`" in done.err
    done = ragcli("rebuild")
    assert done.code == 0 and "finishing a forget" in done.err
    assert ragcli("check", "--deep").code == 0
    assert [p for p in (home / "index").rglob("*") if p.is_file() and b"pump hums" in p.read_bytes()] == []
