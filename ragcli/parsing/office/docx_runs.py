"""The text of one paragraph of a Word file, as a reader of the finished document sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ragcli.parsing.office.docx_package import MC, R_ID, M, W
from ragcli.parsing.office.docx_styles import Styles, switch

_R_DIAGRAM = R_ID.replace("}id", "}dm")
_CHARACTERS = {
    **dict.fromkeys((f"{W}tab", f"{W}ptab"), "\t"),
    **dict.fromkeys((f"{W}br", f"{W}cr"), "\n"),
    f"{W}noBreakHyphen": "-",
    **{f"{M}den": "/", f"{M}sup": "^", f"{M}sub": "_", f"{M}rad": "√"},
}
_SKIPPED = frozenset(
    f"{W}{name}"
    for name in (
        *("pPr", "rPr", "sdtPr", "sdtEndPr", "tblPr", "rt"),  # properties; the small signs above Asian text
        *("del", "moveFrom"),  # what tracked changes took away
    )
)
_NOTES = {f"{W}footnoteReference": "footnote", f"{W}endnoteReference": "endnote", f"{W}commentReference": "comment"}
_PAGE_FIELD = re.compile(r"\s*(?:PAGE|NUMPAGES|SECTIONPAGES)\b", re.IGNORECASE)
_BREAKS = re.compile(r"[\t\r\n]+")
_SYMBOL = dict(  # the private codes of the font Symbol, and the usual ticks and boxes of Wingdings
    zip(
        map(ord, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖαβχδεφγηιϕκλμνοπθρστυϖωξψζ",
        strict=True,
    )
) | {0xA3: "≤", 0xA5: "∞", 0xAE: "→", 0xB0: "°", 0xB1: "±", 0xB3: "≥", 0xB4: "×", 0xB8: "÷", 0xB9: "≠", 0xBB: "≈"}
_ORNAMENTS = {  # by the font's name, the longer name first
    "symbol": _SYMBOL,
    "wingdings 2": {0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐"},
    "wingdings": {0x6F: "☐", 0xA8: "☐", 0xE0: "→", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
}


@dataclass(slots=True)
class Runs:
    """What stands in one paragraph: its text, the boxes and drawings anchored in it, and the notes that it refers to.

    A drawing is the relationship id of a chart or a diagram. A note is its kind ("footnote", "endnote", "comment"), its
    id, and whether it is counted.
    """

    text: str = ""
    boxes: list[Any] = field(default_factory=list)
    drawings: list[str] = field(default_factory=list)
    notes: list[tuple[str, str, bool]] = field(default_factory=list)


def chosen(element: Any) -> bool:
    """Whether an element is to be read: not the second copy of something, nor a place where text is still to go."""
    if element.tag in (f"{MC}Choice", f"{MC}Fallback"):
        first = element.getparent().find(f"{MC}Choice")
        return element is first or first is None
    if element.tag == f"{W}sdt":
        properties = element.find(f"{W}sdtPr")
        return not switch(properties, "showingPlcHdr")
    return True


def read_runs(paragraph: Any, styles: Styles, hidden: bool) -> Runs:
    """Read a paragraph; `hidden` is whether its style hides it. Takes no more memory than it is long."""
    return _Reader(styles, hidden).read(paragraph)


class _Reader:
    """One walk through a paragraph. `mute` counts what keeps its text from being shown just now."""

    def __init__(self, styles: Styles, hidden: bool) -> None:
        self.styles = styles
        self.hidden = hidden
        self.runs = Runs()
        self.parts: list[str] = []
        self.fields: list[_Field] = []
        self.mute = 0

    def read(self, paragraph: Any) -> Runs:
        from lxml import etree

        walk = etree.iterwalk(paragraph, events=("start", "end"))
        for event, element in walk:
            if event == "end":
                self._leave(element)
            elif element.tag in _SKIPPED or not chosen(element):
                walk.skip_subtree()
            elif element.tag == f"{W}txbxContent":
                walk.skip_subtree()
                self.runs.boxes.append(element)
            else:
                self._enter(element)
        self.runs.text = "".join(self.parts)
        return self.runs

    def _enter(self, element: Any) -> None:
        tag = element.tag
        if tag == f"{W}t" or tag == f"{M}t":
            self._add(_BREAKS.sub(" ", element.text or ""))
        elif tag == f"{W}r":
            self.mute += self._hides(element)
        elif tag in _CHARACTERS and (len(element) or tag.startswith(W)):  # an empty exponent shows nothing
            self._add(_CHARACTERS[tag])
        elif tag == f"{W}fldChar":
            self._add(_form_field(element.find(f"{W}ffData")))
            self._field(element.get(f"{W}fldCharType", ""))
        elif tag == f"{W}instrText" and self.fields:
            self.fields[-1].code += (element.text or "")[:100] if len(self.fields[-1].code) < 100 else ""
        elif tag == f"{W}fldSimple":
            self.mute += _PAGE_FIELD.match(element.get(f"{W}instr", "")) is not None
        elif tag == f"{W}sym":
            self._add(_symbol(element.get(f"{W}char", ""), element.get(f"{W}font", "")))
        elif tag in _NOTES and not self.mute:
            counted = element.get(f"{W}customMarkFollows") not in ("1", "true", "on")
            self.runs.notes.append((_NOTES[tag], element.get(f"{W}id", ""), counted))
        elif tag == f"{M}d":
            self._add(_sign(element, "dPr", "begChr", "("))
        elif tag == f"{M}nary":
            self._add(_sign(element, "naryPr", "chr", "∫"))
        elif tag.endswith(("}chart", "}relIds")) and not self.mute:
            self.runs.drawings.append(element.get(R_ID) or element.get(_R_DIAGRAM, ""))

    def _leave(self, element: Any) -> None:
        tag = element.tag
        if tag == f"{W}r":
            self.mute -= self._hides(element)
        elif tag == f"{W}fldSimple":
            self.mute -= _PAGE_FIELD.match(element.get(f"{W}instr", "")) is not None
        elif tag == f"{M}d":
            self._add(_sign(element, "dPr", "endChr", ")"))

    def _add(self, text: str) -> None:
        if not self.mute:
            self.parts.append(text)

    def _hides(self, run: Any) -> bool:
        """Whether a run is hidden, by itself, by its style, or by its paragraph's."""
        properties = run.find(f"{W}rPr")
        if properties is None:
            return self.hidden
        said = switch(properties, "vanish")
        style = properties.find(f"{W}rStyle")
        if said is None and style is not None:
            said = self.styles.look(style.get(f"{W}val", "")).hidden
        return self.hidden if said is None else said

    def _field(self, step: str) -> None:
        """Follow a field from its code to its result. One whose code is not ended in its paragraph shows nothing."""
        if step == "begin":
            self.fields.append(_Field())
            self.mute += 1
        elif step == "separate" and self.fields and self.fields[-1].muted:
            self.fields[-1].muted = _PAGE_FIELD.match(self.fields[-1].code) is not None
            self.mute -= not self.fields[-1].muted
        elif step == "end" and self.fields:
            self.mute -= self.fields.pop().muted


