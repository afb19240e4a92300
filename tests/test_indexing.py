"""What an ingest does with each kind of change, and what it leaves alone."""

from __future__ import annotations

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

from ragcli.errors import ParseFailed, RagcliError, UsageError
from ragcli.naming import title_of
from ragcli.planning import Removal, plan
from ragcli.rebuilding import rebuild
from ragcli.records import Document, Format
from ragcli.reporting import Report
from ragcli.sources import Walk
from ragcli.storage.index import Index, open_to_write
from ragcli.storage.repair import check


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


def did(report: Report) -> dict[str, int]:
    """Return what a run did, zeros left out."""
    counts = {name: getattr(report, name) for name in ("added", "updated", "moved", "unchanged", "removed", "embedded")}
    counts |= {name: len(getattr(report, name)) for name in ("failed", "skipped", "warnings")}
    return {name: count for name, count in counts.items() if count}


def sources(index: Index, collection: str | None = None) -> list[str]:
    return sorted(file.source for file in index.catalog.files(collection))


def reasons(entries: list[dict[str, str]], root: Path) -> dict[str, str]:
    return {os.path.relpath(entry["path"], root): entry["reason"] for entry in entries}


def test_new_changed_and_gone(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    report = ingest(index, hashing, docs)
    assert did(report) == {"added": 3, "embedded": 3}
    assert (report.documents, report.chunks) == (3, 3)
    assert did(ingest(index, hashing, docs)) == {"unchanged": 3}

    write(docs / "a.md", "This is another a.", age=5)
    (docs / "b.txt").unlink()
    write(docs / "d.md", "This is d.md.")
    report = ingest(index, hashing, docs)
    assert did(report) == {"added": 1, "updated": 1, "unchanged": 1, "removed": 1, "embedded": 2}
    assert sources(index) == ["a.md", "d.md", "sub/c.md"]
    assert (report.documents, report.chunks) == (3, 3)


def test_a_file_that_was_only_touched_is_unchanged(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    ingest(index, hashing, docs)
    before = contents(index)
    os.utime(docs / "a.md", (1, 1))
    assert did(ingest(index, hashing, docs)) == {"unchanged": 3}
    assert contents(index) == before
    seen: list[str] = []
    assert did(ingest(index, hashing, docs, parser=Seeing(seen))) == {"unchanged": 3}
    assert seen == []


class Seeing(DirectParser):
    """A parser that tells what it is given."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        self.seen.append(name)
        return super().parse(data, format, name)


def test_a_change_within_a_tick_of_the_clock_is_seen(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    write(docs / "a.md", "one", age=0)
    when = (docs / "a.md").stat().st_mtime_ns
    ingest(index, hashing, docs)
    (docs / "a.md").write_text("two")
    os.utime(docs / "a.md", ns=(when, when))  # the same size and time
    assert did(ingest(index, hashing, docs)) == {"updated": 1, "unchanged": 2, "embedded": 1}


def test_files_that_were_read_at_once_settle(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    """A file that was read as soon as it was written is read again once, not at every run from then on."""
    write(docs / "a.md", "one", age=0)
    ingest(index, hashing, docs)
    time.sleep(2.1)
    assert plan([docs], Walk(), index.catalog.files()).unchanged == 2
    ingest(index, hashing, docs)
    assert plan([docs], Walk(), index.catalog.files()).unchanged == 3


def test_of_an_edited_file_only_what_changed_is_embedded(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    paragraphs = [f"Paragraph {n} is about subject {n * n}, and says {n} things of it. " * 6 for n in range(120)]
    write(docs / "long.md", "# Long\n\n" + "\n\n".join(paragraphs))
    first = ingest(index, hashing, docs)
    assert first.embedded > 60
    paragraphs[60] = "Somebody wrote this anew. " * 12
    write(docs / "long.md", "# Long\n\n" + "\n\n".join(paragraphs), age=5)
    second = ingest(index, hashing, docs)
    assert did(second)["updated"] == 1
    assert 1 <= second.embedded <= 4
    write(docs / "long.md", "\n\n\n# Long\n\n" + "\n\n".join(paragraphs), age=4)  # everything moves by three
    assert ingest(index, hashing, docs).embedded == 0


# --- what is removed -------------------------------------------------------------------------------------------


def test_a_folder_that_is_missing_removes_nothing(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    ingest(index, hashing, docs)
    shutil.move(docs, docs.with_name("elsewhere"))
    with pytest.raises(UsageError, match="no such file or folder"):
        ingest(index, hashing, docs)
    write(docs.parent / "other" / "x.md", "X.")
    report = ingest(index, hashing, docs, docs.parent / "other")
    assert did(report) == {"added": 1, "embedded": 1, "failed": 1}
    assert report.failed == [{"path": str(docs), "reason": "no such file or folder"}]
    assert len(sources(index)) == 4
    assert index.catalog.failures() == []


def test_a_folder_that_may_not_be_read_removes_nothing(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    ingest(index, hashing, docs)
    for above in (docs, *docs.parents):
        if above.is_relative_to(Path("/tmp")) and above != Path("/tmp"):
            above.chmod(0o755)
    (docs / "sub").chmod(0)
    (docs / "b.txt").unlink()
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        planned = plan([docs], Walk(), [*index.catalog.files()])
    finally:
        if root:
            os.seteuid(0)
        (docs / "sub").chmod(0o755)
    assert [file.source for removal in planned.removals for file in removal.gone] == ["b.txt"]
    assert [(one.path, one.reason) for one in planned.skipped if one.failed] == [(docs / "sub", "permission denied")]


def test_the_caller_is_asked_with_the_numbers(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    ingest(index, hashing, docs)
    (docs / "a.md").unlink()
    (docs / "b.txt").unlink()
    asked: list[Removal] = []

    def no(removal: Removal) -> bool:
        asked.append(removal)
        return False

    assert did(ingest(index, hashing, docs, may_remove=no)) == {"unchanged": 1}
    assert len(sources(index)) == 3
    assert [(r.folder, [f.source for f in r.gone], r.stored) for r in asked] == [(docs, ["a.md", "b.txt"], 3)]
    ingest(index, hashing, docs, may_remove=no)
    assert [(r.is_doubtful, r.refused) for r in asked] == [(True, 0), (True, 2)]
    index.catalog.set_meta(refusals='["no such note"]')
    assert did(ingest(index, hashing, docs)) == {"unchanged": 1, "removed": 2}


def test_only_below_the_given_folder(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    ingest(index, hashing, docs)
    (docs / "a.md").unlink()
    (docs / "sub" / "c.md").unlink()
    assert did(ingest(index, hashing, docs / "sub")) == {"removed": 1}
    assert sources(index) == ["a.md", "b.txt"]
    assert did(ingest(index, hashing, docs / "b.txt")) == {"unchanged": 1}
    assert sources(index) == ["a.md", "b.txt"]


def test_what_is_ignored_now_is_removed_and_what_is_merely_excluded_is_not(
    index: Index, docs: Path, hashing: HashingEmbedder
) -> None:
    ingest(index, hashing, docs)
    assert did(ingest(index, hashing, docs, walk=Walk(exclude=["sub/"]))) == {"unchanged": 2, "skipped": 1}
    assert did(ingest(index, hashing, docs, walk=Walk(include=["*.txt"]))) == {"unchanged": 1, "skipped": 2}
    write(docs / ".ragcliignore", "/a.md\nsub/")
    assert did(ingest(index, hashing, docs)) == {"unchanged": 1, "removed": 2, "skipped": 2}
    assert sources(index) == ["b.txt"]


def test_a_file_given_by_itself_stays_whatever_a_folder_ignores(
    index: Index, docs: Path, hashing: HashingEmbedder
) -> None:
    write(docs / ".gitignore", "a.md\nsub/")
    assert did(ingest(index, hashing, docs / "a.md", docs / "sub" / "c.md")) == {"added": 2, "embedded": 2}
    assert did(ingest(index, hashing, docs)) == {"added": 1, "skipped": 2, "embedded": 1}
    assert sources(index) == ["a.md", "b.txt", "c.md"]
    (docs / "a.md").unlink()
    assert did(ingest(index, hashing, docs)) == {"unchanged": 1, "removed": 1, "skipped": 1}


def test_a_file_that_cannot_be_read_any_more_keeps_its_version(
    index: Index, docs: Path, hashing: HashingEmbedder
) -> None:
    ingest(index, hashing, docs)
    write(docs / "a.md", b"\0\0\0 binary now", age=5)
    write(docs / "b.txt", b"", age=5)
    (docs / "sub" / "c.md").unlink()
    os.mkfifo(docs / "sub" / "c.md")
    report = ingest(index, hashing, docs)
    assert did(report) == {"failed": 2, "skipped": 1}
    assert reasons(report.failed, docs) == {"a.md": "binary, whatever its name says", "b.txt": "empty file"}
    assert reasons(report.skipped, docs) == {"sub/c.md": "not a regular file"}
    assert sources(index) == ["a.md", "b.txt", "sub/c.md"]
    assert report.documents == 3


def test_a_file_that_a_link_has_replaced_goes(
    index: Index, docs: Path, tmp_path: Path, hashing: HashingEmbedder
) -> None:
    """What is not followed holds nothing of its own; a link to nothing may lead to a drive that is away."""
    ingest(index, hashing, docs)
    (tmp_path / "outside.md").write_text("Far away.")
    for name, target in ("a.md", docs / "b.txt"), ("sub/c.md", tmp_path / "outside.md"):
        (docs / name).unlink()
        (docs / name).symlink_to(target)
    report = ingest(index, hashing, docs)
    assert (report.removed, sources(index)) == (2, ["b.txt"])
    assert set(reasons(report.skipped, docs).values()) == {
        "a link to what is read anyway",
        "a link that leads out of the folder",
    }
    (docs / "b.txt").unlink()
    (docs / "b.txt").symlink_to(tmp_path / "away" / "b.txt")
    assert ingest(index, hashing, docs).removed == 0
    assert sources(index) == ["b.txt"]


# --- failures --------------------------------------------------------------------------------------------------


def test_failures_are_remembered_until_the_file_changes(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    write(docs / "empty.md", "")
    write(docs / "blank.md", " \n\u3000\n")
    write(docs / "broken.pdf", b"%PDF-1.7 nothing more")
    report = ingest(index, hashing, docs)
    assert did(report) == {"added": 3, "embedded": 3, "failed": 3}
    assert reasons(report.failed, docs) == {
        "empty.md": "empty file",
        "blank.md": "no text",
        "broken.pdf": "broken PDF",
    }
    seen: list[str] = []
    report = ingest(index, hashing, docs, parser=Seeing(seen))
    assert did(report) == {"unchanged": 3, "failed": 3}
    assert reasons(report.failed, docs)["empty.md"] == "empty file (not tried again)"
    assert seen == []
    report = ingest(index, hashing, docs, parser=Seeing(seen), retry_failed=True)
    assert reasons(report.failed, docs)["empty.md"] == "empty file"
    assert sorted(seen) == ["blank.md", "broken.pdf", "empty.md"]  # several are read at once

    write(docs / "empty.md", "Not empty any more.", age=5)
    (docs / "blank.md").unlink()
    write(docs / ".gitignore", "*.pdf")
    assert did(ingest(index, hashing, docs)) == {"added": 1, "unchanged": 3, "embedded": 1, "skipped": 1}
    assert index.catalog.failures() == []


def test_a_file_that_is_mended_back_to_what_is_stored_fails_no_more(
    index: Index, docs: Path, hashing: HashingEmbedder
) -> None:
    ingest(index, hashing, docs)
    status = (docs / "a.md").stat()
    write(docs / "a.md", "", age=5)
    assert did(ingest(index, hashing, docs)) == {"unchanged": 2, "failed": 1}
    write(docs / "a.md", "This is a.md.", age=4)
    assert did(ingest(index, hashing, docs)) == {"unchanged": 3}
    assert index.catalog.failures() == []
    write(docs / "a.md", "", age=5)
    ingest(index, hashing, docs)
    write(docs / "a.md", "This is a.md.")
    os.utime(docs / "a.md", ns=(status.st_atime_ns, (docs / "a.md").stat().st_mtime_ns))
    ingest(index, hashing, docs)
    assert index.catalog.failures() == []


def test_a_parser_that_does_not_start_is_nobodys_fault(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    class Broken:
        def parse(self, data: bytes, format: Format, name: str) -> Document:
            raise RagcliError("the parser does not start")

    with pytest.raises(RagcliError, match="does not start"):
        ingest(index, hashing, docs, parser=Broken())
    assert index.catalog.failures() == []


def test_one_bad_file_costs_no_other(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    class Picky(DirectParser):
        def parse(self, data: bytes, format: Format, name: str) -> Document:
            if "b.txt" in name:
                raise ParseFailed("the parser crashed on it (SIGSEGV)")
            return super().parse(data, format, name)

    report = ingest(index, hashing, docs, parser=Picky())
    assert did(report) == {"added": 2, "embedded": 2, "failed": 1}
    assert sources(index) == ["a.md", "sub/c.md"]


# --- names -----------------------------------------------------------------------------------------------------


def test_names_of_several_roots(index: Index, tmp_path: Path, hashing: HashingEmbedder) -> None:
    roots = [tmp_path / place / "docs" for place in ("x", "y", "z")]
    for root in roots:
        write(root / "readme.md", f"Read me in {root}.")
    for root in roots:
        ingest(index, hashing, root)
    assert sources(index) == ["docs/readme.md", "readme.md", "z/docs/readme.md"]
    lone = tmp_path / "x" / "readme.md"
    write(lone, "Another one.")
    ingest(index, hashing, lone)
    assert sources(index) == ["docs/readme.md", "readme.md", "x/readme.md", "z/docs/readme.md"]
    before = contents(index)
    (roots[0] / "readme.md").unlink()
    write(roots[2] / "readme.md", "Changed.", age=5)
    ingest(index, hashing, *roots, lone)
    assert sources(index) == ["docs/readme.md", "x/readme.md", "z/docs/readme.md"]  # a name once given stays
    assert set(contents(index)["files"]) != set(before["files"])


def test_a_folder_within_a_folder(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    assert did(ingest(index, hashing, docs / "sub", docs)) == {"added": 3, "embedded": 3}
    assert sources(index) == ["a.md", "b.txt", "sub/c.md"]
    assert did(ingest(index, hashing, docs / "sub", docs, docs / "sub" / "c.md")) == {"unchanged": 3}
    write(docs / "sub" / "d.md", "New.")
    assert did(ingest(index, hashing, docs / "sub")) == {"added": 1, "unchanged": 1, "embedded": 1}
    assert "sub/d.md" in sources(index)  # the name goes by the folder that it was first read with
    for name in ("c.md", "d.md"):
        (docs / "sub" / name).unlink()
    asked: list[Removal] = []

    def may_remove(removal: Removal) -> bool:
        asked.append(removal)
        return True

    ingest(index, hashing, docs, docs / "sub", may_remove=may_remove)
    assert [(removal.folder, len(removal.gone), removal.stored) for removal in asked] == [(docs, 2, 4)]


def test_a_file_by_itself_is_called_by_its_name(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    ingest(index, hashing, docs / "sub" / "c.md")
    (file,) = index.catalog.files()
    assert (file.source, file.root, file.path) == ("c.md", docs / "sub" / "c.md", docs / "sub" / "c.md")
    assert did(ingest(index, hashing, docs)) == {"added": 2, "unchanged": 1, "embedded": 2}
    assert sources(index) == ["a.md", "b.txt", "c.md"]


def test_collections_are_apart(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    assert did(ingest(index, hashing, docs)) == {"added": 3, "embedded": 3}
    assert did(ingest(index, hashing, docs, collection="other")) == {"added": 3}
    (docs / "a.md").unlink()
    assert did(ingest(index, hashing, docs, collection="other")) == {"unchanged": 2, "removed": 1}
    assert sources(index, "main") == ["a.md", "b.txt", "sub/c.md"]
    assert sources(index, "other") == ["b.txt", "sub/c.md"]


def test_names_that_are_no_text(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    write(docs / os.fsdecode(b"caf\xe9.md"), "One.")
    write(docs / os.fsdecode(b"caf\xe8.md"), "Two.")
    write(docs / "new\nline \x1b[31m.md", "Three.")
    ingest(index, hashing, docs)
    assert sources(index) == ["a.md", "b.txt", "caf\ufffd.md", "docs/caf\ufffd.md", "new\nline \x1b[31m.md", "sub/c.md"]
    assert did(ingest(index, hashing, docs)) == {"unchanged": 6}


def test_a_link_given_as_path_is_what_it_leads_to(index: Index, docs: Path, hashing: HashingEmbedder) -> None:
    link = docs.with_name("link")
    link.symlink_to(docs)
    ingest(index, hashing, link)
    assert did(ingest(index, hashing, docs)) == {"unchanged": 3}


@pytest.mark.parametrize(
    ("source", "title"),
    [("a/b/VC-8_manual.v2.pdf", "VC 8 manual.v2"), ("README", "README"), ("中文-手册.md", "中文 手册"), (".md", ".md")],
)
def test_titles(source: str, title: str) -> None:
    assert title_of(source) == title


# --- whatever happens ------------------------------------------------------------------------------------------

NAMES = ["a.md", "b.txt", "sub/a.md", "sub/deep/c.md"]
TEXTS = ["", "One.", "Two words.", "One.\n\nTwo.", "\0\0\0"]
CHANGES = st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from([None, *TEXTS]), max_size=4), max_size=4)


@given(CHANGES)
@settings(max_examples=15, deadline=None)
def test_whatever_happens_an_index_is_as_if_made_at_once(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, str | None]]
) -> None:
    """But for files that fail, whose old versions stay: here they are put right before the end.

    And but for the vectors of renamed files, which are those of the old names until a rebuild.
    """
    place = tmp_path_factory.mktemp("whatever")
    docs, hashing = place / "docs", HashingEmbedder()
    docs.mkdir()
    with open_to_write(place / "one", 0, create=True) as index:
        for age, change in enumerate(changes):
            apply(docs, change, 100 - age)
            ingest(index, hashing, docs)
        apply(docs, {path.relative_to(docs).as_posix(): "Good." for path in bad(docs)}, 10)
        ingest(index, hashing, docs)
        assert [finding.problem for finding in check(index, deep=True) if finding.problem] == []
        at_last = contents(index)
        rebuild(index, hashing, lambda progress: None)
        rebuilt = contents(index)
    with open_to_write(place / "other", 0, create=True) as index:
        ingest(index, hashing, docs)
        assert contents(index) == rebuilt
        assert without_vectors(contents(index)) == without_vectors(at_last)


def without_vectors(found: dict[str, Any]) -> dict[str, Any]:
    chunks = {name: [(ident, context) for ident, _, context in rows] for name, rows in found["chunks"].items()}
    return {"files": found["files"], "chunks": chunks, "counts": found["counts"]}


def apply(docs: Path, change: dict[str, Any], age: int) -> None:
    for name, text in change.items():
        if text is None:
            (docs / name).unlink(missing_ok=True)
        else:
            write(docs / name, text, age)


def bad(docs: Path) -> list[Path]:
    return [path for path in docs.rglob("*") if path.is_file() and path.read_text() in ("", "\0\0\0")]
