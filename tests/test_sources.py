"""The walk: what is found, what is left out and why, and that nothing but regular files is ever opened."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragcli.errors import ParseFailed, UsageError
from ragcli.records import SourceFile
from ragcli.sources import Skipped, Walk, read

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Do without root's rights, which permissions do not bind."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder that anybody may read."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for above in (folder, *folder.parents):
        if above.is_relative_to(tmp_path.parent.parent):
            above.chmod(0o755)
    return folder


def write(folder: Path, *names: str, text: str = "text") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def walked(root: Path, start: Path | None = None, **how: object) -> tuple[list[str], dict[str, str]]:
    """Return the names that were found, and the reason for each that was left out."""
    found = list(Walk(**how).files(start or root, root))  # type: ignore[arg-type]
    files = [one.source for one in found if isinstance(one, SourceFile)]
    skipped = {one.path.relative_to(root).as_posix(): one.reason for one in found if isinstance(one, Skipped)}
    return files, skipped


def test_files_come_by_name_with_their_format_and_size(docs: Path) -> None:
    write(docs, "b.md", "a/z.txt", "a/b.PY", "c.html", "d.csv", "e.pdf", "README", "f.tsv")
    found = [one for one in Walk().files(docs, docs) if isinstance(one, SourceFile)]
    assert [(one.source, one.format) for one in found] == [
        ("README", "text"),
        ("a/b.PY", "code"),
        ("a/z.txt", "text"),
        ("b.md", "markdown"),
        ("c.html", "html"),
        ("d.csv", "csv"),
        ("e.pdf", "pdf"),
        ("f.tsv", "csv"),
    ]
    assert {one.size for one in found} == {4}
    assert all(one.path == docs / one.source and one.root == docs for one in found)


def test_what_is_no_text_is_skipped_by_its_content(docs: Path) -> None:
    (docs / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (docs / "latin").write_bytes("größer und schöner".encode("latin-1"))
    (docs / "utf16").write_bytes("größer".encode("utf-16"))
    (docs / "cut").write_bytes(("a" * 8191 + "é").encode())  # the character ends where the look at it does
    (docs / "letter.doc").write_bytes(b"PK")
    files, skipped = walked(docs)
    assert files == ["cut", "utf16"]
    assert skipped["image.png"] == skipped["latin"] == "binary"
    assert skipped["letter.doc"].startswith("binary (.doc is not read")


def test_a_mailbox_may_have_no_suffix(docs: Path) -> None:
    """Mail programs name them after their folders: `Inbox`, `Sent`."""
    header = b"From - Mon Jan  1 10:00:00 2024\r\nX-Mozilla-Status: 0001\r\nSubject: Pumps\r\n\r\nGr\xf6\xdfer.\r\n"
    (docs / "Inbox").write_bytes(header)
    write(docs, "letter")
    (docs / "notes").write_bytes(b"From here to there\nand on\n")
    found = {one.source: one.format for one in Walk().files(docs, docs) if isinstance(one, SourceFile)}
    assert found == {"Inbox": "mbox", "letter": "text", "notes": "text"}


def test_known_formats_that_are_not_read_get_a_hint(docs: Path) -> None:
    """Where a suffix has two meanings, the content tells: a key of letters is text, Keynote's is not."""
    (docs / "budget.ODS").write_bytes(b"PK\0\0")
    (docs / "page.mht").write_bytes(b"From: <Saved by a browser>\r\n")
    for name in ("talk.key", "notes.one"):
        (docs / name).write_bytes(b"PK\0\0")
    write(docs, "server.key", "id.pub", "graph.dot")
    files, skipped = walked(docs)
    assert files == ["graph.dot", "id.pub", "server.key"]
    assert skipped == {
        "budget.ODS": "binary (.ods is not read: save it as .xlsx)",
        "page.mht": "binary (.mht is not read: save it as .html)",
        "talk.key": "binary (.key is not read: export it as .pptx)",
        "notes.one": "binary (.one is not read: export it as .docx)",
    }


def test_files_over_the_limit_are_skipped(docs: Path) -> None:
    with (docs / "huge.txt").open("wb") as stream:
        stream.truncate(100_000_000)  # one line of 100 MB, none of it read
    write(docs, "small.txt")
    assert walked(docs) == (["small.txt"], {"huge.txt": "over the size limit (100 MB > 50 MB)"})


