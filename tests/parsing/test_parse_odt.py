"""OpenDocument text: what the finished document shows is kept, in order and under its headings; nothing else is."""

from __future__ import annotations

import time

import pytest
from parsing.office_files import assert_read_or_failed, mutated, odt_members, odt_of, reason, zip_of
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.parsing.office.odt import parse_odt
from ragcli.records import Document

LISTS = """
<text:list-style style:name="L1">
  <text:list-level-style-number text:level="1" style:num-suffix="." style:num-format="1"/>
  <text:list-level-style-number text:level="2" style:num-suffix=")" style:num-format="a" text:display-levels="2"/>
  <text:list-level-style-bullet text:level="3" text:bullet-char="x"/>
</text:list-style>
<text:list-style style:name="L2"><text:list-level-style-bullet text:level="1" text:bullet-char="•"/></text:list-style>
<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>
<style:style style:name="P2" style:family="paragraph" style:parent-style-name="Secret"/>
<style:style style:name="T1" style:family="text"><style:text-properties text:display="none"/></style:style>
"""
STYLES = """
<office:styles>
<style:style style:name="Title" style:family="paragraph" style:parent-style-name="Heading"/>
<style:style style:name="Secret" style:family="paragraph"><style:text-properties text:display="none"/></style:style>
<text:outline-style style:name="Outline">
  <text:outline-level-style text:level="1" style:num-format="I" style:num-suffix="."/>
  <text:outline-level-style text:level="2" style:num-format="1" text:display-levels="2"/>
  <text:outline-level-style text:level="3" style:num-format=""/>
</text:outline-style>
</office:styles>
<office:master-styles>
  <style:master-page style:name="Standard"><style:header><text:p>Hallowfen</text:p></style:header>
    <style:header-first style:display="false"><text:p>Cover</text:p></style:header-first>
    <style:footer><text:p>Page <text:page-number>3</text:page-number></text:p></style:footer></style:master-page>
  <style:master-page style:name="Other"><style:header><text:p>Hallowfen</text:p></style:header></style:master-page>
</office:master-styles>
"""


def par(text: str, style: str = "Standard") -> str:
    return f'<text:p text:style-name="{style}">{text}</text:p>'


def heading(text: str, level: int, more: str = "") -> str:
    return f'<text:h text:outline-level="{level}" {more}>{text}</text:h>'


def items(*contents: str, style: str = "", more: str = "") -> str:
    named = f'text:style-name="{style}"' if style else ""
    made = "".join(f"<text:list-item>{one if one.startswith('<') else par(one)}</text:list-item>" for one in contents)
    return f"<text:list {named} {more}>{made}</text:list>"


def row(*cells: str, more: str = "") -> str:
    made = "".join(f"<table:table-cell>{one if one.startswith('<') else par(one)}</table:table-cell>" for one in cells)
    return f"<table:table-row {more}>{made}</table:table-row>"


def table(*rows: str) -> str:
    return f'<table:table><table:table-column table:number-columns-repeated="3"/>{"".join(rows)}</table:table>'


def read(body: str, styles: str = "") -> Document:
    document = parse_odt(odt_of(body, LISTS, styles))
    check_blocks(document)
    return document


def shown(body: str, styles: str = "") -> list[str]:
    """The blocks of a body, leading spaces included."""
    document = read(body, styles)
    return [document.text[block.start : block.end] for block in document.blocks]


def test_headings_title_and_sections() -> None:
    body = par("Report", "P1") + heading("One", 1) + f"<text:section>{par('in a section')}</text:section>"
    body += heading("Two", 2) + par("x") + heading("", 1) + heading("Again", 1) + heading("y" * 400, 1)
    document = read(body)
    assert texts(document, "heading") == ["Report", "One", "Two", "Again"]
    assert block_of(document, "in a section").heading == ("Report", "One")
    assert block_of(document, "x").heading == ("Report", "One", "Two")
    assert document.title == "Report" and document.pages is None
    assert parse_odt(zip_of(odt_members(body, title="Of the file"))).title == "Of the file"


