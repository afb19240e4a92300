"""Vectors in and beside Chroma: every search sees them all, at any time, and none of what is gone."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ingesting import HashingEmbedder, contents, ingest
from shared import ROOT

from ragcli.errors import EncoderMismatch, IndexDamaged, IndexError_, IndexMissing, IndexTooNew
from ragcli.storage.catalog import FILE
from ragcli.storage.index import Index, open_to_write


def nearest(index: Index, embedder: HashingEmbedder, question: str, count: int = 5) -> list[str]:
    return [chunk_id for chunk_id, _ in index.vectors.search(embedder.embed_query(question), count)]


def by_hand(index: Index, embedder: HashingEmbedder, question: str, count: int = 5) -> list[str]:
    """Compare every chunk's vector with the question, without Chroma."""
    chunks = [c for f in index.catalog.files() for c in index.catalog.chunks_of(f.id) if c.vector]
    stored = index.catalog.vectors(c.vector for c in chunks if c.vector)
    vector = embedder.embed_query(question)
    cosines = {c.chunk_id: float(np.frombuffer(stored[c.vector], np.float32) @ vector) for c in chunks if c.vector}
    return sorted(cosines, key=lambda chunk_id: (-round(cosines[chunk_id], 6), chunk_id))[:count]


def test_what_is_stored_is_found(filled: Index, hashing: HashingEmbedder) -> None:
    assert filled.generation().number == 1
    assert filled.catalog.pending_keys() == []
    for question in ("the pump", "garden of year 1904", "nothing of the kind"):
        assert set(nearest(filled, hashing, question)) == set(by_hand(filled, hashing, question))
    assert len(nearest(filled, hashing, "x", 10_000)) == filled.vectors.count() == filled.catalog.counts()[2]
    assert nearest(filled, hashing, "x", 0) == []


def test_pending_vectors_are_found_beside_those_in_chroma(
    filled: Index, docs: Path, hashing: HashingEmbedder, folder: Path
) -> None:
    before = filled.generation()
    (docs / "new.md").write_text("A telescope on the roof.", "utf-8")
    plenty = "\n\n".join(f"Line {n} about the {n * 7} telescopes on roof {n * 31}." * 9 for n in range(200))
    (docs / "0-pump.md").write_text(plenty, "utf-8")
    interrupted = Interrupting(hashing, after=0)
    with pytest.raises(KeyboardInterrupt):
        ingest(filled, interrupted, docs)
    assert filled.generation() == before
    assert filled.catalog.pending_keys() == []  # the file was not committed: its vectors are nobody's yet

    ingest(filled, hashing, docs)
    assert filled.generation().number == before.number + 1  # it was worth it
    (docs / "newer.md").write_text("A microscope in the cellar.", "utf-8")
    report = ingest(filled, hashing, docs)
    assert report.added == 1
    assert filled.generation().number == before.number + 1  # one of hundreds is not
    assert len(filled.catalog.pending_keys()) == 1
    reader = Index(folder, few=0)
    for question in ("microscope in the cellar", "telescope on the roof", "the valve"):
        assert set(nearest(reader, hashing, question)) == set(by_hand(reader, hashing, question))
    assert reader.vectors.count() == reader.catalog.counts()[2]
    reader.close()


class Interrupting(HashingEmbedder):
    """An encoder at whose n-th call somebody presses Ctrl-C."""

    def __init__(self, like: HashingEmbedder, after: int) -> None:
        super().__init__(like.id)
        self._left = after

    def embed_documents(self, texts, on_done=None):  # type: ignore[no-untyped-def]
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        return super().embed_documents(texts, on_done)


