"""One model in llama.cpp, by its C interface. Imported in the child process only.

The C interface is used, not llama-cpp-python's `Llama` class, because only it reaches `use_extra_bufts`, can tokenize
template and content differently, and lets the caller look up between two tokens.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp as c

from ragcli.generation.template import Piece

BATCH = 512
"""Tokens that are read at once."""

_LOG_ERROR, _LOG_CONTINUED = 4, 5  # ggml.h: ggml_log_level
_TOP_K, _TOP_P, _MIN_P = 40, 0.95, 0.05


class LlamaError(Exception):
    """llama.cpp refused."""


class ContextRefused(LlamaError):
    """The model is loaded, but there is no memory for its context."""


class Encoded(NamedTuple):
    """A prompt in tokens, of which the first `stable` end with its first content: the part that questions share."""

    tokens: list[int]
    stable: int


class LlamaModel:
    """A loaded model with one context. Raises LlamaError where llama.cpp returns an error; it may also abort."""

    def __init__(
        self, path: Path, *, context_size: int, gpu_layers: int = -1, extra_buffers: bool = True, threads: int = 0
    ) -> None:
        _log.clear()
        c.llama_log_set(_keep_errors, ctypes.c_void_p(0))
        c.llama_backend_init()
        model_parameters = c.llama_model_default_params()
        model_parameters.n_gpu_layers = gpu_layers
        model_parameters.use_extra_bufts = extra_buffers
        self._model = c.llama_model_load_from_file(os.fsencode(path), model_parameters)
        if not self._model:
            raise LlamaError(_last_error("llama.cpp cannot load it"))
        if c.llama_model_has_encoder(self._model) or not c.llama_model_has_decoder(self._model):
            raise LlamaError("it is an encoder, which writes no text")
        self._vocabulary = c.llama_model_get_vocab(self._model)

        context_parameters = c.llama_context_default_params()
        context_parameters.n_ctx = context_size
        context_parameters.n_batch = context_parameters.n_ubatch = min(BATCH, context_size)
        threads = threads or cores()
        context_parameters.n_threads = context_parameters.n_threads_batch = threads
        self._context = c.llama_init_from_model(self._model, context_parameters)
        if not self._context:
            raise ContextRefused(_last_error("llama.cpp gives no reason"))
        self.context_size = context_size
        self._memory = c.llama_get_memory(self._context)
        self._blocks: list[list[int]] = []
        self._refused: dict[int, bool] = {}
        self._spaced = b"".join(map(self.piece, self.tokenize("a", special=False))).startswith(b" ")
        self._warm_up()
        _log.clear()

    def _warm_up(self) -> None:
        # Brings the weights into memory, and a kernel that faults on this machine to light, while nobody waits. Two
        # tokens, because kernels for one token alone are others.
        self._decode([0, 0])
        c.llama_memory_clear(self._memory, True)

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

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template."""
        source = c.llama_model_chat_template(self._model, None)
        return source.decode("utf-8", "replace") if source else None

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of `text`; its control tokens are found only with `special`."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 2
        while True:
            tokens = (c.llama_token * size)()
            count = c.llama_tokenize(self._vocabulary, data, len(data), tokens, size, False, special)
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
        for text, is_content in _with_spaces_in_front(pieces):
            goes_on = bool(tokens) and not self._is_refused(tokens[-1])
            tokens += self._plain(text, goes_on) if is_content else self._tokenize_next(text, goes_on, special=True)
            if is_content and not stable:
                stable = len(tokens)
        begin = c.llama_vocab_bos(self._vocabulary)
        if c.llama_vocab_get_add_bos(self._vocabulary) and begin >= 0 and tokens[:1] != [begin]:
            tokens.insert(0, begin)
            stable += 1
        return Encoded(tokens, stable)

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
            if self._is_refused(token):
                marker = self.piece(token).decode("utf-8", "replace") or self._text(token)
                tokens += self._tokenize_next(marker[:1], True, special=False)
                tokens += self._plain(marker[1:], True) if marker[1:] else []
            else:
                tokens.append(token)
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
            self._decode(block)
            self._blocks.append(block)
            position += len(block)
            yield position

    def write(self, *, temperature: float, seed: int) -> Generator[int, None, None]:
        """Give one token after another, without end, after a prompt was read. At temperature 0, the likeliest."""
        sampler = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        try:
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
                self._decode([token])
        finally:
            c.llama_sampler_free(sampler)

    def _decode(self, tokens: Sequence[int]) -> None:
        array = (c.llama_token * len(tokens))(*tokens)
        code = c.llama_decode(self._context, c.llama_batch_get_one(array, len(tokens)))
        if code:
            self._blocks = []
            c.llama_memory_clear(self._memory, True)
            raise LlamaError(_last_error(f"llama.cpp cannot go on (llama_decode gave {code})"))

    def close(self) -> None:
        """Free the model's memory."""
        c.llama_free(self._context)
        c.llama_model_free(self._model)


def _with_spaces_in_front(pieces: Sequence[Piece]) -> Iterator[tuple[str, bool]]:
    """Give text and kind of each piece, with a space that ends a piece moved to the next: words begin with theirs."""
    space = ""
    for i, piece in enumerate(pieces):
        text = space + piece.text
        space = " " if text.endswith(" ") and i + 1 < len(pieces) else ""
        if text := text.removesuffix(space):
            yield text, piece.is_content


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


_log: list[str] = []


@c.llama_log_callback  # type: ignore[untyped-decorator]
def _keep_errors(level: int, text: bytes, _: Any) -> None:
    """Keep llama.cpp's errors, and drop the many lines that are none. Nothing may be raised into C."""
    if level == _LOG_ERROR and len(_log) < 100:
        _log.append(text.decode("utf-8", "replace").strip())


def _last_error(otherwise: str) -> str:
    """Return the first thing that llama.cpp complained of, which is the cause of the others."""
    return " ".join(_log[0].split())[:300] if _log else otherwise