IGNORED = [
    ({".gitignore": "*.log"}, ["a.log", "b/a.log"], ["a.md"]),
    ({".gitignore": "*.log\n!keep.log"}, ["a.log"], ["keep.log", "b/keep.log"]),
    ({".gitignore": "/a.md"}, ["a.md"], ["b/a.md"]),
    ({".gitignore": "b/"}, ["b/a.md", "c/b/d.md"], ["c/a.md"]),
    ({".gitignore": "b/\n!b/a.md"}, ["b/a.md"], ["a.md"]),  # git: nothing under an ignored folder comes back
    ({".gitignore": "b/*\n!b/a.md"}, ["b/c.md"], ["b/a.md"]),
    ({".gitignore": "*.md", "b/.gitignore": "!a.md"}, ["a.md", "b/c.md"], ["b/a.md"]),  # the deeper one wins
    ({".gitignore": "*.md", ".ragcliignore": "!a.md"}, ["b.md"], ["a.md"]),
    ({".ragcliignore": "a.md\n# b.md\n\n"}, ["a.md"], ["b.md"]),
    ({"b/.ragcliignore": "*"}, ["b/a.md", "b/c/d.md"], ["a.md"]),
    ({".gitignore": "doc/**/draft*"}, ["doc/draft.md", "doc/a/b/draft-1.md"], ["draft.md", "doc/a/b/c.md"]),
    ({".gitignore": "!\n[z-a]\n\\\nb.md"}, ["b.md"], ["a.md"]),  # lines that mean nothing are passed over
    ({".gitignore": "\ufeff\n中文*.md"}, ["中文手册.md"], ["手册.md"]),
    ({".gitignore": "*.key\n!docs"}, ["docs/a.key"], ["docs/a.md"]),  # the folder is taken in, not all that is in it
    ({".gitignore": "cache/\n!packages/"}, ["packages/cache/b.md"], ["packages/a.md"]),
    ({".gitignore": "*.log", "b/.gitignore": "!keep/"}, ["b/keep/a.log"], ["b/keep/a.txt"]),
    ({".gitignore": "b/**\n!b/a.md"}, ["b/c.md", "b/c/d.md"], ["b/a.md", "a.md"]),
    ({".gitignore": "*\n!*/\n!*.md"}, ["a.txt", "b/c.txt"], ["a.md", "b/c/d.md"]),
    ({".gitignore": "*/\n!b"}, ["c/a.md", "d/b/c.md"], ["a.md", "b/c.md"]),
    ({".gitignore": "/*/\n!b/\nb/**/"}, ["c/a.md", "b/c/d.md"], ["b/a.md", "a.md"]),
    ({".gitignore": "**/b/**/c"}, ["b/c", "a/b/d/c/e.md"], ["c", "b/d.md"]),
    ({".gitignore": "*[[:digit:]].md\n[[:upper:][:punct:]]*"}, ["a1.md", "A.md", "_.md"], ["a.md", "1a.md"]),
]


@pytest.mark.parametrize(("rules", "left_out", "read"), IGNORED)
def test_ignore_rules_are_those_of_git(docs: Path, rules: dict[str, str], left_out: list[str], read: list[str]) -> None:
    write(docs, *left_out, *read)
    for name, text in rules.items():
        write(docs, name, text=text)
    files, skipped = walked(docs)
    assert sorted(files) == sorted(read)
    assert set(skipped.values()) == {"ignored"}
    assert all(one.ignored for one in Walk().files(docs, docs) if isinstance(one, Skipped))


