"""Scanned pages, read by the real OCR library: what is found, what is said of it, and what hostile pages cost."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import pytest
from fpdf import FPDF
from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import block_of, check_blocks, pdf_of, raw_pdf, raw_stream
from parsing.scan_helpers import (
    BOAT,
    FUSE,
    chinese_picture,
    draw,
    errors,
    labelled,
    needs_ocr,
    picture,
    raw_picture,
    scan_of,
)
from PIL import Image

from ragcli.errors import ParseFailed
from ragcli.parsing.limits import Limits
from ragcli.parsing.ocr.outcome import FLOOR, Outcome
from ragcli.parsing.ocr.scanned import Scanned
from ragcli.parsing.ocr.scans import PageAt, ScanReader, put_in
from ragcli.parsing.pdf.document import PAGE_BREAK, parse_pdf
from ragcli.parsing.pool import ParserPool
from ragcli.records import Block, Document

COLOURS = ("amber", "blue", "coral", "denim")
HINT = "it can be installed"


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(1, 60, 2048, 100, ScanReader(1)) as shared:
        yield shared


@pytest.fixture
def blind() -> Iterator[ParserPool]:
    """A pool without OCR."""
    with ParserPool(1, 60, 1024, 100, scan_hint=HINT) as made:
        yield made


def failure(pool: ParserPool, data: bytes) -> str:
    with pytest.raises(ParseFailed) as caught:
        pool.parse(data, "pdf", "scan.pdf")
    return caught.value.message


# Without OCR


def test_a_scan_is_told_from_other_failures() -> None:
    with pytest.raises(Scanned) as caught:
        parse_pdf(scan_of("", "", ""), Limits(10))
    document = caught.value.document
    assert (document.pages, document.textless, document.blocks) == (3, (1, 2, 3), ())
    assert document.text.split(PAGE_BREAK) == ["", "", ""]


def test_pages_without_text_are_told() -> None:
    assert parse_pdf(pdf_of("a", "", "b", ""), Limits(10)).textless == (2, 4)
    assert parse_pdf(pdf_of("a", "b"), Limits(10)).textless == ()


def test_without_ocr_a_scan_fails_and_the_reason_says_what_helps(blind: ParserPool) -> None:
    assert failure(blind, scan_of(picture(FUSE))) == f"no text: it seems to be a scan; {HINT}"


def test_without_ocr_a_scanned_page_is_a_warning_that_says_what_helps(blind: ParserPool) -> None:
    document = blind.parse(scan_of("real text", picture(FUSE)), "pdf", "x")
    assert document.text.strip() == "real text"
    assert document.warnings == (f"page 2 has no text (scanned?); {HINT}",)


def test_a_picture_with_hardly_any_text_is_a_scan_that_bears_a_label(blind: ParserPool) -> None:
    document = blind.parse(labelled([(picture(FUSE), "Exhibit 7")]), "pdf", "x")
    assert document.text == "Exhibit 7"
    assert document.warnings == (f"page 1 is a picture with hardly any text (scanned?); {HINT}",)
    data = labelled([(picture(FUSE), "Exhibit 7"), (picture(BOAT), "Exhibit 8")])
    assert parse_pdf(data, Limits(10)).warnings == ("pages 1-2 are pictures with hardly any text (scanned?)",)


@pytest.mark.parametrize(("share", "label"), [(0.5, "Exhibit 7"), (1.0, "This is a text of its own. " * 5)])
def test_a_text_with_a_picture_is_no_scan(blind: ParserPool, share: float, label: str) -> None:
    document = blind.parse(labelled([(picture(FUSE), label)], share), "pdf", "x")
    assert (document.warnings, document.textless) == ((), ())


def test_scans_with_the_same_label_on_each_page_are_scans(blind: ParserPool) -> None:
    data = labelled([(picture(FUSE), "Scanned by Fenwick Library")] * 5)
    assert failure(blind, data) == f"no text: it seems to be a scan; {HINT}"


def test_pictures_in_strips_and_in_forms_count(blind: ParserPool) -> None:
    paint = b"".join(b"q 600 0 0 80 0 %d cm /I Do Q " % (80 * strip) for strip in range(10))
    kind = b"/Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray"
    inside = b"/Type/XObject/Subtype/Form/BBox[0 0 1 1]/Resources<</XObject<</I 5 0 R>>>>"
    fonts = b"/Font<</H<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<<%s/XObject<</I %d 0 R>>>>/Contents 4 0 R>>"
    label = b" BT /H 12 Tf 20 20 Td (Exhibit 7) Tj ET"
    for which, content in ((5, paint), (6, b"q 500 0 0 700 50 50 cm /I Do Q")):
        data = raw_pdf(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            page % (fonts, which),
            raw_stream(content + label),
            raw_stream(b"\x80", kind),
            raw_stream(b"/I Do", inside),
        )
        assert parse_pdf(data, Limits(10)).textless == (1,)


def test_a_mail_does_not_promise_that_ocr_would_read_what_is_attached(blind: ParserPool) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Two scans"
    mail.set_content("See below.")
    for name, data in (("all.pdf", scan_of(picture(FUSE))), ("half.pdf", scan_of("real text", picture(FUSE)))):
        mail.add_attachment(data, maintype="application", subtype="pdf", filename=name)
    assert blind.parse(bytes(mail), "mail", "x").warnings == (
        "attachment all.pdf was not read: no text: it seems to be a scan",
        "attachment half.pdf: page 2 has no text (scanned?)",
    )


# What is found


@needs_ocr
def test_a_scan_in_english_is_read(pool: ParserPool) -> None:
    document = pool.parse(scan_of(picture(FUSE), picture(BOAT)), "pdf", "x")
    check_blocks(document)
    assert document.pages == 2
    assert errors(" ".join(FUSE + BOAT), document.text) < 0.03
    assert (block_of(document, "spare fuses").page, block_of(document, "dogs travel").page) == (1, 2)
    (warning,) = document.warnings
    said = re.fullmatch(r"pages 1-2 were read by OCR \(confidence ([\d.]+); lowest page [12]: ([\d.]+)\)", warning)
    assert said is not None
    assert 0.9 < float(said[2]) <= float(said[1]) <= 1


@needs_ocr
def test_a_scan_in_chinese_is_read(pool: ParserPool) -> None:
    drawn, truth = chinese_picture()
    document = pool.parse(scan_of(drawn), "pdf", "x")
    assert errors(truth, document.text) < 0.05
    assert document.warnings[0].startswith("page 1 was read by OCR (confidence ")


@needs_ocr
@pytest.mark.parametrize("angle", [2, 90, 180, 270], ids=lambda angle: f"{angle}-degrees")
def test_a_page_that_is_askew_or_turned_is_read(pool: ParserPool, angle: int) -> None:
    turned = picture(FUSE).rotate(angle, expand=True, fillcolor=255)
    document = pool.parse(scan_of(turned), "pdf", "x")
    assert errors(" ".join(FUSE), document.text) < 0.03


@needs_ocr
def test_slanted_labels_of_a_figure_do_not_turn_the_page(pool: ParserPool) -> None:
    drawn = Image.new("L", (875, 900), 255)
    drawn.paste(picture(FUSE).crop((0, 0, 875, 200)), (0, 0))
    label = picture(["Lower Marsh 1987"]).crop((40, 40, 340, 90)).rotate(40, expand=True, fillcolor=255)
    for at in range(5):
        drawn.paste(label, (110 * at, 400))
    drawn.paste(picture(BOAT).crop((0, 0, 875, 200)), (0, 700))
    text = pool.parse(scan_of(drawn), "pdf", "x").text.split("\n")
    assert errors("".join(FUSE), "".join(text[:3])) < 0.03
    assert errors("".join(BOAT), "".join(text[-3:])) < 0.03


@needs_ocr
def test_only_the_pages_without_text_are_read_and_put_in_their_places(pool: ParserPool) -> None:
    data = scan_of("Typed on one.", picture(FUSE), "", "Typed on four.", picture(BOAT))
    document = pool.parse(data, "pdf", "x")
    check_blocks(document)
    pages = document.text.split(PAGE_BREAK)
    assert (pages[0], pages[2], pages[3]) == ("Typed on one.", "", "Typed on four.")
    assert errors(" ".join(FUSE), pages[1]) < 0.03 and errors(" ".join(BOAT), pages[4]) < 0.03
    assert [block_of(document, words).page for words in ("on one", "cabinet", "on four", "Sundays")] == [1, 2, 4, 5]
    read, blank = document.warnings
    assert read.startswith("pages 2, 5 were read by OCR (confidence") and blank == "page 3 is blank"


@needs_ocr
def test_what_a_label_says_is_kept_beside_what_is_read(pool: ParserPool) -> None:
    pages = [
        (picture(FUSE), "Exhibit 7"),
        (picture(["COVER"], size=60), "COVER"),
        (Image.new("L", (600, 400), 255), "-3-"),
    ]
    data = labelled([(drawn.crop((0, 0, drawn.width, drawn.height * 3 // 4)), label) for drawn, label in pages], 0.7)
    document = pool.parse(data, "pdf", "x")
    check_blocks(document)
    first, second, third = document.text.split(PAGE_BREAK)
    assert errors(" ".join(FUSE) + "Exhibit 7", first) < 0.03
    assert (second, third) == ("COVER", "-3-")
    (warning,) = document.warnings
    assert warning.startswith("page 1 was read by OCR (confidence ")


@needs_ocr
def test_it_is_told_which_page_is_being_read(pool: ParserPool) -> None:
    data = scan_of("Typed on one.", picture(FUSE), picture(BOAT))
    assert pool.scanning() is None
    work = threading.Thread(target=pool.parse, args=(data, "pdf", "a/scan.pdf"))
    work.start()
    seen = []
    while work.is_alive():
        seen.append(pool.scanning())
        time.sleep(0.01)
    work.join()
    told = [PageAt("a/scan.pdf", 2, 3), PageAt("a/scan.pdf", 3, 3)]
    assert list(dict.fromkeys(at for at in seen if at is not None)) == told
    assert pool.scanning() is None


@needs_ocr
def test_a_table_is_read_as_rows(pool: ParserPool) -> None:
    drawn = Image.new("L", (875, 500), 255)
    for number, (name, left, right) in enumerate(
        [("", "2023", "2022"), ("Water sold", "1,204", "1,187"), ("Leakage", "318", "342"), ("Staff", "57", "61")]
    ):
        for cell, at in ((name, 0), (left, 350), (right, 600)):
            if cell:
                drawn.paste(picture([cell]).crop((40, 40, 300, 100)), (at, 20 + 90 * number))
    document = pool.parse(scan_of(drawn), "pdf", "x")
    row = block_of(document, "Leakage")
    assert document.text[row.start : row.end] == "Leakage   318   342"
    assert (row.kind, row.header) == ("table_row", "2023 2022")


@needs_ocr
def test_columns_that_stand_near_each_other_are_read_one_after_the_other(pool: ParserPool) -> None:
    """The gutter is no wider than the type is high: what looks for lines takes both columns for one."""
    left = [
        "wheel and stone turn",
        "on the long axle in",
        "the mill by the pond",
        "whose water carries",
        "them day and night",
    ]
    right = [
        "ferry and boat leave",
        "from the other bank",
        "at nine on Sundays,",
        "with dogs on board",
        "free of any charge",
    ]
    pdf = FPDF(unit="pt", format=(300, 160))
    pdf.set_font("times", size=14)
    pdf.add_page()
    for lines, at in ((left, 20), (right, 158)):
        for number, line in enumerate(lines):
            pdf.set_stretching(100 * 124 / pdf.get_string_width(line))
            pdf.text(at, 40 + 20 * number, line)
            pdf.set_stretching(100)
    found = pool.parse(scan_of(draw(bytes(pdf.output()), 0, 200), dpi=200), "pdf", "x").text
    assert errors(" ".join(left + right), found) < 0.05


@needs_ocr
def test_where_ocr_finds_nothing_that_is_said(pool: ParserPool) -> None:
    white = Image.new("L", (600, 400), 255)
    assert failure(pool, scan_of(white)) == "no text: it seems to be a scan, and OCR found none"
    assert failure(pool, scan_of("", "")) == "no text: it seems to be a scan, and all of it is blank"
    document = pool.parse(scan_of("real text", white), "pdf", "x")
    assert document.warnings == ("page 2 has no text, and OCR found none",)


# What hostile pages cost


@needs_ocr
def test_a_huge_page_is_drawn_within_bounds(pool: ParserPool) -> None:
    drawn = picture(FUSE)
    data = scan_of(drawn, dpi=5)  # the page is 200 inches wide
    assert errors(" ".join(FUSE), pool.parse(data, "pdf", "x").text) < 0.03


@needs_ocr
@pytest.mark.parametrize("size", [(3, 14_000), (14_000, 3), (3, 3)], ids=["thin", "flat", "tiny"])
def test_a_page_of_an_odd_shape_is_no_trouble(pool: ParserPool, size: tuple[int, int]) -> None:
    drawn = picture(FUSE).crop((0, 0, 400, 400)).resize(size)
    assert failure(pool, scan_of(drawn, dpi=72)).startswith("no text: it seems to be a scan, and OCR ")


@needs_ocr
def test_a_picture_bomb_costs_its_page_at_most(pool: ParserPool) -> None:
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"\xaa" * 6250 * 500) for _ in range(100)) + packer.flush()
    bomb = raw_picture(data, 50_000, 50_000, 1, b"/Filter/FlateDecode")
    assert len(bomb) < 1_000_000
    start = time.monotonic()
    assert failure(pool, bomb).startswith("no text: it seems to be a scan, and OCR ")
    assert time.monotonic() - start < 60
    assert "cabinet" in pool.parse(scan_of(picture(FUSE)), "pdf", "x").text


@needs_ocr
def test_a_page_that_takes_too_long_is_left_out_and_three_end_the_file() -> None:
    deep = b"q 1 0 0 1 0 0 cm " * 20 + b"0 0 600 800 re f " * 400_000  # minutes to draw
    slow = raw_stream(zlib.compress(deep), b"/Filter/FlateDecode")
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R>>"
    data = raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R 4 0 R 4 0 R 4 0 R 4 0 R]/Count 5>>",
        page % 5,
        page % 6,
        raw_stream(b""),
        slow,
    )
    with ParserPool(1, 60, 2048, 100, ScanReader(1, page_seconds=0.5)) as pool:
        start = time.monotonic()
        assert failure(pool, data).endswith("OCR could not read it: it took over 0.5 s")
        assert time.monotonic() - start < 40


@needs_ocr
def test_a_page_that_needs_too_much_memory_is_left_out() -> None:
    huge = picture(FUSE, 90).resize((2600, 2600))
    data = scan_of("real text", huge, dpi=30)
    with ParserPool(1, 60, 2048, 100, ScanReader(1, memory_mb=800)) as pool:
        document = pool.parse(data, "pdf", "x")
    assert document.text.strip() == "real text"
    (warning,) = document.warnings
    assert warning.startswith("page 2 has no text, and OCR could not read it: ")


@needs_ocr
def test_a_file_has_a_bound_on_pages_and_one_on_time(pool: ParserPool) -> None:
    data = scan_of(picture(FUSE), picture(BOAT), picture(FUSE))
    with ParserPool(1, 60, 2048, 100, ScanReader(1, max_pages=1)) as few:
        document = few.parse(data, "pdf", "x")
    assert document.text.count("fuses") == 1
    read, rest = document.warnings
    assert read.startswith("page 1 was read by OCR")
    assert rest == "pages 2-3 have no text, and OCR could not read them: it stops after 1 page"
    with ParserPool(1, 60, 2048, 100, ScanReader(1, file_seconds=0)) as late:
        assert failure(late, data).endswith("it stops after 0 s")


@needs_ocr
def test_a_child_that_was_killed_while_idle_costs_nothing() -> None:
    before = readers()
    with ParserPool(1, 60, 2048, 100, ScanReader(1)) as pool:
        assert "cabinet" in pool.parse(scan_of(picture(FUSE)), "pdf", "x").text
        os.kill((readers() - before).pop(), signal.SIGKILL)
        time.sleep(0.2)
        assert "ferry" in pool.parse(scan_of(picture(BOAT)), "pdf", "x").text


@needs_ocr
def test_close_ends_a_page_in_the_middle() -> None:
    before = readers()
    pool = ParserPool(1, 60, 2048, 100, ScanReader(1))
    reasons: list[str] = []
    work = threading.Thread(target=lambda: reasons.append(failure(pool, scan_of(*[picture(FUSE)] * 90))))
    work.start()
    while not readers() - before:
        time.sleep(0.02)
    time.sleep(1)
    start = time.monotonic()
    pool.close()
    work.join(5)
    assert time.monotonic() - start < 5
    assert reasons == ["stopped before it was read"]
    assert readers() == before


def readers() -> set[int]:
    """Return the process ids of this process's children that read scans."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
            if parent == os.getpid() and "parsing.ocr.worker" in (folder / "cmdline").read_text("utf-8"):
                found.add(int(folder.name))
    return found


