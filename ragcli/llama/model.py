"""Models in llama.cpp, by its C interface. Imported in the child process only.

The C interface is used, not llama-cpp-python's `Llama` class, because only it reaches `use_extra_bufts`, can tokenize
template and content differently, ranks, and lets the caller look up between two tokens.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import threading
from array import array
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ragcli.llama.bindings import bindings
from ragcli.llama.choices import grammar
from ragcli.llama.gguf import BATCH
from ragcli.llama.template import Piece, with_spaces_in_front

c = bindings()

_LOG_ERROR = 4  # ggml.h: ggml_log_level
_TOP_K, _TOP_P, _MIN_P = 40, 0.95, 0.05
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers")


class LlamaError(Exception):
    """llama.cpp refused."""


class ContextRefused(LlamaError):
    """The model is loaded, but there is no memory for its context."""


class Encoded(NamedTuple):
    """A prompt in tokens, of which the first `stable` end with its first content: the part that questions share."""

    tokens: list[int]
    stable: int


class LoadedModel:
    """A model with one context. Raises LlamaError where llama.cpp returns an error; it may also abort.

    `device` says where its layers went: "cpu", or "gpu (7 of 33 layers)".
    """

    def __init__(
        self, path: Path, *, gpu_layers: int, extra_buffers: bool, threads: int, context: dict[str, Any]
    ) -> None:
        _log().clear()
        begin()
        model_parameters = c.llama_model_default_params()
        model_parameters.n_gpu_layers = gpu_layers
        model_parameters.use_extra_bufts = extra_buffers
        self._context = None
        self._model = c.llama_model_load_from_file(os.fsencode(path), model_parameters)
        if not self._model:
            raise LlamaError(_last_error("llama.cpp cannot load it"))
        self.device = _device()
        self._vocabulary = c.llama_model_get_vocab(self._model)
        self._refused: dict[int, bool] = {}

        context_parameters = c.llama_context_default_params()
        threads = threads or cores()
        for name, value in {"n_threads": threads, "n_threads_batch": threads, **context}.items():
            setattr(context_parameters, name, value)
        self._context = c.llama_init_from_model(self._model, context_parameters)
        if not self._context:
            self.close()
            raise ContextRefused(_last_error("llama.cpp gives no reason"))
        self.context_size = int(context["n_ctx"])
        self._memory = c.llama_get_memory(self._context)
        self._spaced = b"".join(map(self.piece, self.tokenize("a", special=False))).startswith(b" ")

    @property
    def bos(self) -> str:
        """Text of the token that begins a sequence, or ""."""
        return self._text(c.llama_vocab_bos(self._vocabulary))

    @property
    def eos(self) -> str:
        """Text of the token that ends a sequence, or ""."""
        return self._text(c.llama_vocab_eos(self._vocabulary))

    def _text(self, token: int) -> str:
        text = c.llama_vocab_get_text(self._vocabulary, token) if token >= 0 else None
        return (text or b"").decode("utf-8", "replace")

    def template(self, name: str | None = None) -> str | None:
        """Return the model's own template: for a chat, or the one that the file calls `name`."""
        source = c.llama_model_chat_template(self._model, name.encode() if name else None)
        return source.decode("utf-8", "replace") if source else None

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template."""
        return self.template()

    def tokenize(self, text: str, *, special: bool, frame: bool = False) -> list[int]:
        """Return the tokens of `text`; its control tokens are found only with `special`.

        With `frame`, the tokens that begin and end a sequence stand around them.
        """
        data = text.encode("utf-8", "replace")
        size = len(data) + 4
        while True:
            tokens = (c.llama_token * size)()
            count = c.llama_tokenize(self._vocabulary, data, len(data), tokens, size, frame, special)
            if count >= 0:
                return list(tokens[:count])
            if count < -(1 << 30):
                raise LlamaError("a text is too long to be cut into tokens")
            size = -count

    def piece(self, token: int) -> bytes:
        """Return the bytes that `token` stands for; none for a control token."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = c.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def is_end(self, token: int) -> bool:
        """Return whether `token` ends an answer."""
        return bool(c.llama_vocab_is_eog(self._vocabulary, token))

    def encode(self, pieces: Sequence[Piece]) -> Encoded:
        """Return the prompt's tokens. Contents give no control tokens, whatever they hold."""
        tokens: list[int] = []
        stable = 0
        for _, part, is_content in self.encode_parts(pieces):
            tokens += part
            if is_content and not stable:
                stable = len(tokens)
        begin = c.llama_vocab_bos(self._vocabulary)
        if c.llama_vocab_get_add_bos(self._vocabulary) and begin >= 0 and tokens[:1] != [begin]:
            tokens.insert(0, begin)
            stable += 1
        return Encoded(tokens, stable)

    def encode_parts(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, list[int], bool]]:
        """Give number and tokens of each piece that has any, and whether it is somebody's content."""
        goes_on = False
        for at, text, is_content in with_spaces_in_front(pieces):
            part = self._plain(text, goes_on) if is_content else self._tokenize_next(text, goes_on, special=True)
            goes_on = not self._is_refused(part[-1]) if part else goes_on
            yield at, part, is_content

    def _tokenize_next(self, text: str, goes_on: bool, *, special: bool) -> list[int]:
        """Return tokens of a text that may go on from the words before it.

        Vocabularies of the older Llama kind put a space before all that they are given. Where the text has one there
        already, it is this one; where none belongs, a line's end in front takes it, and is dropped again.
        """
        if not self._spaced:
            return self.tokenize(text, special=special)
        if text.startswith(" ") or not goes_on:
            return self.tokenize(text.removeprefix(" "), special=special)
        return self.tokenize("\n" + text, special=special)[len(self.tokenize("\n", special=False)) :]

    def _plain(self, text: str, goes_on: bool) -> list[int]:
        """Return tokens of `text` that carry no meaning but their letters.

        Without `special`, llama.cpp still finds "user-defined" tokens in text, and some models' role markers are of
        that kind. Such a token is taken apart.
        """
        tokens: list[int] = []
        for token in self._tokenize_next(text, goes_on, special=False):
            if not self._is_refused(token):
                tokens.append(token)
                continue
            marker = self.piece(token).decode("utf-8", "replace") or self._text(token)
            first, rest = self._tokenize_next(marker[:1], True, special=False), marker[1:]
            if marker.replace("▁", " ") in text.replace("▁", " "):
                tokens += first + (self._plain(rest, True) if rest else [])
            else:  # the token of what is unknown, and its own letters may be unknown, too
                letters = first + self._tokenize_next(rest, True, special=False)
                tokens += [letter for letter in letters if not self._is_refused(letter)]
        return tokens

    def _is_refused(self, token: int) -> bool:
        known = self._refused.get(token)
        if known is None:
            attributes = c.llama_vocab_get_attr(self._vocabulary, token)
            known = bool(
                attributes & c.LLAMA_TOKEN_ATTR_CONTROL
                or self.is_end(token)
                or (attributes & c.LLAMA_TOKEN_ATTR_USER_DEFINED and self.piece(token).strip())
            )
            self._refused[token] = known
        return known

    def run(self, tokens: Sequence[int]) -> None:
        """Compute `tokens`. Raises LlamaError where llama.cpp cannot, with nothing kept in memory."""
        block = (c.llama_token * len(tokens))(*tokens)
        code = c.llama_decode(self._context, c.llama_batch_get_one(block, len(tokens)))
        if code:
            c.llama_memory_clear(self._memory, True)
            raise LlamaError(_last_error(f"llama.cpp cannot go on (llama_decode gave {code})"))

    def close(self) -> None:
        """Free the model's memory."""
        if self._context:
            c.llama_free(self._context)
        c.llama_model_free(self._model)
        self._context = self._model = None


