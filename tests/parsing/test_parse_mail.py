"""E-mail and mailboxes: every word of a message, its attachments by their own parsers, and nothing lost silently."""

from __future__ import annotations

import base64
import quopri
import random
import time
from dataclasses import replace
from email.message import EmailMessage
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing.mail_helpers import FROM, HEADERS, HTML, LIMITS, PLAIN, mail, mbox, multipart, part, simple
from parsing.parsing_helpers import block_of, pdf_of, texts

from ragcli.errors import ParseFailed
from ragcli.parsing.limits import MAX_DEPTH
from ragcli.parsing.mail import parse_mail, parse_mbox
from ragcli.parsing.mime import header_text

OUTLOOK = b"""Received: from mail.example.org by mx.example.org; Mon, 1 Jan 2024 10:00:00 +0000\r
From: "Li, Ann" <ann@example.org>\r
To: <bob@example.org>\r
Subject: =?utf-8?B?UsOpc3Vtw6kgb2YgdGhl?=\r
 =?utf-8?B?IHB1bXA=?=\r
Content-Type: multipart/mixed;\r
\tboundary="_005_ABC_"\r
MIME-Version: 1.0\r
\r
This is a multi-part message in MIME format.\r
\r
--_005_ABC_\r
Content-Type: multipart/related; boundary="_004_ABC_"; type="multipart/alternative"\r
\r
--_004_ABC_\r
Content-Type: multipart/alternative; boundary="_000_ABC_"\r
\r
--_000_ABC_\r
Content-Type: text/plain; charset="iso-8859-1"\r
Content-Transfer-Encoding: quoted-printable\r
\r
It costs =80 20=\r
 in all.\r
\r
> Earlier words.\r
\r
-- \r
Ann\r
--_000_ABC_\r
Content-Type: text/html; charset="iso-8859-1"\r
\r
<p>It costs <b>20</b>.</p>\r
--_000_ABC_--\r
\r
--_004_ABC_\r
Content-Type: image/png; name="image001.png"\r
Content-ID: <image001.png@01D>\r
Content-Transfer-Encoding: base64\r
\r
iVBORw0KGgo=\r
--_004_ABC_--\r
\r
--_005_ABC_\r
Content-Type: image/jpeg; name="photo.jpg"\r
Content-Disposition: attachment; filename="photo.jpg"\r
Content-Transfer-Encoding: base64\r
\r
/9j/4A==\r
--_005_ABC_--\r
"""


def test_a_message_as_outlook_sends_it() -> None:
    document = mail(OUTLOOK)
    assert document.title == "Résumé of the pump"
    assert texts(document) == [
        "Résumé of the pump",
        'From: "Li, Ann" <ann@example.org>\nTo: <bob@example.org>',
        "It costs € 20 in all.",
        "> Earlier words.",
        "-- \nAnn",
    ]
    assert {block.heading for block in document.blocks} == {("Résumé of the pump",)}
    assert document.warnings == ("attachment photo.jpg was not read: a picture",)


