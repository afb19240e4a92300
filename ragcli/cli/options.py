"""Options that several commands share, each spelled and explained once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ragcli.settings import Settings, resolve


def path(text: str) -> Path:
    """Return the path that an argument names. An empty one, as an unset variable gives it, names none."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


def places(name: str) -> set[Path]:
    """Return where the file or folder may be stored that an argument names: as it was given, and without links."""
    return {Path(name).absolute(), Path(os.path.realpath(name))} if name else set()


IndexDir = Annotated[Path | None, typer.Option("--index", metavar="DIR", help="The index to use.", parser=path)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Wait = Annotated[float, typer.Option("--wait", metavar="S", min=0, help="Seconds to wait for another writer.")]
Collections = Annotated[
    list[str] | None, typer.Option("-c", "--collection", metavar="NAME", help="Look only in this collection.")
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="GLOB", help="Look only in sources whose name matches.")
]
SearchMode = Annotated[str, typer.Option("--mode", metavar="MODE", help="hybrid, dense or lexical.")]
MinScore = Annotated[float, typer.Option("--min-score", metavar="X", help="Leave out hits that score less.")]
Rerank = Annotated[
    str, typer.Option("--rerank", metavar="MODEL", help="A reranker (GGUF) that puts the passages in order.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Show what each leg found, and the time of each step.")]


def settings(index: Path | None = None, **flags: Any) -> Settings:
    """Resolve the settings with what the command line gives."""
    return resolve({"index": None if index is None else str(index), **flags})
