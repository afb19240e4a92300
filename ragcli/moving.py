"""Plan -> index: what needs neither parser nor encoder, because the catalog holds its content already.

A file that was moved, renamed, copied or merely touched keeps what was read from it, and its vectors. Its new name is
found by its words at once. Vectors are made of texts with the file's name before them, and are not made again: they
stay those of the old name until the file changes or `rebuild` makes all anew. `StoredChunk.encoded` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ragcli.naming import Names, title_of
from ragcli.planning import Known, Plan
from ragcli.storage import moving
from ragcli.storage.catalog import Catalog
from ragcli.storage.keys import chunk_id
from ragcli.storage.nearby import source_at
from ragcli.storage.rows import StoredChunk, StoredFile
from ragcli.words import words


@dataclass(frozen=True, slots=True)
class Placed:
    """How many files came in by a copy, took another's content by one, or were moved, and how many those replaced."""

    added: int
    updated: int
    moved: int
    replaced: int


def place(catalog: Catalog, plan: Plan, collection: str) -> Placed:
    """Give the files of a plan whose content is known their places, all in one transaction: they may trade places."""
    with catalog.transaction():
        for one in plan.touched:
            if one.before.place is not None:
                catalog.touch(one.before.id, one.file.size, one.file.mtime_ns, one.read_at)
        for one in (*plan.touched, *plan.claimed):
            if one.before.place is None:  # it was imported, and now has a place
                moving.put_down(catalog, _at(one, one.before.source))
        if not (plan.moved or plan.copied):
            return Placed(0, 0, 0, 0)
        incoming = [*plan.moved, *plan.copied]
        there = {one.file.path for one in incoming if source_at(catalog, collection, one.file.path) is not None}
        staying = there - {one.before.path for one in plan.moved}
        naming = Names(catalog, collection, _left(plan))
        names = [naming.of(one.file) for one in incoming]  # before any of them is set aside
        moving.set_aside(catalog, (one.before.id for one in plan.moved))
        for at, one in enumerate(plan.moved):
            catalog.remove_path(collection, one.file.path)
            _move(catalog, one, names[at])
        for at, one in enumerate(plan.copied, len(plan.moved)):
            _copy(catalog, one, names[at])
    updated = sum(one.file.path in staying for one in plan.copied)
    replaced = sum(one.file.path in staying for one in plan.moved)
    return Placed(len(plan.copied) - updated, updated, len(plan.moved), replaced)


def _left(plan: Plan) -> set[Path]:
    """Return the paths that documents are moved away from, and where no file is any more."""
    there = {file.path for file in plan.changed} | {one.file.path for one in (*plan.moved, *plan.copied)}
    return {one.before.path for one in plan.moved} - there


def _move(catalog: Catalog, one: Known, name: str) -> None:
    file = _at(one, name)
    chunks, texts = _renamed(catalog, one.before, file, catalog.chunks_of(one.before.id))
    moving.put_down(catalog, file)
    moving.rename_chunks(catalog, chunks, texts)


def _copy(catalog: Catalog, one: Known, name: str) -> None:
    file = _at(one, name)
    chunks, texts = _renamed(catalog, one.before, file, catalog.chunks_of(one.before.id))
    if texts is None:
        stored = catalog.words_of(one.before.id)
        texts = [stored[chunk.id] for chunk in chunks]
    catalog.put_document(file, catalog.document(one.before.id), chunks, texts)


def _at(one: Known, name: str) -> StoredFile:
    """Return what is stored of a file at its new place."""
    file = one.file
    return replace(
        one.before,
        root=file.root,
        path=file.path,
        source=name,
        size=file.size,
        mtime_ns=file.mtime_ns,
        read_at=one.read_at,
    )


def _renamed(
    catalog: Catalog, before: StoredFile, after: StoredFile, chunks: Sequence[StoredChunk]
) -> tuple[list[StoredChunk], list[str] | None]:
    """Return a document's chunks under its new name, and their words, or None where these stay as they are."""
    text = catalog.text(before.id)
    old, new = title_of(before.source), title_of(after.source)
    renamed: list[StoredChunk] = []
    for chunk in chunks:
        ident = chunk_id(after.collection, after.source, chunk.start, chunk.end, text[chunk.start : chunk.end])
        context = _retitled(chunk.context, old, new)
        made_with = chunk.context if chunk.encoded is None else chunk.encoded
        encoded = None if chunk.vector is None or made_with == context else made_with
        renamed.append(replace(chunk, chunk_id=ident, context=context, encoded=encoded))
    if old == new:
        return renamed, None
    return renamed, [" ".join(words(f"{chunk.context}\n{text[chunk.start : chunk.end]}")) for chunk in renamed]


def _retitled(context: str, old: str, new: str) -> str:
    """Return a context with the new title in place of the old one, with which it begins unless that was cut short."""
    if old == new:
        return context
    return new + context[len(old) :] if old and context.startswith(old) else f"{new} > {context}"
