"""What kind of answer a question asks for, and whether a text holds one.

"How heavy" wants a weight and "多少钱" a price; a sentence without one cannot be the answer, however many words it
shares with the question. A question of no known kind expects nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = (
    r"(?:\d[\d,.]*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|once|twice|half|no)\b"
    r"|[零一二两三四五六七八九十百千万半]+)"
)
_TIME_UNIT = (
    r"(?:(?:(?:working|business|calendar) )?(?:second|minute|min|hour|hr|day|week|fortnight|month|year)s?\b"
    r"|[hs]\b|秒|分钟|小时|个?工作日|天|日|周|星期|个月|月|年)"
)
_CURRENCY = r"(?:pounds?|euros?|dollars?|usd|gbp|eur|cny|rmb|元|块|英镑|欧元|美元)"
_MONTH = r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b"
_DAY = r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|周[一二三四五六日末]|星期[一二三四五六日天]"
_CLOCK = r"\d{1,2}:\d\d|\d\s?[点号]|[上下]午"
_DATE = rf"\d{{4}}-\d\d|\b(?:19|20)\d\d\b|{_MONTH}|{_DAY}|{_CLOCK}"


def _measure(units: str) -> str:
    return rf"{_NUMBER}\s?(?-i:{units})(?![A-Za-z])"


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    asks: re.Pattern[str]
    answers: re.Pattern[str]


def _kind(name: str, asks: str, answers: str) -> _Kind:
    return _Kind(name, re.compile(asks, re.IGNORECASE), re.compile(answers, re.IGNORECASE))


_KINDS = (
    _kind(
        "money",
        r"\b(?:costs?|prices?|fees?|charged?)\b|\bhow expensive\b|\bhow much money\b"
        r"|多少钱|多少元|几元|价格|价钱|费用|收费|运费|租金|押金|卖多少|价多少",
        rf"[£$€¥￥]\s?\d|{_NUMBER}\s?{_CURRENCY}|(?:price|价|_)[\s\S]*\d|\d\s?%|\bfree\b|no charge|免费|不收",
    ),
    _kind(
        "weight",
        r"\bhow heavy\b|\bweigh(?:s|t)?\b|多重|重量|几公斤|几斤",
        _measure("kg|g|mg|grams?|kilos?|kilograms?|tonnes?|lbs?|克|公斤|千克|斤|吨"),
    ),
    _kind(
        "length",
        r"\bhow (?:far|deep|tall|high|wide|thick|close|big)\b|\b(?:distance|depth|diameter|inch(?:es)?)\b"
        r"|多远|多深|多高|多宽|多厚|多粗|距离|深度|直径|几米|多少米|几英寸|几寸|几厘米",
        _measure(
            "mm|cm|km|m|met(?:re|er)s?|millimet(?:re|er)s?|centimet(?:re|er)s?|kilomet(?:re|er)s?|inch(?:es)?|in|ft|feet"
            "|米|厘米|毫米|公里|英寸|寸"
        ),
    ),
    _kind(
        "temperature",
        r"\btemperatures?\b|\bhow (?:hot|cold|warm)\b|\bdegrees\b|温度|几度|多少度|多冷|多热",
        r"[°℃]|\d\s?(?:degrees?|度)|摄氏",
    ),
    _kind(
        "percentage",
        r"\bpercent(?:age)?\b|\b(?:what|which) share\b|比例|百分之|几成|折扣",
        rf"{_NUMBER}\s?(?:%|％|percent|per cent|成|折)|百分之",
    ),
    _kind(
        "duration",
        r"\bhow (?:long|soon|often|quickly|fast|late)\b|\b(?:period|deadline|lifetime|notice)\b"
        r"|\bhow many (?:second|minute|hour|day|week|month|year)s?\b"
        r"|多久|多长时间|多少(?:天|年|分钟|小时|个月)|几(?:天|年|个?月|个?小时|个?星期|分钟)|期限|有效期|保修期|周期",
        rf"{_NUMBER}[\s-]?{_TIME_UNIT}|\b(?:daily|weekly|monthly|yearly|annually|immediately|forever)\b"
        rf"|每[天周月年日]|立即|永久|{_MONTH}|\d{{4}}-\d\d",
    ),
    _kind(
        "time",
        r"\bwhen\b|\b(?:what|which) (?:date|day|time|year|month|weekday)\b"
        r"|什么时候|何时|哪天|哪一天|哪年|几号|几点|日期",
        rf"{_DATE}|{_NUMBER}[\s-]?{_TIME_UNIT}",
    ),
    _kind(
        "range",
        r"\branges?\b|范围|量程|区间",
        r"\d\s?\S{0,4}\s?(?:to|and|[-–—~～至到])\s?\S{0,3}\d|±|\bup to\b|以[内上下]|不超过",
    ),
    _kind("version", r"\bversions?\b|版本", r"\bv?\d+\.\d|\bversion \d|版本"),
    _kind(
        "address",
        r"\baddress\b|地址",
        r"\d+\.\d+\.\d+|https?://|www\.|@|0x[\da-f]|address|\b(?:street|road|lane|avenue)\b|[路街区镇号]|地址",
    ),
    _kind(
        "number",
        r"\bhow (?:many|much)\b|\bnumber of\b|\b(?:minimum|maximum|max|min)\b|多少|几|最[大小多少高低长短]",
        _NUMBER,
    ),
)
_BY_NAME = {kind.name: kind for kind in _KINDS}
_IDENTIFIER = re.compile(r"(?<![A-Za-z\d])[A-Za-z]{1,6}[-‐‑]?\d{1,6}[A-Za-z]{0,2}(?![A-Za-z\d])")


def expected(question: str) -> str:
    """Return the kind of answer that a question asks for; "" where it is open."""
    return next((kind.name for kind in _KINDS if kind.asks.search(question)), "")


def holds(kind: str, text: str) -> bool:
    """Return whether `text` holds an answer of a kind; any text holds one of the kind ""."""
    return kind == "" or _BY_NAME[kind].answers.search(text) is not None


def identifiers(text: str) -> set[str]:
    """Return the names in `text` that carry a number, such as models and codes (`VC-8S`), spelt as words are."""
    return {re.sub("[-‐‑]", "", found).casefold() for found in _IDENTIFIER.findall(text)}
