"""Which encoding a text that is not UTF-8 was written in: the candidate whose reading looks most like a language.

Each candidate's reading is scored by its characters outside ASCII, -1 to 1 on average: the commonest characters of
the candidate's language speak for it; rare ones, and ones that its language hardly ever puts there, against it.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass

_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道"
    "行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意"
    "无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什"
    "二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义"
    "各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金"
    "指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求"
    "据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运费附近每请店付款日期元号上午星室"
)
_TRADITIONAL = (
    "這個們來為國說時會對過發後種經麼學現當沒動還進樣開從實軍無與長機關點業將兩間問並應戰頭體見產話給門東聲論"
    "處義幾認條系氣題爾別變總電報結務場計資統區隊決馬書則聽卻達強難權設記類據邊張該規萬覺術領確傳師觀讓識帶導"
    "爭運費請員樂歷買賣車紙裡單戶錢號碼週約圖館舊講寫歡養隻歲錯誰網連線環護適責備續達營參級際標準顯雖紅華語議"
    "調組織歐選舉較斷極遠優"
)
_HANGUL = (
    "이다의는에을가고로한지하를은사도기자어리인서시아나스대그정과해일부보수전라주제여으들니구조있원상중게와소"
    "성마면안것신위만연화장국무미러요모방유동경년적비공계오내트세당용임관실할호간되선음드진물건개분야각결학없"
    "던저생체르문입후통치두말때려습더회까았었했합거받및터민우단월됩십시오며번매심금업우배했종추석책읽좋작차명"
    "행교재산출양력설출점데된함또약반"
)
_RUSSIAN = "оеаинтсрвлкмдпуяыьгзбч"
_CYRILLIC = "".join(map(chr, range(0x410, 0x450))) + "Ёё"
_KANA = "".join(map(chr, range(0x3041, 0x3094)))
_KATAKANA = "".join(map(chr, range(0x30A1, 0x30F7))) + "ー"
_LATIN = "äöüßÄÖÜéèêëàâáãåçíîïñóôõúùûøæœØÅÉÀÇÆ–—’‘“”„…°«»€£§©®·±×µ²³½¿¡\xa0"
_PUNCTUATION = "、。，：；！？（）「」『』《》“”‘’—…・　％～【】"
_ASCII = "".join(map(chr, range(0x20, 0x7F))) + "\t\n\r"

_SAMPLE = 1 << 16
_HIGH = re.compile(rb"[\x80-\xff]")
_BEFORE = 100
"""Bytes of a line that are looked at before its first one outside ASCII."""
_TOO_FEW, _TOO_LOW, _TOO_CLOSE = 6, 0.45, 0.25
"""A guess is doubtful where fewer bytes speak for it, where its score is lower, or where the next comes closer."""
_LEAST = -0.2
_BROKEN = -2.0
_ODD = re.compile(
    r"[а-яё](?=[А-ЯЁ])|[А-ЯЁ]{2}(?=[а-яё])|[A-Za-z─-╬№](?=[А-яЁё])|[А-яЁё](?=[A-Za-z─-╬№])|(?<![А-яЁё])[А-яЁё](?![А-яЁё])"
    r"|[\xa1-\xff](?=[\xa1-\xff])|[£±][^\W\d]|[³²»]\w|\w¿"
)
"""What is rare where single bytes are letters.

Capitals and signs inside a word, two alphabets in it, a Cyrillic letter that is no part of a word, accents in a row.
"""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An encoding, with the characters that speak for it (1), a little for it (.4), and hardly at all (0).

    The last are named by the first bytes of their pairs; of what `pairs` holds, the second byte is at least `least`.
    """

    encoding: str
    good: frozenset[str]
    fair: frozenset[str] = frozenset()
    pairs: tuple[range, ...] = ()
    least: int = 0

    def weight(self, character: str) -> float:
        """Return how far a character of the reading speaks for it, -2 to 1."""
        if character in self.good:
            return 1.0
        if character in self.fair:
            return 0.4
        if character == "\ufffd":
            return _BROKEN
        code = character.encode(self.encoding, "replace")
        plain = len(code) == 2 and code[1] >= self.least and any(code[0] in pairs for pairs in self.pairs)
        return 0.0 if plain else -1.0

    def score(self, sample: bytes) -> float:
        """Return how far the reading of `sample` looks like the language, by its average character outside ASCII."""
        text = codecs.getincrementaldecoder(self.encoding)("replace").decode(sample)
        counted = Counter(text)
        if "a" not in self.good:
            for character in _ASCII:
                del counted[character]
        total = sum(counted.values())
        weights = sum(number * self.weight(character) for character, number in counted.items())
        return (weights - len(_ODD.findall(text))) / total if total else -1.0


