"""Hits and gold -> how well retrieval did.

`relevance` says which hit holds which gold; each metric is then one function of it. A metric is None where the case
names no gold that could be looked for in these hits. k counts hits; where there are fewer than k, the metrics are what
they would be if the rest held nothing.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log2
from typing import Any

from ragcli.evaluation.records import Context, Gold

Span = tuple[int, int]
Pages = Mapping[int, Span]
"""Where each page, from 1, stands in its document's text."""

_HALF, _NEARLY_ALL = 0.5, 0.9
_LEAST = 100
"""Characters of a quote longer than a passage that the passage must hold at least."""
_WHOLE = 12
"""Characters up to which all of a quote must be there."""
_SEED, _STEP = 16, 5
"""Characters in a row that count as common to a quote and a passage, or half of the quote where that is less; and how
far apart in the quote they are looked for."""
_IGNORED = re.compile("[\\s*_`|\u00ad\u200b-\u200d\u2060\ufeff]+")
"""White space, invisible characters, and marks of Markdown: who copies a quote from a page does not see them."""
_ALIKE = str.maketrans("‘’‚‛“”„‟‐‑‒–—―−", "''''\"\"\"\"-------")
_ENDING = re.compile(r"\.\w{1,8}$")


@dataclass(frozen=True, slots=True)
class Relevance:
    """Which hits hold which gold. `found` holds, for each hit in its rank order, the indices of the gold that it holds.

    `golds` is how many gold there are. `characters` holds the length of each gold that is a span or a quote, and
    `covered`, for each hit, which spans of these each hit covers, counted from the gold's start.
    """

    golds: int
    found: tuple[frozenset[int], ...]
    characters: Mapping[int, int]
    covered: tuple[tuple[tuple[int, Span], ...], ...]


def relevance(hits: Sequence[Mapping[str, Any] | Context], golds: Sequence[Gold]) -> Relevance | None:
    """Return which hits hold which gold; None where no gold can be looked for in these hits.

    A hit holds a gold of its own source, or of one of its `also`:
    - a span, if it overlaps it; of a span that has a quote, if it holds half of it;
    - a quote, if it holds half of it (all, of up to 12 characters), or of one longer than the hit as much as half of
      the hit; on another page than the gold's only if it holds it whole;
    - a page, if it stands on it; and where nothing more is known, the source alone.

    A source that is not known, of a hit or of a gold, fits every other, and then the quote must decide. A gold that is
    known by what no hit says of itself, as its page where none names one, is left out.
    """
    passages = [_passage(hit) for hit in hits]
    golds = [gold for gold in golds if not passages or any(_is_comparable(gold, passage) for passage in passages)]
    if not golds:
        return None
    found, covered = [], []
    for passage in passages:
        held, spans = set(), []
        for i, gold in enumerate(golds):
            holds, parts = _compare(gold, passage)
            if holds:
                held.add(i)
            spans += [(i, part) for part in parts]
        found.append(frozenset(held))
        covered.append(tuple(spans))
    lengths = {i: length for i, gold in enumerate(golds) if (length := _length(gold))}
    return Relevance(len(golds), tuple(found), lengths, tuple(covered))


def hit_at(relevance: Relevance, k: int) -> float:
    """hit@k, also success@k: 1 if one of the first k hits holds a gold, else 0."""
    return float(any(relevance.found[:k]))


def recall_at(relevance: Relevance, k: int) -> float:
    """recall@k: the share of the gold that stands in the first k hits, |gold in hits 1..k| / |gold|.

    Manning, Raghavan, Schütze: Introduction to Information Retrieval (2008), 8.3.
    """
    return len(frozenset().union(*relevance.found[:k])) / relevance.golds


def precision_at(relevance: Relevance, k: int) -> float:
    """precision@k: the share of the first k hits that hold a gold, |hits 1..k with gold| / k.

    As trec_eval's P_k it divides by k, and not by the number of hits where there are fewer.
    """
    return sum(map(bool, relevance.found[:k])) / k


