"""Parsing in child processes: limits hold, a lost child costs one file, and nothing it sends is believed unseen."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import SLOW, pdf_of, raw_page, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.pool import ParserPool, unpack
from ragcli.parsing.worker import KINDS, answer, pack
from ragcli.records import Block, Document, Format

GREEDY = raw_page(zlib.compress(b" " * 300_000_000, 9), b"/Filter/FlateDecode")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by RLIMIT_AS")


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(2, 60, 1024, 100) as shared:
        yield shared


def children() -> set[int]:
    """Return the process ids of this process's children."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(folder.name))
    return found


def failure(work: Callable[[], Any]) -> str:
    with pytest.raises(ParseFailed) as caught:
        work()
    return caught.value.message


@pytest.mark.parametrize(
    ("format", "data", "blocks"),
    [
        ("markdown", b"# A\n\ntext\n", [("heading", "# A"), ("paragraph", "text")]),
        ("text", b"one\n\ntwo\n", [("paragraph", "one"), ("paragraph", "two")]),
        ("code", b"x = 1\n", [("code", "x = 1")]),
        ("csv", b"a,b\n1,2\n", [("table_row", "a,b"), ("table_row", "1,2")]),
        ("html", "<h1>A</h1><p>中</p>".encode(), [("heading", "A"), ("paragraph", "中")]),
        ("pdf", pdf_of("First.", "Second."), [("paragraph", "First."), ("paragraph", "Second.")]),
    ],
)
def test_every_format_is_parsed(pool: ParserPool, format: Format, data: bytes, blocks: list[tuple[str, str]]) -> None:
    document = pool.parse(data, format, "a file")
    assert list(zip([block.kind for block in document.blocks], texts(document), strict=True)) == blocks


def test_a_document_comes_over_whole(pool: ParserPool) -> None:
    document = pool.parse(b"a\0,b\r\n1,2\r\n", "csv", "x")
    assert document.text == "a\0,b\r\n1,2\r\n"
    assert document.warnings == ("holds NUL characters",)
    assert [b.header for b in document.blocks] == ["", "a\0,b"]
    assert pool.parse(pdf_of("a", ""), "pdf", "x").pages == 2


def test_reasons_come_over(pool: ParserPool) -> None:
    assert failure(lambda: pool.parse(b"", "markdown", "x")) == "empty file"
    assert failure(lambda: pool.parse(b"%PDF-1.7", "pdf", "x")) == "broken PDF"
    with pytest.raises(ParseFailed) as caught:
        pool.parse(pdf_of(*["a"] * 101), "pdf", "x")
    assert caught.value.message == "it has 101 pages, over the limit of 100"
    assert "max_pages" in caught.value.hint


def test_threads_share_the_pool_and_every_answer_reaches_its_asker(pool: ParserPool) -> None:
    with ThreadPoolExecutor(6) as threads:
        documents = list(threads.map(lambda n: pool.parse(f"text {n}".encode(), "text", f"{n}"), range(60)))
    assert [document.text for document in documents] == [f"text {n}" for n in range(60)]


@linux_only
def test_no_child_starts_before_the_first_file_and_none_stays() -> None:
    before = children()
    with ParserPool(3, 60, 512, 100) as pool:
        assert children() == before
        pool.parse(b"a", "text", "x")
        pool.parse(b"b", "text", "x")
        assert len(children() - before) == 1
    assert children() == before
    assert failure(lambda: pool.parse(b"a", "text", "x")) == "stopped before it was read"
    pool.close()


@linux_only
def test_close_ends_a_file_in_the_middle() -> None:
    before = children()
    pool = ParserPool(1, 60, 2048, 5000)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(pool.parse, SLOW, "pdf", "slow.pdf")
        while not children() - before:
            time.sleep(0.01)
        time.sleep(0.3)
        pool.close()
        assert failure(slow.result) == "stopped before it was read"
    assert children() == before


def test_a_slow_file_fails_and_the_next_one_is_read() -> None:
    with ParserPool(1, 1, 2048, 5000) as pool:
        start = time.perf_counter()
        assert failure(lambda: pool.parse(SLOW, "pdf", "slow.pdf")) == "it took over 1 s to read"
        assert time.perf_counter() - start < 10
        assert pool.parse(b"quick", "text", "x").text == "quick"


@linux_only
@pytest.mark.parametrize(
    ("format", "data"),
    [("pdf", GREEDY), ("text", b"word " * 30_000_000), ("html", b"<p>a</p>" * 2_000_000)],
    ids=["pdfium", "text", "lxml"],
)
def test_a_greedy_file_fails_and_the_next_one_is_read(format: Format, data: bytes) -> None:
    with ParserPool(1, 60, 256, 100) as pool:
        assert failure(lambda: pool.parse(data, format, "greedy")) == "it needed more than 256 MB of memory"
        assert pool.parse(b"modest", "text", "x").text == "modest"


@linux_only
@pytest.mark.parametrize(
    ("format", "data"),
    [("pdf", pdf_of("a")), ("html", b"<p>a</p>"), ("markdown", b"a")],
)
def test_the_least_memory_that_can_be_set_is_enough_for_small_files(format: Format, data: bytes) -> None:
    with ParserPool(1, 60, 256, 100) as pool:
        assert pool.parse(data, format, "x").text.strip() == "a"


