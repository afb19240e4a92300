"""Text without sense is reported, not indexed; letters with spaces between become words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pypdf
import pytest
from fpdf import FPDF
from parsing.parsing_helpers import check_blocks, make_pdf, pdf_of, raw_page, write_lines

from ragcli.errors import ParseFailed
from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import PAGE_BREAK, parse_pdf
from ragcli.parsing.pdf.garbled import is_garbled, is_spaced, is_torn, join_characters, join_letters
from ragcli.parsing.pdf.reading import read_with_pdfium
from ragcli.records import Document

CHINESE = Path(__file__).parents[2] / "sample_docs" / "产品手册" / "VC-4阀门控制器使用说明.pdf"
CODE = "def f(x):\n    return {k: v for k, v in x.items() if k[0] != '/g12'}\n#include <a.h>\n0x1F2E %d\\n && || ^~"


def without_letters(data: bytes, pages: set[int]) -> bytes:
    """Take from a PDF what its fonts say of their letters, on the given pages, counted from 1."""
    writer = pypdf.PdfWriter(io.BytesIO(data))
    for number, page in enumerate(writer.pages, 1):
        if number in pages:
            resources: Any = page["/Resources"]
            fonts = pypdf.generic.DictionaryObject()
            for name, font in resources["/Font"].items():
                fonts[name] = pypdf.generic.DictionaryObject(
                    {key: value for key, value in font.get_object().items() if key != "/ToUnicode"}
                )
            own = pypdf.generic.DictionaryObject(resources)
            own[pypdf.generic.NameObject("/Font")] = fonts
            page[pypdf.generic.NameObject("/Resources")] = own
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def parsed(data: bytes) -> Document:
    document = parse_pdf(data, Limits(50))
    check_blocks(document)
    return document


@pytest.mark.parametrize(
    "text",
    [
        "(cid:12)(cid:7)(cid:33) (cid:5)",
        "/G21/G22/G3A /G07 /G11",
        "Pure Black (K = 100)".encode("utf-16-le").decode("utf-16-be"),
        "\ue001\ue002\ue013\ue014\ue020\ue021 \ue003\ue004",
        "\U000f0001\U000f0002\U00100003" * 4,
        "We \ufffd\ufffd\ufffd\ufffd\ufffd\ufffd sell",
        "\x01\x04 \x05\x06\x07\x08 \x0e\x0f abc def",
        "g12 g45 g7 g19 g21 g33",
    ],
)
def test_nonsense_is_garbled(text: str) -> None:
    assert is_garbled(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "一" * 4 + "阀门控制器使用说明",
        "The word (cid:12) stands for a letter that was lost, as /G21 does.",
        "1,204 3,511 (12.4)% $ 17 — 5 N/A 2,022 2,021",
        CODE,
        "\uf0b7 First point of the list\n\uf0b7 Second point of the list",
        "Łódź, Żółw, Çeşme, Ñandú, ærlig, Привет, שלום, สวัสดี, 本机没有显示屏，所有设置通过手机完成。",
        "x = ∑ᵢ αᵢ·βᵢ² ≤ ∫ ƒ(t) dt ⇒ ∀ε>0",
        "Rhythms, nth Cwm fjord bank glyphs vext quiz BCDFG HJKLM NPQRS TVWXZ",
        "\ue001",
    ],
)
def test_tables_code_and_languages_are_not(text: str) -> None:
    assert not is_garbled(text)


def test_a_font_that_tells_no_letters_is_judged_by_what_came_out() -> None:
    assert is_garbled("7KLV LV D WHVW RI VKLIWHG OHWWHUV WKDW UHDGV DV QRQVHQVH", unmapped=1.0)
    assert not is_garbled("This is a test of a font that has names of its own for all of the letters", unmapped=1.0)


def test_one_garbled_page_is_left_out_and_named() -> None:
    whole = parsed(CHINESE.read_bytes())
    document = parsed(without_letters(CHINESE.read_bytes(), {2}))
    assert document.warnings == ("page 2 has garbled text (its font tells no letters) and was left out",)
    assert document.textless == (2,)
    (first, second, third), kept = document.text.split(PAGE_BREAK), whole.text.split(PAGE_BREAK)
    assert second == ""
    assert first.startswith(kept[0])  # its footer, now on two pages only, follows
    assert third.startswith(kept[2])


def test_a_wholly_garbled_file_is_refused() -> None:
    with pytest.raises(ParseFailed, match=r"^no text: it has only garbled text \(its font tells no letters\)$"):
        parsed(without_letters(CHINESE.read_bytes(), {1, 2, 3}))


def test_pages_without_text_and_garbled_ones_are_textless() -> None:
    document = parsed(pdf_of("Sound text.", "", "(cid:12)(cid:13)(cid:14)"))
    assert document.textless == (2, 3)
    assert document.warnings == (
        "page 2 has no text (scanned?)",
        "page 3 has garbled text (its font tells no letters) and was left out",
    )


def spaced(text: str, gap: str) -> str:
    return gap.join(" ".join(word) for word in text.split())


WORDS = "The quick brown fox jumps over the lazy dog.\nIt comes home late and sleeps for a long while."


def test_letters_drawn_apart_become_words() -> None:
    document = parsed(pdf_of("\n".join(spaced(line, "   ") for line in WORDS.split("\n"))))
    assert document.text == WORDS
    assert not document.warnings


def test_letters_evenly_apart_are_reported() -> None:
    even = "\n".join(spaced(line, " ") for line in WORDS.split("\n"))
    document = parsed(pdf_of("Sound text.", even))
    assert document.textless == (2,)
    assert document.warnings == (
        "page 2 has text whose letters stand apart, with no telling where words end, and was left out",
    )


def test_character_spacing_is_no_space() -> None:
    def write(pdf: FPDF) -> None:
        pdf.add_page()
        pdf.set_char_spacing(4)
        write_lines(pdf, WORDS)

    assert " ".join(parsed(make_pdf(write)).text.split()) == WORDS.replace("\n", " ")


def test_single_letters_need_company() -> None:
    assert not is_spaced(["A B C D E F", "1 2 3 4 5 6"])
    assert not is_spaced(["x = a + b", "y is the sum of all that we know of it"] * 9)
    assert is_spaced([spaced(WORDS, "  ")])
    assert join_letters(["公 司 制 度 " * 9]) == ["公司制度" * 9]


def test_characters_that_stand_apart_come_together() -> None:
    line = "流 体 力 学 を教 育す る 際 の 苦 労 は 昔 か らあ っ た が ，年 々 変 化 し た ．"
    assert join_characters([line] * 5) == ["流体力学を教育する際の苦労は昔からあったが，年々変化した．"] * 5
    mixed = join_characters([line] * 5 + ["表 2 （2007 年） Fluid Mechanics の 例"])
    assert mixed[-1] == "表 2 （2007 年） Fluid Mechanics の例"


def test_cells_and_korean_words_stay_apart() -> None:
    table = ["行业名称 指标 单位 大型 中型 小型", "工业 从业人员 人 是 否 不限"] * 40
    korean = ["그 는 이 책 을 다 읽 고 나 서 집 에 갔 다"] * 40
    assert join_characters(table) == table
    assert join_characters(korean) == korean


def test_letters_with_their_bytes_swapped_are_garbled() -> None:
    swapped = "Multicolor Black".encode("utf-16-le").decode("utf-16-be")
    assert is_garbled(swapped)
    assert not is_garbled("一个公司一年一次，一人一票。" * 5)


def test_the_torn_off_ends_of_words_come_back() -> None:
    words = ["Evergreen", "Marine", "Corporation", "keeps", "its", "ships", "at", "sea", "for", "a", "year"]

    def line(y: int) -> bytes:
        torn = b"".join(f"({word[:-1]}) -180 ({word[-1]} )".encode() for word in words)
        return b"1 0 0 1 50 %d Tm [%s] TJ " % (y, torn)

    drawn = b"BT /F1 10 Tf %s ET" % b"".join(line(700 - 20 * at) for at in range(5))
    torn = read_with_pdfium(raw_page(drawn), 10)
    assert is_torn(["Evergree n Marin e Corporatio n"] * 12)
    assert [line.text for line in torn.lines[0]] == [" ".join(words)] * 5


def test_formulas_keep_their_letters_apart() -> None:
    formula = b"(x) -400 (=) -400 (a) -400 (+) -400 (b) -400 (y) -400 (z)"
    drawn = b"BT /F1 10 Tf %s ET" % b"".join(b"1 0 0 1 50 %d Tm [%s] TJ " % (700 - 20 * at, formula) for at in range(9))
    assert [line.text for line in read_with_pdfium(raw_page(drawn), 10).lines[0]] == ["x = a + b y z"] * 9
