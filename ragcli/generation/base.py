"""What every language model gives and takes. A prompt is a sequence of messages; an answer is a `Generation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote, and what it cost. `stopped` says why it ended: by itself, at a limit, or by Ctrl-C.

    `reused_tokens` of the prompt's were still in the engine's memory and were not read again.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    first_token_ms: float
    tokens_per_s: float
    stopped: Literal["end", "length", "interrupted"]
    reused_tokens: int = 0


class Generator(Protocol):
    """A language model. `kind` is "llama.cpp" or "endpoint"; `context_size` counts tokens.

    Once it was used, `load_ms` says how long it took to be ready, `device` where it runs ("cpu", "gpu", or ""
    where that cannot be known), and `warning` what the user should know of it, or "".
    """

    name: str
    kind: str
    context_size: int
    load_ms: float
    device: str
    warning: str

    def prepare(self, messages: Sequence[Message]) -> None:
        """Begin to read what prompts of `messages` start with, while nobody waits for it. Returns at once."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the prompt made of `messages` has."""

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        on_text: Callable[[str], None] | None,
        choices: Sequence[str] = (),
    ) -> Generation:
        """Answer `messages`, giving each piece of text to `on_text` as it is written.

        The pieces join to the text. With `choices` it is one of them, where the model's engine can be held to that;
        elsewhere they are not known, and the messages have to ask for them. Raises a ModelError.
        """

    def close(self) -> None:
        """End what serves it. A later use may start it again."""
