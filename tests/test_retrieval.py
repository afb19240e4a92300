"""From a question to hits: both legs, their fusion, and what is made of neighbours and copies."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import Corpus
from fpdf import FPDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared import ROOT

from ragcli.embedding.onnx import OnnxEmbedder
from ragcli.errors import UsageError
from ragcli.models.store import ModelStore
from ragcli.records import Hit
from ragcli.retrieval import CANDIDATES, DENSE_WEIGHT, Filters, Mode, Result
from ragcli.retrieval import search as search_index
from ragcli.storage.index import Index

Search = Callable[..., tuple[Hit, ...]]

ONCE, NINE_TIMES = 0.7 * 1 / 1.9 + 0.3, 0.7 * 9 / 9.9 + 0.3
"""Lexical score of a chunk that holds the question's only word once, and nine times."""


def pdf(*pages: list[tuple[int, str]]) -> bytes:
    """Return a PDF whose pages hold lines of text in given sizes."""
    made = FPDF()
    for page in pages:
        made.add_page()
        for size, line in page:
            made.set_font("helvetica", "B" if size > 11 else "", size)
            made.multi_cell(0, size * 0.6, line, new_x="LMARGIN", new_y="NEXT")
    return bytes(made.output())


def paragraph(word: str, times: int = 1) -> str:
    """Return a paragraph of about 500 characters, one chunk, that holds a word so many times."""
    rest = "This sentence only fills the page, and so does the next one of them. " * 7
    return f"{(word + ' ') * times}stands here. {rest}".strip()


