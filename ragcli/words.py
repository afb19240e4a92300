"""Text -> the words that are indexed and searched.

Both sides of lexical search, and everything that compares two texts word by word, cut their words here: NFKC and case
folded, English stemmed (Porter 2), Chinese folded to Simplified script, and runs of Chinese, Japanese and Korean
characters, which carry no spaces, cut into overlapping pairs and single characters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from math import log
from typing import Any

WORDS_VERSION = 1
"""Stored with an index; raise it when the words of any text change."""

CJK = "\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff々〇"
_CJK_CHARACTER = re.compile(f"[{CJK}]")
_WORD = re.compile(
    rf"""(?P<cjk>[{CJK}]+)
       | (?P<number>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![^\W{CJK}]) | \d+(?:\.\d+)+(?![^\W{CJK}]))
       | (?P<word>[^\W_{CJK}]+(?:['’‐‑-][^\W_{CJK}]+|\.\d+)*[+\#]*)
    """,
    re.VERBOSE,
)
_HYPHEN = re.compile("[-‐‑]")
_LETTERS_DIGITS = re.compile(r"([a-z]+)(\d+)")
_UNSEEN = dict.fromkeys((*range(0x300, 0x370), 0xAD, *range(0x200B, 0x2010), 0x2060, 0xFEFF))
"""Diacritics, and what stands inside words without a shape of its own: soft hyphens, spaces and joiners of no width."""
_ESCAPED = re.compile(r"\\[nrt]([a-z]{2,})")
"""A word right after a line end or tab that is written out, as JSON and source code do: the n is no part of it."""

_ENGLISH = """
    a about above after again against all am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further had has have having he her here hers him
    his how i if in into is it its just me more most my no nor not now of off on once only or other our ours out over
    own same she should so some such than that the their theirs them then there these they this those through to too
    under until up very was we were what when where which while who whom why will with would you your yours
"""
STOP_WORDS = frozenset(_ENGLISH.split())

FUNCTION_CHARACTERS = frozenset("的了是什么哪谁吗呢何怎")
"""Characters of Chinese question words and particles. What holds one says nothing about the topic."""
SINGLE_CHARACTER = 0.5
"""Weight of a single Chinese, Japanese or Korean character beside that of a word or a pair."""
_LATIN = re.compile("[A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]")
_OTHER_LETTER = re.compile("[^\\W\\d_A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]")


def fold(text: str) -> str:
    """Return `text` in one form: NFKC, case folded, no diacritics or soft hyphens, Chinese in Simplified script."""
    text = unicodedata.normalize("NFKC", text).casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).translate(_UNSEEN))
        if _CJK_CHARACTER.search(text):
            text = text.translate(_to_simplified())
    return text


def words(text: str) -> list[str]:
    """Return the words of `text` in order, normalized for search.

    A CJK run of n characters gives its n - 1 pairs, and its characters but for those that only carry grammar. A word
    of letters and digits is given whole and in parts, hyphenated or not (`AX-200` and `AX200` both give ax, 200,
    ax200), so that every spelling finds the others; one right after a written-out line end with and without the n.
    """
    found: list[str] = []
    text = fold(text)
    if "\\" in text:
        text = _ESCAPED.sub(r"\g<0> \1", text)
    for match in _WORD.finditer(text):
        token = match.group()
        if match.lastgroup == "cjk":
            found += [token[i : i + 2] for i in range(len(token) - 1)]
            found += [character for character in token if character not in FUNCTION_CHARACTERS]
        elif match.lastgroup == "number":
            found.append(token.replace(",", ""))
        else:
            parts = _HYPHEN.split(token)
            if len(parts) == 1 and (mixed := _LETTERS_DIGITS.fullmatch(token)):
                parts = list(mixed.groups())
            found += [_stem(part) for part in parts]
            if len(parts) > 1 and any(map(str.isdigit, token)):
                found.append("".join(parts))
    return found


def content_words(text: str) -> list[str]:
    """Return the words of `text` that say what it is about; all of them where nothing else is there."""
    found = words(text)
    return [
        w for w in found if w not in _stops() and not (len(w) == 2 and FUNCTION_CHARACTERS.intersection(w))
    ] or found


def idf(word: str, total: int, holding: int) -> float:
    """Return how much a word tells where `holding` of `total` texts hold it: idf, half for a single CJK character.

    idf = ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative (Lucene's BM25).
    """
    weight = SINGLE_CHARACTER if is_single_cjk(word) else 1.0
    return weight * log(1 + (total - holding + 0.5) / (holding + 0.5))


def is_single_cjk(word: str) -> bool:
    """Return whether a word is one CJK character, which says less than a pair of them."""
    return len(word) == 1 and _CJK_CHARACTER.match(word) is not None


def latin_share(text: str) -> float:
    """Return the share of what `text` says that is in Latin letters; 1 where it has no letters.

    A CJK character weighs as much as three letters.
    """
    latin = len(_LATIN.findall(text))
    other = len(_OTHER_LETTER.findall(text)) + 2 * len(_CJK_CHARACTER.findall(text))
    return 1.0 if latin + other == 0 else latin / (latin + other)


@lru_cache(maxsize=1)
def _stops() -> frozenset[str]:
    return frozenset(word for stop in STOP_WORDS for word in words(stop))


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    word = word.replace("’", "'")
    return _stemmer().stemWord(word) if word.isascii() and not word.isdigit() else word


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english")


@lru_cache(maxsize=1)
def _to_simplified() -> dict[int, str]:
    """Return OpenCC's Traditional to Simplified table, character by character, for `str.translate`."""
    from opencc import OpenCC

    blocks = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2FA20))
    characters = [chr(code) for start, stop in blocks for code in range(start, stop)]
    simplified = OpenCC("t2s").convert("\n".join(characters)).split("\n")
    return {ord(a): b for a, b in zip(characters, simplified, strict=True) if a != b}
