"""The elements of a web page: which are hidden, or by their tag or name no content, and what text stands in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
BREAKS = HEADINGS.union(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt"),
    ("fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "li", "main", "menu", "ol", "p", "section"),
    ("summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
)
_SCRIPTS = (
    "//head|//script|//style|//noscript|//template|//svg|//iframe|//object|//audio|//video|//canvas"
    "|//*[@role='doc-pagebreak' or @*[name()='epub:type']='pagebreak']"  # the number of a printed book's page
    "|//rt|//rp"  # how a word is read aloud, written over each of its characters
    "|//a[starts-with(normalize-space(), '↩')]|//*[@class='mw-editsection']"
    "|//*[contains(concat(' ', normalize-space(@class), ' '), ' linenos ')]"  # the numbers of a listing's lines
)
_FURNITURE = (
    "//a[normalize-space()='¶' or normalize-space()='#']"
    "|//nav|//select|//textarea|//*[@role='navigation' or @role='menu' or @role='menubar' or @role='search']"
    "|//*[@role='contentinfo']|//footer[not(ancestor::article or ancestor::main or ancestor::section)]"
    "|//button[not(ancestor::h1 or ancestor::h2 or ancestor::h3 or ancestor::h4 or ancestor::dt or ancestor::summary)]"
    "|//*[@aria-hidden='true'][not(self::figcaption or .//p or .//h1 or .//main)]"
)
_NAME = re.compile(
    r"(?!has|with|no-)(?:\S*[-_])?(?:nav|navbar|navigation|\S*menu|\S*sidebar|footer|header|cookies?|consent|crumbs?|"
    r"breadcrumbs?|share|sharing|social|related|pag(?:er|ination)|toc|banner|newsletter|comments?|ads?|promo)(?:[-_]\S*)?",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?:\S*[-_])?(?:header|banner)(?:[-_]\S*)?", re.IGNORECASE)
_SECTION = re.compile(r"section|(?:level|outline-)\d")  # classes of docutils', pandoc's and Org's sections
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def clean(root: Any, *, whole: bool) -> Any:
    """Remove scripts, furniture unless the `whole` page is content, and what is hidden. Return the root.

    Where most of the page is hidden, a script shows it. What has a tab or a button of its own is shown on demand, and
    formulas are hidden behind their pictures. All of that stays.
    """
    from lxml import etree

    on_demand = {name for names in root.xpath("//@aria-controls") for name in names.split()}
    _drop(root, root.xpath(_SCRIPTS if whole else f"{_SCRIPTS}|{_FURNITURE}"))
    hidden: list[Any] = []
    walk = etree.iterwalk(root, events=("start",))
    for _, element in walk:
        if element.get("hidden", "until-found") == "until-found" and not _HIDDEN.search(element.get("style") or ""):
            continue
        shown = element.get("role") == "tabpanel" or element.get("id") in on_demand
        if not shown and next(element.iter("math"), None) is None:
            hidden.append(element)
            walk.skip_subtree()
    if sum(size_of(element) for element in hidden) * 2 <= size_of(root):
        _drop(root, hidden)
    return root


def _drop(root: Any, elements: Sequence[Any]) -> None:
    """Remove elements, not what follows them. Not by drop_tree(), which refuses text with control characters."""
    from lxml import etree

    for element in elements:
        element.tag = "dropped"
    etree.strip_elements(root, "dropped", with_tail=False)


def named_elements(root: Any) -> frozenset[Any]:
    """Return the elements whose tag, class or id says that they are furniture, if they hold less than half the text."""
    from lxml import etree

    named: list[tuple[Any, int]] = []
    sizes = [0]
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            sizes.append(len(element.text or ""))
            continue
        size = sizes.pop()
        sizes[-1] += size + len(element.tail or "")
        if _is_furniture(element):
            named.append((element, size))
    return frozenset(element for element, size in named if size * 2 < sizes[0])


def _is_furniture(element: Any) -> bool:
    """Tell whether an element's tag, class or id says that it is no content.

    What holds the title of the page is content, whatever it is called, and so is a section whose id was made from its
    own heading ("related-work"). trafilatura goes by the same words, so that its opinion would be no second sign.
    """
    if element.tag in HEADINGS or (is_header(element) and next(element.iter("h1"), None) is not None):
        return False
    if element.get("role") in ("doc-endnotes", "doc-footnote"):  # pandoc puts notes into an aside
        return False
    if element.tag in ("header", "aside", "footer"):
        return True
    return any(_NAME.fullmatch(name) for name in (classes(element) if _is_section(element) else _names(element)))


def is_header(element: Any) -> bool:
    """Tell whether an element says that it is the head of a page, in which a title may stand, or of a part of one."""
    return element.tag == "header" or any(_HEADER.fullmatch(name) for name in _names(element))


def _is_section(element: Any) -> bool:
    """Tell whether an element opens with its own heading, and its id is that heading's or it is called a section."""
    if not element.get("id") or (element.text or "").strip():
        return False
    for child in element:
        if child.tag in HEADINGS:
            made = _letters(element.get("id")[:500]) == _letters("".join(islice(child.itertext(), 100)))
            return made or any(_SECTION.fullmatch(name) for name in classes(element))
        if len(child) or f"{child.text or ''}{child.tail or ''}".strip():  # what is empty is a target of links
            return False
    return False


def classes(element: Any) -> list[str]:
    """Return the classes of an element, within bounds."""
    return str(element.get("class") or "")[:500].split()


def _names(element: Any) -> list[str]:
    return [*classes(element), *str(element.get("id") or "")[:500].split()]


def text_of(element: Any) -> str:
    """Return the text of an element; what stands in different lines or boxes is kept apart."""
    from lxml import etree

    parts: list[str] = []
    for event, inner in etree.iterwalk(element, events=("start", "end")):
        if inner.tag in BREAKS or inner.tag == "br":
            parts.append(" ")
        if event == "start":
            parts.append(inner.text or "")
        elif inner is not element:
            parts.append(inner.tail or "")
    return "".join(parts)


def size_of(element: Any) -> int:
    """Return how much text an element holds. White space, with which pages are laid out, does not count."""
    return len(key(text_of(element)))


def key(text: str) -> str:
    """Return the letters and digits of a text, which stay the same however it is laid out."""
    return "".join(filter(str.isalnum, text))


def _letters(text: str) -> str:
    """Return what a heading shares with the id made from it: not its number, nor that of the id."""
    return "".join(filter(str.isalpha, text)).casefold()
