"""The child process that holds a command's llama.cpp models. Run by `ragcli.child.Child`.

Messages are JSON objects. `model` names the model that one is for, and each reply bears the same name; `do` names what
is wanted. Each model is served by a thread of its own, in the order of its messages, so a long load of one does not
hold up another:

    {"do": "template", "chat_template": str | null, "bos", "eos", "roles": [["system", "user"], ...]}
        -> {"templates": [[[text, number | null], ...] | null, ...], "warning"}
        may come before "load". For each sequence of roles the pieces of a prompt: a text of the template, or the number
        of the message whose content stands there; null where the template refuses that sequence.
    {"do": "load", "path", "purpose": "write" | "embed" | "rank", "context_size", "device": "auto" | "cpu" | "gpu",
     "layers", "extra_buffers": bool, "threads", "adapter": {"path", "scale"} | null, "tokenizer"}
        -> {"loaded": true, "context_size", "load_ms", "warning", "device", "template_holds": bool}
           to embed, also {"dimension", "window"}
        `layers` is how many the file has, and `threads` 0 means one for each core. `template_holds` is whether what
        "template" said stays true.
    {"do": "count", "messages": [{"role", "content"}, ...]}
        -> {"tokens"}
    {"do": "generate", "messages", "max_tokens", "temperature", "seed", "choices": [str, ...]}
        -> {"prompt_tokens", "reused"}    the prompt was read; `reused` of its tokens were still in memory
        -> {"text", "completion_tokens"}  as often as there is text; whole characters only
        -> {"done": "end" | "length" | "interrupted", "completion_tokens", "seconds"}
        Where there are `choices`, the text is one of them, or the beginning of one that a limit cut off.
    {"do": "prepare", "messages"}
        reads what prompts of these messages begin with: all up to the end of the first content. It has no answer.
    {"do": "stop"}
        ends a running `generate`, between two tokens; otherwise nothing. It has no answer of its own.
    {"do": "embed", "prefix", "texts"}
        -> {"vectors": n}  and n vectors of 32-bit floats as payload, not scaled to length 1
    {"do": "starts", "texts"}
        -> {"starts": [[offset of each token, ...], ...]}
    {"do": "rank", "query", "passages"}
        -> {"scores": [...]}
    {"do": "about"}
        -> {"devices": [{"name", "kind", "description"}, ...], "offload": whether layers can be put on a GPU}
    {"do": "close"}
        frees the model. The process ends with the channel.

What goes wrong is answered by {"error", "kind"}, where `kind` is "bad_model", "bad_adapter", "no_context" (no memory
for it), "too_long" (with "tokens") or "failed". A fault in native code ends the process by a signal instead.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.child import Channel, serve
from ragcli.generation.base import Message
from ragcli.llama.choices import BadChoices
from ragcli.llama.gate import gate
from ragcli.llama.template import TemplateError
from ragcli.llama.writing import PromptTemplate, TooLong, Writer

if TYPE_CHECKING:
    from ragcli.llama.encoder import Encoder, Ranker
    from ragcli.llama.model import LoadedModel

_PROOF = [Message("user", "How long does the warranty of the pump last, and who repairs it?")]
"""What an adapter is tried on."""


class _Refused(Exception):
    """Answered with an error message."""

    def __init__(self, error: str, kind: str, **more: Any) -> None:
        super().__init__(error)
        self.message = {"error": error, "kind": kind, **more}


def main() -> None:
    """Be the child: serve the parent that started this process."""
    run(serve())


def run(channel: Channel) -> None:
    """Hand the channel's messages to the models' threads until its other end is gone; then end this process.

    At once: the threads may be in the middle of native work, and nothing here is worth keeping.
    """
    seats: dict[str, _Seat] = {}
    with contextlib.suppress(EOFError, OSError):
        while True:
            message, _ = channel.receive()
            name = message["model"]
            if name not in seats:
                seats[name] = _Seat(name, channel)
            seats[name].give(message)
            if message["do"] == "close":
                del seats[name]
    os._exit(0)


class _Seat:
    """One model with its thread and the messages that wait for it."""

    def __init__(self, name: str, channel: Channel) -> None:
        self._name = name
        self._channel = channel
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._template: PromptTemplate | None = None
        self._loaded: Writer | _Embedder | _Reranker | None = None
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def give(self, message: dict[str, Any]) -> None:
        """Take a message, and return at once."""
        if message["do"] == "stop":
            self._stop.set()
            return
        if message["do"] == "close":
            self._stop.set()
        if message["do"] == "generate":
            self._stop.clear()  # here, where the order of messages is known: an earlier "stop" came too late
        self._waiting.put(message)

    def _send(self, message: dict[str, Any], payload: bytes | None = None) -> None:
        self._channel.send({**message, "model": self._name}, payload)

    def _serve(self) -> None:
        try:
            while (message := self._waiting.get())["do"] != "close":
                self._answer(message)
            if self._loaded is not None:
                with gate.open():
                    self._loaded.model.close()
        except OSError:  # the parent is gone
            pass
        except BaseException:  # a fault of ours: better that the parent hears of it than that it waits
            traceback.print_exc()
            os._exit(1)

    def _answer(self, message: dict[str, Any]) -> None:
        if message["do"] in ("template", "about"):
            self._send(self._template_of(message) if message["do"] == "template" else _about())
            return
        # Not with the imports above: by now stdout is out of the way of what a library prints, and nobody waits for
        # the template any more.
        from ragcli.llama.model import LlamaError

        try:
            self._work(message)
        except _Refused as refusal:
            self._send(refusal.message)
        except TooLong as error:
            self._send({"error": str(error), "kind": "too_long", "tokens": error.tokens})
        except (LlamaError, TemplateError, BadChoices) as error:
            self._send({"error": str(error), "kind": "failed"})

    def _work(self, message: dict[str, Any]) -> None:
        match message["do"], self._loaded:
            case "load", _:
                self._send(self._load(message))
            case "count", Writer() as writer:
                messages = [Message(m["role"], m["content"]) for m in message["messages"]]
                self._send({"tokens": len(writer.encode(messages).tokens)})
            case "generate", Writer() as writer:
                writer.generate(message, self._send, self._stop.is_set)
            case "prepare", Writer() as writer:
                writer.prepare([Message(m["role"], m["content"]) for m in message["messages"]], self._stop.is_set)
            case "prepare", _:  # whoever asks for more will hear that it could not be loaded
                pass
            case (("embed" | "starts"), _Embedder() as embedder):
                with gate.open():
                    self._send(*embedder.answer(message))
            case "rank", _Reranker() as reranker:
                with gate.open():
                    scores = [reranker.ranker.score(message["query"], text) for text in message["passages"]]
                self._send({"scores": scores})
            case _:
                raise _Refused(f"no model is loaded that can {message['do']}", "failed")

    def _template_of(self, message: dict[str, Any]) -> dict[str, Any]:
        self._template = PromptTemplate(message["chat_template"], message["bos"], message["eos"])
        return self._template.answer(message["roles"])

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        from ragcli.llama.model import ContextRefused, LlamaError

        start = time.monotonic()
        try:
            with gate.open():
                model, warning = _open(message)
        except ContextRefused as error:
            raise _Refused(str(error), "no_context") from None
        except LlamaError as error:
            raise _Refused(str(error), "bad_model") from None
        reply: dict[str, Any] = {"loaded": True, "context_size": model.context_size, "device": model.device}
        if message["purpose"] == "embed":
            self._loaded = _Embedder(model, message["tokenizer"])
            reply |= {"dimension": model.dimension, "window": self._loaded.encoder.window}
        elif message["purpose"] == "rank":
            self._loaded = _Reranker(model)
        else:
            source = (model.chat_template, model.bos, model.eos)
            template = self._template
            reply["template_holds"] = template is not None and template.source == source
            if template is None or template.source != source:
                template = PromptTemplate(*source)
            self._loaded = Writer(model, template)
            warning = "; ".join(filter(None, (template.warning, warning)))
            if message["adapter"] is not None:
                _adapt(self._loaded, message["adapter"])
        return {**reply, "warning": warning, "load_ms": (time.monotonic() - start) * 1000}


def _adapt(writer: Writer, adapter: dict[str, Any]) -> None:
    from ragcli.llama.model import LlamaError

    tokens = writer.encode(_PROOF).tokens
    try:
        with gate.open():
            writer.model.adapt(Path(adapter["path"]), adapter["scale"], tokens)
    except LlamaError as error:
        raise _Refused(str(error), "bad_adapter") from None


def _about() -> dict[str, Any]:
    from ragcli.llama.devices import devices, offloads

    with gate.open():
        return {"devices": devices(), "offload": offloads()}


def _open(message: dict[str, Any]) -> tuple[Any, str]:
    """Load a model with as many layers on a GPU as it has room for. Return it, and what the user should know."""
    from ragcli.llama.devices import layers_to_try, offloads
    from ragcli.llama.model import LlamaError, LlamaModel, PooledModel

    plan = layers_to_try(message["device"], message["layers"], offloads())
    warning = ""
    for layers in plan:
        arguments: dict[str, Any] = {name: message[name] for name in ("context_size", "extra_buffers", "threads")}
        try:
            if message["purpose"] == "write":
                model: LoadedModel = LlamaModel(Path(message["path"]), gpu_layers=layers, **arguments)
            else:
                ranks = message["purpose"] == "rank"
                model = PooledModel(Path(message["path"]), ranks=ranks, gpu_layers=layers, **arguments)
        except LlamaError as error:
            if layers == plan[-1]:
                raise
            warning = f"the GPU has no room for {layers} layers of the model ({error})"
            continue
        if message["device"] == "gpu" and model.device == "cpu":
            warning = f"{warning or 'llama.cpp finds no GPU, or was built without one'}: the model runs on the CPU"
        return model, warning
    raise AssertionError("a plan without an end")


class _Embedder:
    """A model that gives vectors."""

    def __init__(self, model: Any, tokenizer: str) -> None:
        from ragcli.llama.encoder import Encoder

        self.model = model
        self.encoder: Encoder = Encoder(model, tokenizer)

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
        texts = message["texts"]
        if message["do"] == "starts":
            return {"starts": [self.encoder.starts(text) for text in texts]}, None
        vectors = [self.encoder.embed(message["prefix"], text) for text in texts]
        return {"vectors": len(vectors)}, b"".join(vector.tobytes() for vector in vectors)


class _Reranker:
    """A model that gives scores."""

    def __init__(self, model: Any) -> None:
        from ragcli.llama.encoder import Ranker

        self.model = model
        self.ranker: Ranker = Ranker(model)


if __name__ == "__main__":
    main()
