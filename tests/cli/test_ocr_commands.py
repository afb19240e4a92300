"""The extra that reads scans, as a user meets it: there, not there, in pieces, insisted on, turned off."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from corpora import Corpus
from parsing.scan_helpers import BOAT, FUSE, needs_ocr, picture, scan_of
from shared import ROOT, Done

from ragcli.models.store import ModelStore

Ragcli = Callable[..., Done]

INSTALL = 'pip install "ragcli[ocr]"'
RANGE = "rapidocr>=3.10,<3.11"
REPAIR = f'pip install --force-reinstall "{RANGE}"'


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "roof.md").write_text("# Roof\n\nThe roof was mended with slate.\n", "utf-8")
    (folder / "scan.pdf").write_bytes(scan_of(picture(FUSE)))
    (folder / "half.pdf").write_bytes(scan_of("The meter was read in May.", picture(BOAT)))
    return folder


@pytest.fixture
def without(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Return the environment of a Python in which a module cannot be imported."""

    def made(module: str) -> dict[str, str]:
        folder = tmp_path / "site"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n", "utf-8")
        return {"PYTHONPATH": f"{folder}:{ROOT}"}

    return made


def test_what_is_said_to_mend_the_extra_is_what_it_holds() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert extras["ocr"] == [RANGE] and RANGE in extras["dev"]


def reasons(rows: list[dict[str, str]]) -> dict[str, str]:
    return {Path(row["path"]).name: row["reason"] for row in rows}


@needs_ocr
def test_scans_are_searchable(ragcli: Ragcli, docs: Path) -> None:
    done = ragcli("ingest", docs, "--json")
    assert (done.code, done.json["added"], done.json["failed"]) == (0, 3, [])
    warnings = reasons(done.json["warnings"])
    assert warnings.keys() == {"scan.pdf", "half.pdf"}
    assert re.fullmatch(r"page 1 was read by OCR \(confidence (\.9\d|1\.00)\)", warnings["scan.pdf"])
    assert warnings["half.pdf"].startswith("page 2 was read by OCR (confidence ")
    found = {}
    for question in ("where are the spare fuses", "when does the ferry leave"):
        hit = ragcli("search", question, "--json").json["hits"][0]
        found[hit["source"]] = hit["page"]
    assert found == {"scan.pdf": 1, "half.pdf": 2}
    (check,) = [one for one in ragcli("doctor", "--json").json["checks"] if one["name"] == "ocr"]
    assert (check["ok"], check["found"]) == (True, "reads scanned pages")


@needs_ocr
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_shows_which_page_is_being_read_and_a_pipe_does_not(tmp_path: Path, model_store: ModelStore) -> None:
    corpus = Corpus(tmp_path, model_store)
    name = f"{'a' * 50}.pdf"
    corpus.documents.mkdir()
    (corpus.documents / name).write_bytes(scan_of("The meter was read in May.", *[picture(FUSE)] * 3))
    code, shown = corpus.show("ingest", str(corpus.documents), NO_COLOR="1", COLUMNS="120")
    assert code == 0
    assert re.search("reading a{37}[.]{3}: page [234] of 4 by OCR", shown)
    (corpus.documents / "b.pdf").write_bytes(scan_of(picture(BOAT)))
    done = corpus.run(["ingest", str(corpus.documents)])
    assert done.returncode == 0 and b"by OCR (confidence" in done.stderr and b"reading" not in done.stderr


def test_without_the_extra_a_scan_is_reported_with_the_command(
    ragcli: Ragcli, docs: Path, without: Callable[[str], dict[str, str]]
) -> None:
    environment = without("rapidocr")
    done = ragcli("ingest", docs, "--json", **environment)
    assert (done.code, done.json["added"]) == (1, 2)
    command = f"`{INSTALL}` lets ragcli read scans"
    assert reasons(done.json["failed"]) == {"scan.pdf": f"no text: it seems to be a scan; {command}"}
    assert reasons(done.json["warnings"]) == {"half.pdf": f"page 2 has no text (scanned?); {command}"}
    (check,) = [one for one in ragcli("doctor", "--json", **environment).json["checks"] if one["name"] == "ocr"]
    assert (check["ok"], check["found"]) == (True, f"not installed; {command}")


