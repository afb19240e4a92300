"""How far a passage bears a text, and what speaks against it."""

from __future__ import annotations

import importlib.util
import sys
import time
from functools import cache
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import ROOT

from ragcli.citations import SUPPORTED_FROM, cite
from ragcli.facts import differences, locate, names
from ragcli.quantities import quantities
from ragcli.records import Hit
from ragcli.support import Evidence, common, evidence, support
from ragcli.words import fold

PASSAGE = (
    "The warranty lasts 24 months from delivery. The VC-8 controller is not covered in Norwich, unless it was "
    "registered within 60 days. Batteries of 5 kg and more are excluded. The cable may be up to 1,500 m long."
)
CHINESE = (
    "探头的保修期为18个月。电池不在保修范围内。苏州服务中心在 7 个工作日内修复寄出，运费每单上限 80 元。"
    "可以付费维修。不锈钢外壳无需清洗。"
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("24 months", [("24", "month")]),
        ("twenty-four months", [("24", "month")]),
        ("二十四个月", [("24", "month")]),
        ("１,０００元", [("1000", "¥")]),
        ("£1,200 and 1.5 million", [("1200", "£"), ("1500000", "")]),
        ("150万", [("1500000", "")]),
        ("5%, 5 percent, 百分之五", [("5", "percent")] * 3),
        ("7 business days", [("7", "working day")]),
        ("6月 6个月", [("6", "month of the year"), ("6", "month")]),
        ("二〇二五年 两千三百 十五天", [("2025", "year"), ("2300", ""), ("15", "day")]),
        ("2025-07-01 10:30", [("2025", ""), ("7", ""), ("1", ""), ("10", ""), ("30", "")]),
        ("100 °C, 25℃, 12V", [("100", "°c"), ("25", "°c"), ("12", "v")]),
        ("June 7th, mid-1950s", [("7", ""), ("1950", "")]),
        ("VC-8, T1.25, one 一般 十分 千万 万一", [("1", "")]),
    ],
)
def test_numbers_and_their_units(text: str, found: list[tuple[str, str]]) -> None:
    assert [(quantity.value, quantity.unit) for quantity in quantities(fold(text))] == found


@pytest.mark.parametrize(
    ("sentence", "reasons"),
    [
        ("The warranty lasts 36 months from delivery.", ["the number 36 months is not in the passage"]),
        ("The warranty lasts 60 months from delivery.", ["60 stands where the passage has 24"]),
        ("The warranty lasts 24 days from delivery.", ["the unit of 24 days differs"]),
        ("Batteries of 5 g and more are excluded.", ["the unit of 5 g differs"]),
        ("The VC-9 controller is not covered.", ["the name vc9 is not in the passage"]),
        ("The VC-8 controller is covered in Norwich.", ["a negation of the passage is left out"]),
        ("The VC-8 controller is not covered in London.", ["the name London is not in the passage"]),
        ("The warranty doesn't last 24 months.", ["a negation is not in the passage"]),
        ("The cable may never be up to 1500 metres long.", ["a negation is not in the passage"]),
    ],
)
def test_what_the_passage_does_not_bear(sentence: str, reasons: list[str]) -> None:
    assert set(reasons) <= set(differences(sentence, PASSAGE))


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("探头的保修期为24个月。", "the number 24个月 is not in the passage"),
        ("探头的保修期为18天。", "the unit of 18天 differs"),
        ("电池在保修范围内。", "a negation of the passage is left out"),
        ("上海服务中心在7个工作日内修复寄出。", "the name 上海 is not in the passage"),
        ("苏州服务中心在7个工作日内不修复寄出。", "a negation is not in the passage"),
        ("不可以付费维修。", "a negation is not in the passage"),
        ("禁止付费维修。", "a negation is not in the passage"),
        ("上级服务中心在7个工作日内修复寄出。", "上级 stands where the passage has 苏州"),
        ("FenView 的保修期为18个月。", "the name FenView is not in the passage"),
    ],
)
def test_what_a_chinese_passage_does_not_bear(sentence: str, reason: str) -> None:
    assert reason in differences(sentence, CHINESE)


@pytest.mark.parametrize(
    "sentence",
    [
        "The warranty lasts twenty-four months.",
        "1. The warranty lasts 24 months.",
        "Controllers such as the VC8 aren't covered in Norwich.",
        "The VC 8 controller isn't covered.",
        "Not only the cable but also the warranty is long.",
        "The VC-8 controller is covered in Norwich only if it was registered within 60 days.",
        "Batteries of 5 kg and more are not covered.",
        "The cable may be up to 1500 metres long.",
    ],
)
def test_no_false_alarm(sentence: str) -> None:
    assert differences(sentence, PASSAGE) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "探头的保修期为十八个月。",
        "運費每單上限80元。",
        "電池不在保修範圍內。",
        "不锈钢外壳无需清洗。",
        "不仅可以付费维修。",
        "７个工作日内寄出",
    ],
)
def test_no_false_alarm_in_chinese(sentence: str) -> None:
    assert differences(sentence, CHINESE) == []


def test_names() -> None:
    assert names("Norwich is where Hallowfen's people and NASA are. Then May comes to Norwich") == (
        *("Hallowfen's", "NASA", "Norwich"),
    )
    assert names("THE COVER MUST BE CLOSED") == ()
    assert names("请在 FenView 中登记苏州的网关，长 5 m。") == ("苏州", "FenView")


def test_an_abbreviation_is_its_name() -> None:
    assert differences("It is run by the WHO", "It is run by the World Health Organization") == []


