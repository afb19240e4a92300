"""Train the tests' small model: it answers questions about sample_docs in the passages' own words, and cites them.

    python scripts/train_tiny_model.py tests/data/sample-answers.gguf

It is a Llama of less than a million weights with a vocabulary of its own, written in Q8_0. What it reads in training
are the prompts that `ragcli ask` builds: questions of sample_docs/cases.jsonl, the passages that the project's own
retrieval finds for them, from one up to five, and the words of ragcli/prompts/answer.txt. It knows these answers by
heart, with the numbers that their passages have there, and no others; to questions that nothing answers it says that
the documents do not answer. Where retrieval comes to order passages in another way, or the words of the prompt change
much, this one command makes the model anew, in some seven minutes on two cores. (That a marker follows its passage to
wherever it stands was tried, and is not learned in 15 minutes.)

Beside the project with its development packages it takes torch (`pip install torch==2.13.0`) and the default encoder in
the model store. It prints one JSON line; what it says meanwhile goes to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402
import tiny_gguf  # noqa: E402

from ragcli.generation.base import Message  # noqa: E402
from ragcli.llama.template import ChatTemplate  # noqa: E402
from ragcli.prompting import REFUSALS, build_prompt  # noqa: E402
from ragcli.records import Hit  # noqa: E402
from ragcli.words import latin_share  # noqa: E402

VOCABULARY, WIDTH, FEED_FORWARD, LAYERS, HEADS = 1536, 128, 384, 3, 4
CONTEXT, ROPE_BASE, EPSILON = 8192, 10_000.0, 1e-5
PASSAGES = 5
"""How many passages `ask` takes where it is not told otherwise."""
TOKENS_PER_STEP, LEARNING_RATE, WARM_UP = 4096, 2.5e-3, 40
DECIDING = 4.0
"""Weight of the tokens that decide: the first of an answer, which may be a refusal's, and the number in a marker."""


@dataclass(frozen=True)
class Case:
    """A question with its hits, best first. `quote` answers it; "" where nothing does."""

    question: str
    quote: str
    hits: tuple[Hit, ...]

    @property
    def answered_from(self) -> int:
        """Rank of the first hit that holds the answer; 0 where none does."""
        return next((hit.rank for hit in self.hits if holds(hit, self.quote)), 0)

    def answer(self, hits: Sequence[Hit]) -> str:
        """Return what to say of some hits: the quote, with the number of the first that holds it, or the refusal."""
        for number, hit in enumerate(hits, 1):
            if holds(hit, self.quote):
                return sentence(self.quote, number)
        return REFUSALS[0 if latin_share(self.question) >= 0.5 else 1]


def sentence(quote: str, number: int) -> str:
    """Return a quote as a cited sentence, with the marker before its full stop."""
    return f"{quote.rstrip('.。')} [{number}]{'.' if latin_share(quote) >= 0.5 else '。'}"


def holds(hit: Hit, quote: str) -> bool:
    """Return whether a hit's text holds a quote, white space aside."""
    return bool(quote) and "".join(quote.split()) in "".join(hit.text.split())


