"""`ragcli eval`: how good retrieval and answers are, where they fail, and whether that is better than before."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragcli import __version__
from ragcli.cli import asking, console, eval_summary, options
from ragcli.cli.search import how, searching
from ragcli.errors import UsageError

if TYPE_CHECKING:
    from ragcli.answering import Answer
    from ragcli.evaluation.judging import Judging
    from ragcli.evaluation.records import Case, Row
    from ragcli.evaluation.runs import Run
    from ragcli.generation.judge import Judge
    from ragcli.settings import Settings


def eval(  # noqa: A001
    cases: Annotated[
        str, typer.Argument(metavar="CASES.jsonl", help="Cases: ragcli's own form, ragas, SQuAD, CMRC, BEIR, RGB.")
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Only check the cases.")] = False,
    retrieval_only: Annotated[bool, typer.Option("--retrieval-only", help="Search, and ask nothing.")] = False,
    answers: Annotated[
        Path | None, typer.Option("--answers", metavar="FILE", help="Score these recorded answers instead of asking.")
    ] = None,
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
    max_tokens: asking.MaxTokens = None,
    prompt: asking.Prompt = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="RUN.json", help="Write the run here.")] = None,
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="ROWS.jsonl", help="Write each row here as it is scored.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a report to look at.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="RUN.json", help="Compare with this run, pair by pair.")
    ] = None,
    max_drop: Annotated[
        list[str] | None,
        typer.Option("--max-drop", metavar="METRIC=X", help="Fail where a metric may have dropped by more."),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", metavar="METRIC=X", help="Fail where a metric may be lower."),
    ] = None,
    human_labels: Annotated[
        Path | None, typer.Option("--human-labels", metavar="FILE", help="People's labels of some rows.")
    ] = None,
    judge: asking.JudgeName = "",
    first: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Only the first N cases; 0 means all.")] = 0,
    propose: Annotated[
        int,
        typer.Option(
            "--propose", metavar="N", min=0, help="Draft N cases from the index, to accept one by one into CASES.jsonl."
        ),
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rows that --rows holds.")] = False,
    seed: asking.Seed = 0,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure retrieval and answers on a case file: figures with intervals, causes of failure, and the stage.

    Exit code 1: a gate (--fail-under, --max-drop) does not hold.
    """
    import hashlib
    import tempfile

    from ragcli.evaluation import cases as case_files
    from ragcli.evaluation import compare, running, runs, stages

    settings = asking.settings_of(
        index,
        model=model,
        device=device,
        temperature=temperature,
        max_tokens=max_tokens,
        rerank=rerank,
        judge=judge,
        prompt=prompt,
    )
    if propose:
        from ragcli.cli.proposing import offer

        offer(settings, propose, Path(cases) if cases else None, seed=seed, json=json)
        return
    if not cases:
        raise UsageError("no case file was given", "ragcli eval CASES.jsonl; `--propose 20` drafts cases")
    gates = (_limits(fail_under, "--fail-under"), _limits(max_drop, "--max-drop"))
    if resume and rows is None:
        raise UsageError("--resume goes on with a file of rows", "name it: --rows ROWS.jsonl")
    if retrieval_only and answers is not None:
        raise UsageError("give --retrieval-only or --answers, not both")
    if retrieval_only and human_labels is not None:
        raise UsageError("give --retrieval-only or --human-labels, not both", "people's labels are of answers")
    file = case_files.read_cases("-" if cases == "-" else Path(cases))
    chosen = file.cases[: first or None]
    before = None if baseline is None else runs.read_run(baseline)
    labels = None if human_labels is None else compare.read_labels(human_labels)
    for warning in file.warnings:
        console.warn(warning)
    if check:
        eval_summary.show_checked(file, json=json)
        return
    with ExitStack() as stack:
        how_, filters = how(mode, collection, source, min_score)
        request = asking.Request(limit, how_, filters, seed, adapter, adapter_scale)
        judging: Judging | None = None
        made: dict[str, str | None] = {
            "cases": hashlib.sha256(json_module.dumps([file.sha256, first]).encode()).hexdigest(),
            "version": __version__,
            "judge": settings.judge or None,
        }
        if answers is not None:
            from ragcli.evaluation.responses import read_responses

            recorded = read_responses(answers, {case.id for case in chosen})
            for warning in recorded.warnings:
                console.warn(warning)
            made["model"] = f"recorded answers {recorded.sha256[:16]}"
            if settings.judge:
                from ragcli import parts

                process = stack.enter_context(parts.llama_process(settings))
                served = stack.enter_context(parts.language_models(_without_model(settings), process))
                for notice in served.notices:
                    console.say(notice, "yellow")
                judging = _judging(served.judge)

            def scored(done: Mapping[str, Row]) -> Iterator[Row]:
                return running.score_all(chosen, recorded.responses, done)
        else:
            if retrieval_only:  # no language model is loaded, or even needed
                found = stack.enter_context(searching(settings))
            else:
                asker = stack.enter_context(asking.asker(settings, request))
                found = asker.index, asker.embedder, asker.reranker
            index_, embedder, reranker = found
            corpus = running.IndexCorpus(index_, embedder, how_, filters, reranker)
            made |= {"corpus": corpus.fingerprint(), "settings": _settings_fingerprint(settings, request)}
            _warn_gold(chosen, corpus, strict=file.form == "ragcli", name=cases)
            if retrieval_only:
                made |= {"model": "retrieval only", "judge": None}

                def scored(done: Mapping[str, Row]) -> Iterator[Row]:
                    return running.search_all(chosen, corpus, max(limit, 10), done)
            else:
                told = asker.writer.to_json()
                made |= {"model": _model_fingerprint(asker, settings), "prompt": told.get("prompt", {}).get("sha256")}
                made["adapter"] = None if adapter is None else _file_fingerprint(adapter)
                judging = _judging(asker.judge)

                def ask(case: Case) -> Answer:
                    return asker.ask(case.question, without=(case.left_out,) if case.left_out else ())

                def scored(done: Mapping[str, Row]) -> Iterator[Row]:
                    return running.ask_all(chosen, ask, corpus, done, limit)

        path = rows or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "rows.jsonl"
        log = stack.enter_context(runs.RowLog(path, made, chosen, resume))
        bar = stack.enter_context(console.bar("evaluating", "questions"))
        done = dict(log.rows)
        for row in scored(dict(done)):
            row = row if judging is None else judging.score(row)
            log.append(row)
            done[row.case.id] = row
            bar.update(len(done), len(chosen))
    ordered = [done[case.id] for case in chosen if case.id in done]
    thresholds = stages.Thresholds(
        settings.stage_illusory,
        settings.stage_flexible,
        settings.stage_refused,
        settings.stage_cases,
        settings.stage_sure,
    )
    run = runs.summarize(ordered, made, thresholds, seed=seed)
    comparison = None if before is None else compare.compare(run, before, seed=seed)
    agreement = None if labels is None else compare.agreement(ordered, labels)
    more: dict[str, Any] = {}
    if judging is not None:
        from ragcli.evaluation.judging import agreement as agreed

        more["judge"] = {"asked": judging.asked, "unscored": judging.unscored, "agreement": agreed(ordered)}
        if judging.warning:
            console.warn(judging.warning)
    if comparison is not None:
        more["compare"] = comparison.to_json()
    if agreement is not None:
        people = stages.declare(compare.relabelled(ordered, labels or {}), thresholds, seed=seed)
        more["human"] = agreement.to_json() | {"declared": people.to_json()}
    breaches = compare.gate(run, comparison, *gates)
    if gates[0] or gates[1]:
        more["breaches"] = [
            {"metric": b.metric, "bound": b.bound, "limit": b.limit, "questions": list(b.questions)} for b in breaches
        ]
    if out is not None:
        runs.write_run(out, run, **more)
    if report is not None:
        _write_report(report, {**run.to_json(), **more}, ordered, before)
    if json:
        console.write_json({**run.to_json(), **more})
    else:
        people = more.get("human", {}).get("declared")
        eval_summary.show(run, comparison, agreement, people, breaches, report)
        if judging is not None:
            eval_summary.show_judge(more["judge"])
    if breaches:
        raise typer.Exit(1)