@pytest.mark.parametrize(("rules", "left_out", "read"), [case for case in IGNORED if "!\n" not in str(case[0])])
def test_git_itself_agrees(docs: Path, rules: dict[str, str], left_out: list[str], read: list[str]) -> None:
    write(docs, *left_out, *read)
    for name, text in rules.items():
        with (docs / name.replace(".ragcliignore", ".gitignore")).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    git = ["git", "-C", str(docs), "-c", "core.quotePath=false"]
    try:
        subprocess.run([*git, "init", "-q"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not here")
    listed = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-standard"], check=True, capture_output=True, encoding="utf-8"
    )
    assert sorted(name for name in listed.stdout.splitlines() if ".gitignore" not in name) == sorted(read)


def test_rules_above_the_start_count_and_those_above_the_root_do_not(docs: Path) -> None:
    write(docs, ".gitignore", text="*.md")
    write(docs, "a/.gitignore", text="*.txt")
    write(docs, "a/b/c.txt", "a/b/d.md", "a/b/e.py")
    assert walked(docs / "a", docs / "a" / "b")[0] == ["b/d.md", "b/e.py"]
    assert walked(docs, docs / "a" / "b")[0] == ["a/b/e.py"]


def test_include_and_exclude(docs: Path) -> None:
    write(docs, "a.md", "b.txt", "drafts/c.md", "drafts/deep/d.md", "e/drafts.md")
    assert walked(docs, include=["*.md"])[0] == ["a.md", "drafts/c.md", "drafts/deep/d.md", "e/drafts.md"]
    files, skipped = walked(docs, include=["*.md"], exclude=["drafts/", "a.*"])
    assert files == ["e/drafts.md"]
    assert skipped == {"a.md": "excluded", "b.txt": "not included", "drafts": "excluded"}
    assert walked(docs, include=["/drafts/*.md"])[0] == ["drafts/c.md"]
    assert walked(docs, include=["*", "!*.txt"])[0] == ["a.md", "drafts/c.md", "drafts/deep/d.md", "e/drafts.md"]


@pytest.mark.parametrize("glob", ["!", "", "[z-a]", "#"])
def test_a_glob_that_means_nothing_is_wrong_usage(glob: str) -> None:
    with pytest.raises(UsageError, match="is no glob"):
        Walk(include=[glob])


def test_hidden_files_are_left_out_and_ours_are_not_even_named(docs: Path) -> None:
    write(docs, ".env", ".hidden/a.md", ".git/config", ".ragcli/catalog.sqlite3", "a/.ragcli/x", "a.md", "~$a.docx")
    assert walked(docs) == (["a.md"], {".env": "hidden", ".hidden": "hidden", "~$a.docx": "hidden"})


def test_another_index_is_passed_over(docs: Path) -> None:
    write(docs, "a.md", "old index/catalog.sqlite3", "old index/writer.lock", "old index/vectors-1/chroma.sqlite3")
    write(docs, "data/catalog.sqlite3", "data/b.md")
    (docs / "data" / "catalog.sqlite3").write_bytes(b"SQLite\0")
    files, skipped = walked(docs)
    assert files == ["a.md", "data/b.md"]
    assert skipped == {"old index": "an index of ragcli's", "data/catalog.sqlite3": "binary"}


def test_links(docs: Path, tmp_path: Path) -> None:
    write(tmp_path, "secret.md", "outside/x.md")
    write(docs, "real.md", "folder/a.md", ".versions/v3.md")
    links: dict[str, str | Path] = {
        "a-out.md": tmp_path / "secret.md",
        "a-out-folder": tmp_path / "outside",
        "a-again.md": "real.md",
        "a-again-folder": "folder",
        "a-above": "..",
        "a-self": "a-self",
        "a-nothing": "not-there",
        "folder/loop": "..",
        "latest": ".versions",
        "newest.md": ".versions/v3.md",
        "out-and-in.md": tmp_path / "docs" / "real.md",
    }
    for name, target in links.items():
        (docs / name).symlink_to(target)
    files, skipped = walked(docs)
    assert files == ["folder/a.md", "real.md", "latest/v3.md"]
    assert skipped == {
        ".versions": "hidden",
        "a-out.md": "a link that leads out of the folder",
        "a-out-folder": "a link that leads out of the folder",
        "a-above": "a link that leads out of the folder",
        "a-again.md": "a link to what is read anyway",
        "a-again-folder": "a link to what is read anyway",
        "out-and-in.md": "a link to what is read anyway",
        "folder/loop": "a link to what is read anyway",
        "newest.md": "a link to what is read anyway",
        "a-self": "a link that cannot be followed",
        "a-nothing": "a link to nothing",
    }


def test_two_names_of_one_file_are_two_files(docs: Path) -> None:
    write(docs, "a.md")
    (docs / "b.md").hardlink_to(docs / "a.md")
    assert walked(docs)[0] == ["a.md", "b.md"]


def test_nothing_but_a_regular_file_is_opened(docs: Path) -> None:
    os.mkfifo(docs / "pipe.md")  # opening it would wait for a writer
    os.mkfifo(docs / ".gitignore")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(docs / "socket"))
        (docs / "device").symlink_to("/dev/zero")
        write(docs, "a.md")
        files, skipped = walked(docs)
    assert files == ["a.md"]
    assert skipped == {
        "pipe.md": "not a regular file",
        "socket": "not a regular file",
        "device": "a link that leads out of the folder",
    }
    file = SourceFile(docs / "pipe.md", docs, "pipe.md", "markdown", 0, 0)
    with pytest.raises(ParseFailed, match="not a regular file"):
        read(file, 100)
    for name in ("/dev/zero", str(docs)):
        with pytest.raises(ParseFailed):
            read(SourceFile(Path(name), Path("/"), "x", "text", 0, 0), 100)


def test_what_may_not_be_read_is_a_failure(docs: Path) -> None:
    write(docs, "a.md", "locked.md", "locked/b.md", "no-suffix")
    for name in ("locked.md", "locked", "no-suffix"):
        (docs / name).chmod(0)
    with as_nobody():
        found = list(Walk().files(docs, docs))
        files = {one.source: one for one in found if isinstance(one, SourceFile)}
        failed = {one.path.name: one.reason for one in found if isinstance(one, Skipped) and one.failed}
        with pytest.raises(ParseFailed, match="permission denied"):
            read(files["locked.md"], 100)
    assert set(files) == {"a.md", "locked.md"}
    assert failed == {"locked": "permission denied", "no-suffix": "permission denied"}
    (docs / "locked").chmod(0o755)