def test_few_vectors_are_compared_one_by_one(filled: Index, folder: Path, hashing: HashingEmbedder) -> None:
    """With the same outcome, and without Chroma, which takes longer to load."""
    many = filled.catalog.counts()[2]
    with closing(Index(folder, few=many)) as few, closing(Index(folder, few=many - 1)) as chroma:
        for question in ("the pump", "a window in the library", "1907"):
            assert nearest(few, hashing, question) == by_hand(few, hashing, question)
            assert set(nearest(few, hashing, question)) == set(nearest(chroma, hashing, question))
    script = (
        "import sys; from pathlib import Path; from ragcli.storage.index import Index; import numpy as np;"
        "index = Index(Path(sys.argv[1])); index.vectors.search(np.ones(64, np.float32), 3); index.close();"
        "sys.exit('chromadb' in sys.modules)"
    )
    assert hashing.dimension == 64
    done = subprocess.run([sys.executable, "-c", script, str(folder)], cwd=ROOT)
    assert done.returncode == 0


def test_what_is_gone_is_not_found_though_chroma_holds_it(filled: Index, docs: Path, hashing: HashingEmbedder) -> None:
    for number in range(3):
        (docs / f"extra-{number}.md").write_text("\n\n".join(f"word {n} " * 60 for n in range(300)), "utf-8")
    ingest(filled, hashing, docs)
    generation = filled.generation()
    gone = {c.chunk_id for f in filled.catalog.files() if "pump" in f.source for c in filled.catalog.chunks_of(f.id)}
    (docs / "0-pump.md").unlink()
    assert ingest(filled, hashing, docs).removed == 1
    assert filled.generation() == generation  # Chroma still holds them
    assert set(nearest(filled, hashing, "the pump", 3)) == set(by_hand(filled, hashing, "the pump", 3))
    assert gone.isdisjoint(nearest(filled, hashing, "the pump", 10_000))
    filled.write_vectors()
    assert filled.generation().count == len(filled.catalog.vector_keys()) < generation.count


def test_text_that_comes_back_is_found_again(filled: Index, docs: Path, hashing: HashingEmbedder) -> None:
    """Whatever became of a vector meanwhile: dropped, left in Chroma, or left out when Chroma was written."""
    text = (docs / "0-pump.md").read_text("utf-8")
    for always in (False, True, False):
        (docs / "0-pump.md").write_text("Something else.", "utf-8")
        ingest(filled, hashing, docs)
        if always:
            filled.write_vectors()
        (docs / "0-pump.md").write_text(text, "utf-8")
        ingest(filled, hashing, docs)
        assert set(nearest(filled, hashing, "the pump", 20)) == set(by_hand(filled, hashing, "the pump", 20))


def test_a_vector_that_waits_for_its_chunk_is_not_lost(filled: Index, hashing: HashingEmbedder) -> None:
    key, row = b"k" * 20, np.ones(64, np.float32).tobytes()
    filled.catalog.put_vectors({key: row})
    filled.write_vectors()  # no chunk has it: it is not in Chroma
    chunk = filled.catalog.chunks([1])[1]
    filled.catalog.connection.execute("UPDATE chunks SET vector = ? WHERE id = 1", (key,))
    assert filled.catalog.pending_keys() == [key]
    assert chunk.chunk_id in nearest(filled, hashing, "x", 10_000)


def test_only_what_changed_is_embedded_and_shifted_text_is_not(
    filled: Index, docs: Path, hashing: HashingEmbedder
) -> None:
    hashing.embedded.clear()
    path = docs / "3-invoice.md"
    path.write_text(path.read_text("utf-8").replace("# The invoice", "\n\n\n# The invoice"), "utf-8")
    before = filled.generation()
    report = ingest(filled, hashing, docs)
    assert (report.updated, report.embedded, hashing.embedded) == (1, 0, [])
    assert filled.generation() == before