def _judging(judge: Judge | None) -> Judging | None:
    """Return what asks the judge model about rows, or None where none was named."""
    from ragcli.evaluation.judging import Judging

    return None if judge is None else Judging(judge.generator)


def _without_model(settings: Settings) -> Settings:
    """Return the settings for answers that were recorded: nothing but the judge is loaded."""
    return replace(settings, values={**settings.values, "model": "", "rerank": ""})


def _limits(given: list[str] | None, option: str) -> dict[str, float]:
    limits = {}
    for text in given or ():
        name, _, value = text.partition("=")
        try:
            limits[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"{option} {text}: expected METRIC=NUMBER", f"for example {option} hit@5=0.9") from None
    return limits


def _warn_gold(cases: tuple[Case, ...], corpus: Any, *, strict: bool, name: str) -> None:
    """Warn of gold that changed since, and refuse a file whose gold names no source of this index at all."""
    from ragcli.evaluation.retrieval_metrics import same_source
    from ragcli.evaluation.running import stale

    lines = {gold.source: case.line for case in reversed(cases) for gold in case.gold if gold.source}
    strange = sorted(
        (one for one in lines if not any(same_source(there, one) for there in corpus.sources)), key=lines.__getitem__
    )
    if strange and strict and len(strange) == len(lines):
        raise UsageError(
            f"{name}, line {lines[strange[0]]}: {strange[0]} is not in this index, nor is any other source of the gold",
            "ingest the documents that the cases are about, or name their index with --index",
        )
    if strange:
        shown = ", ".join(f"{one} (line {lines[one]})" for one in strange[:3])
        console.warn(f"{len(strange)} sources of the gold are not in the index: {shown}")
    changed = stale(cases, corpus)
    if changed:
        console.warn(f"the gold of {len(changed)} cases is in its source no more: {', '.join(changed[:5])}")


