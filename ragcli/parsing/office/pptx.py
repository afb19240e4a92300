"""PowerPoint decks -> Document: slides as pages under their titles, shapes in reading order, notes and comments.

python-pptx opens the package and knows where a slide's placeholders stand; the shapes are read from the XML, for it
shows neither alternate content, diagrams nor comments, and takes quadratic time for a table's rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.archive import Archive
from ragcli.parsing.building import Builder, squash
from ragcli.parsing.office.package import attribute, child, local, main_part, open_package, related, title_of
from ragcli.parsing.office.slide_text import (
    body_text,
    bullet_of,
    paragraph_text,
    write_chart,
    write_diagram,
    write_paragraphs,
    write_table,
)
from ragcli.records import Document

_TITLES = frozenset(("title", "ctrTitle"))
_BODIES = frozenset(("body", "obj"))
_FURNITURE = frozenset(("sldNum", "dt", "ftr", "hdr"))
_WITH_MACROS = tuple(
    f"application/vnd.ms-powerpoint.{kind}.macroEnabled.main+xml" for kind in ("slideshow", "template")
)
_SAME_LINE = 228_600  # a quarter of an inch, in EMU: shapes whose tops differ by less stand side by side
_LEVELS = range(9)
_MAX_NAMED = 10
_MAX_PLACEHOLDERS = 200
_START = 2000


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """What a slide takes from its layout: where the placeholder stands, and which levels of its text have bullets."""

    top: int
    left: int
    bullets: frozenset[int]


def parse_pptx(data: bytes) -> Document:
    """Read the slides of a deck, hidden ones included, each with its speaker notes and comments.

    Raises ParseFailed where the file is broken, locked, a ZIP bomb, or without text.
    """
    archive = open_package(data, ".ppt", ".pptx")
    if (part := main_part(archive, "ppt/presentation.xml")) not in archive:
        raise ParseFailed(f"broken: it lacks {squash(part)[:100]}")
    if b"purl.oclc.org/ooxml" in archive.read(part)[:_START]:  # python-pptx knows the usual variant alone
        raise ParseFailed("it is in the strict variant of its format", "save it as an ordinary .pptx")
    try:
        return _Deck(archive, data).document()
    except (MemoryError, ParseFailed):
        raise
    except Exception as error:  # a broken package may make python-pptx raise anything
        raise _reason(error) from None


def _reason(error: Exception) -> ParseFailed:
    """Return why a deck cannot be read. Raises MemoryError where it was for want of memory."""
    if any(entry.type_name == "ERR_NO_MEMORY" for entry in getattr(error, "error_log", None) or ()):
        raise MemoryError
    if isinstance(error, SyntaxError):  # lxml's errors are such
        return ParseFailed("broken: a part of it is no sound XML")
    if isinstance(error, KeyError):
        return ParseFailed(f"broken: it lacks a part ({squash(str(error))[:100]})")
    return ParseFailed(f"broken: {squash(f'{type(error).__name__}: {error}')[:100]}")


def _opened(data: bytes) -> Any:
    """Return a deck as python-pptx opens it, shows and templates included, which its own front door refuses."""
    from pptx.opc.package import PartFactory
    from pptx.package import Package
    from pptx.parts.presentation import PresentationPart

    PartFactory.part_type_for.update(dict.fromkeys(_WITH_MACROS, PresentationPart))
    main = Package.open(io.BytesIO(data)).main_document_part
    if not isinstance(main, PresentationPart):
        raise ParseFailed("broken: it is no PowerPoint deck")
    return main.presentation


class _Deck:
    """A presentation that is being read."""

    def __init__(self, archive: Archive, data: bytes) -> None:
        self.archive = archive
        self.builder = Builder()
        self._presentation = _opened(data)
        self._layouts: dict[str, dict[int, _Placeholder]] = {}
        self._authors = self._comment_authors()

    def document(self) -> Document:
        sections = _sections(self._presentation.element)
        textless: list[int] = []
        hidden: list[int] = []
        seen: set[str] = set()
        listed = child(self._presentation.element, "sldIdLst")
        for entry in listed if listed is not None else ():
            slide = self._presentation.part.related_slide(related(entry))
            _refuse_entities(slide.element)
            if slide.part.partname in seen:
                continue
            seen.add(slide.part.partname)
            number = self.builder.page = len(seen)
            self.builder.leave(1)
            self.builder.heading(sections.get(entry.get("id"), ""), 1, shown=False)
            before = self.builder.size
            self._write_slide(slide)
            textless += [number] * (self.builder.size == before)
            hidden += [number] * (slide.element.get("show") in ("0", "false"))
            self._write_notes(slide)
            self._write_comments(slide)
        warnings = [f"{_slides(textless, 'has', 'have')} no text"] if textless else []
        warnings += [f"{_slides(hidden, 'is', 'are')} hidden, and read all the same"] if hidden else []
        return self.builder.document(title_of(self.archive), len(seen), warnings)

    def _write_slide(self, slide: Any) -> None:
        """Add the title of a slide, as a heading, and what its shapes show."""
        places = self._placeholders(slide.slide_layout)
        shapes = list(_in_reading_order(child(slide.element, "cSld", "spTree"), places))
        title = next((one for one in shapes if _role(one) in _TITLES and body_text(child(one, "txBody"))), None)
        if title is not None:
            self.builder.heading(body_text(child(title, "txBody")), 2)
        for shape in shapes:
            if shape is not title and _role(shape) not in _FURNITURE:
                self._write_shape(shape, slide.part, places)

    def _write_shape(self, shape: Any, part: Any, places: dict[int, _Placeholder]) -> None:
        body, graphic = child(shape, "txBody"), child(shape, "graphic", "graphicData")
        if body is not None:
            place = places.get(_index(shape)) if _role(shape) in _BODIES else None
            inherited = frozenset(_LEVELS) if place is None else place.bullets
            write_paragraphs(self.builder, body, _bullets(body, inherited) if _role(shape) in _BODIES else frozenset())
        for one in graphic if graphic is not None else ():
            if local(one) == "tbl":
                write_table(self.builder, one)
            elif local(one) == "chart" and (root := self._related(part, related(one))) is not None:
                write_chart(self.builder, root)
            elif local(one) == "relIds" and (root := self._related(part, attribute(one, "dm"))) is not None:
                write_diagram(self.builder, root)

    def _related(self, part: Any, name: str) -> Any:
        """Return the root of the part of the package that another names, or None."""
        relation = part.rels.get(name)
        if relation is None or relation.is_external:
            return None
        return self.archive.xml(relation.target_part.partname.lstrip("/"))

    def _roots(self, part: Any, kind: str) -> Iterator[Any]:
        for name, relation in part.rels.items():
            if relation.reltype.endswith(f"/{kind}"):
                yield self._related(part, name)

    def _write_notes(self, slide: Any) -> None:
        if not slide.has_notes_slide:
            return
        notes = slide.notes_slide.element
        _refuse_entities(notes)
        for shape in _in_reading_order(child(notes, "cSld", "spTree"), {}):
            body = child(shape, "txBody")
            if body is not None and _role(shape) == "body":
                for paragraph in body:
                    if local(paragraph) == "p":
                        self.builder.add(paragraph_text(paragraph), under=("Speaker notes",))

    def _write_comments(self, slide: Any) -> None:
        """Add a slide's comments and the replies to them, those of the old kind and of the new."""
        for root in self._roots(slide.part, "comments"):
            for one in root.iter() if root is not None else ():
                if local(one) not in ("cm", "reply"):
                    continue
                author = self._authors.get(one.get("authorId", ""), "")
                plain, body = child(one, "text"), child(one, "txBody")
                text = (plain.text or "") if plain is not None else body_text(body)
                self.builder.add(text, under=(f"Comment by {author}" if author else "Comment",))

    def _comment_authors(self) -> dict[str, str]:
        found = {}
        for kind in ("commentAuthors", "authors"):
            for root in self._roots(self._presentation.part, kind):
                for one in root if root is not None else ():
                    found[one.get("id", "")] = squash(one.get("name", ""))
        return found

    def _placeholders(self, layout: Any) -> dict[int, _Placeholder]:
        """Return the placeholders of a layout by their index, read once."""
        known = self._layouts.get(layout.part.partname)
        if known is None:
            known = self._layouts[layout.part.partname] = {
                one.placeholder_format.idx: _Placeholder(
                    one.top or 0, one.left or 0, _bullets(child(one.element, "txBody"), frozenset(_LEVELS))
                )
                for one in islice(layout.placeholders, _MAX_PLACEHOLDERS)
            }
        return known