def test_identical_texts_share_a_vector(folder: Path, tmp_path: Path, hashing: HashingEmbedder) -> None:
    for name in ("a/same.md", "b/same.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("The same words.", "utf-8")
    with open_to_write(folder, 0, create=True, few=0) as index:
        report = ingest(index, hashing, tmp_path / "a", tmp_path / "b")
        assert (report.embedded, report.chunks, index.generation().count) == (1, 2, 1)
        assert len(nearest(index, hashing, "the same words")) == 2


def test_an_index_that_was_emptied(filled: Index, docs: Path, hashing: HashingEmbedder) -> None:
    for path in docs.iterdir():
        path.unlink()
    report = ingest(filled, hashing, docs)
    assert (report.removed, report.documents, report.chunks) == (10, 0, 0)
    assert filled.generation().count == 0
    assert nearest(filled, hashing, "pump") == []
    assert filled.catalog.vector_keys() == []


def test_readers_never_see_a_folder_that_is_written(filled: Index, folder: Path, hashing: HashingEmbedder) -> None:
    reader = Index(folder, few=0)
    expected = set(nearest(reader, hashing, "the pump"))
    files = {p: p.read_bytes() for p in folder.glob("vectors-1/*/*")}
    filled.write_vectors(anew=True)
    assert {p: p.read_bytes() for p in folder.glob("vectors-1/*/*")} == files  # the one before stays for a while
    with reader.catalog.snapshot():
        assert set(nearest(reader, hashing, "the pump")) == expected
    filled.write_vectors()
    assert sorted(p.name for p in folder.glob("vectors-*")) == ["vectors-2", "vectors-3"]
    assert set(nearest(reader, hashing, "the pump")) == expected  # it opens the new one by itself
    reader.close()


def test_a_reader_changes_no_vector_file(filled: Index, folder: Path, hashing: HashingEmbedder) -> None:
    filled.close_vectors()
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.glob("vectors-1/*/*")}
    for _ in range(3):
        reader = Index(folder, few=0)
        nearest(reader, hashing, "the pump")
        reader.close()
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.glob("vectors-1/*/*")} == before
    with closing(Index(folder, few=0)) as index:
        assert index.damage() == ""


@pytest.mark.parametrize("count", [1, 2, 3])
def test_nor_in_a_tiny_index(folder: Path, tmp_path: Path, hashing: HashingEmbedder, count: int) -> None:
    """Chroma writes its graph from the second change on: one vector alone, or one more or less, is a change short."""
    docs = tmp_path / "docs"
    docs.mkdir()
    texts = {docs / f"{n}.md": f"The pump number {n} lasts {n} years." for n in range(count + 1)}
    for step, there in enumerate((count, count + 1, count)):
        for number, (path, text) in enumerate(texts.items()):
            path.write_text(text, "utf-8") if number < there else path.unlink(missing_ok=True)
        with open_to_write(folder, 0, create=not step, few=0) as index:
            ingest(index, hashing, docs)
            index.follow(always=True)
        for _ in range(3):
            with closing(Index(folder, few=0)) as reader:
                assert reader.damage() == ""
                assert len(nearest(reader, hashing, "the pump")) == there


def test_a_copied_index_is_whole(filled: Index, folder: Path, hashing: HashingEmbedder) -> None:
    filled.close()
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)  # other times, same bytes
    with closing(Index(copy, few=0)) as moved, closing(Index(folder, few=0)) as original:
        assert moved.damage() == ""
        assert nearest(moved, hashing, "the pump") == nearest(original, hashing, "the pump")


def test_a_writer_that_died_leaves_only_a_folder_that_is_cleared_away(
    filled: Index, folder: Path, hashing: HashingEmbedder
) -> None:
    shutil.copytree(folder / "vectors-1", folder / "vectors-2")
    (folder / "vectors-2" / "chroma.sqlite3").write_bytes(b"half")
    (folder / "vectors-17").mkdir()
    assert nearest(filled, hashing, "the pump")
    filled.write_vectors()
    assert sorted(p.name for p in folder.glob("vectors-*")) == ["vectors-1", "vectors-2"]
    assert nearest(filled, hashing, "the pump")


