"""`ragcli calibrate`: from labelled questions, the thresholds below which `ask` abstains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragcli.cli import asking, console, options
from ragcli.cli.batch import questions
from ragcli.cli.search import how
from ragcli.errors import UsageError

if TYPE_CHECKING:
    from ragcli.calibration import Figures, Thresholds


def calibrate(
    cases: Annotated[
        str, typer.Argument(metavar="CASES.jsonl", help="JSON Lines {id, question, answerable: true|false}.")
    ],
    limit: asking.Limit = 5,
    collection: options.Collections = None,
    mode: options.SearchMode = "hybrid",
    source: options.Sources = None,
    min_score: options.MinScore = 0.0,
    rerank: options.Rerank = "",
    model: asking.Model = "",
    adapter: asking.Adapter = None,
    adapter_scale: asking.AdapterScale = 1.0,
    device: asking.Device = None,
    temperature: asking.Temperature = None,
    seed: asking.Seed = 0,
    max_tokens: asking.MaxTokens = None,
    prompt: asking.Prompt = None,
    save: Annotated[bool, typer.Option("--set", help="Write the thresholds into the user's settings.")] = False,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find the thresholds of abstention that suit your own questions.

    Asks every question with no threshold in force, and takes those that answer the answerable ones and abstain from
    the others best. At least five of each are needed; fifty are better.
    """
    from ragcli import calibration
    from ragcli import settings as settings_module

    settings = asking.settings_of(
        index,
        model=model,
        device=device,
        temperature=temperature,
        max_tokens=max_tokens,
        rerank=rerank,
        judge="",
        prompt=prompt,
    )
    rows = questions(cases)
    for kind, name in ((True, "answerable"), (False, "unanswerable")):
        if sum(row.answerable == kind for row in rows) < calibration.LEAST_OF_EACH:
            raise UsageError(
                f"{cases} has fewer than {calibration.LEAST_OF_EACH} {name} questions",
                'each line is {"id": ..., "question": ..., "answerable": true or false}',
            )
    chosen, filters = how(mode, collection, source, min_score)
    request = asking.Request(limit, chosen, filters, seed, adapter, adapter_scale)
    outcomes = []
    with asking.asker(settings, request, thresholds=False) as asker, console.bar("asking", "questions") as bar:
        quotes = asker.model is None
        for at, row in enumerate(rows):
            bar.update(at, len(rows))
            answer = asker.ask(row.question)
            if answer.draft.interrupted:
                raise KeyboardInterrupt
            support = answer.support if answer.support is None or not quotes else 1.0
            outcomes.append(calibration.Outcome(row.answerable, answer.draft.evidence, support))
    now = calibration.Thresholds(
        settings.abstain_below if quotes else settings.nothing_below, 0.0 if quotes else settings.support_below
    )
    then = calibration.calibrate(outcomes)
    names = _named(then, quotes=quotes)
    if save:
        for name, value in names.items():
            settings_module.write_user(name, str(value))
    figures = {
        "now": calibration.figures(outcomes, now),
        "then": calibration.figures(outcomes, then),
        "held_out": calibration.held_out(outcomes),
    }
    if json:
        console.write_json(
            {
                "questions": len(rows),
                "answerable": sum(row.answerable for row in rows),
                "thresholds": {"now": _named(now, quotes=quotes), "then": names},
                **{name: _row(one) for name, one in figures.items()},
                "saved": str(settings_module.user_file()) if save else None,
            }
        )
        return
    for name, label in (("now", "as it is set now"), ("then", "with these thresholds"), ("held_out", "held out")):
        one = figures[name]
        console.write(
            f"{label:22} {one.answered:4.0%} of the answerable answered, {one.abstained:4.0%} of the others abstained "
            f"from; balanced {one.balanced:.2f}"
        )
    for name, value in names.items():
        console.write(f"{name} = {value:g}")
    if save:
        console.say(f"written to {settings_module.user_file()}", "dim")
    else:
        console.hint("the same with --set writes them into your settings")


def _named(thresholds: Thresholds, *, quotes: bool) -> dict[str, float]:
    """Return the settings that hold the thresholds."""
    if quotes:
        return {"abstain_below": thresholds.evidence}
    return {"nothing_below": thresholds.evidence, "support_below": thresholds.support}


def _row(figures: Figures) -> dict[str, Any]:
    return {
        "answered": round(figures.answered, 4),
        "abstained": round(figures.abstained, 4),
        "balanced": round(figures.balanced, 4),
    }
