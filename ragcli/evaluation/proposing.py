"""Documents -> draft cases for a person to accept or drop, each with its quote; a model may word the question. Pure."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from ragcli.evaluation.drafting import Draft, drafts
from ragcli.generation.expected import identifiers
from ragcli.records import Document
from ragcli.words import content_words, fold, latin_share, words

Write = Callable[[str, str, str], str | None]
"""(passage, quote, language) -> a question whose answer the quote holds, or None."""

_MAX_QUESTION = 300
_TOLD_ELSEWHERE = 0.6
"""Share of a question's words beside its answer from which another document may answer it, too."""
_IDENTIFIER = re.compile(r"(?<![A-Za-z\d])[A-Za-z]{1,6}[-‐‑]?\d{1,6}[A-Za-z]{0,2}(?![A-Za-z\d])")
_TITLE = re.compile(r"[“《]([^”》]+)[”》]")
_MOST_DOCUMENTS = 200
"""At most as many documents are read for drafts, or as many as drafts are asked for."""


def propose(
    documents: Sequence[tuple[str, Document]], count: int, *, seed: int = 0, write: Write | None = None
) -> list[dict[str, Any]]:
    """Return up to `count` draft cases of the contract's form, spread over the sources, the same for the same seed.

    `write` may word the question. What it gives is used where it is one line, in the quote's language, not asked yet
    and without the answer; else the rule's question stands.
    """
    rows: list[dict[str, Any]] = []
    asked: set[str] = set()
    for draft in _spread(documents, count, seed):
        if len(rows) >= count:
            break
        question = draft.question
        if write is not None and (written := _written(draft, write(draft.passage, draft.quote, draft.lang))):
            question = written if fold(written) not in asked else question
        if fold(question) in asked:
            continue
        asked.add(fold(question))
        rows.append(_row(f"draft-{len(rows) + 1:04d}", replace(draft, question=question)))
    return rows


