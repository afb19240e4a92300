"""BM25 over the words of the chunks. FTS5 keeps the inverted index; the scores are ours.

FTS5's own bm25() has fixed constants and does not tell which words of the query a chunk holds. Its vocabulary table
gives, for one word, every place where it stands; that is all BM25 needs. Chunks are cut to about one width, so the
length of a chunk is left out of the formula (b = 0): see docs/decisions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragcli.storage.catalog import Catalog
from ragcli.words import idf

K1 = 0.9
COVERAGE = 0.3
"""Share of the score that asks only which of the query's words are there, not how often."""


@dataclass(frozen=True, slots=True)
class LexicalScores:
    """Score of every chunk that holds a word of the query, 0 to 1, by chunk row id.

    1 would be a chunk that holds every word of the query infinitely often.
    """

    scores: dict[int, float]
    unknown: tuple[str, ...] = ()


def rarity(catalog: Catalog, words: Sequence[str]) -> dict[str, float]:
    """Return the weight of each word: how rare it is among the chunks, less for single CJK characters."""
    total = catalog.counts()[1]
    return {word: idf(word, total, len(_postings(catalog, word))) for word in dict.fromkeys(words)}


def _postings(catalog: Catalog, word: str) -> list[tuple[int, int]]:
    """Return the row id of every chunk that holds a word, and how often it does."""
    with catalog.mapped():
        rows = catalog.connection.execute("SELECT doc, count(*) FROM postings WHERE term = ? GROUP BY doc", (word,))
        return rows.fetchall()


def verbatim(catalog: Catalog, words: Sequence[str]) -> set[int]:
    """Return the row ids of the chunks that hold these words, all of them and in this order."""
    phrase = " ".join(words).replace('"', '""')
    with catalog.mapped():
        rows = catalog.connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (f'"{phrase}"',))
        return {ident for (ident,) in rows}


def score(catalog: Catalog, words: Sequence[str]) -> LexicalScores:
    """Score chunks for the words of a query, which `ragcli.words` has cut.

    BM25 (Robertson and Zaragoza 2009) with idf = ln(1 + (N - n + 0.5) / (n + 0.5)), divided by the score of an ideal
    chunk, so that scores of different queries and indexes can be compared; a word that no chunk holds counts against
    all of them.
    """
    total = catalog.counts()[1]
    ideal = 0.0
    scores: dict[int, float] = {}
    unknown = []
    for word in dict.fromkeys(words):
        postings = _postings(catalog, word)
        weight = idf(word, total, len(postings))
        ideal += weight
        if not postings:
            unknown.append(word)
        for ident, count in postings:
            saturated = count / (count + K1)
            scores[ident] = scores.get(ident, 0.0) + weight * ((1 - COVERAGE) * saturated + COVERAGE)
    return LexicalScores({ident: value / ideal for ident, value in scores.items()}, tuple(unknown))
