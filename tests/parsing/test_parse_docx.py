"""Word: what the finished document shows is kept, in order and under its headings; nothing else is."""

from __future__ import annotations

import io
import time
from pathlib import Path

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from parsing.office_files import assert_read_or_failed, docx_members, docx_of, mutated, reason, zip_of
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.numbering import write_number
from ragcli.parsing.office.docx import parse_docx
from ragcli.records import Document

SAMPLE = Path(__file__).parents[2] / "sample_docs" / "support" / "repair-centre-procedure.docx"
STYLES = """
<w:style w:type="paragraph" w:default="1" w:styleId="a"><w:name w:val="Normal"/></w:style>
<w:style w:type="paragraph" w:styleId="1"><w:name w:val="heading 1"/><w:basedOn w:val="a"/></w:style>
<w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="Überschrift 2"/></w:style>
<w:style w:type="paragraph" w:styleId="Clause"><w:name w:val="Clause"/><w:basedOn w:val="Level"/></w:style>
<w:style w:type="paragraph" w:styleId="Level"><w:name w:val="Level"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="TOC"><w:name w:val="TOC Heading"/><w:basedOn w:val="1"/>
  <w:pPr><w:outlineLvl w:val="9"/></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="T"><w:name w:val="Title"/></w:style>
<w:style w:type="paragraph" w:styleId="S"><w:name w:val="Subtitle"/><w:basedOn w:val="T"/></w:style>
<w:style w:type="paragraph" w:styleId="Secret"><w:name w:val="Secret"/><w:rPr><w:vanish/></w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="Numbered"><w:name w:val="List Number"/>
  <w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
<w:style w:type="character" w:styleId="Gone"><w:name w:val="Gone"/><w:rPr><w:vanish w:val="1"/></w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
"""


