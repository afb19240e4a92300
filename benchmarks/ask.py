"""How often `ask` without a language model answers sample_docs' questions rightly, and abstains where it should.

An answer is right where, for every key fact of its case, it holds one of the spellings: folded (width, case, script),
white space aside, and not as part of a longer number. Every case is asked by `ragcli ask --batch`.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from common import ROOT, index_of, ragcli, report

from ragcli.words import fold


def holds(answer: str, fact: str) -> bool:
    """Return whether `answer` holds `fact`, not within a longer number or Latin word."""
    folded = fold(fact)
    pieces = re.findall(r"\w+|\S", folded) if folded.isascii() else list("".join(folded.split()))
    pattern = r"\s*".join(map(re.escape, pieces))
    start = r"(?<!\d)(?<!\d\.)" if pieces[0][0].isdigit() else ""
    end = r"(?!\d|\.\d|,\d{3}(?!\d))" if pieces[-1][-1].isdigit() else ""
    return re.search(start + pattern + end, fold(answer)) is not None


def is_right(case: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Return whether an answer holds every key fact of its case."""
    if answer["abstained"]:
        return False
    return all(any(holds(answer["answer"], alias) for alias in fact) for fact in case["key_facts"])


def main() -> None:
    cases = [json.loads(line) for line in (ROOT / "sample_docs" / "cases.jsonl").read_text("utf-8").splitlines()]
    rows = "\n".join(json.dumps({"id": case["id"], "question": case["question"]}) for case in cases)
    with index_of(ROOT / "sample_docs") as index:
        start = time.perf_counter()
        lines = ragcli("ask", "--batch", "-", "--index", index, stdin=rows).splitlines()
        seconds = time.perf_counter() - start
    answers = {row["id"]: row for row in map(json.loads, lines)}
    right: dict[str, list[bool]] = {}
    for case in cases:
        answer = answers[case["id"]]
        good = is_right(case, answer) if case["answerable"] else answer["abstained"]
        right.setdefault(case["family"], []).append(good)
        right.setdefault(f"{case['family']} {case['lang']}", []).append(good)
    main_families = [good for family in ("literal", "paraphrase", "noise") for good in right[family]]
    written = [len(a["answer"]) for a in answers.values() if not a["abstained"]]
    report(
        "ask",
        cases=len(cases),
        literal_paraphrase_noise_right=round(sum(main_families) / len(main_families), 4),
        unanswerable_abstained=round(sum(right["unanswerable"]) / len(right["unanswerable"]), 4),
        by_family={family: f"{sum(good)}/{len(good)}" for family, good in sorted(right.items())},
        mean_answer_characters=round(sum(written) / len(written)),
        milliseconds_per_question=round(seconds * 1000 / len(cases)),
    )


if __name__ == "__main__":
    main()
