"""A short, seeded slice of the campaign of crashes (benchmarks/crash.py): no kill may lose what was committed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from shared import ROOT, environment_of

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