@pytest.mark.parametrize(
    ("label", "encoding"),
    [
        ("gb2312", "gb18030"),
        ("GBK", "gb18030"),
        ("big5", "big5"),
        ("utf-8", "utf-8"),
        ("hz-gb-2312", "hz"),
        ("iso-2022-jp", "iso2022_jp"),
        ("utf-7", "utf-7"),
    ],
)
def test_chinese_mail_of_every_age(label: str, encoding: str) -> None:
    name, words = "中文", "水文中人大"
    encoded = base64.b64encode(name.encode(encoding)).decode()
    quoted = quopri.encodestring(words.encode(encoding), header=True).decode().replace("=\n", "").replace("?", "=3F")
    headers = f"From: =?{label}?B?{encoded}?= <li@example.org>\nSubject: =?{label}?Q?{quoted}?=\n"
    headers += f'Content-Type: text/plain; charset="{label}"\n\n'
    document = mail(headers.encode() + words.encode(encoding))
    assert texts(document) == [words, f"From: {name} <li@example.org>", words]
    assert document.warnings == ()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("=?utf-8?Q?a=C3?= =?utf-8?Q?=A9b?= c", "aéb c"),  # a character cut between two words
        ("=?utf-8?B?w6k?= =?utf-8?B?w6k=?=", "éé"),  # padding left out
        ("=?gb2312*zh?B?1tA=?=", "中"),
        ("=?x-nothing?Q?caf=C3=A9?=", "café"),
        ("=?utf-8?Q?open", "=?utf-8?Q?open"),
        ("=?utf-8?B?*?=x", "x"),
        ("Re:=?utf-8?Q?_two_words?=!", "Re: two words!"),
        ("caf\udcc3\udca9", "café"),
        ("\udcd6\udcd0\udcce\udcc4", "中文"),
        ("folded\r\n line", "folded line"),
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
    ],
)
def test_headers_are_decoded_as_far_as_they_can_be(raw: str, expected: str) -> None:
    assert header_text(raw, "") == expected


@given(st.text(max_size=60))
@settings(max_examples=50, deadline=None)
def test_what_the_standard_library_sends_is_read(words: str) -> None:
    message = EmailMessage()
    kept = " ".join("".join(c for c in words if c.isprintable()).split())
    message["Subject"] = kept
    message["From"] = "a@example.org"
    message.set_content(kept)
    document = mail(message.as_bytes())
    assert document.title == kept[:300].rstrip()
    assert not kept or kept in " ".join(document.text.split())


def test_a_charset_that_is_wrong_or_unknown_is_told() -> None:
    unknown = mail(simple("Prix: 5 €.".encode(), "Content-Type: text/plain; charset=x-mac-klingon"))
    assert texts(unknown)[-1] == "Prix: 5 €."
    assert unknown.warnings == ("its text: its encoding x-mac-klingon is unknown",)
    broken = mail(simple("中文".encode("gb18030") + b"\xff end", "Content-Type: text/plain; charset=gb2312"))
    assert texts(broken)[-1] == "中文\ufffd end"
    assert broken.warnings == ("its text: 1 characters are not valid gb2312 and were replaced",)
    lying = mail(simple("Straße".encode(), "Content-Type: text/plain; charset=iso-8859-1"))
    assert texts(lying)[-1] == "Straße"
    assert mail(simple(b"x", "Content-Type: text/plain; charset=punycode")).warnings != ()


def test_html_alone_is_read_with_its_headings_in_the_charset_of_the_mail() -> None:
    body = '<html><head><meta charset="utf-8"></head><body><h1>价格</h1><p>It is 二十.</p></body></html>'.encode(
        "gb18030"
    )
    document = mail(simple(body, "Content-Type: text/html; charset=gb2312"))
    assert block_of(document, "It is").heading == ("Pumps", "价格")
    assert document.text.endswith("It is 二十.")


@pytest.mark.parametrize(
    ("plain", "kept"),
    [
        (b"The plain words.", "The plain words."),
        (b" \n", "The rich words."),
        (b"Please view this message in a browser or an HTML capable mail program.", "The rich words."),
        ("您的邮件客户端不支持 HTML".encode(), "The rich words."),
    ],
)
def test_of_two_versions_the_plain_one_is_read_where_it_says_something(plain: bytes, kept: str) -> None:
    related = multipart("related", HTML % b"The rich words.", part("image/png", b"x", "Content-ID: <1>"))
    for rich in (HTML % b"The rich words.", related):
        document = mail(HEADERS + multipart("alternative", PLAIN % plain, rich))
        assert texts(document)[2:] == [kept]
        assert document.warnings == ()


