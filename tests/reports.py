"""Made-up runs and rows for the tests of the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

HOSTILE = (
    "</script><script>window.pwned=1</script>"
    "<img src=x onerror='window.pwned=1'><!--<svg onload=window.pwned=1>"
    '{{ 7*7 }}{% raw %}" onmouseover="window.pwned=1\' &lt;b&gt; \u2028\u2029\u202e\ud800\0\x1b[31m$x^2$'
)
"""Text that does harm wherever it is taken for markup, script, template, terminal control or mathematics."""
FAMILIES = ("literal", "paraphrase", "unanswerable", "synthesis")
_OUTCOMES = (("correct", "literal", None), ("correct", "flexible", None), ("incorrect", "illusory", "ranked too low"))
_REFUSED = ("refusal", "rigid", "wrongly abstained")


def made_up_rows(count: int) -> list[dict[str, Any]]:
    """Return rows that differ in everything that the report filters by; row `n` speaks of pump `n`."""
    return [_row(n) for n in range(count)]


def _row(n: int) -> dict[str, Any]:
    outcome, stage, cause = (*_OUTCOMES, _REFUSED)[n % 4]
    language = "zh" if n % 5 == 0 else "en"
    sentence = f"Pump {n} runs at {n} litres."
    hits = [
        {
            **{"rank": rank, "score": 0.9 / rank, "chunk_id": f"c{n}-{rank}", "source": f"manuals/pump-{n % 7}.md"},
            **{"page": None, "line": 10 * rank, "heading": ["Pumps", f"Part {rank}"]},
            "text": sentence + " It is blue." if rank == 1 else f"Shared passage {rank}.",
        }
        for rank in (1, 2, 3)
    ]
    citation = {
        **{"marker": 1, "source": f"manuals/pump-{n % 7}.md", "page": None, "chunk_id": f"c{n}-1", "quote": sentence},
        **{"status": ("supported", "weak", "unsupported")[n % 3], "link": f"file:///docs/pump-{n % 7}.md"},
    }
    return {
        **{"id": f"q{n}", "question": f"水泵 {n} 多快？" if language == "zh" else f"How fast is pump {n}?"},
        **{"answer": f"{sentence} [1]", "outcome": outcome, "stage": stage, "cause": cause},
        "metrics": {"mrr": 1 / (1 + n % 4), "f1": n % 10 / 10, "support": None},
        **{"hits": hits, "citations": [citation], "ms": 20.0 + n % 90},
        **{"lang": language, "family": FAMILIES[n % 4], "answerable": n % 4 != 2, "answers": [f"{n} litres"]},
    }


def figure(value: float, n: int = 40) -> dict[str, float]:
    """Return a metric's object with an interval of a tenth to each side."""
    return {"value": value, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1), "n": n, "unscored": 0}


def made_up_run(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a RUN.json object over `rows`, compared with a baseline."""
    metrics = {"hit@5": figure(0.9), "f1": figure(0.45), "illusory": figure(0.12), "flexible": figure(0.5, 12)}
    return {
        "metrics": {**metrics, "latency_ms": {"value": 64.2, "low": 60.0, "high": 70.0, "n": 40, "unscored": 2}},
        "by": {
            "lang": {name: metrics for name in sorted({row["lang"] for row in rows})},
            "family": {name: metrics for name in FAMILIES},
        },
        "stage": {
            **{"declared": 2, "p": [0.01, 0.985, 0.005], "illusory": 0.12, "flexible": 0.5, "refused": 0.8},
            **{"missing": ["8 unanswerable cases"], "more_rows": None},
            **{"illusory_limit": 0.2, "flexible_limit": 0.7, "refused_limit": 0.7},
        },
        "causes": dict(Counter(row["cause"] for row in rows if row["cause"])),
        "fingerprints": {"corpus": "5f0c", "model": None, "version": "1.2.3"},
        "compare": {
            "metrics": {
                "f1": {"value": 0.05, "low": 0.02, "high": 0.08, "p": 0.004, "n": 40},
                "illusory": {"value": 0.04, "low": 0.01, "high": 0.07, "p": 0.02, "n": 40},
                "hit@5": {"value": -0.01, "low": -0.04, "high": 0.02, "p": 0.6, "n": 40},
            },
            "flipped": {"gained": ["q1", "q5"], "lost": ["q2"], "turned": []},
            **{"n": 40, "only_run": 1, "only_baseline": 0},
            "changed": {"prompt": {"run": "aa11", "baseline": "bb22"}},
        },
    }


def made_up_baseline() -> dict[str, Any]:
    """Return the RUN.json object of the baseline."""
    return {"metrics": {"hit@5": figure(0.91), "f1": figure(0.4), "illusory": figure(0.08), "flexible": figure(0.45)}}
