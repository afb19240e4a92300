"""EPUB: the chapters in reading order, whatever state the book is in."""

from __future__ import annotations

import io
import random
import time
import zipfile
from collections.abc import Mapping

import pytest
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.epub import parse_epub

CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
OPF = """<?xml version="1.0"?>
<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
{metadata}</metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"""
METADATA = "<dc:title>The  Pump</dc:title><dc:creator>Ann Li</dc:creator><dc:creator>王五</dc:creator>"
XHTML = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
NAV = XHTML + (
    '<body><nav epub:type="landmarks"><ol><li><a href="text/c1.xhtml">Start</a></li></ol></nav>'
    '<nav epub:type="toc"><ol><li><span>Part One</span><ol><li><a href="text/c1.xhtml">Beginnings</a></li>'
    '<li><a href="text/c%202.xhtml#top">Second <i>steps</i></a></li></ol></li></ol></nav></body></html>'
)
NCX = """<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>Old part</text></navLabel>
<content src="text/c1.xhtml"/><navPoint><navLabel><text>Old chapter</text></navLabel><content src="text/c%202.xhtml#x"/>
</navPoint></navPoint></navMap></ncx>"""


def item(name: str, media_type: str = "application/xhtml+xml", properties: str = "") -> str:
    return f'<item id="{name}" href="{name}" media-type="{media_type}" properties="{properties}"/>'


def page(body: str) -> str:
    return f"<?xml version='1.0' encoding='utf-8'?>{XHTML}<head><title/></head><body>{body}</body></html>"


def epub(chapters: Mapping[str, str | bytes], more: Mapping[str, str] | None = None, extra_items: str = "") -> bytes:
    """Return a book whose spine names `chapters` in this order; `more` are other members."""
    opf = OPF.format(
        metadata=METADATA,
        items="".join(item(name) for name in chapters) + extra_items,
        spine="".join(f'<itemref idref="{name}"/>' for name in chapters),
    )
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": opf,
    }
    members |= {f"OEBPS/{name.replace('%20', ' ')}": body for name, body in chapters.items() if body}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in (members | dict(more or {})).items():
            archive.writestr(name, body)
    return out.getvalue()


CHAPTERS = {
    "text/c1.xhtml": page("<p>It began<a id='p1'/> with water.</p>"),
    "text/c%202.xhtml": page("<h2>Steps</h2><p>Then came oil.</p><h3>Seals</h3><p>They leak.</p>"),
    "text/c2b.xhtml": page("<p>They leak still.</p><nav><p>Not left out.</p></nav>"),
}


def test_chapters_stand_in_the_order_of_the_spine_under_their_titles() -> None:
    nav = epub(CHAPTERS, {"OEBPS/nav.xhtml": NAV}, item("nav.xhtml", properties="nav"))
    document = parse_epub(nav)
    check_blocks(document)
    assert (document.title, document.warnings) == ("The Pump", ())
    steps = ("Part One", "Steps")
    assert [(block.heading, text) for block, text in zip(document.blocks, texts(document), strict=True)] == [
        ((), "The Pump\nAnn Li, 王五"),
        (("Part One", "Beginnings"), "Beginnings"),
        (("Part One", "Beginnings"), "It began with water."),
        (steps, "Steps"),
        (steps, "Then came oil."),
        ((*steps, "Seals"), "Seals"),
        ((*steps, "Seals"), "They leak."),
        ((*steps, "Seals"), "They leak still."),
        ((*steps, "Seals"), "Not left out."),
    ]


def test_the_older_contents_file_gives_titles_too() -> None:
    data = epub(CHAPTERS, {"OEBPS/toc.ncx": NCX}, item("toc.ncx", "application/x-dtbncx+xml"))
    document = parse_epub(data)
    assert block_of(document, "It began").heading == ("Old part",)
    assert block_of(document, "Then came oil").heading == ("Old part", "Steps")


