"""Documents -> draft questions, by rules: tables, quantities, definitions, `key: value` lines, else a gap. Pure.

English sentences are turned round ("Within how many days must the device reach us?"); Chinese ones ask in place
(事假每年不超过多少天？). Sentences that lean on the one before are left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ragcli.evaluation.inversion import VERBS, turned
from ragcli.generation.expected import expected, holds, identifiers
from ragcli.quantities import quantities
from ragcli.records import Block, Document
from ragcli.sentences import sentences
from ragcli.words import fold, latin_share

_MAX_BLOCKS = 5000
_SAMPLE = 5000
"""Characters of a document by which its language is told."""
_MAX_QUOTE = 400
_MAX_CELL = 60

_LEAD = re.compile(
    r"\s*(?:>\s*)*(?:[-*+·•○▪–]\s+|#+\s+|\(?\d{1,2}(?:\.\d+)*[.)、）]\s*|\d+(?:\.\d+)*\s+(?=[A-Z])"
    r"|第[一二三四五六七八九十百\d]+[条章节]\s*|[（(]?[一二三四五六七八九十]+[)）、]\s*)?(?:\[[ x]\]\s)?"
)
_MARKUP = re.compile(r"\*\*|__|[*`]|!?\[([^\]]*)\]\([^)]*\)")
_HAN = re.compile("[\u4e00-\u9fff]")
_KANA = re.compile("[\u3040-\u30ff\uac00-\ud7af]")
_NUMBERED = re.compile(
    r"^\s*(?:\d+(?:\.\d+)*[.)、]?\s+|\d+[.)、]\s*|[一二三四五六七八九十]+、\s*|第[一二三四五六七八九十\d]+[条章节]\s*)"
)

_LEANS = re.compile(
    r"\b(?:it|its|they|them|their|he|she|him|his|her|this|these|those|such|there|here|then|above|below|following|same"
    r"|former|latter|otherwise|also|instead|however|another|other|both)\b"
    r"|[它他她]|这|那|其[他它中余]?|该|此|上述|下列|以下|前款|同样|另[外加给]|也|还|否则|但|则",
    re.IGNORECASE,
)
_STARTS_BADLY = re.compile(
    r"(?:and|or|but|so|if|when|where|while|after|before|because|although|once|unless|until|in|on|at|for|with|from|by"
    r"|without|as|up|only|no|not|either|neither|one|to|over|under|between|per|all|most|some|what|how|which|who|why)\b"
    r"|[的如若例…—.·并或再超满多少最共约逾每按从在对及和与需须应可请由将把]",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s?(?:to|and|-|–|—|~|～|至|到)\s?")
_DATE = re.compile(
    r"\b(?:19|20)\d\d\b|\d\s?年\s?\d|\d\s?月\s?\d|\d:\d\d"
    r"|\b(?:jan|febr?u?|march|april|may \d|june|july|august|sept|octo|nov|dec)[a-z]*\b",
    re.IGNORECASE,
)
_ATTRIBUTE_WORDS = "item property parameter feature value data specification 项目 参数 属性 指标 名称 内容"
_ATTRIBUTES = frozenset(_ATTRIBUTE_WORDS.split())
"""First cells of a header whose column names what the others tell of the things in the header."""
_PLAIN_VALUES = "no yes none n/a - – — 无 有 否 是 不限 / free"
_PLAIN_VALUE = frozenset(_PLAIN_VALUES.split())
_UPPER = {"gbp": "GBP", "usd": "USD", "eur": "EUR", "cny": "CNY", "vat": "VAT", "id": "ID", "no": "number"}
_MAX_ANSWER = 80
_KEY = re.compile(r"(?P<key>[A-Z][A-Za-z-]*(?: [a-z]+){0,2}|[\u4e00-\u9fff]{2,8})\s?[:：]\s?(?P<value>[^:：\n]{2,70})")
_LABEL = re.compile(r"[^\n.,;:]{1,30}\n[ \t]+(?=[A-Z])")
"""A heading on a line of its own in a plain text, above an indented sentence."""
_KEY_QUESTION = {"en": "What does “{{title}}” say under “{key}”?", "zh": "《{{title}}》中“{key}”一项是什么？"}
_DEFINED = re.compile(
    r"(?P<name>(?:The |An? )?[A-Z][\w-]*(?: [A-Z][\w-]*){0,3}) is (?P<what>(?:an?|the) [^.;:()]{8,70}?(?<=[a-z]{3}))"
    r"(?=[.;:,]| which| that| used)"
)
_ZH_DEFINED = re.compile(
    r"(?P<name>(?![由而但虽若因])[A-Za-z\u4e00-\u9fff][\w\u4e00-\u9fff -]{1,12}?)\s?(?:是|指的是|即)"
    r"(?P<what>[^，。；：不否在由从\s][^，。；：不否在由从]{3,30})(?=[，。；])"
)
_ZH_VERB = re.compile("[是为需应须可要按收扣给付有达过不至最满提补于在到隔每用能超减加装留保距]")
_NO_TITLE = re.compile(r"Microsoft|untitled|无标题|\.\w{2,5}$|^.{0,3}$", re.IGNORECASE)
"""Titles that say nothing, as programs leave them in files."""
_VAGUE = frozenset({"the", "a", "an", "this", "that", "it", "we", "you"})
_EMPTY_KEYS = frozenset(
    {"note", "notes", "remarks", "example", "warning", "important", "单位", "说明", "注意", "例如", "提示", "备注"}
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A question with its answer, and the quote that holds it: a span of the document's text."""

    source: str
    question: str
    answer: str
    start: int
    end: int
    page: int | None
    lang: str
    kind: str
    passage: str
    quote: str


