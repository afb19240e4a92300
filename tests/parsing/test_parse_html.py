"""HTML: everything that is content stays, menus go."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing.parsing_helpers import block_of, check_blocks, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.html import parse_html

SAMPLES = Path(__file__).parents[2] / "sample_docs"
CONTENT = """
<h1>Pump P-1 <a class="headerlink" href="#x">¶</a></h1>
<p>It lifts 20&nbsp;m.<br>Not more.</p>
<h2>Terms</h2>
<dl><dt>Valve</dt><dd>Opens and <code>closes</code>.</dd></dl>
<ul><li>One<ul><li>Nested</li></ul></li><li><p>Two</p><p>and more</p></li></ul>
<table><caption>Prices</caption><thead><tr><th>Part</th><th>Net</th></tr></thead>
<tr><td>Seal <b>A</b></td><td>12</td></tr><tr><td>Ring</td><td>3<br>each</td></tr></table>
<pre>x = 1
  y</pre>
<details><summary>How to reset?</summary>Hold OK.</details>
<figure><img src="a.png"><figcaption>Figure 1: wiring</figcaption></figure>
<blockquote>Quoted.</blockquote>
"""
MENU = '<div class="top-menu"><ul><li><a href="/">Start page</a></li><li><a href="/shop">Web shop</a></li></ul></div>'
PROSE = "<p>The caretaker counted the crates twice, and wrote the totals down in the ledger of the depot.</p>"
TAGS = ("p", "div", "table", "tr", "td", "ul", "ol", "li", "h1", "a", "pre", "main", "nav")
PIECES = [*(f"<{tag}>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS), "<a href=x>", "<br>", "<!--", "-->", "&amp;"]
PIECES += ["<td rowspan=2>", "<td colspan=3>", "text", " ", "中", "\0"]


def page(body: str, head: str = "<title>Guide &amp; more</title>") -> bytes:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>".encode()


@pytest.mark.parametrize(
    "body",
    [
        f"<header>{MENU}</header><nav><a href=a>Start page</a></nav><main>{CONTENT}</main><footer>Start page</footer>",
        f"{MENU}<article>{CONTENT}</article><footer>Start page</footer>",
        f"{MENU}<div class='text with-sidebar'>{CONTENT}</div><div class='site-footer'><a href=x>Start page</a></div>",
    ],
    ids=["main", "article", "neither"],
)
def test_all_content_is_kept_in_order_and_the_menu_is_not(body: str) -> None:
    document = parse_html(page(body))
    check_blocks(document)
    pump, terms = ("Pump P-1",), ("Pump P-1", "Terms")
    assert [(b.kind, b.heading, document.text[b.start : b.end]) for b in document.blocks] == [
        ("heading", pump, "Pump P-1"),
        ("paragraph", pump, "It lifts 20 m.\nNot more."),
        ("heading", terms, "Terms"),
        ("list_item", terms, "Valve"),
        ("list_item", terms, "Opens and closes."),
        ("list_item", terms, "One"),
        ("list_item", terms, "Nested"),
        ("list_item", terms, "Two"),
        ("list_item", terms, "and more"),
        ("paragraph", terms, "Prices"),
        ("table_row", terms, "Part | Net"),
        ("table_row", terms, "Seal A | 12"),
        ("table_row", terms, "Ring | 3 each"),
        ("code", terms, "x = 1\n  y"),
        ("paragraph", terms, "How to reset?"),
        ("paragraph", terms, "Hold OK."),
        ("paragraph", terms, "Figure 1: wiring"),
        ("paragraph", terms, "Quoted."),
    ]
    assert [b.header for b in document.blocks if b.kind == "table_row"] == ["", "Part | Net", "Part | Net"]
    assert document.title == "Guide & more"


@pytest.mark.parametrize(
    "section",
    [
        '<section id="related-work" class="level2"><h2>Related work</h2>{}</section>',
        '<section id="related-work-1"><span id="other"></span><h2><b>2.</b> Related work</h2>{}</section>',
        '<div class="section" id="sec-footer"><h2>Related work</h2>{}</div>',
        '<h2 class="page-header" id="related-work">Related work</h2>{}',
    ],
    ids=["pandoc", "numbered", "docutils", "heading"],
)
def test_a_section_is_no_furniture_for_an_id_made_from_its_heading(section: str) -> None:
    body = f"<h2>Introduction</h2>{PROSE}{section.format(PROSE)}<h2>Methods</h2>{PROSE}"
    document = parse_html(page(body))
    assert [text[-12:] for text in texts(document, "heading")] == ["Introduction", "Related work", "Methods"]
    assert len(texts(document, "paragraph")) == 3


def test_a_title_stays_with_what_stands_beside_it() -> None:
    title = "<h1>Depot survey</h1><p class='author'>Ann Lee</p>"
    main = f"<main>{PROSE}<h2>Totals</h2>{PROSE}</main>"
    for header in (f"<div class='page-header'>{title}</div>", f"<header><div>{MENU}{title}</div></header>"):
        for rest in (main, f"<article>{PROSE}</article><h2>Totals</h2>{PROSE}", f"{PROSE}<h2>Totals</h2>{PROSE}"):
            document = parse_html(page(header + rest))
            assert texts(document)[:2] == ["Depot survey", "Ann Lee"]
            assert "shop" not in document.text
            assert document.blocks[-1].heading == ("Depot survey", "Totals")
    assert texts(parse_html(page(f"<aside class='sidebar'>{title}</aside>{main}")))[0] == "Depot survey"


def test_the_name_of_a_site_is_no_title_of_a_main_content_that_has_one() -> None:
    document = parse_html(page(f"<header><h1>Depot News</h1></header><main><h1>Flood</h1>{PROSE}</main>"))
    assert texts(document, "heading") == ["Flood"]


def test_what_stands_around_a_single_article_is_judged_as_on_other_pages() -> None:
    linked = "<p><a href=x>See how the crates were counted.</a></p>"
    rest = "<h2>Appendix</h2><p>The keys that were lost.</p><table><tr><td>7</td><td>the porter</td></tr></table>"
    body = f"{MENU}<h1>Survey</h1><p>Ordered in May.</p><article>{PROSE}{linked}</article>{rest}"
    document = parse_html(page(body))
    assert texts(document)[:2] == ["Survey", "Ordered in May."]
    assert "See how" in document.text
    assert document.text.endswith("Appendix\n\nThe keys that were lost.\n\n7\n\nthe porter")
    assert "shop" not in document.text


def test_white_space_is_no_reason_to_doubt_a_main_content() -> None:
    space = "<div> \n </div>" * 500
    assert texts(parse_html(page(f"<div>Press S to search.</div>{space}<main><p>Welcome.</p></main>"))) == ["Welcome."]


def test_notes_stay_in_an_aside() -> None:
    notes = "<aside role=doc-endnotes><ol><li>Twice, to be sure.</li></ol></aside>"
    assert texts(parse_html(page(f"<h1>Survey</h1>{PROSE * 3}{notes}")))[-1] == "1. Twice, to be sure."


def test_captions_stay_that_only_screen_readers_skip() -> None:
    figure = '<figure><img alt="The quay"><figcaption aria-hidden="true">The quay</figcaption></figure>'
    assert "The quay" in texts(parse_html(page(f"{PROSE}{figure}")))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("hidden", ["hidden", "style='color: red; display:none'", "style='visibility: hidden'"])
def test_what_is_hidden_is_left_out_unless_it_is_most_of_the_page(hidden: str, whole: bool) -> None:
    secret = f"<div {hidden}><p>Preheader {hidden.split('=')[0]}</p></div>"
    for body in (f"{secret}{PROSE}", f"<main>{secret}{PROSE}</main>", f"<article>{PROSE}{secret}</article>"):
        assert "Preheader" not in parse_html(page(body), whole=whole).text
    assert len(texts(parse_html(page(f"<p>Loading</p><div {hidden}>{PROSE * 2}</div>"), whole=whole))) == 3


def test_what_is_shown_on_demand_stays() -> None:
    panels = (
        "<div hidden role=tabpanel>Tab</div><button aria-controls='a b'>More</button><div hidden id=b>Answer</div>"
        "<p hidden=until-found>Found</p><span style='display: none'><math>x = 1</math></span>"
    )
    assert texts(parse_html(page(f"<main>{PROSE}{panels}</main>")))[1:] == ["Tab", "Answer", "Found", "x = 1"]


def test_control_characters_do_no_harm() -> None:
    document = parse_html(b"<p>a<button>x</button>b\x01&#2;c<nav>y</nav>\x0cd &#xFFFE;</p>")
    check_blocks(document)
    assert "".join(c for c in document.text if c.isalpha()) == "abcd"


def test_a_page_of_links_keeps_its_links() -> None:
    body = "<h1>Policies</h1><ul>" + "".join(f"<li><a href={n}>Policy number {n}</a></li>" for n in range(20)) + "</ul>"
    assert len(texts(parse_html(page(body)), "list_item")) == 20


def test_a_page_that_is_all_menu_is_kept() -> None:
    assert texts(parse_html(page("<nav><ul><li><a href=1>Only this</a></li></ul></nav>"))) == ["Only this"]


def test_a_table_for_layout_is_no_table() -> None:
    inner = "<table><tr><th>Year</th><th>Level</th></tr><tr><td>1998</td><td>3.2 m</td></tr></table>"
    document = parse_html(
        page(f"<table><tr><td>Left</td><td><h1>Old page</h1><p>By the river.</p>{inner}</td></tr></table>")
    )
    assert texts(document, "table_row") == ["Year | Level", "1998 | 3.2 m"]
    assert block_of(document, "By the river.").heading == ("Old page",)


def test_a_table_that_says_so_lays_out_a_mail() -> None:
    rows = "<tr><td>Your order</td><td>is on its way.</td></tr><tr><td>Track it</td><td>here.</td></tr>"
    document = parse_html(page(f"<table role=presentation>{rows}</table>"), whole=True)
    assert texts(document, "paragraph") == ["Your order", "is on its way.", "Track it", "here."]


def test_items_of_ordered_lists_keep_their_numbers() -> None:
    letters = "<ol type=a><li>left</li><li><p>right</p><p>and up</p></li></ol>"
    body = f"<ol start=3><li>Open the lid.</li><li>Turn: {letters}</li><li value=9><h3>Close</h3>Softly.</ol>"
    assert texts(parse_html(page(f"<ul><li>First of all</li></ul>{body}"))) == [
        *("First of all", "3. Open the lid.", "4. Turn:", "a. left", "b. right", "and up"),
        *("9. Close", "Softly."),
    ]
    assert parse_html(page(body)).blocks[-1].heading == ("Close",)


@pytest.mark.parametrize(
    ("attributes", "mark"),
    [
        ("", "2. "),
        *(("type=A", "B. "), ("type=i", "ii. "), ("class='simple loweralpha'", "b. ")),
        *(("style='list-style-type: upper-roman'", "II. "), ("style='list-style: none'", ""), ("reversed", "")),
    ],
)
def test_numbers_are_written_as_the_list_says(attributes: str, mark: str) -> None:
    document = parse_html(page(f"<ol {attributes}><li>One</li><li>Two</li></ol>"))
    assert texts(document)[1] == f"{mark}Two"


def test_cells_over_several_rows_and_columns_keep_the_others_in_their_columns() -> None:
    rows = (
        "<tr><th rowspan=2>Model<th colspan=2>Net price<th rowspan=2>Note</tr><tr><th>EU<th>US</tr>"
        "<tr><td>A<td>1<td>2<td>-</tr><tr><td rowspan=2>B<td>3<td>4</tr><tr><td>5<td colspan=2>on request</tr>"
    )
    document = parse_html(page(f"<table>{rows}</table>"))
    assert texts(document, "table_row") == [
        "Model | Net price |  | Note",
        "Model | EU | US | Note",
        *("A | 1 | 2 | -", "B | 3 | 4", "B | 5 | on request"),
    ]
    assert document.blocks[-1].header == "Model | Net price |  | Note / Model | EU | US | Note"


def test_marks_of_notes_are_no_part_of_the_word_before_them() -> None:
    body = (
        '<p>It weighs 25<a href="#n1"><sup>2</sup></a> kg<sup><a href="#n2">b</a></sup>, that is 10<sup>3</sup> oz'
        '<sup><a href="#n3">[4]</a></sup>.</p><ol><li id="n1">When empty.<a href="#r1">↩︎</a></li></ol>'
    )
    assert texts(parse_html(page(body))) == ["It weighs 25[2] kg[b], that is 103 oz[4].", "1. When empty."]


def test_what_pages_add_to_words_and_code_is_left_out() -> None:
    body = (
        '<h2>Types<span class="mw-editsection">[<a href="?edit">edit</a>]</span></h2>'
        "<p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby></p>"
        '<pre><span class="linenos">1</span>import os\n<span class="linenos">2</span>os.sync()</pre>'
        '<table><tr><td class="linenos"><pre>1\n2</pre></td><td class="code"><pre>x = 1\ny = 2</pre></td></tr></table>'
    )
    document = parse_html(page(body))
    assert texts(document) == ["Types", "漢字", "import os\nos.sync()", "x = 1\ny = 2"]
    assert document.blocks[1].heading == ("Types",)


def test_a_table_with_heads_in_its_rows_has_no_header_row() -> None:
    rows = "<tr><th>Flow</th><td>3</td></tr><tr><th>Lift</th><td>20</td></tr>"
    document = parse_html(page(f"<p>Data</p><table>{rows}</table>"))
    assert [b.header for b in document.blocks if b.kind == "table_row"] == ["", ""]


@pytest.mark.parametrize(
    ("head", "text", "encoding"),
    [
        ('<meta charset="gb2312">', "阀门控制器使用说明", "gb18030"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=big5">', "閥門控制器使用說明", "big5"),
        ("<meta charset=shift_jis>", "設定を変更", "cp932"),
        ('<meta charset="iso-8859-1">', "20 € – façade", "cp1252"),
        ('<meta charset="iso-8859-1">', "really UTF-8: façade 中", "utf-8"),
        ("<meta charset=rot13>", "plain", "utf-8"),
        ("", "mark: 中", "utf-8-sig"),
        ("", "mark: 中", "utf-16"),
    ],
)
def test_the_declared_encoding_is_read(head: str, text: str, encoding: str) -> None:
    document = parse_html(f"<html><head>{head}</head><body><p>{text}</p></body></html>".encode(encoding))
    assert texts(document) == [text]


def test_a_few_broken_characters_do_not_change_the_declared_encoding() -> None:
    text = "龘靐齉爩鱻麤，龗灪吁" * 10  # by guess, so rare characters are nothing
    document = parse_html(f'<meta charset="gbk"><p>{text}</p>'.encode("gb18030") + b"<p>\xff</p>")
    assert texts(document) == [text, "\ufffd"]
    assert document.warnings == ("1 characters are not valid gbk and were replaced",)
    wrong = '<meta charset="euc-jp"><p>额定电压为二百二十伏，请在断电后打开外壳。</p>'.encode("gb18030")
    assert texts(parse_html(wrong)) == ["额定电压为二百二十伏，请在断电后打开外壳。"]


def test_a_guessed_encoding_is_a_warning() -> None:
    document = parse_html("<p>Ça dépasse la limite réglée à l'été.</p>".encode("latin-1"))
    assert texts(document) == ["Ça dépasse la limite réglée à l'été."]
    assert "guess" in document.warnings[0]


def test_entities_of_a_dtd_stay_unread() -> None:
    bomb = b'<!DOCTYPE html [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    document = parse_html(bomb + b"<html><body><p>one &b; two &c;</p></body></html>")
    assert "aaaa" not in document.text
    assert "root:" not in document.text


@pytest.mark.parametrize("data", [b"   ", b"<html><body><script>x</script></body></html>", b"<!-- only -->"])
def test_a_page_without_text_fails(data: bytes) -> None:
    with pytest.raises(ParseFailed, match="no text"):
        parse_html(data)


def test_nesting_beyond_reason_is_a_failure_not_a_silent_loss() -> None:
    assert texts(parse_html(b"<div>" * 1500 + b"deep")) == ["deep"]
    with pytest.raises(ParseFailed, match="nested too deeply"):
        parse_html(b"<div>" * 5000 + b"deep")


@pytest.mark.parametrize(
    "source",
    [
        "<nav>" * 1900 + "<p>x</p>" * 5000,
        "<div class=sidebar>" * 1900 + "<p>x</p>" * 1000,
        "<p><a href=x>link</a></p>" * 5000,
        "<table>" + "<tr><td>a</td><td>b</td></tr>" * 5000 + "</table>",
        "<table>" + ("<tr>" + "<td rowspan=9999 colspan=9999>a" * 50) * 500 + "</table>",
        "<button>a</button>b" * 10_000,
        "<" * 500_000,
        "<header>" * 1900 + "<p>x</p>" * 5000,
        "<div hidden>" * 1900 + "<math>x</math>" + "<p>x</p>" * 5000,
        "<div id=nav><h1>" * 900 + "<p>x</p>" * 5000,
        "<header><h1>x</h1></header>" * 5000 + "<main>x</main>",
    ],
    ids=["navs", "named", "links", "rows", "spans", "buttons", "lt", "headers", "hidden", "sections", "titles"],
)
def test_hostile_pages_are_read_in_seconds(source: str) -> None:
    start = time.perf_counter()
    check_blocks(parse_html(source.encode()))
    assert time.perf_counter() - start < 5


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_blocks_hold_every_character(source: str) -> None:
    try:
        document = parse_html(source.encode())
    except ParseFailed:
        return
    check_blocks(document)


@pytest.mark.parametrize("name", ["returns-and-refunds.html", "gw-3-gateway-guide.html", "GW-2网关快速上手.html"])
def test_the_samples_lose_their_banners_only(name: str) -> None:
    (path,) = SAMPLES.rglob(name)
    document = parse_html(path.read_bytes())
    check_blocks(document)
    for unwanted in ("cookies", "Newsletter", "Imprint", "Was this page helpful"):
        assert unwanted not in document.text
    assert document.blocks[0].kind == "heading"