def test_a_title_that_the_page_shows_itself_is_not_shown_twice() -> None:
    chapters = {"text/c1.xhtml": page("<p class='title'>BEGINNINGS</p><p>It began.</p>")}
    document = parse_epub(epub(chapters, {"OEBPS/nav.xhtml": NAV}, item("nav.xhtml", properties="nav")))
    assert texts(document)[1:] == ["BEGINNINGS", "It began."]
    assert document.blocks[-1].heading == ("Part One", "Beginnings")


def test_several_titles_in_a_page_without_headings_hold_from_where_it_says_them() -> None:
    entries = "".join(
        f'<li><a href="c.xhtml#{n}">{title}</a></li>' for n, title in enumerate(("第一章 风", "第二章 雨"))
    )
    nav = f"<html><body><nav><ol><li><span>上卷</span><ol>{entries}</ol></li></ol></nav></body></html>"
    chapters = {
        "c.xhtml": page("<p>第一章 风</p><p>风起了。</p><p>第二章　雨</p><p>雨来了。</p>"),
        "d.xhtml": page("<p>雨停了。</p>"),
    }
    document = parse_epub(epub(chapters, {"OEBPS/nav.xhtml": nav}, item("nav.xhtml", properties="nav")))
    check_blocks(document)
    assert [(block.heading, text) for block, text in zip(document.blocks, texts(document), strict=True)][1:] == [
        (("上卷", "第一章 风"), "第一章 风"),
        (("上卷", "第一章 风"), "风起了。"),
        (("上卷", "第二章 雨"), "第二章 雨"),
        (("上卷", "第二章 雨"), "雨来了。"),
        (("上卷", "第二章 雨"), "雨停了。"),
    ]


def test_the_navigation_is_left_out_of_the_spine_unless_there_is_nothing_else() -> None:
    chapters = {"nav.xhtml": NAV, "c.xhtml": page("<p>Text.</p>")}
    nav = "<item id='n' href='nav.xhtml' properties='nav'/>"
    assert texts(parse_epub(epub(chapters, extra_items=nav)))[1:] == ["Text."]
    only = parse_epub(epub({"nav.xhtml": NAV}, extra_items=nav))
    assert "Part One" in only.text and "Second steps" in only.text


def test_missing_and_broken_chapters_are_warnings() -> None:
    deep = page("<div>" * 5000 + "x")
    document = parse_epub(
        epub({"a.xhtml": "", "b.xhtml": deep, "../../etc/passwd": "", "c.xhtml": page("<p>Here.</p>")})
    )
    assert texts(document)[1:] == ["Here."]
    missing, nested, outside = document.warnings
    assert missing == "chapter a.xhtml was not read: broken: it lacks OEBPS/a.xhtml"
    assert nested == "chapter b.xhtml was not read: its elements are nested too deeply"
    assert outside.startswith("chapter passwd was not read: broken: it lacks")


def test_pages_of_pictures_are_told_where_they_are_most_of_the_book() -> None:
    picture = page("<img src='a.png'/>")
    few = parse_epub(epub({"cover.xhtml": picture, "c.xhtml": page("<p>Here.</p>")}))
    assert few.warnings == ()
    many = parse_epub(epub({"1.xhtml": picture, "2.xhtml": picture, "c.xhtml": page("<p>Here.</p>")}))
    assert many.warnings == ("2 of 3 pages have no text (pictures?)",)
    with pytest.raises(ParseFailed, match="1 of 1 pages have no text"):
        parse_epub(epub({"1.xhtml": picture}))


def test_a_page_that_the_spine_names_a_thousand_times_is_read_once() -> None:
    data = epub({"c.xhtml": page("<p>Here.</p>")})
    again = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(again, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"</spine>", b'<itemref idref="c.xhtml"/>' * 1000 + b"</spine>"))
    assert texts(parse_epub(again.getvalue()))[1:] == ["Here."]


@pytest.mark.parametrize(
    ("algorithm", "locked"),
    [("http://www.w3.org/2001/04/xmlenc#aes128-cbc", True), ("http://www.idpf.org/2008/embedding", False)],
    ids=["DRM", "fonts"],
)
def test_locked_books_are_told_from_obfuscated_fonts(algorithm: str, locked: bool) -> None:
    encryption = f'<encryption><EncryptedData><EncryptionMethod Algorithm="{algorithm}"/></EncryptedData></encryption>'
    data = epub(CHAPTERS, {"META-INF/encryption.xml": encryption})
    if locked:
        with pytest.raises(ParseFailed, match=r"it is locked \(DRM\)"):
            parse_epub(data)
    else:
        assert "It began" in parse_epub(data).text