def _refuse_entities(element: Any) -> None:
    if element.getroottree().docinfo.internalDTD is not None:
        raise ParseFailed("its XML declares entities, which may be a bomb")


def _sections(presentation: Any) -> dict[str, str]:
    """Return the names of the sections that slides lie in, by the slides' ids."""
    return {
        entry.get("id"): section.get("name", "")
        for section in presentation.iter()
        if local(section) == "section"
        for entry in section.iter()
        if local(entry) == "sldId"
    }


def _in_reading_order(tree: Any, places: dict[int, _Placeholder]) -> Iterator[Any]:
    """Yield the shapes of a tree from top to bottom, those side by side from left to right.

    What is grouped stands where the group stands. Groups may lie in groups as deep as XML allows.
    """
    stack = [iter(_ordered(tree, places))]
    while stack:
        shape = next(stack[-1], None)
        if shape is None:
            stack.pop()
        elif local(shape) == "grpSp":
            stack.append(iter(_ordered(shape, places)))
        else:
            yield shape


def _ordered(group: Any, places: dict[int, _Placeholder]) -> list[Any]:
    """Return the shapes that lie directly in a group, in reading order."""
    placed: list[tuple[int, int, Any]] = []
    top = left = 0  # a shape that stands nowhere stands where the one before it does
    for one in group if group is not None else ():
        shape = one
        if local(one) == "AlternateContent":  # the first choice is what today's programs show
            choice = child(one, "Choice")
            shape = next(iter(choice), None) if choice is not None else None
        if shape is None or local(shape) not in ("sp", "grpSp", "graphicFrame"):
            continue
        top, left = _place(shape, places) or (top, left)
        placed.append((top, left, shape))
    placed.sort(key=lambda one: one[0])
    lines: list[list[tuple[int, int, Any]]] = []
    for found in placed:
        if lines and found[0] - lines[-1][0][0] < _SAME_LINE:
            lines[-1].append(found)
        else:
            lines.append([found])
    return [shape for line in lines for _, _, shape in sorted(line, key=lambda one: one[1])]


