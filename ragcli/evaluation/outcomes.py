"""Case + answer -> correct, incorrect or refusal, as a person would label it, without a model.

What an answer concludes decides, not what it holds in passing: the sentence that says therefore, the value after the
last =, what is bold, the last sentence, and the first where nothing else concludes. A gold answer that is a number is
compared by value and unit, one that says yes or no by the side taken, another by the words of it that the question
does not hold. The rules were set on people's labels (benchmarks/outcomes.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragcli.evaluation.answer_metrics import copied, key_fact_recall
from ragcli.evaluation.records import Case, Outcome
from ragcli.evaluation.refusals import Sentence, refuses, split
from ragcli.evaluation.sides import CONCLUDING, LEAD, LEAD_ZH, NEGATED, is_marked, questions, recall, spoken, taken
from ragcli.evaluation.values import Value, same, values
from ragcli.facts import Reading, names, read, stem
from ragcli.prompting import without_markers
from ragcli.quantities import UNITS
from ragcli.sentences import sentences
from ragcli.words import CJK, fold

MAX_CHARACTERS = 12_000
"""An answer that is longer is no answer: nobody reads it. It bounds the time, too."""
MAX_QUESTION = 4_000
MAX_WORDS = 500
"""Words that an answer may have, beside four times those of the gold one; a Chinese character counts half."""
LONG = 60
"""Words from which an answer must speak of the question where it begins or ends."""

_BARE = re.compile(r"^\W*(?:yes|no)\b[\s,.:;–-]*|^(?:是的|不是|可以|不可以|不能|能|不行|会|不会|有|没有)[，。,]\s*")
_NONE = re.compile(
    rf"{LEAD}(?:there (?:are|is|was|were) (?:none|no|not any)\b|none\b|no (?:such|one)\b|nothing\b|nobody\b"
    rf"|n/?a\W*$)"
    rf"|{LEAD_ZH}(?:没有(?:任何)?|无)\W*$"
)
_QUANTITY = re.compile(
    r"\bhow (?:much|many|often|long|far|large|big|high|old|fast)\b|\b(?:what|which) (?:is|was|were|are|percent\w*"
    r"|amount|number|share)\b.*\b(?:amount|quantity|number|percent\w*|ratio|rate|margin|total|value|price|cost"
    r"|ebitda|revenue|income|proceeds|average|size|weight|height|length|limit|score|population|temperature"
    r"|distance)\b"
    r"|\bwhat percent|\bnumber of\b|\bby how\b|多少|几[个天年月次小米元块周名人台件种倍秒分岁]|多[久长大高远重]"
)
_ASIDE = re.compile(r"^\W*(?:the answer here|note that|this answer|assum|\(|注)")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a question, and why, in a few words for the report."""

    outcome: Outcome
    reason: str


def outcome(case: Case, answer: str, abstained: bool | None = None, contexts: Sequence[str] | None = None) -> Judgement:
    """Return how a person would label an answer.

    Args:
        case: the question, with `answers` or `key_facts` where it is answerable.
        answer: the answer as it was shown; its citation markers do not count.
        abstained: what the system said of it; None where it did not say.
        contexts: the passages that the system had; with them a dump of passages is known.
    """
    case = replace(case, question=case.question[:MAX_QUESTION])
    text = without_markers(answer[: MAX_CHARACTERS + 1]).strip()
    said = split(text[:MAX_CHARACTERS])
    refused = abstained is True or refuses(said)
    if not case.answerable:
        if refused:
            return Judgement("correct", "it declines, and there is no answer")
        return Judgement("incorrect", "it answers what the documents do not")
    if abstained is True or not said:
        return Judgement("refusal", "it abstains" if said else "it is empty")
    if refused:
        if any(_is_restated(gold, text) for gold in case.answers):
            return Judgement("correct", "it declines, but gives the answer")
        if any(_denies(gold, said, case.question) for gold in case.answers):
            return Judgement("correct", "it says that there is none, as the gold answer does")
        return Judgement("refusal", "it declines")
    if any(_is_it(gold, text) for gold in case.answers):
        return Judgement("correct", "it is the gold answer")
    if reason := _unread(case, text, said, contexts):
        return Judgement("incorrect", reason)
    judged = [_judge(case.question, gold, text, said) for gold in case.answers]
    if case.key_facts and (not judged or len(case.key_facts) > 1 or not any(found.right for found in judged)):
        held = key_fact_recall(text, case.key_facts)
        if held == 1.0:
            return Judgement("correct", "it holds every key fact")
        if not judged or held == 0.0:
            return Judgement("incorrect", f"it holds {held:.0%} of the key facts")
    best = max(judged, key=lambda found: found.right, default=_Found(False, "there is nothing to compare it with"))
    return Judgement("correct" if best.right else "incorrect", best.reason)


