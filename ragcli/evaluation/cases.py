"""Case files -> Cases: the contract's form, and the spellings that people have already (ragcli.evaluation.formats).

A file is read whole and checked before anything runs: what is wrong is named by its line, with the reason.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ragcli.errors import UsageError
from ragcli.evaluation.foreign import Fields, Form, shown
from ragcli.evaluation.formats import BadRows, Numbered, beir, name_of, read_bytes, recognise
from ragcli.evaluation.records import Case, Family, Gold
from ragcli.words import latin_share

FIELDS = ("id", "question", "answers", "answerable", "key_facts", "gold", "family", "lang")
_NOTES = ("proposed", "left_out")
"""What `--propose` adds to the contract's fields."""
_GOLD_FIELDS = ("source", "page", "quote", "start", "end")
_FAMILIES: tuple[Family, ...] = get_args(Family)
_NAMED = 10
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The cases of a file. `warnings` are lines for the user; `sha256` is that of the bytes that were read."""

    cases: tuple[Case, ...]
    warnings: tuple[str, ...]
    form: Form
    sha256: str


def read_cases(path: Path | Literal["-"]) -> CaseFile:
    """Read a case file, a BEIR folder, or stdin for "-".

    Raises UsageError naming the first bad rows, with their lines and reasons.
    """
    bad = BadRows(name_of(path), f"ragcli eval {name_of(path)} --check checks it alone")
    form: Form
    rows: Numbered
    if isinstance(path, Path) and path.is_dir():
        form, (rows, warnings, data) = "beir", beir(path)
    else:
        data, warnings = read_bytes(path), []
        form, rows = recognise(data, bad)
    unknown: dict[str, int] = {}
    cases: dict[str, Case] = {}
    for number, row in rows:
        try:
            case = _case(row, number, foreign=form != "ragcli")
            if case.id in cases:
                raise ValueError(f"the id {shown(case.id)} stands in {bad.unit} {cases[case.id].line} already")
            cases[case.id] = case
        except ValueError as error:
            bad.add(number, error)
        if form == "ragcli":
            _note_unknown(row, number, unknown)
    bad.check()
    if not cases:
        raise UsageError(f"{bad.name} holds no question")
    if unknown:
        warnings.append(unknown_fields(bad.name, unknown))
    return CaseFile(tuple(cases.values()), tuple(warnings), form, hashlib.sha256(data).hexdigest())


def unknown_fields(name: str, unknown: dict[str, int]) -> str:
    """Return the one warning about fields that mean nothing here, each with the line where it stood first."""
    first = [f"{shown(field)} (line {line})" for field, line in list(unknown.items())[:_NAMED]]
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return f"{name}: unknown fields are left out: {', '.join(first)}{more}"


def _note_unknown(row: Fields, number: int, unknown: dict[str, int]) -> None:
    gold = row.get("gold")
    fields = [field for field in row if field not in (*FIELDS, *_NOTES)]
    for entry in gold if isinstance(gold, list) else []:
        fields += [f"gold.{field}" for field in entry if field not in _GOLD_FIELDS] if isinstance(entry, dict) else []
    for field in fields:
        unknown.setdefault(field, number)


def _case(row: Fields, number: int, *, foreign: bool) -> Case:
    """Return the case of a row. Raises ValueError with the reason why there is none."""
    question = text_of(row.get("question"), '"question"')
    answers = tuple(texts_of(row.get("answers"), '"answers"'))
    key_facts = tuple(
        tuple(texts_of(fact if isinstance(fact, list) else [fact], 'a fact of "key_facts"', least=1))
        for fact in _list(row.get("key_facts"), '"key_facts"')
    )
    gold = tuple(_gold(entry, foreign=foreign) for entry in _list(row.get("gold"), '"gold"'))
    family = row.get("family")
    if family is not None and family not in _FAMILIES:
        raise ValueError(f'"family" is {shown(family)}; it is one of {", ".join(_FAMILIES)}')
    answerable = row.get("answerable")
    if answerable is None:
        answerable = family != "unanswerable"
    if not isinstance(answerable, bool):
        raise ValueError(f'"answerable" is {shown(answerable)}, neither true nor false')
    if answerable and not (answers or key_facts or gold):
        raise ValueError('it has none of "answers", "key_facts", "gold" and "answerable": false')
    lang = row.get("lang")
    return Case(
        id=ident_of(row.get("id")),
        question=question,
        answers=answers,
        answerable=answerable,
        key_facts=key_facts,
        gold=gold,
        family=family if answerable or family is not None else "unanswerable",
        lang=text_of(lang, '"lang"') if lang is not None else language_of(question),
        line=number,
        left_out=text_of(row["left_out"], '"left_out"') if row.get("left_out") is not None else "",
    )


def language_of(question: str) -> str:
    """Return "en" for a question in Latin letters, "zh" for one in Chinese characters, "" for others."""
    if latin_share(question) >= 0.5:
        return "en"
    return "zh" if _HAN.search(question) and not _KANA_OR_HANGUL.search(question) else ""


def ident_of(value: object) -> str:
    """Return an id as text. Raises ValueError where it is missing or of another type."""
    if value is None:
        raise ValueError('"id" is missing')
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError(f'"id" is {shown(value)}, neither text nor a whole number')
    return text_of(str(value), '"id"')


def text_of(value: object, what: str) -> str:
    """Return a text that is not blank. Raises ValueError."""
    if value is None:
        raise ValueError(f"{what} is missing")
    if not isinstance(value, str):
        raise ValueError(f"{what} is {shown(value)}, not text")
    if not value.strip():
        raise ValueError(f"{what} is empty")
    if not value.isascii() and not _is_encodable(value):
        raise ValueError(f"{what} holds half of a surrogate pair")
    return value


def texts_of(value: object, what: str, least: int = 0) -> list[str]:
    """Return a list of texts; numbers become text. Raises ValueError."""
    found = [
        _number(entry) if isinstance(entry, int | float) and not isinstance(entry, bool) else entry
        for entry in _list(value, what)
    ]
    if len(found) < least:
        raise ValueError(f"{what} is empty")
    return list(dict.fromkeys(text_of(entry, f"an entry of {what}") for entry in found))


def _number(value: int | float) -> str:
    return str(int(value)) if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15) else repr(value)


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{what} is {shown(value)}, not a list")
    return value


def _gold(value: object, *, foreign: bool) -> Gold:
    if not isinstance(value, dict):
        raise ValueError(f'"gold" holds {shown(value)}, not an object with "source"')
    source = value.get("source")
    if not (foreign and source == ""):
        source = text_of(source, 'the "source" of a gold')
    quote = value.get("quote")
    page, start, end = (_count(value, name, least) for name, least in (("page", 1), ("start", 0), ("end", 1)))
    if (start is None) != (end is None):
        raise ValueError('a gold has only one of "start" and "end"')
    if start is not None and end is not None and start >= end:
        raise ValueError(f"a gold ends at {end}, before it starts at {start}")
    return Gold(source, page, None if quote is None else text_of(quote, 'the "quote" of a gold'), start, end)


def _count(value: Fields, name: str, least: int) -> int | None:
    number = value.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f'the "{name}" of a gold is {shown(number)}, not a whole number from {least} up')
    return number


def _is_encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