def test_chapters_are_numbered_as_the_outline_says() -> None:
    body = heading("A", 1) + heading("B", 2) + heading("C", 2) + heading("D", 3) + heading("E", 1)
    body += (
        heading("F", 2) + heading("G", 1, 'text:is-list-header="true"') + heading("<text:number>9</text:number>H", 1)
    )
    found = texts(read(body, STYLES), "heading")
    assert found == ["I. A", "I.1 B", "I.2 C", "D", "II. E", "II.1 F", "G", "9 H"]


def test_a_heading_in_a_list_has_the_number_of_its_item() -> None:
    body = items(heading("A", 1) + items(heading("B", 2), "text"), heading("C", 1), style="L1")
    body += items(heading("dot", 1), style="L2") + items(heading("D", 1))
    document = read(body, STYLES)
    assert texts(document, "heading") == ["1. A", "1.a) B", "2. C", "dot", "I. D"]
    assert block_of(document, "1.b) text").heading == ("1. A", "1.a) B")


def test_lists_are_numbered_and_nested() -> None:
    inner = items("b", "c", par("d") + items("deep"))
    body = items("<text:p>a</text:p>" + inner, par("e") + par("more of e"), style="L1")
    body += par("between") + items("f", style="L1", more='text:continue-numbering="true"') + items("g", style="L1")
    body += items("dot", style="L2") + items("plain")
    body += '<text:list text:style-name="L1"><text:list-item text:start-value="7"><text:p>h</text:p></text:list-item>'
    body += "<text:list-header><text:p>without</text:p></text:list-header></text:list>"
    assert shown(body) == [
        *("1. a", "  1.a) b", "  1.b) c", "  1.c) d", "    - deep", "2. e", "  more of e"),
        *("between", "3. f", "1. g", "- dot", "- plain", "7. h", "  without"),
    ]
    assert {block.kind for block in read(items("x")).blocks} == {"list_item"}


def test_tables_have_their_header_once_and_merged_cells_once() -> None:
    head = f"<table:table-header-rows>{row('Part', 'Price', 'Note')}</table:table-header-rows>"
    merged = f'<table:table-row><table:table-cell table:number-columns-spanned="2">{par("Both")}</table:table-cell>'
    merged += f"<table:covered-table-cell/><table:table-cell>{par('x')}</table:table-cell></table:table-row>"
    document = read(table(head, row("Seal", "12"), merged, row("no", "no", more='table:visibility="collapse"')))
    assert texts(document) == ["Part | Price | Note", "Seal | 12", "Both | | x"]
    assert [block.header for block in document.blocks] == ["", *["Part | Price | Note"] * 2]
    unmarked = read(table(row("k", "v"), row("a", items("1", "2"))))
    assert texts(unmarked) == ["k | v", "a | 1 2"] and unmarked.blocks[1].header == "k | v"


def test_cells_over_several_rows_and_headers_of_two() -> None:
    def spanned(text: str, columns: int, rows: int) -> str:
        sizes = f'table:number-columns-spanned="{columns}" table:number-rows-spanned="{rows}"'
        return f"<table:table-cell {sizes}>{par(text)}</table:table-cell>{covered * (columns - 1)}"

    def cells(*texts: str) -> str:
        return "".join(f"<table:table-cell>{par(text)}</table:table-cell>" for text in texts)

    covered = "<table:covered-table-cell/>"
    rows = (
        spanned("Sales", 3, 1),
        spanned("Region", 1, 2) + spanned("2024", 2, 1),
        covered + cells("Plan", "Real"),
        spanned("North", 1, 2) + cells("1", "2"),
        covered + cells("3", "4"),
        spanned("none", 2, 2) + cells("5"),
        '<table:covered-table-cell table:number-columns-repeated="2"/>' + cells("6"),
    )
    document = read(table(*(f"<table:table-row>{one}</table:table-row>" for one in rows)))
    assert texts(document) == [
        *("Sales", "Region | 2024", "Region | Plan | Real", "North | 1 | 2", "North | 3 | 4"),
        *("none | | 5", "none | | 6"),
    ]
    assert [block.header for block in document.blocks] == ["", "", "", *["Region | 2024 / Region | Plan | Real"] * 4]


