"""Damage: a search never answers short of it, `check` finds it, and `rebuild` mends it."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ingesting import HashingEmbedder, contents, ingest

from ragcli import rebuilding
from ragcli.errors import IndexDamaged, IndexError_
from ragcli.reporting import Report
from ragcli.retrieval import search
from ragcli.storage.catalog import FILE
from ragcli.storage.index import Index, open_to_write
from ragcli.storage.repair import check
from ragcli.storage.vectors import VectorIndex

QUESTIONS = ("the pump beside the valve", "garden 1904", "library of year 1907")
VECTOR_FILES = [
    "chroma.sqlite3",
    "data_level0.bin",
    "header.bin",
    "index_metadata.pickle",
    "length.bin",
    "link_lists.bin",
]


def hits(folder: Path, embedder: HashingEmbedder) -> list[list[str]]:
    index = Index(folder, few=0)
    try:
        return [[hit.chunk_id for hit in search(index, embedder, question).hits] for question in QUESTIONS]
    finally:
        index.close()


def problems(folder: Path, *, deep: bool = False) -> dict[str, str]:
    index = Index(folder, few=0)
    try:
        return {finding.name: finding.problem for finding in check(index, deep=deep) if finding.problem}
    finally:
        index.close()


def rebuild(folder: Path, embedder: HashingEmbedder) -> Report:
    with open_to_write(folder, 0, few=0) as index:
        return rebuilding.rebuild(index, embedder, lambda progress: None)


def cut_to(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    rng = random.Random(path.name)
    for _ in range(max(1, len(data) // 500)):
        data[rng.randrange(len(data))] ^= 0xFF
    path.write_bytes(data)


def fill(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "deleted": Path.unlink,
    "half": cut_to(0.5),
    "empty": cut_to(0),
    "a byte less": lambda path: os.truncate(path, max(0, path.stat().st_size - 1)),
    "flipped": flip,
    "garbage": fill,
}


def test_a_whole_index_is_whole(copied: Path, hashing: HashingEmbedder) -> None:
    assert problems(copied) == problems(copied, deep=True) == {}
    assert all(hits(copied, hashing))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", VECTOR_FILES)
def test_damage_to_any_file_of_chroma(copied: Path, hashing: HashingEmbedder, name: str, damage: str) -> None:
    before = hits(copied, hashing)
    (path,) = copied.glob(f"vectors-1/**/{name}")
    if name == "link_lists.bin" and path.stat().st_size == 0:
        pytest.skip("it is empty as it should be")
    DAMAGE[damage](path)
    same_size = damage in ("flipped", "garbage") and name == "chroma.sqlite3"
    try:
        assert hits(copied, hashing) == before and same_size  # damage that a search may not see, and that does no harm
    except IndexDamaged as error:
        assert error.hint == "run `ragcli rebuild`"
    assert set(problems(copied)) == {"vectors"}
    with pytest.raises(IndexDamaged, match="the index is damaged: ") as caught:
        hits(copied, hashing)
    assert caught.value.hint == "run `ragcli rebuild`"

    report = rebuild(copied, hashing)
    assert report.embedded == 0
    assert hits(copied, hashing) == before
    assert problems(copied, deep=True) == {}


def test_the_whole_folder_is_gone(copied: Path, hashing: HashingEmbedder) -> None:
    before = hits(copied, hashing)
    shutil.rmtree(copied / "vectors-1")
    with pytest.raises(IndexDamaged, match="missing from the vectors"):
        hits(copied, hashing)
    assert not (copied / "vectors-1").exists()  # a reader makes none
    assert "missing" in problems(copied)["vectors"]
    rebuild(copied, hashing)
    assert hits(copied, hashing) == before


def test_a_file_that_may_not_be_read(copied: Path, hashing: HashingEmbedder) -> None:
    (path,) = copied.glob("vectors-1/*/header.bin")
    path.unlink()
    path.mkdir()
    with pytest.raises(IndexDamaged, match=r"header.bin of the vectors"):
        hits(copied, hashing)


def test_bits_that_rot_without_a_trace_are_found_by_check(copied: Path, hashing: HashingEmbedder) -> None:
    (path,) = copied.glob("vectors-1/*/data_level0.bin")
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "data_level0.bin of the vectors was changed" in problems(copied)["vectors"]


def test_vectors_that_are_not_those_of_the_catalog(copied: Path, hashing: HashingEmbedder) -> None:
    """Files whose notes agree, with something else in them."""
    index = Index(copied, create=True)
    keys = index.catalog.vector_keys()
    index.catalog.connection.execute("UPDATE vectors SET vector = ? WHERE key = ?", (bytes(256), keys[7]))
    index.close()
    assert "a vector in Chroma is not the one in the catalog" in problems(copied, deep=True)["vectors"]


def test_vectors_that_chroma_lacks(copied: Path, hashing: HashingEmbedder) -> None:
    with open_to_write(copied, 0, few=0) as index:
        keys = index.catalog.vector_keys()
        chroma = VectorIndex(copied / "vectors-1", changes=2)
        chroma.delete(keys[:2])
        chroma.close()
        generation = index.generation()
        from ragcli.storage.vectors import note_files

        value = f'{{"number": 1, "count": {generation.count}, "files": {{}}}}'
        index.catalog.set_meta(vectors=value)
        assert note_files(copied / "vectors-1")
    with pytest.raises(IndexDamaged, match="2 vectors are missing"):
        hits(copied, hashing)
    assert "vectors are in Chroma instead of" in problems(copied)["vectors"]
    rebuild(copied, hashing)
    assert problems(copied, deep=True) == {}


def test_many_texts_with_one_vector_are_no_damage(folder: Path, tmp_path: Path) -> None:
    """Chroma's graph of neighbours cannot reach all of thousands of equal vectors."""

    class Blind(HashingEmbedder):
        def embed_query(self, text: str):  # type: ignore[no-untyped-def]
            return super().embed_query("" if "unknown" in text else text)

    blind = Blind()
    paragraphs = "\n\n".join(f"unknown {n} " * 45 if n % 5 else f"word{n} " * 60 for n in range(3000))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(paragraphs, "utf-8")
    with open_to_write(folder, 0, create=True, few=0) as index:
        assert ingest(index, blind, tmp_path / "docs").chunks > 2500
    assert problems(folder) == {}
    assert problems(folder, deep=True) == {}


