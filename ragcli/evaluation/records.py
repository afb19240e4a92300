"""The kinds of data that flow through an evaluation.

case files -> Case;  ask or recorded answers -> Response;  Case + Response -> Row -> Run -> Report
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal[
    "literal", "paraphrase", "synthesis", "inference", "noise", "counterfactual", "unanswerable", "crosslingual"
]
EXPLAINING: frozenset[str] = frozenset({"paraphrase", "synthesis", "inference"})
"""Families whose questions ask for an explanation and not for a span."""

Outcome = Literal["correct", "incorrect", "refusal"]
Stage = Literal["illusory", "rigid", "flexible", "abstain-ok", "literal"]


@dataclass(frozen=True, slots=True)
class Gold:
    """Where an answer stands: a source, and its page (from 1), a quote, or a span of code points, as far as known."""

    source: str
    page: int | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One question with what is known of its answer. `line` is where it stands in its file, from 1.

    `answers` are spellings of the one right answer; `key_facts` are facts that a right answer holds, each with its
    aliases. `lang` is "en", "zh" or another code; "" where it was not said. `left_out` is a source that is taken away
    while the question is asked: without it, nothing answers it.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    answerable: bool = True
    key_facts: tuple[tuple[str, ...], ...] = ()
    gold: tuple[Gold, ...] = ()
    family: Family | None = None
    lang: str = ""
    line: int = 0
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """A passage that an answer had before it. `source` is "" and the rest None where that is not known."""

    text: str
    source: str = ""
    page: int | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What a system made of a case. `contexts` is None where they were not recorded, `abstained` where not said.

    `citations` and `hits` are the contract's JSON objects of `ask`, empty for recorded answers. `ms` is the time that
    the answer took, None where it is not known; `tokens` the completion's length.
    """

    id: str
    answer: str
    contexts: tuple[Context, ...] | None = None
    abstained: bool | None = None
    citations: tuple[Mapping[str, Any], ...] = ()
    hits: tuple[Mapping[str, Any], ...] = ()
    ms: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A scored case. A metric that could not be scored is None, never 0. `document` is the first gold source, or "".

    `outcome` is None where nothing was asked.
    """

    case: Case
    response: Response
    outcome: Outcome | None
    stage: Stage | None
    cause: str | None
    metrics: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def document(self) -> str:
        """The source document by which rows are drawn together in the bootstrap."""
        return self.case.gold[0].source if self.case.gold else ""
