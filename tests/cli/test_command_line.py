"""What holds for every command: help, errors and their exit codes, pipes, completion, what is imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from corpora import Corpus
from shared import environment_of

from ragcli import __version__
from ragcli.models.store import ModelStore

HEAVY = ("chromadb", "onnxruntime", "llama_cpp", "numpy", "pypdf", "pypdfium2", "huggingface_hub", "tokenizers", "lxml")


def test_version(ragcli) -> None:  # type: ignore[no-untyped-def]
    done = ragcli("--version")
    assert (done.code, done.out, done.err) == (0, f"ragcli {__version__}\n", "")


HELP = """\
Usage: ragcli [OPTIONS] COMMAND [ARGS]...

  Answer questions from your own documents, on your own machine.

Options:
  --version             Show the version.
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  -h, --help            Show this message and exit.

Commands:
"""


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(ragcli, flag: str) -> None:  # type: ignore[no-untyped-def]
    done = ragcli(flag)
    assert done.code == 0 and done.err == ""
    assert done.out.startswith(HELP)
    assert re.search(r"^  search +Find passages\.$", done.out, re.MULTILINE)


def test_no_command_shows_the_help_as_wrong_usage(ragcli) -> None:  # type: ignore[no-untyped-def]
    done = ragcli()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(HELP)
    done = ragcli("models")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: ragcli models [OPTIONS] COMMAND [ARGS]...\n")


ERRORS = [
    (["nope"], 2, "No such command 'nope'.", "`ragcli --help` shows what it takes"),
    (["search", "--nope"], 2, "No such option: --nope", "`ragcli search --help` shows what it takes"),
    (["search", "a", "b"], 2, "Got unexpected extra argument(s) (b)", "`ragcli search --help` shows what it takes"),
    (["show"], 2, "Missing argument 'SOURCE[:pN]|CHUNK_ID'.", "`ragcli show --help` shows what it takes"),
    (["search"], 2, "the query is empty", "ragcli search QUERY"),
    (["search", " \t"], 2, "the query is empty", "ragcli search QUERY"),
    (["ask"], 2, "the question is empty", "ragcli ask QUESTION"),
    (["ask", "-"], 2, "the question is empty", "ragcli ask QUESTION"),
    (
        ["search", "x", "--mode", "y"],
        *(2, "--mode is 'y': expected one of hybrid, dense, lexical", "`ragcli search --help` shows what it takes"),
    ),
    (
        ["search", "x", "--batch", "y"],
        2,
        "give a query or --batch, not both",
        "`ragcli search --help` shows what it takes",
    ),
    (
        ["search", "--batch", "no/such"],
        2,
        "no/such: no such file or directory",
        "`ragcli search --help` shows what it takes",
    ),
    (["search", "x"], 4, "there is no index in {home}/index", "make one with `ragcli ingest PATH`"),
    (["search", "x", "--index", "{home}/x"], 4, "there is no index in {home}/x", "make one with `ragcli ingest PATH`"),
    (
        ["ask", "x", "--model", "no.gguf"],
        5,
        "no language model is called 'no.gguf'",
        "`ragcli models list` shows the store",
    ),
    (
        ["models", "pull", "x"],
        5,
        "no model is called 'x'",
        "`ragcli models list` shows what is here",
    ),
    (["models", "rm", "x"], 5, "no model called x in the model store", "`ragcli models list` shows what is here"),
    (["config", "set", "x", "1"], 2, "no setting is called 'x'", "`ragcli config show` lists them"),
    (
        ["config", "set", "jobs", "x"],
        *(2, "jobs is 'x': expected a whole number", "`ragcli config set --help` shows what it takes"),
    ),
    (["ingest"], 2, "no path was given", "ragcli ingest PATH..."),
    (["ingest", "no/such"], 2, "no such file or folder: no/such", "check the path"),
    (["ingest", ""], 2, "Invalid value for 'PATH': the path is empty", "`ragcli ingest --help` shows what it takes"),
    (["watch", ""], 2, "Invalid value for 'PATH': the path is empty", "`ragcli watch --help` shows what it takes"),
    (
        ["forget", "--everything", "--index", ""],
        *(2, "Invalid value for '--index': the path is empty", "`ragcli forget --help` shows what it takes"),
    ),
]


@pytest.mark.parametrize(("arguments", "code", "message", "hint"), ERRORS, ids=lambda value: str(value)[:30])
def test_errors_are_one_line_and_a_hint(
    tmp_path: Path, model_store: ModelStore, arguments: list[str], code: int, message: str, hint: str
) -> None:
    corpus = Corpus(tmp_path, model_store)
    home = corpus.home
    done = corpus.call(*(argument.format(home=home) for argument in arguments))
    *_, error, last = done.err.splitlines()
    assert (done.code, done.out) == (code, "")
    assert error.startswith(f"error: {message.format(home=home)}")
    assert last.startswith(f"hint: {hint}")


def test_debug_shows_the_traceback_and_keeps_the_exit_code(ragcli) -> None:  # type: ignore[no-untyped-def]
    done = ragcli("search", "x", "--debug")
    assert done.code == 4
    assert "Traceback (most recent call last)" in done.err and "IndexMissing" in done.err
    assert done.err.splitlines()[-2].startswith("error: there is no index")
    assert "Traceback" not in ragcli("search", "x").err


@pytest.mark.parametrize("arguments", [["search", "fuse"], ["search", "fuse", "--json"], ["show", "pump.md"]])
def test_a_reader_that_goes_away_is_no_error(small: Corpus, arguments: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "ragcli", *arguments],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment_of(small.home),
        timeout=120,
    )
    os.close(theirs)
    assert done.returncode == 0
    assert b"rror" not in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_closed_streams(small: Corpus, closed: str) -> None:
    command = f'"{sys.executable}" -m ragcli search fuse {closed}'
    done = subprocess.run(command, shell=True, capture_output=True, env=environment_of(small.home), timeout=120)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_an_encoding_that_lacks_characters(small: Corpus) -> None:
    environment = environment_of(small.home) | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "ragcli", "search", "保修期"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0
    assert b"sub/\\u9600\\u95e8.md:1" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(ragcli, shell: str) -> None:  # type: ignore[no-untyped-def]
    done = ragcli(_RAGCLI_COMPLETE=f"source_{shell}")
    assert done.code == 0 and "ragcli" in done.out


def test_completion_completes(ragcli) -> None:  # type: ignore[no-untyped-def]
    done = ragcli(_RAGCLI_COMPLETE="complete_bash", COMP_WORDS="ragcli se", COMP_CWORD="1")
    assert done.out.split() == ["search"]
    done = ragcli(_RAGCLI_COMPLETE="complete_bash", COMP_WORDS="ragcli search --expl", COMP_CWORD="2")
    assert done.out.split() == ["--explain"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["search", "--help"], ["config", "show"], ["models", "list"], ["nope"]]
)
def test_light_commands_import_nothing_heavy(home, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    code = (
        "import sys\nfrom ragcli.cli.app import run\nrun(sys.argv[1:])\n"
        f"print(sorted(set(sys.modules).intersection({HEAVY!r}), key=str), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment_of(home), timeout=60
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["search", "fuse"], ["search", "qzxv"], ["ask", "What fuse has the pump?"], ["ask", "Who is Ada Lovelace?"]),
        *(["sources"], ["sources", "--failed"], ["show", "pump.md"], ["status"], ["check"], ["doctor"]),
        *(["config", "show"], ["config", "path"], ["models", "list"], ["models", "show", "all-minilm-l6-v2"]),
        *(["models", "verify", "all-minilm-l6-v2"], ["search", "fuse", "--explain"]),
    ],
    ids=" ".join,
)
def test_json_is_one_document_and_nothing_else(small: Corpus, arguments: list[str]) -> None:
    done = small.call(*arguments, "--json")
    assert done.code in (0, 3), done.err
    assert done.out.count("\n") == 1
    assert isinstance(done.json, dict)
    assert done.out.isascii()
