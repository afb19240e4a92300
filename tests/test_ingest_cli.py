"""`ragcli ingest`, `check`, `rebuild` and what they leave, as a user meets them: by exit codes and printed lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from parsing.parsing_helpers import SLOW
from shared import ROOT, Done, environment_of, leave_free
from terminal import Terminal

from ragcli.storage.schema import FORMAT

Ragcli = Callable[..., Done]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    write(folder, "pump.md", "# The pump\n\nThe pump in the cellar moves forty litres a minute.\n")
    write(folder, "roof.md", "# The roof\n\nThe roof was mended with slate in autumn.\n")
    write(folder, "手册.md", "# 手册\n\n阀门每年检查一次。\n")
    return folder


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def settle(folder: Path) -> None:
    """Make files old enough for their times to be trusted."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 60,) * 2, follow_symlinks=False)


def error_of(done: Done) -> tuple[str, str]:
    """Return the error and the hint, which are one line each, with nothing after them."""
    lines = [line for line in done.err.splitlines() if not line.startswith("index: ")]
    assert lines[-2].startswith("error: ") and lines[-1].startswith("hint: "), done.err
    assert "Traceback" not in done.err
    return lines[-2].removeprefix("error: "), lines[-1].removeprefix("hint: ")


def test_what_it_says_and_what_it_prints(ragcli: Ragcli, docs: Path, home: Path) -> None:
    settle(docs)
    done = ragcli("ingest", docs)
    assert (done.code, done.out) == (0, "3 added, 0 updated, 0 unchanged, 0 removed, 0 failed\n")
    assert done.err.startswith(f"index: {home / 'index'}\n")
    assert "warning: 1 chunks are in a language that all-minilm-l6-v2 cannot read" in done.err
    assert "ragcli rebuild --encoder multilingual-e5-small" in done.err
    assert "3 documents and 3 chunks in the index; 2 embedded in" in done.err

    done = ragcli("ingest", docs, "--json")
    assert (done.code, done.json) == (
        0,
        {
            "added": 0,
            "updated": 0,
            "moved": 0,
            "unchanged": 3,
            "removed": 0,
            "skipped": [],
            "failed": [],
            "warnings": [],
            "documents": 3,
            "chunks": 3,
            "embedded": 0,
            "seconds": done.json["seconds"],
            "phases": {"parse": 0.0, "chunk": 0.0, "embed": 0.0, "store": done.json["phases"]["store"]},
        },
    )
    assert ragcli("check", "--deep").out == "catalog  ok\nchunks   ok\nwords    ok\nvectors  ok\n"


def test_paths_that_are_not_there(ragcli: Ragcli, docs: Path, home: Path, tmp_path: Path) -> None:
    done = ragcli("ingest", tmp_path / "nowhere", tmp_path / "neither")
    assert (done.code, done.out) == (2, "")
    assert error_of(done)[0] == f"no such file or folder: {tmp_path / 'nowhere'}, {tmp_path / 'neither'}"
    done = ragcli("ingest")
    assert done.code == 2
    assert error_of(done) == ("no path was given", "ragcli ingest PATH...")
    assert not (home / "index").exists()

    done = ragcli("ingest", tmp_path / "nowhere", docs, "--json")
    assert done.code == 1
    assert done.json["added"] == 3
    assert done.json["failed"] == [{"path": str(tmp_path / "nowhere"), "reason": "no such file or folder"}]

    (tmp_path / "empty").mkdir()
    done = ragcli("ingest", tmp_path / "empty")
    assert (done.code, done.out) == (0, "0 added, 0 updated, 0 unchanged, 0 removed, 0 failed\n")


def test_a_path_that_cannot_be_looked_at_costs_no_other(ragcli: Ragcli, docs: Path, tmp_path: Path) -> None:
    """A folder above it is shut, say, or the drive that it lies on is gone. Here its name is too long."""
    beyond = tmp_path / ("x" * 300)
    done = ragcli("ingest", beyond, docs, "--json")
    assert (done.code, done.json["added"]) == (1, 3)
    assert done.json["failed"] == [{"path": str(beyond), "reason": "file name too long"}]