FILES: dict[str, str | bytes] = {
    "smooth/alone.md": "The turbine is steel.",
    "smooth/steps.md": "".join(
        f"# {name}\n\n{text}\n\n" for name, text in zip("vwxyz", ["u", "cam", "cam", "u", "u"], strict=True)
    ),
    "join/four.md": "# Sizes\n\n" + "\n\n".join([paragraph("gasket")] * 4),
    "join/headings.md": "# Left\n\nA flange.\n\n# Right\n\nA flange.\n",
    "join/unlike.md": f"# Sizes\n\n{paragraph('impeller', 9)}\n\n{paragraph('impeller')}",
    "pages/rotor.pdf": pdf([(11, "The rotor is made of steel.")], [(11, "The rotor is made of brass.")]),
    "pages/spread.pdf": pdf(
        [(11, f"{paragraph('grommet')} Row {n}.") for n in range(4)], [(11, "A grommet is fitted last.")]
    ),
    "copies/first.md": "The shim  is thin.",
    "copies/second.txt": "The shim\n\tis thin.",
    "copies/third.md": "The shim is thick.",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[Index]:
    """Documents in which every word that is asked for stands in one place; the examples below are worked out on it."""
    corpus = Corpus(tmp_path_factory.mktemp("made"), model_store)
    corpus.add(FILES)
    index = Index(corpus.index)
    yield index
    index.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[Index]:
    """The sample documents, in two collections."""
    corpus = Corpus(tmp_path_factory.mktemp("sample"), model_store)
    for names, flags in ((["manuals", "policies", "support"], []), (["产品手册", "公司制度"], ["-c", "zh"])):
        folders = [str(ROOT / "sample_docs" / name) for name in names]
        assert corpus.run(["ingest", *folders, *flags]).returncode == 0
    index = Index(corpus.index)
    yield index
    index.close()


@pytest.fixture
def find(made: Index, embedder: OnnxEmbedder) -> Search:
    """Search the made-up documents by words alone: every score is then known."""

    def search(question: str, limit: int = 10, **filters: object) -> tuple[Hit, ...]:
        chosen = Filters(**filters)  # type: ignore[arg-type]
        return search_index(made, embedder, question, limit=limit, mode="lexical", filters=chosen).hits

    return search


@pytest.fixture
def ask(sample: Index, embedder: OnnxEmbedder) -> Callable[..., Result]:
    """Search the sample documents."""

    def search(question: str, mode: Mode = "hybrid", limit: int = 10, **filters: object) -> Result:
        return search_index(sample, embedder, question, limit=limit, mode=mode, filters=Filters(**filters))  # type: ignore[arg-type]

    return search


# --- scores ----------------------------------------------------------------------------------------------------


def test_a_chunk_without_neighbours_has_its_own_score(find: Search) -> None:
    (hit,) = find("turbine")
    assert hit.source == "smooth/alone.md"
    assert hit.score == pytest.approx(ONCE, abs=1e-6)


def test_neighbours_count_half_and_less_the_further_away_they_are(find: Search) -> None:
    """Chunks v w x y z; `cam` stands in w and x. Neighbours weigh .7 and .49; what is not there weighs nothing."""
    w, x = sorted(find("cam"), key=lambda hit: hit.start)
    assert (w.heading, x.heading) == (("w",), ("x",))
    beside = 0.7 * ONCE
    assert w.score == pytest.approx((ONCE + 0.5 * beside / (0.7 + 0.7 + 0.49)) / 1.5, abs=1e-6)
    assert x.score == pytest.approx((ONCE + 0.5 * beside / (0.7 + 0.49 + 0.7 + 0.49)) / 1.5, abs=1e-6)
    assert w.lexical is not None and w.lexical.score == pytest.approx(ONCE, abs=1e-6)


def test_dense_scores_are_cosines(sample: Index, embedder: OnnxEmbedder, ask: Callable[..., Result]) -> None:
    """Brute force over all vectors of the catalog gives the same cosines and ranks."""
    question = "Which fuse does the VC-8 controller need?"
    chunks = [c for file in sample.catalog.files() for c in sample.catalog.chunks_of(file.id) if c.vector]
    stored = sample.catalog.vectors(c.vector for c in chunks if c.vector)
    rows = np.stack([np.frombuffer(stored[c.vector], dtype=np.float32) for c in chunks if c.vector])
    cosines = rows @ embedder.embed_query(question)
    order = np.argsort(-cosines, kind="stable")
    best = {chunks[at].chunk_id: (rank, float(cosines[at])) for rank, at in enumerate(order, 1)}
    hits = ask(question, "dense").hits
    assert hits and all(hit.lexical is None for hit in hits)
    for hit in hits:
        rank, cosine = best[hit.chunk_id]
        assert rank > CANDIDATES if hit.dense is None else hit.dense.rank == rank
        assert hit.dense is None or hit.dense.score == pytest.approx(max(0.0, cosine), abs=1e-5)
    assert ask(question, "dense").explanation.dense_found == min(CANDIDATES, len(chunks))


def test_the_fused_score_is_the_weighted_sum_of_the_legs(ask: Callable[..., Result]) -> None:
    """Both legs' hits are the same chunks with the same neighbours, so sums of smoothed scores are smoothed sums."""
    question = "How long is the warranty of the FP-60 probe?"
    alone = {
        mode: {hit.chunk_id: hit.score for hit in ask(question, mode, limit=1000).hits if hit.page is None}
        for mode in ("dense", "lexical", "hybrid")
    }
    both = alone["dense"].keys() & alone["lexical"].keys() & alone["hybrid"].keys()
    assert len(both) > 5
    for chunk_id in both:
        total = DENSE_WEIGHT * alone["dense"][chunk_id] + (1 - DENSE_WEIGHT) * alone["lexical"][chunk_id]
        assert alone["hybrid"][chunk_id] == pytest.approx(total, abs=1e-4)


# --- a leg that does no harm -----------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["FP-60探头的保修期是多久？", "阀门", "年假有几天", "閥門控制器的保險絲"])
def test_a_leg_that_cannot_read_the_question_has_no_say(ask: Callable[..., Result], question: str) -> None:
    hybrid, lexical = ask(question), ask(question, "lexical")
    mixed = any(c.isascii() and c.isalpha() for c in question)
    assert hybrid.hits[0].chunk_id == lexical.hits[0].chunk_id
    if not mixed:
        assert hybrid.hits == lexical.hits
        assert hybrid.explanation.dense_weight == 0.0
    assert hybrid.explanation.dense_weight < 0.1


def test_a_leg_that_finds_nothing_changes_nothing(ask: Callable[..., Result]) -> None:
    question = "qzxv wqpl"
    hybrid, dense = ask(question), ask(question, "dense")
    assert hybrid.explanation.lexical_found == 0
    assert [hit.chunk_id for hit in hybrid.hits] == [hit.chunk_id for hit in dense.hits]
    assert ask(question, "lexical").hits == ()


def test_the_more_of_a_question_is_readable_the_more_the_dense_leg_says(ask: Callable[..., Result]) -> None:
    weights = [ask(q).explanation.dense_weight for q in ("warranty", "warranty 保修", "阀门阀门阀门阀门 a")]
    assert weights == [DENSE_WEIGHT, pytest.approx(DENSE_WEIGHT * 8 / 14), 0.0]


def test_traditional_and_simplified_questions_find_the_same(ask: Callable[..., Result]) -> None:
    assert ask("閥門控制器的保修期").hits == ask("阀门控制器的保修期").hits


# --- passages --------------------------------------------------------------------------------------------------


def test_neighbours_that_score_alike_are_joined_up_to_a_width(find: Search) -> None:
    hits = find("gasket")
    assert [hit.text.count("gasket") for hit in hits] == [2, 2]
    assert hits[0].text == FILES["join/four.md"][: hits[0].end]
    assert hits[0].text.startswith("# Sizes\n\ngasket")
    assert [hit.line for hit in hits] == [1, 7]


def test_the_limit_counts_joined_hits(find: Search) -> None:
    (hit,) = find("gasket", limit=1)
    assert hit.text.count("gasket") == 2


def test_headings_are_never_joined(find: Search) -> None:
    assert sorted(hit.heading for hit in find("flange")) == [("Left",), ("Right",)]


def test_neighbours_that_score_much_less_are_not_joined(find: Search) -> None:
    first, second = find("impeller")
    assert first.score == pytest.approx((NINE_TIMES + 0.5 * ONCE) / 1.5, abs=1e-6)
    assert second.score == pytest.approx((ONCE + 0.5 * NINE_TIMES) / 1.5, abs=1e-6)
    assert second.score < 0.92 * first.score
    assert (first.text.count("impeller"), second.text.count("impeller")) == (9, 1)


def test_pages_are_never_joined(find: Search) -> None:
    hits = find("rotor")
    assert [(hit.page, hit.text, hit.line) for hit in hits] == [
        (1, "The rotor is made of steel.", None),
        (2, "The rotor is made of brass.", None),
    ]


def test_a_page_that_was_shown_steps_back(find: Search) -> None:
    hits = find("grommet")
    assert [(hit.page, hit.text.count("grommet")) for hit in hits] == [(1, 2), (2, 1), (1, 2)]
    assert [hit.score for hit in hits] == pytest.approx([ONCE, ONCE, 0.8 * ONCE], abs=1e-6)


def test_copies_are_folded_white_space_aside(find: Search) -> None:
    first, third = find("shim")
    assert (first.source, first.text) == ("copies/first.md", "The shim  is thin.")
    assert [(p.source, p.page, p.start, p.end) for p in first.also] == [("copies/second.txt", None, 0, 18)]
    assert (third.source, third.also) == ("copies/third.md", ())
    assert [hit.rank for hit in (first, third)] == [1, 2]


def test_a_copy_outside_the_filter_is_not_told_of(find: Search) -> None:
    first, _ = find("shim", sources=("*.md",))
    assert first.also == ()


# --- filters ---------------------------------------------------------------------------------------------------


def test_sources_are_chosen_by_glob(ask: Callable[..., Result]) -> None:
    question = "warranty"
    everything = {hit.source for hit in ask(question, limit=1000).hits}
    assert {"warranty.md", "fp-probe-installation.md"} <= everything
    assert {hit.source for hit in ask(question, sources=("warranty.*",)).hits} == {"warranty.md"}
    assert {hit.source for hit in ask(question, sources=("w*", "f[pq]-*.md")).hits} <= {
        *("warranty.md", "ws-10-weather-station.md"),
        *("fp-probe-installation.md",),
    }
    assert ask(question, sources=("*.odt",)).hits == ()


def test_collections_are_chosen_by_name(ask: Callable[..., Result]) -> None:
    for names in (("zh",), ("main",), ("zh", "main")):
        hits = ask("VC-4 VC-8", limit=100, collections=names).hits
        assert {hit.collection for hit in hits} == set(names)
    assert ask("VC-4", collections=("other",)).hits == ()


def test_a_filter_gives_what_is_left_of_everything(ask: Callable[..., Result]) -> None:
    """A narrow filter finds chunks far down the list of a leg."""
    hits = ask("what to do with a broken probe", "dense", sources=("travel-and-expenses.md",)).hits
    assert len(hits) > 3
    assert {hit.source for hit in hits} == {"travel-and-expenses.md"}


def test_hits_under_a_score_are_left_out(ask: Callable[..., Result]) -> None:
    scores = [hit.score for hit in ask("warranty of the probe").hits]
    kept = [hit.score for hit in ask("warranty of the probe", min_score=scores[2]).hits]
    assert kept == [score for score in scores if score >= scores[2]] and len(kept) >= 3
    assert ask("warranty of the probe", min_score=1.01).hits == ()


# --- what holds for every search -------------------------------------------------------------------------------

FIELDS = [
    *(
        "rank",
        "score",
        "chunk_id",
        "source",
        "collection",
        "page",
        "page_end",
        "page_label",
        "heading",
        "start",
        "end",
        "line",
    ),
    *("text", "legs", "also"),
]


def check(result: Result, index: Index, limit: int) -> None:
    """Assert what the contract says of hits."""
    assert len(result.hits) <= limit
    assert [hit.rank for hit in result.hits] == list(range(1, len(result.hits) + 1))
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    texts = [("".join(hit.text.split())) for hit in result.hits]
    assert len(set(texts)) == len(texts)
    files = {(file.collection, file.source): file for file in index.catalog.files()}
    for hit in result.hits:
        assert 0.0 <= hit.score <= 1.0
        file = files[hit.collection, hit.source]
        assert index.catalog.text(file.id)[hit.start : hit.end] == hit.text != ""
        inside = [c for c in index.catalog.chunks_of(file.id) if hit.start <= c.start and c.end <= hit.end]
        assert hit.chunk_id in {c.chunk_id for c in inside}
        assert {(c.page, c.heading) for c in inside} == {(hit.page, hit.heading)}
        assert hit.text == hit.text.strip()
        assert hit.dense is not None or hit.lexical is not None or hit.score > 0
        value = json.loads(json.dumps(hit.to_json()))
        assert list(value) == FIELDS
        assert value["page_end"] == value["page"]
        assert set(value["legs"]) == {"dense", "lexical"}


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    question=st.one_of(
        st.lists(
            st.sampled_from(
                [*("fuse", "VC-8", "阀门", "保修", '"', "AND", "NEAR(", "*", "'; DROP TABLE chunks; --", "\0", "the")]
                + ["\ud800", "\x1b[31m", "保險絲", "a:b", "c++", "{x}", "-", "how long"]
            ),
            min_size=1,
        ).map(" ".join),
        st.text(min_size=1),
    ),
    limit=st.sampled_from([1, 3, 50]),
)
def test_any_question(sample: Index, embedder: OnnxEmbedder, mode: Mode, question: str, limit: int) -> None:
    if not question.strip():
        with pytest.raises(UsageError, match="the question is empty"):
            search_index(sample, embedder, question, limit=limit, mode=mode)
        return
    result = search_index(sample, embedder, question, limit=limit, mode=mode)
    check(result, sample, limit)
    if not any(unicodedata.category(c)[0] in "LN" for c in question):
        assert result.hits == ()


