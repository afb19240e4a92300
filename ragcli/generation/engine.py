"""The parent's side of a llama.cpp model: starts the child process, watches over it, and asks it.

The child starts to load when the generator is made, so that retrieval can run meanwhile; its answer is awaited at the
first use. A fault, a hang or a Ctrl-C ends the child, never the command.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from ragcli.child import Child, ChildDied, ChildTimeout
from ragcli.errors import ModelBad, ModelError, ModelFailed
from ragcli.generation.base import Generation, Message
from ragcli.generation.gguf import inspect
from ragcli.generation.hosts import extra_buffers_work, remember_extra_buffers
from ragcli.settings import home

_FAULTS = frozenset({signal.SIGSEGV, signal.SIGILL, signal.SIGBUS})
"""How a child ends that met an instruction which this machine only pretends to have. An assertion is SIGABRT, and a
lack of memory SIGKILL: neither gets better by a restart."""

_ENVIRONMENT = {"GGML_NO_BACKTRACE": "1", "GOMP_SPINCOUNT": "1000"}
"""For the child, unless the user says otherwise. The first keeps ggml from hanging a debugger on a process that fails.
The second lets threads that wait for each other sleep after some microseconds: as OpenMP has it, they spin for
milliseconds, and on a machine that does other work too, a model of 100 million weights falls to 1 or 2 tokens a second
instead of 30."""

_STOP_SECONDS = 0.25
_LOOK_UP_SECONDS = 0.05

Result = TypeVar("Result")


class LlamaGenerator:
    """A GGUF model in a child process of its own. Close it, or use it in a `with`.

    `context_size` is the asked one, or what the model was trained for where that is less. `seconds` is the longest
    that loading, and one answer, may take. `hosts` is the file that remembers machines. Raises ModelMissing or
    ModelBad when made, and ModelBad or ModelFailed when used.
    """

    kind = "llama.cpp"

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        context_size: int = 4096,
        gpu_layers: int = -1,
        threads: int = 0,
        seconds: float = 600,
        hosts: Path | None = None,
        worker: str = "ragcli.generation.worker",
    ) -> None:
        self.info = inspect(path)
        self.name = name or path.stem
        self.context_size = min(context_size, self.info.context_length or context_size)
        self.warning = ""
        self.device = ""
        self.load_ms = 0.0
        self._gpu_layers = gpu_layers
        self._threads = threads
        self._seconds = seconds
        self._hosts = hosts or home() / "hosts.json"
        self._worker = worker
        self._extra_buffers = extra_buffers_work(self._hosts)
        self._proven = False
        self._loaded = False
        self._child: Child | None = None
        self.start()

    def start(self) -> None:
        """Start the child and its loading, unless it runs already, and return at once."""
        if self._child is not None:
            return
        environment = {name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()}
        try:
            self._child = Child(self._worker, environment=environment)
        except OSError as error:
            raise ModelFailed(f"no process for the model: {error.strerror}", "end other programs") from None
        self._loaded = False
        with contextlib.suppress(ChildDied):  # comes to light when its answer is awaited
            self._child.send(
                {
                    "do": "load",
                    "path": str(self.info.path.absolute()),
                    "context_size": self.context_size,
                    "gpu_layers": self._gpu_layers,
                    "extra_buffers": self._extra_buffers,
                    "threads": self._threads,
                }
            )

    @property
    def pid(self) -> int | None:
        """Process id of the child, while there is one."""
        return None if self._child is None else self._child.pid

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the prompt made of `messages` has. Waits for the model to be loaded."""

        def count(child: Child) -> int:
            child.send({"do": "count", "messages": _to_json(messages)})
            return int(self._receive(child, time.monotonic() + self._seconds)["tokens"])

        return self._supervised(count)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Answer `messages`, giving each piece of text to `on_text` as it is written.

        Ctrl-C while the model reads or writes ends the answer, which is then returned as far as it came.
        """
        request = {
            "do": "generate",
            "messages": _to_json(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        start = time.monotonic()
        return self._supervised(lambda child: self._converse(child, request, start, on_text))

    def _converse(
        self, child: Child, request: dict[str, Any], start: float, on_text: Callable[[str], None] | None
    ) -> Generation:
        pieces: list[str] = []
        prompt_tokens = completion_tokens = 0
        first = seconds = 0.0
        stopped = ""
        deadline = time.monotonic() + self._seconds
        child.send(request)
        with _ctrl_c() as was_pressed:
            try:
                while not stopped and not was_pressed():
                    if not child.poll(_LOOK_UP_SECONDS) and time.monotonic() < deadline:
                        continue
                    message = self._receive(child, deadline)
                    prompt_tokens = message.get("prompt_tokens", prompt_tokens)
                    completion_tokens = message.get("completion_tokens", completion_tokens)
                    stopped = message.get("done", "")
                    seconds = message.get("seconds", seconds)
                    if "text" in message:
                        self._proven = True
                        first = first or time.monotonic()
                        pieces.append(message["text"])
                        if on_text is not None:
                            on_text(message["text"])
                if not stopped:
                    self._stop(child)
            except KeyboardInterrupt:  # a second one, or one that on_text met
                self.close()
                stopped = ""
        return Generation(
            text="".join(pieces),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            first_token_ms=(first - start) * 1000 if first else 0.0,
            tokens_per_s=completion_tokens / seconds if seconds else 0.0,
            stopped="end" if stopped == "end" else "length" if stopped == "length" else "interrupted",
        )

    def _stop(self, child: Child) -> None:
        """Let the child end its answer, or end the child."""
        deadline = time.monotonic() + _STOP_SECONDS
        with contextlib.suppress(ChildDied, ChildTimeout):
            child.send({"do": "stop"})
            while child.poll(max(0.0, deadline - time.monotonic())):
                if "done" in self._receive(child, deadline):
                    return
        self.close()

    def _supervised(self, work: Callable[[Child], Result]) -> Result:
        """Do `work` with a loaded child; again, and with plain buffers, where the first time met a faulty kernel."""
        try:
            try:
                return work(self._ready())
            except ChildDied as death:
                if self._proven or not self._extra_buffers or death.signal not in _FAULTS:
                    raise
            self.close()
            self._extra_buffers = False
            result = work(self._ready())
            remember_extra_buffers(self._hosts, work=False)
            return result
        except ModelError:
            raise
        except ChildDied as death:
            self.close()
            raise self._failed(death) from None
        except ChildTimeout:
            self.close()
            raise ModelFailed(
                f"the model {self.name} did not answer within {self._seconds:g} seconds",
                "allow it more with `ragcli config set generate_seconds`, or take a smaller model",
            ) from None
        except BaseException:  # in the middle of a message, maybe: this child cannot be talked to any more
            self.close()
            raise

    def _ready(self) -> Child:
        """Return the child, after it has loaded the model."""
        self.start()
        assert self._child is not None
        if not self._loaded:
            message = self._receive(self._child, time.monotonic() + self._seconds)
            self.load_ms, self.warning = message["load_ms"], message["warning"]
            self._loaded = True
        return self._child

    def _receive(self, child: Child, deadline: float) -> dict[str, Any]:
        message, _ = child.receive(max(0.0, deadline - time.monotonic()))
        match message.get("kind"):
            case None:
                return message
            case "bad_model":
                self.close()
                raise ModelBad(f"{self.info.path}: {message['error']}", "give --model another GGUF file")
            case "no_context":
                self.close()
                raise ModelFailed(
                    f"no memory for a context of {self.context_size} tokens: {message['error']}",
                    "lower it with `ragcli config set context_size`",
                )
            case "too_long":
                raise ModelFailed(
                    f"the prompt has {message['tokens']} tokens, and the model's context {self.context_size}",
                    "shorten the question, ask for fewer hits with -n, or raise `context_size`",
                )
            case _:
                raise ModelFailed(f"the model {self.name} failed: {message['error']}", "try another GGUF file")

    def _failed(self, death: ChildDied) -> ModelFailed:
        last = next((line.strip() for line in reversed(death.stderr.splitlines()) if line.strip()), "")
        last = re.sub(r"^/\S*/", "", last)[:200]  # an assertion begins with the file where it stands
        message = f"the model {self.name} failed: its process ended with {death}" + (f" ({last})" if last else "")
        if death.signal == signal.SIGKILL:
            return ModelFailed(message, "the memory may have run out: take a smaller quantization or `context_size`")
        if death.signal:
            return ModelFailed(message, "the file may be damaged: download it again, or give --model another one")
        return ModelFailed(message, "`ragcli doctor` shows whether llama.cpp is installed as it should be")

    def close(self) -> None:
        """End the child at once; it has nothing to lose. A later use starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _to_json(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


@contextlib.contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into an answer to "was it pressed", so that it cannot tear a message in two.

    Where Ctrl-C has another meaning already, or this is not the main thread, which alone it reaches, nothing changes.
    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