def run(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def par(text: str, style: str = "", properties: str = "") -> str:
    """A paragraph of one run; or of the runs in `text`, where it begins with a tag."""
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    inside = text if text.startswith("<") else run(text)
    return f"<w:p><w:pPr>{named}{properties}</w:pPr>{inside}</w:p>"


def item(text: str, list_id: int, depth: int = 0, style: str = "") -> str:
    return par(text, style, f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{list_id}"/></w:numPr>')


def row(*cells: str, properties: str = "") -> str:
    made = "".join(f"<w:tc>{cell if cell.startswith('<') else par(cell)}</w:tc>" for cell in cells)
    return f"<w:tr><w:trPr>{properties}</w:trPr>{made}</w:tr>"


def table(*rows: str) -> str:
    return f"<w:tbl>{''.join(rows)}</w:tbl>"


def read(body: str, **parts: str) -> Document:
    document = parse_docx(docx_of(body, parts))
    check_blocks(document)
    return document


def shown(body: str, **parts: str) -> list[str]:
    """The blocks of a body, leading spaces included."""
    document = read(body, **parts)
    return [document.text[block.start : block.end] for block in document.blocks]


def test_a_real_file() -> None:
    document = parse_docx(SAMPLE.read_bytes())
    check_blocks(document)
    assert document.title == "Repair centre procedure" and document.pages is None and not document.warnings
    assert "2. Photograph the device from four sides." in texts(document, "list_item")
    price = block_of(document, "VC-8S | £84")
    assert price.header == "Product | Flat rate | Remark" and price.kind == "table_row"
    assert price.heading == ("Repair centre procedure", "3 Repairs outside the warranty")
    assert block_of(document, "Dry glass beads").heading[1:] == ("2 Inspection", "2.1 Soil probes")


def test_the_text_is_what_python_docx_reads() -> None:
    made = docx.Document()
    made.core_properties.title = "A sound title"
    for number in range(20):
        made.add_heading(f"Part {number}", level=1 + number % 3)
        made.add_paragraph(f"Sentence one of {number}.\nA second line with\ttab.").add_run(" And more.")
        made.add_paragraph("an item", style="List Bullet")
    style = made.styles.add_style("Mine", WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = made.styles["Heading 2"]
    made.add_paragraph("By inheritance", style="Mine")
    made.add_paragraph("中文标题", style="Heading 1")
    out = io.BytesIO()
    made.save(out)
    document = parse_docx(out.getvalue())
    expected = [paragraph.text for paragraph in docx.Document(io.BytesIO(out.getvalue())).paragraphs]
    squashed = [" ".join(text.split()) for text in expected]
    assert [" ".join(text.split()).removeprefix("- ") for text in texts(document)] == squashed
    assert document.title == "A sound title"
    assert block_of(document, "By inheritance").kind == "heading"
    assert document.blocks[-1].heading == ("中文标题",)


def test_soft_hyphens_do_not_part_words() -> None:
    assert shown(par("infor\xadmation")) == ["information"]


def test_headings_come_from_names_levels_and_inheritance() -> None:
    document = read(
        par("Report", "T")
        + par("For the board", "S")
        + par("Contents", "TOC")
        + par("One", "1")
        + par("Two", "berschrift2")
        + par("Three", "Clause")
        + par("By hand", "", '<w:outlineLvl w:val="1"/>')
        + par("text", "", '<w:outlineLvl w:val="9"/>')
        + par("x" * 400, "1")
        + par("y", "Loop"),
        styles=STYLES,
    )
    assert texts(document, "heading") == ["Report", "One", "Two", "Three", "By hand"]
    assert block_of(document, "Three").heading == ("Report", "One", "Two", "Three")
    assert block_of(document, "text").heading == ("Report", "One", "By hand")
    assert document.title == "Report"


@pytest.mark.parametrize(
    "title", ["", "Document1", "Microsoft Word - x", "untitled", "offer.doc", "文档1", "Word Document"]
)
def test_titles_that_say_nothing_are_not_believed(title: str) -> None:
    core = f'<c xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></c>'
    members = {**docx_members(par("Real", "T"), {"styles": STYLES}), "docProps/core.xml": core}
    assert parse_docx(zip_of(members)).title == "Real"


NUMBERING = """
<w:abstractNum w:abstractNumId="0">
  <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
  <w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%2)"/></w:lvl>
  <w:lvl w:ilvl="2"><w:start w:val="4"/><w:numFmt w:val="lowerRoman"/><w:lvlText w:val="%1.%2.%3"/></w:lvl>
</w:abstractNum>
<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="\uf0b7"/></w:lvl>
</w:abstractNum>
<w:abstractNum w:abstractNumId="2"><w:lvl w:ilvl="0"><w:numFmt w:val="chineseCounting"/><w:pStyle w:val="1"/>
  <w:lvlText w:val="第%1章"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>
<w:num w:numId="2"><w:abstractNumId w:val="0"/>
  <w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>
<w:num w:numId="3"><w:abstractNumId w:val="1"/></w:num>
<w:num w:numId="4"><w:abstractNumId w:val="2"/></w:num>
<w:num w:numId="5"><w:abstractNumId w:val="0"/>
  <w:lvlOverride w:ilvl="0"><w:lvl w:ilvl="0"><w:lvlText w:val="%1"/></w:lvl></w:lvlOverride>
  <w:lvlOverride w:ilvl="1"><w:lvl w:ilvl="1"><w:pStyle w:val="1"/><w:lvlText w:val="%1.%2"/></w:lvl>
  </w:lvlOverride></w:num>
"""


def test_lists_are_numbered_and_nested() -> None:
    body = item("a", 1) + item("b", 1, 1) + item("c", 1, 1) + item("d", 1, 2) + item("e", 1) + item("f", 1, 1)
    body += item("g", 2) + item("h", 1) + item("dot", 3) + item("none", 0) + item("unknown", 99) + par("n", "Numbered")
    assert shown(body, numbering=NUMBERING, styles=STYLES) == [
        *("1. a", "  a) b", "  b) c", "    1.b.iv d", "2. e", "  a) f"),
        *("7. g", "8. h", "- dot", "none", "- unknown", "9. n"),
    ]


def test_articles_are_counted_through_all_chapters() -> None:
    level = '<w:lvl w:ilvl="{}"><w:numFmt w:val="chineseCounting"/>{}<w:lvlText w:val="{}"/></w:lvl>'
    levels = level.format(0, "", "第%1章") + level.format(1, '<w:lvlRestart w:val="0"/>', "第%2条")
    levels += level.format(2, "", "（%3）") + level.format(3, '<w:lvlRestart w:val="1"/>', "%4、")
    numbering = f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
    numbering += '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    body = "".join(item(f"d{depth}", 1, depth) for depth in (0, 1, 2, 3, 1, 2, 3, 0, 1, 2, 3))
    assert [line.split()[0] for line in shown(body, numbering=numbering)] == [
        *("第一章", "第一条", "（一）", "一、", "第二条", "（一）", "二、"),
        *("第二章", "第三条", "（一）", "一、"),
    ]


def test_headings_show_their_number() -> None:
    document = read(
        item("总则", 4, style="1") + par("x") + item("附则", 4, style="1"), numbering=NUMBERING, styles=STYLES
    )
    assert texts(document, "heading") == ["第一章 总则", "第二章 附则"]
    itself = read(item("x", 5, 0, "1") + item("y", 5, 1, "1"), numbering=NUMBERING, styles=STYLES)
    assert texts(itself, "heading") == ["1 x", "1.1 y"], "the level that a paragraph names is the one that counts"
    assert document.blocks[1].heading == ("第一章 总则",)


def test_a_deleted_item_takes_no_number() -> None:
    numbered = '<w:numPr><w:numId w:val="1"/></w:numPr><w:rPr><w:del w:id="1"/></w:rPr>'
    gone = par("<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>", "", numbered)
    assert shown(item("a", 1) + gone + item("b", 1), numbering=NUMBERING) == ["1. a", "2. b"]


@pytest.mark.parametrize(
    ("number", "form", "written"),
    [
        *((12, "decimal", "12"), (3, "decimalZero", "03"), (28, "lowerLetter", "bb"), (1994, "upperRoman", "MCMXCIV")),
        *((10, "chineseCounting", "十"), (12, "chineseCounting", "十二"), (105, "taiwaneseCounting", "一百零五")),
        *((3, "ideographTraditional", "丙"), (2, "decimalEnclosedCircle", "②"), (21, "decimalEnclosedCircle", "21")),
        *((10**9, "lowerLetter", "1000000000"), (4000, "lowerRoman", "4000"), (5, "klingon", "5"), (5, "none", "")),
    ],
)
def test_numbers_are_written_out(number: int, form: str, written: str) -> None:
    assert write_number(number, form) == written


def cell(text: str, properties: str) -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{par(text)}</w:tc>"


def test_tables_have_their_header_once_and_cells_in_their_columns() -> None:
    merged = cell("Both", '<w:gridSpan w:val="2"/>')
    above = cell("", '<w:gridSpan w:val="2"/><w:vMerge/>')
    document = read(
        table(
            row("Part", "Price", "Note"),
            row("Seal", "12", "<w:p/>"),
            f"<w:tr>{merged}<w:tc>{par('x')}</w:tc></w:tr>",
            f"<w:tr>{above}<w:tc>{par('13')}</w:tc></w:tr>",
            row("gone", "1", properties="<w:del/>"),
            row("hid", "1", properties="<w:hidden/>"),
        )
    )
    assert texts(document) == ["Part | Price | Note", "Seal | 12", "Both | | x", "Both | | 13"]
    assert [block.header for block in document.blocks] == ["", *["Part | Price | Note"] * 3]


def test_a_title_over_a_table_is_no_header_and_merged_headers_have_more_rows() -> None:
    two, all = ('<w:gridSpan w:val="2"/>', '<w:gridSpan w:val="5"/>')
    start, on = ('<w:vMerge w:val="restart"/>', "<w:vMerge/>")
    document = read(
        table(
            f"<w:tr>{cell('Sales', all)}</w:tr>",
            f"<w:tr>{cell('Region', start)}{cell('2024', two)}{cell('2025', two)}</w:tr>",
            f"<w:tr>{cell('', on)}{''.join(cell(name, '') for name in ('Plan', 'Real', 'Plan', 'Real'))}</w:tr>",
            f"<w:tr>{cell('North', start)}{''.join(cell(str(at), '') for at in range(4))}</w:tr>",
            f"<w:tr>{cell('', on)}{''.join(cell(str(at), '') for at in range(4, 8))}</w:tr>",
        )
    )
    header = "Region | 2024 | | 2025 / Region | Plan | Real | Plan | Real"
    assert [(document.text[block.start : block.end], block.header) for block in document.blocks] == [
        ("Sales", ""),
        ("Region | 2024 | | 2025", ""),
        ("Region | Plan | Real | Plan | Real", ""),
        ("North | 0 | 1 | 2 | 3", header),
        ("North | 4 | 5 | 6 | 7", header),
    ]


def test_marked_header_rows_are_joined() -> None:
    head = "<w:tblHeader/>"
    document = read(table(row("2024", "2025", properties=head), row("net", "gross", properties=head), row("1", "2")))
    assert document.blocks[2].header == "2024 | 2025 / net | gross"
    assert [block.header for block in document.blocks[:2]] == ["", ""]


def test_nested_tables_are_rows_of_their_own() -> None:
    inner = table(row("k", "v"), row("a", "1"))
    document = read(table(row("Name", "Data"), row("X", f"{par('see')}{inner}"), row("Y", "none")))
    assert texts(document) == ["Name | Data", "X | see", "k | v", "a | 1", "Y | none"]
    assert [block.header for block in document.blocks] == ["", "Name | Data", "", "k | v", "Name | Data"]


def test_tables_that_lay_out_the_page_are_read_as_text() -> None:
    document = read(table(row(par("Section", "1") + par("Words."))) + par("after"), styles=STYLES)
    assert [block.kind for block in document.blocks] == ["heading", "paragraph", "paragraph"]
    wide = table(row(par("Left", "1") + par("word " * 500), "Right"))
    assert [block.kind for block in read(wide, styles=STYLES).blocks] == ["heading", "paragraph", "paragraph"]


BOX = """<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wps:txbx><w:txbxContent>{0}</w:txbxContent>
</wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><w:txbxContent>{0}</w:txbxContent></w:pict></mc:Fallback>
</mc:AlternateContent></w:r>"""


def test_text_boxes_are_read_once_after_their_paragraph() -> None:
    box = BOX.format(par("In the box", "1"))
    assert shown(par(run("Before") + box + run(" and after")) + par("Next"), styles=STYLES) == [
        *("Before and after", "In the box", "Next")
    ]


def note(kind: str, id: int, more: str = "") -> str:
    return f'<w:r><w:{kind}Reference w:id="{id}" {more}/></w:r>'


NOTES = {
    "footnotes": f'<w:footnote w:id="-1" w:type="separator">{par("---")}</w:footnote>'
    f'<w:footnote w:id="2">{par("Under the foot")}{par("Second")}</w:footnote>'
    f'<w:footnote w:id="3">{par(run("Loop") + note("footnote", 3))}</w:footnote>',
    "endnotes": f'<w:endnote w:id="1">{par("At the end")}</w:endnote>',
    "comments": f'<w:comment w:id="0" w:author="Ann  Lee">{par("Really?")}</w:comment>'
    f'<w:comment w:id="1">{par("Who?")}</w:comment>',
}


def test_notes_and_comments_follow_what_they_belong_to() -> None:
    body = par("H", "1") + par(run("First") + note("footnote", 3) + note("comment", 0) + run("."))
    body += table(row("a", par(run("b") + note("footnote", 2))), row("c", "d"))
    body += par(run("Last") + note("endnote", 1) + note("comment", 1) + note("footnote", 99))
    document = read(body, styles=STYLES, **NOTES)
    found = [(text, block.heading[1:]) for text, block in zip(texts(document), document.blocks, strict=True)]
    assert found == [
        ("H", ()),
        ("First.", ()),
        ("Loop", ("Footnote 1",)),
        ("Really?", ("Comment by Ann Lee",)),
        ("a | b", ()),
        ("Under the foot", ("Footnote 2",)),
        ("Second", ("Footnote 2",)),
        ("c | d", ()),
        ("Last", ()),
        ("At the end", ("Endnote 1",)),
        ("Who?", ("Comment by somebody",)),
    ]


def test_headers_and_footers_stand_once_at_the_end() -> None:
    section = "".join(
        f'<w:{kind}Reference w:type="{when}" r:id="{id}"/>'
        for kind, when, id in (
            *(("header", "default", "header1"), ("header", "first", "header2"), ("header", "even", "header3")),
            *(("footer", "default", "footer1"), ("footer", "default", "footer1")),
        )
    )
    page = '<w:fldSimple w:instr=" PAGE ">' + run("7") + "</w:fldSimple>"
    parts = {
        **{"header1": par("Hallowfen"), "header2": par("Cover"), "header3": par("Even")},
        "footer1": par(run("Confidential ") + page),
    }
    document = read(par("H", "1") + par("x") + f"<w:sectPr>{section}</w:sectPr>", styles=STYLES, **parts)
    assert texts(document) == ["H", "x", "Hallowfen", "Confidential"]
    assert [block.heading for block in document.blocks[2:]] == [("Header",), ("Footer",)]
    with_cover = read(par("x") + f"<w:sectPr>{section}<w:titlePg/></w:sectPr>", **parts)
    assert "Cover" in texts(with_cover) and "Even" not in texts(with_cover)


def field(code: str, result: str, data: str = "") -> str:
    def mark(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}">{data if kind == "begin" else ""}</w:fldChar></w:r>'

    shown = mark("separate") + result if result else ""
    return f"{mark('begin')}<w:r><w:instrText>{code}</w:instrText></w:r>{shown}{mark('end')}"


def box(state: str) -> str:
    return field("FORMCHECKBOX", "", f"<w:ffData><w:checkBox><w:sizeAuto/>{state}</w:checkBox></w:ffData>")


def choice(result: str) -> str:
    entries = '<w:listEntry w:val="by hand"/><w:listEntry w:val="by post"/>'
    return field("FORMDROPDOWN", "", f"<w:ffData><w:ddList>{result}{entries}</w:ddList></w:ffData>")


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ("<w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>", "new"),
        ("<w:moveFrom>" + run("there") + "</w:moveFrom><w:moveTo>" + run("here") + "</w:moveTo>", "here"),
        (run("a") + "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>" + run("b"), "ab"),
        ('<w:r><w:rPr><w:rStyle w:val="Gone"/></w:rPr><w:t>no</w:t></w:r>' + run("b"), "b"),
        ('<w:r><w:rPr><w:rStyle w:val="Gone"/><w:vanish w:val="0"/></w:rPr><w:t>yes</w:t></w:r>', "yes"),
        ("<w:r><w:rPr><w:rPrChange><w:rPr><w:vanish/></w:rPr></w:rPrChange></w:rPr><w:t>was</w:t></w:r>", "was"),
        (field('HYPERLINK "http://x"', run("our shop")), "our shop"),
        (run("a") + field("XE index entry", "") + run("b"), "ab"),
        (field("IF " + field("DATE", run("inner")), run("outer")), "outer"),
        (run("p. ") + field(" NUMPAGES ", run("12")), "p."),
        ('<w:r><w:fldChar w:fldCharType="begin"/></w:r>' + run("lost"), ""),
        (
            box('<w:default w:val="0"/>') + run(" Urgent ") + box('<w:default w:val="1"/>') + run(" Routine"),
            "☐ Urgent ☒ Routine",
        ),
        (box('<w:default w:val="1"/><w:checked w:val="0"/>') + box("<w:checked/>"), "☐☒"),
        (choice('<w:result w:val="1"/>'), "by post"),
        (choice(""), "by hand"),
        (choice('<w:result w:val="2"/>') + choice('<w:result w:val="-1"/>'), ""),
        ('<w:hyperlink r:id="x"><w:r><w:t>link</w:t></w:r></w:hyperlink>', "link"),
        ("<w:sdt><w:sdtPr/><w:sdtContent>" + run("filled") + "</w:sdtContent></w:sdt>", "filled"),
        ("<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>" + run("Click") + "</w:sdtContent></w:sdt>", ""),
        ("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r>", "a b\nc"),
        (
            "<w:r><w:t>well</w:t><w:noBreakHyphen/><w:t>known co</w:t><w:softHyphen/><w:t>op</w:t></w:r>",
            "well-known coop",
        ),
        ('<w:r><w:sym w:font="Symbol" w:char="F061"/><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>', "α✓"),
        ('<w:r><w:sym w:font="Wingdings 2" w:char="0052"/><w:sym w:font="Wingdings 2" w:char="F0A3"/></w:r>', "☑☐"),
        ('<w:r><w:sym w:font="X" w:char="00B5"/><w:sym w:char="zz"/><w:sym w:char="D800"/></w:r>', "µ"),
        ("<w:r><w:ruby><w:rt>" + run("kan") + "</w:rt><w:rubyBase>" + run("漢") + "</w:rubyBase></w:ruby></w:r>", "漢"),
        (
            "<m:oMath><m:r><m:t>E=</m:t></m:r><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r>"
            "</m:den></m:f><m:d><m:e><m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup>"
            "</m:sSup></m:e></m:d></m:oMath>",
            "E=a/b(x^2)",
        ),
    ],
)
def test_what_a_paragraph_shows(runs: str, text: str) -> None:
    assert shown(par(runs) + par("END"), styles=STYLES) == [*([text] if text else []), "END"]


def test_hidden_paragraphs_and_content_controls() -> None:
    control = f"<w:sdt><w:sdtContent>{par('In a control')}{table(row('a', 'b'))}</w:sdtContent></w:sdt>"
    assert shown(par("secret", "Secret") + control, styles=STYLES) == ["In a control", "a | b"]


def test_docm_strict_and_dangling_targets_are_read() -> None:
    """All three are refused by python-docx."""
    dangling = '<Relationship Id="z" Type="x/image" Target="NULL"/>'
    members = docx_members(par("sound"), more_rels=dangling)
    types = str(members["[Content_Types].xml"]).replace(
        "/>", "><Override ContentType='macroEnabled.main+xml'/></Types>"
    )
    members |= {"[Content_Types].xml": types, "word/vbaProject.bin": b"\0macro"}
    strict = {
        name: str(content)
        .replace(
            "http://schemas.openxmlformats.org/wordprocessingml/2006", "http://purl.oclc.org/ooxml/wordprocessingml"
        )
        .replace("http://schemas.openxmlformats.org/officeDocument/2006", "http://purl.oclc.org/ooxml/officeDocument")
        for name, content in docx_members(par("sound", "1"), {"styles": STYLES}).items()
    }
    assert parse_docx(zip_of(members)).text == "sound"
    assert parse_docx(zip_of(strict)).blocks[0].kind == "heading"


def test_links_out_of_the_container_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.xml").write_text("<x/>")
    out = f"../../../../../..{tmp_path}/secret.xml"
    rels = f'<Relationship Id="s" Type="x/footnotes" Target="{out}"/>'
    rels += f'<Relationship Id="t" Type="x/comments" TargetMode="External" Target="file://{tmp_path}/secret.xml"/>'
    document = parse_docx(zip_of(docx_members(par("x"), more_rels=rels)))
    assert document.text == "x"
    (warning,) = document.warnings
    assert "lacks" in warning, "only the one that says it lies inside is missed"


def test_charts_and_diagrams_follow_their_paragraph() -> None:
    def drawn(name: str, id: str) -> str:
        return f'<w:r><w:drawing><x:{name} xmlns:x="urn:x" {id}/></w:drawing></w:r>'

    rels = '<Relationship Id="c" Type="x/chart" Target="c.xml"/><Relationship Id="d" Type="x/data" Target="d.xml"/>'
    point = '<pt idx="0"><v>{}</v></pt>'
    series = f"<ser><tx><v>Sales</v></tx><cat>{point.format('North')}</cat><val>{point.format(5)}</val></ser>"
    diagram = '<dataModel><ptLst><pt modelId="1"><t><p><r><t>Order</t></r></p></t></pt></ptLst></dataModel>'
    body = par(run("before") + drawn("chart", 'r:id="c"')) + table(
        row("k", "v"), row("x", par(run("y") + drawn("relIds", 'r:dm="d"')))
    )
    members = docx_members(body + par("after"), more_rels=rels) | {
        "word/c.xml": f"<c><chart><plotArea><barChart>{series}</barChart></plotArea></chart></c>",
        "word/d.xml": diagram,
    }
    document = parse_docx(zip_of(members))
    assert texts(document) == ["before", "| Sales", "North | 5", "k | v", "x | y", "Order", "after"]
    assert block_of(document, "North").header == "| Sales" and block_of(document, "Order").kind == "list_item"


def test_parts_that_cannot_be_read_are_a_warning() -> None:
    members = docx_members(par(run("x") + note("footnote", 2)) + '<w:altChunk r:id="q"/>', NOTES)
    document = parse_docx(zip_of({**members, "word/footnotes.xml": "<broken"}))
    assert document.text == "x"
    assert document.warnings == (
        "a part could not be read (broken: word/footnotes.xml is no sound XML)",
        "1 file put into it could not be read",
    )


def test_a_file_that_is_but_another_file_says_so() -> None:
    with pytest.raises(ParseFailed, match="no text but in another file put into it") as failed:
        parse_docx(docx_of('<w:altChunk r:id="q"/>'))
    assert failed.value.hint == "save it with a word processor"


def without(name: str) -> bytes:
    return zip_of({key: value for key, value in docx_members(par("x")).items() if key != name})


def test_what_cannot_be_read_says_why() -> None:
    whole = docx_of(par("x"))
    assert reason(parse_docx, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest") == (
        "it is locked by a password, or an old .doc under a new name"
    )
    assert reason(parse_docx, whole[: len(whole) // 2]) == "broken: it is no ZIP container"
    assert reason(parse_docx, without("word/document.xml")) == "broken: it lacks word/document.xml"
    assert parse_docx(without("_rels/.rels")).text == "x"
    assert reason(parse_docx, docx_of("")) == "no text"
    assert reason(parse_docx, zip_of({**docx_members("<w:p/>"), "word/media/a.png": b"x"})) == "no text, only pictures"
    assert reason(parse_docx, zip_of({**docx_members(""), "word/document.xml": "<x/>"})) == (
        "broken: it is no Word document"
    )


def test_bombs_and_depths_are_bounded() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [{entities}]><x>&e11;</x>'
    xxe = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'
    assert reason(parse_docx, zip_of({**docx_members(""), "word/document.xml": bomb})).startswith("broken:")
    assert "entities" in reason(parse_docx, zip_of({**docx_members(""), "word/document.xml": xxe}))
    assert "ZIP bomb" in reason(parse_docx, docx_of(" " * 120_000_000))
    deep = "<w:tbl><w:tr><w:tc>" * 2000 + par("x") + "</w:tc></w:tr></w:tbl>" * 2000
    assert reason(parse_docx, docx_of(deep)).startswith("broken:")
    nested = "<w:tbl><w:tr><w:tc>" * 80 + par("x") + "</w:tc></w:tr></w:tbl>" * 80
    assert shown(nested) == ["x"]
    wide = "".join(f"<w:tbl><w:tr><w:tc>{par(str(n))}</w:tc><w:tc>" for n in range(80))
    assert len(shown(wide + par("x") + "</w:tc></w:tr></w:tbl>" * 80)) == 80, "a row for each, the innermost with x"


def test_numbers_that_nobody_means_are_bounded() -> None:
    level = '<w:lvl w:ilvl="0"><w:start w:val="999999999"/><w:numFmt w:val="lowerLetter"/>'
    level += f'<w:lvlText w:val="{"%1" * 9999}"/></w:lvl>'
    numbering = f'<w:abstractNum w:abstractNumId="0">{level}</w:abstractNum>'
    numbering += '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    document = read(item("x", 1) + item("y", 1, 9**9), numbering=numbering)
    assert len(document.text) < 1000


BODY = (
    par("Title", "T")
    + item("一", 4, style="1")
    + item("a", 1)
    + item("b", 1, 2)
    + par(run("First") + note("footnote", 2) + note("comment", 0) + field("DATE", run("today")))
    + table(row("a", "b", properties="<w:tblHeader/>"), row("c", par(BOX.format(par("boxed")))))
    + '<w:sectPr><w:headerReference w:type="default" r:id="header1"/></w:sectPr>'
)


@pytest.mark.parametrize(
    "part", ["word/document.xml", "word/styles.xml", "word/numbering.xml", "word/_rels/document.xml.rels"]
)
def test_damaged_copies_are_read_or_fail_with_a_reason(part: str) -> None:
    members = docx_members(BODY, {"styles": STYLES, "numbering": NUMBERING, "header1": par("top"), **NOTES})
    assert_read_or_failed(parse_docx, mutated(members, part, seed=len(part)))


def test_a_long_document_is_read_in_seconds() -> None:
    body = "".join(par(f"Chapter {n}", "1") if n % 20 == 0 else par("Some words of text. " * 10) for n in range(6000))
    body += table(*(row("one", "two", f"{n}") for n in range(200)))
    data = docx_of(body, {"styles": STYLES, "numbering": NUMBERING})
    started = time.perf_counter()
    document = parse_docx(data)
    assert len(document.blocks) == 6200 and time.perf_counter() - started < 5