class PooledModel(LoadedModel):
    """An encoder, or a reranker where `ranks`: one list of numbers for a whole text."""

    def __init__(
        self,
        path: Path,
        *,
        ranks: bool,
        context_size: int,
        gpu_layers: int = -1,
        extra_buffers: bool = True,
        threads: int = 0,
    ) -> None:
        pooling = c.LLAMA_POOLING_TYPE_RANK if ranks else c.LLAMA_POOLING_TYPE_UNSPECIFIED  # the file's own
        # An encoder reads a text at once: llama.cpp aborts where it is longer than a batch.
        context = {"n_ctx": context_size, "n_batch": context_size, "n_ubatch": context_size}
        context |= {"embeddings": True, "pooling_type": pooling}
        super().__init__(path, gpu_layers=gpu_layers, extra_buffers=extra_buffers, threads=threads, context=context)
        if not ranks and c.llama_pooling_type(self._context) in (c.LLAMA_POOLING_TYPE_NONE, c.LLAMA_POOLING_TYPE_RANK):
            self.close()
            raise LlamaError("it gives no vector for a whole text")
        outputs = c.llama_model_n_cls_out(self._model) if ranks else c.llama_model_n_embd_out(self._model)
        self.dimension = int(outputs)
        self.separators = self._separators()
        self.pooled(self.tokenize("a", special=False, frame=True) or [0])  # brings a kernel that faults to light
        _log().clear()

    def pooled(self, tokens: Sequence[int]) -> array[float]:
        """Return the vector of a text, or what the classifier gives. At most `context_size` tokens, at least one."""
        if not 0 < len(tokens) <= self.context_size:
            raise LlamaError(f"{len(tokens)} tokens for a window of {self.context_size}")
        c.llama_memory_clear(self._memory, True)
        self.run(tokens)
        numbers = c.llama_get_embeddings_seq(self._context, 0)
        if not numbers:
            raise LlamaError(_last_error("llama.cpp gives no vector"))
        vector = array("f", numbers[: self.dimension])
        if not all(map(math.isfinite, vector)):
            raise LlamaError("the model's numbers are no numbers")
        return vector

    def _separators(self) -> tuple[list[int], list[int], list[int]]:
        """Return the tokens that llama.cpp's server puts before, between and after a question and a passage."""
        vocabulary = self._vocabulary
        end = c.llama_vocab_eos(vocabulary)
        end = c.llama_vocab_sep(vocabulary) if end < 0 else end
        begin = [c.llama_vocab_bos(vocabulary)] if c.llama_vocab_get_add_bos(vocabulary) else []
        ends = [end] if c.llama_vocab_get_add_eos(vocabulary) else []
        between = [c.llama_vocab_sep(vocabulary)] if c.llama_vocab_get_add_sep(vocabulary) else []
        return begin, ends + between, ends