def test_an_attachment_beside_the_rich_version_is_read_with_the_plain_one() -> None:
    table = part("text/csv", b"a,b\n1,2\n", 'Content-Disposition: attachment; filename="t.csv"')
    rich = multipart("mixed", HTML % b"Rich.", table, HTML % b"Rich end.")
    document = mail(HEADERS + multipart("alternative", PLAIN % b"Plain.", rich))
    assert texts(document)[2:] == ["Plain.", "Attachment: t.csv", "a,b", "1,2"]


@pytest.mark.parametrize(
    "parameters",
    [
        f"filename*=gb2312''{quote('镕基〇.txt', encoding='gb18030')}",  # gb2312 has but one of them
        f"filename=\"??.txt\"; filename*=utf-8''{quote('镕基〇.txt')}",
        f"filename*0*=utf-8''{quote('镕')}; filename*1*={quote('基〇')}; filename*2=.txt",
    ],
    ids=["more than it says", "two names", "in pieces"],
)
def test_names_of_attachments_that_name_their_encoding(parameters: str) -> None:
    words = part("application/octet-stream", b"Words.", f"Content-Disposition: attachment; {parameters}")
    assert texts(mail(HEADERS + multipart("mixed", words)))[2:] == ["Attachment: 镕基〇.txt", "Words."]


def test_attachments_are_read_by_their_own_parsers_under_their_names() -> None:
    pdf = part("application/octet-stream", pdf_of("First page.", "Second page."), 'Content-Disposition: attachment; '
               "filename*=utf-8''%E6%8A%A5%E5%91%8A.pdf")  # fmt: skip
    table = part('text/csv; charset=gb2312; name="=?utf-8?B?6KGo?=.csv"', "件,价\n阀,二十\n".encode("gb18030"))
    web = part("text/html", b"<main><h1>Manual</h1><p>Press it.</p></main>", "Content-Disposition: attachment")
    footer = PLAIN % b"List footer."
    document = mail(HEADERS + multipart("mixed", PLAIN % b"See below.", pdf, table, web, footer))
    assert document.warnings == ()
    assert [(block.heading[1:], text) for block, text in zip(document.blocks, texts(document), strict=True)][2:] == [
        ((), "See below."),
        (("Attachment: 报告.pdf",), "Attachment: 报告.pdf"),
        (("Attachment: 报告.pdf", "page 1"), "First page."),
        (("Attachment: 报告.pdf", "page 2"), "Second page."),
        (("Attachment: 表.csv",), "Attachment: 表.csv"),
        (("Attachment: 表.csv",), "件,价"),
        (("Attachment: 表.csv",), "阀,二十"),
        (("Attachment: text/html",), "Attachment: text/html"),
        (("Attachment: text/html", "Manual"), "Manual"),
        (("Attachment: text/html", "Manual"), "Press it."),
        ((), "List footer."),
    ]
    assert block_of(document, "二十").header == "件,价"
    assert {block.page for block in document.blocks} == {None} and document.pages is None


@pytest.mark.parametrize(
    ("content_type", "name", "content", "reason"),
    [
        ("image/png", "logo.png", b"x", "a picture"),
        ("application/zip", "all.zip", b"PK", "an archive"),
        ("application/msword", "old.doc", b"x", "save it as .docx"),
        ("application/octet-stream", "logo.png", b"x", "a picture"),
        ("application/ms-tnef", "winmail.dat", b"x", "broken: not what Outlook packs attachments into"),
        ("text/calendar", "cut.ics", b"\0" * 50, "binary, whatever its name says"),
        ("application/octet-stream", "talk.key", b"x", "export it as .pptx"),
        ("application/octet-stream", "run.exe", b"MZ", "binary"),
        ("application/pdf", "broken.pdf", b"%PDF-1.7", None),
        ("text/plain", "nul.txt", b"\0" * 50, "binary, whatever its name says"),
        ("text/plain", "none.txt", b"", "empty file"),
        ("application/pkcs7-mime", "smime.p7m", b"x", "it is encrypted, or sealed by a signature around it"),
    ],
)
def test_an_attachment_that_is_not_read_is_named_with_the_reason(
    content_type: str, name: str, content: bytes, reason: str | None
) -> None:
    attached = part(f'{content_type}; name="{name}"', content, "Content-Disposition: attachment")
    document = mail(HEADERS + multipart("mixed", PLAIN % b"See below.", attached))
    assert texts(document)[2:] == ["See below."]
    (warning,) = document.warnings
    assert warning.startswith(f"attachment {name} was not read: ") and warning.endswith(reason or "")


