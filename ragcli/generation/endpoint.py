"""A language model behind an OpenAI-compatible endpoint: llama-server, vLLM, Ollama, LM Studio, or a service.

The address is `http://127.0.0.1:8080`, with or without `/v1` or `/v1/chat/completions`; a fragment names the model, as
in `http://127.0.0.1:11434#qwen2.5:7b`. Without a name, the first model that the server offers is taken.

What is asked leaves the process: `notice` says so, and where to. The key comes from the environment alone.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from ragcli.errors import ModelFailed, UsageError
from ragcli.generation.address import Address, key_for
from ragcli.generation.base import Generation, Message
from ragcli.generation.events import Answer, BadStream, Event, Usage, read_event, read_events, read_json
from ragcli.generation.exchange import Exchange, Failed, not_an_endpoint, one_line, read_body
from ragcli.generation.interrupts import ctrl_c

_LOOK_UP_SECONDS = 0.05
_PATIENCE = 5
"""Before the first word a server may load the model and read the prompt: its silence may be so many times as long."""
_USAGE_SECONDS = 2.0
"""How long what was counted is awaited after the answer's end."""
_BYTES_PER_TOKEN = 64
_MAX_LIST_BYTES = 8_000_000
_MAX_PAUSE = 8.0
_NO_LIST = (404, 405, 501)
"""How servers answer that give answers, but no list of models."""
_OPTIONAL = ("stream_options", "seed", "temperature")
_LENGTH = re.compile(r"context|too long|prompt is|maximum length", re.IGNORECASE)
_LETTERS, _SPACE, _LINE_ENDS = re.compile("[A-Za-z]"), re.compile(r"\s"), re.compile(r"\n+")
_PER_MESSAGE, _PER_PROMPT = 8, 24

Item = TypeVar("Item")


