"""An English sentence with a quantity -> the question that asks for it. Pure.

"Returns are accepted within 14 days." -> "Within how many days are returns accepted?" The verb is found by a list, for
want of a tagger: where none of it fits, or a clause hangs on the sentence, there is no question.
"""

from __future__ import annotations

import re

_AUXILIARY = frozenset({"is", "are", "was", "were", "can", "may", "must", "should", "will"})
_REGULAR = """
    accept add adjust admit allow begin blink charge close consume contain cost count cover cut deduct deliver draw earn
    end expire fit flash forget get give grant hold keep last leave lie lose make measure need offer open pay produce
    provide pull read receive record refund remain report require reset retain return run save send ship show sleep
    start stay stop store support take transmit turn use wait warn weigh work
"""
VERBS = {f"{verb}s": verb for verb in _REGULAR.split()} | {"has": "have", "reaches": "reach", "switches": "switch"}
"""Verbs that go with quantities, in the third person, and their base."""
_BASES = frozenset(VERBS.values())
_ORDER_VERBS = """
    add allow bury charge check claim close connect dig drill fill heat hold install keep leave let mount open place
    pour press push put release replace report send set space stay store take tighten turn use wait write
"""
_ORDERS = frozenset(_ORDER_VERBS.split())
_CLAUSE_WORDS = "that which who whose if when where while because whether than and or not without"
_CLAUSE = frozenset(_CLAUSE_WORDS.split())
_BOUND = (
    "at least|at most|up to|no more than|not more than|more than|less than|no later than|exactly|about|around"
    "|approximately|a maximum of|a minimum of|only|over|under"
)
_PREPOSITION = "for|within|after|by|to|at|with|in|every|from|below|above|during|before|until|of"
_TAIL = re.compile(rf"^(?P<rest>.*?)(?:(?:^|(?<=\s))(?P<preposition>{_PREPOSITION}))?\s?(?P<bound>(?:{_BOUND})?)$")
_NAMES = {
    "mm": "millimetres", "cm": "centimetres", "m": "metres", "km": "kilometres", "inch": "inches", "foot": "feet",
    "mg": "milligrams", "g": "grams", "kg": "kilograms", "lb": "pounds", "ml": "millilitres", "l": "litres",
    "mv": "millivolts", "v": "volts", "kv": "kilovolts", "ma": "milliamps", "amp": "amps", "w": "watts",
    "kw": "kilowatts", "kwh": "kilowatt hours", "hz": "hertz", "khz": "kilohertz", "mhz": "megahertz",
    "ghz": "gigahertz",
    "bar": "bar", "kpa": "kilopascals", "mpa": "megapascals", "kb": "kilobytes", "mb": "megabytes", "gb": "gigabytes",
}  # fmt: skip
_JOINED = re.compile(r"\b(?:that|which|who|if|when|where|while|because|before|and|or|plus)\b")
"""Words from which what follows a quantity is left out of the question."""
_MONEY = frozenset("£$€¥")
_TIMES = frozenset(
    ["millisecond", "second", "minute", "hour", "working hour", "day", "working day", "week", "month", "year"]
)


def turned(before: str, after: str, unit: str, noun: str) -> str:
    """Return the question that asks for a quantity between two parts of an English sentence, "" where none is found."""
    told = before.split()
    if not told:
        return ""
    after = _JOINED.split(after, maxsplit=1)[0].strip()
    place = next((i for i, word in enumerate(told[:9]) if i and (word in _AUXILIARY or word in VERBS)), None)
    order = told[0].casefold() in _ORDERS and (place is None or told[0].casefold() not in VERBS)
    if place is None and not order:
        place = next((i for i, word in enumerate(told[:7]) if i and word in _BASES and _is_plural(told[i - 1])), None)
    if place is None and not order:
        return ""
    subject = told[: place or 0]
    rest = " ".join(told[1:] if order else told[(place or 0) + 1 :])
    if _CLAUSE & {word.casefold() for word in [*subject, *rest.split()]}:
        return ""
    match = _TAIL.match(rest)
    assert match is not None
    rest, preposition, bound = match["rest"].strip(), match["preposition"] or "", match["bound"]
    if re.search(r"\b(?:the|a|an|every|each|per|than|between|" + _PREPOSITION + r")$", rest):
        return ""
    verb = "" if order else told[place or 0]
    if subject and (
        subject[0] in ("The", "A", "An", "Every", "Each", "All", "Our", "We", "You") or _is_common(subject[0])
    ):
        subject = [subject[0].lower(), *subject[1:]]
    whom = " ".join(subject)
    if verb in ("is", "are") and not rest and not preposition:
        return f"What {verb} {whom}?"
    many, after = _how_many(unit, noun, after)
    measured = many
    if not preposition and rest and not (order or rest in ("open", "valid", "active") or verb in _AUXILIARY):
        return ""
    if not preposition and rest and (order or verb in _AUXILIARY) and not re.fullmatch(r"[a-z]+(?: [a-z]+)?", rest):
        return ""
    bound = "" if bound in ("about", "around", "approximately") else bound
    if unit in _TIMES and preposition == "every":
        many, preposition = "how often", ""
    elif unit in _TIMES and preposition in ("for", "") and not bound:
        many, preposition = "how long", ""
        if not (preposition or rest or order or verb.removesuffix("s") in ("last", "take", "stay", "wait")):
            many = measured
    if verb in ("weighs", "weigh", "costs", "cost") and not rest:
        many, preposition = "how much", ""
    front = " ".join(part for part in (preposition, bound, many) if part)
    if order:
        tail = f"should you {told[0].lower()} {rest}"
    elif verb in _AUXILIARY:
        tail = f"{verb} {whom} {rest}"
    else:
        base = VERBS.get(verb, verb)
        tail = f"{'does' if verb in VERBS else 'do'} {whom} {base} {rest}"
    question = " ".join(f"{front} {tail} {after}".split())
    return f"{question[:1].upper()}{question[1:]}?"


def _is_plural(word: str) -> bool:
    return word.endswith("s") or word in ("We", "You", "staff", "people", "customers")


def _is_common(word: str) -> bool:
    """Return whether a sentence's first word is no name, as far as its form tells."""
    return re.fullmatch("[A-Z][a-z]+(?:s|ing|-[a-z]+)", word) is not None


def _how_many(unit: str, noun: str, after: str) -> tuple[str, str]:
    """Return the words that ask for an amount, and what is left of the text after it."""
    if unit in _MONEY:
        return "how much", after
    if unit in ("°c", "°f"):
        return "what temperature", after
    many = "what percentage" if unit == "percent" else f"how many {noun or _NAMES.get(unit, unit + 's')}"
    if match := re.match(rf"of (?:the )?[\w-]+(?: (?!(?:{_PREPOSITION}|on|as|per|into|plus)\b)[a-z]+)*", after):
        return f"{many} {match.group()}", after[match.end() :].strip()
    return many, after