def _place(shape: Any, places: dict[int, _Placeholder]) -> tuple[int, int] | None:
    """Return the top and left of a shape, its own or its placeholder's, in the units of its group."""
    frames = [child(shape, "spPr", "xfrm"), child(shape, "grpSpPr", "xfrm"), child(shape, "xfrm")]
    corner = next((child(frame, "off") for frame in frames if frame is not None), None)
    if corner is not None:
        try:
            return int(corner.get("y", "0")), int(corner.get("x", "0"))
        except ValueError:
            return None
    place = places.get(_index(shape)) if _role(shape) else None
    return None if place is None else (place.top, place.left)


def _mark(shape: Any) -> Any:
    """Return the element that makes a shape a placeholder, or None."""
    for name in ("nvSpPr", "nvGraphicFramePr"):
        if (mark := child(shape, name, "nvPr", "ph")) is not None:
            return mark
    return None


def _role(shape: Any) -> str:
    """Return what kind of placeholder a shape is, "" where it is none."""
    mark = _mark(shape)
    return "" if mark is None else mark.get("type", "obj")


def _index(shape: Any) -> int:
    mark = _mark(shape)
    index = "0" if mark is None else mark.get("idx", "0")
    return int(index) if index.isdecimal() and len(index) < 11 else -1


def _bullets(body: Any, inherited: frozenset[int]) -> frozenset[int]:
    """Return the levels on which the paragraphs of a text body have bullets where they do not say."""
    styles = child(body, "lstStyle") if body is not None else None
    if styles is None:
        return inherited
    own = {level: bullet_of(child(styles, f"lvl{level + 1}pPr")) for level in _LEVELS}
    return frozenset(level for level, bullet in own.items() if bullet != "buNone" and (bullet or level in inherited))


def _slides(numbers: Sequence[int], one: str, many: str) -> str:
    """Return "slide 3 has" or "slides 3, 5 have"."""
    named = ", ".join(map(str, numbers[:_MAX_NAMED])) + (" ..." if len(numbers) > _MAX_NAMED else "")
    return f"slide {named} {one}" if len(numbers) == 1 else f"slides {named} {many}"