def reciprocal_rank(relevance: Relevance) -> float:
    """mrr: 1 / rank of the first hit that holds a gold, 0 where none does; its mean over cases is the MRR.

    Voorhees: The TREC-8 Question Answering Track Report (1999).
    """
    return next((1 / rank for rank, held in enumerate(relevance.found, 1) if held), 0.0)


def ndcg_at(relevance: Relevance, k: int) -> float:
    """ndcg@k: DCG / ideal DCG, DCG = the sum of gain / log2(1 + rank) over the first k hits.

    The gain of a hit is 1 if it holds a gold that no hit before it holds, else 0: a gold counts once, however often it
    was found. The ideal has one such hit for each gold; gold that one hit was the first to hold takes one together.
    Järvelin and Kekäläinen: Cumulated gain-based evaluation of IR techniques (2002), discounted from rank 1 as in
    trec_eval.
    """
    seen: frozenset[int] = frozenset()
    gains = []
    for held in relevance.found[:k]:
        gains.append(not held <= seen)
        seen |= held
    ideal = sum(gains) + relevance.golds - len(seen)
    gained = sum(1 / log2(1 + rank) for rank, gain in enumerate(gains, 1) if gain)
    return gained / _ideal(min(k, ideal))


def gold_characters_at(relevance: Relevance, k: int) -> float | None:
    """gold_chars@k: the share of the gold's characters that the first k hits cover; None where no gold has a length.

    It is the recall of Smith and Troynikov: Evaluating Chunking Strategies for Retrieval (Chroma, 2024), over all gold
    of a case. The characters of a gold without a span are those of its quote, white space left out.
    """
    spans: dict[int, list[Span]] = {}
    for hit in relevance.covered[:k]:
        for gold, span in hit:
            spans.setdefault(gold, []).append(span)
    total = sum(relevance.characters.values())
    return sum(_union(parts) for parts in spans.values()) / total if total else None


_AT_K: Mapping[str, Callable[[Relevance, int], float | None]] = {
    "hit": hit_at,
    "recall": recall_at,
    "precision": precision_at,
    "ndcg": ndcg_at,
    "gold_chars": gold_characters_at,
}


def names(ks: Sequence[int]) -> list[str]:
    """Return the names of the metrics of `measure`."""
    return [f"{name}@{k}" for name in _AT_K for k in ks] + ["mrr"]


def measure(
    hits: Sequence[Mapping[str, Any] | Context], golds: Sequence[Gold], ks: Sequence[int]
) -> dict[str, float | None]:
    """Return every metric by its name in the contract, for each k of `ks`."""
    found = relevance(hits, golds) if golds else None
    if found is None:
        return dict.fromkeys(names(ks))
    values: dict[str, float | None] = {f"{name}@{k}": metric(found, k) for name, metric in _AT_K.items() for k in ks}
    return values | {"mrr": reciprocal_rank(found)}


def locate_gold(gold: Gold, text: str, pages: Pages | None = None) -> Span | None:
    """Return where a gold stands in the text of its source; None where it is stale: the text holds it no more.

    A quote is looked for with white space, width and case folded: at its span, then on its page, then nearest to where
    its span was. Of a page's text, whose order is the reader's own, nine tenths of it will do, and the span goes from
    the first of them to the last. A gold with neither quote nor span is the span of its page, or the whole text.
    """
    span = (gold.start, gold.end) if gold.start is not None and gold.end is not None else None
    paged = pages is not None and gold.page is not None
    page = pages.get(gold.page) if pages is not None and gold.page is not None else None
    if gold.quote is None:
        if span is not None:
            return span if span[1] <= len(text) else None
        return page if paged else (0, len(text))
    wanted = fold(gold.quote)
    if span is not None and fold(text[span[0] : span[1]]) == wanted:
        return span
    places = _places(wanted, text)
    if not places:
        return _spread(wanted, text, page) if page is not None else None
    near = gold.start if gold.start is not None else 0
    on_page = [place for place in places if page is not None and page[0] <= place[0] < page[1]]
    return min(on_page or places, key=lambda place: abs(place[0] - near))