@linux_only
def test_a_crash_is_a_reason_and_the_next_file_is_read() -> None:
    before = children()
    with ParserPool(1, 60, 2048, 5000) as pool, ThreadPoolExecutor(1) as threads:
        crashing = threads.submit(pool.parse, SLOW, "pdf", "slow.pdf")
        while not (started := children() - before):
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(started.pop(), signal.SIGSEGV)
        assert failure(crashing.result) == "the parser crashed on it (SIGSEGV)"
        assert pool.parse(b"next", "text", "x").text == "next"


@linux_only
def test_a_child_that_was_killed_while_idle_costs_nothing() -> None:
    before = children()
    with ParserPool(1, 60, 512, 100) as pool:
        pool.parse(b"one", "text", "x")
        os.kill((children() - before).pop(), signal.SIGKILL)
        assert pool.parse(b"two", "text", "x").text == "two"


@linux_only
def test_a_child_that_has_grown_is_replaced_and_another_is_not() -> None:
    ballast = b"x" * (400 << 20)  # a child must not be judged by its parent's size
    before = children()
    with ParserPool(1, 60, 512, 100) as pool:
        pool.parse(b"small", "text", "x")
        first = children() - before
        pool.parse(b"small", "text", "x")
        assert children() - before == first
        pool.parse(b"words " * 12_000_000, "code", "large")
        pool.parse(b"small", "text", "x")
        assert len(ballast) > 0
        assert first.isdisjoint(children() - before)


def test_a_large_file_goes_through_both_ways() -> None:
    data = "中文 and text.\n\n".encode() * 100_000
    with ParserPool(1, 60, 2048, 100) as pool:
        assert pool.parse(data, "code", "large").text == data.decode()


def test_an_unknown_format_is_the_files_failure_only() -> None:
    reply, payload = answer({"format": "scroll", "max_pages": 1}, b"x")
    assert payload is None
    assert "its parser failed" in reply["failed"]


WORDS = st.text(alphabet=st.characters(codec="utf-8"), max_size=5)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), min_size=2)))
    pages = draw(st.one_of(st.none(), st.integers(1, 3)))
    blocks = tuple(
        Block(a, b, draw(st.sampled_from(KINDS)), tuple(draw(st.lists(WORDS, max_size=2))), pages, draw(WORDS))
        for a, b in zip(cuts[::2], cuts[1::2], strict=False)
    )
    textless = tuple(sorted(draw(st.sets(st.integers(1, pages or 1))))) if pages else ()
    return Document(text, blocks, " ".join(draw(WORDS).split()), pages, (), (), textless)


@given(documents())
def test_what_is_packed_is_unpacked(document: Document) -> None:
    assert unpack(json.loads(json.dumps(pack(document))), document.text.encode()) == document


GOOD = {
    "title": "t",
    "pages": 2,
    "warnings": ["w"],
    "labels": [],
    "textless": [2],
    "headings": [["a"], []],
    "headers": [""],
    "blocks": [[0, 3, 0, 0, 1, 0], [3, 5, 1, 1, 2, 0]],
}


def test_the_good_reply_is_good() -> None:
    document = unpack(GOOD, b"abcde")
    assert isinstance(document, Document)
    assert document.blocks[1] == Block(3, 5, "paragraph", (), 2, "")
    assert document.textless == (2,)


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": [[0, 6, 0, 0, 1, 0]]},
        {"blocks": [[-1, 3, 0, 0, 1, 0]]},
        {"blocks": [[2, 2, 0, 0, 1, 0]]},
        {"blocks": [[3, 5, 0, 0, 1, 0], [0, 3, 0, 0, 1, 0]]},
        {"blocks": [[0, 3, 9, 0, 1, 0]]},
        {"blocks": [[0, 3, -1, 0, 1, 0]]},
        {"blocks": [[0, 3, 0, 7, 1, 0]]},
        {"blocks": [[0, 3, 0, 0, 3, 0]]},
        {"blocks": [[0, 3, 0, 0, 1, 1]]},
        {"blocks": [[0, 3, 0, 0, 1]]},
        {"blocks": [[0, True, 0, 0, 1, 0]]},
        {"blocks": [[0, 3.0, 0, 0, 1, 0]]},
        {"blocks": {"0": 1}},
        {"blocks": "abc"},
        {"blocks": None},
        {"headings": [["a", 1]]},
        {"headings": ["a"], "blocks": [[0, 3, 0, 0, 1, 0]]},
        {"headings": None},
        {"headers": [None]},
        {"headers": ["\ud800"]},
        {"pages": "2"},
        {"pages": -1},
        {"title": 5},
        {"title": "\udfff"},
        {"warnings": "w"},
        {"warnings": [["w"]]},
        {"textless": None},
        {"textless": [0]},
        {"textless": [3]},
        {"textless": [2, 1]},
        {"textless": [1, 1]},
        {"textless": [True]},
        {"failed": "a scan", "scan": {}},
        {"failed": "a scan", "scan": None},
        {"failed": 5},
        {"failed": "no hint"},
    ],
    ids=str,
)
def test_nonsense_from_a_child_is_found(change: dict[str, Any]) -> None:
    with pytest.raises((AttributeError, LookupError, TypeError, ValueError)):
        unpack({**GOOD, **change}, b"abcde")


def test_text_that_is_not_utf8_is_found() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        unpack(GOOD, b"abc\xff\xff")


def test_a_childs_words_are_one_short_line() -> None:
    failed = unpack({"failed": "a\nb" + "c" * 10_000, "hint": ""}, b"")
    assert isinstance(failed, ParseFailed)
    assert len(failed.message) <= 500
    assert "\n" not in failed.message


@linux_only
def test_no_thread_stays_behind() -> None:
    with ParserPool(2, 60, 512, 100) as pool:
        pool.parse(b"a", "text", "x")
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
