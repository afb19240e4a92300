"""`ragcli config`: settings and where each comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from ragcli import settings as config
from ragcli.cli import console, options

app = typer.Typer(help="Settings, and where each comes from.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(json: options.Json = False, debug: options.Debug = False) -> None:
    """Show every setting, its value and its origin."""
    resolved = options.settings()
    if json:
        rows = {
            f.name: {
                "value": resolved.values[f.name],
                "origin": resolved.origins[f.name],
                "variable": f.variable,
                "help": f.help,
            }
            for f in config.FIELDS
        }
        console.write_json({"settings": rows, "index": str(config.index_folder(resolved)), "home": str(config.home())})
        return
    for f in config.FIELDS:
        value = resolved.values[f.name]
        text = (
            {"": "-", True: "true", False: "false"}.get(value, str(value)) if isinstance(value, str | bool) else value
        )
        origin = resolved.origins[f.name]
        console.write(f"{f.name:16} {text!s:12} {origin}", "dim" if origin == "default" else "")


@app.command()
def path(json: options.Json = False, debug: options.Debug = False) -> None:
    """Show the files that settings come from, and the folders in use."""
    resolved = options.settings()
    project = config.project_folder()
    rows = {
        "home": str(config.home()),
        "user": str(config.user_file()),
        "project": str(project / config.PROJECT_FILE) if project is not None else None,
        "index": str(config.index_folder(resolved)),
    }
    if json:
        console.write_json(rows)
        return
    for name, value in rows.items():
        console.write(f"{name:8} {value or '-'}")


@app.command("set")
def set_value(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A setting's name.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value.")],
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Set a value in the user's own file."""
    written = config.write_user(name, value)
    if json:
        console.write_json({"name": name, "value": written, "file": str(config.user_file())})
    else:
        console.write(f"{name} = {written!r} in {config.user_file()}")
