"""What is remembered of a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragcli.llama.hosts import extra_buffers_work, remember_extra_buffers, this_host


def test_a_machine_is_remembered_among_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "hosts.json"
    assert extra_buffers_work(path)
    remember_extra_buffers(path, work=False)
    assert not extra_buffers_work(path)
    known = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({"elsewhere, Z80": {"extra_buffers": False}, **known}))
    remember_extra_buffers(path, work=True)
    assert extra_buffers_work(path)
    assert json.loads(path.read_text("utf-8")) == {
        "elsewhere, Z80": {"extra_buffers": False},
        this_host(): {"extra_buffers": True},
    }
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"x": 1}', "[" * 100_000, '{"\\ud800": null}', "\xff"])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(text, "latin-1")
    assert extra_buffers_work(path)
    remember_extra_buffers(path, work=False)
    assert not extra_buffers_work(path)


def test_a_strange_value_is_as_none(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps({this_host(): ["extra_buffers"]}))
    assert extra_buffers_work(path)
