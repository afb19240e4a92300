"""The catalog: what is put in comes out, all of it or nothing, and whatever SQLite says becomes one of our errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragcli.errors import IndexDamaged, IndexError_, IndexLocked
from ragcli.records import Block, Document
from ragcli.storage.catalog import FILE, Catalog
from ragcli.storage.keys import chunk_id, vector_key
from ragcli.storage.rows import Failure, StoredChunk, StoredFile


@pytest.fixture
def catalog(tmp_path: Path):  # type: ignore[no-untyped-def]
    opened = Catalog(tmp_path, create=True)
    yield opened
    opened.close()


def file_of(name: str, **other: object) -> StoredFile:
    values = {
        "id": 0,
        "collection": "main",
        "root": Path("/docs"),
        "path": Path("/docs") / name,
        "source": name,
        "format": "text",
        "size": 3,
        "mtime_ns": 1,
        "hash": "h",
        "title": "",
        "pages": None,
        "warnings": ("w",),
        "read_at": 2,
    }
    return StoredFile(**(values | other))  # type: ignore[arg-type]


def chunk_of(name: str, start: int, end: int, vector: bytes | None = None) -> StoredChunk:
    ident = chunk_id("main", name, start, end, "x")
    return StoredChunk(0, ident, 0, start, end, 1, 2, end - start, ("A", "B"), "context", vector)


BLOCKS = (Block(0, 3, "table_row", ("H", "中"), 2, "a | b"), Block(3, 5, "code"))


def test_a_document_comes_out_as_it_went_in(catalog: Catalog) -> None:
    document = Document("a\0b中\x1b", BLOCKS, "A title", 7, ("one", "two"))
    file = file_of("a.txt", title="A title", pages=7, warnings=("one", "two"))
    chunks = [chunk_of("a.txt", 0, 2, b"k"), chunk_of("a.txt", 2, 5)]
    catalog.put_document(file, document, chunks, ["a b", "c"])
    (stored,) = catalog.files()
    assert stored == file_of("a.txt", id=stored.id, title="A title", pages=7, warnings=("one", "two"))
    assert catalog.document(stored.id) == document
    assert catalog.text(stored.id) == document.text
    found = catalog.chunks_of(stored.id)
    assert [(c.chunk_id, c.start, c.end, c.heading, c.vector) for c in found] == [
        (c.chunk_id, c.start, c.end, ("A", "B"), c.vector) for c in chunks
    ]
    assert [c.id for c in found] == [1, 2]
    assert catalog.counts() == (1, 2, 1)
    assert catalog.words_of(stored.id) == {1: "a b", 2: "c"}
    assert catalog.find_chunks([chunks[1].chunk_id, "not there"]) == {chunks[1].chunk_id: 2}
    assert catalog.files("other") == []
    assert catalog.files_by_id([stored.id, 99]) == {stored.id: stored}


@given(st.text(st.characters(codec="utf-8")), st.lists(st.text(st.characters(codec="utf-8")), max_size=3))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_out_as_it_went_in(catalog: Catalog, text: str, heading: list[str]) -> None:
    document = Document(text, (Block(0, len(text) + 1, "paragraph", tuple(heading)),))
    catalog.put_document(file_of("a.txt"), document, [], [])
    (file,) = catalog.files()
    assert catalog.document(file.id) == document


@pytest.mark.parametrize("name", ["中文.md", "new\nline", "\x1b[31m", "a" * 3000])
def test_any_name_comes_out_as_it_went_in(catalog: Catalog, name: str) -> None:
    for path in (Path("/docs") / name, Path("/docs") / os.fsdecode(b"\xff\xfe"), Path("/docs") / os.fsdecode(b"\xfe")):
        catalog.put_document(file_of(f"{name}{len(str(path))}{path.name!r}", path=path), Document("", ()), [], [])
        assert path in [file.path for file in catalog.files()]
    assert len(catalog.files()) == 3
    catalog.put_failure(Failure("main", Path(os.fsdecode(b"/\xff")), 1, 2, "broken"))
    assert catalog.failures() == [Failure("main", Path(os.fsdecode(b"/\xff")), 1, 2, "broken")]


def test_a_file_takes_the_place_of_the_one_before(catalog: Catalog) -> None:
    catalog.put_document(file_of("a"), Document("one", ()), [chunk_of("a", 0, 3)], ["one"])
    catalog.put_document(file_of("a"), Document("three", ()), [chunk_of("a", 0, 3), chunk_of("a", 3, 5)], ["x", "y"])
    assert catalog.counts() == (1, 2, 0)
    assert catalog.count_words() == 2
    assert catalog.count_orphans() == 0
    catalog.remove_path("other", Path("/docs/a"))
    assert catalog.counts() == (1, 2, 0)
    catalog.remove_path("main", Path("/docs/a"))
    assert catalog.counts() == (0, 0, 0)
    assert catalog.count_words() == 0


def test_a_transaction_is_all_or_nothing_and_may_hold_another(catalog: Catalog) -> None:
    with pytest.raises(KeyboardInterrupt), catalog.transaction():
        catalog.put_document(file_of("a"), Document("", ()), [], [])
        with catalog.transaction():
            catalog.set_meta(a="1")
        raise KeyboardInterrupt
    assert (catalog.counts(), catalog.meta()) == ((0, 0, 0), {})
    with catalog.transaction(), catalog.transaction():
        catalog.set_meta(a="1", b="2")
    catalog.set_meta(b=None)
    assert catalog.meta() == {"a": "1"}


def test_a_snapshot_does_not_see_what_comes_after(catalog: Catalog, tmp_path: Path) -> None:
    reader = Catalog(tmp_path)
    with reader.snapshot():
        assert reader.counts()[0] == 0
        catalog.put_document(file_of("a"), Document("", ()), [], [])
        assert reader.counts()[0] == 0
    assert reader.counts()[0] == 1
    reader.close()


def test_more_ids_than_sqlite_takes_at_once(catalog: Catalog) -> None:
    vectors = {vector_key("f", str(n)): bytes(4) for n in range(1201)}
    catalog.put_vectors(vectors)
    assert catalog.vectors([*vectors, b"other"]) == vectors
    assert catalog.known_keys([*vectors, b"other"]) == set(vectors)
    assert catalog.pending_keys() == []  # no chunk has them
    catalog.drop_unused_vectors()
    assert catalog.vectors(vectors) == {}


def test_keys_are_of_content() -> None:
    one = chunk_id("main", "a.md", 0, 5, "hello")
    assert one == chunk_id("main", "a.md", 0, 5, "hello")
    assert len(one) == 20 and int(one, 16) >= 0
    assert len({one, chunk_id("x", "a.md", 0, 5, "hello"), chunk_id("main", "a.md", 1, 5, "hello")}) == 3
    assert vector_key("a", "b") != vector_key("b", "a")
    assert len(vector_key("a", "b")) == 20


def test_another_writer_of_the_file_is_a_lock(catalog: Catalog, tmp_path: Path) -> None:
    catalog.connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexLocked, match="is being written"):
        catalog.set_meta(a="1")
    other.execute("ROLLBACK")
    other.close()
    catalog.set_meta(a="1")


def test_garbage_in_a_row_is_damage(catalog: Catalog) -> None:
    catalog.put_document(file_of("a"), Document("x", BLOCKS), [chunk_of("a", 0, 1)], ["x"])
    (file,) = catalog.files()
    looks: list[tuple[str, Callable[[], object]]] = [
        ("UPDATE documents SET blocks = x'00ff'", lambda: catalog.document(file.id)),
        ("UPDATE chunks SET heading = '[1'", lambda: catalog.chunks_of(file.id)),
        ("UPDATE documents SET warnings = '{'", catalog.files),
        ("UPDATE documents SET warnings = CAST(x'ff' AS TEXT)", catalog.files),
    ]
    for sql, look in looks:
        catalog.connection.execute(sql)
        with pytest.raises(IndexDamaged):
            look()
    with pytest.raises(IndexDamaged, match="document 99 is not in the catalog"):
        catalog.document(99)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(IndexError_, match="cannot be written"):
        Catalog(tmp_path, create=True)
