"""Types of the fixtures in this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ragcli.llama.engine import LlamaGenerator
from ragcli.llama.model import LlamaModel
from ragcli.llama.process import LlamaProcess

Build = Callable[..., Path]
"""Make a tiny model, of the arguments of `tiny_gguf.build` but its path."""

Open = Callable[..., LlamaGenerator]
"""Open a model in a child process."""

OpenProcess = Callable[..., LlamaProcess]
"""Open a process for several models."""

Load = Callable[[Path], LlamaModel]
"""Load a model in this process."""
