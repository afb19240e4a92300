"""`ragcli export` and `import` as people type them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from shared import Done

Run = Callable[..., Done]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("pump", "valve"):
        (folder / f"{name}.md").write_text(
            f"# {name}\n\nThe {name} hums at noon.\n\nThe warranty of the {name} is 24 months.\n", "utf-8"
        )
    return folder


def test_to_a_machine_without_a_network(ragcli: Run, docs: Path, tmp_path: Path) -> None:
    """Every command works there, though the files and the encoder were never on it."""
    ragcli("ingest", docs)
    before = ragcli("search", "What hums?", "--json").json["hits"]
    done = ragcli("export", "notes.zip", "--with-encoder")
    assert done.code == 0 and "hint" not in done.err
    shutil.rmtree(docs)
    there = {"RAGCLI_HOME": str(tmp_path / "there"), "RAGCLI_OFFLINE": "1"}
    value = ragcli("import", "notes.zip", "--json", **there).json
    assert (value["documents"], value["encoder_stored"]) == (2, True)
    (tmp_path / "notes.zip").unlink()
    hits = ragcli("search", "What hums?", "--json", **there).json["hits"]
    assert [hit | {"score": 0, "legs": 0} for hit in hits] == [hit | {"score": 0, "legs": 0} for hit in before]
    assert [row["path"] for row in ragcli("sources", "--json", **there).json["sources"]] == [None, None]
    answer = ragcli("ask", "How long is the warranty of the pump?", "--json", **there).json
    assert "24 months" in answer["answer"] and {one["link"] for one in answer["citations"]} == {None}
    assert "The pump hums" in ragcli("show", "pump.md", **there).out
    assert ragcli("status", "--json", **there).json["roots"] == []
    assert ragcli("check", "--deep", **there).code == 0
    assert ragcli("rebuild", **there).code == 0
    assert ragcli("forget", "pump.md", "--json", **there).json["forgotten"][0]["path"] is None
    docs.mkdir()
    (docs / "valve.md").write_text(
        "# valve\n\nThe valve hums at noon.\n\nThe warranty of the valve is 24 months.\n", "utf-8"
    )
    report = ragcli("ingest", docs, "--json", **there).json
    assert (report["unchanged"], report["embedded"], report["documents"]) == (1, 0, 1)


def test_without_the_encoder(ragcli: Run, docs: Path, tmp_path: Path) -> None:
    ragcli("ingest", docs)
    assert "--with-encoder puts it into the file" in ragcli("export", "notes.zip").err
    there = {"RAGCLI_HOME": str(tmp_path / "there"), "RAGCLI_OFFLINE": "1"}
    done = ragcli("import", "notes.zip", **there)
    assert (done.code, done.out) == (0, "imported 2 documents, 2 chunks, made with all-minilm-l6-v2\n")
    assert "warning: to search it, all-minilm-l6-v2 is needed" in done.err
    assert ragcli("search", "hums", **there).code == 5


def test_what_is_refused(ragcli: Run, docs: Path, tmp_path: Path) -> None:
    assert ragcli("export", "notes.zip").code == 4
    ragcli("ingest", docs)
    assert ragcli("export", "notes.zip").code == 0
    data = (tmp_path / "notes.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[:-100])
    (tmp_path / "altered.zip").write_bytes(data[:200] + b"x" + data[201:])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    cases: list[tuple[list[object], int, str]] = [
        (["export", "notes.zip"], 2, "--force replaces it"),
        (["export", docs], 2, "is there already"),
        (["export", "pipe", "--force"], 2, "give another name"),
        (["export", "link"], 2, "is there already"),
        (["export", "-"], 2, "exported to a file"),
        (["export", "no/such/folder/notes.zip"], 4, "cannot be written: No such file"),
        (["import", "notes.zip"], 2, "holds 2 documents"),
        (["import", "notes.zip", "--replace"], 2, "--yes replaces the index"),
        (["import", "nothing.zip", "--index", "new"], 2, "nothing.zip: no such file"),
        (["import", "cut.zip", "--index", "new"], 4, "its end is missing or was altered"),
        (["import", "altered.zip", "--index", "new"], 4, "it was altered"),
        (["import", docs / "pump.md", "--index", "new"], 4, "it is no export of ragcli's"),
        (["import", "cut.zip", "--replace", "--yes"], 4, "its end is missing"),
    ]
    for arguments, code, said in cases:
        done = ragcli(*arguments)
        assert (done.code, done.out) == (code, ""), (arguments, done.err)
        assert said in done.err and "hint: " in done.err
    assert ragcli("status", "--json").json["documents"] == 2
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "notes.zip").read_bytes() == data
    assert ragcli("export", "notes.zip", "--force").code == 0
    assert ragcli("import", "notes.zip", "--replace", "--yes").code == 0
