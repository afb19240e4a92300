"""The dependency rule, read from the imports: who may know whom.

records, errors <- pure modules <- workflows <- parts <- cli        adapters beside the workflows, each by itself
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from shared import ROOT

BASE = {"ragcli.records", "ragcli.errors", "ragcli.words"}
PURE = {
    *("ragcli.chunking", "ragcli.words", "ragcli.citations", "ragcli.support", "ragcli.facts", "ragcli.quantities"),
    *("ragcli.prompting", "ragcli.calibration", "ragcli.generation.expected", "ragcli.sentences"),
}
WORKFLOWS = {
    *("ragcli.planning", "ragcli.indexing", "ragcli.rebuilding", "ragcli.retrieval", "ragcli.answering"),
    *("ragcli.conversation", "ragcli.moving", "ragcli.encoding", "ragcli.reporting", "ragcli.watching"),
}
ADAPTERS = ("embedding", "generation", "llama", "models", "parsing", "storage")
INTERFACES = {"ragcli.embedding.base", "ragcli.generation.base", "ragcli.generation.interrupts"}
HEAVY = {
    *("chromadb", "huggingface_hub", "llama_cpp", "lxml", "numpy", "onnxruntime", "opencc", "pypdf", "pypdfium2"),
    *("tokenizers", "trafilatura", "httpx", "jinja2", "Stemmer", "tiktoken"),
    *("scipy", "matplotlib", "pptx", "tree_sitter", "rapidocr", "cv2", "watchfiles"),
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "ragcli").rglob("*.py"))
}


WORKFLOWS |= {name for name in MODULES if name.startswith("ragcli.evaluation")}


@cache
def imports(name: str) -> frozenset[tuple[str, bool]]:
    """Return the modules that a module of ours imports when it runs, and whether it does when it is loaded."""
    return frozenset(_imports(ast.parse(MODULES[name].read_text("utf-8")), loaded=True))


def _imports(node: ast.AST, loaded: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, loaded) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.module is not None and child.level == 0
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                yield (whole if whole in MODULES else child.module), loaded
        else:
            yield from _imports(child, loaded and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def ours(name: str) -> set[str]:
    """Return the modules of ours that a module imports."""
    return {module for module, _ in imports(name) if module.split(".")[0] == "ragcli"}


def adapter(name: str) -> str:
    """Return the package of adapters that a module belongs to, or ""."""
    package = name.split(".")[1] if name.count(".") > 1 else ""
    return package if package in ADAPTERS else ""


def test_the_imports_are_read() -> None:
    assert ("ragcli.records", True) in imports("ragcli.chunking")
    assert ("numpy", False) in imports("ragcli.embedding.onnx")
    assert "ragcli.models.catalog" not in ours("ragcli.embedding.onnx"), "only for its types"
    assert adapter("ragcli.storage.index") == "storage" and adapter("ragcli.storage") == adapter("ragcli.cli.app") == ""


@pytest.mark.parametrize("name", ["ragcli.records", "ragcli.errors"])
def test_what_everything_stands_on_stands_on_nothing(name: str) -> None:
    assert ours(name) == set()


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_know_only_each_other(name: str) -> None:
    assert ours(name) <= BASE | PURE | INTERFACES


@pytest.mark.parametrize("name", sorted(name for name in MODULES if adapter(name)))
def test_adapters_never_import_each_other(name: str) -> None:
    others = {module for module in ours(name) if adapter(module) not in ("", adapter(name))}
    assert others <= INTERFACES


@pytest.mark.parametrize("name", sorted(name for name in MODULES if adapter(name) or name in WORKFLOWS | PURE))
def test_only_parts_and_commands_know_the_settings(name: str) -> None:
    known = {"ragcli.settings"} if name == "ragcli.llama.engine" else set()  # where it remembers this host's faults
    assert ours(name) & {"ragcli.settings", "ragcli.parts"} <= known
    assert not any(module.startswith("ragcli.cli") for module in ours(name))


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith("ragcli.cli")))
def test_only_the_command_line_draws(name: str) -> None:
    assert not {module.split(".")[0] for module, _ in imports(name)} & {"typer", "rich", "click"}
    assert name == "ragcli.__main__" or not any(module.startswith("ragcli.cli") for module in ours(name))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_heavy_libraries_are_loaded_when_they_are_used(name: str) -> None:
    assert not {module.split(".")[0] for module, loaded in imports(name) if loaded} & HEAVY


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_are_short(name: str) -> None:
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= 450


def test_nothing_names_a_machine() -> None:
    """No home folder of anybody's in what is shipped."""
    for path in (*Path(ROOT / "ragcli").rglob("*.py"), *ROOT.glob("*.md"), *Path(ROOT / "docs").glob("*.md")):
        text = path.read_text("utf-8")
        assert "/home/" not in text and "/Users/" not in text, path
