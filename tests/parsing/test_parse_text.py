"""Plain text, code and CSV."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import check_blocks, texts

from ragcli.parsing.blocks import cover, paragraphs
from ragcli.parsing.code import parse_code
from ragcli.parsing.text import parse_csv, parse_text
from ragcli.records import Block

PIECES = [
    "sep=;\n",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "- ",
    "1. ",
    "1.5",
    "一、",
    ",",
    ";",
    '"',
    "\t",
    "\f",
    "\0",
    "\x85",
    "word",
    " ",
]


@pytest.mark.parametrize("parse", [parse_text, parse_code, parse_csv])
@given(text=st.one_of(st.lists(st.sampled_from(PIECES)).map("".join), st.text()))
def test_blocks_hold_every_character(parse, text: str) -> None:  # type: ignore[no-untyped-def]
    document = parse(text)
    assert document.text == text
    check_blocks(document)


@given(
    text=st.lists(st.sampled_from(["a", " ", "\n", "\r"])).map("".join),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40))),
)
def test_cover_mends_any_blocks(text: str, cuts: list[tuple[int, int]]) -> None:
    blocks = [Block(min(a, len(text)), min(b, len(text)), "heading") for a, b in cuts]
    kept = cover(text, blocks)
    assert [b.start for b in kept] == sorted(b.start for b in kept)
    assert "".join("".join(text[b.start : b.end].split()) for b in kept) == "".join(text.split())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_only_empty_lines_part_paragraphs(end: str) -> None:
    text = f"one{end}two{end} {end}{end}three"
    assert [text[a:b] for a, b in paragraphs(text)] == [f"one{end}two", "three"]


def test_items_of_a_list_are_blocks() -> None:
    document = parse_text("Steps:\r\n1. open\r\n   slowly\r\n2. close\r\n\r\nIt weighs\r\n1.5 kg or\r\n2.5 kg.\r\n")
    assert [(b.kind, text) for b, text in zip(document.blocks, texts(document), strict=True)] == [
        ("paragraph", "Steps:"),
        ("list_item", "1. open\r\n   slowly"),
        ("list_item", "2. close"),
        ("paragraph", "It weighs\r\n1.5 kg or\r\n2.5 kg."),
    ]


def test_chinese_items_are_blocks() -> None:
    document = parse_text("一、总则\n本办法适用于全体员工。\n二、请假\n（一）病假\n（二）事假\n")
    assert texts(document, "list_item") == ["一、总则\n本办法适用于全体员工。", "二、请假", "（一）病假", "（二）事假"]


def test_code_is_cut_at_empty_lines() -> None:
    assert texts(parse_code("a = 1\nb = 2\n\n\ndef f():\n    pass\n")) == ["a = 1\nb = 2", "def f():\n    pass"]


def test_csv_rows_carry_the_header_and_may_span_lines() -> None:
    document = parse_csv('name;note\r\nA;"two\r\nlines"\r\n\r\nB;x\r\n')
    assert texts(document) == ["name;note", 'A;"two\r\nlines"', "B;x"]
    assert [b.header for b in document.blocks] == ["", "name;note", "name;note"]


def test_csv_with_an_open_quote_goes_line_by_line() -> None:
    assert texts(parse_csv('a,b\n1,"x\n2,y\n3,z\n')) == ["a,b", '1,"x', "2,y", "3,z"]


def test_csv_titles_above_the_header_are_paragraphs() -> None:
    document = parse_csv("sep=;\nPrices, valid from 5 May, 2025\n\nPart;Net;2024\nSeal;1,50;2\nRing;3,25;4\n")
    assert texts(document, "paragraph") == ["sep=;", "Prices, valid from 5 May, 2025"]
    assert texts(document, "table_row") == ["Part;Net;2024", "Seal;1,50;2", "Ring;3,25;4"]
    assert [b.header for b in document.blocks] == ["", "", "", "Part;Net;2024", "Part;Net;2024"]


def test_csv_delimiter_is_what_most_lines_have() -> None:
    document = parse_csv("Title\nname\tsize\nA, B\t5\n")
    assert texts(document, "table_row") == ["name\tsize", "A, B\t5"]
    assert document.blocks[-1].header == "name\tsize"


def test_csv_without_a_header_has_none() -> None:
    assert {b.header for b in parse_csv("2025-01-02,3.5,Oslo\n2025-01-03,4.5,Bergen\n").blocks} == {""}
    assert [b.header for b in parse_csv("name\nAnn\nBen\n").blocks] == ["", "name", "name"]


@pytest.mark.parametrize(
    "head",
    ["Account,2024-01,2024-02", "项目,1月,2月", "部门,2024年,2025年", "Region,2024Q1,2024 Q2", "指标,1季度,2季度"],
)
def test_csv_columns_may_be_named_by_times(head: str) -> None:
    assert [b.header for b in parse_csv(f"{head}\nCash,12,31\n").blocks] == ["", head]


@pytest.mark.parametrize("groups", [",Europe,Europe,Asia", ",2023,,2024"])
def test_csv_groups_of_columns_belong_to_the_header(groups: str) -> None:
    document = parse_csv(f"Sales of pumps\n{groups}\nModel,Q1,Q2,Q1\nA,1,2,3\nB,4,5,6\n")
    header = f"{groups} / Model,Q1,Q2,Q1"
    assert [(b.kind, b.header) for b in document.blocks] == [
        ("paragraph", ""),
        *(("table_row", ""), ("table_row", "")),
        *(("table_row", header), ("table_row", header)),
    ]


def test_csv_a_column_without_a_name_makes_no_group() -> None:
    assert parse_csv(",name,city\n0,Ann,Oslo\n1,Ben,Rome\n").blocks[1].header == ",name,city"
    for title in ("Made by,tool", "Notes:,,,none of it worked"):
        assert parse_csv(f"{title}\na,b,c,d\n1,2,3,4\n").blocks[-1].header == "a,b,c,d"


@pytest.mark.parametrize("gap", ["", ",,"], ids=["empty line", "empty record"])
def test_csv_names_with_their_values_above_the_header_are_paragraphs(gap: str) -> None:
    document = parse_csv(f"Report,Stock list\nMade,2014-03-04\n{gap}\nItem,Quantity,Place\nbox,12,bay 7\nurn,4,attic\n")
    assert texts(document, "paragraph") == ["Report,Stock list", "Made,2014-03-04", *filter(None, [gap])]
    assert [b.header for b in document.blocks if b.kind == "table_row"] == ["", *["Item,Quantity,Place"] * 2]


@pytest.mark.parametrize("gap", ["\n", "\n\n\n", ",,\n", "\nTable 2\n", "\nTable 2\n\n"])
@pytest.mark.parametrize(
    "second", ["Person,City,Phone\nAnn,Leeds,12\n", "Person,Age\nAnn,40\nBob,41\n", "A,2024\nx,3\n"]
)
def test_csv_a_table_after_an_empty_line_has_its_own_header(gap: str, second: str) -> None:
    document = parse_csv(f"Item,Quantity\nbox,12\nurn,3\n{gap}{second}")
    header, *rows = second.splitlines()
    found = dict(zip(texts(document), (b.header for b in document.blocks), strict=True))
    assert found["urn,3"] == "Item,Quantity" and found[header] == found.get("Table 2", "") == ""
    assert [found[row] for row in rows] == [header] * len(rows)


@pytest.mark.parametrize(
    "more", ["Ann,Leeds,\nBob,York,7\n", "Ann,Leeds,unknown\n", "Ann\nBob,York,7\n", "1,2,3\nA,B,C\n"]
)
def test_csv_rows_after_an_empty_line_go_on_under_the_header(more: str) -> None:
    document = parse_csv(f"Person,City,Phone\nEve,Hull,5\nJim,Bath,6\n\n{more}\nZoe,Deal,8\n")
    assert [b.header for b in document.blocks] == ["", *["Person,City,Phone"] * (3 + more.count("\n"))]


def test_csv_with_an_empty_line_after_every_record_is_one_table() -> None:
    document = parse_csv("Person,Age\n\n" + "Ann,40\n\nBob,x\n\n" * 20)
    assert [b.header for b in document.blocks] == ["", *["Person,Age"] * 40]
