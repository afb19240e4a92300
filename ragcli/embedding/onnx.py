"""Encoders on ONNX Runtime: tokenizer, batches, mean pooling, normalization."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.errors import ModelBad
from ragcli.words import latin_share

if TYPE_CHECKING:
    from ragcli.embedding.base import Vectors
    from ragcli.models.catalog import EncoderSpec

BATCH_TOKENS = 1024
"""Padded tokens in one run of the network. Small batches stay in the processor's caches; docs/decisions.md."""
BULK_TOKENS = 4096
"""From this many tokens on it is worth to load the bulk graph."""
SAME_COSINE = 0.998
_PROBES = [
    "Water the beds early in the morning, before the sun stands high.",
    "Invoice 2024-117: 3 pumps at 48.50 each, 2 hoses at 12.00 each, total 169.50, due on 31 May.",
    "no",
    "The committee met twice (in March and June) & could not agree: “not again”, said its chair; nothing was decided.",
]


class OnnxEmbedder:
    """An encoder of the model store. Its files are opened at first use."""

    def __init__(self, folder: Path, spec: EncoderSpec, fingerprint: str, threads: int = 0) -> None:
        self.id = spec.id
        self.fingerprint = fingerprint
        self.dimension = spec.dimension
        self.floor = spec.floor
        self._spec = spec
        self._folder = folder
        self._threads = threads or os.cpu_count() or 1

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except Exception as error:  # the library raises bare Exception
            raise ModelBad(f"{self.id}: bad tokenizer.json: {error}", f"ragcli models verify {self.id}") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @property
    def _graph(self) -> str:
        graph = next(f for f in ("encoder.onnx", "model.onnx") if f == "model.onnx" or (self._folder / f).exists())
        return str(self._folder / graph)

    @cached_property
    def _session(self) -> Any:
        return self._load(self._graph, self._threads)

    @cached_property
    def _bulk_session(self) -> Any:
        """The session for many texts: the faster one, where it gives the same vectors on this processor.

        Each batch runs in one thread, and several at once: threads that share a batch spin while they wait for each
        other, which takes half the processor from them and from whatever else is at work. int8 products overflow on
        some older processors, so the graph has to prove itself first.
        """
        import numpy as np

        if not self._spec.bulk_graph:
            return self._load(self._graph, threads=1)
        graph = resources.files("ragcli").joinpath("embedding", self._spec.bulk_graph).read_bytes()
        bulk = self._load(graph, threads=1)
        probes = [e.ids for e in self._tokenizer.encode_batch(_PROBES)]
        cosines = np.einsum("td,td->t", self._run(bulk, probes), self._run(self._session, probes))
        return bulk if np.min(cosines) >= SAME_COSINE else self._load(self._graph, threads=1)

    def _load(self, graph: str | bytes, threads: int) -> Any:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # from 1.32 on it would tell its makers of each run, unasked
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(self._folder))
        try:
            return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a dozen types without a common base of its own
            message = str(error).strip().splitlines()[0][:200]
            raise ModelBad(f"{self.id} cannot be loaded: {message}", f"ragcli models verify {self.id}") from None

    @cached_property
    def window(self) -> int:
        """Most tokens of a passage, without special tokens and prefix."""
        return self._spec.window - len(self._tokenizer.encode(self._spec.passage_prefix).ids)

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return, for each text, the start offset of every token."""
        encoded = self._tokenizer.encode_batch(list(map(_encodable, texts)), add_special_tokens=False)
        return [[start for start, _ in one.offsets] for one in encoded]

    def reads(self, text: str) -> float:
        """Return the share of `text` in a script that the encoder was trained on."""
        return 1.0 if "*" in self._spec.languages else latin_share(text)

    def embed_documents(self, texts: Sequence[str], on_done: Callable[[int], None] | None = None) -> Vectors:
        """Return an array of shape [len(texts), dimension]."""
        prefix = self._spec.passage_prefix
        encoded = [e.ids for e in self._tokenizer.encode_batch([prefix + _encodable(text) for text in texts])]
        if sum(map(len, encoded)) < BULK_TOKENS:
            return self._in_batches(self._session, encoded, on_done)
        return self._in_batches(self._bulk_session, encoded, on_done, threads=self._threads)

    def embed_query(self, text: str) -> Vectors:
        """Return an array of shape [dimension]."""
        vector: Vectors = self.embed_queries([text])[0]
        return vector

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return an array of shape [len(texts), dimension]."""
        prefix = self._spec.query_prefix
        encoded = [e.ids for e in self._tokenizer.encode_batch([prefix + _encodable(text) for text in texts])]
        window = self._spec.window
        cut = [ids if len(ids) <= window else [*ids[: window - 1], ids[-1]] for ids in encoded]
        return self._in_batches(self._session, cut, None)

    def _in_batches(
        self, session: Any, encoded: Sequence[list[int]], on_done: Callable[[int], None] | None, threads: int = 1
    ) -> Vectors:
        """Encode texts of token ids, those of like length together, `threads` batches at once."""
        import numpy as np

        vectors = np.empty((len(encoded), self.dimension), dtype=np.float32)
        order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))  # the largest first: memory peaks early
        batches: list[list[int]] = []
        at = 0
        while at < len(order):
            size = max(1, BATCH_TOKENS // len(encoded[order[at]]))
            batches.append(order[at : at + size])
            at += size
        pool = ThreadPoolExecutor(threads)
        try:
            found = pool.map(lambda rows: self._run(session, [encoded[i] for i in rows]), batches)
            for rows, part in zip(batches, found, strict=True):
                vectors[rows] = part
                if on_done is not None:
                    on_done(len(rows))
        finally:
            pool.shutdown(cancel_futures=True)
        return vectors

    def _run(self, session: Any, batch: list[list[int]]) -> Vectors:
        """Encode token ids: mean of the last hidden states over the real tokens, scaled to length 1."""
        import numpy as np

        width = max(map(len, batch))
        if width > self._spec.window:
            raise AssertionError(f"{width} tokens in a window of {self._spec.window}: chunking let one through")
        ids = np.zeros((len(batch), width), dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        names = {node.name for node in session.get_inputs()}
        hidden = session.run(["last_hidden_state"], {k: v for k, v in inputs.items() if k in names})[0]
        vectors = np.einsum("bth,bt->bh", hidden, mask.astype(np.float32)) / mask.sum(axis=1, keepdims=True)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        scaled: Vectors = vectors.astype(np.float32)
        return scaled


def _encodable(text: str) -> str:
    """Return `text` with a question mark for each lone surrogate, which the tokenizer refuses."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
