"""PowerPoint decks: slides as pages, reading order, lists, tables, charts, diagrams, notes and comments."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pptx
import pytest
from parsing.office_helpers import BOMB, mutated, outcome, pack, unpack
from parsing.parsing_helpers import block_of, check_blocks, texts
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from ragcli.errors import ParseFailed
from ragcli.parsing.office.pptx import parse_pptx
from ragcli.records import Document

SAMPLES = Path(__file__).parents[2] / "sample_docs"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
SLIDE = "ppt/slides/slide1.xml"


def deck_of(*fill: Callable[[Any], None], layout: int = 6) -> bytes:
    """Return a deck with one slide for each function, which fills it; layout 6 is empty, 1 has title and body."""
    deck = pptx.Presentation()
    for one in fill:
        one(deck.slides.add_slide(deck.slide_layouts[layout]))
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def box(slide: Any, text: str, left: float, top: float) -> Any:
    shape = slide.shapes.add_textbox(Inches(left), Inches(top), Inches(2), Inches(1))
    shape.text_frame.text = text
    return shape


def with_parts(data: bytes, relation: tuple[str, str, str], parts: dict[str, str], owner: str = SLIDE) -> bytes:
    """Return a deck with more parts; `relation` (id, kind, target) is one more of `owner`."""
    members = unpack(data)
    folder, _, name = owner.rpartition("/")
    path = f"{folder}/_rels/{name}.rels"
    row = f'<Relationship Id="{relation[0]}" Type="urn:x/{relation[1]}" Target="{relation[2]}"/></Relationships>'
    members[path] = members[path].replace(b"</Relationships>", row.encode())
    types = '<Default Extension="data" ContentType="application/octet-stream"/></Types>'
    members["[Content_Types].xml"] = members["[Content_Types].xml"].replace(b"</Types>", types.encode())
    return pack({**members, **parts})


def changed(data: bytes, old: str, new: str, part: str = SLIDE) -> bytes:
    members = unpack(data)
    assert old.encode() in members[part]
    return pack(members | {part: members[part].replace(old.encode(), new.encode())})


def test_sample() -> None:
    document = parse_pptx((SAMPLES / "sales" / "dealer-training-2025.pptx").read_bytes())
    check_blocks(document)
    assert document.pages == 7 and document.title == "Dealer training 2025" and document.warnings == ()
    fee = block_of(document, "Fee for Level 2: £240")
    assert (fee.page, fee.heading, fee.kind) == (4, ("Dates and fees",), "list_item")
    notes = block_of(document, "Two branches need two people.")
    assert (notes.page, notes.heading) == (2, ("Why certification", "Speaker notes"))
    assert block_of(document, "Hallowfen Instruments, sales").kind == "paragraph", "a subtitle is no list"
    assert texts(document, "heading").count("Demo kit") == 1


def test_shapes_are_read_as_they_stand_groups_in_their_place() -> None:
    def fill(slide: Any) -> None:
        box(slide, "last", 1, 6)
        box(slide, "right", 5, 1.05)
        group = slide.shapes.add_group_shape()
        inner = group.shapes.add_group_shape()
        box(inner, "inner low", 1, 3.5)
        box(inner, "inner high", 1, 3)
        box(group, "outer", 5, 3.1)
        box(slide, "left", 1, 1.1)

    assert texts(parse_pptx(deck_of(fill))) == ["left", "right", "inner high", "inner low", "outer", "last"]


def test_title_comes_first_and_furniture_is_left_out() -> None:
    def fill(slide: Any) -> None:
        slide.shapes.title.text = "Results"
        slide.shapes.title.top, slide.shapes.title.left = Inches(6), Inches(1)
        slide.shapes.title.width = slide.shapes.title.height = Inches(1)
        slide.placeholders[1].text_frame.text = "Body"
        number = box(slide, "7", 1, 7)
        number.element.nvSpPr.nvPr.append(pptx.oxml.parse_xml(f'<p:ph {NAMESPACES} type="sldNum" idx="12"/>'))

    document = parse_pptx(deck_of(fill, layout=1))
    assert document.text == "Results\n\nBody"
    assert [block.kind for block in document.blocks] == ["heading", "list_item"]


NAMESPACES = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'


def test_lists_have_levels_and_numbers() -> None:
    def fill(slide: Any) -> None:
        frame = slide.placeholders[1].text_frame
        for text, level, bullet in [
            ("plain", 0, ""),
            ("deeper", 2, ""),
            ("no bullet", 0, "<a:buNone {0}/>"),
            ("three", 0, '<a:buAutoNum {0} type="arabicPeriod" startAt="3"/>'),
            ("first of four", 1, '<a:buAutoNum {0} type="arabicPeriod"/>'),
            ("four", 0, '<a:buAutoNum {0} type="arabicPeriod" startAt="3"/>'),
            ("one again", 1, '<a:buAutoNum {0} type="arabicPeriod"/>'),
        ]:
            paragraph = frame.paragraphs[0] if text == "plain" else frame.add_paragraph()
            paragraph.text, paragraph.level = text, level
            if bullet:
                paragraph._p.get_or_add_pPr().append(pptx.oxml.parse_xml(bullet.format(f'xmlns:a="{DRAWING}"')))

    document = parse_pptx(deck_of(fill, layout=1))
    assert texts(document, "paragraph") == ["no bullet"]
    assert texts(document, "list_item") == [
        "plain",
        "–– deeper",
        "3. three",
        "– 1. first of four",
        "4. four",
        "– 1. one again",
    ]


def test_tables_have_a_header_and_merged_cells() -> None:
    def fill(slide: Any) -> None:
        table = slide.shapes.add_table(4, 3, 0, 0, Inches(5), Inches(2)).table
        for at, text in enumerate(["Region", "City", "Net", "North", "Oslo", "5", "", "Bergen", "6", "all", "", ""]):
            table.cell(at // 3, at % 3).text = text
        table.cell(1, 0).merge(table.cell(2, 0))
        table.cell(3, 0).merge(table.cell(3, 2))

    document = parse_pptx(deck_of(fill))
    assert texts(document) == ["Region | City | Net", "North | Oslo | 5", "North | Bergen | 6", "all"]
    assert [block.header for block in document.blocks] == ["", *["Region | City | Net"] * 3]


def test_charts_are_small_tables() -> None:
    def fill(slide: Any) -> None:
        data = CategoryChartData(number_format="0.0%")
        data.categories = ["Q1", "Q2"]
        data.add_series("North", (0.125, 0.25))
        data.add_series("South", (None, 0.5))
        frame = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(4), Inches(3), data)
        frame.chart.has_title = True
        frame.chart.chart_title.text_frame.text = "Share of sales"
        points = XyChartData()
        points.add_series("Flow").add_data_point(1.5, 20)
        slide.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, 0, Inches(4), Inches(4), Inches(3), points)

    document = parse_pptx(deck_of(fill))
    assert texts(document) == [
        "Share of sales",
        "| North | South",
        "Q1 | 12.5%",
        "Q2 | 25.0% | 50.0%",
        "| Flow",
        "1.5 | 20",
    ]
    assert block_of(document, "Q2").header.strip() == "| North | South"


def test_diagrams_are_lists_in_the_order_of_their_model() -> None:
    frame = (
        '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="9" name="d"/><p:cNvGraphicFramePr/><p:nvPr/>'
        '</p:nvGraphicFramePr><p:xfrm><a:off x="0" y="0"/><a:ext cx="1" cy="1"/></p:xfrm><a:graphic><a:graphicData '
        'uri="http://schemas.openxmlformats.org/drawingml/2006/diagram"><dgm:relIds xmlns:dgm="urn:d" r:dm="rId77"/>'
        "</a:graphicData></a:graphic></p:graphicFrame></p:spTree>"
    )
    points = "".join(
        f'<pt modelId="{name}"><t><p><r><t>{text}</t></r></p></t></pt>'
        for name, text in [
            ("0", ""),
            ("3", "Ship"),
            ("1", "Order"),
            ("2", "Pack"),
            ("4", "by sea"),
            ("8", "A"),
            ("9", "B"),
        ]
    )
    joined = "".join(
        f'<cxn srcId="{above}" destId="{below}" srcOrd="{order}"/>'
        for above, below, order in map(tuple, ["010", "021", "032", "340", "890", "980"])  # the last two in a ring
    )
    model = f"<dataModel><ptLst>{points}</ptLst><cxnLst>{joined}</cxnLst></dataModel>"
    data = changed(deck_of(lambda slide: None), "</p:spTree>", frame)
    data = with_parts(data, ("rId77", "diagramData", "../diagrams/data1.data"), {"ppt/diagrams/data1.data": model})
    document = parse_pptx(data)
    assert texts(document, "list_item") == ["Order", "Pack", "Ship", "– by sea", "A", "– B"]


def test_alternate_content_is_read_as_its_first_choice() -> None:
    data = deck_of(lambda slide: box(slide, "formula", 1, 1))
    tree = unpack(data)[SLIDE].decode()
    shape = tree[tree.index("<p:sp>") : tree.index("</p:sp>") + 7]
    both = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<mc:Choice Requires='a14'>{shape}</mc:Choice><mc:Fallback>{shape}</mc:Fallback></mc:AlternateContent>"
    )
    assert parse_pptx(changed(data, shape, both)).text == "formula"


def test_comments_of_both_kinds() -> None:
    data = with_parts(
        deck_of(lambda slide: box(slide, "text", 1, 1)),
        ("c1", "comments", "../comments/1.data"),
        {"ppt/comments/1.data": '<cmLst><cm authorId="0"><text>Check &lt;this&gt;</text></cm></cmLst>'},
    )
    body = "<txBody><p><r><t>{}</t></r></p></txBody>"
    modern = (
        f'<cmLst><cm authorId="{{A}}"><replyLst><reply authorId="{{B}}">{body.format("Done")}</reply></replyLst>'
        f"{body.format('Newer?')}</cm></cmLst>"
    )
    data = with_parts(data, ("c2", "comments", "../comments/2.data"), {"ppt/comments/2.data": modern})
    old = '<cmAuthorLst><cmAuthor id="0" name="Ann"/></cmAuthorLst>'
    new = '<authorLst><author id="{A}" name="Bo Li"/></authorLst>'
    main = "ppt/presentation.xml"
    data = with_parts(data, ("a1", "commentAuthors", "authors1.data"), {"ppt/authors1.data": old}, main)
    data = with_parts(data, ("a2", "authors", "authors2.data"), {"ppt/authors2.data": new}, main)
    document = parse_pptx(data)
    found = {document.text[b.start : b.end]: b.heading for b in document.blocks}
    assert found == {
        "text": (),
        "Check <this>": ("Comment by Ann",),
        "Newer?": ("Comment by Bo Li",),
        "Done": ("Comment",),
    }


def test_slides_without_text_and_hidden_ones_are_told() -> None:
    data = deck_of(lambda slide: None, lambda slide: box(slide, "kept back", 1, 1), lambda slide: None)
    document = parse_pptx(changed(data, "<p:sld ", '<p:sld show="0" ', "ppt/slides/slide2.xml"))
    assert document.pages == 3 and block_of(document, "kept back").page == 2
    assert document.warnings == ("slides 1, 3 have no text", "slide 2 is hidden, and read all the same")


def test_sections_stand_above_titles() -> None:
    data = deck_of(lambda slide: box(slide, "one", 1, 1), lambda slide: box(slide, "two", 1, 1))
    listed = (
        '<p:extLst><p:ext uri="x"><s:sectionLst xmlns:s="urn:s"><s:section name="Start"><s:sldIdLst>'
        '<s:sldId id="256"/></s:sldIdLst></s:section></s:sectionLst></p:ext></p:extLst></p:presentation>'
    )
    document = parse_pptx(changed(data, "</p:presentation>", listed, "ppt/presentation.xml"))
    assert [block.heading for block in document.blocks] == [("Start",), ()]


def test_a_slide_that_is_listed_many_times_is_read_once() -> None:
    data = deck_of(lambda slide: box(slide, "one", 1, 1))
    members = unpack(data)
    text = members["ppt/presentation.xml"].decode()
    entry = text[(start := text.index("<p:sldId ")) : text.index("/>", start) + 2]
    document = parse_pptx(changed(data, entry, entry * 5000, "ppt/presentation.xml"))
    assert document.pages == 1 and document.text == "one"


@pytest.mark.parametrize("deep", [100, 1000, 10_000])
def test_deep_groups_are_read_or_refused(deep: int) -> None:
    data = deck_of(lambda slide: box(slide, "deep down", 1, 1))
    tree = unpack(data)[SLIDE].decode()
    shape = tree[tree.index("<p:sp>") : tree.index("</p:sp>") + 7]
    found = outcome(parse_pptx, changed(data, shape, "<p:grpSp>" * deep + shape + "</p:grpSp>" * deep))
    assert found.text == "deep down" if isinstance(found, Document) else found.startswith("broken: ")
    assert isinstance(found, Document) == (deep == 100)


def cut_out(data: bytes, part: str) -> bytes:
    return pack({name: content for name, content in unpack(data).items() if name != part})


def test_a_broken_slide_costs_no_other() -> None:
    data = deck_of(*(lambda slide, text=text: box(slide, text, 1, 1) for text in ("one", "two\f", "three", "four")))
    data = changed(cut_out(data, "ppt/slides/slide3.xml"), "_x000C_", "\f", "ppt/slides/slide2.xml")
    document = parse_pptx(data)
    assert [(document.text[b.start : b.end], b.page) for b in document.blocks] == [("one", 1), ("four", 4)]
    assert document.pages == 4 and document.warnings == (
        "slide 2 was not read (broken: ppt/slides/slide2.xml is no sound XML)",
        "slide 3 was not read (broken: it lacks ppt/slides/slide3.xml)",
    )


@pytest.mark.parametrize(
    "part",
    ["ppt/slideLayouts/slideLayout2.xml", "ppt/slideMasters/slideMaster1.xml", "ppt/notesSlides/notesSlide1.xml"],
)
def test_a_missing_part_beside_a_slide_does_not_cost_the_slide(part: str) -> None:
    def fill(slide: Any) -> None:
        slide.shapes.title.text = "Title"
        slide.placeholders[1].text_frame.text = "Body"
        slide.notes_slide.notes_text_frame.text = "Note"

    document = parse_pptx(cut_out(deck_of(fill, layout=1), part))
    assert texts(document) == ["Title", "Body", "Note"][: 2 if "notes" in part else 3]
    assert document.warnings == (f"a part could not be read (broken: it lacks {part})",)


def test_the_strict_variant_is_read() -> None:
    usual = b"http://schemas.openxmlformats.org/"
    strict = {b"presentationml/2006/": b"presentationml/", b"drawingml/2006/": b"drawingml/"}
    strict[b"officeDocument/2006/"] = b"officeDocument/"

    def fill(slide: Any) -> None:
        slide.shapes.title.text = "Title"
        slide.placeholders[1].text_frame.text = "Body"

    parts = unpack(deck_of(fill, layout=1))
    for old, new in strict.items():
        parts = {n: content.replace(usual + old, b"http://purl.oclc.org/ooxml/" + new) for n, content in parts.items()}
    document = parse_pptx(pack(parts))
    assert document.text == "Title\n\nBody" and document.warnings == ()


def test_what_a_placeholder_does_not_say_its_layout_or_master_does() -> None:
    def fill(slide: Any) -> None:
        box(slide, "above the body", 1, 1)
        slide.placeholders[1].text_frame.text = "Body"
        box(slide, "below its top", 1, 2)

    assert texts(parse_pptx(deck_of(fill, layout=1))) == ["above the body", "Body", "below its top"]


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no ZIP": (lambda: b"hello", "broken: it is no ZIP container"),
    "cut": (lambda: deck_of(lambda slide: None)[:-100], "broken: it is no ZIP container"),
    "no presentation": (lambda: pack({"a": "b"}), "broken: it lacks ppt/presentation.xml"),
    "a missing slide": (
        lambda: cut_out(deck_of(lambda slide: box(slide, "x", 1, 1)), SLIDE),
        "broken: it lacks ppt/slides/slide1.xml",
    ),
    "broken XML": (
        lambda: changed(deck_of(lambda slide: None), "</p:spTree>", ""),
        "broken: ppt/slides/slide1.xml is no sound XML",
    ),
    "locked": (
        lambda: bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 512 + "EncryptedPackage".encode("utf-16-le"),
        "it is locked by a password",
    ),
    "old": (
        lambda: bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 512,
        "it is locked by a password, or an old .ppt under a new name",
    ),
    "empty": (lambda: deck_of(lambda slide: None), "no text"),
    "bomb": (lambda: pack({"ppt/presentation.xml": b"0" * 60_000_000}), "it would unpack to 60 MB: a ZIP bomb?"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_fail_with_their_reason(name: str) -> None:
    make, reason = BAD[name]
    with pytest.raises(ParseFailed) as failed:
        parse_pptx(make())
    assert failed.value.message == reason


@pytest.mark.parametrize("declared", [BOMB, '<!DOCTYPE b [<!ENTITY a "x">]>'])
@pytest.mark.parametrize("part", [SLIDE, "ppt/presentation.xml", "ppt/slideLayouts/slideLayout7.xml", "_rels/.rels"])
def test_entities_are_never_put_in(part: str, declared: str) -> None:
    members = unpack(deck_of(lambda slide: box(slide, "text", 1, 1)))
    head, _, rest = members[part].decode().partition("?>")
    members[part] = f"{head}?>{declared}{rest.replace('text', '&a;')}".encode()
    began = time.process_time()
    found = outcome(parse_pptx, pack(members))
    assert found.text == "text" if isinstance(found, Document) else "entities" in found or "broken" in found
    assert part != SLIDE or isinstance(found, str)
    assert time.process_time() - began < 5


def test_mutated_copies_do_no_harm() -> None:
    data = (SAMPLES / "sales" / "dealer-training-2025.pptx").read_bytes()
    outcomes = [outcome(parse_pptx, mutated(data, seed)) for seed in range(200)]
    for found in outcomes:
        if isinstance(found, Document):
            check_blocks(found)
    assert {type(found) for found in outcomes} == {Document, str}