def test_a_book_without_its_container_file_is_found_by_its_package() -> None:
    document = parse_epub(epub(CHAPTERS, {"META-INF/container.xml": "<broken"}))
    assert "Then came oil." in document.text


def test_a_broken_table_of_contents_costs_the_titles_only() -> None:
    document = parse_epub(epub(CHAPTERS, {"OEBPS/nav.xhtml": "<nav"}, item("nav.xhtml", properties="nav")))
    assert "They leak still." in document.text
    assert document.warnings == ("its table of contents was not read: broken: OEBPS/nav.xhtml is no sound XML",)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "{}"><!ENTITY c SYSTEM "file:///etc/passwd">]>'.format(
    "&a;" * 99
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK", "no ZIP container"),
        (epub({}), "no text"),
        (epub(CHAPTERS, {"OEBPS/book.opf": BOMB + "<package>&b;&c;</package>"}), "declares entities"),
    ],
    ids=["no ZIP", "no chapters", "bomb"],
)
def test_what_is_no_book_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_epub(data)


def test_entities_of_a_chapter_reach_no_file_and_do_not_grow() -> None:
    bomb = BOMB + page("<p>&b;&b;&c; end</p>")
    text = parse_epub(epub({"c.xhtml": bomb})).text
    assert "root:" not in text and len(text) < 500


def test_many_chapters_are_read_quickly() -> None:
    chapters = {f"{number}.xhtml": page(f"<h1>{number}</h1><p>word {number}</p>") for number in range(5100)}
    began = time.monotonic()
    document = parse_epub(epub(chapters))
    assert document.warnings == ("only its first 5000 chapters were read",)
    assert "word 4999" in document.text and "word 5000" not in document.text
    assert time.monotonic() - began < 20


def test_damaged_books_give_a_document_or_a_reason() -> None:
    good = epub(CHAPTERS, {"OEBPS/nav.xhtml": NAV}, item("nav.xhtml", properties="nav"))
    stored = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(stored, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    rng = random.Random(5)
    outcomes = {"read": 0, "failed": 0}
    for turn in range(200):
        data = bytearray(good if turn % 2 else stored.getvalue())
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((1, 1, 1, 40))] = rng.randbytes(rng.choice((0, 1, 1, 20)))
        try:
            check_blocks(parse_epub(bytes(data)))
            outcomes["read"] += 1
        except ParseFailed:
            outcomes["failed"] += 1
    assert min(outcomes.values()) > 10


def test_numbers_of_printed_pages_do_not_part_a_sentence() -> None:
    body = '<p>The mill <span epub:type="pagebreak" id="p12">12</span>stood still.</p><p role="doc-pagebreak">13</p>'
    assert texts(parse_epub(epub({"c1.xhtml": page(body)})))[-1] == "The mill stood still."


def test_what_a_damaged_book_lost_is_told() -> None:
    whole = page("<p>one</p>")
    cut = epub({"c1.xhtml": whole, "c2.xhtml": page("<p>two</p>")[:-20]})
    assert parse_epub(cut).warnings == ("chapter c2.xhtml: its end is missing",)
    listed = epub({"c1.xhtml": whole}, {"OEBPS/book.opf": OPF.format(
        metadata=METADATA, items=item("c1.xhtml"), spine='<itemref idref="c1.xhtml"/><itemref idref="c9.xhtml"/>'
    )})  # fmt: skip
    assert parse_epub(listed).warnings == ("1 chapter that it lists is not in it",)


def test_a_chapter_in_utf16_has_its_end() -> None:
    wide = page("<p>one</p>").replace("utf-8", "utf-16")
    assert not parse_epub(epub({"c1.xhtml": wide.encode("utf-16")})).warnings
    assert parse_epub(epub({"c1.xhtml": wide[:-20].encode("utf-16")})).warnings
