"""Jupyter notebook -> Document: its text under its headings, code and its text output under `In [3]` and `Out [3]`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.building import Builder, clean
from ragcli.parsing.html import parse_html
from ragcli.parsing.markdown import parse_markdown
from ragcli.parsing.text import parse_text
from ragcli.records import Block, Document

_MAX_CELLS = 50_000
_MAX_OUTPUT = 20_000
"""Most characters of one cell's output: what is longer is a log or a dump."""

_LEVEL = re.compile(r"[\s>*+\d.)-]*?(#{1,6})(?:\s|$|(?=[\u4e00-\u9fff]))")  # it may stand in a quotation or a list
_HTML_LEVEL = re.compile(r"\s*<h([1-6])", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_PLACEHOLDER = re.compile(r"<(?:Figure size [^<>]*|[\w.]+ object(?: at 0x[0-9a-f]+)?|[\w.]+ at 0x[0-9a-f]+)>")
_EMBEDDED = re.compile(r"data:[\w/+.-]{1,60};base64,[\w+/=]+")


def parse_notebook(data: bytes) -> Document:
    """Read the cells of a notebook of any format since 3. Raises ParseFailed where it is none or has no text."""
    builder = Builder()
    warnings: list[str] = []
    cells = _cells(_load(data))
    if len(cells) > _MAX_CELLS:
        warnings.append(f"only its first {_MAX_CELLS} cells were read")
    for cell in cells[:_MAX_CELLS]:
        if isinstance(cell, dict):
            _add_cell(builder, cell, warnings)
    document = builder.document(warnings=warnings)
    title = next((block.heading[0] for block in document.blocks if block.kind == "heading" and block.heading), "")
    return replace(document, title=title)


def _load(data: bytes) -> dict[str, Any]:
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        raise ParseFailed("broken: it is no sound JSON") from None
    if not isinstance(notebook, dict) or not _cells(notebook):
        raise ParseFailed("it is no notebook, or one without cells")
    return notebook


def _cells(notebook: dict[str, Any]) -> list[Any]:
    """Return the cells; those of format 3 lie in worksheets."""
    sheets = [sheet for sheet in _list(notebook.get("worksheets")) if isinstance(sheet, dict)]
    return _list(notebook.get("cells")) or [cell for sheet in sheets for cell in _list(sheet.get("cells"))]


def _add_cell(builder: Builder, cell: dict[str, Any], warnings: list[str]) -> None:
    kind = cell.get("cell_type")
    source = clean(_text(cell.get("source", cell.get("input"))))
    if kind == "code":
        number = cell.get("execution_count", cell.get("prompt_number"))
        label = f"[{number if isinstance(number, int) and abs(number) < 10**9 else ' '}]"
        builder.add(source, "code", under=(f"In {label}",))
        _add_outputs(builder, cell, label, warnings)
    elif kind == "markdown":
        _add_markdown(builder, source)
    elif kind == "heading":  # of format 3
        level = cell.get("level")
        builder.heading(source, level if isinstance(level, int) and 1 <= level <= 6 else 1)
    else:
        builder.include(parse_text(source))


def _add_markdown(builder: Builder, source: str) -> None:
    """Add a cell of Markdown. Its headings go on from those of the cells before, and hold for the cells after it."""
    document = parse_markdown(_EMBEDDED.sub("", source))
    section: list[Block] = []
    for whole in document.blocks:
        block = replace(whole, end=whole.start + len(document.text[whole.start : whole.end].rstrip()))
        if block.kind == "heading":
            builder.include(replace(document, blocks=tuple(section)))
            section = []
            level, named = _level(document.text[block.start : block.end])
            builder.leave(level)
            if named and block.heading:
                builder.heading(block.heading[-1], level, shown=False)  # its block is added as it was written
        section.append(replace(block, heading=()))
    builder.include(replace(document, blocks=tuple(section)))


def _level(heading: str) -> tuple[int, bool]:
    """Return the level of a Markdown heading, and whether it has any text."""
    marks = _LEVEL.match(heading)
    if marks is not None:
        return len(marks[1]), bool(heading[marks.end() :].strip(" \t\r\n#"))
    if written := _HTML_LEVEL.match(heading):
        return int(written[1]), True
    return (1 if heading.rstrip().endswith("=") else 2), True  # underlined


def _add_outputs(builder: Builder, cell: dict[str, Any], label: str, warnings: list[str]) -> None:
    """Add what the cell printed, answered and raised, as one block."""
    text = "\n".join(part.strip("\n") for part in _outputs(cell) if part.strip())
    if len(text) > _MAX_OUTPUT:
        warnings.append(f"the output of cell In {label} was cut after {_MAX_OUTPUT:,} characters")
        text = text[:_MAX_OUTPUT]
    builder.add(text, "code", under=(f"Out {label}",))


def _outputs(cell: dict[str, Any]) -> Iterator[str]:
    for output in _list(cell.get("outputs")):
        if not isinstance(output, dict):
            continue
        kind = output.get("output_type")
        if kind in ("error", "pyerr"):
            text = ": ".join(filter(None, (_text(output.get("ename")), _text(output.get("evalue")))))
        elif kind == "stream":
            text = _shown(_text(output.get("text")))
        else:
            data = output.get("data")
            text = _result(data if isinstance(data, dict) else {f"text/{name}": output[name] for name in output})
        yield text


def _result(data: dict[str, Any]) -> str:
    """Return a result as plain text or, where that only stands for something else, as its Markdown or HTML says it."""
    text = _shown(_text(data.get("text/plain", data.get("text/text"))))
    if text.strip() and not _PLACEHOLDER.fullmatch(text.strip()):
        return text
    if markdown := _text(data.get("text/markdown")):
        return markdown
    with suppress(ParseFailed):  # a picture, or nothing but scripts
        return parse_html(_text(data.get("text/html")).encode("utf-8", "replace"), whole=True).text
    return ""


def _shown(text: str) -> str:
    """Return output as a terminal shows it: without colours, and of a line that was written over the last state."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in _ANSI.sub("", text).split("\n"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Return a text that may be given as a list of its lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""
