"""An invitation (iCalendar, RFC 5545) -> what people read of it, one text for each event or task."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

_MAX_PEOPLE = 100
_KINDS = {"VEVENT": "Event", "VTODO": "Task"}
_FOLD = re.compile(r"\r?\n[ \t]")
_PROPERTY = re.compile(r'([\w-]+)((?:;(?:[^":;]|"[^"]*+")*+)*+):(.*)', re.DOTALL)
_PARAMETER = re.compile(r';([\w-]+)=((?:[^";]|"[^"]*+")*+)')
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d\d(Z?))?", re.ASCII)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

Property = tuple[dict[str, str], str]


def events(calendar: str) -> Iterator[tuple[str, str]]:
    """Yield each event or task in lines, and its description ("" where it has none)."""
    cancelled = re.search(r"^METHOD:CANCEL\s*$", calendar, re.IGNORECASE | re.MULTILINE) is not None
    inner: list[str] = []  # what is open
    properties: dict[str, list[Property]] = defaultdict(list)
    for line in _FOLD.sub("", calendar).splitlines():
        match = _PROPERTY.fullmatch(line)
        if match is None:
            continue
        name, value = match[1].upper(), match[3].strip()
        if name == "BEGIN":
            inner.append(value.upper())
            if value.upper() in _KINDS:
                properties.clear()
        elif name == "END":
            kind = _KINDS.get(inner.pop()) if inner else None
            if kind and properties:
                yield _lines(kind, properties, cancelled), _words(properties, "DESCRIPTION")
        elif inner and inner[-1] in _KINDS:
            properties[name].append(
                ({one[1].upper(): one[2].strip('"') for one in _PARAMETER.finditer(match[2])}, value)
            )


def _lines(kind: str, properties: dict[str, list[Property]], cancelled: bool) -> str:
    begin, *ends = (_time(*one) for name in ("DTSTART", "DTEND", "DUE") for one in properties[name] or [({}, "")])
    cancelled = cancelled or any(value.upper() == "CANCELLED" for _, value in properties["STATUS"])
    lines = (
        (kind, (_words(properties, "SUMMARY") or "(no title)") + (" (cancelled)" if cancelled else "")),
        ("When", " to ".join(filter(None, (begin, *ends)))),
        ("Repeats", "; ".join(value for _, value in properties["RRULE"])),
        ("Where", _words(properties, "LOCATION")),
        ("Organizer", ", ".join(_people(properties["ORGANIZER"]))),
        ("Attendees", ", ".join(_people(properties["ATTENDEE"]))),
    )
    return "\n".join(f"{name}: {' '.join(text.split())}" for name, text in lines if text)


def _words(properties: dict[str, list[Property]], name: str) -> str:
    value = next((value for _, value in properties[name]), "")
    return _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value).strip()


def _time(parameters: dict[str, str], value: str) -> str:
    match = _TIME.fullmatch(value)
    if match is None:
        return value
    year, month, day, hour, minute, universal = match.groups()
    if hour is None:
        return f"{year}-{month}-{day}"
    zone = "UTC" if universal else parameters.get("TZID", "")
    return f"{year}-{month}-{day} {hour}:{minute}" + (f" ({zone})" if zone else "")


def _people(people: list[Property]) -> Iterator[str]:
    for parameters, value in islice(people, _MAX_PEOPLE):
        address = value[7:] if value.lower().startswith("mailto:") else value
        name = parameters.get("CN", "")
        yield f"{name} <{address}>" if name and name != address else address