@pytest.mark.parametrize(
    ("module", "message", "command"),
    [
        ("rapidocr", "OCR is not installed", INSTALL),
        pytest.param("pyclipper", "the OCR extra lacks pyclipper", REPAIR, marks=needs_ocr),
    ],
)
def test_who_insists_on_an_extra_that_is_not_there_is_told_and_nothing_is_changed(
    ragcli: Ragcli, docs: Path, without: Callable[[str], dict[str, str]], module: str, message: str, command: str
) -> None:
    environment = without(module) | {"RAGCLI_OCR": "on"}
    done = ragcli("ingest", docs, **environment)
    assert (done.code, done.out) == (2, "")
    error, hint = done.err.splitlines()[-2:]
    assert (error, hint) == (f"error: {message}", f"hint: `{command}`, or set `ocr` to auto")
    assert ragcli("status", "--json").code == 4, "no index was made"
    assert ragcli("doctor", **environment).code == 1


@needs_ocr
@pytest.mark.parametrize("module", ["pyclipper", "rapidocr.main"])
def test_an_extra_in_pieces_fails_the_scans_only(
    ragcli: Ragcli, docs: Path, without: Callable[[str], dict[str, str]], module: str
) -> None:
    done = ragcli("ingest", docs, "--json", **without(module))
    assert (done.code, done.json["added"]) == (1, 2)
    reason = reasons(done.json["failed"])["scan.pdf"]
    assert reason.startswith("no text: it seems to be a scan") and module in reason and f"`{REPAIR}`" in reason
    assert f"`{REPAIR}`" in reasons(done.json["warnings"])["half.pdf"]
    assert "Traceback" not in done.err


@needs_ocr
def test_who_insists_on_an_extra_that_does_not_start_is_told_and_the_index_stays(
    ragcli: Ragcli, docs: Path, without: Callable[[str], dict[str, str]]
) -> None:
    (docs / "half.pdf").unlink()
    ragcli("ingest", docs / "roof.md")
    before = ragcli("status", "--json").json
    done = ragcli("ingest", docs, **without("rapidocr.main"), RAGCLI_OCR="on")
    assert done.code == 2
    error, hint = done.err.splitlines()[-2:]
    assert error.startswith("error: OCR does not start (ModuleNotFoundError: ") and REPAIR in hint
    assert ragcli("status", "--json").json == before


def test_it_can_be_turned_off(ragcli: Ragcli, docs: Path) -> None:
    done = ragcli("ingest", docs, "--json", RAGCLI_OCR="off")
    assert reasons(done.json["failed"]) == {"scan.pdf": "no text: it seems to be a scan"}
    assert reasons(done.json["warnings"]) == {"half.pdf": "page 2 has no text (scanned?)"}


@needs_ocr
def test_scans_that_failed_are_read_once_the_extra_is_there(
    ragcli: Ragcli, docs: Path, without: Callable[[str], dict[str, str]]
) -> None:
    lacking = without("rapidocr")
    assert [Path(row["path"]).name for row in ragcli("ingest", docs, "--json", **lacking).json["failed"]] == [
        "scan.pdf"
    ]
    again = ragcli("ingest", docs, "--json", **lacking).json
    assert again["failed"][0]["reason"].endswith("(not tried again)")
    done = ragcli("ingest", docs, "--json")
    assert (done.code, done.json["added"], done.json["updated"], done.json["unchanged"]) == (0, 1, 1, 1)
    back = ragcli("ingest", docs, "--json", **lacking)
    assert (back.code, back.json["unchanged"]) == (0, 3), "what was read stays read"
