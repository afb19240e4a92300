"""Answer metrics: by hand, as the published scripts have them, and as properties."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragcli.evaluation.answer_metrics import Copied, copied, exact_match, f1, key_fact_recall


@pytest.mark.parametrize(
    ("answer", "answers", "exact", "overlap"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], 1.0, 1.0),
        ("the cat sat", ["a cat sat down"], 0.0, 0.8),  # 2 of 2 and 2 of 3
        ("Paris", ["London", "in Paris"], 0.0, 2 / 3),
        ("cat cat", ["cat"], 0.0, 2 / 3),  # as a bag: one in common
        ("", [], 1.0, 1.0),
        ("something", [], 0.0, 0.0),
        ("", ["Paris"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),  # both are nothing, normalized
        ("U.S. dollars", ["US dollars"], 1.0, 1.0),
        ("well-known", ["well known"], 0.0, 0.0),  # punctuation goes without a space
        ("５ metres", ["5 metres"], 0.0, 0.5),  # no folding of width
    ],
)
def test_squad(answer: str, answers: list[str], exact: float, overlap: float) -> None:
    assert exact_match(answer, answers) == exact
    assert f1(answer, answers) == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("answer", "answers", "exact", "overlap"),
    [
        ("《战国无双3》", ["战国无双3"], 1.0, 1.0),
        ("由光荣开发", ["光荣"], 0.0, 2 * 2 / (5 + 2)),
        ("光荣和欧米茄", ["光荣与欧米茄"], 0.0, 2 * 3 / 12),  # the longest run, not the sequence
        ("2010年12月", ["2010年"], 0.0, 2 * 2 / (4 + 2)),  # 2010 年 12 月
        ("iPhone 手机", ["iphone手机"], 0.0, 1.0),
        ("上海", ["北京"], 0.0, 0.0),
        ("", ["北京"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
    ],
)
def test_cmrc(answer: str, answers: list[str], exact: float, overlap: float) -> None:
    assert exact_match(answer, answers, "zh") == exact
    assert f1(answer, answers, "zh") == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("answer", "fact", "held"),
    [
        ("It lasts 24 months.", "24 months", True),
        ("It lasts １２４ months.", "24 months", False),
        ("It lasts 24 monthswise.", "24 months", False),
        ("保修期为24個月。", "24 个月", True),
        ("It costs £58.50", "£58", False),
        ("It costs £58.", "£58", True),
        ("The price is 1,577 million dollars", "$1.577 billion", True),
        ("It is 15.8 percent", "15.8%", True),
        ("It is 25.8 percent", "15.8%", False),
        ("Café Müller", "cafe muller", True),
        ("catalogue", "cat", False),
        ("the cat.", "cat", True),
        ("version 3.4.1 of June", "3.4", False),
        ("用FP-60测量", "FP-60", True),
    ],
)
def test_key_facts(answer: str, fact: str, held: bool) -> None:
    assert key_fact_recall(answer, [[fact]]) == held


def test_key_facts_have_aliases_and_are_a_share() -> None:
    facts = [["4 weeks", "four weeks"], ["Leeds"], ["Norwich", ""]]
    assert key_fact_recall("Four  weeks in Leeds", facts) == pytest.approx(2 / 3)
    assert key_fact_recall("anything", []) == 0.0


def test_fragments_are_those_of_newsroom() -> None:
    passage = "the quick brown fox jumps over the lazy dog near the old mill"
    # "the lazy dog" 3 and "quick brown fox jumps over the" 6 of 11 words
    answer = "The lazy dog saw a quick brown fox jumps over the"
    assert copied(answer, [passage]) == Copied(9 / 11, (9 + 36) / 11, 0.0, False)
    assert copied("quick brown fox jumps over the lazy dog. So", [passage]) == Copied(8 / 9, 64 / 9, 8 / 9, False)
    assert copied("Quick brown fox.", [passage]) == Copied(1.0, 3.0, 0.0, True)
    assert copied("the mill", [passage]) == Copied(1.0, 1.0, 0.0, False)
    assert copied("brown cat", ["a brown", "cat"]) == Copied(1.0, 1.0, 0.0, False), "a fragment stays in its passage"
    assert copied("", [passage]) == copied("…", []) == Copied(0.0, 0.0, 0.0, False)


def test_fragments_in_chinese_count_from_twelve_characters() -> None:
    passage = "苏州服务中心在七个工作日内修复寄出，运费由客户承担。"
    assert copied("服务中心在七个工作日内修复", [passage]) == Copied(1.0, 13.0, 1.0, True)
    assert copied("服务中心在七个工作日", [passage]) == Copied(1.0, 10.0, 0.0, True)
    assert copied("服務中心", [passage]).whole, "Traditional script"


@given(st.text("ab c文字。", max_size=60), st.lists(st.text("ab c文字。", max_size=80), max_size=3))
@settings(max_examples=200, deadline=None)
def test_figures_are_shares(answer: str, texts: list[str]) -> None:
    shown = copied(answer, texts)
    assert 0 <= shown.share <= shown.coverage <= 1 and shown.coverage <= shown.density or shown.density == 0
    assert not shown.whole or shown.coverage == 1
    for lang in ("en", "zh"):
        assert 0 <= f1(answer, texts, lang) <= 1
        assert f1(answer, [*texts, answer], lang) == exact_match(answer, [*texts, answer], lang) == 1
    assert exact_match(answer, texts) <= f1(answer, texts)
    assert 0 <= key_fact_recall(answer, [texts]) <= 1


@given(st.lists(st.sampled_from("天地人和"), max_size=30), st.lists(st.sampled_from("天地人和"), max_size=30))
@settings(max_examples=150, deadline=None)
def test_the_longest_run_is_that_of_the_script(a: list[str], b: list[str]) -> None:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for k, y in enumerate(b):
            table[i + 1][k + 1] = table[i][k] + 1 if x == y else 0
    longest = max(map(max, table))
    wanted = 2 * longest / (len(a) + len(b)) if a and b else float(a == b)
    assert f1("".join(a), ["".join(b)], "zh") == pytest.approx(wanted)


@pytest.mark.parametrize("piece", ["a ", "aab ", "文", "1 ", "\n", "., "])
def test_long_answers_are_bounded(piece: str) -> None:
    answer = (piece * 200_000)[:200_000]
    start = time.perf_counter()
    copied(answer, [answer[:50_000], answer[7:], "b" * 200_000])
    for lang in ("en", "zh"):
        f1(answer, [answer[::-1]], lang)
        exact_match(answer, [answer[::-1]], lang)
    key_fact_recall(answer, [["a b c", "17 million"]])
    assert time.perf_counter() - start < 3


def test_ten_thousand_answers_take_seconds() -> None:
    passages = [" ".join(f"w{(i * k) % 97}" for i in range(300)) for k in range(1, 6)]
    answer = " ".join(f"w{i % 89}" for i in range(0, 400, 5))
    start = time.perf_counter()
    for _ in range(500):
        copied(answer, passages)
        f1(answer, [answer[:80]])
        key_fact_recall(answer, [["w5", "w6"], ["24 months"]])
    assert time.perf_counter() - start < 6
