"""Which passage a sentence leans on: markers, support, quotes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragcli.citations import Status, check, cite
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
        "link": None,
        "quote": "Fit a T1.25 A fuse only.",
        "status": "supported",
        "start": 16,
        "end": 40,
        "sentence": 0,
        "reasons": [],
    }


def test_a_link_leads_to_the_page() -> None:
    (citation,) = cite("Fit a T1.25 A fuse only [1].", [replace(FUSE, path=Path("/manuals/a b.pdf"))])
    assert citation.to_json()["link"] == "file:///manuals/a%20b.pdf#page=4"


def test_a_marker_that_names_no_passage() -> None:
    (citation,) = cite("Fit a fuse [7].", [FUSE])
    assert citation.to_json() == {
        "marker": 7,
        "source": None,
        "page": None,
        "chunk_id": None,
        "link": None,
        "quote": "",
        "status": "unsupported",
        "start": None,
        "end": None,
        "sentence": 0,
        "reasons": ["there is no passage [7]"],
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


@pytest.mark.parametrize(
    ("sentence", "status", "reason"),
    [
        ("Fit a T1.25 A fuse only", "supported", None),
        ("According to the manual, fit only a T1.25 A fuse", "supported", None),
        ("Fit a T2.5 A fuse only", "weak", "the name t2.5 is not in the passage"),
        ("Do not fit a T1.25 A fuse", "weak", "a negation is not in the passage"),
        ("Bring two spare wires", "unsupported", "the number two is not in the passage"),
        ("Bring spare wires", "unsupported", "the passage holds 0% of its words"),
        ("", "unsupported", "it says nothing"),
    ],
)
def test_status_and_its_reason(sentence: str, status: Status, reason: str | None) -> None:
    (citation,) = cite(f"{sentence} [1].", [FUSE])
    assert citation.status == status
    assert (reason in citation.reasons) if reason else citation.reasons == ()


def test_the_worst_of_a_marker_counts() -> None:
    """With its own quote and reasons; `check` has the others."""
    answer = "Fit a T1.25 A fuse only [1]. Open the cover [1]. Run away home [1]."
    (citation,) = cite(answer, [FUSE])
    assert (citation.status, citation.sentence) == ("unsupported", 2)
    checked = check(answer, [FUSE])
    assert [row.status for row in checked] == ["supported", "supported", "unsupported"]
    assert [row.citations[0].quote for row in checked[:2]] == ["Fit a T1.25 A fuse only.", "Open the cover."]


def test_check_gives_every_sentence() -> None:
    cited, free, missing = check("Close the cover [1]. That is all.\n2. Open it [4].", [FUSE])
    assert (cited.text, cited.markers, cited.status, cited.reasons) == ("Close the cover.", (1,), "supported", ())
    assert (free.text, free.markers, free.status, free.citations) == ("That is all.", (), None, ())
    assert (missing.text, missing.status) == ("Open it.", "unsupported")
    assert missing.reasons == ("there is no passage [4]",)


def test_a_sentence_that_two_passages_bear_together() -> None:
    answer = "The warranty lasts 24 months from delivery and a T1.25 A fuse only must fit the cover [1][2]."
    (sentence,) = check(answer, [WARRANTY, FUSE])
    assert sentence.status == "supported"
    assert "unsupported" not in {citation.status for citation in sentence.citations}
    (alone,) = check(answer.replace("[1][2]", "[2]"), [WARRANTY, FUSE])
    assert alone.status != "supported"


def test_a_marker_without_passage_is_not_hidden_by_its_neighbour() -> None:
    assert marks("The warranty lasts 24 months [1][9].", WARRANTY) == [(1, "supported"), (9, "unsupported")]


def test_a_heading_counts_as_its_passage() -> None:
    text = "The period is 24 months."
    under = Hit(1, 0.5, "c1", "a.md", "main", None, ("Warranty", "VC-8 controllers"), 100, 124, None, text)
    (citation,) = cite("The period of VC-8 controllers is 24 months [1].", [under])
    assert (citation.status, citation.quote, citation.start, citation.end) == ("supported", text, 100, 124)


def test_a_judge_decides_the_weak_ones_alone() -> None:
    asked: list[str] = []

    def judge(opinion: float | None) -> list[Status]:
        def ask(sentence: str, passage: str) -> float | None:
            asked.append(sentence)
            assert passage == FUSE.text
            return opinion

        answer = "Fit a T1.25 A fuse only [1]. Fit a T2.5 A fuse only [1]. Run home [1]."
        return [row.status for row in check(answer, [FUSE], ask) if row.status]

    assert judge(0.5) == ["supported", "supported", "unsupported"]
    assert judge(0.4) == ["supported", "unsupported", "unsupported"]
    assert judge(None) == ["supported", "weak", "unsupported"]
    assert set(asked) == {"Fit a T2.5 A fuse only."}


def test_a_quote_is_the_sentence_that_is_most_like_it() -> None:
    def quote(sentence: str, passage: Hit) -> str:
        return cite(f"{sentence} [1]", [passage])[0].quote

    assert quote("a fuse", FUSE) == "Fit a T1.25 A fuse only."
    assert quote("cover, closed", FUSE) == "Close the cover."
    assert quote("电池", CHINESE) == "电池不在保修范围内。"
    assert quote("the fuse", hit("| part | price |\n| fuse | 3 |\n| cover | 9 |")) == "| fuse | 3 |"
    assert quote("anything", hit("")) == ""


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
        if citation.hit is not None:
            assert citation.start is not None and citation.end is not None
            assert citation.hit.text[citation.start : citation.end] == citation.quote
