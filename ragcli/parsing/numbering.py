"""The numbers that a word processor puts before headings and list items: counted, and written out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MAX_PATTERN = 60
_PLACE = re.compile(r"%([1-9])")
_ROMAN = tuple(
    zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"),
        strict=True,
    )
)
_CHINESE = frozenset(
    ("chineseCounting", "chineseCountingThousand", "ideographDigital", "japaneseCounting", "koreanCounting"),
).union(("taiwaneseCounting", "taiwaneseCountingThousand", "taiwaneseDigital"))
_ROWS = {  # forms that are a row of characters of their own: first character, how many there are
    "decimalEnclosedCircle": ("①", 20),
    "decimalEnclosedCircleChinese": ("①", 20),
    "decimalEnclosedParen": ("⑴", 20),
    "decimalEnclosedFullstop": ("⒈", 20),
}


@dataclass(frozen=True, slots=True)
class Level:
    """How the items of one depth are marked: `pattern` holds `%1` for the number of the first depth, and so on.

    `form` is a name of Word's (`decimal`, `lowerRoman`, ...); "bullet" is a dash, "none" no mark at all. `legal`
    writes all numbers as decimals. Counting begins anew after an item of one of the first `under` depths: 0 for never,
    as articles are counted through all chapters.
    """

    form: str
    pattern: str
    start: int = 1
    legal: bool = False
    under: int = 9


class Counter:
    """Counts the items of one list, at all its depths."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def restart(self, depth: int, start: int) -> None:
        """Make `start` the number of the next item at `depth`."""
        self._counts = {at: count for at, count in self._counts.items() if at < depth} | {depth: start - 1}

    def next(self, depth: int, levels: Mapping[int, Level]) -> str:
        """Count one item at `depth`, counted from 0, and return its mark."""
        level = levels.get(depth, BULLET)
        for above in range(depth):
            self._counts.setdefault(above, levels[above].start if above in levels else 1)
        count = self._counts.get(depth, level.start - 1) + 1
        kept = {at: n for at, n in self._counts.items() if at < depth or (at in levels and depth >= levels[at].under)}
        self._counts = kept | {depth: count}
        if level.form == "bullet":
            return "-"
        return _PLACE.sub(lambda place: self._number(int(place[1]) - 1, level, levels), level.pattern[:_MAX_PATTERN])

    def _number(self, depth: int, level: Level, levels: Mapping[int, Level]) -> str:
        form = "decimal" if level.legal or depth not in levels else levels[depth].form
        return write_number(self._counts[depth], form) if depth in self._counts else ""


BULLET = Level("bullet", "")


def write_number(number: int, form: str) -> str:
    """Write a number out in a form that Word names; in decimals where the form is not known or ends before it."""
    if form in ("none", "bullet"):
        return ""
    if form in ("lowerLetter", "upperLetter") and 1 <= number <= 260:
        letters = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letters.upper() if form == "upperLetter" else letters
    if form in ("lowerRoman", "upperRoman") and 1 <= number < 4000:
        return _roman(number).upper() if form == "upperRoman" else _roman(number)
    if form in _CHINESE and 1 <= number < 10_000:
        return _chinese(number)
    if form == "ideographTraditional" and 1 <= number <= 10:
        return "甲乙丙丁戊己庚辛壬癸"[number - 1]
    if form == "decimalZero":
        return f"{number:02d}"
    first, size = _ROWS.get(form, ("", 0))
    return chr(ord(first) + number - 1) if 1 <= number <= size else str(number)


def _roman(number: int) -> str:
    written = ""
    for value, letters in _ROMAN:
        written += letters * (number // value)
        number %= value
    return written


def _chinese(number: int) -> str:
    """Write 1 to 9,999 as it is counted: 12 is 十二, 105 一百零五."""
    digits = str(number)
    written = ""
    for at, digit in enumerate(digits):
        if digit != "0":
            gap = "零" if at and digits[at - 1] == "0" else ""
            written += gap + "零一二三四五六七八九"[int(digit)] + ("", "十", "百", "千")[len(digits) - at - 1]
    return written.removeprefix("一") if 10 <= number < 20 else written
