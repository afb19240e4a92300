"""What the tests share: the real encoder, homes of their own, and the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared import Done, environment_of, small_disk_at

from ragcli import settings
from ragcli.embedding.onnx import OnnxEmbedder
from ragcli.models.catalog import ENCODERS
from ragcli.models.download import fetch_encoder
from ragcli.models.store import ModelStore
from ragcli.storage.index import Index

ENCODER = "all-minilm-l6-v2"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has it so for what it runs in the background, and child processes would not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model_store(pytestconfig: pytest.Config) -> ModelStore:
    """A store that holds the English encoder: the user's own where it does, else one kept beside pytest's cache."""
    own = ModelStore(settings.home() / "models")
    if own.get(ENCODER) is not None:
        return own
    kept = ModelStore(Path(pytestconfig.cache.mkdir("ragcli")) / "models")
    if kept.get(ENCODER) is None:
        fetch_encoder(ENCODERS[ENCODER], kept, progress=lambda *_: None, offline=False)
    return kept


@pytest.fixture(scope="session")
def embedder(model_store: ModelStore) -> OnnxEmbedder:
    """The real English encoder."""
    stored = model_store.require(ENCODER)
    return OnnxEmbedder(stored.folder, ENCODERS[ENCODER], stored.fingerprint)


@pytest.fixture
def home(tmp_path: Path, model_store: ModelStore) -> Path:
    """A RAGCLI_HOME of its own, whose model store holds the English encoder."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "models").symlink_to(model_store.folder, target_is_directory=True)
    return folder


@pytest.fixture
def index(tmp_path: Path, embedder: OnnxEmbedder) -> Iterator[Index]:
    """A new index that the real encoder made."""
    opened = Index(tmp_path / "index", create=True)
    opened.adopt(embedder)
    yield opened
    opened.close()


@pytest.fixture
def ragcli(home: Path, tmp_path: Path) -> Callable[..., Done]:
    """Run the command line as a user does: in a process of its own, with a home and an index of its own."""

    def run(*arguments: object, stdin: str | None = None, cwd: Path | None = None, **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "ragcli", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            cwd=cwd or tmp_path,
            env=environment_of(home) | environment,
            timeout=300,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Press Ctrl-C: send this process SIGINT, with Python's own handler in place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte and a half."""
    with small_disk_at(tmp_path / "disk") as folder:
        yield folder