def drafts(source: str, document: Document) -> Iterator[Draft]:
    """Yield all drafts of a document."""
    if len(_KANA.findall(document.text[:_SAMPLE])) > _SAMPLE / 100:
        return
    for block in document.blocks[:_MAX_BLOCKS]:
        if block.kind == "table_row" and block.header:
            yield from _of_row(source, document, block)
        elif block.kind in ("paragraph", "list_item"):
            yield from _of_prose(source, document, block)


def _lang(text: str) -> str:
    """Return "zh", "en" or "" for a text of another language, or of none."""
    if latin_share(text) < 0.5:
        return "zh" if 2 * len(_HAN.findall(text)) > len(re.findall(r"[^\W\d_A-Za-z]", text)) else ""
    told = re.findall(r"[a-z]+", text.casefold())
    english = sum(word in _ENGLISH for word in told)
    return "en" if english >= 0.08 * len(told) and english else ""


_ENGLISH_WORDS = "the a an of is are to in for and with on be at by from not can within after per or must"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())


def _title(source: str, document: Document, block: Block) -> str:
    title = "" if _NO_TITLE.search(document.title) else document.title
    if block.heading and title.startswith(block.heading[0]):  # a web page's title often goes on with the site's name
        title = block.heading[0]
    if not title and document.pages is None and block.heading and not _NUMBERED.match(block.heading[0]):
        title = block.heading[0]
    if not title and document.pages is None:  # a plain text often opens with its title
        first = document.text.strip().split("\n", 1)[0].strip()
        title = first if 3 <= len(first) <= 40 and not re.search("[:：.。,，]", first) else ""
    return _plain(title) or PurePosixPath(source).stem


def _plain(text: str) -> str:
    """Return text on one line, without markup."""
    return " ".join(_MARKUP.sub(lambda match: match[1] or "", text).split())


def _within(question: str, source: str, document: Document, block: Block, lang: str, kind: str) -> str:
    """Return a question that says which document it is about, where it names no model or code itself."""
    named = identifiers(question)
    brief = len(question) - sum(map(len, named)) < 12 if lang == "zh" else len(question.split()) < 6
    if named and kind != "cloze" and not (brief and kind == "quantity"):
        return question
    title = _title(source, document, block)
    if kind == "cloze":
        return (
            f"填空（《{title.strip('《》')}》）：{question}"
            if lang == "zh"
            else f"Complete, from “{title}”: {question}"
        )
    section = _plain(_NUMBERED.sub("", block.heading[-1])) if brief and len(block.heading) > 1 else ""
    if lang == "zh":
        return f"《{title.strip('《》')}》{f'的“{section}”部分' if section else ''}中，{question}"
    place = f"in the section “{section}” of “{title}”" if section else f"according to “{title}”"
    return f"{question.rstrip('?')}, {place}?"