@dataclass(frozen=True, slots=True)
class _Found:
    right: bool
    reason: str


def _unread(case: Case, text: str, said: Sequence[Sentence], contexts: Sequence[str] | None) -> str:
    """Return why an answer is not one that a person would read, or ""."""
    gold = max((_length(answer) for answer in case.answers), default=0.0)
    length = _length(text)
    if len(text) > MAX_CHARACTERS or length > MAX_WORDS + 4 * gold:
        return "it is much too long"
    if contexts and length > max(40 if len(said) > 1 else LONG, 4 * gold):
        taken = copied(text, contexts)
        everything = sum(_length(context) for context in contexts)
        if taken.share >= 0.8 and (length > 150 or length >= 0.9 * everything):
            return "it is a copy of the passages"
    wanted, mine = (" ".join(re.findall(r"\w+", fold(part))) for part in (case.question, text))
    if all(_ASKS.search(sentence.text) for sentence in said) or (
        len(wanted) > 8
        and wanted in mine
        and len(mine) - len(wanted) <= 30
        and not any(map(text.endswith, case.answers))
    ):
        return "it repeats the question"
    figures = sum(bool(re.fullmatch(r"[\W\d]*", sentence.text)) for sentence in said)
    ended = sum(bool(_END.search(sentence.text)) for sentence in said)
    if len(said) > 25 and ended < 0.1 * len(said) and figures > 0.3 * len(said):
        return "it is a table, copied"
    return ""


def _speaks(question: str, text: str, said: Sequence[Sentence]) -> bool:
    """Return whether an answer, if it is a long one, speaks of the question where it begins, ends or concludes."""
    if _length(text) <= LONG:
        return True
    edges = read(" ".join(sentence.text for sentence in (*said[:2], *said[-3:], *filter(is_marked, said))))
    least = 0.3 if _length(text) <= 3 * LONG else 0.45
    return max(recall(read(part), edges) for part in questions(question)) >= least


_ASKS = re.compile(r"[?？][\"'”’)\]]*$")
_END = re.compile(r"[.!?。！？;；:：][\"'”’)\]]*$")


def _length(text: str) -> float:
    return len(text.split()) + 0.5 * len(_CJK.findall(text))


_CJK = re.compile(f"[{CJK}]")


def _is_restated(gold: str, text: str) -> bool:
    """Return whether an answer that declines holds the gold one, word by word, and little else beside."""
    wanted = " ".join(re.findall(r"\w+", fold(gold)))
    mine = " ".join(re.findall(r"\w+", fold(text)))
    at = f" {mine} ".find(f" {wanted} ") if wanted and not _CJK.search(gold) else mine.find(wanted) if wanted else -1
    return at >= 0 and len(mine) - len(wanted) <= 120 + len(wanted) // 2


def _is_it(gold: str, text: str) -> bool:
    """Return whether an answer is the gold one, word by word, with nothing around it but an introduction."""
    wanted, folded = fold(gold).strip(" .。"), fold(text).strip(" .。")
    before, found, after = folded.partition(wanted)
    return bool(found and wanted) and not after and (not before or bool(_INTRODUCTION.fullmatch(before)))


_INTRODUCTION = re.compile(
    r"(?:therefore|thus|so|however|in (?:conclusion|summary|short)|(?:the )?answer(?: is)?|答案是?|因此|[\W_])*"
)


def _denies(gold: str, said: Sequence[Sentence], question: str) -> bool:
    """Return whether a gold answer says that there is none, and the answer says so of the thing, not of the text."""
    if not _NONE.match(fold(gold)):
        return False
    if any(_NONE.match(sentence.text) and not sentence.declines for sentence in said):
        return True
    asked = read(question)
    return any(
        not sentence.absent
        and not sentence.unable
        and NEGATED.search(sentence.text)
        and recall(asked, read(sentence.text)) >= 0.4
        for sentence in said
    )