def test_nothing_is_left_outside_of_the_index(ragcli: Ragcli, docs: Path, tmp_path: Path) -> None:
    """Neither caches nor what libraries note of their use, to send it to their makers."""
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for place in places.values():
        place.mkdir()
    for command in (["ingest", docs], ["rebuild"], ["search", "pump"]):
        assert ragcli(*command, **{name: str(place) for name, place in places.items()}).code == 0
    assert [path for place in places.values() for path in place.rglob("*")] == []


def test_a_dry_run_changes_nothing(ragcli: Ragcli, docs: Path, home: Path) -> None:
    settle(docs)
    done = ragcli("ingest", docs, "--dry-run", "--json")
    assert (done.code, done.json["added"], done.json["documents"]) == (0, 3, 0)
    assert not (home / "index").exists()
    ragcli("ingest", docs)
    before = {path: path.read_bytes() for path in (home / "index").rglob("*") if path.is_file()}
    write(docs, "pump.md", "Another pump.")
    write(docs, "new.md", "New.")
    (docs / "roof.md").unlink()
    done = ragcli("ingest", docs, "--dry-run")
    assert (done.code, done.out) == (0, "would add 1, update 1, remove 1; 1 unchanged\n")
    assert "dry run: nothing was changed" in done.err and "embedded" not in done.err
    assert "that would take about 2 s\n" in done.err
    (docs / "手册.md").rename(docs / "manual.md")
    foretold = ragcli("ingest", docs, "--dry-run", "--json").json
    assert [foretold[name] for name in ("added", "updated", "moved", "unchanged", "removed")] == [1, 1, 1, 0, 1]
    assert 2 <= foretold["estimate_s"] < 3
    done = ragcli("ingest", docs, docs / "nowhere", "--dry-run")
    assert done.out == "would add 1, update 1, move 1, remove 1; 0 unchanged, 1 failed\n"
    (docs / "manual.md").rename(docs / "手册.md")
    assert {path: path.read_bytes() for path in (home / "index").rglob("*") if path.is_file()} == before
    assert ragcli("search", "slate roof", "--json").json["hits"][0]["source"] == "roof.md"


def test_a_dry_run_counts_as_the_run_does(ragcli: Ragcli, docs: Path, tmp_path: Path) -> None:
    def both(*options: str) -> dict[str, int]:
        """Return the counts that are not 0 after making sure that both say the same."""
        counts = []
        for dry in (["--dry-run"], []):
            value = ragcli("ingest", docs, *options, *dry, "--json").json
            counts.append({kind: value[kind] for kind in ("added", "updated", "moved", "removed") if value[kind]})
        assert counts[0] == counts[1]
        return counts[0]

    assert both() == {"added": 3}
    assert both("-c", "other") == {"added": 3}
    (docs / "pump.md").rename(docs / "pump.1.md")
    write(docs, "pump.md", "A new log.")
    assert both() == {"added": 1, "moved": 1}
    (docs / "pump.1.md").replace(docs / "roof.md")
    assert both() == {"moved": 1, "removed": 1}
    exported = tmp_path / "exported"
    ragcli("export", exported)
    ragcli("import", exported, "--replace", "--yes")
    write(docs, "roof.md", "The roof leaks.")
    assert both() == {"updated": 1}


def test_removing_more_than_half_needs_a_yes(ragcli: Ragcli, docs: Path) -> None:
    ragcli("ingest", docs)
    (docs / "pump.md").unlink()
    (docs / "roof.md").unlink()
    done = ragcli("ingest", docs)
    assert (done.code, done.out) == (0, "0 added, 0 updated, 1 unchanged, 0 removed, 0 failed\n")
    assert f"warning: {docs}: 2 of 3 files are gone; --yes removes them" in done.err
    assert len(ragcli("sources", "--json").json["sources"]) == 3
    assert ragcli("ingest", docs, "--no-prune", "--yes", "--json").json["removed"] == 0
    assert ragcli("ingest", docs, "--yes", "--json").json["removed"] == 2
    assert ragcli("search", "slate roof", "--json").json["hits"] == []


