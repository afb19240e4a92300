"""An answer without a language model: the best supported sentences of the hits, quoted and cited.

A hit is cut into *units* along the blocks of its document: a sentence, a list item, a table row, a few lines of code.
Each is scored by the question's words that it holds, by the cosine of the two where the encoder reads both, by the
score of its hit, and by whether it holds the kind of answer that is asked for. The best are quoted as they stand, each
with what follows it, up to the length of a paragraph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ragcli.chunking import width
from ragcli.embedding.base import Embedder
from ragcli.generation.expected import expected, holds, identifiers
from ragcli.records import Block, Document, Hit
from ragcli.sentences import sentences
from ragcli.words import content_words, idf, words

NAME = "extractive"
KIND = "extractive"

PASSAGE_WEIGHT = 2.0
EXPECTED_BONUS = 0.3
BEST, WITHIN = 5, 0.7
"""At most this many units are chosen, each with at least this share of the best one's score."""
FOLLOWS = 0.4
"""What follows a chosen unit is quoted, too, where it has this share of its match with the question."""
WIDTH = 600
MASS_WEIGHT = 0.25
SAME = 0.8
HELD = 0.75
"""A best hit that holds this share of the question, by the rarity of its words, bears an answer by itself."""
NOTHING_READ, NOTHING_UNREAD = 0.175, 0.075
"""A best hit that scores less matches by chance, where the encoder can read the question and where it cannot."""
MAX_UNITS = 400
_MAX_UNIT_WIDTH = 500


@dataclass(frozen=True, slots=True)
class Unit:
    """One sentence, list item, row or piece of code of a hit, with its scores.

    `hit` counts from 0. `header` is the header row of a table's row, which is shown above it. `fits` tells that it
    holds the kind of answer that is asked for.
    """

    hit: int
    text: str
    header: str = ""
    heading: tuple[str, ...] = ()
    covered: float = 0.0
    cosine: float = 0.0
    fits: bool = False
    score: float = 0.0

    @property
    def whole(self) -> str:
        """The text under its header."""
        return f"{self.header}\n{self.text}" if self.header else self.text


def units_of(at: int, hit: Hit, document: Document) -> Iterator[Unit]:
    """Yield the units of a hit in order, `at` being its place among the hits.

    Headings and header rows are passed over: they are shown with what stands under them.
    """
    headers = {block.header for block in document.blocks if block.header}
    for block in document.blocks:
        start, end = max(block.start, hit.start), min(block.end, hit.end)
        if start >= end or block.kind == "heading" or document.text[start:end].partition("\n")[0] in headers:
            continue
        for text in _texts(document.text[start:end], block):
            yield Unit(at, text, block.header, block.heading)


def _texts(text: str, block: Block) -> Iterator[str]:
    if block.kind == "table_row":
        yield from (line.strip() for line in text.splitlines() if any(map(str.isalnum, line)))
    elif block.kind != "paragraph" and width(text) <= _MAX_UNIT_WIDTH:
        yield text.strip()
    else:
        for line in _fields(text):
            yield from (" ".join(line[start:end].split()) for start, end in sentences(line))


def _fields(text: str) -> Iterator[str]:
    """Yield the lines of a record such as `Cause: ...`, each with the lines that it runs on to."""
    lines: list[str] = []
    for line in text.splitlines():
        name = line.replace("：", ":").partition(":")
        if lines and name[1] and 0 < width(name[0].strip()) <= 30:
            yield "\n".join(lines)
            lines = []
        lines.append(line)
    if lines:
        yield "\n".join(lines)


def score(
    question: str, hits: Sequence[Hit], units: Sequence[Unit], embedder: Embedder, rarity: Mapping[str, float]
) -> list[Unit]:
    """Return the units with their scores. `rarity` is the idf of each of the question's words in the index.

    A word that most units hold tells as little as one that most chunks hold: its weight is the product of both idf.
    """
    wanted = [word for word in dict.fromkeys(content_words(question)) if rarity.get(word, 0.0) > 0.0]
    held = [set(words(unit.text)) for unit in units]
    weight = {word: rarity[word] * idf(word, len(held), sum(word in there for there in held)) for word in wanted}
    total = sum(weight.values()) or 1.0
    kind = expected(question)
    scored = []
    for unit, there, cosine in zip(units, held, _cosines(question, units, embedder), strict=True):
        covered = sum(weight[word] for word in wanted if word in there) / total
        fits = bool(kind) and holds(kind, unit.whole)
        value = covered + cosine + PASSAGE_WEIGHT * hits[unit.hit].score + EXPECTED_BONUS * fits
        scored.append(replace(unit, covered=covered, cosine=cosine, fits=fits, score=value))
    return scored


def _cosines(question: str, units: Sequence[Unit], embedder: Embedder) -> list[float]:
    """Return the cosine of the question to each unit under its headings; 0 where the encoder cannot read both."""
    cosines = [0.0] * len(units)
    readable = [i for i, unit in enumerate(units) if embedder.reads(unit.text) >= 0.5]
    if not readable or embedder.reads(question) < 0.5:
        return cosines
    texts = [_fit(" > ".join(units[i].heading[-2:]) + "\n" + units[i].whole, embedder) for i in readable]
    found = embedder.embed_documents(texts) @ embedder.embed_query(question)
    for i, cosine in zip(readable, found, strict=True):
        cosines[i] = max(0.0, (float(cosine) - embedder.floor) / (1.0 - embedder.floor))
    return cosines


