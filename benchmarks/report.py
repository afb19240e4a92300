"""How quickly the report of 2,000 questions opens and filters in Chromium without a window, and how large it is.

The rows are made up: questions with an answer of 300 characters and five passages of 800, of which every third is
shared. Opening runs from the address being given to the list standing on the page; a filter from the choice or the
words being put in to the frame that shows the list drawn anew.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from common import report
from made_up import document, sentence

from ragcli.evaluation.report import render

FILTER = """async ([id, value]) => {
  const start = performance.now();
  const field = document.getElementById(id);
  field[field.type === 'checkbox' ? 'checked' : 'value'] = value;
  field.dispatchEvent(new Event(field.type === 'search' ? 'input' : 'change', { bubbles: true }));
  await new Promise((shown) => requestAnimationFrame(() => setTimeout(shown)));
  return performance.now() - start;
}"""
STEPS: tuple[tuple[str, str, str | bool], ...] = (
    ("outcome", "outcome", "=incorrect"),
    ("words", "q", "pump valley"),
    ("passages", "passages", True),
    ("words_in_passages", "q", "letter harbour"),
    ("nothing_left", "q", "no such words here"),
    ("all_again", "q", ""),
)
OUTCOMES = (("correct", "literal", None), ("incorrect", "illusory", "ranked too low"), ("refusal", "rigid", "missed"))


def made_up_rows(count: int) -> list[dict[str, Any]]:
    """Return `count` rows as `--rows` writes them, the same each time."""
    chance = random.Random(4)
    shared = [document(chance, 800)[:800] for _ in range(200)]
    return [_row(number, chance, shared) for number in range(count)]


def _row(number: int, chance: random.Random, shared: list[str]) -> dict[str, Any]:
    outcome, stage, cause = OUTCOMES[number % 3]
    hits = [
        {
            **{"rank": rank, "score": chance.random() / rank, "chunk_id": f"{number}-{rank}", "source": "made-up.md"},
            **{"page": rank, "line": None, "heading": ["A part"]},
            "text": chance.choice(shared) if rank % 3 == 0 else document(chance, 800)[:800],
        }
        for rank in range(1, 6)
    ]
    answer = " ".join(sentence(chance) for _ in range(5))[:300]
    return {
        **{"id": f"q{number}", "question": sentence(chance), "answer": answer, "outcome": outcome, "stage": stage},
        **{"cause": cause, "metrics": {"mrr": 1 / chance.randint(1, 5), "f1": chance.random()}, "hits": hits},
        **{"citations": [{"marker": 1, "source": "made-up.md", "quote": answer[:80], "status": "weak"}]},
        **{"ms": chance.lognormvariate(5, 1), "lang": "en", "family": "literal", "answerable": True, "answers": ["x"]},
    }


def measure(address: str, chromium: str, repeat: int) -> dict[str, float]:
    """Return the slowest of `repeat` openings and of the filters after each, in seconds."""
    from playwright.sync_api import sync_playwright

    slowest: dict[str, float] = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium)
        for _ in range(repeat):
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(address)
            page.locator("#list .head").first.wait_for()
            found = {"open": time.perf_counter() - start}
            for name, field, value in STEPS:
                found[f"filter_{name}"] = page.evaluate(FILTER, [field, value]) / 1000
            for name, seconds in found.items():
                slowest[name] = max(slowest.get(name, 0.0), seconds)
            page.close()
        browser.close()
    return {f"{name}_seconds": round(seconds, 3) for name, seconds in slowest.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="time the report in Chromium")
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=5, help="how often it is opened; the slowest counts")
    arguments = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium here (Debian: apt-get install chromium)")
    rows = made_up_rows(arguments.rows)
    causes = Counter(row["cause"] for row in rows if row["cause"])
    run = {"metrics": {"f1": {"value": 0.5, "low": 0.4, "high": 0.6, "n": len(rows)}}, "causes": causes}
    start = time.perf_counter()
    text = render(run, rows)
    rendered = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(text, "utf-8")
        figures = measure(path.as_uri(), chromium, arguments.repeat)
        size = path.stat().st_size
    report("report", rows=len(rows), megabytes=round(size / 1e6, 1), render_seconds=round(rendered, 2), **figures)


if __name__ == "__main__":
    main()
