"""Cutting documents into chunks: what holds for every document, and examples worked out by hand."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from ragcli.chunking import MAX_CHARS, TARGET, chunk, width
from ragcli.embedding.onnx import OnnxEmbedder
from ragcli.errors import ParseFailed
from ragcli.parsing.code import parse_code
from ragcli.parsing.html import parse_html
from ragcli.parsing.markdown import parse_markdown
from ragcli.parsing.text import parse_csv, parse_text
from ragcli.records import Block, BlockKind, Chunk, Document
from ragcli.sentences import sentences

PIECES = [
    *("\n", "\r\n", "\r", "\n\n", " ", "\t", "\f", "\0", "\x1b[31m", "\u2028", "\u200b", "\ufeff"),
    *(
        "# Title\n",
        "## Part\n\n",
        "- item\n",
        "1. step\n",
        "| a | b |\n|---|---|\n",
        "| 1 | 2 |\n",
        "```\n",
        "a,b\n",
        '"',
    ),
    *("The pump runs. ", "It is 3.5 kg, i.e. light; see Fig. 2. ", 'He said "no." ', "word ", "Wort,", "x", "e\u0301"),
    *("阀门关闭。", "压力，不得超过", "的", "“好！”", "漢字", "😀", "👩‍👩‍👧", "한국어 ", "\ufdfa", "ａｂｃ", "ü" * 30),
    *("x" * 120, "ab" * 1100, "字" * 300, "1,234.5 " * 40, "long and winding sentence without an end " * 30, "." * 40),
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.text(max_size=300))
KINDS: list[BlockKind] = ["heading", "paragraph", "list_item", "table_row", "code"]


class PieceTokenizer:
    """A tokenizer of the SentencePiece kind, as E5 has one: NFKC, `▁` for spaces, unigrams, characters it never saw."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer(models.Unigram())
        self.tokenizer.normalizer = normalizers.NFKC()
        self.tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        )
        self.tokenizer.train_from_iterator(
            ["The pump runs. It is light; see the figure. 阀门关闭。压力不得超过"] * 50, trainer
        )

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [[start for start, _ in one.offsets] for one in encoded]


class WordTokenizer:
    """A token for every word: what examples are worked out with."""

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        return [[match.start() for match in re.finditer(r"\S+", text)] for text in texts]


PIECE_TOKENIZER = PieceTokenizer()
WORDS = WordTokenizer()


