"""What tests in several folders import: where the repository is, and what a command line left behind."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Done:
    """A command line that has run."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment_of(home: Path) -> dict[str, str]:
    """Return an environment without settings of the person who runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAGCLI_", "HF_", "NO_COLOR", "FORCE_COLOR"))}
    return kept | {"RAGCLI_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
