"""EPUB -> Document: the chapters in reading order, each read as a web page, under the titles of the navigation."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from ragcli.errors import ParseFailed
from ragcli.parsing.archive import Archive
from ragcli.parsing.building import Builder, squash
from ragcli.parsing.html import parse_html
from ragcli.records import Document

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_FONT_OBFUSCATION = frozenset(("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"))
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_PAGE_TYPES = frozenset(("application/xhtml+xml", "text/html", "text/x-oeb1-document", "application/xml", ""))
_MAX_CHAPTERS = 5_000
_MAX_CHAPTER = 30_000_000  # bytes
_MAX_ENTRIES = 20_000
_TAIL = 1000  # bytes; a page closes with its last tag, and perhaps a comment
_MAX_LEVELS = 6
_MAX_TITLE = 300

Path = tuple[str, ...]
"""Titles of the navigation, from the outermost inwards."""


@dataclass(frozen=True, slots=True)
class _Book:
    """What the package file says. All names are members of the archive, or of none where the book is broken.

    `navigation` is the page of links that EPUB 3 has, `contents` the NCX file of EPUB 2; "" where there is none.
    """

    title: str
    creators: str
    chapters: tuple[str, ...]
    warnings: tuple[str, ...]
    navigation: str
    contents: str


def parse_epub(data: bytes) -> Document:
    """Read a book's chapters. Raises ParseFailed where it is locked, broken, or none of its chapters can be read."""
    archive = Archive(data)
    _check_unlocked(archive)
    book = _book(archive)
    warnings = list(book.warnings)
    titles = _titles(archive, book, warnings)
    builder = Builder()
    if book.creators:
        builder.add("\n".join(filter(None, (book.title, book.creators))))
    chapters = [name for name in book.chapters if name != book.navigation]
    read = _add_chapters(builder, archive, chapters[:_MAX_CHAPTERS], titles, warnings)
    if len(chapters) > _MAX_CHAPTERS:
        warnings.append(f"only its first {_MAX_CHAPTERS} chapters were read")
    if not read and book.navigation:
        read = _add_chapters(builder, archive, [book.navigation], {}, warnings)
    if not read:
        raise ParseFailed(warnings[0] if warnings else "no text")
    return builder.document(book.title, warnings=warnings)


def _check_unlocked(archive: Archive) -> None:
    """Raise ParseFailed where more than fonts is encrypted: what unpacks then is no text."""
    if _ENCRYPTION in archive:
        methods = {method.get("Algorithm") for method in archive.xml(_ENCRYPTION).iter("{*}EncryptionMethod")}
        if not methods <= _FONT_OBFUSCATION:
            raise ParseFailed("it is locked (DRM)")


def _book(archive: Archive) -> _Book:
    """Read the package file. Raises ParseFailed where there is none."""
    name = _package_name(archive)
    package = archive.xml(name)
    items = {item.get("id"): item for item in package.iter("{*}item") if item.get("href")}
    spine = next(package.iter("{*}spine"), None)
    references = [] if spine is None else [reference.get("idref") for reference in spine.iter("{*}itemref")]
    # A book may name a page any number of times in its spine; it is read once.
    chapters = dict.fromkeys(
        _member(archive, name, item.get("href"))
        for item in (items[one] for one in references if one in items)
        if (item.get("media-type") or "").strip() in _PAGE_TYPES
    )
    lost = sum(one not in items for one in references)
    what = "chapter that it lists is" if lost == 1 else "chapters that it lists are"
    pages = [item for item in items.values() if "nav" in (item.get("properties") or "").split()]
    contents = [item for item in items.values() if item.get("media-type") == "application/x-dtbncx+xml"]
    return _Book(
        _metadata(package, "title"),
        _metadata(package, "creator"),
        tuple(chapters),
        (f"{lost} {what} not in it",) if lost else (),
        _member(archive, name, pages[0].get("href")) if pages else "",
        _member(archive, name, contents[0].get("href")) if contents else "",
    )


def _package_name(archive: Archive) -> str:
    try:
        for rootfile in archive.xml(_CONTAINER).iter("{*}rootfile"):
            if (name := rootfile.get("full-path") or "") in archive:
                return name
        problem = ParseFailed("broken: it names no package file")
    except ParseFailed as error:
        problem = error
    for name in archive.names:
        if name.endswith(".opf"):
            return name
    raise problem


def _metadata(package: Any, name: str) -> str:
    texts = (squash("".join(element.itertext()))[:_MAX_TITLE] for element in package.iter(_DUBLIN_CORE + name))
    found = list(dict.fromkeys(filter(None, texts)))[:10]
    return ", ".join(found) if name == "creator" else "".join(found[:1])


def _member(archive: Archive, base: str, href: str) -> str:
    """Return the name of the member that `href`, found in the member `base`, points to; it need not exist."""
    plain = href.partition("#")[0]
    folder = posixpath.dirname(base)
    names = [posixpath.normpath(posixpath.join(folder, one)).lstrip("/") for one in (unquote(plain), plain)]
    return next((name for name in names if name in archive), names[0])


