"""How far a passage bears a text: `support`, 0 to 1.

It is a logistic function of a few figures that can be seen in the two texts, each named in `Evidence`. A word weighs 1,
a function word .3, a Chinese character .5; a word counts as held where its stem stands in the passage, .7 where only
its first five letters do, and a Chinese character in full beside a neighbour that it has there.

The weights were fitted on people's labels: responses that a passage bears or does not (BEGIN, dev parts of wow and
cmu), and claims that are borne wholly, in part or not (WiCE, dev), with an intercept for each of the four questions;
then rounded. Areas under the ROC curve, wow / cmu / WiCE not against the rest / wholly against the rest: .970 / .983 /
.930 / .822 (benchmarks/attribution.py); with weights fitted on other folds .966 / .982 / .929 / .812; on the other set
alone, wow .967, cmu .979. What a count of words cannot see, a number, unit, name or negation that was put for another,
`ragcli.facts` finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log1p

from ragcli.facts import names, read, stem
from ragcli.words import fold

_OPINION = """
    i me my mine myself 'm think guess love like hope believ agre know heard feel bet wonder enjoy favorit favourit cool
    great nice amaz awesom interest funni fun wow lol haha sorri glad thank pleas realli pretti probabl mayb actual
    definit good best bad crazi sound sure 我 咱 觉 猜
"""
_SPEAKER = frozenset(_OPINION.split())
"""Words by which a writer speaks of himself and of his opinion: no passage bears those that it does not hold."""
_MYSELF = frozenset(["i", "me", "my", "we", "'m", "我", "咱"])
_MOST, _NEARLY_ALL = 0.62, 0.85


@dataclass(frozen=True, slots=True)
class Evidence:
    """What `support` is made of.

    `share`: the part of the text's weight that the passage holds. `order`: the same with its order kept, by the
    longest common subsequence. `longest_gap`: the most words in a row that the passage does not hold. `numbers`,
    `names`: whether it lacks one. `speaker`: words of opinion that it lacks, at most 2; `myself`: whether the writer
    speaks of himself; `question`: whether the text asks what the passage does not.
    """

    share: float
    order: float
    longest_gap: int
    numbers: bool
    names: bool
    speaker: int
    myself: bool
    question: bool

    @property
    def support(self) -> float:
        """The probability that a person calls the text attributable to the passage, by the fitted weights."""
        most = min(1.0, max(0.0, (self.share - _MOST) / (_NEARLY_ALL - _MOST)))
        details = 1.8 + 4.0 * (self.order - self.share) - 1.2 * log1p(self.longest_gap)
        details -= 2.3 * self.numbers + 1.7 * self.names  # they tell little where half of the words are missing
        manner = 0.8 * self.speaker + 1.4 * self.myself + 2.4 * self.question
        return 1 / (1 + exp(7.4 - 9.75 * self.share - most * details + manner))


def support(text: str, passage: str) -> float:
    """Return how far `passage` bears `text`, 0 to 1; 0 for a text without words."""
    return evidence(text, passage).support if read(text).tokens else 0.0


def evidence(text: str, passage: str) -> Evidence:
    """Return what the two texts show."""
    here, there = read(text), read(passage)
    pairs = list(zip(here.tokens, here.shares(there), strict=True))
    named = {stem(fold(name)) for name in names(text)}
    lacking = [token for token, share in pairs if share == 0]
    gap = longest = 0.0
    for token, share in pairs:
        gap = 0.0 if share > 0.5 else gap + (0.5 if token.kind == "cjk" else 1.0)
        longest = max(longest, gap)
    total = sum(token.weight for token in here.tokens)
    return Evidence(
        share=sum(token.weight * share for token, share in pairs) / total if total else 0.0,
        order=common(here.forms, there.forms) / len(pairs) if pairs else 0.0,
        longest_gap=int(longest),
        numbers=any(token.kind == "number" for token in lacking),
        names=any(token.kind == "identifier" or token.form in named for token in lacking),
        speaker=min(2, sum(token.form in _SPEAKER for token in lacking)),
        myself=any(token.form in _MYSELF for token in lacking),
        question="?" in here.folded and "?" not in there.folded,
    )


def common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Return the length of the longest common subsequence (Hyyrö's bit-parallel algorithm)."""
    places: dict[str, int] = {}
    for i, form in enumerate(a):
        places[form] = places.get(form, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for form in b:
        if match := places.get(form):
            row = ((row + (row & match)) | (row - (row & match))) & full
    return len(a) - row.bit_count()
