"""Answer + gold -> figures between 0 and 1, one function each, none of which needs a model."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ragcli.evaluation.values import values
from ragcli.words import CJK, fold

MAX_CHARACTERS = 20_000
"""No more of an answer is compared with a gold one: it bounds the time that a hostile one takes."""
MAX_PASSAGES = 200_000
"""Characters of passages, all together, in which fragments are looked for."""
FRAGMENT_WORDS, FRAGMENT_CHARACTERS = 8, 12
"""From these lengths, in words or in Chinese characters, a fragment counts as copied."""

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
_CMRC_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_SEGMENT = re.compile(r"[\u4e00-\u9fa5]|[^\W_\u4e00-\u9fa5]+(?:[.,'][^\W_\u4e00-\u9fa5]+)*|[^\w\s]")
_CJK_CHARACTER = re.compile(f"[{CJK}]")
_UNIT = re.compile(rf"[{CJK}]|[^\W_{CJK}]+(?:[.,'’]\d+)*")


def exact_match(answer: str, answers: Sequence[str], lang: str = "en") -> float:
    """Return 1.0 where an answer equals a gold one, normalized; else 0.0.

    English: the published SQuAD 2 script's normalization (Rajpurkar et al. 2018), lower case, without punctuation,
    articles and superfluous white space. Chinese ("zh"): that of the CMRC 2018 script (Cui et al. 2019), lower case,
    without the punctuation that it names. No gold answers stand for an unanswerable question, whose answer is empty.
    """
    normal = _remove_punctuation if _is_chinese(lang) else _normalize
    mine = normal(answer[:MAX_CHARACTERS])
    return float(any(mine == normal(gold[:MAX_CHARACTERS]) for gold in answers or ("",)))


def f1(answer: str, answers: Sequence[str], lang: str = "en") -> float:
    """Return the best overlap of an answer with a gold one: F1 = 2PR / (P + R).

    English, by SQuAD 2: P and R are the tokens in common (as a bag) over the answer's and over the gold answer's; where
    one of the two has none, 1.0 if neither has, else 0.0. Chinese ("zh"), by CMRC 2018: over the longest common
    *contiguous* run of segments, as its script has it, each a Chinese character or a word of other letters.
    """
    score = _cmrc if _is_chinese(lang) else _squad
    return max(score(answer[:MAX_CHARACTERS], gold[:MAX_CHARACTERS]) for gold in answers or ("",))


def _is_chinese(lang: str) -> bool:
    return lang.lower().split("-")[0] in ("zh", "cmn", "yue")


def _normalize(text: str) -> str:
    text = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def _squad(answer: str, gold: str) -> float:
    mine, wanted = _normalize(answer).split(), _normalize(gold).split()
    if not mine or not wanted:
        return float(mine == wanted)
    common = sum((Counter(mine) & Counter(wanted)).values())
    return 2 * common / (len(mine) + len(wanted)) if common else 0.0


def _remove_punctuation(text: str) -> str:
    return text.lower().strip().translate(_CMRC_PUNCTUATION)


def _segments(text: str) -> list[str]:
    """Cut a text as CMRC's `mixed_segmentation` does: Chinese characters one by one, words of other letters whole."""
    return _SEGMENT.findall(_remove_punctuation(text))


def _cmrc(answer: str, gold: str) -> float:
    mine, wanted = _segments(answer), _segments(gold)
    if not mine or not wanted:
        return float(mine == wanted)
    common = _longest_run(mine, wanted)
    return 2 * common / (len(mine) + len(wanted))


