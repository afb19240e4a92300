"""What the report's file holds: one page, nothing from elsewhere, and text that stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import HOSTILE, made_up_baseline, made_up_rows, made_up_run

from ragcli.evaluation import plots
from ragcli.evaluation.report import LONGEST, render


class Page(HTMLParser):
    """The page's start tags in order, what stands in scripts and styles, and the other text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.raw:
            self.raw[self._inside].append(data)
        else:
            self.text += f" {data}"

    @property
    def data(self) -> Any:
        return json.loads(self.raw["script"][0])


@pytest.fixture(scope="module")
def text() -> str:
    rows = made_up_rows(40)
    return render(made_up_run(rows), rows, made_up_baseline())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_is_one_file_that_needs_nothing_else(page: Page) -> None:
    assert not {"img", "iframe", "object", "embed", "base", "link"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert "src" not in attributes and "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert all(str(attributes[name]).startswith("#") for name in ("href", "xlink:href") if name in attributes)


def test_its_policy_lets_its_own_script_and_style_through_and_nothing_else(page: Page) -> None:
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "unsafe" not in policy and policy.startswith("default-src 'none'")
    (style,), (_, script) = page.raw["style"], page.raw["script"]
    for directive, source in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy


def test_it_shows_what_the_run_holds(page: Page) -> None:
    shown = " ".join(page.text.split())
    for words in (
        *("Stage 2: rigid", "98%", "8 unanswerable cases", "40 questions", "20 correct", "10 incorrect", "10 refusal"),
        *("hit@5 0.900 0.800 to 1.000", "latency_ms 64.2 60.0 to 70.0", "By language", "By family", "paraphrase"),
        *("ranked too low 10", "ragcli search 'How fast is pump 2?' -n 50 --explain", "q2"),
        *("+0.050 +0.020 to +0.080 0.004 better", "+0.040 +0.010 to +0.070 0.020 worse", "2 now right", "1 now wrong"),
        *("Another prompt: bb22 before, aa11 now", "version 1.2.3", "Answers against context rank", "Latency"),
    ):
        assert words in shown, words


@pytest.mark.parametrize(("low", "high", "p"), [(-0.04, 0.02, 0.01), (0.01, 0.08, 0.2), (None, None, 0.01)])
def test_a_difference_that_may_be_none_has_no_verdict(low: float | None, high: float | None, p: float) -> None:
    difference = {"value": 0.03, "low": low, "high": high, "p": p}
    shown = Page(render({"compare": {"metrics": {"f1": difference}}}, [])).text
    assert "+0.030" in shown and "better" not in shown and "worse" not in shown


def test_the_rows_are_there_with_each_passage_once(page: Page) -> None:
    rows, passages = page.data["rows"], page.data["passages"]
    assert [row["id"] for row in rows] == [f"q{n}" for n in range(40)]
    assert len(passages) == len(set(passages)) == 42
    assert passages[rows[3]["hits"][0]["text"]] == "Pump 3 runs at 3 litres. It is blue."
    assert [rows[n]["change"] for n in (1, 2, 3)] == ["now right", "now wrong", ""]


def test_it_is_the_same_each_time(text: str) -> None:
    rows = made_up_rows(40)
    assert render(made_up_run(rows), rows, made_up_baseline()) == text


@pytest.mark.parametrize("run", [{}, {"metrics": None, "by": [], "stage": 3, "causes": "x", "compare": {"metrics": 1}}])
def test_an_empty_run_has_a_page(run: dict[str, Any]) -> None:
    page = Page(render(run, []))
    assert page.data == {"rows": [], "passages": []}
    assert "Stage: undecided" in page.text


def test_where_nothing_was_asked_nothing_is_said_of_answers() -> None:
    rows = [row | {"outcome": None, "stage": None, "cause": None, "answer": ""} for row in made_up_rows(8)]
    page = Page(render({"metrics": {"hit@5": {"value": 0.5}}}, rows))
    assert "8 questions of retrieval alone" in " ".join(page.text.split())
    assert "Stage" not in page.text and "0 correct" not in page.text and "Answers against" not in page.text
    assert plots.right_by_rank(page.data["rows"]) is plots.scores_by_rank(page.data["rows"]) is None


def test_what_is_no_number_is_left_out() -> None:
    run = {
        "metrics": {"f1": {"value": float("nan"), "low": float("inf")}, "em": {"value": True}},
        "causes": {"x": None},
    }
    row = {"id": 7, "metrics": {"f1": float("nan"), "em": "1"}, "ms": float("inf"), "hits": [{"rank": float("nan")}, 3]}
    page = Page(render(run, [row]))
    (found,) = page.data["rows"]
    assert found["id"] == "7" and found["metrics"] == {"f1": None, "em": None} and found["ms"] is None
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]
    assert "nan" not in page.text.lower() and "True" not in page.text


def test_recorded_answers_show_their_contexts() -> None:
    page = Page(render({}, [{"id": "a", "hits": [], "contexts": [{"text": "It is blue.", "source": "a.md"}]}]))
    assert page.data["passages"] == ["It is blue."] and page.data["rows"][0]["hits"][0]["source"] == "a.md"


