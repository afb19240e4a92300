"""Whether a citation is still called supported after one number, name, unit or negation of its sentence was swapped.

Sentences of sample_docs' Markdown and text files, each cited to the passage that holds it. One thing is swapped by a
seeded script: a number by another, a unit by one of its kind, a name or part number by another of the documents, a
"not" put in or taken out. Prints, for each language, how many swapped ones are not called supported, and how many are
when nothing is swapped: word for word, and lightly edited (a preface, contractions, spelled-out numbers, a bracket
left out). `--show` lists what was judged wrongly.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from common import ROOT, report

from ragcli.citations import check
from ragcli.records import Hit
from ragcli.sentences import sentences
from ragcli.words import STOP_WORDS, latin_share

PER_LANGUAGE = 200
PASSAGE = 1400
KINDS = ("number", "name", "unit", "negation")
_LIST_MARK = re.compile(r"^\s*(?:[-*]\s+|\d+\.\s+)")
_PART = re.compile(r"(?<![A-Za-z0-9-])([A-Z]{1,4}-)(\d+)([A-Z]?)(?![A-Za-z0-9-])")
_NUMBER = re.compile(r"(?<![A-Za-z\d.,:：/-])(?<![A-Za-z]\s)\d+(?:\.\d+)?(?![\d:：/.-]|,\d)")
_PROPER = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}[A-Za-z]*(?![a-z-])")
_LATIN = re.compile(r"(?<![A-Za-z0-9])[A-Z][A-Za-z]{3,}(?![A-Za-z0-9-])")
_PLACES = "苏州 上海 北京 广州 深圳 江苏 浙江 安徽 山东 河南 新疆 西藏 青海 英国 中国 香港 台湾"
_PLACE = re.compile("|".join(_PLACES.split()))

_UNITS_EN = [
    *(("months", "weeks"), ("days", "hours"), ("hours", "minutes"), ("minutes", "seconds"), ("years", "months")),
    *(("seconds", "minutes"), ("weeks", "days"), ("kg", "g"), ("cm", "mm"), ("mm", "cm"), ("km", "m"), ("m", "km")),
    *(("GB", "MB"), ("mA", "A"), ("MHz", "kHz"), ("V", "mV"), ("°C", "°F"), ("litres", "millilitres"), ("bar", "kPa")),
    *(("metres", "kilometres"), ("working days", "months"), ("pounds", "euros"), ("A", "mA"), ("W", "kW")),
]
_UNITS_ZH = [
    *(("个月", "天"), ("个工作日", "个月"), ("天", "周"), ("小时", "分钟"), ("分钟", "秒"), ("秒", "分钟")),
    *(("公斤", "克"), ("厘米", "毫米"), ("毫米", "厘米"), ("公里", "米"), ("米", "厘米"), ("元", "美元"), ("℃", "℉")),
    *(("mA", "A"), ("V", "mV"), ("cm", "mm"), ("mm", "cm"), ("MB", "KB"), ("升", "毫升"), ("周", "个月"), ("m", "km")),
    ("年", "个月"),
]
_PUT_EN = re.compile(r"\b(is|are|was|were|can|must|will|may|should|does|do|has to be)\b(?! not|n't)(?= )")
_TAKE_EN = re.compile(
    r"(?:(?<=\bis|\bdo)|(?<=\bare|\bcan|\bwas|\bmay)|(?<=must|will|does)) not\b|(?<=can)not\b|\bnever "
)
_PUT_ZH = re.compile(
    r"(?<![不未没无])(?:可以|可(?=[能用在])|能(?!源|够源|力|耗)|会(?!议|员|计|话)|需要|应(?!用|急|答)|须|是(?!否))"
)
_TAKE_ZH = re.compile(r"不(?=[能会需得予可含是应超在再支提])|未(?=[按经拆注能在放])|没有|不(?=要)")
_BLOCK = re.compile(r"\n\s*\n|\n(?=\s*[-*] |\s*\d+\. |\||=|#|[^\n]{2,6}：)|(?<=。)\n")
_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


Other = Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Case:
    """A sentence and the passage that holds it."""

    sentence: str
    passage: str
    document: str


def passages(text: str) -> Iterator[str]:
    """Yield the paragraphs of a file, packed as far as a passage goes; a heading begins a new one."""
    part = ""
    for block in re.split(r"\n\s*\n", text):
        if part and (block.startswith("#") or len(part) + len(block) > PASSAGE):
            yield part
            part = ""
        part = f"{part}\n\n{block}" if part else block
    if part:
        yield part


def cases(language: str) -> list[Case]:
    """Return the sentences of the documents in "en" or "zh"."""
    found: list[Case] = []
    for path in sorted((ROOT / "sample_docs").rglob("*")):
        if path.suffix not in (".md", ".txt") or path.name == "ABOUT.md":
            continue
        text = path.read_text("utf-8")
        for passage in passages(text):
            for block in _BLOCK.split(passage):
                plain = " ".join(_LIST_MARK.sub("", block).split())
                if plain.startswith(("#", "|", "=", "-", "{", "`")):
                    continue
                if (latin_share(plain) >= 0.5) != (language == "en"):
                    continue
                for start, end in sentences(plain):
                    sentence = plain[start:end]
                    if len(sentence) >= (30 if language == "en" else 12):
                        found.append(Case(sentence, passage, text))
    return found


def swapped(sentence: str, kind: str, language: str, names: Sequence[str], chance: random.Random) -> str | None:
    """Return the sentence with one thing of a kind swapped, or None where it has none."""
    if kind == "number":
        return _replaced(sentence, _NUMBER, lambda match: _other_number(match.group(), chance), chance)
    if kind == "unit":
        units = _UNITS_EN if language == "en" else _UNITS_ZH
        for ours, other in chance.sample(units, len(units)):
            pattern = re.compile(rf"(?<=\d){re.escape(ours)}(?![A-Za-z])|(?<=\d[ -]){re.escape(ours)}(?![A-Za-z])")
            if pattern.search(sentence):
                return pattern.sub(other, sentence, count=1)
        return None
    if kind == "name":
        pattern = _PART if chance.random() < 0.5 and _PART.search(sentence) else _PROPER if language == "en" else _PLACE
        if pattern is not _PART and not pattern.search(sentence):
            pattern = _PART if _PART.search(sentence) else _LATIN if language == "zh" else _PROPER
        return _replaced(sentence, pattern, lambda match: _other_name(match, sentence, names, chance), chance)
    put, take = (_PUT_EN, _TAKE_EN) if language == "en" else (_PUT_ZH, _TAKE_ZH)
    if take.search(sentence):
        return _replaced(sentence, take, lambda match: "有" if match.group() == "没有" else "", chance)
    if language == "en":
        return _replaced(sentence, put, lambda match: f"{match.group()} not", chance)
    return _replaced(sentence, put, lambda match: f"不{match.group()}", chance)


def _replaced(sentence: str, pattern: re.Pattern[str], other: Other, chance: random.Random) -> str | None:
    """Return the sentence with one match of a pattern, any, put otherwise; None without a match."""
    matches = list(pattern.finditer(sentence))
    if not matches:
        return None
    match = chance.choice(matches)
    return sentence[: match.start()] + other(match) + sentence[match.end() :]


def _other_number(number: str, chance: random.Random) -> str:
    if "." in number:
        return f"{float(number) + chance.choice((0.5, 1, 2)):g}"
    value = int(number)
    return str(chance.choice([n for n in (value + 1, value + 2, value * 2, value * 10, value + 12) if n != value]))


def _other_name(match: re.Match[str], sentence: str, names: Sequence[str], chance: random.Random) -> str:
    if match.re is _PART and chance.random() < 0.5:
        return f"{match[1]}{int(match[2]) + chance.choice((1, 2, 10))}{match[3]}"
    alike = [n for n in names if match.re.fullmatch(n) or (match.re is _PROPER and _LATIN.fullmatch(n))]
    return chance.choice([n for n in alike if n not in sentence] or ["Oslo"])


def edited(sentence: str, language: str, chance: random.Random) -> str:
    """Return the sentence as a writer might put it who keeps its meaning."""
    text = re.sub(r"\s?[(（][^()（）]{1,60}[)）]", "", sentence, count=1)
    if language == "en":
        for ours, other in (("cannot", "can't"), (" is not", " isn't"), ("do not", "don't"), ("must be", "has to be")):
            text = text.replace(ours, other)
        text = re.sub(r"(?<![\d.-])\d (?=days|months|hours|weeks|minutes)", lambda m: _SMALL[int(m[0])] + " ", text)
        preface = chance.choice(("", "", "According to the documents, ", "Yes, ", "In short, "))
        return preface + (text[0].lower() + text[1:] if preface and text[1:2].islower() else text)
    text = text.replace("必须", "须").replace("应当", "应").replace("，则", "，").replace("；", "，")
    pattern = r"(?<![\d.-])\d(?= ?(?:天|个月|小时|分钟|个工作日))"
    text = re.sub(pattern, lambda m: "零一二三四五六七八九"[int(m[0])], text)
    return chance.choice(("", "", "根据文档，", "是的，", "另外，")) + text


def condensed(sentence: str) -> str:
    """Return the first clause of a sentence that has several long ones, or all of it."""
    clauses = re.split(r"(?<=\w{3})(?:, |; | and | so |，|；)(?=\w)", sentence)
    long_enough = len(clauses[0]) >= (30 if sentence.isascii() else 10)
    return clauses[0] if len(clauses) > 1 and long_enough else sentence


def status(sentence: str, passage: str) -> tuple[str | None, tuple[str, ...]]:
    """Return what a citation of the passage is called, the worst of the sentence's parts."""
    hit = Hit(1, 1.0, "c", "s", "main", None, (), 0, len(passage), None, passage)
    checked = check(f"{sentence.rstrip('。.;；:： ')} [1].", [hit])
    worst = min(checked, key=lambda row: ("unsupported", "weak", "supported").index(row.status or "supported"))
    return worst.status, worst.reasons


