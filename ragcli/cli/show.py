"""`ragcli sources`, `show` and `status`: look at what an index holds."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, options
from ragcli.errors import UsageError

if TYPE_CHECKING:
    from ragcli.storage.index import Index
    from ragcli.storage.rows import StoredFile

_PAGE = re.compile(r":p(\d{1,7})$")
_ROOTS_SHOWN = 10
_CHUNK_ID = re.compile(r"[0-9a-f]{20}")


def sources(
    failed: Annotated[bool, typer.Option("--failed", help="Show the files that could not be read instead.")] = False,
    collection: options.Collections = None,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the files in the index."""
    from ragcli import parts

    opened = parts.open_index(options.settings(index))
    try:
        if failed:
            failures = [f for f in opened.catalog.failures() if not collection or f.collection in collection]
            rows: list[dict[str, object]] = [
                {"path": str(f.path), "collection": f.collection, "reason": f.reason} for f in failures
            ]
        else:
            files = [f for f in opened.catalog.files() if not collection or f.collection in collection]
            rows = [_row(f) for f in files]
    finally:
        opened.close()
    if json:
        console.write_json({"failed" if failed else "sources": rows})
        return
    for row in rows:
        if failed:
            line = f"{row['path']}: {row['reason']}"
        else:
            pages = f"  {row['pages']} pages" if row["pages"] else ""
            line = f"{row['source']}  {row['format']}{pages}  {row['collection']}"
        console.write(line.replace("\n", "\\n"))  # a file's name must not look like lines of ours
    if not rows:
        console.say("no file failed" if failed else "the index holds no file")


def _row(file: StoredFile) -> dict[str, object]:
    return {
        "source": file.source,
        "collection": file.collection,
        "path": str(file.place) if file.place else None,
        "format": file.format,
        "pages": file.pages,
        "size": file.size,
        "sha256": file.hash,
        "title": file.title,
        "warnings": list(file.warnings),
        "read_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(file.read_at / 1e9)),
    }


def show(
    what: Annotated[
        str, typer.Argument(metavar="SOURCE[:pN]|CHUNK_ID", help="A source or its file, a page of it, a chunk.")
    ],
    collection: options.Collections = None,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Print the text of a source, of one of its pages, or of a chunk, as it was read."""
    from ragcli import parts

    opened = parts.open_index(options.settings(index))
    try:
        value = _find(opened, what, collection)
    finally:
        opened.close()
    if json:
        console.write_json(value)
    else:
        console.write_text(str(value["text"]))


def _find(index: Index, what: str, collection: list[str] | None) -> dict[str, object]:
    if _CHUNK_ID.fullmatch(what) and (found := index.catalog.find_chunks([what])):
        chunk = index.catalog.chunks(found.values())[found[what]]
        file = index.catalog.files_by_id([chunk.document])[chunk.document]
        text = index.catalog.text(chunk.document)[chunk.start : chunk.end]
        where = {"chunk_id": what, "page": chunk.page, "start": chunk.start, "end": chunk.end}
        return {"source": file.source, "collection": file.collection, **where, "text": text}
    files = [f for f in index.catalog.files() if not collection or f.collection in collection]
    page = _PAGE.search(what)
    name = what if page is None or any(f.source == what for f in files) else what[: page.start()]
    places = options.places(name)
    named = (
        [f for f in files if f.source == name]
        or [f for f in files if f.path in places]
        or [f for f in files if f.source.rsplit("/", 1)[-1] == name]
    )
    if not named:
        near = [f.source for f in files if name.casefold() in f.source.casefold()][:3]
        raise UsageError(
            f"no source or chunk is called {what!r}",
            f"did you mean {', '.join(near)}?" if near else "`ragcli sources` lists them",
        )
    if len(named) > 1:
        raise UsageError(
            f"{len(named)} sources are called {name!r}: {', '.join(f.source for f in named[:5])}",
            "give the whole name, or -c COLLECTION",
        )
    file = named[0]
    document = index.catalog.document(file.id)
    start, end, number = 0, len(document.text), None
    if page is not None and name != what:
        number = int(page.group(1))
        blocks = [b for b in document.blocks if b.page == number]
        if not blocks:
            raise UsageError(f"{file.source} has no text on page {number}", f"it has {document.pages or 1} pages")
        start, end = blocks[0].start, blocks[-1].end
    where = {"page": number, "start": start, "end": end}
    return {"source": file.source, "collection": file.collection, **where, "text": document.text[start:end]}


def status(index: options.IndexDir = None, json: options.Json = False, debug: options.Debug = False) -> None:
    """Say what the index is: where, how much, made by what, and whether anything is wrong."""
    from ragcli import parts

    opened = parts.open_index(options.settings(index))
    try:
        documents, chunks, vectors = opened.catalog.counts()
        files = opened.catalog.files()
        collections, roots = sorted({f.collection for f in files}), sorted({str(f.root) for f in files if f.place})
        size = sum(map(_size, opened.folder.rglob("*")))
        value = {
            "index": str(opened.folder),
            "documents": documents,
            "chunks": chunks,
            "vectors": vectors,
            "collections": collections,
            "roots": roots,
            "encoder": opened.encoder or None,
            "failed": len(opened.catalog.failures()),
            "bytes": size,
            "damage": opened.damage() or None,
        }
    finally:
        opened.close()
    if json:
        console.write_json(value)
        return
    console.write(f"index        {value['index']}")
    console.write(f"documents    {documents}" + (f", {value['failed']} failed" if value["failed"] else ""))
    console.write(f"chunks       {chunks}, {vectors} with a vector")
    console.write(f"collections  {', '.join(collections) or '-'}")
    console.write(f"encoder      {value['encoder'] or '-'}")
    console.write(f"size         {size / 1e6:.1f} MB")
    for root in roots[:_ROOTS_SHOWN]:
        console.write(f"from         {root}")
    if len(roots) > _ROOTS_SHOWN:
        console.write(f"             and {len(roots) - _ROOTS_SHOWN} more")
    if value["damage"]:
        console.warn(f"damaged: {value['damage']}")
        console.hint("run `ragcli rebuild`")


def _size(path: Path) -> int:
    """Return a file's size; 0 where it is none, or where a writer has removed it meanwhile."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
