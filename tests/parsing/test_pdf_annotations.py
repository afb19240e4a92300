"""What is written into a PDF is read where it stands: fields, ticks, text on a page; comments below it."""

from __future__ import annotations

import pytest
from parsing.parsing_helpers import block_of, check_blocks, raw_pdf, raw_stream, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import parse_pdf
from ragcli.records import Document

PAGE = (
    b"BT /F1 12 Tf 1 0 0 1 50 700 Tm (Family name) Tj 1 0 0 1 50 660 Tm (Married) Tj"
    b" 1 0 0 1 150 660 Tm (Single) Tj 1 0 0 1 50 620 Tm (Reasons) Tj 1 0 0 1 50 500 Tm (Place, date) Tj ET"
)
NAME = b"/Subtype/Widget/FT/Tx/T(name)/V(Rask)/Rect[150 697 300 715]"
MARRIED = b"/Subtype/Widget/FT/Btn/T(married)/V/On/AS/On/Rect[32 658 44 670]/AP<</N<</On 5 0 R/Off 5 0 R>>>>"
SINGLE = b"/Subtype/Widget/FT/Btn/T(single)/V/Off/AS/Off/Rect[132 658 144 670]/AP<</N<</On 5 0 R/Off 5 0 R>>>>"
REASONS = b"/Subtype/Widget/FT/Tx/Ff 4096/T(why)/V(The mill is sold.\\rWe move north.)/Rect[50 540 400 610]"
TOWN = b"/Subtype/Widget/FT/Ch/Ff 131072/T(town)/Opt[(Thisted)(Skive)]/V(Skive)/Rect[150 497 300 512]"


def page_with(*annotations: bytes, content: bytes = PAGE, form: bool = True, shown: int = 0) -> Document:
    """Return what is read of a page that draws `content`, has the annotations, and is shown turned to the right."""
    first = 7
    numbers = b" ".join(b"%d 0 R" % at for at in range(first, first + len(annotations)))
    fields = b"/AcroForm<</Fields[%s]/DR<</Font<</F1 6 0 R>>>>/DA(/F1 0 Tf)>>" % numbers if form else b""
    fonts = b"/Resources<</Font<</F1 6 0 R>>>>"
    entries = b"/MediaBox[0 0 800 800]/Rotate %d%s/Contents 4 0 R/Annots[%s]" % (shown, fonts, numbers)
    page = b"<</Type/Page/Parent 2 0 R%s>>" % entries
    data = raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R%s>>" % fields,
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        raw_stream(content),
        raw_stream(b"", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]"),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *(b"<</Type/Annot/F 4%s>>" % annotation for annotation in annotations),
    )
    document = parse_pdf(data, Limits(10))
    check_blocks(document)
    return document


def test_a_filled_form_reads_as_it_looks() -> None:
    document = page_with(NAME, MARRIED, SINGLE, REASONS, TOWN)
    assert [line for line in document.text.split("\n") if line] == [
        "Family name Rask",
        "☒ Married ☐ Single",
        "Reasons",
        "The mill is sold.",
        "We move north.",
        "Place, date Skive",
    ]


def test_a_form_is_read_from_the_top_down_in_whatever_order_it_is_drawn() -> None:
    lines = PAGE.removeprefix(b"BT /F1 12 Tf ").removesuffix(b" ET").split(b" Tj")[:-1]
    drawn = b"BT /F1 12 Tf %s Tj ET" % b" Tj ".join(lines[::-1])
    assert page_with(NAME, MARRIED, SINGLE, REASONS, TOWN, content=drawn).text == page_with(
        NAME, MARRIED, SINGLE, REASONS, TOWN
    ).text.replace("\n\n", "\n")


def test_a_form_that_is_drawn_sideways_and_shown_upright_reads_as_it_looks() -> None:
    name = b"/Subtype/Widget/FT/Tx/T(name)/V(Rask)/Rect[85 150 103 300]"
    reasons = b"/Subtype/Widget/FT/Tx/Ff 4096/T(why)/V(The mill is sold.\\rWe move north.)/Rect[190 50 260 400]"
    sideways = b"q 0 1 -1 0 800 0 cm %s Q" % PAGE
    assert page_with(name, reasons, content=sideways, shown=90).text == page_with(NAME, REASONS).text


def test_a_page_taken_out_of_its_form_keeps_its_words() -> None:
    assert "Family name Rask" in page_with(NAME, MARRIED, form=False).text


@pytest.mark.parametrize(
    "annotation",
    [
        NAME + b"/Ff 8192",  # a password
        NAME.replace(b"(Rask)", b"()"),
        b"/Subtype/FreeText/Contents(Rask)/F 2/Rect[150 697 300 715]",  # hidden
        b"/Subtype/Text/Contents(Rask)/F 32/Rect[150 697 300 715]",
        b"/Subtype/Popup/Contents(Rask)/Rect[150 697 300 715]",
        b"/Subtype/Link/Contents(Rask)/Rect[150 697 300 715]",
        b"/Subtype/FreeText/Contents(Rask)",  # nowhere
        b"/Subtype/FreeText/Contents(%s)/Rect[150 697 300 715]" % (b"Rask " * 40_000),
    ],
)
def test_what_nobody_sees_is_not_read(annotation: bytes) -> None:
    annotation = annotation.replace(b"/F 4", b"")
    assert page_with(annotation).text == page_with().text


def test_text_put_on_a_page_stands_in_its_row() -> None:
    document = page_with(b"/Subtype/FreeText/Contents(seen by Bo)/Rect[200 498 300 512]/DA(/F1 9 Tf)")
    assert "Place, date seen by Bo" in document.text


def test_comments_stand_under_their_author_below_the_page() -> None:
    document = page_with(
        b"/Subtype/Text/T(Ann Rask)/Contents(Ask the notary first.)/Rect[10 10 20 20]",
        b"/Subtype/Highlight/Contents(Who says so?)/Rect[50 617 100 632]",
        b"/Subtype/Highlight/T(Bo)/Contents(Family name)/Rect[50 697 100 712]",  # repeats what it marks
    )
    assert texts(document)[-2:] == ["Ask the notary first.", "Who says so?"]
    assert block_of(document, "notary").heading == ("Comment by Ann Rask",)
    assert block_of(document, "Who says").heading == ("Comment",)
    assert {block.page for block in document.blocks} == {1}


def test_a_page_of_nothing_but_fields_has_text_if_they_are_filled() -> None:
    assert page_with(NAME, content=b"").text == "Rask"
    with pytest.raises(ParseFailed, match="no text"):
        page_with(SINGLE, content=b"")


def test_a_thousand_annotations_are_read_and_no_more() -> None:
    notes = [b"/Subtype/Text/Contents(note %d)/Rect[1 1 9 9]" % at for at in range(1_100)]
    assert texts(page_with(*notes))[-1] == "note 999"
