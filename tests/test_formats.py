"""All formats at once: short, seeded slices of benchmarks/formats.py and benchmarks/mutated_files.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shared import ROOT, Done

from ragcli.formats import BY_SUFFIX, FORMATS, SHARED, UNREAD
from ragcli.parsing.pool import ParserPool

Ragcli = Callable[..., Done]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a benchmark by its name."""
    import importlib

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module


def test_no_suffix_belongs_to_two_formats() -> None:
    suffixes = [suffix for one in FORMATS for suffix in one.suffixes]
    assert len(suffixes) == len(set(suffixes)) == len(BY_SUFFIX)
    assert not set(suffixes) & set(UNREAD)
    assert set(UNREAD) > SHARED


def test_advice_leads_to_a_format_that_is_read() -> None:
    for suffix, advice in UNREAD.items():
        assert advice.rpartition(" ")[2] in BY_SUFFIX, suffix


def test_what_is_planted_in_files_of_every_format_is_found(
    ragcli: Ragcli, tmp_path: Path, benchmark: Callable[[str], Any]
) -> None:
    planting, files = benchmark("formats"), benchmark("made_up_files")
    folder = tmp_path / "folder"
    planted = planting.make(folder, 2 * len(files.WRITERS), 1)
    assert {BY_SUFFIX[Path(one.source).suffix].name for one in planted} == {one.name for one in FORMATS}
    done = ragcli("ingest", folder, "--json")
    assert (done.code, done.json["failed"], done.json["skipped"]) == (0, [], [])
    rows = "\n".join(json.dumps({"id": n, "question": one.sentence}) for n, one in enumerate(planted))
    hits = [json.loads(line)["hits"] for line in ragcli("search", "--batch", "-", "-n", 3, stdin=rows).out.splitlines()]
    lost = [
        one
        for one, its in zip(planted, hits, strict=True)
        if not any(hit["source"] == one.source and squeeze(one.sentence) in squeeze(hit["text"]) for hit in its)
    ]
    assert lost == []


def squeeze(text: str) -> str:
    return "".join(text.split())


def test_damaged_files_are_refused_or_read_in_part_with_a_warning(benchmark: Callable[[str], Any]) -> None:
    campaign = benchmark("mutated_files")
    with ParserPool(2, campaign.SECONDS, campaign.MEMORY_MB, 5000) as pool:
        for one in campaign.mutants(152, seed=2):
            verdict = campaign.judge(pool, one)
            assert not verdict.is_lost, one.name
            assert verdict.seconds < campaign.SECONDS + campaign.GRACE, one.name
            assert "its parser failed" not in verdict.reason and "crashed" not in verdict.reason, one.name