def _longest_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest run of segments that two texts have in common, by a suffix automaton."""
    steps: list[dict[str, int]] = [{}]
    links, lengths = [-1], [0]
    last = 0
    for form in min(a, b, key=len):
        new = len(steps)
        steps.append({})
        links.append(0)
        lengths.append(lengths[last] + 1)
        at = last
        while at >= 0 and form not in steps[at]:
            steps[at][form] = new
            at = links[at]
        if at >= 0:
            other = steps[at][form]
            if lengths[other] == lengths[at] + 1:
                links[new] = other
            else:
                clone = len(steps)
                steps.append(dict(steps[other]))
                links.append(links[other])
                lengths.append(lengths[at] + 1)
                while at >= 0 and steps[at].get(form) == other:
                    steps[at][form] = clone
                    at = links[at]
                links[other] = links[new] = clone
        last = new
    best = length = at = 0
    for form in max(b, a, key=len):
        while at and form not in steps[at]:
            at = links[at]
            length = lengths[at]
        if form in steps[at]:
            at = steps[at][form]
            length += 1
            best = max(best, length)
    return best


def key_fact_recall(answer: str, key_facts: Sequence[Sequence[str]]) -> float:
    """Return the share of facts of which an answer holds an alias.

    Both are folded (width, case, diacritics, Traditional and Simplified script), white space aside; an alias does not
    count within a longer number or word. One that is an amount counts in any written form (1,577 million = $1.577
    billion). 0.0 where there are no facts.
    """
    if not key_facts:
        return 0.0
    folded = fold(answer[:MAX_CHARACTERS])
    return sum(any(_holds(folded, alias) for alias in fact) for fact in key_facts) / len(key_facts)


def _holds(folded: str, alias: str) -> bool:
    fact = fold(alias).strip()
    if not fact:
        return False
    pieces = re.findall(r"\w+|\S", fact) if not _CJK_CHARACTER.search(fact) else list("".join(fact.split()))
    pattern = r"\s*".join(map(re.escape, pieces))
    if re.search(_border(pieces[0][0], before=True) + pattern + _border(pieces[-1][-1], before=False), folded):
        return True
    return _holds_amount(folded, fact)


def _border(character: str, *, before: bool) -> str:
    """Return what may not stand beside an alias that begins or ends with a character."""
    if character.isdigit():
        return r"(?<!\d)(?<!\d[.,])" if before else r"(?!\d|\.\d|,\d{3}(?!\d))"
    if character.isalpha() and not _CJK_CHARACTER.match(character):
        return rf"(?<![^\W\d_{CJK}])" if before else rf"(?![^\W\d_{CJK}])"
    return ""


def _holds_amount(folded: str, fact: str) -> bool:
    """Return whether a text holds an amount with its unit or scale, and nothing beside it, in another form."""
    wanted = values(fact)
    if len(wanted) != 1 or not (wanted[0].unit or wanted[0].scale > 1) or len(fact) > 40:
        return False
    place = wanted[0]
    beside = fact[: place.start].strip(" $£€¥(-") + fact[place.stop :].strip(" .)")
    return not beside and any(
        value.base == place.base and abs(value.total - place.total) <= 1e-9 * abs(place.total)
        for value in values(folded)
    )


@dataclass(frozen=True, slots=True)
class Copied:
    """How far an answer is made of stretches of the passages.

    `coverage` is the share of its words in such fragments; `density` the mean length of the fragment that a word lies
    in; `share` the part in fragments of 8 words or more, of 12 characters in Chinese; `whole` says that all of the
    answer is one stretch of a passage.
    """

    coverage: float
    density: float
    share: float
    whole: bool


def copied(answer: str, passages: Sequence[str]) -> Copied:
    """Return an answer's extractive fragments as figures (Grusky, Naaman and Artzi 2018, Newsroom).

    Fragments F are found greedily from the left, each the longest stretch of one passage that begins at the word:
    coverage = sum |f| / |answer|, density = sum |f|^2 / |answer|, share = the coverage of fragments of at least 8
    words. A word is a run of letters and digits, folded; a Chinese character counts as one, and 12 of them in a
    fragment as much as 8 words. All 0 for an answer without words.
    """
    mine = _units(answer[:MAX_CHARACTERS])
    if not mine:
        return Copied(0.0, 0.0, 0.0, False)
    texts = _passages(passages)
    fragments = _fragments(mine, texts)
    long = sum(b - a for a, b in fragments if _weight(mine[a:b]) >= 1)
    whole = len(answer) <= MAX_CHARACTERS and fragments == [(0, len(mine))]
    size = len(mine)
    lengths = [b - a for a, b in fragments]
    return Copied(sum(lengths) / size, sum(n * n for n in lengths) / size, long / size, whole)


def _units(text: str) -> list[str]:
    return _UNIT.findall(fold(text))


def _weight(units: Sequence[str]) -> float:
    chinese = sum(_CJK_CHARACTER.match(unit) is not None for unit in units)
    return chinese / FRAGMENT_CHARACTERS + (len(units) - chinese) / FRAGMENT_WORDS


def _passages(passages: Sequence[str]) -> list[list[str]]:
    room, found = MAX_PASSAGES, []
    for passage in passages:
        found.append(_units(passage[:room]))
        room -= len(passage)
        if room <= 0:
            break
    return found


def _fragments(mine: Sequence[str], texts: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Return the greedy fragments, as spans of the answer's words.

    Words are put into a string as characters, so that `str.find` looks for the next place that holds a longer stretch.
    """
    known: dict[str, int] = {}
    for unit in mine:
        known.setdefault(unit, len(known))
    everything = "\n".join("".join(chr(_FIRST + known[u]) if u in known else " " for u in text) for text in texts)
    line = "".join(chr(_FIRST + known[unit]) for unit in mine)
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(line):
        length, place = 0, everything.find(line[at])
        while place >= 0:
            while line[at + length : at + length + 1] and everything.startswith(line[at + length], place + length):
                length += 1
            if at + length == len(line):
                break
            place = everything.find(line[at : at + length + 1], place)
        if length:
            found.append((at, at + length))
        at += max(1, length)
    return found


_FIRST = 0x10000
"""Characters from here on stand for words; a space for one that the answer lacks, a line end for a passage's end."""
