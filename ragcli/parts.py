"""Settings -> concrete parts. The only module that chooses implementations; heavy libraries load when first used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.errors import ModelMissing, UsageError
from ragcli.settings import Settings, home, index_folder

if TYPE_CHECKING:
    from ragcli.embedding.base import Reranker
    from ragcli.embedding.onnx import OnnxEmbedder
    from ragcli.generation.base import Generator
    from ragcli.generation.judge import Judge
    from ragcli.llama.embedder import GgufEmbedder
    from ragcli.llama.process import LlamaProcess
    from ragcli.models.store import ModelStore, StoredModel
    from ragcli.parsing.pool import ParserPool
    from ragcli.prompting import Template
    from ragcli.sources import Walk
    from ragcli.storage.bundle import Bundle
    from ragcli.storage.index import Index

    Download = Callable[[str, int, int], None]
    OpenProcess = Callable[[], LlamaProcess]


def model_store() -> ModelStore:
    """Return the model store of this user."""
    from ragcli.models.store import ModelStore

    return ModelStore(home() / "models")


def embedder(name: str, settings: Settings, process: OpenProcess, on_download: Download) -> OnnxEmbedder | GgufEmbedder:
    """Return the encoder called `name`, fetched if it is not in the store; "" means the default for a new index.

    A GGUF encoder of the store runs in `process`.
    """
    from ragcli.embedding.onnx import OnnxEmbedder
    from ragcli.models.catalog import ENCODERS

    if name and name not in ENCODERS:
        return _gguf_embedder(name, settings, process)
    stored = (model_store().get(name) if name else None) or _fetched(name, settings, on_download)
    return OnnxEmbedder(stored.folder, ENCODERS[stored.id], stored.fingerprint)


def _fetched(name: str, settings: Settings, on_download: Download) -> StoredModel:
    """Return a known encoder, fetched if need be; "" means the default."""
    from ragcli.models import download
    from ragcli.models.catalog import ENCODERS

    store = model_store()
    if not name:
        return download.default_encoder(store, progress=on_download, offline=settings.offline)
    return download.fetch_encoder(ENCODERS[name], store, progress=on_download, offline=settings.offline)


def _gguf_embedder(name: str, settings: Settings, process: OpenProcess) -> GgufEmbedder:
    from ragcli.llama.embedder import GgufEmbedder, habits
    from ragcli.llama.gguf import inspect
    from ragcli.models.catalog import ENCODERS

    stored = model_store().get(name)
    if stored is None or stored.kind != "gguf":
        raise ModelMissing(
            f"no encoder is called {name!r}",
            f"the known ones are {', '.join(ENCODERS)}; `ragcli models add FILE.gguf` adds another",
        )
    info, device = inspect(stored.entry), settings.device
    return GgufEmbedder(info, process(), id=name, fingerprint=stored.fingerprint, device=device, **habits(name))


def embedder_of(
    index: Index, settings: Settings, process: OpenProcess, on_download: Download
) -> OnnxEmbedder | GgufEmbedder:
    """Return the encoder that an index was built with, and make sure that it is the same.

    A new index takes the encoder of the settings.
    """
    found = embedder(index.encoder or settings.encoder, settings, process, on_download)
    index.adopt(found)
    return found


def encoder_files(id: str) -> dict[str, Path]:
    """Return the files of a known encoder for an export, by name. Raises ModelMissing, ModelBad or UsageError."""
    from ragcli.models.catalog import ENCODERS

    if id not in ENCODERS:
        raise UsageError(
            f"{id} is no encoder that can be put into the file", "copy its GGUF file, and `ragcli models add`"
        )
    stored = model_store().require(id)
    known = {file.name for file in ENCODERS[id].files}
    return {file.name: stored.folder / file.name for file in stored.files if file.name in known}


def take_encoder(exported: Bundle) -> str:
    """Put the encoder of an exported index into the model store, where it is not there and its checksums are known.

    Returns "" where the store has the very encoder now, else what is missing, as a clause. Raises ModelError where it
    cannot be stored.
    """
    from ragcli.models.catalog import ENCODERS
    from ragcli.models.files import copy, ensure_space

    store, wanted = model_store(), exported.manifest
    there = store.get(wanted.encoder)
    if there is not None:
        return "" if there.fingerprint == wanted.fingerprint else f"other weights of {wanted.encoder} are needed"
    spec, given = ENCODERS.get(wanted.encoder), exported.encoder_files
    if spec is None or {file.name for file in spec.files} != set(given):
        return f"{wanted.encoder} is needed, and is not in the model store"
    if not spec.pinned:  # it would be run on the word of whoever wrote the file
        return f"{wanted.encoder} is needed; the one in the file is not taken, since its checksums are not known"
    with store.staging() as staging:
        ensure_space(staging, sum(given.values()))
        files = []
        for file in spec.files:
            with exported.encoder_file(file.name) as stream:
                files.append(copy(stream, staging / file.name, given[file.name]))
            if files[-1].sha256 != file.sha256:
                return f"{wanted.encoder} is needed; the one in the file is another"
        store.publish_encoder(spec, staging, tuple(files), f"import of {exported.path.name}")
    return ""


def open_index(settings: Settings) -> Index:
    """Open the index for reading. Raises IndexMissing where there is none."""
    from ragcli.storage.index import Index

    return Index(index_folder(settings))


def walk(settings: Settings, include: tuple[str, ...], exclude: tuple[str, ...]) -> Walk:
    """Return how to walk folders."""
    from ragcli.sources import Walk

    return Walk(
        include, exclude, settings.max_file_mb * 1_000_000, index_folder(settings).resolve(), _versions(settings)
    )


def _versions(settings: Settings) -> dict[str, int]:
    """Return the versions of what reads each format. Scans count anew where OCR has come, or become better."""
    from ragcli.formats import VERSIONS
    from ragcli.parsing.ocr import extra

    return VERSIONS | {"pdf": VERSIONS["pdf"] * 10 + (extra.version() if settings.ocr != "off" else 0)}


def jobs(settings: Settings) -> int:
    """Return how many files are parsed at once."""
    return int(settings.jobs) or os.cpu_count() or 1


def parser_pool(settings: Settings) -> ParserPool:
    """Return the child processes that parse files."""
    from ragcli.parsing.ocr.scans import ScanReader
    from ragcli.parsing.pool import ParserPool

    count = jobs(settings)
    limits = (count, settings.parse_seconds, settings.parse_memory_mb, settings.max_pages)
    lacks = check_ocr(settings)
    if settings.ocr == "off" or lacks:
        return ParserPool(*limits, scan_hint=lacks)
    scans = ScanReader(count, required=settings.ocr == "on", page_seconds=settings.parse_seconds)
    return ParserPool(*limits, scans)


def check_ocr(settings: Settings) -> str:
    """Return what has to be installed before scanned pages can be read, a clause; "" where nothing has to.

    Raises UsageError where the settings ask for OCR all the same.
    """
    from ragcli.parsing.ocr import extra

    if settings.ocr == "off" or not (lacks := extra.lacking()):
        return ""
    if not extra.is_installed():
        message, command = "OCR is not installed", extra.INSTALL
    else:
        message, command = f"the OCR extra lacks {', '.join(lacks)}", extra.REPAIR
    if settings.ocr == "on":
        raise UsageError(message, f"`{command}`, or set `ocr` to auto")
    return f"`{command}` lets ragcli read scans" if command == extra.INSTALL else f"{message}: `{command}`"


@contextmanager
def llama_process(settings: Settings) -> Iterator[OpenProcess]:
    """Give what returns the process of llama.cpp, which starts with the first model in it and ends with the body.

    Most encoders need none, and then nothing of it is loaded.
    """
    with ExitStack() as stack:

        @cache
        def process() -> LlamaProcess:
            from ragcli.llama.process import LlamaProcess

            return stack.enter_context(LlamaProcess(home() / "hosts.json", seconds=settings.generate_seconds))

        yield process


@dataclass(frozen=True)
class Models:
    """The models that answer, rank and judge, starting to load. `notices` say which text leaves the process."""

    model: Generator | None
    reranker: Reranker | None
    judge: Judge | None
    adapter: dict[str, Any] | None
    notices: tuple[str, ...]


@contextmanager
def language_models(
    settings: Settings, process: OpenProcess, adapter: Path | None = None, adapter_scale: float = 1.0
) -> Iterator[Models]:
    """Give the models that the settings name, and close them in any case. Those in files run in `process`.

    Raises ModelMissing, ModelBad or UsageError before anything is loaded.
    """
    if adapter is not None and (not settings.model or _is_url(settings.model)):
        raise UsageError("--adapter needs a GGUF model to adapt", "give one with --model NAME|PATH")
    with ExitStack() as stack:
        model = judge = None
        if settings.model:
            model = stack.enter_context(closing(_generator(settings.model, settings, process, adapter, adapter_scale)))
        ranks = stack.enter_context(reranker(settings, process))
        if settings.judge:
            judge = stack.enter_context(closing(_generator(settings.judge, settings, process)))
        described = None if adapter is None else {"path": str(adapter), "scale": adapter_scale}
        yield Models(model, ranks, _judge(judge), described, _notices(model, judge))


def _judge(generator: Generator | None) -> Judge | None:
    if generator is None:
        return None
    from ragcli.generation.judge import Judge

    return Judge(generator)


def _notices(*generators: Generator | None) -> tuple[str, ...]:
    """Return what users should know of the endpoints among some models, after asking whether they are there."""
    if not any(one is not None and one.kind == "endpoint" for one in generators):
        return ()
    from ragcli.generation.endpoint import EndpointGenerator

    notices = {}
    for one in generators:
        if isinstance(one, EndpointGenerator) and one.notice not in notices:
            one.check()
            notices[one.notice] = True
    return tuple(notices)


def generator(name: str, settings: Settings) -> Generator:
    """Return the language model called `name` in the store, the GGUF file at that path, or the endpoint at that URL.

    A file starts to load. Raises ModelMissing, ModelBad or UsageError before that.
    """
    return _generator(name, settings, None)


def about_llama(settings: Settings) -> dict[str, Any]:
    """Return {"devices": [{"name", "kind", "description"}], "offload"} of llama.cpp. Raises ModelFailed."""
    with llama_process(settings) as process:
        return process().about()


def template(settings: Settings) -> Template:
    """Return the words around passages and question. Raises UsageError."""
    from ragcli.prompting import Template

    return Template.read(Path(settings.prompt).expanduser()) if settings.prompt else Template.shipped("answer")


@contextmanager
def reranker(settings: Settings, process: OpenProcess) -> Iterator[Reranker | None]:
    """Give the reranker that the settings name, or None. Raises ModelMissing or ModelBad."""
    if not settings.rerank:
        yield None
        return
    from ragcli.llama.engine import LlamaReranker

    with closing(LlamaReranker(_gguf(settings.rerank), process=process())) as one:
        yield one


def _generator(
    name: str,
    settings: Settings,
    process: OpenProcess | None,
    adapter: Path | None = None,
    adapter_scale: float = 1.0,
) -> Generator:
    if _is_url(name):
        from ragcli.generation.endpoint import EndpointGenerator

        return EndpointGenerator.from_environment(
            name, context_size=settings.context_size, seconds=settings.generate_seconds, offline=settings.offline
        )
    from ragcli.llama.engine import LlamaGenerator

    return LlamaGenerator(
        _gguf(name),
        context_size=settings.context_size,
        device=settings.device,
        adapter=adapter,
        adapter_scale=adapter_scale,
        seconds=settings.generate_seconds,
        process=None if process is None else process(),
    )


def _is_url(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def _gguf(name: str) -> Path:
    """Return the GGUF file at a path, or that of a model in the store."""
    path = Path(name).expanduser()
    return path if path.is_file() else model_store().language_model(name)
