"""What a run tells: how far it is, and what it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragcli.planning import Plan


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `done` and `total` count bytes of the files that changed."""

    done: int
    total: int
    files: int
    chunks: int


OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Report:
    """What a run did; see the contract's JSON for `ingest`.

    Parsing, encoding and all else go on at once. Of `parse`, what counts is how long the run waited for it; `embed` is
    how long the encoder worked.
    """

    added: int = 0
    updated: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    documents: int = 0
    chunks: int = 0
    embedded: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    estimate_s: float | None = None
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("parse", "chunk", "embed", "store"), 0.0))

    @classmethod
    def of(cls, plan: Plan) -> Report:
        """Return the report of what is known before anything is done."""
        report = cls(unchanged=plan.unchanged + len(plan.touched))
        for path in plan.missing:
            report.fail(path, "no such file or folder")
        for one in plan.skipped:
            (report.failed if one.failed else report.skipped).append({"path": str(one.path), "reason": one.reason})
        for failure in plan.remembered:
            report.fail(failure.path, f"{failure.reason} (not tried again)")
        return report

    def fail(self, path: Path, reason: str) -> None:
        """Note a file that could not be read."""
        self.failed.append({"path": str(path), "reason": reason})

    def warn(self, path: Path | str, reason: str) -> None:
        """Note something doubtful."""
        self.warnings.append({"path": str(path), "reason": reason})

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time that the body takes to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phases[phase] += time.perf_counter() - start

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON."""
        return {
            **{name: getattr(self, name) for name in ("added", "updated", "moved", "unchanged", "removed")},
            **{name: getattr(self, name) for name in ("skipped", "failed", "warnings")},
            **{name: getattr(self, name) for name in ("documents", "chunks", "embedded")},
            "seconds": round(self.seconds, 3),
            **({} if self.estimate_s is None else {"estimate_s": round(self.estimate_s, 1)}),
            "phases": {name: round(value, 3) for name, value in self.phases.items()},
        }