def test_a_dry_run_tells_what_needs_a_yes(ragcli: Ragcli, docs: Path) -> None:
    ragcli("ingest", docs)
    (docs / "pump.md").unlink()
    (docs / "roof.md").unlink()
    kept = [{"path": str(docs), "reason": "2 of 3 files are gone; --yes removes them"}]
    for flags, removed, warnings in ([], 0, kept), (["--yes"], 2, []):
        for done in (ragcli("ingest", docs, "--dry-run", *flags, "--json"), ragcli("ingest", docs, *flags, "--json")):
            assert (done.json["removed"], done.json["warnings"]) == (removed, warnings)


def test_a_source_is_shown_by_its_name_or_its_file(ragcli: Ragcli, docs: Path) -> None:
    """Two files of the same name are told apart by where they lie."""
    write(docs, "old/pump.md", "Another pump.")
    ragcli("ingest", docs)
    for name in ("old/pump.md", docs / "old" / "pump.md", "docs/old/../old/pump.md"):
        done = ragcli("show", name, "--json")
        assert (done.code, done.json["source"]) == (0, "old/pump.md"), done
    assert ragcli("show", docs / "pump.md", "--json").json["source"] == "pump.md"
    assert ragcli("show", docs / "no.md").code == 2


def test_what_a_file_held_before_it_broke_is_kept_and_told(ragcli: Ragcli, docs: Path) -> None:
    write(docs, "notes", "Notes without a suffix.")
    ragcli("ingest", docs)
    write(docs, "pump.md", b"")
    write(docs, "notes", b"PK\0\0")
    write(docs, "new.md", b"")
    for _ in range(2):  # also where it is not tried again
        done = ragcli("ingest", docs, "--json")
        assert {one["path"] for one in done.json["warnings"]} == {str(docs / "pump.md"), str(docs / "notes")}
        assert all("stays in the index; `ragcli forget` removes it" in one["reason"] for one in done.json["warnings"])
    assert ragcli("forget", docs / "pump.md", "--json").code == 0
    assert len(ragcli("ingest", docs, "--json").json["warnings"]) == 1


