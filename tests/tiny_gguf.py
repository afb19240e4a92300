"""Tiny real language models for the tests: GGUF files that llama.cpp loads and that say a known thing.

    build(path, answer="The warranty lasts 24 months [1].")

The weights are constructed, not trained. Embeddings are one-hot, and attention and feed-forward add nothing, so the
output matrix is a table from each token to the next: after a prompt's last token (the end of a line, or a colon) come
the answer's pieces, one by one, then the end-of-turn token. The answer is the same whatever the prompt holds, also
when quantized.

Each piece of the answer has a token of its own, cut by bytes, so characters of several bytes are split over tokens.
With `answer=None` the weights are random: the output means nothing, but depends on every token of the prompt.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS = 768, 256, 12, 2
"""Every row length is a multiple of 256, the largest block of a quantized type."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
ANSWER = "The warranty lasts 24 months [1]."
REFUSAL = "The documents do not answer this."
_TEXT = """The warranty of the controller lasts 24 months from the day of delivery. Return a faulty unit with its
invoice. Answer the question from the numbered passages only, and cite each passage as [1] or [2]. The documents do
not answer this. system user assistant question source page passages. 控制器的保修期为二十四个月，自交货之日起计算。
请附上发票退回有故障的设备。文档中没有答案。仅根据编号段落回答问题。"""

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
_QUANTIZED = {"Q8_0": 7, "Q4_K_M": 15}
"""Names of llama.cpp's file types, and their numbers in its C interface."""


def build(
    path: Path,
    answer: str | None = ANSWER,
    quantize: Literal["Q8_0", "Q4_K_M"] | None = None,
    *,
    vocabulary: Literal["bpe", "spm"] = "bpe",
    chat_template: str | None = CHATML,
    endless: bool = False,
    markers: Sequence[str] = (),
    add_bos: bool = False,
    context_length: int = 32768,
) -> Path:
    """Write a model of F16, or quantized, weights to `path` and return it.

    With `endless` the answer starts again where it ends. `markers` become user-defined tokens, which llama.cpp finds
    in any text. The "spm" vocabulary is of the older Llama and Mistral kind: scored pieces, byte fallback, and a space
    put before every text.
    """
    tokens, types, details = (_bpe if vocabulary == "bpe" else _spm)(markers)
    pieces = _pieces((answer or "").encode(), set(tokens), vocabulary)
    first = len(tokens)
    tokens += pieces
    types += [_NORMAL] * len(pieces)
    details.setdefault("scores", []).extend([-1e6] * len(pieces) if vocabulary == "spm" else [])
    if len(tokens) > EMBEDDING:
        raise ValueError(f"{len(tokens)} tokens: the answer is too long for a one-hot embedding of {EMBEDDING}")

    end = tokens.index("</s>" if vocabulary == "spm" else "<|im_end|>")
    chain = [*range(first, len(tokens)), first if endless else end]
    follows = {chain[i]: chain[i + 1] for i in range(len(pieces))}
    for last in ("Ċ", ":") if vocabulary == "bpe" else ("<0x0A>", ":", "]"):
        follows[tokens.index(last)] = first
    weights = _random(len(tokens)) if answer is None else _table(len(tokens), follows)

    plain = path if quantize is None else path.with_suffix(".f16.gguf")
    _write(plain, tokens, types, details, weights, end, vocabulary, chat_template, add_bos, context_length)
    if quantize is not None:
        _quantize(plain, path, _QUANTIZED[quantize])
        plain.unlink()
    return path