def test_everything_is_private(filled: Index, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600) or path.name == "writer.json", path
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600


# --- what made the index ---------------------------------------------------------------------------------------


def test_another_encoder_is_refused(filled: Index, hashing: HashingEmbedder) -> None:
    filled.adopt(hashing)
    with pytest.raises(EncoderMismatch, match="built with hashing, not other") as caught:
        filled.adopt(HashingEmbedder("other"))
    assert caught.value.hint == "run `ragcli rebuild --encoder other`"
    other_weights = HashingEmbedder()
    other_weights.fingerprint = "hashing-2"
    with pytest.raises(EncoderMismatch, match="other weights of hashing"):
        filled.adopt(other_weights)
    filled.catalog.set_meta(words="0")
    with pytest.raises(EncoderMismatch, match="another version of ragcli"):
        filled.adopt(hashing)


def test_a_reader_notes_nothing(folder: Path, hashing: HashingEmbedder) -> None:
    with open_to_write(folder, 0, create=True, few=0):
        pass
    reader = Index(folder, few=0)
    reader.adopt(hashing)
    assert reader.encoder == ""
    assert nearest(reader, hashing, "x") == []
    reader.close()


def test_a_reader_does_not_mix_two_encoders(filled: Index, folder: Path, hashing: HashingEmbedder) -> None:
    reader = Index(folder, few=0)
    reader.adopt(hashing)
    nearest(reader, hashing, "pump")
    other = HashingEmbedder("other")
    filled.note_made_by(other)
    filled.write_vectors(anew=True)
    with pytest.raises(EncoderMismatch, match="meanwhile"):
        nearest(reader, hashing, "pump")
    reader.close()


# --- where it is -----------------------------------------------------------------------------------------------


def test_no_index_there(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(IndexMissing, match="no index in"):
            Index(folder, few=0)
        with pytest.raises(IndexMissing), open_to_write(folder, 0, few=0):
            pass
    assert not (tmp_path / "nothing").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "index"):
        with pytest.raises(IndexError_, match="cannot be made"), open_to_write(folder, 0, create=True, few=0):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_index_of_another_user_is_refused(filled: Index, folder: Path) -> None:
    filled.close()
    os.chown(folder, 65534, 65534)
    before = sorted(folder.rglob("*"))
    for create in (False, True):
        with pytest.raises(IndexError_, match="belongs to another user"):
            Index(folder, create=create)
        with (
            pytest.raises(IndexError_, match="belongs to another user"),
            open_to_write(folder, 0, create=create, few=0),
        ):
            pass
    assert sorted(folder.rglob("*")) == before
    os.chown(folder, 0, 0)


def test_a_newer_format_is_refused(filled: Index, folder: Path) -> None:
    filled.catalog.connection.execute("PRAGMA user_version = 99")
    for create in (False, True):
        with pytest.raises(IndexTooNew, match="format 99; this program knows 2"):
            Index(folder, create=create)


