"""Write what the documentation says of the code: commands, settings, formats, exit codes, errors, and the file tree.

    python scripts/write_docs.py

A test fails where the committed files are not what this script writes.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402

from ragcli import errors, formats, settings  # noqa: E402
from ragcli.cli.app import app  # noqa: E402

NOTE = "<!-- Written by scripts/write_docs.py (`make docs`). Change the code, not this file. -->"
WIDTH = 100
_SENTENCE_END = re.compile(r"(?<=[.?])\s+(?=[A-Z`])")
EXIT_CODES = {
    0: "done",
    1: "done in part: files failed, or a given path is missing while others exist; or `doctor` found something",
    2: "wrong usage or settings; no given path exists; a bad batch file",
    3: "`ask` abstained: the documents do not answer. Its JSON is complete all the same",
    4: "the index is missing, locked, damaged, newer than this program, or built with another encoder",
    5: "a model is missing, bad, or failed, or could not be fetched",
    130: "interrupted",
}


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command's whole name and its help, in the order in which `ragcli --help` lists them."""
    yield from _helps(typer.main.get_command(app), "ragcli", None)


def _helps(command: Any, name: str, parent: typer.Context | None) -> Iterator[tuple[str, str]]:
    # A width of our own: otherwise the pages would depend on the terminal in which they are written.
    context = typer.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield context.command_path, command.get_help(context)
    for child, one in getattr(command, "commands", {}).items():
        yield from _helps(one, child, context)


def commands_page() -> str:
    """Return docs/commands.md."""
    parts = [
        "# Commands",
        NOTE,
        "Results go to stdout; progress, warnings, hints and logs go to stderr. Options come after the command's\n"
        "name. Each text below is what `--help` prints; what `--json` prints is described in [json.md](json.md).",
    ]
    for name, text in commands():
        parts.append(f"## {name}\n\n```text\n{text.strip()}\n```")
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    parts.append(f"## Exit codes\n\n| code | meaning |\n|---|---|\n{rows}")
    parts.append(
        "An error is one line on stderr that says what is wrong, and a `hint:` line with the next command. A\n"
        "traceback is shown only with `--debug`."
    )
    drawing = textwrap.dedent(inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1])
    parts.append(f"## Errors\n\nIn the library, each is a class of `ragcli.errors`:\n\n```text\n{drawing}\n```")
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    """Return docs/settings.md."""
    rows = []
    for field in settings.FIELDS:
        default = (
            str(field.default).lower() if field.type is bool else field.default if field.default != "" else "empty"
        )
        project = "yes" if field.project else "no"
        rows.append(f"| `{field.name}` | {default} | `{field.variable}` | {project} | {field.help} |")
    table = "\n".join(
        ["| setting | default | variable | project file | what it does |", "|---|---|---|---|---|", *rows]
    )
    return f"""# Settings

{NOTE}

A flag wins over a `RAGCLI_*` variable, that over the project's `{settings.PROJECT_FILE}`, that over the user's
`{settings.USER_FILE}`, and that over the default. `ragcli config show` prints every value and where it comes from,
`ragcli config path` the files, and `ragcli config set NAME VALUE` writes the user's.

{table}

`RAGCLI_HOME` names the folder of models, the user's settings and the user's own index; without it, that is the
platform's folder for user data. `NO_COLOR` is honoured.

A project file lies beside `{settings.INDEX_FOLDER}/` and may have come with somebody else's repository. It can
therefore set only what is marked above, name models only as the model store knows them, and keep the index only inside
the project.
"""


def tree() -> str:
    """Return the package's files, each with the first sentence of its docstring."""
    lines = []
    package = ROOT / "ragcli"
    for path in sorted(package.rglob("*.py"), key=lambda p: (p.parent != package, p.parent, p.name)):
        if path.name.startswith("__"):
            continue
        name = path.relative_to(package).as_posix()
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        first = " ".join(doc.partition("\n\n")[0].split())
        lines.append(f"{name:26} {_SENTENCE_END.split(first, maxsplit=1)[0].rstrip('.')}")
    return "\n".join(lines)


def formats_table() -> str:
    """Return the table of formats: what is read, by its suffixes, and what is kept of it."""
    rows = []
    for one in formats.FORMATS:
        shown, more = one.suffixes[:5], len(one.suffixes) - 5
        suffixes = " ".join(f"`{suffix}`" for suffix in shown) + (f" and {more} more" if more > 0 else "")
        rows.append(f"| {one.label} | {suffixes} | {one.kept} | {one.left_out} |")
    return "\n".join(["| format | files | what is kept | what is not |", "|---|---|---|---|", *rows])


def suffixes_list() -> str:
    """Return every suffix of every format."""
    lines = (f"- {one.label}: {' '.join(f'`{suffix}`' for suffix in one.suffixes)}" for one in formats.FORMATS)
    groups: dict[str, list[str]] = {}
    for suffix, advice in formats.UNREAD.items():
        groups.setdefault(advice, []).append(f"`{suffix}`")
    unread = ", ".join(f"{' '.join(suffixes)} ({advice})" for advice, suffixes in groups.items())
    return "\n".join(lines) + f"\n\nNot read, and said so: {unread}."


def renewed(path: Path, **parts: str) -> str:
    """Return a page with what stands between the markers of each part, `<!-- name -->`, renewed."""
    text = path.read_text("utf-8")
    for name, part in parts.items():
        before, start, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        text = f"{before}{start}\n{part}\n{end}{after}"
    return text


def pages() -> dict[Path, str]:
    """Return every file that this script writes, with what it should hold."""
    return {
        ROOT / "docs" / "commands.md": commands_page(),
        ROOT / "docs" / "settings.md": settings_page(),
        ROOT / "docs" / "formats.md": renewed(
            ROOT / "docs" / "formats.md", formats=formats_table(), suffixes=suffixes_list()
        ),
        ROOT / "README.md": renewed(ROOT / "README.md", formats=formats_table(), tree=f"```text\n{tree()}\n```"),
    }


def main() -> None:
    """Write the files that are not up to date."""
    for path, text in pages().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
