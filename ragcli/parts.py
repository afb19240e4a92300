"""Settings -> concrete parts. The only module that chooses implementations; heavy libraries load when first used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ragcli.errors import ModelMissing
from ragcli.settings import Settings, home, index_folder

if TYPE_CHECKING:
    from ragcli.embedding.onnx import OnnxEmbedder
    from ragcli.generation.engine import LlamaGenerator
    from ragcli.models.store import ModelStore
    from ragcli.parsing.pool import ParserPool
    from ragcli.sources import Walk
    from ragcli.storage.index import Index

    Download = Callable[[str, int, int], None]


def model_store() -> ModelStore:
    """Return the model store of this user."""
    from ragcli.models.store import ModelStore

    return ModelStore(home() / "models")


def embedder(name: str, settings: Settings, on_download: Download) -> OnnxEmbedder:
    """Return the encoder called `name`, fetched if it is not in the store; "" means the default for a new index."""
    from ragcli.embedding.onnx import OnnxEmbedder
    from ragcli.models import download
    from ragcli.models.catalog import ENCODERS

    store = model_store()
    if not name:
        stored = download.default_encoder(store, progress=on_download, offline=settings.offline)
    elif name not in ENCODERS:
        raise ModelMissing(f"no encoder is called {name!r}", f"the known ones are {', '.join(ENCODERS)}")
    else:
        stored = store.get(name) or download.fetch_encoder(
            ENCODERS[name], store, progress=on_download, offline=settings.offline
        )
    return OnnxEmbedder(stored.folder, ENCODERS[stored.id], stored.fingerprint)


def embedder_of(index: Index, settings: Settings, on_download: Download) -> OnnxEmbedder:
    """Return the encoder that an index was built with, and make sure that it is the same.

    A new index takes the encoder of the settings.
    """
    found = embedder(index.encoder or settings.encoder, settings, on_download)
    index.adopt(found)
    return found


def open_index(settings: Settings) -> Index:
    """Open the index for reading. Raises IndexMissing where there is none."""
    from ragcli.storage.index import Index

    return Index(index_folder(settings))


def walk(settings: Settings, include: tuple[str, ...], exclude: tuple[str, ...]) -> Walk:
    """Return how to walk folders."""
    from ragcli.sources import Walk

    return Walk(include, exclude, settings.max_file_mb * 1_000_000)


def jobs(settings: Settings) -> int:
    """Return how many files are parsed at once."""
    return int(settings.jobs) or os.cpu_count() or 1


def parser_pool(settings: Settings) -> ParserPool:
    """Return the child processes that parse files."""
    from ragcli.parsing.pool import ParserPool

    return ParserPool(jobs(settings), settings.parse_seconds, settings.parse_memory_mb, settings.max_pages)


def language_model(name: str, settings: Settings) -> LlamaGenerator:
    """Return the language model called `name` in the store, or the GGUF file at that path, and start to load it.

    Raises ModelMissing or ModelBad before anything is loaded.
    """
    from ragcli.generation.engine import LlamaGenerator

    path = Path(name).expanduser()
    if not path.is_file():
        stored = model_store().get(name) if "/" not in name else None
        if stored is None or stored.kind != "gguf":
            raise ModelMissing(
                f"no language model is called {name!r}", "`ragcli models list` shows the store; a GGUF file works too"
            )
        path = stored.entry
    return LlamaGenerator(
        path,
        context_size=settings.context_size,
        gpu_layers=0 if settings.device == "cpu" else -1,
        seconds=settings.generate_seconds,
    )
