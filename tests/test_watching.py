"""When `watching.changes` says that something may have changed, and when it does not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ragcli import watching
from ragcli.watching import Changed

PATIENCE, TICK = 20.0, 0.2


def told(events: Iterator[Changed], *places: Path) -> bool:
    """Wait for a change to be told: at or above all of some places, or just anywhere."""
    end = time.monotonic() + PATIENCE
    missing = set(places)
    for one in events:
        missing = {place for place in missing if not _covers(one, place)}
        if (one and not missing) or time.monotonic() > end:
            break
    return time.monotonic() < end


def _covers(changed: Changed, place: Path) -> bool:
    return changed.anywhere or not changed.places.isdisjoint((place, *place.parents))


def quiet(events: Iterator[Changed], ticks: int = 3) -> bool:
    """Return whether nothing is told for some ticks."""
    return not any(next(events) for _ in range(ticks))


@pytest.mark.parametrize("polling", ["0", "1"], ids=["system", "polling"])
def test_what_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, polling: str) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1" if polling == "1" else "false")
    root = tmp_path / "docs"
    (root / "sub").mkdir(parents=True)
    (root / "index").mkdir()
    with closing(watching.changes([root], but=root / "index", tick=TICK)) as events:
        assert next(events), "at first everything is new"
        assert quiet(events)
        (root / "sub" / "a.md").write_text("one", "utf-8")
        assert told(events, root / "sub" / "a.md")
        assert quiet(events)
        (root / "sub" / ".a.md.swp").write_text("two", "utf-8")
        (root / "index" / "catalog.sqlite3").write_text("two", "utf-8")
        (root / ".git").mkdir()
        (root / ".git" / "HEAD").write_text("two", "utf-8")
        assert quiet(events)
        (root / ".ragcliignore").write_text("*.txt", "utf-8")
        assert told(events, root), "a rule concerns all of its folder"
        (root / "new" / "deep").mkdir(parents=True)
        assert told(events, root / "new" / "deep")
        (root / "new" / "deep" / "b.md").write_text("three", "utf-8")
        assert told(events, root / "new" / "deep" / "b.md")
        (root / "sub" / "a.md").write_text("while nobody listens", "utf-8")
        time.sleep(1.5)
        assert told(events, root / "sub" / "a.md")


def test_a_root_that_goes_and_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    with closing(watching.changes([root], but=tmp_path / "index", tick=TICK)) as events:
        assert next(events)
        shutil.rmtree(root)
        assert told(events)
        quiet(events)
        root.mkdir()
        assert told(events)
        (root / "a.md").write_text("it is watched again", "utf-8")
        assert told(events)
        root.rename(tmp_path / "old")
        root.mkdir()
        assert told(events)
        time.sleep(0.2)
        (root / "b.md").write_text("and again", "utf-8")
        assert told(events)


def test_a_file_by_itself(tmp_path: Path) -> None:
    """Also one that an editor replaces by another."""
    path = tmp_path / "a.md"
    path.write_text("one", "utf-8")
    with closing(watching.changes([path], but=tmp_path / "index", tick=TICK)) as events:
        assert next(events)
        (tmp_path / "beside.md").write_text("not asked for", "utf-8")
        assert quiet(events)
        for text in ("two", "and three"):
            (tmp_path / "new").write_text(text, "utf-8")
            (tmp_path / "new").replace(path)
            assert told(events)
            assert quiet(events)
        path.unlink()
        assert told(events)


def test_a_change_is_assumed_now_and_then(tmp_path: Path) -> None:
    """As where a network drive says nothing."""
    with closing(watching.changes([tmp_path], but=tmp_path / "index", tick=TICK, assumed=1.0)) as events:
        assert next(events)
        assert 1 <= sum(next(events).anywhere for _ in range(12)) <= 4
