"""Question + passages + room -> Prompt. Pure: whoever asks says how tokens are counted.

The words around them stand in `prompts/answer.txt`. The system message holds nothing that changes between questions,
so that an engine can keep what it has read of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from ragcli.errors import UsageError
from ragcli.generation.base import Message
from ragcli.records import Hit

REFUSALS = ("The documents do not answer this.", "文档中没有答案。", "文檔中沒有答案。")
"""What a model is told to write where the passages do not hold the answer."""

_LONGEST_SOURCE = 200
_MARKER = r"\[\s*\d+\s*\]"
_REFUSAL = re.compile(
    rf"(?:{'|'.join(re.escape(r[:-1]) for r in REFUSALS)})[^\w\[]*(?:{_MARKER}[^\w\[]*)*", re.IGNORECASE
)
"""One of these sentences, with the quotes and markers that some models put after it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. Passage [n] of it is `hits[n - 1]`; `dropped` counts those that did not fit."""

    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    dropped: int


def build_prompt(question: str, passages: Sequence[Hit], *, room: int, count: Callable[[str], int]) -> Prompt:
    """Put as many of `passages`, best first, before the question as `room` tokens allow.

    `count` gives the tokens of one message's text, in which it may include what the chat template adds to a message.
    Where not even the first passage fits, its beginning is used, and its hit is as short as what the model gets.
    Raises UsageError where the question alone does not fit.
    """
    question = question.strip()
    system, user = _template()
    system = _fill(system, {"refusal": REFUSALS[0], "refusal_chinese": REFUSALS[1]})
    left = room - count(system)

    def ask(hits: Sequence[Hit]) -> str:
        passages = "\n\n".join(map(_passage, range(1, len(hits) + 1), hits))
        return _fill(user, {"passages": passages, "question": question})

    def fits(hits: Sequence[Hit]) -> bool:
        return count(ask(hits)) <= left

    if not fits(()):
        raise UsageError(
            "the question does not fit into the model's context",
            "shorten it, lower --max-tokens, or raise `context_size`",
        )
    most = _largest(len(passages), lambda n: fits(passages[:n]))
    hits = tuple(passages[:most])
    if not hits and passages:
        first = passages[0]
        length = _largest(len(first.text), lambda n: fits([_shortened(first, n)]))
        hits = (_shortened(first, length),) if first.text[:length].strip() else ()
    messages = (Message("system", system), Message("user", ask(hits)))
    return Prompt(messages, hits, len(passages) - len(hits))


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that fits, where 0 is known to, by halving."""
    if fits(most):
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def _shortened(hit: Hit, length: int) -> Hit:
    return replace(hit, text=hit.text[:length], end=hit.start + length) if length < len(hit.text) else hit


def _passage(number: int, hit: Hit) -> str:
    """Return one passage between fences that its text cannot close, however many quotes it holds."""
    fence = '"' * max(3, 1 + max(map(len, re.findall('"+', hit.text)), default=0))
    place = [hit.source, *([f"page {hit.page}"] if hit.page is not None else []), " > ".join(hit.heading)]
    title = ", ".join(" ".join(part.split())[:_LONGEST_SOURCE] for part in place if part)
    return f"[{number}] {title}\n{fence}\n{hit.text}\n{fence}"


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each `{name}` once: a name that a value holds is left alone."""
    return re.sub("|".join(rf"\{{{name}\}}" for name in values), lambda match: values[match[0][1:-1]], template)


@cache
def _template() -> tuple[str, str]:
    """Return the system and the user part."""
    text = files("ragcli").joinpath("prompts/answer.txt").read_text("utf-8")
    system, user = text.removeprefix("[system]\n").split("\n[user]\n")
    return system.strip(), user.strip()


def is_refusal(text: str) -> bool:
    """Return whether an answer says that the passages do not hold it, and cites nothing for anything else."""
    rest, refusals = _REFUSAL.subn("", text)
    return refusals > 0 and not re.search(_MARKER, rest)