# What the parts do by themselves


def test_pages_below_the_floor_are_left_out_and_warned_of() -> None:
    outcome = Outcome()
    outcome.note(1, "sure", 0.87, False)
    outcome.note(2, "doubtful", FLOOR - 0.25, False)
    outcome.note(3, "surer", 0.97, False)
    outcome.note(4, "", 0.0, False)
    outcome.note(7, "", 0.0, False)
    assert sorted(outcome.read) == [1, 3]
    assert list(outcome.warnings()) == [
        "pages 1, 3 were read by OCR (confidence .93; lowest page 1: .87)",
        f"page 2 has no text, and OCR cannot make it out (confidence {FLOOR - 0.25:.2f})".replace("0.", "."),
        "pages 4, 7 have no text, and OCR found none",
    ]


def test_what_is_said_of_pages_with_a_label() -> None:
    outcome = Outcome()
    outcome.note(1, "Exhibit 7\nThe text.", 0.9, False)
    outcome.note(2, "The text.", 0.9, False)
    outcome.note(3, "EXHI BIT", 0.9, False)
    outcome.note(4, "", 0.0, False)
    outcome.note(5, "doubtful", 0.5, False)
    outcome.note(6, "doubtful", 0.25, False)
    outcome.fail("it crashed", [7, 8, 9])
    outcome.set_labels(dict.fromkeys((1, 2, 3, 4, 6, 8, 9), "Exhibit 7"))
    assert sorted(outcome.read) == [1, 2]
    assert list(outcome.warnings()) == [
        "pages 1-2 were read by OCR (confidence .90; lowest page 1: .90)",
        "page 5 has no text, and OCR cannot make it out (confidence .50)",
        "page 6 is a picture with hardly any text, and OCR cannot make it out (confidence .25)",
        "page 7 has no text, and OCR could not read it: it crashed",
        "pages 8-9 are pictures with hardly any text, and OCR could not read them: it crashed",
    ]


