"""The vocabulary of a GGUF file -> a count of a prompt's tokens, in the parent, while the child still loads the model.

For byte-level BPE vocabularies whose way to cut text into words is known, the tokens are made by a tiktoken `Encoding`
of the file's own merges. They are those of `LlamaModel.encode`, one by one; where that cannot be had there is no
`Vocabulary`, and the child counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ragcli.llama.gguf import GgufInfo
from ragcli.llama.header import STRING, UINT32, read_numbers, read_strings
from ragcli.llama.merges import byte_letters, ranked
from ragcli.llama.template import Piece, with_spaces_in_front

if TYPE_CHECKING:
    from tiktoken import Encoding

_MOST_TOKENS, _MOST_MERGES = 1 << 20, 1 << 21

# Words, as llama.cpp cuts them (unicode.cpp). Its tables of letters and numbers are those of Unicode 15.1, and
# tiktoken's are newer.
_L, _M, _N = (rf"[\p{{{kind}}}&&\p{{Age=15.1}}]" for kind in "LMN")
_CONTRACTION = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_GPT2 = rf"'(?:[stmd]|re|ve|ll)| ?{_L}+| ?{_N}+| ?[^\s{_L}{_N}]+|\s+(?!\S)|\s+"
_DIGITS = rf"'(?:[stmd]|re|ve|ll)| ?{_L}+|{_N}| ?[^\s{_L}{_N}]+|\s+(?![^\s{_N}])|\s+"
_AFTER_WORDS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTION}|[^\r\n{_L}{_N}]?{_L}+|{_N}{{1,3}}| ?[^\s{_L}{_N}]+[\r\n]*|{_AFTER_WORDS}"
_QWEN2 = rf"{_CONTRACTION}|[^\r\n{_L}{_N}]?{_L}+|{_N}| ?[^\s{_L}{_N}]+[\r\n]*|{_AFTER_WORDS}"
_QWEN35 = rf"{_CONTRACTION}|[^\r\n{_L}{_N}]?[{_L}{_M}]+|{_N}| ?[^\s{_L}{_M}{_N}]+[\r\n]*|{_AFTER_WORDS}"

_PATTERNS = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "exaone4", "trillion", "jais", "granite-docling"), _GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2"), _LLAMA3),
    **dict.fromkeys(("smaug-bpe", "dbrx", "chatglm-bpe", "glm4"), _LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "grok-2"), _QWEN2),
    "qwen35": _QWEN35,
}
"""How words are cut, by `tokenizer.ggml.pre`."""

_WHOLE_WORDS = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2", "glm4"}
"""Kinds in which a word that is a token is taken as such, without merges (`ignore_merges`)."""
_BEGIN = _WHOLE_WORDS - {"glm4"}
"""Kinds in which a prompt has a token that begins it, unless the file says otherwise."""
_NO_BEGIN = {"chatglm-bpe", "glm4"}
"""Kinds without such a token, unless the file names one."""

_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6  # llama.h: llama_token_type

_ENDS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>"),
    *("<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<eos>", "[e~["),
    *("<end_of_utterance>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>"),
)
"""Texts of tokens that llama.cpp takes for the end of an answer, and for control tokens, whatever the file says."""
_FILL = {
    "pre prefix": "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|> <|prefix|>",
    "suf suffix": "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|> <|suffix|>",
    "mid middle": "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|> <|middle|>",
    "pad": "<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]",
    "rep": "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>",
    "sep": "<|file_sep|>",
}
"""The same for tokens that a code model fills gaps with, where the file does not name them: it takes one of each kind.
The last three are also the end of an answer. The first word is that of the file's key, the second an older one's."""
_ALWAYS_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")

_LONG_RUN = re.compile(r"\s{100000}")
"""White space at which tiktoken's words run out of stack."""


