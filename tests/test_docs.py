"""The documentation says what is so: generated pages, commands in examples, JSON, links."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from shared import ROOT
from tiny_gguf import build

from ragcli import errors
from ragcli.cli.app import app, run
from ragcli.settings import BY_NAME

PAGES = sorted(path for folder in (ROOT, ROOT / "docs", ROOT / "benchmarks" / "peers") for path in folder.glob("*.md"))
WRITTEN = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
ROOT_COMMAND: Any = typer.main.get_command(app)
QUOTED = re.compile(r'"(\w+)"(?=\s*[:,}\]])')


def commands(command: Any = ROOT_COMMAND, name: str = "ragcli") -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with its whole name."""
    children = getattr(command, "commands", {})
    if not children:
        yield name, command
    for child, one in children.items():
        yield from commands(one, f"{name} {child}")


def sections() -> dict[str, str]:
    """Return the text below each heading of docs/json.md; one that stands right above another shares its text."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for part in WRITTEN["docs/json.md"].split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        waiting.append(title)
        if text.strip():
            found |= dict.fromkeys(waiting, text)
            waiting = []
    return found


# --- what is generated ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def write_docs() -> Any:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import write_docs as module
    finally:
        sys.path.pop(0)
    return module


def test_generated_pages_are_up_to_date(write_docs: Any) -> None:
    stale = [path.name for path, text in write_docs.pages().items() if path.read_text("utf-8") != text]
    assert not stale, "run `make docs`"


def test_the_generated_pages_do_not_depend_on_the_terminal(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path[:0] = [{str(ROOT / "scripts")!r}]
import write_docs
sys.stdout.buffer.write(write_docs.commands_page().encode())
"""
    narrow = {"COLUMNS": "40", "TERMINAL_WIDTH": "40", "FORCE_COLOR": "1", "GITHUB_ACTIONS": "true", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=narrow, cwd=tmp_path, check=True)
    assert done.stdout.decode() == WRITTEN["docs/commands.md"]


def test_every_command_and_option_is_in_the_commands_page() -> None:
    for name, command in commands():
        text = WRITTEN["docs/commands.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert text, name
        assert all(option in text for parameter in command.params for option in parameter.opts if option[0] == "-")


def test_the_exit_codes_are_those_of_the_errors(write_docs: Any) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RagcliError)]
    assert {kind.exit_code for kind in kinds} <= set(write_docs.EXIT_CODES)
    assert all(kind.__name__ in WRITTEN["docs/commands.md"] for kind in kinds)


def test_every_setting_is_in_the_settings_page() -> None:
    assert all(f"`{f.name}`" in WRITTEN["docs/settings.md"] for f in BY_NAME.values())


