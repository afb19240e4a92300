"""How often search finds the passage that answers: XQuAD in English and Chinese, two long texts, company reports.

Every set is ingested by `ragcli ingest` and asked by `ragcli search --batch` with the defaults. On the same chunks two
outside references are asked the same: bm25s with the same words, and plain cosine. Usage:

    python benchmarks/retrieval.py [xquad] [chunking] [financebench]
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from common import ENCODER, batch_search, data, index_of, report, squeeze

from ragcli import parts
from ragcli.settings import resolve
from ragcli.storage.index import Index
from ragcli.words import content_words, words

Hit = dict[str, Any]
Judge = Callable[[int, Hit], bool]


@dataclass(frozen=True)
class Row:
    """A question of XQuAD with what a hit must hold."""

    question: str
    source: str
    needle: str
    paragraph: str


def rounded(value: float) -> float:
    return round(value, 4)


def hit_rates(found: list[list[Hit]], judge: Judge, ks: tuple[int, ...]) -> dict[str, float]:
    """Share of the questions of which a hit among the first k is right."""
    return {
        f"hit@{k}": rounded(mean(any(judge(i, hit) for hit in hits[:k]) for i, hits in enumerate(found))) for k in ks
    }


@contextmanager
def references(index_folder: Path, questions: list[str], limit: int) -> Iterator[dict[str, list[list[Hit]]]]:
    """Ask bm25s and plain cosine over the same chunks, as hits of one chunk each."""
    import bm25s

    index = Index(index_folder)
    settings = resolve()
    with parts.llama_process(settings) as process:  # not used by this encoder
        embedder = parts.embedder(ENCODER, settings, process, lambda *_: None)
    chunks: list[Hit] = []
    texts: list[str] = []
    for file in index.catalog.files():
        text = index.catalog.text(file.id)
        for chunk in index.catalog.chunks_of(file.id):
            span = text[chunk.start : chunk.end]
            chunks.append(
                {"source": file.source, "page": chunk.page, "start": chunk.start, "end": chunk.end, "text": span}
            )
            texts.append(f"{chunk.context}\n{span}")
    index.close()
    retriever = bm25s.BM25()
    retriever.index([words(text) for text in texts], show_progress=False)
    by_words = []
    for question in questions:
        known = [w for w in content_words(question) if w in retriever.vocab_dict] or [next(iter(retriever.vocab_dict))]
        scores = retriever.get_scores(known)
        by_words.append([chunks[i] for i in np.argsort(-scores, kind="stable")[:limit]])
    vectors = embedder.embed_documents(texts)
    by_cosine = []
    for question in questions:
        cosines = vectors @ embedder.embed_query(question)
        by_cosine.append([chunks[i] for i in np.argsort(-cosines, kind="stable")[:limit]])
    yield {"bm25s": by_words, "cosine": by_cosine}


def legs(index: Path, questions: list[str], limit: int, measure: Callable[[list[list[Hit]]], Any]) -> dict[str, Any]:
    """Measure each mode of search, and the references."""
    figures = {}
    for mode in ("hybrid", "dense", "lexical"):
        figures[mode] = measure(batch_search(index, questions, limit, "--mode", mode))
    with references(index, questions, limit) as found:
        figures |= {name: measure(hits) for name, hits in found.items()}
    return figures


def xquad_rows(folder: Path, language: str) -> list[Row]:
    """Write one file per article: `# title`, then the paragraphs with blank lines between."""
    rows = []
    for article in json.loads((data("xquad") / f"xquad.{language}.dev.json").read_text("utf-8"))["data"]:
        name = f"{article['title']}.md"
        paragraphs = [paragraph["context"] for paragraph in article["paragraphs"]]
        (folder / name).write_text(
            "\n\n".join([f"# {article['title'].replace('_', ' ')}", *paragraphs]) + "\n", "utf-8"
        )
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                start = qa["answers"][0]["answer_start"]
                needle = paragraph["context"][max(0, start - 15) : start] + qa["answers"][0]["text"]
                rows.append(Row(qa["question"], name, squeeze(needle), paragraph["context"]))
    return rows


def xquad() -> dict[str, Any]:
    from opencc import OpenCC

    figures: dict[str, Any] = {}
    for language in ("en", "zh"):
        with tempfile.TemporaryDirectory() as folder:
            rows = xquad_rows(Path(folder), language)

            def judge(i: int, hit: Hit, rows: list[Row] = rows) -> bool:
                return hit["source"] == rows[i].source and rows[i].needle in squeeze(hit["text"])

            def measure(found: list[list[Hit]], judge: Judge = judge) -> dict[str, float]:
                return hit_rates(found, judge, (1, 5))

            questions = [row.question for row in rows]
            with index_of(Path(folder)) as index:
                figures[language] = {"questions": len(rows), **legs(index, questions, 5, measure)}
                if language == "zh":
                    traditional = [OpenCC("s2t").convert(q) for q in questions]
                    figures["zh_traditional"] = measure(batch_search(index, traditional, 5))
                else:
                    figures["en_few_shared_words"] = _few_shared(rows, index, judge)
    return figures


def _few_shared(rows: list[Row], index: Path, judge: Judge) -> dict[str, Any]:
    """Questions that share fewer than half their content words with the gold paragraph."""
    chosen = []
    for i, row in enumerate(rows):
        wanted = set(content_words(row.question))
        if len(wanted & set(words(row.paragraph))) * 2 < len(wanted):
            chosen.append(i)
    questions = [rows[i].question for i in chosen]

    def measure(found: list[list[Hit]]) -> dict[str, float]:
        return hit_rates(found, lambda n, hit: judge(chosen[n], hit), (1, 5))

    return {"questions": len(chosen), **legs(index, questions, 5, measure)}


def chunking() -> dict[str, Any]:
    """Share of gold characters that the top 5 hits cover, and share of the hits' characters that are gold."""
    rows: list[tuple[str, str, list[tuple[int, int]]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("state_of_the_union", "wikitexts"):
            (Path(folder) / name).mkdir()
        figures: dict[str, Any] = {}
        recalls: dict[str, list[float]] = {}
        precisions: dict[str, list[float]] = {}
        for name in ("state_of_the_union", "wikitexts"):
            target = Path(folder) / name / f"{name}.md"
            target.write_bytes((data("chunking") / f"{name}.md").read_bytes())
            lines = (data("chunking") / f"{name}.questions.jsonl").read_text("utf-8").splitlines()
            rows = []
            for line in lines:
                row = json.loads(line)
                spans = [(r["start_index"], r["end_index"]) for r in row["references"]]
                rows.append((row["question"], target.name, spans))

            def measure(found: list[list[Hit]], rows: list[Any] = rows, name: str = name) -> dict[str, Any]:
                pairs = [_coverage(hits, spans) for hits, (_, _, spans) in zip(found, rows, strict=True)]
                return {
                    "recall": [p[0] for p in pairs],
                    "precision": [p[1] for p in pairs],
                    "hit@5": [p[0] >= 0.5 for p in pairs],
                }

            with index_of(Path(folder) / name) as index:
                measured = legs(index, [row[0] for row in rows], 5, measure)
            for leg, values in measured.items():
                figures.setdefault(name, {})[leg] = {k: rounded(mean(v)) for k, v in values.items()}
                recalls.setdefault(leg, []).extend(values["recall"])
                precisions.setdefault(leg, []).extend(values["precision"])
                figures.setdefault("_hits", {}).setdefault(leg, []).extend(values["hit@5"])
    hits = figures.pop("_hits")
    both = {
        leg: {
            "recall": rounded(mean(recalls[leg])),
            "precision": rounded(mean(precisions[leg])),
            "hit@5": rounded(mean(hits[leg])),
        }
        for leg in recalls
    }
    return {"questions": len(recalls["hybrid"]), "both": both, **figures}


def _coverage(hits: list[Hit], spans: list[tuple[int, int]]) -> tuple[float, float]:
    shown = sum(hit["end"] - hit["start"] for hit in hits)
    gold = sum(end - start for start, end in spans)
    covered = sum(max(0, min(hit["end"], end) - max(hit["start"], start)) for hit in hits for start, end in spans)
    return covered / gold, covered / shown if shown else 0.0


def financebench() -> dict[str, Any]:
    """One index of all reports: is the gold page among the first hits? Questions of tables are counted apart, too."""
    rows = [json.loads(line) for line in (data("financebench") / "questions.jsonl").read_text("utf-8").splitlines()]
    gold = [{(f"{e['doc_name']}.pdf", e["evidence_page_num"] + 1) for e in row["evidence"]} for row in rows]
    of_tables = [any(is_table(e["evidence_text"]) for e in row["evidence"]) for row in rows]

    def measure(found: list[list[Hit]]) -> dict[str, int]:
        hits = {
            k: [any((hit["source"], hit["page"]) in gold[i] for hit in hits[:k]) for i, hits in enumerate(found)]
            for k in (5, 10)
        }
        return {f"page@{k}": sum(these) for k, these in hits.items()} | {
            f"{name}@{k}": sum(hit for hit, table in zip(these, of_tables, strict=True) if table is wanted)
            for name, wanted in (("tables", True), ("prose", False))
            for k, these in hits.items()
        }

    with index_of(data("financebench") / "pdfs") as index:
        opened = Index(index)
        documents = opened.catalog.counts()[0]
        opened.close()
        return {
            "questions": len(rows),
            "of_tables": sum(of_tables),
            "documents": documents,
            **legs(index, [row["question"] for row in rows], 10, measure),
        }


def is_table(evidence: str) -> bool:
    """Return whether a text is a table: a quarter of what stands between its spaces is numbers and signs."""
    cells = evidence.split()
    return 4 * sum(not any(map(str.isalpha, cell)) for cell in cells) > len(cells)


def main() -> None:
    sets = {"xquad": xquad, "chunking": chunking, "financebench": financebench}
    chosen = sys.argv[1:] or list(sets)
    report("retrieval", **{name: sets[name]() for name in chosen})


if __name__ == "__main__":
    main()