def _spread(wanted: str, text: str, page: Span) -> Span | None:
    """Return from where to where on a page nearly all of a quote stands, in whatever order."""
    folded = _fold_source(text[slice(*page)])
    parts = _common(wanted, folded.text)
    if not parts or _union(parts) < _NEARLY_ALL * len(wanted):
        return None
    places = [(at, at + b - a) for a, b in parts if (at := folded.text.find(wanted[a:b])) >= 0]
    first, last = min(a for a, _ in places), max(b for _, b in places)
    return page[0] + folded.starts[first], page[0] + folded.ends[last - 1]


def is_stale(gold: Gold, text: str, pages: Pages | None = None) -> bool:
    """Return whether the source of a gold changed since: its quote, span or page is there no more."""
    return locate_gold(gold, text, pages) is None


def same_source(a: str, b: str) -> bool:
    """Return whether two names are of one source: equal, one the end of the other's path, or without its ending."""
    return a == b or _same_source(a, b)


@lru_cache(maxsize=1 << 14)
def _same_source(a: str, b: str) -> bool:
    a, b = (unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./") for name in (a, b))
    if not a or not b:
        return False
    return any(
        x == y or x.endswith("/" + y) or y.endswith("/" + x)
        for x, y in ((a, b), (_ENDING.sub("", a), b), (a, _ENDING.sub("", b)))
        if x and y
    )


@lru_cache(maxsize=256)
def fold(text: str) -> str:
    """Return a text as quotes are compared: width and case folded, without white space and the marks of Markdown."""
    return _fold(text)


def _fold(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_ALIKE)
    return _IGNORED.sub("", text.casefold())


@dataclass(frozen=True, slots=True)
class _Passage:
    """A hit or a context: its text, and the places where it stands, each a source, page, start and end."""

    text: str
    places: tuple[tuple[str, int | None, int | None, int | None], ...]


def _passage(hit: Mapping[str, Any] | Context) -> _Passage:
    if isinstance(hit, Context):
        return _Passage(hit.text, ((hit.source, hit.page, hit.start, hit.end),))
    places = (hit, *(hit.get("also") or ()))
    return _Passage(
        hit.get("text") or "",
        tuple((p.get("source") or "", p.get("page"), p.get("start"), p.get("end")) for p in places),
    )


def _is_comparable(gold: Gold, passage: _Passage) -> bool:
    """Return whether a passage says of itself what the gold is known by."""
    if gold.quote is not None:
        return True
    if gold.source == "":
        return False
    if gold.start is not None:
        return any(source and start is not None for source, _, start, _ in passage.places)
    if gold.page is not None:
        return any(source and page is not None for source, page, _, _ in passage.places)
    return any(source for source, _, _, _ in passage.places)


def _compare(gold: Gold, passage: _Passage) -> tuple[bool, list[Span]]:
    """Return whether a passage holds a gold, and the spans of the gold that it covers."""
    places = [p for p in passage.places if not p[0] or not gold.source or same_source(p[0], gold.source)]
    if not places:
        return False, []
    known = [p for p in places if p[0] and gold.source]
    span = (gold.start, gold.end) if gold.start is not None and gold.end is not None else None
    standing = [(start, end) for _, _, start, end in known if start is not None and end is not None]
    if span is not None and standing:
        parts = [(max(a, span[0]) - span[0], min(b, span[1]) - span[0]) for a, b in standing]
        parts = [(a, b) for a, b in parts if a < b]
        if gold.quote is None:
            return bool(parts), parts
        longest = max(b - a for a, b in standing)
        return _holds(_union(parts), span[1] - span[0], longest), parts
    if gold.quote is not None:
        quote, text = fold(gold.quote), fold(passage.text)
        parts = _common(quote, text)
        held = _union(parts)
        elsewhere = gold.page is not None and all(page not in (None, gold.page) for _, page, _, _ in places)
        holds = held == len(quote) > 0 if elsewhere else _holds(held, len(quote), len(text))
        scale = (span[1] - span[0]) / len(quote) if span is not None and quote else 1
        return holds, [(round(a * scale), round(b * scale)) for a, b in parts]
    if span is not None:
        return False, []
    return any(gold.page is None or page == gold.page for _, page, _, _ in known), []


def _holds(held: int, wanted: int, passage: int) -> bool:
    """Return whether a passage of some length holds half of what is wanted, or of more than itself, half of itself."""
    return 0 < held >= min(_half(wanted), max(_HALF * passage, _LEAST))


def _half(length: int) -> int:
    """Return half of a length, but all of one so short that half of it would stand anywhere."""
    return max((length + 1) // 2, min(length, _WHOLE))


def _common(quote: str, text: str) -> list[Span]:
    """Return the spans of `quote` that stand in `text`, at least `_SEED` characters each."""
    if not quote or not text:
        return []
    if quote in text:
        return [(0, len(quote))]
    if text in quote:
        start = quote.find(text)
        return [(start, start + len(text))]
    seed = min(_SEED, _half(len(quote)))
    step = max(_STEP, len(quote) // 2000) if len(quote) > 2 * _SEED else 1  # bounds the time of a hostile quote
    spans: list[Span] = []
    at, covered = 0, 0
    while at + seed <= len(quote):
        there = text.find(quote[at : at + seed])
        if there < 0:
            at += step
            continue
        start, before = at, there
        while start > covered and before > 0 and quote[start - 1] == text[before - 1]:
            start, before = start - 1, before - 1
        end, after = at + seed, there + seed
        while end < len(quote) and after < len(text) and quote[end] == text[after]:
            end, after = end + 1, after + 1
        spans.append((start, end))
        at = covered = end
    return spans


def _length(gold: Gold) -> int:
    if gold.start is not None and gold.end is not None:
        return gold.end - gold.start
    return len(fold(gold.quote)) if gold.quote is not None else 0


def _union(spans: Sequence[Span]) -> int:
    """Return how many characters spans cover together."""
    covered, reached = 0, 0
    for start, end in sorted(spans):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


@lru_cache(maxsize=1024)
def _ideal(n: int) -> float:
    return sum(1 / log2(1 + rank) for rank in range(1, n + 1))


def _places(wanted: str, text: str) -> list[Span]:
    """Return every place in `text` where a folded quote stands."""
    folded = _fold_source(text)
    found: list[Span] = []
    at = folded.text.find(wanted) if wanted else -1
    while at >= 0 and len(found) < 1000:
        found.append((folded.starts[at], folded.ends[at + len(wanted) - 1]))
        at = folded.text.find(wanted, at + 1)
    return found


@dataclass(frozen=True, slots=True)
class _Folded:
    text: str
    starts: array[int]
    ends: array[int]


@lru_cache(maxsize=4)
def _fold_source(text: str) -> _Folded:
    """Return a source's text as `fold` gives it, with the place of each character; the last few are kept."""
    cuts = [m.start() for m in re.finditer(r"(?s).[\u0300-\u036f\u3099\u309a]*", text)] if not text.isascii() else None
    pieces: list[str] = []
    starts, ends = array("I"), array("I")
    table: dict[str, str] = {}
    borders = pairwise([*cuts, len(text)]) if cuts is not None else ((i, i + 1) for i in range(len(text)))
    for a, b in borders:
        piece = text[a:b]
        folded = table.get(piece)
        if folded is None:
            folded = table[piece] = _fold(piece)
        pieces.append(folded)
        for _ in folded:
            starts.append(a)
            ends.append(b)
    return _Folded("".join(pieces), starts, ends)