@pytest.mark.parametrize(
    ("text", "confidence", "blank"),
    [("a", 2.0, False), ("a", float("nan"), False), ("a", "1", False), ("a", 1.0, 0), ("a\fb", 1.0, False)],
)
def test_a_reply_that_makes_no_sense_is_no_reply(text: object, confidence: object, blank: object) -> None:
    with pytest.raises(ValueError):
        Outcome().note(1, text, confidence, blank)


PAGES = st.lists(st.sampled_from(["", "one line", "two\nlines", "中文 text\n\nand more"]), min_size=1, max_size=6)


@given(PAGES, st.dictionaries(st.integers(1, 6), st.sampled_from(["", "read", "read by\n\nmachine"])))
def test_putting_in_keeps_every_other_page(pages: list[str], found: dict[int, str]) -> None:
    found = {number: text for number, text in found.items() if number <= len(pages)}
    starts = [sum(len(page) + len(PAGE_BREAK) for page in pages[:at]) for at in range(len(pages))]
    blocks = tuple(
        Block(start, start + len(page), "paragraph", (f"h{number}",), number)
        for number, (start, page) in enumerate(zip(starts, pages, strict=True), 1)
        if page
    )
    whole = put_in(Document(PAGE_BREAK.join(pages), blocks, "", len(pages)), found)
    check_blocks(whole)
    expected = ["\n\n".join(filter(None, (page, found.get(number)))) for number, page in enumerate(pages, 1)]
    assert whole.text.split(PAGE_BREAK) == expected
    for block in whole.blocks:
        assert block.page is not None
        assert whole.text[block.start : block.end] in expected[block.page - 1]
        above = [number for number, page in enumerate(pages[: block.page], 1) if page]
        assert block.heading == ((f"h{above[-1]}",) if above else ())


