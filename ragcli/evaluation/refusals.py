"""Does an answer decline to answer? In English and Chinese, by rules.

A sentence declines where it says that the documents do not hold something, or that the writer cannot say it; it hands
the work back where it asks for more or says what one would need. An answer refuses where such sentences lead it or
close it and nothing is concluded beside them: "it is not stated, but we can calculate ... therefore 915" is an answer,
and so is an answer that adds what the documents do not say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragcli.prompting import REFUSALS
from ragcli.sentences import sentences
from ragcli.words import fold

MAX_SENTENCES = 400

_SOURCE = (
    r"(?:text|document|passage|context|filing|information|excerpt|statement|source|report|material|content|article"
    r"|exhibit|section|paragraph|snippet|table|graph|details?|data|page|record|file|search result|evidence"
    r"|figure)s?"
)
_HOLD = (
    r"(?:provid|includ|contain|mention|stat|specif|giv|disclos|list|say|address|cover|offer|indicat|reveal|report"
    r"|show"
    r"|discuss|detail|break|answer|identif|describ|present|suppl|hold|have\s(?:any|information|details?|data"
    r"|specific|enough|sufficient)|support|outlin|allow|quantif|single|cite)\w*"
)
_HELD = (
    r"(?:provided|included?|contained|mentioned|stated|specified|given|disclosed|listed|available|addressed|covered"
    r"|reported|shown|discussed|present|supplied|outlined|sufficient|enough|clear|detailed|described|identified"
    r"|found)"
)
_ADVERB = (
    r"(?:\s(?:explicitly|directly|specifically|clearly|currently|actually|fully|definitively|really|also"
    r"|even))?"
)
_NOT = r"(?:\bnot|n['’]t)\b"
_TELL = (
    r"(?:determin|calculat|comput|answer|provid|find|locat|say|tell|giv|confirm|compar|identif|conclud|establish"
    r"|assess|know|verif|deriv|evaluat|ascertain|offer|access|retriev|extract|quantif|generat|infer|comment|make"
    r"|see|respond"
    r"|accurately|definitively|directly|be\s(?:determin|calculat|comput|answer|found|identif|provid|deriv|deduc"
    r"|confirm|ascertain|assess|verif|definitively|accurately|directly))"
)
_UNABLE = re.compile(
    rf"""\b(?:cannot|can\snot|can['’]t|could(?:\snot|n['’]t)|unable\sto|(?:am|are|is|was)(?:\snot
        |n['’]t)\sable\sto)\s{_TELL}
       | {_NOT}{_ADVERB}\s(?:possible|feasible)\b | \bimpossible\sto\s{_TELL}
       | \b(?:do|does|did)(?:\snot|n['’]t)\s(?:\w+ly\s)?(?:know\b|have\s(?:\w+ly\s)?
           (?:[\w-]+\s){{0,3}}(?:access|enough|sufficient|information|data|knowledge|details|context|ability|figures
               |answer|documents?))
       | \b(?:have|has|with)\sno\s(?:access|information|knowledge|data|way|idea|details)
       | \byou\s(?:have(?:\snot|n['’]t)|did(?:\snot|n['’]t))\s(?:provid|suppl|giv|includ|shar)\w*
       | \b(?:not\ssure|no\sidea|no\sanswer|unanswerable|insufficient\s(?:information|data|context|detail|evidence))
       | \b(?:lacks?|lacking|without)\s(?:sufficient|enough|access|the\snecessary|further\sinformation|this\s(?:data
           |information)
           |specific|more\s(?:specific|detailed)|additional\s(?:information|data|context))
       | (?:无法|不能|难以|没法|没有办法)(?:[^。！？\n]{{0,8}})?(?:确定|判断|回答|得出|计算|提供
           |给出|得知|找到|确认|答复|知道|获[知得取])
       | 不(?:知道|清楚|确定|了解|得而知) | (?:信息|资料|数据|内容|依据)不足 | 无从(?:得知|判断|回答|知晓)
       | 没有(?:足够|相关|充分|具体)?的?(?:相关|具体)?(?:信息|资料|数据|内容|答案|依据)
    """,
    re.VERBOSE,
)
"""The writer cannot say."""
_ABSENT = re.compile(
    rf"""\b{_SOURCE}\b[^.;]{{0,120}}?(?:{_NOT}{_ADVERB}|\bno\slonger|\bfail(?:s|ed)?\sto)\s{_HOLD}
       | (?:{_NOT}{_ADVERB}|\bnever)\s{_HELD}{_ADVERB}\b[^.;]{{0,60}}?\b(?:in|by|within|from|here
           |for)\b[^.;]{{0,60}}?\b{_SOURCE}\b
       | \b(?:is|are|was|were)(?:\snot|n['’]t){_ADVERB}\s{_HELD}
       | \b(?:document|text|passage|context|filing|source|excerpt|information|report)s?\b[^.;]{{0,60}}\b(?:contains?
           |provides?|includes?|gives?|ha(?:s|ve)|offers?|makes?|mentions?|there\sis)\sno\b
       | \bno\s(?:\w+\s)?(?:explicit|specific|direct|relevant|clear|further|additional|mention|information|data
           |details?|evidence|indication|reference|record)\b
           (?:\s(?:information|mention|data|details?|reference|evidence|indication|figure|value|statement))?
           (?:\s(?:is|are|was|were|that|which|about|on|of|regarding|indicating|in|to|provided|given|available
               |whether|for|found|concerning|as))
       | \bdo(?:es)?(?:\snot|n['’]t)\s(?:see|find)\s(?:any|specific|a\s)
       | \b(?:ends?|been\scut|cut)\s(?:abruptly|off)\b
       | (?:文[档件本章中]|资料|材料|上下文|片段|段落|报告|原文|内容|信息|手册|文献|来源|文中|手头)
           [^。！？\n]{{0,12}}?(?:没有|未曾?|并未|并没有|不|无)[^。！？\n]{{0,4}}?
           (?:提[及到供]|说明|包含|包括|给出|涉及|记载|描述|列出|写明|答案|明确|回答|介绍|相关|指出|披露|注明)
       | (?:没有|未|并未)(?:在[^。！？\n]{{1,12}}中)?(?:找到|提供|提及|提到|说明|查到|检索到|发现)
       | 找不到|查不到|查无
    """,
    re.VERBOSE,
)
"""The documents do not say."""
_NEEDS = re.compile(
    r"""\b(?:would|you['’]d|we['’]d|i['’]d|will|we|you|i)\s(?:typically\s|usually\s|also\s|first\s)?(?:need|have\sto
        |require|be\s(?:needed|required|necessary))\b
      | \b(?:please|kindly)\s(?:provide|refer|find|use|let\sme|consult|check|share|direct|note\sthat\si)
      | \bif\syou\s(?:can|could|have|provide|need|share|are|would)\b | \bonce\syou\s(?:have|provide)
      | \b(?:i\srecommend|you\s(?:can|could|may|should|might)\s(?:typically\s|usually\s)?(?:find|check|look|refer
          |visit|consult|calculate|access|use|provide|follow))
      | \b(?:can|could|may|will|would)\sbe\s(?:required|needed|found|necessary)\b | \b(?:is|are)\s(?:usually
          |typically|generally)\b | \bto\s(?:make|answer|determine|calculate|find|obtain
          |accurately)\b[^.]{0,120}\bneed
      | \bsorry\b | \bapologi[sz]e\b | \bunfortunately\b | \bas\san\s(?:ai|artificial)\b | \bhappy\sto\s(?:assist
          |help)
      | 抱歉|对不起|很遗憾|遗憾的是|请(?:提供|参考|查阅|咨询|联系|补充)
      | 需要(?:更多|进一步|提供|补充)|建议(?:您|你|查|参|咨)
    """,
    re.VERBOSE,
)
"""It hands the work back: what one would need, where to look, apologies."""
_CONCLUDES = re.compile(
    r"""^\W*(?:therefore|thus|hence|so|in\s(?:conclusion|summary|short)|overall|to\ssum|as\sa\sresult|answer
        |the\sanswer|final\sanswer|accordingly|consequently|in\sother\swords)\b
      | \b(?:we|one|it)\scan\s(?:still\s)?(?:be\s)?(?:calculat|estimat|infer|comput|deriv|approximat|conclud|deduc
          |assum|say)\w*
      | \b(?:the\sanswer\s(?:is|would\sbe)|i\s(?:think|believe|would\ssay|guess|estimate)|likely|probably|presumably
          |suggest(?:s|ing)?\sthat|(?:it|this)\s(?:appears|seems)\sthat|appears?\sto\s(?:be|have)|based\son\s(?:my
          |general)\s(?:knowledge|understanding)\b,?\s(?!and|i\s(?:do|can)))
      | ^\W*(?:it|this)\s(?:might|may|could)\s(?:well\s)?be\b.{0,60}$ | [=≈][^=≈a-z]*\d[^=≈a-z+/×*]*(?:%|million
          |billion|thousand|percent|x|times|days)?\W*$ | \bapproximately\b | \broughly\b
      | ^\W*(?:因此|所以|综上|总之|由此|答案|故|可见|不过可以|但(?:是)?可以)
      | 推断|可以(?:推|算|估|得)|大约|约为|应该是|估计|可能(?:是|为)
    """,
    re.VERBOSE,
)
"""It concludes something all the same."""
_HYPOTHETICAL = re.compile(
    r"""\bfor\s(?:example|instance)\b | \bwould\s(?:be|suggest|indicate|mean|imply|look) | \b(?:it['’]s
        |it\sis)\s(?:also\s)?(?:important|worth|essential|crucial)
      | \bshould\sbe\sconsidered | ^\W*(?:moreover|additionally|furthermore|also)\b | \bif\b.*\b(?:would
          |is\s(?:lower|higher))
      | 例如|比如|如果|假设
    """,
    re.VERBOSE,
)
"""It says how one would conclude, or adds to what was said."""
_EXAMPLE = re.compile(
    r"\bfor\s(?:example|instance),?\sif\b|\b(?:guide\syou|the\sformula|how\s(?:you|to|one)"
    r"|the\s(?:following\s)?steps|the\sgeneral\s(?:formula|steps))\b|例如|公式"
)
_DATED = re.compile(
    r"\bmy\s(?:last|latest|most\srecent|knowledge|training)\s?(?:\w+\s)?(?:update|cutoff|cut-off|data)|我的(?:知识|训练)"
)
"""The writer speaks from memory."""
_BUT = re.compile(r"[,;] (?=(?:but|however|though|although|yet)\b)|[，；](?=但|不过|然而|虽|尽管)")
_FULL_STOP = re.compile(r"^[\s\W]*$")
_LINES = re.compile(r"\n+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A folded sentence or line of an answer, and what it does."""

    text: str
    unable: bool
    absent: bool
    needs: bool
    concludes: bool
    dated: bool

    @property
    def declines(self) -> bool:
        """Whether it says that it is not known."""
        return self.unable or self.absent

    @property
    def answers(self) -> bool:
        """Whether it may hold an answer."""
        return not (self.declines or self.needs)


def split(answer: str) -> list[Sentence]:
    """Return the sentences and lines of an answer, at most `MAX_SENTENCES`: the first and the last of more."""
    parts = [
        line[start:end]
        for line in _LINES.split(answer)
        for start, end in sentences(line)
        if not _FULL_STOP.match(line[start:end])
    ]
    if len(parts) > MAX_SENTENCES:
        parts = parts[: MAX_SENTENCES // 2] + parts[-MAX_SENTENCES // 2 :]
    return [sentence for part in parts for sentence in _clauses(fold(part[:2000]))]


def _clauses(text: str) -> list[Sentence]:
    """Return a sentence, in two where it declines in one part and goes on otherwise in the other."""
    whole = _sentence(text)
    if whole.declines and (match := _BUT.search(text)) is not None:
        return [_sentence(text[: match.start()]), _sentence(text[match.start() :].lstrip(" ,;，；"))]
    return [whole]


def _sentence(text: str) -> Sentence:
    ours = any(refusal[:-1].casefold() in text for refusal in REFUSALS)
    return Sentence(
        text,
        bool(_UNABLE.search(text)) or ours,
        bool(_ABSENT.search(text)),
        bool(_NEEDS.search(text)),
        bool(_CONCLUDES.search(text)) and not _HYPOTHETICAL.search(text),
        bool(_DATED.search(text)),
    )


def refuses(said: Sequence[Sentence]) -> bool:
    """Return whether the sentences of an answer, together, decline to answer. One without any refuses.

    One from memory that hands the work back in the end does, too.
    """
    if not said:
        return True
    declining = [i for i, sentence in enumerate(said) if sentence.declines]
    handed = any(sentence.needs for sentence in said[-2:])
    if not declining:
        return handed and said[0].dated
    first, last = declining[0], declining[-1]
    if said[last].unable and said[last].concludes:
        return not any(s.answers and s.concludes for s in said[last + 1 :])
    after = _own(said[last + 1 :])
    before = [sentence for sentence in said[:first] if sentence.answers]
    if any(sentence.concludes for sentence in after):
        return False
    if said[last].unable and (handed or not after):
        return not (before and before[0].concludes)
    if not before:
        return not any(sentence.concludes for sentence in _own(said))
    return False


def _own(said: Sequence[Sentence]) -> list[Sentence]:
    """Return the sentences that may hold an answer, without those that only show how one would find it."""
    found: list[Sentence] = []
    for sentence in said:
        if _EXAMPLE.search(sentence.text):
            break
        if sentence.answers:
            found.append(sentence)
    return found
