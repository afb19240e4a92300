"""What the command line says of a model: a row of values for JSON, and the same in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.errors import ModelBad

if TYPE_CHECKING:
    from ragcli.llama.gguf import GgufInfo
    from ragcli.models.catalog import EncoderSpec
    from ragcli.models.files import Progress
    from ragcli.models.language import LanguageModelSpec
    from ragcli.models.store import StoredModel

Row = dict[str, Any]

_TEMPLATES = {
    "ChatML": "<|im_start|>",
    "Llama 3": "<|start_header_id|>",
    "Gemma": "<start_of_turn>",
    "Llama 2": "<<SYS>>",
    "Mistral": "[INST]",
    "Phi": "<|assistant|>",
}
"""Families of chat templates by what only they hold; the one of Llama 2 holds Mistral's as well."""
_VOCABULARIES = {"gpt2": "byte-level BPE", "llama": "SentencePiece", "bert": "WordPiece", "t5": "Unigram"}


def of_stored(model: StoredModel) -> Row:
    """Return what the manifest of a stored model says."""
    return {
        "id": model.id,
        "kind": model.kind,
        "stored": True,
        "folder": str(model.folder),
        "size": model.size,
        "source": model.source,
        "license": model.license,
        "added": model.added,
        "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in model.files],
    }


def of_encoder(spec: EncoderSpec) -> Row:
    """Return what is known of an encoder that can be fetched."""
    return {
        "id": spec.id,
        "kind": "encoder",
        "stored": False,
        "size": spec.size,
        "license": spec.license,
        "languages": list(spec.languages),
    }


def of_language_model(spec: LanguageModelSpec, context_size: int, available: int | None) -> Row:
    """Return what is known of a language model that can be fetched, and whether it fits into the memory `available`."""
    from ragcli.models.fitting import fits

    memory = spec.memory(context_size)
    return {
        "id": spec.id,
        "kind": "gguf",
        "stored": False,
        "family": spec.family,
        "parameters": spec.parameters,
        "quantization": spec.quantization,
        "size": spec.size,
        "memory": memory,
        "license": spec.license,
        "languages": list(spec.languages),
        "context": spec.context,
        "fits": fits(memory, available),
    }


def of_stored_file(model: StoredModel, context_size: int, available: int | None) -> Row:
    """Return what the manifest of a stored language model says, and what its file does. Raises ModelBad."""
    from ragcli.llama.gguf import inspect

    info = inspect(model.entry)
    row = of_stored(model) | _inside(info, context_size, available)
    row["license"] = model.license or _license(info)
    return row


def of_file(path: Path, context_size: int, available: int | None, progress: Progress) -> Row:
    """Return what a GGUF file says that is not in the store, and its checksum.

    Raises ModelMissing where there is no file, and ModelBad where it is no model.
    """
    from ragcli.llama.gguf import inspect
    from ragcli.models.files import describe

    info = inspect(path)
    file = describe(path, progress)
    return {
        "id": path.stem,
        "kind": "gguf",
        "stored": False,
        "folder": str(path.resolve().parent),
        "size": file.size,
        "source": str(path),
        "license": _license(info),
        "added": "",
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256}],
        **_inside(info, context_size, available),
    }


def _license(info: GgufInfo) -> str:
    return str(info.metadata.get("general.license", ""))


def _inside(info: GgufInfo, context_size: int, available: int | None) -> Row:
    from ragcli.llama.gguf import memory_needed
    from ragcli.models.fitting import fits

    try:
        memory = memory_needed(info, context_size).total
    except ModelBad:  # its attention is of a kind that cannot be reckoned with
        memory = None
    return {
        "name": info.name,
        "architecture": info.architecture,
        "parameters": info.parameters,
        "quantization": info.quantization,
        "context": info.context_length,
        "template": _template(info.chat_template),
        "vocabulary": info.vocabulary_size,
        "tokenizer": info.tokenizer,
        "pretokenizer": str(info.metadata.get("tokenizer.ggml.pre", "")),
        "memory": memory,
        "context_size": context_size,
        "fits": memory is None or fits(memory, available),
    }


def _template(source: str | None) -> str | None:
    """Return the family of a chat template, "other", or None where there is none."""
    if not source:
        return None
    return next((family for family, marker in _TEMPLATES.items() if marker in source), "other")


def line(row: Row, width: int) -> str:
    """Return a model's line in the list."""
    start = f"{row['id']:{width}}  {row['kind']:7}  "
    needs = ""
    if "memory" in row:
        needs = f", needs {in_bytes(row['memory'])}" + ("" if row["fits"] else ", more than is free")
    if row["stored"]:
        return start + in_bytes(row["size"]) + needs
    about = f"{in_bytes(row['size'])}{needs}; reads {_languages(row['languages'])}; {row['license']}"
    return f"{start}not fetched; {about}"


def in_words(row: Row) -> Iterator[str]:
    """Yield the lines that show a model."""
    texts = {name: _words(name, row) for name in _SHOWN if name in row}
    width = max(8, *map(len, texts))
    yield from (f"{name:{width}} {text}" for name, text in texts.items())
    for file in row.get("files", ()):
        yield f"{'file':{width}} {file['name']}  {file['size']} bytes  sha256 {file['sha256']}"


_SHOWN = (
    *("id", "kind", "folder", "source", "license", "added"),
    *("name", "family", "architecture", "parameters", "quantization", "context", "template", "vocabulary"),
    *("languages", "size", "memory"),
)


def _words(name: str, row: Row) -> str:
    value = row[name]
    if name == "parameters":
        return f"{value / 1e9:.1f} B" if value >= 1e9 else f"{value / 1e6:.1f} M"
    if name == "context":
        return f"{value:,} tokens" if value else "unknown"
    if name == "template":
        return "none: a plain form is used" if value is None else "its own" if value == "other" else f"its own, {value}"
    if name == "vocabulary":
        kind = _VOCABULARIES.get(row["tokenizer"], row["tokenizer"]) or "unknown"
        return f"{value:,} tokens, {kind}" + (f" ({row['pretokenizer']})" if row["pretokenizer"] else "")
    if name == "languages":
        return _languages(value, most=20)
    if name == "size":
        return in_bytes(value)
    if name == "memory":
        if value is None:
            return "unknown"
        context = f" with a context of {row['context_size']:,} tokens" if "context_size" in row else ""
        return in_bytes(value) + context + ("" if row["fits"] else ", more than is free")
    return str(value)


def _languages(codes: list[str], most: int = 3) -> str:
    if "*" in codes:
        return "100 languages"
    return ", ".join(codes) if len(codes) <= most else f"{', '.join(codes[:2])} and {len(codes) - 2} more"


def in_bytes(count: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
