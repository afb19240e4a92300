"""Amounts in an answer, compared as a person compares them: by value and unit, with sensible rounding.

`values` reads what stands in a text, $1.58 billion, 1,577mn, (473), 15.8%, 二十四, and leaves out years, dates, names
with digits and the numbers of a list; `same` says whether two of them are one amount.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ragcli.quantities import UNITS, quantities
from ragcli.words import CJK

MAX_VALUES = 2_000
_SCALES = {
    **dict.fromkeys(("thousand", "thousands", "k", "千"), 1e3),
    **dict.fromkeys(("million", "millions", "mn", "mm", "mln", "m", "百万"), 1e6),
    **dict.fromkeys(("billion", "billions", "bn", "bln", "b", "十亿"), 1e9),
    **dict.fromkeys(("trillion", "trillions", "tn"), 1e12),
    **{"万": 1e4, "亿": 1e8, "万亿": 1e12},
}
_BASE = {
    **{"second": ("second", 1.0), "minute": ("second", 60.0), "hour": ("second", 3600.0), "day": ("second", 86400.0)},
    **{"week": ("second", 604800.0), "month": ("month", 1.0), "year": ("month", 12.0)},
    **{"mm": ("m", 1e-3), "cm": ("m", 1e-2), "m": ("m", 1.0), "km": ("m", 1e3)},
    **{"mg": ("g", 1e-3), "g": ("g", 1.0), "kg": ("g", 1e3), "tonne": ("g", 1e6), "ml": ("l", 1e-3), "l": ("l", 1.0)},
    **{"mv": ("v", 1e-3), "v": ("v", 1.0), "kv": ("v", 1e3), "ma": ("amp", 1e-3), "amp": ("amp", 1.0)},
    **{"w": ("w", 1.0), "kw": ("w", 1e3)},
}
"""Units that are compared with each other: the base unit, and how many of it one is."""
_UNIT = "|".join(
    re.escape(text).replace(r"\ ", r"[\s-]") + (r"(?![a-z])" if text[-1].isascii() else "")
    for text in sorted(UNITS, key=len, reverse=True)
    if text[-1].isalpha() or text == "°"
)
_MONEY = {"$": "$", "usd": "$", "£": "£", "gbp": "£", "€": "€", "eur": "€", "¥": "¥", "rmb": "¥", "cny": "¥"}
_SHORT = frozenset(["k", "m", "b", "mm"])
"""Scales that are letters: they count only after an amount of money (3 m is a length)."""
_VALUE = re.compile(
    rf"""(?P<open>\(\s?)?
        (?:(?<![\w.)%])|(?<=[{CJK}])|(?<=\busd)|(?<=\beur))
        (?P<sign>[-−–](?=[\d$£€¥.]))?
        (?P<money>(?:us|a|c|hk|nt)?[$£€¥]\s?|(?:usd|eur|gbp|rmb|cny)\s?)?
        (?P<inner>[(\-−–]\s?)?
        (?<![\d.])(?<![a-z][-‐‑])(?P<digits>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![\d,]\d)|\d+(?:\.\d+)?|\.\d+)(?!\.\d)
        (?P<close>\s?\))?
        (?P<percent>\s?(?:%|percent(?:age\spoints?)?\b|per\scent\b|个百分点)|(?:\s?(?P<basis>basis\spoints?|bps?\b)))?
        (?:[\s-]?(?P<scale>万亿|百万|十亿|[万亿千]|(?:thousand|million|billion|trillion)s?|mln|bln|mn|bn|tn|mm
            |[kmb])(?![a-z\d]))?
        (?:[\s-]?(?P<unit>{_UNIT}))?
        (?P<after>[^\W\d_{CJK}]*)
    """,
    re.VERBOSE,
)
_MARK = re.compile(r"^[ \t]{0,20}(?:[-*•#]{1,6}[ \t]{0,4})?[(\[]?\d{1,2}[.)\]、]\s", re.MULTILINE)
_CITATION = re.compile(r"[\[【]\s*\d+(?:\s*[,，、]\s*\d+)*\s*[\]】]")
_DATE = re.compile(
    r"\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?\s\d{1,2}(?:st|nd|rd|th)?(?![\d%])"
    r"|\b\d{1,2}(?:st|nd|rd|th)?\s(?:jan|feb|march|apr|may|june?|july?|aug|sept|oct|nov|dec)[a-z]*"
    r"|\b\d{4}[-/]\d{1,2}[-/]\d{1,2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\d{1,2}月\d{1,2}[日号]|\d{4}年"
)


_ASKED = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_PERCENT = re.compile(r"%|percent|margin|\brate\b")
_COUNTS = frozenset(["percent", "percentage point"])


@dataclass(frozen=True, slots=True)
class Value:
    """An amount. `number` is as written, with its sign; `scale` 1 where none stands beside it.

    `step` is what its last digit counts. `year` says that it reads as a year; `start` and `end` are the number's
    place, `stop` is where its unit ends.
    """

    number: float
    scale: float
    unit: str
    step: float
    year: bool
    start: int
    end: int
    stop: int

    @property
    def percent(self) -> bool:
        """Whether it is a share of a hundred."""
        return self.unit == "percent"

    @property
    def base(self) -> str:
        """The unit that it is compared in."""
        return _BASE.get(self.unit, (self.unit, 1.0))[0]

    @property
    def factor(self) -> float:
        """What one of its last whole digit is worth in that unit; percent as a share."""
        return self.scale * (0.01 if self.percent else _BASE.get(self.unit, ("", 1.0))[1])

    @property
    def total(self) -> float:
        """The amount in its base unit."""
        return self.number * self.factor

    @property
    def coarseness(self) -> float:
        """What its last digit is worth."""
        return self.step * self.factor


def values(text: str) -> list[Value]:
    """Return the amounts of a folded text, in order."""
    hidden = _blank(_DATE, _blank(_CITATION, _blank(_MARK, text)))
    found: list[Value] = []
    taken: set[int] = set()
    for match in _VALUE.finditer(hidden):
        if (value := _value(match)) is not None:
            found.append(value)
            taken.update(range(value.start, value.end))
            if len(found) >= MAX_VALUES:
                break
    for quantity in quantities(hidden[:20_000]):
        spelled = not hidden[quantity.start].isdigit() and quantity.start not in taken
        if spelled and quantity.value.count(".") <= 1 and (quantity.value != "1" or quantity.unit):
            place = quantity.start, quantity.end, quantity.start + len(quantity.text)
            found.append(Value(float(quantity.value), 1.0, quantity.unit, 1.0, False, *place))
    return sorted(found, key=lambda value: value.start)


def _value(match: re.Match[str]) -> Value | None:
    digits, scale, after = match["digits"], match["scale"] or "", match["after"]
    if after and after not in ("x", "times") and not (match["percent"] or scale or match["unit"]):
        return None  # a name such as 10k, 3d
    letter = scale if scale in _SHORT and not match["money"] else ""  # 3 m is a length
    if letter and letter not in UNITS:
        return None
    inner = (match["inner"] or "").strip()
    negative = bool(match["sign"]) or inner in ("-", "−", "–") or bool(match["close"] and (match["open"] or inner))
    basis = 0.01 if match["basis"] else 1.0
    number, decimals = float(digits.replace(",", "")) * basis, len(digits.partition(".")[2])
    scale = "" if letter else scale
    unit = (
        "percent"
        if match["percent"] or match["basis"]
        else UNITS[re.sub(r"[\s-]", " ", match["unit"] or letter)]
        if match["unit"] or letter
        else ""
    )
    if match["money"]:
        unit = _MONEY.get(match["money"].strip()[-1:], _MONEY.get(match["money"].strip(), "$"))
    plain = not (unit or scale or decimals) and len(digits) == 4
    year = plain and 1900 <= number <= 2100
    signed = -number if negative and not year else number
    place = *match.span("digits"), match.start("after")
    return Value(signed, _SCALES.get(scale, 1.0), unit, 10.0**-decimals * basis, year, *place)


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: "_" * len(match.group()), text)


def same(gold: Value, value: Value, question: str = "", signed: bool = True) -> bool:
    """Return whether a value of an answer is the gold one.

    Units must be the same where both have one (24 hours are a day). A scale that the folded question names (in usd
    millions) belongs to a gold value without one, and so does its percent. How far apart two may be, `_near` says.
    """
    if gold.base and value.base and gold.base != value.base and not _COUNTS.issuperset((gold.base, value.base)):
        return False
    both = bool(gold.base and value.base)
    mine, step = (
        (value.total, value.coarseness)
        if both or value.percent
        else (value.number * value.scale, value.step * value.scale)
    )
    ours, our_step = (
        (gold.total, gold.coarseness) if both or gold.percent else (gold.number * gold.scale, gold.step * gold.scale)
    )
    ratios = [1.0]
    if gold.scale == 1 and not gold.percent:
        ratios += [scale for name, scale in _ASKED.items() if name in question]
        if abs(gold.number) <= 2 and not value.percent and _PERCENT.search(question):
            ratios.append(100.0)
    if gold.percent and not value.percent:
        ratios.append(100.0)
    if gold.scale > 1 and value.scale == 1:
        ratios += [1 / scale for scale in (1e3, 1e6, 1e9) if abs(ours / scale) >= 10 or scale == gold.scale]
    return any(_near(ours * r, mine, our_step * r, step * 1.0, signed) for r in ratios)


def _near(a: float, b: float, step_a: float, step_b: float, signed: bool) -> bool:
    """Return whether two amounts are one: people round, and round on the way.

    They may be half of the coarser one's last digit apart, up to 5%; a whole one, up to 1.5%, where one of them is not
    a plain whole number (1773 is not 1774); .05% in any case.
    """
    if not signed:
        a, b = abs(a), abs(b)
    if a == b:
        return True
    between, step = abs(a - b), max(step_a, step_b)
    apart = between / max(abs(a), abs(b))
    halves = 0.501 if apart > 0.015 or step == 1 else 1.001
    return apart <= 0.0005 or (apart <= 0.05 and between <= halves * step)