EDITS = [
    ("chunks", "UPDATE chunks SET start = 0 WHERE id = 3", False, "overlaps the one before it"),
    ("chunks", "UPDATE chunks SET end = start WHERE id = 3", False, "overlaps"),
    ("chunks", "DELETE FROM documents WHERE id = 1", False, "belong to no document"),
    ("chunks", "UPDATE documents SET text = replace(text, 'pump', 'pimp')", True, "does not say what it said"),
    ("chunks", "UPDATE documents SET text = text || ' and more'", True, "do not end where its text does"),
    ("chunks", "UPDATE documents SET text = substr(text, 1, 100)", True, "do"),
    ("chunks", "UPDATE chunks SET vector = (SELECT max(vector) FROM chunks)", True, "the vector of another text"),
    ("chunks", "UPDATE words SET body = 'nothing' WHERE rowid = 2", True, "the words of another text"),
    ("words", "DELETE FROM words WHERE rowid = 2", False, "rows of words for"),
    ("vectors", "DELETE FROM vectors", True, "the catalog lacks"),
    ("vectors", "DELETE FROM meta WHERE key = 'vectors'", False, "are in no folder"),
]


@pytest.mark.parametrize(("name", "sql", "deep", "problem"), EDITS, ids=[edit[1] for edit in EDITS])
def test_a_catalog_that_contradicts_itself(
    copied: Path, hashing: HashingEmbedder, name: str, sql: str, deep: bool, problem: str
) -> None:
    index = Index(copied, create=True)
    index.catalog.connection.execute(sql)
    index.close()
    found = problems(copied, deep=deep)
    assert problem in found[name]
    with pytest.raises(IndexDamaged):
        hits(copied, hashing)
    if not sql.startswith(("UPDATE documents", "DELETE FROM documents")):
        rebuild(copied, hashing)
        assert problems(copied, deep=True) == {}
        assert all(hits(copied, hashing))


