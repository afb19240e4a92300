"""Which side an answer takes on a yes/no question, and which of its sentences conclude."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragcli.evaluation.refusals import Sentence
from ragcli.facts import Reading, read
from ragcli.sentences import sentences
from ragcli.words import fold

LEAD = (
    r"^\W*(?:(?:therefore|thus|so|hence|overall|however|but|in (?:conclusion|summary|short)"
    r"|(?:the )?answer is)\W+){0,2}"
)
LEAD_ZH = r"^\W*(?:(?:因此|所以|综上|但|不过|答案是?)[，,：:]?)?"
_YES = re.compile(
    rf"{LEAD}(?:yes|yeah|correct|indeed|true)\b"
    rf"|{LEAD_ZH}(?:是的|对的?[，。,]|有的|可以|能[，。,]|会[，。,]|是[，。,]|有[，。,]|行[，。,]|需要[，。,]|正确)"
)
_NO = re.compile(
    rf"{LEAD}(?:no|nope|false|incorrect)\b(?! (?:doubt|more|less|later|longer|idea|information|answer))"
    rf"|{LEAD_ZH}(?:不[，。,能可会行是需用适必]|否|没有[，。,]?|无[，。,])"
)
NEGATED = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|unlikely|fails? to|failed to|lacks?|nothing)\b|n['’]t\b|不|没"
    r"|未|无|非|否"
)
_MARKED = re.compile(
    r"^\W*(?:therefore|thus|hence|so\b|in (?:conclusion|summary|short)|overall|to (?:sum|conclude)|as a result"
    r"|consequently|accordingly|(?:the |final )?answer\b|based on (?:this|these|the)"
    r"|因此|所以|综上|总之|由此|答案|故|可见)"
    r"|\b(?:the answer is|suggests? that|indicat\w+ that|we can conclude|it can be (?:concluded|said))\b|说明|表明"
)
_UP_DOWN = (
    (
        "improv better increas grow grew growth rise risen rose expand gain higher up 增 升 涨 改善 提高 上升 提升",
        "declin decreas deterior worsen worse shrink shrank drop fall fell fallen reduc lower down contract diminish"
        " 减 降 跌 恶化 下滑 下降",
    ),
    ("acceler faster", "deceler slow slower"),
    ("posit", "negat deficit"),
    ("consist stabl steadi", "inconsist fluctuat volatil vari unstabl"),
    ("healthi strong solid adequ", "unhealthi weak poor strain insuffici"),
    ("relev meaning use appropri applic", "irrelev meaningless inappropri inapplic"),
    ("allow permit can 可以 允许", "forbid prohibit forbidden 禁止 不得 不可 不能"),
)
_SIDES = tuple((frozenset(up.split()), frozenset(down.split())) for up, down in _UP_DOWN)

CONCLUDING = re.compile(
    r"^\W*(?:therefore|thus|hence|so\b|in (?:conclusion|summary|short)|overall|to (?:sum|conclude)|(?:the "
    r"|final )?answer\b|因此|所以|综上|总之|答案)"
)
_CONCESSION = re.compile(r",? (?:but|although|though|even though|however|despite)\b.*|[，,](?:但|不过|然而|虽).*")
_OPENING = re.compile(
    r"^\W*(?:(?:therefore|thus|so|overall),? )?(?:while|although|though|despite|even though)\b[^,]*, "
)
_NO_NEGATION = re.compile(
    r"\b(?:not only|no doubt|not (?:fluctuat|exceed|chang)\w*|whether or not|no more than|not more than)\b"
)


def is_marked(sentence: Sentence) -> bool:
    """Return whether a sentence says of itself that it concludes."""
    return sentence.answers and bool(_MARKED.search(sentence.text))


def questions(question: str) -> list[str]:
    """Return a question, and each sentence of it: some are mostly instructions."""
    return [question, *(question[start:end] for start, end in sentences(question))]


def spoken(folded: str) -> bool | None:
    """Return whether a text begins with yes or no; None where with neither."""
    if _YES.match(folded):
        return True
    return False if _NO.match(folded) else None


def taken(question: str, said: Sequence[Sentence]) -> bool | None:
    """Return the side that an answer takes on a yes/no question, by its conclusion."""
    sides = [spoken(sentence.text) for sentence in said if not sentence.declines]
    if sides and sides[0] is not None:
        return sides[0]
    if plain := [one for one in sides if one is not None]:
        return plain[-1]
    asked = read(_clause(question))
    concluding = [s for s in reversed(said) if not s.unable and CONCLUDING.search(s.text)]
    marked = [s for s in reversed(said) if is_marked(s)]
    open_ = [s for s in (*said[:2], *reversed(said[-3:]), *said) if s.answers]
    best: Sentence | None = None
    for least in (0.6, 0.45, 0.3):
        best = next((s for s in (*concluding, *marked, *open_) if recall(asked, read(s.text)) >= least), None)
        if best is not None:
            break
    if best is None:
        forms = set(_predicate(question))
        moves = frozenset[str]().union(*(up | down for up, down in _SIDES if forms & (up | down)))
        best = next((s for s in said[:3] if s.answers and moves.intersection(_predicate(s.text))), None)
    if best is None:
        return None
    side = spoken(best.text)
    return _affirms(question, best.text) if side is None else side


def _affirms(question: str, sentence: str) -> bool:
    """Return whether a statement affirms what a question asks: an even number of negations and opposites."""
    sentence = _CONCESSION.sub("", _OPENING.sub("", sentence)) or sentence
    asked, mine = set(_predicate(_clause(question))), set(_predicate(sentence))
    opposite = False
    for up, down in _SIDES:
        for here, there in ((up, down), (down, up)):
            if asked & here and mine & there and not mine & here:
                opposite = True
    hidden = _NO_NEGATION.sub("", sentence)
    negated = bool(NEGATED.search(hidden)) and not NEGATED.search(fold(_clause(question)))
    return opposite == negated


def _clause(text: str) -> str:
    """Return the first question of a text, asides in brackets left out."""
    bare = re.sub(r"\([^)]*\)", "", text)
    return next((part for part in questions(bare)[1:] if part.rstrip().endswith(("?", "？"))), bare)


def _predicate(text: str) -> list[str]:
    """Return the stems of the first question of a text, or of a statement, asides in brackets left out."""
    folded = re.sub(r"\([^)]*\)", "", fold(text))
    reading = read(re.split(r"[?？]", folded)[0])
    return [*reading.forms, *(pair for pair in reading.held if len(pair) == 2)]


def recall(wanted: Reading, there: Reading) -> float:
    """Return the share of a text's content that another holds."""
    pairs = [(t.weight, share) for t, share in zip(wanted.tokens, wanted.shares(there), strict=True) if t.weight >= 0.5]
    total = sum(weight for weight, _ in pairs)
    return sum(weight * share for weight, share in pairs) / total if total else 0.0
