"""Which definitions a source file holds, and where: tree-sitter's grammars, asked by one query each.

Nothing here walks a syntax tree: the query runs in tree-sitter, and what it finds is a flat list in the file's order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Query

Kind = Literal["container", "function", "leaf", "wrapper", "lead"]

_GRAMMARS: dict[str, tuple[str, str]] = {
    **dict.fromkeys((".py", ".pyi"), ("python", "language")),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), ("javascript", "language")),
    ".ts": ("typescript", "language_typescript"),
    ".tsx": ("typescript", "language_tsx"),
    ".java": ("java", "language"),
    ".kt": ("kotlin", "language"),
    ".scala": ("scala", "language"),
    **dict.fromkeys((".c", ".h"), ("c", "language")),
    **dict.fromkeys((".cc", ".cpp", ".hpp"), ("cpp", "language")),
    ".cs": ("c_sharp", "language"),
    ".go": ("go", "language"),
    ".rs": ("rust", "language"),
    ".rb": ("ruby", "language"),
    ".php": ("php", "language_php"),
    ".swift": ("swift", "language"),
    ".lua": ("lua", "language"),
    **dict.fromkeys((".sh", ".bash", ".zsh"), ("bash", "language")),
}
"""Suffix -> the wheel `tree_sitter_NAME` and its function that gives the grammar."""

_NODES: dict[Kind, tuple[str, ...]] = {
    "container": (
        *("class_definition", "class_declaration", "abstract_class_declaration", "interface_declaration"),
        *("enum_declaration", "record_declaration", "annotation_type_declaration", "struct_declaration"),
        *("trait_declaration", "protocol_declaration", "object_declaration", "object_definition", "trait_definition"),
        *("enum_definition", "internal_module", "module_declaration", "namespace_definition", "namespace_declaration"),
        *("class_specifier", "struct_specifier", "union_specifier", "impl_item", "trait_item", "mod_item"),
        *("class", "module"),
    ),
    "function": (
        *("function_definition", "function_declaration", "generator_function_declaration", "method_definition"),
        *("method_declaration", "constructor_declaration", "init_declaration", "function_item", "macro_definition"),
        *("method", "singleton_method"),
    ),
    "leaf": ("type_definition", "type_spec", "struct_item", "enum_item", "union_item", "enum_specifier"),
    "wrapper": ("template_declaration", "decorated_definition", "export_statement", "ambient_declaration"),
    "lead": (*("comment", "line_comment", "block_comment", "multiline_comment", "attribute_item", "decorator"),),
}
"""What the nodes of all grammars stand for: one table, for where two grammars share a name they share its meaning."""

_SCRIPT_FUNCTIONS = """
(variable_declarator name: (identifier) @named value: [(arrow_function) (function_expression)]) @function
(assignment_expression left: (member_expression) @named right: [(arrow_function) (function_expression)]) @function
"""
_NEED_BODY = frozenset(
    {"method_declaration", "class_specifier", "struct_specifier", "union_specifier", "enum_specifier"}
)
"""Nodes that also stand where something is only named or promised."""
_NAMELESS = {"init_declaration": "init", "constructor_declaration": "constructor"}
_DECLARATORS = ("declarator", "identifier")
_MAX_CHAIN = 12
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch of the source, in bytes. Only definitions have `names`: the path inside what they stand in."""

    start: int
    end: int
    kind: Kind
    names: tuple[str, ...] = ()


def knows(suffix: str) -> bool:
    """Return whether there is a grammar for files with this suffix, such as `.py`."""
    return suffix in _GRAMMARS


def find(source: bytes, suffix: str) -> list[Found]:
    """Return the definitions, comments and decorators of a source file in UTF-8, in order, outer ones first.

    A file in which the grammar sees nothing but errors gives none.
    """
    from tree_sitter import Parser, QueryCursor

    grammar = _GRAMMARS[suffix]
    root = Parser(_language(*grammar)).parse(source).root_node
    if root.type == "ERROR":
        return []
    captures = QueryCursor(_query(*grammar)).captures(root)
    found = [one for kind in _NODES for node in captures.get(kind, ()) for one in _found(node, kind)]
    return sorted(found, key=lambda one: (one.start, -one.end, one.kind != "wrapper"))


@lru_cache(maxsize=4)
def _language(wheel: str, function: str) -> Language:
    from tree_sitter import Language

    return Language(getattr(import_module(f"tree_sitter_{wheel}"), function)())


@lru_cache(maxsize=4)
def _query(wheel: str, function: str) -> Query:
    from tree_sitter import Query

    language = _language(wheel, function)
    patterns = [
        f"({name}) @{kind}" for kind, names in _NODES.items() for name in names if language.id_for_node_kind(name, True)
    ]
    if wheel in ("javascript", "typescript"):
        patterns.append(_SCRIPT_FUNCTIONS)
    return Query(language, "\n".join(patterns))


def _found(node: Node, kind: Kind) -> Iterator[Found]:
    names: tuple[str, ...] = ()
    if kind in ("container", "function", "leaf"):
        if node.type in _NEED_BODY and node.child_by_field_name("body") is None:
            return
        if node.type in ("variable_declarator", "assignment_expression") and node.start_point[0] == node.end_point[0]:
            return  # a function of one line says too little to stand alone
        names = _names(node)
        if not names:
            return
    yield Found(node.start_byte, node.end_byte, kind, names)


def _names(node: Node) -> tuple[str, ...]:
    """Return the path that a definition opens: its name, before it what it belongs to elsewhere in the file."""
    if node.type == "impl_item":
        parts = [_text(node.child_by_field_name(field)) for field in ("trait", "type")]
        return tuple(filter(None, [" for ".join(filter(None, parts))]))
    if node.type == "type_definition":
        body = node.child_by_field_name("type")
        if body is None or body.child_by_field_name("body") is None:
            return ()
    name = node.child_by_field_name("name") or node.child_by_field_name("left")
    if name is None and node.type in ("function_definition", "type_definition"):
        name = _declared(node)
    text = _text(name) or _NAMELESS.get(node.type, "")
    if node.type == "method_declaration" and (receiver := node.child_by_field_name("receiver")) is not None:
        kind = _text(receiver).strip("()").split("[")[0].split()
        return tuple(filter(None, [kind[-1].lstrip("*") if kind else "", text]))
    if name is not None and name.type == "qualified_identifier" and "<" not in text:
        return tuple(part for step in text.split("::") if (part := step.strip()))
    return (text,) if text else ()


def _declared(node: Node) -> Node | None:
    """Return the name in a declarator of C, which lies inside pointers, parentheses and parameter lists."""
    for _ in range(_MAX_CHAIN):
        inner = node.child_by_field_name("declarator")
        if inner is None and node.type in ("parenthesized_declarator", "reference_declarator"):
            inner = next((one for one in node.named_children[:3] if one.type.endswith(_DECLARATORS)), None)
        if inner is None:
            return node if node.type not in ("function_definition", "type_definition") else None
        node = inner
    return None


def _text(node: Node | None) -> str:
    if node is None:
        return ""
    text = node.text
    return "" if text is None else " ".join(text[: _MAX_NAME * 4].decode("utf-8", "replace").split())[:_MAX_NAME]