# ---- tables


def _of_row(source: str, document: Document, block: Block) -> Iterator[Draft]:
    """Yield a draft for each cell of a table's row that holds a short fact."""
    row = document.text[block.start : block.end]
    is_csv = source.endswith((".csv", ".tsv"))
    head, cells = _cells(block.header, is_csv), _cells(row, is_csv)
    lang = "zh" if latin_share(" ".join([*head, *cells[:1]])) < 0.5 else _lang(document.text[:_SAMPLE])
    if len(head) != len(cells) or len(cells) < 2 or not lang or not 1 < len(cells[0]) <= _MAX_CELL:
        return
    start, end = _trimmed(document.text, block.start, block.end)
    for name, cell in zip(head[1:], cells[1:], strict=True):
        if not name or fold(name) in _EMPTY_KEYS or not _is_fact(cell) or cell not in row or cell in (cells[0], name):
            continue
        turned = fold(head[0]) in _ATTRIBUTES or not head[0]
        asked, of = (cells[0], name) if turned else (name, cells[0])
        if not turned and re.fullmatch(r"[\d\W]+", of):
            continue
        question = _zh_cell(asked, of, cell) if lang == "zh" else _en_cell(asked, of)
        question = _within(question, source, document, block, lang, "table")
        yield _draft(source, document, block, (start, end), question, cell, lang, "table")


def _cells(row: str, is_csv: bool) -> list[str]:
    """Return the cells of a row; the whole row where their borders are lost, as in a PDF."""
    row = row.strip()
    if is_csv:
        border = "\t" if "\t" in row else ","
        try:
            return [_plain(cell) for cell in next(csv.reader([row], delimiter=border))] if "\n" not in row else []
        except (csv.Error, StopIteration):
            return []
    if row.startswith("|"):
        return [_plain(cell) for cell in row.removeprefix("|").removesuffix("|").split("|")]
    return [_plain(cell) for cell in row.split(" | ")]


def _is_fact(cell: str) -> bool:
    return 0 < len(cell) <= _MAX_CELL and fold(cell) not in _PLAIN_VALUE and not re.search(r"[;；。?？]|\.\s", cell)


def _en_cell(asked: str, of: str) -> str:
    asked = " ".join(_UPPER.get(word, word) for word in re.sub(r"[_\s]+", " ", asked).strip().split(" "))
    asked = asked if re.match(r"[A-Z]{2}|[A-Z]\d|\S*[a-z][A-Z]", asked) else asked[:1].lower() + asked[1:]
    asked = re.sub(r" (GBP|USD|EUR|CNY|seconds|minutes|hours|days|weeks|months|years)\b", r" in \1", asked)
    of = f"“{of}”" if len(of.split()) > 4 or re.search(r"^No |[,(]", of) else of
    of = re.sub(r"^(?:The|A|An) (?=[a-z])", lambda match: match.group().lower(), of)
    if asked == "meaning":
        return f"What does {of} mean?"
    if asked in VERBS:
        return f"What does {of} {VERBS[asked]}?"
    asked = asked.removeprefix("the ") + ("," if ", " in asked else "")
    return f"What {'are' if _is_plural(asked) else 'is'} the {asked} for {of}?"


def _is_plural(phrase: str) -> bool:
    head = re.split(r" (?:for|of|in|at|per|with|to)\b|[,(]", phrase)[0].strip()
    return re.search(r"[a-z]{2}[^s\Wiu]s$", head) is not None


def _zh_cell(asked: str, of: str, cell: str) -> str:
    if asked in ("含义", "意思"):
        return f"{of} 是什么意思？"
    of = f"“{of}”" if len(of) > 10 and not of.isascii() or re.search("[，、（]", of) else of
    measured = re.match(r"[£$€¥￥±≤≥<>~约-]?[\d.]", cell)
    return f"{of}的{asked}是{'多少' if measured else '什么'}？"


# ---- prose


