"""A streamed chat completion, bytes -> events -> answer. What comes over the wire is bounded here, and trusted nowhere.

The wire carries server-sent events: lines `data: {...}`, each a JSON object with one `choices[0].delta`, and at the end
`data: [DONE]`. Other fields and comments are passed over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ragcli.generation.base import Generation

MAX_LINE_BYTES = 1_000_000
MAX_TOKENS = 1_000_000_000
_OPEN, _CLOSE = "<think>", "</think>"


class BadStream(Exception):
    """What was sent is no chat completion, or half of one (`is_cut`). The message goes on from "HOST ..."."""

    def __init__(self, message: str, *, is_cut: bool = False) -> None:
        super().__init__(message)
        self.is_cut = is_cut


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server counted, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Event:
    """One step of an answer. `thought` tells that the model wrote something which is not part of its answer.

    `finish` is the reason why it ended ("stop", "length", ...), or "". `error` is the server's own message.
    """

    text: str = ""
    thought: bool = False
    finish: str = ""
    usage: Usage | None = None
    error: str = ""


def lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the lines of a stream without their ends. Raises BadStream at one of over 1 MB."""
    held = bytearray()
    for block in blocks:
        *ended, rest = block.split(b"\n")
        for part in ended:
            _extend(held, part)
            yield bytes(held)
            held.clear()
        _extend(held, rest)
    if held:
        yield bytes(held)


def _extend(line: bytearray, part: bytes) -> None:
    line += part
    if len(line) > MAX_LINE_BYTES:
        raise BadStream(f"sends a line of over {MAX_LINE_BYTES // 1_000_000} MB")


def read_events(blocks: Iterable[bytes]) -> Iterator[Event]:
    """Give the events of a stream until its end. Raises BadStream, also where it ends without a word of it."""
    finished = False
    for line in lines(blocks):
        name, _, data = line.partition(b":")
        data = data.strip() if name == b"data" else b""
        if data == b"[DONE]":
            yield Event(finish="" if finished else "stop")
            return
        if data:
            event = read_event(data)
            finished = finished or bool(event.finish)
            yield event
    if not finished:
        raise BadStream("ended its stream before the answer", is_cut=True)


def read_event(data: bytes) -> Event:
    """Read one JSON object: a piece of a streamed completion, or a whole one. Raises BadStream."""
    body = read_json(data)
    if not isinstance(body, dict):
        raise BadStream("sends what is no chat completion")
    if error := server_message(body):
        return Event(error=error)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = choice.get("delta") or choice.get("message")
    if not isinstance(delta, dict):
        delta = {}
    return Event(
        text=_text(delta.get("content")),
        thought=any(bool(_text(delta.get(name))) for name in ("reasoning_content", "reasoning", "thinking")),
        finish=_text(choice.get("finish_reason"))[:50],
        usage=_usage(body.get("usage")),
    )


def read_json(data: bytes) -> Any:
    """Return the JSON value in `data`, or None where there is none. Deep nesting and giant numbers count as none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def server_message(body: Any) -> str:
    """Return the error message in a server's JSON, or "". The spellings are those of OpenAI, FastAPI and Ollama."""
    if not isinstance(body, dict) or "choices" in body:
        return ""
    error = body.get("error") or body.get("detail") or (body.get("message") if body.get("object") == "error" else "")
    if isinstance(error, dict):
        error = error.get("message") or error
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False) if error else ""


def _text(value: Any) -> str:
    # A surrogate by itself, half of a character that a server cut in two, cannot be written anywhere.
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    prompt, completion = _count(value.get("prompt_tokens")), _count(value.get("completion_tokens"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    return Usage(prompt, completion, min(cached, prompt)) if prompt else None


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else 0


class Thoughts:
    """Takes `<think>...</think>` off the front of a streamed answer, where some models write down their thoughts.

    Later on it is text like any other: a passage may hold it, and an answer may quote it.
    """

    def __init__(self) -> None:
        self.seen = False
        self._held = ""
        self._thinking = self._answering = False

    def feed(self, text: str) -> str:
        """Return what of the answer is certain after this piece of text."""
        if self._answering:
            return text
        self._held += text
        while True:
            if self._thinking:
                _, closed, rest = self._held.partition(_CLOSE)
                if not closed:
                    self._held = self._held[-len(_CLOSE) :]
                    return ""
                self._thinking, self._held = False, rest
            start = self._held.lstrip()
            if start.startswith(_OPEN):
                self.seen = self._thinking = True
                self._held = start.removeprefix(_OPEN)
            elif _OPEN.startswith(start):
                return ""
            else:
                self._answering = True
                return start if self.seen else self._held

    def end(self) -> str:
        """Return what was held back when the stream ended: nothing but white space, or the start of `<think>`."""
        return "" if self._answering or self._thinking or not self._held.strip() else self._held


@dataclass(slots=True)
class Answer:
    """An answer while it is written. `limit` bounds its bytes, whatever the server was asked for."""

    limit: int
    on_text: Callable[[str], None] | None
    started: float = field(default_factory=time.monotonic)
    first: float = 0.0
    first_text: float = 0.0
    last: float = 0.0
    stopped: Literal["", "end", "length", "interrupted"] = ""
    usage: Usage | None = None
    characters: int = 0
    _pieces: list[str] = field(default_factory=list)
    _bytes: int = 0
    _thoughts: Thoughts = field(default_factory=Thoughts)
    _has_thoughts: bool = False

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(self._pieces)

    @property
    def is_complete(self) -> bool:
        """Whether nothing more is wanted: what was counted came, too, or the limit was reached."""
        return bool(self.stopped) and (self.usage is not None or self._bytes >= self.limit)

    @property
    def has_thoughts(self) -> bool:
        """Whether the model wrote down thoughts."""
        return self._has_thoughts or self._thoughts.seen

    def take(self, event: Event) -> None:
        """Add an event, and give its text on."""
        self.usage = event.usage or self.usage
        self._has_thoughts = self._has_thoughts or event.thought
        if event.text or event.thought:
            self.last = time.monotonic()
            self.first = self.first or self.last
        if not self.stopped:
            self._write(self._thoughts.feed(event.text))
            if event.finish:
                self._write(self._thoughts.end())
                self.stopped = "length" if event.finish == "length" else "end"

    def _write(self, text: str) -> None:
        data = text.encode("utf-8")
        if self._bytes + len(data) > self.limit:
            data = data[: self.limit - self._bytes]
            text = data.decode("utf-8", "ignore")
            self.stopped = "length"
        if not text:
            return
        self.first_text = self.first_text or time.monotonic()
        self._bytes += len(data)
        self.characters += len(text)
        self._pieces.append(text)
        if self.on_text is not None:
            self.on_text(text)

    def generation(self, usage: Usage) -> Generation:
        """Return the whole. Speed is measured between the first and the last piece, the first one left out."""
        seconds = self.last - self.first
        return Generation(
            text=self.text,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            first_token_ms=(self.first_text - self.started) * 1000 if self.first_text else 0.0,
            tokens_per_s=max(0, usage.completion_tokens - 1) / seconds if seconds > 0 else 0.0,
            stopped=self.stopped or "interrupted",
            reused_tokens=usage.cached_tokens,
        )
