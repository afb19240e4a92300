"""Files of recorded answers -> Responses: any system's, or the lines that `ask` wrote."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ragcli.errors import UsageError
from ragcli.evaluation.cases import ident_of, unknown_fields
from ragcli.evaluation.foreign import Fields, first_of, shown
from ragcli.evaluation.formats import BadRows, json_lines, name_of, read_bytes
from ragcli.evaluation.records import Context, Response

_IDS = ("id", "_id", "financebench_id", "question_id", "query_id")
_ANSWERS = ("answer", "response", "model_answer", "prediction")
_CONTEXTS = ("contexts", "retrieved_contexts")
_OF_ASK = ("question", "abstained", "citations", "hits", "model", "prompt", "usage", "evidence", "timings", "explain")
_KNOWN = frozenset((*_IDS, *_ANSWERS, *_CONTEXTS, *_OF_ASK, "ms", "tokens", "user_input"))
_NAMED, _LARGEST = 5, 1e15
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ResponseFile:
    """Recorded answers by the id of their case. `missing` are the cases that have none: they are unscored."""

    responses: Mapping[str, Response]
    warnings: tuple[str, ...]
    missing: tuple[str, ...]
    sha256: str


def read_responses(path: Path | Literal["-"], ids: Collection[str] | None = None) -> ResponseFile:
    """Read JSON Lines of `{"id", "answer", "contexts"?, "abstained"?}`, or of what `ragcli ask --batch` writes.

    `ids` are those of the cases. A row without an id takes its number as one, as the cases of other forms do. Raises
    UsageError naming the first bad rows, with their lines and reasons.
    """
    bad = BadRows(name_of(path))
    data = read_bytes(path)
    found: dict[str, Response] = {}
    lines: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for position, (number, row) in enumerate(json_lines(data, bad), 1):
        try:
            response = _response(position, row)
            if response.id in found:
                raise ValueError(f"the id {shown(response.id)} stands in line {lines[response.id]} already")
        except ValueError as error:
            bad.add(number, error)
            continue
        found[response.id], lines[response.id] = response, number
        for field in row:
            if field not in _KNOWN:
                unknown.setdefault(field, number)
    bad.check()
    if not found:
        raise UsageError(f"{bad.name} holds no answer")
    warnings = [unknown_fields(bad.name, unknown)] if unknown else []
    wanted = dict.fromkeys(found if ids is None else ids)
    strange = [ident for ident in found if ident not in wanted]
    missing = tuple(ident for ident in wanted if ident not in found)
    if strange:
        warnings.append(f"{bad.name}: {len(strange)} answers are to no case and are left out: {_some(strange)}")
    if missing:
        warnings.append(f"{bad.name}: {len(missing)} cases have no answer and stay unscored: {_some(missing)}")
    kept = {ident: response for ident, response in found.items() if ident in wanted}
    return ResponseFile(kept, tuple(warnings), missing, hashlib.sha256(data).hexdigest())


def _some(ids: Collection[str]) -> str:
    return ", ".join(shown(ident) for ident in list(ids)[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")


def _response(position: int, row: Any) -> Response:
    if not isinstance(row, dict):
        raise ValueError(f"it is not a JSON object but {shown(row)}")
    ident = first_of(row, *_IDS)
    if not any(name in row for name in _ANSWERS):
        raise ValueError('"answer" is missing')
    hits = tuple(_hit(hit) for hit in _objects(row, "hits"))
    usage, timings = (_object(row, name) for name in ("usage", "timings"))
    contexts = first_of(row, *_CONTEXTS)
    dropped = _number(usage, "dropped_hits") or 0
    return Response(
        id=ident_of(position if ident is None else ident),
        answer=_answer(first_of(row, *_ANSWERS)),
        contexts=_contexts(contexts) if contexts is not None else _read_hits(row, hits, int(dropped)),
        abstained=_boolean(row, "abstained"),
        citations=tuple(_clean(citation) for citation in _objects(row, "citations")),
        hits=hits,
        ms=first_of({"a": _number(row, "ms"), "b": _number(timings, "total_ms")}, "a", "b"),
        tokens=_whole(first_of({"a": _number(row, "tokens"), "b": _number(usage, "completion_tokens")}, "a", "b")),
    )


def _answer(value: object) -> str:
    """Return an answer as text; null, from a system that gave none, is an empty one."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f'"answer" is {shown(value)}, not text')
    return _whole_characters(str(value))


def _contexts(value: object) -> tuple[Context, ...]:
    if not isinstance(value, list):
        raise ValueError(f'"contexts" is {shown(value)}, not a list')
    return tuple(_context(entry) for entry in value if entry is not None)


def _read_hits(row: Fields, hits: tuple[Fields, ...], dropped: int) -> tuple[Context, ...] | None:
    """Return the hits that the model read: the last ones are dropped where its context was full."""
    return tuple(_context(hit) for hit in hits[: len(hits) - dropped]) if "hits" in row else None


def _context(entry: object) -> Context:
    if isinstance(entry, str):
        return Context(_whole_characters(entry))
    if not isinstance(entry, dict):
        raise ValueError(f'"contexts" holds {shown(entry)}, neither text nor an object')
    text, source = entry.get("text"), entry.get("source")
    if not isinstance(text, str):
        raise ValueError(f'the "text" of a context is {shown(text)}, not text')
    if not isinstance(source, str | None):
        raise ValueError(f'the "source" of a context is {shown(source)}, not text')
    page, start, end = (_whole(_number(entry, name)) for name in ("page", "start", "end"))
    if start is None or end is None or not 0 <= start <= end:
        start = end = None
    return Context(_whole_characters(text), _whole_characters(source or ""), page, start, end, _number(entry, "score"))


def _hit(hit: Fields) -> Fields:
    _context(hit)  # checks its fields
    for place in _objects(hit, "also"):
        if not isinstance(place.get("source"), str):
            raise ValueError(f'a place of "also" has the source {shown(place.get("source"))}')
    cleaned: Fields = _clean(hit)
    return cleaned


def _clean(value: Any) -> Any:
    """Return a JSON value whose texts can be written again: half of a surrogate pair becomes U+FFFD."""
    if isinstance(value, str):
        return _whole_characters(value)
    if isinstance(value, dict):
        return {_whole_characters(name): _clean(entry) for name, entry in value.items()}
    return [_clean(entry) for entry in value] if isinstance(value, list) else value


def _whole_characters(text: str) -> str:
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _objects(row: Fields, name: str) -> list[Fields]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError(f'"{name}" is {shown(value)}, not a list of objects')
    return value


def _object(row: Fields, name: str) -> Fields:
    value = row.get(name)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f'"{name}" is {shown(value)}, not an object')
    return value or {}


def _boolean(row: Fields, name: str) -> bool | None:
    value = row.get(name)
    if not isinstance(value, bool | None):
        raise ValueError(f'"{name}" is {shown(value)}, neither true nor false')
    return value


def _number(row: Fields, name: str) -> float | int | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'"{name}" is {shown(value)}, not a number')
    if abs(value) > _LARGEST:
        raise ValueError(f'"{name}" is {shown(value)}, which is too large')
    return value


def _whole(value: float | int | None) -> int | None:
    return None if value is None else int(value)
