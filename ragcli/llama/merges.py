"""The merges of a byte-level BPE vocabulary -> ranks that make tiktoken merge exactly as llama.cpp does.

llama.cpp joins two neighbours where their *pair* is in the list of merges; tiktoken joins them where the *bytes* of
both together have a rank. In both, the first in the list goes first, and of equals the leftmost.

Whatever stands around them, the merges among some bytes that no merge crosses happen as if these bytes stood alone. So
before bytes become one token, they were one certain pair of neighbours: the last but one state of the bytes alone. If
for all bytes with a rank that pair is in the list, then tiktoken never joins a pair that llama.cpp does not. Bytes for
which llama.cpp never makes the token get no rank.

A vocabulary has up to 300,000 merges, so this is done with arrays: 0.2 s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain, count, pairwise, repeat
from operator import add, ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray

_MOST_REPLAYED = 5_000
_LONGEST_REPLAYED = 512


def byte_letters() -> list[str]:
    """Return the 256 letters by which byte-level BPE writes the bytes, in order of the bytes."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = count(0x100)
    return [chr(b) if b in shown else chr(next(others)) for b in range(256)]


def ranked(merges: Sequence[str], words: Collection[str] = ()) -> list[str] | None:
    """Return texts in letters, such that tiktoken, with their places in the list as ranks, merges as llama.cpp does.

    The first 256 are the bytes. Texts that are in `words` are found where they stand alone, whether or not merges lead
    to them. Returns None where no ranks can do it.
    """
    import numpy as np

    parts = " ".join(merges).split(" ")
    if len(parts) != 2 * len(merges):
        return None
    first, second = parts[0::2], parts[1::2]
    joined = list(map(add, first, second))
    texts = list(dict.fromkeys(chain(byte_letters(), joined)))
    place = dict(zip(texts, range(len(texts)), strict=True))
    changes = np.fromiter(map(ne, joined, ["", *joined]), np.int64, len(merges))
    if changes.sum() != len(texts) - 256:  # the pairs that give one token do not stand together: it has several ranks
        return None
    left, right = (np.fromiter(map(place.get, column, repeat(-1)), np.int64, len(merges)) for column in (first, second))
    result = 255 + np.cumsum(changes)
    usable = (left >= 0) & (right >= 0)
    left, right, result = left[usable], right[usable], result[usable]
    made = _made(left, right, result, np.fromiter(map(len, texts), np.int64, len(texts)))
    letters = set(texts[:256])
    added = [word for word in words if word not in place and letters.issuperset(word)]
    others = [texts[i] for i in np.flatnonzero(~made)] + added
    if len(others) > _MOST_REPLAYED or max(map(len, others), default=0) > _LONGEST_REPLAYED:
        return None
    pairs = dict(zip((left * len(texts) + right).tolist(), result.tolist(), strict=True)) if others else {}
    dropped = set()
    for text in others:
        if not letters.issuperset(text):  # no text is written so
            dropped.add(text)
            continue
        rest = _replay([place[c] for c in text], pairs, len(texts))
        if rest == 2 and text in words:
            return None
        if rest > 1 and text not in words:
            dropped.add(text)
    return [text for text in texts if text not in dropped] + added


def _made(left: Numbers, right: Numbers, result: Numbers, lengths: Numbers) -> Numbers:
    """Return for each text whether its own bytes become one token, by merges each later than those of its parts.

    All merges are looked at together, the shortest results first. A merge of two neighbours happens unless, on the way
    to them, the end of the one and the beginning of the other were joined: these are taken back merge by merge, the
    latest first. https://github.com/github/rust-gems/blob/main/crates/bpe/README.md has the proof.
    """
    import numpy as np

    size = len(lengths)
    keys = left * size + right
    order = np.argsort(keys, kind="stable")
    sorted_keys, sorted_results = keys[order], result[order]

    def join(a: Numbers, b: Numbers) -> Numbers:
        """Return what pairs become, or `size` for those that are in no merge."""
        key = a * size + b
        at = np.minimum(np.searchsorted(sorted_keys, key), len(sorted_keys) - 1)
        return np.asarray(np.where(sorted_keys[at] == key, sorted_results[at], size))

    made: Numbers = np.equal(lengths, 1)
    begin, end = np.arange(size), np.arange(size)  # the two parts of each text; of a byte, itself
    by_length = np.argsort(lengths[result], kind="stable")
    borders = np.flatnonzero(np.diff(lengths[result][by_length])) + 1
    for merges in np.split(by_length, borders) if len(result) else ():
        merges = merges[made[left[merges]] & made[right[merges]]]
        merges = merges[np.maximum(left[merges], right[merges]) < result[merges]]
        a, b, limit, rest = left[merges], right[merges], result[merges], merges
        while len(rest):
            apart = join(a, b) >= limit
            a, b, limit, rest = a[apart], b[apart], limit[apart], rest[apart]
            whole_a, whole_b = end[a] == a, begin[b] == b
            done = rest[whole_a & whole_b]
            made[result[done]] = True
            begin[result[done]], end[result[done]] = left[done], right[done]
            take_a = np.where(a > b, ~whole_a, whole_b)
            a, b, limit = np.where(take_a, end[a], a), np.where(take_a, b, begin[b]), np.where(take_a, a, b + 1)
            going = ~(whole_a & whole_b)
            a, b, limit, rest = a[going], b[going], limit[going], rest[going]
    return made


def _replay(symbols: list[int], pairs: dict[int, int], size: int) -> int:
    """Merge symbols as llama.cpp does, and return how many are left. `pairs` are as in `_made`."""
    never = size
    while len(symbols) > 1:
        joined = [pairs.get(a * size + b, never) for a, b in pairwise(symbols)]
        best = min(joined)
        if best == never:
            break
        at = joined.index(best)
        symbols[at : at + 2] = [best]
    return len(symbols)