def _fit(text: str, embedder: Embedder) -> str:
    starts = embedder.token_starts([text])[0]
    return text if len(starts) <= embedder.window else text[: starts[embedder.window]]


def choose(units: Sequence[Unit]) -> list[Unit]:
    """Return the best units and those right after them, in the order of their hits' best unit and of the text."""
    order = sorted(range(len(units)), key=lambda i: (-units[i].score, i))
    chosen: list[int] = []
    size = 0
    for best in order[:BEST]:
        if units[best].score < WITHIN * units[order[0]].score:
            break
        for at in (best, best + 1):
            if at >= len(units) or at in chosen or units[at].hit != units[best].hit:
                continue
            if at != best and not _goes_on(units[best], units[at]):
                continue
            if not chosen or size + width(units[at].text) <= WIDTH:
                chosen.append(at)
                size += width(units[at].text)
    rank = {hit: at for at, hit in enumerate(dict.fromkeys(units[i].hit for i in order if i in chosen))}
    return [units[i] for i in sorted(chosen, key=lambda i: (rank[units[i].hit], i))]


def _goes_on(unit: Unit, following: Unit) -> bool:
    """Return whether what follows a chosen unit belongs with it. The next row of a table says something else."""
    if following.header:
        return False
    return following.fits or following.covered + following.cosine >= FOLLOWS * (unit.covered + unit.cosine)


def compose(chosen: Sequence[Unit]) -> str:
    """Set the chosen units below each other, each with its marker `[n]`.

    The heading above them and a table's header stand once, above the first unit that they belong to.
    """
    lines: list[str] = []
    heading = header = ""
    for unit in chosen:
        if unit.heading and unit.heading[-1] != heading:
            heading = unit.heading[-1]
            lines.append(heading)
        if unit.header and unit.header != header:
            lines.append(unit.header)
        header = unit.header
        lines.append(f"{unit.text} [{unit.hit + 1}]")
    return "\n".join(lines)


def evidence(
    question: str, hits: Sequence[Hit], chosen: Sequence[Unit], rarity: Mapping[str, float], reads: float
) -> float:
    """Return how well the hits bear an answer, from 0 up; ask abstains where it is low.

    A question that is answered somewhere has one passage ahead of all others; one that is merely on topic matches
    many a little. So the evidence is the lead of the best hit over the next that says something else: in score, and in
    the rarity of the question's words that it holds, both summed over the words as log-odds are. It is 1 at least
    where the best hit holds nearly all of the question: then others may say the same. There is none where the best hit
    hardly matches, a model or code in the question is in no document, or nothing that was chosen holds the kind of
    answer that is asked for. `reads` is the share of the question that the encoder can read: with one leg alone the
    lead has to be up to twice as large.
    """
    wanted = list(dict.fromkeys(content_words(question)))
    rivals = [hit for at, hit in enumerate(hits) if at == 0 or not _same(hit.text, hits[0].text)]
    if not rivals or not chosen or hits[0].score < NOTHING_UNREAD + (NOTHING_READ - NOTHING_UNREAD) * reads:
        return 0.0
    if not _plausible(question, hits, chosen, rarity):
        return 0.0
    scores = [hit.score * len(wanted) for hit in rivals]
    held = [set(words(" ".join((hit.text, *hit.heading, hit.source)))) for hit in rivals]
    masses = [sum(rarity.get(word, 0.0) for word in wanted if word in there) for there in held]
    whole = masses[0] >= HELD * sum(rarity.get(word, 0.0) for word in wanted)
    masses.sort(reverse=True)
    lead = scores[0] - (scores[1] if len(scores) > 1 else 0.0)
    lead += MASS_WEIGHT * (masses[0] - (masses[1] if len(masses) > 1 else 0.0))
    return max(lead / (2.0 - reads), 1.0 if whole else 0.0)


def _same(a: str, b: str) -> bool:
    """Return whether two passages say nearly the same, as two versions of a document do."""
    first, second = set(words(a)), set(words(b))
    return len(first & second) >= SAME * min(len(first), len(second))


def _plausible(question: str, hits: Sequence[Hit], chosen: Sequence[Unit], rarity: Mapping[str, float]) -> bool:
    """Return whether the chosen units can be the answer at all."""
    named = identifiers(question)
    known = set().union(*(words(" ".join((hit.text, *hit.heading, hit.source))) for hit in hits))
    if any(name in rarity and name not in known for name in named):
        return False
    kind = expected(question)
    fitting = [unit for unit in chosen if unit.fits]
    if not kind or (fitting and not named):
        return True
    return any(
        named & identifiers(" ".join((hits[unit.hit].text, unit.header, *unit.heading, hits[unit.hit].source)))
        for unit in fitting
    )