class LlamaModel(LoadedModel):
    """A language model that goes on after a prompt."""

    def __init__(
        self, path: Path, *, context_size: int, gpu_layers: int = -1, extra_buffers: bool = True, threads: int = 0
    ) -> None:
        batch = min(BATCH, context_size)
        context = {"n_ctx": context_size, "n_batch": batch, "n_ubatch": batch}
        super().__init__(path, gpu_layers=gpu_layers, extra_buffers=extra_buffers, threads=threads, context=context)
        if c.llama_model_has_encoder(self._model) or not c.llama_model_has_decoder(self._model) or not self._memory:
            self.close()
            raise LlamaError("it is an encoder, which writes no text")
        self._blocks: list[list[int]] = []
        self._warm_up()
        _log().clear()

    def run(self, tokens: Sequence[int]) -> None:
        """Compute `tokens`."""
        try:
            super().run(tokens)
        except LlamaError:
            self._blocks = []
            raise

    def _warm_up(self) -> None:
        # Brings the weights into memory, and a kernel that faults on this machine to light, while nobody waits. Two
        # tokens, because kernels for one token alone are others.
        self.run([0, 0])
        c.llama_memory_clear(self._memory, True)

    def adapt(self, path: Path, scale: float, proof: Sequence[int]) -> None:
        """Let a LoRA adapter change the model, and prove on the prompt `proof` that it does.

        Raises LlamaError where llama.cpp refuses it, or where it changes nothing. At scale 0, it should change nothing.
        """
        adapter = c.llama_adapter_lora_init(self._model, os.fsencode(path))
        if not adapter:
            raise LlamaError(_last_error("llama.cpp cannot load it"))
        proof = proof[: min(BATCH, self.context_size)]
        before = self._logits(proof)
        adapters, scales = (c.llama_adapter_lora_p_ctypes * 1)(adapter), (ctypes.c_float * 1)(scale)
        c.llama_set_adapters_lora(self._context, adapters, 1, scales)
        after = self._logits(proof)
        if not all(map(math.isfinite, after)):
            raise LlamaError("the adapter's numbers are no numbers")
        if scale and before == after:
            raise LlamaError("the adapter changes nothing")

    def _logits(self, tokens: Sequence[int]) -> array[float]:
        """Return the numbers by which the model weighs what comes after `tokens`."""
        self.run(tokens)
        c.llama_memory_clear(self._memory, True)
        size = c.llama_vocab_n_tokens(self._vocabulary)
        return array("f", c.llama_get_logits_ith(self._context, -1)[:size])

    def read(self, prompt: Encoded) -> Iterator[int]:
        """Read the prompt block by block, giving the number of tokens that are in memory after each.

        The first number is what an earlier prompt left there. A prompt is always cut in the same blocks, and memory is
        kept by whole blocks: so what the model computes, to the last bit, does not depend on what was asked before.
        """
        blocks = _cut(prompt)
        kept = 0
        while kept < len(blocks) - 1 and kept < len(self._blocks) and blocks[kept] == self._blocks[kept]:
            kept += 1
        position = sum(map(len, blocks[:kept]))
        if not c.llama_memory_seq_rm(self._memory, 0, position, -1):  # models whose memory cannot be cut
            c.llama_memory_clear(self._memory, True)
            kept = position = 0
        self._blocks = blocks[:kept]
        yield position
        for block in blocks[kept:]:
            self.run(block)
            self._blocks.append(block)
            position += len(block)
            yield position

    def write(self, *, temperature: float, seed: int, choices: Sequence[str] = ()) -> Generator[int, None, None]:
        """Give one token after another, without end, after a prompt was read. At temperature 0, the likeliest.

        With `choices`, it ends where one of them is written. Raises BadChoices, and LlamaError where none can be.
        """
        sampler = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        written = b""
        try:
            if choices:
                c.llama_sampler_chain_add(sampler, self._chooser(choices))
            if temperature <= 0:
                c.llama_sampler_chain_add(sampler, c.llama_sampler_init_greedy())
            else:
                c.llama_sampler_chain_add(sampler, c.llama_sampler_init_top_k(_TOP_K))
                c.llama_sampler_chain_add(sampler, c.llama_sampler_init_top_p(_TOP_P, 1))
                c.llama_sampler_chain_add(sampler, c.llama_sampler_init_min_p(_MIN_P, 1))
                c.llama_sampler_chain_add(sampler, c.llama_sampler_init_temp(temperature))
                # The largest number means "any seed" to llama.cpp.
                c.llama_sampler_chain_add(sampler, c.llama_sampler_init_dist(seed % 0xFFFFFFFF))
            while True:
                token = c.llama_sampler_sample(sampler, self._context, -1)
                yield token
                if choices and (written := written + self.piece(token)).decode("utf-8", "replace").strip() in choices:
                    return
                self.run([token])
        finally:
            c.llama_sampler_free(sampler)

    def _chooser(self, choices: Sequence[str]) -> Any:
        """Return a sampler that lets nothing be written but one of `choices`."""
        rules = grammar(choices).encode()
        for choice in choices:  # where no token is left to go on with, llama.cpp aborts
            if b"".join(map(self.piece, self.tokenize(choice, special=False))).strip() != choice.encode():
                raise LlamaError(f"the model has no tokens for {choice!r}")
        if sampler := c.llama_sampler_init_grammar(self._vocabulary, rules, b"root"):
            return sampler
        raise LlamaError("llama.cpp refuses the choices")


