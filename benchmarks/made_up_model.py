"""A large model with random weights, for measuring speed: Llama shape, F16, written in seconds.

What it writes means nothing. It never ends an answer by itself, so its speed can be measured over any length.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD, TOKENS = 1024, 14, 16, 4, 2816, 8192
CONTEXT = 8192
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_model(path: Path, layers: int = LAYERS) -> Path:
    """Write the model, of about 22 MB for each layer and 34 MB more, to `path` and return it."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("made up")
    writer.add_file_type(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens, merges = _vocabulary()
    writer.add_vocab_size(TOKENS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (TOKENS - len(CONTROL)) + [3] * len(CONTROL))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)
    random = np.random.default_rng(7)
    for name, shape in _shapes(layers).items():
        weights = random.standard_normal(shape, np.float32)
        weights *= 0.02
        if name == "output":
            weights[-len(CONTROL) :] = 0  # so none of them is ever the likeliest
        writer.add_tensor(f"{name}.weight", weights.astype(np.float16))
    for name in ["output_norm", *(f"blk.{n}.{norm}_norm" for n in range(layers) for norm in ("attn", "ffn"))]:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(layers: int) -> dict[str, tuple[int, int]]:
    key_width = WIDTH // HEADS * KV_HEADS
    layer = {"attn_q": (WIDTH, WIDTH), "attn_k": (key_width, WIDTH), "attn_v": (key_width, WIDTH)}
    layer |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (FEED_FORWARD, WIDTH), "ffn_up": (FEED_FORWARD, WIDTH)}
    layer |= {"ffn_down": (WIDTH, FEED_FORWARD)}
    shapes = {f"blk.{n}.{name}": shape for n in range(layers) for name, shape in layer.items()}
    return {"token_embd": (TOKENS, WIDTH), "output": (TOKENS, WIDTH), **shapes}


def _vocabulary() -> tuple[list[str], list[str]]:
    """Return tokens and merges: the bytes, and pairs and pairs of pairs of small letters."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = itertools.count(0x100)
    letters = [chr(b) if b in shown else chr(next(others)) for b in range(256)]
    small = "etaoinshrdlucmfwygpbvkxqjz"
    pairs = [(a, b) for a in ["Ġ", *small] for b in small]
    fours = itertools.product((a + b for a, b in pairs), (a + b for a, b in pairs if a != "Ġ"))
    merges = list(itertools.islice(itertools.chain(pairs, fours), TOKENS - 256 - len(CONTROL)))
    return [*letters, *(a + b for a, b in merges), *CONTROL], [f"{a} {b}" for a, b in merges]