@dataclass(slots=True)
class _Field:
    code: str = ""
    muted: bool = True


def _form_field(data: Any) -> str:
    """Return what a field of an old form shows where its result is no text: a box, or what was chosen of a list."""
    if data is None:
        return ""
    box, choices = data.find(f"{W}checkBox"), data.find(f"{W}ddList")
    if box is not None:
        ticked = switch(box, "checked")
        return "☒" if (switch(box, "default") if ticked is None else ticked) else "☐"
    if choices is None:
        return ""
    entries = [entry.get(f"{W}val", "") for entry in choices.iterfind(f"{W}listEntry")]
    number = choices.find(f"{W}result")
    at = "0" if number is None else number.get(f"{W}val", "0")
    return entries[int(at)] if at.isdecimal() and len(at) < 5 and int(at) < len(entries) else ""


def _sign(element: Any, properties: str, name: str, usual: str) -> str:
    """Return the sign that a part of an equation is written with."""
    found = element.find(f"{M}{properties}/{M}{name}")
    return usual if found is None else found.get(f"{M}val", usual)[:3]


def _symbol(code: str, font: str) -> str:
    """Return the character of a `w:sym`; "" for an ornament that Unicode does not name."""
    try:
        value = int(code[:6], 16)
    except ValueError:
        return ""
    known = next((signs for name, signs in _ORNAMENTS.items() if font.lower().startswith(name)), {})
    if 0xF000 <= value <= 0xF0FF or (known and value < 0x100):  # programs write F052 as well as 0052
        return known.get(value & 0xFF, "")
    return chr(value) if 0x20 <= value < 0xE000 and not 0xD800 <= value < 0xE000 else ""
