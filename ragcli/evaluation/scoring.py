"""Case + response -> Row: every metric, the outcome, and where it stands. Pure.

A metric that does not apply to a case is left out; one that applies and could not be scored is None. Neither is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragcli.citations import check
from ragcli.evaluation.answer_metrics import copied, exact_match, f1, key_fact_recall
from ragcli.evaluation.outcomes import outcome
from ragcli.evaluation.records import Case, Context, Outcome, Response, Row
from ragcli.evaluation.retrieval_metrics import measure
from ragcli.evaluation.stages import row_stage
from ragcli.prompting import without_markers
from ragcli.records import Hit
from ragcli.support import support

KS = (1, 3, 5, 10)
SUPPORTED_FROM = 0.4
"""An answer counts as supported from here: where the citation check begins to call a sentence weak."""


def score(case: Case, response: Response, ks: Sequence[int] = KS) -> Row:
    """Return the scored case, without the cause of its failure."""
    texts = None if response.contexts is None else [context.text for context in response.contexts]
    judged = outcome(case, response.answer, response.abstained, texts)
    metrics: dict[str, float | None] = {}
    if case.gold and case.answerable and (found := response.hits or response.contexts) is not None:
        metrics |= measure(found, case.gold, ks)
    answered = judged.outcome != "refusal" and not (not case.answerable and judged.outcome == "correct")
    plain = without_markers(response.answer)
    if case.answerable and case.answers:
        metrics["em"] = exact_match(plain, case.answers, case.lang)
        metrics["f1"] = f1(plain, case.answers, case.lang)
    if case.answerable and case.key_facts:
        metrics["key_facts"] = key_fact_recall(plain, case.key_facts)
    borne: float | None = None
    taken = copied(plain, texts or ())
    if answered:
        if texts is not None:
            metrics["support"] = borne = support(plain, "\n".join(texts))
            metrics |= {"copied": taken.share, "coverage": taken.coverage, "density": taken.density}
        metrics |= _citation_metrics(response)
    if response.tokens is not None:
        metrics["tokens"] = response.tokens
    supported = None if borne is None else borne >= SUPPORTED_FROM or _stands_there(case, judged.outcome, texts or [])
    return Row(case, response, judged.outcome, row_stage(case, judged.outcome, supported, taken), None, metrics)


def _stands_there(case: Case, judged: Outcome, texts: Sequence[str]) -> bool:
    """Return whether a right answer's facts stand in the passages: its own words may be others than theirs."""
    facts = case.key_facts or ((case.answers,) if case.answers else ())
    return judged == "correct" and bool(facts) and key_fact_recall("\n".join(texts), facts) == 1.0


def score_retrieval(case: Case, hits: Sequence[Mapping[str, Any]], ms: float, ks: Sequence[int] = KS) -> Row:
    """Return the row of a case for which passages were found, and nothing was asked."""
    metrics = measure(hits, case.gold, ks) if case.gold and case.answerable else {}
    response = Response(case.id, "", None, None, hits=tuple(hits), ms=ms)
    return Row(case, response, None, None, None, metrics)


def _citation_metrics(response: Response) -> dict[str, float | None]:
    """Return citation recall and precision in ALCE's sense (Gao et al. 2023), by our own check of support.

    Recall: the share of sentences whose cited passages together support them; one that cites nothing counts as not
    supported. Precision: the share of citations that bear a sentence which is supported, at least in part.
    """
    if response.contexts is None or not response.citations:
        return {}
    sentences = check(response.answer, [_hit(context) for context in response.contexts])
    if not sentences:
        return {}
    cited = [citation for sentence in sentences for citation in sentence.citations]
    good = [
        citation
        for sentence in sentences
        if sentence.status == "supported"
        for citation in sentence.citations
        if citation.status != "unsupported"
    ]
    return {
        "citation_recall": sum(sentence.status == "supported" for sentence in sentences) / len(sentences),
        "citation_precision": len(good) / len(cited) if cited else 0.0,
    }


def _hit(context: Context) -> Hit:
    start = context.start or 0
    return Hit(
        1, context.score or 0.0, "", context.source, "", context.page, (), start, start + len(context.text), None,
        context.text,
    )  # fmt: skip