def test_signatures_are_no_attachments() -> None:
    signature = part("application/pgp-signature; name=signature.asc", b"-----BEGIN")
    document = mail(HEADERS + multipart("signed", PLAIN % b"True.", signature))
    assert (texts(document)[2:], document.warnings) == (["True."], ())


def test_attached_messages_nest_and_the_deepest_are_told() -> None:
    message = simple(b"Innermost.")
    for depth in range(MAX_DEPTH + 1):
        message = HEADERS.replace(b"Pumps", b"Level %d" % depth) + multipart(
            "mixed", PLAIN % (b"Text %d." % depth), b"Content-Type: message/rfc822\n\n" + message
        )
    document = mail(message)
    assert document.warnings == ("an attached message was not read: it lies in 5 others",)
    assert block_of(document, "Text 3.").heading == ("Level 4", "Attached message", "Level 3")
    assert "Text 0." in document.text and "Innermost" not in document.text


def test_messages_attached_as_files_or_encoded_against_the_rules_are_read() -> None:
    inner = simple(b"Inner words.")
    as_file = part('application/octet-stream; name="note.eml"', inner)
    encoded = part("message/rfc822", inner)
    document = mail(HEADERS + multipart("mixed", as_file, encoded))
    assert texts(document).count("Inner words.") == 2
    assert block_of(mail(HEADERS + multipart("mixed", as_file)), "Inner").heading == (
        *("Pumps", "Attachment: note.eml", "Pumps"),
    )
    deep = mail(HEADERS + multipart("mixed", as_file), replace(LIMITS, depth=MAX_DEPTH))
    assert deep.warnings == ("attachment note.eml was not read: it lies in 5 other files",)


def test_a_delivery_report_keeps_its_fields() -> None:
    report = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: bob\nStatus: 5.1.1\n"
    document = mail(HEADERS + multipart("report", PLAIN % b"It bounced.", report))
    assert "Final-Recipient: bob\nStatus: 5.1.1" in document.text


def test_flowed_text_is_joined() -> None:
    body = b"One \nline.\n  indented\n> quoted \n> too.\n-- \nAnn\n"
    document = mail(simple(body, "Content-Type: text/plain; format=flowed"))
    assert document.text.endswith("One line.\n indented\n> quoted too.\n-- \nAnn")
    chinese = "水 \n泵".encode()
    joined = mail(simple(chinese, "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes"))
    assert joined.text.endswith("水泵")


def test_parts_that_another_boundary_parts_are_told_apart() -> None:
    rich = part("text/html", b"<p>The <b>rich</b> words.</p>")
    body = b"This is a message in MIME format.\n\n--=_real\n" + PLAIN % b"The words." + b"\n--=_real\n" + rich
    for kind, kept in (("alternative", ["The words."]), ("mixed", ["The words.", "The rich words."])):
        for boundary in ("boundary=other", ""):
            document = mail(simple(body + b"--=_real--\n", f"Content-Type: multipart/{kind}; {boundary}"))
            assert (texts(document)[2:], document.warnings) == (kept, ())
    text = b"Words before.\n" * 200 + body
    assert "Words before." in mail(simple(text, "Content-Type: multipart/mixed; boundary=other")).text