def _titles(archive: Archive, book: _Book, warnings: list[str]) -> dict[str, list[Path]]:
    """Return the titles in each chapter by the navigation, with those of the parts that they stand in."""
    for name, entries in ((book.navigation, _navigation), (book.contents, _contents)):
        if not name:
            continue
        try:
            root = archive.xml(name)
        except ParseFailed as error:
            warnings.append(f"its table of contents was not read: {error.message}")
            continue
        titles: dict[str, list[Path]] = {}
        path: list[tuple[int, str]] = []
        for number, (level, title, href) in enumerate(entries(root)):
            if number == _MAX_ENTRIES:
                break
            path = [step for step in path if step[0] < level] + [(level, title)]
            if href and title:
                shown = tuple(step[1] for step in path if step[1])
                titles.setdefault(_member(archive, name, href), []).append(shown)
        if titles:
            return titles
    return {}


def _navigation(root: Any) -> Iterator[tuple[int, str, str]]:
    """Yield level, title and address of each entry of an EPUB 3 navigation page."""
    lists = list(root.iter("{*}nav"))
    chosen = next((one for one in lists if "toc" in (one.get(_EPUB_TYPE) or "").split()), lists[0] if lists else root)
    for entry in chosen.iter("{*}li"):
        label = next((child for child in entry.iterchildren("{*}a", "{*}span")), None)
        if label is not None:
            level = min(_MAX_LEVELS, sum(1 for _ in entry.iterancestors("{*}ol", "{*}ul")))
            yield level, squash("".join(label.itertext()))[:_MAX_TITLE], label.get("href") or ""


def _contents(root: Any) -> Iterator[tuple[int, str, str]]:
    """Yield level, title and address of each entry of an NCX file."""
    for point in root.iter("{*}navPoint"):
        label = next(point.iterchildren("{*}navLabel"), None)
        content = next(point.iterchildren("{*}content"), None)
        level = min(_MAX_LEVELS, 1 + sum(1 for _ in point.iterancestors("{*}navPoint")))
        title = "" if label is None else squash("".join(label.itertext()))[:_MAX_TITLE]
        yield level, title, "" if content is None else content.get("src") or ""


def _add_chapters(
    builder: Builder, archive: Archive, names: list[str], titles: dict[str, list[Path]], warnings: list[str]
) -> int:
    """Add chapters and return how many had text. One that is missing or broken is a warning."""
    read = empty = 0
    for name in names:
        try:
            data = archive.read(name, _MAX_CHAPTER)
            page = parse_html(data, whole=True)
        except ParseFailed as error:
            if error.message == "no text":
                empty += 1
            else:
                warnings.append(f"chapter {_shown(name)} was not read: {error.message}")
            continue
        _add_chapter(builder, page, titles.get(name, []))
        warnings += [f"chapter {_shown(name)}: {warning}" for warning in page.warnings]
        if b"</html" not in data[-_TAIL:].replace(b"\0", b"").lower():  # without the zeros, UTF-16 reads as ASCII
            warnings.append(f"chapter {_shown(name)}: its end is missing")
        read += 1
    if empty > read:  # covers, plates and blank pages stand in every book
        warnings.append(f"{empty} of {len(names)} pages have no text (pictures?)")
    return read


def _shown(name: str) -> str:
    return squash(posixpath.basename(name))[:100]


def _add_chapter(builder: Builder, page: Document, paths: list[Path]) -> None:
    """Add a page under its own headings, else under its titles in the navigation, else under what came before it."""
    own = any(block.heading for block in page.blocks)
    path = paths[0] if paths else ()
    if own or path:
        builder.leave(1)
    for level, title in enumerate(path[:-1], 1):
        builder.heading(title, level, shown=False)
    if path and not own:
        first = page.text[page.blocks[0].start : page.blocks[0].end]
        builder.heading(path[-1], len(path), shown=not squash(first).casefold().startswith(path[-1].casefold()))
    for further, section in _sections(page, [] if own else paths[1:]):
        for level, title in enumerate(further, 1):
            builder.heading(title, level, shown=False)
        builder.include(section)
    # Books are often cut into files in the middle of a chapter: its headings hold until others come.
    for level, title in enumerate(page.blocks[-1].heading, len(path) if path else 1):
        builder.heading(title, level, shown=False)


def _sections(page: Document, paths: list[Path]) -> Iterator[tuple[Path, Document]]:
    """Cut a page that has no headings where a paragraph says just one of the titles that the navigation has for it."""
    titles = {path[-1].casefold(): path for path in paths}
    path: Path = ()
    begin = 0
    for at, block in enumerate(page.blocks if titles else ()):
        if (found := titles.pop(squash(page.text[block.start : block.end]).casefold(), None)) is not None:
            yield path, replace(page, blocks=page.blocks[begin:at])
            path, begin = found, at
    yield path, replace(page, blocks=page.blocks[begin:])
