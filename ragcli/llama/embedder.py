"""Encoders in GGUF files, run by llama.cpp in the process that it shares with other models."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ragcli.errors import ModelBad
from ragcli.words import latin_share

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors
    from ragcli.llama.gguf import GgufInfo
    from ragcli.llama.process import Device, LlamaProcess

BATCH_TEXTS = 16
"""Texts in one message: a long one would meet the deadline, and progress is told after each."""
_WINDOW = 512
_SPARE = 2
"""Tokens that a text may have more than its words have one by one."""


_UNRELATED = (
    "Water the beds early in the morning, before the sun stands high.",
    "The invoice is due on the last day of May.",
    "How many players are there in a football team?",
    "The committee elected a new chair in March.",
    "Copper conducts electricity better than iron does.",
)


class GgufEmbedder:
    """A GGUF encoder in `process`. It starts to load when it is made, and pools as its file says.

    `languages` is ("*",) for an encoder of many languages. Raises ModelBad or ModelFailed when made or used.
    """

    def __init__(
        self,
        info: GgufInfo,
        process: LlamaProcess,
        *,
        id: str,
        fingerprint: str,
        languages: tuple[str, ...] = ("*",),
        query_prefix: str = "",
        passage_prefix: str = "",
        context_size: int = _WINDOW,
        device: Device = "auto",
    ) -> None:
        self.id = id
        self.fingerprint = fingerprint
        self.dimension = _dimension(info)
        self._path = info.path
        self._languages = languages
        self._query_prefix = query_prefix
        self._passage_prefix = passage_prefix
        context_size = min(context_size, info.context_length or context_size)
        self._model = process.serve(info, "embed", name=id, context_size=context_size, device=device)

    @cached_property
    def floor(self) -> float:
        """Cosine of texts that have nothing to do with each other: the mean of some such pairs, which no file tells."""
        import numpy as np

        queries = self.embed_queries(_UNRELATED)
        cosines = queries @ self.embed_documents(_UNRELATED).T
        others = cosines[~np.eye(len(_UNRELATED), dtype=bool)]
        return min(0.9, max(0.0, round(float(others.mean()), 3)))

    @cached_property
    def window(self) -> int:
        """Most tokens of a passage, without special tokens and prefix."""
        (prefix,) = self.token_starts([self._passage_prefix])
        return max(1, int(self._model.opened()["window"]) - len(prefix) - _SPARE)

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return, for each text, the start offset of every token."""
        reply, _ = self._model.ask({"do": "starts", "texts": list(texts)})
        starts: list[list[int]] = reply["starts"]
        return starts

    def reads(self, text: str) -> float:
        """Return the share of `text` in a script that the encoder was trained on."""
        return 1.0 if "*" in self._languages else latin_share(text)

    def embed_documents(self, texts: Sequence[str], on_done: Callable[[int], None] | None = None) -> Vectors:
        """Return an array of shape [len(texts), dimension]. A text beyond the window is read in parts."""
        import numpy as np

        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for at in range(0, len(texts), BATCH_TEXTS):
            batch = texts[at : at + BATCH_TEXTS]
            vectors[at : at + len(batch)] = self._embed(self._passage_prefix, batch)
            if on_done is not None:
                on_done(len(batch))
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """Return an array of shape [dimension]."""
        vector: Vectors = self._embed(self._query_prefix, [text])[0]
        return vector

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return an array of shape [len(texts), dimension]."""
        return self._embed(self._query_prefix, texts)

    def _embed(self, prefix: str, texts: Sequence[str]) -> Vectors:
        import numpy as np

        reply, payload = self._model.ask({"do": "embed", "prefix": prefix, "texts": list(texts)})
        vectors = np.frombuffer(payload, dtype=np.float32)
        if vectors.size != len(texts) * self.dimension:
            raise ModelBad(f"{self._path}: its vectors have another length than it says", "give another GGUF file")
        vectors = vectors.reshape(len(texts), self.dimension)
        scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return scaled

    def close(self) -> None:
        """Free the model. A later use loads it again."""
        self._model.close()


def _dimension(info: GgufInfo) -> int:
    """Return the length of its vectors."""
    names = (f"{info.architecture}.embedding_length{suffix}" for suffix in ("_out", ""))
    length = next((value for name in names if (value := info.metadata.get(name))), 0)
    if not isinstance(length, int) or isinstance(length, bool) or not 0 < length <= 1 << 16:
        raise ModelBad(f"{info.path}: it does not say how long its vectors are", "give another GGUF file")
    return length


def habits(name: str) -> dict[str, Any]:
    """Return the arguments of `GgufEmbedder` that a file does not hold, by what its family is called.

    They are on the models' own pages: what goes before queries and passages, and whether one reads English alone.
    """
    low = name.lower()
    english = "minilm" in low and "multilingual" not in low or bool(re.search(r"(^|[-_.])en([-_.]|$)", low))
    prefixes = next((pair for family, pair in _PREFIXES.items() if family in low), ("", ""))
    return {
        "query_prefix": prefixes[0],
        "passage_prefix": prefixes[1],
        "languages": ("en",) if english else ("*",),
    }


_PREFIXES = {
    "e5": ("query: ", "passage: "),
    "nomic-embed": ("search_query: ", "search_document: "),
    "embeddinggemma": ("task: search result | query: ", "title: none | text: "),
    "bge-small-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-base-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-large-en": ("Represent this sentence for searching relevant passages: ", ""),
    "mxbai-embed": ("Represent this sentence for searching relevant passages: ", ""),
    "snowflake-arctic-embed": ("Represent this sentence for searching relevant passages: ", ""),
}
