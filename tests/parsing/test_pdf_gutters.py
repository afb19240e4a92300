"""Tables of words are told by the white that their rows share; prose, lists and contents are not taken for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from fpdf import FPDF
from parsing.parsing_helpers import check_blocks, make_pdf, raw_pdf, raw_stream

from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import parse_pdf
from ragcli.records import Document

PLACES = (20.0, 70.0, 130.0)
TEAMS = [("Part", "Interval", "Team"), ("Pump", "monthly", "Ann and Bo"), ("Wheel and axle", "yearly", "Cy")]
PROSE = "The wheel turns the stones, and the stones grind what the farmers bring in their sacks on every market day."

Draw = Callable[[FPDF], None]


def read(draw: Draw) -> Document:
    def write(pdf: FPDF) -> None:
        pdf.add_page()
        draw(pdf)

    document = parse_pdf(make_pdf(write), Limits(10))
    check_blocks(document)
    return document


def table(pdf: FPDF, top: float, rows: Sequence[Sequence[str]], step: float = 7) -> None:
    for at, row in enumerate(rows):
        for place, cell in zip(PLACES, row, strict=False):
            pdf.text(place, top + step * at, cell)


def rows_of(document: Document) -> list[tuple[str, str]]:
    return [(document.text[b.start : b.end], b.header) for b in document.blocks if b.kind == "table_row"]


def test_a_table_of_words_has_rows_under_its_header() -> None:
    def draw(pdf: FPDF) -> None:
        pdf.text(20, 20, PROSE)
        table(pdf, 40, TEAMS)
        pdf.text(20, 80, PROSE)

    document = read(draw)
    assert rows_of(document) == [
        ("Part Interval Team", ""),
        ("Pump monthly Ann and Bo", "Part Interval Team"),
        ("Wheel and axle yearly Cy", "Part Interval Team"),
    ]
    assert [b.kind for b in document.blocks] == ["paragraph", "table_row", "table_row", "table_row", "paragraph"]


def chinese_pdf(*texts: tuple[float, float, str]) -> bytes:
    """Return a PDF with texts at places in points, in a Chinese font of type 10 that is not embedded."""
    drawn = b"".join(
        b"BT /F1 10 Tf 1 0 0 1 %g %g Tm <%s> Tj ET\n" % (x, y, text.encode("utf-16-be").hex().encode())
        for x, y, text in texts
    )
    return raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>",
        raw_stream(drawn),
        b"<</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UTF16-H/DescendantFonts[6 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/DW 1000/FontDescriptor 7 0 R"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 4>>>>",
        b"<</Type/FontDescriptor/FontName/STSong-Light/Flags 4/FontBBox[0 -120 1000 880]/ItalicAngle 0"
        b"/Ascent 880/Descent -120/CapHeight 880/StemV 80>>",
    )


def test_chinese_cells_need_little_white() -> None:
    rows = [("部件", "周期", "负责人"), ("水泵", "每月一次", "张三"), ("阀门", "每年", "李四")]
    cells = [
        (x, 700 - 15 * at, cell) for at, row in enumerate(rows) for x, cell in zip((50, 75, 120), row, strict=True)
    ]
    prose = (50.0, 600.0, "水泵每九十天检查一次并登记编号，仓库保管员负责核对发票和报表。")
    document = parse_pdf(chinese_pdf(*cells, prose), Limits(10))
    check_blocks(document)
    assert rows_of(document) == [
        ("部件 周期 负责人", ""),
        ("水泵 每月一次 张三", "部件 周期 负责人"),
        ("阀门 每年 李四", "部件 周期 负责人"),
    ]


def test_cells_of_two_columns_and_of_two_lines() -> None:
    rows = [
        ("Warranty:", "two years"),
        ("Place of delivery:", "the mill at the upper"),
        ("", "pond"),
        ("Carrier:", "Bo"),
    ]
    assert rows_of(read(lambda pdf: table(pdf, 40, rows))) == [
        ("Warranty: two years", ""),
        ("Place of delivery: the mill at the upper", ""),
        ("pond", ""),
        ("Carrier: Bo", ""),
    ]


def test_a_table_goes_on_under_its_header_on_the_next_page() -> None:
    def pages(second: float) -> list[tuple[str, str]]:
        def write(pdf: FPDF) -> None:
            pdf.add_page()
            table(
                pdf, 240, [("Part", "Interval", "Age"), ("Pump", "monthly", "4 years"), ("Wheel", "yearly", "9 years")]
            )
            pdf.add_page()
            pdf.text(second, 20, "Stone")
            pdf.text(second + 50, 20, "weekly")
            pdf.text(second + 110, 20, "7 years")
            for at, row in enumerate((("Axle", "daily", "2 years"), ("Pond", "never", "80 years"))):
                for place, cell in zip((0, 50, 110), row, strict=True):
                    pdf.text(second + place, 27 + 7 * at, cell)

        return rows_of(parse_pdf(make_pdf(write), Limits(10)))[3:]

    texts = ["Stone weekly 7 years", "Axle daily 2 years", "Pond never 80 years"]
    assert pages(20) == [(text, "Part Interval Age") for text in texts]
    assert pages(30) == [(text, "") for text in texts], "another place is another table"


def test_a_table_in_larger_or_bold_type_is_no_heading() -> None:
    def draw(pdf: FPDF) -> None:
        for at in range(12):
            pdf.text(20, 100 + 5 * at, PROSE)
        pdf.set_font("helvetica", "B", 14)
        table(pdf, 40, TEAMS)

    document = read(draw)
    assert len(rows_of(document)) == 3
    assert {block.heading for block in document.blocks} == {()}


def test_a_table_above_two_columns_stays_whole() -> None:
    def draw(pdf: FPDF) -> None:
        table(pdf, 30, [*TEAMS, ("Stone", "never", "Di")], step=5)
        for at in range(14):
            pdf.text(20, 50 + 5 * at, f"left line {at} tells of the mill and its wheel")
            pdf.text(110, 50 + 5 * at, f"right line {at} goes on with the pond and fish")

    lines = read(draw).text.split("\n")
    assert lines[1:4] == ["Pump monthly Ann and Bo", "Wheel and axle yearly Cy", "Stone never Di"]
    assert [line.split()[0] for line in lines[4:]] == ["left"] * 14 + ["right"] * 14


def stretched(pdf: FPDF) -> None:
    """Lines that fill a narrow column, with as much white between the words as that takes."""
    for at, words in enumerate((("The", "wheel", "turns"), ("the", "heavy", "stones"), ("and", "grinds", "them"))):
        white = (90 - sum(map(pdf.get_string_width, words))) / 2
        left = 20.0
        for word in words:
            pdf.text(left, 40 + 5 * at, word)
            left += pdf.get_string_width(word) + white


@pytest.mark.parametrize(
    "draw",
    [
        stretched,
        lambda pdf: table(pdf, 40, [(f"{at}.", "the wheel turns the stones") for at in range(1, 6)]),
        lambda pdf: table(pdf, 40, [("\x95", "the wheel turns"), ("\x95", "the stones grind"), ("\x95", "so it goes")]),
        lambda pdf: table(pdf, 40, [(f"{word} . . . . . . . .", f"{at}") for at, word in enumerate("abcde")]),
        lambda pdf: table(pdf, 40, [("The wheel", "turns"), ("and", "the stones")]),
        lambda pdf: table(pdf, 40, [("The wheel", "turns"), (PROSE,), ("and", "the stones"), (PROSE,), ("go", "on")]),
    ],
    ids=["stretched", "numbers", "bullets", "contents", "two rows", "prose between"],
)
def test_what_is_no_table(draw: Draw) -> None:
    assert rows_of(read(draw)) == []


def test_the_marks_of_a_list_that_are_drawn_last_stand_before_their_texts() -> None:
    def draw(pdf: FPDF) -> None:
        for at, text in enumerate(("first the wheel", "then the stones", "last the sacks")):
            pdf.text(30, 40 + 7 * at, text)
        for at in range(3):
            pdf.text(22, 40 + 7 * at, "\x95")

    document = read(draw)
    assert document.text.split("\n") == ["• first the wheel", "• then the stones", "• last the sacks"]
    assert [block.kind for block in document.blocks] == ["list_item"] * 3
