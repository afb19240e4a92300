"""PowerPoint decks -> Document: slides as pages under their titles, shapes in reading order, notes and comments.

Read without python-pptx, which takes no deck of which one part is broken, no Strict Open XML and no slide shows, and
knows neither alternate content, diagrams nor comments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.archive import Archive
from ragcli.parsing.building import Builder, squash
from ragcli.parsing.office.package import (
    Relation,
    attribute,
    child,
    local,
    main_part,
    open_package,
    related,
    relations,
    title_of,
)
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
_SAME_LINE = 228_600  # a quarter of an inch, in EMU: shapes whose tops differ by less stand side by side
_LEVELS = range(9)
_MAX_NAMED = 10
_MAX_PLACEHOLDERS = 200


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """What a slide takes from its layout: where the placeholder stands, and which levels of its text have bullets."""

    top: int
    left: int
    bullets: frozenset[int]


def parse_pptx(data: bytes) -> Document:
    """Read the slides of a deck, hidden ones included, each with its speaker notes and comments.

    Slides, and parts beside them, that cannot be read are left out with a warning. Raises ParseFailed where the file is
    broken, locked, a ZIP bomb, or without text.
    """
    return _Deck(open_package(data, ".ppt", ".pptx")).document()


class _Deck:
    """A presentation that is being read."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.builder = Builder()
        part = main_part(archive, "ppt/presentation.xml")
        self._presentation = archive.xml(part)
        if local(self._presentation) != "presentation":
            raise ParseFailed("broken: it is no PowerPoint deck")
        self._layouts: dict[str, dict[int, _Placeholder]] = {}
        self._unread: dict[str, str] = {}
        self._relations = relations(archive, part)
        self._authors = {
            one.get("id", ""): squash(one.get("name", ""))
            for kind in ("commentAuthors", "authors")
            for root in self._roots(self._relations, kind)
            for one in root
        }

    def document(self) -> Document:
        sections = _sections(self._presentation)
        textless: list[int] = []
        hidden: list[int] = []
        broken: list[tuple[int, ParseFailed]] = []
        seen: set[str] = set()
        listed = child(self._presentation, "sldIdLst")
        for entry in listed if listed is not None else ():
            part = self._part(self._relations, related(entry))
            if part in seen:
                continue
            seen.add(part)
            number = self.builder.page = len(seen)
            self.builder.leave(1)
            self.builder.heading(sections.get(entry.get("id"), ""), 1, shown=False)
            try:
                slide = self.archive.xml(part)
            except ParseFailed as error:
                broken.append((number, error))
                continue
            below = self._below(part)
            before = self.builder.size
            self._write_slide(slide, below)
            textless += [number] * (self.builder.size == before)
            hidden += [number] * (slide.get("show") in ("0", "false"))
            self._write_notes(below)
            self._write_comments(below)
        if broken and not self.builder.size:
            raise broken[0][1]
        warnings = [f"slide {number} was not read ({error.message})" for number, error in broken]
        warnings += [f"a part could not be read ({message})" for message in self._unread.values()]
        warnings += [f"{_slides(textless, 'has', 'have')} no text"] if textless else []
        warnings += [f"{_slides(hidden, 'is', 'are')} hidden, and read all the same"] if hidden else []
        return self.builder.document(title_of(self.archive), len(seen), warnings)

    def _write_slide(self, slide: Any, below: dict[str, Relation]) -> None:
        """Add the title of a slide, as a heading, and what its shapes show. `below` is what the slide names."""
        places = self._placeholders(below)
        shapes = list(_in_reading_order(child(slide, "cSld", "spTree"), places))
        title = next((one for one in shapes if _role(one) in _TITLES and body_text(child(one, "txBody"))), None)
        if title is not None:
            self.builder.heading(body_text(child(title, "txBody")), 2)
        for shape in shapes:
            if shape is not title and _role(shape) not in _FURNITURE:
                self._write_shape(shape, below, places)

    def _write_shape(self, shape: Any, below: dict[str, Relation], places: dict[int, _Placeholder]) -> None:
        body, graphic = child(shape, "txBody"), child(shape, "graphic", "graphicData")
        if body is not None:
            place = places.get(_index(shape)) if _role(shape) in _BODIES else None
            inherited = frozenset(_LEVELS) if place is None else place.bullets
            write_paragraphs(self.builder, body, _bullets(body, inherited) if _role(shape) in _BODIES else frozenset())
        for one in graphic if graphic is not None else ():
            if local(one) == "tbl":
                write_table(self.builder, one)
            elif local(one) == "chart" and (root := self._root(self._part(below, related(one)))) is not None:
                write_chart(self.builder, root)
            elif local(one) == "relIds" and (root := self._root(self._part(below, attribute(one, "dm")))) is not None:
                write_diagram(self.builder, root)

    def _part(self, below: dict[str, Relation], id: str) -> str:
        """Return the name of the part that has this relationship; its id where there is none."""
        return below[id].part if id in below else id

    def _below(self, part: str) -> dict[str, Relation]:
        """Return what a part names; nothing, and a warning, where that cannot be read."""
        try:
            return relations(self.archive, part)
        except ParseFailed as error:
            self._unread[part] = error.message
            return {}

    def _root(self, part: str) -> Any:
        """Return the root of a part that a slide can do without; None, and a warning, where it cannot be read."""
        try:
            return self.archive.xml(part)
        except ParseFailed as error:
            self._unread[part] = error.message
            return None

    def _roots(self, below: dict[str, Relation], kind: str) -> Iterator[Any]:
        for relation in below.values():
            if relation.kind == kind and (root := self._root(relation.part)) is not None:
                yield root

    def _write_notes(self, below: dict[str, Relation]) -> None:
        for notes in self._roots(below, "notesSlide"):
            for shape in _in_reading_order(child(notes, "cSld", "spTree"), {}):
                body = child(shape, "txBody")
                if body is not None and _role(shape) == "body":
                    for paragraph in body:
                        if local(paragraph) == "p":
                            self.builder.add(paragraph_text(paragraph), under=("Speaker notes",))

    def _write_comments(self, below: dict[str, Relation]) -> None:
        """Add a slide's comments and the replies to them, those of the old kind and of the new."""
        for root in self._roots(below, "comments"):
            for one in root.iter():
                if local(one) not in ("cm", "reply"):
                    continue
                author = self._authors.get(one.get("authorId", ""), "")
                plain, body = child(one, "text"), child(one, "txBody")
                text = (plain.text or "") if plain is not None else body_text(body)
                self.builder.add(text, under=(f"Comment by {author}" if author else "Comment",))

    def _placeholders(self, below: dict[str, Relation]) -> dict[int, _Placeholder]:
        """Return the placeholders of a slide's layout by their index, read once."""
        part = next((relation.part for relation in below.values() if relation.kind == "slideLayout"), "")
        if part and part not in self._layouts:
            self._layouts[part] = self._layout(part)
        return self._layouts.get(part, {})

    def _layout(self, part: str) -> dict[int, _Placeholder]:
        """Read the placeholders of a layout; one that does not say where it is stands where its master's does."""
        root = self._root(part)
        if root is None:
            return {}
        corners = {
            _role(one): _place(one, {})
            for master in self._roots(self._below(part), "slideMaster")
            for one in _placed(master)
        }
        found: dict[int, _Placeholder] = {}
        for one in islice(_placed(root), _MAX_PLACEHOLDERS):
            usual = corners.get("title" if _role(one) in _TITLES else "body")
            top, left = _place(one, {}) or usual or (0, 0)
            found.setdefault(_index(one), _Placeholder(top, left, _bullets(child(one, "txBody"), frozenset(_LEVELS))))
        return found


def _placed(root: Any) -> Iterator[Any]:
    """Yield the placeholders of a layout or a master."""
    tree = child(root, "cSld", "spTree")
    return (one for one in tree if _role(one)) if tree is not None else iter(())


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
