"""Texts -> vectors, and question and passage -> score, by a model in llama.cpp. Used in the child process only.

Nothing that is read is left out silently: a passage that is longer than the model's window is read in parts, and its
vector is their mean. Only what a reranker reads is cut, at the passage's end.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from ragcli.llama.template import Piece

if TYPE_CHECKING:
    from ragcli.llama.model import PooledModel

_MOST_WORDS = 200_000
_WORD = re.compile(r"\s*\S+")
_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_WORDPIECE_WORD = re.compile(rf"\s*(?:[{_CJK}]|[^\W_{_CJK}]+|\S)")
_SLOT = re.compile(r"(\{query\}|\{document\})")


class Encoder:
    """Gives each text a vector, which is not yet scaled to length 1."""

    def __init__(self, model: PooledModel, tokenizer: str) -> None:
        self._model = model
        # WordPiece takes punctuation and Chinese by characters; other vocabularies join them.
        self._words = _WORDPIECE_WORD if tokenizer == "bert" else _WORD
        self._joins_spaces = tokenizer == "gpt2"
        self._known: dict[str, list[int]] = {}
        plain, framed = (model.tokenize("a", special=False, frame=frame) for frame in (False, True))
        at = next((i for i in range(len(framed)) if framed[i : i + len(plain)] == plain), 0)
        self._begin, self._end = framed[:at], framed[at + len(plain) :]

    @property
    def window(self) -> int:
        """Most tokens of a text, without those that begin and end a sequence."""
        return self._model.context_size - len(self._begin) - len(self._end)

    def embed(self, prefix: str, text: str) -> array[float]:
        """Return the vector of a text with `prefix` in front."""
        tokens = self._model.tokenize(prefix + text, special=False)
        if len(tokens) <= self.window:
            return self._vector(tokens)
        before = self._model.tokenize(prefix, special=False)[: self.window // 2]
        rest, size = self._model.tokenize(text, special=False), self.window - len(before)
        parts = [rest[i : i + size] for i in range(0, len(rest), size)]
        vectors = [(len(part), self._vector(before + part)) for part in parts]
        return array("f", (sum(n * v[i] for n, v in vectors) / len(rest) for i in range(self._model.dimension)))

    def _vector(self, tokens: Sequence[int]) -> array[float]:
        return self._model.pooled([*self._begin, *tokens, *self._end] or [0])

    def starts(self, text: str) -> list[int]:
        """Return where each token of `text` starts. Exact for words; within a word that was changed, spread evenly."""
        found: list[int] = []
        for match in self._words.finditer(text):
            word = match[0]
            space = 0 if self._joins_spaces else len(word) - len(word.lstrip())
            found += [match.start() + space + offset for offset in self._offsets(word[space:])]
        return found

    def _offsets(self, word: str) -> list[int]:
        """Return where the tokens of a word start in it."""
        known = self._known.get(word)
        if known is None:
            tokens = self._model.tokenize(word, special=False)
            pieces = list(map(self._model.piece, tokens))
            if b"".join(pieces) == word.encode("utf-8", "replace"):
                ends = accumulate((len(character.encode("utf-8", "replace")) for character in word), initial=0)
                characters = [i for i, (a, b) in enumerate(pairwise(ends)) for _ in range(b - a)]
                known = [characters[at] for at in accumulate(map(len, pieces[:-1]), initial=0)] if pieces else []
            else:
                known = [len(word) * i // len(tokens) for i in range(len(tokens))]
            if len(self._known) < _MOST_WORDS:
                self._known[word] = known
        return known


class Ranker:
    """Gives a question and a passage, read together, a score; higher is better."""

    def __init__(self, model: PooledModel) -> None:
        self._model = model
        self._template = model.template("rerank")

    def score(self, query: str, passage: str) -> float:
        """Return the score. A passage that is too long is cut; a question only where it fills the window by itself."""
        tokens, contents = self._tokens(query, passage)
        room = self._model.context_size - sum(len(part) for i, part in enumerate(tokens) if i not in contents)
        asked, read = (sum(len(tokens[i]) for i in contents if contents[i] == name) for name in ("query", "document"))
        # A question leaves a quarter of the window to the passage.
        left = {"query": min(asked, room - min(read, room // 4)), "document": 0}
        left["document"] = room - left["query"]
        for i, name in contents.items():
            tokens[i] = tokens[i][: max(0, left[name])]
            left[name] -= len(tokens[i])
        whole = [token for part in tokens for token in part]
        return self._model.pooled(whole[: self._model.context_size] or [0])[0]

    def _tokens(self, query: str, passage: str) -> tuple[list[list[int]], dict[int, str]]:
        """Return the input in parts, and which of them are the question's and the passage's."""
        if self._template is None:
            begin, between, end = self._model.separators
            texts = [self._model.tokenize(text, special=False) for text in (query, passage)]
            return [begin, texts[0], between, texts[1], end], {1: "query", 3: "document"}
        values = {"{query}": query, "{document}": passage}
        parts = [part for part in _SLOT.split(self._template) if part]
        pieces = [Piece(values.get(part, part), part in values) for part in parts]
        tokens: list[list[int]] = [[] for _ in pieces]
        for i, encoded, _ in self._model.encode_parts(pieces):
            tokens[i] = encoded
        return tokens, {i: part[1:-1] for i, part in enumerate(parts) if part in values}