def check(document: Document, chunks: Sequence[Chunk], tokenizer: Any, limit: int, *, lines: bool = True) -> None:
    """Assert what holds for the chunks of every document."""
    text = document.text
    end = 0
    for one in chunks:
        assert end <= one.start < one.end <= len(text)
        assert not text[end : one.start].strip()
        assert one.text == text[one.start : one.end] == one.text.strip()
        assert len(one.text) <= MAX_CHARS
        if lines:
            before = text[: one.start].replace("\r\n", "\n").replace("\r", "\n")
            assert one.line == before.count("\n") + 1
        end = one.end
    assert not text[end:].strip()
    inputs = [f"{one.context}\n{one.text}" for one in chunks]
    assert all(len(starts) <= limit for starts in tokenizer.token_starts(inputs))
    at = 0
    for one in chunks:
        while document.blocks[at].end <= one.start:
            at += 1
        held = [b for b in document.blocks[at : at + len(one.text)] if b.start < one.end]
        assert {block.page for block in held} == {one.page}
        bodies = {block.heading for block in held if block.kind != "heading"}
        assert bodies <= {one.heading}
        assert bodies or held[-1].heading == one.heading


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any blocks on any pages under any headings, with white space between them."""
    text, blocks = "", []
    heading: tuple[str, ...] = ()
    page = 1
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=12)):
        text += draw(st.sampled_from(["", " ", "\n", "\r\n\r\n", "\n\n\n"]))
        body = draw(TEXTS.filter(str.strip))
        if kind == "heading":
            heading = (*heading[: draw(st.integers(0, 2))], " ".join(body.split())[:300])
        page += draw(st.sampled_from([0, 0, 0, 1]))
        header = draw(st.sampled_from(["", "name | price", "column " * 100])) if kind == "table_row" else ""
        blocks.append(Block(len(text), len(text) + len(body), kind, heading, page, header))
        text += body
    return Document(text, tuple(blocks))


@settings(deadline=None, max_examples=150)
@given(document=documents(), name=TEXTS)
def test_every_document_is_covered(embedder: OnnxEmbedder, document: Document, name: str) -> None:
    chunks = chunk(document, name, embedder, limit=embedder.window, lines=True)
    check(document, chunks, embedder, embedder.window)


@settings(deadline=None, max_examples=150)
@given(document=documents(), name=TEXTS, limit=st.sampled_from([64, 200, 500]))
def test_every_document_is_covered_with_sentence_pieces(document: Document, name: str, limit: int) -> None:
    check(document, chunk(document, name, PIECE_TOKENIZER, limit=limit, lines=True), PIECE_TOKENIZER, limit)


@pytest.mark.parametrize("parse", [parse_markdown, parse_text, parse_code, parse_csv])
@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
def test_every_text_file_is_covered(embedder: OnnxEmbedder, parse: Callable[[str], Document], text: str) -> None:
    document = parse(text)
    check(document, chunk(document, "name", embedder, limit=embedder.window, lines=True), embedder, embedder.window)


@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
def test_every_page_is_covered(embedder: OnnxEmbedder, text: str) -> None:
    try:
        document = parse_html(f"<h1>Pump</h1><p>{text}</p><table><tr><th>a</th><td>{text}".encode())
    except ParseFailed:
        return
    chunks = chunk(document, "name", embedder, limit=embedder.window)
    check(document, chunks, embedder, embedder.window, lines=False)
    assert {one.line for one in chunks} == {None}


ODD_TEXTS = {
    "no spaces": "x" * 300_000,
    "words of 2,090 letters": "pump" + ("x" * 2090 + " ") * 100,
    "one line of words": "".join(f"word{n % 977} " for n in range(40_000)),
    "Chinese without a full stop": "".join(chr(0x4E00 + n * 7 % 5000) for n in range(100_000)),
    "emoji": "😀👩‍👩‍👧" * 20_000,
    "combining marks": "a" + "\u0301" * 100_000,
    "NUL": "\0" * 100_000,
    "NUL and spaces": "\0 " * 50_000,
    "full stops": "." * 100_000,
    "full stops and spaces": ". " * 50_000,
    "quotes after a full stop": "." + '"' * 100_000,
    "Chinese full stops": "。" * 100_000,
    "a letter a line": "a\n" * 50_000,
    "a control character a line": "\x01\n" * 50_000,
    "one character that is eighteen": "\ufdfa" * 50_000,
}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("parse", [parse_text, parse_code])
def test_odd_texts(embedder: OnnxEmbedder, parse: Callable[[str], Document], text: str) -> None:
    document = parse(text)
    start = time.perf_counter()
    check(document, chunk(document, "name", embedder, limit=embedder.window, lines=True), embedder, embedder.window)
    assert time.perf_counter() - start < 15


@pytest.mark.parametrize("text", ["One more sentence of a book. ", "word ", "盐", "\0 ", "a\n"], ids=repr)
def test_twice_the_text_takes_twice_the_time(text: str) -> None:
    def seconds(times: int) -> float:
        document = parse_code(text * times)
        start = time.process_time()
        chunk(document, "name", PIECE_TOKENIZER, limit=250)
        return time.process_time() - start

    times = 60_000 // len(text)
    once = min(seconds(times) for _ in range(2))
    assert seconds(times * 4) < 4 * once * 2.5 + 0.2


def test_a_table_of_thousands_of_rows(embedder: OnnxEmbedder) -> None:
    text = "part,price\n" + "".join(f"VC-{n},{n * 3}.50\n" for n in range(5000))
    document = parse_csv(text)
    chunks = chunk(document, "prices 2025", embedder, limit=embedder.window, lines=True)
    check(document, chunks, embedder, embedder.window)
    assert chunks[0].context == "prices 2025"
    assert {one.context for one in chunks[1:]} == {"prices 2025\npart,price"}
    assert all("\n" not in row or row.split("\n")[0].startswith(("VC-", "part")) for row in (c.text for c in chunks))


def bodies(text: str, **options: Any) -> list[str]:
    """Return the texts of a Markdown document's chunks."""
    return [one.text for one in chunk(parse_markdown(text), "name", WORDS, limit=400, **options)]


