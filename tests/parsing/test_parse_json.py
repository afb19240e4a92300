"""JSON and JSON Lines by their records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.parsing.json import parse_json

LONG = "The valve opens for ninety seconds and closes again. " * 4
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "id", "a", ""]), inner),
)


def plant() -> dict[str, Any]:
    return {
        "version": 3,
        "products": [{"id": 1, "name": "VC-4", "text": LONG}, {"id": 2, "text": LONG}, {"text": LONG}],
        "sensors": {"fp60": {"text": LONG}, "ws10": {"text": LONG}},
    }


@pytest.mark.parametrize("indent", [None, 1, 4], ids=["minified", "1", "4"])
def test_records_stand_under_keys_and_labels(indent: int | None) -> None:
    document = parse_json(json.dumps(plant(), indent=indent))
    check_blocks(document)
    assert [b.heading for b in document.blocks] == [
        (),
        ("products", "VC-4"),
        ("products", "id 2"),
        ("products",),
        ("sensors", "fp60"),
        ("sensors", "ws10"),
    ]
    assert document.blocks[0].kind == "code" and document.blocks[1].kind == "paragraph"
    assert document.warnings == ()


def test_brackets_and_keys_belong_to_the_record_beside_them() -> None:
    document = parse_json(json.dumps({"a": [{"t": LONG}, {"t": LONG}], "b": [{"t": LONG}]}))
    first, second, third = texts(document)
    assert first.startswith('{"a": [{"t"') and first.endswith("},")
    assert second.startswith('{"t"') and second.endswith("}],")
    assert third.startswith('"b": [{"t"') and third.endswith("}]}")


def test_small_files_are_one_block() -> None:
    document = parse_json('{"name": "pump", "parts": [1, 2, {"a": null}]}\n')
    assert texts(document) == ['{"name": "pump", "parts": [1, 2, {"a": null}]}']
    assert document.blocks[0].kind == "code"


def test_large_values_are_cut_at_their_members() -> None:
    document = parse_json(json.dumps({"readings": list(range(3000)), "note": "x" * 4000, "unit": "mm"}))
    check_blocks(document)
    assert {b.heading for b in document.blocks} == {("readings",), ()}
    assert max(b.end - b.start for b in document.blocks if "x" not in document.text[b.start : b.end]) < 1600
    assert block_of(document, '"unit"').heading == ()


def test_lines_are_records() -> None:
    rows = [{"id": n, "title": f"Ticket {n}", "text": LONG} for n in range(3)] + [{"id": 9}]
    document = parse_json("".join(json.dumps(row) + "\r\n" for row in rows))
    check_blocks(document)
    assert texts(document) == [json.dumps(row) for row in rows]
    assert [b.heading for b in document.blocks] == [("Ticket 0",), ("Ticket 1",), ("Ticket 2",), ()]


def test_a_bad_line_is_text_and_the_others_are_read() -> None:
    document = parse_json('{"a": 1}\n{"b": 2\n\n{"c": 3}\n')
    assert texts(document) == ['{"a": 1}', '{"b": 2', '{"c": 3}']
    assert document.warnings == ("line 2 is not valid JSON: read as text",)
    assert parse_json('{}\n{"a": 1}\n[2]\n{"b"\n[3}\n').warnings == (
        "2 lines (the first: 4) are not valid JSON: read as text",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n "a": 1,\n\n "b": }\n', 4),
        ("{'a': 1}", 1),
        ('{"a": 1,}', 1),
        ("[1, 2", 1),
        ('// why\n{"a": 1}', 1),
        ('{"a": 1}\n x', 2),
        ("[01]", 1),
        ('["\\x"]', 1),
        ("[1 2]", 1),
        ('{"a" 1}', 1),
        ("[}", 1),
        ("{]", 1),
        ("[1]]", 1),
        ("\r\n{,", 2),
        ('"open', 1),
    ],
)
def test_broken_json_is_text_with_its_line(text: str, line: int) -> None:
    document = parse_json(text)
    assert document.warnings == (f"not valid JSON (line {line}): read as text",)
    assert {b.kind for b in document.blocks} == {"paragraph"}
    check_blocks(document)


def test_labels_are_short_clean_and_read_from_their_escapes() -> None:
    rows = [{"name": "\x1b\ud83d\u6c34\n\u6cf5", "text": LONG}, {"name": "n" * 81, "id": "A-7", "text": LONG}]
    document = parse_json(json.dumps(rows))
    assert [b.heading for b in document.blocks] == [("\ufffd\u6c34 \u6cf5",), ("A-7",)]
    assert document.warnings == ()


def test_escaped_letters_are_written_out_and_mean_the_same() -> None:
    value = {"name": '阀门\n"x" 😀 \x00 \\u4e00', "half": "\ud83d", "quote": "it\u2019s"}
    document = parse_json(json.dumps(value))
    assert "阀门" in document.text and "it\u2019s" in document.text and "😀" in document.text
    assert json.loads(document.text) == value
    assert parse_json(json.dumps(value, ensure_ascii=False)).text == document.text.replace("\\ud83d", "\ud83d")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 50_000 + "]" * 50_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "[" * 50_000 + "1," * 1000,
        '"' * 200_000,
        '"' + "\\" * 200_001,
        "1" * 200_000,
        "{}\n" * 30_000,
        " " * 200_000 + "[",
    ],
    ids=["open", "arrays", "objects", "scalars", "quotes", "backslashes", "digits", "lines", "spaces"],
)
def test_hostile_json_is_read(text: str) -> None:
    document = parse_json(text)
    check_blocks(document)
    assert max(len(b.heading) for b in document.blocks) <= 8


PIECES = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    '"a"',
    "1",
    "true",
    "\n",
    "\r",
    " ",
    "\\",
    "\x85",
    "é",
    '{"a":1}',
    "\n{}\n",
]


@given(text=st.one_of(st.lists(st.sampled_from(PIECES)).map("".join), st.text()))
def test_blocks_hold_every_character(text: str) -> None:
    document = parse_json(text)
    assert document.text == text
    check_blocks(document)


@given(value=VALUES, indent=st.sampled_from([None, 0, 2]), ascii=st.booleans())
def test_whatever_python_writes_is_valid(value: Any, indent: int | None, ascii: bool) -> None:
    document = parse_json(json.dumps(value, indent=indent, ensure_ascii=ascii))
    assert not [warning for warning in document.warnings if "valid" in warning]
    check_blocks(document)


@given(st.lists(VALUES, min_size=2))
def test_python_and_we_agree_on_what_is_broken(values: list[Any]) -> None:
    text = "[" + " ".join(json.dumps(value) for value in values) + "]"
    with pytest.raises(ValueError):
        json.loads(text)
    assert "not valid JSON" in parse_json(text).warnings[0]


@pytest.mark.parametrize("text", ['{"a": "\\u12"}', '"\\u', '["\\u9600\\u96", 1]'])
def test_broken_escapes_are_text(text: str) -> None:
    document = parse_json(text)
    assert document.text.replace("\u9600", "\\u9600") == text
    assert document.warnings == ("not valid JSON (line 1): read as text",)
