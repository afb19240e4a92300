"""What a plan for some places finds: there, the same as one for everything."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import DirectParser, HashingEmbedder, contents, follow, ingest

from ragcli.errors import ParseFailed
from ragcli.planning import Plan, plan, plan_near
from ragcli.records import Document, Format
from ragcli.sources import Walk
from ragcli.storage.index import Index, open_to_write
from ragcli.storage.nearby import Nearby

FOLDERS = ("", "a", "a/b", "c")
NAMES = ("x.md", "y.md", "x.txt")
BROKEN = "This cannot be read."
PLACES = [
    f"{root}/{folder}/{name}".replace("//", "/") for root in ("one", "two") for folder in FOLDERS for name in NAMES
]
INNER = [f"{root}/{folder}" for root in ("one", "two") for folder in FOLDERS[1:]]

places, inner = st.sampled_from(PLACES), st.sampled_from(INNER)
changes = st.one_of(
    st.tuples(st.just("write"), places, st.sampled_from(["One text.", "Another text.", "A third text.", BROKEN])),
    st.tuples(st.just("touch"), places, st.just("")),
    st.tuples(st.just("remove"), places, st.just("")),
    st.tuples(st.just("move"), places, places),
    st.tuples(st.just("move"), inner, inner),
    st.tuples(st.just("copy"), places, places),
    st.tuples(st.just("link"), st.one_of(places, inner), st.one_of(places, inner)),
    st.tuples(st.just("remove"), inner, st.just("")),
    st.tuples(st.just("ignore"), inner, st.sampled_from(["*.txt\n", "b/\n", "!x.txt\n", ""])),
)


class Breaking(DirectParser):
    """The parsers, for which one content is broken."""

    def parse(self, data: bytes, format: Format, name: str) -> Document:
        if data.decode() == BROKEN:
            raise ParseFailed("it is broken")
        return super().parse(data, format, name)


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(changes, min_size=1, max_size=4), min_size=1, max_size=6), prune=st.booleans())
def test_step_by_step_it_comes_to_the_same(batches: list[list[tuple[str, str, str]]], prune: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name).resolve()
        roots = [base / "one", base / "two"]
        for root in roots:
            root.mkdir()
            write(root / "x.md", f"The text of {root.name}.", 100)
        walk, linked = Walk(), False
        with open_to_write(base / "near", 0, create=True) as near, open_to_write(base / "all", 0, create=True) as every:
            follow(near, HashingEmbedder(), planned(near, roots, walk, prune=prune), parser=Breaking())
            ingest(every, HashingEmbedder(), *roots, walk=walk, prune=prune, parser=Breaking())
            for age, batch in enumerate(batches):
                told = {place for change in batch for place in apply(base, change, 90 - age)}
                found = plan_near(roots, walk, Nearby(near.catalog, "main", told), prune=prune)
                if linked or found.links:
                    found = planned(near, roots, walk, prune=prune)
                    linked = bool(found.links)
                follow(near, HashingEmbedder(), found, parser=Breaking())
                ingest(every, HashingEmbedder(), *roots, walk=walk, prune=prune, parser=Breaking())
                assert contents(near) == contents(every)
                assert failures(near) == failures(every)
                left = planned(near, roots, walk, prune=prune)
                assert not (left.changed or left.moved or left.copied or left.removals or left.touched)


def planned(index: Index, roots: list[Path], walk: Walk, *, prune: bool) -> Plan:
    return plan(roots, walk, index.catalog.files("main"), index.catalog.failures("main"), prune=prune)


def failures(index: Index) -> set[tuple[Path, str, int]]:
    return {(one.path, one.hash, one.size) for one in index.catalog.failures("main")}


def write(path: Path, text: str, age: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    os.utime(path, (time.time() - age,) * 2)


def apply(base: Path, change: tuple[str, str, str], age: float) -> set[Path]:
    """Change something, if it can be changed so, and return where the system would tell it."""
    kind, first, second = change
    old, new = base / first, base / (second or first)
    try:
        if kind == "write":
            write(old, second, age)
            return {Path(os.path.realpath(old))}
        if kind == "ignore":
            write(old / ".ragcliignore", second, age)
            return {Path(os.path.realpath(old))}
        if kind == "touch":
            os.utime(old, (time.time() - age,) * 2)
        elif kind == "remove":
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        else:
            new.parent.mkdir(parents=True, exist_ok=True)
            if kind == "move":
                old.rename(new)
            elif kind == "copy":
                shutil.copy2(old, new)
            else:
                new.symlink_to(old)
    except OSError:
        return {new.parent}
    return {old, new} if kind == "move" else {new, Path(os.path.realpath(new))}
