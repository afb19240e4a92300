"""Find damage in an index. What is found is mended by `indexing.rebuild`, from the catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ragcli.errors import IndexDamaged
from ragcli.storage.index import Index

SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, and what is wrong ("" where nothing is)."""

    name: str
    problem: str = ""


def check(index: Index, *, deep: bool = False, on_progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Look for damage. What is found in the vectors is noted in the index, so that no search answers short of it.

    The quick check compares files, counts and ids, and asks for a sample of vectors by themselves; the deep one reads
    every row of the catalog and asks for every vector.
    """
    findings = [Finding("catalog", _catalog_problem(index, deep))]
    findings += [Finding("chunks", _chunk_problem(index, deep)), Finding("words", _words_problem(index))]
    problem = index.damage() or _vector_problem(index, deep, on_progress)
    findings.append(Finding("vectors", problem))
    try:
        index.catalog.set_meta(damage=problem or None)
    except OSError as error:
        findings.append(Finding("note", f"the finding could not be noted in the index: {error}"))
    return findings


def _catalog_problem(index: Index, deep: bool) -> str:
    try:
        with index.catalog.mapped():
            pragma = "integrity_check" if deep else "quick_check"
            answer = index.catalog.connection.execute(f"PRAGMA {pragma}(3)").fetchall()
    except IndexDamaged as error:
        return error.message
    return "" if answer == [("ok",)] else "; ".join(str(row[0]) for row in answer)[:300]


def _chunk_problem(index: Index, deep: bool) -> str:
    with index.catalog.snapshot():
        for file in index.catalog.files():
            chunks = index.catalog.chunks_of(file.id)
            text = index.catalog.text(file.id) if deep else ""
            end = 0
            for chunk in chunks:
                if chunk.start < end or chunk.end <= chunk.start:
                    return f"{file.source}: chunk {chunk.chunk_id} overlaps the one before it"
                if deep and text[end : chunk.start].strip():
                    return f"{file.source}: text before chunk {chunk.chunk_id} is in no chunk"
                end = chunk.end
            if deep and (text[end:].strip() or end > len(text)):
                return f"{file.source}: its chunks do not end where its text does"
    return ""


def _words_problem(index: Index) -> str:
    chunks = index.catalog.counts()[1]
    try:
        with index.catalog.mapped():
            rows = index.catalog.connection.execute("SELECT count(*) FROM words").fetchone()[0]
            index.catalog.connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    except IndexDamaged as error:
        return error.message
    return "" if rows == chunks else f"{rows} rows of words for {chunks} chunks"


def _vector_problem(index: Index, deep: bool, on_progress: Callable[[int, int], None] | None) -> str:
    wanted = {chunk_id: key for chunk_id, key in index.catalog.all_chunk_ids() if key is not None}
    if not wanted:
        return ""
    try:
        missing = set(wanted) - index.vectors.ids()
        if missing:
            return f"{len(missing)} of {len(wanted)} chunks have no vector in Chroma"
        step = 1 if deep else max(1, len(wanted) // SAMPLE)
        chosen = list(wanted.items())[::step]
        return _self_query_problem(index, chosen, on_progress)
    except IndexDamaged as error:
        return error.message


def _self_query_problem(
    index: Index, chosen: list[tuple[str, bytes]], on_progress: Callable[[int, int], None] | None
) -> str:
    """Ask Chroma for vectors by themselves: each must come back, itself or its like, at a cosine of 1."""
    import numpy as np

    for at in range(0, len(chosen), 500):
        part = chosen[at : at + 500]
        stored = index.catalog.vectors(key for _, key in part)
        for done, (chunk_id, key) in enumerate(part, at + 1):
            if key not in stored:
                return f"the catalog has no vector for chunk {chunk_id}"
            found = index.vectors.search(np.frombuffer(stored[key], dtype=np.float32), 1)
            if not found or found[0][1] < 0.999:
                return f"the vector of chunk {chunk_id} does not find itself"
            if on_progress is not None and done % 50 == 0:
                on_progress(done, len(chosen))
    return ""