def test_a_heading_stays_with_its_body() -> None:
    text = "# Pump\n\n## Fuse\n\nThe fuse is F2.\n\n## Valve\n\nThe valve is V3.\n"
    chunks = chunk(parse_markdown(text), "manual", WORDS, limit=400, lines=True)
    assert [(c.text, c.context, c.heading, c.line) for c in chunks] == [
        ("# Pump\n\n## Fuse\n\nThe fuse is F2.", "manual > Pump > Fuse", ("Pump", "Fuse"), 1),
        ("## Valve\n\nThe valve is V3.", "manual > Pump > Valve", ("Pump", "Valve"), 7),
    ]


def test_a_long_path_keeps_its_deepest_headings() -> None:
    heading = ("A chapter with a long title that says a lot about much", "A section with a long title as well", "Fuse")
    document = Document("F2.", (Block(0, 3, "paragraph", heading),))
    (one,) = chunk(document, "manual", WORDS, limit=400)
    assert one.context == "manual > A section with a long title as well > Fuse"
    assert one.heading == heading


def test_a_name_that_is_the_heading_is_said_once() -> None:
    document = Document("F2.", (Block(0, 3, "paragraph", ("Pump",)),))
    assert chunk(document, "Pump", WORDS, limit=400)[0].context == "Pump"


def test_a_page_is_never_left() -> None:
    text = "The end of a page\nand the next."
    document = Document(text, (Block(0, 17, "paragraph", page=1), Block(18, len(text), "paragraph", page=2)))
    chunks = chunk(document, "name", WORDS, limit=400)
    assert [(c.text, c.page) for c in chunks] == [("The end of a page", 1), ("and the next.", 2)]


def test_paragraphs_are_cut_between_and_not_within() -> None:
    paragraphs = [("The pump runs in the night. " * 15).strip(), ("The valve shuts by day. " * 18).strip()]
    assert [width(p) for p in paragraphs] == [419, 431]
    one = ((419 + 431 - 540) / 540) ** 2
    two = ((419 - 540) / 540) ** 2 + ((431 - 540) / 540) ** 2
    assert (round(one, 2), round(two, 2)) == (0.33, 0.09)
    assert bodies("\n\n".join(paragraphs)) == paragraphs


def test_short_paragraphs_share_a_chunk() -> None:
    text = "One.\n\nTwo.\n\nThree."
    assert bodies(text) == [text]


def test_a_long_paragraph_is_cut_at_sentences() -> None:
    sentence = "The pump is checked by hand on the first day of every month."
    parts = bodies(" ".join([sentence] * 27))
    assert parts == [" ".join([sentence] * 9)] * 3  # 27 * 61 = 3 * 549
    assert TARGET == 540


def test_a_chinese_paragraph_is_cut_at_sentences() -> None:
    sentence = "每月第一天应由专人检查水泵的运行情况。"
    assert width(sentence) == 64  # 18 characters of 3.5, and the full stop
    assert bodies(sentence * 27) == [sentence * 9] * 3


def test_code_is_cut_at_lines() -> None:
    code = "\n".join(f"value_{n:03} = read_register(0x{n:04x})  # holds the flow" for n in range(30))
    chunks = chunk(parse_code(code), "flow", WORDS, limit=400, lines=True)
    assert "\n".join(c.text for c in chunks) == code
    assert len(chunks) == 3
    assert [c.line for c in chunks] == [1, 11, 21]


def test_a_table_keeps_its_header_as_context() -> None:
    rows = "\n".join(f"| VC-{n} | {n} bar, checked by hand in the works | {n * 10} EUR |" for n in range(30))
    text = f"# Prices\n\nAll prices are net.\n\n| part | pressure | price |\n|---|---|---|\n{rows}\n"
    chunks = chunk(parse_markdown(text), "list", WORDS, limit=400)
    assert chunks[0].context == "list > Prices"
    assert "| part | pressure | price |" in chunks[0].text
    assert len(chunks) > 2
    assert {c.context for c in chunks[1:]} == {"list > Prices\n| part | pressure | price |"}