class Vocabulary:
    """Makes the tokens of prompts for one model."""

    def __init__(self, tokens: Sequence[str], roles: _Roles, encoding: Encoding, places: Sequence[int]) -> None:
        self._tokens = tokens
        self._roles = roles
        self._encoding = encoding
        self._places = places

    @classmethod
    def read(cls, info: GgufInfo) -> Vocabulary | None:
        """Return the vocabulary of a model, or None where its tokens can be known from llama.cpp alone.

        Takes up to a second for 128,000 tokens. Raises OSError where the file cannot be read.
        """
        kind = str(info.metadata.get("tokenizer.ggml.pre", ""))
        if info.tokenizer != "gpt2" or kind not in _PATTERNS or _strips(info):
            return None
        tokens, types, merges = _arrays(info)
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        roles = _Roles.read(info, kind, ids, types) if merges and len(ids) == len(tokens) else None
        if roles is None:
            return None
        # User-defined tokens are cut out of a text before there are words.
        texts = ranked(merges, ids.keys() - roles.user_defined.keys() if kind in _WHOLE_WORDS else ())
        if texts is None or not ids.keys() >= set(texts[256:]):
            return None
        return cls(tokens, roles, _encoding(info.name, kind, texts), [ids.get(text, -1) for text in texts])

    def count(self, pieces: Sequence[Piece]) -> int | None:
        """Return the number of a prompt's tokens, or None where only the child can count them."""
        tokens = self.encode(pieces)
        return None if tokens is None else len(tokens)

    def encode(self, pieces: Sequence[Piece]) -> list[int] | None:
        """Return a prompt's tokens, or None where only the child can make them. Contents give no control tokens."""
        tokens: list[int] = []
        for _, text, is_content in with_spaces_in_front(pieces):
            if _LONG_RUN.search(text):
                return None
            text = text.encode("utf-8", "replace").decode()
            tokens += self._plain(text) if is_content else self._tokenize(text, self._roles.special)
        if self._roles.begin >= 0 and tokens[:1] != [self._roles.begin]:
            tokens.insert(0, self._roles.begin)
        return tokens

    def _plain(self, text: str) -> list[int]:
        """Return tokens of `text` that carry no meaning but their letters; those that would are taken apart."""
        tokens: list[int] = []
        for token in self._tokenize(text, self._roles.user_defined):
            if token in self._roles.refused:
                marker = self._marker(token)
                tokens += self._tokenize(marker[:1], self._roles.user_defined)
                tokens += self._plain(marker[1:]) if marker[1:] else []
            else:
                tokens.append(token)
        return tokens

    def _marker(self, token: int) -> str:
        """Return the text of a token that is refused in contents."""
        if token in self._roles.named:
            return self._tokens[token]
        return self._encoding.decode_bytes([self._places.index(token)]).decode("utf-8", "replace")

    def _tokenize(self, text: str, markers: Mapping[str, int]) -> list[int]:
        """Return tokens of `text` in which `markers`, the longest first, are found before words are cut."""
        parts: list[str | int] = [text]
        for marker, token in markers.items():
            if marker in text:
                parts = [p for part in parts for p in _split(part, marker, token)]
        tokens: list[int] = []
        for part in parts:
            if isinstance(part, int):
                tokens.append(part)
            else:
                tokens += [t for t in map(self._places.__getitem__, self._encoding.encode_ordinary(part)) if t >= 0]
        return tokens


class _Roles:
    """What tokens are, apart from their letters, as llama.cpp sees it (llama-vocab.cpp, `load`).

    `special` are the tokens found in a template's text, by their own, and `user_defined` those found in any text;
    `refused` are those that a content must not give, and `named` those that stand for no letters. `begin` is the token
    that begins a prompt, or -1.
    """

    def __init__(self, ids: Mapping[str, int], types: Sequence[int]) -> None:
        self._ids = ids
        self._control = {i for i, kind in enumerate(types) if kind == _CONTROL}
        self._user_defined = {i for i, kind in enumerate(types) if kind == _USER_DEFINED}
        self._unknown = {i for i, kind in enumerate(types) if kind == _UNKNOWN}
        self._ends: set[int] = set()
        self.named = {i for i, kind in enumerate(types) if kind != 1}
        self.begin = -1

    @classmethod
    def read(cls, info: GgufInfo, kind: str, ids: Mapping[str, int], types: Sequence[int]) -> _Roles | None:
        """Return the roles, or None where llama.cpp leaves them to chance."""
        roles = cls(ids, types)

        def id_of(name: str, otherwise: int = -1) -> int:
            key = f"tokenizer.ggml.{name}_token_id"
            said = info.metadata.get(key, -1)
            known = info.types.get(key) == UINT32 and 0 <= int(said) < len(ids)
            return int(said) if known else otherwise if otherwise < len(ids) else -1

        if info.metadata.get("tokenizer.ggml.add_bos_token", kind in _BEGIN):
            roles.begin = id_of("bos", -1 if kind in _NO_BEGIN else 11)
        found = roles._find_fillers(id_of)
        roles._find_ends({id_of("eos", 11), id_of("eot"), id_of("eom")})
        return roles if found and _BYTE not in types and roles._order() else None

    def _find_fillers(self, id_of: Callable[[str], int]) -> bool:
        """Mark the tokens for gaps. Return whether it is clear which they are."""
        for names, texts in _FILL.items():
            short, *long = names.split()
            said = max(id_of(f"fim_{short}"), *map(id_of, long), -1)
            found = {self._ids[text] for text in texts.split() if text in self._ids}
            if said < 0 and len(found) > 1 and not found <= self._control:
                return False
            if said < 0:
                self._control |= found
            if not long:
                self._ends |= {said} - {-1} or found
        return True

    def _find_ends(self, said: set[int]) -> None:
        by_name = {self._ids[text] for text in _ENDS if text in self._ids}
        self._control |= by_name
        for text in _ALWAYS_SHOWN:
            if text in self._ids:
                self._show(self._ids[text])
        self._ends |= by_name | (said - {-1})

        def ends(text: str) -> bool:
            return self._ids.get(text, -1) in self._ends

        called = ends("<|call|>") or ends("<|calls|>")
        if ends("<|end|>") and called and (ends("<|return|>") or ends("<|flush|>")):
            self._show(self._ids["<|end|>"])
            self._ends.remove(self._ids["<|end|>"])
        if ends("</s>") and (ends("<|tool_response>") or ends("<|plamo:eos|>")):
            token = self._ids["</s>"]
            self._ends.remove(token)
            for kind in (self._control, self._user_defined, self._unknown, self.named):
                kind.discard(token)

    def _show(self, token: int) -> None:
        """Make it a token that the user defined."""
        self._control.discard(token)
        self._unknown.discard(token)
        self._user_defined.add(token)

    def _order(self) -> bool:
        """Put the tokens into the order in which they are looked for. Return whether there is only one."""
        every = self._control | self._user_defined | self._unknown
        self.named |= every
        texts = sorted((text for text, i in self._ids.items() if i in every), key=lambda t: -len(t.encode()))
        self.special = {text: self._ids[text] for text in texts}
        hidden = self._control | self._unknown
        self.user_defined = {text: i for text, i in self.special.items() if i not in hidden}
        shown = {i for text, i in self.special.items() if i in self._user_defined and text.encode().strip()}
        self.refused = self._control | self._ends | shown
        return not _overlap(texts)