def unanswerable(documents: Sequence[tuple[str, Document]], count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return up to `count` draft cases without an answer: by turns those of `left_out` and of `invented`."""
    both = zip_longest(left_out(documents, count, seed=seed), invented(documents, count, seed=seed))
    rows = [row for row in chain.from_iterable(both) if row is not None][:count]
    return [row | {"id": f"draft-none-{number:04d}"} for number, row in enumerate(rows, 1)]


def left_out(documents: Sequence[tuple[str, Document]], count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return questions that one document alone answers. `left_out` names it: ask them of an index without it."""
    told = {source: fold(document.text) for source, document in documents}
    names = {source: identifiers(document.text) for source, document in documents}
    held = {source: set(words(document.text)) for source, document in documents}
    rows: list[dict[str, Any]] = []
    for draft in _spread(documents, count, seed, clozes=False):
        if len(rows) >= count:
            break
        others = [source for source in told if source != draft.source]
        own = _own_names(draft)
        unknown = {name for name in own if not any(name in told[other] or name in names[other] for other in others)}
        asked = set(content_words(draft.question))
        answer = fold(draft.answer)
        elsewhere = any(
            answer in told[other] and len(asked & held[other]) >= _TOLD_ELSEWHERE * len(asked) for other in others
        )
        if unknown and not elsewhere:
            rows.append(_empty(f"draft-out-{len(rows) + 1:04d}", draft) | {"left_out": draft.source})
    return rows


def invented(documents: Sequence[tuple[str, Document]], count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return questions about a name that no document holds: VC-8 becomes VC-7, or VC-93."""
    there = set[str]().union(*(identifiers(document.text) for _, document in documents))
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    asked: set[str] = set()
    for draft in _spread(documents, count, seed, clozes=False):
        if len(rows) >= count:
            break
        found = _IDENTIFIER.search(_TITLE.sub("", draft.question))
        name = _other_name(found.group(), there, chance) if found else ""
        if found is None or not name:
            continue
        question = re.sub(rf"(?<![A-Za-z\d]){re.escape(found.group())}(?![A-Za-z\d])", name, draft.question)
        if fold(question) not in asked:
            asked.add(fold(question))
            rows.append(_empty(f"draft-new-{len(rows) + 1:04d}", replace(draft, question=question)))
    return rows


def _row(id: str, draft: Draft) -> dict[str, Any]:
    gold = {
        "source": draft.source, "page": draft.page, "quote": draft.quote, "start": draft.start, "end": draft.end,
    }  # fmt: skip
    return {
        "id": id,
        "question": draft.question,
        "answers": [draft.answer],
        "answerable": True,
        "key_facts": [[draft.answer]],
        "gold": [gold],
        "family": "literal",
        "lang": draft.lang,
        "proposed": True,
    }


def _empty(id: str, draft: Draft) -> dict[str, Any]:
    nothing: dict[str, Any] = {"answers": [], "answerable": False, "key_facts": [], "gold": []}
    return _row(id, draft) | nothing | {"family": "unanswerable"}


def _written(draft: Draft, question: str | None) -> str:
    """Return a model's question where it may be used, else ""."""
    question = (question or "").strip().strip("\"'“”").strip()
    if not 6 <= len(question) <= _MAX_QUESTION or "\n" in question or question[-1] not in "?？":
        return ""
    if (latin_share(question) < 0.5) != (draft.lang == "zh") or _gives_away(question, draft.answer):
        return ""
    return question


def _gives_away(question: str, answer: str) -> bool:
    asked, told = fold(question), fold(answer).strip()
    boundary = r"(?<![\w.,]){}(?![\w])" if told.isascii() else "{}"
    return re.search(boundary.format(re.escape(told)), asked) is not None


def _own_names(draft: Draft) -> set[str]:
    """Return the names in a question, folded: identifiers, the title it names, and words with a capital."""
    titles = {fold(title) for title in _TITLE.findall(draft.question)}
    capitals = set(re.findall(r"(?<=\s)[A-Z][A-Za-z]{3,}\b", draft.question)) if draft.lang == "en" else set()
    return identifiers(draft.question) | titles | {fold(name) for name in capitals}


def _other_name(name: str, there: set[str], chance: random.Random) -> str:
    """Return a name of the same shape that is not there, "" where all are taken. The number may grow by one digit."""
    match = re.search(r"\d+", name)
    assert match is not None
    for more in (0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1):
        length = len(match.group()) + more
        number = str(chance.randrange(10 ** (length - 1), 10**length))
        if match.group().startswith("0") and not more:
            number = "0" + number[1:]
        other = name[: match.start()] + number + name[match.end() :]
        if int(number) and not identifiers(other) & there:
            return other
    return ""


def _spread(
    documents: Sequence[tuple[str, Document]], count: int, seed: int, *, clozes: bool = True
) -> Iterator[Draft]:
    """Yield the drafts of all documents, one of each by turns; sentences with a gap only when all else is used up."""
    chance = random.Random(seed)
    ordered = sorted(documents, key=lambda named: named[0])
    chance.shuffle(ordered)
    chosen = ordered[: max(count, _MOST_DOCUMENTS)]
    own_drafts = [_shuffled(list(drafts(source, document)), chance) for source, document in chosen]
    answers: dict[str, set[str]] = {}
    for draft in chain.from_iterable(own_drafts):
        answers.setdefault(fold(draft.question), set()).add(fold(draft.answer))
    for cloze in (False, True) if clozes else (False,):
        turns = zip_longest(*([draft for draft in own if (draft.kind == "cloze") == cloze] for own in own_drafts))
        for turn in chain.from_iterable(turns):
            if turn is not None and len(answers[fold(turn.question)]) == 1:  # no two documents that disagree
                yield turn


def _shuffled(made: Sequence[Draft], chance: random.Random) -> list[Draft]:
    """Return drafts in a random order, one of each kind by turns, without questions that have two answers."""
    times = Counter(fold(draft.question) for draft in made)
    kinds: dict[str, list[Draft]] = {}
    for draft in made:
        if times[fold(draft.question)] == 1 and not _gives_away(draft.question, draft.answer):
            kinds.setdefault(draft.kind, []).append(draft)
    for own in kinds.values():
        chance.shuffle(own)
    seen: set[tuple[int, int]] = set()
    ordered = []
    gaps = kinds.pop("cloze", [])
    turns = list(kinds.values())
    chance.shuffle(turns)
    for draft in chain(chain.from_iterable(zip_longest(*turns)), gaps):
        if draft is not None and (draft.start, draft.end) not in seen:
            seen.add((draft.start, draft.end))
            ordered.append(draft)
    return ordered
