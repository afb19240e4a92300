"""Drafts of cases: verbatim quotes, answers in them, natural questions in both languages, the same for a seed."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import ROOT

from ragcli.evaluation.cases import read_cases
from ragcli.evaluation.drafting import drafts
from ragcli.evaluation.inversion import turned
from ragcli.evaluation.proposing import invented, left_out, propose, unanswerable
from ragcli.generation.expected import identifiers
from ragcli.parsing.limits import Limits
from ragcli.parsing.markdown import parse_markdown
from ragcli.parsing.reading import read
from ragcli.parsing.text import parse_csv, parse_text
from ragcli.records import Document, Format
from ragcli.words import fold

FORMATS: dict[str, Format] = {".md": "markdown", ".txt": "text", ".csv": "csv", ".html": "html", ".pdf": "pdf"}


@cache
def samples() -> tuple[tuple[str, Document], ...]:
    root = ROOT / "sample_docs"
    paths = [path for path in sorted(root.rglob("*")) if path.suffix in FORMATS]
    return tuple(
        (path.relative_to(root).as_posix(), read(path.read_bytes(), FORMATS[path.suffix], Limits(100)))
        for path in paths
    )


def asked(text: str) -> dict[str, str]:
    """Return the questions that a Markdown text gives, with their answers, gaps left out."""
    return {draft.question: draft.answer for draft in drafts("guide.md", parse_markdown(text)) if draft.kind != "cloze"}


def test_quotes_stand_where_they_are_said_to_and_hold_the_answer() -> None:
    texts = {source: document.text for source, document in samples()}
    rows = propose(samples(), 10_000)
    assert len(rows) > 200
    for row in rows:
        (gold,) = row["gold"]
        assert texts[gold["source"]][gold["start"] : gold["end"]] == gold["quote"] == gold["quote"].strip()
        assert row["answers"][0] in gold["quote"] and row["key_facts"] == [row["answers"]]
        assert "\n" not in row["question"] and row["proposed"] is True and row["family"] == "literal"
        assert fold(f" {row['answers'][0]} ") not in fold(row["question"])
    assert len({fold(row["question"]) for row in rows}) == len({row["id"] for row in rows}) == len(rows)
    assert {row["lang"] for row in rows} == {"en", "zh"}


def test_pages_are_given_where_the_document_has_them() -> None:
    pages = {row["gold"][0]["source"][-4:]: row["gold"][0]["page"] for row in propose(samples(), 100)}
    assert pages[".pdf"] is not None and pages[".csv"] is None


def test_drafts_are_spread_over_the_sources_and_gaps_come_last() -> None:
    rows = propose(samples(), 40)
    times = [row["gold"][0]["source"] for row in rows]
    assert len(rows) == 40 and len(set(times)) >= 18 and max(map(times.count, times)) <= 3
    assert not any("___" in row["question"] for row in rows)


def test_a_seed_gives_the_same_drafts_in_any_order_of_the_documents() -> None:
    assert propose(samples(), 30, seed=7) == propose(samples()[::-1], 30, seed=7)
    assert propose(samples(), 30, seed=7) != propose(samples(), 30, seed=8)
    assert unanswerable(samples(), 10, seed=7) == unanswerable(samples(), 10, seed=7)
    assert propose(samples(), 0) == propose([], 9) == []


def test_drafts_are_read_as_cases(tmp_path: Any) -> None:
    import json

    rows = [*propose(samples(), 20), *unanswerable(samples(), 10)]
    path = tmp_path / "drafts.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    file = read_cases(path)
    assert len(file.cases) == 30 and sum(case.answerable for case in file.cases) == 20


@pytest.mark.parametrize(
    ("before", "after", "unit", "noun", "question"),
    [
        ("The pump holds", "of oil", "l", "", "How many litres of oil does the pump hold?"),
        ("The battery lasts about", "", "month", "", "How long does the battery last?"),
        ("A pallet weighs", "", "kg", "", "How much does a pallet weigh?"),
        ("Goods may be returned within", "of delivery", "day", "",
         "Within how many days of delivery may goods be returned?"),
        ("The range is up to", "", "m", "", "What is the range?"),
        ("The limit is", "of the flow", "percent", "", "What is the limit?"),
        ("Pour", "of slurry into the hole", "l", "", "How many litres of slurry should you pour into the hole?"),
        ("The VC-8 has", "", "", "stations", "How many stations does the VC-8 have?"),
        ("Full-time staff have", "of annual leave plus holidays", "day", "",
         "How many days of annual leave do full-time staff have?"),
        ("The station reports every", "", "minute", "", "How often does the station report?"),
        ("A tap that drips loses", "a day", "l", "", ""),
        ("Nothing here", "", "m", "", ""),
    ],
)  # fmt: skip
def test_english_sentences_are_turned(before: str, after: str, unit: str, noun: str, question: str) -> None:
    assert turned(before, after, unit, noun) == question


def test_tables_are_asked_by_row_and_column() -> None:
    table = "# The models\n\n| | AX-1 | AX-2 |\n|---|---|---|\n| Weight | 2 kg | 3 kg |\n| Screen | no | yes |\n"
    assert asked(table) == {"What is the weight for AX-1?": "2 kg", "What is the weight for AX-2?": "3 kg"}
    codes = "# The codes\n\n| Code | Meaning |\n|---|---|\n| E01 | clock lost |\n"
    assert asked(codes) == {"What does E01 mean?": "clock lost"}
    chinese = "# 保修\n\n| 产品 | 保修期 |\n|---|---|\n| 网关 | 24 个月 |\n"
    assert asked(chinese) == {"《保修》中，网关的保修期是多少？": "24 个月"}


def test_rows_of_csv_are_asked() -> None:
    document = parse_csv('part,description,price_gbp\nHF-1,"Coil, small",14.90\nHF-2,The cell of a clock,2\n')
    found = {draft.question: draft.answer for draft in drafts("parts.csv", document)}
    assert found["What is the price in GBP for HF-1?"] == "14.90"


def test_chinese_asks_in_place() -> None:
    text = "# 休假办法\n\n第一条 事假每年累计不超过 10 天，事假期间不发工资。\n\nVC-4 是一款四路阀门控制器。\n"
    assert asked(text) == {"《休假办法》中，事假每年累计不超过多少天？": "10 天", "VC-4是什么？": "一款四路阀门控制器"}


def test_labels_are_asked() -> None:
    assert asked("# Travel rules\n\nThe rules of the house. Owner: Finance, Norwich.\n") == {
        "What does “Travel rules” say under “Owner”?": "Finance, Norwich"
    }
    assert asked("# 差旅制度\n\n归口部门：财务部\n") == {"《差旅制度》中“归口部门”一项是什么？": "财务部"}


@pytest.mark.parametrize(
    "sentence",
    [
        "It lasts 3 days.",
        "This pump holds 3 litres.",
        "After that the customer pays 30 pounds.",
        "If the lamp is red, the pump stops for 3 minutes.",
        "The pump was sold in 2021.",
        "它的容量为 3 升。",
        "超过 3 天的，按旷工处理。",
        "その機械は三時間動きます。",
        "Насос вмещает 3 литра масла.",
        "Die Pumpe fasst 3 Liter Öl.",
    ],
)
def test_what_leans_on_other_sentences_or_is_of_another_language_is_not_asked(sentence: str) -> None:
    assert asked(f"# Guide\n\n{sentence}\n") == {}


def test_a_question_with_two_answers_is_not_asked() -> None:
    text = "# Pump\n\n## A\n\nThe large pump holds 3 litres.\n\n## B\n\nThe large pump holds 4 litres.\n"
    assert all("___" in row["question"] for row in propose([("pump.md", parse_markdown(text))], 9))
    two = [(f"{n}.md", parse_markdown(f"# Pump\n\nThe AX-1 pump holds {n} litres.\n")) for n in (3, 4)]
    assert not propose(two, 9)


def test_a_gap_is_the_last_resort() -> None:
    (row,) = propose([("a.txt", parse_text("Long thick walls around the house (3 metres thick) still stand."))], 9)
    assert row["question"] == "Complete, from “a”: Long thick walls around the house (___ thick) still stand."
    assert row["answers"] == ["3 metres"]


GUIDE = [("guide.md", parse_markdown("# Guide\n\nThe pump holds 3 litres of oil.\n"))]
RULE = "How many litres of oil does the pump hold, according to “Guide”?"


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("What is the pump's oil capacity?", "What is the pump's oil capacity?"),
        (' "What is the pump\'s oil capacity?"\n', "What is the pump's oil capacity?"),
        (None, RULE),
        ("", RULE),
        ("Does the pump hold 3 litres?", RULE),
        ("What is held?\nOil.", RULE),
        ("这台泵能装多少油？", RULE),
        ("The pump holds oil.", RULE),
        ("What" * 200 + "?", RULE),
    ],
)
def test_a_models_question_is_used_where_it_may_be(written: str | None, used: str) -> None:
    shown = []

    def write(passage: str, quote: str, lang: str) -> str | None:
        shown.append((passage, quote, lang))
        return written

    (row,) = propose(GUIDE, 1, write=write)
    assert row["question"] == used
    assert shown == [("Guide\nThe pump holds 3 litres of oil.", "The pump holds 3 litres of oil.", "en")]


def test_questions_of_a_left_out_document_name_what_no_other_holds() -> None:
    rows = left_out(samples(), 30)
    assert len(rows) >= 20 and len({row["left_out"] for row in rows}) >= 8
    assert all(row["answerable"] is False and not row["answers"] and not row["gold"] for row in rows)
    a = "# Pump A\n\nThe AX-1 holds 3 litres of oil.\n"
    b = "# Pump B\n\nThe AX-1 holds 3 litres of oil. The AX-9 weighs 4 kg.\n"
    pair = [("a.md", parse_markdown(a)), ("b.md", parse_markdown(b))]
    assert [(row["question"], row["left_out"]) for row in left_out(pair, 9)] == [
        ("How much does the AX-9 weigh?", "b.md")
    ]


def test_invented_names_are_in_no_document() -> None:
    there = set[str]().union(*(identifiers(document.text) for _, document in samples()))
    rows = invented(samples(), 30)
    assert len(rows) == 30
    for row in rows:
        assert identifiers(row["question"]) - there and row["family"] == "unanswerable" and "left_out" not in row


@given(st.text(max_size=300), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_any_text_is_survived(text: str, seed: int) -> None:
    for document in (parse_markdown(text), parse_csv(text)):
        for row in propose([("any.csv", document), ("any.md", document)], 20, seed=seed):
            gold = row["gold"][0]
            assert document.text[gold["start"] : gold["end"]] == gold["quote"] and row["answers"][0] in gold["quote"]