def byte_letters() -> list[str]:
    """Return the 256 letters by which byte-level BPE writes the bytes, in order of the bytes."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = itertools.count(0x100)
    return [chr(b) if b in shown else chr(next(others)) for b in range(256)]


def _bpe(markers: Sequence[str]) -> tuple[list[str], list[int], dict[str, list[Any]]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(byte_letters())
    trainer = trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_TEXT.splitlines(), trainer)

    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    types = [_NORMAL] * len(tokens) + [_CONTROL] * len(CONTROL) + [_USER_DEFINED] * len(markers)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return [*tokens, *CONTROL, *markers], types, {"merges": merges}


def _spm(markers: Sequence[str]) -> tuple[list[str], list[int], dict[str, list[Any]]]:
    characters = ["▁", *(chr(c) for c in range(0x21, 0x7F))]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *characters, *markers]
    types = [_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * 256
    types += [_NORMAL] * len(characters) + [_USER_DEFINED] * len(markers)
    return tokens, types, {"scores": [0.0] * 259 + [-1.0 - i for i in range(len(characters) + len(markers))]}


def _pieces(answer: bytes, taken: set[str], vocabulary: str) -> list[str]:
    """Cut `answer` into texts of tokens, about two bytes each, that are new to the vocabulary and distinct."""
    pieces: list[str] = []
    rest = b""
    for byte in answer:
        rest += bytes([byte])
        piece = _token(rest, vocabulary)
        if len(rest) > 1 and piece and piece not in taken and piece not in pieces:
            pieces.append(piece)
            rest = b""
    if rest:  # too common to be a token of its own
        pieces[-1] += _token(rest, vocabulary)
    return pieces


def _token(part: bytes, vocabulary: str) -> str:
    if vocabulary == "bpe":
        letters = byte_letters()
        return "".join(letters[b] for b in part)
    try:
        return part.decode().replace(" ", "▁")
    except UnicodeDecodeError:  # in the middle of a character
        return ""


Weights = dict[str, np.ndarray]
"""Arrays by tensor name, rows first."""


def _shapes(vocabulary: int) -> dict[str, tuple[int, int]]:
    head = EMBEDDING // HEADS
    return {
        "token_embd": (vocabulary, EMBEDDING),
        "output": (vocabulary, EMBEDDING),
        "blk.0.attn_q": (EMBEDDING, EMBEDDING),
        "blk.0.attn_k": (KV_HEADS * head, EMBEDDING),
        "blk.0.attn_v": (KV_HEADS * head, EMBEDDING),
        "blk.0.attn_output": (EMBEDDING, EMBEDDING),
        "blk.0.ffn_gate": (FEED_FORWARD, EMBEDDING),
        "blk.0.ffn_up": (FEED_FORWARD, EMBEDDING),
        "blk.0.ffn_down": (EMBEDDING, FEED_FORWARD),
    }


def _table(vocabulary: int, follows: dict[int, int]) -> Weights:
    weights = {name: np.zeros(shape, np.float16) for name, shape in _shapes(vocabulary).items()}
    weights["token_embd"][np.arange(vocabulary), np.arange(vocabulary)] = 1
    for token, successor in follows.items():
        weights["output"][successor, token] = 1
    return weights


def _random(vocabulary: int) -> Weights:
    random = np.random.default_rng(7)
    return {n: random.normal(0, 0.06, shape).astype(np.float16) for n, shape in _shapes(vocabulary).items()}


def _write(
    path: Path,
    tokens: list[str],
    types: list[int],
    details: dict[str, list[Any]],
    weights: Weights,
    end: int,
    vocabulary: str,
    chat_template: str | None,
    add_bos: bool,
    context_length: int,
) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_file_type(1)
    writer.add_context_length(context_length)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2" if vocabulary == "bpe" else "llama")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if vocabulary == "bpe":
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(details["merges"])
    else:
        writer.add_token_scores(details["scores"])
    writer.add_bos_token_id(tokens.index("<|endoftext|>" if vocabulary == "bpe" else "<s>"))
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(add_bos)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for name, array in weights.items():
        writer.add_tensor(f"{name}.weight", array)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(EMBEDDING, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _quantize(source: Path, target: Path, file_type: int) -> None:
    import llama_cpp

    logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)  # the level its native log is held to
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.nthread = 2
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters):
        raise RuntimeError(f"llama.cpp could not quantize {source}")