def test_a_text_of_any_length_is_held_up_to_a_bound() -> None:
    (row,) = Page(render({}, [{"id": "a", "answer": "x" * (LONGEST + 5)}])).data["rows"]
    assert row["answer"].startswith("x" * LONGEST) and row["answer"].endswith("[… 200,005 characters in all]")


def hostile(value: Any) -> Any:
    """Return `value` with every text in it made hostile, names of members that the report knows aside."""
    if isinstance(value, dict):
        return {key: hostile(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_text_changes_no_tag(text: str, page: Page) -> None:
    rows, run = hostile(made_up_rows(40)), hostile(made_up_run(made_up_rows(40)))
    run["causes"] = {name + HOSTILE: count for name, count in run["causes"].items()}
    run["by"] = {kind: {name + HOSTILE: of for name, of in groups.items()} for kind, groups in run["by"].items()}
    run["metrics"][HOSTILE] = {"value": 0.5}
    run["fingerprints"][HOSTILE] = HOSTILE
    run[HOSTILE] = {HOSTILE: HOSTILE}
    found = Page(render(run, rows, hostile(made_up_baseline())))
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in page.tags}
    assert [len(found.raw[name]) for name in ("script", "style")] == [2, 1]
    assert found.raw["script"][1] == page.raw["script"][1]
    assert found.data["rows"][0]["answer"] == rows[0]["answer"]
    for tag, attributes in found.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), tag
    assert "{{ 7*7 }}" in found.text


@settings(max_examples=40, deadline=None)
@given(st.text(), st.text(st.sampled_from("<>&\"'/!-scriptSTYLE\u2028\u2029\ud83d\udc00 \n\0")))
def test_any_text_comes_back_from_the_page_as_it_was(one: str, other: str) -> None:
    written = render({}, [{"id": one, "question": other, "answer": one + other, "cause": other}])
    page = Page(written.encode("utf-8").decode("utf-8"))  # what a browser gets; a lone surrogate would not encode
    (row,) = page.data["rows"]
    joined = [json.loads(json.dumps(value)) for value in (one, other, one + other)]  # two halves of a pair are one
    assert [row["id"], row["question"], row["answer"]] == joined
    assert not set("<>&\u2028\u2029") & set(page.raw["script"][0])


@pytest.mark.parametrize(
    "question", ["How fast is pump 2?", "it's `rm -rf ~`; $(reboot)", "-n 3", "--help", "水泵多快？", 'a"b\\c', ""]
)
def test_a_command_can_be_pasted(question: str) -> None:
    page = Page(render({}, [{"id": "a", "question": question, "cause": "wrongly abstained"}]))
    words = shlex.split(page.data["rows"][0]["command"])
    assert words[:2] == ["ragcli", "ask"] and question in words
    assert {"--show-context", "--explain"} < set(words)
    if question.startswith("-"):
        assert words[-2:] == ["--", question]


def test_a_command_holds_no_control_character_and_no_second_line() -> None:
    page = Page(render({}, [{"id": "a", "question": "one\x1b[31m\r\nrm -rf ~\u202etwo", "cause": "ranked too low"}]))
    command = page.data["rows"][0]["command"]
    assert command.isprintable() and shlex.split(command)[2] == "one [31m  rm -rf ~ two"


def test_pictures_take_their_colours_from_the_page(text: str) -> None:
    drawings = re.findall(r'<svg class="plot".*?</svg>', text, re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        assert 'role="img"' in drawing and "aria-label=" in drawing and "<text" in drawing
        assert not re.search(r"#[0-9a-f]{6}", drawing) and "var(--" in drawing
    identifiers = re.findall(r'\bid="([^"]+)"', "".join(drawings))
    assert len(identifiers) == len(set(identifiers))


def test_the_first_picture_counts_by_the_rank_of_the_first_right_passage() -> None:
    rows = [
        {"answerable": answerable, "outcome": outcome, "metrics": {"mrr": mrr}}
        for answerable, outcome, mrr in (
            *((True, "correct", 1.0), (True, "incorrect", 1.0), (True, "correct", 1 / 3), (True, "refusal", 0.0)),
            *((True, "correct", 1 / 8), (True, "correct", 1 / 6), (False, "correct", 1.0), (True, "correct", None)),
        )
    ]
    drawn = plots.right_by_rank(rows)
    assert drawn is not None
    assert "rank 1: 1 of 2; rank 3: 1 of 1; rank 6 on: 2 of 2; rank none: 0 of 1." in drawn


def test_nothing_to_draw_is_no_picture() -> None:
    assert plots.right_by_rank([]) is plots.scores_by_rank([]) is plots.latency([]) is plots.latency([0.0]) is None


@pytest.mark.parametrize("times", [[5.0], [5.0, 5.0], [0.02, 9000.0], [100.0, 101.0]])
def test_any_times_have_a_picture(times: list[float]) -> None:
    drawn = plots.latency(times)
    assert drawn is not None and "median" in drawn