_SIMPLE = frozenset(_SIMPLIFIED)
_CHINESE = _SIMPLE | frozenset(_TRADITIONAL)
_MARKS = frozenset(_PUNCTUATION)
_CANDIDATES = (
    _Candidate("gb18030", _SIMPLE, _MARKS | _CHINESE, (range(0xA1, 0xA4), range(0xB0, 0xD8)), 0xA1),
    _Candidate("big5hkscs", _CHINESE, _MARKS, (range(0xA1, 0xC7),)),
    _Candidate("cp932", frozenset(_KANA), _CHINESE | _MARKS | frozenset(_KATAKANA), (range(0x81, 0x98),)),
    _Candidate(
        "euc_jp", frozenset(_KANA), _CHINESE | _MARKS | frozenset(_KATAKANA), (range(0xA1, 0xA4), range(0xB0, 0xD0))
    ),
    _Candidate("cp949", frozenset(_HANGUL), pairs=(range(0xA1, 0xA4), range(0xB0, 0xC9)), least=0xA1),
    _Candidate("cp1251", frozenset(_RUSSIAN), frozenset(_CYRILLIC + "№«»–—…“”„\xa0")),
    _Candidate("koi8_r", frozenset(_RUSSIAN), frozenset(_CYRILLIC + "\xa0")),
    _Candidate("cp1252", frozenset(_LATIN)),
)
"""Fewer candidates make fewer wrong guesses."""
_WIDE_GOOD = _CHINESE | frozenset(_HANGUL + _KANA + _RUSSIAN + _LATIN + _ASCII)
_WIDE_FAIR = frozenset(_CYRILLIC + _KATAKANA) | _MARKS
_LEAST_WIDE = 0.4


def guess(data: bytes) -> tuple[str, bool]:
    """Return the encoding that `data` is most likely in, and whether that is doubtful. It is not valid UTF-8."""
    lines: list[bytes] = []
    size = at = 0
    while size < _SAMPLE and (high := _HIGH.search(data, at)) is not None:
        start = max(data.rfind(b"\n", at, high.start()) + 1, high.start() - _BEFORE, at)
        at = data.find(b"\n", high.end()) + 1 or len(data)
        lines.append(data[start : min(at, start + _SAMPLE)])
        size += len(lines[-1])
    sample = b"".join(lines)[:_SAMPLE]
    scores = sorted(((one.score(sample), one.encoding) for one in _CANDIDATES), reverse=True)
    (best, encoding), (second, _) = scores[:2]
    if best < _LEAST:
        return "cp1252", True
    few = encoding != "cp1252" and sum(byte > 0x7F for byte in sample[:1000]) < _TOO_FEW
    return encoding, few or best < _TOO_LOW or best - second < _TOO_CLOSE


def unmarked_utf16(data: bytes) -> str | None:
    """Return which UTF-16 a file without a byte order mark is in, or None where it is in none."""
    sample = data[: _SAMPLE & ~1]
    if len(data) % 2 or len(data) < 4:
        return None
    scores = sorted((_wide_score(sample, encoding), encoding) for encoding in ("utf-16-le", "utf-16-be"))
    best, encoding = scores[-1]
    return encoding if best > _LEAST_WIDE else None


def _wide_score(sample: bytes, encoding: str) -> float:
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
    total = 0.0
    for character, number in Counter(text).items():
        if character in _WIDE_GOOD:
            weight = 1.0
        elif character in _WIDE_FAIR:
            weight = 0.4
        else:
            weight = 0.0 if "\u4e00" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3" else -1.0
        total += number * weight
    return total / len(text) if text else -1.0
