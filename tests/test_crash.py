"""A short, seeded slice of the campaign of crashes (benchmarks/crash.py): no kill may lose what was committed."""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from shared import ROOT, Done, environment_of

SEED, ROUNDS, FILES = 2, 6, 16


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The campaign's module, which imports its neighbours."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    yield importlib.import_module("crash")
    for name in ("crash", "common", "made_up"):
        if name not in before:
            sys.modules.pop(name, None)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill with")
def test_a_killed_ingest_loses_nothing(crash: ModuleType, tmp_path: Path, home: Path) -> None:
    campaign = crash.Campaign(tmp_path, SEED, environment_of(home), FILES)
    for _ in range(ROUNDS):
        campaign.round()
    campaign.finish()
    assert campaign.problems == []
    assert sum(campaign.hits.values()) == ROUNDS
    assert len(campaign.hits) > 1, "the kills must meet more than one moment"


@pytest.mark.parametrize("begun", [False, True], ids=["empty file", "empty database"])
def test_killed_before_it_had_made_anything(
    ragcli: Callable[..., Done], home: Path, tmp_path: Path, begun: bool
) -> None:
    (home / "index").mkdir()
    catalog = home / "index" / "catalog.sqlite3"
    catalog.touch()
    if begun:
        with contextlib.closing(sqlite3.connect(catalog)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    for command in (["check", "--deep"], ["search", "pump"], ["sources"]):
        done = ragcli(*command)
        assert (done.code, done.out) == (4, "")
        assert "there is no index in" in done.err and "ragcli ingest" in done.err
    (tmp_path / "pump.md").write_text("The pump moves forty litres.", "utf-8")
    assert ragcli("ingest", tmp_path / "pump.md").code == 0
    assert ragcli("check", "--deep").code == 0
