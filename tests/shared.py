"""What tests in several folders import: where the repository is, and what a command line left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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


@contextmanager
def small_disk_at(folder: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte and a half at `folder`, or skip the test."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1536k", "tmpfs"]
    if subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def leave_free(disk: Path, size: int) -> Path:
    """Fill a disk up to `size` bytes, and return the file that does."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - size)))
    return ballast
