"""The formats that are read: the suffixes of each, and what is kept of it.

The tables of README.md and docs/formats.md are made from this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ragcli.records import Format


@dataclass(frozen=True, slots=True)
class FormatInfo:
    """One format. `kept` says what of a file is found afterwards, `left_out` what is not.

    `version` counts up when its parser reads files differently: a file that an older one read is read again.
    """

    name: Format
    label: str
    suffixes: tuple[str, ...]
    kept: str
    left_out: str = ""
    version: int = 1


FORMATS: tuple[FormatInfo, ...] = (
    FormatInfo(
        "markdown",
        "Markdown",
        (".md", ".markdown", ".mdown", ".mkd"),
        "headings, lists, tables with their header row, code, front matter",
        version=2,
    ),
    FormatInfo(
        "text",
        "plain text",
        (".txt", ".text", ".log", ".org", ".adoc", ".tex", ".srt", ".vtt"),
        "paragraphs and lists, in any usual encoding",
        version=2,
    ),
    FormatInfo(
        "rst",
        "reStructuredText",
        (".rst", ".rest"),
        "headings, lists, tables with their header row, code, notes, comments",
        version=2,
    ),
    FormatInfo(
        "html",
        "web pages",
        (".html", ".htm", ".xhtml"),
        "headings, paragraphs, lists, tables with their header row, code",
        "menus, footers, scripts, hidden text",
        version=2,
    ),
    FormatInfo(
        "pdf",
        "PDF",
        (".pdf",),
        "pages and their labels, headings of the outline or by type, columns in order, tables as rows, filled forms, "
        "comments",
        "running headers and footers, page numbers, garbled pages, pictures",
        version=4,
    ),
    FormatInfo(
        "docx",
        "Word",
        (".docx", ".docm", ".dotx", ".dotm"),
        "headings, lists with their numbers, tables with their header row, charts, diagrams, text boxes, notes, "
        "comments, page headers, filled forms",
        "pictures, macros, hidden text, what tracked changes deleted",
        version=2,
    ),
    FormatInfo(
        "odt",
        "OpenDocument text",
        (".odt", ".ott"),
        "headings, lists with their numbers, tables with their header row, text boxes, notes, comments, page headers",
        "pictures, formulas, hidden text, what tracked changes deleted",
    ),
    FormatInfo(
        "pptx",
        "PowerPoint",
        (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"),
        "slides as pages, titles, lists, tables, charts, diagrams, speaker notes, comments",
        "pictures, slide numbers and footers, embedded files, macros",
    ),
    FormatInfo(
        "xlsx",
        "Excel",
        (".xlsx", ".xlsm", ".xltx", ".xltm"),
        "sheets by name, rows with their header, values as they are shown, comments",
        "charts, text boxes, pictures, external links, macros",
    ),
    FormatInfo("csv", "CSV and TSV", (".csv", ".tsv"), "rows with their header, title lines above it", version=3),
    FormatInfo(
        "epub",
        "EPUB",
        (".epub",),
        "title, authors, chapters in reading order with their headings or the titles of the navigation",
        "pictures, the navigation itself, numbers of printed pages",
        version=3,
    ),
    FormatInfo(
        "mail",
        "e-mail",
        (".eml",),
        "subject, sender, recipients, date, text, invitations, attachments of any format here, attached messages",
        "pictures, archives, the HTML version of a text that is also plain",
        version=3,
    ),
    FormatInfo("mbox", "mailboxes", (".mbox",), "every message as e-mail is read, under its subject", version=3),
    FormatInfo(
        "notebook",
        "Jupyter notebooks",
        (".ipynb",),
        "text with its headings, code cells, text output and errors",
        "pictures, other rich output",
        version=2,
    ),
    FormatInfo(
        "json",
        "JSON",
        (".json", ".jsonl", ".ndjson"),
        "records, under the keys above them and their own names",
        version=2,
    ),
    FormatInfo(
        "code",
        "source code",
        (
            *(".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".java", ".kt", ".scala", ".c", ".h", ".cc"),
            *(".cpp", ".hpp", ".cs", ".go", ".rs", ".rb", ".php", ".swift", ".m", ".lua", ".pl", ".r", ".jl"),
            *(".sh", ".bash", ".zsh", ".ps1", ".bat", ".sql", ".css", ".scss", ".vue", ".svelte", ".proto"),
            *(".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".properties", ".xml"),
        ),
        "functions, classes and sections as headings where the language is known, else paragraphs",
        version=3,
    ),
)

BY_SUFFIX: dict[str, FormatInfo] = {suffix: one for one in FORMATS for suffix in one.suffixes}
VERSIONS: dict[str, int] = {one.name: one.version for one in FORMATS}
"""The version of what reads each format. What an older one read, or failed to read, is read again."""

_ADVICE: dict[str, tuple[str, ...]] = {
    "save it as .docx": (".doc", ".dot", ".rtf", ".wps", ".wpd"),
    "save it as .xlsx": (".xls", ".xlt", ".xlsb", ".ods", ".ots", ".fods", ".et"),
    "save it as .pptx": (".ppt", ".pps", ".pot", ".odp", ".otp", ".fodp", ".dps"),
    "save it as .odt": (".fodt", ".sxw"),
    "save it as .eml": (".msg",),
    "save it as .html": (".mht", ".mhtml"),
    "export it as .docx": (".pages", ".one"),
    "export it as .xlsx": (".numbers",),
    "export it as .pptx": (".key",),
    "export it as .pdf": (".odg", ".vsd", ".vsdx", ".pub", ".xps", ".oxps", ".djvu"),
    "convert it to .mbox": (".pst",),
    "convert it to .epub": (".mobi", ".azw3"),
}
UNREAD: dict[str, str] = {suffix: advice for advice, suffixes in _ADVICE.items() for suffix in suffixes}
"""Suffixes of documents that are not read, and what their owner can do."""
SHARED: frozenset[str] = frozenset((".dot", ".key", ".numbers", ".one", ".pages", ".pot", ".pub"))
"""Those of them that text files have, too (graphs, keys, translations, lists). Where it is text, it is read."""