def swaps(found: Sequence[Case], language: str, chance: random.Random) -> list[tuple[str, str, Case]]:
    """Return `PER_LANGUAGE` swapped sentences with their kinds, as many of each kind as there are."""
    everything = "\n".join({case.document: None for case in found})
    patterns = (_PART, _PROPER, _LATIN, _PLACE)
    names = {match.group() for pattern in patterns for match in pattern.finditer(everything)}
    known = sorted(name for name in names if name.lower() not in STOP_WORDS)
    made: list[tuple[str, str, Case]] = []
    left = dict.fromkeys(KINDS, PER_LANGUAGE // len(KINDS))
    seen: set[str] = set()
    for case in [case for _ in range(6) for case in found]:
        for kind in sorted(KINDS, key=lambda kind: -left[kind]):
            text = swapped(case.sentence, kind, language, known, chance) if left[kind] else None
            if text is not None and text != case.sentence and text not in seen:
                seen.add(text)
                left[kind] -= 1
                made.append((kind, text, case))
                break
    return made


def measure(found: list[Case], language: str, show: bool) -> dict[str, object]:
    """Return the shares of one language."""
    chance = random.Random(7)
    chance.shuffle(found)
    caught: Counter[str] = Counter()
    made = swaps(found, language, chance)
    for kind, text, case in made:
        given, _ = status(text, case.passage)
        caught[kind] += given != "supported"
        if show and given == "supported":
            print("NOT CAUGHT", kind, "|", text, "|", case.sentence, file=sys.stderr)
    kept: Counter[str] = Counter()
    sample = found[: 2 * PER_LANGUAGE]
    for case in sample:
        for name, text, passage in (
            ("verbatim", case.sentence, case.passage),
            ("whole_document", case.sentence, case.document),
            ("edited", edited(case.sentence, language, chance), case.passage),
            ("condensed", condensed(case.sentence), case.passage),
        ):
            given, reasons = status(text, passage)
            kept[name] += given == "supported"
            if show and given != "supported":
                print("NOT KEPT", name, given, reasons, "|", text, "|", case.sentence, file=sys.stderr)
    of_kind = Counter(kind for kind, _, _ in made)
    return {
        "swapped": len(made),
        "not_called_supported": round(sum(caught.values()) / len(made), 4),
        "by_kind": {kind: f"{caught[kind]}/{of_kind[kind]}" for kind in KINDS},
        "untouched": len(sample),
        **{f"{name}_supported": round(count / len(sample), 4) for name, count in kept.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="list on stderr what was judged wrongly")
    show = parser.parse_args().show
    report("swaps", **{language: measure(cases(language), language, show) for language in ("en", "zh")})


if __name__ == "__main__":
    main()
