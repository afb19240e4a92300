"""Models in llama.cpp: one that answers messages, and one that puts passages in order.

They start to load when they are made, so that retrieval can run meanwhile; their answer is awaited at the first use.
Prompts are counted meanwhile, too, where the vocabulary's kind allows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ragcli.child import ChildDied, ChildTimeout
from ragcli.errors import ModelError
from ragcli.generation.base import Generation, Message
from ragcli.generation.interrupts import ctrl_c
from ragcli.llama.counting import PromptCounter
from ragcli.llama.gguf import inspect, inspect_adapter
from ragcli.llama.process import Device, Line, LlamaProcess
from ragcli.settings import home

_STOP_SECONDS = 0.25
_LOOK_UP_SECONDS = 0.05
_RANKED = 1024
"""Tokens of a question and a passage together, where the model reads as many. Each costs memory and time."""


class LlamaGenerator:
    """A GGUF model in a child process: in `process`, or in one of its own. Close it, or use it in a `with`.

    `context_size` is the asked one, or what the model was trained for where that is less. `seconds` is the longest
    that loading, and one answer, may take; `hosts` is the file that remembers machines: both count, as `threads` and
    `worker` do, for a process of its own only. `adapter_path` is a LoRA file, which changes the model as strongly as
    `adapter_scale` says. `gpu_layers` 0 is `device` "cpu". Raises ModelMissing, ModelBad or ModelFailed when made, and
    ModelBad or ModelFailed when used.

    Once it was used, `device` says where it really runs: "cpu", or "gpu (7 of 33 layers)".
    """

    kind = "llama.cpp"
    notice = ""
    """No text leaves this machine."""

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        context_size: int = 4096,
        device: Device = "auto",
        gpu_layers: int = -1,
        adapter: Path | None = None,
        adapter_scale: float = 1.0,
        process: LlamaProcess | None = None,
        threads: int = 0,
        seconds: float = 600,
        hosts: Path | None = None,
        worker: str = "ragcli.llama.worker",
    ) -> None:
        self.info = inspect(path)
        self.name = name or path.stem
        self.context_size = min(context_size, self.info.context_length or context_size)
        self.adapter = None if adapter is None else inspect_adapter(adapter, self.info).path.stem
        self.warning = ""
        self.device = ""
        self.load_ms = 0.0
        self._counter = PromptCounter(self.info)
        self._owned = process is None
        self._process = process or LlamaProcess(
            hosts or home() / "hosts.json", threads=threads, seconds=seconds, worker=worker
        )
        try:
            self._model = self._process.serve(
                self.info,
                "write",
                name=self.name,
                context_size=self.context_size,
                device=device if gpu_layers else "cpu",
                adapter=None if adapter is None else (adapter, adapter_scale),
                template=self._counter.request,
            )
        except BaseException:
            if self._owned:
                self._process.close()
            raise

    def start(self) -> None:
        """Start the child and its loading, unless it runs already, and return at once."""
        self._process.start(self._model)

    @property
    def pid(self) -> int | None:
        """Process id of the child, while there is one."""
        return self._process.pid

    def about(self) -> dict[str, Any]:
        """Return what llama.cpp sees here; see `LlamaProcess.about`."""
        return self._process.about()

    def prepare(self, messages: Sequence[Message]) -> None:
        """Let the child read what prompts of `messages` begin with, up to the end of the first content.

        For the time in which nobody waits for it: a system text that all questions share, while retrieval runs.
        Returns at once, also where the model is not loaded yet.
        """
        self._model.tell({"do": "prepare", "messages": _to_json(messages)})

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the prompt made of `messages` has.

        Waits for the model to be loaded only where its vocabulary, or its template, can be counted by the child alone.
        """
        if self._counter.works:
            if not self._counter.knows:
                with self._closing():
                    self._counter.learn(self._model.opened(0))
            count = self._counter.count(messages)
            if count is not None:
                return count
        with self._closing():
            self._await_load()
            return int(self._model.ask({"do": "count", "messages": _to_json(messages)})[0]["tokens"])

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
        """Answer `messages`, giving each piece of text to `on_text` as it is written.

        With `choices`, the text is one of them. Ctrl-C while the model reads or writes ends the answer,
        which is then returned as far as it came.
        """
        request = {
            "do": "generate",
            "messages": _to_json(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "choices": list(choices),
        }
        start = time.monotonic()
        with self._closing():
            self._await_load()
            made = self._model.converse(lambda line: self._converse(line, request, start, on_text))
        counted = self._counter.count(messages)
        if counted is not None and made.prompt_tokens not in (0, counted):
            self._counter.give_up()
        return made

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        """End a process of its own where the model cannot be loaded: nobody else would."""
        try:
            yield
        except ModelError:
            if self._owned and not self.load_ms:
                self.close()
            raise

    def _await_load(self) -> None:
        loaded = self._model.opened()
        self.load_ms, self.warning, self.device = loaded["load_ms"], loaded["warning"], loaded["device"]
        if not loaded["template_holds"]:
            self._counter.give_up()

    def _converse(
        self, line: Line, request: dict[str, Any], start: float, on_text: Callable[[str], None] | None
    ) -> Generation:
        pieces: list[str] = []
        said: dict[str, Any] = {}
        first = 0.0
        deadline = time.monotonic() + self._process.seconds
        line.send(request)
        with ctrl_c() as was_pressed:
            try:
                while "done" not in said and not was_pressed():
                    reply = line.next(min(_LOOK_UP_SECONDS, deadline - time.monotonic()))
                    if reply is None and time.monotonic() >= deadline:
                        raise ChildTimeout
                    message = {} if reply is None else reply[0]
                    said |= message
                    if "text" in message:
                        self._model.proven = True
                        first = first or time.monotonic()
                        pieces.append(message["text"])
                        if on_text is not None:
                            on_text(message["text"])
                if "done" not in said:
                    said |= self._stop(line)
            except KeyboardInterrupt:  # a second one, or one that on_text met
                self._process.close()
                said["done"] = "interrupted"
        seconds, completion_tokens = said.get("seconds", 0.0), said.get("completion_tokens", 0)
        done = said.get("done", "interrupted")
        return Generation(
            text="".join(pieces),
            prompt_tokens=said.get("prompt_tokens", 0),
            completion_tokens=completion_tokens,
            first_token_ms=(first - start) * 1000 if first else 0.0,
            tokens_per_s=completion_tokens / seconds if seconds else 0.0,
            stopped=done if done in ("end", "length") else "interrupted",
            reused_tokens=said.get("reused", 0),
        )

    def _stop(self, line: Line) -> dict[str, Any]:
        """Let the child end its answer, or end the child. Return what it said last of the counts."""
        deadline = time.monotonic() + _STOP_SECONDS
        said: dict[str, Any] = {}
        with contextlib.suppress(ChildDied, ChildTimeout):
            line.send({"do": "stop"})
            while "done" not in said:
                said |= line.receive(deadline)[0]
            return {**said, "done": "interrupted"}
        self._process.close()
        return {**said, "done": "interrupted"}

    def close(self) -> None:
        """End its own process at once, which has nothing to lose, or free the model. A later use starts it again."""
        if self._owned:
            self._process.close()
        else:
            self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class LlamaReranker:
    """A GGUF reranker in `process`. It starts to load when it is made.

    Raises ModelMissing, ModelBad or ModelFailed when made, and ModelBad or ModelFailed when used.
    """

    def __init__(
        self,
        path: Path,
        process: LlamaProcess,
        *,
        name: str = "",
        context_size: int = _RANKED,
        device: Device = "auto",
    ) -> None:
        info = inspect(path)
        self.name = name or path.stem
        context_size = min(context_size, info.context_length or context_size)
        self._model = process.serve(info, "rank", name=self.name, context_size=context_size, device=device)

    def rank(self, query: str, passages: Sequence[str]) -> list[float]:
        """Return one score for each passage; higher is better. Of a passage that is too long, the beginning is read."""
        if not passages:
            return []
        reply, _ = self._model.ask({"do": "rank", "query": query, "passages": list(passages)})
        return [float(score) for score in reply["scores"]]

    def close(self) -> None:
        """Free the model. A later use loads it again."""
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _to_json(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]