def _cut(prompt: Encoded) -> list[list[int]]:
    """Cut a prompt into the blocks in which it is read: the stable part, and then the rest, in batches."""
    parts = (prompt.tokens[: prompt.stable], prompt.tokens[prompt.stable :])
    return [part[i : i + BATCH] for part in parts for i in range(0, len(part), BATCH)]


def cores() -> int:
    """Return how many physical cores this process may use: more threads than that make llama.cpp slower."""
    if not hasattr(os, "sched_getaffinity"):
        return max(1, (os.cpu_count() or 2) // 2)
    usable = os.sched_getaffinity(0)
    siblings = set()
    for processor in usable:
        try:
            topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
            siblings.add(topology.read_text("ascii"))
        except OSError:
            return max(1, len(usable))
    return max(1, len(siblings))


_began = threading.Lock()
_messages = threading.local()


def begin() -> None:
    """Start llama.cpp, the first time, with its log going to `_listen`."""
    with _began:
        c.llama_log_set(_listen, ctypes.c_void_p(0))
        c.llama_backend_init()


def _log() -> list[str]:
    """Return what llama.cpp said that matters, while it worked for this thread."""
    if not hasattr(_messages, "lines"):
        _messages.lines = []
    lines: list[str] = _messages.lines
    return lines


@c.llama_log_callback  # type: ignore[untyped-decorator]
def _listen(level: int, text: bytes, _: Any) -> None:
    """Keep llama.cpp's errors and where it put the layers, and drop its many other lines. Nothing may be raised."""
    if (level == _LOG_ERROR or b"offloaded" in text) and len(_log()) < 100:
        _log().append(text.decode("utf-8", "replace").strip())


def _last_error(otherwise: str) -> str:
    """Return the first thing that llama.cpp complained of, which is the cause of the others."""
    errors = [line for line in _log() if not _OFFLOADED.search(line)]
    return " ".join(errors[0].split())[:300] if errors else otherwise


def _device() -> str:
    """Return where llama.cpp put the layers of the model that it loaded last."""
    found = next((m for line in _log() if (m := _OFFLOADED.search(line))), None)
    return f"gpu ({found[1]} of {found[2]} layers)" if found and int(found[1]) else "cpu"
