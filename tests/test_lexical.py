"""BM25 over the index's words: values worked out by hand, and bm25s as an oracle."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

import bm25s
import pytest
from corpora import Corpus
from shared import ROOT

from ragcli.models.store import ModelStore
from ragcli.storage import lexical
from ragcli.storage.index import Index
from ragcli.storage.lexical import COVERAGE, K1
from ragcli.words import SINGLE_CHARACTER, content_words, words


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[Index]:
    """Three documents of one chunk each; the files' names are among their words."""
    corpus = Corpus(tmp_path_factory.mktemp("three"), model_store)
    corpus.add({"a.md": "pump pump valve", "b.md": "pump sensor", "c.md": "阀门。阀"})
    index = Index(corpus.index)
    yield index
    index.close()


def by_name(index: Index, question: str) -> dict[str, float]:
    """Return the score of each document that has one."""
    found = lexical.score(index.catalog, words(question)).scores
    names = {chunk.id: file.source for file in index.catalog.files() for chunk in index.catalog.chunks_of(file.id)}
    return {names[ident]: value for ident, value in found.items()}


def of(count: int) -> float:
    """Return what a word that a chunk holds `count` times gives, of the 1 that it could."""
    return 0.7 * count / (count + 0.9) + 0.3


def test_the_constants_that_the_values_below_are_worked_out_with() -> None:
    assert (K1, COVERAGE, SINGLE_CHARACTER) == (0.9, 0.3, 0.5)


def test_a_word_counts_by_how_often_it_is_there(three: Index) -> None:
    assert by_name(three, "pumps") == pytest.approx({"a.md": of(2), "b.md": of(1)})


def test_a_rare_word_counts_more(three: Index) -> None:
    pump, valve, sensor = log(1 + 1.5 / 2.5), log(1 + 2.5 / 1.5), log(1 + 2.5 / 1.5)
    ideal = pump + valve + sensor
    assert by_name(three, "pump valve sensor") == pytest.approx(
        {"a.md": (pump * of(2) + valve * of(1)) / ideal, "b.md": (pump * of(1) + sensor * of(1)) / ideal}
    )


def test_a_word_that_is_nowhere_counts_against_all(three: Index) -> None:
    pump, nowhere = log(1 + 1.5 / 2.5), log(1 + 3.5 / 0.5)
    assert by_name(three, "pump turbine")["b.md"] == pytest.approx(pump * of(1) / (pump + nowhere))
    assert lexical.score(three.catalog, words("pump turbine")).unknown == ("turbin",)


def test_a_word_that_is_asked_twice_counts_once(three: Index) -> None:
    assert by_name(three, "pump pump pumps") == by_name(three, "pump")


def test_a_single_character_counts_half_as_much_as_a_pair(three: Index) -> None:
    pair = log(1 + 2.5 / 1.5)
    assert by_name(three, "阀门") == pytest.approx(
        {"c.md": (pair * of(1) + pair / 2 * of(2) + pair / 2 * of(1)) / (2 * pair)}
    )


def test_no_words_and_no_documents_give_nothing(three: Index) -> None:
    for text in ("", "?!", "turbine"):
        assert by_name(three, text) == {}


def test_the_weight_of_a_word(three: Index) -> None:
    assert lexical.rarity(three.catalog, ["pump", "阀", "turbin"]) == pytest.approx(
        {"pump": log(1 + 1.5 / 2.5), "阀": log(1 + 2.5 / 1.5) / 2, "turbin": log(1 + 3.5 / 0.5)}
    )


QUESTIONS = [
    "Which fuse does the VC-8 controller need?",
    "How long is the warranty of the FP-60 probe?",
    "gateway antenna cable",
    "Can I return a used pump after 30 days?",
    "price of part HF-1101",
    "the of and",
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Iterator[Index]:
    """The English sample documents."""
    corpus = Corpus(tmp_path_factory.mktemp("sample"), model_store)
    names = [path for folder in ("manuals", "policies", "sales") for path in (ROOT / "sample_docs" / folder).iterdir()]
    corpus.add({f"{path.parent.name}/{path.name}": path.read_bytes() for path in names})
    index = Index(corpus.index)
    yield index
    index.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_bm25s_gives_the_same_scores(sample: Index, question: str) -> None:
    """Its scores, with b = 0, are the part of ours that counts how often a word is there."""
    catalog = sample.catalog
    idents, texts = [], []
    for file in catalog.files():
        text = catalog.text(file.id)
        for chunk in catalog.chunks_of(file.id):
            idents.append(chunk.id)
            texts.append(words(f"{chunk.context}\n{text[chunk.start : chunk.end]}"))
    oracle = bm25s.BM25(method="lucene", k1=K1, b=0.0)
    oracle.index(texts, show_progress=False)
    wanted = list(dict.fromkeys(content_words(question)))
    saturated = oracle.get_scores([word for word in wanted if word in oracle.vocab_dict])
    rarity = {w: log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for w in wanted for n in [sum(w in t for t in texts)]}
    expected = {}
    for ident, held, part in zip(idents, texts, saturated, strict=True):
        covered = sum(rarity[word] for word in wanted if word in held)
        if covered:
            expected[ident] = ((1 - COVERAGE) * float(part) + COVERAGE * covered) / sum(rarity.values())
    assert lexical.score(catalog, wanted).scores == pytest.approx(expected, rel=1e-4)
    assert expected
