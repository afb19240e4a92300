"""A conversation: what was said, and a follow-up made into a question that stands alone.

"And for the larger model?" finds nothing: retrieval sees one question and no history. So a question that leans on what
was said is written again before retrieval, by the language model, or, where there is none or it makes nothing of it, by
putting the question before it beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from ragcli.answering import Answer, Turn
from ragcli.generation.base import Generator, Message
from ragcli.generation.expected import identifiers
from ragcli.prompting import Template, is_refusal, without_markers
from ragcli.words import content_words, is_single_cjk, latin_share

SHORT = 3
"""Content words of a short question; a Chinese one, whose words are pairs of characters, may have twice as many."""
MOST_TURNS = 20
MAX_STANDALONE = 400
REWRITE_TOKENS = 96

_LEANS = re.compile(
    r"^\s*(?:and|but|so|or|also|then|what about|how about|what if|why not|how so|which one)\b|^\s*(?:why|how)\s*\?"
    r"|\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|ones?|same|latter|former"
    r"|others?|another|both|instead|else)\b"
    r"|^\s*(?:那么?|还有|而且|另外|为什么[?？]?$|如果)|[它他她][们]?|[这那]|其(?!中|他|它|余|实|次)|此|上述|前者|后者|同样|另一|呢[?？]?\s*$",
    re.IGNORECASE,
)
_QUOTES = "\"'“”‘’「」*` "


@dataclass
class Conversation:
    """Questions, each as it stands alone, and their answers, oldest first."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def history(self) -> tuple[Turn, ...]:
        """What a model is told of it. Markers are left out: they number passages that it does not see any more."""
        return tuple(
            (answer.question, without_markers(answer.text).strip() or answer.text)
            for answer in self.answers[-MOST_TURNS:]
        )

    def add(self, answer: Answer) -> None:
        """Go on after an answer."""
        self.answers.append(answer)

    def standalone(self, question: str, model: Generator | None, template: Template | None = None) -> str:
        """Return `question` as it can be understood without the conversation; itself, where it can already.

        Raises a ModelError where the model fails.
        """
        if not self.answers:
            return question
        if model is not None and (leans(question) or is_short(question)):
            written = _ask(model, template, question, self.history)
            if written:
                return written
        return f"{question} ({self._topic()})" if leans(question) else question

    def _topic(self) -> str:
        """Return the last question that stood alone by itself; of several follow-ups, each leans on that."""
        asked = [_BESIDE.sub("", answer.question) for answer in self.answers]
        return next((question for question in reversed(asked) if not leans(question)), asked[-1])


_BESIDE = re.compile(r" \([^()]*\)$")
"""What an earlier follow-up was given beside it."""


def leans(question: str) -> bool:
    """Return whether a question says itself that it leans on what was said before it."""
    return bool(_LEANS.search(question))


def is_short(question: str) -> bool:
    """Return whether a question has so few words that it may lean on what was said."""
    words = {word for word in content_words(question) if not is_single_cjk(word)}
    return len(words) <= (SHORT if latin_share(question) >= 0.5 else 2 * SHORT)


def _ask(model: Generator, template: Template | None, question: str, history: Sequence[Turn]) -> str:
    """Have the model write the question again; "" where what it wrote cannot be that.

    The system message is that of answers, so that the engine has read it already.
    """
    template = template or Template.shipped("answer")
    wanted = files("ragcli").joinpath("prompts/rewrite.txt").read_text("utf-8").strip().replace("{question}", question)
    turns = list(history)
    while True:
        said = [m for asked, answer in turns for m in (Message("user", asked), Message("assistant", answer))]
        messages = (template.instructions, *said, Message("user", wanted))
        if model.count_tokens(messages) + REWRITE_TOKENS <= model.context_size:
            break
        if not turns:
            return ""
        del turns[0]
    made = model.generate(messages, max_tokens=REWRITE_TOKENS, temperature=0.0, seed=0, on_text=None)
    if made.stopped == "interrupted":
        raise KeyboardInterrupt
    line = next((line.strip(_QUOTES) for line in made.text.splitlines() if line.strip(_QUOTES)), "")
    said_words = {word for turn in (*history, (question, "")) for text in turn for word in content_words(text)}
    written = set(content_words(line))
    plausible = (
        made.stopped == "end"
        and 0 < len(line) <= MAX_STANDALONE
        and not is_refusal(line)
        and without_markers(line) == line  # else it is an answer
        and bool(written & said_words)
        and identifiers(question) <= identifiers(line)
        and (latin_share(line) >= 0.5) == (latin_share(question) >= 0.5)
    )
    return line if plausible else ""
