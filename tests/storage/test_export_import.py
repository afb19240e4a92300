"""An index in one file: what goes in comes out, and no file that was cut, altered or made up harms an index."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingesting import HashingEmbedder, contents, ingest
from shared import ROOT, leave_free

from ragcli.errors import IndexDamaged, IndexError_, IndexTooNew, RagcliError, UsageError
from ragcli.storage import bundle, exporting, importing, repair
from ragcli.storage.bundle import DOCUMENTS, MANIFEST, VECTORS, Manifest
from ragcli.storage.index import Index, open_to_write


def quiet(done: int, total: int) -> None:
    pass


def take(file: Path, folder: Path, **flags: Any) -> None:
    with bundle.reading(file, quiet) as exported:
        importing.take(exported, folder, quiet, wait=0, **flags)


def export(folder: Path, file: Path) -> bytes:
    with closing(Index(folder)) as index:
        exporting.export(index, file, {}, quiet)
    return file.read_bytes()


@pytest.fixture
def file(_made_once: Path, tmp_path: Path) -> Path:
    """An export of ten small files."""
    export(_made_once, tmp_path / "index.zip")
    return tmp_path / "index.zip"


def without_places(held: dict[str, Any]) -> dict[str, Any]:
    return held | {"files": [(f[0], f[1], *f[4:]) for f in held["files"]]}


def test_there_and_back(copied: Path, file: Path, tmp_path: Path, hashing: HashingEmbedder) -> None:
    new = tmp_path / "new"
    take(file, new)
    assert export(new, tmp_path / "again.zip") == file.read_bytes()
    with closing(Index(copied, few=0)) as one, closing(Index(new, few=0)) as other:
        assert without_places(contents(one)) == without_places(contents(other))
        assert [f.place for f in other.catalog.files()] == [None] * 10
        for question in ("the pump", "garden of year 1904"):
            vector = hashing.embed_query(question)
            assert dict(one.vectors.search(vector, 5)) == pytest.approx(dict(other.vectors.search(vector, 5)))
        assert [finding.problem for finding in repair.check(other, deep=True)] == [""] * 4
        assert one.catalog.document(1) == other.catalog.document(1)
    assert {path.stat().st_mode & 0o77 for path in (file, new, new / "catalog.sqlite3")} == {0}
    assert sorted(path.name for path in new.iterdir()) == ["catalog.sqlite3", "vectors-1", "writer.lock"]
    assert b"/docs" not in file.read_bytes(), "where files lie is nobody's business"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=300).filter(str.strip), min_size=1, max_size=4)
)
def test_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    place = tmp_path_factory.mktemp("any")
    (place / "docs").mkdir()
    for number, text in enumerate(texts):
        (place / "docs" / f"{number} é\n.txt").write_text(text, "utf-8", newline="")
    with open_to_write(place / "a", 0, create=True) as index:
        ingest(index, HashingEmbedder(), place / "docs")
        if not index.catalog.counts()[0]:
            return
    first = export(place / "a", place / "a.zip")
    take(place / "a.zip", place / "b")
    assert export(place / "b", place / "b.zip") == first


def test_an_import_is_not_read_or_embedded_again(
    made: Path, docs: Path, file: Path, tmp_path: Path, hashing: HashingEmbedder
) -> None:
    """Where the files lay is not known: their names and contents tell."""
    export(made, file)
    take(file, tmp_path / "new")
    (docs / "1-valve.md").write_text("The valve is another one.", "utf-8")
    (docs / "2-sensor.md").rename(docs / "sensor renamed.md")
    hashing.embedded.clear()
    with open_to_write(tmp_path / "new", 0) as index:
        report = ingest(index, hashing, docs)
        assert (report.added, report.updated, report.unchanged, report.removed) == (0, 1, 8, 0)
        assert len(hashing.embedded) == 1
        files = index.catalog.files()
        assert sorted(f.source for f in files) == sorted(path.name for path in docs.iterdir())
        assert {f.place for f in files} == {path.resolve() for path in docs.iterdir()}
        assert [finding.problem for finding in repair.check(index, deep=True)] == [""] * 4


def test_an_import_stays_where_its_files_are_not(file: Path, tmp_path: Path, hashing: HashingEmbedder) -> None:
    take(file, tmp_path / "new")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "own.md").write_text("Something of mine.", "utf-8")
    with open_to_write(tmp_path / "new", 0) as index:
        report = ingest(index, hashing, tmp_path / "other")
        assert (report.added, report.removed, report.documents) == (1, 0, 11)


# --- a full disk -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free", [0, 5_000, 12_000])
def test_a_full_disk_leaves_no_half_export(copied: Path, file: Path, small_disk: Path, free: int) -> None:
    target = small_disk / "index.zip"
    for old in (None, b"an older export"):
        if old is not None:
            target.write_bytes(old)
        ballast = leave_free(small_disk, free)
        with pytest.raises(IndexError_, match=r"index\.zip cannot be written: No space left") as raised:
            export(copied, target)
        assert "free some disk space" in raised.value.hint
        assert set(small_disk.iterdir()) == {ballast} | ({target} if old else set())
        assert old is None or target.read_bytes() == old
        ballast.unlink()
    assert export(copied, target) == file.read_bytes()


def test_a_full_disk_changes_no_index(file: Path, copied: Path, small_disk: Path) -> None:
    """An import meets it at any step: before it has begun, in documents, vectors, Chroma, and as it takes the place."""
    new, there = small_disk / "new", small_disk / "there"
    with closing(Index(copied)) as index:
        wanted = without_places(contents(index))
    said = set()
    for step in range(1, 24):
        for folder in (new, there):
            if folder == there:
                _one_other_file(copied.parent / "other", there)
                with closing(Index(there)) as index:
                    before = contents(index)
            ballast = leave_free(small_disk, step * 40_000)
            try:
                take(file, folder, replace_old=True)
            except IndexError_ as error:
                said.add(error.message.replace(str(folder), "it")[:35])
                assert "disk space" in error.hint or "No space left" in error.message
                ballast.unlink()
                if folder == new:
                    assert not new.exists()
                    continue
                assert not [path for path in there.glob("*-*") if path.is_dir() and path.name != "vectors-1"]
                with closing(Index(there, few=0)) as index:
                    assert contents(index) == before
                    assert [finding.problem for finding in repair.check(index, deep=True)] == [""] * 4
            else:
                ballast.unlink()
                with closing(Index(folder, few=0)) as index:
                    assert without_places(contents(index)) == wanted
                    assert [finding.problem for finding in repair.check(index, deep=True)] == [""] * 4
                if folder == there:
                    assert len(said) > 2, said
                    return
            shutil.rmtree(folder)
    pytest.fail("it never fitted")


def _one_other_file(docs: Path, folder: Path) -> None:
    docs.mkdir(exist_ok=True)
    (docs / "own.md").write_text("Something of mine.", "utf-8")
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, HashingEmbedder(), docs)


# --- files that are not what was exported ------------------------------------------------------------------------


def test_every_byte_counts(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    rng = random.Random(5)
    places = {*range(60), *range(len(data) - 700, len(data)), *rng.sample(range(len(data)), 200)}
    altered = tmp_path / "altered.zip"
    for place in sorted(places):
        one = bytearray(data)
        one[place] ^= 1 << rng.randrange(8)
        altered.write_bytes(one)
        with pytest.raises(IndexDamaged, match="cannot be imported"), bundle.reading(altered, quiet):
            pass
    for length in (0, 1, 10, len(data) // 2, len(data) - 64, len(data) - 1):
        altered.write_bytes(data[:length])
        with pytest.raises(IndexDamaged, match="cannot be imported"), bundle.reading(altered, quiet):
            pass


Rows = list[Any]


def made_up(
    file: Path,
    target: Path,
    rows: Callable[[Rows], None] = lambda rows: None,
    vectors: Callable[[bytes], bytes] = lambda data: data,
    members: Callable[[bundle.BundleWriter], None] = lambda out: None,
    **manifest: Any,
) -> Path:
    """Write an export whose checksums are right and whose content is not."""
    with zipfile.ZipFile(file) as archive:
        documents = [json.loads(line) for line in archive.read(DOCUMENTS).splitlines()]
        data = archive.read(VECTORS)
        said = json.loads(archive.read(MANIFEST))
    rows(documents)
    with bundle.writing(target) as out:
        out.add(DOCUMENTS, [json.dumps(row).encode() + b"\n" for row in documents], packed=True)
        out.add(VECTORS, [vectors(data)], packed=False)
        members(out)
        said = {name: value for name, value in said.items() if name not in ("format", "version", "members")}
        out.finish(Manifest(**said | {"members": tuple(out.members)} | manifest))
    return target


def first(change: Callable[[Any], None]) -> Callable[[Rows], None]:
    return lambda rows: change(rows[0])


def put(name: str, value: Any) -> Callable[[Rows], None]:
    return first(lambda row: row.__setitem__(name, value))


def chunk(position: int, value: Any) -> Callable[[Rows], None]:
    return first(lambda row: row["chunks"][0].__setitem__(position, value))


NAN = np.full(64, np.nan, dtype="<f4").tobytes()

BAD: dict[str, dict[str, Any]] = {
    "a source that leads elsewhere": {"rows": put("source", "../../etc/passwd")},
    "an absolute source": {"rows": put("source", "/etc/passwd")},
    "a source with NUL": {"rows": put("source", "a\0b")},
    "half a character": {"rows": put("title", "\ud800")},
    "a source twice": {"rows": lambda rows: rows[0].update(source=rows[1]["source"])},
    "an unknown format": {"rows": put("format", "exe")},
    "no text": {"rows": put("text", 7)},
    "less text than chunks": {"rows": put("text", "short")},
    "more text than chunks": {"rows": first(lambda row: row.update(text=row["text"] + " and more"))},
    "a list instead of an object": {"rows": lambda rows: rows.__setitem__(0, [1, 2])},
    "a missing key": {"rows": first(lambda row: row.pop("blocks"))},
    "a nested list": {"rows": put("warnings", [[[]]])},
    "blocks that overlap": {"rows": first(lambda row: row["blocks"].append([0, 1, "paragraph", [], None, ""]))},
    "a chunk that starts before its text": {"rows": chunk(0, -1)},
    "a chunk that ends after its text": {"rows": chunk(1, 1 << 40)},
    "a chunk at no number": {"rows": chunk(0, True)},
    "a huge number": {"rows": chunk(4, 1 << 70)},
    "a vector that is not there": {"rows": chunk(8, 1 << 30)},
    "the vector of another text": {"rows": lambda rows: rows[0]["chunks"][0].__setitem__(8, rows[1]["chunks"][0][8])},
    "another text for a vector": {"rows": chunk(6, "a heading that it had not")},
    "vectors in another order": {"vectors": lambda data: data, "rows": lambda rows: swap(rows)},
    "NaN": {"vectors": lambda data: NAN + data[len(NAN) :]},
    "zeros": {"vectors": lambda data: bytes(len(NAN)) + data[len(NAN) :]},
    "too few vectors": {"vectors": lambda data: data[: -len(NAN)]},
    "too many vectors": {"vectors": lambda data: data + NAN},
    "another dimension": {"dimension": 32},
    "no dimension": {"dimension": 0},
    "more documents than it says": {"documents": 9},
    "fewer documents than it says": {"documents": 11},
    "fewer chunks than it says": {"chunks": 1 << 30},
    "a name with escapes": {"encoder": "\x1b[31m"},
    "a member too many": {"members": lambda out: out.add("notes.txt", [b"hello"], packed=False)},
    "a member elsewhere": {"members": lambda out: out.add("encoder/../../x", [b"hello"], packed=False)},
    "an absolute member": {"members": lambda out: out.add("/etc/passwd", [b"hello"], packed=False)},
    "a bomb": {"members": lambda out: out.add("encoder/x", [bytes(1 << 20)] * 64, packed=True)},
    "a member that is not described": {"members": lambda out: hide(out)},
}


def hide(out: bundle.BundleWriter) -> None:
    out.add("encoder/x", [b"y"], packed=False)
    out.members.pop()


def swap(rows: Rows) -> None:
    """Let the first two vectors trade numbers."""
    for row in rows:
        for one in row["chunks"]:
            one[8] = {0: 1, 1: 0}.get(one[8], one[8])


@pytest.mark.parametrize("how", BAD)
def test_what_is_made_up_is_refused(file: Path, tmp_path: Path, how: str) -> None:
    bad = made_up(file, tmp_path / "bad.zip", **BAD[how])
    with pytest.raises(IndexDamaged, match="cannot be imported") as caught:
        take(bad, tmp_path / "new")
    assert "\n" not in caught.value.message and caught.value.hint
    assert not (tmp_path / "new").exists()


def test_a_name_that_occurs_twice(file: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        bad = made_up(file, tmp_path / "bad.zip", members=lambda out: out.add(DOCUMENTS, [b"{}\n"], packed=False))
    with pytest.raises(IndexDamaged, match="a name occurs twice"):
        take(bad, tmp_path / "new")


def test_what_is_in_order_is_taken(file: Path, tmp_path: Path) -> None:
    """The helper above changes nothing by itself."""
    take(made_up(file, tmp_path / "good.zip"), tmp_path / "new")
    assert export(tmp_path / "new", tmp_path / "again.zip") == file.read_bytes()


def test_a_later_format(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.zip"
    with bundle.writing(target) as out:
        for name in (DOCUMENTS, VECTORS):
            out.add(name, [b""], packed=False)
        out.add(MANIFEST, [json.dumps({"format": bundle.FORMAT, "version": 2}).encode()], packed=False)
    with pytest.raises(IndexTooNew, match="version 2"):
        take(target, tmp_path / "index")


def test_other_files(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a.txt", "hello")
    for name, data in {"zip": plain.getvalue(), "text": b"hello" * 99, "random": os.urandom(5000)}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(IndexDamaged):
            take(tmp_path / name, tmp_path / "index")
    for missing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UsageError):
            take(missing, tmp_path / "index")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(UsageError, match="is not a file"):
            take(tmp_path / "fifo", tmp_path / "index")


# --- an index that is there ----------------------------------------------------------------------------------------


def test_an_index_that_holds_something_is_kept(
    made: Path, file: Path, tmp_path: Path, docs: Path, hashing: HashingEmbedder
) -> None:
    (docs / "own.md").write_text("Something of mine.", "utf-8")
    with open_to_write(made, 0) as index:
        ingest(index, hashing, docs)
        before = contents(index)
    with pytest.raises(UsageError, match="holds 11 documents"):
        take(file, made)
    bad = made_up(file, tmp_path / "bad.zip", vectors=lambda data: NAN + data[len(NAN) :])
    with pytest.raises(RagcliError):
        take(bad, made, replace_old=True)
    with closing(Index(made, few=0)) as reader:
        assert contents(reader) == before
        reader.vectors.search(hashing.embed_query("pump"), 3)
        take(file, made, replace_old=True)
        assert reader.catalog.counts()[0] == 10
        assert len(reader.vectors.search(hashing.embed_query("pump"), 3)) == 3
    assert export(made, tmp_path / "again.zip") == file.read_bytes()
    assert len(list(made.glob("vectors-*"))) == 1 and not list(made.glob("import-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill with")
def test_killed_in_the_middle(made: Path, file: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from ragcli.storage import bundle, importing\n"
        "with bundle.reading(Path(sys.argv[1]), lambda *_: None) as exported:\n"
        "    kill = lambda done, total: done == 5 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "    importing.take(exported, Path(sys.argv[2]), kill, wait=0, replace_old=True)\n"
    )
    with closing(Index(made)) as index:
        before = contents(index)
    done = subprocess.run([sys.executable, "-c", script, str(file), str(made)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert list(made.glob("import-*"))
    with closing(Index(made)) as index:
        assert contents(index) == before
    take(file, made, replace_old=True)
    assert not list(made.glob("import-*"))


def test_nothing_half_is_left_of_an_export(filled: Index, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "out" / "index.zip"
    target.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        exporting.export(filled, target, {}, stop)
    assert list(target.parent.iterdir()) == []
    for file in filled.catalog.files():
        filled.catalog.remove_path(file.collection, file.path)
    with pytest.raises(UsageError, match="nothing to export"):
        exporting.export(filled, target, {}, quiet)
