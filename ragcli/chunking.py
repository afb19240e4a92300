"""Document -> Chunks: cut at structure, sized by the encoder's own tokenizer.

A document is first cut into *atoms* that read as one: a sentence, a list item, a table row, a line of code. They are
then packed into chunks of about the same width by dynamic programming, which weighs how far each chunk is from the
target against how good a place its end is to cut (a paragraph's end is better than a sentence's, a sentence's better
than a comma). Chunks never cross a page or a section, and never exceed the encoder's window or `MAX_CHARS` characters,
so the encoder never truncates one.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from typing import Protocol

from ragcli.records import Block, Chunk, Document
from ragcli.sentences import sentence_ends, trim
from ragcli.words import CJK

CHUNKER_VERSION = 2
MAX_CHARS = 4000
"""No chunk is longer than this, whatever a tokenizer makes of it: WordPiece reads any "word" over 100 characters as one
unknown token."""


TARGET = 540
"""How wide a chunk should be (see `width`): about 90 English words or 150 Chinese characters. Smaller chunks are found
more exactly and joined again when they are shown; docs/decisions.md has the figures."""


class Tokenizer(Protocol):
    """What chunking asks of an encoder's tokenizer."""

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return, for each text, the start offset of every token in order, without special tokens."""


@dataclass(frozen=True, slots=True)
class _Atom:
    """A span that is packed whole. `cut` is the price of ending a chunk after it."""

    start: int
    end: int
    tokens: int
    size: int
    cut: float
    heading: bool = False


CUT_BLOCK, CUT_LINE, CUT_SENTENCE, CUT_ROW = 0.0, 0.1, 0.2, 0.3
CUT_WRAP, CUT_CLAUSE, CUT_WORD, CUT_CHARACTER = 0.4, 0.6, 1.0, 2.0
"""Prices of a cut, on the scale on which a chunk of twice the target, or of none of it, costs 1. `CUT_WRAP` is that at
the end of a line that the margin ended, maybe, within a sentence that is wider than a chunk should be."""

_LINE_END = re.compile(r"\r\n?|\n")
_CLAUSE_END = re.compile(r"[,;:，、；：](?=\s)|[，、；：]|\s[–—-]\s")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\s*\S{0,40}")


CONTEXT_TOKENS = 20
"""The path of headings goes up no further than this: long ones say less of a chunk than its own text does."""
_SLICE = 20_000
_PART = 500_000
"""Longest stretch that is packed as one: it bounds the memory that a file of one line takes."""
_MANY = 4000
LONG, ROOM = 100, 0.8
"""A line of more characters than these, with the next word less wide than this share of the widest, is whole."""
_BARE_HEADINGS = 8
_WIDE = re.compile(f"[{CJK}]")


def width(text: str) -> int:
    """Return how much `text` says, counted in Latin letters: a CJK character stands for three and a half."""
    return len(text) if text.isascii() else len(text) + 5 * len(_WIDE.findall(text)) // 2


def _slices(document: Document) -> Iterator[tuple[int, int]]:
    """Yield spans between blocks of about `_SLICE` characters: a tokenizer takes 100 bytes and more for each token."""
    start = end = 0
    for block in document.blocks:
        if block.end - start > _SLICE and end > start:
            yield start, end
            start = end
        end = block.end
        while end - start > _SLICE:
            yield start, start + _SLICE
            start += _SLICE
    if end > start:
        yield start, end


class _Cutter:
    """Cuts one document's blocks into atoms, counting tokens by one pass of the tokenizer over the whole text."""

    def __init__(self, document: Document, tokenizer: Tokenizer) -> None:
        self.text = document.text
        self.tokenizer = tokenizer
        self.starts = array("q")
        slices = list(_slices(document))
        for at in range(0, len(slices), 64):
            part = slices[at : at + 64]
            for (start, _), found in zip(part, tokenizer.token_starts([self.text[a:b] for a, b in part]), strict=True):
                self.starts.extend(start + offset for offset in found)

    def cost(self, text: str) -> int:
        return len(self.tokenizer.token_starts([text])[0])

    def path(self, name: str, heading: tuple[str, ...], limit: int) -> str:
        """Return `name > heading > heading`: the deepest headings first, and those above as far as the space goes."""
        steps: list[str] = []
        for title in reversed(heading):
            longer = self.clip(title, limit)
            if steps and self.cost(" > ".join((name, longer, *steps))) > CONTEXT_TOKENS:
                break
            steps.insert(0, longer)
        return self.clip(" > ".join(dict.fromkeys((name, *steps))), limit)

    def clip(self, text: str, limit: int) -> str:
        """Return the beginning of `text` that is at most `limit` tokens long, on one line."""
        text = " ".join(text[: limit * 8].split())
        starts = self.tokenizer.token_starts([text])[0]
        return text if len(starts) <= limit else text[: starts[limit]].rstrip()

    def count(self, start: int, end: int) -> int:
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def _atom(self, start: int, end: int, cut: float, heading: bool = False) -> _Atom:
        return _Atom(start, end, self.count(start, end), width(self.text[start:end]), cut, heading)

    def atoms(self, block: Block, limit: int, last: float) -> Iterator[_Atom]:
        """Cut a block into atoms of at most `limit` tokens; `last` is the price of a cut after the block."""
        span = trim(self.text, block.start, block.end)
        if span is None:
            return
        if block.kind == "heading":
            ladder = [CUT_SENTENCE, CUT_CLAUSE, CUT_WORD]
        elif block.kind in ("code", "table_row"):
            ladder = [CUT_LINE, CUT_CLAUSE, CUT_WORD]
        else:
            ladder = [CUT_LINE, CUT_SENTENCE, CUT_WRAP, CUT_CLAUSE, CUT_WORD]
        whole = block.kind in ("heading", "table_row")
        parts = [(span, last)] if whole else list(self._split(span, ladder.pop(0), last, block))
        while ladder:
            price = ladder.pop(0)
            always = price == CUT_SENTENCE and not whole
            refined: list[tuple[tuple[int, int], float]] = []
            for (a, b), cut in parts:
                wide = price == CUT_WRAP and width(self.text[a:b]) > TARGET
                if always or wide or not self._fits(a, b, limit):
                    refined += self._split((a, b), price, cut, block)
                else:
                    refined.append(((a, b), cut))
            parts = refined
        for (a, b), cut in parts:
            if self._fits(a, b, limit):
                yield self._atom(a, b, cut, block.kind == "heading")
            else:
                yield from self._by_characters(a, b, cut, limit)

    def _fits(self, start: int, end: int, limit: int) -> bool:
        return end - start <= MAX_CHARS // 2 and self.count(start, end) <= limit

    def _split(
        self, span: tuple[int, int], price: float, last: float, block: Block
    ) -> Iterator[tuple[tuple[int, int], float]]:
        """Cut `span` at every place of the kind that `price` names; the last part keeps the price `last`."""
        start, end = span
        if price == CUT_SENTENCE:
            ends: Iterator[int] = sentence_ends(self.text, start, end)
        elif price == CUT_WRAP or (price == CUT_LINE and block.kind == "code"):
            ends = (m.end() for m in _LINE_END.finditer(self.text, start, end))
        elif price == CUT_LINE:
            ends = _full_lines(self.text, start, end)
        else:
            pattern = _CLAUSE_END if price == CUT_CLAUSE else _SPACE
            ends = (m.end() for m in pattern.finditer(self.text, start, end))
        spans = [s for a, b in pairwise([start, *ends, end]) if (s := trim(self.text, a, b)) is not None]
        for part in spans[:-1]:
            yield part, price
        yield spans[-1], last

    def halved(self, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
        """Yield the span whole, or in halves where it has more than `limit` tokens when it stands alone.

        That is rare: cutting changes how the tokens next to the cut are counted. WordPiece makes one token of a word
        of over 100 characters, and up to 100 of a piece of it.
        """
        if self.count(start, end) <= limit * 3 // 4 or self.cost(self.text[start:end]) <= limit:
            yield start, end
            return
        middle = (start + end) // 2
        border = self.text.rfind(" ", start + 1, middle) + 1 or middle
        for a, b in ((start, border), (border, end)):
            if (span := trim(self.text, a, b)) is not None:
                yield from self.halved(*span, limit)

    def _by_characters(self, start: int, end: int, last: float, limit: int) -> Iterator[_Atom]:
        """Cut a run without white space: by tokens where there are many, by characters where there are few.

        Where it has signs that part fields or members (`1234,5678`), it is cut behind one of them.
        """
        while start < end:
            first = bisect_left(self.starts, start)
            stop = min(end, start + MAX_CHARS // 2)
            if first + limit < len(self.starts):
                stop = min(stop, max(self.starts[first + limit], start + 1))
            if stop < end:
                parted = max(self.text.rfind(sign, (start + stop) // 2, stop) for sign in ",;|")
                stop = parted + 1 if parted > start else stop
            span = trim(self.text, start, stop)
            if span is not None:
                yield self._atom(*span, last if stop == end else CUT_CHARACTER)
            start = stop


def _full_lines(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the ends of lines that the margin did not end.

    Those are lines that end like a sentence, and such as are long (a log's), but by far not as wide as the widest: the
    next word would have had room. Where Chinese stands beside the break, it has been joined as far as it went on.
    """
    breaks = list(_LINE_END.finditer(text, start, end))
    borders = [start, *(m.end() for m in breaks), end]
    widest = max(_columns(text[a:b]) for a, b in pairwise(borders)) if breaks else 0
    for line, match in zip(borders, breaks, strict=False):
        body = text[line : match.start()].rstrip()
        word = _WORD.match(text, match.end(), end)
        after = word.group() if word else ""
        wrapped = _WIDE.match(after) or _WIDE.match(body[-1:]) or _columns(body + after) > ROOM * widest
        if body[-1:] in ".!?:;。！？：；" or (len(body) > LONG and not wrapped):
            yield match.end()


def _columns(text: str) -> int:
    """Return how wide text is in a type of even width, in which a CJK character takes two columns."""
    return len(text) if text.isascii() else len(text) + len(_WIDE.findall(text))


def chunk(
    document: Document, name: str, tokenizer: Tokenizer, *, limit: int, target: int = TARGET, lines: bool = False
) -> tuple[Chunk, ...]:
    """Cut `document` into chunks about `target` wide.

    `name` is the file's name, given as context; `limit` is the most tokens that context and text may have together.
    Every character that is not white space lies in exactly one chunk. `lines` asks for line numbers.
    """
    cutter = _Cutter(document, tokenizer)
    breaks = array("q", (m.end() for m in _LINE_END.finditer(document.text))) if lines else None
    chunks: list[Chunk] = []
    for section in _sections(document):
        heading, page = section[-1].heading, section[0].page
        context = cutter.path(name, heading, limit // 4)
        headers = {block.header: cutter.clip(block.header, limit // 4) for block in section if block.header}
        room = limit - 2 - max(cutter.cost(f"{context}\n{header}") for header in ["", *headers.values()])
        starts = [block.start for block in section]
        for start, end in _spans(cutter, section, target, room):
            first, last = section[bisect_right(starts, start) - 1], section[bisect_left(starts, end) - 1]
            line = None if breaks is None else bisect_right(breaks, start) + 1
            before = f"{context}\n{headers.get(first.header, '')}".strip()
            above = last.heading if last.kind == "heading" else heading
            chunks.append(Chunk(start, end, document.text[start:end], before, above, page, line))
    return tuple(chunks)


def _spans(cutter: _Cutter, section: Sequence[Block], target: int, room: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of a section's chunks."""
    pairs = [
        (atom, block)
        for block, following in zip_longest(section, section[1:])
        for atom in cutter.atoms(block, room, _price_after(block, following))
    ]
    if len(pairs) > _MANY:
        pairs = _merged(pairs, grain=target // 32)
    atoms = [atom for atom, _ in pairs]
    for run in _pack(atoms, target, room):
        yield from cutter.halved(atoms[run.start].start, atoms[run.stop - 1].end, room)


def _merged(pairs: Sequence[tuple[_Atom, Block]], grain: int) -> list[tuple[_Atom, Block]]:
    """Merge neighbouring atoms up to `grain` characters: packing takes time for every two that fit into one chunk."""
    kept: list[tuple[_Atom, Block]] = []
    for atom, block in pairs:
        if kept:
            before, owner = kept[-1]
            alike = (block.kind, block.header) == (owner.kind, owner.header) and not atom.heading
            tokens, size = before.tokens + atom.tokens, before.size + atom.size
            if alike and max(tokens, size, atom.end - before.start) <= grain:
                kept[-1] = (_Atom(before.start, atom.end, tokens, size, atom.cut), owner)
                continue
        kept.append((atom, block))
    return kept


def _price_after(block: Block, following: Block | None) -> float:
    """Return the price of a cut between two blocks: a table or list is better left whole."""
    whole = following is not None and following.kind == block.kind and block.kind in ("table_row", "list_item")
    return CUT_ROW if whole else CUT_BLOCK


def _sections(document: Document) -> Iterator[list[Block]]:
    """Group the blocks that stand under one heading on one page. Headings without a body go with what follows."""
    section: list[Block] = []
    bare = True
    for block in _bounded(document):
        if section and not (
            block.page == section[0].page
            and block.end - section[0].start <= _PART
            and (block.heading == section[-1].heading or (bare and len(section) <= _BARE_HEADINGS))
        ):
            yield section
            section, bare = [], True
        section.append(block)
        bare = bare and block.kind == "heading"
    if section:
        yield section


def _bounded(document: Document) -> Iterator[Block]:
    """Yield the blocks, those longer than `_PART` in pieces."""
    for block in document.blocks:
        start = block.start
        while block.end - start > _PART:
            stop = start + _PART
            border = document.text.rfind(" ", start + _PART // 2, stop) + 1 or stop
            yield replace(block, start=start, end=border)
            start = border
        yield replace(block, start=start) if start > block.start else block


def _pack(atoms: Sequence[_Atom], target: int, limit: int) -> list[range]:
    """Partition `atoms` into runs of at most `limit` tokens at the least total price.

    A run of width w costs ((w - target) / target)^2 and the price of the cut at its end. This is the optimal
    line-breaking recurrence (Knuth and Plass 1981): best[j] = min over i of best[i] + price(i, j).
    """
    best = [0.0] + [float("inf")] * len(atoms)
    origin = [0] * (len(atoms) + 1)
    cuts = [atom.cut + 4.0 * atom.heading for atom in atoms[:-1]] + [0.0]
    for stop in range(1, len(atoms) + 1):
        end = atoms[stop - 1].end
        tokens = size = 0
        for start in range(stop - 1, -1, -1):
            atom = atoms[start]
            tokens += atom.tokens
            size += atom.size
            fits = tokens <= limit and end - atom.start <= MAX_CHARS
            if not fits and start < stop - 1:
                break
            price = best[start] + ((size - target) / target) ** 2 + cuts[stop - 1]
            if price < best[stop]:
                best[stop], origin[stop] = price, start
    runs = []
    stop = len(atoms)
    while stop:
        runs.append(range(origin[stop], stop))
        stop = origin[stop]
    return runs[::-1]
