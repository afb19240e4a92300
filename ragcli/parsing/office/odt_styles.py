"""What the styles of an OpenDocument text make of its paragraphs and lists: hidden text, numbers, bullets."""

from __future__ import annotations

import re
from typing import Any

from ragcli.parsing.numbering import BULLET, Level

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
DC = "{http://purl.org/dc/elements/1.1/}"
XML_ID = "{http://www.w3.org/XML/1998/namespace}id"
MAX_DEPTH = 10
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_MAX_CHAIN = 20
_FORMS = {
    **{"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman", "": "none"},
    **{"一, 二, 三, ...": "chineseCounting", "甲, 乙, 丙, ...": "ideographTraditional"},
    **{"①, ②, ③, ...": "decimalEnclosedCircle", "01, 02, 03, ...": "decimalZero"},
}


def number(element: Any, name: str, default: int) -> int:
    """Return the number in an attribute; `default` where it holds none."""
    value = element.get(name, "")
    return int(value) if _NUMBER.match(value) else default


class Styles:
    """The styles in the roots of styles.xml and content.xml; the later ones win. Each is resolved once."""

    def __init__(self, *roots: Any) -> None:
        self._styles: dict[tuple[str, str], Any] = {}
        self._hidden: dict[tuple[str, str], bool] = {}
        self._titles: dict[str, bool] = {}
        self._lists: dict[str, Any] = {}
        self._levels: dict[str, dict[int, Level]] = {}
        self.outline: dict[int, Level] = {}
        for root in roots:
            for style in () if root is None else root.iter(f"{STYLE}style"):
                self._styles[style.get(f"{STYLE}family", ""), style.get(f"{STYLE}name", "")] = style
            for style in () if root is None else root.iter(f"{TEXT}list-style"):
                self._lists[style.get(f"{STYLE}name", "")] = style
            for style in () if root is None else root.iter(f"{TEXT}outline-style"):
                self.outline = _read_levels(style)

    def hides(self, family: str, name: str) -> bool:
        """Whether a style of a family ("paragraph", "text") hides its text, by itself or as one that it builds on."""
        key = family, name
        if key not in self._hidden:
            self._hidden[key] = next(
                (
                    said == "none"
                    for style in self._chain(family, name)
                    for properties in style.iterchildren(f"{STYLE}text-properties")
                    if (said := properties.get(f"{TEXT}display")) is not None
                ),
                False,
            )
        return self._hidden[key]

    def is_title(self, name: str) -> bool:
        """Whether a paragraph style is the title's."""
        if name not in self._titles:
            chain = self._chain("paragraph", name)
            self._titles[name] = name.lower() == "title" or any("title" in _names(style) for style in chain)
        return self._titles[name]

    def levels(self, name: str) -> dict[int, Level]:
        """Return how the items of a list style are marked, by their depth from 0."""
        if name not in self._levels:
            self._levels[name] = _read_levels(self._lists[name]) if name in self._lists else {}
        return self._levels[name]

    def _chain(self, family: str, name: str) -> list[Any]:
        found: list[Any] = []
        while len(found) < _MAX_CHAIN and (family, name) in self._styles:
            found.append(self._styles[family, name])
            name = found[-1].get(f"{STYLE}parent-style-name", "")
        return found


def _names(style: Any) -> set[str]:
    names = (style.get(f"{STYLE}name", ""), style.get(f"{STYLE}display-name", ""))
    parent = style.get(f"{STYLE}parent-style-name", "")
    return {name.lower() for name in (*names, parent)}


def _read_levels(style: Any) -> dict[int, Level]:
    levels: dict[int, Level] = {}
    for level in style:
        depth = number(level, f"{TEXT}level", 0) - 1
        if not 0 <= depth < MAX_DEPTH:
            continue
        if level.tag in (f"{TEXT}list-level-style-bullet", f"{TEXT}list-level-style-image"):
            levels[depth] = BULLET
            continue
        shown = min(max(number(level, f"{TEXT}display-levels", 1), 1), depth + 1)
        places = ".".join(f"%{at + 1}" for at in range(depth + 1 - shown, depth + 1) if at < 9)
        form = _FORMS.get(level.get(f"{STYLE}num-format", ""), "decimal")
        affixes = [level.get(f"{STYLE}num-{name}", "")[:20] for name in ("prefix", "suffix")]
        pattern = "" if form == "none" else f"{affixes[0]}{places}{affixes[1]}"
        levels[depth] = Level(form, pattern, number(level, f"{TEXT}start-value", 1))
    return levels