def test_what_was_kept_is_asked_about_again(ragcli: Ragcli, docs: Path) -> None:
    """Files that join a folder do not make those that are gone, and were kept, a small part that goes unasked."""
    ragcli("ingest", docs)
    write(docs, "manual.md", "How the valve is turned.")
    kept = {name: (docs / name).read_bytes() for name in ("pump.md", "roof.md")}
    for name in kept:
        (docs / name).unlink()
    assert "2 of 3 files are gone; --yes removes them" in ragcli("ingest", docs).err
    for number in range(6):
        write(docs, f"new {number}.md", f"Sheet number {number}.")
    assert "2 of 4 files are gone; --yes removes them" in ragcli("ingest", docs).err
    assert "2 of 10 files are gone; --yes removes them" in ragcli("ingest", docs).err
    write(docs, "pump.md", kept["pump.md"])
    assert ragcli("ingest", docs, "--json").json["removed"] == 1  # fewer are gone than were kept: a small removal
    write(docs, "roof.md", kept["roof.md"])
    ragcli("ingest", docs)
    for name in kept:
        (docs / name).unlink()
    assert ragcli("ingest", docs, "--yes", "--json").json["removed"] == 2
    for number in (0, 1):
        (docs / f"new {number}.md").unlink()
    assert ragcli("ingest", docs, "--json").json["removed"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize(("key", "code"), [("\x04", 0), ("\x03", 130)])
def test_a_question_without_an_answer(
    ragcli: Ragcli, docs: Path, home: Path, tmp_path: Path, key: str, code: int
) -> None:
    """Ctrl-D and Ctrl-C remove nothing, and what is said after them does not stand beside the question."""
    ragcli("ingest", docs)
    (docs / "pump.md").unlink()
    (docs / "roof.md").unlink()
    terminal = Terminal(["ingest", str(docs)], home, tmp_path)
    terminal.until("Remove them from the index? [y/N] ")
    terminal.type(key)
    assert "\n" in terminal.until("0 added")
    terminal.until("1 unchanged")
    assert terminal.process.wait(20) == code
    os.close(terminal.master)
    assert len(ragcli("sources", "--json").json["sources"]) == 3


def test_paths_from_a_file(ragcli: Ragcli, docs: Path, tmp_path: Path) -> None:
    done = ragcli("ingest", "--files-from", "-", "--json", stdin=f"{docs / 'pump.md'}\n\ndocs/roof.md\n")
    assert (done.code, done.json["added"]) == (0, 2)
    listed = write(tmp_path, "list", os.fsencode(docs / "手册.md") + b"\0" + b"docs/not\nthere\0")
    done = ragcli("ingest", "--files-from", listed, "--json")
    assert (done.code, done.json["added"]) == (1, 1)
    assert done.json["failed"] == [{"path": "docs/not\nthere", "reason": "no such file or folder"}]
    done = ragcli("ingest", "--files-from", "-", stdin="x" * 40_000)
    assert (done.code, error_of(done)[0]) == (2, "- is no list of paths")
    done = ragcli("ingest", "--files-from", "/dev/zero")
    assert (done.code, error_of(done)[0]) == (2, "/dev/zero is no list of paths")
    done = ragcli("ingest", "--files-from", tmp_path / "nothing")
    assert done.code == 2 and "no such file" in error_of(done)[0]


def test_globs_and_collections(ragcli: Ragcli, docs: Path) -> None:
    done = ragcli("ingest", docs, "--include", "*.md", "--exclude", "roof*", "-c", "one", "--json")
    assert (done.json["added"], done.json["skipped"]) == (2, [{"path": str(docs / "roof.md"), "reason": "excluded"}])
    for wrong in (["--include", "!"], ["-c", ""], ["-c", "a\nb"], ["-c", "x" * 101], ["-c", os.fsdecode(b"\xff")]):
        done = ragcli("ingest", docs, *wrong)
        assert done.code == 2, wrong
        error_of(done)


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.fixture
def bad(docs: Path) -> Path:
    """A folder of three good files and many bad ones."""
    write(docs, "empty.pdf", b"")
    write(docs, "broken.pdf", b"%PDF-1.7\ngarbage")
    write(docs, "not-a.pdf", b"just text")
    write(docs, "nul.txt", b"Before the NUL.\0After it: marmalade.")
    write(docs, "mostly-nul.txt", b"\0\0\0\0x" * 100)
    write(docs, "surrogate.txt", b"Half a pair \xed\xa0\x80 and jam.")
    write(docs, "blank.md", b" \n\n\t")
    write(docs, "ansi.md", "Honey \x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 \x9b2J and \u202ecilrag.")
    write(docs, "markup.md", "Garlic [bold red]not markup[/] [link=https://example.org]here[/link] :smile:.")
    write(docs, "[bold]\x1b[31mname\nof two lines.md", "Onions in a strange file.")
    write(docs, os.fsdecode(b"caf\xe9.md"), "Coffee in Latin-1.")
    with (docs / "huge.txt").open("wb") as stream:
        stream.truncate(100_000_000)
    settle(docs)
    return docs


def test_bad_files_cost_no_other(ragcli: Ragcli, bad: Path) -> None:
    done = ragcli("ingest", bad, "--json")
    assert done.code == 1
    assert {os.path.relpath(entry["path"], bad): entry["reason"] for entry in done.json["failed"]} == {
        "empty.pdf": "empty file",
        "broken.pdf": "broken PDF",
        "not-a.pdf": "not a PDF, whatever its name says",
        "mostly-nul.txt": "binary, whatever its name says",
        "blank.md": "no text",
    }
    assert {os.path.relpath(entry["path"], bad): entry["reason"] for entry in done.json["skipped"]} == {
        "huge.txt": "over the size limit (100 MB > 50 MB)"
    }
    warned = {os.path.relpath(e["path"], bad): e["reason"] for e in done.json["warnings"] if e["path"]}
    assert warned["nul.txt"] == "holds NUL characters"
    assert warned["surrogate.txt"] == "3 characters are not valid UTF-8 and were replaced"
    assert done.json["added"] == done.json["documents"] == 9

    again = ragcli("ingest", bad, "--json")
    assert again.code == 1  # what failed has not been mended
    assert len(again.json["failed"]) == 5
    assert all(entry["reason"].endswith("(not tried again)") for entry in again.json["failed"])
    retried = ragcli("ingest", bad, "--retry-failed")
    assert retried.code == 1
    assert "empty.pdf: empty file\n" in retried.err
    assert len(ragcli("sources", "--failed", "--json").json["failed"]) == 5

    for question, source, text in [
        ("marmalade", "nul.txt", "\0"),
        ("honey", "ansi.md", "\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 \x9b2J and \u202e"),
        ("garlic", "markup.md", "[bold red]not markup[/]"),
        ("onions", "[bold]\x1b[31mname\nof two lines.md", "strange"),
        ("coffee", "caf\ufffd.md", "Latin-1"),
    ]:
        hit = ragcli("search", question, "--json").json["hits"][0]  # JSON carries it as it is
        assert (hit["source"], text in hit["text"]) == (source, True)

    printed = [
        ragcli("ingest", bad, "--retry-failed"),
        ragcli("sources"),
        ragcli("sources", "--failed"),
        ragcli("search", "onions and honey"),
        ragcli("status"),
    ]
    for shown in printed:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown.out + shown.err), shown
        assert "Traceback" not in shown.err
    assert "[bold]\\x1b[31mname\\nof two lines.md  markdown  main\n" in printed[1].out
    assert "[bold red]" not in printed[3].out or "[/]" in printed[3].out  # it is no markup to us
    assert printed[4].code == 0


