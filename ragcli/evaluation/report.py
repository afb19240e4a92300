"""A run and its rows as one HTML file that needs no network: figures, pictures, and every question to look through.

    RUN.json + rows (+ the baseline's RUN.json) -> render -> HTML

Whatever comes from documents, questions and answers is data. The static part is escaped by Jinja2; the rows lie in a
JSON block that the page's script reads and puts on the page as text alone; a content policy allows that script and
that style sheet by their hashes and nothing else, no network and no markup from strings.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from ragcli.evaluation import plots
from ragcli.evaluation.compare import LOWER_IS_BETTER

LONGEST = 200_000
"""Characters of one text that the report holds; of a longer one it says how many there were."""
SHOWN_FLIPS = 40
"""Flipped questions of a kind that are listed by name."""
MEANINGS = {
    "hit": "a right passage is among the first k",
    "recall": "right passages found among the first k, of all",
    "precision": "right passages among the first k, of k",
    "mrr": "1 / rank of the first right passage",
    "ndcg": "right passages near the top (discounted gain)",
    "gold_chars": "characters of the right spans within the first k",
    "em": "the answer is the expected one, word for word",
    "f1": "words shared with the expected answer",
    "key_facts": "key facts that the answer holds",
    "abstain_precision": "refusals that were due, of the refusals",
    "abstain_recall": "unanswerable questions that were refused",
    "abstain_f1": "both of these (harmonic mean)",
    "citation_recall": "sentences that their citations support",
    "citation_precision": "citations that support their sentence",
    "support": "how far the passages support the answer",
    "copied": "share of the answer copied from the passages",
    "illusory": "wrong or unsupported answers, of all",
    "flexible": "right, supported, in own words, where asked to explain",
    "latency_ms": "milliseconds per question",
    "correct": "answers that are correct",
}
_SHOWN_APART = frozenset(
    {"format", "metrics", "by", "stage", "outcomes", "causes", "fingerprints", "compare", "questions"}
)
_STAGES = (
    ("illusory", "Answers look right and are wrong, or nothing supports them."),
    ("rigid", "Safe: copied from the documents, or over-cautious."),
    ("flexible", "Explains the documents in its own words, still grounded."),
)
_COMMANDS = (  # the words that a cause's name holds, and what shows it
    (("ingested",), "ragcli sources --failed"),
    (("parsing", "retrieved", "ranked"), "ragcli search {question} -n 50 --explain"),
    ((), "ragcli ask {question} --show-context --explain"),
)


def render(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], baseline: Mapping[str, Any] | None = None) -> str:
    """Return the report as the text of one HTML file, to be written in UTF-8.

    Args:
        run: RUN.json's object. Any member may be missing; one that is not known is listed as it is.
        rows: The objects that `--rows` writes, with `lang`, `family`, `answerable` and `answers` of their cases.
        baseline: The RUN.json object that `compare` compares with, or None.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    kept, passages = _rows(rows)
    flips = _flips(_mapping(run.get("compare")))
    for row in kept:
        row["change"] = next((name for name, ids in flips.items() if row["id"] in ids), "")
    style, script = _file("report.css"), _file("report.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=_shown, count=_count, signed=_signed, percent=_percent, fragment=_fragment)
    page = environment.from_string(_file("report.html")).render(
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(_json({"rows": kept, "passages": passages})),
        outcomes=Counter(row["outcome"] for row in kept if row["outcome"]),
        count=len(kept),
        stage=_stage(run, baseline),
        metrics=_metrics(run.get("metrics")),
        groups=_groups(run),
        causes=_causes(run, kept),
        pictures=_pictures(kept),
        compared=_compared(run, baseline),
        fingerprints=list(_flat(run.get("fingerprints"))),
        others=list(_flat({key: value for key, value in run.items() if key not in _SHOWN_APART})),
    )
    return _whole(page)


def _file(name: str) -> str:
    return resources.files("ragcli.evaluation").joinpath("report", name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Return the page's content policy: this style sheet and this script, no other source of anything."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _json(value: Any) -> str:
    """Return JSON that ends no script element and no line of one, without lone surrogates."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _whole(text: str) -> str:
    """Return `text` with what UTF-8 or HTML cannot hold replaced."""
    return re.sub("[\ud800-\udfff\0]", "\ufffd", text)


def _rows(rows: Iterable[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows as the page reads them, and the passages' texts, each once; a hit names its text by place."""
    places: dict[str, int] = {}
    return [_row(row, places) for row in rows], list(places)


def _row(row: Mapping[str, Any], places: dict[str, int]) -> dict[str, Any]:
    metrics = _mapping(row.get("metrics"))
    passages = _list(row.get("hits")) or _list(row.get("contexts"))  # recorded answers have but contexts
    kept = {
        **{key: _text(row.get(key)) for key in ("id", "question", "answer", "outcome", "stage", "cause")},
        **{key: _text(row.get(key)) for key in ("lang", "family")},
        "answerable": row.get("answerable") is not False,
        "answers": [_text(answer) for answer in _list(row.get("answers"))[:50]],
        "metrics": {_text(name): _number(value) for name, value in metrics.items()},
        "ms": _number(row.get("ms")),
        "hits": [_hit(hit, rank, places) for rank, hit in enumerate(passages, start=1)],
        "citations": [_citation(citation) for citation in _list(row.get("citations"))],
    }
    kept["command"] = _command(kept) if kept["cause"] else ""
    return kept


def _hit(value: Any, rank: int, places: dict[str, int]) -> dict[str, Any]:
    hit = _mapping(value)
    return {
        "rank": _number(hit.get("rank")) or rank,
        "score": _number(hit.get("score")),
        "source": _text(hit.get("source")),
        "page": _number(hit.get("page")),
        "line": _number(hit.get("line")),
        "chunk": _text(hit.get("chunk_id")),
        "heading": " › ".join(_text(part) for part in _list(hit.get("heading"))),
        "text": places.setdefault(_text(hit.get("text")), len(places)),
    }


def _citation(value: Any) -> dict[str, Any]:
    citation = _mapping(value)
    return {
        "marker": _number(citation.get("marker")),
        **{key: _text(citation.get(key)) for key in ("source", "quote", "status", "link")},
        "page": _number(citation.get("page")),
        "chunk": _text(citation.get("chunk_id")),
        "reasons": [_text(reason) for reason in _list(citation.get("reasons"))],
    }


def _stage(run: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the three stages with their probabilities, the shares that decide, the picture, and what is missing."""
    stage = _mapping(run.get("stage"))
    chances = [_number(chance) for chance in _list(stage.get("p"))[:3]]
    chances += [None] * (3 - len(chances))
    shares = []
    for name, metric in (("illusory", "illusory"), ("flexible", "flexible"), ("refused", "abstain_recall")):
        share = _metric(metric, _mapping(run.get("metrics")).get(metric, stage.get(name)))
        before = _metric(metric, _mapping((baseline or {}).get("metrics")).get(metric))["value"]
        shares.append(share | {"name": name, "limit": _number(stage.get(f"{name}_limit")), "before": before})
    illusory, flexible, _ = shares
    at, limits = _interval(illusory), [share["limit"] for share in shares[:2]]
    picture = None
    if at is not None and limits[0] is not None and limits[1] is not None:
        old = (illusory["before"], flexible["before"])
        known = None if old[0] is None or old[1] is None else old
        picture = plots.stage_plane(at, _interval(flexible), (limits[0], limits[1]), known)
    return {
        "declared": stage.get("declared"),
        "stages": [
            {"number": number, "name": name, "meaning": meaning, "chance": chance}
            for number, ((name, meaning), chance) in enumerate(zip(_STAGES, chances, strict=True), start=1)
        ],
        "shares": [share for share in shares if share["value"] is not None],
        "picture": _markup(picture),
        "missing": [_text(case) for case in _list(stage.get("missing"))],
        "more_rows": _number(stage.get("more_rows")),
    }


def _metric(name: str, value: Any) -> dict[str, Any]:
    """Return a metric's figures by name; what is missing or no number is None."""
    figures = value if isinstance(value, Mapping) else {"value": value}
    kept = {key: _number(figures.get(key)) for key in ("value", "low", "high", "n", "unscored")}
    share = kept["value"] is not None and not name.endswith("_ms") and 0 <= kept["value"] <= 1
    return {"name": _text(name), "meaning": MEANINGS.get(name.split("@")[0], ""), "share": share, **kept}


def _metrics(metrics: Any) -> list[dict[str, Any]]:
    """Return the metrics in the order of MEANINGS, other ones behind them."""
    order = list(MEANINGS)
    named = [_metric(str(name), value) for name, value in _mapping(metrics).items()]

    def place(metric: dict[str, Any]) -> tuple[int, int]:
        base, _, depth = metric["name"].partition("@")
        return (order.index(base) if base in order else len(order)), int(depth) if depth.isdecimal() else 0

    return sorted(named, key=place)


def _interval(metric: Mapping[str, Any]) -> plots.Interval | None:
    """Return a share's value with its bounds, the value itself where a bound is missing."""
    value = metric["value"]
    if value is None:
        return None
    return value, *(value if metric[bound] is None else metric[bound] for bound in ("low", "high"))


def _groups(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tables by language and by family: names of groups, and a line of cells for each metric."""
    tables = []
    for key, title in (("lang", "By language"), ("family", "By family")):
        groups = {_text(name): _mapping(group) for name, group in _mapping(_mapping(run.get("by")).get(key)).items()}
        names = dict.fromkeys(metric for group in groups.values() for metric in group)
        lines = [
            {"name": name, "cells": [_metric(name, group.get(name)) for group in groups.values()]}
            for name in (metric["name"] for metric in _metrics(names))
        ]
        lines = [line for line in lines if any(cell["value"] is not None for cell in line["cells"])]
        if lines:
            tables.append({"key": key, "title": title, "names": list(groups), "lines": lines})
    return tables


def _causes(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the failure causes, most frequent first, each with an example and the command that shows it."""
    counted = Counter({_text(name): int(_number(count) or 0) for name, count in _mapping(run.get("causes")).items()})
    counted = counted or Counter(row["cause"] for row in rows if row["cause"])
    examples = {row["cause"]: row for row in reversed(rows)}
    most = max(counted.values(), default=1)
    return [
        {"name": name, "count": count, "share": count / most, "example": examples.get(name)}
        for name, count in counted.most_common()
        if count > 0
    ]


def _command(row: Mapping[str, Any]) -> str:
    """Return the command that shows why a row failed, safe to paste: quoted, without control characters."""
    question = "".join(c if c.isprintable() else " " for c in row["question"]).strip()
    if len(question) > 500:
        return ""
    quoted = shlex.quote(question) if not question.startswith("-") else f"-- {shlex.quote(question)}"
    cause = row["cause"].replace("_", " ").replace("-", " ")
    pattern = next(command for words, command in _COMMANDS if not words or any(word in cause for word in words))
    if quoted.startswith("-- "):  # what follows `--` is no option any more
        name, _, options = pattern.partition(" {question}")
        return f"{name}{options} {quoted}" if options else pattern
    return pattern.replace("{question}", quoted)


def _pictures(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    times = [row["ms"] for row in rows if row["ms"] is not None]
    drawn = (
        ("Answers against context rank", plots.right_by_rank(rows)),
        ("Score against context rank", plots.scores_by_rank(rows)),
        ("Latency", plots.latency(times)),
    )
    return [{"title": title, "picture": _markup(picture)} for title, picture in drawn if picture is not None]


def _compared(run: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the two runs' metrics side by side with their differences, and the flipped questions, or None."""
    compare = _mapping(run.get("compare"))
    differences, before = _mapping(compare.get("metrics")), _mapping((baseline or {}).get("metrics"))
    now = _mapping(run.get("metrics"))
    lines = []
    for metric in _metrics(dict.fromkeys((*now, *differences))):
        name = metric["name"]
        told = {key: _number(_mapping(differences.get(name)).get(key)) for key in ("value", "low", "high", "p", "n")}
        old, new = (_metric(name, metrics.get(name))["value"] for metrics in (before, now))
        if told["value"] is None and old is not None and new is not None:
            told["value"] = new - old
        if told["value"] is not None:
            verdict = _verdict(name, told["low"], told["high"], told["p"])
            lines.append({**told, "name": name, "old": old, "new": new, "verdict": verdict})
    if not lines:
        return None
    sizes = [abs(line[key] or 0) for line in lines for key in ("value", "low", "high") if not _is_time(line["name"])]
    scale = max(*sizes, 0.05) if sizes else 0.05
    flips = {name: sorted(ids) for name, ids in _flips(compare).items()}
    return {
        "lines": [line | {"scale": None if _is_time(line["name"]) else scale} for line in lines],
        "flips": [{"name": name, "count": len(ids), "ids": ids[:SHOWN_FLIPS]} for name, ids in flips.items() if ids],
        "pairs": {key: _number(compare.get(key)) for key in ("n", "only_run", "only_baseline")},
        "changed": [
            (_text(name), *(_text(_mapping(pair).get(side)) for side in ("baseline", "run")))
            for name, pair in _mapping(compare.get("changed")).items()
        ],
    }


def _is_time(name: str) -> bool:
    return name.endswith("_ms")


def _verdict(name: str, low: float | None, high: float | None, p: float | None) -> str:
    """Return "better" or "worse" where the interval of a difference and its p-value leave little doubt, or ""."""
    if low is None or high is None or low <= 0 <= high or (p is not None and p > 0.05):
        return ""
    return "better" if (low > 0) != (name in LOWER_IS_BETTER) else "worse"


def _flips(compare: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the ids of the questions whose outcome differs from the baseline's, by what happened to them."""
    flipped = _mapping(compare.get("flipped"))
    names = {"gained": "now right", "lost": "now wrong", "turned": "wrong in another way"}
    return {name: {_text(one) for one in _list(flipped.get(key))} for key, name in names.items()}


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    """Yield what nested objects hold as dotted names and shown values, at most 100 of each object and list."""
    if isinstance(value, Mapping):
        for key, inner in list(value.items())[:100]:
            yield from _flat(inner, f"{name}.{_text(key)}" if name else _text(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield name, "; ".join(", ".join(f"{k} {v}".strip() for k, v in _flat(item)) for item in value[:100])
    elif value is not None:
        yield name, _shown(value) if isinstance(value, float) else _text(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else []


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n[… {len(text):,} characters in all]"


def _number(value: Any) -> float | None:
    """Return a finite number, or None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _shown(value: float | None) -> str:
    """Return a figure with three digits behind the point below 10, and with commas and none from 100 on."""
    if value is None:
        return "–"
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{'−' if value < 0 else '+'}{_shown(abs(value))}"


def _percent(value: float | None) -> str:
    """Return a probability in whole per cent, never 0% or 100% for what is neither."""
    if value is None:
        return "–"
    return "<1%" if 0 < value < 0.005 else ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def _fragment(value: str, name: str) -> str:
    """Return the part of an address that makes the page filter by, or go to, `value`."""
    from urllib.parse import quote

    return f"#{name}={quote(_whole(value), safe='')}"


def _markup(picture: str | None) -> Any:
    from markupsafe import Markup

    return Markup(picture) if picture is not None else None