def test_what_runs_through_scans_is_dropped_and_cut_words_are_whole() -> None:
    texts = [
        f"Works of the mill\n\nThe {colour} docu-\nmentation lies in box {n * n}.\n- {n} -"
        for n, colour in enumerate(COLOURS, 7)
    ]
    scanned = Document(PAGE_BREAK * 3, (), "", 4, (), (), (1, 2, 3, 4))
    whole = put_in(scanned, dict(enumerate(texts, 1)))
    check_blocks(whole)
    assert whole.text.split(PAGE_BREAK) == [
        f"The {colour} documentation\nlies in box {n * n}." for n, colour in enumerate(COLOURS, 7)
    ]


def test_a_label_stands_above_what_is_read_and_comments_below() -> None:
    text = f"Exhibit 7\n\nCopy\n\nwho says so?{PAGE_BREAK}"
    places = (("Exhibit 7", ("Annex",)), ("Copy", ("Annex",)), ("who says so?", ("Annex", "Comment by Ann")))
    blocks = tuple(Block(text.index(part), text.index(part) + len(part), "paragraph", path, 1) for part, path in places)
    whole = put_in(Document(text, blocks, "", 2), {1: "exhibit  7 The deed.", 2: "Signed."})
    check_blocks(whole)
    assert whole.text == f"Copy\n\nexhibit  7 The deed.\n\nwho says so?{PAGE_BREAK}Signed."
    assert {whole.text[block.start : block.end]: block.heading for block in whole.blocks} == {
        "Copy": ("Annex",),
        "exhibit  7 The deed.": ("Annex",),
        "who says so?": ("Annex", "Comment by Ann"),
        "Signed.": ("Annex",),
    }


def test_a_text_that_lacks_its_page_breaks_is_refused() -> None:
    with pytest.raises(ValueError):
        put_in(Document("one page", (), "", 2), {})
