"""Cutting text into the words that are searched: examples worked out by hand, and what holds for every text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opencc import OpenCC
from shared import ROOT

from ragcli.storage import lexical
from ragcli.storage.catalog import Catalog
from ragcli.words import STOP_WORDS, content_words, fold, is_single_cjk, latin_share, words

EXAMPLES = {
    "": "",
    "!!! ... -- ()": "",
    "\0\x1b\u200b\ud800": "",
    "The pump": "the pump",
    # Porter 2
    "running runs runner": "run run runner",
    "Installation installed INSTALLING": "instal instal instal",
    "policies policy's": "polici polici",
    "generously hopping": "generous hop",
    # one form: width, case, ligatures, diacritics, composed or not
    "ＡＸ１２": "ax 12 ax12",
    "Straße STRASSE ﬁne": "strass strass fine",
    "Café Cafe\u0301 naïve": "cafe cafe naiv",
    "½ ㎡ x²": "1 2 m 2 m2 x 2 x2",
    # soft hyphens, spaces and joiners of no width, as typesetters put them into words
    "war\u00adran\u00adty Log\u200bParser AX\u2060-\ufeff200 阀\u200b门": "warranti logpars ax 200 ax200 阀门 阀 门",
    "Ελλάδα Привет Й": "ελλαδα привет и",
    # numbers
    "1,234,567.89 12,345": "1234567.89 12345",
    "１，２３４ 3.14 0.5": "1234 3.14 0.5",
    "12,5 1,23": "12 5 1 23",
    "v2.0.1 192.168.0.1": "v2.0.1 192.168.0.1",
    "1.5V 1.5 V": "1.5 v 1.5 v",
    "2025-06-01": "2025 06 01 20250601",
    # names with numbers, in every spelling
    "AX-200": "ax 200 ax200",
    "AX200": "ax 200 ax200",
    "AX‑200 AX‐200": "ax 200 ax200 ax 200 ax200",
    "VC-8S VC8S": "vc 8s vc8s vc8s",
    "E05 T1.25A": "e 05 e05 t1.25 a",
    # signs that are part of a word, and signs that are not
    "C++ C# K&R": "c++ c# k r",
    "don't O'Brien it’s": "don't o'brien it",
    "state-of-the-art e-mail": "state of the art e mail",
    "node_modules file.txt foo@bar.com": "node modul file txt foo bar com",
    # line ends and tabs that are written out: with their letter and without it, since a path may look the same
    r"Fill.\nPour\tthe \n5 C:\new": "fill npour pour tthe the n 5 n5 c new ew",
    # Chinese, Japanese, Korean: pairs, then the characters that do not only carry grammar
    "阀": "阀",
    "阀门": "阀门 阀 门",
    "保修期": "保修 修期 保 修 期",
    "什么": "什么",
    "的": "",
    "是的": "是的",
    "门的保": "门的 的保 门 保",
    "阀A门": "阀 a 门",
    "5G网络": "5g 网络 网 络",
    "ｶﾞス": "ガス ガ ス",
    "한국": "한국 한 국",
    # Traditional and Simplified are one
    "漢字簡體": "汉字 字简 简体 汉 字 简 体",
    "臺灣 裡面 乾燥": "台湾 台 湾 里面 里 面 干燥 干 燥",
}


@pytest.mark.parametrize("text", EXAMPLES, ids=repr)
def test_examples(text: str) -> None:
    assert " ".join(words(text)) == EXAMPLES[text]


def test_content_words() -> None:
    assert content_words("What is the warranty of the FP-60?") == ["warranti", "fp", "60", "fp60"]
    assert " ".join(content_words("阀门的保修期是多久")) == "阀门 保修 修期 多久 阀 门 保 修 期 多 久"
    assert content_words("这是什么") == ["这"]
    assert content_words("Who was it?") == ["who", "was", "it"], "nothing else is there"
    assert content_words("是的") == ["是的"]
    assert content_words("") == []


def test_stop_words_are_left_out_in_the_form_that_words_gives_them() -> None:
    assert content_words("pump " + " ".join(sorted(STOP_WORDS))) == ["pump"]


TEXTS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [
                *"aB9的门'’-‑.,+#_ ㎏ﷺ",
                "\u0301",
                "ing",
                "AX-",
                "200",
                "1,234",
                "漢",
                "\ud800",
                "\0",
                '"',
                "*",
                "😀",
                "e\u0308",
            ]
        )
    ).map("".join),
)


@given(text=TEXTS)
def test_words_have_no_spaces_and_no_capitals(text: str) -> None:
    for word in words(text):
        assert word and not any(c.isspace() for c in word)
        assert word == word.lower() or not word.isascii()


@given(text=TEXTS)
@example("薴")
def test_letters_and_digits_are_found_again(text: str) -> None:
    """What a person can type gives words, unless it only carries grammar; and content words are among the words."""
    found = words(text)
    assert set(content_words(text)) <= set(found)
    for part in text.split():
        if part.isascii() and any(c.isalnum() for c in part):
            assert words(part)


@given(text=st.text())
def test_composed_and_decomposed_are_one(text: str) -> None:
    assert words(unicodedata.normalize("NFD", text)) == words(text)


@given(text=st.text(st.characters(codec="ascii")))
def test_case_and_width_are_one(text: str) -> None:
    assert words(text.upper()) == words(text.lower()) == words(text)
    assert words(text.translate({c: c + 0xFEE0 for c in range(0x21, 0x7F)})) == words(text)


@given(text=st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    once = fold(text)
    assert fold(once) == once or "薴" in text


@pytest.mark.parametrize("script", ["s2t", "s2hk"])
def test_chinese_documents_have_the_same_words_in_either_script(script: str) -> None:
    """But for the few characters that have two Simplified forms."""
    text = (ROOT / "sample_docs" / "公司制度" / "售后服务政策.md").read_text("utf-8")
    simplified, traditional = words(text), words(OpenCC(script).convert(text))
    assert OpenCC(script).convert(text) != text
    same = sum(a == b for a, b in zip(simplified, traditional, strict=True))
    assert same > 0.995 * len(simplified)


@pytest.mark.parametrize("word", ["阀", "ガ", "한", "々", "𠮷"])
def test_a_single_chinese_japanese_or_korean_character(word: str) -> None:
    assert is_single_cjk(word)


@pytest.mark.parametrize("word", ["阀门", "a", "1", "", "й"])
def test_what_is_none(word: str) -> None:
    assert not is_single_cjk(word)


@pytest.mark.parametrize(
    ("text", "share"),
    [("pump", 1), ("Ünïcode ﬁ", 7 / 8), ("阀门", 0), ("", 1), ("42!", 1), ("abc阀", 0.5), ("Привет", 0), ("aй", 0.5)],
)
def test_latin_share(text: str, share: float) -> None:
    assert latin_share(text) == share


# --- what FTS5 makes of them -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    opened = Catalog(tmp_path_factory.mktemp("words"), create=True)
    yield opened
    opened.close()


def assert_kept(catalog: Catalog, texts: list[str]) -> None:
    """Assert that a search for each word of a text finds exactly the rows of the texts that have it."""
    connection = catalog.connection
    connection.execute("BEGIN")
    try:
        rows = [words(text) for text in texts]
        connection.executemany(
            "INSERT INTO words (rowid, body) VALUES (?, ?)", [(i, " ".join(row)) for i, row in enumerate(rows, 1)]
        )
        for word in {word for row in rows for word in row}:
            found = lexical.score(catalog, [word]).scores
            assert set(found) == {i for i, row in enumerate(rows, 1) if word in row}, word
    finally:
        connection.execute("ROLLBACK")


@settings(deadline=None)
@given(texts=st.lists(TEXTS, max_size=5))
def test_fts5_keeps_every_word_as_it_is(catalog: Catalog, texts: list[str]) -> None:
    assert_kept(catalog, texts)


def test_fts5_keeps_every_letter_of_unicode(catalog: Catalog) -> None:
    """Those that are newer than its tables, too: what has no category in them counts as a letter."""
    found = {word for c in range(0x21, 0x110000) for word in words(chr(c))}
    assert len(found) > 90_000
    catalog.connection.execute("BEGIN")
    catalog.connection.execute("INSERT INTO words (rowid, body) VALUES (1, ?)", (" ".join(found),))
    kept = {term for (term,) in catalog.connection.execute("SELECT term FROM postings")}
    catalog.connection.execute("ROLLBACK")
    assert kept == found


def test_the_longest_word_of_a_chunk_is_kept(catalog: Catalog) -> None:
    assert_kept(catalog, ["x" * 4000, "ß" * 4000, "ﬃ" * 4000, "𝔘" * 4000])


def test_sample_docs_are_kept(catalog: Catalog) -> None:
    files = sorted(Path(ROOT / "sample_docs").rglob("*.md"))
    assert_kept(catalog, [path.read_text("utf-8") for path in files])
