"""What became of the pages that were given to OCR, and how that is told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragcli.parsing.blocks import page_ranges
from ragcli.parsing.ocr.scanned import letters, pictures

FLOOR = 0.75
"""A page that was read with less confidence is left out: half of its letters are wrong (docs/benchmarks.md, ocr.py)."""


@dataclass(slots=True)
class Outcome:
    """What became of some pages: those that were `read` have texts and confidences (0 to 1), others just the latter.

    Those that are `labelled` are pictures with some text beside them.
    """

    read: dict[int, tuple[str, float]] = field(default_factory=dict)
    unsure: dict[int, float] = field(default_factory=dict)
    blank: list[int] = field(default_factory=list)
    nothing: list[int] = field(default_factory=list)
    failed: dict[str, list[int]] = field(default_factory=dict)
    labelled: Collection[int] = ()

    def note(self, number: int, text: Any, confidence: Any, blank: Any) -> None:
        """Take what a child says of a page. Raises ValueError where that makes no sense."""
        if type(confidence) is not float or not 0 <= confidence <= 1 or type(blank) is not bool or "\f" in text:
            raise ValueError("no reply about a page")
        if blank:
            self.blank.append(number)
        elif not text.strip():
            self.nothing.append(number)
        elif confidence < FLOOR:
            self.unsure[number] = confidence
        else:
            self.read[number] = text, confidence

    def fail(self, reason: str, numbers: Sequence[int]) -> None:
        """Note pages that OCR could not read, all for one reason."""
        self.failed.setdefault(reason, []).extend(numbers)

    def set_labels(self, labels: Mapping[int, str]) -> None:
        """Take the texts that some pages have. A page on which no more than that was read is no news."""
        self.labelled = labels.keys()
        for number in labels.keys() & self.read.keys():
            label = letters(labels[number])
            if all(letters(line) in label for line in self.read[number][0].split("\n")):
                del self.read[number]
        self.nothing = [number for number in self.nothing if number not in labels]

    def warnings(self) -> Iterator[str]:
        """Yield what users should know, a clause each."""
        if self.read:
            worst = min(self.read, key=lambda number: self.read[number][1])
            size = sum(len(text) for text, _ in self.read.values())
            mean = sum(len(text) * confidence for text, confidence in self.read.values()) / size
            lowest = f"; lowest page {worst}: {_share(self.read[worst][1])}" if len(self.read) > 1 else ""
            was = "was" if len(self.read) == 1 else "were"
            yield f"{page_ranges(list(self.read))} {was} read by OCR (confidence {_share(mean)}{lowest})"
        for numbers, what in self._told(self.unsure):
            yield f"{what}, and OCR cannot make {_them(numbers)} out (confidence {self._best(numbers)})"
        for _, what in self._told(self.nothing):
            yield f"{what}, and OCR found none"
        if self.blank:
            yield f"{page_ranges(self.blank)} {'is' if len(self.blank) == 1 else 'are'} blank"
        for reason, failed in self.failed.items():
            for numbers, what in self._told(failed):
                yield f"{what}, and OCR could not read {_them(numbers)}: {reason}"

    def why_nothing(self) -> str:
        """Return why no page was read."""
        if self.failed:
            return f"OCR could not read it: {next(iter(self.failed))}"
        if self.unsure:
            return f"OCR cannot make it out (confidence {self._best(self.unsure)})"
        return "OCR found none" if self.nothing else "all of it is blank"

    def _told(self, pages: Collection[int]) -> Iterator[tuple[list[int], str]]:
        """Yield those of some pages that have no text, and then those that have some, with a clause that says so."""
        if bare := [number for number in pages if number not in self.labelled]:
            yield bare, f"{page_ranges(bare)} {'has' if len(bare) == 1 else 'have'} no text"
        if labelled := [number for number in pages if number in self.labelled]:
            yield labelled, pictures(labelled)

    def _best(self, numbers: Collection[int]) -> str:
        most = "at most " if len(numbers) > 1 else ""
        return most + _share(max(self.unsure[number] for number in numbers))


def _them(numbers: Collection[int]) -> str:
    return "it" if len(numbers) == 1 else "them"


def _share(number: float) -> str:
    return f"{number:.2f}".removeprefix("0")