def _judge(question: str, gold: str, text: str, said: Sequence[Sentence]) -> _Found:
    asked, core = fold(question), _core(gold)
    folded = fold(core)
    amounts = _wanted(folded, asked)
    if amounts and (_is_bare(folded) or (_QUANTITY.search(asked) and not _POLAR.match(folded))):
        return _number(amounts, folded, asked, said)
    if not _speaks(question, text, said):
        return _Found(False, "it does not speak of the question")
    if _NONE.match(folded):
        right = _denies(gold, said, question)
        return _Found(right, "it says that there is none" if right else "the gold answer is that there is none")
    if _POLAR.match(folded) and (side := spoken(folded)) is not None:
        return _polar(side, question, gold, said)
    return _words(question, gold, text, said)


_POLAR = re.compile(r"^\W*(?:yes|no)\b|^(?:是的?|不是|可以|不可以|不能|能|不行|会|不会|有|没有|否|对)(?:[，。,]|$)")


def _core(gold: str) -> str:
    """Return a gold answer without remarks on itself."""
    kept = [gold[start:end] for start, end in sentences(gold)]
    return " ".join(part for i, part in enumerate(kept) if i == 0 or not _ASIDE.match(fold(part)))


def _wanted(folded: str, asked: str) -> list[Value]:
    known = {value.number for value in values(asked)}
    return [value for value in values(folded) if not value.year and value.number not in known]


def _is_bare(folded: str) -> bool:
    """Return whether a text is a number with its unit and nothing else."""
    rest = [
        token for token in read(folded).tokens if token.kind not in ("number", "function") and token.form not in UNITS
    ]
    names = ("million", "billion", "thousand", "trillion", "approxim", "about", "usd", "mn", "bn")
    return (
        len([token for token in rest if token.form not in names]) <= (0 if len(rest) > 2 else 1)
        and any(c.isdigit() for c in folded)
        or bool(re.fullmatch(r"[\W\d]+", folded))
    )


def _number(wanted: Sequence[Value], gold: str, asked: str, said: Sequence[Sentence]) -> _Found:
    """Judge by what is concluded: the last sentence with a value, one that says therefore, or the first."""
    per_sentence = [(sentence, [value for value in values(sentence.text) if not value.year]) for sentence in said]
    with_values = [(sentence, found) for sentence, found in per_sentence if found and sentence.answers] or [
        (sentence, found) for sentence, found in per_sentence if found
    ]
    if not with_values:
        return _Found(False, "it holds no number")
    concluding = [pair for pair in with_values if is_marked(pair[0])]
    places = [*with_values[-2:], *concluding]
    if with_values[0][0] in said[:2] and not any(CONCLUDING.search(sentence.text) for sentence, _ in concluding):
        places.append(with_values[0])
    found = [
        value
        for sentence, amounts in places
        for value in amounts
        if len(wanted) > 1 or not _BESIDE.search(sentence.text[max(0, value.start - 40) : value.start])
    ]
    words = " ".join(sentence.text for sentence, _ in places)
    falling = bool(_FALLING.search(words)) or bool(_FALLING.search(gold)) or bool(_FALLING.search(asked))
    held = [any(same(value, other, asked, signed=not falling) for other in found) for value in wanted]
    if all(held) or (len(held) > 2 and sum(held) >= 0.6 * len(held)):
        return _Found(True, "it concludes the value")
    if len(wanted) == 2 and wanted[0].unit == wanted[1].unit:
        between = replace(wanted[0], number=abs(wanted[1].number - wanted[0].number))
        if any(same(between, other, asked, signed=False) for other in found) and _CHANGE.search(asked):
            return _Found(True, "it concludes the difference of the values")
        if any(held) and not _CHANGE.search(asked):
            return _Found(held[0], "it concludes one of the values")
    return _Found(False, "it concludes another value")


_FALLING = re.compile(
    r"decreas|declin|drop|fell|fall|loss|lost|outflow|reduc|lower|negative|shr[iau]nk|expenditure|spent|purchase"
    r"|\(\d|下降|减少|降低|亏|支出"
)
_CHANGE = re.compile(r"chang|compare|differ|increase|decrease|grow|drop|变化|相比|增|减")
_BESIDE = re.compile(
    r"\b(?:from|compared (?:to|with)|versus|vs\.?|than|against|instead of)\s(?:[a-z]+\s){0,2}[$£€¥]?\s?$|而不是$"
    r"|[比较]\S{0,8}的$"
)
"""What stands before the amount that another is compared with."""


