"""Excel workbooks: what the cells show, tables under their headers, bounds on what a sheet claims."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import openpyxl
import pytest
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.worksheet.table import Table
from parsing.office_helpers import BOMB, mutated, outcome, pack, relations_of, unpack
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.office.xlsx import parse_xlsx
from ragcli.records import Document

SAMPLES = Path(__file__).parents[2] / "sample_docs"
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
IDS = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


def saved(book: openpyxl.Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def book_of(*rows: tuple[object, ...]) -> bytes:
    """Return a workbook of one sheet, `Data`, with these rows."""
    book = openpyxl.Workbook()
    book.active.title = "Data"
    for row in rows:
        book.active.append(row)
    return saved(book)


def by_hand(rows: str, behind: str = "", strings: str = "", styles: str = "", relations: str = "") -> bytes:
    """Return a workbook of one sheet, `S`, whose XML is given."""
    parts = {
        "_rels/.rels": relations_of(("officeDocument", "/xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook {MAIN} {IDS}><sheets><sheet name="S" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations_of(
            ("worksheet", "worksheets/sheet1.xml"), ("sharedStrings", "sharedStrings.xml"), ("styles", "styles.xml")
        ),
        "xl/sharedStrings.xml": f"<sst {MAIN}>{strings}</sst>",
        "xl/styles.xml": f"<styleSheet {MAIN}>{styles}</styleSheet>",
        "xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData>{rows}</sheetData>{behind}</worksheet>",
    }
    return pack(parts | ({"xl/worksheets/_rels/sheet1.xml.rels": relations} if relations else {}))


def word(reference: str, text: str) -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t>{text}</t></is></c>'


def headers(document: Document) -> dict[str, str]:
    return {document.text[b.start : b.end]: b.header for b in document.blocks if b.kind == "table_row"}


def test_sample() -> None:
    document = parse_xlsx((SAMPLES / "sales" / "租赁设备价格2025.xlsx").read_bytes())
    check_blocks(document)
    row = block_of(document, "VC-8S 控制器 | 10 | 40 | 210 | 600 | 2500")
    assert row.heading == ("租赁价格",)
    assert row.header == "设备 | 可租数量 | 日租金（元） | 周租金（元） | 月租金（元） | 押金（元）"
    assert texts(document, "heading") == ["租赁价格", "租赁规则", "损坏赔偿"]
    assert document.warnings == () and document.pages is None


def test_cells_are_what_a_person_sees() -> None:
    book = openpyxl.Workbook()
    cells: list[tuple[object, str]] = [
        (datetime(2025, 1, 31), "dd.mm.yyyy"),
        (datetime(2025, 1, 31, 13, 45), "General"),
        (0.125, "0.0%"),
        (1234.5, '"£"#,##0.00'),
        (timedelta(hours=27), "[h]:mm"),
        (True, "General"),
        ("=1/0", "General"),
        ("007", "@"),
        ("two\nlines", "General"),
    ]
    for column, (value, code) in enumerate(cells, 1):
        book.active.cell(1, column, f"name {column}")
        book.active.cell(2, column, value)
        if code != "General":
            book.active.cell(2, column).number_format = code
    document = parse_xlsx(saved(book))
    assert texts(document, "table_row")[1] == (
        "2025-01-31 | 2025-01-31 13:45 | 12.5% | £1,234.50 | 27:00 | TRUE | =1/0 | 007 | two lines"
    )
    assert document.warnings == ("1 formula has no stored value; the formula stands in its place",)


def test_formulas_show_their_stored_value_and_errors_their_name() -> None:
    row = (
        '<c t="str"><f>A2</f><v>word</v></c><c><f>1+1</f><v>2</v></c><c t="e"><v>#N/A</v></c>'
        '<c><f t="shared" si="0"/></c><c t="str"><f>B1</f><v></v></c>'
        '<c t="b"><v>0</v></c><c t="d"><v>2025-01-31</v></c>'
    )
    document = parse_xlsx(by_hand(f"<row>{row}</row>"))
    assert texts(document, "table_row") == ["word | 2 | #N/A | FALSE | 2025-01-31"]
    assert document.warnings == ()


def test_strings_have_runs_and_no_pronunciation() -> None:
    strings = "<si><r><t>東</t></r><r><t>京</t></r><rPh sb='0' eb='1'><t>トウキョウ</t></rPh></si>"
    assert parse_xlsx(by_hand('<row><c t="s"><v>0</v></c></row>', strings=strings)).text == "S\n\n東京"


def test_characters_that_are_written_as_codes() -> None:
    document = parse_xlsx(by_hand(f"<row>{word('', 'one_x000D_&#10;two _x005F_x41')}</row>"))
    assert document.text == "S\n\none two _x41"


def test_a_broken_sheet_costs_neither_the_rows_above_the_damage_nor_the_other_sheets() -> None:
    book = openpyxl.Workbook()
    for name in ("First", "Second", "Third"):
        sheet = book.active if name == "First" else book.create_sheet()
        sheet.title = name
        for row in range(1, 4):
            sheet.append((f"{name} {row}",))
    parts = unpack(saved(book))
    first = "xl/worksheets/sheet1.xml"
    parts[first] = parts[first].replace(b'<row r="3"', b'\x0c<row r="3"')
    del parts["xl/worksheets/sheet2.xml"]
    document = parse_xlsx(pack(parts))
    assert texts(document, "table_row") == ["First 1", "First 2", "Third 1", "Third 2", "Third 3"]
    assert document.warnings == (
        "sheet First was not read to its end (broken: xl/worksheets/sheet1.xml is no sound XML)",
        "sheet Second was not read to its end (broken: it lacks xl/worksheets/sheet2.xml)",
    )


def test_titles_stand_above_and_tables_apart() -> None:
    document = parse_xlsx(
        book_of(
            (),
            (None, "Stock list"),
            (None, "as of", "May"),
            (None, "Part", "Place", "Pieces", 2024),
            (None, "Seal", "A 1", 12, 3),
            (None, "Ring", None, 7),
            (),
            (None, "Total", None, 19),
            (),
            (None, None, None, None, None, None, "Colour", "Code"),
            (None, None, None, None, None, None, "red", 5),
        )
    )
    check_blocks(document)
    assert texts(document, "paragraph") == ["Stock list", "as of | May"]
    assert headers(document) == {
        "Part | Place | Pieces | 2024": "",
        "Seal | A 1 | 12 | 3": "Part | Place | Pieces | 2024",
        "Ring | | 7": "Part | Place | Pieces | 2024",
        "Total | | 19": "Part | Place | Pieces | 2024",
        "Colour | Code": "",
        "red | 5": "Colour | Code",
    }


def test_rows_of_words_after_a_gap_stay_under_a_bold_header() -> None:
    book = openpyxl.Workbook()
    for row in [("Term", "Meaning"), ("GW", "gateway"), (), ("FP", "probe"), ("VC", "valve")]:
        book.active.append(row)
    for cell in book.active[1]:
        cell.font = Font(bold=True)
    assert set(headers(parse_xlsx(saved(book))).values()) == {"", "Term | Meaning"}


def test_a_form_has_no_header() -> None:
    document = parse_xlsx(book_of(("Name:", "Ann"), ("Place:", "Oslo")))
    assert headers(document) == {"Name: | Ann": "", "Place: | Oslo": ""}


def test_a_list_of_numbers_has_no_header() -> None:
    assert headers(parse_xlsx(book_of((1, 2), (3, 4)))) == {"1 | 2": "", "3 | 4": ""}


def test_excels_own_tables_and_filters_say_where_the_header_is() -> None:
    book = openpyxl.Workbook()
    for row in [(1, 2, 3), ("1", "2", "3"), (4, 5, 6), ("x", "y", "z"), (7, 8, 9)]:
        book.active.append(row)
    book.active.add_table(Table(displayName="T", ref="A2:C3"))
    book.active.auto_filter.ref = "A4:C5"
    assert headers(parse_xlsx(saved(book)))["4 | 5 | 6"] == "1 | 2 | 3"
    assert headers(parse_xlsx(saved(book)))["7 | 8 | 9"] == "x | y | z"


def test_merged_cells_name_columns_and_rows() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in [
        ("Region", 2024, None, 2025, None),
        (None, "Q1", "Q2", "Q1", "Q2"),
        ("North", 1, 2, 3, 4),
        (None, 5, 6, 7, 8),
        ("South", 9, 10, 11, 12),
    ]:
        sheet.append(row)
    for area in ("A1:A2", "B1:C1", "D1:E1", "A3:A4"):
        sheet.merge_cells(area)
    header = "Region | 2024 Q1 | 2024 Q2 | 2025 Q1 | 2025 Q2"
    found = headers(parse_xlsx(saved(book)))
    assert found["North | 1 | 2 | 3 | 4"] == found["North | 5 | 6 | 7 | 8"] == header
    assert found["South | 9 | 10 | 11 | 12"] == header


def test_a_title_merged_over_the_table_is_no_header_and_headers_have_up_to_three_rows() -> None:
    book = openpyxl.Workbook()
    for row in [
        ("资产负债表", None, None, None, None),
        ("单位：万元", None, None, None, None),
        ("项目", "2024年", None, None, None),
        (None, "上半年", None, "下半年", None),
        (None, "计划", "实际", "计划", "实际"),
        ("货币资金", 1.5, 2, 3, 4),
        ("应收账款", 5, 6, 7, 8),
    ]:
        book.active.append(row)
    for area in ("A1:E1", "A2:E2", "A3:A5", "B3:E3", "B4:C4", "D4:E4"):
        book.active.merge_cells(area)
    document = parse_xlsx(saved(book))
    assert texts(document, "paragraph") == ["资产负债表", "单位：万元"]
    header = "项目 | 2024年 上半年 计划 | 2024年 上半年 实际 | 2024年 下半年 计划 | 2024年 下半年 实际"
    found = headers(document)
    assert found["货币资金 | 1.5 | 2 | 3 | 4"] == found["应收账款 | 5 | 6 | 7 | 8"] == header


def test_months_name_columns_unless_dates_stand_under_them() -> None:
    months = [date(2025, month, 1) for month in (1, 2, 3)]
    found = headers(parse_xlsx(book_of(("Account", *months), ("Rent", 900, 900, 950), ("Heat", 80, 75, 60))))
    assert found["Heat | 80 | 75 | 60"] == "Account | 2025-01-01 | 2025-02-01 | 2025-03-01"
    found = headers(parse_xlsx(book_of(("Ann", *months), ("Bo", *months))))
    assert set(found.values()) == {""}


def test_wide_rows_name_every_cell() -> None:
    names = tuple(f"measured value number {at}" for at in range(40))
    document = parse_xlsx(book_of(names, tuple(range(1000, 1040))))
    row = block_of(document, "1039")
    assert row.header == ""
    assert document.text[row.start :].startswith("measured value number 0: 1000 | measured value number 1: 1001 | ")


def test_comments_and_threads() -> None:
    book = openpyxl.Workbook()
    book.active.title = "Prices"
    book.active["B4"] = "text"
    book.active["B4"].comment = Comment("Too dear.", "Ann")
    document = parse_xlsx(saved(book))
    assert block_of(document, "Too dear.").heading == ("Prices", "Comment by Ann on B4")

    parts = unpack(saved(book))
    parts["xl/comments/comment1.xml"] = parts["xl/comments/comment1.xml"].replace(b"Ann", b"tc={1}")
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = parts["xl/worksheets/_rels/sheet1.xml.rels"].replace(
        b"</Relationships>",
        b'<Relationship Id="t" Type="x/threadedComment" Target="../threads.xml"/></Relationships>',
    )
    parts["xl/threads.xml"] = b'<t><threadedComment ref="B4" personId="{1}"><text>Why?</text></threadedComment></t>'
    parts["xl/people.xml"] = b'<p><person id="{1}" displayName="Bo Li"/></p>'
    parts["xl/_rels/workbook.xml.rels"] = parts["xl/_rels/workbook.xml.rels"].replace(
        b"</Relationships>", b'<Relationship Id="p" Type="x/person" Target="people.xml"/></Relationships>'
    )
    document = parse_xlsx(pack(parts))
    assert block_of(document, "Why?").heading == ("Prices", "Comment by Bo Li on B4")
    assert "Too dear" not in document.text

    del parts["xl/threads.xml"]
    assert parse_xlsx(pack(parts)).warnings == ("the comments of sheet Prices are broken",)


def test_hidden_sheets_and_rows_are_read_and_told() -> None:
    book = openpyxl.Workbook()
    book.active.append(("seen",))
    rates = book.create_sheet("Rates")
    rates.append(("secret",))
    rates.sheet_state = "veryHidden"
    book.active.row_dimensions[1].hidden = True
    book.create_chartsheet("Chart")
    document = parse_xlsx(saved(book))
    assert "seen" in document.text and block_of(document, "secret").heading == ("Rates",)
    assert document.warnings == ("sheet Rates is hidden, and read all the same",)


def test_the_strict_variant_is_read() -> None:
    parts = unpack(book_of(("Part", "Net"), ("Seal", 5)))
    strict = {
        name: content.replace(
            b"http://schemas.openxmlformats.org/officeDocument/2006/", b"http://purl.oclc.org/ooxml/officeDocument/"
        ).replace(
            b"http://schemas.openxmlformats.org/spreadsheetml/2006/", b"http://purl.oclc.org/ooxml/spreadsheetml/"
        )
        for name, content in parts.items()
    }
    assert parse_xlsx(pack(strict)).text == parse_xlsx(pack(parts)).text == "Data\n\nPart | Net\nSeal | 5"


def test_claimed_sizes_are_never_walked() -> None:
    far = f'<row r="1">{word("A1", "a")}{word("B1", "b")}</row><row r="1048576">{word("XFD1048576", "far")}</row>'
    began = time.perf_counter()
    document = parse_xlsx(by_hand(far, '<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'))
    assert "far" in document.text and len(document.text) < 100
    empty = "".join(f'<row r="{at}"><c r="A{at}" s="1"/><c r="B{at}" s="1"/></row>' for at in range(2, 20_000))
    assert len(parse_xlsx(by_hand(f'<row r="1">{word("A1", "a")}</row>{empty}')).text) == 4
    sparse = "".join(f'<row r="{at}">{word("A1", "a")}{word("XFD1", "b")}</row>' for at in range(1, 2000))
    wide = f"<row r='2001'>{''.join(word('', 'n') for _ in range(16_384))}</row>"
    document = parse_xlsx(by_hand(wide.replace("2001", "1") + sparse.replace('r="1"', 'r="2000"')))
    assert len(document.text) < 200_000
    head = f"<row r='1'>{''.join(word(f'{letter}1', 'q' * 90) for letter in 'ABCDEFGHIJ')}</row>"
    tall = "".join(f'<mergeCell ref="{letter}1:{letter}99999"/>' for letter in "ABCDEFGHIJ")
    rows = "".join(f"<row r='{at}'>{word(f'K{at}', 'x')}</row>" for at in range(2, 6000))
    document = parse_xlsx(by_hand(head + rows, f"<mergeCells>{tall}</mergeCells>"))
    assert 2_000_000 < len(document.text) < 4_000_000
    assert time.perf_counter() - began < 20


def test_100_000_rows_take_bounded_time_and_memory() -> None:
    row = '<row r="{0}"><c r="A{0}"><v>{0}</v></c><c r="B{0}" t="s"><v>1</v></c><c r="C{0}" s="0"><v>2.5</v></c></row>'
    rows = "".join(row.format(at) for at in range(2, 100_001))
    head = '<row r="1"><c t="s"><v>0</v></c><c t="s"><v>1</v></c><c t="s"><v>2</v></c></row>'
    strings = "".join(f"<si><t>{name}</t></si>" for name in ("id", "place", "share"))
    data = by_hand(head + rows, strings=strings)
    began = time.process_time()
    document = parse_xlsx(data)
    assert time.process_time() - began < 20
    assert len(document.blocks) == 100_001 and document.blocks[-1].header == "id | place | share"


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no ZIP": (lambda: b"hello", "broken: it is no ZIP container"),
    "cut": (lambda: book_of(("a",))[:-100], "broken: it is no ZIP container"),
    "no workbook": (lambda: pack({"a": "b"}), "broken: it lacks xl/workbook.xml"),
    "no sheet": (
        lambda: pack({n: c for n, c in unpack(book_of(("a",))).items() if "sheet1" not in n}),
        "broken: it lacks xl/worksheets/sheet1.xml",
    ),
    "broken XML": (lambda: by_hand("<row><c>"), "broken: xl/worksheets/sheet1.xml is no sound XML"),
    "string out of range": (
        lambda: by_hand('<row><c t="s"><v>99</v></c></row>'),
        "broken: a cell asks for text 99 of 0",
    ),
    "negative string": (lambda: by_hand('<row><c t="s"><v>-1</v></c></row>'), "broken: a cell asks for text -1 of 0"),
    "locked": (
        lambda: bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 512 + "EncryptedPackage".encode("utf-16-le"),
        "it is locked by a password",
    ),
    "old": (
        lambda: bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 512,
        "it is locked by a password, or an old .xls under a new name",
    ),
    "empty": (lambda: saved(openpyxl.Workbook()), "no text"),
    "bomb": (lambda: pack({"xl/workbook.xml": "", "xl/a": b"0" * 60_000_000}), "it would unpack to 60 MB: a ZIP bomb?"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_fail_with_their_reason(name: str) -> None:
    make, reason = BAD[name]
    with pytest.raises(ParseFailed) as failed:
        parse_xlsx(make())
    assert failed.value.message == reason


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "xl/styles.xml"]
)
def test_entities_are_refused(part: str) -> None:
    parts = unpack(by_hand('<row><c t="s"><v>0</v></c></row>', strings="<si><t>a</t></si>", styles="<fonts></fonts>"))
    assert parse_xlsx(pack(parts)).text == "S\n\na"
    used = parts[part].replace(b"</", b"&a;</", 1)
    for declared, reason in ((BOMB, "entities|no sound XML"), ('<!DOCTYPE b [<!ENTITY a "x">]>', "entities")):
        with pytest.raises(ParseFailed, match=reason):
            parse_xlsx(pack(parts | {part: declared.encode() + used}))


def test_mutated_copies_do_no_harm() -> None:
    book = openpyxl.Workbook()
    for row in [("Part", "Net", "Date"), ("Seal", 1.5, datetime(2025, 1, 31)), ("Ring", "=1+1", True)]:
        book.active.append(row)
    book.active["B2"].comment = Comment("dear", "Ann")
    book.active.merge_cells("A3:B4")
    data = saved(book)
    began = time.perf_counter()
    outcomes = [outcome(parse_xlsx, mutated(data, seed)) for seed in range(200)]
    for found in outcomes:
        if isinstance(found, Document):
            check_blocks(found)
    assert {type(found) for found in outcomes} == {Document, str}
    assert time.perf_counter() - began < 60
