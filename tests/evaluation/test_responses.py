"""Recorded answers: any system's, and what `ragcli ask --batch` writes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import ROOT

from ragcli.errors import UsageError
from ragcli.evaluation.records import Context, Response
from ragcli.evaluation.responses import ResponseFile, read_responses
from ragcli.records import Hit


def write(folder: Path, *rows: Any) -> Path:
    """Write JSON Lines."""
    path = folder / "answers.jsonl"
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return path


def read(folder: Path, *rows: Any, ids: list[str] | None = None) -> ResponseFile:
    """Write rows and read them."""
    return read_responses(write(folder, *rows), ids)


def test_the_contracts_form(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"id": "a", "answer": "24 months"},
        {
            "id": 2,
            "answer": 1577,
            "contexts": ["plain", {"source": "a.md", "page": 2, "text": "two"}, {"text": "three"}],
        },
        {"id": "c", "answer": None, "contexts": [], "abstained": True, "ms": 12.5, "tokens": 3},
    )
    assert found.responses == {
        "a": Response("a", "24 months"),
        "2": Response("2", "1577", (Context("plain"), Context("two", "a.md", 2), Context("three"))),
        "c": Response("c", "", (), True, ms=12.5, tokens=3),
    }
    assert not found.warnings and not found.missing and len(found.sha256) == 64


def test_what_ask_writes(tmp_path: Path) -> None:
    hits = [
        Hit(i + 1, 0.9, f"c{i}", f"{i}.md", "default", 3, (), 10, 20, None, f"text {i}").to_json() for i in range(3)
    ]
    citation = {"marker": 1, "source": "0.md", "page": 3, "chunk_id": "c0", "quote": "text 0", "status": "supported"}
    row = {
        "question": "?",
        "answer": "It is so [1].",
        "abstained": False,
        "citations": [citation],
        "hits": hits,
        "model": {"name": "m", "kind": "llama.cpp", "adapter": None},
        "prompt": {"template": "answer"},
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "dropped_hits": 1},
        "evidence": {"retrieval": 0.5},
        "timings": {"retrieve_ms": 1.0, "total_ms": 250.5},
        "id": "a",
    }
    found = read(tmp_path, row)
    response = found.responses["a"]
    assert response.contexts == tuple(Context(f"text {i}", f"{i}.md", 3, 10, 20, 0.9) for i in range(2))
    assert (response.hits, response.citations) == (tuple(hits), (citation,))
    assert (response.ms, response.tokens, response.abstained) == (250.5, 7, False)
    assert not found.warnings


def test_other_spellings(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"user_input": "?", "response": "24", "retrieved_contexts": ["x"], "reference": "24"},
        {"financebench_id": "f1", "model_answer": "No.", "label": "Refusal"},
    )
    assert found.responses == {"1": Response("1", "24", (Context("x"),)), "f1": Response("f1", "No.")}
    (warning,) = found.warnings
    assert warning.endswith('unknown fields are left out: "reference" (line 1), "label" (line 2)')


def test_cases_without_an_answer_and_answers_without_a_case(tmp_path: Path) -> None:
    rows = [{"id": name, "answer": "x"} for name in "abcdefgh"]
    found = read(tmp_path, *rows, ids=["b", "z", "y", "a"])
    assert list(found.responses) == ["a", "b"] and found.missing == ("z", "y")
    assert [warning.split("answers.jsonl: ")[1] for warning in found.warnings] == [
        '6 answers are to no case and are left out: "c", "d", "e", "f", "g", ...',
        '2 cases have no answer and stay unscored: "z", "y"',
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "b"}, '"answer" is missing'),
        ({"id": True, "answer": "x"}, '"id" is true, neither text nor a whole number'),
        ({"id": "a", "answer": "x"}, 'the id "a" stands in line 1 already'),
        ({"id": "b", "answer": ["x"]}, '"answer" is ["x"], not text'),
        ({"id": "b", "answer": True}, '"answer" is true, not text'),
        ({"id": "b", "answer": "x", "abstained": "no"}, '"abstained" is "no", neither true nor false'),
        ({"id": "b", "answer": "x", "contexts": "x"}, '"contexts" is "x", not a list'),
        ({"id": "b", "answer": "x", "contexts": [5]}, '"contexts" holds 5, neither text nor an object'),
        ({"id": "b", "answer": "x", "contexts": [{"source": "a"}]}, 'the "text" of a context is null, not text'),
        (
            {"id": "b", "answer": "x", "contexts": [{"text": "", "source": 1}]},
            'the "source" of a context is 1, not text',
        ),
        ({"id": "b", "answer": "x", "contexts": [{"text": "", "page": "2"}]}, '"page" is "2", not a number'),
        ({"id": "b", "answer": "x", "hits": {}}, '"hits" is {}, not a list of objects'),
        ({"id": "b", "answer": "x", "hits": [{"text": "", "also": [{}]}]}, 'a place of "also" has the source null'),
        ({"id": "b", "answer": "x", "citations": ["x"]}, '"citations" is ["x"], not a list of objects'),
        ({"id": "b", "answer": "x", "usage": 5}, '"usage" is 5, not an object'),
        ({"id": "b", "answer": "x", "timings": {"total_ms": "5"}}, '"total_ms" is "5", not a number'),
        ([], "it is not a JSON object but []"),
        (b'{"id": "b", "answer": "x", "ms": NaN}', "not JSON: NaN is no number"),
        ({"id": "b", "answer": "x", "ms": 10**300}, '"ms" is 1000000'),
        (b'{"id": "b", "answer": "x", "ms": ' + b"9" * 5000 + b"}", "a number is too long"),
        (b'{"id": "b", "answer": "\xe9"}', "the bytes are no UTF-8"),
        (b'{"id": "b"', "not JSON: "),
    ],
    ids=str,
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: Any, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, {"id": "a", "answer": "x"}, b"", row)
    assert caught.value.message.startswith(f"{tmp_path / 'answers.jsonl'}, line 3: {reason}")


def test_empty_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="answers.jsonl is empty"):
        read(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        read_responses(tmp_path / "none.jsonl")


def test_half_of_a_surrogate_pair_is_mended(tmp_path: Path) -> None:
    row = b'{"id": "a", "answer": "ok \\ud83d", "hits": [{"text": "\\udc00", "source": "a"}]}'
    response = read(tmp_path, row).responses["a"]
    assert response.answer == "ok \ufffd" and response.contexts == (Context("\ufffd", "a"),)
    json.dumps([response.answer, *response.hits], ensure_ascii=False).encode()


def test_long_texts_and_many_rows(tmp_path: Path) -> None:
    long = "保修" * 100_000
    rows = [{"id": i, "answer": "x" * 200, "contexts": ["y" * 500] * 5} for i in range(10_000)]
    start = time.process_time()
    found = read(tmp_path, {"id": "long", "answer": long, "contexts": [long]}, *rows)
    assert found.responses["long"].answer == long and len(found.responses) == 10_001
    assert time.process_time() - start < 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "page", "also"]), inner),
    max_leaves=6,
)
NAMES = ["id", "answer", "contexts", "abstained", "hits", "citations", "usage", "timings", "ms", "tokens"]


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), min_size=1, max_size=3))
def test_rows_of_any_shape_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    try:
        assert read(tmp_path_factory.mktemp("shapes"), *rows).responses
    except UsageError as error:
        assert error.message


def test_financebench_as_it_is() -> None:
    folder = ROOT.parent / "shared" / "data" / "financebench" / "results"
    if not folder.is_dir():
        pytest.skip("../shared/data/financebench is missing")
    assert all(len(read_responses(path).responses) == 75 for path in folder.glob("*.jsonl"))
