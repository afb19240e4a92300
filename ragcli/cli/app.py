"""The command line: every command in one place, errors turned into lines and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from ragcli import __version__
from ragcli.cli import ask, config, console, doctor, ingest, manage, models, search, show
from ragcli.errors import RagcliError

app = typer.Typer(
    name="ragcli",
    help="Answer questions from your own documents, on your own machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(manage.init, ingest.ingest, search.search, ask.ask),
    *(show.sources, show.show, show.status),
    *(manage.check, manage.rebuild, doctor.doctor),
):
    app.command()(command)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        console.write(f"ragcli {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Errors are lines on stderr; tracebacks only with --debug."""
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = app(arguments, prog_name="ragcli", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except RagcliError as error:
        if debug:
            raise
        console.error(error.message, error.hint)
        return error.exit_code
    except TyperException as error:
        console.error(error.format_message(), _usage_hint(error))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        console.say("interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return 0
    except OSError as error:
        if debug:
            raise
        console.error(f"{error.filename or ''} {error.strerror or error}".strip())
        return 1
    except Exception as error:
        if debug:
            raise
        console.error(
            f"ragcli failed: {type(error).__name__}: {error}", "run it again with --debug and report what it shows"
        )
        return 1


def _usage_hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` shows what it takes" if context is not None else ""
