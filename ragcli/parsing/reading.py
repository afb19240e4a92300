"""Bytes of a known format -> Document: which parser reads what."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import cast

from ragcli.errors import ParseFailed
from ragcli.parsing.limits import Limits
from ragcli.records import TEXT_FORMATS, Document, Format

_MODULES: dict[Format, str] = {
    **{"csv": "text", "mbox": "mail", "pdf": "pdf.document"},
    **{"docx": "office.docx", "odt": "office.odt", "pptx": "office.pptx", "xlsx": "office.xlsx"},
}
"""Formats whose parser, `parse_FORMAT`, does not lie in a module of their own name."""
_BOUNDED: frozenset[Format] = frozenset({"pdf", "mail", "mbox"})
"""Formats whose parser asks for the limits."""
_NAMED: frozenset[Format] = frozenset({"code"})
"""Text formats whose parser asks for the file's name."""


def read(data: bytes, format: Format, limits: Limits, name: str = "") -> Document:
    """Parse the bytes of the file `name`. Raises ParseFailed, and whatever a parser lets through on a broken file."""
    if not data:
        raise ParseFailed("empty file")
    parse = getattr(import_module(f"ragcli.parsing.{_MODULES.get(format, format)}"), f"parse_{format}")
    if format not in TEXT_FORMATS:
        return cast(Document, parse(data, limits) if format in _BOUNDED else parse(data))
    from ragcli.parsing.decode import decode

    text, warnings = decode(data)
    document = cast(Document, parse(text, name) if format in _NAMED else parse(text))
    return replace(document, warnings=(*warnings, *document.warnings))
