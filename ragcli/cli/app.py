"""The command line: every command in one place, errors turned into lines and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer
from typer.exceptions import TyperException

from ragcli import __version__
from ragcli.cli import (
    ask,
    calibrate,
    chat,
    config,
    console,
    doctor,
    forget,
    ingest,
    manage,
    models,
    moving,
    search,
    show,
    watch,
)
from ragcli.cli import eval as evaluation
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
    *(manage.init, ingest.ingest, watch.watch, search.search, ask.ask, chat.chat, evaluation.eval, calibrate.calibrate),
    *(show.sources, show.show, show.status),
    *(forget.forget, manage.check, manage.rebuild, doctor.doctor),
):
    app.command()(command)
app.command()(moving.export)
app.command(name="import")(moving.import_)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")


_DOCTOR = "`ragcli doctor` checks what ragcli needs"


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
    """Run one command line and return its exit code. Errors are lines on stderr; --debug shows tracebacks, too."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed before we began
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = app(arguments, prog_name="ragcli", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (console.ReaderGone, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains when it flushes
        return 0
    except (KeyboardInterrupt, typer.Abort):
        console.say("interrupted")
        return 130
    except Exception as error:
        if "--debug" in arguments:
            console.say(traceback.format_exc())
        return _tell(error, arguments)


def _tell(error: Exception, arguments: list[str]) -> int:
    """Say what went wrong and what to do, and return the exit code."""
    if isinstance(error, RagcliError):
        usage = f"`ragcli {_command(arguments)} --help` shows what it takes"
        console.error(error.message, error.hint or (usage if error.exit_code == 2 else _DOCTOR))
        return error.exit_code
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        if context is None:
            console.error(error.format_message(), "`ragcli --help` lists the commands")
        elif error.format_message() == context.get_help():  # no command was given
            console.say(context.get_help())
        else:
            console.error(error.format_message(), f"`{context.command_path} --help` shows what it takes")
        return 2
    if isinstance(error, OSError):
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        console.error(f"{name}{error.strerror or error}".strip(), _DOCTOR)
        return 1
    console.error(
        f"ragcli failed: {type(error).__name__}: {error}", "run it again with --debug and report what it shows"
    )
    return 1


def _command(arguments: list[str]) -> str:
    groups = {group.name for group in app.registered_groups}
    return " ".join(arguments[: 2 if arguments[:1] and arguments[0] in groups else 1])
