"""The scripts in benchmarks/: each says what it measures, compiles, and explains its arguments."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT, environment_of

SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py"))
NAMES = [path.relative_to(ROOT / "benchmarks").as_posix() for path in SCRIPTS]
WITH_ARGUMENTS = [
    name
    for name, path in zip(NAMES, SCRIPTS, strict=True)
    if "argparse" in path.read_text("utf-8") and not name.startswith("peers/")  # those run in environments of their own
]


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    source = (ROOT / "benchmarks" / name).read_text("utf-8")
    tree = ast.parse(source)
    compile(tree, name, "exec")
    assert len(ast.get_docstring(tree) or "") > 50
    if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
        assert '\nif __name__ == "__main__":\n    main()\n' in source


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_it_explains_its_arguments(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / name), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment_of(tmp_path), timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
