"""What kind of answer a question asks for, and whether a text holds one.

"How heavy" wants a weight and "多少钱" a price; a sentence without one cannot be the answer, however many words it
shares with the question. Kinds overlap on purpose, and a question of no known kind expects nothing.
"""

from __future__ import annotations

import re

_NUMBER = (
    r"(?:\d[\d,.]*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|once|twice|half|no)\b|"
    r"[零一二两三四五六七八九十百千万半]+)"
)
_TIME_UNIT = (
    r"(?:(?:working |business |calendar )?(?:seconds?|minutes?|mins?|hours?|hrs?|days?|weeks?|fortnights?|months?|years?)\b|"
    r"[hs]\b|min\b|秒|分钟|小时|个?工作日|天|日|周|星期|个月|月|年)"
)
_MONTH = r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b"
_DAY = r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|周[一二三四五六日末]|星期[一二三四五六日天]"

_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        "money",
        r"\bcosts?\b|\bprices?\b|\bfees?\b|\bhow expensive\b|\bhow much money\b|\bcharged?\b|"
        r"多少钱|多少元|几元|价格|价钱|费用|收费|运费|租金|押金|卖多少",
        rf"[£$€¥￥]\s?\d|{_NUMBER}\s?(?:元|块|英镑|欧元|美元|pounds?|euros?|dollars?|usd|gbp|eur|cny|rmb)|"
        r"\bfree\b|no charge|免费|不收",
    ),
    (
        "weight",
        r"\bhow heavy\b|\bweigh(?:s|t)?\b|多重|重量|几公斤|几斤",
        rf"{_NUMBER}\s?(?:kg|g|mg|grams?|kilos?|kilograms?|tonnes?|lbs?|克|公斤|千克|斤|吨)(?![a-z])",
    ),
    (
        "length",
        r"\bhow (?:far|deep|tall|high|wide|thick|close|big)\b|\bdistance\b|\bdepths?\b|\bdiameter\b|\binch(?:es)?\b|"
        r"多远|多深|多高|多宽|多厚|多粗|距离|深度|直径|几米|多少米|几英寸|几寸|几厘米",
        rf"{_NUMBER}\s?(?:mm|cm|km|m|metres?|meters?|millimetres?|centimetres?|kilomet(?:re|er)s?|inch(?:es)?|in|ft|feet|"
        r"米|厘米|毫米|公里|英寸|寸)(?![a-z])",
    ),
    (
        "temperature",
        r"\btemperatures?\b|\bhow (?:hot|cold|warm)\b|\bdegrees\b|温度|几度|多少度|多冷|多热",
        rf"{_NUMBER}\s?(?:°|℃|degrees?|度|摄氏)|[°℃]",
    ),
    (
        "percentage",
        r"\bpercent(?:age)?\b|\b(?:what|which) share\b|比例|百分之|几成|折扣",
        rf"{_NUMBER}\s?(?:%|％|percent|per cent|成|折)|百分之",
    ),
    (
        "duration",
        r"\bhow (?:long|soon|often|quickly|fast|late)\b|\bhow many (?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b|"
        r"\b(?:period|deadline|lifetime|notice)\b|"
        r"多久|多长时间|多少[天年]|几天|几[个]?(?:月|小时|星期)|几年|几分钟|多少(?:分钟|小时|个月)|期限|有效期|保修期|周期",
        rf"{_NUMBER}[\s-]?{_TIME_UNIT}|\b(?:daily|weekly|monthly|yearly|annually|lifetime|immediately|forever)\b|"
        rf"每[天周月年日]|立即|永久|{_MONTH}|\d{{4}}-\d\d",
    ),
    (
        "time",
        r"\bwhen\b|\bwhat (?:date|day|time|year|month)\b|\bwhich (?:date|day|year|month)\b|\bsince\b|"
        r"什么时候|何时|哪天|哪一天|哪年|几号|几点|日期|哪个月",
        rf"\d{{4}}-\d\d|{_MONTH}|{_DAY}|\b(?:19|20)\d\d\b|\d{{1,2}}:\d\d|{_NUMBER}[\s-]?{_TIME_UNIT}|[上下]午|\d+\s?[点号]",
    ),
    (
        "number",
        r"\bhow (?:many|much)\b|\bnumber of\b|\b(?:minimum|maximum|max|min)\b|多少|几|最[大小多少高低长短]",
        _NUMBER,
    ),
)
_COMPILED = tuple((kind, re.compile(q, re.IGNORECASE), re.compile(a, re.IGNORECASE)) for kind, q, a in _KINDS)
_IDENTIFIER = re.compile(r"[A-Za-z]{1,12}[-‐‑ ]?\d{1,8}[A-Za-z]{0,2}(?![A-Za-z\d])")


def expected(question: str) -> str:
    """Return the kind of answer that a question asks for; "" where it is open."""
    for kind, asks, _ in _COMPILED:
        if asks.search(question):
            return kind
    return ""


def holds(kind: str, text: str) -> bool:
    """Return whether `text` holds an answer of a kind; any text holds one of the kind ""."""
    return kind == "" or any(name == kind and answers.search(text) is not None for name, _, answers in _COMPILED)


def identifiers(text: str) -> set[str]:
    """Return the names in `text` that carry a number, such as models and codes (`VC-8S`, `E05`), in one spelling."""
    return {re.sub(r"[-‐‑ ]", "", match).casefold() for match in _IDENTIFIER.findall(text)}
