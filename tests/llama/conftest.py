"""Tiny models, and generators over them that leave nothing running."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from llama.llama_types import Build, Load, Open, OpenProcess

from ragcli.llama.engine import LlamaGenerator
from ragcli.llama.model import LlamaModel
from ragcli.llama.process import LlamaProcess


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return the path of a tiny model, made once for each set of arguments."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def build(**arguments: Any) -> Path:
        key = repr(sorted(arguments.items()))
        if key not in made:
            made[key] = tiny_gguf.build(folder / f"{len(made)}.gguf", **arguments)
        return made[key]

    return build


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """The file in which generators remember this machine."""
    return tmp_path / "home" / "hosts.json"


@pytest.fixture
def open_model(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a model with one thread, which is the fastest for so small a model; closed after the test."""
    folders = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]  # of the workers in this folder
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    with ExitStack() as stack:

        def open_model(path: Path, **arguments: Any) -> LlamaGenerator:
            return stack.enter_context(LlamaGenerator(path, **{"hosts": hosts, "threads": 1, **arguments}))

        yield open_model


@pytest.fixture
def open_process(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenProcess]:
    """Open a process for several models, with one thread for each; closed after the test."""
    folders = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]  # of the workers in this folder
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    with ExitStack() as stack:

        def open_process(**arguments: Any) -> LlamaProcess:
            return stack.enter_context(LlamaProcess(hosts, **{"threads": 1, **arguments}))

        yield open_process


@pytest.fixture
def load() -> Iterator[Load]:
    """Load a model in this process, until the test ends."""
    with ExitStack() as stack:

        def load(path: Path) -> LlamaModel:
            return stack.enter_context(closing(LlamaModel(path, context_size=2048, threads=1)))

        yield load