def test_evidence_by_hand() -> None:
    """`fit`, `fuse`, `today` weigh 1, `a` .3; the passage holds all but `today`."""
    shown = evidence("Fit a fuse today", "Fit only a fuse.")
    assert shown.share == pytest.approx(2.3 / 3.3)
    assert shown == Evidence(shown.share, 0.75, 1, False, False, 0, False, False)
    shown = evidence("I think Bob has 7 electricians?", "They are electrical")
    assert shown.share == pytest.approx(0.7 / (0.3 + 1 + 1 + 0.3 + 1 + 1)), "electrician, electrical"
    assert (shown.numbers, shown.names, shown.speaker, shown.myself, shown.question) == (True, True, 2, True, True)


def test_support_by_hand() -> None:
    """7.4 - 9.75 share - most (1.8 + 4 (order - share) ...), through the logistic function."""
    assert Evidence(1.0, 1.0, 0, False, False, 0, False, False).support == pytest.approx(0.98448, abs=1e-5)
    assert Evidence(0.5, 0.5, 3, True, True, 0, False, False).support == pytest.approx(0.07412, abs=1e-5)
    assert Evidence(1.0, 1.0, 0, True, False, 0, False, False).support == pytest.approx(0.86412, abs=1e-5)
    assert support("", PASSAGE) == support("!?", PASSAGE) == 0.0
    assert support("Nothing", "") < 0.01


def test_support_falls_with_what_is_missing() -> None:
    falling = [
        "The warranty lasts 24 months from delivery.",
        "The warranty lasts 24 months.",
        "I think the warranty lasts 24 months from delivery.",
        "I think you will love the warranty, it is so cool!",
        "Do you have any pets?",
    ]
    values = [support(text, PASSAGE) for text in falling]
    assert values[0] >= values[1] > SUPPORTED_FROM > values[2] > values[3] > values[4]


def test_chinese_support() -> None:
    assert support("保修期为18个月", CHINESE) > 0.95
    assert support("網關的天線要裝在屋頂上", CHINESE) < 0.2


@pytest.mark.parametrize(("a", "b", "length"), [("abcd", "xbdc", 2), ("", "ab", 0), ("ab", "", 0), ("aab", "ab", 2)])
def test_longest_common_subsequence(a: str, b: str, length: int) -> None:
    assert common(tuple(a), tuple(b)) == length


@given(a=st.text("abc", max_size=12), b=st.text("abc", max_size=12))
def test_longest_common_subsequence_by_its_recurrence(a: str, b: str) -> None:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + longest(i + 1, j + 1) if a[i] == b[j] else max(longest(i + 1, j), longest(i, j + 1))

    assert common(tuple(a), tuple(b)) == longest(0, 0)


MIXED = st.text() | st.lists(
    st.sampled_from(
        [
            "24",
            " months",
            "二十",
            "四个月",
            "不",
            "没有",
            " not",
            "VC-8",
            "，",
            ". ",
            "\n",
            "£",
            "1,000",
            "百分之",
            "万",
            "n't",
        ]
    )
).map("".join)


@given(sentence=MIXED, passage=MIXED)
def test_any_two_texts_can_be_compared(sentence: str, passage: str) -> None:
    assert 0.0 <= support(sentence, passage) < 1.0
    assert isinstance(differences(sentence, passage), list)
    start, end = locate(sentence, passage)
    assert 0 <= start <= end <= len(passage)


@given(sentence=MIXED)
def test_what_stands_there_is_borne(sentence: str) -> None:
    assert evidence(sentence, sentence).share in (0.0, pytest.approx(1.0))
    assert differences(sentence, sentence) == []


def test_five_hundred_words_against_five_passages_take_no_time() -> None:
    """A bound with room for a busy machine; benchmarks show a tenth of it."""
    passages = [
        " ".join(f"Part {n} of series {k} weighs {n + k} kg and must not be opened by visitors." for n in range(20))
        for k in range(5)
    ]
    hits = [Hit(1, 0.5, "c", "s", "main", None, (), 0, len(text), None, text) for text in passages]
    answer = " ".join(
        f"Part {n} of series {k} weighs {n + k} kg and must not be opened [{k + 1}][{5 - k}]."
        for k in range(5)
        for n in range(7)
    )
    start = time.process_time()
    found = cite(answer, hits)
    assert time.process_time() - start < 0.5
    assert len(found) == 5


@pytest.mark.parametrize("text", ["a-", "1,", "百", "不", "a1-", "A ", "a\n", "twenty ", "'s", ". "])
def test_no_text_takes_long(text: str) -> None:
    passage = text * (20_000 // len(text))
    start = time.process_time()
    cite(f"{passage[:3000]} [1]", [Hit(1, 0.5, "c", "s", "main", None, (), 0, len(passage), None, passage)])
    assert time.process_time() - start < 3


@pytest.mark.parametrize("language", ["en", "zh"])
def test_swapped_sentences_of_the_sample_documents(language: str) -> None:
    """A slice of benchmarks/swaps.py, which prints the figures of the README."""
    swaps = _benchmark("swaps")
    found = swaps.measure(swaps.cases(language), language, show=False)
    assert found["swapped"] == 200
    assert found["not_called_supported"] >= 0.95
    assert min(found["verbatim_supported"], found["whole_document_supported"]) >= 0.98
    assert min(found["edited_supported"], found["condensed_supported"]) >= 0.95


def _benchmark(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