def test_the_same_question_gives_the_same_hits(ask: Callable[..., Result]) -> None:
    assert ask("How is the gateway reset?").hits == ask("How is the gateway reset?").hits


def test_a_question_is_read_up_to_a_length(ask: Callable[..., Result]) -> None:
    long = ask("fuse " * 20_000)
    assert long.hits == ask("fuse " * 800).hits
    assert long.explanation.words == ("fuse",)


# --- offsets ---------------------------------------------------------------------------------------------------

LINES = "Title\r\n\r\nThe word {} stands here.\r\nAnd more.\r\n"
ODD_FILES: dict[str, tuple[str | bytes, str]] = {
    "crlf.md": ("# Title\r\n\r\nThe word crlfword stands here.\r\nAnd more.\r\n\r\nNext.\r\n", "utf-8"),
    "bom.txt": (b"\xef\xbb\xbf" + LINES.format("bomword").encode(), "utf-8-sig"),
    "wide.txt": (LINES.format("wideword 阀门").encode("utf-16"), "utf-16"),
    "chinese.txt": (("这是一份关于水泵和阀门的说明。\n" * 5 + "gbkword 在这里。\n").encode("gb18030"), "gb18030"),
    "cr.txt": ("One\rTwo\r\rThe crword.\rEnd", "utf-8"),
    "nul.txt": ("A nulword \0 and \x1b[31m red \x85 \u2028 end.", "utf-8"),
    "decomposed.md": ("Cafe\u0301 ﬁne Å decomposedword\n", "utf-8"),
    "table.csv": ('name,note\r\nvalve,"two\r\nlines, csvword"\r\npump,none\r\n', "utf-8"),
    "code.py": ("import os\n\n\ndef codeword():\n\treturn 1\n", "utf-8"),
    "astral.md": ("😀👩‍👩‍👧 𝔘 astralword 𠮷 end\n", "utf-8"),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Corpus:
    """Files whose bytes and characters differ, and two whose text has to be extracted."""
    corpus = Corpus(tmp_path_factory.mktemp("odd"), model_store)
    page = "<html><nav>menu</nav><h1>Pump &amp; valve</h1><p>The  word\n<b>html</b>word &lt;here&gt;.</p></html>"
    corpus.add(
        {name: content for name, (content, _) in ODD_FILES.items()}
        | {"page.html": page, "sheet.pdf": pdf([(11, "The first page.")], [(11, "Here is pdfword, twice: pdfword.")])}
    )
    return corpus


def hits_of(corpus: Corpus, question: str) -> list[dict[str, Any]]:
    """Search with the command line."""
    done = corpus.run(["search", question, "--mode", "lexical", "--json"])
    hits: list[dict[str, Any]] = json.loads(done.stdout)["hits"]
    return hits


@pytest.mark.parametrize("name", ODD_FILES)
def test_offsets_point_into_the_decoded_file(odd: Corpus, name: str) -> None:
    decoded = (odd.documents / name).read_bytes().decode(ODD_FILES[name][1])
    word = {"chinese.txt": "gbkword"}.get(name, f"{name.split('.')[0]}word")
    word = {"table.csv": "csvword"}.get(name, word)
    (hit,) = hits_of(odd, word)
    assert hit["source"] == name
    assert hit["text"] == decoded[hit["start"] : hit["end"]]
    assert word in str(hit["text"])
    before = decoded[: hit["start"]].replace("\r\n", "\n").replace("\r", "\n")
    assert hit["line"] == before.count("\n") + 1


@pytest.mark.parametrize(("name", "word", "page"), [("page.html", "htmlword", None), ("sheet.pdf", "pdfword", 2)])
def test_offsets_point_into_what_show_prints(odd: Corpus, name: str, word: str, page: int | None) -> None:
    (hit,) = hits_of(odd, word)
    shown = odd.run(["show", name]).stdout.decode()
    assert hit["text"] == shown[hit["start"] : hit["end"]]
    assert (hit["source"], hit["page"], hit["line"]) == (name, page, None)
    whole = json.loads(odd.run(["show", name, "--json"]).stdout)
    assert whole["text"][hit["start"] : hit["end"]] == hit["text"]
    chunk = json.loads(odd.run(["show", str(hit["chunk_id"]), "--json"]).stdout)
    assert (chunk["text"], chunk["start"], chunk["page"]) == (hit["text"], hit["start"], page)


def test_every_character_of_every_file_is_in_one_chunk(odd: Corpus, sample: Index) -> None:
    opened = Index(odd.index)
    for index in (opened, sample):
        for file in index.catalog.files():
            text, end = index.catalog.text(file.id), 0
            for chunk in index.catalog.chunks_of(file.id):
                assert end <= chunk.start < chunk.end
                assert not text[end : chunk.start].strip()
                end = chunk.end
            assert not text[end:].strip()
    opened.close()


def test_the_path_of_a_hit_is_the_file(ask: Callable[..., Result]) -> None:
    for hit in ask("warranty").hits:
        assert isinstance(hit.path, Path) and hit.path.is_file() and hit.path.name == hit.source
