"""English text without end, the same on every machine: for benchmarks that need much of it, whatever it says."""

from __future__ import annotations

import random
from pathlib import Path


def _words(text: str) -> list[str]:
    return text.split()


_NOUNS = _words(
    """
    agreement answer archive battery bearing bridge budget cable calendar camera carrier case chapter circuit clinic
    coast committee compound contract controller corridor cylinder delivery department device document engine estimate
    filter fixture forest framework furnace garden gateway harbour hospital inspection instrument invoice journal
    kitchen laboratory ladder ledger library licence machine manual market measure memory message method mirror model
    motor museum network notice office orchard package panel paper passage pattern payment pipeline policy pressure
    printer problem process product project pump quarter railway record region report request reserve result river
    sample schedule sensor service shelter signal station storage student supplier surface survey switch system table
    target teacher terminal theatre tunnel valley valve vehicle village warehouse warranty weather window winter
    workshop
    """
)
_VERBS = _words(
    """
    accepts adjusts answers approves carries checks closes collects compares connects covers delays describes drives
    explains follows heats holds improves inspects joins keeps limits loads measures moves needs notes opens orders
    passes prepares prints protects reaches receives records reduces removes repairs replaces returns reviews sends
    serves shows signs stores supports tests turns uses warns weighs
    """
)
_ADJECTIVES = _words(
    """
    annual broad careful cheap clean cold common correct current daily deep dry early empty exact external fast final
    formal former fresh full general heavy hidden high idle internal late light local long lower main narrow new
    northern old open outer plain portable private public quiet rapid rare regular remote rough secure shallow short
    silent simple slow small solid southern spare steady strong thin upper usual warm weekly western wide yearly young
    """
)
_STARTS = ("After the inspection", "As a rule", "At night", "Before winter", "In the north", "On request", "Since 1998")


def sentence(rng: random.Random) -> str:
    """Return a sentence of 8 to 20 words."""

    def thing() -> str:
        return f"the {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"

    text = f"{thing()} {rng.choice(_VERBS)} {thing()}"
    if rng.random() < 0.5:
        text += f" of {thing()}"
    if rng.random() < 0.3:
        text += f" {rng.randint(2, 900)} times"
    if rng.random() < 0.3:
        text = f"{rng.choice(_STARTS)}, {text}"
    return text[0].upper() + text[1:] + "."


def document(rng: random.Random, size: int) -> str:
    """Return a Markdown document of just over `size` characters: a title, headings and paragraphs."""
    parts = [f"# The {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"]
    length = len(parts[0])
    while length < size:
        if len(parts) % 4 == 3:
            parts.append(f"## {rng.choice(_ADJECTIVES).title()} {rng.choice(_NOUNS)}")
        parts.append(" ".join(sentence(rng) for _ in range(rng.randint(3, 7))))
        length += len(parts[-1])
    return "\n\n".join(parts) + "\n"


def write_folder(folder: Path, count: int, size: int, seed: int = 0) -> None:
    """Write `count` documents of about `size` characters into a new folder, 100 to a folder below it."""
    for number in range(count):
        path = folder / f"part-{number // 100:02}" / f"document-{number:04}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document(random.Random(f"{seed} {number}"), size), "utf-8")
