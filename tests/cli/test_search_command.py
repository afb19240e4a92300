"""`ragcli search`: what it prints, and every odd query."""

from __future__ import annotations

import json

import pytest
from corpora import Corpus

LEXICAL = ("--mode", "lexical")

PLAIN = """\
[1] pump.md:1  Pump > Fuse  0.838
    # Pump

    ## Fuse

    The pump has a T2 fuse.

[2] price.csv:1  0.668
    part,price
    fuse,4.20

[3] sheet.pdf p. 2  0.668
    The fuse is on page two.

"""


def test_hits(small: Corpus) -> None:
    done = small.run(["search", "fuse", *LEXICAL])
    assert (done.returncode, done.stdout.decode()) == (0, PLAIN)
    assert done.stderr.decode() == f"index: {small.index}\n"


def test_explain(small: Corpus) -> None:
    done = small.call("search", "阀门turbine", "--explain")
    said = done.err.splitlines()
    assert said[1] == "words: 阀门 阀 门 turbin"
    assert said[2] == "in no document: turbin"
    assert said[3].startswith("dense leg: weight 0.27, 4 candidates; lexical leg: weight 0.73, 1 chunks with a word")
    assert "embed" in said[4] and said[4].endswith(" ms")
    assert "dense -, lexical #1" in done.out


def test_nothing_found(small: Corpus) -> None:
    done = small.call("search", "turbine", *LEXICAL)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[1:] == ["nothing was found"]


def test_json(small: Corpus) -> None:
    value = small.call("search", "fuse", *LEXICAL, "-n", "1", "--json").json
    assert list(value) == ["query", "hits", "timings"]
    (hit,) = value["hits"]
    chunk_id = hit.pop("chunk_id")
    assert small.call("show", chunk_id, "--json").json["text"] == hit["text"]
    assert hit == {
        "rank": 1,
        "score": pytest.approx(0.838462, abs=1e-6),
        "source": "pump.md",
        "collection": "main",
        "page": None,
        "page_end": None,
        "page_label": None,
        "heading": ["Pump", "Fuse"],
        "start": 0,
        "end": 40,
        "line": 1,
        "text": "# Pump\n\n## Fuse\n\nThe pump has a T2 fuse.",
        "legs": {"dense": None, "lexical": {"rank": 1, "score": pytest.approx(0.838462, abs=1e-6)}},
        "also": [],
    }
    assert set(value["timings"]) == {"lexical_ms", "rank_ms"}


def test_filters(small: Corpus) -> None:
    def sources(*flags: str) -> list[str]:
        value = small.call("search", "fuse 阀门", *LEXICAL, "--json", *flags).json
        return [hit["source"] for hit in value["hits"]]

    assert sources("-n", "2") == sources()[:2]
    assert sources("--source", "*.csv") == ["price.csv"]
    assert set(sources("--source", "p*", "--source", "sub/*")) == {"pump.md", "price.csv", "sub/阀门.md"}
    assert sources("-c", "nope") == []
    assert len(sources("--min-score", "0.3")) < len(sources())


ODD = [
    "!!!",
    '"',
    "foo AND",
    "NEAR(fuse",
    "a:b",
    "c++",
    "*",
    "'; DROP TABLE chunks; --",
    "😀",
    "的",
    "-",
    "{x}",
    "[bold]",
]


@pytest.mark.parametrize("query", [*ODD, "fuse 阀门 fusible", "fuse\n\nfuse"], ids=repr)
def test_any_query_is_only_text(small: Corpus, query: str) -> None:
    done = small.call("search", "--json", "--", query)
    assert done.code == 0, done.err
    value = done.json
    assert value["query"] == query
    if not any(map(str.isalnum, query)):
        assert value["hits"] == []


def test_a_query_that_is_not_unicode(small: Corpus) -> None:
    """Bytes of another encoding in an argument reach Python as lone surrogates."""
    done = small.run(["search", "--json", b"fuse \xff\xfe"])
    assert done.returncode == 0, done.stderr.decode()
    value = json.loads(done.stdout)
    assert value["query"] == "fuse \udcff\udcfe"
    assert value["hits"][0]["source"] in ("pump.md", "sheet.pdf", "price.csv")


def test_a_query_of_100_000_characters(small: Corpus) -> None:
    assert json.loads(small.run(["search", "--json", "fuse " * 20_000]).stdout)["hits"]
    rows = json.dumps({"id": 1, "question": "x" * 200_000})
    assert len(small.call("search", "--batch", "-", stdin=rows).json["query"]) == 200_000


def test_a_batch(small: Corpus) -> None:
    rows = '{"id":"b","question":"fuse"}\n\n{"id":7,"question":"阀门\\u0000 \\ud800","more":1}\r\n'
    done = small.run(["search", "--batch", "-", "-n", "1", *LEXICAL], stdin=rows.encode())
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(line) for line in lines] == [["id", "query", "hits"]] * 2
    assert [(line["id"], line["query"]) for line in lines] == [("b", "fuse"), (7, "阀门\0 \ud800")]
    assert [line["hits"][0]["source"] for line in lines] == ["pump.md", "sub/阀门.md"]


def test_a_batch_of_a_file_gives_what_single_searches_give(small: Corpus, tmp_path) -> None:  # type: ignore[no-untyped-def]
    questions = ["What fuse has the pump?", "保修期", "page"]
    file = tmp_path / "batch.jsonl"
    file.write_text("".join(json.dumps({"id": n, "question": q}) + "\n" for n, q in enumerate(questions)), "utf-8")
    lines = [json.loads(line) for line in small.call("search", "--batch", str(file)).out.splitlines()]
    for question, line in zip(questions, lines, strict=True):
        assert small.call("search", question, "--json").json["hits"] == line["hits"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "stdin holds no question"),
        ("{}", 'stdin, line 1: "id" is missing'),
        ('{"id":1,"question":"x"}\n{"id":2}', 'stdin, line 2: "question" is missing or empty'),
        ('{"id":1,"question":" "}', 'stdin, line 1: "question" is missing or empty'),
        ('{"id":true,"question":"x"}', 'stdin, line 1: "id" is missing'),
        ("[]", 'stdin, line 1: "id" is missing'),
        ("nonsense", "stdin, line 1: not JSON: "),
        ("[" * 100_000, "stdin, line 1: not JSON: "),
        ("\udcff", "stdin, line 1: not JSON: "),
    ],
    ids=lambda value: value[:20],
)
def test_a_bad_batch_is_refused_before_anything_runs(small: Corpus, rows: str, message: str) -> None:
    done = small.call("search", "--batch", "-", stdin=rows)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0].startswith(f"error: {message}")
