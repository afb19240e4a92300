"""Bytes to text."""

from __future__ import annotations

import codecs
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragcli.errors import ParseFailed
from ragcli.parsing.decode import decode

CHINESE = "控制器每十五分钟与网关通信一次，因此在平台上修改的程序最长十五分钟后生效。紧急停水请使用蓝牙。"
TAIWAN = "控制器每十五分鐘與閘道器通訊一次，因此在平台上修改的程式最長十五分鐘後生效。緊急停水請使用藍牙。"
JAPANESE = "コントローラーの設定を変更するには、メニューから設定を選択してください。電池の交換は三年ごとに行います。"
KOREAN = "컨트롤러의 설정을 변경하려면 메뉴에서 설정을 선택하십시오. 배터리는 삼 년마다 교체합니다."
RUSSIAN = "Контроллер останавливается, когда давление превышает установленный предел."
FRENCH = "Le contrôleur s'arrête dès que la pression dépasse la limite réglée. Où êtes-vous ? Ça va très bien."

WRITTEN = [
    (CHINESE, "gb18030", "gb18030"),
    (TAIWAN, "big5", "big5"),
    (JAPANESE, "shift_jis", "cp932"),
    (JAPANESE, "euc_jp", "euc_jp"),
    (KOREAN, "euc_kr", "cp949"),
    (RUSSIAN, "cp1251", "cp1251"),
    (RUSSIAN, "koi8_r", "koi8_r"),
    (FRENCH, "cp1252", "cp1252"),
]
"""Texts, what they are written in, and what they are read as."""


@given(st.text().filter(lambda text: "\0" not in text and not text.startswith("\ufeff")))
def test_utf8_is_read_as_it_is(text: str) -> None:
    assert decode(text.encode()) == (text, ())


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_decides(bom: bytes, encoding: str) -> None:
    assert decode(bom + "a\r\n中\U0001f600".encode(encoding)) == ("a\r\n中\U0001f600", ())


def test_a_broken_utf16_file_says_so() -> None:
    text, (warning,) = decode(codecs.BOM_UTF16_LE + "ab".encode("utf-16-le") + b"\x00\xd8")
    assert text == "ab\ufffd"
    assert "utf-16-le" in warning


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        (TAIWAN, "big5"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (KOREAN, "euc_kr"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (FRENCH, "latin-1"),
        (FRENCH + " 20 €", "cp1252"),
        ("Keep it at 20 °C, ±5 %, in a box of 10×20 mm. " * 3, "latin-1"),
    ],
)
def test_legacy_encodings_are_guessed_with_a_warning(text: str, encoding: str) -> None:
    decoded, (warning,) = decode(text.encode(encoding))
    assert decoded == text
    assert "guess" in warning


@pytest.mark.parametrize("length", [20, 60, 200], ids=["20 bytes", "60", "200"])
@pytest.mark.parametrize(("text", "encoding", "codec"), WRITTEN, ids=[f"{codec}" for _, _, codec in WRITTEN])
def test_short_stretches_are_recognised(text: str, encoding: str, codec: str, length: int) -> None:
    for start in range(0, len(text) - 20, 7):
        piece = (text * 4)[start:][:length]
        while len(piece.encode(encoding)) > length:
            piece = piece[:-1]
        if not piece.isascii():
            decoded, (warning,) = decode(piece.encode(encoding))
            assert decoded == piece
            assert f"read as {codec}" in warning


@pytest.mark.parametrize(("text", "encoding", "codec"), WRITTEN, ids=[f"{codec}" for _, _, codec in WRITTEN])
def test_a_few_words_among_english_are_recognised(text: str, encoding: str, codec: str) -> None:
    mixed = f"See page 12 for the table of parts.\r\n{text[:16]}\rThe pump stops above 3 bar.\n"
    assert decode(mixed.encode(encoding))[0] == mixed


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [CHINESE, TAIWAN, JAPANESE, KOREAN, RUSSIAN, FRENCH, "name;value\r\npump;3\r\n"])
def test_utf16_needs_no_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == (text, (f"read as {encoding}, though no mark says so",))


def test_big5_is_read_with_the_characters_of_hong_kong() -> None:
    text = "佢哋喺度做嘢，啲嘢好食嘅。恒生指數今日升咗，呢裏啲樓價點解咁貴？"
    decoded, (warning,) = decode(text.encode("big5hkscs"))
    assert decoded == text
    assert "read as big5hkscs" in warning


