"""Which models this machine has the memory for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

COMFORT = 0.7
"""Share of the available memory that a model may take and leave room for the rest of the work."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A language model that may be run here. `memory` is in bytes, `parameters` counts weights."""

    id: str
    parameters: int
    memory: int


def fits(memory: int, available: float | None) -> bool:
    """Return whether so many bytes can be had; None available means that nobody knows."""
    return available is None or memory <= available


def best_first(models: Iterable[Candidate], available: int | None) -> list[Candidate]:
    """Return the models that fit: those that leave room, the largest first, then the tight ones, the smallest first."""
    fitting = [model for model in models if fits(model.memory, available)]
    comfortable = None if available is None else available * COMFORT
    roomy = [model for model in fitting if fits(model.memory, comfortable)]
    tight = [model for model in fitting if model not in roomy]
    return sorted(roomy, key=lambda model: -model.parameters) + sorted(tight, key=lambda model: model.memory)
