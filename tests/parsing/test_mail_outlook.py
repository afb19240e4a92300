"""What calendars and Outlook put into mails: invitations, and attachments packed into winmail.dat."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing.mail_helpers import HEADERS, LIMITS, PLAIN, mail, mbox, multipart, part
from parsing.parsing_helpers import block_of, pdf_of, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.invitation import events
from ragcli.parsing.limits import MAX_DEPTH, Limits
from ragcli.parsing.tnef import packed_files

CALENDAR = """BEGIN:VCALENDAR\r
METHOD:REQUEST\r
BEGIN:VTIMEZONE\r
TZID:China Standard Time\r
BEGIN:STANDARD\r
DTSTART:16010101T000000\r
END:STANDARD\r
END:VTIMEZONE\r
BEGIN:VEVENT\r
ORGANIZER;CN="Li, Ann":mailto:ann@example.org\r
ATTENDEE;ROLE=REQ-PARTICIPANT;CN=bob@example.org:MAILTO:bob@example.org\r
ATTENDEE;CN=Eve:mailto:eve@exam\r
 ple.org\r
SUMMARY;LANGUAGE=en:Review\\, of the 泵\r
DTSTART;TZID=China Standard Time:20240105T100000\r
DTEND;TZID=China Standard Time:20240105T113000\r
RRULE:FREQ=WEEKLY;BYDAY=FR\r
LOCATION:Room 5\r
DESCRIPTION:Bring the figures.\\n\\nAnd a pump\\; or two.\r
BEGIN:VALARM\r
DESCRIPTION:REMINDER\r
END:VALARM\r
END:VEVENT\r
END:VCALENDAR\r
"""
EVENT = """Event: Review, of the 泵
When: 2024-01-05 10:00 (China Standard Time) to 2024-01-05 11:30 (China Standard Time)
Repeats: FREQ=WEEKLY;BYDAY=FR
Where: Room 5
Organizer: Li, Ann <ann@example.org>
Attendees: bob@example.org, Eve <eve@example.org>"""
WORDS = "Bring the figures.\n\nAnd a pump; or two."


def test_an_event_is_told_in_lines() -> None:
    assert list(events(CALENDAR)) == [(EVENT, WORDS)]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("DTSTART:20240105T100000Z", "Event: (no title)\nWhen: 2024-01-05 10:00 (UTC)"),
        ("DTSTART;VALUE=DATE:20240105\nSUMMARY:A day", "Event: A day\nWhen: 2024-01-05"),
        ("SUMMARY:Gone\nSTATUS:CANCELLED", "Event: Gone (cancelled)"),
        ("DTSTART:soon", "Event: (no title)\nWhen: soon"),
    ],
)
def test_times_and_states_of_events(lines: str, told: str) -> None:
    assert list(events(f"BEGIN:VEVENT\n{lines}\nEND:VEVENT")) == [(told, "")]


def test_cancellations_and_tasks() -> None:
    cancelled = CALENDAR.replace("REQUEST", "CANCEL")
    assert next(events(cancelled))[0].startswith("Event: Review, of the 泵 (cancelled)\n")
    task = "BEGIN:VTODO\nSUMMARY:Order seals\nDUE:20240201\nEND:VTODO"
    assert list(events(task)) == [("Task: Order seals\nWhen: 2024-02-01", "")]


@given(
    st.lists(st.sampled_from(["BEGIN:VEVENT", "END:VEVENT", "END:VTODO", "SUMMARY:x", 'A;B="', ";:", "BEGIN:", " f"]))
)
def test_no_order_of_lines_is_too_much(lines: list[str]) -> None:
    assert all(event.startswith("Event: ") for event, _ in events("\r\n".join(lines)))


def test_an_invitation_beside_the_text_is_read_once_and_without_what_the_text_says() -> None:
    invited = part("text/calendar; charset=utf-8; method=REQUEST", CALENDAR.encode())
    as_file = part("application/ics; name=invite.ics", CALENDAR.encode(), "Content-Disposition: attachment")
    text = PLAIN % b"Bring the figures.\n\nAnd a pump; or two.\n"
    document = mail(HEADERS + multipart("mixed", multipart("alternative", text, invited), as_file))
    assert texts(document)[2:] == ["Bring the figures.", "And a pump; or two.", EVENT]
    assert block_of(document, "Room 5").heading == ("Pumps", "Invitation")
    assert document.warnings == ()
    alone = mail(HEADERS + multipart("alternative", PLAIN % b"", invited))
    assert texts(alone)[2:] == [EVENT, WORDS.replace("\n\n", "\n")]
    nothing = mail(HEADERS + multipart("mixed", PLAIN % b"x", part("text/calendar", b"BEGIN:VCALENDAR\nEND:VCALENDAR")))
    assert texts(nothing)[2:] == ["x"]
    assert nothing.warnings == ("attachment text/calendar was not read: it holds no event",)


def test_the_same_invitation_in_two_messages_is_read_in_both() -> None:
    message = (
        b"From a Mon Jan  1 10:00:00 2024\n" + HEADERS + multipart("mixed", part("text/calendar", CALENDAR.encode()))
    )
    assert texts(mbox((message + b"\n\n") * 2)).count(EVENT) == 2


def attribute(level: int, number: int, value: bytes) -> bytes:
    return struct.pack("<BII", level, number, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def packed(*files: tuple[str, bytes | None], codepage: int = 1252, long_name: str = "") -> bytes:
    """Return a winmail.dat; a file without content stands for a message that is attached."""
    out = b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x69007, struct.pack("<Q", codepage))
    for name, content in files:
        out += attribute(2, 0x69002, bytes(14))
        out += attribute(2, 0x18010, name.encode(f"cp{codepage}") + b"\0")
        out += b"" if content is None else attribute(2, 0x6800F, content)
        if long_name:
            value = (long_name + "\0").encode("utf-16-le")
            out += attribute(2, 0x69005, struct.pack("<IIII", 1, 0x3707001F, 1, len(value)) + value)
    return out


def outlook(data: bytes, text: bytes = b"See below.") -> bytes:
    return HEADERS + multipart("mixed", PLAIN % text, part("application/ms-tnef; name=winmail.dat", data))


def test_what_outlook_packed_is_read_under_its_own_names() -> None:
    files = (("report.pdf", pdf_of("The figures.")), ("größe.txt", "Größe 5".encode()), ("logo.png", b"x"))
    document = mail(outlook(packed(*files, ("A message", None))))
    assert texts(document)[2:] == [
        *("See below.", "Attachment: report.pdf", "The figures.", "Attachment: größe.txt", "Größe 5"),
    ]
    assert block_of(document, "Größe 5").heading == ("Pumps", "Attachment: größe.txt")
    assert document.warnings == (
        "attachment logo.png was not read: a picture",
        "attachment A message was not read: an object of Outlook's",
    )


def test_names_of_packed_files() -> None:
    assert list(packed_files(packed(("报告.txt", b"x"), codepage=936))) == [("报告.txt", b"x")]
    assert list(packed_files(packed(("ANNUAL~1.TXT", b"x"), long_name="annual 报告.txt"))) == [
        ("annual 报告.txt", b"x")
    ]


def test_a_packed_file_without_attachments_is_told_where_the_text_is_in_it() -> None:
    assert mail(outlook(packed())).warnings == ()
    assert mail(outlook(packed(), text=b"")).warnings == (
        "attachment winmail.dat was not read: it holds the text in Outlook's own form",
    )


def test_what_was_packed_before_the_cut_is_read() -> None:
    data = packed(("a.txt", b"First words."), ("b.txt", b"Second words."))
    document = mail(outlook(data[:-10]))
    assert "First words." in document.text
    assert document.warnings == (
        "attachment b.txt was not read: an object of Outlook's",
        "attachment winmail.dat was not read: broken: it is cut",
    )


def test_packed_files_in_packed_files_end_somewhere() -> None:
    data = packed(("deep.txt", b"Deep."))
    for _ in range(1_000):
        data = packed(("winmail.dat", data))
    document = mail(outlook(data), Limits(100))
    assert texts(document)[2:] == ["See below."]
    assert document.warnings == (f"attachment winmail.dat was not read: it lies in {MAX_DEPTH + 1} other files",)
    assert mail(outlook(packed(("a.txt", b"A."))), LIMITS).text.endswith("A.")


@given(st.binary(max_size=60))
def test_bytes_that_are_nearly_packed_files_do_no_harm(noise: bytes) -> None:
    whole = packed(("a.txt", b"x"))
    for data in (whole[:6] + noise, whole[:40] + noise, whole + noise):
        try:
            found = list(packed_files(data))
        except ParseFailed:
            continue
        assert all(isinstance(name, str) for name, _ in found)
