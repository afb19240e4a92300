"""A row of a form that people already have -> the contract's fields, unchecked.

What a form calls gold but gives no document for (ragas, RGB) has the source "": it is looked for by its quote alone.
Raises ValueError where a row cannot be understood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, Literal

from ragcli.sentences import sentences

Form = Literal["ragcli", "ragas", "squad", "cmrc", "beir", "rgb", "financebench"]
Fields = dict[str, Any]
Translate = Callable[[int, Fields], Fields]
"""Called with a row's position, from 1, which becomes its id where it has none."""
_IDS = ("id", "_id", "question_id", "query_id")


def form_of(row: Any) -> tuple[Form, Translate]:
    """Return which form a row has, and how it is turned into the contract's."""
    names = row.keys() if isinstance(row, dict) else set()
    if "financebench_id" in names or {"evidence", "question"} <= names:
        return "financebench", _financebench
    if "query" in names and names & {"positive", "negative"}:
        return "rgb", _rgb
    if "context" in names and isinstance(row.get("answers"), dict):
        return "squad", _flat
    if "question" in names and names & {"answers", "key_facts", "gold", "answerable"}:
        return "ragcli", _own
    if names & {"user_input", "ground_truth", "ground_truths", "reference", "reference_contexts"}:
        return "ragas", _ragas
    if {"question"} <= names and names & {"answer", "contexts"}:
        return "ragas", _ragas
    return "ragcli", _own


def _own(position: int, row: Fields) -> Fields:
    return row


def _ragas(position: int, row: Fields) -> Fields:
    """Turn a row of ragas, of any version, into the contract's.

    `reference` or `ground_truth` is the answer; where neither stands, `answer` is. `contexts` are gold in a set of
    questions, but what was retrieved in a row that holds a system's answer beside the truth.
    """
    question = first_of(row, "user_input", "question")
    if isinstance(question, list):
        raise ValueError('"user_input" is a conversation; single questions are read')
    truth = first_of(row, "reference", "ground_truth", "ground_truths", "answers")
    answered = row.get("response") is not None or (truth is not None and row.get("answer") is not None)
    if truth is None and row.get("response") is None:
        truth = row.get("answer")
    quotes = first_of(row, "reference_contexts", *(() if answered else ("contexts",)))
    known = filled(row.get("metadata"))
    return {
        "id": _ident(position, row),
        "question": question,
        "answers": filled(truth),
        "gold": [_quoted(quote, known[i] if i < len(known) else {}) for i, quote in enumerate(filled(quotes))],
        **{name: row[name] for name in ("answerable", "family", "lang", "key_facts") if row.get(name) is not None},
    }


def _quoted(quote: object, metadata: object) -> Fields:
    """Return the gold of a context, whose document a list of metadata may name."""
    known = metadata if isinstance(metadata, dict) else {}
    source = first_of(known, "source", "file_path", "filename", "file_name")
    return {"source": source if isinstance(source, str) else "", "quote": quote}


def _rgb(position: int, row: Fields) -> Fields:
    """Turn a row of RGB into the contract's: `answer` lists the facts that are asked for, each a text or its aliases.

    A row with a made-up answer is of the family counterfactual, one with passages for each fact of synthesis.
    """
    facts = [fact for one in filled(row.get("answer")) if (fact := filled(one))]
    passages = filled(row.get("positive"))
    nested = any(isinstance(passage, list) for passage in passages)
    family = "counterfactual" if "fakeanswer" in row else "synthesis" if nested else None
    flat = [quote for passage in passages for quote in filled(passage)]
    return {
        "id": _ident(position, row),
        "question": row.get("query"),
        "answers": facts[0] if len(facts) == 1 else [", ".join(str(fact[0]) for fact in facts)] if facts else [],
        "key_facts": facts,
        "gold": [{"source": "", "quote": quote} for quote in flat],
        "family": family,
    }


