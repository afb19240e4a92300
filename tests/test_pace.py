"""The estimate of how long an ingest takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragcli.pace import Pace
from ragcli.records import Format, SourceFile


def file_of(size: int, format: Format = "text") -> SourceFile:
    return SourceFile(Path("/x"), Path("/"), "x", format, size, 0)


def test_nothing_takes_no_time_and_defaults_are_by_format() -> None:
    assert Pace().estimate([]) == 0
    assert Pace().estimate([file_of(1_000_000)]) == pytest.approx(27)
    assert Pace().estimate([file_of(1_000_000, "pdf")]) == pytest.approx(10)


def test_a_run_is_shared_out_by_its_chunks() -> None:
    pace = Pace()
    pace.add(40.0, {"text": 300, "pdf": 100}, {"text": 1_000_000, "pdf": 2_000_000})
    assert pace.estimate([file_of(500_000)]) == pytest.approx(2 + 15)
    assert pace.estimate([file_of(1_000_000, "pdf")]) == pytest.approx(2 + 5)
    pace.add(60.0, {"text": 300}, {"text": 1_000_000})  # (30 / 2 + 60) s for 1.5 MB
    assert pace.estimate([file_of(1_000_000)]) == pytest.approx(2 + 50)
    assert pace.estimate([file_of(1_000_000, "pdf")]) == pytest.approx(2 + 5)
    assert Pace.read(pace.note()).note() == pace.note()


@pytest.mark.parametrize("noted", ["", "[]", "{", '{"text": 3}', '{"text": ["a", "b"]}', '{"text": [1]}'])
def test_a_note_that_is_none(noted: str) -> None:
    assert Pace.read(noted).estimate([file_of(1_000_000)]) == pytest.approx(27)