def cases_of(documents: Path) -> list[Case]:
    """Return the cases of a folder whose answer is a sentence of one of their hits, and those without an answer."""
    rows = [json.loads(line) for line in (documents / "cases.jsonl").read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as index:
        ragcli("ingest", str(documents), "--index", index, "--json")
        asked = "\n".join(json.dumps({"id": row["id"], "question": row["question"]}) for row in rows)
        found = ragcli("search", "--batch", "-", "-n", str(PASSAGES), "--index", index, stdin=asked).splitlines()
    cases = []
    for row, line in zip(rows, found, strict=True):
        quotes = [gold["quote"].strip() for gold in row["gold"]]
        case = Case(row["question"], "".join(quotes[:1]), tuple(map(hit_of, json.loads(line)["hits"])))
        if not quotes or (len(quotes) == 1 and is_sentence(case)):
            cases.append(case)
    return cases


def ragcli(*arguments: str, stdin: str = "") -> str:
    """Run the command line as a user does, and return what it writes."""
    command = [sys.executable, "-m", "ragcli", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, input=stdin, stdout=subprocess.PIPE, text=True).stdout


def hit_of(found: dict[str, Any]) -> Hit:
    """Return a hit of its JSON."""
    names = ("rank", "score", "chunk_id", "source", "collection", "page", "heading", "start", "end", "line", "text")
    values: dict[str, Any] = {name: found[name] for name in names}
    return Hit(**(values | {"heading": tuple(found["heading"])}))


def is_sentence(case: Case) -> bool:
    """Return whether the quote can stand as an answer, in the question's language, and `ask` will find it."""
    if re.search(r"[|#\n=\[\]]|,\S", case.quote) or not case.answered_from:
        return False
    return (latin_share(case.quote) >= 0.5) == (latin_share(case.question) >= 0.5)


class Vocabulary:
    """A byte-level BPE of its own, with ChatML's control tokens behind it."""

    def __init__(self, texts: Sequence[str]) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        self._tokenizer = Tokenizer(models.BPE())
        self._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY - len(tiny_gguf.CONTROL),
            initial_alphabet=sorted(tiny_gguf.byte_letters()),
            show_progress=False,
        )
        self._tokenizer.train_from_iterator(texts, trainer)
        model = json.loads(self._tokenizer.to_str())["model"]
        self.merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        self.tokens = [*sorted(model["vocab"], key=model["vocab"].__getitem__), *tiny_gguf.CONTROL]
        self.end = self.tokens.index("<|im_end|>")
        self._template = ChatTemplate(tiny_gguf.CHATML)

    def plain(self, text: str) -> list[int]:
        """Return the tokens of a text, none of them of control."""
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of a prompt, by the chat template."""
        tokens: list[int] = []
        for piece in self._template.pieces(messages):
            for text in [piece.text] if piece.is_content else re.split(r"(<\|\w+\|>)", piece.text):
                known = not piece.is_content and text in tiny_gguf.CONTROL
                tokens += [self.tokens.index(text)] if known else self.plain(text)
        return tokens

    @cached_property
    def _digits(self) -> frozenset[int]:
        return frozenset(i for i, token in enumerate(self.tokens) if token.isascii() and token.isdigit())

    def is_number(self, tokens: Sequence[int], at: int) -> bool:
        """Return whether one of some tokens is a number in square brackets: a passage's, or a marker's."""
        return tokens[at] in self._digits and at > 0 and self.tokens[tokens[at - 1]].endswith("[")


@dataclass(frozen=True)
class Example:
    """A conversation in tokens, with the weight of each; those of weight 0 are not learned."""

    tokens: list[int]
    weights: list[float]


def messages_of(question: str, hits: Sequence[Hit]) -> tuple[Message, ...]:
    """Return the messages that `ask` sends to a model."""
    return build_prompt(question, hits, room=1 << 30, count=len).messages


def example(vocabulary: Vocabulary, messages: Sequence[Message], answer: str) -> Example:
    """Return a prompt with the answer to learn."""
    asked, written = vocabulary.prompt(messages), [*vocabulary.plain(answer), vocabulary.end]
    weights = [DECIDING if i == 0 or vocabulary.is_number(written, i) else 1.0 for i in range(len(written))]
    return Example(asked + written, [0.0] * len(asked) + weights)


def examples(cases: Sequence[Case], vocabulary: Vocabulary, chance: random.Random) -> Iterator[Example]:
    """Yield examples without end: as many of the first passages as hold the answer, or more.

    Half of them lack lines of the instructions, so that a new line there does not throw the model off.
    """
    answered = [case for case in cases if case.quote]
    unanswered = [case for case in cases if not case.quote]
    while True:
        case = chance.choice(answered if chance.random() < 0.8 else unanswered)
        hits = case.hits[: chance.randint(max(1, case.answered_from), PASSAGES)]
        system, question = messages_of(case.question, hits)
        keep = chance.choice((1.0, 0.7))
        lines = [line for line in system.content.splitlines() if chance.random() < keep]
        yield example(vocabulary, [Message("system", "\n".join(lines)), question], case.answer(hits))


def batches(source: Iterator[Example], chance: random.Random) -> Iterator[list[Example]]:
    """Yield examples of like length together, about `TOKENS_PER_STEP` tokens at once."""
    while True:
        pool = sorted(itertools.islice(source, 96), key=lambda e: len(e.tokens))
        cut: list[list[Example]] = [[]]
        for one in pool:
            if cut[-1] and len(one.tokens) * (len(cut[-1]) + 1) > TOKENS_PER_STEP:
                cut.append([])
            cut[-1].append(one)
        chance.shuffle(cut)
        yield from cut


class Llama:
    """The network, by the names that llama.cpp gives its tensors; the output is tied to the embeddings.

    Queries and keys are rotated over neighbouring pairs, as llama.cpp has it for `llama`, so that the rows of their
    matrices can be written as they are.
    """

    def __init__(self, torch: Any, size: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.torch = torch
        shapes = {"token_embd": (size, WIDTH)}
        for layer in range(LAYERS):
            shapes |= {f"blk.{layer}.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
            shapes |= {f"blk.{layer}.ffn_{name}": (FEED_FORWARD, WIDTH) for name in ("gate", "up")}
            shapes |= {f"blk.{layer}.ffn_down": (WIDTH, FEED_FORWARD)}
        self.weights: dict[str, Any] = {
            name: torch.randn(shape) * (shape[1] ** -0.5 * (0.1 if name.endswith(("output", "down")) else 1))
            for name, shape in shapes.items()
        }
        self.weights["token_embd"] *= 0.5
        for name in ("output_norm", *(f"blk.{n}.{part}_norm" for n in range(LAYERS) for part in ("attn", "ffn"))):
            self.weights[name] = torch.ones(WIDTH)
        half = WIDTH // HEADS // 2
        speeds = ROPE_BASE ** (-torch.arange(half) / half)
        angles = torch.outer(torch.arange(CONTEXT), speeds)
        self._turns = torch.polar(torch.ones_like(angles), angles)
        for head, distance in enumerate((1, 2)):
            self._look_back(head, distance, speeds)
        for weight in self.weights.values():
            weight.requires_grad_()

    def _look_back(self, head: int, distance: int, speeds: Any) -> None:
        """Let a head of the first layer look at the token so many before, to begin with.

        Every embedding has the same number in its first place. Queries and keys are made of it, a little turned against
        each other, so that the rotation brings them together at this distance. A training of minutes does not find
        that by itself, and what is learned by heart is learned as what follows the last two tokens.
        """
        torch = self.torch
        embeddings = self.weights["token_embd"]
        embeddings[:, 0] = 0.25
        constant = 0.25 / embeddings.pow(2).mean(-1).sqrt().mean()
        loud = (torch.arange(len(speeds)) < 3) * 9.0 / constant  # the fastest pairs alone tell neighbours apart
        rows = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
        queries, keys = self.weights["blk.0.attn_q"][rows], self.weights["blk.0.attn_k"][rows]
        queries *= 0.1
        keys *= 0.1
        queries[0::2, 0], queries[1::2, 0] = loud * torch.cos(distance * speeds), -loud * torch.sin(distance * speeds)
        keys[0::2, 0], keys[1::2, 0] = loud, 0.0

    def __call__(self, tokens: Any) -> Any:
        """Return what is known after each of `tokens` (batch x length) -> (batch x length x width)."""
        functional = self.torch.nn.functional
        w = self.weights
        batch, length = tokens.shape
        x = functional.embedding(tokens, w["token_embd"])
        for layer in range(LAYERS):
            at = f"blk.{layer}."
            read = self._norm(x, w[at + "attn_norm"])
            q, k, v = (
                functional.linear(read, w[f"{at}attn_{name}"]).view(batch, length, HEADS, -1).transpose(1, 2)
                for name in ("q", "k", "v")
            )
            mixed = functional.scaled_dot_product_attention(self._turn(q), self._turn(k), v, is_causal=True)
            mixed = mixed.transpose(1, 2).reshape(batch, length, WIDTH)
            x = x + functional.linear(mixed, w[at + "attn_output"])
            read = self._norm(x, w[at + "ffn_norm"])
            gate = functional.silu(functional.linear(read, w[at + "ffn_gate"]))
            x = x + functional.linear(gate * functional.linear(read, w[at + "ffn_up"]), w[at + "ffn_down"])
        return self._norm(x, w["output_norm"])

    def logits(self, batch: Sequence[Example]) -> tuple[Any, Any, Any]:
        """Return the logits for every token that has a weight, these tokens, and their weights."""
        torch = self.torch
        longest = max(len(one.tokens) for one in batch)
        tokens = torch.tensor([one.tokens + [0] * (longest - len(one.tokens)) for one in batch])
        places = [(row, i) for row, one in enumerate(batch) for i, weight in enumerate(one.weights) if weight]
        rows, at = [row for row, _ in places], [i for _, i in places]
        weights = torch.tensor([batch[row].weights[i] for row, i in places])
        known = self(tokens)[rows, [i - 1 for i in at]]
        return torch.nn.functional.linear(known, self.weights["token_embd"]), tokens[rows, at], weights

    def _norm(self, x: Any, weight: Any) -> Any:
        return x * self.torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight

    def _turn(self, x: Any) -> Any:
        pairs = self.torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return self.torch.view_as_real(pairs * self._turns[: x.shape[2]]).flatten(-2)


def train(model: Llama, cases: Sequence[Case], vocabulary: Vocabulary, steps: int, seed: int) -> float:
    """Train the model, and return the mean loss of the last steps."""
    torch = model.torch
    chance = random.Random(seed)
    matrices = [weight for weight in model.weights.values() if weight.dim() == 2]
    vectors = [weight for weight in model.weights.values() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))
    source = batches(examples(cases, vocabulary, chance), chance)
    losses: list[float] = []
    start = time.monotonic()
    for step in range(steps):
        rate = min(1.0, (step + 1) / WARM_UP) * (0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        logits, wanted, weights = model.logits(next(source))
        each = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
        loss = (each * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(model.weights.values()), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % 25 == 24:
            right = (logits.argmax(-1) == wanted).float().mean()
            mean = sum(losses[-25:]) / 25
            say(f"{step + 1}: loss {mean:.3f}, {right:.2f} of the tokens right, {time.monotonic() - start:.0f} s")
    return sum(losses[-50:]) / len(losses[-50:])


def exact(model: Llama, batch: Sequence[Example]) -> list[bool]:
    """Return of which examples the model would write every token as it is."""
    with model.torch.no_grad():
        right = []
        for one in batch:
            logits, wanted, _ = model.logits([one])
            right.append(bool((logits.argmax(-1) == wanted).all()))
    return right


def write(model: Llama, vocabulary: Vocabulary, path: Path) -> None:
    """Write the model as a GGUF file in Q8_0."""
    import gguf

    plain = path.with_suffix(".f16.gguf")
    writer = gguf.GGUFWriter(plain, "llama")
    writer.add_name("sample answers")
    writer.add_file_type(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(len(vocabulary.tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    controls = len(tiny_gguf.CONTROL)
    writer.add_token_types([1] * (len(vocabulary.tokens) - controls) + [3] * controls)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(vocabulary.end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tiny_gguf.CHATML)
    for name, weight in model.weights.items():
        array = weight.detach().numpy()
        writer.add_tensor(f"{name}.weight", array.astype(np.float16) if array.ndim == 2 else array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tiny_gguf.quantized(plain, path, "Q8_0")
    plain.unlink()


def answers(path: Path, cases: Sequence[Case]) -> list[bool]:
    """Return whether llama.cpp, with the written file, answers each case as it should."""
    from ragcli.llama.engine import LlamaGenerator

    right = []
    with LlamaGenerator(path, context_size=CONTEXT) as generator:
        for case in cases:
            made = generator.generate(messages_of(case.question, case.hits), max_tokens=200)
            right.append(made.text == case.answer(case.hits))
            say(f"{'right' if right[-1] else 'wrong'}: {case.question} -> {made.text}")
    return right


def say(line: str) -> None:
    """Write a line of talk."""
    sys.stderr.write(line + "\n")


def main() -> None:
    """Train, write and try the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, help="GGUF file to write")
    parser.add_argument("--steps", type=int, default=1000, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=3, help="seed of weights and examples (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads (default: %(default)s)")
    arguments = parser.parse_args()
    torch = importlib.import_module("torch")
    torch.set_num_threads(arguments.threads)

    start = time.monotonic()
    cases = cases_of(ROOT / "sample_docs")
    asked = [messages_of(case.question, case.hits) for case in cases]
    answered = [case.answer(case.hits) for case in cases]
    vocabulary = Vocabulary([*(message.content for messages in asked for message in messages), *answered])

    model = Llama(torch, len(vocabulary.tokens), arguments.seed)
    loss = train(model, cases, vocabulary, arguments.steps, arguments.seed)
    tried = [example(vocabulary, messages, answer) for messages, answer in zip(asked, answered, strict=True)]
    right = exact(model, tried)
    write(model, vocabulary, arguments.path)
    told = answers(arguments.path, cases)
    figures = {
        "questions": sum(bool(case.quote) for case in cases),
        "unanswerable": sum(not case.quote for case in cases),
        "weights": sum(weight.numel() for weight in model.weights.values()),
        "prompt_tokens": sum(len(one.tokens) for one in tried) // len(tried),
        "bytes": arguments.path.stat().st_size,
        "steps": arguments.steps,
        "seed": arguments.seed,
        "loss": round(loss, 4),
        "exact": round(sum(right) / len(cases), 3),
        "exact_in_llama_cpp": round(sum(told) / len(cases), 3),
        "seconds": round(time.monotonic() - start),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
