"""Messages -> how many tokens their prompt has, in the parent, while the child still loads the model.

The child renders the model's chat template, with contents left open, for the sequences of roles that a conversation
has. Its pieces are kept here, and a vocabulary read from the file counts them with the contents filled in.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragcli.generation.base import Message
from ragcli.llama.gguf import GgufInfo
from ragcli.llama.template import Piece

if TYPE_CHECKING:
    from ragcli.llama.vocabulary import Vocabulary

_TURNS = 8
"""Earlier questions with their answers, up to which a conversation's template is asked for at the start."""


class PromptCounter:
    """Counts the tokens of prompts for one model, where its vocabulary is of a kind that can be counted here.

    `request` is the message that asks the child for the template, or None where the child alone can count.
    """

    def __init__(self, info: GgufInfo) -> None:
        self.request = _request(info)
        self._known: dict[tuple[str, ...], list[list[Any]]] = {}
        self._vocabulary: Vocabulary | None = None
        self._reading = threading.Thread(target=self._read, args=(info,), daemon=True)
        if self.request is not None:
            self._reading.start()

    def _read(self, info: GgufInfo) -> None:
        from ragcli.llama.vocabulary import Vocabulary

        with contextlib.suppress(Exception):  # of a file that is damaged, whatever it is: then the child counts
            self._vocabulary = Vocabulary.read(info)

    @property
    def works(self) -> bool:
        """Whether it can count. Waits until the vocabulary is read."""
        if self.request is not None:
            self._reading.join()
        return self._vocabulary is not None and self.request is not None

    @property
    def knows(self) -> bool:
        """Whether it has the template."""
        return bool(self._known)

    def learn(self, reply: Mapping[str, Any]) -> None:
        """Take what the child made of the template."""
        if self.request is not None:
            sequences = zip(self.request["roles"], reply["templates"], strict=True)
            self._known = {tuple(roles): pieces for roles, pieces in sequences if pieces is not None}

    def count(self, messages: Sequence[Message]) -> int | None:
        """Return how many tokens the prompt has, or None where only the child knows."""
        pieces = self._known.get(tuple(message.role for message in messages))
        if not self.works or self._vocabulary is None or pieces is None:
            return None
        return self._vocabulary.count(
            [
                Piece(text, False) if number is None else Piece(messages[number].content.strip(), True)
                for text, number in pieces
            ]
        )

    def give_up(self) -> None:
        """Count nothing any more: the child counted otherwise."""
        self._vocabulary = None
        self._known = {}


def _request(info: GgufInfo) -> dict[str, Any] | None:
    """Return the message that asks for the template, where the file names the tokens that frame a sequence."""
    ids = [info.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")]
    if not all(isinstance(i, int) and 0 <= i < info.vocabulary_size for i in ids):
        return None
    try:
        bos, eos = _token_texts(info, [int(i) for i in ids if i is not None])
    except (OSError, struct.error):  # the file has changed since
        return None
    return {"chat_template": info.chat_template, "bos": bos, "eos": eos, "roles": _sequences()}


def _sequences() -> list[list[str]]:
    """Return the sequences of roles that a conversation asks with, and those of its parts."""
    asked = [[*["user", "assistant"] * turns, "user"] for turns in range(_TURNS + 1)]
    return [*asked, *(["system", *roles] for roles in asked), ["system"]]


def _token_texts(info: GgufInfo, ids: Sequence[int]) -> list[str]:
    """Return the texts of tokens. Where the array lies was checked when the file was inspected."""
    place = info.arrays["tokenizer.ggml.tokens"]
    with info.path.open("rb") as stream:
        stream.seek(place.start)
        data = stream.read(place.end - place.start)
    unpack = struct.Struct("<Q").unpack_from
    texts: dict[int, str] = {}
    position = 0
    for i in range(max(ids) + 1):
        (size,) = unpack(data, position)
        if i in ids:
            texts[i] = data[position + 8 : position + 8 + size].decode("utf-8", "replace")
        position += 8 + size
    return [texts[i] for i in ids]