def _overlap(texts: Sequence[str]) -> bool:
    """Return whether the end of one text begins another that is as long: then it matters which is looked for first."""
    groups: dict[int, list[str]] = {}
    for text in texts:
        groups.setdefault(len(text.encode()), []).append(text)
    for group in groups.values():
        begins: dict[str, set[str]] = {}
        for text in group:
            for i in range(1, len(text)):
                begins.setdefault(text[:i], set()).add(text)
        if any(begins.get(text[i:], {text}) != {text} for text in group for i in range(1, len(text))):
            return True
    return False


def _arrays(info: GgufInfo) -> tuple[list[str], list[int], list[str]]:
    """Return tokens, their types, and merges; no merges where they cannot be used."""
    tokens, types, merges = (info.arrays.get(f"tokenizer.ggml.{n}") for n in ("tokens", "token_type", "merges"))
    if tokens is None or merges is None or tokens.length > _MOST_TOKENS or merges.length > _MOST_MERGES:
        return [], [], []
    if not tokens.type == merges.type == STRING:
        return [], [], []
    try:
        texts, pairs = (b"\0".join(read_strings(info.path, a)).decode().split("\0") for a in (tokens, merges))
    except UnicodeDecodeError:
        return [], [], []
    if (len(texts), len(pairs)) != (tokens.length, merges.length):
        return [], [], []
    if "" in texts:
        texts = [text or f"[EMPTY_{i}]" for i, text in enumerate(texts)]
    return texts, [int(n) for n in read_numbers(info.path, types)] if types else [1] * len(texts), pairs


def _strips(info: GgufInfo) -> bool:
    """Return whether some tokens take the white space around them, which llama.cpp tells by names."""
    name = str(info.metadata.get("general.name", "")).lower()
    return any(part in name for part in ("phi-3", "phi3", "modern-bert")) or "bert" in info.architecture


def _encoding(name: str, kind: str, texts: Sequence[str]) -> Encoding:
    from tiktoken import Encoding

    apart = "\uffff"
    bytes_of = {ord(letter): byte for byte, letter in enumerate(byte_letters())}
    written = apart.join(texts).translate(bytes_of).split(apart)
    ranks = {text.encode("latin-1"): i for i, text in enumerate(written)}
    return Encoding(name, pat_str=_PATTERNS[kind], mergeable_ranks=ranks, special_tokens={})


def _split(part: str | int, marker: str, token: int) -> Iterator[str | int]:
    if isinstance(part, int) or marker not in part:
        yield part
        return
    for i, text in enumerate(part.split(marker)):
        if i:
            yield token
        if text:
            yield text
