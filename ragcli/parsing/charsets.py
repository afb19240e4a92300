"""What the name of an encoding, as mails and pages give it, means in practice."""

from __future__ import annotations

import re

_KNOWN = re.compile(
    r"(?:gb|hz|big5|shift|sjis|x-sjis|euc|ks_c|iso-|iso8859|latin|windows-|cp\d|koi8|us-ascii|utf-?(?:8|7|16|32))[\w.:-]*",
    re.IGNORECASE | re.ASCII,
)
"""Names of encodings. Python knows more, some of which are none (`hex`), or slow on hostile bytes (`punycode`)."""
_LARGER = {  # what a label means in practice is a superset of what it says (WHATWG Encoding, "names and labels")
    **dict.fromkeys(("gb2312", "gbk", "gb_2312-80", "x-gbk"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs", "cn-big5", "x-x-big5"), "big5hkscs"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ks_c_5601"), "cp949"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "us-ascii"), "cp1252"),
    **{f"latin-{number}": f"latin{number}" for number in range(2, 11)},
}


def decode_labelled(data: bytes, label: str, errors: str = "strict") -> str | None:
    """Decode as `label` means it. None where it names no known encoding or, if strict, the bytes are not in it."""
    name = label.strip().lower()
    if not _KNOWN.fullmatch(name):
        return None
    try:
        return data.decode(_LARGER.get(name, name), errors)
    except (LookupError, UnicodeError):
        return None
