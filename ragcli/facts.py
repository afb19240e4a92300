"""What a count of words cannot see: the numbers, units, names and negations of a sentence against its passage.

`differences` names each one that the passage does not bear, in words for the user. A number is borne in any written
form, a name in any spelling of its hyphens (VC-8 = VC8) and by its initials. What the passage holds elsewhere but not
here, a number, name or opposite that was put for another, is found by aligning the sentence with the one sentence of
the passage that is most like it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise

from ragcli.quantities import UNITS, Quantity, quantities
from ragcli.sentences import sentences
from ragcli.words import CJK, FUNCTION_CHARACTERS, STOP_WORDS, fold, words

MAX_CHARACTERS = 20_000
"""No more of a text than this is read: it bounds the time that a hostile one takes."""
MAX_SENTENCES = 500
_PREFIX = 5
_NEAR = 0.7
"""How far a word is held by a passage that has only another with the same first letters: locate, location."""

_TOKEN = re.compile(
    rf"""(?P<cjk>[{CJK}])
       | (?P<short>['’](?:s|re|ve|m|ll|d)\b)
       | (?P<number>\d+(?:[.,]\d+)*)
       | (?P<word>[^\W\d_{CJK}]+)
    """,
    re.VERBOSE,
)
_IDENTIFIER = re.compile(
    rf"(?<![^\W{CJK}])(?!(?:mid|pre|post)-)"
    r"[a-z]{1,20}(?:[-‐‑_][a-z]{1,20}){0,3}[-‐‑_]?\d(?:[a-z\d]|[-‐‑._](?=[a-z\d]))*"
)
_SEPARATOR = re.compile(r"[\s\-‐‑_]+")
_MORE_FUNCTION_WORDS = """
    's 're 've 'm 'll 'd may might must shall also since while within without among upon via per although though however
    yet either neither one another any many much every several there yes no yeah yea yep oh well ok okay sure ai
"""
FUNCTION_WORDS = STOP_WORDS | set(_MORE_FUNCTION_WORDS.split())
_CONTRACTIONS = (
    (re.compile(r"\bca(?:n['’]t|nnot)\b"), "can not"),
    (re.compile(r"\bwon['’]t\b"), "will not"),
    (re.compile(r"(?<=[a-z])n['’]t\b"), " not"),
)
_NEGATIONS = frozenset(["not", "no", "never", "without", "none", "neither", "nor", "nobody", "nothing", "nowhere"])
_SOFT = re.compile(
    r"\b(?:exclu\w+|except\w*|void\w*|unable|un\w{4,}|in(?:valid|correct|active|sufficient|eligible)\w*|fail\w*|lack\w*"
    r"|refus\w*|reject\w*|prohibit\w*|forbid\w*|prevent\w*|avoid\w*|stop\w*|absen\w+|only|instead|rather|unless)"
    r"|除外|以外|之外|排除|拒|免|失效|仅|只|除非|停|缺|失去"
)
_NO_NEGATION = re.compile(
    r"\bnot\s(?:only|just|necessarily)\b|\bno\.\s?\d|\bwhether\sor\snot\b|\bor\snot\b"
    r"|不[但仅只断同过锈论管久妨]|除非|莫非|并非[但只]|无[论线]|非[常凡]|未来|没收|[特区级类个性分鉴识辨差派]别|别[的人墅]"
)
_ZH_NEGATION = re.compile("[不没未无非别勿莫]|禁止|严禁")
_OPPOSITE_WORDS = """
    before/after above/below more/less more/fewer over/under minimum/maximum least/most open/close on/off
    increase/decrease always/never all/none higher/lower longer/shorter first/last north/south east/west left/right
    up/down inside/outside include/exclude with/without
"""
_OPPOSITES = frozenset(frozenset(pair.split("/")) for pair in _OPPOSITE_WORDS.split())
_ZH_PLACES = """
    中国 北京 天津 上海 重庆 河北 山西 辽宁 吉林 黑龙江 江苏 浙江 安徽 福建 江西 山东 河南
    湖北 湖南 广东 海南 四川 贵州 云南 陕西 甘肃 青海 台湾 内蒙古 广西 西藏 宁夏 新疆 香港
    澳门 苏州 杭州 南京 广州 深圳 武汉 成都 西安 郑州 济南 青岛 大连 沈阳 长沙 厦门 宁波
    无锡 英国 美国 德国 法国 日本 韩国 印度 俄罗斯 加拿大 澳大利亚 新西兰 欧盟 欧洲 亚洲
    非洲
"""
_ZH_NAME = re.compile("|".join(sorted(_ZH_PLACES.split(), key=len, reverse=True)) + "|(?:周|星期)[一二三四五六日天]")
_CJK_CHARACTER = re.compile(f"[{CJK}]")
_PART, _SPACED_PART = re.compile(r"[-‐‑_]?\d"), re.compile(r"[-‐‑_ ]?\d")
_ZH_TITLE = re.compile(
    "(?:服务|技术|研发|培训)?(?:公司|集团|仪器|科技|中心|大学|学院|银行|医院|先生|女士|经理|博士|教授)|[市省县区镇]"
)
_LINE = re.compile(r"[^\s](?:[^\n]*[^\s])?")
_NAME = re.compile(rf"[^\W\d_{CJK}]+(?:['’][^\W\d_{CJK}]+)*")
_BEFORE_A_START = re.compile(r"(?:^|[.!?:;\n•–—|>\"“”‘(（【「。！？：；*#\-])[\s\"“”‘’'(*_#>|\-]*$")
_LIST_MARK = re.compile(r"^\s*(?:[-*•·#>]+\s+|[(（]?(?:\d{1,2}|[a-z])[.)）、]\s+|\d{1,2}、)+")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number or CJK character: its stem or canonical form, and how much it says."""

    form: str
    weight: float
    kind: str
    start: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to compare in a text."""

    folded: str
    tokens: tuple[Token, ...]
    forms: tuple[str, ...]
    held: frozenset[str]
    prefixes: frozenset[str]
    quantities: tuple[Quantity, ...]
    values: frozenset[str]
    identifiers: tuple[str, ...]
    negations: frozenset[int]

    def shares(self, there: Reading) -> list[float]:
        """Return how far another text holds each token: 1, `_NEAR` for one with the same beginning, or 0.

        A CJK character that has neighbours counts in full only with one of them.
        """
        held = []
        for i, token in enumerate(self.tokens):
            if token.form in there.held:
                pairs = self._pairs(i) if token.kind == "cjk" else ()
                held.append(1.0 if not pairs or any(pair in there.held for pair in pairs) else 0.3)
            else:
                near = token.kind == "word" and len(token.form) >= _PREFIX and token.form[:_PREFIX] in there.prefixes
                held.append(_NEAR if near else 0.0)
        return held

    def _pairs(self, i: int) -> list[str]:
        around = self.tokens[max(0, i - 1) : i + 2]
        return [a.form + b.form for a, b in pairwise(around) if _is_pair(a, b)]


def _is_pair(a: Token, b: Token) -> bool:
    return a.kind == b.kind == "cjk" and b.start == a.start + 1


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Return a folded word's stem; short words stay as they are."""
    found = words(word) if len(word) > 3 else ()
    return found[0] if found else word


@lru_cache(maxsize=512)
def read(text: str) -> Reading:
    """Return a text's reading."""
    folded = _LIST_MARK.sub("", fold(text[:MAX_CHARACTERS]))
    for contraction, whole in _CONTRACTIONS:
        folded = contraction.sub(whole, folded)
    identifiers = [(m.start(), m.end(), _SEPARATOR.sub("", m.group())) for m in _IDENTIFIER.finditer(folded)]
    inside = {at for start, end, _ in identifiers for at in range(start, end)}
    numbers = tuple(q for q in quantities(folded) if q.start not in inside)
    tokens = tuple(_tokens(folded, identifiers, inside, numbers))
    forms = tuple(token.form for token in tokens)
    pairs = (a.form + b.form for a, b in pairwise(tokens) if _is_pair(a, b))
    return Reading(
        folded,
        tokens,
        forms,
        frozenset(forms) | frozenset(pairs),
        frozenset(form[:_PREFIX] for form in forms if len(form) >= _PREFIX and form[0].isalpha()),
        numbers,
        frozenset(quantity.value for quantity in numbers),
        tuple(name for _, _, name in identifiers),
        _negations(folded, tokens),
    )


def _tokens(
    folded: str, identifiers: Sequence[tuple[int, int, str]], inside: set[int], numbers: Sequence[Quantity]
) -> Iterator[Token]:
    found = [Token(name, 1.0, "identifier", start) for start, _, name in identifiers]
    taken = set(inside)
    for quantity in numbers:
        taken.update(range(quantity.start, quantity.end))
        found.append(Token(quantity.value, 0.3 if quantity.value == "1" else 1.0, "number", quantity.start))
    for match in _ZH_NAME.finditer(folded):
        if match.start() not in taken:
            taken.update(range(*match.span()))
            found.append(Token(match.group(), 1.0, "name", match.start()))
    for match in _TOKEN.finditer(folded):
        text, start = match.group(), match.start()
        if start in taken:
            continue
        if match.lastgroup == "cjk":
            found.append(Token(text, 0.15 if text in FUNCTION_CHARACTERS else 0.5, "cjk", start))
        elif text in FUNCTION_WORDS or match.lastgroup == "short":
            found.append(Token(text.replace("’", "'"), 0.3, "function", start))
        else:
            found.append(Token(stem(text), 1.0, "word", start))
    return iter(sorted(found, key=lambda token: token.start))


def _negations(folded: str, tokens: Sequence[Token]) -> frozenset[int]:
    """Return the indices of the tokens that negate."""
    spared = {at for match in _NO_NEGATION.finditer(folded) for at in range(*match.span())}
    chinese = {match.start() for match in _ZH_NEGATION.finditer(folded)}
    return frozenset(
        i
        for i, token in enumerate(tokens)
        if token.start not in spared and (token.form in _NEGATIONS or token.start in chinese)
    )


@lru_cache(maxsize=64)
def _pieces(text: str) -> tuple[tuple[int, int, Reading], ...]:
    """Return a passage's sentences, and the lines of those that run over several (lists, tables)."""
    spans: dict[tuple[int, int], None] = {}
    for start, end in sentences(text[:MAX_CHARACTERS])[:MAX_SENTENCES]:
        spans[start, end] = None
        for line in _LINE.finditer(text, start, end) if "\n" in text[start:end] else ():
            spans[line.span()] = None
    return tuple((start, end, read(text[start:end])) for start, end in list(spans)[: 2 * MAX_SENTENCES])


@lru_cache(maxsize=512)
def locate(sentence: str, passage: str) -> tuple[int, int]:
    """Return the span of the sentence or line of `passage` that is most like `sentence`; (0, 0) in an empty one.

    Of those that hold as much of it, the shortest.
    """
    wanted = read(sentence).tokens
    total = sum(token.weight for token in wanted)
    best, best_share = (0, 0), -1.0
    for start, end, there in _pieces(passage):
        common = sum(token.weight for token in wanted if token.form in there.held)
        share = common / (total + 0.1 * len(there.tokens)) if total else 0.0
        if share > best_share:
            best, best_share = (start, end), share
    return best


@lru_cache(maxsize=512)
def names(sentence: str) -> tuple[str, ...]:
    """Return the names in a sentence: capitalized words but the first, places and Latin words in Chinese text."""
    found = [match.group() for match in _ZH_NAME.finditer(fold(sentence))]
    characters = len(_CJK_CHARACTER.findall(sentence))
    matches = list(_NAME.finditer(sentence))
    chinese = characters > sum(len(match.group()) for match in matches) / 3
    long = [match for match in matches if len(match.group()) > 3]
    shouting = not characters and sum(match.group()[0].isupper() for match in long) > 0.7 * max(3, len(long))
    for match in matches:
        word = match.group()
        if chinese:
            named = word[0].isascii() and len(word) > 1
        else:
            named = (
                word[0].isupper()
                and not shouting
                and not _BEFORE_A_START.search(sentence[max(0, match.start() - 12) : match.start()])
            )
        part = _SPACED_PART if word.isupper() and len(word) < 5 else _PART
        if named and not part.match(sentence, match.end()):
            plain = fold(word)
            unit = plain in UNITS and (len(word) < 4 or sentence[: match.start()].rstrip()[-1:].isdigit())
            if plain not in FUNCTION_WORDS and not unit and not any(quantities(plain)):
                found.append(word)
    return tuple(dict.fromkeys(found))


def differences(sentence: str, passage: str) -> list[str]:
    """Return what in the numbers, units, names and negations of `sentence` the passage does not bear."""
    here, there = read(sentence), read(passage)
    if _is_verbatim(here, there):
        return []
    start, end = locate(sentence, passage)
    place = passage[start:end]
    beside = read(place)
    aligned = _Alignment(here, beside)
    found = [*_missing_numbers(here, there, beside), *_missing_names(sentence, here, there)]
    found += aligned.swaps({stem(fold(name)) for name in (*names(sentence), *names(place))})
    if (negated := aligned.negation()) is not None:
        found.append(negated)
    return list(dict.fromkeys(found))


def _is_verbatim(here: Reading, there: Reading) -> bool:
    """Return whether the words stand together in the passage, without a negation beside them."""
    ours, theirs = ("\n".join(("", *reading.forms, "")) for reading in (here, there))
    at = theirs.find(ours)
    first = theirs.count("\n", 0, at)
    last = first + len(here.forms)
    return at >= 0 and not there.negations.intersection((*range(first - 3, first), last))


def _missing_numbers(here: Reading, there: Reading, beside: Reading) -> Iterator[str]:
    for quantity in here.quantities:
        if quantity.value == "1" and not quantity.unit:
            continue
        if quantity.value not in there.values:
            if not any(quantity.value == name.lstrip("abcdefghijklmnopqrstuvwxyz") for name in there.identifiers):
                yield f"the number {quantity.text} is not in the passage"
            continue
        near = [q for q in beside.quantities if q.value == quantity.value]
        units = {q.unit for q in near or there.quantities if q.value == quantity.value}
        if quantity.unit and "" not in units and quantity.unit not in units:
            yield f"the unit of {quantity.text} differs"


def _missing_names(sentence: str, here: Reading, there: Reading) -> Iterator[str]:
    for name in here.identifiers:
        if name not in there.identifiers and not _is_spelled(name, there.folded):
            yield f"the name {name} is not in the passage"
    for name in names(sentence):
        if not _is_named(stem(re.split(r"['’]", fold(name))[0]), name, there):
            yield f"the name {name} is not in the passage"


def _is_spelled(identifier: str, folded: str) -> bool:
    """Return whether a text holds an identifier with other separators: vc 8 for vc8."""
    pattern = r"[\s\-‐‑_.]?".join(map(re.escape, identifier))
    return re.search(rf"(?<![a-z\d]){pattern}(?![a-z\d])", folded) is not None


def _is_named(root: str, name: str, there: Reading) -> bool:
    if root in there.held or (len(root) >= _PREFIX and root[:_PREFIX] in there.prefixes):
        return True
    if not name.isascii():
        return fold(name) in there.folded
    if name.isupper() and (len(name) > 2 or name in ("US", "UK", "EU", "UN")):
        return name.lower() in "".join(form[0] for form in there.forms)
    return False


class _Alignment:
    """A sentence beside the passage's sentence that is most like it, token by token."""

    def __init__(self, here: Reading, beside: Reading) -> None:
        self.here, self.beside = here, beside
        matcher = SequenceMatcher(None, here.forms[:400], beside.forms[:400], autojunk=False)
        self.steps = matcher.get_opcodes()
        self.same = {i for tag, i, j, _, _ in self.steps if tag == "equal" for i in range(i, j)}
        self.same_there = {k for tag, _, _, i, j in self.steps if tag == "equal" for k in range(i, j)}

    def swaps(self, named: set[str]) -> Iterator[str]:
        """Yield what stands in the place of another of its kind."""
        for tag, a, b, c, d in self.steps:
            if tag != "replace":
                continue
            ours, theirs = self.here.tokens[a:b], self.beside.tokens[c:d]
            if self._is_titled(a, b) and all(token.kind in ("cjk", "name") for token in theirs):
                name, another = ("".join(token.form for token in side) for side in (ours, theirs))
                yield f"{name} stands where the passage has {another}"
            for kind in ("number", "name", "unit", "opposite"):
                mine = [t.form for t in ours if self._is(kind, t, named) and t.form not in {x.form for x in theirs}]
                other = [t.form for t in theirs if self._is(kind, t, named) and t.form not in {x.form for x in ours}]
                if not mine or not other:
                    continue
                if kind == "opposite" and not any(frozenset((x, y)) in _OPPOSITES for x in mine for y in other):
                    continue
                if kind == "name" and mine[0].isalpha() and other[0].startswith(mine[0]):  # VC 8, VC-8
                    continue
                if kind == "unit" and UNITS.get(mine[0]) == UNITS.get(other[0]):
                    continue
                yield f"{mine[0]} stands where the passage has {other[0]}"

    def _is_titled(self, a: int, b: int) -> bool:
        """Return whether two to four Chinese characters stand before what follows a name: 公司, 经理."""
        following = "".join(self.here.forms[b : b + 4])
        return (
            2 <= b - a <= 4
            and all(token.kind == "cjk" for token in self.here.tokens[a:b])
            and _ZH_TITLE.match(following) is not None
        )

    @staticmethod
    def _is(kind: str, token: Token, named: set[str]) -> bool:
        if kind == "number":
            return token.kind == "number"
        if kind == "name":
            return token.kind in ("identifier", "name") or token.form in named
        return token.form in UNITS if kind == "unit" else token.kind in ("word", "function")

    def negation(self) -> str | None:
        """Return what is said of a negation that stands in one of the two alone."""
        ours, theirs = self.here.negations, self.beside.negations
        if len(ours) == len(theirs):
            return None
        if len(ours) > len(theirs):
            alone = [i for i in ours if i not in self.same and self._scope(self.here, i) & self.same]
            said, other = "a negation is not in the passage", self.beside
        else:
            alone = [i for i in theirs if i not in self.same_there and self._scope(self.beside, i) & self.same_there]
            said, other = "a negation of the passage is left out", self.here
        if not alone:
            return None
        apart = len(self.here.tokens) - len(self.same) - len(alone) * (other is self.beside)
        return None if apart > 1 and _SOFT.search(other.folded) else said

    @staticmethod
    def _scope(reading: Reading, at: int) -> set[int]:
        """Return the tokens that a negation speaks of: the next one with content, two Chinese characters."""
        after = [k for k in range(at + 1, min(at + 4, len(reading.tokens))) if reading.tokens[k].weight >= 0.5]
        return set(after[: 2 if reading.tokens[at].kind == "cjk" else 1]) or {at - 1}
