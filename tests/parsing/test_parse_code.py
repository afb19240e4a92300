"""Source code by its structure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing.parsing_helpers import block_of, check_blocks, texts
from shared import ROOT

from ragcli.parsing.code import parse_code
from ragcli.parsing.limits import Limits
from ragcli.parsing.reading import read
from ragcli.records import Document

SOURCES: dict[str, tuple[str, list[str]]] = {
    "a.py": (
        """
        import os

        @cache
        async def load(path):
            return path

        class Tank(Base):
            '''Holds water.'''

            @property
            def level(self):
                def inner():
                    pass
                return inner
        """,
        ["load", "Tank", "Tank.level"],
    ),
    "a.js": (
        """
        export class Tank extends Base {
          level(a) {
            return 1;
          }
        }
        export const fill = async (x) => {
          return x;
        };
        const short = (x) => x;
        module.exports.drain = function () {
          return 0;
        };
        function* drops() {}
        """,
        ["Tank", "Tank.level", "fill", "module.exports.drain", "drops"],
    ),
    "a.ts": (
        """
        @Injectable()
        export class Tank {
          level(a: string): void {}
        }
        interface Valve { open(): void }
        namespace Plant.North {
          function start() {}
        }
        enum Mode { A }
        abstract class Pump { abstract run(): void; }
        """,
        ["Tank", "Tank.level", "Valve", "Plant.North", "Plant.North.start", "Mode", "Pump"],
    ),
    "a.tsx": ("function View() {\n  return <b>x</b>;\n}\n", ["View"]),
    "A.java": (
        """
        package plant;
        /** A tank. */
        @Entity
        public class Tank<T> {
            /** How full. */
            @Override
            public int level() { return 1; }
            Tank() {}
            interface Valve { void open(); }
        }
        record Point(int x) {}
        """,
        ["Tank", "Tank.level", "Tank.Tank", "Tank.Valve", "Point"],
    ),
    "a.go": (
        """
        package plant

        // Tank holds water.
        type Tank struct {
        \tA int
        }

        func (t *Tank[K]) Level() int { return 1 }

        func Start() {}
        """,
        ["Tank", "Tank.Level", "Start"],
    ),
    "a.rs": (
        """
        /// Holds water.
        #[derive(Debug)]
        pub struct Tank { a: i32 }
        impl<T> Fill for Tank<T> {
            fn level(&self) -> i32 { 1 }
        }
        mod plant { fn start() {} }
        macro_rules! drain { () => {} }
        trait Valve { fn open(); }
        """,
        ["Tank", "Fill for Tank<T>", "Fill for Tank<T>.level", "plant.start", "drain", "Valve"],
    ),
    "a.c": (
        """
        #ifndef A
        struct tank { int a; };
        typedef struct { int b; } valve;
        static struct tank *fill(int a) { return 0; }
        int (*choose(void))(int) { }
        int promised(int);
        #endif
        """,
        ["tank", "valve", "fill", "choose"],
    ),
    "a.cpp": (
        """
        namespace plant {
        template <class T>
        class Tank : Base {
         public:
          ~Tank() {}
          int level() const { return 1; }
        };
        }
        void plant::Tank::drain() {}
        std::string& name() {}
        """,
        ["plant", "plant.Tank", "plant.Tank.~Tank", "plant.Tank.level", "plant.Tank.drain", "name"],
    ),
    "cpp_in.h": ("namespace plant {\nclass Tank {\n  int level() { return 1; }\n};\n}\n", ["plant.Tank.level"]),
    "A.cs": (
        """
        namespace Plant
        {
            /// <summary>A tank.</summary>
            [Serializable]
            public class Tank
            {
                public int P { get; set; }
                public int Level() { return 1; }
                int Twice() => 2;
            }
            interface IValve {}
        }
        """,
        ["Plant", "Plant.Tank", "Plant.Tank.Level", "Plant.Tank.Twice", "Plant.IValve"],
    ),
    "a.rb": (
        """
        # A plant.
        module Plant
          class Tank < Base
            def level
              1
            end
            def self.start(x)
            end
          end
        end
        """,
        ["Plant", "Plant.Tank", "Plant.Tank.level", "Plant.Tank.start"],
    ),
    "a.php": (
        """
        <?php
        /** A tank. */
        class Tank {
            public function level() { return 1; }
        }
        function start() {}
        """,
        ["Tank", "Tank.level", "start"],
    ),
    "a.sh": ("# Starts.\nstart() {\n  echo 1\n}\nfunction stop {\n  echo 2\n}\nstart\n", ["start", "stop"]),
    "a.kt": (
        """
        class Tank(val x: Int) {
            fun level(): Int {
                return 1
            }
        }
        object Plant {
            fun start() {}
        }
        """,
        ["Tank", "Tank.level", "Plant", "Plant.start"],
    ),
    "a.scala": (
        "class Tank(x: Int) {\n  def level = 1\n}\nobject Plant {\n  def start(): Int = { 1 }\n}\ntrait Valve\n",
        ["Tank", "Tank.level", "Plant", "Plant.start", "Valve"],
    ),
    "a.swift": (
        "class Tank {\n  func level() {}\n\n  init() {}\n}\n"
        "extension Tank {\n  func drain() {}\n}\nprotocol Valve {\n}\n",
        ["Tank", "Tank.level", "Tank.init", "Tank.drain", "Valve"],
    ),
    "a.lua": ("local function fill()\n  x()\nend\nfunction Plant:start()\n  y()\nend\n", ["fill", "Plant:start"]),
    "a.ini": ("; all\n[radio]\nband = 868\n\n; cells\n[battery]\nwarn = 4\n", ["radio", "battery"]),
    "a.toml": ("a = 1\n[tool.ruff]\nline = [\n[1, 2]\n]\n[[bin]]\nx = 1\n", ["tool.ruff", "bin"]),
}


def headings(document: Document) -> list[str]:
    return list(dict.fromkeys(".".join(block.heading) for block in document.blocks if block.heading))


@pytest.mark.parametrize("name", SOURCES)
def test_definitions_are_headings(name: str) -> None:
    source, expected = SOURCES[name]
    text = dedent(source).lstrip()
    document = parse_code(text, name)
    check_blocks(document)
    found = headings(document)
    if name == "cpp_in.h":
        found = found[-1:]
    assert [one for one in found if one in expected] == [one for one in expected if one in found] == expected
    assert set(found) <= set(expected)


PYTHON = '''"""Doc."""

LIMIT = 1


# Above.

# Opens the valve: it
# takes a second.
@retry(3)
@log
def open_valve():  # now
    a = 1

    return a


class Pump:
    """Pumps."""

    speed = 2

    def run(self):
        return 1

    stop = 3


run()
'''


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_belongs_to_a_definition(end: str) -> None:
    document = parse_code(PYTHON.replace("\n", end), "pump.py")
    check_blocks(document)
    assert [
        (".".join(b.heading), t.replace("\r", "")) for b, t in zip(document.blocks, texts(document), strict=True)
    ] == [
        ("", '"""Doc."""'),
        ("", "LIMIT = 1"),
        ("", "# Above."),
        (
            "open_valve",
            "# Opens the valve: it\n# takes a second.\n@retry(3)\n@log\ndef open_valve():  # now\n    a = 1",
        ),
        ("open_valve", "return a"),
        ("Pump", 'class Pump:\n    """Pumps."""'),
        ("Pump", "speed = 2"),
        ("Pump.run", "def run(self):\n        return 1"),
        ("Pump", "stop = 3"),
        ("", "run()"),
    ]


def test_closing_brackets_go_with_what_they_close() -> None:
    document = parse_code("namespace a {\nclass B {\n  int c() { return 1; }\n};\n\n}  // a\nint d;\n", "a.cpp")
    assert texts(document)[0] == "namespace a {"
    assert block_of(document, "class B {").kind == "heading"
    assert block_of(document, "};").heading == ("a", "B", "c")


def test_small_functions_are_whole_and_large_ones_show_what_they_define() -> None:
    source = "def outer():\n    def inner():\n        pass\n%s    return inner\n"
    assert headings(parse_code(source % "", "a.py")) == ["outer"]
    assert headings(parse_code(source % ("    x = 1\n" * 300), "a.py")) == ["outer", "outer.inner"]


def test_offsets_hold_behind_wide_and_lone_characters() -> None:
    text = "# 注释 \U0001f600\x01\ndef 打开():\n    return '阀门'\n\ndef b():\n    pass\n"
    document = parse_code(text, "a.py")
    assert [text[b.start : b.end].strip() for b in document.blocks if b.heading == ("打开",)] == [
        text[: text.index("\n\ndef b")].strip()
    ]
    assert texts(document)[-1] == "def b():\n    pass"


def test_minified_code_is_cut_between_its_functions() -> None:
    document = parse_code("var x=1;function a(){return 1}class B{c(){return 2}d(){return 3}}function e(){}", "a.min.js")
    check_blocks(document)
    assert headings(document) == ["a", "B.c", "B.d", "e"]


@pytest.mark.parametrize("name", ["", "a.xyz", "Makefile", "a.sql", "a.css"])
def test_unknown_languages_are_cut_at_empty_lines(name: str) -> None:
    document = parse_code("def a():\n    pass\n\ndef b():\n    pass\n", name)
    assert texts(document) == ["def a():\n    pass", "def b():\n    pass"]
    assert headings(document) == []


def test_a_file_that_is_no_code_at_all_keeps_its_paragraphs() -> None:
    text = "It is (not code] at all {{{\n\n)) %% @@ Nothing here; ends.\n"
    assert texts(parse_code(text, "a.go")) == ["It is (not code] at all {{{", ")) %% @@ Nothing here; ends."]


def test_large_files_are_not_parsed() -> None:
    document = parse_code("def a():\n    pass\n\n" * 60_000, "a.py")
    assert headings(document) == []
    assert len(document.blocks) == 60_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "(" * 100_000),
        ("a.py", "[" * 50_000 + "]" * 50_000),
        ("a.js", "function a(){" * 30_000),
        ("a.cpp", "namespace a { " * 30_000),
        ("a.cpp", "template<class T> " * 30_000),
        ("a.c", "int " + "(" * 50_000 + "a" + ")" * 50_000 + "(void) {}"),
        ("a.py", "@a\n" * 100_000 + "def b(): pass\n"),
        ("a.py", "# a\n" * 100_000 + "def b(): pass\n"),
        ("a.py", "def b(): pass\n" * 50_000),
        ("a.cs", "a<(b," * 100_000),
        ("a.ts", "(a," * 100_000),
        ("a.ini", "#\n" * 200_000 + "[a]\n"),
        ("a.py", "".join(" " * depth + "class A:\n" for depth in range(1000))),
    ],
    ids=[
        *("open", "nested", "functions", "namespaces", "templates", "declarator", "decorators", "comments", "many"),
        *("cs", "ts", "ini", "deep"),
    ],
)
def test_hostile_code_is_read(name: str, text: str) -> None:
    document = parse_code(text, name)
    check_blocks(document)
    assert max(len(block.heading) for block in document.blocks) <= 8


def defined(node: ast.AST, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the path and first line of each function and class that stands in no function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield (*path, child.name), min([child.lineno, *(one.lineno for one in child.decorator_list)])
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from defined(child, (*path, child.name) if isinstance(child, ast.ClassDef) else path)


@pytest.mark.parametrize("package", ["cli", "evaluation", "parsing", "storage"])
def test_our_own_files_are_cut_as_python_itself_reads_them(package: str) -> None:
    for path in sorted((ROOT / "ragcli" / package).glob("*.py")):
        document = read(path.read_bytes(), "code", Limits(1), path.name)
        check_blocks(document)
        first = {block.heading: block.start for block in reversed(document.blocks)}
        for names, line in defined(ast.parse(document.text)):
            lines = document.text[: first[names]].count("\n") + 1
            above = document.text.splitlines()[lines - 1 : line - 1]
            assert lines <= line and all(one.lstrip().startswith("#") for one in above), (path, names)


LINES = [
    "def a():",
    "class B {",
    "}",
    "  x = 1",
    "",
    "# c",
    "@d",
    "end",
    "function f() {",
    '"',
    "'''",
    "/*",
    "*/",
    "\r",
    "é",
]


@given(
    name=st.sampled_from([*SOURCES, "a.txt"]),
    text=st.one_of(st.lists(st.sampled_from(LINES)).map("\n".join), st.text()),
)
def test_blocks_hold_every_character_of_any_code(name: str, text: str) -> None:
    document = parse_code(text, name)
    assert document.text == text
    check_blocks(document)
