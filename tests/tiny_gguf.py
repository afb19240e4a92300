"""Tiny real language models for the tests: GGUF files that llama.cpp loads and that say a known thing.

    build(path, answer="The warranty lasts 24 months [1].")
    build(path, quantize="Q4_K_M", family="gemma2")

The weights are constructed, not trained. Embeddings are one-hot, and attention adds nothing. In the `llama` and `qwen2`
architectures the feed-forward adds nothing either, and the output matrix is a table from each token to the next: after
a prompt's last token (the end of a line, or a colon) come the answer's pieces, one by one, then the end-of-turn token.
Gemma's output matrix is its embeddings', so there the feed-forward holds the table, and outshouts what it is added to.
The answer is the same whatever the prompt holds, also when quantized.

`FAMILIES` names what a family of models has of its own: architecture, kind of vocabulary, control tokens, template. The
templates are written anew, and give what the families' own give for a system text, questions and answers.

Each piece of the answer has a token of its own, cut by bytes, so characters of several bytes are split over tokens.
With `answer=None` the weights are random: the output means nothing, but depends on every token of the prompt.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS = 768, 256, 12, 2
GEMMA_HEADS, GEMMA_KV_HEADS, GEMMA_HEAD = 4, 1, 256
"""Every row length is a multiple of 256, the largest block of a quantized type. Gemma's heads are wider than their
share of the embedding."""
GEMMA_LOUD = 8.0
"""What Gemma 2's norm after the feed-forward multiplies its output with."""

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


@dataclass(frozen=True)
class Family:
    """What the models of one family have in common.

    `opener` is the control token after which an answer begins, where that is none of the line's ends and colons that
    every table answers after. `spaced` says whether an "spm" vocabulary puts a space before every text.
    """

    template: str | None
    control: tuple[str, ...]
    begin: str
    end: str
    architecture: Literal["llama", "qwen2", "gemma", "gemma2"] = "llama"
    vocabulary: Literal["bpe", "spm"] = "bpe"
    pre: str = "gpt-2"
    user_defined: tuple[str, ...] = ()
    opener: str = ""
    add_bos: bool = True
    spaced: bool = True
    window: int = 0

    @property
    def tied(self) -> bool:
        """Whether the embeddings are the output matrix, too."""
        return self.architecture.startswith("gemma")


def _turns(before: str, after: str, opener: str, *, begin: str = "{{ bos_token }}") -> str:
    """Return a template whose every turn stands between two texts, in which `{role}` is its role."""
    before = before.replace("{role}", "{{ message.role }}")
    return (
        f"{begin}{{% for message in messages %}}{before}{{{{ message.content | trim }}}}{after}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{opener}{{% endif %}}"
    )


_ALTERNATE = (
    "{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate, and there is none for the system') }}{% endif %}{% endfor %}"
)
_NAMED = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}%SYSTEM%{% elif message.role == 'user' %}%USER%{% else %}%ASSISTANT%{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}%OPENER%{% endif %}"
)


def _named(system: str, user: str, assistant: str, opener: str = "") -> str:
    """Return a template with a text of its own for each role, in which `{0}` is the content."""
    source = _NAMED
    for place, text in (("SYSTEM", system), ("USER", user), ("ASSISTANT", assistant), ("OPENER", opener)):
        source = source.replace(f"%{place}%", text.replace("{0}", "{{ message.content | trim }}"))
    return source


_LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set ns = namespace(system='<<SYS>>\\n' + messages[0].content + "
    "'\\n<</SYS>>\\n\\n') %}{% else %}{% set ns = namespace(system='') %}{% endif %}"
    "{% for message in messages %}{% if message.role == 'user' %}"
    "{{ bos_token + '[INST] ' + ns.system + message.content + ' [/INST]' }}{% set ns.system = '' %}"
    "{% elif message.role == 'assistant' %}{{ ' ' + message.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
_GEMMA = Family(
    "{{ bos_token }}" + _ALTERNATE + "{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message.role == 'assistant' else message.role }}\n{{ message.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    begin="<bos>",
    end="<end_of_turn>",
    architecture="gemma",
    vocabulary="spm",
    user_defined=("\n\n", "▁▁", "▁▁▁▁", "<table>", "<td>", "</td>"),
    spaced=False,
)
_SPM_CONTROL = ("<unk>", "<s>", "</s>")
_MISTRAL = Family(
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }}[/INST]"
    "{% elif message.role == 'assistant' %} {{ message.content + eos_token }}"
    "{% else %}{{ raise_exception('no such role') }}{% endif %}{% endfor %}",
    (*_SPM_CONTROL, "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    begin="<s>",
    end="</s>",
    vocabulary="spm",
    opener="[/INST]",
    window=4096,
)
_DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")