def test_broken_multiparts_in_broken_multiparts_do_not_recurse() -> None:
    body = b"--b\nContent-Type: multipart/mixed; boundary=other\n\n" * 500 + b"--b\nContent-Type: text/plain\n\nWords."
    assert "Words." in mail(simple(body, "Content-Type: multipart/mixed; boundary=other")).text
    deep = b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=other\n\n" % at for at in range(5_000))
    assert mail(simple(deep, "Content-Type: multipart/mixed; boundary=other")).warnings


@pytest.mark.parametrize(
    "body", [b"", b" \n\xc2\xa0\n", b"<html><style>p{}</style><div dir=ltr><br></div>&nbsp;</html>"]
)
def test_an_empty_text_is_no_fault(body: bytes) -> None:
    kind = "html" if b"<" in body else "plain"
    table = part("text/csv", b"a,b\n1,2\n", 'Content-Disposition: attachment; filename="t.csv"')
    document = mail(HEADERS + multipart("mixed", b"Content-Type: text/%s\n\n%s" % (kind.encode(), body), table))
    assert (texts(document)[2:], document.warnings) == (["Attachment: t.csv", "a,b", "1,2"], ())
    picture = mail(HEADERS + HTML.replace(b"%s", b"<img src='cid:1'>"))
    assert picture.warnings == ("its text was not read: no text",)


@pytest.mark.parametrize("label", ["windows-1251", "koi8-r", "iso-8859-2", "gb2312", "shift_jis"])
def test_a_text_that_says_another_encoding_and_is_utf8_is_read(label: str) -> None:
    words = "Protección y más: ñandú, às três, déjà vu, où ça, façade, naïve, coöperate, élève, größer, señor, Über"
    document = mail(simple(words.encode(), f"Content-Type: text/plain; charset={label}"))
    assert (texts(document)[-1], document.warnings) == (words, ())


def test_a_short_text_is_what_it_says() -> None:
    document = mail(simple("联通".encode("gb18030"), "Content-Type: text/plain; charset=gb2312"))
    assert texts(document)[-1] == "联通"  # its bytes are sound UTF-8, too


def test_a_boundary_that_never_comes_or_never_ends_loses_no_words() -> None:
    absent = mail(simple(b"The words.", "Content-Type: multipart/mixed; boundary=b"))
    assert texts(absent)[-1] == "The words."
    assert absent.warnings == ("broken: its parts cannot be told apart",)
    open_end = mail(simple(b"--b\nContent-Type: text/plain\n\nThe words.", "Content-Type: multipart/mixed; boundary=b"))
    assert texts(open_end)[-1] == "The words."


def test_damaged_base64_gives_what_can_be_read_of_it() -> None:
    whole = base64.b64encode(b"The words of it. And more of them.")
    for damaged in (whole[:-3], whole[:41] + b"!\n" + whole[41:], whole + b"\n\n--\nA list's footer"):
        assert "The words of it." in mail(simple(damaged, "Content-Transfer-Encoding: base64")).text


def test_without_subject_or_body_there_are_the_headers() -> None:
    assert texts(mail(b"From: a@example.org\n\n")) == ["(no subject)", "From: a@example.org"]


@pytest.mark.parametrize("data", [b"\n\n", b"\x00\x01\x02" * 99, b"just some words\n", b"key: value\n\nwords"])
def test_what_is_no_message_says_so(data: bytes) -> None:
    with pytest.raises(ParseFailed, match="none of the headers of an e-mail"):
        parse_mail(data, LIMITS)


def nested(depth: int) -> bytes:
    parts = (b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (at, at + 1) for at in range(depth))
    return HEADERS + b"Content-Type: multipart/mixed; boundary=b0\n\n" + b"".join(parts)


