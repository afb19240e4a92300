"""The parent's side of the child process that holds llama.cpp: starts it, watches over it, and speaks for each model.

The child starts to load a model as soon as it is served, so that retrieval can run meanwhile; its answer is awaited at
the first use. A fault or a hang ends the child, never the command. The next use starts another, with all its models.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from ragcli.child import Child, ChildDied, ChildTimeout
from ragcli.errors import ModelBad, ModelError, ModelFailed
from ragcli.llama.gguf import GgufInfo
from ragcli.llama.hosts import extra_buffers_work, remember_extra_buffers
from ragcli.llama.memory import check_memory

_FAULTS = frozenset({signal.SIGSEGV, signal.SIGILL, signal.SIGBUS})
"""How a child ends that met an instruction which this machine only pretends to have. An assertion is SIGABRT, and a
lack of memory SIGKILL: neither gets better by a restart."""

_ENVIRONMENT = {"GGML_NO_BACKTRACE": "1", "GOMP_SPINCOUNT": "1000"}
"""For the child, unless the user says otherwise. The first keeps ggml from hanging a debugger on a process that fails.
The second lets threads that wait for each other sleep after some microseconds: as OpenMP has it, they spin for
milliseconds, and on a machine that does other work too, a model of 100 million weights falls to 1 or 2 tokens a second
instead of 30."""

_FLAGS = {"write": "--model", "embed": "--encoder", "rank": "--rerank"}

Device = Literal["auto", "cpu", "gpu"]
Purpose = Literal["write", "embed", "rank"]
Reply = tuple[dict[str, Any], bytes]
Result = TypeVar("Result")


class _Life:
    """One run of the child. Its messages are sorted by model, in a thread, and its death is told to all."""

    def __init__(self, child: Child, extra_buffers: bool) -> None:
        self.child = child
        self.extra_buffers = extra_buffers
        self.opened: dict[str, list[dict[str, Any]]] = {}
        self._inboxes: dict[str, queue.SimpleQueue[Reply | Exception]] = {}
        self._end: Exception | None = None
        self._lock = threading.Lock()
        self._ending = threading.Lock()
        self._reader = threading.Thread(target=self._sort, daemon=True)
        self._reader.start()

    def _sort(self) -> None:
        try:
            while True:
                if self.child.poll(3600):
                    message, payload = self.child.receive(60)
                    with self._lock:
                        inbox = self._inboxes.get(message.pop("model", ""))
                    if inbox is not None:
                        inbox.put((message, payload))
        except (ChildDied, ChildTimeout, OSError) as error:
            with self._lock:
                self._end = error
                for inbox in self._inboxes.values():
                    inbox.put(error)

    def open(self, model: ServedModel, timeout: float) -> None:
        """Ask for a model, unless that was done."""
        with self._lock:
            if model.key in self._inboxes:
                return
            self._inboxes[model.key] = queue.SimpleQueue()
            if self._end is not None:
                self._inboxes[model.key].put(self._end)
        self.opened[model.key] = []
        with contextlib.suppress(ChildDied):  # comes to light when its answer is awaited
            for message in model.opening:
                self.send(model.key, {**message, "extra_buffers": self.extra_buffers}, timeout)

    def forget(self, key: str, timeout: float) -> None:
        """Let the child free a model."""
        with self._lock:
            known = self._inboxes.pop(key, None)
        self.opened.pop(key, None)
        if known is not None:
            with contextlib.suppress(ChildDied, ChildTimeout):
                self.send(key, {"do": "close"}, timeout)

    def send(self, key: str, message: Mapping[str, Any], timeout: float) -> None:
        """Send one message. Raises ChildDied, ChildTimeout."""
        self.child.send({**message, "model": key}, timeout=timeout)

    def next(self, key: str, timeout: float) -> Reply | None:
        """Return the next message for a model, or None where there is none in time. Raises ChildDied, ChildTimeout."""
        inbox = self._inboxes[key]
        try:
            found = inbox.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            inbox.put(found)  # whoever asks again hears it again
            raise found
        return found

    def end(self) -> None:
        """End the child at once; it has nothing to lose. A second time does nothing."""
        with self._ending:  # two threads that close one file may close a third one's
            self.child.kill()
            self._reader.join(timeout=5)
            self.child.close()


class Line:
    """A conversation with one loaded model."""

    def __init__(self, life: _Life, model: ServedModel) -> None:
        self._life = life
        self._model = model

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message. Raises ChildDied, ChildTimeout."""
        self._life.send(self._model.key, message, self._model.process.seconds)

    def next(self, timeout: float) -> Reply | None:
        """Return the next reply, or None where there is none in time. Raises ModelError, ChildDied, ChildTimeout."""
        reply = self._life.next(self._model.key, timeout)
        if reply is not None and "error" in reply[0]:
            raise self._model.refusal(reply[0])
        return reply

    def receive(self, deadline: float) -> Reply:
        """Return the next reply. Raises ModelError, ChildDied, and ChildTimeout after the deadline."""
        reply = self.next(deadline - time.monotonic())
        if reply is None:
            raise ChildTimeout
        return reply