def test_nested_tables_are_rows_of_their_own() -> None:
    inner = table(row("k", "v"), row("a", "1"))
    document = read(table(row("Name", "Data"), row("X", par("see") + inner), row("Y", "none")))
    assert texts(document) == ["Name | Data", "X | see", "k | v", "a | 1", "Y | none"]
    assert [block.header for block in document.blocks] == ["", "Name | Data", "", "k | v", "Name | Data"]
    assert shown(table(row(heading("Call-out", 1) + par("text")))) == ["Call-out", "text"]


def test_repeated_cells_and_rows_are_bounded() -> None:
    many = f'<table:table-cell table:number-columns-repeated="3">{par("x")}</table:table-cell>'
    endless = '<table:table-cell table:number-columns-repeated="100000"/>'
    rows = f'<table:table-row table:number-rows-repeated="1000000">{many}{endless}</table:table-row>'
    lots = f'<table:table-cell table:number-columns-repeated="999999999">{par("y")}</table:table-cell>'
    found = shown(table(row("a", "b"), rows, f"<table:table-row>{many}{lots}</table:table-row>"))
    assert found[:2] == ["a | b", "x | x | x"] and len(found) == 3 and found[2].count("y") == 64
    assert shown(par('a<text:s text:c="999999999"/>b')) == ["a b"]


NOTE = """<text:note text:note-class="{0}"><text:note-citation>{1}</text:note-citation>
<text:note-body><text:p>{2}</text:p></text:note-body></text:note>"""
COMMENT = """<office:annotation><dc:creator>Ann Lee</dc:creator><dc:date>2025-01-01T00:00:00</dc:date>
<text:p>Really?</text:p></office:annotation>"""


def test_notes_and_comments_follow_what_they_belong_to() -> None:
    body = heading("H", 1) + par(f"First{NOTE.format('footnote', 1, 'Foot')}{COMMENT}.")
    body += table(row("a", f"b{NOTE.format('endnote', 'ii', 'End')}"), row("c", "d"))
    document = read(body)
    found = [(text, block.heading[1:]) for text, block in zip(texts(document), document.blocks, strict=True)]
    assert found == [
        *(("H", ()), ("First.", ()), ("Foot", ("Footnote 1",)), ("Really?", ("Comment by Ann Lee",))),
        *(("a | b", ()), ("End", ("Endnote ii",)), ("c | d", ())),
    ]


def test_text_boxes_are_read_after_their_paragraph() -> None:
    box = f"<draw:frame><draw:text-box>{heading('Boxed', 1)}{items('one')}</draw:text-box></draw:frame>"
    shape = f"<draw:g><draw:custom-shape>{par('shape')}</draw:custom-shape></draw:g>"
    assert shown(par(f"Before{box} and after{shape}") + par("Next") + shape) == [
        *("Before and after", "Boxed", "- one", "shape", "Next", "shape")
    ]


def test_headers_and_footers_stand_once_at_the_end() -> None:
    document = read(heading("H", 3) + par("x"), STYLES)
    assert texts(document) == ["H", "x", "Hallowfen", "Page"]
    assert [block.heading for block in document.blocks[2:]] == [("Header",), ("Footer",)]


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("a<text:tab/>b<text:line-break/>c", "a b\nc"),
        ("<text:span>one</text:span> <text:a>two</text:a>\n  three", "one two three"),
        ('a<text:span text:style-name="T1">hidden</text:span>b', "ab"),
        ('a<text:hidden-text text:is-hidden="true">no</text:hidden-text>b', "ab"),
        ("a<text:hidden-text>yes</text:hidden-text>b", "ayesb"),
        ('<text:hidden-paragraph text:is-hidden="true"/>secret', ""),
        ("<text:ruby><text:ruby-base>漢</text:ruby-base><text:ruby-text>kan</text:ruby-text></text:ruby>字", "漢字"),
        ("on <text:date>1 May</text:date><text:change-start/> new<text:change-end/><text:bookmark/>", "on 1 May new"),
    ],
)
def test_what_a_paragraph_shows(inside: str, text: str) -> None:
    assert shown(par(inside) + par("END")) == [*([text] if text else []), "END"]