def test_a_wide_row_is_cut_between_its_fields() -> None:
    row = ",".join(str(number) for number in range(10_000, 11_500))
    chunks = chunk(parse_csv(row), "", WORDS, limit=100)
    assert len(chunks) > 3
    assert all(re.fullmatch(r"(?:\d{5},?)+", one.text) for one in chunks)


def test_a_wrapped_line_is_no_border() -> None:
    text = "The pump runs in\nthe night and the\nvalve shuts by day\n" * 12
    for a, _ in pairwise(bodies(text)):
        assert not a.endswith(("runs in", "and the"))


@pytest.mark.parametrize("columns", [72, 105, 120, 160])
def test_a_wide_margin_is_no_border_either(columns: int) -> None:
    said = [f"The {w} pump of hall {n} was looked after by {w} people on {n} May." for n in range(40) for w in "abc"]
    for a, _ in pairwise(bodies(textwrap.fill(" ".join(said), columns))):
        assert a.endswith("May.")


def test_joined_chinese_lines_are_no_border() -> None:
    """Where digits stand at the end of a line, or at the next one's beginning, it is not joined."""
    for first in range(10):
        said = [
            f"赵丽华于{n % 12 + 1}月{n * 7 % 28 + 1}日登记了{n * 391}份文件，交给{n}号库，{'并由门卫签字' * (n % 4)}。"
            for n in range(first, first + 18)
        ]
        text = re.sub(r"(?<=月)(?=\d7?日)", lambda match: "" if match.start() % 3 else "\n", "".join(said))
        assert "\n" in text
        for a, _ in pairwise(bodies(text)):
            assert a.endswith("。")


@pytest.mark.parametrize("last", ["", "x" * 90], ids=["all as wide", "of many widths"])
def test_long_lines_are_whole(last: str) -> None:
    """A log's, and those of a table that is drawn with signs, have nothing that ends a sentence."""
    parts = [" ".join(f"{key}{number:02}=ok, gone" for key in "abcdefgh") for number in range(90)]
    text = "\n".join(f"2026-11-30 {part} {last[:number]}." for number, part in enumerate(parts)).replace(".", "!-")
    for a, b in pairwise(bodies(text)):
        assert a.endswith("!-") and b.startswith("2026-11-")


SENTENCES = {
    "plain": ["The pump runs.", "It hums!", "Why?", "It rests"],
    "abbreviations": [
        "Dr. Smith of Acme Inc. met Mr. J. Doe, e.g. on Jan. 5.",
        "See Fig. 2 and No. 4, p. 12 etc. as told.",
        "End.",
    ],
    "decimals": ["It weighs 3.5 kg, v2.0.1 does.", "Pay $1,234.50 now."],
    "quotes": ['He said "stop."', "Then (as told.)", "“It hums.”", "Done."],
    "lower case goes on": ["It holds five l. or more.", "Next."],
    "dots": ["Wait...", "What?!", "Go."],
}


@pytest.mark.parametrize("expected", SENTENCES.values(), ids=SENTENCES)
def test_english_sentences(expected: list[str]) -> None:
    text = "  " + " ".join(expected) + "\n"
    assert [text[a:b] for a, b in sentences(text)] == expected


def test_chinese_sentences() -> None:
    expected = ["阀门关闭。", "“压力过高！”", "（见图2。）", "为什么？！", "等等……", "先关水；", "再断电，V2.0除外"]
    assert [t for a, b in sentences("".join(expected)) if (t := "".join(expected)[a:b])] == expected


def test_an_empty_line_ends_a_sentence() -> None:
    text = "A title\n\nThe body"
    assert [text[a:b] for a, b in sentences(text)] == ["A title", "The body"]


@given(text=TEXTS)
def test_sentences_hold_every_character(text: str) -> None:
    spans = sentences(text)
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(a < b for a, b in spans) and all(b <= c for (_, b), (c, _) in pairwise(spans))


def test_width() -> None:
    assert [width(t) for t in ("", "pump", "阀门", "阀a门", "가나", "ü", "。")] == [0, 4, 7, 8, 7, 1, 1]