class ServedModel:
    """One GGUF model in a process, by name. Use it through `ask`, or `converse` where there are several replies."""

    def __init__(self, process: LlamaProcess, key: str, name: str, opening: list[dict[str, Any]]) -> None:
        self.process = process
        self.key = key
        self.name = name
        self.opening = opening
        self.proven = False
        self.lock = threading.RLock()

    def ask(self, message: Mapping[str, Any]) -> Reply:
        """Send one message to the loaded model and return its reply. Raises ModelBad or ModelFailed."""

        def work(line: Line) -> Reply:
            line.send(message)
            reply = line.receive(time.monotonic() + self.process.seconds)
            self.proven = self.proven or message["do"] in ("embed", "rank")
            return reply

        return self.converse(work)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message that has no answer, and return at once. Whether it arrives, the next answer will show."""
        self.process.tell(self, message)

    def converse(self, work: Callable[[Line], Result]) -> Result:
        """Do `work` with the loaded model; again, and with plain buffers, where the first time met a faulty kernel."""
        return self.process.supervised(self, lambda life: work(self._line(life)))

    def opened(self, number: int = -1) -> dict[str, Any]:
        """Return the reply to one of the messages that opened the model; the last is that it is loaded."""
        return self.process.supervised(self, lambda life: self._await_opening(life, number))

    def _line(self, life: _Life) -> Line:
        self._await_opening(life, -1)
        return Line(life, self)

    def _await_opening(self, life: _Life, number: int) -> dict[str, Any]:
        replies = life.opened[self.key]
        deadline = time.monotonic() + self.process.seconds
        line = Line(life, self)
        while len(replies) <= number % len(self.opening):
            replies.append(line.receive(deadline)[0])
        return replies[number % len(self.opening)]

    def refusal(self, message: dict[str, Any]) -> ModelError:
        """Return the error for a reply that is one. What could not be loaded is asked for again at the next use."""
        kind, error, load = message["kind"], message["error"], self.opening[-1]
        if kind == "too_long":
            return ModelFailed(
                f"the prompt has {message['tokens']} tokens, and the model's context {load['context_size']}",
                "shorten the question, ask for fewer hits with -n, or raise `context_size`",
            )
        if kind == "failed":
            return ModelFailed(f"the model {self.name} failed: {error}", "try another GGUF file")
        self.close()
        if kind == "no_context":
            return ModelFailed(
                f"no memory for a context of {load['context_size']} tokens: {error}",
                "lower it with `ragcli config set context_size`",
            )
        if kind == "bad_adapter":
            return ModelBad(
                f"{load['adapter']['path']}: {error}", "give --adapter a LoRA adapter that was trained for this model"
            )
        return ModelBad(f"{load['path']}: {error}", f"give {_FLAGS[load['purpose']]} another GGUF file")

    def close(self) -> None:
        """Free the model. A later use loads it again."""
        self.process.drop(self)


class LlamaProcess:
    """A child process for all of llama.cpp that a command needs. Close it, or use it in a `with`.

    `threads` 0 means one for each core. `seconds` is the longest that loading, one answer, or one batch may take.
    `hosts` is the file that remembers machines.
    """

    def __init__(
        self,
        hosts: Path,
        *,
        threads: int = 0,
        seconds: float = 600,
        worker: str = "ragcli.llama.worker",
    ) -> None:
        self.seconds = seconds
        self._threads = threads
        self._hosts = hosts
        self._worker = worker
        self._extra_buffers = extra_buffers_work(hosts)
        self._models: dict[str, ServedModel] = {}
        self._served = 0
        self._life: _Life | None = None
        self._lock = threading.RLock()

    def serve(
        self,
        info: GgufInfo,
        purpose: Purpose,
        *,
        name: str = "",
        context_size: int,
        device: Device = "auto",
        adapter: tuple[Path, float] | None = None,
        template: Mapping[str, Any] | None = None,
    ) -> ServedModel:
        """Start to load a model file, and return at once.

        `adapter` is a LoRA file and its scale. `template` is a message that is answered before the model is loaded.
        Raises ModelBad where the file is of another kind, and ModelFailed where there is no memory for it.
        """
        _check_purpose(info, purpose)
        check_memory(info, context_size, device)
        layers = info.metadata.get(f"{info.architecture}.block_count")
        load = {
            "do": "load",
            "path": str(info.path.absolute()),
            "purpose": purpose,
            "context_size": context_size,
            "device": device,
            "layers": layers if isinstance(layers, int) else 0,
            "threads": self._threads,
            "adapter": None if adapter is None else {"path": str(adapter[0].absolute()), "scale": adapter[1]},
            "tokenizer": info.tokenizer,
        }
        opening = [load] if template is None else [{"do": "template", **template}, load]
        self._served += 1
        model = ServedModel(self, f"{purpose}-{self._served}", name or info.path.stem, opening)
        self.start(model)
        return model

    def start(self, model: ServedModel | None = None) -> None:
        """Start the child, and the loading of `model` and of all that it held before. Returns at once."""
        self._alive(model)

    def _alive(self, model: ServedModel | None = None) -> _Life:
        with self._lock:
            if model is not None:
                self._models[model.key] = model
            if self._life is None:
                environment = {name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()}
                try:
                    self._life = _Life(Child(self._worker, environment=environment), self._extra_buffers)
                except OSError as error:
                    raise ModelFailed(f"no process for the model: {error.strerror}", "end other programs") from None
            for known in self._models.values():
                self._life.open(known, self.seconds)
            return self._life

    def tell(self, model: ServedModel, message: Mapping[str, Any]) -> None:
        """Send a message that has no answer."""
        with contextlib.suppress(ChildDied, ChildTimeout):
            self._alive(model).send(model.key, message, self.seconds)

    @property
    def pid(self) -> int | None:
        """Process id of the child, while there is one."""
        return None if self._life is None else self._life.child.pid

    def about(self) -> dict[str, Any]:
        """Return {"devices": [{"name", "kind", "description"}, ...], "offload"}: what llama.cpp sees and can use.

        Raises ModelFailed where llama.cpp cannot be started.
        """
        model = ServedModel(self, "about", "llama.cpp", [{"do": "about"}])
        try:
            return model.opened()
        finally:
            self.drop(model)

    def supervised(self, model: ServedModel, work: Callable[[_Life], Result]) -> Result:
        """Do `work` for a model, and again with plain buffers where the first time met a faulty kernel.

        Raises what the model refuses, and ModelFailed where the child dies or hangs.
        """
        with model.lock:
            life = None
            try:
                try:
                    life = self._alive(model)
                    return work(life)
                except ChildDied as death:
                    if life is None or not life.extra_buffers or death.signal not in _FAULTS or self._all_proven(life):
                        raise
                self._extra_buffers = False
                self._end(life)
                life = self._alive(model)
                result = work(life)
                remember_extra_buffers(self._hosts, work=False)
                return result
            except ModelError:
                raise
            except ChildDied as death:
                self._end(life)
                raise _failed(model, death) from None
            except ChildTimeout:
                self._end(life)
                raise ModelFailed(
                    f"the model {model.name} did not answer within {self.seconds:g} seconds",
                    "allow it more with `ragcli config set generate_seconds`, or take a smaller model",
                ) from None
            except BaseException:  # in the middle of an answer, maybe: the rest of it would be taken for the next
                self._end(life)
                raise

    def _all_proven(self, life: _Life) -> bool:
        """Return whether every model has answered before, so that a fault now has another cause."""
        return all(model.proven for key, model in self._models.items() if key in life.opened)

    def drop(self, model: ServedModel) -> None:
        """Free a model."""
        with self._lock:
            self._models.pop(model.key, None)
            if self._life is not None:
                self._life.forget(model.key, self.seconds)

    def _end(self, life: _Life | None) -> None:
        with self._lock:
            if life is not None and self._life is life:
                self._life = None
        if life is not None:
            life.end()

    def close(self) -> None:
        """End the child at once. A later use of a model starts another."""
        self._end(self._life)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _check_purpose(info: GgufInfo, purpose: Purpose) -> None:
    """Raise ModelBad where a file is plainly of another kind; llama.cpp would give numbers that mean nothing."""
    reason = ""
    if purpose == "write" and info.embeds:
        reason = "it is an encoder, which writes no text"
    elif purpose == "embed" and not info.embeds:
        reason = "it is no encoder: it gives no vector for a whole text"
    elif purpose == "rank" and not any(name.startswith("cls.") for name in info.tensors):
        reason = "it is no reranker: it has no classifier"
    if reason:
        raise ModelBad(f"{info.path}: {reason}", f"give {_FLAGS[purpose]} another GGUF file")


def _failed(model: ServedModel, death: ChildDied) -> ModelFailed:
    last = next((line.strip() for line in reversed(death.stderr.splitlines()) if line.strip()), "")
    last = re.sub(r"^/\S*/", "", last)[:200]  # an assertion begins with the file where it stands
    message = f"the model {model.name} failed: its process ended with {death}" + (f" ({last})" if last else "")
    if death.signal == signal.SIGKILL:
        return ModelFailed(message, "the memory may have run out: take a smaller quantization or `context_size`")
    if death.signal:
        return ModelFailed(message, "the file may be damaged: download it again, or give --model another one")
    return ModelFailed(message, "`ragcli doctor` shows whether llama.cpp is installed as it should be")
