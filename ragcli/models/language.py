"""The language models that ragcli knows by name: small ones that follow instructions, quantized, in one file each.

Sizes are approximate, and no content is pinned: it is trusted on first use. The hub announces each file's SHA-256, the
download is held to it, and the manifest keeps it for `ragcli models verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BATCH = 512
"""Tokens that llama.cpp reads at once."""


@dataclass(frozen=True, slots=True)
class LanguageModelSpec:
    """How to get a language model, and what it takes to run it.

    `path` is the file's in the hub's repository `repo`. `parameters` counts weights, `size` is in bytes, `context` is
    the longest it was made for, in tokens. `languages` are those that its makers vouch for, ("*",) where it is some
    hundred. `layers`, `kv_heads` and `head_size` make its cache, `vocabulary` (in tokens) its largest buffer.
    """

    id: str
    repo: str
    path: str
    family: str
    parameters: int
    quantization: str
    size: int
    context: int
    license: str
    languages: tuple[str, ...]
    layers: int
    kv_heads: int
    head_size: int
    vocabulary: int

    def cache(self, context_size: int) -> int:
        """Return the bytes in which the model remembers a context: a key and a value, in F16, per layer and head."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_size * context_size

    def memory(self, context_size: int) -> int:
        """Return the bytes that the loaded model takes: file, cache, and a tenth to compute in, or what logits take.

        Layers that look back over a window only (Gemma's) are counted whole, so it may take less.
        """
        held = self.size + self.cache(context_size)
        return held + max(held // 10, 4 * BATCH * self.vocabulary)


_LLAMA = ("en", "de", "fr", "it", "pt", "es", "hi", "th")
_QWEN = ("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar")
_MINISTRAL = ("en", "zh", "fr", "es", "de", "it", "pt", "nl", "ja", "ko", "ar")

_SPECS = (
    LanguageModelSpec(
        id="qwen2.5-0.5b",
        repo="Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        path="qwen2.5-0.5b-instruct-q8_0.gguf",  # so small that four bits would harm it
        family="Qwen",
        parameters=494_000_000,
        quantization="Q8_0",
        size=675_710_816,
        context=32_768,
        license="Apache-2.0",
        languages=_QWEN,
        layers=24,
        kv_heads=2,
        head_size=64,
        vocabulary=151_936,
    ),
    LanguageModelSpec(
        id="gemma-3-1b",
        repo="ggml-org/gemma-3-1b-it-GGUF",
        path="gemma-3-1b-it-Q4_K_M.gguf",
        family="Gemma",
        parameters=1_000_000_000,
        quantization="Q4_K_M",
        size=806_058_240,
        context=32_768,
        license="Gemma Terms of Use",
        languages=("en",),
        layers=26,
        kv_heads=1,
        head_size=256,
        vocabulary=262_144,
    ),
    LanguageModelSpec(
        id="llama-3.2-1b",
        repo="bartowski/Llama-3.2-1B-Instruct-GGUF",
        path="Llama-3.2-1B-Instruct-Q4_K_M.gguf",
        family="Llama",
        parameters=1_236_000_000,
        quantization="Q4_K_M",
        size=807_694_464,
        context=131_072,
        license="Llama 3.2 Community License",
        languages=_LLAMA,
        layers=16,
        kv_heads=8,
        head_size=64,
        vocabulary=128_256,
    ),
    LanguageModelSpec(
        id="qwen2.5-1.5b",
        repo="Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        path="qwen2.5-1.5b-instruct-q4_k_m.gguf",
        family="Qwen",
        parameters=1_544_000_000,
        quantization="Q4_K_M",
        size=1_117_320_736,
        context=32_768,
        license="Apache-2.0",
        languages=_QWEN,
        layers=28,
        kv_heads=2,
        head_size=128,
        vocabulary=151_936,
    ),
    LanguageModelSpec(
        id="gemma-2-2b",
        repo="bartowski/gemma-2-2b-it-GGUF",
        path="gemma-2-2b-it-Q4_K_M.gguf",
        family="Gemma",
        parameters=2_614_000_000,
        quantization="Q4_K_M",
        size=1_708_582_752,
        context=8_192,
        license="Gemma Terms of Use",
        languages=("en",),
        layers=26,
        kv_heads=4,
        head_size=256,
        vocabulary=256_000,
    ),
    LanguageModelSpec(
        id="qwen2.5-3b",
        repo="Qwen/Qwen2.5-3B-Instruct-GGUF",
        path="qwen2.5-3b-instruct-q4_k_m.gguf",
        family="Qwen",
        parameters=3_086_000_000,
        quantization="Q4_K_M",
        size=2_104_932_768,
        context=32_768,
        license="Qwen Research License",  # not for commercial use, unlike its smaller and larger sisters
        languages=_QWEN,
        layers=36,
        kv_heads=2,
        head_size=128,
        vocabulary=151_936,
    ),
    LanguageModelSpec(
        id="llama-3.2-3b",
        repo="bartowski/Llama-3.2-3B-Instruct-GGUF",
        path="Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        family="Llama",
        parameters=3_213_000_000,
        quantization="Q4_K_M",
        size=2_019_377_696,
        context=131_072,
        license="Llama 3.2 Community License",
        languages=_LLAMA,
        layers=28,
        kv_heads=8,
        head_size=128,
        vocabulary=128_256,
    ),
    LanguageModelSpec(
        id="ministral-3-3b",
        repo="mistralai/Ministral-3-3B-Instruct-2512-GGUF",
        path="Ministral-3-3B-Instruct-2512-Q4_K_M.gguf",
        family="Mistral",
        parameters=3_429_000_000,
        quantization="Q4_K_M",
        size=2_147_023_008,
        context=262_144,
        license="Apache-2.0",
        languages=_MINISTRAL,
        layers=26,
        kv_heads=8,
        head_size=128,
        vocabulary=131_072,
    ),
    LanguageModelSpec(
        id="gemma-3-4b",
        repo="ggml-org/gemma-3-4b-it-GGUF",
        path="gemma-3-4b-it-Q4_K_M.gguf",
        family="Gemma",
        parameters=3_880_000_000,
        quantization="Q4_K_M",
        size=2_489_757_856,
        context=131_072,
        license="Gemma Terms of Use",
        languages=("*",),
        layers=34,
        kv_heads=4,
        head_size=256,
        vocabulary=262_144,
    ),
    LanguageModelSpec(
        id="qwen3-4b",
        repo="unsloth/Qwen3-4B-Instruct-2507-GGUF",
        path="Qwen3-4B-Instruct-2507-Q4_K_M.gguf",  # the one that answers without thinking aloud first
        family="Qwen",
        parameters=4_022_000_000,
        quantization="Q4_K_M",
        size=2_497_281_120,
        context=262_144,
        license="Apache-2.0",
        languages=("*",),
        layers=36,
        kv_heads=8,
        head_size=128,
        vocabulary=151_936,
    ),
    LanguageModelSpec(
        id="mistral-7b-v0.3",
        repo="bartowski/Mistral-7B-Instruct-v0.3-GGUF",
        path="Mistral-7B-Instruct-v0.3-Q4_K_M.gguf",
        family="Mistral",
        parameters=7_248_000_000,
        quantization="Q4_K_M",
        size=4_372_812_000,
        context=32_768,
        license="Apache-2.0",
        languages=("en",),
        layers=32,
        kv_heads=8,
        head_size=128,
        vocabulary=32_768,
    ),
    LanguageModelSpec(
        id="qwen2.5-7b",
        repo="bartowski/Qwen2.5-7B-Instruct-GGUF",  # its makers' own is in pieces
        path="Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        family="Qwen",
        parameters=7_616_000_000,
        quantization="Q4_K_M",
        size=4_683_074_240,
        context=32_768,
        license="Apache-2.0",
        languages=_QWEN,
        layers=28,
        kv_heads=4,
        head_size=128,
        vocabulary=152_064,
    ),
)

LANGUAGE_MODELS: Mapping[str, LanguageModelSpec] = {spec.id: spec for spec in _SPECS}
"""The known language models by id, the smallest first."""
