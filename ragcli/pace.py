"""How long an ingest will take, by how long those before it took on this machine."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ragcli.records import TEXT_FORMATS, SourceFile

_START_SECONDS = 2.0
"""What the encoder and the parsers take to start."""
_TEXT, _OTHER = 25e-6, 8e-6
"""Seconds a byte where no run has been measured: some 1,850 chunks a megabyte of text, a third of that in files that
hold pictures and marks or are packed, at 75 chunks a second on two cores."""


@dataclass(slots=True)
class Pace:
    """Seconds and bytes of former runs by format, those of each run weighing half as much as those of the next."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    sizes: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @classmethod
    def read(cls, noted: str) -> Pace:
        """Return what `note` wrote; what is no such note counts as none."""
        pace = cls()
        try:
            for name, (seconds, size) in json.loads(noted or "{}").items():
                pace.seconds[name], pace.sizes[name] = float(seconds), float(size)
        except (ValueError, TypeError, AttributeError):
            return cls()
        return pace

    def note(self) -> str:
        """Return the pace as text."""
        rows = {name: [round(self.seconds[name], 3), round(size)] for name, size in self.sizes.items()}
        return json.dumps(rows, sort_keys=True)

    def add(self, seconds: float, chunks: Mapping[str, int], sizes: Mapping[str, int]) -> None:
        """Add a run of so many seconds. Its time is shared out by the chunks of each format, and so are its bytes."""
        total = sum(chunks.values())
        for name in {*self.sizes, *sizes} if total else ():
            self.seconds[name] = self.seconds[name] / 2 + seconds * chunks.get(name, 0) / total
            self.sizes[name] = self.sizes[name] / 2 + sizes.get(name, 0)

    def estimate(self, files: Iterable[SourceFile]) -> float:
        """Return the seconds that it takes to read some files and embed them; 0 for none."""
        seconds = [file.size * self._rate(file.format) for file in files]
        return _START_SECONDS + sum(seconds) if seconds else 0.0

    def _rate(self, format: str) -> float:
        if self.sizes.get(format, 0.0) > 0 and self.seconds[format] > 0:
            return self.seconds[format] / self.sizes[format]
        return _TEXT if format in TEXT_FORMATS else _OTHER