QUERIES = {
    "empty": "",
    "blank": " \n\t ",
    "punctuation": "?!... --- ((( )))",
    "long": "pump " * 20_000,
    "long word": "x" * 100_000,
    "fts5": 'body:pump AND (NEAR("a" "b", 2) OR pu* ^c) - "',
    "fts5 column": "c++ a:b foo AND",
    "sql": "'; DROP TABLE chunks; --",
    "control": "\x1b[31mpump\x07",
    "emoji": "🚰 pump 👨‍👩‍👧",
    "surrogate": os.fsdecode(b"pump \xff\xed\xa0\x80"),
}


@pytest.mark.parametrize("command", ["search", "ask"])
def test_queries_of_every_kind(ragcli: Ragcli, docs: Path, tmp_path: Path, command: str) -> None:
    ragcli("ingest", docs)
    for name, query in QUERIES.items():
        done = ragcli(command, "--json", "--", query)
        if name in ("empty", "blank"):
            assert done.code == 2, name
            assert "is empty" in error_of(done)[0]
            continue
        assert done.code in ((0,) if command == "search" else (0, 3)), (name, done.err[-500:])
        assert done.json["query" if command == "search" else "question"].strip() == query.strip()
        if name == "punctuation":
            assert done.json["hits"] == [] or command == "search"
        if name in ("long", "fts5", "control", "emoji", "surrogate"):
            assert done.json["hits"][0]["source"] == "pump.md", name
    assert ragcli("check", "--deep").code == 0


# --- two at once -----------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ragcli.storage.lock import writing
sys.argv[1:], folder, seconds = ["ingest", "papers"], Path(sys.argv[2]), float(sys.argv[3])
with writing(folder, 0):
    print("held", flush=True)
    time.sleep(seconds)
"""


def hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Start another process that holds the lock of an index."""
    arguments = [sys.executable, "-c", HOLD, str(ROOT), str(folder), str(seconds)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_waits_or_says_for_whom_it_would(ragcli: Ragcli, docs: Path, home: Path) -> None:
    ragcli("ingest", docs)
    write(docs, "new.md", "A new file about turbines.")
    with hold(home / "index", 120) as other:
        start = time.monotonic()
        done = ragcli("ingest", docs, "--wait", "1")
        assert time.monotonic() - start < 10
        assert done.code == 4
        assert f"waiting for process {other.pid} (ragcli ingest papers)" in done.err
        message, hint = error_of(done)
        assert message.startswith(f"the index is being written by process {other.pid} (ragcli ingest papers) on ")
        assert "--wait" in hint
        assert ragcli("rebuild", "--wait", "0").code == 4
        for reader in (
            ["search", "pump"],
            ["ask", "What was the roof mended with?"],
            ["sources"],
            ["status"],
            ["check"],
        ):
            assert ragcli(*reader).code == 0  # readers do not wait
        other.kill()
    assert (home / "index" / "writer.json").exists()  # it could not clear up, which does not matter
    assert ragcli("ingest", docs, "--json", "--wait", "0").json["added"] == 1
    with hold(home / "index", 1.5):
        done = ragcli("ingest", docs, "--json")
        assert (done.code, done.json["unchanged"]) == (0, 4)
        assert "waiting for" in done.err


def test_several_at_once_all_get_their_files_in(docs: Path, home: Path, tmp_path: Path, ragcli: Ragcli) -> None:
    running = []
    for number in range(3):
        folder = tmp_path / f"docs-{number}"
        for n in range(5):
            write(folder, f"file-{number}-{n}.md", f"File {n} of folder {number} is about subject {number * 7 + n}.")
        command = [sys.executable, "-m", "ragcli", "ingest", str(folder), "--json"]
        running.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment_of(home))
        )
    for process in running:
        out, _ = process.communicate(timeout=120)
        assert (process.returncode, json.loads(out)["added"]) == (0, 5)
    assert len(ragcli("sources", "--json").json["sources"]) == 15
    assert ragcli("check", "--deep").code == 0


