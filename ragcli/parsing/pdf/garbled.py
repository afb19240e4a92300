"""Pages whose letters are not what their reader took them for, and letters with spaces between.

A font that does not say which letters its shapes are (no ToUnicode map, names like `/G21`) gives marks without sense.
Such a page is found by what nobody writes: control characters, private-use characters, names of shapes. It is never
judged by its language: tables, code and foreign tongues are no garble.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ragcli.words import STOP_WORDS

_FEW = 30  # tokens; below that, a page of single letters is let be
_LONG = 15  # letters of a line that may be one word
_LEAST = 8  # characters; below that, a page of a few signs is let be
_NONSENSE = 0.3  # of a page's characters that mean nothing
_UNMAPPED = 0.3  # of a page's characters whose font tells no letter
_NAMES = re.compile(r"\(cid:\d+\)|/[Gg][0-9A-Fa-f]{1,4}(?![\w.])|\bg\d{1,5}\b(?=(?:\W*\bg\d{1,5}\b){3})")
_NOT_ASCII = re.compile("[^!-~]")
_SWAPPED = re.compile(f"[{''.join(chr(code << 8) for code in range(0x30, 0x7F))}]")
"""Latin letters whose two bytes were taken in the wrong order."""
_SPACE = re.compile(r"\s+")
_WIDE_GAP = re.compile(r"\s{2,}")
_TOKEN = re.compile(r"[A-Za-z]+")
_WIDE = "\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Korean parts its words by spaces
_WIDE_RUN = re.compile(f"(?<![^\\s])[{_WIDE}]+(?![^\\s])")
_BETWEEN_WIDE = re.compile(f"(?<=[{_WIDE}\u3001-\u301f\uff00-\uffef]) +(?=[{_WIDE}\u3001-\u301f\uff00-\uffef])")
_TORN = 0.15  # of a page's words that are one letter
_ALONE = 0.5  # of the characters and words of a page that stand alone between spaces; and twice _FEW of them
_SAMPLE = 20_000


def is_garbled(text: str, unmapped: float = 0.0) -> bool:
    """Return whether a page's text makes no sense. `unmapped` is its reader's share of characters without a letter."""
    bare = _SPACE.sub("", text)[:_SAMPLE]
    named = sum(len(name) for name in _NAMES.findall(text[:_SAMPLE]))
    nonsense = named + sum(map(_means_nothing, _NOT_ASCII.findall(bare)))
    # Control characters that count as white space are gone from `bare`; on a garbled page they are letters, too.
    nonsense += sum(text[:_SAMPLE].count(letter) for letter in "\x0b\x0c\x1c\x1d\x1e\x1f")
    if len(bare) < _LEAST:
        return bool(bare) and nonsense == len(bare) and unmapped > _UNMAPPED
    if nonsense >= _NONSENSE * len(bare) or 2 * len(_SWAPPED.findall(bare)) > len(bare):
        return True
    return unmapped >= _UNMAPPED and (nonsense > 0.02 * len(bare) or not _reads_as_words(text[:_SAMPLE]))


def _means_nothing(letter: str) -> bool:
    if letter in "\ufffe\x02":  # a hyphen at a line's end
        return False
    return letter == "\ufffd" or unicodedata.category(letter) in ("Cc", "Co", "Cn", "Cs")


def _reads_as_words(text: str) -> bool:
    """Return whether a font that tells no letters yet gave them: small words of English, or Chinese characters."""
    tokens = _TOKEN.findall(text)
    return len(tokens) > 10 and sum(token.lower() in STOP_WORDS for token in tokens) > 0.15 * len(tokens)


def is_spaced(lines: Sequence[str]) -> bool:
    """Return whether a page's words are drawn letter by letter, with a space after each: `T h i s`."""
    text = " ".join(lines)
    if text.count(" ") * 3 < len(text):
        return False
    tokens = text.split()
    return len(tokens) >= _FEW and sum(len(token) == 1 and token.isalpha() for token in tokens) > 0.7 * len(tokens)


def is_torn(lines: Sequence[str]) -> bool:
    """Return whether many letters of a page stand alone, as where the ends of words are torn off: `Towe r`."""
    tokens = " ".join(lines).split()
    alone = sum(len(token) == 1 and token.isascii() and token.isalpha() for token in tokens)
    return len(tokens) >= _FEW and alone > _TORN * len(tokens)


def join_letters(lines: Sequence[str]) -> list[str] | None:
    """Return the lines of a page that `is_spaced` with their words whole; None where it is not clear what a word is.

    Words are parted by two spaces then. Chinese and Japanese want none between them.
    """
    joined = []
    unclear = 0
    for line in lines:
        parts = _WIDE_GAP.split(line)
        unclear += len(line) * (len(parts) == 1 and len(line) > 2 * _LONG and line.isascii() and _is_one_word(line))
        joined.append(" ".join(_SPACE.sub("", part) if _is_one_word(part) else part for part in parts))
    return joined if unclear <= 0.3 * sum(map(len, lines)) else None


def join_characters(lines: Sequence[str]) -> list[str]:
    """Return a page's lines without the spaces that OCR programs put between Chinese and Japanese characters.

    They are told from the spaces between a table's cells by how many characters stand alone.
    """
    runs = _WIDE_RUN.findall("\n".join(lines))
    alone = sum(len(run) == 1 for run in runs)
    if alone < max(2 * _FEW, _ALONE * len(runs)):
        return list(lines)
    return [_BETWEEN_WIDE.sub("", line) for line in lines]


def _is_one_word(part: str) -> bool:
    return all(len(token) == 1 for token in part.split())
