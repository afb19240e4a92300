"""Retrieval metrics: by hand, against trec_eval, as properties; and which hit holds which gold."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import ROOT

from ragcli.evaluation.cases import read_cases
from ragcli.evaluation.records import Context, Gold
from ragcli.evaluation.retrieval_metrics import (
    Relevance,
    gold_characters_at,
    hit_at,
    is_stale,
    locate_gold,
    measure,
    names,
    ndcg_at,
    precision_at,
    recall_at,
    reciprocal_rank,
    relevance,
    same_source,
)

TEXT = "The warranty lasts 24 months from delivery. It can be passed on once. Batteries are covered for 6 months."
QUOTE = "It can be passed on once."


def hit(text: str = "", source: str = "a.md", **fields: Any) -> dict[str, Any]:
    """Return a hit of the contract, as far as the metrics read it."""
    return {"source": source, "text": text, "page": None, "start": None, "end": None} | fields


def found(*held: set[int], golds: int) -> Relevance:
    """Return hits by the gold that each one holds."""
    return Relevance(golds, tuple(map(frozenset, held)), {}, ((),) * len(held))


def holds(one: dict[str, Any] | Context, gold: Gold) -> bool | None:
    """Return whether a hit holds a gold, None where that cannot be said."""
    seen = relevance([one], [gold])
    return None if seen is None else bool(seen.found[0])


# By hand


def test_the_metrics_by_hand() -> None:
    run = found(set(), {0}, {0}, {2}, golds=3)
    assert [hit_at(run, k) for k in (1, 2, 4)] == [0, 1, 1]
    assert [recall_at(run, k) for k in (1, 3, 4)] == [0, 1 / 3, 2 / 3]
    assert [precision_at(run, k) for k in (1, 2, 4, 8)] == [0, 1 / 2, 3 / 4, 3 / 8]
    assert reciprocal_rank(run) == 1 / 2
    # gains 0 1 0 1: 1/log2(3) + 1/log2(5) = .63093 + .43068; ideal of three: 1 + .63093 + .5
    assert ndcg_at(run, 4) == pytest.approx((0.63093 + 0.43068) / 2.13093, abs=1e-5)
    assert ndcg_at(run, 2) == pytest.approx(0.63093 / 1.63093, abs=1e-5)


def test_nothing_found() -> None:
    for run in (found(golds=2), found(set(), set(), golds=2)):
        assert [metric(run, 5) for metric in (hit_at, recall_at, precision_at, ndcg_at)] == [0, 0, 0, 0]
        assert reciprocal_rank(run) == 0


def test_one_hit_with_all_gold_is_the_best_there_is() -> None:
    run = found({0, 1, 2}, set(), golds=3)
    assert (recall_at(run, 1), ndcg_at(run, 1), ndcg_at(run, 5)) == (1, 1, 1)


def test_the_characters_of_gold_by_hand() -> None:
    gold = [Gold("a.md", start=10, end=30), Gold("a.md", start=100, end=180)]
    hits = [hit(start=0, end=20), hit(start=15, end=25), hit(start=100, end=140), hit(source="b.md", start=0, end=999)]
    seen = relevance(hits, gold)
    assert seen is not None
    assert [gold_characters_at(seen, k) for k in (1, 2, 3, 4)] == [0.1, 0.15, 0.55, 0.55]


def test_gold_without_a_length_has_no_characters() -> None:
    assert measure([hit(page=3)], [Gold("a.md", page=3)], [1])["gold_chars@1"] is None


def test_the_names() -> None:
    expected = ["hit@1", "hit@5", "recall@1", "recall@5", "precision@1", "precision@5", "ndcg@1", "ndcg@5"]
    assert names([1, 5]) == [*expected, "gold_chars@1", "gold_chars@5", "mrr"]
    assert list(measure([], [Gold("a")], [1, 5])) == names([1, 5])


def test_without_gold_there_is_no_metric() -> None:
    assert set(measure([hit("text")], [], [1, 5]).values()) == {None}


def test_without_hits_the_metrics_are_zero() -> None:
    values = measure([], [Gold("a.md", quote=QUOTE)], [5])
    assert set(values.values()) == {0.0}


# Against trec_eval, by ir-measures


def test_the_metrics_are_those_of_trec_eval() -> None:
    """Where each gold is a document of its own, and stands in the run once, all must agree."""
    ir = pytest.importorskip("ir_measures", reason="ir-measures is not installed")
    import random

    draw = random.Random(4)
    for _ in range(60):
        ranked = draw.sample(range(30), draw.randint(1, 15))
        golds = draw.sample(range(30), draw.randint(1, 6))
        run = found(*({golds.index(d)} if d in golds else set() for d in ranked), golds=len(golds))
        qrels = [ir.Qrel("q", str(d), 1) for d in golds]
        scored = [ir.ScoredDoc("q", str(d), 100.0 - rank) for rank, d in enumerate(ranked)]
        for k in (1, 3, 5, 10, 20):
            theirs = ir.calc_aggregate([ir.Success @ k, ir.R @ k, ir.P @ k, ir.nDCG @ k, ir.RR], qrels, scored)
            assert hit_at(run, k) == theirs[ir.Success @ k]
            assert recall_at(run, k) == pytest.approx(theirs[ir.R @ k])
            assert precision_at(run, k) == pytest.approx(theirs[ir.P @ k])
            assert ndcg_at(run, k) == pytest.approx(theirs[ir.nDCG @ k])
            assert reciprocal_rank(run) == pytest.approx(theirs[ir.RR])


# Properties

GOLDS = 5
RUNS = st.lists(st.frozensets(st.integers(0, GOLDS - 1)), max_size=12)


@given(RUNS, st.integers(1, 15))
def test_metrics_lie_between_0_and_1(held: list[frozenset[int]], k: int) -> None:
    run = Relevance(GOLDS, tuple(held), {}, ((),) * len(held))
    for metric in (hit_at, recall_at, precision_at, ndcg_at):
        assert 0 <= metric(run, k) <= 1 + 1e-12
    assert hit_at(run, k) == (recall_at(run, k) > 0) == (reciprocal_rank(run) >= 1 / k)
    assert recall_at(run, k) <= recall_at(run, k + 1) and hit_at(run, k) <= hit_at(run, k + 1)


@given(RUNS, st.integers(1, 15), st.data())
def test_a_gold_further_up_is_never_worse(held: list[frozenset[int]], k: int, data: st.DataObject) -> None:
    if len(held) < 2:
        return
    at = data.draw(st.integers(1, len(held) - 1))
    if held[at - 1]:
        return
    better = [*held]
    better[at - 1], better[at] = better[at], better[at - 1]
    before, after = (Relevance(GOLDS, tuple(run), {}, ()) for run in (held, better))
    assert ndcg_at(after, 12) >= ndcg_at(before, 12) - 1e-12
    assert reciprocal_rank(after) >= reciprocal_rank(before)
    assert precision_at(after, k) >= precision_at(before, k)


SPANS = st.tuples(st.integers(0, 80), st.integers(1, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(SPANS, st.lists(SPANS, max_size=6))
def test_the_covered_characters_are_those_of_sets(gold: tuple[int, int], spans: list[tuple[int, int]]) -> None:
    value = measure([hit(start=a, end=b) for a, b in spans], [Gold("a.md", start=gold[0], end=gold[1])], [10])[
        "gold_chars@10"
    ]
    wanted = set(range(*gold))
    assert value == pytest.approx(len(wanted & {i for a, b in spans for i in range(a, b)}) / len(wanted))


# Which hit holds which gold


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("a.md", "a.md", True),
        ("docs/a.md", "a.md", True),
        ("a.md", "x/docs/a.md", True),
        ("docs\\a.md", "docs/a.md", True),
        ("./a.md", "a.md", True),
        ("ADOBE_2022_10K", "pdfs/ADOBE_2022_10K.pdf", True),
        ("报告.pdf", "报告", True),
        ("cafe\u0301.md", "caf\u00e9.md", True),
        ("xa.md", "a.md", False),
        ("a.md", "a.pdf", False),
        ("docs/a.md", "manuals/a.md", False),
        ("", "a.md", False),
        ("", ".md", False),
    ],
)
def test_sources(a: str, b: str, same: bool) -> None:
    assert same_source(a, b) is same_source(b, a) is same


def test_a_span_is_overlapped() -> None:
    gold = Gold("a.md", start=10, end=20)
    assert holds(hit(start=19, end=40), gold) and holds(hit(start=0, end=11), gold)
    assert not holds(hit(start=20, end=40), gold) and not holds(hit(start=0, end=10), gold)
    assert not holds(hit(source="b.md", start=10, end=20), gold)
    assert holds(hit(TEXT), gold) is None, "where the hit stands is not known"


def test_of_a_span_with_its_quote_half_must_be_there() -> None:
    gold = Gold("a.md", quote=TEXT[44:69], start=44, end=69)
    assert holds(hit(start=0, end=60), gold)
    assert not holds(hit(start=0, end=50), gold)
    assert holds(hit(TEXT), gold), "by the quote, where the hit's place is not known"
    assert measure([hit(TEXT)], [gold], [1])["gold_chars@1"] == 1


def test_half_of_a_quote_is_enough() -> None:
    gold = Gold("a.md", quote="The warranty lasts 24 months from delivery.")
    assert holds(hit(TEXT), gold)
    assert holds(hit("lasts 24 months from delivery. It can"), gold)
    assert not holds(hit("from delivery."), gold)
    assert not holds(hit("the wartime Latin mouths"), gold)
    assert not holds(hit(TEXT, source="b.md"), gold)


def test_of_a_short_quote_all_must_be_there() -> None:
    gold = Gold("a.md", quote="72 小时")
    assert holds(hit("链接 ７２小时内有效"), gold) and not holds(hit("7 月 2 日起，24 小时内"), gold)
    assert not holds(hit("2 litres"), Gold("a.md", quote="24"))


def test_white_space_width_and_markup_are_folded() -> None:
    assert holds(hit("| Rain |  0.2 mm\nper tip |"), Gold("a.md", quote="Rain 0.2 mm per tip"))
    assert holds(hit("Pour **0.7 litre** of slurry"), Gold("a.md", quote="pour 0.7 litre of slurry"))
    assert holds(hit("保修期为２４个月，\n自签收之日起计算"), Gold("a.md", quote="保修期为24个月,自签收之日起计算"))
    assert holds(hit("the user’s “gate­way”"), Gold("a.md", quote='the user\'s "gateway"'))


def test_a_quote_longer_than_the_hit() -> None:
    quote = " ".join(f"Item {i} costs {i * 37 % 101} pounds." for i in range(60))
    gold = Gold("a.md", quote=quote)
    assert holds(hit(quote[300:700]), gold)
    assert not holds(hit(quote[300:340]), gold), "a scrap of it"
    assert not holds(hit("Something else that is as long as this. " * 12 + quote[300:350]), gold)
    value = measure([hit(quote[: len(quote) // 2])], [gold], [1])["gold_chars@1"]
    assert value == pytest.approx(0.5, abs=0.02)


def test_two_halves_of_a_quote_make_a_whole() -> None:
    quote = "The gateway needs a clear view of the sky and must stand at least two metres above the ground."
    values = measure([hit(quote[:50]), hit(quote[50:])], [Gold("a.md", quote=quote)], [1, 2])
    assert 0.4 < (values["gold_chars@1"] or 0) < 0.6 and values["gold_chars@2"] == 1


def test_a_page() -> None:
    gold = Gold("a.pdf", page=4)
    assert holds(hit(source="a.pdf", page=4), gold) and not holds(hit(source="a.pdf", page=5), gold)
    assert holds(hit(source="a.pdf"), gold) is None
    quoted = Gold("a.pdf", page=4, quote="The warranty lasts 24 months from delivery.")
    half = "lasts 24 months from delivery."
    assert holds(hit(half, source="a.pdf", page=4), quoted) and holds(hit(half, source="a.pdf"), quoted)
    assert not holds(hit("other text", source="a.pdf", page=4), quoted)
    assert not holds(hit(half, source="a.pdf", page=5), quoted)
    assert holds(hit(TEXT, source="a.pdf", page=5), quoted), "the same sentence, whole"


def test_nothing_but_a_source() -> None:
    assert holds(hit("anything", source="x/a.md"), Gold("a.md"))
    assert not holds(hit("anything", source="b.md"), Gold("a.md"))
    assert holds(Context("anything"), Gold("a.md")) is None


def test_a_source_that_is_not_known_leaves_it_to_the_quote() -> None:
    assert holds(Context(TEXT), Gold("a.md", quote=QUOTE)) and not holds(Context("other"), Gold("a.md", quote=QUOTE))
    assert holds(hit(TEXT), Gold("", quote=QUOTE)) and holds(hit(TEXT), Gold("")) is None


def test_a_copy_of_the_text_in_another_source_counts() -> None:
    also = [{"source": "b.md", "page": None, "start": 100, "end": 200}]
    assert holds(hit(TEXT, also=also), Gold("b.md", quote=QUOTE))
    assert holds(hit(TEXT, start=0, end=50, also=also), Gold("b.md", start=150, end=160))
    assert not holds(hit(TEXT, start=0, end=50, also=also), Gold("b.md", start=0, end=50))


def test_gold_that_cannot_be_compared_is_left_out() -> None:
    seen = relevance([Context(TEXT, source="a.md")], [Gold("a.md", page=2), Gold("a.md", quote=QUOTE)])
    assert seen is not None and seen.golds == 1 and recall_at(seen, 1) == 1


# Stale gold


def test_gold_is_located_in_the_source() -> None:
    assert locate_gold(Gold("a.md", quote="it can be  passed on\nonce."), TEXT) == (44, 69)
    assert locate_gold(Gold("a.md", quote=QUOTE, start=0, end=9), TEXT) == (44, 69), "the span is of an older text"
    assert locate_gold(Gold("a.md", start=3, end=9), TEXT) == (3, 9)
    assert locate_gold(Gold("a.md"), TEXT) == (0, len(TEXT))
    chinese = "第一条 总则。\n保修期为２４个月。"
    assert locate_gold(Gold("a.md", quote="保修期为24个月"), chinese) == (8, 16)
    assert chinese[8:16] == "保修期为２４个月"


def test_the_nearest_place_and_the_right_page() -> None:
    text = "same line\nother\nsame line\nend\nsame line"
    assert locate_gold(Gold("a.md", quote="same line"), text) == (0, 9)
    assert locate_gold(Gold("a.md", quote="same line", start=15, end=24), text) == (16, 25)
    pages = {1: (0, 16), 2: (16, 29), 3: (29, 39)}
    assert locate_gold(Gold("a.md", quote="same line", page=3), text, pages) == (30, 39)
    assert locate_gold(Gold("a.md", quote="other", page=3), text, pages) == (10, 15), "the page was wrong"
    assert locate_gold(Gold("a.md", page=2), text, pages) == (16, 29)


def test_what_is_gone_is_stale() -> None:
    assert is_stale(Gold("a.md", quote="The warranty lasts 36 months from delivery."), TEXT)
    assert is_stale(Gold("a.md", start=3, end=len(TEXT) + 1), TEXT)
    assert is_stale(Gold("a.pdf", page=9), TEXT, {1: (0, len(TEXT))})
    assert not is_stale(Gold("a.pdf", page=1), TEXT, {1: (0, len(TEXT))})
    assert not is_stale(Gold("a.md", quote=QUOTE), TEXT)


def test_a_page_that_another_reader_read_in_another_order_is_not_stale() -> None:
    rows = [f"Revenue of segment {i} in fiscal 2022 was {i * 1373} million" for i in range(8)]
    page = "\n".join([*rows[4:], *rows[:4]])
    gold = Gold("a.pdf", page=2, quote="\n".join(rows))
    pages = {1: (0, 10), 2: (10, 10 + len(page))}
    assert locate_gold(gold, "x" * 10 + page, pages) == (10, 10 + len(page))
    assert is_stale(gold, "x" * 10 + "y" * len(page), pages)


@given(st.text(alphabet="aB １é\u0301中。\n*ﬁ", max_size=40), st.data())
def test_any_stretch_of_a_text_is_found_in_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    quote = text[start:end]
    if quote.startswith("\u0301") or text[end : end + 1] == "\u0301":
        return  # a letter was cut from its accent
    if quote.strip(" \n*"):
        span = locate_gold(Gold("a", quote=quote), text)
        assert span is not None
        assert holds(hit(text, source="a"), Gold("a", quote=quote))


# Speed


def test_xquad_is_scored_in_well_under_a_second() -> None:
    folder = ROOT.parent / "shared" / "data" / "xquad"
    if not folder.is_dir():
        pytest.skip("../shared/data/xquad is missing")
    rows: list[tuple[list[dict[str, Any]], tuple[Gold, ...]]] = []
    for path in sorted(folder.glob("*.json")):
        articles = json.loads(path.read_text("utf-8"))["data"]
        pages = {
            article["title"]: [
                hit(context[at : at + 500], source=f"{article['title']}.md")
                for context in (paragraph["context"] for paragraph in article["paragraphs"])
                for at in range(0, len(context), 500)
            ]
            for article in articles
        }
        rows += [((pages[case.gold[0].source] * 10)[:10], case.gold) for case in read_cases(path).cases]
    start = time.process_time()
    values = [measure(hits, gold, (1, 3, 5, 10)) for hits, gold in rows]
    seconds = time.process_time() - start
    assert len(values) == 1264
    assert sum(value["hit@10"] or 0 for value in values) > 1000
    assert seconds < 1


def test_a_hostile_quote_takes_no_time() -> None:
    quote = "ab" * 100_000 + "c"
    start = time.process_time()
    measure([hit("ba" * 50_000 + "d")] * 10, [Gold("a.md", quote=quote), Gold("a.md", quote="x" + quote)], [5])
    locate_gold(Gold("a.md", quote="ab"), quote)
    assert time.process_time() - start < 5


def test_the_cases_of_the_project_are_in_its_documents() -> None:
    folder = ROOT / "sample_docs"
    gold = [gold for case in read_cases(Path(folder / "cases.jsonl")).cases for gold in case.gold]
    text_gold = [one for one in gold if one.source.endswith((".md", ".txt", ".csv")) and one.quote]
    assert len(text_gold) > 50
    assert not [one for one in text_gold if is_stale(one, (folder / one.source).read_text("utf-8-sig"))]
