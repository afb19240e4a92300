"""What the tests of Office formats share: packages made by hand, and broken on purpose."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Mapping

from ragcli.errors import ParseFailed
from ragcli.records import Document

RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
BOMB = (
    '<!DOCTYPE b [<!ENTITY h "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("hgfedcb", "gfedcba", strict=True))
    + "]>"
)


def pack(parts: Mapping[str, str | bytes]) -> bytes:
    """Return a ZIP container of the given members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in parts.items():
            container.writestr(name, content)
    return out.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the members of a ZIP container."""
    with zipfile.ZipFile(io.BytesIO(data)) as container:
        return {name: container.read(name) for name in container.namelist()}


def relations_of(*targets: tuple[str, str]) -> str:
    """Return relations of (kind, target), with the ids rId1, rId2, ..."""
    rows = "".join(
        f'<Relationship Id="rId{at}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{RELATIONS}">{rows}</Relationships>'


def mutated(data: bytes, seed: int) -> bytes:
    """Return a copy with some bytes of the container, or of what lies in it, changed, cut or repeated."""
    chance = random.Random(seed)
    if chance.random() < 0.3:
        return _changed(data, chance)
    parts = unpack(data)
    for name in chance.sample(sorted(parts), chance.randint(1, 3)):
        if chance.random() < 0.1:
            del parts[name]
        else:
            parts[name] = _changed(parts[name], chance)
    return pack(parts)


def _changed(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        start = chance.randrange(len(out) + 1)
        end = min(len(out), start + chance.randint(0, 30))
        piece = bytes(out[start:end])
        out[start:end] = chance.choice([b"", piece * 2, b"9", chance.randbytes(2), b"<a>", b'"', piece[::-1]])
    return bytes(out)


def outcome(parse: Callable[[bytes], Document], data: bytes) -> Document | str:
    """Return the document, or the reason why there is none. Anything else that a parser raises goes up."""
    try:
        return parse(data)
    except ParseFailed as failed:
        return failed.message
