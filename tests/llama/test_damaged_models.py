"""A short, seeded slice of the campaign of damaged files (benchmarks/damaged_models.py): none ends the command."""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from llama.llama_types import Build, Open
from shared import ROOT, Done

from ragcli.errors import ModelError
from ragcli.generation.base import Message

MODELS, ADAPTERS, SECONDS = 40, 10, 10

QUESTION = "How long does the warranty last?"


@pytest.fixture(scope="module")
def campaign() -> Iterator[ModuleType]:
    """The campaign's module, which imports its neighbours."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("damaged_models")
    for name in ("damaged_models", "common"):
        if name not in before:
            sys.modules.pop(name, None)


@pytest.fixture
def refused(open_model: Open) -> Callable[..., str]:
    """Ask a model, and return why it cannot answer, or ""."""

    def refused(path: Path, **arguments: Any) -> str:
        start = time.monotonic()
        try:
            with open_model(path, context_size=256, seconds=SECONDS, **arguments) as model:
                model.generate([Message("user", QUESTION)], max_tokens=4)
        except ModelError as error:
            assert error.hint and "\n" not in error.message
            return error.message
        finally:
            assert time.monotonic() - start < SECONDS
        return ""

    return refused


def test_forty_damaged_models(campaign: ModuleType, build: Build, refused: Callable[..., str], tmp_path: Path) -> None:
    sound = [build(**how) for how in campaign.MODELS[:5]]
    kinds = Counter[str]()
    for seed in range(MODELS):
        damaged = campaign.damage(sound[seed // 8], seed)
        path = tmp_path / "damaged.gguf"
        path.write_bytes(damaged.data)
        reason = refused(path)
        assert reason or not damaged.broken, (seed, damaged.kind)
        assert "SIG" not in reason, (seed, reason)  # its process died: the check could have known
        kinds[damaged.kind] += 1
    assert len(kinds) == 7 and sum(kinds.values()) == MODELS


def test_ten_damaged_adapters(campaign: ModuleType, build: Build, refused: Callable[..., str], tmp_path: Path) -> None:
    base = build(answer=None)
    sound = campaign.sound_adapter(tmp_path / "sound.gguf")
    assert refused(base, adapter=sound) == ""
    for seed in range(ADAPTERS):
        damaged = campaign.damage(sound, seed)
        path = tmp_path / "damaged.gguf"
        path.write_bytes(damaged.data)
        reason = refused(base, adapter=path)
        assert reason or not damaged.broken, (seed, damaged.kind)
        assert "SIG" not in reason, (seed, reason)


def test_the_whole_command(
    campaign: ModuleType, build: Build, ragcli: Callable[..., Done], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "documents").mkdir()
    for name, text in campaign.DOCUMENTS.items():
        (tmp_path / "documents" / name).write_text(text, "utf-8")
    assert ragcli("ingest", tmp_path / "documents", "--index", tmp_path / "index").code == 0
    base = build(answer=None)
    sound = campaign.sound_adapter(tmp_path / "sound.gguf")
    for seed in (0, 1, 4, 6):  # cut, a bad beginning, a bad table, other weights
        damaged = campaign.damage(base, seed)
        path = tmp_path / "damaged.gguf"
        path.write_bytes(damaged.data)
        outcome = campaign.ask(tmp_path / "index", home, str(seed), damaged, "--model", path)
        assert outcome.problem == "", outcome
    damaged = campaign.damage(sound, 0)
    path.write_bytes(damaged.data)
    outcome = campaign.ask(tmp_path / "index", home, "adapter", damaged, "--model", base, "--adapter", path)
    assert (outcome.problem, outcome.code) == ("", 5), outcome
