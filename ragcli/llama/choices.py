"""The few texts that an answer may be -> a GBNF grammar for llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence

MOST, LONGEST = 16, 64
"""Of choices, and of characters of one: llama.cpp tries a grammar on every token of the vocabulary."""


class BadChoices(Exception):
    """An answer cannot be held to these."""


def grammar(choices: Sequence[str]) -> str:
    """Return the grammar of a text that is one of `choices`. A space before it is allowed: words begin with theirs.

    Raises BadChoices for choices that are none, too many or too long, hold other characters than printed ones, begin
    or end with white space, or of which one begins with another, so that its end could not be told.
    """
    if not 0 < len(choices) <= MOST:
        raise BadChoices(f"{len(choices)} choices, where 1 to {MOST} can be given")
    for i, choice in enumerate(choices):
        if not 0 < len(choice) <= LONGEST or not choice.isprintable() or choice != choice.strip():
            raise BadChoices(f"{choice!r} is no choice: 1 to {LONGEST} printed characters, no space around them")
        if any(other.startswith(choice) for j, other in enumerate(choices) if i != j):
            raise BadChoices(f"another choice begins with {choice!r}")
    return f'root ::= " "? ({" | ".join(map(_quoted, choices))})'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
