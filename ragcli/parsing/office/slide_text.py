"""The text of a slide's shapes: paragraphs, lists with their levels and numbers, tables, charts and diagrams."""

from __future__ import annotations

from typing import Any

from ragcli.parsing.building import Builder, TableCell, TableRows, squash
from ragcli.parsing.office.number_format import show_number
from ragcli.parsing.office.package import child, local

_DEEPEST = 8


def write_paragraphs(builder: Builder, body: Any, bullets: frozenset[int]) -> None:
    """Add the paragraphs of a text body; those on a level of `bullets` are list items unless they say otherwise.

    An item below the first level begins with a dash for each level above it; a numbered one with its number.
    """
    numbers: dict[int, int] = {}
    for paragraph in body:
        if local(paragraph) != "p" or not (text := paragraph_text(paragraph)).strip():
            continue
        properties = child(paragraph, "pPr")
        level = level_of(properties)
        numbers = {deep: number for deep, number in numbers.items() if deep <= level}
        own = bullet_of(properties)
        if own == "buAutoNum":
            first = child(properties, "buAutoNum").get("startAt", "1")
            begin = int(first) if first.isdecimal() and len(first) < 6 else 1
            numbers[level] = numbers[level] + 1 if level in numbers else begin
            text = f"{numbers[level]}. {text}"
        else:
            numbers.pop(level, None)
        if own in ("buChar", "buBlip", "buAutoNum") or (own == "" and level in bullets):
            builder.add(f"{'–' * level} {text}", "list_item")
        else:
            builder.add(text)


def level_of(properties: Any) -> int:
    """Return how deep a paragraph lies in a list, from 0."""
    level = "" if properties is None else properties.get("lvl", "")
    return min(int(level), _DEEPEST) if level.isdecimal() and len(level) < 3 else 0


def bullet_of(properties: Any) -> str:
    """Return the name of the element that says which bullet a paragraph has (`buNone`), or ""."""
    names = () if properties is None else (local(one) for one in properties)
    return next((name for name in names if name in ("buNone", "buChar", "buAutoNum", "buBlip")), "")


def paragraph_text(paragraph: Any) -> str:
    """Return the text of a paragraph, formulas included; the number of the slide is left out."""
    parts: list[str] = []
    for run in paragraph:
        if local(run) == "br":
            parts.append("\n")
        elif local(run) != "fld" or run.get("type") != "slidenum":
            parts.extend(one.text or "" for one in run.iter() if local(one) == "t")
    return "".join(parts)


def body_text(body: Any) -> str:
    """Return the text of a body on one line."""
    return squash(" ".join(paragraph_text(one) for one in body if local(one) == "p")) if body is not None else ""


def write_table(builder: Builder, table: Any) -> None:
    """Add a table's rows, the first one as their header unless the table has none."""
    properties = child(table, "tblPr")
    has_header = properties is None or properties.get("firstRow", "1") not in ("0", "false")
    rows = [row for row in table if local(row) == "tr"]
    written = TableRows(builder, not has_header, len(rows))
    for row in rows:
        cells = (cell for cell in row if local(cell) == "tc" and cell.get("hMerge") not in ("1", "true"))
        written.add([_cell(cell) for cell in cells])


def _cell(cell: Any) -> TableCell:
    wide = cell.get("gridSpan", "1")
    columns = int(wide) if wide.isdecimal() and len(wide) < 4 else 1
    return TableCell(body_text(child(cell, "txBody")), max(columns, 1), cell.get("vMerge") in ("1", "true"))


def write_chart(builder: Builder, root: Any) -> None:
    """Add a chart's titles, and its categories and series as a table."""
    chart = child(root, "chart")
    plot = child(chart, "plotArea") if chart is not None else None
    if plot is None:
        return
    builder.add(_title(child(chart, "title")))
    series = [one for drawn in plot for one in drawn if local(one) == "ser"]
    axes = [title for axis in plot if local(axis).endswith("Ax") and (title := _title(child(axis, "title")))]
    if axes:
        builder.add(" / ".join(axes))
    names = [_title(child(one, "tx")) for one in series]
    categories: dict[int, str] = {}
    values: list[dict[int, str]] = []
    for one in series:
        for at, text in _points(child(one, "cat"), child(one, "xVal")).items():
            categories.setdefault(at, text)
        values.append(_points(child(one, "val"), child(one, "yVal")))
    rows = sorted({*categories, *(at for column in values for at in column)})
    table = TableRows(builder, True, len(rows))
    table.add([TableCell(name) for name in ("", *names)], is_header=True)
    for at in rows:
        table.add([TableCell(text) for text in (categories.get(at, ""), *(column.get(at, "") for column in values))])


def _title(title: Any) -> str:
    """Return the text of a title or a series' name, written or taken from cells."""
    if title is None:
        return ""
    return squash(" ".join(one.text or "" for one in title.iter() if local(one) in ("t", "v")))


def _points(*sources: Any) -> dict[int, str]:
    """Return the points of the first source that is there, by their index, as their format shows them."""
    source = next((one for one in sources if one is not None), None)
    points: dict[int, str] = {}
    code = ""
    for one in source.iter() if source is not None else ():
        if local(one) == "formatCode":
            code = one.text or ""
        at, value = (one.get("idx", ""), child(one, "v")) if local(one) == "pt" else ("", None)
        if value is not None and at.isdecimal() and len(at) < 8:
            text = (points[int(at)] + " " if int(at) in points else "") + (value.text or "")
            points[int(at)] = _shown(text, one.get("formatCode") or code)
    return points


def _shown(text: str, code: str) -> str:
    if not code:
        return text
    try:
        return show_number(float(text), code)
    except ValueError:
        return text


def write_diagram(builder: Builder, root: Any) -> None:
    """Add the text of a diagram (SmartArt) as a list, in the order and on the levels of its model."""
    listed, joined = child(root, "ptLst"), child(root, "cxnLst")
    texts = {one.get("modelId"): body_text(child(one, "t")) for one in (listed if listed is not None else ())}
    below: dict[str | None, list[tuple[int, str]]] = {}
    inner = set()
    for one in joined if joined is not None else ():
        order, target = one.get("srcOrd", ""), one.get("destId")
        if one.get("type", "parOf") == "parOf" and target in texts:
            below.setdefault(one.get("srcId"), []).append((int(order) if order.isdecimal() else 0, target))
            inner.add(target)
    seen: set[str | None] = set()
    for first in [*(name for name in texts if name not in inner), *texts]:  # the latter where they stand in a ring
        stack = [(first, 0 if texts[first] else -1)]  # the model's root is no item
        while stack:
            name, level = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            builder.add(f"{'–' * min(max(level, 0), _DEEPEST)} {texts.get(name, '')}".rstrip("– "), "list_item")
            stack += [(deeper, level + 1) for _, deeper in sorted(below.get(name, ()), reverse=True)]
