"""What a Word file's styles and numbering make of a paragraph: heading, list item, hidden text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ragcli.parsing.numbering import Counter, Level
from ragcli.parsing.office.docx_package import W

_VAL = f"{W}val"
_NUMBER = re.compile(r"-?[0-9]{1,9}\Z")
_MAX_CHAIN = 20
_DEPTHS = 9
_NO_HEADING = 10
# Built-in styles keep their English names in every language of Word; other programs translate them.
_HEADING_NAME = re.compile(
    r"(?:heading|标题|標題|見出し|제목|überschrift|titre|título|titulo|titolo|rubrik|kop|заголовок) ?([1-9])\Z"
)
_TITLE_NAMES = frozenset(("title", "标题", "標題"))


def number(element: Any, name: str, default: int) -> int:
    """Return the number that the child `name` of an element holds; `default` where it holds none."""
    child = element.find(f"{W}{name}")
    value = "" if child is None else child.get(_VAL, "")
    return int(value) if _NUMBER.match(value) else default


def switch(properties: Any, name: str) -> bool | None:
    """Return how a toggle such as `w:vanish` is set; None where nothing is said of it."""
    child = None if properties is None else properties.find(f"{W}{name}")
    return None if child is None else child.get(_VAL, "1") not in ("0", "false", "off")


@dataclass(frozen=True, slots=True)
class Look:
    """What a style, or a paragraph with it, is. `heading` is 0 for the title, 1 to 9 for headings, 10 for none.

    `list_id` names its numbering ("" for none, None where nothing is said), `depth` its level there from 0.
    """

    heading: int | None = None
    hidden: bool | None = None
    list_id: str | None = None
    depth: int = 0

    def over(self, below: Look) -> Look:
        """Return this look, with what it leaves open taken from another."""
        return Look(
            below.heading if self.heading is None else self.heading,
            below.hidden if self.hidden is None else self.hidden,
            below.list_id if self.list_id is None else self.list_id,
            below.depth if self.list_id is None else self.depth,
        )


class Styles:
    """The styles of a file (root of its part, or None). Each is resolved once."""

    def __init__(self, root: Any) -> None:
        self._styles: dict[str, Any] = {}
        self._default = ""
        self._looks: dict[str, Look] = {}
        self._said: dict[str, tuple[Look, str]] = {}
        for style in () if root is None else root.iterchildren(f"{W}style"):
            id = style.get(f"{W}styleId", "")
            if id:  # "" is where a chain of styles ends
                self._styles.setdefault(id, style)
            if style.get(f"{W}type") == "paragraph" and style.get(f"{W}default") in ("1", "true", "on"):
                self._default = self._default or id

    def look(self, id: str) -> Look:
        """Return what a style is, inherited included."""
        if id not in self._looks:
            look, base = self._own(id)
            for _ in range(_MAX_CHAIN if base else 0):
                inherited, base = self._own(base)
                look = look.over(inherited)
            self._looks[id] = look
        return self._looks[id]

    def paragraph(self, properties: Any) -> tuple[str, Look]:
        """Return the style of a paragraph with these `w:pPr` (or None), and what it is.

        The style is "" where the paragraph says itself how deep it lies in its list.
        """
        if properties is None:
            return self._default, self.look(self._default)
        named = properties.find(f"{W}pStyle")
        id = self._default if named is None else named.get(_VAL, "")
        deep = properties.find(f"{W}numPr/{W}ilvl")
        return id if deep is None else "", _look(properties).over(self.look(id))

    def _own(self, id: str) -> tuple[Look, str]:
        """Return what a style says by itself, and the style that it builds on."""
        if id not in self._said:
            style = self._styles.get(id)
            base = None if style is None else style.find(f"{W}basedOn")
            own = Look() if style is None else _look_of_style(style)
            self._said[id] = own, "" if base is None else base.get(_VAL, "")
        return self._said[id]


def _look(properties: Any) -> Look:
    """Return what `w:pPr` say by themselves."""
    outline = number(properties, "outlineLvl", -1)
    numbering = properties.find(f"{W}numPr")
    list_id, depth = None, 0
    if numbering is not None:
        list_id = str(number(numbering, "numId", -1))
        depth = min(max(number(numbering, "ilvl", 0), 0), _DEPTHS - 1)
    heading = None if outline < 0 else outline + 1 if outline < _DEPTHS else _NO_HEADING
    return Look(heading, None, {"0": "", "-1": None}.get(list_id or "-1", list_id), depth)


def _look_of_style(style: Any) -> Look:
    properties = style.find(f"{W}pPr")
    said = Look() if properties is None else _look(properties)
    named = style.find(f"{W}name")
    name = (named.get(_VAL, "") if named is not None else style.get(f"{W}styleId", "")).strip().lower()
    level = _HEADING_NAME.match(name)
    heading = int(level[1]) if level else 0 if name in _TITLE_NAMES else _NO_HEADING if name == "subtitle" else None
    return said.over(Look(heading, switch(style.find(f"{W}rPr"), "vanish")))


class Numbering:
    """The lists of a file, counted as its paragraphs are read in order."""

    def __init__(self, root: Any, styles: Styles) -> None:
        self._styles = styles
        self._abstract: dict[str, Any] = {}
        self._lists: dict[str, Any] = {}
        self._known: dict[str, tuple[str, dict[int, Level], dict[str, int]]] = {}
        self._counters: dict[str, Counter] = {}
        self._starts: dict[str, dict[int, int]] = {}
        if root is not None:
            self._abstract = {one.get(f"{W}abstractNumId", ""): one for one in root.iterchildren(f"{W}abstractNum")}
            self._lists = {one.get(f"{W}numId", ""): one for one in root.iterchildren(f"{W}num")}

    def mark(self, style: str, look: Look) -> tuple[int, str]:
        """Count a paragraph of a list; return its depth and its mark, "-" where its numbering is not known."""
        list_id = look.list_id or ""
        if list_id not in self._lists:
            return look.depth, "-"
        abstract, levels, of_styles = self._levels(list_id)
        depth = of_styles.get(style, look.depth)
        counter = self._counters.setdefault(abstract, Counter())
        start = self._starts[list_id].pop(depth, None)  # lists that share a numbering count on, unless told otherwise
        if start is not None:
            counter.restart(depth, start)
        return depth, counter.next(depth, levels)

    def _levels(self, list_id: str) -> tuple[str, dict[int, Level], dict[str, int]]:
        """Return the numbering that a list follows: its id, its levels, and the depths that belong to styles."""
        if list_id not in self._known:
            one = self._lists[list_id]
            abstract = self._abstract_id(one)
            levels, of_styles = _read_levels(self._abstract.get(abstract, ()))
            starts = {}
            for override in one.iterchildren(f"{W}lvlOverride"):
                changed, more = _read_levels(override)
                levels, of_styles = levels | changed, of_styles | more
                start = number(override, "startOverride", -1)
                if start >= 0 and (depth := _depth(override)) is not None:
                    starts[depth] = start
            self._known[list_id] = abstract, levels, of_styles
            self._starts[list_id] = starts
        return self._known[list_id]

    def _abstract_id(self, one: Any) -> str:
        """Return the numbering of a list; one that only points to a list style is followed, once."""
        id = str(number(one, "abstractNumId", -1))
        link = self._abstract[id].find(f"{W}numStyleLink") if id in self._abstract else None
        other = self._lists.get(self._styles.look(link.get(_VAL, "")).list_id or "") if link is not None else None
        return id if other is None else str(number(other, "abstractNumId", -1))


def _depth(element: Any) -> int | None:
    value = element.get(f"{W}ilvl", "")
    return int(value) if len(value) == 1 and value in "012345678" else None


def _read_levels(element: Any) -> tuple[dict[int, Level], dict[str, int]]:
    levels: dict[int, Level] = {}
    of_styles: dict[str, int] = {}
    for level in element:
        depth = _depth(level)
        if level.tag != f"{W}lvl" or depth is None:
            continue
        form, pattern = (level.find(f"{W}{name}") for name in ("numFmt", "lvlText"))
        levels[depth] = Level(
            "decimal" if form is None else form.get(_VAL, "decimal"),
            "" if pattern is None else pattern.get(_VAL, ""),
            max(0, number(level, "start", 1)),
            switch(level, "isLgl") is True,
            number(level, "lvlRestart", depth),
        )
        style = level.find(f"{W}pStyle")
        if style is not None:
            of_styles[style.get(_VAL, "")] = depth
    return levels, of_styles