MIXED = HEADERS + b"Content-Type: multipart/mixed; boundary=b\n\n"
HOSTILE = {
    "nested multiparts": (nested(10_000), "nested over 50 deep"),
    "nested messages": (HEADERS + b"Content-Type: message/rfc822\n\n" * 10_000, "nested over 50 deep"),
    "many parts": (MIXED + b"--b\n\nx\n" * 30_000, "it has over 20000 parts"),
    "a few parts too many": (MIXED + b"--b\n\nx\n" * 1_500, "only its first 1,000 parts were read"),
    "long header": (b"Subject: " + b"x" * 1_000_000 + b"\n\nwords", "a header was cut after 10,000 characters"),
    "folded header": (b"Subject: x\n" + b" y\n" * 300_000 + b"\nwords", "a header was cut after 10,000 characters"),
    "many headers": (HEADERS + b"To: x\n" * 100_000 + b"\nwords", ""),
    "many parameters": (simple(b"words", "Content-Type: text/plain" + ";a*1*=b" * 200_000), ""),
    "huge number": (simple(b"words", "Content-Type: text/plain; name*" + "9" * 5000 + "=b"), ""),
    "open words": (b"Subject: " + b"=?utf-8?q?" * 900 + b"\n\nwords", ""),
    "NULs": (b"Subject: a\0b\nTo\0: x\nContent-Type: text/\0plain; charset=\0\n\n" + b"word\0 words " * 9, ""),
    "odd charset": (b"Subject: x\nContent-Type: text/plain; charset=\xff\x1b\xfe\n\nwords", ""),
    "bad RFC 2231": (b"Subject: x\nContent-Type: text/plain; charset*=a'b'%ff%00\n\nwords", ""),
    "bytes and an impossible charset": (simple(b"w\xff", "Content-Type: text/plain; charset=\udcc3"), ""),
    "bad base64": (b"Subject: x\nContent-Transfer-Encoding: base64\n\n" + b"a=\n=" * 200_000, ""),
    "flowed": (simple(b"a \n" * 300_000, "Content-Type: text/plain; format=flowed"), ""),
    "deep page": (simple(b"<div>" * 50_000, "Content-Type: text/html"), "its elements are nested too deeply"),
}