def test_what_is_deleted_or_hidden_is_left_out() -> None:
    tracked = f"<text:tracked-changes><text:changed-region><text:deletion>{par('deleted')}</text:deletion>"
    tracked += "</text:changed-region></text:tracked-changes>"
    body = tracked + '<text:section text:display="none">' + par("away") + "</text:section>" + par("secret", "P2")
    contents = "<text:table-of-content><text:table-of-content-source><text:index-title-template>T"
    contents += "</text:index-title-template></text:table-of-content-source><text:index-body>" + par("One 1")
    contents += "</text:index-body></text:table-of-content>"
    assert shown(body + contents + par("x"), STYLES) == ["One 1", "x", "Hallowfen", "Page"]


def test_what_cannot_be_read_says_why() -> None:
    members = odt_members(par("x"))
    encrypted = str(members["META-INF/manifest.xml"]).replace(
        "/></m", "><manifest:encryption-data/></manifest:file-entry></m"
    )
    assert reason(parse_odt, zip_of({**members, "META-INF/manifest.xml": encrypted})) == "it is locked by a password"
    assert reason(parse_odt, zip_of({**members, "encrypted-package": b"x"})) == "it is locked by a password"
    whole = zip_of(members)
    assert reason(parse_odt, whole[: len(whole) // 2]) == "broken: it is no ZIP container"
    assert reason(parse_odt, zip_of({"mimetype": "x"})) == "broken: it lacks content.xml"
    assert reason(parse_odt, odt_of("")) == "no text"
    assert reason(parse_odt, zip_of({**odt_members(""), "Pictures/a.png": b"x"})) == "no text, only pictures"
    sheet = str(members["content.xml"]).replace("office:text", "office:spreadsheet")
    assert reason(parse_odt, zip_of({**members, "content.xml": sheet})) == "broken: it is no OpenDocument text"
    (warning,) = parse_odt(zip_of({**members, "styles.xml": "<broken", "meta.xml": "<too"})).warnings
    assert warning == "a part could not be read (broken: styles.xml is no sound XML)"


def test_bombs_and_depths_are_bounded() -> None:
    xxe = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'
    assert "entities" in reason(parse_odt, zip_of({**odt_members(""), "content.xml": xxe}))
    assert "ZIP bomb" in reason(parse_odt, odt_of(" " * 120_000_000))
    opened, closed = "<text:list><text:list-item>", "</text:list-item></text:list>"
    assert reason(parse_odt, odt_of(opened * 2000 + par("x") + closed * 2000)).startswith("broken:")
    assert shown(opened * 100 + par("x") + closed * 100) == ["  " * 9 + "- x"]
    cell, closing = (
        "<table:table><table:table-row><table:table-cell>",
        "</table:table-cell></table:table-row></table:table>",
    )
    assert shown(cell * 75 + par("x") + closing * 75) == ["x"]
    boxes, shut = "<text:p><draw:frame><draw:text-box>", "</draw:text-box></draw:frame></text:p>"
    assert shown(boxes * 80 + par("x") + shut * 80) == ["x"]


BODY = (
    par("Title", "P1")
    + heading("One", 1)
    + items(par("a") + items("b", "c"), "d", style="L1")
    + par(f"First{NOTE.format('footnote', 1, 'Foot')}{COMMENT}<text:s text:c='3'/>.")
    + table(f"<table:table-header-rows>{row('a', 'b')}</table:table-header-rows>", row("c", "d"))
    + par(f"<draw:frame><draw:text-box>{par('boxed')}</draw:text-box></draw:frame>")
)


@pytest.mark.parametrize("part", ["content.xml", "styles.xml", "META-INF/manifest.xml"])
def test_damaged_copies_are_read_or_fail_with_a_reason(part: str) -> None:
    assert_read_or_failed(parse_odt, mutated(odt_members(BODY, LISTS, STYLES), part, seed=len(part)))


def test_a_long_document_is_read_in_seconds() -> None:
    body = "".join(heading(f"Chapter {n}", 1) if n % 20 == 0 else par("Some words of text. " * 10) for n in range(6000))
    data = odt_of(body + table(*(row("one", "two", f"{n}") for n in range(200))), LISTS, "")
    started = time.perf_counter()
    assert len(parse_odt(data).blocks) == 6200 and time.perf_counter() - started < 5