FAMILIES = {
    "llama2": Family(_LLAMA_2, (*_SPM_CONTROL,), begin="<s>", end="</s>", vocabulary="spm"),
    "llama3": Family(
        _turns(
            "<|start_header_id|>{role}<|end_header_id|>\n\n",
            "<|eot_id|>",
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
            *("<|eom_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>", "<|reserved_special_token_0|>"),
        ),
        begin="<|begin_of_text|>",
        end="<|eot_id|>",
        pre="llama-bpe",
    ),
    "llama4": Family(
        _turns("<|header_start|>{role}<|header_end|>\n\n", "<|eot|>", "<|header_start|>assistant<|header_end|>\n\n"),
        ("<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>"),
        begin="<|begin_of_text|>",
        end="<|eot|>",
        pre="llama4",
    ),
    "mistral": _MISTRAL,
    "mistral-nemo": replace(
        _MISTRAL,
        template="{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
        "[INST]{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}"
        "{{ message.content }}[/INST]"
        "{% elif message.role == 'assistant' %}{{ message.content + eos_token }}{% endif %}{% endfor %}",
        vocabulary="bpe",
        pre="tekken",
        window=0,
    ),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, architecture="gemma2", window=4096),
    "gemma-user-defined": replace(  # as in some conversions
        _GEMMA,
        control=_GEMMA.control[:4],
        user_defined=(*_GEMMA.user_defined, "<start_of_turn>", "<end_of_turn>"),
    ),
    "qwen2": Family(
        CHATML,
        (*CONTROL, "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|vision_start|>", "<|object_ref_start|>"),
        begin="<|endoftext|>",
        end="<|im_end|>",
        architecture="qwen2",
        pre="qwen2",
        user_defined=("<tool_call>", "</tool_call>", "<think>", "</think>"),
        add_bos=False,
    ),
    "phi3": Family(
        _turns("<|{role}|>\n", "<|end|>\n", "<|assistant|>\n", begin=""),
        (*_SPM_CONTROL, "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|placeholder1|>"),
        begin="<s>",
        end="<|end|>",
        vocabulary="spm",
    ),
    "deepseek": Family(
        _named("{0}", f"{_DEEPSEEK[2]}{{0}}", f"{_DEEPSEEK[3]}{{0}}{_DEEPSEEK[1]}", _DEEPSEEK[3]),
        _DEEPSEEK[:2],
        begin=_DEEPSEEK[0],
        end=_DEEPSEEK[1],
        pre="deepseek-v3",
        user_defined=(*_DEEPSEEK[2:], "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<think>", "</think>"),
        opener=_DEEPSEEK[3],
    ),
    "command-r": Family(
        _named(
            "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{0}<|END_OF_TURN_TOKEN|>",
            "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{0}<|END_OF_TURN_TOKEN|>",
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{0}<|END_OF_TURN_TOKEN|>",
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        ),
        (
            *("<PAD>", "<UNK>", "<BOS_TOKEN>", "<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
            *("<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
        ),
        begin="<BOS_TOKEN>",
        end="<|END_OF_TURN_TOKEN|>",
        pre="command-r",
        opener="<|CHATBOT_TOKEN|>",
    ),
    "gpt-oss": Family(
        _turns("<|start|>{role}<|message|>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>", begin=""),
        (
            *("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>"),
            *("<|start|>", "<|end|>", "<|message|>", "<|call|>"),
        ),
        begin="<|startoftext|>",
        end="<|return|>",
        pre="gpt-4o",
        opener="<|message|>",
        add_bos=False,
    ),
}
"""Families by name. All but Gemma and Qwen are of the `llama` architecture here, so that their vocabularies can be
tried; in earnest Phi, DeepSeek, Command-R and GPT-OSS have architectures of their own."""


def build(
    path: Path,
    answer: str | None = ANSWER,
    quantize: Literal["Q8_0", "Q4_K_M"] | None = None,
    *,
    family: str = "",
    vocabulary: Literal["bpe", "spm"] = "bpe",
    chat_template: str | None = CHATML,
    endless: bool = False,
    markers: Sequence[str] = (),
    add_bos: bool = False,
    context_length: int = 32768,
) -> Path:
    """Write a model of F16, or quantized, weights to `path` and return it.

    With `endless` the answer starts again where it ends. A `family` is one of `FAMILIES`, and has a vocabulary, a
    template and an architecture of its own. Without one, the model is a Llama: its `markers` become user-defined
    tokens, which llama.cpp finds in any text, and the "spm" vocabulary is of the older Llama and Mistral kind: scored
    pieces, byte fallback, and a space put before every text.
    """
    if family:
        shape = FAMILIES[family]
    elif vocabulary == "bpe":
        shape = Family(chat_template, CONTROL, "<|endoftext|>", "<|im_end|>", user_defined=tuple(markers))
    else:
        shape = Family(chat_template, _SPM_CONTROL, "<s>", "</s>", vocabulary="spm", user_defined=tuple(markers))
    if not family:
        shape = replace(shape, add_bos=add_bos)

    tokens, types, details = (_bpe if shape.vocabulary == "bpe" else _spm)(shape)
    pieces = _pieces((answer or "").encode(), set(tokens), shape.vocabulary)
    first = len(tokens)
    tokens += pieces
    types += [_NORMAL] * len(pieces)
    details.setdefault("scores", []).extend([-1e6] * len(pieces) if shape.vocabulary == "spm" else [])
    if len(tokens) > EMBEDDING:
        raise ValueError(f"{len(tokens)} tokens: the answer is too long for a one-hot embedding of {EMBEDDING}")

    chain = [*range(first, len(tokens)), first if endless else tokens.index(shape.end)]
    follows = {chain[i]: chain[i + 1] for i in range(len(pieces))}
    for last in (*(("Ċ", "ĊĊ", ":") if shape.vocabulary == "bpe" else ("<0x0A>", ":", "]")), shape.opener):
        if last in tokens[:first]:
            follows[tokens.index(last)] = first
    weights = _random(len(tokens), shape) if answer is None else _table(len(tokens), shape, follows)

    plain = path if quantize is None else path.with_suffix(".f16.gguf")
    _write(plain, tokens, types, details, weights, shape, context_length)
    if quantize is not None:
        quantized(plain, path, quantize)
        plain.unlink()
    return path


def byte_letters() -> list[str]:
    """Return the 256 letters by which byte-level BPE writes the bytes, in order of the bytes."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = itertools.count(0x100)
    return [chr(b) if b in shown else chr(next(others)) for b in range(256)]


def _bpe(shape: Family) -> tuple[list[str], list[int], dict[str, list[Any]]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(byte_letters())
    trainer = trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_TEXT.splitlines(), trainer)

    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    types = [_NORMAL] * len(tokens) + [_CONTROL] * len(shape.control) + [_USER_DEFINED] * len(shape.user_defined)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return [*tokens, *shape.control, *shape.user_defined], types, {"merges": merges}


def _spm(shape: Family) -> tuple[list[str], list[int], dict[str, list[Any]]]:
    characters = ["▁", *(chr(c) for c in range(0x21, 0x7F))]
    tokens = [*shape.control, *(f"<0x{b:02X}>" for b in range(256)), *characters, *shape.user_defined]
    types = [_UNKNOWN if token == "<unk>" else _CONTROL for token in shape.control] + [_BYTE] * 256
    types += [_NORMAL] * len(characters) + [_USER_DEFINED] * len(shape.user_defined)
    scored = len(characters) + len(shape.user_defined)
    return tokens, types, {"scores": [0.0] * (len(shape.control) + 256) + [-1.0 - i for i in range(scored)]}


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


def _shapes(vocabulary: int, shape: Family) -> dict[str, tuple[int, int]]:
    heads, kv_heads, head = _heads(shape)
    shapes = {
        "token_embd": (vocabulary, EMBEDDING),
        "output": (vocabulary, EMBEDDING),
        "blk.0.attn_q": (heads * head, EMBEDDING),
        "blk.0.attn_k": (kv_heads * head, EMBEDDING),
        "blk.0.attn_v": (kv_heads * head, EMBEDDING),
        "blk.0.attn_output": (EMBEDDING, heads * head),
        "blk.0.ffn_gate": (FEED_FORWARD, EMBEDDING),
        "blk.0.ffn_up": (FEED_FORWARD, EMBEDDING),
        "blk.0.ffn_down": (EMBEDDING, FEED_FORWARD),
    }
    if shape.tied:
        del shapes["output"]
    return shapes


def _heads(shape: Family) -> tuple[int, int, int]:
    """Return the numbers of heads of queries and of keys, and a head's width."""
    return (GEMMA_HEADS, GEMMA_KV_HEADS, GEMMA_HEAD) if shape.tied else (HEADS, KV_HEADS, EMBEDDING // HEADS)


def _table(vocabulary: int, shape: Family, follows: dict[int, int]) -> Weights:
    weights = {name: np.zeros(size, np.float16) for name, size in _shapes(vocabulary, shape).items()}
    weights["token_embd"][np.arange(vocabulary), np.arange(vocabulary)] = 1
    for row, (token, successor) in enumerate(follows.items()):
        if shape.tied:
            weights["blk.0.ffn_gate"][row, token] = weights["blk.0.ffn_up"][row, token] = 1
            weights["blk.0.ffn_down"][successor, row] = 1
        else:
            weights["output"][successor, token] = 1
    return weights


def _random(vocabulary: int, shape: Family) -> Weights:
    random = np.random.default_rng(7)
    return {n: random.normal(0, 0.06, size).astype(np.float16) for n, size in _shapes(vocabulary, shape).items()}


def _vectors(shape: Family) -> Weights:
    """Return the norms, in which llama.cpp's Gemma has its "+ 1" already, and Qwen's biases."""
    heads, kv_heads, head = _heads(shape)
    vectors = {f"{name}.weight": np.ones(EMBEDDING) for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")}
    if shape.architecture == "gemma2":
        vectors["blk.0.post_attention_norm.weight"] = np.ones(EMBEDDING)
        vectors["blk.0.post_ffw_norm.weight"] = np.full(EMBEDDING, GEMMA_LOUD)
    if shape.architecture == "qwen2":
        vectors |= {"blk.0.attn_q.bias": np.full(heads * head, 0.1)}
        vectors |= {f"blk.0.attn_{name}.bias": np.zeros(kv_heads * head) for name in "kv"}
    return {name: vector.astype(np.float32) for name, vector in vectors.items()}


def _write(
    path: Path,
    tokens: list[str],
    types: list[int],
    details: dict[str, list[Any]],
    weights: Weights,
    shape: Family,
    context_length: int,
) -> None:
    import gguf

    heads, kv_heads, head = _heads(shape)
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name("tiny")
    writer.add_file_type(1)
    writer.add_context_length(context_length)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    if shape.tied:
        writer.add_key_length(head)
        writer.add_value_length(head)
    else:
        writer.add_rope_dimension_count(head)
    if shape.window:
        writer.add_sliding_window(shape.window)
    if shape.architecture == "gemma2":
        writer.add_attn_logit_softcapping(50.0)
        writer.add_final_logit_softcapping(30.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2" if shape.vocabulary == "bpe" else "llama")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if shape.vocabulary == "bpe":
        writer.add_tokenizer_pre(shape.pre)
        writer.add_token_merges(details["merges"])
    else:
        writer.add_token_scores(details["scores"])
        writer.add_add_space_prefix(shape.spaced)
    writer.add_bos_token_id(tokens.index(shape.begin))
    writer.add_eos_token_id(tokens.index(shape.end))
    writer.add_add_bos_token(shape.add_bos)
    if shape.template is not None:
        writer.add_chat_template(shape.template)
    for name, array in weights.items():
        writer.add_tensor(f"{name}.weight", array)
    for name, array in _vectors(shape).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantized(source: Path, target: Path, form: str) -> None:
    """Write the model of one file in another form to a second."""
    import llama_cpp

    logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)  # the level its native log is held to
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = _QUANTIZED[form]
    parameters.nthread = 2
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters):
        raise RuntimeError(f"llama.cpp could not quantize {source}")
