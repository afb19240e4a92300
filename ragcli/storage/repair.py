"""Find damage in an index. What is found is mended by `rebuilding.rebuild`, from the documents in the catalog."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragcli.errors import IndexDamaged, IndexError_
from ragcli.storage.index import Index
from ragcli.storage.keys import chunk_id, vector_key
from ragcli.storage.rows import StoredFile
from ragcli.storage.vectors import VectorIndex, find_damage, open_noted
from ragcli.words import words

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors

SAMPLE = 200
_BATCH = 500

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, and what is wrong ("" where nothing is)."""

    name: str
    problem: str = ""


def check(index: Index, *, deep: bool = False, on_progress: OnProgress | None = None) -> list[Finding]:
    """Look for damage. What is found is noted in the index, so that no search answers short of it.

    The quick check compares files, counts and ids, and asks for a sample of vectors by themselves; the deep one reads
    every row again and compares it with what it was made from. A writer may be at work meanwhile.
    """
    findings = [Finding("catalog", _mapped(lambda: _catalog_problem(index, deep)))]
    with index.catalog.snapshot():
        findings += [
            Finding("chunks", _mapped(lambda: _chunk_problem(index, deep))),
            Finding("words", _mapped(lambda: _words_problem(index))),
            Finding("vectors", _mapped(lambda: _vector_problem(index, deep, on_progress))),
        ]
    problems = {finding.name: finding.problem for finding in findings if finding.problem}
    try:
        index.catalog.set_meta(damage=json.dumps(problems) if problems else None)
    except IndexError_ as error:
        findings.append(Finding("note", f"the finding could not be noted in the index: {error}"))
    return findings


def _mapped(look: Callable[[], str]) -> str:
    try:
        return look()
    except IndexDamaged as error:
        return error.message


def _catalog_problem(index: Index, deep: bool) -> str:
    with index.catalog.mapped():
        answer = index.catalog.connection.execute(f"PRAGMA {'integrity' if deep else 'quick'}_check(3)").fetchall()
        if answer != [("ok",)]:
            return "; ".join(str(row[0]) for row in answer)[:300]
        index.catalog.connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    return ""


def _chunk_problem(index: Index, deep: bool) -> str:
    lost = index.catalog.count_orphans()
    if lost:
        return f"{lost} chunks belong to no document"
    problems = (_document_problem(index, file, deep) for file in index.catalog.files())
    return next((problem for problem in problems if problem), "")


def _document_problem(index: Index, file: StoredFile, deep: bool) -> str:
    """Say where a document's chunks overlap, leave text out, or are not what they were made from."""
    text = index.catalog.text(file.id) if deep else ""
    stored_words = index.catalog.words_of(file.id) if deep else {}
    fingerprint = index.catalog.meta().get("fingerprint", "") if deep else ""
    end = 0
    for chunk in index.catalog.chunks_of(file.id):
        here = f"{file.source}: chunk {chunk.chunk_id}"
        if chunk.start < end or chunk.end <= chunk.start:
            return f"{here} overlaps the one before it"
        if deep:
            own = text[chunk.start : chunk.end]
            seen = f"{chunk.context}\n{own}"
            encoded = seen if chunk.encoded is None else f"{chunk.encoded}\n{own}"
            if text[end : chunk.start].strip():
                return f"{file.source}: text before chunk {chunk.chunk_id} is in no chunk"
            if chunk_id(file.collection, file.source, chunk.start, chunk.end, own) != chunk.chunk_id:
                return f"{here} does not say what it said when it was made"
            if chunk.vector not in (None, vector_key(fingerprint, encoded)):
                return f"{here} has the vector of another text"
            if stored_words.get(chunk.id) != " ".join(words(seen)):
                return f"{here} has the words of another text"
        end = chunk.end
    if deep and (text[end:].strip() or end > len(text)):
        return f"{file.source}: its chunks do not end where its text does"
    return ""


def _words_problem(index: Index) -> str:
    chunks, rows = index.catalog.counts()[1], index.catalog.count_words()
    return "" if rows == chunks else f"{rows} rows of words for {chunks} chunks"


def _vector_problem(index: Index, deep: bool, on_progress: OnProgress | None) -> str:
    """Look at the files first: Chroma may hang, crash or lie about damaged ones."""
    index.close_vectors()
    generation = index.generation()
    problem = find_damage(index.folder_of(generation), generation.files, deep=True)
    wanted = set(index.catalog.vector_keys()).difference(index.catalog.pending_keys())
    if problem or not (generation.count or wanted):
        return problem
    if not generation.count:
        return f"{len(wanted)} vectors are in no folder"
    chroma = open_noted(index.folder_of(generation), generation.files)
    try:
        there = chroma.keys()
        if len(there) != generation.count:
            return f"{len(there)} vectors are in Chroma instead of {generation.count}"
        missing = wanted - there
        if missing:
            return f"{len(missing)} of {len(wanted)} vectors are not in Chroma"
        step = 1 if deep else max(1, len(wanted) // SAMPLE)
        problems = _different(index, chroma, sorted(wanted)[::step], deep, on_progress)
        return next((problem for problem in problems if problem), "")
    finally:
        chroma.close()


def _different(
    index: Index, chroma: VectorIndex, keys: list[bytes], deep: bool, on_progress: OnProgress | None
) -> Iterator[str]:
    """Compare vectors in Chroma with those in the catalog.

    A vector that finds itself is as it should be. One that does not may still be: the graph of neighbours is
    approximate, and where thousands of vectors are the same, some cannot be reached.
    """
    import numpy as np

    for at in range(0, len(keys), _BATCH):
        part = keys[at : at + _BATCH]
        stored = {key: np.frombuffer(row, dtype=np.float32) for key, row in index.catalog.vectors(part).items()}
        if len(stored) < len(part):
            yield f"the catalog lacks {len(part) - len(stored)} vectors"
            return
        if not deep:
            part = [key for key in part if not _finds_itself(chroma, stored[key])]
        there = chroma.vectors(part) if part else {}
        for key in part:
            if key not in there or not np.allclose(there[key], stored[key], atol=1e-6):
                yield f"a vector in Chroma is not the one in the catalog ({key.hex()})"
        if on_progress is not None:
            on_progress(at + len(part), len(keys))


def _finds_itself(chroma: VectorIndex, vector: Vectors) -> bool:
    return any(cosine > 0.999 for _, cosine in chroma.search(vector, 1))
