"""The border to the terminal."""

from __future__ import annotations

import re
import sys

import pytest
from corpora import HOSTILE, Corpus
from hypothesis import given
from hypothesis import strategies as st

from ragcli.cli.console import safe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")

STYLE = re.compile(r"\x1b\[[\d;]*m")
LINK = re.compile(r"\x1b\]8;(?:id=\d+)?;(?P<target>[^\x1b]*)\x1b\\")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@given(text=st.text())
def test_safe_leaves_nothing_that_a_terminal_obeys(text: str) -> None:
    assert not CONTROL.search(safe(text)) and "\r" not in safe(text)
    safe(text).encode("utf-8")
    assert safe(safe(text)) == safe(text)


@given(text=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], include_characters="\n\t")))
def test_safe_leaves_text_alone(text: str) -> None:
    assert safe(text) == text


def test_safe_shows_what_it_took() -> None:
    assert safe("a\x1b[31mb\x00\x9b\u202ec\ud800") == "a\\x1b[31mb\\x00\\x9b\\u202ec\\ud800"
    assert safe("a\r\nb\rc\td") == "a\nb\\x0dc\td"


def bare(shown: str) -> str:
    """Return what a terminal shows, without our own styles and links."""
    return LINK.sub("", STYLE.sub("", shown)).replace("\r\n", "\n")


def test_citations_are_links_on_a_terminal(small: Corpus) -> None:
    code, shown = small.show("search", "fuse", "--mode", "lexical")
    assert code == 0
    targets = [match["target"] for match in LINK.finditer(shown) if match["target"]]
    assert targets == [
        (small.documents / "pump.md").as_uri(),
        (small.documents / "price.csv").as_uri(),
        (small.documents / "sheet.pdf").as_uri() + "#page=2",
    ]
    assert "[3] sheet.pdf p. 2  0.668\n" in bare(shown)


def test_answers_are_links_too(small: Corpus) -> None:
    code, shown = small.show("ask", "What fuse has the pump?")
    assert code == 0
    assert (small.documents / "pump.md").as_uri() in {match["target"] for match in LINK.finditer(shown)}
    assert "T2 fuse" in bare(shown)


@pytest.mark.parametrize("arguments", [["ask", "What fuse has the pump?", "--show-context"]])
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_escape_codes_where_they_are_not_wanted(
    small: Corpus, arguments: list[str], environment: dict[str, str]
) -> None:
    code, shown = small.show(*arguments, **environment)
    assert code == 0
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        *(["search", "a\x1b[31mb hostileword", "--explain"], ["ask", "What is the hostileword end?", "--show-context"]),
        *(["sources"], ["show", "\u202etxt.md"], ["show", "no\x1b[31m"]),
    ],
    ids=repr,
)
def test_documents_and_names_cannot_command_a_terminal(hostile: Corpus, arguments: list[str]) -> None:
    _, shown = hostile.show(*arguments)
    assert not CONTROL.search(bare(shown)), bare(shown)
    for match in LINK.finditer(shown):
        assert match["target"] == "" or match["target"].startswith(hostile.documents.as_uri())


@pytest.mark.parametrize("command", [["search", "hostileword"], ["ask", "What is the hostileword end?"]])
def test_nor_through_a_pipe(hostile: Corpus, command: list[str]) -> None:
    done = hostile.run(command)
    assert not CONTROL.search(done.stdout.decode() + done.stderr.decode())


def test_a_document_goes_into_a_pipe_as_it_is(hostile: Corpus) -> None:
    done = hostile.run(["show", "\u202etxt.md"])
    assert done.stdout.decode() == f"\x1b]0;t\x07 {HOSTILE} again\n"


def test_an_error_is_safe(small: Corpus) -> None:
    code, shown = small.show("models", "show", "a\x1b[31mb\nc")
    assert code == 5
    assert bare(shown).startswith("error: no model called a\\x1b[31mb c in the model store\nhint: ")
