"""Messages -> pieces of a prompt, by the model's own chat template, with nobody's text ever read as a template.

A GGUF file carries its chat template in Jinja. It is rendered with a random word in the place of each message's
content, and the result is cut at these words. So contents never pass through the template, and the model's control
tokens can be looked for in the template's pieces alone: `<|im_start|>system` in a document stays plain text.

The template comes with the model, so it is no more trusted than the model: it runs in Jinja's sandbox, its output is
bounded, and it runs in the child process only, whose time is bounded by its parent.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ragcli.generation.base import Message

_LONGEST_RENDERED = 1 << 18
"""Characters. Contents are not among them, so this is many times the longest real template's output."""

_Render = Callable[[list[dict[str, str]]], str]


class Piece(NamedTuple):
    """A stretch of a prompt: of the template, where control tokens count, or of somebody's content."""

    text: str
    is_content: bool


def with_spaces_in_front(pieces: Sequence[Piece]) -> Iterator[tuple[int, str, bool]]:
    """Give number, text and kind of each piece. A space that ends one moves to the next: words begin with theirs."""
    space = ""
    for i, piece in enumerate(pieces):
        text = space + piece.text
        space = " " if text.endswith(" ") and i + 1 < len(pieces) else ""
        if text := text.removesuffix(space):
            yield i, text, piece.is_content


class TemplateError(Exception):
    """The template cannot be used."""


class ChatTemplate:
    """How one model wants its messages.

    Where the file has no template, or one that cannot be used, a plain form with role names stands in; `warning` then
    says why, and `stop` is the text at which an answer in that form ends.
    """

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self.warning = ""
        self.stop = ""
        self._render: _Render
        self._folds_system = False
        question = Message("user", "?")
        try:
            if source is None:
                raise TemplateError("the file has none")
            self._render = _compile(source, bos, eos)
            try:
                self._cut([Message("system", "!"), question])
            except TemplateError:  # as Gemma's and some of Mistral's, which know no system role
                self._folds_system = True
                self._cut([question])
        except TemplateError as error:
            self.warning = f"the model's chat template is not used ({error}); questions are put in a plain form"
            self._render, self._folds_system, self.stop = _render_plainly, False, "\n\nUser:"

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """Return the prompt that asks the model to go on after `messages`.

        White space around contents is dropped, as most templates do. Raises TemplateError where the template refuses
        this sequence of roles.
        """
        return self._cut(messages)

    def _cut(self, messages: Sequence[Message]) -> list[Piece]:
        contents = {f"x{secrets.token_hex(12)}": message.content.strip() for message in messages}
        turns = [{"role": m.role, "content": word} for m, word in zip(messages, contents, strict=True)]
        if self._folds_system:
            turns = _fold_system(turns)
        rendered = self._render(turns)
        pieces = []
        for text in re.split(f"({'|'.join(contents)})", rendered):
            if text:
                pieces.append(Piece(contents.get(text, text), text in contents))
        if any(word not in rendered for word in contents):
            raise TemplateError("it leaves out a message")
        return pieces


def _fold_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Put the system text before the first question, for templates without that role."""
    system = [t["content"] for t in turns if t["role"] == "system"]
    others = [t for t in turns if t["role"] != "system"]
    if not system:
        return others
    if not others or others[0]["role"] != "user":
        others.insert(0, {"role": "user", "content": ""})
    text = "\n\n".join([*system, others[0]["content"]]).strip()
    return [{"role": "user", "content": text}, *others[1:]]


def _render_plainly(turns: list[dict[str, str]]) -> str:
    return "".join(f"{t['role'].capitalize()}: {t['content']}\n\n" for t in turns) + "Assistant:"


def _compile(source: str, bos: str, eos: str) -> _Render:
    """Return the template as a function, with the helpers that templates written for transformers expect."""
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError as JinjaError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, which marks the assistant's words for training: here its body alone counts."""

        tags = {"generation"}

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise JinjaError(message)

    def to_json(value: Any, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)

    def render(turns: list[dict[str, str]]) -> str:
        # Thinking aloud before the answer costs more than it gives where the passages hold the answer.
        values = {"messages": turns, "add_generation_prompt": True, "enable_thinking": False}
        values |= {"bos_token": bos, "eos_token": eos, "tools": None}
        parts: list[str] = []
        size = 0
        try:
            for part in template.generate(values):
                parts.append(part)
                size += len(part)
                if size > _LONGEST_RENDERED:
                    raise TemplateError("its output has no end")
        except TemplateError:
            raise
        except Exception as error:  # whatever the template's own code may raise
            raise TemplateError(_one_line(error)) from None
        return "".join(parts)

    try:
        template = environment.from_string(source)
    except Exception as error:  # Jinja, and Python's compiler behind it
        raise TemplateError(_one_line(error)) from None
    return render


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