def _settings_fingerprint(settings: Settings, request: asking.Request) -> str:
    """Return a digest of what decides answers beside corpus, prompt and model."""
    import hashlib

    names = ("context_size", "max_tokens", "temperature", "abstain_below", "nothing_below", "support_below", "rerank")
    values = {name: getattr(settings, name) for name in names}
    made = [values, request.limit, request.mode, request.filters.collections, request.filters.sources]
    return hashlib.sha256(
        json_module.dumps([*made, request.filters.min_score, request.seed, request.adapter_scale]).encode()
    ).hexdigest()


def _model_fingerprint(asker: asking.Asker, settings: Settings) -> str:
    path = Path(settings.model).expanduser()
    if asker.model is not None and path.is_file():
        return f"{asker.writer.name} {_file_fingerprint(path)}"
    return asker.writer.name


def _file_fingerprint(path: Path) -> str:
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _write_report(path: Path, run: dict[str, Any], rows: list[Row], before: Run | None) -> None:
    """Write the report in one step, for its owner alone."""
    from ragcli.evaluation import runs
    from ragcli.evaluation.report import render

    told = [
        runs.row_to_json(row)
        | {
            "lang": row.case.lang,
            "family": row.case.family,
            "answerable": row.case.answerable,
            "answers": list(row.case.answers),
        }
        for row in rows
    ]
    text = render(run, told, None if before is None else before.to_json())
    runs.write_whole(path, text.encode("utf-8", "backslashreplace"))
