"""Files whose content is known: moved, renamed, copied, touched, failed before. Nothing of them is read or embedded."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import DirectParser, HashingEmbedder, contents, ingest

from ragcli.errors import ParseFailed
from ragcli.formats import VERSIONS
from ragcli.planning import Removal, plan
from ragcli.records import Document, Format
from ragcli.reporting import Report
from ragcli.sources import Walk
from ragcli.storage.index import Index, open_to_write
from ragcli.storage.repair import check
from ragcli.storage.rows import StoredFile


@pytest.fixture
def hashing() -> HashingEmbedder:
    return HashingEmbedder()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with open_to_write(tmp_path / "index", 0, create=True) as opened:
        yield opened


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name in ("a.md", "b.txt", "sub/c.md"):
        write(folder / name, f"This is {name}.")
    return folder


def write(path: Path, text: str | bytes, age: float = 10) -> None:
    """Write a file as if some seconds ago, so that its time can be trusted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (time.time() - age,) * 2)


def move(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    old.rename(new)


class Counting(DirectParser):
    """The parsers; `fail` names files of which they want nothing to know. `seen` are the names that they were given."""

    def __init__(self, *fail: str) -> None:
        self.fail = fail
        self.seen: list[str] = []

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        self.seen.append(name)
        if name in self.fail:
            raise ParseFailed("it is broken")
        return super().parse(data, format, name)


class Run:
    """Ingests, and tells what was done: the counts that are not 0, with what was parsed and embedded."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.hashing = HashingEmbedder()
        self.parser = Counting()
        self.report = Report()

    def __call__(self, *paths: Path, **how: Any) -> dict[str, int]:
        self.parser.seen = []
        before = self.index.catalog.counts()[0]
        self.report = ingest(self.index, self.hashing, *paths, parser=self.parser, **how)
        report = self.report
        assert report.documents == before + report.added - report.removed
        assert [finding.problem for finding in check(self.index, deep=True) if finding.problem] == []
        counts = {name: getattr(report, name) for name in ("added", "updated", "moved", "unchanged", "removed")}
        counts |= {"failed": len(report.failed), "parsed": len(self.parser.seen), "embedded": report.embedded}
        return {name: count for name, count in counts.items() if count}


@pytest.fixture
def run(index: Index) -> Run:
    return Run(index)


def texts(index: Index) -> dict[str, str]:
    return {file.source: index.catalog.text(file.id).strip() for file in index.catalog.files()}


# --- moves -----------------------------------------------------------------------------------------------------


def test_a_file_in_another_folder(run: Run, index: Index, docs: Path) -> None:
    run(docs)
    keys = index.catalog.vector_keys()
    move(docs / "a.md", docs / "sub" / "deep" / "a.md")
    assert run(docs) == {"moved": 1, "unchanged": 2}
    expected = {"b.txt": "This is b.txt.", "sub/c.md": "This is sub/c.md.", "sub/deep/a.md": "This is a.md."}
    assert texts(index) == expected
    assert index.catalog.vector_keys() == keys
    (file,) = [file for file in index.catalog.files() if file.source == "sub/deep/a.md"]
    assert (file.path, file.root) == (docs / "sub" / "deep" / "a.md", docs)
    assert run(docs) == {"unchanged": 3}


def test_a_renamed_file_is_found_by_its_new_name_and_keeps_its_vector(run: Run, index: Index, docs: Path) -> None:
    write(docs / "scan-0001.md", "# Terms\n\nPayable within thirty days.")
    run(docs)
    keys = index.catalog.vector_keys()
    move(docs / "scan-0001.md", docs / "acme_invoice.md")
    assert run(docs) == {"moved": 1, "unchanged": 3}
    assert index.catalog.vector_keys() == keys
    (file,) = [file for file in index.catalog.files() if file.source == "acme_invoice.md"]
    (chunk,) = index.catalog.chunks_of(file.id)
    assert (chunk.context, chunk.encoded) == ("acme invoice > Terms", "scan 0001 > Terms")
    assert list(index.catalog.words_of(file.id).values()) == ["acm invoic term term payabl within thirti day"]

    move(docs / "acme_invoice.md", docs / "scan-0001.md")
    assert run(docs) == {"moved": 1, "unchanged": 3}
    (chunk,) = index.catalog.chunks_of(file.id)
    assert (chunk.context, chunk.encoded) == ("scan 0001 > Terms", None)

    move(docs / "scan-0001.md", docs / "acme_invoice.md")
    run(docs)
    write(docs / "acme_invoice.md", "# Terms\n\nPayable within ten days.", age=5)
    assert run(docs) == {"updated": 1, "unchanged": 3, "parsed": 1, "embedded": 1}
    (file,) = [file for file in index.catalog.files() if file.source == "acme_invoice.md"]
    assert [chunk.encoded for chunk in index.catalog.chunks_of(file.id)] == [None]


def test_a_folder_that_is_renamed_is_no_mass_removal(run: Run, index: Index, docs: Path) -> None:
    for number in range(30):
        write(docs / "2023" / f"note-{number}.md", f"Note {number}.")
    run(docs)
    asked: list[Removal] = []

    def never(removal: Removal) -> bool:
        asked.append(removal)
        return False

    move(docs / "2023", docs / "archive" / "2023")
    assert run(docs, may_remove=never) == {"moved": 30, "unchanged": 3}
    assert asked == []
    move(docs, docs.with_name("papers"))
    docs = docs.with_name("papers")
    assert run(docs) == {"added": 33}  # the old root was not given: its files stay, and these are copies
    assert len(index.catalog.vector_keys()) == 33


def test_between_roots(run: Run, index: Index, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        write(root / "stays.md", f"Stays in {root.name}.")
    write(here / "goes.md", "It goes.")
    run(here, there)
    move(here / "goes.md", there / "went.md")
    assert run(here, there) == {"moved": 1, "unchanged": 2}
    move(there / "went.md", here / "back.md")
    assert run(here) == {"added": 1, "unchanged": 1}
    assert sorted(texts(index)) == ["back.md", "stays.md", "there/stays.md", "went.md"]
    assert run(here, there) == {"removed": 1, "unchanged": 3}


def test_without_prune_the_old_one_stays(run: Run, index: Index, docs: Path) -> None:
    run(docs)
    move(docs / "a.md", docs / "new.md")
    (docs / "b.txt").unlink()
    assert run(docs, prune=False) == {"added": 1, "unchanged": 1}
    assert sorted(texts(index)) == ["a.md", "b.txt", "new.md", "sub/c.md"]
    assert run(docs) == {"removed": 2, "unchanged": 2}


def test_a_copy_has_the_vectors_of_what_it_is_a_copy_of(run: Run, index: Index, docs: Path) -> None:
    run(docs)
    write(docs / "copies" / "a.md", "This is a.md.")
    write(docs / "a (1).md", "This is a.md.")
    assert run(docs) == {"added": 2, "unchanged": 3}
    assert len(index.catalog.vector_keys()) == 3
    (docs / "a.md").unlink()
    assert run(docs) == {"removed": 1, "unchanged": 4}
    assert len(index.catalog.vector_keys()) == 3


def test_files_that_trade_names(run: Run, index: Index, docs: Path) -> None:
    paragraphs = [f"Paragraph {n} is about subject {n * n}, and says {n} things of it. " * 6 for n in range(8)]
    write(docs / "x.md", "\n\n".join([*paragraphs, "One."]))  # they begin alike, and so do their chunks
    write(docs / "y.md", "\n\n".join([*paragraphs, "Another."]))
    run(docs)
    before = texts(index)
    move(docs / "x.md", docs / "z")
    move(docs / "y.md", docs / "x.md")
    move(docs / "z", docs / "y.md")
    assert run(docs) == {"moved": 2, "unchanged": 3}
    assert texts(index) == before | {"x.md": before["y.md"], "y.md": before["x.md"]}


def test_a_file_that_gave_its_place_to_another(run: Run, index: Index, docs: Path) -> None:
    run(docs)
    move(docs / "a.md", docs / "old" / "a.md")
    write(docs / "a.md", "Quite another a.", age=5)
    assert run(docs) == {"moved": 1, "added": 1, "unchanged": 2, "parsed": 1, "embedded": 1}
    assert texts(index)["a.md"] == "Quite another a."
    assert texts(index)["old/a.md"] == "This is a.md."

    move(docs / "b.txt", docs / "sub" / "b.txt")
    move(docs / "a.md", docs / "old" / "a.md")  # onto one that is stored, which is gone by that
    assert run(docs) == {"moved": 2, "unchanged": 1, "removed": 1}
    assert texts(index)["old/a.md"] == "Quite another a."


def test_many_of_the_same_content_pair_by_name(run: Run, index: Index, docs: Path) -> None:
    for number in range(40):
        write(docs / f"package-{number}" / "LICENSE.txt", "Do what you like.")
    write(docs / "package-0" / "COPYING.txt", "Do what you like.")
    assert run(docs)["added"] == 44
    for number in range(40):
        move(docs / f"package-{number}" / "LICENSE.txt", docs / "old" / f"package-{number}" / "LICENSE.txt")
    move(docs / "package-0" / "COPYING.txt", docs / "old" / "A.txt")
    planned = plan([docs], Walk(), index.catalog.files())
    assert len(planned.moved) == 41
    assert {(one.before.path.name, one.file.path.name) for one in planned.moved} == {
        ("LICENSE.txt", "LICENSE.txt"),
        ("COPYING.txt", "A.txt"),
    }
    assert len({one.before.path for one in planned.moved}) == 41
    assert run(docs) == {"moved": 41, "unchanged": 3}
    move(docs / "old" / "package-7", docs / "seven")
    write(docs / "eight" / "LICENSE.txt", "Do what you like.")
    assert run(docs) == {"moved": 1, "added": 1, "unchanged": 43}


def test_thousands_of_the_same_content_are_quick(tmp_path: Path) -> None:
    docs = tmp_path / "many"
    for number in range(2000):
        write(docs / f"{number}.txt", "The same.")
    stored = [stored_as(b"The same.", docs / "old" / f"{number}.txt", number) for number in range(2000)]
    start = time.perf_counter()
    planned = plan([docs], Walk(), stored)
    assert {one.before.path.name == one.file.path.name for one in planned.moved} == {True}
    assert len(planned.moved) == 2000
    assert time.perf_counter() - start < 5


def stored_as(data: bytes, path: Path, ident: int) -> StoredFile:
    digest, version = hashlib.sha256(data).hexdigest(), VERSIONS["text"]
    place = (path.parent.parent, path, path.name)
    return StoredFile(ident, "main", *place, "text", len(data), 0, digest, "", None, (), 1, version)


def test_another_suffix_is_another_format(run: Run, index: Index, docs: Path) -> None:
    run(docs)
    move(docs / "b.txt", docs / "b.md")
    assert run(docs) == {"added": 1, "removed": 1, "unchanged": 2, "parsed": 1}  # its vector is that of the same text


def test_collections_share_no_documents(run: Run, index: Index, docs: Path) -> None:
    run(docs)
    move(docs / "a.md", docs / "new.md")
    assert run(docs, collection="other") == {"added": 3, "parsed": 3, "embedded": 1}


NAMES = ["a.md", "b.md", "sub/a.md", "sub/b.md", "sub/deep/c.md"]
MOVES = st.lists(st.permutations(range(len(NAMES))), min_size=1, max_size=3)
TEXTS = st.lists(st.sampled_from(["One.", "Two.", "Three.", "Four and five."]), min_size=3, max_size=5)


@given(TEXTS, MOVES)
@settings(max_examples=25, deadline=None)
def test_however_files_trade_places_nothing_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, contents_: list[str], moves: list[list[int]]
) -> None:
    place = tmp_path_factory.mktemp("places")
    docs = place / "docs"
    for name, text in zip(NAMES, contents_, strict=False):
        write(docs / name, text)
    with open_to_write(place / "index", 0, create=True) as index:
        run = Run(index)
        run(docs)
        vectors = set(index.catalog.vector_keys())
        for order in moves:
            held = {NAMES[order[n]]: docs / name for n, name in enumerate(NAMES) if (docs / name).exists()}
            for number, path in enumerate(held.values()):
                path.rename(place / str(number))
            for number, name in enumerate(held):
                (docs / name).parent.mkdir(parents=True, exist_ok=True)
                (place / str(number)).rename(docs / name)
            did = run(docs)
            assert "parsed" not in did and "embedded" not in did
            assert did.get("moved", 0) + did.get("unchanged", 0) == len(held)
            assert texts(index) == {name: (docs / name).read_text() for name in held}
        assert set(index.catalog.vector_keys()) <= vectors


# --- failures --------------------------------------------------------------------------------------------------


def test_a_failure_is_known_by_its_content(run: Run, index: Index, docs: Path) -> None:
    run.parser = Counting("a.md", "new.md", "sub/new.md")
    assert run(docs) == {"added": 2, "failed": 1, "parsed": 3, "embedded": 2}
    (failure,) = index.catalog.failures()
    assert len(failure.hash) == 64 and failure.parser >= 1
    assert run(docs) == {"unchanged": 2, "failed": 1}
    os.utime(docs / "a.md", (1, 1))
    assert run(docs) == {"unchanged": 2, "failed": 1}
    assert index.catalog.failures()[0].mtime_ns == 10**9
    move(docs / "a.md", docs / "sub" / "new.md")
    assert run(docs) == {"unchanged": 2, "failed": 1}
    assert [one.path for one in index.catalog.failures()] == [docs / "sub" / "new.md"]
    assert run.report.failed == [{"path": str(docs / "sub" / "new.md"), "reason": "it is broken (not tried again)"}]
    assert run(docs, retry_failed=True) == {"unchanged": 2, "failed": 1, "parsed": 1}
    write(docs / "sub" / "new.md", "This is n.md.", age=5)  # as long as before
    assert run(docs) == {"unchanged": 2, "failed": 1, "parsed": 1}
    run.parser = Counting()
    assert run(docs, retry_failed=True) == {"added": 1, "unchanged": 2, "parsed": 1, "embedded": 1}
    assert index.catalog.failures() == []


def test_what_an_older_parser_read_or_failed_to_read_is_read_again(run: Run, index: Index, docs: Path) -> None:
    run.parser = Counting("a.md")
    run(docs)
    with index.catalog.transaction():
        index.catalog.connection.execute("UPDATE documents SET parser = 0")
        index.catalog.connection.execute("UPDATE failures SET parser = 0")
    run.parser = Counting()
    assert run(docs) == {"added": 1, "updated": 2, "parsed": 3, "embedded": 1}  # unchanged text keeps its vectors
    assert run(docs) == {"unchanged": 3}


def test_a_file_that_an_older_parser_read_and_that_was_moved_is_read_again(run: Run, index: Index, docs: Path) -> None:
    run(docs)
    with index.catalog.transaction():
        index.catalog.connection.execute("UPDATE documents SET parser = 0 WHERE source = 'a.md'")
    move(docs / "a.md", docs / "sub" / "a.md")
    assert run(docs) == {"added": 1, "removed": 1, "unchanged": 2, "parsed": 1}


def test_a_file_that_may_not_be_read_is_tried_at_each_run(run: Run, index: Index, docs: Path) -> None:
    for above in (docs, *docs.parents):
        if above.is_relative_to(Path("/tmp")) and above != Path("/tmp"):
            above.chmod(0o755)
    (docs / "a.md").chmod(0)
    root = os.geteuid() == 0
    for _ in range(2):
        if root:
            os.seteuid(65534)
        try:
            planned = plan([docs], Walk(), [], index.catalog.failures())
        finally:
            if root:
                os.seteuid(0)
        assert docs / "a.md" in {file.path for file in planned.changed} | {one.path for one in planned.skipped}
        assert planned.remembered == ()


def test_a_removed_file_that_failed_is_forgotten(run: Run, index: Index, docs: Path) -> None:
    run.parser = Counting("a.md")
    run(docs)
    (docs / "a.md").unlink()
    assert run(docs) == {"unchanged": 2}
    assert index.catalog.failures() == []
    assert contents(index)["counts"][0] == 2


# --- folders that vanish, and names ----------------------------------------------------------------------------


def test_an_empty_folder_where_many_files_were_is_asked_about(run: Run, index: Index, docs: Path) -> None:
    """A mount that is not there."""
    run(docs)
    shutil.rmtree(docs)
    docs.mkdir()
    asked: list[Removal] = []

    def never(removal: Removal) -> bool:
        asked.append(removal)
        return False

    assert run(docs, may_remove=never) == {}
    assert [(removal.folder, len(removal.gone), removal.stored) for removal in asked] == [(docs, 3, 3)]
    assert sorted(texts(index)) == ["a.md", "b.txt", "sub/c.md"]


def test_a_folder_that_vanishes_while_it_is_read(run: Run, index: Index, docs: Path) -> None:
    for number in range(20):
        write(docs / "sub" / f"{number}.md", f"Number {number}.")
    write(docs / "z.md", "The last one.")

    class Vanishing(Counting):
        def parse(self, data: bytes, format: Format, name: str) -> Document:
            if name == "a.md":
                shutil.rmtree(docs / "sub")
            return super().parse(data, format, name)

    run.parser = Vanishing()
    did = run(docs)
    assert did["added"] + did["failed"] == 24
    assert {"a.md", "b.txt", "z.md"} <= set(texts(index))
    assert did["failed"] >= 15
    assert {entry["reason"] for entry in run.report.failed} == {"it is gone"}
    assert "failed" not in run(docs)
    assert index.catalog.failures() == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["in order", "in another"])
def test_names_of_roots_given_at_once_are_those_given_one_by_one(tmp_path: Path, order: tuple[int, ...]) -> None:
    roots = [tmp_path / place / "docs" for place in ("x", "y", "z")]
    for root in roots:
        write(root / "readme.md", f"Read me in {root}.")
    given = [roots[number] for number in order]
    found = []
    for name, runs in (("one", [given]), ("other", [[root] for root in given])):
        with open_to_write(tmp_path / name, 0, create=True) as index:
            for paths in runs:
                ingest(index, HashingEmbedder(), *paths)
            ingest(index, HashingEmbedder(), *reversed(given))  # which changes nothing
            found.append({file.source: file.path for file in index.catalog.files()})
    assert found[0] == found[1]
    assert found[0]["readme.md"] == given[0] / "readme.md"
    assert len(found[0]) == 3