@pytest.mark.parametrize(("data", "told"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_messages_are_read_or_refused_soon(data: bytes, told: str) -> None:
    began = time.monotonic()
    try:
        document = mail(data)
        assert any(told in warning for warning in document.warnings) or not told
        for warning in document.warnings:
            warning.encode("utf-8")
    except ParseFailed as error:
        assert told and told in error.message
    assert time.monotonic() - began < 10


def test_a_mailbox_gives_every_message_under_its_subject() -> None:
    first = FROM + HEADERS + b"\nFirst words.\n\n>From here on it leaks.\n\nFrom then on, too.\n\n"
    second = FROM + HEADERS.replace(b"Pumps", b"Seals") + b"\nSecond words.\n\n"
    third = b"From -\n" + HEADERS + b"\nThird words.\n\n"
    for data in (first + second + third, (first + second + third).replace(b"\n", b"\r\n")):
        document = mbox(data)
        assert [text for text in texts(document) if not text.startswith("From: ")] == [
            *("Pumps", "First words.", "From here on it leaks.", "From then on, too."),
            *("Seals", "Second words.", "Pumps", "Third words."),
        ]
        assert block_of(document, "Second words.").heading == ("Seals",)
        assert "Date: Mon, 1 Jan 2024" in document.text


def test_a_line_of_the_text_that_begins_like_a_message_is_none() -> None:
    document = mbox(FROM + HEADERS + b"\nWe meet at nine.\n\nFrom 10:30 on there is coffee.\n\nAnn\n")
    assert texts(document)[-3:] == ["We meet at nine.", "From 10:30 on there is coffee.", "Ann"]


def test_a_message_that_was_deleted_and_still_lies_in_the_mailbox_is_not_read() -> None:
    kept, deleted = (b"From -\nX-Mozilla-Status: %s\n" % flags + HEADERS for flags in (b"0001", b"0009"))
    document = mbox(kept + b"\nHere.\n\n" + deleted + b"\nGone.\n\n" + kept + b"\nLast.\n")
    assert texts(document)[2::3] == ["Here.", "Last."]


def test_a_mark_or_empty_lines_before_the_headers_do_no_harm() -> None:
    for before in (b"\xef\xbb\xbf", b"\r\n\n", b"\xef\xbb\xbf\n"):
        assert texts(mail(before + simple(b"Words.")))[0] == "Pumps"


def test_text_that_is_encrypted_is_not_called_read() -> None:
    armour = b"-----BEGIN PGP %s-----\n\nhQEMA0abc\n=xyz\n-----END PGP %s-----\n"
    document = mail(simple(b"Secret:\n\n" + armour % (b"MESSAGE", b"MESSAGE")))
    assert (texts(document)[2:], document.warnings) == (["Secret:"], ("its text is encrypted",))
    signed = b"-----BEGIN PGP SIGNED MESSAGE-----\n\nOil it.\n" + armour % (b"SIGNATURE", b"SIGNATURE")
    document = mail(simple(signed))
    assert texts(document)[-1] == "Oil it." and not document.warnings


def test_a_broken_message_of_a_mailbox_is_a_warning_and_the_rest_goes_on() -> None:
    picture = HEADERS + multipart("mixed", PLAIN % b"Look.", part("image/png; name=a.png", b"x"))
    broken = FROM + b"no header\n\nat all\n\n"
    document = mbox(FROM + picture + b"\n\n" + broken + FROM + nested(99) + b"\n\n" + FROM + HEADERS + b"\nLast.\n")
    assert texts(document)[-1] == "Last." and "Look." in document.text
    assert document.warnings == (
        "message 1: attachment a.png was not read: a picture",
        "message 2 was not read: broken: it has none of the headers of an e-mail",
        "message 3 was not read: its parts are nested over 50 deep",
    )


def test_many_warnings_of_a_mailbox_are_counted() -> None:
    document = mbox(FROM + HEADERS + b"\nGood.\n\n" + (FROM + b"no header\n\n") * 50)
    assert len(document.warnings) == 20 and document.warnings[-1] == "and 31 more like these"


@pytest.mark.parametrize(
    ("data", "reason"), [(b"Hello\n\n" + FROM, "does not begin as a mailbox"), (FROM, "message 1 was not read")]
)
def test_what_is_no_mailbox_says_so(data: bytes, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_mbox(data, LIMITS)


def test_a_large_mailbox_is_read_in_time() -> None:
    began = time.monotonic()
    document = mbox((FROM + HEADERS + b"\n" + b"Some words of it.\n" * 20 + b"\n") * 5_000)
    assert len(document.blocks) == 15_000
    assert time.monotonic() - began < 15


def test_damaged_messages_give_a_document_or_a_reason() -> None:
    inner = b"Content-Type: message/rfc822\n\n" + simple(b"Inner.")
    pdf = part("application/pdf; name=a.pdf", pdf_of("One."))
    whole = HEADERS + multipart("mixed", PLAIN % b"Plain.", HTML % b"Rich.", pdf, inner, part("text/csv", b"a,b\n1,2"))
    seeds = (OUTLOOK, whole, HEADERS + b"\nWords \xd6\xd0\n")
    pieces = (
        b"",
        b"\0",
        b"\xff\xd6",
        b"\n",
        b"\r",
        b"\n\n",
        b"=?gb2312?B?",
        b"--",
        b";",
        b'"',
        b"*=",
        b"=",
        b"boundary",
    )
    rng = random.Random(5)
    outcomes = {"read": 0, "failed": 0}
    for turn in range(200):
        seed = seeds[turn % 3]
        data = bytearray(seed if turn % 2 else FROM + seed + b"\n\n" + FROM + seed)
        for _ in range(rng.randint(1, 20)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((0, 1, 1, 50))] = rng.choice(pieces)
        try:
            (mail if turn % 2 else mbox)(bytes(data))
            outcomes["read"] += 1
        except ParseFailed:
            outcomes["failed"] += 1
    assert outcomes["read"] > 100
