"""Words that a line's end has cut are made whole again: at hyphens, and between Chinese or Japanese characters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ragcli.parsing.pdf.layout import CUT
from ragcli.records import Block
from ragcli.words import CJK

_LEFT = re.compile(rf"(?<![^\W_])([^\W_]++)([{CUT}]|(?<=[^\W\d_])-)$")
_RIGHT = re.compile(rf"([^\W_]*)([^\s{CUT}]*)\s*")
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_CUT = re.compile(f"[{CUT}]")
_LONGEST = 100
_MAX_LINE = 1000
_BETWEEN = re.compile(f"(?<=[{CJK}，、；：])\n(?=[{CJK}])")
_RUNNING: frozenset[str] = frozenset(("paragraph", "list_item", "heading"))


def join_hyphens(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rejoin words that a line's end has cut: the rest of the word goes up to the line above. Lines keep their number.

    pdfium puts U+FFFE in the place of a hyphen that it thinks a line's end made, and browsers write U+2010 there; where
    it is a plain hyphen, as pypdf leaves it, it goes only where the word is known whole, or where neither half is a
    word.

    Whether the hyphen belongs to the word (`cloud-based`) or to the line (`exam-ple`) is asked of the document: does
    it write the word elsewhere in one of the two ways? Or know both parts as words? Else the word goes with most.
    """
    places = [
        (number, at, left, right)
        for number, lines in enumerate(pages)
        for at, (above, below) in enumerate(pairwise(lines))
        if above[-1:] in ("-", *CUT)
        and (left := _LEFT.search(above, max(0, len(above) - _LONGEST)))
        and (right := _RIGHT.match(below, 0, _LONGEST))
    ]
    joined = [list(lines) for lines in pages]
    if places:
        known = _known(pages, {(number, at) for number, at, _, _ in places})
        verdicts = [
            found for _, _, left, right in places if left[2] != "-" and (found := _verdict(known, left[1], right[1]))
        ]
        usual = 1 if sum(found > 0 for found in verdicts) * 2 > len(verdicts) else -1
        target = 0
        for number, at, left, right in places:
            lines = joined[number]
            is_plain = left[1][-1].isalpha() and right[1][:1].islower()  # `AX-200` and `non-GAAP` keep theirs
            if left[2] == "-":
                if not is_plain or len(left[1]) < 2 or _stays(known, left[1].casefold(), right[1].casefold()):
                    continue
                hyphen = ""
            else:
                hyphen = "" if is_plain and (_verdict(known, left[1], right[1]) or usual) < 0 else "-"
            if lines[at].strip(CUT) or len(lines[target]) > _MAX_LINE:  # else it is all in the line above by now
                target = at
            lines[at] = lines[at].removesuffix(left[2])
            lines[target] += hyphen + right[1] + right[2]
            lines[at + 1] = lines[at + 1][right.end() :]
    return [[_CUT.sub(_hyphen_left_over, line) for line in lines] for lines in joined]


def _hyphen_left_over(match: re.Match[str]) -> str:
    return {"\ufffe": "-", "\u2010": "\u2010"}.get(match[0], "")


def _known(pages: Sequence[Sequence[str]], cut: set[tuple[int, int]]) -> Counter[str]:
    """Count the words of a document, but for those that a line's end cuts."""
    known: Counter[str] = Counter()
    for number, lines in enumerate(pages):
        for at, line in enumerate(lines):
            words = _WORD.findall(line.casefold())
            if (number, at) in cut:
                words = words[:-1]
            known.update(words[1:] if (number, at - 1) in cut else words)
    return known


def _verdict(known: Counter[str], left: str, right: str) -> int:
    """Return above 0 where the hyphen stays, below 0 where it goes, 0 where the document does not say."""
    left, right = left.casefold(), right.casefold()
    return known[f"{left}-{right}"] - known[left + right] or min(known[left], known[right])


def _stays(known: Counter[str], left: str, right: str) -> bool:
    whole, parted = known[left + right], known[f"{left}-{right}"]
    return parted >= whole if whole or parted else bool(known[left] or known[right])


def join_wide(text: str, blocks: Sequence[Block]) -> tuple[str, list[Block]]:
    """Take the line ends between Chinese or Japanese characters out of running text, where they part no words."""
    if not _BETWEEN.search(text):
        return text, list(blocks)
    parts: list[str] = []
    moved: list[Block] = []
    done = gone = 0
    for block in blocks:
        start = block.start - gone
        if block.kind in _RUNNING:
            for match in _BETWEEN.finditer(text, block.start, block.end):
                parts.append(text[done : match.start()])
                done = match.end()
                gone += 1
        moved.append(replace(block, start=start, end=block.end - gone))
    return "".join((*parts, text[done:])), moved
