"""Numbers as a spreadsheet shows them: its format codes (ECMA-376 part 1, 18.8.31), dates in ISO form.

What is seldom met (fractions, conditions, digits with signs between them) is shown as General would show it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

from ragcli.parsing.building import clean

BUILT_IN: dict[int, str] = {
    **{1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??"},
    **dict.fromkeys((14, 15, 16), "yyyy-mm-dd"),
    **{17: "yyyy-mm", 18: "h:mm", 19: "h:mm:ss", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm"},
    # What these show depends on the language of the program (ECMA-376, "for zh-cn", "for ja-jp", ...): all are dates.
    **dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((*range(32, 36), 55, 56), "h:mm:ss"),
    **{37: "#,##0;-#,##0", 38: "#,##0;-#,##0", 39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00", 41: "#,##0"},
    **{42: "$#,##0", 43: "#,##0.00", 44: "$#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss", 48: "0.0E+0", 49: "@"},
}
"""Format codes that a file names by number alone; dates in the order in which they are shown here."""

_TOKEN = re.compile(
    r"""
    "(?P<quoted>[^"]*)"? | \\(?P<escaped>.) | _. | \*. | \[\$(?P<currency>[^\]-]*)[^\]]*\] | \[(?P<bracket>[^\]]*)\]
    | (?P<digits>[0#?][0#?,]*(?:\.[0#?]*,*)? | \.[0#?]+) | (?P<power>[eE][+-]0+) | (?P<bare>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ELAPSED = re.compile(r"h+|m+|s+", re.IGNORECASE)
_CONTEXT = Context(prec=60, rounding=ROUND_HALF_UP)
_UNREAD = frozenset("/@GgEeNnRrAaLl")  # fractions, text, General
_MAX_CODE = 1000
_MAX_DECIMALS = 15
_LAST_DAY = 2958466  # 9999-12-31, and one
_LEAP_BUG = 60  # the 29th of February 1900, which never was


@dataclass(frozen=True, slots=True)
class _Number:
    """One section of a code that shows numbers; without `digits` it is but the text before them."""

    before: str = ""
    after: str = ""
    digits: bool = False
    whole: int = 0
    least: int = 0
    most: int = 0
    grouped: bool = False
    power: bool = False
    shift: int = 0

    def show(self, value: float) -> str:
        """Return `value`, which is not negative. `shift` moves its point: 2 for percents, -3 for thousands."""
        if not self.digits:
            return self.before
        number = Decimal(repr(value)).scaleb(self.shift, _CONTEXT)
        if self.power:
            return f"{self.before}{number:.{self.most}E}{self.after}"
        number = number.quantize(Decimal(1).scaleb(-self.most), context=_CONTEXT)
        whole, point, decimals = (f"{number:,f}" if self.grouped else f"{number:f}").partition(".")
        while len(decimals) > self.least and decimals.endswith("0"):
            decimals = decimals[:-1]
        if not number and not self.whole and not decimals:  # `#` and `?` show no zero
            whole = ""
        return f"{self.before}{whole.zfill(self.whole)}{point if decimals else ''}{decimals}{self.after}"


@dataclass(frozen=True, slots=True)
class _Code:
    """A format code, read: the parts of a moment that it shows (of `ymdhs`, `e` for elapsed), or its sections."""

    moment: frozenset[str]
    sections: tuple[_Number | None, ...]


def show_number(value: float, code: str, *, since_1904: bool = False) -> str:
    """Return a number as the format `code` shows it, a date as `2025-01-31`, a time as `13:45`."""
    known = _read(code)
    if known.moment and 0 <= value < _LAST_DAY:
        return _elapsed(value) if "e" in known.moment else _moment(value, known.moment, since_1904)
    if known.moment or not known.sections or not abs(value) < 1e15:
        return _general(value)
    at = 1 if value < 0 and len(known.sections) > 1 else 2 if value == 0 and len(known.sections) > 2 else 0
    section = known.sections[at]
    text = section.show(abs(value)).strip() if section else ""
    sign = "-" if value < 0 and at == 0 and re.search("[1-9]", text) else ""
    return sign + text if text else _general(value)


def _general(value: float) -> str:
    """Return a number with the eleven digits that a wide column shows."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.11g}"


def _moment(serial: float, parts: frozenset[str], since_1904: bool) -> str:
    days = serial + 1 if serial < _LEAP_BUG and not since_1904 else serial
    then = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)
    try:
        then += timedelta(seconds=round(days * 86400))
    except OverflowError:
        return _general(serial)
    clock = (f"{then:%H:%M:%S}" if then.second else f"{then:%H:%M}") if parts & {"h", "s"} else ""
    if clock and not parts & {"y", "d"}:
        return clock
    date = f"{then.year:04d}"  # %Y gives years before 1000 fewer digits on some systems
    if "d" in parts or "y" not in parts:
        date += f"-{then:%m-%d}"
    elif "m" in parts:
        date += f"-{then:%m}"
    return f"{date} {clock}".strip()


def _elapsed(days: float) -> str:
    minutes, seconds = divmod(round(days * 86400), 60)
    return f"{minutes // 60}:{minutes % 60:02d}" + (f":{seconds:02d}" if seconds else "")


@lru_cache(maxsize=4096)
def _read(code: str) -> _Code:
    if len(code) > _MAX_CODE or code in ("", "@") or code.lower() == "general":
        return _Code(frozenset(), ())
    sections = list(_sections(code))
    bare = "".join(token["bare"] or "" for token in sections[0]).lower()
    bare = bare.replace("general", "").replace("am/pm", "").replace("e", "y").replace("aaa", "d")
    parts = frozenset("ymdhs").intersection(bare)
    if any(_ELAPSED.fullmatch(token["bracket"] or "") for token in sections[0]):
        return _Code(frozenset("e"), ())
    # Thai, Japanese and Taiwanese eras have codes of their own (g, b, e), and so have Chinese days of the week (aaaa);
    # the year, and the day, are shown as ours.
    return _Code(parts, () if parts else tuple(_number(section) for section in sections))


def _sections(code: str) -> Iterator[list[re.Match[str]]]:
    section: list[re.Match[str]] = []
    for token in _TOKEN.finditer(code):
        if token["bare"] == ";":
            yield section
            section = []
        else:
            section.append(token)
    yield section


def _number(section: list[re.Match[str]]) -> _Number | None:
    """Read one section; None where it holds what is not shown here."""
    texts = ["", ""]
    shape = ""
    power = False
    shift = 0
    for token in section:
        bracket, bare = token["bracket"] or "", token["bare"] or ""
        if bracket.startswith(("<", ">", "=")) or (token["digits"] and shape) or bare in _UNREAD:
            return None
        shape = shape or token["digits"] or ""
        power = power or token["power"] is not None
        shift += 2 * (bare == "%")
        texts[bool(shape)] += bare or token["quoted"] or token["escaped"] or token["currency"] or ""
    numerals, scale = shape.rstrip(","), len(shape) - len(shape.rstrip(","))
    whole, _, decimals = numerals.partition(".")
    if abs(shift - 3 * scale) > _MAX_DECIMALS:
        return None
    most = min(len(decimals), _MAX_DECIMALS)
    before, after = (re.sub(r"\s+", " ", clean(text)) for text in texts)
    return _Number(
        before=before,
        after=after,
        digits=bool(shape),
        whole=min(whole.count("0"), 30),
        least=min(len(decimals.rstrip("#?")), most),
        most=most,
        grouped="," in whole,
        power=power,
        shift=shift - 3 * scale,
    )
