"""`ragcli doctor`: is everything here that ragcli needs? Every failed check names the next command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import typer

from ragcli.cli import console, options
from ragcli.errors import RagcliError
from ragcli.settings import Settings, home, index_folder

_PACKAGES = ("chromadb", "onnxruntime", "tokenizers", "llama-cpp-python", "pypdf", "pypdfium2", "trafilatura")
_LOW_DISK = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fix` is the next command, should it not be `ok`."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def doctor(index: options.IndexDir = None, json: options.Json = False, debug: options.Debug = False) -> None:
    """Check this installation, the model store and the index."""
    checks = list(_checks(options.settings(index)))
    if json:
        rows = [{"name": c.name, "ok": c.ok, "found": c.found, "fix": None if c.ok else c.fix} for c in checks]
        console.write_json({"ok": all(c.ok for c in checks), "checks": rows})
    else:
        for c in checks:
            console.write(f"{'ok  ' if c.ok else 'FAIL'}  {c.name:16} {c.found}", "" if c.ok else "red")
            if not c.ok:
                console.hint(c.fix)
    if not all(c.ok for c in checks):
        raise typer.Exit(1)


def _checks(settings: Settings) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")
    for package in _PACKAGES:
        yield _package(package)
    yield from _llama(settings)
    yield _ocr(settings)
    yield _folder()
    yield from _models(settings)
    yield _index(settings)
    yield Check("network", True, "forbidden (offline)" if settings.offline else "used only to fetch models")


def _package(name: str) -> Check:
    import importlib.metadata  # a tenth of the time that --help takes

    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed", f"pip install {name}")


def _llama(settings: Settings) -> Iterator[Check]:
    from ragcli import parts
    from ragcli.llama.hosts import extra_buffers_work

    try:
        about = parts.about_llama(settings)
    except RagcliError as error:
        yield Check("llama.cpp", False, error.message, "pip install --force-reinstall llama-cpp-python")
        return
    works = extra_buffers_work(home() / "hosts.json")
    yield Check(
        "llama.cpp", True, "at full speed" if works else "without extra buffer types, which fault on this machine"
    )
    gpus = [device["description"] for device in about["devices"] if device["kind"] != "cpu"]
    if about["offload"]:
        found = f"can be used: {', '.join(gpus)}" if gpus else "none is seen, though this llama.cpp could use one"
    else:
        found = "this llama.cpp cannot use one; docs/install.md has the build commands"
    yield Check("gpu", True, found)


def _ocr(settings: Settings) -> Check:
    """Check the extra that reads scans: it need not be there, but what is there has to be whole."""
    from ragcli.parsing.ocr import extra

    if not extra.is_installed():
        command = f"`{extra.INSTALL}`"
        return Check("ocr", settings.ocr != "on", f"not installed; {command} lets ragcli read scans", command)
    lacks = extra.lacking()
    found = f"lacks {', '.join(lacks)}" if lacks else "turned off" if settings.ocr == "off" else "reads scanned pages"
    return Check("ocr", not lacks or settings.ocr == "off", found, f"`{extra.REPAIR}`")


def _folder() -> Check:
    import shutil

    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("home", False, f"{folder}: {error.strerror}", "set RAGCLI_HOME to a folder of your own")
    writable = os.access(folder, os.W_OK)
    enough = free > _LOW_DISK
    fix = "free some disk space" if writable else "set RAGCLI_HOME to a folder that you can write to"
    return Check("home", writable and enough, f"{folder}, {free / 1e9:.1f} GB free", fix)


def _models(settings: Settings) -> Iterator[Check]:
    from ragcli import parts

    store = parts.model_store()
    stored = store.list()
    encoders = [model.id for model in stored if model.kind == "encoder"]
    if encoders:
        yield Check("encoder", True, ", ".join(encoders))
    else:
        yield Check("encoder", False, "none in the model store", "ragcli models pull all-minilm-l6-v2")
    for model in stored:
        missing = [f.name for f in model.files if not (model.folder / f.name).is_file()]
        if missing:
            yield Check(model.id, False, f"lacks {', '.join(missing)}", f"ragcli models rm {model.id}")
    if settings.model:
        try:
            parts.generator(settings.model, settings).close()
            yield Check("model", True, settings.model)
        except RagcliError as error:
            yield Check("model", False, error.message, error.hint or "ragcli models list")


def _index(settings: Settings) -> Check:
    from ragcli import parts
    from ragcli.storage.index import exists

    folder = index_folder(settings)
    if not exists(folder):
        return Check("index", True, f"none yet in {folder}")
    try:
        opened = parts.open_index(settings)
    except RagcliError as error:
        return Check("index", False, error.message, error.hint)
    try:
        documents, chunks, _ = opened.catalog.counts()
        damage = opened.damage()
        found = f"{folder}: {documents} documents, {chunks} chunks, {opened.encoder or 'no encoder yet'}"
        return Check("index", not damage, damage or found, "ragcli rebuild")
    except RagcliError as error:
        return Check("index", False, error.message, error.hint)
    finally:
        opened.close()
