"""A file of questions, in whichever form people have it -> rows of the contract's form.

    bytes -> JSON Lines, a JSON document or CSV -> rows -> the contract's fields (ragcli.evaluation.foreign)

The form is recognised from the content, never from the file's name.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ragcli.errors import UsageError
from ragcli.evaluation.foreign import Fields, Form, Translate, form_of, nested, shown, squad

Numbered = Iterator[tuple[int, Any]]

MAX_FILE = 1 << 30
MAX_LINE = 8_000_000
"""Bytes of a line: 200,000 Chinese characters take 1.2 MB where they are escaped, and a row holds several texts."""
MAX_ROWS = 1_000_000
_NAMED = 5
_LISTS = frozenset(
    ("answers", "key_facts", "gold", "ground_truth", "ground_truths", "contexts", "reference_contexts", "metadata")
    + ("retrieved_contexts", "evidence")
)
_SPLITS = ("test", "dev", "train")


class BadRows:
    """The rows of a file that cannot be read, with their reasons; `check` raises UsageError where there are any."""

    def __init__(self, name: str, hint: str = "", unit: str = "line") -> None:
        self.name, self.unit, self._hint = name, unit, hint
        self._named: list[str] = []
        self._count = 0

    def add(self, number: int, reason: object) -> None:
        """Note a bad row. Only the first ones are kept in words."""
        self._count += 1
        if len(self._named) < _NAMED:
            self._named.append(f"{self.unit} {number}: {reason}")

    def check(self) -> None:
        """Raise UsageError naming the first bad rows."""
        if self._count:
            more = f"; and {self._count - _NAMED} more" if self._count > _NAMED else ""
            raise UsageError(f"{self.name}, {'; '.join(self._named)}{more}", self._hint)


def name_of(path: Path | str) -> str:
    """Return what messages call a file."""
    return "stdin" if str(path) == "-" else str(path)


def read_bytes(path: Path | str) -> bytes:
    """Return the bytes of a file, or of stdin for "-", without a byte order mark. Raises UsageError."""
    name = name_of(path)
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{name}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > MAX_FILE:
        raise UsageError(f"{name} is larger than {MAX_FILE >> 20} MB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(f"{name}, line 1: the text is UTF-16", "save the file as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise UsageError(f"{name} is empty", 'each line is {"id": ..., "question": ..., "answers": [...]}')
    return data


def loads(raw: bytes) -> Any:
    """Return a JSON value. Raises ValueError saying why there is none; NaN and Infinity are no JSON."""
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError:
        raise ValueError("the bytes are no UTF-8") from None
    except json.JSONDecodeError as error:
        line = f" of line {error.lineno}" if error.lineno > 1 else ""
        raise ValueError(f"not JSON: {error.msg.lower()} at column {error.colno}{line}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(text if (text := str(error)).startswith("not JSON") else "a number is too long") from None


def json_lines(data: bytes, bad: BadRows) -> Numbered:
    """Yield each JSON value with the number of its line; what is none goes to `bad`."""
    count = 0
    for number, raw in enumerate(io.BytesIO(data), 1):
        if not raw.strip():
            continue
        count += 1
        if count > MAX_ROWS:
            raise UsageError(f"{bad.name} has more than {MAX_ROWS:,} rows")
        if len(raw) > MAX_LINE:
            bad.add(number, f"it is longer than {MAX_LINE:,} bytes")
            continue
        try:
            yield number, loads(raw)
        except ValueError as error:
            bad.add(number, error)


def recognise(data: bytes, bad: BadRows) -> tuple[Form, Numbered]:
    """Return the form of a file and its rows in the contract's fields, unchecked; bad ones go to `bad`."""
    rows = _rows(data, bad)
    first = next(rows, None)
    if first is None:
        bad.check()
        raise UsageError(f"{bad.name} holds no question")
    row = first[1]
    if isinstance(row, dict) and isinstance(row.get("qas"), list):
        return "cmrc", _questions(chain([first], rows), bad)
    if isinstance(row, dict) and isinstance(articles := row.get("data"), list):
        if not articles or not isinstance(articles[0], dict) or "paragraphs" in articles[0]:
            return "squad", _questions([first], bad)
        rows, first, bad.unit = enumerate(articles[1:], 2), (1, articles[0]), "row"
    form, translate = form_of(first[1])
    return form, _translated(chain([first], rows), translate, bad)


def _questions(documents: Iterable[tuple[int, Any]], bad: BadRows) -> Numbered:
    bad.unit = "question"
    return _translated(enumerate(nested(document for _, document in documents), 1), squad, bad)


def beir(folder: Path) -> tuple[Iterator[tuple[int, Fields]], list[str], bytes]:
    """Return the judged queries of a BEIR folder, warnings, and the bytes that they were read from.

    Gold is each document that the qrels score above 0, its id the source: a file of that name, with any ending. Of
    several qrels the test split is read, else dev, else train.
    """
    found = sorted((folder / "qrels").glob("*.tsv"))
    if not found or not (folder / "queries.jsonl").is_file():
        raise UsageError(f"{folder} is a folder without queries.jsonl and qrels/*.tsv", "give a file, or a BEIR folder")
    chosen = min(found, key=lambda path: (_SPLITS.index(path.stem) if path.stem in _SPLITS else 9, path.name))
    said = [f"of {len(found)} qrels, {chosen.name} is read"] if len(found) > 1 else []
    raw, judged = read_bytes(folder / "queries.jsonl"), read_bytes(chosen)
    gold = _qrels(judged, BadRows(str(chosen)))
    bad = BadRows(str(folder / "queries.jsonl"))
    rows = []
    for number, row in json_lines(raw, bad):
        if not isinstance(row, dict) or not isinstance(row.get("_id"), str | int):
            bad.add(number, '"_id" is missing')
        elif sources := gold.pop(str(row["_id"]), None):
            golds = [{"source": source} for source in sources]
            rows.append((number, {"id": row["_id"], "question": row.get("text"), "gold": golds}))
    bad.check()
    if gold:
        said.append(f"{chosen.name} judges {len(gold)} queries that queries.jsonl does not hold: {next(iter(gold))}")
    return iter(rows), said, raw + judged


