"""Question + passages + history + room -> Prompt. Pure: whoever asks says how tokens are counted.

The words around them stand in a template file, `prompts/answer.txt` or one of the user's own. The system message holds
nothing that changes between questions and stands first, so that an engine can keep what it has read of it; earlier
turns of a conversation come next, and passages and question last.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from ragcli.errors import UsageError
from ragcli.generation.base import Message
from ragcli.records import Hit

REFUSALS = ("The documents do not answer this.", "文档中没有答案。", "文檔中沒有答案。")
"""What a model is told to write where the passages do not hold the answer."""

MAX_TEMPLATE = 1 << 16
"""Bytes of a template file."""
HISTORY_SHARE = 0.25
"""The most of the room that earlier turns may take: passages are worth more than what was said before."""

_LONGEST_SOURCE = 200
_MARKER = r"[\[【]\s*\d+(?:\s*[,，、]\s*\d+)*\s*[\]】]"
_REFUSAL = re.compile(
    rf"(?:{'|'.join(re.escape(r[:-1]) for r in REFUSALS)})[^\w\[]*(?:{_MARKER}[^\w\[]*)*", re.IGNORECASE
)
"""One of these sentences, with the quotes and markers that some models put after it."""

Count = Callable[[Sequence[Message]], int]
"""Tokens of the prompt that messages make, with what the model's chat template adds."""


@dataclass(frozen=True, slots=True)
class Template:
    """The words around passages and question. `sha256` is the file's; it is recorded with every answer."""

    name: str
    sha256: str
    system: str
    user: str

    @property
    def instructions(self) -> Message:
        """The system message, which all prompts begin with."""
        filled = _fill(self.system, {"refusal": REFUSALS[0], "refusal_chinese": REFUSALS[1]})
        return Message("system", filled)

    @staticmethod
    def shipped(name: str) -> Template:
        """Return a template that comes with ragcli."""
        return _parse(f"{name}.txt", files("ragcli").joinpath("prompts", f"{name}.txt").read_bytes())

    @staticmethod
    def read(path: Path) -> Template:
        """Return the user's own. Raises UsageError where it cannot be read or lacks a part."""
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_TEMPLATE + 1)
        except OSError as error:
            raise UsageError(f"prompt template {path}: {error.strerror or error}", _TEMPLATE_HINT) from None
        return _parse(path.name, data)


_TEMPLATE_HINT = "docs/how-it-works.md says what a template holds; `ragcli config set prompt ''` takes the shipped one"


def _parse(name: str, data: bytes) -> Template:
    def wrong(reason: str) -> UsageError:
        return UsageError(f"prompt template {name}: {reason}", _TEMPLATE_HINT)

    if len(data) > MAX_TEMPLATE:
        raise wrong(f"it is larger than {MAX_TEMPLATE} bytes")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise wrong("it is not UTF-8") from None
    parts = re.split(r"^\[(system|user)\][ \t]*$", text, flags=re.MULTILINE)
    if parts[1::2] != ["system", "user"] or parts[0].strip():
        raise wrong("it needs a line [system], and after its text a line [user]")
    system, user = parts[2].strip(), parts[4].strip()
    missing = [slot for slot in ("{passages}", "{question}") if slot not in user]
    if missing:
        raise wrong(f"its user part lacks {' and '.join(missing)}")
    if not system:
        raise wrong("its system part is empty")
    return Template(name, hashlib.sha256(data).hexdigest(), system, user)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. Passage [n] of it is `hits[n - 1]`.

    `dropped` counts the passages that did not fit, `dropped_turns` the earlier questions that did not.
    """

    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    dropped: int
    dropped_turns: int = 0


def build_prompt(
    question: str,
    passages: Sequence[Hit],
    *,
    room: int,
    count: Count,
    template: Template | None = None,
    history: Sequence[tuple[str, str]] = (),
) -> Prompt:
    """Put as many of `passages`, best first, before the question as `room` tokens allow.

    `history` holds earlier questions with their answers, oldest first; the latest that fit into a quarter of the room
    come along. Where not even the first passage fits, its beginning is used, and its hit is as short as what the model
    gets. Raises UsageError where the question alone does not fit.
    """
    template = template or Template.shipped("answer")
    question = question.strip()
    system = template.instructions
    turns: tuple[tuple[str, str], ...] = ()

    def messages(hits: Sequence[Hit]) -> tuple[Message, ...]:
        numbered = "\n\n".join(map(_passage, range(1, len(hits) + 1), hits))
        said = [m for asked, answer in turns for m in (Message("user", asked), Message("assistant", answer))]
        asked = Message("user", _fill(template.user, {"passages": numbered, "question": question}))
        return (system, *said, asked)

    def fits(hits: Sequence[Hit]) -> bool:
        return count(messages(hits)) <= room

    bare = count(messages(()))
    if bare > room:
        raise UsageError(
            f"the question does not fit into the model's context: with the instructions it takes {bare} tokens of "
            f"{max(0, room)}",
            "shorten it, lower --max-tokens, or raise `context_size`",
        )
    most = min(room, bare + HISTORY_SHARE * room)
    for turn in reversed(history):
        before, turns = turns, (turn, *turns)
        if count(messages(())) > most:
            turns = before
            break
    most_hits = _largest(len(passages), lambda n: fits(passages[:n]))
    hits = tuple(passages[:most_hits])
    if not hits and passages:
        first = passages[0]
        length = _largest(len(first.text), lambda n: fits([_shortened(first, n)]))
        hits = (_shortened(first, length),) if first.text[:length].strip() else ()
    return Prompt(messages(hits), hits, len(passages) - len(hits), len(history) - len(turns))


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


def without_markers(text: str) -> str:
    """Return an answer without its markers, and without the spaces before them."""
    return re.sub(rf"[ \t]*(?:{_MARKER})", "", text)


def is_refusal(text: str) -> bool:
    """Return whether an answer says that the passages do not hold it, and cites nothing for anything else."""
    rest, refusals = _REFUSAL.subn("", text)
    return refusals > 0 and not re.search(_MARKER, rest)
