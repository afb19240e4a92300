"""Case files: the contract's form, what people already have, and every way in which a file is bad."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shared import ROOT

from ragcli.errors import UsageError
from ragcli.evaluation import formats
from ragcli.evaluation.cases import CaseFile, read_cases
from ragcli.evaluation.records import Case, Gold

ROW = {"id": "a", "question": "How long?", "answers": ["24 months"]}


def lines(*rows: Any) -> bytes:
    """Return JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Read cases from bytes or from JSON."""

    def reading(data: Any, name: str = "cases.jsonl") -> CaseFile:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False, indent=1).encode())
        return read_cases(path)

    return reading


@pytest.fixture
def refused(read: Any, tmp_path: Path) -> Any:
    """Return what is said of a bad file, without its folder."""

    def refusing(data: Any, name: str = "cases.jsonl") -> str:
        with pytest.raises(UsageError) as caught:
            read(data, name)
        assert "\n" not in caught.value.message
        return caught.value.message.replace(f"{tmp_path}/", "")

    return refusing


# The contract's form


def test_a_whole_row(read: Any) -> None:
    row = {
        "id": "a",
        "question": "保修期多长？",
        "answers": ["24 months", 24, 1.5, 3.0],
        "answerable": True,
        "key_facts": [["24 months", "two years"], ["delivery"]],
        "gold": [{"source": "a.pdf", "page": 2, "quote": "24 months", "start": None, "end": None}],
        "family": "literal",
        "lang": "zh",
    }
    data = lines(row)
    found = read(data)
    assert found.cases == (
        Case(
            id="a",
            question="保修期多长？",
            answers=("24 months", "24", "1.5", "3"),
            key_facts=(("24 months", "two years"), ("delivery",)),
            gold=(Gold("a.pdf", 2, "24 months"),),
            family="literal",
            lang="zh",
            line=1,
        ),
    )
    assert (found.form, found.warnings, found.sha256) == ("ragcli", (), hashlib.sha256(data).hexdigest())


def test_the_projects_own_cases() -> None:
    found = read_cases(ROOT / "sample_docs" / "cases.jsonl")
    assert found.form == "ragcli" and not found.warnings
    assert len(found.cases) == found.cases[-1].line > 100


def test_what_is_missing_is_filled_in(read: Any) -> None:
    rows = [
        {"id": 7, "question": "Which one?", "gold": [{"source": "a.md"}]},
        {"id": "b", "question": "VC-8S 的显示屏是几英寸的？", "answerable": False},
        {"id": "c", "question": "保証期間は？", "key_facts": ["24", ["a", "b"]]},
        {"id": "d", "question": "Who?", "family": "unanswerable"},
        {"id": "e", "question": "Гарантия?", "answers": ["24"], "family": None, "lang": None, "gold": None},
        {"id": "f", "question": "Who?", "family": "counterfactual", "answerable": False},
    ]
    cases = read(lines(*rows)).cases
    assert [(c.id, c.lang, c.family, c.answerable) for c in cases] == [
        ("7", "en", None, True),
        ("b", "zh", "unanswerable", False),
        ("c", "", None, True),
        ("d", "en", "unanswerable", False),
        ("e", "", None, True),
        ("f", "en", "counterfactual", False),
    ]
    assert cases[2].key_facts == (("24",), ("a", "b"))


def test_blank_lines_count_and_marks_of_order_do_not(read: Any) -> None:
    data = b"\xef\xbb\xbf\r\n" + lines(ROW).replace(b"\n", b"\r\n") + b"\n\n" + lines(ROW | {"id": "b"})
    assert [(c.id, c.line) for c in read(data).cases] == [("a", 2), ("b", 5)]


def test_long_texts_and_mixed_languages(read: Any) -> None:
    row = ROW | {
        "answers": ["保修" * 100_000, "x" * 200_000],
        "question": "What does 保修期 mean for the GW-3, 请用中文?",
    }
    for data in (lines(row), json.dumps(row).encode() + b"\n"):
        assert read(data).cases[0].answers == tuple(row["answers"])


def test_unknown_fields_are_warned_about_once(read: Any) -> None:
    rows = [ROW | {"id": str(i), "note": i, "gold": [{"source": "a", "text": "x"}]} for i in range(3)]
    (warning,) = read(lines(ROW, *rows)).warnings
    assert warning.endswith('cases.jsonl: unknown fields are left out: "note" (line 2), "gold.text" (line 2)')


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines(ROW))))
    assert read_cases("-").cases[0].id == "a"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{")))
    with pytest.raises(UsageError, match="^stdin, line 1: not JSON"):
        read_cases("-")


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, list[str]]]) -> None:
    path = tmp_path_factory.mktemp("cases") / "cases.jsonl"
    path.write_bytes(lines(*({"id": i, "question": q, "answers": answers} for i, (q, answers) in enumerate(pairs))))
    found = [(case.question, case.answers) for case in read_cases(path).cases]
    assert found == [(question, tuple(dict.fromkeys(answers))) for question, answers in pairs]


# Bad files


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "?", "answers": ["x"]}, '"id" is missing'),
        (ROW | {"id": True}, '"id" is true, neither text nor a whole number'),
        (ROW | {"id": " "}, '"id" is " ", neither text nor a whole number'),
        (ROW | {"question": None}, '"question" is missing'),
        (ROW | {"question": " "}, '"question" is empty'),
        (ROW | {"question": 5}, '"question" is 5, not text'),
        (ROW | {"answers": "24 months"}, '"answers" is "24 months", not a list'),
        (ROW | {"answers": {"a": 1}}, '"answers" is {"a": 1}, not a list'),
        (ROW | {"answers": [["24"]]}, 'an entry of "answers" is ["24"], not text'),
        (ROW | {"answers": [True]}, 'an entry of "answers" is true, not text'),
        (ROW | {"answers": [None]}, 'an entry of "answers" is missing'),
        (ROW | {"answers": [""]}, 'an entry of "answers" is empty'),
        (ROW | {"answers": ["\ud800"]}, 'an entry of "answers" holds half of a surrogate pair'),
        (ROW | {"answers": []}, 'it has none of "answers", "key_facts", "gold" and "answerable": false'),
        (ROW | {"answerable": "no"}, '"answerable" is "no", neither true nor false'),
        (ROW | {"key_facts": [[]]}, 'a fact of "key_facts" is empty'),
        (ROW | {"family": "hard"}, '"family" is "hard"; it is one of literal, '),
        (ROW | {"family": ["literal"]}, '"family" is ["literal"]; it is one of literal, '),
        (ROW | {"lang": 1}, '"lang" is 1, not text'),
        (ROW | {"gold": {"source": "a"}}, '"gold" is {"source": "a"}, not a list'),
        (ROW | {"gold": ["a.md"]}, '"gold" holds "a.md", not an object with "source"'),
        (ROW | {"gold": [{"page": 2}]}, 'the "source" of a gold is missing'),
        (ROW | {"gold": [{"source": ""}]}, 'the "source" of a gold is empty'),
        (ROW | {"gold": [{"source": "a", "page": 0}]}, 'the "page" of a gold is 0, not a whole number from 1 up'),
        (ROW | {"gold": [{"source": "a", "page": "2"}]}, 'the "page" of a gold is "2", not a whole number from 1 up'),
        (ROW | {"gold": [{"source": "a", "start": 3}]}, 'a gold has only one of "start" and "end"'),
        (ROW | {"gold": [{"source": "a", "start": 3, "end": 3}]}, "a gold ends at 3, before it starts at 3"),
        (ROW | {"gold": [{"source": "a", "quote": ""}]}, 'the "quote" of a gold is empty'),
        ([1], "it is not a JSON object but [1]"),
    ],
    ids=str,
)
def test_a_bad_row_is_named_with_its_line(refused: Any, row: Any, reason: str) -> None:
    data = lines(ROW | {"id": "first"}) + b"\n" + json.dumps(row).encode() + b"\n"
    assert refused(data).startswith(f"cases.jsonl, line 3: {reason}")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"id": 1,}', "not JSON: "),
        (b"nothing", "not JSON: expecting value at column 1"),
        (b'{"id": NaN, "question": "?"}', "not JSON: NaN is no number"),
        (b'{"id": 1, "x": -Infinity}', "not JSON: -Infinity is no number"),
        (b'{"id": 1, "x": 1e999}', "not JSON: 1e999 is no number that can be held"),
        (b'{"id": "\xff"}', "the bytes are no UTF-8"),
        (b"[" * 200_000, "it is nested too deeply"),
        (b'"' + b"x" * formats.MAX_LINE + b'"', "it is longer than 8,000,000 bytes"),
    ],
    ids=["comma", "words", "nan", "infinity", "huge", "bytes", "nesting", "length"],
)
def test_a_line_that_is_no_json(refused: Any, raw: bytes, reason: str) -> None:
    assert refused(lines(ROW) + raw + b"\n" + lines(ROW | {"id": "c"})).startswith(f"cases.jsonl, line 2: {reason}")


def test_a_bad_first_line_and_a_bad_only_line(refused: Any) -> None:
    assert refused(b'{"id": 1,}\n' + lines(ROW)).startswith("cases.jsonl, line 1: not JSON: ")
    assert refused(b'{"id": 1').startswith("cases.jsonl, line 1: not JSON: ")
    assert refused(b"hello\nworld\n") == "cases.jsonl, line 1: it is neither JSON nor a CSV header with a question"
    assert refused(b'{"id": NaN, "question": "?", "answers": ["x"]}').endswith("line 1: not JSON: NaN is no number")


def test_five_bad_rows_are_named_and_the_others_counted(refused: Any) -> None:
    said = refused(lines(ROW, *({"id": i} for i in range(8))))
    assert said.count("line") == 5 and said.endswith('; line 6: "question" is missing; and 3 more')


def test_ids_are_unique(refused: Any) -> None:
    said = refused(lines(ROW | {"id": 1}, ROW, ROW | {"id": "1"}))
    assert said == 'cases.jsonl, line 3: the id "1" stands in line 1 already'


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file(refused: Any, data: bytes) -> None:
    assert refused(data) == "cases.jsonl is empty"


@pytest.mark.parametrize("data", [b"[]", b'{"data": []}'])
def test_a_file_without_questions(refused: Any, data: bytes) -> None:
    assert refused(data) == "cases.jsonl holds no question"


def test_utf_16_and_files_that_are_none(refused: Any, tmp_path: Path) -> None:
    assert refused("{}".encode("utf-16")) == "cases.jsonl, line 1: the text is UTF-16"
    with pytest.raises(UsageError, match="no such file"):
        read_cases(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="a folder without queries.jsonl"):
        read_cases(tmp_path)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\n 1eaquestion', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "cases"
    path.write_bytes(data)
    with pytest.raises(UsageError):
        read_cases(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b c"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=6,
)
NAMES = [
    *("id", "question", "answers", "key_facts", "gold", "answerable", "family", "lang", "user_input", "reference"),
    *("ground_truths", "contexts", "metadata", "query", "positive", "negative", "answer", "evidence", "context"),
    *("financebench_id", "data", "qas", "paragraphs", "is_impossible"),
]


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), min_size=1, max_size=3))
@example([{"question": None, "answers": {}, "context": None}, {}])
def test_rows_of_any_shape_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("shapes")
    for name, data in (("lines", lines(*rows)), ("list", json.dumps(rows).encode())):
        (folder / name).write_bytes(data)
        try:
            assert read_cases(folder / name).cases
        except UsageError as error:
            assert error.message


# ragas

RAGAS: list[dict[str, Any]] = [
    {
        "user_input": "How long?",
        "reference": "24 months",
        "reference_contexts": ["It lasts 24 months.", "From delivery."],
    },
    {"user_input": "Who?", "reference": "Fenwick", "reference_contexts": None},
]
RAGAS_CASES = [
    ("1", "How long?", ("24 months",), (Gold("", quote="It lasts 24 months."), Gold("", quote="From delivery."))),
    ("2", "Who?", ("Fenwick",), ()),
]


def fields(found: CaseFile) -> list[tuple[Any, ...]]:
    """Return what the tests of other forms compare."""
    return [(case.id, case.question, case.answers, case.gold) for case in found.cases]


def test_ragas_as_json_lines_list_columns_and_csv(read: Any) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, ["user_input", "reference", "reference_contexts"])
    writer.writeheader()
    writer.writerows(RAGAS)  # lists as Python writes them
    columns = {name: [row[name] for row in RAGAS] for name in RAGAS[0]}
    for data in (lines(*RAGAS), RAGAS, {"data": RAGAS}, columns, table.getvalue().encode("utf-8-sig")):
        found = read(data)
        assert (found.form, fields(found), found.warnings) == ("ragas", RAGAS_CASES, ())


def test_ragas_of_older_versions(read: Any) -> None:
    rows = [
        {"question": "How long?", "ground_truths": ["24 months", "two years"], "contexts": ["It lasts 24 months."],
         "metadata": [{"source": "docs/a.md"}]},
        {"question": "Who?", "ground_truth": "Fenwick", "answer": "Hartley", "contexts": ["retrieved"]},
        {"question": "When?", "answer": "2025"},
    ]  # fmt: skip
    assert fields(read(lines(*rows))) == [
        ("1", "How long?", ("24 months", "two years"), (Gold("docs/a.md", quote="It lasts 24 months."),)),
        ("2", "Who?", ("Fenwick",), ()),
        ("3", "When?", ("2025",), ()),
    ]


def test_bad_rows_of_other_forms_are_named(refused: Any) -> None:
    rows = [*RAGAS, {"user_input": [{"content": "hi"}], "reference": "x"}, {"user_input": "?"}]
    assert refused(rows) == (
        'cases.jsonl, row 3: "user_input" is a conversation; single questions are read; '
        'row 4: it has none of "answers", "key_facts", "gold" and "answerable": false'
    )


def test_csv_by_its_lines(read: Any, refused: Any) -> None:
    table = (
        'id;question;ground_truth;contexts\r\n1;"Two\nlines?";24;"[\'a\', ""it\'s""]"\r\n2;Who?;Fenwick;plain text\r\n'
    )
    assert fields(read(table.encode())) == [
        ("1", "Two\nlines?", ("24",), (Gold("", quote="a"), Gold("", quote="it's"))),
        ("2", "Who?", ("Fenwick",), (Gold("", quote="plain text"),)),
    ]
    assert refused((table + "3;Why?\r\n").encode()).startswith("cases.jsonl, line 5: it has none of")
    assert refused((table + "3;Why?;a;b;c\r\n").encode()) == "cases.jsonl, line 5: it has more cells than the header"
    assert refused((table + '3;"Why').encode()).startswith("cases.jsonl, line 5: not CSV: ")
    assert refused(table.encode() + b"3;\xff;a;b") == "cases.jsonl, line 5: the bytes are no UTF-8"


def test_csv_in_the_contracts_words(read: Any) -> None:
    table = 'id,question,answers,answerable\na,How long?,"[""24 months"", 24]",\nb,Who?,,FALSE\nc,When?,in 2025,true\n'
    found = read(table.encode())
    assert [(c.id, c.answers, c.answerable) for c in found.cases] == [
        ("a", ("24 months", "24"), True),
        ("b", (), False),
        ("c", ("in 2025",), True),
    ]
    assert found.form == "ragcli" and not found.warnings


# SQuAD, CMRC

CONTEXT = "The firm was founded in 1998. Dr. Hartley led it for 24 years. It is in Leeds."


def squad(**question: Any) -> dict[str, Any]:
    """Return a SQuAD file with one question."""
    paragraph = {"context": CONTEXT, "qas": [{"id": "q1", "question": "How long?"} | question]}
    return {"version": "v2.0", "data": [{"title": "Hartley", "paragraphs": [paragraph]}]}


def test_squad(read: Any) -> None:
    at = CONTEXT.index("24")
    answers = [{"text": "24 years", "answer_start": at}, {"text": "24", "answer_start": at}]
    for data in (squad(answers=answers), json.dumps(squad(answers=answers, is_impossible=False)).encode()):
        found = read(data)
        gold = (Gold("Hartley", quote="Dr. Hartley led it for 24 years."),)
        assert found.form == "squad" and fields(found) == [("q1", "How long?", ("24 years", "24"), gold)]


def test_squad_2_has_questions_without_an_answer(read: Any) -> None:
    (case,) = read(squad(answers=[], is_impossible=True, plausible_answers=[{"text": "24"}])).cases
    assert (case.answerable, case.family, case.answers, case.gold) == (False, "unanswerable", (), ())


def test_a_wrong_offset_is_mended(read: Any) -> None:
    (case,) = read(squad(answers=[{"text": "Leeds", "answer_start": -1}])).cases
    assert case.gold == (Gold("Hartley", quote="It is in Leeds."),)
    (case,) = read(squad(answers=[{"text": "London", "answer_start": 3}])).cases
    assert case.gold == (Gold("Hartley"),)


def test_squad_row_by_row(read: Any) -> None:
    row = {"id": "q1", "title": "Hartley", "context": CONTEXT, "question": "Where?"}
    rows = [
        row | {"answers": {"text": ["Leeds"], "answer_start": [CONTEXT.index("Leeds")]}},
        row | {"id": "q2", "answers": {"text": [], "answer_start": []}},
    ]
    first, second = read(lines(*rows)).cases
    assert first.gold == (Gold("Hartley", quote="It is in Leeds."),) and not second.answerable


def test_cmrc_2018(read: Any) -> None:
    context = "《战国无双3》是由光荣和ω-force开发的。本作以三大故事为主轴。"
    question = {"query_id": "DEV_0_QUERY_0", "query_text": "由谁开发？", "answers": ["光荣和ω-force", "光荣"]}
    article = {"context_id": "DEV_0", "context_text": context, "qas": [question]}
    gold = "《战国无双3》是由光荣和ω-force开发的。"
    expected = [("DEV_0_QUERY_0", "由谁开发？", ("光荣和ω-force", "光荣"), (Gold("DEV_0", quote=gold),))]
    found = read([article])
    assert (found.form, fields(found), found.cases[0].lang) == ("cmrc", expected, "zh")
    titled = read([article | {"title": "战国无双3"}])
    assert titled.cases[0].gold[0].source == "战国无双3"
    as_squad_question = {
        "id": "DEV_0_QUERY_0",
        "question": "由谁开发？",
        "answers": [{"text": "光荣", "answer_start": 10}],
    }
    as_squad = {"paragraphs": [{"id": "DEV_0", "context": context, "qas": [as_squad_question]}]}
    assert read({"data": [as_squad]}).cases[0].gold == (Gold("DEV_0", quote=gold),)


def test_bad_questions_of_squad_are_counted(refused: Any) -> None:
    assert refused(squad(answers=[{"text": 5}], question=None)) == 'cases.jsonl, question 1: "question" is missing'
    assert refused(squad(answers=[{"text": ["x"]}])).startswith("cases.jsonl, question 1: ")


def test_xquad() -> None:
    folder = ROOT.parent / "shared" / "data" / "xquad"
    if not folder.is_dir():
        pytest.skip("../shared/data/xquad is missing")
    for lang in ("en", "zh"):
        found = read_cases(folder / f"xquad.{lang}.dev.json")
        assert (found.form, len(found.cases)) == ("squad", 632)
        assert all(case.answers[0] in (case.gold[0].quote or "") for case in found.cases)
        assert sum(case.lang == lang for case in found.cases) > 625


# BEIR, RGB, FinanceBench


def test_beir(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_bytes(lines({"_id": "d1", "title": "t", "text": "x"}))
    (tmp_path / "queries.jsonl").write_bytes(
        lines(*({"_id": f"q{i}", "text": f"Question {i}?", "metadata": {}} for i in range(4)))
    )
    (tmp_path / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq3\td9\t1\n", "utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq0\td1\t1\nq0\td2\t2\nq1\td3\t0\nq2\td1\t1\nq9\td1\t1\n", "utf-8"
    )
    found = read_cases(tmp_path)
    assert found.form == "beir"
    assert fields(found) == [
        ("q0", "Question 0?", (), (Gold("d1"), Gold("d2"))),
        ("q2", "Question 2?", (), (Gold("d1"),)),
    ]
    assert found.warnings == (
        "of 2 qrels, test.tsv is read",
        "test.tsv judges 1 queries that queries.jsonl does not hold: q9",
    )
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td1\n", "utf-8")
    with pytest.raises(UsageError, match="test.tsv, line 2: it is not query-id, corpus-id, score"):
        read_cases(tmp_path)


def test_rgb(read: Any) -> None:
    rows = [
        {"id": 0, "query": "When?", "answer": [["January 2", "Jan 2"]], "positive": ["On Jan 2."], "negative": ["No."]},
        {"id": 1, "query": "When and where?", "answer": [["2022"], "Leeds"], "positive": [["In 2022."], ["In Leeds."]],
         "negative": []},
        {"id": 2, "query": "Who?", "answer": "Hartley", "fakeanswer": "Fenwick", "positive": ["It was Hartley."],
         "positive_wrong": ["It was Fenwick."], "negative": []},
    ]  # fmt: skip
    found = read(lines(*rows), "en.json")
    assert found.form == "rgb"
    assert [(c.id, c.answers, c.key_facts, c.family) for c in found.cases] == [
        ("0", ("January 2", "Jan 2"), (("January 2", "Jan 2"),), None),
        ("1", ("2022, Leeds",), (("2022",), ("Leeds",)), "synthesis"),
        ("2", ("Hartley",), (("Hartley",),), "counterfactual"),
    ]
    assert [[gold.quote for gold in case.gold] for case in found.cases] == [
        ["On Jan 2."],
        ["In 2022.", "In Leeds."],
        ["It was Hartley."],
    ]


def test_financebench(read: Any, refused: Any) -> None:
    evidence = {"evidence_text": "Revenue 17,606", "doc_name": "ADOBE_2022_10K", "evidence_page_num": 53}
    row = {"financebench_id": "f1", "question": "How much?", "answer": 1577, "doc_name": "X", "evidence": [evidence]}
    old = row | {"financebench_id": "f2", "evidence": [{"evidence_text": "a", "evidence_page_num": 0}]}
    found = read(lines(row, old))
    assert found.form == "financebench"
    assert fields(found) == [
        ("f1", "How much?", ("1577",), (Gold("ADOBE_2022_10K", 54, "Revenue 17,606"),)),
        ("f2", "How much?", ("1577",), (Gold("X", 1, "a"),)),
    ]
    bad = row | {"evidence": [evidence | {"evidence_page_num": "53"}]}
    assert refused(lines(bad)) == 'cases.jsonl, line 1: "evidence_page_num" is "53"'


def test_financebench_as_it_is() -> None:
    folder = ROOT.parent / "shared" / "data" / "financebench"
    if not folder.is_dir():
        pytest.skip("../shared/data/financebench is missing")
    found = read_cases(folder / "questions.jsonl")
    assert found.form == "financebench" and all(case.gold[0].page for case in found.cases)
    for path in (folder / "results").glob("*.jsonl"):
        assert all(case.answers for case in read_cases(path).cases)