def _qrels(data: bytes, bad: BadRows) -> dict[str, list[str]]:
    """Return the documents above 0 of each query, from `query-id corpus-id score` or TREC's four columns."""
    gold: dict[str, dict[str, None]] = {}
    for number, raw in enumerate(io.BytesIO(data), 1):
        cells = raw.decode("utf-8", "replace").split()
        if not cells or (number == 1 and not re.fullmatch(r"-?\d+(\.\d+)?", cells[-1])):
            continue
        try:
            if len(cells) not in (3, 4):
                raise ValueError
            if float(cells[-1]) > 0:
                gold.setdefault(cells[0], {})[cells[-2]] = None
        except ValueError:
            bad.add(number, "it is not query-id, corpus-id, score")
    bad.check()
    return {query: list(documents) for query, documents in gold.items()}


def _rows(data: bytes, bad: BadRows) -> Numbered:
    """Yield the rows of JSON Lines, of a JSON document, or of CSV."""
    text = data.lstrip()
    if text[:1] not in b"{[":
        yield from _csv(data, bad)
        return
    start = data[: len(data) - len(text)].count(b"\n") + 1
    end = text.find(b"\n") + 1 or len(text)
    line, rest = text[:end], text[end : end + MAX_LINE]
    several = bool(rest.strip())
    if text.startswith(b"{") and several and _is_lines(line, rest):
        yield from json_lines(data, bad)
        return
    try:
        document = loads(text)
    except ValueError as error:
        lineno = re.search(r" of line (\d+)$", str(error))
        bad.add(start + (int(lineno.group(1)) - 1 if lineno else 0), str(error)[: lineno.start() if lineno else None])
        return
    if isinstance(document, dict):
        if columns := _columns(document):
            document = columns
        elif not several and len(text) > MAX_LINE and "data" not in document:
            bad.add(start, f"it is longer than {MAX_LINE:,} bytes")
            return
        else:
            yield start, document
            return
    bad.unit = "row"
    if len(document) > MAX_ROWS:
        raise UsageError(f"{bad.name} has more than {MAX_ROWS:,} rows")
    yield from enumerate(document, 1)


def _is_lines(line: bytes, rest: bytes) -> bool:
    """Return whether text of several lines is JSON Lines: its first line or its second is whole, or more than `{`."""
    second = rest.lstrip().partition(b"\n")[0]
    for raw in (line, second):
        try:
            if isinstance(loads(raw), dict):
                return True
        except ValueError:
            continue
    return second.startswith(b"{")


def _columns(document: Mapping[str, Any]) -> list[Fields]:
    """Return the rows of a table that is kept by columns, as data sets are; none where it is no such table."""
    question = document.get("question", document.get("user_input"))
    if not isinstance(question, list):
        return []
    whole = {k: v for k, v in document.items() if isinstance(v, list) and len(v) == len(question)}
    return [dict(zip(whole, values, strict=True)) for values in zip(*whole.values(), strict=True)]


def _csv(data: bytes, bad: BadRows) -> Numbered:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        bad.add(data.count(b"\n", 0, error.start) + 1, "the bytes are no UTF-8")
        return
    header = text.lstrip().partition("\n")[0].lower()
    delimiter = max(",;\t", key=header.count)
    if not any(f"{name}" in re.split(rf'[{delimiter}"\s]+', header) for name in ("question", "user_input", "query")):
        bad.add(1, "it is neither JSON nor a CSV header with a question")
        return
    csv.field_size_limit(MAX_LINE)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for count, row in enumerate(reader, 1):
            before, line = line + 1, reader.line_num
            if count > MAX_ROWS:
                raise UsageError(f"{bad.name} has more than {MAX_ROWS:,} rows")
            if None in row:
                bad.add(before, "it has more cells than the header")
            else:
                yield before, {name.strip(): _cell(name.strip(), cell) for name, cell in row.items() if cell}
    except csv.Error as error:
        bad.add(line + 1, f"not CSV: {error}")


def _cell(name: str, cell: str) -> Any:
    """Return what a cell holds; lists are written as JSON or, by pandas, as Python writes them."""
    if name == "answerable":
        return {"true": True, "false": False}.get(cell.strip().lower(), cell)
    if name not in _LISTS:
        return cell
    try:
        return loads(cell.encode())
    except ValueError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(cell.strip()) if cell.lstrip().startswith("[") else cell
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = cell
    return value if isinstance(value, list) else [cell]


def _translated(rows: Iterable[tuple[int, Any]], translate: Translate, bad: BadRows) -> Numbered:
    for position, (number, row) in enumerate(rows, 1):
        if not isinstance(row, dict):
            bad.add(number, f"it is not a JSON object but {shown(row)}")
            continue
        try:
            yield number, translate(position, row)
        except ValueError as error:
            bad.add(number, error)


def _refuse(name: str) -> float:
    raise ValueError(f"not JSON: {name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"not JSON: {text[:20]} is no number that can be held")
    return value