def _of_prose(source: str, document: Document, block: Block) -> Iterator[Draft]:
    """Yield drafts of the sentences of a paragraph or a list item that stand by themselves."""
    body = document.text[block.start : block.end]
    for first, last in sentences(body):
        for start, end in _lines(body, first, last):
            start += _LEAD.match(body, start, end).end() - start  # type: ignore[union-attr]
            quote = body[start:end]
            lang = _lang(quote) or ("en" if ":" in quote and _lang(document.text[:_SAMPLE]) == "en" else "")
            if not lang or not 6 <= len(quote) <= _MAX_QUOTE or _KANA.search(quote):
                continue
            at = (block.start + start, block.start + end)
            for question, answer, kind in _of_sentence(quote, lang):
                if 0 < len(answer) <= _MAX_ANSWER and answer in quote:
                    if kind == "quantity" and not holds(expected(question), answer):
                        continue
                    if kind == "key":
                        question = question.format(title=_title(source, document, block))
                    else:
                        question = _within(question, source, document, block, lang, kind)
                    yield _draft(source, document, block, at, question, answer, lang, kind)


def _lines(body: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield a sentence, or its lines where they are `key: value` each."""
    lines = [(match.start(), match.end()) for match in re.finditer(r"[^\n\u3000]+", body[start:end])]
    if len(lines) > 1 and all(_KEY.match(body, start + a, start + b) for a, b in lines):
        for a, b in lines:
            yield _trimmed(body, start + a, start + b)
    else:
        label = _LABEL.match(body, start, end)
        yield label.end() if label else start, end


def _of_sentence(quote: str, lang: str) -> Iterator[tuple[str, str, str]]:
    """Yield (question, answer, kind) of a sentence."""
    if match := _KEY.fullmatch(quote):
        key, value = match["key"].strip(), match["value"].strip("。. ")
        wordy = len(value) > (24 if lang == "zh" else _MAX_CELL) or _MARKUP.search(value) or _LEANS.search(key)
        if _is_fact(value) and not wordy and not value.startswith(("see ", "见")) and fold(key) not in _EMPTY_KEYS:
            yield _KEY_QUESTION[lang].format(key=key), value, "key"
            return
    if lang == "zh":
        yield from _zh(quote)
    else:
        yield from _en(quote)


def _amounts(quote: str) -> list[tuple[int, int, str]]:
    """Return the spans and units of a sentence's quantities; ranges are one. Nothing where folding moves characters."""
    told = fold(quote)
    if len(told) != len(quote):
        return []
    found: list[tuple[int, int, str]] = []
    for one in quantities(told):
        start = one.start - (1 if one.start and told[one.start - 1] in "£$€¥±-" else 0)
        end = max(one.end, told.find(one.text, max(0, one.start - 4)) + len(one.text))
        if found and _RANGE.fullmatch(told, found[-1][1], start):
            found[-1] = (found[-1][0], end, one.unit or found[-1][2])
        else:
            found.append((start, end, one.unit))
    return found


def _en(quote: str) -> Iterator[tuple[str, str, str]]:
    """Yield what an English sentence gives."""
    if not re.match(r"[A-Z]", quote) or quote.rstrip()[-1:] not in ".!" or _STARTS_BADLY.match(quote):
        return
    leans = _LEANS.search(quote) is not None
    if not leans and (match := _DEFINED.match(quote)):
        name, what = match["name"], match["what"].rstrip(".")
        if name.split()[0].casefold() not in _VAGUE and not name.endswith("day"):
            yield f"What is {_plain(name)}?", what, "definition"
    amounts = _amounts(quote)
    if leans or len(amounts) != 1 or _DATE.search(quote):
        return
    start, end, unit = amounts[0]
    if quote[end : end + 1] in ("²", "³", "/"):
        return
    before, after = _plain(quote[:start]), _plain(quote[end:])
    noun = ""
    if not unit and (match := re.match(r"\s([a-z-]+ )??[a-z-]{2,}[^s\W]s\b", quote[end:])):
        noun, end = match.group().strip(), end + match.end()
        after = _plain(quote[end:])
    answer = quote[start:end].strip()
    if not unit and not noun:
        return
    after = re.split(r"[,;:(.!]\s|\s[—–-]\s|[.!;:]$|,|\(", after, maxsplit=1)[0].strip()
    if not re.search("[,;:()–]", before) and (question := turned(before, after, unit, noun)):
        yield question, answer, "quantity"
    gap = f"{_plain(quote[:start])} ___ {_plain(quote[end:])}"
    yield re.sub(r" (?=[.,;:!)])|(?<=\() ", "", gap), answer, "cloze"


def _zh(quote: str) -> Iterator[tuple[str, str, str]]:
    """Yield what a Chinese sentence gives: a clause with 多少 in the place of its number."""
    if (match := _ZH_DEFINED.match(quote)) and not _LEANS.search(match["name"]):
        name, what = match["name"], match["what"]
        if not what.endswith("的") and (what[0] == "一" or re.search("[A-Za-z]", name)):
            yield f"{_plain(name)}是什么？", what, "definition"
            return
    amounts = _amounts(quote)
    if not amounts or amounts[0][2] == "month of the year" or _STARTS_BADLY.match(quote) or _DATE.search(quote):
        return
    start, end, unit = amounts[0]
    if quote.startswith("代", end) or re.match(r"\d{3,4}\s?年", quote[start:]):  # a decade, a date
        return
    stop = match.start() if (match := re.compile("[，,；;。！？（(]").search(quote, end)) else len(quote)
    if len(amounts) > 1 and amounts[1][0] < stop:
        return
    if re.search("[\u4e00-\u9fff] +[\u4e00-\u9fff]", quote):  # cells of a table that lost its lines
        return
    before, after = _plain_zh(quote[:start]), _plain_zh(quote[end:stop])
    if (
        before.endswith(tuple("和与及或的、"))
        or after.endswith(("的", "时", "后", "者"))
        or re.fullmatch("的.{0,6}", after)
    ):
        return
    if after and not _ZH_VERB.search(before):  # a number before a noun: 24 V 交流线圈
        return
    if _LEANS.search(before) or len(before) < 2 or len(before) > 45 or re.search(r"[（“\"][^）”\"]*$", before):
        return
    answer = quote[start:end].strip()
    if not unit:
        counted = re.match(r"\s?(个|次|台|件|支|套|条|项|人|名|路|块|种|组|位|张|份|倍|折|圈|节)", quote[end:])
        if not counted:
            return
        answer = quote[start : end + counted.end()]
        after = _plain_zh(quote[end + counted.end() : stop])
        asked = f"多少{counted[1]}"
    elif unit == "percent":
        asked = "多少" if after.startswith("之间") else "百分之多少"
    elif unit == "¥":
        asked = "多少元"
    else:
        written = re.sub(r"^[\s\d.,～~至到—–-]*", "", _last_unit(answer))
        asked = f"多少{written}" if written else "多少"
    asked = re.sub("^多少(?=[A-Za-z])", "多少 ", asked)
    gap = " " if re.search(r"[A-Za-z\d]$", before) else ""
    before = before.rstrip("：: ")
    asked += " " if asked[-1].isascii() and after else ""
    question = f"{before}{gap}{asked}{after}？"
    if re.search(r"[：:]", before) or len(re.split("[，,；;]", before)) > 3:
        yield f"{_plain_zh(quote[:start])}___{_plain_zh(quote[start + len(answer) :])}", answer, "cloze"
    else:
        yield question, answer, "quantity"


def _plain_zh(text: str) -> str:
    """Return text on one line, without markup; a line break between Chinese characters is no space."""
    return _plain(re.sub(r"(?<=[^\x00-\xff])\s*\n\s*(?=[^\x00-\xff])", "", text))


def _last_unit(answer: str) -> str:
    match = re.search(r"[^\d\s.,～~零〇一二两三四五六七八九十百千万亿至到半–—-].*$", answer)
    return match.group() if match else ""


def _draft(
    source: str, document: Document, block: Block, at: tuple[int, int], question: str, answer: str, lang: str, kind: str
) -> Draft:
    passage = document.text[block.start : block.end].strip()
    passage = "\n".join(part for part in (*block.heading[-1:], block.header, passage) if part)
    return Draft(source, question, answer, *at, block.page, lang, kind, passage, document.text[at[0] : at[1]])


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
