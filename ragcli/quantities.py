"""Numbers in a text, with their units, in any written form: 1,000, twenty-four, 二十四, 1.5 million, 5 percent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SPELLED = {word: i for i, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_DIGITS = {character: i for i, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_STEPS = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "万": 1e4, "亿": 1e8}

_UNITS = {
    "millisecond": "milliseconds ms 毫秒",
    "second": "seconds sec secs s 秒 秒钟",
    "minute": "minutes min mins 分钟",
    "hour": "hours hr hrs h 小时 个小时",
    "working hour": "working-hours 工作小时 个工作小时",
    "day": "days 天 日",
    "working day": "working-days business-day business-days 工作日 个工作日",
    "week": "weeks 周 星期 个星期",
    "month": "months 个月",
    "month of the year": "月 月份",
    "year": "years yr yrs 年",
    "mm": "millimetre millimetres millimeter millimeters 毫米",
    "cm": "centimetre centimetres centimeter centimeters 厘米",
    "m": "metre metres meter meters 米",
    "km": "kilometre kilometres kilometer kilometers 公里 千米",
    "inch": "inches 英寸 寸",
    "foot": "feet ft 英尺",
    "mile": "miles 英里",
    "mg": "milligram milligrams 毫克",
    "g": "gram grams 克",
    "kg": "kilogram kilograms kilo kilos 公斤 千克",
    "tonne": "tonnes ton tons 吨",
    "lb": "lbs 磅",
    "ml": "millilitre millilitres milliliter milliliters 毫升",
    "l": "litre litres liter liters 升",
    "mv": "millivolt millivolts 毫伏",
    "v": "volt volts 伏 伏特",
    "kv": "kilovolt kilovolts 千伏",
    "ma": "milliamp milliamps 毫安",
    "amp": "amps ampere amperes 安 安培",
    "mah": "毫安时",
    "ah": "安时",
    "w": "watt watts 瓦 瓦特",
    "kw": "kilowatt kilowatts 千瓦",
    "mw": "megawatt megawatts 兆瓦",
    "kwh": "千瓦时",
    "ohm": "ohms ω 欧 欧姆",
    "hz": "hertz 赫兹",
    "khz": "kilohertz 千赫",
    "mhz": "megahertz 兆赫",
    "ghz": "gigahertz 吉赫",
    "°c": "° 摄氏度 度",
    "°f": "华氏度",
    "bar": "",
    "kpa": "千帕",
    "mpa": "兆帕",
    "hpa": "百帕",
    "psi": "",
    "percent": "% per-cent",
    "percentage point": "percentage-points 百分点 个百分点",
    "£": "gbp pound pounds 英镑",
    "$": "usd dollar dollars 美元",
    "€": "eur euro euros 欧元",
    "¥": "cny rmb yuan 元 块 块钱 人民币",
    "kb": "",
    "mb": "",
    "gb": "",
    "tb": "",
}
UNITS = {spelling.replace("-", " "): unit for unit, others in _UNITS.items() for spelling in (unit, *others.split())}
"""Each spelling of a unit, folded, and the unit that it spells."""


def _spelling(text: str) -> str:
    return re.escape(text).replace(r"\ ", r"[\s-]") + (r"(?![a-z])" if text[-1].isascii() else "")


_UNIT = "|".join(_spelling(text) for text in sorted(UNITS, key=len, reverse=True))
_MEASURE = (
    "个月|个?工作小时|个?小时|个?工作日|个?星期|个百分点|分钟|秒|天|日|周|年|月|号|元|块|米|公里|千米|厘米|毫米|公斤"
    "|千克|克|吨|升|伏|安|瓦|度|折|倍|次|台|件|支|套|条|项|人|名|路"
)
_ONE = "[零〇一二两三四五六七八九十]"
_QUANTITY = re.compile(
    rf"""(?:(?P<money>[£$€¥])\s?)?
        (?: (?<![\d.])(?<![a-z])(?:(?<![a-z][-‐‑])|(?<=mid-)|(?<=pre-)|(?<=post-))
            (?P<digits>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![\d,]\d) | \d+(?:\.\d+)*)
          | \b(?P<spelled>(?:{"|".join(_TENS)})(?:[\s-](?:{"|".join(_ONES[1:10])}))?|{"|".join(_ONES[::-1])})\b
          | (?P<percent>百分之)?(?!万一|千万|一一|十分)(?P<chinese>
                [{"".join(_DIGITS)}十百千万亿]{{2,}} | {_ONE}(?={_MEASURE}) | (?<=第){_ONE} | (?<=百分之){_ONE} )
        )
        (?:(?:st|nd|rd|th|s)\b)?
        (?:[\s-]?(?P<scale>hundred|thousand|million|billion|trillion|万|亿)(?![a-z]))?
        (?:[\s-]?(?P<unit>{_UNIT}))?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a text. `value` is its canonical form, `unit` "" where none that is known follows.

    `start` and `end` are the place of the number alone, `text` has its unit.
    """

    value: str
    unit: str
    text: str
    start: int
    end: int


def quantities(text: str) -> Iterator[Quantity]:
    """Yield the numbers of a folded text (`ragcli.words.fold`), those within a name such as vc-8 left out."""
    for match in _QUANTITY.finditer(text):
        digits, spelled, chinese = match["digits"], match["spelled"], match["chinese"]
        kind = "digits" if digits else "spelled" if spelled else "chinese"
        scale = _SCALES[match["scale"]] if match["scale"] else 1
        if digits and digits.count(".") > 1:
            value = digits
        else:
            number = float(digits.replace(",", "")) if digits else _spelled(spelled) if spelled else _chinese(chinese)
            value = f"{number * scale:.12g}"
        unit = UNITS[re.sub(r"[\s-]", " ", match["unit"])] if match["unit"] else match["money"] or ""
        yield Quantity(value, "percent" if match["percent"] else unit, match.group().strip(), *match.span(kind))


def _spelled(text: str) -> float:
    return sum(_SPELLED[word] for word in re.split(r"[\s-]", text))


def _chinese(text: str) -> float:
    """Return the value of 二十四, 两千三百, 十五万 or, digit by digit, 二〇二五."""
    if not _STEPS.keys() & set(text):
        return float("".join(str(_DIGITS[character]) for character in text))
    total = section = digit = 0
    for character in text:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif (step := _STEPS[character]) < 10_000:
            section += (digit or 1) * step
            digit = 0
        else:
            total = (total + section + digit) * step if section + digit else total + step
            section = digit = 0
    return float(total + section + digit)