# --- what is written by hand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", WRITTEN)
def test_relative_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", WRITTEN[page]):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M) if anchor else []
        anchors = [re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, target


@pytest.mark.parametrize("page", WRITTEN)
def test_files_that_are_named_are_there(page: str) -> None:
    named = re.findall(r"`((?:benchmarks|docs|ragcli|sample_docs|scripts|tests)/[\w./-]*)", WRITTEN[page])
    assert [name for name in named if not (ROOT / name).exists()] == []


def shell_lines(text: str) -> Iterator[str]:
    """Yield the command lines of a page: indented or fenced lines that begin with `ragcli`, and code in a sentence."""
    for block in re.findall(r"^(?:    .+\n?)+", text, re.M):
        yield from block.splitlines()
    for fenced in re.findall(r"^```.*?\n(.*?)^```", text, re.M | re.S):
        yield from fenced.splitlines()
    yield from re.findall(r"`(ragcli [^`]+)`", text)


def ragcli_calls(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each `ragcli` command line. Spelled-out alternatives (`a|b`) and `...` are no calls."""
    for line in shell_lines(text):
        line = re.sub(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?", "", line)
        if re.match(r"ragcli [a-z-]", line) and "..." not in line and not re.search(r"\w\|\w", line):
            yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", [page for page in WRITTEN if page != "docs/commands.md"])
def test_command_lines_are_accepted(page: str) -> None:
    """Parse each as the command line would, and run nothing. A command alone (`ragcli ask`) is only looked up."""
    for arguments in ragcli_calls(WRITTEN[page]):
        command, context = ROOT_COMMAND, typer.Context(ROOT_COMMAND, info_name="ragcli")
        if arguments[0].startswith("-"):
            options = {option for parameter in command.get_params(context) for option in parameter.opts}
            assert arguments[0] in options | {"--help"}, arguments
            continue
        while arguments and getattr(command, "commands", None):
            assert arguments[0] in command.commands, arguments
            command = command.commands[arguments[0]]
            context = typer.Context(command, info_name=arguments.pop(0), parent=context)
        if arguments:
            command.parse_args(context, arguments)


def test_there_are_command_lines_to_check() -> None:
    assert sum(1 for _ in ragcli_calls(WRITTEN["README.md"])) > 10
    assert sum(1 for _ in ragcli_calls(WRITTEN["README.zh.md"])) > 5


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_two_commands(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("demo", "test"):
        assert f"    make {target}\n" in WRITTEN[page]
        assert re.search(rf"^{target}:", makefile, re.M)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = [re.split(r"[\[<>=~! ]", dependency)[0] for dependency in wanted]
    assert [name for name in names if f"| `{name}` |" not in WRITTEN["docs/decisions.md"]] == []


def test_every_benchmark_is_described() -> None:
    scripts = [path.name for path in (ROOT / "benchmarks").glob("*.py")]
    assert [name for name in scripts if f"`{name}" not in WRITTEN["docs/benchmarks.md"]] == []


# --- JSON ----------------------------------------------------------------------------------------------------------


def test_json_of_every_command_is_described() -> None:
    with_json = {name for name, command in commands() if any("--json" in p.opts for p in command.params)}
    assert with_json == sections().keys() - {"HIT"}


def keys(value: Any) -> set[str]:
    """Return every name in a JSON value, but for those of settings."""
    if isinstance(value, dict):
        return (value.keys() - BY_NAME.keys() if "encoder" in value and "jobs" in value else set(value)).union(
            *map(keys, value.values())
        )
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def described(section: str) -> set[str]:
    """Return every name in the first block of a section of docs/json.md, and those of a HIT where it holds one."""
    block = re.split(r"^```\w*$", sections()[section], flags=re.M)[1]
    return set(QUOTED.findall(block)) | (described("HIT") if "HIT" in block else set())


def test_json_is_as_described(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run every command in this process, which is quicker than 19 of its own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "manuals"
    folder.mkdir()
    (folder / "pump.md").write_text("# Pump\n\nThe pump holds 12 litres of oil.\n", "utf-8")
    (folder / "copy.md").write_text("# Pump\n\nThe pump holds 12 litres of oil.\n", "utf-8")
    (folder / "empty.md").write_text("", "utf-8")
    (folder / "image.md").write_bytes(bytes(range(256)) * 4)
    (folder / "old.txt").write_bytes("Prüfung der Größe, der Höhe und des Öls".encode("cp1252"))
    (folder / "sheet.xlsx").write_bytes(b"PK")
    model = build(tmp_path / "tiny.gguf")

    def check(*arguments: object, also: str = "", but: str = "") -> Any:
        words = [str(word) for word in arguments]
        run([*words, "--json"])
        out, err = capsys.readouterr()
        value = json.loads(out) if out else None
        section = " ".join(["ragcli", *(words[:2] if words[0] in ("models", "config") else words[:1])])
        assert keys(value) == (described(section) | set(also.split())) - set(but.split()), err
        return value

    monkeypatch.setenv("RAGCLI_HOME", str(home))
    check("ingest", folder)
    found = check("search", "How much oil does the pump hold?", "--explain")
    check("ask", "How much oil does the pump hold?", "--explain", "--model", model, but="path scale withheld")
    rows = [{"id": n, "question": "How much oil does the pump hold?", "answerable": n % 2 == 0} for n in range(10)]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    check("calibrate", tmp_path / "cases.jsonl", also="abstain_below")
    check("sources")
    check("show", "pump.md")
    check("show", found["hits"][0]["chunk_id"], also="chunk_id")
    check("status")
    check("check")
    check("rebuild")
    check("export", tmp_path / "index.zip")
    check("import", tmp_path / "index.zip", "--replace", "--yes")
    check("forget", "copy.md")
    monkeypatch.setenv("RAGCLI_HOME", str(tmp_path / "other"))
    check("init", tmp_path / "new")
    check("doctor")
    check("models", "add", model)
    check("models", "list")
    check("models", "show", "tiny")
    check("models", "verify", "tiny")
    check("models", "rm", "tiny")
    check("config", "show")
    check("config", "path")
    check("config", "set", "jobs", "1")