class EndpointGenerator:
    """A model behind an endpoint. Nothing is open between two answers.

    `model` wins over the address's fragment. `seconds` is the longest that one answer may take, `read_seconds` the
    longest silence within it (before its first word, five times as long). A request is tried `tries` times, with
    pauses from `pause_seconds` up, as long as no text came. `name` is the model's once that is known, with the host.
    Raises UsageError, and with `offline` ModelFailed for another machine, when made; ModelFailed when used.
    """

    kind = "endpoint"

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        key: str = "",
        context_size: int = 4096,
        seconds: float = 600,
        connect_seconds: float = 10,
        read_seconds: float = 60,
        tries: int = 3,
        pause_seconds: float = 0.5,
        offline: bool = False,
    ) -> None:
        self._address = address = Address.parse(url)
        if offline and not address.is_local:
            raise ModelFailed(
                f"{address.host} is not on this machine, and RAGCLI_OFFLINE forbids the network",
                "unset RAGCLI_OFFLINE, or give --model an endpoint or a file on this machine",
            )
        if key and not re.fullmatch(r"[\x21-\x7e]+", key):
            raise UsageError("the key holds a character that no key can hold", "look at RAGCLI_API_KEY")
        self._model = model or address.model
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "ragcli"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._seconds = seconds
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._tries = tries
        self._pause_seconds = pause_seconds
        self._refused: set[str] = set()
        self.name = f"{self._model}@{address.host}" if self._model else address.host
        self.context_size = context_size
        self.load_ms = 0.0
        self.device = ""
        self.warning = ""
        if not address.is_local and not address.is_encrypted:
            self._warn(f"what is sent to {address.host} is not encrypted on its way")

    @classmethod
    def from_environment(cls, url: str, **arguments: Any) -> Self:
        """Return the generator with the key that the environment holds for `url`."""
        return cls(url, key=key_for(url), **arguments)

    @property
    def notice(self) -> str:
        """What a user should read before the first question leaves the process."""
        place = " on this machine" if self._address.is_local else ""
        return f"the question and the passages are sent to {self._address.host}{place}"

    def check(self) -> None:
        """Find out whether the endpoint is there, and the model's name where none was given. Sends no text.

        Raises ModelFailed.
        """
        deadline = time.monotonic() + self._seconds
        with self._exchange(self._names) as exchange, ctrl_c() as was_pressed:
            try:
                names = self._await(exchange, deadline, self._read_seconds, was_pressed) or []
            except Failed as failed:
                if failed.status in _NO_LIST and self._model:
                    return
                raise
        if was_pressed():
            raise KeyboardInterrupt
        self._choose(names)

    def prepare(self, messages: Sequence[Message]) -> None:
        """Do nothing: no text leaves before it is asked for."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return about how many tokens the prompt has, rather too many than too few: the tokenizer is not known."""
        return _PER_PROMPT + sum(_PER_MESSAGE + estimate(message.content) for message in messages)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: Callable[[str], None] | None = None,
        choices: Sequence[str] = (),
    ) -> Generation:
        """Answer `messages`, giving each piece of text to `on_text` as it comes.

        `choices` are not sent: there is no way to ask for them that all servers know. What the model only
        thinks is left out. Ctrl-C ends the answer, which is then returned as far as it came.
        """
        body = {
            "messages": [{"role": m.role, "content": _writable(m.content)} for m in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        answer = Answer(limit=max_tokens * _BYTES_PER_TOKEN, on_text=on_text)
        with self._exchange(lambda exchange: self._chat(exchange, body)) as exchange, ctrl_c() as was_pressed:
            try:
                self._converse(exchange, answer, was_pressed)
            except KeyboardInterrupt:  # a second one, or one that on_text met
                answer.stopped = "interrupted"
            except ModelFailed as failed:
                if not answer.characters:
                    raise
                came = f"{failed.message} ({answer.characters} characters of the answer came before)"
                raise ModelFailed(came, failed.hint) from None
        if answer.stopped == "length" and answer.has_thoughts and not answer.characters:
            raise ModelFailed(
                f"{self.name} spent all of its {max_tokens} tokens on thoughts, and wrote no answer",
                "raise --max-tokens, or switch the model's thinking off",
            )
        usage = answer.usage or Usage(self.count_tokens(messages), estimate(answer.text), 0)
        return answer.generation(usage)

    def close(self) -> None:
        """Do nothing: threads and connections end with their answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(
        self, work: Callable[[Exchange[Item]], Generator[Item, None, None]]
    ) -> AbstractContextManager[Exchange[Item]]:
        return Exchange(
            work,
            address=self._address,
            headers=self._headers,
            connect_seconds=self._connect_seconds,
            read_seconds=self._read_seconds * _PATIENCE,
        )

    def _converse(self, exchange: Exchange[Event], answer: Answer, was_pressed: Callable[[], bool]) -> None:
        """Take events until the answer is whole, cut off by its limit, or not wanted any more."""
        deadline = time.monotonic() + self._seconds
        while not answer.is_complete:
            silence = self._read_seconds * (1 if answer.first else _PATIENCE)
            try:
                event = self._await(exchange, deadline, silence, was_pressed)
            except ModelFailed:
                if answer.stopped:  # all that is missing is what was counted
                    return
                raise
            if was_pressed():
                answer.stopped = answer.stopped or "interrupted"
                return
            if event is None:
                return
            if event.error:
                failure = f"{self._address.host} failed: {exchange.clean(event.error)}"
                raise ModelFailed(failure, "look at the server's log")
            answer.take(event)
            if event.finish:
                deadline = min(deadline, time.monotonic() + _USAGE_SECONDS)
            if event.finish == "content_filter":
                self._warn(f"{self._address.host} cut the answer off (content_filter)")

    def _await(
        self, exchange: Exchange[Item], deadline: float, silence: float, was_pressed: Callable[[], bool]
    ) -> Item | None:
        """Return the next item; None at the end, or when Ctrl-C was pressed. Raises ModelFailed where it is late."""
        since = now = time.monotonic()
        while not was_pressed():
            if now >= deadline:
                raise ModelFailed(
                    f"{self._address.host} did not end its answer within {self._seconds:g} seconds",
                    "allow it more with `ragcli config set generate_seconds`, or take a smaller model",
                )
            if now >= since + silence:
                raise ModelFailed(
                    f"{self._address.host} was silent for {silence:g} seconds", "is it busy? look at the server's log"
                )
            with contextlib.suppress(TimeoutError):
                return exchange.receive(_LOOK_UP_SECONDS)
            now = time.monotonic()
        return None

    # What follows runs in the exchange's thread, while the caller waits.

    def _chat(self, exchange: Exchange[Event], body: dict[str, Any]) -> Generator[Event, None, None]:
        """Ask until an answer comes, and give its events. An empty one tells that another try is made."""
        failures = 0
        given = False
        while True:
            try:
                if not self._model:
                    self._choose(self._listed(exchange))
                for event in self._stream(exchange, self._adjusted(body)):
                    given = given or bool(event.text)
                    yield event
                return
            except Failed as failed:
                if given and failed.again:
                    raise ModelFailed(f"{self._address.host} ended the answer in the middle", failed.hint) from None
                if given:
                    raise
                if not self._adjust(failed):
                    failures += 1
                    if not failed.again or failures >= self._tries:
                        raise self._explained(exchange, failed) from None
                    yield Event()
                    self._pause(exchange, failed, failures)

    def _pause(self, exchange: Exchange[Any], failed: Failed, failures: int) -> None:
        exchange.pause(max(failed.pause, min(_MAX_PAUSE, self._pause_seconds * 2 ** (failures - 1))))

    def _stream(self, exchange: Exchange[Event], body: dict[str, Any]) -> Iterator[Event]:
        host = self._address.host
        with exchange.request("POST", self._address.url("/chat/completions"), body) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            try:
                if kind == "application/json":  # some do not stream
                    event = read_event(read_body(response, _MAX_LIST_BYTES))
                    if not (event.finish or event.error or event.text):
                        raise not_an_endpoint(host)
                    yield replace(event, finish=event.finish or "stop")
                elif kind in ("text/event-stream", ""):
                    yield from read_events(response.iter_raw())
                else:
                    raise not_an_endpoint(host)
            except BadStream as bad:
                raise Failed(f"{host} {bad}", "look at the server's log", again=bad.is_cut) from None

    def _adjusted(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the request without what this server has refused before."""
        asked = {"model": self._model} | {name: value for name, value in body.items() if name not in self._refused}
        if "max_tokens" in self._refused:
            asked["max_completion_tokens"] = body["max_tokens"]
        return asked

    def _adjust(self, failed: Failed) -> bool:
        """Leave out what the server names in a refusal, if it can be left out. Return whether there was something."""
        if failed.status not in (400, 422) or _LENGTH.search(failed.said):
            return False
        names = {name for name in _OPTIONAL if name in failed.said}
        if "max_completion_tokens" in failed.said:
            names.add("max_tokens")
        names -= self._refused
        self._refused |= names
        if "temperature" in names:
            self._warn(f"{self._address.host} takes no temperature: its answers may differ from time to time")
        return bool(names)

    def _names(self, exchange: Exchange[list[str]]) -> Generator[list[str], None, None]:
        """Give the models' names, once, in several tries: a server may be about to start."""
        failures = 0
        while True:
            try:
                names = self._listed(exchange)
                break
            except Failed as failed:
                failures += 1
                if not failed.again or failures >= self._tries:
                    raise
                self._pause(exchange, failed, failures)
        yield names

    def _listed(self, exchange: Exchange[Any]) -> list[str]:
        """Return the names of the models that the server offers."""
        with exchange.request("GET", self._address.url("/models")) as response:
            listed = read_json(read_body(response, _MAX_LIST_BYTES))
        rows = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(rows, list):
            raise not_an_endpoint(self._address.host)
        names = [row.get("id") for row in rows if isinstance(row, dict)]
        return [name for name in names if isinstance(name, str) and 0 < len(name) <= 500 and name.isprintable()]

    def _choose(self, names: Sequence[str]) -> None:
        """Take the first model that can write, if none is named yet."""
        if self._model:
            return
        writers = [name for name in names if "embed" not in name.lower()]
        if not writers:
            raise ModelFailed(f"{self._address.host} offers no model", "load one there, or name one: URL#MODEL")
        self._model = writers[0]
        self.name = f"{one_line(self._model)}@{self._address.host}"
        if len(writers) > 1:
            taken = f"{self._address.host} offers {len(writers)} models, and {one_line(self._model)} is taken"
            self._warn(f"{taken}: URL#MODEL names another")

    def _explained(self, exchange: Exchange[Any], failed: Failed) -> ModelFailed:
        """Return a failure with a better hint, where the server's own words allow one."""
        if failed.status == 400 and _LENGTH.search(failed.said):
            hint = "lower it with `ragcli config set context_size`, or ask for fewer hits with -n"
            return ModelFailed(failed.message, hint)
        if failed.status in (400, 404) and "model" in failed.said.lower():
            try:
                names = self._listed(exchange)
            except Failed:
                return failed
            near = difflib.get_close_matches(self._model, names, 3, 0.4) or names[:5]
            if near and self._model not in names:
                return ModelFailed(failed.message, f"it offers {one_line(', '.join(near))}")
        return failed

    def _warn(self, text: str) -> None:
        if text not in self.warning:
            self.warning = f"{self.warning}; {text}" if self.warning else text


def estimate(text: str) -> int:
    """Return about how many tokens `text` has: 1 for 3 letters, 1 for any other character; spaces cost nothing.

    Measured on English and Chinese manuals with the vocabularies of Llama 3, Qwen, Gemma and Command R: 0.97 to 2.2
    times the true number, 1.3 in the middle. Chinese in a vocabulary of Llama 2 takes up to 1.7 times the estimate.
    """
    letters, lines = len(_LETTERS.findall(text)), len(_LINE_ENDS.findall(text))
    return -(-letters // 3) + lines + len(text) - letters - len(_SPACE.findall(text))


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