# --- damage ----------------------------------------------------------------------------------------------------


def test_damage_is_said_found_and_mended(ragcli: Ragcli, docs: Path, home: Path) -> None:
    ragcli("ingest", docs)
    hits = ragcli("search", "slate", "--json").json["hits"]
    (path,) = (home / "index").glob("vectors-1/*/data_level0.bin")
    os.truncate(path, path.stat().st_size // 2)
    for command in (["search", "slate"], ["ask", "What was the roof mended with?"]):
        done = ragcli(*command)
        assert (done.code, done.out) == (4, "")
        message, hint = error_of(done)
        assert message.startswith("the index is damaged: ") and "data_level0.bin of the vectors was cut" in message
        assert hint == "run `ragcli rebuild`"
    damage = ragcli("status", "--json").json["damage"]
    assert re.search(r"data_level0\.bin of the vectors was cut from (\d+) to (\d+) bytes$", damage)
    assert ragcli("doctor", "--json").json["ok"] is False
    done = ragcli("check", "--json")
    assert (done.code, done.json["ok"]) == (4, False)
    assert [finding["name"] for finding in done.json["findings"] if finding["problem"]] == ["vectors"]
    assert done.err.endswith("hint: run `ragcli rebuild`\n")
    done = ragcli("rebuild")
    assert (done.code, done.out) == (0, "rebuilt 3 documents, 3 chunks, with all-minilm-l6-v2; 0 embedded\n")
    assert ragcli("search", "slate", "--json").json["hits"] == hits
    assert ragcli("check").code == 0


@pytest.mark.parametrize("damage", ["empty", "half", "garbage", "gone"])
def test_a_catalog_that_is_no_catalog(ragcli: Ragcli, docs: Path, home: Path, damage: str) -> None:
    ragcli("ingest", docs)
    path = home / "index" / "catalog.sqlite3"
    if damage == "gone":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(os.urandom(50_000))
    else:
        os.truncate(path, 0 if damage == "empty" else path.stat().st_size // 2)
    for command in (["search", "pump"], ["ingest", docs], ["check"], ["rebuild"]):
        done = ragcli(*command)
        assert (done.code, done.out if command != ["check"] else "") == (4, ""), (command, done)
        if command != ["check"]:
            error_of(done)


def test_other_things_that_are_exit_4(ragcli: Ragcli, docs: Path, home: Path, tmp_path: Path) -> None:
    done = ragcli("search", "pump")
    assert (done.code, error_of(done)[1]) == (4, "make one with `ragcli ingest PATH`")
    ragcli("ingest", docs)
    catalog = home / "index" / "catalog.sqlite3"
    for sql, message in [
        ("UPDATE meta SET value = 'else' WHERE key = 'fingerprint'", "the index was built with other weights of"),
        (f"PRAGMA user_version = {FORMAT + 1}", f"has format {FORMAT + 1}; this program knows {FORMAT}"),
    ]:
        connection = sqlite3.connect(catalog)
        connection.execute(sql)
        connection.commit()
        connection.close()
        write(docs, f"new-{len(sql)}.md", "Something new.")
        for command in (["search", "pump"], ["ingest", docs]):
            done = ragcli(*command)
            assert (done.code, message in error_of(done)[0]) == (4, True)
    (tmp_path / "file").write_text("")
    done = ragcli("ingest", docs, "--index", tmp_path / "file" / "index")
    assert (done.code, "cannot be made" in error_of(done)[0]) == (4, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_index_of_another_user(ragcli: Ragcli, docs: Path, home: Path) -> None:
    ragcli("ingest", docs)
    os.chown(home / "index", 65534, 65534)
    for command in (["search", "pump"], ["ingest", docs], ["check"], ["rebuild"], ["status"], ["sources"]):
        done = ragcli(*command)
        assert (done.code, "belongs to another user" in error_of(done)[0]) == (4, True)


def test_offline_with_an_empty_store(ragcli: Ragcli, docs: Path, home: Path) -> None:
    (home / "models").unlink()
    for command in (["ingest", docs], ["rebuild"]):
        done = ragcli(*command, RAGCLI_OFFLINE="1")
        message, hint = error_of(done)
        assert done.code == 5
        assert "ragcli models" in message + hint


# --- a full disk -----------------------------------------------------------------------------------------------


def test_a_full_disk(ragcli: Ragcli, docs: Path, small_disk: Path, tmp_path: Path) -> None:
    index = small_disk / "index"
    assert ragcli("ingest", docs, "--index", index).code == 0
    for number in range(12):
        text = " ".join(f"Word {n * number} of {number}." for n in range(700))
        write(docs, f"more-{number}.txt", text)
    ballast = leave_free(small_disk, 250_000)
    done = ragcli("ingest", docs, "--index", index)
    assert done.code == 4, done
    message, hint = error_of(done)
    assert "cannot be written" in message
    assert "free some disk space" in hint and "what was committed is in the index" in hint
    ballast.unlink()
    assert ragcli("search", "slate roof", "--json", "--index", index).json["hits"][0]["source"] == "roof.md"
    assert ragcli("check", "--deep", "--index", index).code == 0
    moved = tmp_path / "moved"
    shutil.copytree(index, moved)
    done = ragcli("ingest", docs, "--index", moved, "--json")
    assert (done.code, done.json["documents"]) == (0, 15)
    assert ragcli("check", "--deep", "--index", moved).code == 0


def test_reading_on_a_full_disk(ragcli: Ragcli, docs: Path, small_disk: Path) -> None:
    """Who reads an index writes a little, too: SQLite beside its log, Chroma when it opens its files."""
    index = small_disk / "index"
    assert ragcli("ingest", docs, "--index", index).code == 0
    outcomes = set()
    with closing(sqlite3.connect(index / "catalog.sqlite3")) as reader:  # then the catalog has all that it needs
        assert reader.execute("SELECT count(*) FROM chunks").fetchone()[0]
        for size in (0, 4_000, 12_000, 40_000, 80_000):
            ballast = leave_free(small_disk, size)
            for command in (["check"], ["search", "slate roof"]):
                done = ragcli(*command, "--index", index)
                outcomes.add(done.code)
                if done.code:
                    message, hint = error_of(done)
                    assert (done.code, "damage" in message, "free some disk space" in hint) == (4, False, True), done
    ballast.unlink()
    assert 4 in outcomes
    assert ragcli("search", "slate roof", "--json", "--index", index).json["hits"][0]["source"] == "roof.md"
    assert ragcli("check", "--deep", "--index", index).code == 0


# --- Ctrl-C ----------------------------------------------------------------------------------------------------


def children_of(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("times", [1, 3], ids=["once", "impatiently"])
def test_ctrl_c_while_a_slow_file_is_parsed(docs: Path, home: Path, times: int) -> None:
    write(docs, "slow.pdf", SLOW)
    command = [sys.executable, "-m", "ragcli", "ingest", str(docs), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment_of(home)
    ) as process:
        deadline = time.monotonic() + 60
        while not (started := children_of(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1.5)
        start = time.monotonic()
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        out, err = process.communicate(timeout=30)
        took = time.monotonic() - start
    assert process.returncode == 130, err
    assert took < 2
    assert json.loads(out)["documents"] in (0, 3)
    assert "Traceback" not in err and "Exception" not in err
    assert "interrupted: what was done is kept" in err
    assert started
    deadline = time.monotonic() + 2
    while any(map(is_alive, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, started))
