"""An index by an encoder that takes no time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingesting import HashingEmbedder, ingest

from ragcli.storage.index import Index, open_to_write

TOPICS = ["pump", "valve", "sensor", "invoice", "garden", "harbour", "kitchen", "library", "window", "battery"]


@pytest.fixture
def hashing() -> HashingEmbedder:
    return HashingEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "an index"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Ten small files."""
    return write_docs(tmp_path / "docs")


def write_docs(docs: Path) -> Path:
    docs.mkdir()
    for number, topic in enumerate(TOPICS):
        beside = [f"The {topic} number {n} stands beside the {TOPICS[n % 10]} of year {1900 + n}." for n in range(50)]
        (docs / f"{number}-{topic}.md").write_text(f"# The {topic}\n\n" + "\n\n".join(beside), "utf-8")
    return docs
    return docs


@pytest.fixture
def filled(folder: Path, docs: Path, hashing: HashingEmbedder) -> Iterator[Index]:
    """An index of the ten files, open to be written."""
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
        yield index


@pytest.fixture
def made(folder: Path, docs: Path, hashing: HashingEmbedder) -> Path:
    """The folder of such an index, which nobody has open."""
    with open_to_write(folder, 0, create=True, few=0) as index:
        ingest(index, hashing, docs)
    return folder


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made once")
    with open_to_write(place / "index", 0, create=True) as index:
        ingest(index, HashingEmbedder(), write_docs(place / "docs"))
    return place / "index"


@pytest.fixture
def copied(folder: Path, _made_once: Path) -> Path:
    """A copy of such an index, which is quicker to have; its files are elsewhere."""
    shutil.copytree(_made_once, folder)
    return folder