def _financebench(position: int, row: Fields) -> Fields:
    """Turn a row of FinanceBench into the contract's; its pages count from 0."""
    gold = []
    for evidence in filled(row.get("evidence")):
        if not isinstance(evidence, dict):
            raise ValueError(f'"evidence" holds {shown(evidence)}')
        page = evidence.get("evidence_page_num")
        if page is not None and (not isinstance(page, int) or isinstance(page, bool) or page < 0):
            raise ValueError(f'"evidence_page_num" is {shown(page)}')
        source = first_of(evidence, "doc_name", "evidence_doc_name") or row.get("doc_name")
        quote = evidence.get("evidence_text") or None
        gold.append({"source": source, "page": None if page is None else page + 1, "quote": quote})
    return {
        "id": _ident(position, row, "financebench_id"),
        "question": row.get("question"),
        "answers": filled(first_of(row, "answer", "gold_answer")),
        "gold": gold,
    }


def nested(documents: Iterable[Any]) -> Iterator[Fields]:
    """Yield the questions of SQuAD 1.1 and 2, and of CMRC 2018 in either form, each as `squad` reads it."""
    for document in documents:
        if not isinstance(document, dict):
            yield {"question": document}
            continue
        articles = document.get("data") if "data" in document else [{"paragraphs": [document]}]
        for article in _dicts(articles):
            for paragraph in _dicts(article.get("paragraphs")):
                yield from _paragraph(article, paragraph)


def _paragraph(article: Fields, paragraph: Fields) -> Iterator[Fields]:
    text = first_of(paragraph, "context", "context_text")
    context = text if isinstance(text, str) else ""
    source = first_of(paragraph, "title", "context_id") or first_of(article, "title") or first_of(paragraph, "id") or ""
    cut: list[tuple[int, int]] | None = None
    for question in _dicts(paragraph.get("qas")):
        cut = sentences(context) if cut is None else cut
        yield {**question, "_source": source, "_context": context, "_sentences": cut}


def _flat(position: int, row: Fields) -> Fields:
    """Turn a row of SQuAD or CMRC as data sets keep it, flat and its answers by columns, into the contract's."""
    paragraph = {"title": row.get("title"), "context": row.get("context"), "qas": [row]}
    return squad(position, next(_paragraph({}, paragraph)))


def squad(position: int, row: Fields) -> Fields:
    """Turn a question of SQuAD or CMRC into the contract's.

    Its offsets count within a paragraph, which nobody's file is; so gold is quoted: the sentence that holds the first
    answer. A word or a number by itself would stand in many other places.
    """
    answers = row.get("answers")
    if isinstance(answers, dict):  # by columns
        columns = zip_longest(filled(answers.get("text")), filled(answers.get("answer_start")))
        answers = [{"text": text, "answer_start": start} for text, start in columns]
    pairs = [(a.get("text"), a.get("answer_start")) if isinstance(a, dict) else (a, None) for a in filled(answers)]
    fields = {"id": _ident(position, row, "query_id"), "question": first_of(row, "question", "query_text")}
    if row.get("is_impossible") is True or (not pairs and isinstance(answers, list)):
        return fields | {"answerable": False}
    quote = _sentence(row["_context"], row["_sentences"], *pairs[0]) if "_context" in row and pairs else None
    gold = [{"source": row["_source"], "quote": quote}] if quote or row.get("_source") else []
    return fields | {
        "answers": [text for text, _ in pairs],
        "gold": gold,
    }


def _sentence(context: str, cut: list[tuple[int, int]], answer: object, start: object) -> str | None:
    """Return the sentences of `context` that hold the answer, or None where it does not stand there."""
    if not isinstance(answer, str) or not answer.strip():
        return None
    at = start if isinstance(start, int) else -1
    if at < 0 or context[at : at + len(answer)] != answer:
        at = context.find(answer)
    if at < 0:
        return None
    held = [(a, b) for a, b in cut if a < at + len(answer) and b > at]
    return context[held[0][0] : held[-1][1]] if held else answer


def first_of(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first of these fields that is there and not null."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def shown(value: object) -> str:
    """Return a value from a file as messages show it: short, on one line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def _ident(position: int, row: Fields, *names: str) -> Any:
    ident = first_of(row, *names, *_IDS)
    return position if ident is None else ident


def filled(value: Any) -> list[Any]:
    """Return a value as a list, without what is null or blank."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if v is not None and not (isinstance(v, str) and not v.strip())]


def _dicts(value: Any) -> list[Fields]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