# --- damage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["empty", "half", "garbage", "text"])
def test_a_damaged_catalog_is_an_error_in_one_line(filled: Index, folder: Path, damage: str) -> None:
    filled.close()
    path = folder / FILE
    size = path.stat().st_size
    if damage == "garbage":
        path.write_bytes(os.urandom(size))
    elif damage == "text":
        path.write_text("not a database\n" * 1000)
    else:
        os.truncate(path, 0 if damage == "empty" else size // 2)
    for create in (False, True):
        with pytest.raises(IndexDamaged, match="catalog") as caught, closing(Index(folder, create=create)) as index:
            index.catalog.files()
            index.vectors.count()
        assert "ingest again" in caught.value.hint
        assert "\n" not in caught.value.message
    assert path.stat().st_size == (0 if damage == "empty" else path.stat().st_size)


def test_a_catalog_that_is_gone_is_not_quietly_made_anew(filled: Index, folder: Path) -> None:
    filled.close()
    (folder / FILE).unlink()
    with pytest.raises(IndexMissing):
        Index(folder, few=0)
    with pytest.raises(IndexDamaged, match="is gone"):
        Index(folder, create=True)


def test_a_catalog_that_does_not_say_where_the_vectors_are(filled: Index) -> None:
    for value in ("not json", "[]", '{"other": 1}'):
        filled.catalog.set_meta(vectors=value)
        with pytest.raises(IndexDamaged, match="does not say"):
            filled.generation()


def test_ingest_mends_vectors_that_were_damaged(filled: Index, docs: Path, hashing: HashingEmbedder) -> None:
    expected = nearest(filled, hashing, "the pump")
    filled.close_vectors()
    shutil.rmtree(filled.folder_of(filled.generation()))
    with pytest.raises(IndexDamaged, match="is missing from the vectors"):
        nearest(filled, hashing, "the pump")
    report = ingest(filled, hashing, docs)
    assert (report.unchanged, report.embedded) == (10, 0)
    assert nearest(filled, hashing, "the pump") == expected


def test_vectors_that_the_catalog_lacks_are_an_error(filled: Index, docs: Path, hashing: HashingEmbedder) -> None:
    before = contents(filled)
    filled.catalog.connection.execute("DELETE FROM vectors")
    with pytest.raises(IndexError_, match="the catalog lacks 1?[0-9]+ vectors"):
        filled.write_vectors(anew=True)
    assert contents(filled) == before
    filled.catalog.connection.execute("INSERT INTO pending SELECT DISTINCT vector FROM chunks")
    with pytest.raises(IndexDamaged, match="lacks vectors"):
        nearest(filled, hashing, "pump")


# --- a full disk -----------------------------------------------------------------------------------------------

SMALL_FILES = """
import resource, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests"]
from ingesting import HashingEmbedder, ingest
from ragcli.errors import IndexError_
from ragcli.storage.index import open_to_write
with open_to_write(Path(sys.argv[2]), 0, create=True) as index:
    index.adopt(HashingEmbedder())
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
    try:
        ingest(index, HashingEmbedder(), Path(sys.argv[3]))
    except IndexError_ as error:
        print(type(error).__name__, error.message, "|", error.hint)
"""


@pytest.mark.parametrize("limit", [150_000, 300_000, 500_000])
def test_files_that_may_not_grow_are_an_error_and_nothing_is_lost(
    made: Path, docs: Path, hashing: HashingEmbedder, limit: int
) -> None:
    """A limit on the size of files stands for a full disk: the catalog meets it first, or Chroma does."""
    with closing(Index(made, few=0)) as index:
        before = contents(index)
    for number in range(30):
        paragraphs = (f"More {n} words about {number} things, {n * number} of them. " * 8 for n in range(20))
        (docs / f"more-{number}.md").write_text("\n\n".join(paragraphs), "utf-8")
    command = [sys.executable, "-c", SMALL_FILES, str(ROOT), str(made), str(docs), str(limit)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.stdout.startswith("IndexError_ "), done
    assert "free some disk space" in done.stdout
    assert done.stdout.count("\n") == 1
    with open_to_write(made, 0, few=0) as index:
        kept = contents(index)
        assert set(before["files"]) <= set(kept["files"])
        assert all(kept["chunks"][source] == chunks for source, chunks in before["chunks"].items())
        assert set(nearest(index, hashing, "the pump")) == set(by_hand(index, hashing, "the pump"))
        report = ingest(index, hashing, docs)
        assert report.documents == 40
        assert set(nearest(index, hashing, "the pump")) == set(by_hand(index, hashing, "the pump"))


def test_meta_is_small(filled: Index) -> None:
    """Every search reads it."""
    assert len(json.dumps(filled.catalog.meta())) < 2000
    start = time.perf_counter()
    for _ in range(100):
        filled.generation()
    assert time.perf_counter() - start < 1
