"""PDF: pages in order, headings from the outline, and a plain reason for everything that cannot be read."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from fpdf import FPDF
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing.parsing_helpers import (
    block_of,
    check_blocks,
    make_pdf,
    pdf_of,
    raw_page,
    raw_pdf,
    raw_stream,
    texts,
    write_lines,
)

from ragcli.errors import ParseFailed
from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import PAGE_BREAK, parse_pdf
from ragcli.parsing.pdf.reading import PdfText, ranges, read_with_pdfium, read_with_pypdf
from ragcli.records import Document

SAMPLES = Path(__file__).parents[2] / "sample_docs"
READERS = pytest.mark.parametrize("read", [read_with_pdfium, read_with_pypdf], ids=["pdfium", "pypdf"])
Reader = Callable[[bytes, int], PdfText]


def encrypted(data: bytes, user: str, algorithm: str) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(data))
    writer.encrypt(user_password=user, owner_password="owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def manual(pdf: FPDF) -> None:
    """Two pages with an outline; one of its titles stands nowhere on its page, another over two lines."""
    pdf.set_title("Manual of the pump")
    pdf.add_page()
    write_lines(pdf, "Foreword of nobody.")
    pdf.start_section("1 Safety")
    write_lines(pdf, "1  SAFETY\nRead this first.")
    pdf.start_section("Use", level=1)
    write_lines(pdf, "1.1 Use\nFor water only.")
    pdf.add_page()
    write_lines(pdf, "Carried over.")
    pdf.start_section("Results of the long test", level=0)
    write_lines(pdf, "Results of the\nlong test\nAll good.")
    pdf.add_page()
    pdf.start_section("Not printed")
    write_lines(pdf, "Last words.")


def check_pages(document: Document) -> None:
    """Assert that blocks obey the rule and never leave their page."""
    check_blocks(document)
    pages = document.text.split("\f")
    assert len(pages) == document.pages
    for block in document.blocks:
        assert block.page == document.text.count("\f", 0, block.start) + 1
        assert "\f" not in document.text[block.start : block.end]


def test_pages_stand_in_order_between_form_feeds() -> None:
    document = parsed(pdf_of("First page.", "Second page.", "Third page."), 10)
    assert document.text == PAGE_BREAK.join(("First page.", "Second page.", "Third page."))
    assert [b.page for b in document.blocks] == [1, 2, 3]
    check_pages(document)


def parsed(data: bytes, pages: int) -> Document:
    return parse_pdf(data, Limits(pages))


@READERS
def test_both_readers_give_pages_outline_and_title(read: Reader) -> None:
    text = read(make_pdf(manual), 10)
    assert text.title == "Manual of the pump"
    assert [(e.title, e.level, e.page) for e in text.outline] == [
        ("1 Safety", 0, 1),
        ("Use", 1, 1),
        ("Results of the long test", 0, 2),
        ("Not printed", 0, 3),
    ]
    assert [page.split() for page in text.pages][2] == ["Last", "words."]
    assert not text.problems


@pytest.mark.parametrize("title", ["<4D6963726F736F667420576F7264202D205F>", "(anonymous)", "Untitled"])
def test_a_title_that_nobody_gave_is_none(title: str) -> None:
    def write(pdf: FPDF) -> None:
        pdf.set_title(title)
        pdf.add_page()
        write_lines(pdf, "Some text.")

    assert parsed(make_pdf(write), 10).title == ""


def test_headings_hold_from_their_line_on() -> None:
    document = parsed(make_pdf(manual), 10)
    check_pages(document)
    assert [(b.kind, b.heading, text) for b, text in zip(document.blocks, texts(document), strict=True)] == [
        ("paragraph", (), "Foreword of nobody."),
        ("heading", ("1 Safety",), "1 SAFETY"),
        ("paragraph", ("1 Safety",), "Read this first."),
        ("heading", ("1 Safety", "Use"), "1.1 Use"),
        ("paragraph", ("1 Safety", "Use"), "For water only."),
        ("paragraph", ("1 Safety", "Use"), "Carried over."),
        ("heading", ("Results of the long test",), "Results of the\nlong test"),
        ("paragraph", ("Results of the long test",), "All good."),
        ("paragraph", ("Not printed",), "Last words."),
    ]
    assert document.title == "Manual of the pump"


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
@READERS
def test_an_empty_password_is_no_lock(read: Reader, algorithm: str) -> None:
    data = encrypted(pdf_of("Secret to nobody."), "", algorithm)
    assert read(data, 10).pages[0].strip() == "Secret to nobody."


@READERS
def test_a_real_password_is_a_lock(read: Reader) -> None:
    data = encrypted(pdf_of("Secret."), "sesame", "AES-256")
    for parse in (read, parsed):
        with pytest.raises(ParseFailed, match=r"^it is locked by a password$"):
            parse(data, 10)


@READERS
def test_too_many_pages_are_refused(read: Reader) -> None:
    data = pdf_of("a", "b", "c")
    assert len(read(data, 3).pages) == 3
    for parse in (read, parsed):
        with pytest.raises(ParseFailed, match="it has 3 pages, over the limit of 2"):
            parse(data, 2)


def test_pages_without_text_are_a_warning() -> None:
    document = parsed(pdf_of("a", "", "", "b", ""), 10)
    assert document.warnings == ("pages 2-3, 5 have no text (scanned?)",)
    check_pages(document)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"Dear sir, this is a letter", "not a PDF, whatever its name says"),
        (b"%PDF-1.7", "broken PDF"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 20, "broken PDF"),
        (pdf_of("a text that is cut off")[:600], "broken PDF"),
        (pdf_of("", ""), "no text: it seems to be a scan"),
        (raw_page(b"").replace(b"/Kids[3 0 R ]", b"/Kids[9 0 R ]"), "no text: page 1 has faults and could not be read"),
        (
            raw_page(b"").replace(b"/Root", b"/Encrypt<</Filter/Foo/V 9>>/ID[<00><00>]/Root"),
            "its encryption is not supported",
        ),
    ],
    ids=["empty", "letter", "header", "noise", "cut", "scan", "no-page", "encryption"],
)
def test_what_cannot_be_read_has_a_short_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ParseFailed) as caught:
        parsed(data, 10)
    assert caught.value.message == reason


def test_a_broken_cross_reference_table_is_mended() -> None:
    data = pdf_of("Found all the same.").replace(b"\nstartxref\n", b"\nstartxref\n9")
    assert parsed(data, 10).text == "Found all the same."


def test_a_missing_end_is_a_warning() -> None:
    document = parsed(pdf_of("Some text.").replace(b"%%EOF", b""), 10)
    assert document.text == "Some text."
    assert document.warnings == ("its end is missing: pages may be lost",)


def test_one_unreadable_page_does_not_lose_the_others() -> None:
    data = raw_page(b"BT /F1 12 Tf 50 500 Td (hello) Tj ET", times=3).replace(
        b"3 0 R 3 0 R 3 0 R", b"3 0 R 9 0 R 3 0 R"
    )
    document = parsed(data, 10)
    assert document.text.split() == ["hello", "hello"]
    assert any(warning.startswith("page 2 has faults") for warning in document.warnings)


def test_pypdf_reads_where_pdfium_sees_nothing() -> None:
    data = raw_page(b"BT 50 500 Td (no font was set) Tj ET")
    assert read_with_pdfium(data, 10).is_blank
    assert parsed(data, 10).text == "no font was set"


def test_both_samples_keep_their_structure() -> None:
    chinese = parsed((SAMPLES / "产品手册" / "VC-4阀门控制器使用说明.pdf").read_bytes(), 10)
    check_pages(chinese)
    assert (chinese.pages, chinese.warnings) == (3, ())
    battery = block_of(chinese, "约 9 个月")
    assert (battery.heading, battery.page) == (("2 技术参数",), 1)
    assert chinese.text[battery.start : battery.end] == "电池寿命 约 9 个月（每天浇水两次）"
    assert "所有设置通过手机蓝牙或 FenView 平台完成。" in chinese.text  # its line ends after the third of 通过
    assert "使用说明 VC4" not in chinese.text  # the footer
    assert block_of(chinese, "先打开网关的入网窗口").heading == ("4 手机设置", "4.3 加入网关")
    english = parsed((SAMPLES / "manuals" / "vc-8-controller-manual.pdf").read_bytes(), 10)
    check_pages(english)
    assert block_of(english, "Tighten the screws to 0.5 Nm").heading == (
        "3 Mounting and wiring",
        "3.3 Wiring the valves",
    )
    assert block_of(english, "Read this chapter").kind == "paragraph"
    assert len([b for b in english.blocks if b.kind == "heading"]) == 29


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([3], "page 3 has"),
        ([1, 2, 3, 5], "pages 1-3, 5 have"),
        ([2, 4], "pages 2, 4 have"),
        (list(range(1, 40, 2)), "pages 1, 3, 5, 7, 9, 11, 13, 15, 17, 19 ... have"),
    ],
)
def test_ranges_are_short(numbers: list[int], said: str) -> None:
    assert ranges(numbers) == said


def test_a_compressed_page_tree_loop_ends() -> None:
    looped = raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R/Outlines 3 0 R>>",
        b"<</Type/Pages/Kids[2 0 R 4 0 R]/Count 2>>",
        b"<</Type/Outlines/First 6 0 R/Last 6 0 R>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 7 0 R>>>>/Contents 5 0 R>>",
        b"<</Length 37>>\nstream\nBT /F1 12 Tf 50 500 Td (hello) Tj ET \nendstream",
        b"<</Title(Loop)/Dest[4 0 R/Fit]/Next 6 0 R/First 6 0 R/Parent 3 0 R>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    for read in (read_with_pdfium, read_with_pypdf):
        try:
            assert len(read(looped, 10).outline) <= 10
        except ParseFailed as error:
            assert error.message == "broken PDF"


def nested(*middle: bytes) -> bytes:
    """Return a PDF of one page with more objects, from the seventh on; its outline is the seventh."""
    return raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R/Outlines 7 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>",
        raw_stream(b"BT /F1 12 Tf 50 500 Td (hello) Tj ET"),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"null",
        *middle,
    )


def test_a_page_tree_10000_deep_is_refused() -> None:
    depth = 10_000
    tree = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % (n + 8) for n in range(depth)]
    data = nested(*tree, b"<</Type/Page/Contents 4 0 R>>").replace(b"/Kids[3 0 R]", b"/Kids[7 0 R]")
    with pytest.raises(ParseFailed, match=r"^no text: page 1 has faults and could not be read$|^broken PDF$"):
        parsed(data, 10)


def test_an_outline_10000_deep_is_cut() -> None:
    levels = [b"<</Title(T%d)/Dest[3 0 R/Fit]/First %d 0 R/Last %d 0 R>>" % (n, n + 8, n + 8) for n in range(10_000)]
    document = parsed(nested(*levels, b"<</Title(End)/Dest[3 0 R/Fit]>>"), 10)
    assert document.text == "hello"
    assert 0 < len(document.blocks[0].heading) <= 10


def test_a_page_of_many_scraps_is_read_as_plain_text() -> None:
    scraps = b"".join(b"1 0 0 1 %d %d Tm (w%d) Tj " % (n * 37 % 600, n // 60 % 800, n) for n in range(20_000))
    start = time.perf_counter()
    document = parsed(raw_page(zlib.compress(b"BT /F1 4 Tf " + scraps + b"ET"), b"/Filter/FlateDecode"), 10)
    assert "w19999" in document.text.replace(" ", "")
    assert time.perf_counter() - start < 10


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_mutated_file_is_read_or_refused(data: st.DataObject) -> None:
    source = bytearray(zlib.decompress(MANUAL))
    for _ in range(data.draw(st.integers(1, 8))):
        source[data.draw(st.integers(0, len(source) - 1))] = data.draw(st.integers(0, 255))
    try:
        document = parsed(bytes(source), 100)
    except ParseFailed as error:
        assert len(error.message) < 100
        assert "\n" not in error.message
        return
    check_pages(document)


MANUAL = zlib.compress(make_pdf(manual))