def test_names_of_every_kind(docs: Path) -> None:
    names = [
        "new\nline.md",
        "\x1b[31mred.md",
        "\u202egnp.md",
        "[bold]x[/bold].md",
        " .md",
        "中文 手册.md",
        "a" * 252 + ".md",
    ]
    write(docs, *names)
    (docs / os.fsdecode(b"caf\xe9.md")).write_text("text")
    assert sorted(walked(docs)[0]) == sorted([*names, "caf\udce9.md"])


def test_folders_deeper_than_the_stack(docs: Path) -> None:
    here = os.getcwd()  # noqa: PTH109
    os.chdir(docs)
    try:
        for _ in range(1500):
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
        Path("deep.md").write_text("text")
    finally:
        os.chdir(here)
    assert sys.getrecursionlimit() <= 1500
    files = walked(docs)[0]
    subprocess.run(["rm", "-r", docs / "d"], check=True)  # Python's own way, and so pytest's, would recur
    assert files == ["d/" * 1500 + "deep.md"]


def test_a_path_too_long_for_the_system_is_a_failure(docs: Path) -> None:
    here = os.getcwd()  # noqa: PTH109
    os.chdir(docs)
    try:
        for _ in range(20):
            os.mkdir("d" * 250)  # noqa: PTH102
            os.chdir("d" * 250)
    finally:
        os.chdir(here)
    found = list(Walk().files(docs, docs))
    assert [(one.reason, one.failed) for one in found if isinstance(one, Skipped)] == [("file name too long", True)]


def test_a_file_by_itself(docs: Path) -> None:
    write(docs, ".hidden.md", ".gitignore", text="*")
    assert walked(docs, docs / ".hidden.md") == ([".hidden.md"], {})
    found = list(Walk().files(docs / "gone.md", docs))
    assert found == [Skipped(docs / "gone.md", "it is gone", failed=True)]


def test_reading_gives_the_bytes_and_the_status_of_that_moment(docs: Path) -> None:
    write(docs, "a.md", text="one")
    (file,) = (one for one in Walk().files(docs, docs) if isinstance(one, SourceFile))
    write(docs, "a.md", text="three")
    os.utime(docs / "a.md", ns=(1, 10**18))
    before = time.time_ns()
    content = read(file, 100)
    assert content.data == b"three"
    assert content.hash == "8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f"
    assert (content.file.size, content.file.mtime_ns) == (5, 10**18)
    assert before <= content.read_at <= time.time_ns()
    with pytest.raises(ParseFailed, match=r"grew over the size limit \(0 MB\)"):
        read(file, 4)
    assert read(file, 5).data == b"three"
    (docs / "a.md").unlink()
    with pytest.raises(ParseFailed, match="it is gone"):
        read(file, 100)


def test_a_file_that_changes_while_it_is_read_is_read_whole_or_fails(docs: Path) -> None:
    path = docs / "a.md"
    path.write_bytes(b"0" * 2_000_000)
    file = SourceFile(path, docs, "a.md", "markdown", 0, 0)
    stop = threading.Event()

    def change() -> None:
        digit = 0
        while not stop.is_set():
            digit += 1
            path.write_bytes(b"%d" % (digit % 10) * (2_000_000 + digit % 7))

    writer = threading.Thread(target=change)
    writer.start()
    reasons = set()
    try:
        for _ in range(60):
            try:
                read(file, 10_000_000)
            except ParseFailed as error:
                reasons.add(error.message)
    finally:
        stop.set()
        writer.join()
    assert reasons <= {"it keeps changing while it is read"}
    assert len(set(read(file, 10_000_000).data)) == 1


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..", ".gitignore", ".ragcliignore", ".git", ".ragcli") and len(name.encode()) < 200
)


@given(st.sets(NAMES, max_size=6))
@settings(max_examples=40, deadline=None)
def test_every_entry_is_found_or_accounted_for(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        (folder / f"{name}").write_text("x")
    files, skipped = walked(folder)
    there = {entry.name for entry in folder.iterdir()}
    assert set(files) | set(skipped) == there
    assert set(skipped) == {name for name in there if name.startswith(".")}


def test_ignoring_is_not_slow(docs: Path) -> None:
    write(docs, ".gitignore", text="\n".join(f"/folder-{n}/*.log" for n in range(30)))
    for n in range(2000):
        (docs / f"{n}.md").touch()
    start = time.perf_counter()
    assert len(walked(docs)[0]) == 2000
    assert time.perf_counter() - start < 5
