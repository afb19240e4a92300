"""JSON and JSON Lines -> Document: records under the keys of what they stand in. Offsets point into the decoded file.

The scanner is ours, for it must tell where each value stands: one pass over the tokens, with a stack of its own. Of a
value that is small enough to be one block it keeps nothing but the span.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace

from ragcli.parsing.blocks import paragraphs
from ragcli.parsing.building import MAX_HEADING, squash
from ragcli.records import Block, Document

_WHOLE = 1_500
"""A value up to this many characters is one block; a larger one is cut at its members."""
_WORTH_A_HEADING = 150
"""Smaller records stand together, as rows of a table do."""
_PROSE = 200
"""A record with a string of this length is cut at sentences, another one at lines."""
_LABELS = ("title", "name", "id", "key", "label")
"""The members that name a record, the best first."""
_MAX_LABEL = 80
_MAX_STEPS = 8
_TOKEN = re.compile(
    r"""\s*+(?: ([{}\[\],:])
              | ("(?:[^"\\]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")
              | ((?:-?(?:0|[1-9]\d*+)(?:\.\d++)?+(?:[eE][+-]?\d++)?+|true|false|null|NaN|-?Infinity)(?![\w.])) )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.", re.DOTALL)
"""A run of escaped letters, or any other escape, which is passed over."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_LINE_END = re.compile(r"\r\n?|\n")
_CLOSING = re.compile(r"[\s,\]}]*+")
_MARK = re.compile(r"\S")
_LINES_TO_TRY = 5
_OPENS = {"}": "{", "]": "["}
_AT_ONCE = {"}": "key or end", "]": "value or end"}


class _Broken(Exception):
    """The text is no JSON from `at` on."""

    def __init__(self, at: int) -> None:
        self.at = at


@dataclass(slots=True)
class _Value:
    """A member or element, its key included; or, without `bracket`, a run of small ones.

    `members` are kept where it is larger than a block, or `divided`: it holds records that are worth a heading.
    """

    start: int
    end: int = 0
    bracket: str = ""
    key: str = ""
    label: str = ""
    label_rank: int = len(_LABELS)
    prose: bool = False
    divided: bool = False
    members: list[_Value] = field(default_factory=list)


def parse_json(text: str) -> Document:
    """Make blocks of the records of a JSON file, or of the lines of a JSON Lines file.

    Letters that are written as escapes (`u4e00`) are written out first, or no word of theirs would be found: the
    offsets of such a file point into that text. What is broken is read as plain text, with a warning that names the
    first bad line.
    """
    text = _written_out(text)
    blocks, warnings = _lines(text) if _is_lines(text) else _whole(text)
    title = next((block.heading[0] for block in blocks[:1] if block.heading), "")
    return Document(text, tuple(blocks), title=title, warnings=tuple(warnings))


def _written_out(text: str) -> str:
    """Return JSON with its escaped letters as themselves; other escapes stay, so that it means the same."""
    return _ESCAPES.sub(_letters, text) if "\\u" in text else text


def _letters(escapes: re.Match[str]) -> str:
    if len(escapes.group()) < len("\\u0000"):
        return escapes.group()
    letters: str = json.loads(f'"{escapes.group()}"')
    return "".join(
        letter if letter.isalpha() else json.dumps(letter, ensure_ascii=not letter.isprintable())[1:-1]
        for letter in letters
    )


def _whole(text: str) -> tuple[list[Block], list[str]]:
    try:
        return _tiled(text, _blocks(_scan(text, 0, len(text)))), []
    except _Broken as broken:
        warning = f"not valid JSON (line {_line_number(text, broken.at)}): read as text"
        return [Block(start, end, "paragraph") for start, end in paragraphs(text)], [warning]


def _lines(text: str) -> tuple[list[Block], list[str]]:
    blocks: list[Block] = []
    bad: list[int] = []
    for match in _LINE.finditer(text):
        if not match.group().strip():
            continue
        try:
            blocks += _blocks(_scan(text, *match.span()))
        except _Broken:
            bad.append(match.start())
            blocks.append(Block(*match.span(), "paragraph"))
    if not bad:
        return _tiled(text, blocks), []
    first = _line_number(text, bad[0])
    which = f"line {first} is" if len(bad) == 1 else f"{len(bad)} lines (the first: {first}) are"
    return _tiled(text, blocks), [f"{which} not valid JSON: read as text"]


def _is_lines(text: str) -> bool:
    """Return whether most of the first lines are an object or an array each."""
    first: list[tuple[int, int]] = []
    for match in _LINE.finditer(text):
        if match.group().strip():
            first.append(match.span())
        if len(first) == _LINES_TO_TRY:
            break
    return len(first) > 1 and 2 * sum(_is_record(text, *span) for span in first) > len(first)


def _is_record(text: str, start: int, end: int) -> bool:
    try:
        return bool(_scan(text, start, end).bracket)
    except _Broken:
        return False


def _line_number(text: str, at: int) -> int:
    return sum(1 for _ in _LINE_END.finditer(text, 0, at)) + 1


def _scan(text: str, start: int, end: int) -> _Value:
    """Read the one value that `text[start:end]` holds. Raises _Broken where it holds none, or anything else."""
    open_: list[_Value] = []
    keys: list[tuple[int, str]] = []  # the key that was read last, and where
    expected = "value"
    root: _Value | None = None
    at = start
    while (match := _TOKEN.match(text, at, end)) is not None:
        at = match.end()
        place = match.start(match.lastindex or 0)
        mark, string, scalar = match.groups()
        if string is not None and expected in ("key", "key or end"):
            keys, expected = [(place, _string(string))], "colon"
        elif mark == ":" and expected == "colon":
            expected = "value"
        elif mark == "," and expected == "comma" and open_:
            expected = "key" if open_[-1].bracket == "{" else "value"
        elif mark in ("{", "[") and expected in ("value", "value or end"):
            place, key = keys.pop() if keys else (place, "")
            open_.append(_Value(place, bracket=mark, key=key))
            expected = "key or end" if mark == "{" else "value or end"
        elif (
            mark in ("}", "]") and open_ and expected in ("comma", _AT_ONCE[mark]) and open_[-1].bracket == _OPENS[mark]
        ):
            done = open_.pop()
            done.end = at
            if at - done.start <= _WHOLE and (not done.divided or (done.label and open_)):
                done.divided, done.members = False, []
            root, expected = _settle(done, open_), "comma"
        elif mark is None and expected in ("value", "value or end"):
            token = string or scalar
            place, key = keys.pop() if keys else (place, "")
            if open_ and key in _LABELS:
                _name(open_[-1], key, token)
            root, expected = _settle(_Value(place, at, prose=len(token) >= _PROSE), open_), "comma"
        else:
            raise _Broken(place)
        if root is not None:
            break
    if root is None or text[at:end].strip():
        raise _Broken(_first_mark(text, at, end))
    return root


def _settle(done: _Value, open_: list[_Value]) -> _Value | None:
    """Put a value where it belongs; return it where it is the whole text."""
    if not open_:
        return done
    parent = open_[-1]
    parent.prose |= done.prose
    parent.divided |= done.divided or (done.bracket == "{" and done.end - done.start >= _WORTH_A_HEADING)
    last = parent.members[-1] if parent.members else None
    if last is not None and not last.bracket and not done.bracket and done.end - last.start <= _WHOLE:
        last.end = done.end
        last.prose |= done.prose
    else:
        parent.members.append(done)
    return None


def _name(record: _Value, key: str, token: str) -> None:
    """Take the label of a record from one of its members, unless a better one gave it already."""
    rank = _LABELS.index(key)
    if rank >= record.label_rank or len(token) > 6 * _MAX_LABEL:
        return
    name = _string(token) if token.startswith('"') else ""
    name = f"{key} {token}" if token.isdigit() else name
    if 0 < len(name) <= _MAX_LABEL:
        record.label, record.label_rank = name, rank


def _string(token: str) -> str:
    """Return what a string says, on one line and clipped to a heading."""
    value = token[1:-1]
    if "\\" in value:
        value = str(json.loads(token, strict=False))
    return squash(value[: 2 * MAX_HEADING])[:MAX_HEADING].rstrip()


def _first_mark(text: str, start: int, end: int) -> int:
    rest = _MARK.search(text, start, end)
    return rest.start() if rest else end


def _blocks(root: _Value) -> list[Block]:
    """Cut a value into blocks, in order, without the brackets around them."""
    blocks: list[Block] = []
    todo: list[tuple[_Value, tuple[str, ...]]] = [(root, ())]
    while todo:
        value, path = todo.pop()
        if value.end - value.start >= _WORTH_A_HEADING:
            path = (path + tuple(filter(None, (value.key, value.label))))[:_MAX_STEPS]
        if value.members:
            todo += [(member, path) for member in reversed(value.members)]
        else:
            blocks.append(Block(value.start, value.end, "paragraph" if value.prose else "code", path))
    return blocks


def _tiled(text: str, blocks: list[Block]) -> list[Block]:
    """Return `blocks` with what stands between them: closing brackets go to the one before, the rest to the next."""
    tiled: list[Block] = []
    for block in blocks:
        start = 0
        if tiled:
            closing = _CLOSING.match(text, tiled[-1].end, block.start)
            start = closing.end() if closing else block.start
            tiled[-1] = replace(tiled[-1], end=start)
        tiled.append(replace(block, start=start))
    if tiled:
        tiled[-1] = replace(tiled[-1], end=len(text))
    return tiled
