"""What the rest of ragcli asks of an encoder, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors of length 1.

    `id` names the encoder, `fingerprint` its exact weights; vectors of two fingerprints are never mixed.
    """

    id: str
    fingerprint: str
    dimension: int

    @property
    def floor(self) -> float:
        """Cosine of texts that have nothing to do with each other."""

    @property
    def window(self) -> int:
        """Most tokens of a passage, without special tokens and prefix."""

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return, for each text, the start offset of every token in order, without special tokens."""

    def reads(self, text: str) -> float:
        """Return the share of `text`, 0 to 1, that is in a script the encoder was trained on."""

    def embed_documents(self, texts: Sequence[str], on_done: Callable[[int], None] | None = None) -> Vectors:
        """Return an array of shape [len(texts), dimension]; `on_done` hears how many texts each batch finished."""

    def embed_query(self, text: str) -> Vectors:
        """Return an array of shape [dimension]. Text beyond the window is left out."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return an array of shape [len(texts), dimension], for many questions that are known beforehand."""


class Reranker(Protocol):
    """Judges how well passages answer a question, reading both together. `name` says which model does."""

    name: str

    def rank(self, query: str, passages: Sequence[str]) -> list[float]:
        """Return one score for each passage; higher is better. Only their order means anything."""
