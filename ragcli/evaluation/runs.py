"""Rows -> Run: the figures of an evaluation, what made them, and the files that hold both.

RUN.json holds the contract's object, the format's number, and each question's figures, which a later run is compared
with. A row log holds the rows, one JSON line each, as they come; a run that was cut off goes on from it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, get_args

from ragcli.errors import UsageError
from ragcli.evaluation.records import EXPLAINING, Case, Context, Outcome, Response, Row, Stage
from ragcli.evaluation.stages import Thresholds, declare
from ragcli.evaluation.statistics import Figure, figure

FORMAT = 1
"""Of RUN.json. A reader refuses what a later program wrote."""
FINGERPRINTS = ("corpus", "cases", "settings", "prompt", "model", "adapter", "version")
LARGEST_RUN = 512 << 20
LONGEST_LINE = 64 << 20
_OUTCOMES: frozenset[str] = frozenset(get_args(Outcome))
_STAGES: frozenset[str] = frozenset(get_args(Stage))
_NO_STAGE: Mapping[str, Any] = {"declared": None, "p": [None, None, None]}


@dataclass(frozen=True, slots=True)
class Question:
    """What a run keeps of one case: enough to be compared, pair by pair. `outcome` is None where nothing was asked."""

    id: str
    outcome: Outcome | None
    stage: Stage | None = None
    document: str = ""
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one evaluation. `by` holds the same metrics by "lang" and "family", as far as cases name them.

    `stage` is a declaration's JSON. `fingerprints` say what made the run, None where a thing had no part in it.
    """

    metrics: Mapping[str, Figure]
    by: Mapping[str, Mapping[str, Mapping[str, Figure]]]
    stage: Mapping[str, Any]
    causes: Mapping[str, int]
    fingerprints: Mapping[str, str | None]
    questions: tuple[Question, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's object for `--json`, without the single questions."""
        return {
            "format": FORMAT,
            "metrics": {name: one.to_json() for name, one in self.metrics.items()},
            "by": {
                kind: {
                    group: {name: one.to_json() for name, one in metrics.items()} for group, metrics in groups.items()
                }
                for kind, groups in self.by.items()
            },
            "stage": dict(self.stage),
            "outcomes": dict(self.outcomes),
            "causes": dict(self.causes),
            "fingerprints": dict(self.fingerprints),
        }


def figures(row: Row) -> dict[str, float | None]:
    """Return a row's metrics and what its outcome, stage and time add to them. A metric it lacks does not apply to it.

    `correct` for every row; `abstain_precision` for refusals and `abstain_recall` for unanswerable cases, 1 where both;
    `illusory` for every row; `flexible` for cases that ask for an explanation; `latency_ms` where the time is known.
    Where nothing was asked, the time alone.
    """
    added = {} if row.outcome is None else _answer_figures(row)
    if row.response.ms is not None:
        added["latency_ms"] = row.response.ms
    return {**added, **row.metrics}


def _answer_figures(row: Row) -> dict[str, float | None]:
    case = row.case
    refused = row.outcome == "refusal" or (not case.answerable and row.outcome == "correct")
    added: dict[str, float | None] = {"correct": float(row.outcome == "correct")}
    if refused:
        added["abstain_precision"] = float(not case.answerable)
    if not case.answerable:
        added["abstain_recall"] = float(refused)
    added["illusory"] = float(row.stage == "illusory" or (row.stage is None and row.outcome == "incorrect"))
    if case.answerable and case.family in EXPLAINING:
        added["flexible"] = None if row.stage is None else float(row.stage == "flexible")
    return added


def summarize(
    rows: Iterable[Row],
    fingerprints: Mapping[str, str | None],
    thresholds: Thresholds | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Run:
    """Return the run of `rows`. Their order does not matter. Raises UsageError where there are none.

    Rows for which nothing was asked have no part in the stage.
    """
    ordered = sorted(rows, key=lambda row: row.case.id)
    if not ordered:
        raise UsageError("there are no rows to summarize", "give a case file with at least one case")
    asked = [row for row in ordered if row.outcome is not None]
    scored = [(row, figures(row)) for row in ordered]
    groups: dict[str, dict[str, list[tuple[Row, dict[str, float | None]]]]] = {"lang": {}, "family": {}}
    for row, its in scored:
        for kind, group in (("lang", row.case.lang), ("family", row.case.family)):
            if group:
                groups[kind].setdefault(group, []).append((row, its))
    return Run(
        _summary(scored, confidence, seed),
        {
            kind: {group: _summary(members, confidence, seed) for group, members in sorted(named.items())}
            for kind, named in groups.items()
        },
        declare(asked, thresholds, seed=seed).to_json() if asked else _NO_STAGE,
        dict(Counter(row.cause for row in ordered if row.cause is not None).most_common()),
        {name: fingerprints.get(name) for name in (*FINGERPRINTS, *sorted(set(fingerprints) - {*FINGERPRINTS}))},
        tuple(Question(row.case.id, row.outcome, row.stage, row.document, its) for row, its in scored),
        dict(Counter(row.outcome for row in ordered if row.outcome is not None).most_common()),
    )


def _summary(
    scored: Sequence[tuple[Row, Mapping[str, float | None]]], confidence: float, seed: int
) -> dict[str, Figure]:
    names = dict.fromkeys(name for _, its in scored for name in its)
    summary = {}
    for name in names:
        having = [(its[name], row.document) for row, its in scored if name in its]
        summary[name] = figure([value for value, _ in having], [cluster for _, cluster in having], confidence, seed)
    abstentions = [_abstention(its) for _, its in scored]
    if any(weight for _, weight in abstentions) and "abstain_f1" not in summary:
        summary["abstain_f1"] = figure(
            [value for value, _ in abstentions],
            [row.document for row, _ in scored],
            confidence,
            seed,
            [weight for _, weight in abstentions],
        )
    return summary


def _abstention(its: Mapping[str, float | None]) -> tuple[float, float]:
    """Return a row's part in F1 = 2 right / (2 right + wrongly refused + wrongly answered): value and weight."""
    sides = [its[name] for name in ("abstain_precision", "abstain_recall") if its.get(name) is not None]
    return (1.0, 2.0) if sides and all(sides) else (0.0, float(len(sides)))


def write_run(path: Path, run: Run, **more: Any) -> None:
    """Write RUN.json in one step: the old file stands until the new one is whole. `more` adds members.

    Raises UsageError where it cannot be written.
    """
    questions = [
        {"id": q.id, "outcome": q.outcome, "stage": q.stage, "document": q.document, "metrics": _finite(q.metrics)}
        for q in run.questions
    ]
    text = json.dumps({**run.to_json(), **more, "questions": questions}, ensure_ascii=False, allow_nan=False)
    write_whole(path, _encoded(text) + b"\n")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one step, for its owner alone: the old one stands until the new one is whole.

    Raises UsageError where it cannot be written.
    """
    target = path.resolve()  # a link stays a link
    try:
        if target.exists() and not target.is_file():
            raise UsageError(f"{path} is not a file that can be replaced", "name another file")
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as stream:
            temporary = Path(stream.name)  # mode 0600
            try:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "name another file") from error


def read_run(path: Path) -> Run:
    """Return the run that `path` holds. Raises UsageError where it is missing, damaged, or of a later format."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_RUN + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name the RUN.json that an --out wrote") from error
    if len(data) > LARGEST_RUN:
        raise UsageError(f"{path} is larger than {LARGEST_RUN >> 20} MB: it is no run", "name another file")
    try:
        found = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    if not isinstance(found, dict) or not isinstance(number := found.get("format"), int):
        raise _damaged(path, "it has no format number")
    if number > FORMAT:
        raise UsageError(
            f"{path} was written by a later ragcli: its format is {number}, this program reads {FORMAT}",
            "upgrade ragcli, or evaluate the baseline again with this one",
        )
    try:
        return run_from_json(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def run_from_json(data: Mapping[str, Any]) -> Run:
    """Return the run of an object that `write_run` wrote. Raises KeyError, TypeError, ValueError, AttributeError."""
    questions = tuple(_question(one) for one in data["questions"])
    if len({question.id for question in questions}) < len(questions):
        raise ValueError("a question stands in it twice")
    return Run(
        _read_figures(data["metrics"]),
        {
            str(kind): {str(group): _read_figures(metrics) for group, metrics in groups.items()}
            for kind, groups in data["by"].items()
        },
        dict(data["stage"]),
        {str(cause): int(count) for cause, count in data["causes"].items()},
        {str(name): None if value is None else str(value) for name, value in data["fingerprints"].items()},
        questions,
        {str(outcome): int(count) for outcome, count in data.get("outcomes", {}).items()},
    )


def _read_figures(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    return {
        str(name): Figure(
            _number(one["value"]), _number(one["low"]), _number(one["high"]), int(one["n"]), int(one["unscored"])
        )
        for name, one in data.items()
    }


def _question(data: Mapping[str, Any]) -> Question:
    metrics = {str(name): _number(value) for name, value in data["metrics"].items()}
    return Question(str(data["id"]), *_verdict(data), str(data["document"]), metrics)


def _verdict(data: Mapping[str, Any]) -> tuple[Outcome | None, Stage | None]:
    """Return outcome and stage. Where nothing was asked there is none, which earlier files call a refusal.

    Raises ValueError, and TypeError for what is not even a word.
    """
    outcome, stage = data.get("outcome"), data.get("stage")
    if not (outcome is None or outcome in _OUTCOMES) or not (stage is None or stage in _STAGES):
        raise ValueError(f"{data['id']!r} has the outcome {outcome!r} and the stage {stage!r}")
    if outcome == "refusal" and stage is None:  # a refusal that was given always has a stage
        outcome = None
    return outcome, stage


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()}


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _encoded(text: str) -> bytes:
    """Half of a surrogate pair, which UTF-8 lacks, becomes the JSON escape that it is."""
    return text.encode("utf-8", "backslashreplace")


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path} is not a run of ragcli eval: {reason}", "name the RUN.json that an --out wrote")


def row_to_json(row: Row) -> dict[str, Any]:
    """Return the contract's row. Contexts that are no hits of ours stand beside it in `contexts`."""
    response = row.response
    data: dict[str, Any] = {
        "id": row.case.id,
        "question": row.case.question,
        "answer": response.answer,
        "outcome": row.outcome,
        "stage": row.stage,
        "cause": row.cause,
        "metrics": _finite(row.metrics),
        "hits": [dict(hit) for hit in response.hits],
        "citations": [dict(citation) for citation in response.citations],
        "ms": response.ms,
        "tokens": response.tokens,
        "abstained": response.abstained,
    }
    if response.contexts is not None:
        data["contexts"] = [
            {name: getattr(context, name) for name in Context.__dataclass_fields__} for context in response.contexts
        ]
    return data


def row_from_json(data: Mapping[str, Any], case: Case) -> Row:
    """Return the row of `case` that `row_to_json` gave. Raises KeyError, TypeError, ValueError, AttributeError."""
    outcome, stage = _verdict(data)
    contexts = data.get("contexts")
    if not isinstance(data["answer"], str):
        raise ValueError("it is not a row")
    response = Response(
        case.id,
        data["answer"],
        None if contexts is None else tuple(Context(**context) for context in contexts),
        data.get("abstained"),
        tuple(dict(citation) for citation in data.get("citations") or ()),
        tuple(dict(hit) for hit in data.get("hits") or ()),
        _number(data.get("ms")),
        data.get("tokens"),
    )
    metrics = {str(name): _number(value) for name, value in data["metrics"].items()}
    return Row(case, response, outcome, stage, data.get("cause"), metrics)


class RowLog:
    """Rows on disk, one JSON line each, written as they come. Use it as a context manager.

    Each line carries a digest of every fingerprint of its run in `run`, by which a log of another one is known. `rows`
    are those that the log held when it was opened, by case id.
    """

    def __init__(
        self,
        path: Path,
        fingerprints: Mapping[str, str | None],
        cases: Iterable[Case] = (),
        resume: bool = False,
    ) -> None:
        """Open `path`, anew or to go on from what it holds.

        Raises UsageError where it cannot be read or written, is damaged before its last line, or where another run with
        other fingerprints wrote it.
        """
        self._path = path
        self._run = {name: _digest(value) for name, value in sorted(fingerprints.items()) if value is not None}
        self.rows: dict[str, Row] = {}
        hint = "name another file for --rows"
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file", hint)
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | (0 if resume else os.O_TRUNC)
            self._stream: BinaryIO = os.fdopen(os.open(path, flags, 0o600), "r+b")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", hint) from error
        if resume:
            try:
                self._stream.seek(self._read({case.id: case for case in cases}))
                self._stream.truncate()
            except BaseException:
                self._stream.close()
                raise

    def _read(self, cases: Mapping[str, Case]) -> int:
        """Read the whole lines, and return where they end: what a run was writing when it was killed is cut off."""
        end, number = 0, 0
        while line := self._stream.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise self._refusal(f"line {number} is longer than {LONGEST_LINE >> 20} MB")
            try:
                data = json.loads(line, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                if not self._stream.read(1):  # the last line: it, or its blocks on the disk, were cut
                    break
                raise self._refusal(f"line {number} is damaged") from error
            try:
                self._check(data["run"])
                row = row_from_json(data, cases[data["id"]])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise self._refusal(f"line {number} is no row of this run") from error
            if not line.endswith(b"\n"):
                break
            self.rows[row.case.id] = row
            end += len(line)
        return end

    def _check(self, run: Mapping[str, str]) -> None:
        others = [name for name in {**self._run, **run} if self._run.get(name) != run.get(name)]
        if others:
            raise self._refusal(f"it is of a run with another {' and another '.join(others)}")

    def _refusal(self, reason: str) -> UsageError:
        return UsageError(f"{self._path} cannot be resumed: {reason}", "run again without --resume to begin anew")

    def append(self, row: Row) -> None:
        """Write one row, and let it out of this process. Raises UsageError where the disk refuses it."""
        text = json.dumps({**row_to_json(row), "run": self._run}, ensure_ascii=False, allow_nan=False)
        try:
            self._stream.write(_encoded(text) + b"\n")
            self._stream.flush()
        except OSError as error:
            message = f"{self._path} cannot be written: {error.strerror}"
            raise UsageError(message, "make room, then go on with --resume") from error

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _digest(value: str) -> str:
    return hashlib.sha256(_encoded(value)).hexdigest()[:8]
