"""Excel workbooks -> Document: sheets as sections, their rows under their header, comments at the end of each sheet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ragcli.errors import ParseFailed
from ragcli.parsing.building import Builder, squash
from ragcli.parsing.office.package import child, local, open_package, title_of
from ragcli.parsing.office.sheet_tables import write_rows
from ragcli.parsing.office.workbook import Sheet, Workbook
from ragcli.records import Document

_MAX_NAMED = 5
"""Sheets that a warning names."""


def parse_xlsx(data: bytes) -> Document:
    """Read what the cells of every worksheet show, hidden ones included.

    A formula's value is the one that the program stored. Of a sheet that is broken, the rows above the damage are read.
    Raises ParseFailed where the file is broken, locked, a ZIP bomb, or without text.
    """
    archive = open_package(data, ".xls", ".xlsx")
    book = Workbook(archive)
    builder = Builder()
    hidden: list[str] = []
    warnings: list[str] = []
    for sheet in book.sheets():
        rows = book.rows(sheet)
        first = next(rows, None)
        builder.leave(1)
        builder.heading(sheet.name, 1, shown=first is not None)
        if first is not None:
            write_rows(builder, chain([first], rows), sheet.merged, sheet.header_rows)
            hidden += [sheet.name] * sheet.hidden
        try:
            for author, cell, text in _comments(book, sheet):
                builder.add(text, under=(f"Comment by {author} on {cell}" if author else f"Comment on {cell}",))
        except ParseFailed:
            warnings.append(f"the comments of sheet {sheet.name} are broken")
    if hidden:
        more = f" and {len(hidden) - _MAX_NAMED} more" if len(hidden) > _MAX_NAMED else ""
        named = f"{', '.join(hidden[:_MAX_NAMED])}{more}"
        one = len(hidden) == 1
        warnings.insert(
            0, f"{'sheet' if one else 'sheets'} {named} {'is' if one else 'are'} hidden, and read all the same"
        )
    if book.bare_formulas:
        formulas = "1 formula has" if book.bare_formulas == 1 else f"{book.bare_formulas} formulas have"
        warnings.append(f"{formulas} no stored value; the formula stands in its place")
    if book.failures and not builder.size:
        raise book.failures[0][1]
    warnings += [f"sheet {name} was not read to its end ({error.message})" for name, error in book.failures]
    return builder.document(title_of(archive), warnings=warnings)


def _comments(book: Workbook, sheet: Sheet) -> Iterator[tuple[str, str, str]]:
    """Yield author, cell and text of a sheet's comments: the threads, and the notes that are no copies of them."""
    people = _people(book)
    for relation in sheet.relations.values():
        if relation.kind == "threadedComment":
            for comment in book.archive.xml(relation.part):
                text = child(comment, "text")
                if text is not None and text.text:
                    yield people.get(comment.get("personId") or "", ""), squash(comment.get("ref") or ""), text.text
        elif relation.kind == "comments":
            yield from _notes(book, relation.part)


def _notes(book: Workbook, part: str) -> Iterator[tuple[str, str, str]]:
    root = book.archive.xml(part)
    listed = child(root, "authors")
    authors = {str(at): one.text or "" for at, one in enumerate(listed if listed is not None else ())}
    notes = child(root, "commentList")
    for note in notes if notes is not None else ():
        author = authors.get(note.get("authorId") or "", "")
        if author.startswith("tc="):  # a thread, once more, for programs that know no threads
            continue
        text = "".join(one.text or "" for one in note.iter() if local(one) == "t")
        yield author, squash(note.get("ref") or ""), text


def _people(book: Workbook) -> dict[str, str]:
    return {
        person.get("id") or "": squash(person.get("displayName") or "")
        for relation in book.relations.values()
        if relation.kind == "person" and relation.part in book.archive
        for person in book.archive.xml(relation.part)
    }
