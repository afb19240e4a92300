"""Which passage a sentence leans on: markers, support, quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragcli.citations import SUPPORTED_FROM, WEAK_FROM, cite, quote, support
from ragcli.records import Hit


def hit(text: str, source: str = "manual.pdf", page: int | None = 4) -> Hit:
    """Return a passage."""
    return Hit(1, 0.5, "c1", source, "main", page, (), 0, len(text), None, text)


FUSE = hit("Open the cover. Fit a T1.25 A fuse only. Close the cover.")
WARRANTY = hit("The warranty lasts 24 months from delivery.", "warranty.md", None)
CHINESE = hit("探头的保修期为18个月。电池不在保修范围内。", "政策.md", None)


def marks(answer: str, *hits: Hit) -> list[tuple[int, str]]:
    """Return the markers of an answer with their statuses."""
    return [(citation.marker, citation.status) for citation in cite(answer, hits)]


def test_the_whole_of_a_citation() -> None:
    (citation,) = cite("Fit a T1.25 A fuse only [1].", [FUSE])
    assert citation.to_json() == {
        "marker": 1,
        "source": "manual.pdf",
        "page": 4,
        "chunk_id": "c1",
        "quote": "Fit a T1.25 A fuse only.",
        "status": "supported",
    }


def test_a_marker_that_names_no_passage() -> None:
    (citation,) = cite("Fit a fuse [7].", [FUSE])
    assert citation.to_json() == {
        "marker": 7,
        "source": None,
        "page": None,
        "chunk_id": None,
        "quote": "",
        "status": "unsupported",
    }
    assert marks("Fit a fuse [0].", FUSE) == [(0, "unsupported")]


@pytest.mark.parametrize(
    "answer",
    [
        "Fit a T1.25 A fuse only [1]. The warranty lasts 24 months [2].",
        "Fit a T1.25 A fuse only. [1] The warranty lasts 24 months. [2]",
        "Fit a T1.25 A fuse only.[1] The warranty lasts 24 months.[2]",
        "Fit a T1.25 A fuse only. [1]\nThe warranty lasts 24 months. [2]",
        "[1] Fit a T1.25 A fuse only.\n[2] The warranty lasts 24 months.",
        "- Fit a T1.25 A fuse only [1]\n- The warranty lasts 24 months [2]",
        "Fit a T1.25 A fuse only.\n[1]\nThe warranty lasts 24 months.\n[2]",
        "Fit a T1.25 A fuse only【1】. The warranty lasts 24 months 【2】.",
    ],
)
def test_a_marker_belongs_to_its_own_sentence(answer: str) -> None:
    assert marks(answer, FUSE, WARRANTY) == [(1, "supported"), (2, "supported")]


@pytest.mark.parametrize(
    "answer", ["保修期为18个月。[1] 电池不在保修范围内。[1]", "保修期为18个月[1]。电池不在保修范围内【1】。"]
)
def test_chinese_sentences(answer: str) -> None:
    (citation,) = cite(answer, [CHINESE])
    assert (citation.status, citation.quote) == ("supported", "探头的保修期为18个月。")


@pytest.mark.parametrize("markers", ["[1, 2]", "[1][2]", "[1] [2]", "【1，2】", "[1、2]", "[ 1 ,2 ]"])
def test_several_markers(markers: str) -> None:
    assert [marker for marker, _ in marks(f"Fit a fuse {markers}.", FUSE, WARRANTY)] == [1, 2]


@pytest.mark.parametrize("answer", ["Fit a fuse.", "", "see [a] and [1234] and (1)", "[]"])
def test_what_is_no_marker(answer: str) -> None:
    assert marks(answer, FUSE) == []


def test_an_answer_of_markers_alone() -> None:
    assert marks("[1]", FUSE) == [(1, "unsupported")]


def test_status_by_the_share_of_words() -> None:
    """`fit a t1.25 a fuse onli`: six words, counted with their repeats, of which the passage holds all."""
    assert (SUPPORTED_FROM, WEAK_FROM) == (0.8, 0.5)
    assert support("Fit a T1.25 A fuse only.", FUSE.text) == 1.0
    assert support("Fit a T1.25 A fuse today.", FUSE.text) == pytest.approx(5 / 6)
    assert support("Fit a T2.5 A fuse today.", FUSE.text) == pytest.approx(4 / 6)
    assert support("Bring two spare wires.", FUSE.text) == 0.0
    assert marks("Fit a T1.25 A fuse today [1]. Fit a T2.5 A fuse today [2]. Bring two wires [3].", *[FUSE] * 3) == [
        (1, "supported"),
        (2, "weak"),
        (3, "unsupported"),
    ]


def test_the_best_of_a_marker_counts() -> None:
    """And its quote is that of the sentence which it bears best."""
    (citation,) = cite("Bring spare wires [1]. Fit a T1.25 A fuse only [1]. Run away [1].", [FUSE])
    assert (citation.status, citation.quote) == ("supported", "Fit a T1.25 A fuse only.")


def test_nothing_supports_nothing() -> None:
    assert support("", FUSE.text) == 0.0
    assert support("!?", FUSE.text) == 0.0
    assert support("Fit", "") == 0.0
    assert quote("Fit a fuse", "") == ""


def test_a_quote_is_the_sentence_that_shares_most() -> None:
    assert quote("a fuse", FUSE.text) == "Fit a T1.25 A fuse only."
    assert quote("cover, closed", FUSE.text) == "Close the cover."
    assert quote("电池", CHINESE.text) == "电池不在保修范围内。"


@given(
    answer=st.lists(st.sampled_from(["[1]", "[2] ", "【3】", "[99]", "The fuse", ". ", "。", "\n", " is", "保修"])).map(
        "".join
    )
)
def test_every_marker_has_one_citation(answer: str) -> None:
    hits = [FUSE, WARRANTY, CHINESE]
    found = cite(answer, hits)
    assert len({c.marker for c in found}) == len(found)
    assert {c.marker for c in found} == {n for n in (1, 2, 3, 99) if f"[{n}]" in answer or f"【{n}】" in answer}
    for citation in found:
        assert citation.hit is (hits[citation.marker - 1] if citation.marker <= 3 else None)
        assert citation.hit is None or citation.quote in citation.hit.text


@given(sentence=st.text(), passage=st.text())
def test_support_is_a_share(sentence: str, passage: str) -> None:
    assert 0.0 <= support(sentence, passage) <= 1.0
    assert support(sentence, f"{sentence} {passage}") in (0.0, 1.0)
    assert quote(sentence, passage) in passage