def test_a_clean_check_takes_the_note_back(copied: Path, hashing: HashingEmbedder) -> None:
    index = Index(copied, create=True)
    index.catalog.connection.execute("DELETE FROM words WHERE rowid = 2")
    assert problems(copied)
    index.catalog.connection.execute("INSERT INTO words (rowid, body) VALUES (2, 'pump')")
    with pytest.raises(IndexDamaged):
        hits(copied, hashing)
    assert problems(copied) == {}
    assert hits(copied, hashing)
    index.close()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_catalog_with_pages_of_garbage(copied: Path, hashing: HashingEmbedder, share: float) -> None:
    path = copied / FILE
    data = bytearray(path.read_bytes())
    at = int(len(data) * share) // 4096 * 4096
    data[at : at + 8192] = os.urandom(8192)
    path.write_bytes(data)
    try:
        found = problems(copied, deep=True)
    except IndexError_:
        return
    assert found


def test_checking_while_somebody_writes(made: Path, docs: Path, hashing: HashingEmbedder) -> None:
    with open_to_write(made, 0, few=0) as index:
        reader = Index(made, few=0)
        with reader.catalog.snapshot():
            (docs / "0-pump.md").unlink()
            (docs / "new.md").write_text("A new file.", "utf-8")
            ingest(index, hashing, docs)
        assert [finding for finding in check(reader, deep=True) if finding.problem] == []
        reader.close()
        assert [finding for finding in check(index, deep=True) if finding.problem] == []


# --- rebuild ---------------------------------------------------------------------------------------------------


def test_rebuilding_changes_nothing_that_can_be_seen(copied: Path, hashing: HashingEmbedder) -> None:
    index = Index(copied, few=0)
    before = contents(index), hits(copied, hashing)
    report = rebuild(copied, hashing)
    assert (report.documents, report.embedded, hashing.embedded[10_000:]) == (10, 0, [])
    assert (contents(index), hits(copied, hashing)) == before
    index.close()


def test_rebuilding_with_another_encoder(copied: Path, hashing: HashingEmbedder) -> None:
    other = HashingEmbedder("other", dimension=32)
    report = rebuild(copied, other)
    assert report.embedded == len(set(other.embedded)) > 40
    index = Index(copied, few=0)
    assert index.encoder == "other"
    assert index.catalog.meta()["dimension"] == "32"
    keys = index.catalog.vector_keys()
    stored = index.catalog.vectors(keys)
    assert {len(row) for row in stored.values()} == {32 * 4}
    with sqlite3.connect(copied / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (len(keys),)  # the old ones are gone
    connection.close()
    index.close()
    assert hits(copied, other)
    assert problems(copied, deep=True) == {}


@pytest.mark.parametrize("moment", ["embedding", "storing"])
def test_a_rebuild_that_is_interrupted_leaves_the_old_index(
    copied: Path, hashing: HashingEmbedder, moment: str
) -> None:
    before = hits(copied, hashing)

    class Interrupting(HashingEmbedder):
        calls = 0

        def embed_documents(self, texts, on_done=None):  # type: ignore[no-untyped-def]
            self.calls += 1
            if moment == "embedding" and self.calls == 1:
                raise KeyboardInterrupt
            rows = super().embed_documents(texts, on_done)
            return rows if moment == "embedding" else np.full_like(rows, np.nan)  # which Chroma refuses

    other = Interrupting("other")
    with pytest.raises((KeyboardInterrupt, IndexError_)):
        rebuild(copied, other)
    assert hits(copied, hashing) == before
    assert problems(copied, deep=True) == {}
