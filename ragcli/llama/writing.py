"""Messages -> tokens -> text, by one language model. Used in the child process only."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ragcli.generation.base import Message
from ragcli.llama.gate import gate
from ragcli.llama.template import ChatTemplate, Piece, TemplateError

if TYPE_CHECKING:
    from ragcli.llama.model import Encoded, LlamaModel

Send = Callable[[dict[str, Any]], None]


class TooLong(Exception):
    """The prompt, which has so many tokens, does not fit into the model's context."""

    def __init__(self, tokens: int) -> None:
        super().__init__("the prompt is longer than the model's context")
        self.tokens = tokens


class PromptTemplate:
    """A chat template with the prompts that it was asked for, contents left open."""

    def __init__(self, chat_template: str | None, bos: str, eos: str) -> None:
        self.source = (chat_template, bos, eos)
        with gate.alone():
            self._template = ChatTemplate(chat_template, bos=bos, eos=eos)
        self.warning, self.stop = self._template.warning, self._template.stop
        self._known: dict[tuple[str, ...], list[tuple[str, int | None]]] = {}

    def open(self, roles: tuple[Any, ...]) -> list[tuple[str, int | None]]:
        """Return the pieces of a prompt, with the number of a message in the place of its content."""
        if roles not in self._known:
            with gate.alone():
                pieces = self._template.pieces([Message(role, str(i)) for i, role in enumerate(roles)])
            self._known[roles] = [("", int(p.text)) if p.is_content else (p.text, None) for p in pieces]
        return self._known[roles]

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """Return the pieces of a prompt. Raises TemplateError where the template refuses this sequence of roles."""
        return [
            Piece(text, False) if at is None else Piece(messages[at].content.strip(), True)
            for text, at in self.open(tuple(m.role for m in messages))
        ]

    def answer(self, sequences: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Return what the worker's protocol says for each sequence of roles."""
        templates: list[list[tuple[str, int | None]] | None] = []
        for roles in sequences:
            try:
                templates.append(self.open(tuple(roles)))
            except TemplateError:
                templates.append(None)
        return {"templates": templates, "warning": self.warning}


class Writer:
    """A loaded model with its template. Raises LlamaError, and TemplateError where the template refuses the roles."""

    def __init__(self, model: LlamaModel, template: PromptTemplate) -> None:
        self.model = model
        self._template = template

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Return the prompt's tokens."""
        pieces = self._template.pieces(messages)
        with gate.open():
            return self.model.encode(pieces)

    def prepare(self, messages: Sequence[Message], stops: Callable[[], bool]) -> None:
        """Read what prompts of these messages begin with. That it fails does no harm."""
        from ragcli.llama.model import Encoded, LlamaError

        with contextlib.suppress(LlamaError, TemplateError):
            prompt = self.encode(messages)
            if prompt.stable < self.model.context_size:
                with gate.open():
                    for _ in self.model.read(Encoded(prompt.tokens[: prompt.stable], prompt.stable)):
                        if stops():
                            break

    def generate(self, message: dict[str, Any], send: Send, stops: Callable[[], bool]) -> None:
        """Answer as the worker's protocol says; `stops` is asked between two tokens. Raises TooLong."""
        prompt = self.encode([Message(m["role"], m["content"]) for m in message["messages"]])
        with gate.open():
            self._generate(prompt, message, send, stops)

    def _generate(self, prompt: Encoded, message: dict[str, Any], send: Send, stops: Callable[[], bool]) -> None:
        size = len(prompt.tokens)
        if size >= self.model.context_size:
            raise TooLong(size)
        reading = self.model.read(prompt)
        reused = next(reading)
        for _ in reading:
            if stops():
                send({"prompt_tokens": size, "reused": reused})
                send({"done": "interrupted", "completion_tokens": 0})
                return
        send({"prompt_tokens": size, "reused": reused})
        start = time.monotonic()
        done = self._write(message, min(message["max_tokens"], self.model.context_size - size), send, stops)
        send({**done, "seconds": time.monotonic() - start})

    def _write(self, message: dict[str, Any], most: int, send: Send, stops: Callable[[], bool]) -> dict[str, Any]:
        count = 0
        text = _Text(lambda t: send({"text": t, "completion_tokens": count}), self._template.stop)
        writing = self.model.write(temperature=message["temperature"], seed=message["seed"], choices=message["choices"])
        with contextlib.closing(writing):
            for token in writing:
                if self.model.is_end(token):
                    text.flush()
                    return {"done": "end", "completion_tokens": count}
                count += 1
                if text.add(self.model.piece(token)):
                    return {"done": "end", "completion_tokens": count}
                if count >= most:
                    break
                if stops():
                    return {"done": "interrupted", "completion_tokens": count}
            else:  # one of the choices is written
                text.flush()
                return {"done": "end", "completion_tokens": count}
        text.flush()
        return {"done": "length", "completion_tokens": count}


class _Text:
    """Bytes of tokens -> pieces of text: whole characters, no white space in front, and nothing from `stop` on."""

    def __init__(self, give: Callable[[str], None], stop: str) -> None:
        self._give = give
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._begun = False

    def add(self, data: bytes) -> bool:
        """Give what has become clear. Return whether `stop` was found."""
        self._held += self._decoder.decode(data)
        if not self._begun:
            self._held = self._held.lstrip()
        at = self._held.find(self._stop) if self._stop else -1
        if at >= 0:
            self._held = self._held[:at]
            self.flush()
            return True
        clear = len(self._held) - self._doubtful()
        self._send(self._held[:clear])
        self._held = self._held[clear:]
        return False

    def _doubtful(self) -> int:
        """Return how many of the last characters may be the beginning of `stop`."""
        return next((n for n in range(len(self._stop) - 1, 0, -1) if self._held.endswith(self._stop[:n])), 0)

    def flush(self) -> None:
        """Give what was held back. Bytes of a character that was cut off are dropped."""
        self._send(self._held)
        self._held = ""

    def _send(self, text: str) -> None:
        if text:
            self._begun = True
            self._give(text)
