"""Four small documents, ingested once, for the tests of every command."""

from __future__ import annotations

import pytest
from corpora import HOSTILE, Corpus
from fpdf import FPDF

from ragcli.models.store import ModelStore


def two_pages() -> bytes:
    """Return a PDF of two pages."""
    made = FPDF()
    made.set_font("helvetica", size=11)
    for text in ("The first page.", "The fuse is on page two."):
        made.add_page()
        made.multi_cell(0, text=text)
    return bytes(made.output())


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Corpus:
    """Documents whose every hit can be written down."""
    corpus = Corpus(tmp_path_factory.mktemp("small"), model_store)
    corpus.add(
        {
            "pump.md": "# Pump\n\n## Fuse\n\nThe pump has a T2 fuse.\n",
            "sub/阀门.md": "# 阀门\n\n阀门的保修期为18个月。\n",
            "price.csv": "part,price\nfuse,4.20\n",
            "sheet.pdf": two_pages(),
        }
    )
    return corpus


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore) -> Corpus:
    """Documents that would take over a terminal."""
    corpus = Corpus(tmp_path_factory.mktemp("hostile"), model_store)
    corpus.add(
        {"e\x1b[35mvil.md": f"# He\x1b[31mad\x9b\n\n{HOSTILE}\n", "\u202etxt.md": f"\x1b]0;t\x07 {HOSTILE} again"}
    )
    return corpus
