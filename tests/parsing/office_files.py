"""Word and OpenDocument files written by hand for the parsers' tests, and ways to damage them."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping

import pytest
from parsing.parsing_helpers import check_blocks

from ragcli.errors import ParseFailed
from ragcli.records import Document

OFFICE_RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    f'xmlns:r="{OFFICE_RELS}" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
)
OPEN_DOCUMENT = (
    " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
        for name, long in (
            *(("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"), ("style", "style")),
            *(("meta", "meta"), ("manifest", "manifest")),
        )
    )
    + ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
)


def zip_of(members: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def docx_members(body: str, parts: Mapping[str, str] | None = None, more_rels: str = "") -> dict[str, str | bytes]:
    """Return the members of a Word file: `parts` is the XML inside of word/KIND.xml, "header1" and so on included.

    The root of a part is named by its kind; header1 has the relationship id `header1`.
    """
    roots = {"header": "hdr", "footer": "ftr"}
    rels, members = "", {}
    for name, content in (parts or {}).items():
        kind = name.rstrip("0123456789")
        root = roots.get(kind, kind)
        members[f"word/{name}.xml"] = f"<w:{root} {WORD}>{content}</w:{root}>"
        rels += f'<Relationship Id="{name}" Type="{OFFICE_RELS}/{kind}" Target="{name}.xml"/>'
    package = "http://schemas.openxmlformats.org/package/2006"
    return {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="a" Type="{OFFICE_RELS}/officeDocument" Target="word/document.xml"/>'
        f'<Relationship Id="b" Type="{package}/relationships/metadata/core-properties" Target="/docProps/core.xml"/>'
        "</Relationships>",
        "word/document.xml": f"<?xml version='1.0'?><w:document {WORD}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{package}/relationships">{rels}{more_rels}'
        "</Relationships>",
        **members,
    }


def docx_of(body: str, parts: Mapping[str, str] | None = None) -> bytes:
    return zip_of(docx_members(body, parts))


def odt_members(body: str, automatic: str = "", styles: str = "", title: str = "") -> dict[str, str | bytes]:
    """Return the members of an OpenDocument text: `automatic` styles in it, and the inside of its styles.xml."""
    return {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "META-INF/manifest.xml": f'<manifest:manifest {OPEN_DOCUMENT}><manifest:file-entry manifest:full-path="/"/>'
        "</manifest:manifest>",
        "content.xml": f"<office:document-content {OPEN_DOCUMENT}><office:automatic-styles>{automatic}"
        f"</office:automatic-styles><office:body><office:text>{body}</office:text></office:body>"
        "</office:document-content>",
        "styles.xml": f"<office:document-styles {OPEN_DOCUMENT}>{styles}</office:document-styles>",
        "meta.xml": f"<office:document-meta {OPEN_DOCUMENT}><office:meta><dc:title>{title}</dc:title></office:meta>"
        "</office:document-meta>",
    }


def odt_of(body: str, automatic: str = "", styles: str = "") -> bytes:
    return zip_of(odt_members(body, automatic, styles))


def mutated(members: Mapping[str, str | bytes], part: str, seed: int) -> Iterator[bytes]:
    """Yield 200 damaged copies of a file: every other one in the container, the others in the XML of a part."""
    chance = random.Random(seed)
    whole = zip_of(members)
    content = members[part]
    xml = content.encode() if isinstance(content, str) else content
    for at in range(200):
        data = bytearray(xml if at % 2 else whole)
        for _ in range(chance.choice((1, 1, 3, 20))):
            place = chance.randrange(len(data))
            how = chance.randrange(4)
            if how == 0:
                data[place] = chance.randrange(256)
            elif how == 1:
                del data[place : place + chance.choice((1, 10, 1000))]
            elif how == 2:
                other = chance.randrange(len(data))
                data[place:place] = data[other : other + chance.choice((1, 10, 1000))]
            else:
                digits = [i for i in range(place, min(place + 200, len(data))) if chr(data[i]).isdigit()]
                for digit in digits[:1]:
                    data[digit : digit + 1] = chance.choice((b"-1", b"999999999", b"x", b"1" * 5000, b""))
            data = data or bytearray(b"x")
        yield zip_of({**members, part: bytes(data)}) if at % 2 else bytes(data)


def assert_read_or_failed(parse: Callable[[bytes], Document], copies: Iterator[bytes]) -> None:
    """Parse each copy: a sound Document or ParseFailed, and some of each."""
    read = failed = 0
    for copy in copies:
        try:
            document = parse(copy)
        except ParseFailed as error:
            failed += 1
            assert error.message and "\n" not in error.message
        else:
            read += 1
            check_blocks(document)
    assert read and failed


def reason(parse: Callable[[bytes], Document], data: bytes) -> str:
    """Return why a file was not read."""
    with pytest.raises(ParseFailed) as failed:
        parse(data)
    return failed.value.message