def _polar(side: bool, question: str, gold: str, said: Sequence[Sentence]) -> _Found:
    ours = taken(question, said)
    if ours is None:
        return _Found(False, "it takes no side")
    if ours != side:
        return _Found(False, f"it says {'yes' if ours else 'no'}")
    details = _BARE.sub("", gold)
    asked, mine = read(question), read(" ".join(sentence.text for sentence in said))
    wanted = {stem(fold(name)) for name in names(details) if not name.isupper() and len(name) > 2} - asked.held
    if wanted and (named := sum(any(_alike(name, form) for form in mine.held) for name in wanted)) < 0.5 * len(wanted):
        return _Found(False, f"it names {named} of {len(wanted)}")
    if re.search(r"\bnumber of\b|\bhow many\b|多少|数量", fold(question)):
        amounts = _wanted(fold(details), fold(question))
        found = values(" ".join(sentence.text for sentence in said))
        if amounts and not any(same(a, b, fold(question), signed=False) for a in amounts for b in found):
            return _Found(False, "it holds none of the numbers")
    return _Found(True, f"it says {'yes' if side else 'no'}")


def _alike(name: str, form: str) -> bool:
    """Return whether two stems are one name: the acronym of a name, or its spelling, counts."""
    return form == name or (len(name) >= 5 and form[:5] == name[:5])


_SAID_OTHERWISE = """
    follow list amount experienc present includ involv associ primarili relat compris name answer due total use fy year
"""
_PALE = frozenset(_SAID_OTHERWISE.split())
"""Stems that a right answer often says otherwise."""
ENOUGH = 0.51


def _words(question: str, gold: str, text: str, said: Sequence[Sentence]) -> _Found:
    """Judge by how much of the gold answer, beyond the question's own words, the answer holds."""
    asked, mine = read(question), read(text)
    core = _core(gold)
    if (chosen := _chosen(question, core, said)) is not None:
        return _Found(chosen, "it chooses " + ("the same" if chosen else "another"))
    first = next(iter(sentences(core)), (0, len(core)))
    parts = {core, core[first[0] : first[1]]}
    best = max(_share(part, asked, mine, fold(question), text) for part in parts)
    if best < ENOUGH:
        return _Found(False, f"it holds {best:.0%} of the gold answer")
    return _Found(True, f"it holds {best:.0%} of the gold answer")


_CHOICE = re.compile(
    r"\b(?:among|between|out of|of)\b([^?]*?\b(?:and|or)\b[^?,]*),?\s*(?:which|what|who)\b|(?:which|who"
    r"|what)\b[^?]*[,:]\s*([^?]*?\bor\b[^?]*)\?"
)


def _chosen(question: str, gold: str, said: Sequence[Sentence]) -> bool | None:
    """Return whether an answer chooses the gold one of the options that a question names; None where it names none."""
    match = _CHOICE.search(fold(question))
    if match is None:
        return None
    options = [read(part) for part in re.split(r",|\band\b|\bor\b", match[1] or match[2]) if read(part).tokens]
    in_gold = [i for i, option in enumerate(options) if recall(option, read(gold)) >= 0.7]
    if len(options) < 2 or len(in_gold) != 1:
        return None
    for sentence in (*reversed([s for s in said if is_marked(s)]), *said):
        places = [(_place(option, read(sentence.text)), i) for i, option in enumerate(options)]
        named = [pair for pair in places if pair[0] >= 0]
        if len(named) == 1 or (named and sentence is said[0]):
            return min(named)[1] == in_gold[0]
    return None


def _place(option: Reading, there: Reading) -> int:
    """Return where the first word of an option that says something stands among the words of a sentence, or -1."""
    words = [token.form for token in option.tokens if token.weight >= 0.5]
    places = [i for i, form in enumerate(there.forms) if any(_alike(word, form) for word in words)]
    return places[0] if places else -1


def _share(gold: str, asked: Reading, mine: Reading, question: str, text: str) -> float:
    wanted = read(gold)
    named = {stem(fold(name)) for name in names(gold)}
    shares = list(zip(wanted.tokens, wanted.shares(mine), strict=True))
    own = [(t, share) for t, share in shares if t.weight >= 0.5 and t.form not in asked.held and t.form not in _PALE]
    own = own or [(t, share) for t, share in shares if t.weight >= 0.5] or shares
    amounts = values(fold(text))
    held = total = 0.0
    for token, share in own:
        weight = token.weight * (2.0 if token.form in named else 0.5 if token.kind == "number" else 1.0)
        if token.kind == "number":
            near = [v for v in values(fold(gold)) if v.start <= token.start <= v.end]
            share = max(share, float(any(same(v, other, question, signed=False) for v in near for other in amounts)))
        held += weight * share
        total += weight
    return held / total if total else 0.0