@pytest.mark.parametrize("end", ["\n", ""], ids=["before", "same line"])
def test_a_long_line_of_ascii_costs_neither_time_nor_certainty(end: str) -> None:
    began = time.monotonic()
    text, (warning,) = decode(f"{'x=1;' * 500_000}{end}{CHINESE}".encode("gb18030"))
    assert text.endswith(f";{end}{CHINESE}") and "read as gb18030, which is a guess" in warning
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("piece", ["£45.00", "Ø 12 mm", "Ø12", "12 × 15", "12×15", "£5m", "Ça va", "Æther"])
def test_signs_and_lone_letters_are_no_cyrillic(piece: str) -> None:
    text = f"Item,Remark\nSpare gasket,{piece}\nFuse box,{piece}\n"
    decoded, (warning,) = decode(text.encode("cp1252"))
    assert decoded == text and "read as cp1252" in warning


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("邱海,深圳,采购,611\n钟桂,武汉,销售,560\n高勇磊,苏州,采购,430\n高燕涛,深圳,助理,469", "gb18030"),
        ("李娜,上海,技术部,12\n张伟,南京,人事,45\n", "gb18030"),
        ("張偉,桃園,人事,45\n劉洋,嘉義,客服,31\n", "big5hkscs"),
        ("Насос,шт,5\nКран шаровой,шт,12\n", "koi8_r"),
        ("АЗС № 5\nИванов И. И.\n", "cp1251"),
    ],
)
def test_short_lists_are_no_words_in_mixed_case(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


def test_what_could_be_anything_is_doubtful() -> None:
    assert "doubtful" in decode("Łódź i Kraków, zażółć gęślą jaźń".encode("cp1250"))[1][0]
    assert "doubtful" in decode(b"a\xb0\xa1")[1][0]
    for few in ("李娜", "高勇磊苏"):
        assert "doubtful" in decode(f"The form of {few} was signed on 4 May.".encode("gb18030"))[1][0]
    assert "doubtful" not in decode(CHINESE.encode("gb18030"))[1][0]


def test_a_broken_pair_does_not_change_a_legacy_encoding() -> None:
    data = CHINESE.encode("gb18030")
    text, (warning,) = decode(data[:40] + b"\xff\n" + data[40:])
    assert text.startswith(CHINESE[:20]) and text.endswith(CHINESE[-20:])
    assert "read as gb18030" in warning and "broken" in warning


def test_a_few_broken_bytes_do_not_change_the_encoding() -> None:
    data = CHINESE.encode()
    text, (warning,) = decode(data[:31] + b"\xff" + data[31:])
    assert text.replace("\ufffd", "")[:9] == CHINESE[:9]
    assert text.endswith(CHINESE[-20:])
    assert "not valid UTF-8" in warning


def test_a_stray_byte_does_not_change_utf8_of_which_there_is_little() -> None:
    text, (warning,) = decode("Café — the minutes of May.".encode() + b"\x92\n")
    assert text == "Café — the minutes of May.\ufffd\n"
    assert "1 characters are not valid UTF-8" in warning


def test_a_short_name_is_not_utf8_by_chance() -> None:
    for name, encoding in (("홍길동", "cp949"), ("武汉", "gb18030"), ("花蓮", "big5")):
        assert "not UTF-8" in decode(name.encode(encoding))[1][0]


POLISH = "Pan Wiśniewski przewiózł 44 stare skrzynie do łódzkiego archiwum."


@pytest.mark.parametrize(
    "declaration",
    [
        '<?xml version="1.0" encoding="ISO-8859-2"?>',
        "<?xml version='1.0' encoding='windows-1250' standalone='yes'?>",
        "# -*- coding: latin-2 -*-",
        "#!/usr/bin/env python\r\n# vim: set fileencoding=iso-8859-2 :",
        "// -*- mode: c; coding: latin-2 -*-",
    ],
)
def test_what_the_text_says_it_is_in_is_believed(declaration: str) -> None:
    text = f"{declaration}\n{POLISH}\n"
    assert decode(text.encode("cp1250" if "1250" in declaration else "latin2")) == (text, ())


def test_a_declaration_is_believed_only_where_the_bytes_agree() -> None:
    for declared in ("iso-8859-2", "gb2312", "no-such", "hex"):
        text = f'<?xml version="1.0" encoding="{declared}"?>\n{RUSSIAN}'
        assert decode(text.encode()) == (text, ())
    for declared in ("gb2312", "euc-jp", "no-such", "hex"):
        text = f'<?xml version="1.0" encoding="{declared}"?>\n{FRENCH}'
        decoded, (warning,) = decode(text.encode("latin-1"))
        assert decoded == text and "guess" in warning
    assert "guess" in decode(f"print()\n\n# coding: latin-2\n{POLISH}".encode("latin2"))[1][0]


def test_japanese_by_escape_sequences_is_read() -> None:
    assert decode(f"{JAPANESE}\r\nABC ｱ\n".encode("iso2022_jp_ext")) == (f"{JAPANESE}\r\nABC ｱ\n", ())
    for other in ("\x1b[31mred\x1b[0m $B\n", "\x1b$Bx", f"\x1b$B{CHINESE}"):
        assert decode(other.encode()) == (other, ())


def test_nul_is_kept_and_reported() -> None:
    assert decode(b"some text\0 with one") == ("some text\0 with one", ("holds NUL characters",))


@pytest.mark.parametrize(
    "data",
    [b"\0\0\0\1" * 100, b"\x89PNG\r\n\x1a\n" + b"\0\xff" * 100, bytes(range(256)) * 4],
    ids=["zeros", "png", "every byte"],
)
def test_binary_is_refused(data: bytes) -> None:
    with pytest.raises(ParseFailed, match="binary"):
        decode(data)


@given(st.binary())
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        text, _ = decode(data)
    except ParseFailed:
        return
    text.encode()
