"""What becomes of an answer: correct, incorrect or a refusal, as a person would say."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import ROOT

from ragcli.evaluation.outcomes import outcome
from ragcli.evaluation.records import Case
from ragcli.evaluation.values import same, values
from ragcli.words import fold


def judged(question: str, gold: str, answer: str) -> str:
    return outcome(Case("1", question, (gold,)), answer).outcome


WHEN = "When does the warranty end?"
SALES = "What were the net sales of Fenwick in 2023 (in USD millions)?"
MARGIN = "What is the operating margin of Fenwick in 2023?"
OPEN = "Is the workshop open on Sundays?"
MANY = "How many sensors does the kit hold?"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$1.58 billion, 1,577 million, 1577.0", [(1.58e9, "$"), (1.577e9, ""), (1577.0, "")]),
        ("$(1,577) million, (473), -$473mn", [(-1.577e9, "$"), (-473, ""), (-4.73e8, "$")]),
        ("15.8%, 15.8 percent, 40 bps, 百分之十五", [(0.158, "percent")] * 2 + [(0.004, "percent"), (0.15, "percent")]),
        ("24 hours, a 2-day trip, 3 m", [(86400, "second"), (172800, "second"), (3, "m")]),
        ("3.5亿元 24 小时 二十四", [(3.5e8, "¥"), (86400, "second"), (24, "")]),
        ("2024, December 31, 2018 and 2025-03-01; VC-8 [3]", [(2024, ""), (2018, "")]),
        ("1. first is 5\n2) then 24.3x", [(5, ""), (24.3, "")]),
    ],
)
def test_amounts_are_read_with_their_units(text: str, found: list[tuple[float, str]]) -> None:
    read = values(fold(text))
    assert [value.base for value in read] == [unit for _, unit in found]
    assert [value.total for value in read] == pytest.approx([total for total, _ in found])


def test_years_are_told_from_amounts() -> None:
    assert [value.year for value in values("in 2024 there were 2,024 of 2024.5 and 1200")] == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("gold", "answer", "question", "is_same"),
    [
        ("1577", "$1.58 billion", "in usd millions", True),
        ("1577", "1,577 million", "in usd millions", True),
        ("$1.577 billion", "1577", "", True),
        ("1577", "1,677 million", "in usd millions", False),
        ("15.8%", "0.158", "", True),
        ("0.158", "15.8%", "", True),
        ("0.158", "15.8", "as a percent", True),
        ("15.8%", "16%", "", True),
        ("15.8%", "18.5%", "", False),
        ("24 hours", "1 day", "", True),
        ("24 hours", "24 days", "", False),
        ("£58", "$58", "", False),
        ("-0.8%", "0.8%", "", False),
        ("9.5", "95", "", False),
        ("7.9%", "7.8%", "", True),
        ("1773", "1774", "", False),
    ],
)
def test_amounts_are_compared_by_value_and_unit(gold: str, answer: str, question: str, is_same: bool) -> None:
    assert same(values(gold)[0], values(fold(answer))[0], question) == is_same


@pytest.mark.parametrize(
    "answer",
    [
        "I don't know.",
        "The documents do not answer this.",
        "文档中没有答案。",
        "I'm sorry, but the provided text does not mention the end of the warranty.",
        "The context contains no information about the warranty. Please provide the relevant page.",
        "Unfortunately I do not have access to that document. You can find the date on the invoice.",
        "It is not possible to determine from the excerpts when the warranty ends.",
        "The end of the warranty is not specified in the passages.",
        "To answer this, one would need the date of delivery. Without it, I cannot say when the warranty ends.",
        "根据提供的资料，无法确定保修何时结束。",
        "抱歉，文档中没有提到相关内容。",
        "资料中未提及保修期，建议您咨询客服。",
        "我不知道。",
        "提供的信息不足，不能回答这个问题。",
        "",
        " \n",
    ],
)
def test_refusals(answer: str) -> None:
    assert judged(WHEN, "On 31 March 2026", answer) == "refusal"
    assert outcome(Case("1", WHEN, answerable=False), answer).outcome == "correct"


@pytest.mark.parametrize(
    "answer",
    [
        "The warranty ends on 1 May 2027.",
        "It is not stated, but it can be calculated from the delivery: therefore the warranty ends on 1 May 2027.",
        "The warranty probably ends on 1 May 2027, though the exact hour is not given in the documents.",
        "保修于 2027 年 5 月 1 日结束。",
        "When does the warranty end?",
    ],
)
def test_hedged_and_wrong_answers_are_no_refusals(answer: str) -> None:
    assert judged(WHEN, "On 31 March 2026", answer) == "incorrect"
    assert outcome(Case("1", WHEN, answerable=False), answer).outcome == "incorrect"


@pytest.mark.parametrize(
    "answer", ["I don't know. {}", "The text does not say so. However, the answer is {}", "不知道。{}"]
)
@pytest.mark.parametrize(
    ("question", "gold"),
    [
        (WHEN, "31 March 2026"),
        (SALES, "1577"),
        (OPEN, "No"),
        ("Who leads the desk?", "Ada Byron"),
        ("谁负责？", "王芳"),
    ],
)
def test_unsure_but_right(question: str, gold: str, answer: str) -> None:
    assert judged(question, gold, answer.format(gold)) == "correct"


def test_what_the_system_said_of_itself_counts() -> None:
    case = Case("1", WHEN, ("31 March 2026",))
    assert outcome(case, "31 March 2026", abstained=True).outcome == "refusal"
    assert outcome(case, "31 March 2026", abstained=False).outcome == "correct"
    assert outcome(Case("1", WHEN, answerable=False), "31 March 2026", abstained=True).outcome == "correct"


@pytest.mark.parametrize(
    ("question", "gold", "answer", "expected"),
    [
        (SALES, "1577", "Net sales were $1.58 billion in 2023 [1].", "correct"),
        (SALES, "1577", "Net sales were $1,477 million in 2023, up from $1,577 million in 2022.", "incorrect"),
        (
            SALES,
            "1577",
            "Fenwick sold for 1,577 million. Returns were 100.\nTherefore: 1,477 million",
            "incorrect",
        ),
        (SALES, "1577", "Net sales were 2,023 million.", "incorrect"),
        (
            SALES,
            "1577",
            "Take gross sales.\nGross sales = 1,577\nReturns = 100\nRebates = 77\nNet = 1,577 - 177 = 1,400\n"
            "So net sales were 1,400 million.\nThat is $1.4 billion.",
            "incorrect",
        ),
        (MARGIN, "0.158", "Operating income is 158 and sales are 1,000.\n158 / 1,000 = 15.8%", "correct"),
        (MARGIN, "15.8%", "The margin was 15.8 percent.", "correct"),
        (MARGIN, "15.8%", "The margin was 18.5 percent.", "incorrect"),
        (MANY, "12", "The kit holds twelve sensors.", "correct"),
        (MANY, "12", "The kit holds 120 sensors.", "incorrect"),
        ("保修期有多久？", "24 个月", "保修期为两年。", "correct"),
        ("保修期有多久？", "24 个月", "保修期为 18 个月。", "incorrect"),
        ("每公里补贴多少钱？", "1.2 元", "每公里补贴 1.2 元 [1]。", "correct"),
        (OPEN, "No, it is closed.", "The workshop is not open on Sundays.", "correct"),
        (OPEN, "No", "Yes, from nine to noon.", "incorrect"),
        (OPEN, "Yes", "The workshop is open on Sundays, too.", "correct"),
        (OPEN, "Yes", "On weekdays it is open. In conclusion, the workshop is not open on Sundays.", "incorrect"),
        ("Did sales increase in 2023?", "No, they fell.", "Sales decreased in 2023 by 4%.", "correct"),
        ("Did sales increase in 2023?", "Yes", "Sales decreased in 2023 by 4%.", "incorrect"),
        ("周日营业吗？", "不营业", "周日不营业。", "correct"),
        ("可以退货吗？", "不可以，已拆封", "可以，七天内退货。", "incorrect"),
        ("Which firms were bought?", "Trill, Arrow and Thera", "It bought Thera, Trill and Arrow.", "correct"),
        ("Which firms were bought?", "Trill, Arrow and Thera", "It bought Bolt, Trill and Quill.", "incorrect"),
        ("Which recalls were there?", "There were none", "There were no recalls.", "correct"),
        ("Which recalls were there?", "There were none", "The pump and the valve were recalled.", "incorrect"),
        ("Of trains, buses and trams, which earned most?", "Buses earned most", "Buses earned the most.", "correct"),
        ("Of trains, buses and trams, which earned most?", "Buses earned most", "Trams earned the most.", "incorrect"),
        (
            "What drove the loss?",
            "Higher freight costs and a weak dollar",
            "Freight cost more and the dollar was weak.",
            "correct",
        ),
        ("What drove the loss?", "Freight costs and a weak dollar", "A strike at two plants.", "incorrect"),
    ],
)
def test_what_is_concluded_decides(question: str, gold: str, answer: str, expected: str) -> None:
    assert judged(question, gold, answer) == expected


def test_a_dump_of_the_passages_is_incorrect() -> None:
    passages = [
        f"Chapter {n}. " + " ".join(f"Item {n}{k} stands on shelf {k}." for k in range(30)) for n in range(1, 4)
    ]
    passages[1] += " The warranty ends on 31 March 2026."
    case = Case("1", WHEN, ("31 March 2026",))
    assert outcome(case, "\n\n".join(passages), contexts=passages).outcome == "incorrect"
    assert outcome(case, "\n\n".join(passages * 3)).outcome == "incorrect"
    assert outcome(case, "The warranty ends on 31 March 2026.", contexts=passages).outcome == "correct"


def test_key_facts_decide_where_there_are_several() -> None:
    case = Case(
        "1", "How long, and where?", ("four weeks in Leeds",), key_facts=(("4 weeks", "four weeks"), ("Leeds",))
    )
    assert outcome(case, "Four weeks, in Leeds.").outcome == "correct"
    only = Case("1", "How long?", key_facts=(("4 weeks", "four weeks"),))
    assert [outcome(only, answer).outcome for answer in ("It is four weeks.", "Six.")] == ["correct", "incorrect"]


@given(st.text(max_size=300), st.text(max_size=60), st.text(max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_text_is_judged_the_same_way_twice(answer: str, question: str, gold: str, answerable: bool) -> None:
    case = Case("1", question, (gold,) if gold else (), answerable=answerable)
    first = outcome(case, answer, contexts=[gold, answer])
    assert first == outcome(case, answer, contexts=[gold, answer]) and first.outcome in (
        "correct",
        "incorrect",
        "refusal",
    )
    assert first.reason


@pytest.mark.parametrize("piece", ["a ", "文", "no ", "(1,", "does not ", "\n", "., ", "I don't know. ", "= 1 "])
def test_long_answers_are_bounded(piece: str) -> None:
    answer = (piece * 200_000)[:200_000]
    start = time.perf_counter()
    outcome(Case("1", MANY, ("17", "the kit holds 17")), answer, contexts=[answer[:50_000], answer])
    assert time.perf_counter() - start < 2


def test_sample_cases_are_judged_by_their_own_answers() -> None:
    lines = (ROOT / "sample_docs" / "cases.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, lines):
        facts = tuple(map(tuple, row.get("key_facts", ())))
        case = Case(row["id"], row["question"], tuple(row["answers"]), row["answerable"], facts)
        refused = "refusal" if case.answerable else "correct"
        assert outcome(case, "The documents do not answer this.").outcome == refused
        assert outcome(case, "抱歉，文档中没有提到相关内容。").outcome == refused
        for answer in case.answers:
            assert outcome(case, answer).outcome == "correct", row["id"]


def test_people_agree() -> None:
    folder = ROOT.parent / "shared" / "data" / "financebench" / "results"
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    labels = {"Correct Answer": "correct", "Incorrect Answer": "incorrect", "Refusal": "refusal"}
    pairs = [
        (
            labels[row["label"]],
            outcome(Case("1", row["question"], (str(row["gold_answer"]),)), row["model_answer"]).outcome,
        )
        for path in sorted(folder.glob("*.jsonl"))
        for row in map(json.loads, path.read_text("utf-8").splitlines())
    ]
    ours, theirs = (Counter(pair[side] for pair in pairs) for side in (1, 0))
    chance = sum(ours[label] * theirs[label] for label in ours) / len(pairs) ** 2
    agreed = sum(1 for a, b in pairs if a == b) / len(pairs)
    assert (agreed - chance) / (1 - chance) >= 0.85
