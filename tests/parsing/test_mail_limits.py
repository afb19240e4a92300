"""An attachment that takes too much costs itself, or all attachments, and never the words of the messages."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest
from hostile_files import slow_page
from parsing.mail_helpers import FROM, HEADERS, HTML, LIMITS, PLAIN, mail, multipart, part, simple
from parsing.parsing_helpers import SLOW, pdf_of, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.alarm import TooLong, time_limit
from ragcli.parsing.pool import ParserPool
from ragcli.records import Format

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by RLIMIT_AS")
GOOD = pdf_of("A good page.")


def with_attachments(**files: bytes) -> bytes:
    attached = (part(f"application/pdf; name={name}.pdf", data) for name, data in files.items())
    return HEADERS + multipart("mixed", PLAIN % b"The first words.", *attached, PLAIN % b"The last words.")


def own_words(count: int) -> list[str]:
    return ["The first words.", "The last words."] * count


def test_a_slow_attachment_costs_itself_and_the_next_ones_are_read() -> None:
    data = with_attachments(one=GOOD, slow=SLOW, two=GOOD)
    with ParserPool(1, 4, 2048, 5000) as pool:
        document = pool.parse(data, "mail", "slow.eml")
        assert pool.parse(b"next", "text", "x").text == "next"
    attached = ["Attachment: one.pdf", "A good page.", "Attachment: two.pdf", "A good page."]
    assert texts(document)[2:] == ["The first words.", *attached, "The last words."]
    (warning,) = document.warnings
    assert warning.startswith("attachment slow.pdf was not read: it took over 1.")


@linux_only
@pytest.mark.parametrize(
    ("format", "seconds", "memory_mb", "reason"),
    [
        ("mail", 2, 8192, "it took over 1.5 s to read"),
        ("mbox", 2, 8192, "it took over 1.5 s to read"),
        ("mail", 30, 400, "it needed more than 400 MB of memory"),
        ("mbox", 30, 400, "it needed more than 400 MB of memory"),
    ],
)
def test_where_an_attachment_takes_the_parser_with_it_the_words_of_the_messages_are_read(
    format: Format, seconds: float, memory_mb: int, reason: str
) -> None:
    data = with_attachments(good=GOOD, slow=slow_page())
    mailbox = format == "mbox"
    with ParserPool(1, seconds, memory_mb, 5000) as pool:
        pool.parse(b"before", "text", "x")
        began = time.monotonic()
        document = pool.parse((FROM + data + b"\n\n") * 2 if mailbox else data, format, "x")
        assert time.monotonic() - began < seconds + 2
    assert [text for text in texts(document) if "words" in text] == own_words(2 if mailbox else 1)
    assert document.warnings == tuple(
        f"{which}attachment {name}.pdf was not read: with all attachments, {reason}"
        for which in (("message 1: ", "message 2: ") if mailbox else ("",))
        for name in ("good", "slow")
    )


def test_a_mail_whose_own_words_are_too_many_takes_no_longer_than_any_file() -> None:
    data = HEADERS + HTML % (b"<p>word</p>" * 2_000_000)
    with ParserPool(1, 2, 8192, 5000) as pool:
        pool.parse(b"before", "text", "x")
        began = time.monotonic()
        with pytest.raises(ParseFailed, match="it took over 2 s to read"):
            pool.parse(data, "mail", "x")
        assert time.monotonic() - began < 4


def test_without_attachments_attached_mails_are_read_all_the_same() -> None:
    inner = part('application/octet-stream; name="note.eml"', with_attachments(deep=GOOD))
    beside = b"Content-Type: message/rfc822\n\n" + simple(b"Beside.")
    data = HEADERS + multipart(
        "mixed", inner, part("image/png; name=a.png", b"x"), part("text/csv; name=t.csv", b"a"), beside
    )
    document = mail(data, replace(LIMITS, unattached="for a reason"))
    assert [text for text in texts(document) if "words" in text] == own_words(1)
    assert "Beside." in texts(document)
    assert document.warnings == (
        "attachment note.eml: attachment deep.pdf was not read: for a reason",
        "attachment a.png was not read: a picture",
        "attachment t.csv was not read: for a reason",
    )


def test_after_the_time_for_attachments_none_is_begun() -> None:
    document = mail(with_attachments(late=GOOD), replace(LIMITS, deadline=time.monotonic() - 1))
    assert texts(document)[2:] == own_words(1)
    assert document.warnings == ("attachment late.pdf was not read: no time was left for it",)


def test_a_time_limit_rings_again_where_its_first_alarm_was_lost() -> None:
    lost = 0
    began = time.monotonic()
    with pytest.raises(TooLong), time_limit(0.05):
        while True:
            try:
                time.sleep(5)
            except TooLong:
                lost += 1
                if lost == 2:
                    raise
    assert time.monotonic() - began < 3


def test_what_is_done_in_time_is_not_disturbed() -> None:
    with time_limit(0.1), time_limit(0.01):  # of two, the outer one holds
        time.sleep(0.05)
    time.sleep(0.2)
