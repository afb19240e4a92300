"""Lines of ignore files -> which entries of a folder they leave out, by git's rules.

pathspec compiles each line, and says whether a path or one that is above it matches. Here a path is judged by itself,
as git does: `!docs` takes in the folder, and not all that lies in it and that other lines leave out. What is in a
folder that is left out is never asked about.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from pathspec import GitIgnoreSpec, RegexPattern

_CLASS = re.compile(r"(\[(?:[^][]|\[:[a-z]+:\])*?)\[:([a-z]+):\]")
_MEMBERS = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \t",
    "cntrl": "\0-\x1f\x7f",
    "digit": "0-9",
    "graph": '"-~!',
    "lower": "a-z",
    "print": " -~",
    "punct": '"-.!:-@[-`{-~',  # no slash, which is in no name
    "space": " \t\n\v\f\r",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
"""The classes of POSIX, which pathspec does not know, as ranges. None begins with a sign that negates a range."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The lines of a folder's ignore files, in their order: what matches, and whether that is left out."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...]

    @classmethod
    def of(cls, lines: Sequence[str]) -> Rules | None:
        """Compile lines; those that mean nothing are passed over, as git does. None where nothing is left."""
        patterns = []
        for line in lines:
            spec = compiled([line])
            for pattern in spec.patterns if spec else ():
                if isinstance(pattern, RegexPattern) and pattern.regex is not None and pattern.include is not None:
                    patterns.append((_by_itself(pattern.regex, line), pattern.include))
        return cls(tuple(patterns)) if patterns else None

    def leave_out(self, path: str) -> bool | None:
        """Return what the last line that matches says about a path, relative to the folder; None where none does.

        A folder's path ends in a slash.
        """
        return next((verdict for pattern, verdict in reversed(self.patterns) if pattern.search(path)), None)


def compiled(lines: Sequence[str]) -> GitIgnoreSpec | None:
    """Compile lines for whole paths, with what lies in a folder that matches; None where one means nothing."""
    if not any(line.strip() and not line.startswith("#") for line in lines):
        return None
    try:
        with warnings.catch_warnings():  # of regular expressions that may mean something else one day
            warnings.simplefilter("ignore", FutureWarning)
            return GitIgnoreSpec.from_lines([_with_ranges(line) for line in lines])
    except (ValueError, re.error):
        return None


def _with_ranges(line: str) -> str:
    before = ""
    while "[:" in line and line != before:
        before, line = line, _CLASS.sub(lambda m: m[1] + _MEMBERS.get(m[2], m[0][len(m[1]) :]), line)
    return line


def _by_itself(regex: re.Pattern[str], line: str) -> re.Pattern[str]:
    """Make pathspec's expression of a line, which stops at the slash after a folder, match just that folder.

    One without the mark `ps_d` is of a line that ends in `/**`, and stops before what that matches; or it is `.`, of
    `*`.
    """
    if "ps_d" in regex.groupindex:
        return re.compile(rf"(?:{regex.pattern}){'.+/' if line.rstrip().endswith('/**/') else ''}\Z")
    return regex if regex.pattern == "." else re.compile(rf"(?:{regex.pattern})(?=.)", re.DOTALL)
