"""Row -> why it failed, at the earliest step that lost it.

never-ingested         no gold source is in the index
lost-in-parsing        the gold's text is not in what was read of its source
not-retrieved          no candidate of retrieval holds it
ranked-too-low         a candidate holds it, and none of the hits that were used
dropped-from-prompt    a hit holds it that did not fit into the model's context
wrongly-abstained      it was in the prompt, and the answer was refused
ignored                it was in the prompt, and the answer is wrong all the same
should-have-abstained  the documents do not answer it, and it was answered
unsupported            the answer is right, and its passages do not bear it out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ragcli.evaluation.records import Case, Gold, Row
from ragcli.evaluation.retrieval_metrics import is_stale, relevance, same_source


class Corpus(Protocol):
    """What was ingested, and what retrieval finds in it."""

    @property
    def sources(self) -> Sequence[str]:
        """Names of all sources."""

    def text(self, source: str) -> tuple[str, Mapping[int, tuple[int, int]]]:
        """Return the text that was read of a source, and the span of each of its pages."""

    def candidates(self, question: str) -> Sequence[Mapping[str, Any]]:
        """Return the hits of a question, many more than are used."""


def explain(row: Row, corpus: Corpus | None = None) -> Row:
    """Return the row with the cause of its failure; as it is where it did not fail."""
    return replace(row, cause=_cause(row, corpus))


def named_by(gold: Gold, corpus: Corpus) -> list[str]:
    """Return the ingested sources that a gold's source can mean."""
    return [name for name in corpus.sources if gold.source and same_source(name, gold.source)]


def _cause(row: Row, corpus: Corpus | None) -> str | None:
    case = row.case
    if row.outcome == "correct":
        return "unsupported" if row.stage == "illusory" else None
    if not case.answerable:
        return "should-have-abstained"
    late = "wrongly-abstained" if row.outcome == "refusal" else "ignored"
    if not case.gold:
        return late
    return _lost(row, corpus) or late


def _lost(row: Row, corpus: Corpus | None) -> str | None:
    """Return the step before the answer that lost the gold; None where it was in the prompt, or nobody can say."""
    case, response = row.case, row.response
    if response.contexts is not None and _holds(response.contexts, case):
        return None
    if response.hits and _holds(response.hits, case):
        return "dropped-from-prompt" if response.contexts is not None else None
    if corpus is None:
        return "not-retrieved" if response.hits or response.contexts is not None else None
    named = [gold for gold in case.gold if gold.source]
    there = {gold: named_by(gold, corpus) for gold in named}
    if named and not any(there.values()):
        return "never-ingested"
    if named and all(is_stale(gold, *corpus.text(names[0])) for gold, names in there.items() if names):
        return "lost-in-parsing"
    return "ranked-too-low" if _holds(corpus.candidates(case.question), case) else "not-retrieved"


def _holds(passages: Sequence[Any], case: Case) -> bool:
    found = relevance(passages, case.gold)
    return found is not None and any(found.found)
