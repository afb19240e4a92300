"""At which step a question was lost, and what a scored row holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ragcli.evaluation.causes import explain
from ragcli.evaluation.records import Case, Context, Gold, Response
from ragcli.evaluation.scoring import score, score_retrieval

TEXT = "# Pump\n\nThe pump P-40 weighs 31 kg and holds 12 litres of oil."
QUOTE = "weighs 31 kg"
CASE = Case(
    "c", "What does the P-40 weigh?", ("31 kg",), gold=(Gold("pump.md", quote=QUOTE),), family="literal", lang="en"
)
RIGHT = Context(TEXT, "pump.md", None, 0, len(TEXT))
WRONG = Context("The night shift begins at ten.", "night.md", None, 0, 30)


def hit(context: Context) -> dict[str, Any]:
    return {"source": context.source, "page": None, "start": context.start, "end": context.end, "text": context.text}


class Corpus:
    """What was read, and what is found, as a test says."""

    def __init__(self, texts: dict[str, str], candidates: Sequence[Context] = ()) -> None:
        self._texts = texts
        self._candidates = candidates

    @property
    def sources(self) -> Sequence[str]:
        return list(self._texts)

    def text(self, source: str) -> tuple[str, Mapping[int, tuple[int, int]]]:
        return self._texts[source], {}

    def candidates(self, question: str) -> Sequence[Mapping[str, Any]]:
        return [hit(context) for context in self._candidates]


def response(answer: str, contexts: Sequence[Context], hits: Sequence[Context] | None = None) -> Response:
    return Response("c", answer, tuple(contexts), hits=tuple(map(hit, contexts if hits is None else hits)))


READ = {"pump.md": TEXT, "night.md": WRONG.text}


@pytest.mark.parametrize(
    ("answer", "contexts", "hits", "corpus", "cause"),
    [
        ("31 kg [1].", [RIGHT], None, Corpus(READ), None),
        ("35 kg.", [WRONG], None, Corpus({"night.md": WRONG.text}), "never-ingested"),
        ("35 kg.", [WRONG], None, Corpus(READ | {"pump.md": "The pump P-40 we1ghs 3l kq."}), "lost-in-parsing"),
        ("35 kg.", [WRONG], None, Corpus(READ, [WRONG]), "not-retrieved"),
        ("35 kg.", [WRONG], None, Corpus(READ, [WRONG, RIGHT]), "ranked-too-low"),
        ("35 kg.", [WRONG], [WRONG, RIGHT], Corpus(READ), "dropped-from-prompt"),
        ("35 kg.", [RIGHT], None, Corpus(READ), "ignored"),
        ("The documents do not answer this.", [RIGHT], None, Corpus(READ), "wrongly-abstained"),
        ("35 kg.", [WRONG], None, None, "not-retrieved"),
    ],
)
def test_the_earliest_step_that_lost_it(
    answer: str, contexts: list[Context], hits: list[Context] | None, corpus: Corpus | None, cause: str | None
) -> None:
    assert explain(score(CASE, response(answer, contexts, hits)), corpus).cause == cause


def test_what_no_document_answers() -> None:
    case = Case("u", "Who won the cup?", answerable=False)
    assert explain(score(case, response("France won it.", [WRONG]))).cause == "should-have-abstained"
    refused = explain(score(case, response("The documents do not answer this.", [WRONG])))
    assert (refused.outcome, refused.stage, refused.cause) == ("correct", "abstain-ok", None)


def test_a_right_answer_that_its_passages_do_not_bear() -> None:
    row = explain(score(CASE, response("The P-40 weighs 31 kg, as the brochure of 2019 said.", [WRONG])))
    assert (row.outcome, row.stage, row.cause) == ("correct", "illusory", "unsupported")


def test_a_right_answer_in_words_of_its_own_is_supported() -> None:
    case = Case("c", CASE.question, CASE.answers, gold=CASE.gold, family="paraphrase", lang="en")
    row = score(case, response("You will have to lift 31 kg.", [RIGHT]))
    assert (row.outcome, row.stage) == ("correct", "flexible")


def test_what_does_not_apply_is_left_out() -> None:
    row = score(CASE, Response("c", "31 kg"))
    assert set(row.metrics) == {"em", "f1"} and row.metrics["em"] == 1.0
    assert row.stage == "literal"
    known = score(CASE, response("31 kg [1].", [RIGHT]), (1,))
    assert known.metrics["hit@1"] == known.metrics["mrr"] == 1.0
    assert "hit@5" not in known.metrics and "citation_recall" not in known.metrics
    found = score_retrieval(CASE, [hit(WRONG), hit(RIGHT)], 3.0, (1, 3))
    assert (found.metrics["hit@1"], found.metrics["hit@3"], found.metrics["mrr"]) == (0.0, 1.0, 0.5)
    assert (found.outcome, found.stage, found.cause) == (None, None, None), "nothing was asked"


def test_citations_by_alce() -> None:
    """Two of three sentences are supported; of three citations, that of the wrong sentence and none other is bad."""
    answer = "The pump P-40 weighs 31 kg [1]. It holds 90 litres of oil [1]. The night shift begins at ten [2]."
    cited = Response("c", answer, (RIGHT, WRONG), citations=({"marker": 1}, {"marker": 2}))
    metrics = score(CASE, cited).metrics
    assert metrics["citation_recall"] == pytest.approx(2 / 3)
    assert metrics["citation_precision"] == pytest.approx(2 / 3)
