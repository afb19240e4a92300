"""`ragcli export` and `import`: carry an index to another machine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from ragcli.cli import console, options
from ragcli.errors import UsageError
from ragcli.settings import index_folder


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it, for example notes.ragcli.zip.")],
    with_encoder: Annotated[
        bool, typer.Option("--with-encoder", help="Put the encoder into it, for a machine without a network.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write the index to one file, which `ragcli import` reads on another machine."""
    from ragcli import parts
    from ragcli.storage import exporting

    start = time.perf_counter()
    if str(file) == "-":
        raise UsageError("an index is exported to a file, not to stdout", "ragcli export FILE")
    if os.path.lexists(file) and not (force and file.is_file()):
        raise UsageError(f"{file} is there already", "--force replaces it" if file.is_file() else "give another name")
    opened = parts.open_index(options.settings(index))
    try:
        console.say(f"index: {opened.folder}", "dim")
        encoder = parts.encoder_files(opened.encoder) if with_encoder else {}
        with console.bar("exporting", "documents") as bar:
            manifest = exporting.export(opened, file, encoder, bar.update)
    finally:
        opened.close()
    size = file.stat().st_size
    if json:
        counts = {"documents": manifest.documents, "chunks": manifest.chunks, "vectors": manifest.vectors}
        value = {"file": str(file), "bytes": size, **counts, "encoder": manifest.encoder, "with_encoder": bool(encoder)}
        console.write_json({**value, "seconds": round(time.perf_counter() - start, 3)})
        return
    console.write(f"exported {manifest.documents} documents, {manifest.chunks} chunks: {file}, {size / 1e6:.1f} MB")
    if not encoder:
        console.hint(f"the other machine needs {manifest.encoder}, too; --with-encoder puts it into the file")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `ragcli export` has written.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of an index that holds documents.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Answer every question with yes.")] = False,
    wait: options.Wait = 60,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make an index of what `ragcli export` has written. A file that was cut or altered changes nothing."""
    from ragcli import parts
    from ragcli.storage import bundle, importing

    start = time.perf_counter()
    folder = index_folder(options.settings(index))
    console.say(f"index: {folder}", "dim")
    if not replace:
        importing.require_empty(folder)
    elif not yes and not console.confirm(f"Replace all that the index in {folder} holds?"):
        raise UsageError("nothing was imported", "--yes replaces the index")
    with console.bar("reading") as reading, bundle.reading(file, reading.update) as exported:
        reading.close()
        with console.bar("importing", "documents") as bar:
            importing.take(
                exported,
                folder,
                bar.update,
                wait=wait,
                on_wait=lambda who: console.say(f"waiting for {who}"),
                replace_old=replace,
            )
        encoder = parts.take_encoder(exported)
    manifest = exported.manifest
    if json:
        counts = {"documents": manifest.documents, "chunks": manifest.chunks, "vectors": manifest.vectors}
        value = {"index": str(folder), **counts, "encoder": manifest.encoder, "encoder_stored": encoder == ""}
        console.write_json({**value, "seconds": round(time.perf_counter() - start, 3)})
    else:
        console.write(
            f"imported {manifest.documents} documents, {manifest.chunks} chunks, made with {manifest.encoder}"
        )
    if encoder:
        console.warn(f"to search it, {encoder}")
        console.hint(f"`ragcli models pull {manifest.encoder}`, or export it again with --with-encoder")
