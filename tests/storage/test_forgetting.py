"""Forget: every file of an index is searched for the text and the vectors that were in it, byte by byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ingesting import HashingEmbedder, contents, ingest
from shared import ROOT, leave_free, small_disk_at

from ragcli.errors import IndexError_, IndexLocked, IndexMissing
from ragcli.storage import forgetting, importing, repair
from ragcli.storage.catalog import FILE
from ragcli.storage.index import Index, open_to_write
from ragcli.storage.lock import LOCK

CANARY = "zyxcanary"
SECRET = f"The {CANARY} sings at midnight behind the harbour."
SHARED = "Two files say that the tide comes at noon."


def quiet(step: str, done: int, total: int) -> None:
    pass


def holding(folder: Path, text: str) -> list[str]:
    """Return the files that hold a text, in UTF-8 or UTF-16."""
    forms = [text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")]
    return [p.name for p in files_of(folder) if any(form in p.read_bytes().lower() for form in forms)]


def holding_vector(folder: Path, vector: np.ndarray) -> list[str]:
    """Return the files that hold a vector in float32, at any offset and rounded in any way, or in int8."""
    found = []
    small = np.round(vector * 127).astype(np.int8).tobytes()
    for path in files_of(folder):
        data = path.read_bytes()
        if small in data or any(_near(data[offset:], vector) for offset in range(4)):
            found.append(path.relative_to(folder).as_posix())
    return found


def _near(data: bytes, vector: np.ndarray) -> bool:
    row = np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4")
    count = 8
    if len(row) < count:
        return False
    with np.errstate(all="ignore"):
        alike = np.all([np.abs(row[n : len(row) - count + n + 1] - vector[n]) < 1e-5 for n in range(count)], axis=0)
    return bool(alike.any())


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def secret(docs: Path) -> Path:
    """A file to forget: a sentence of its own, and one that another file has, too."""
    (docs / "other.md").write_text(f"# Tide\n\n{SHARED}\n", "utf-8")
    path = docs / "secret.md"
    path.write_text(f"# Tide\n\n{SHARED}\n\n# Bird\n\n{SECRET}\n", "utf-8")
    return path


def vectors_of(index: Index, source: str) -> list[np.ndarray]:
    keys = [c.vector for f in index.catalog.files() if f.source == source for c in index.catalog.chunks_of(f.id)]
    return [np.frombuffer(row, np.float32) for row in index.catalog.vectors(k for k in keys if k).values()]


def forget(index: Index, source: str, on_step: Callable[[str, int, int], None] = quiet) -> None:
    forgetting.forget(index, [f for f in index.catalog.files() if f.source == source], (), on_step)


@pytest.mark.parametrize("history", ["just read", "changed before", "copied in Chroma"])
def test_no_byte_is_left(secret: Path, docs: Path, folder: Path, hashing: HashingEmbedder, history: str) -> None:
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        old = vectors_of(index, "secret.md")
        if history != "just read":
            secret.write_text(f"# Bird\n\nNo {CANARY} any more.\n", "utf-8")
            ingest(index, hashing, docs)
        if history == "copied in Chroma":
            index.write_vectors()
        vectors = old + vectors_of(index, "secret.md")
        assert {FILE, f"{FILE}-wal"} & set(holding(folder, CANARY)) and len(vectors) > 1
        there = {Path(name).name for vector in vectors for name in holding_vector(folder, vector)}
        assert {"data_level0.bin", "chroma.sqlite3"} <= there
        before = index.catalog.counts()[0]
        kept = vectors_of(index, "other.md")
        forget(index, "secret.md")
        own = [v for v in vectors if not any(np.array_equal(v, other) for other in kept)]
        assert own and kept
        for name in ("while it is open", "closed"):
            assert holding(folder, CANARY) == [], name
            assert [holding_vector(folder, v) for v in own] == [[]] * len(own), name
            index.close()
    assert holding(folder, "tide comes at noon"), "the other file keeps what it says"
    with closing(Index(folder, few=0)) as index:
        assert [f.problem for f in repair.check(index, deep=True)] == [""] * 4
        assert index.catalog.counts()[0] == before - 1
        assert not forgetting.is_unfinished(index)
        near = index.vectors.search(hashing.embed_query(SHARED), 1)
        assert near[0][1] > 0.5


def test_no_memory_of_the_process_is_in_the_files(tmp_path: Path, folder: Path, hashing: HashingEmbedder) -> None:
    """Chroma writes its room for a hundred vectors as it finds it in memory."""
    (tmp_path / "one.md").write_text(SECRET, "utf-8")
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, tmp_path / "one.md")
        (vectors,) = folder.glob("vectors-*/*/data_level0.bin")
        (vector,) = vectors_of(index, "one.md")
        data = vectors.read_bytes()
        at = data.index(vector[:8].tobytes())
        assert at < 400 < len(data)
        assert not any(data[400:])
        assert not any(vectors.with_name("length.bin").read_bytes()[4:])
        assert index.vectors.search(vector, 1)[0][1] > 0.99


def test_what_is_left_is_as_if_the_file_had_never_been_there(
    secret: Path, docs: Path, folder: Path, hashing: HashingEmbedder, tmp_path: Path
) -> None:
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        forget(index, "secret.md")
        left = contents(index)
    secret.unlink()
    with open_to_write(tmp_path / "new", 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        assert contents(index) == left


def test_the_last_file_goes_like_any_other(tmp_path: Path, folder: Path, hashing: HashingEmbedder) -> None:
    (tmp_path / "one.md").write_text(SECRET, "utf-8")
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, tmp_path / "one.md")
        forget(index, "one.md")
        assert index.catalog.counts() == (0, 0, 0)
    assert holding(folder, CANARY) == []
    assert [p.name for p in folder.iterdir() if p.is_dir()] == []


def test_a_reader_goes_on(secret: Path, docs: Path, folder: Path, hashing: HashingEmbedder) -> None:
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        with closing(Index(folder, few=0)) as reader:
            assert reader.vectors.search(hashing.embed_query(SECRET), 1)[0][1] > 0.5
            forget(index, "secret.md")
            assert reader.vectors.count() == index.catalog.counts()[2]
            assert len(reader.vectors.search(hashing.embed_query("the pump"), 10)) == 10


def test_a_reader_of_the_old_state_is_waited_for(
    secret: Path, docs: Path, folder: Path, hashing: HashingEmbedder
) -> None:
    """And where it does not end, that is said: the bytes are still there."""
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        index.catalog.connection.execute("PRAGMA busy_timeout = 100")
        with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM documents").fetchone()
            with pytest.raises(IndexLocked, match="in use by another process"):
                forget(index, "secret.md")
        assert forgetting.is_unfinished(index)
        assert [one.source for one in forgetting.unfinished(index)] == ["secret.md"]
        forgetting.scrub(index, quiet)
        assert not forgetting.is_unfinished(index)
        assert holding(folder, CANARY) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from ragcli.storage import forgetting
from ragcli.storage.index import open_to_write
left = int(sys.argv[2])
def step(*_):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
with open_to_write(Path(sys.argv[1]), 0, few=0) as index:
    files = [f for f in index.catalog.files() if f.source == "secret.md"]
    forgetting.forget(index, files, (), step)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill with")
def test_killed_in_the_middle(secret: Path, docs: Path, folder: Path, hashing: HashingEmbedder, tmp_path: Path) -> None:
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        own = vectors_of(index, "secret.md")[-1]
    for moment in range(4):
        copy = tmp_path / f"killed {moment}"
        shutil.copytree(folder, copy)
        done = subprocess.run([sys.executable, "-c", KILLED, str(copy), str(moment)], cwd=ROOT)
        if done.returncode == 0:
            assert moment > 2, "it is to be killed while it writes vectors, words and catalog"
            return
        assert done.returncode == -signal.SIGKILL
        with open_to_write(copy, 0, few=0) as index:
            assert [one.source for one in forgetting.unfinished(index)] == ["secret.md"]
            forgetting.forget(index, (), (), quiet)
        assert holding(copy, CANARY) == [] == holding_vector(copy, own), moment
        with closing(Index(copy, few=0)) as index:
            assert [f.problem for f in repair.check(index, deep=True)] == [""] * 4


# --- a full disk -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "met"),
    [(0, "rows"), (60_000, "rows"), (200_000, "vectors-2: "), (400_000, "vectors-2: "), (560_000, "an index cannot")],
)
def test_a_full_disk(
    docs: Path, secret: Path, folder: Path, small_disk: Path, hashing: HashingEmbedder, free: int, met: str
) -> None:
    """It meets the rows, and nothing has changed; or Chroma, or the catalog, and the bytes are said to be there."""
    (docs / "long.txt").write_text(" ".join(f"Слово{n}" for n in range(7000)), "utf-8")  # words, and no vectors
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        before = contents(index)
        own = [
            v for v in vectors_of(index, "secret.md") if not any((v == o).all() for o in vectors_of(index, "other.md"))
        ]
    folder = Path(shutil.move(folder, small_disk))
    ballast = leave_free(small_disk, free)
    with pytest.raises(IndexError_) as raised, open_to_write(folder, 0, few=0) as index:
        forget(index, "secret.md")
    ballast.unlink()
    assert "free some disk space" in raised.value.hint
    with open_to_write(folder, 0, few=0) as index:
        assert [f.problem for f in repair.check(index, deep=True)] == [""] * 4
        if met == "rows":
            assert contents(index) == before and not forgetting.is_unfinished(index)
            forget(index, "secret.md")
        else:
            assert met in raised.value.message
            assert raised.value.message.endswith(forgetting.UNFINISHED) and forgetting.AGAIN in raised.value.hint
            assert [one.source for one in forgetting.unfinished(index)] == ["secret.md"]
            assert (raised.value.message.count("vectors-2") > 0) == any(map(holding_vector, [folder] * len(own), own))
            forgetting.forget(index, (), (), quiet)  # in the same process
        assert not forgetting.is_unfinished(index)
    assert holding(folder, CANARY) == []
    assert [holding_vector(folder, v) for v in own] == [[]] * len(own)


def test_what_cannot_be_removed_is_not_said_to_be_gone(
    docs: Path, secret: Path, folder: Path, hashing: HashingEmbedder
) -> None:
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        with small_disk_at(folder / "vectors-77"):
            with pytest.raises(IndexError_, match="vectors-77 cannot be removed: .*still in the folder"):
                forget(index, "secret.md")
            assert forgetting.is_unfinished(index)
        forgetting.forget(index, (), (), quiet)
        assert not forgetting.is_unfinished(index)


# --- everything --------------------------------------------------------------------------------------------------


def test_an_index_is_removed(copied: Path) -> None:
    (copied / ".gitignore").write_text("*\n", "utf-8")
    assert forgetting.remove(copied, 0) == []
    assert not copied.exists()


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "newer"])
def test_a_damaged_index_is_removed(copied: Path, damage: str) -> None:
    catalog = copied / FILE
    if damage == "newer":
        with closing(sqlite3.connect(catalog)) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        data = catalog.read_bytes()
        catalog.write_bytes({"garbage": os.urandom(9000), "empty": b"", "cut": data[: len(data) // 3]}[damage])
    assert forgetting.remove(copied, 0) == []
    assert not copied.exists()


def test_what_is_not_of_an_index_stays(copied: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "letter.txt").write_text("Dear Ann", "utf-8")
    (copied / "letter.txt").write_text("Dear Bob", "utf-8")
    (copied / "vectors-77").symlink_to(outside, target_is_directory=True)
    (copied / "vectors-old").mkdir()
    (copied / ".gitignore").write_text("*.tmp\n", "utf-8")
    (copied / "vectors-1" / "link").symlink_to(outside, target_is_directory=True)
    left = forgetting.remove(copied, 0)
    assert left == sorted([".gitignore", "letter.txt", "vectors-77", "vectors-old"])
    assert (outside / "letter.txt").read_text("utf-8") == "Dear Ann"
    with pytest.raises(IndexMissing):
        forgetting.remove(copied, 0)


def test_a_folder_that_is_no_index_is_left_alone(tmp_path: Path, copied: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(copied, target_is_directory=True)
    with pytest.raises(IndexError_, match="is a link"):
        forgetting.remove(link, 0)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(IndexMissing):
        forgetting.remove(other, 0)
    (other / "writer.lock").touch()
    with closing(sqlite3.connect(other / FILE)) as connection:
        connection.execute("CREATE TABLE letters (text)")
    with pytest.raises(IndexMissing, match="not the catalog of an index"):
        forgetting.remove(other, 0)
    assert len(list(other.iterdir())) == 2 and (copied / FILE).exists()


def test_not_while_another_writes(made: Path) -> None:
    with open_to_write(made, 0), pytest.raises(IndexLocked):
        forgetting.remove(made, 0)
    assert (made / FILE).is_file()


def test_the_note_of_a_forget_may_be_garbage(filled: Index) -> None:
    for garbage in ("", "{", "[1]", json.dumps({"a": 1})):
        filled.catalog.set_meta(forgetting=garbage)
        assert forgetting.unfinished(filled) == []
        assert forgetting.is_unfinished(filled)
    forgetting.scrub(filled, quiet)
    assert not forgetting.is_unfinished(filled)


REMOVED = """
import os, signal, sys
from pathlib import Path
from ragcli.storage import forgetting
left = int(sys.argv[2])
def happens(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir"):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
sys.addaudithook(happens)
forgetting.remove(Path(sys.argv[1]), 0)
"""


def _opened(folder: Path) -> None:
    with open_to_write(folder, 0):
        pass


def _created(folder: Path) -> None:
    with open_to_write(folder, 0, create=True):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill with")
def test_a_removal_that_is_killed(docs: Path, folder: Path, hashing: HashingEmbedder, tmp_path: Path) -> None:
    """Before each change to a folder. What is left is the whole index, or said to be a part, and can be removed."""
    with open_to_write(folder, 0, create=True) as index:
        ingest(index, hashing, docs)
        (folder / ".gitignore").write_text("*\n", "utf-8")
        shutil.copytree(folder, tmp_path / "copy")  # with a log that holds all of it
        before = contents(index)
    assert (tmp_path / "copy" / f"{FILE}-wal").stat().st_size > 100_000
    found = {"whole": 0, "half": 0, "gone": 0}
    for moment in range(40):
        copy = tmp_path / f"removed {moment}"
        shutil.copytree(tmp_path / "copy", copy)
        done = subprocess.run([sys.executable, "-c", REMOVED, str(copy), str(moment)], cwd=ROOT)
        if done.returncode == 0:
            assert not copy.exists()
            break
        assert done.returncode == -signal.SIGKILL
        if (copy / FILE).exists():
            found["whole"] += 1
            with closing(Index(copy)) as index:
                assert contents(index) == before
        elif any(path.name != LOCK for path in copy.iterdir()):
            found["half"] += 1
            for look in (Index, _opened, _created, importing.require_empty):
                with pytest.raises(IndexMissing, match="removal of the index in .* was interrupted") as raised:
                    look(copy)
                assert "`ragcli forget --everything`" in raised.value.hint
        else:
            found["gone"] += 1
            continue
        assert forgetting.remove(copy, 0) == []
        assert not copy.exists()
    assert found["whole"] and found["half"] > 8
