"""The child process that holds one llama.cpp model. Run by `ragcli.child.Child`.

Messages are JSON objects; `do` names what is wanted, and each is answered before the next is read, but for `stop`:

    {"do": "load", "path", "context_size", "gpu_layers", "extra_buffers": bool, "threads"}
        -> {"loaded": true, "context_size", "load_ms", "warning"}
        `gpu_layers` below 0 means all, `threads` 0 means one for each core.
    {"do": "count", "messages": [{"role", "content"}, ...]}
        -> {"tokens"}
    {"do": "generate", "messages", "max_tokens", "temperature", "seed"}
        -> {"prompt_tokens", "reused"}    the prompt was read; `reused` of its tokens were still in memory
        -> {"text", "completion_tokens"}  as often as there is text; whole characters only
        -> {"done": "end" | "length" | "interrupted", "completion_tokens", "seconds"}
    {"do": "stop"}
        ends a running `generate`, between two tokens; otherwise nothing. It has no answer of its own.
    {"do": "close"}
        ends the process, as does the end of the channel.

What goes wrong is answered by {"error", "kind"}, where `kind` is "bad_model", "no_context" (no memory for it),
"too_long" (with "tokens") or "failed". A fault in native code ends the process by a signal instead.
"""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ragcli.child import Channel, serve
from ragcli.generation.base import Message
from ragcli.generation.template import ChatTemplate, TemplateError

_TEMPLATE_MEMORY = 256 << 20
"""Bytes that a chat template may take while it runs. It may come with somebody's model, and may mean harm."""


class _Refused(Exception):
    """Answered with an error message."""

    def __init__(self, error: str, kind: str, **more: Any) -> None:
        super().__init__(error)
        self.message = {"error": error, "kind": kind, **more}


def main() -> None:
    """Be the child: serve the parent that started this process."""
    run(serve())


def run(channel: Channel) -> None:
    """Answer the channel's messages until its other end is gone."""
    # Not with the imports above: by now stdout is out of the way of what a library prints.
    from ragcli.generation.llama import LlamaError

    worker = _Worker(channel)
    with contextlib.suppress(EOFError, OSError):
        while not worker.closed:
            message, _ = channel.receive()
            try:
                worker.answer(message)
            except _Refused as refusal:
                channel.send(refusal.message)
            except (LlamaError, TemplateError) as error:
                channel.send({"error": str(error), "kind": "failed"})


class _Worker:
    """The model, and what each message does with it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.closed = False

    def answer(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "load":
                self._channel.send(self._load(message))
            case "count":
                self._channel.send({"tokens": len(self._encode(message).tokens)})
            case "generate":
                self._generate(message)
            case "close":
                self.closed = True

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        from ragcli.generation.llama import ContextRefused, LlamaError, LlamaModel

        start = time.monotonic()
        try:
            self._model = LlamaModel(
                Path(message["path"]),
                context_size=message["context_size"],
                gpu_layers=message["gpu_layers"],
                extra_buffers=message["extra_buffers"],
                threads=message["threads"],
            )
        except ContextRefused as error:
            raise _Refused(str(error), "no_context") from None
        except LlamaError as error:
            raise _Refused(str(error), "bad_model") from None
        with _limited_memory(_TEMPLATE_MEMORY):
            self._template = ChatTemplate(self._model.chat_template, bos=self._model.bos, eos=self._model.eos)
        return {
            "loaded": True,
            "context_size": self._model.context_size,
            "load_ms": (time.monotonic() - start) * 1000,
            "warning": self._template.warning,
        }

    def _encode(self, message: dict[str, Any]) -> Any:
        messages = [Message(m["role"], m["content"]) for m in message["messages"]]
        with _limited_memory(_TEMPLATE_MEMORY):
            pieces = self._template.pieces(messages)
        return self._model.encode(pieces)

    def _generate(self, message: dict[str, Any]) -> None:
        prompt = self._encode(message)
        size = len(prompt.tokens)
        if size >= self._model.context_size:
            raise _Refused("the prompt is longer than the model's context", "too_long", tokens=size)
        reading = self._model.read(prompt)
        reused = next(reading)
        for _ in reading:
            if self._wants_stop():
                self._channel.send({"prompt_tokens": size, "reused": reused})
                self._channel.send({"done": "interrupted", "completion_tokens": 0})
                return
        self._channel.send({"prompt_tokens": size, "reused": reused})
        start = time.monotonic()
        done = self._write(message, min(message["max_tokens"], self._model.context_size - size))
        self._channel.send({**done, "seconds": time.monotonic() - start})

    def _write(self, message: dict[str, Any], most: int) -> dict[str, Any]:
        count = 0
        text = _Text(lambda t: self._channel.send({"text": t, "completion_tokens": count}), self._template.stop)
        writing = self._model.write(temperature=message["temperature"], seed=message["seed"])
        with contextlib.closing(writing):
            for token in writing:
                if self._model.is_end(token):
                    text.flush()
                    return {"done": "end", "completion_tokens": count}
                count += 1
                if text.add(self._model.piece(token)):
                    return {"done": "end", "completion_tokens": count}
                if count >= most:
                    break
                if self._wants_stop():
                    return {"done": "interrupted", "completion_tokens": count}
        text.flush()
        return {"done": "length", "completion_tokens": count}

    def _wants_stop(self) -> bool:
        """Return whether the parent has said so since. Raises EOFError where it is gone."""
        if not self._channel.poll(0):
            return False
        message, _ = self._channel.receive()
        self.closed = message["do"] == "close"
        return self.closed or message["do"] == "stop"


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


@contextlib.contextmanager
def _limited_memory(more: int) -> Iterator[None]:
    """Let this process grow by at most `more` bytes meanwhile, where the system can say and limit its size."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


if __name__ == "__main__":
    main()
