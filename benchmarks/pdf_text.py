"""How much of financebench's evidence each PDF reader gives, and how fast. Prints one JSON line.

    python benchmarks/pdf_text.py [FOLDER]

FOLDER holds `questions.jsonl` and `pdfs/`; default: `data/financebench` in `$RAGCLI_SHARED`, else in `../shared` beside
the repository. `evidence` is the share of the evidence texts' runs of eight words that stand on the page that the
question names (punctuation and white space aside), `words` the share of single words, `pages_per_s` the speed of
extraction on one core, `files` how many gave any text. `document` is what is indexed: pdfium's lines cut into blocks,
without what runs through the pages. Some evidence texts hold such lines ("Table of Contents", "38"), so that its share
is lower than pdfium's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ragcli.errors import ParseFailed
from ragcli.parsing.limits import Limits
from ragcli.parsing.pdf.document import PAGE_BREAK, parse_pdf
from ragcli.parsing.pdf.reading import read_with_pdfium, read_with_pypdf

RUN = 8
MAX_PAGES = 5000
_WORD = re.compile(r"\w+(?:[.,]\w+)*")


def words(text: str) -> list[str]:
    """Return the words and numbers of a text."""
    return _WORD.findall(text.replace("\ufffe", "-"))


def runs(found: list[str]) -> list[tuple[str, ...]]:
    """Return every run of `RUN` words; a shorter text is one run."""
    return [tuple(found[at : at + RUN]) for at in range(max(1, len(found) - RUN + 1))]


def measure(
    read: Callable[[bytes, int], Sequence[str]], folder: Path, evidence: dict[str, list[tuple[int, str]]]
) -> Any:
    """Read every PDF with one reader and return its row."""
    seconds = 0.0
    files = pages = runs_found = runs_all = words_found = words_all = 0
    for path in sorted((folder / "pdfs").glob("*.pdf")):
        data = path.read_bytes()
        start = time.perf_counter()
        try:
            text = read(data, MAX_PAGES)
        except ParseFailed:
            text = ()
        seconds += time.perf_counter() - start
        files += any(map(str.strip, text))
        pages += len(text)
        for page, quote in evidence.get(path.stem, []):
            wanted = words(quote)
            given = words(text[page]) if page < len(text) else []
            on_page = set(runs(given))
            runs_found += sum(run in on_page for run in runs(wanted))
            runs_all += len(runs(wanted))
            words_found += (Counter(wanted) & Counter(given)).total()
            words_all += len(wanted)
    return {
        "evidence": round(runs_found / runs_all, 4),
        "words": round(words_found / words_all, 4),
        "pages_per_s": round(pages / seconds, 1),
        "pages": pages,
        "files": files,
    }


def main() -> None:
    """Measure both readers, and the whole way to a document."""
    shared = Path(os.environ.get("RAGCLI_SHARED") or Path(__file__).parents[1].parent / "shared")
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("folder", type=Path, nargs="?", default=shared / "data" / "financebench")
    folder: Path = arguments.parse_args().folder
    evidence: dict[str, list[tuple[int, str]]] = {}
    for line in (folder / "questions.jsonl").read_text("utf-8").splitlines():
        for item in json.loads(line)["evidence"]:
            evidence.setdefault(item["doc_name"], []).append((item["evidence_page_num"], item["evidence_text"]))
    result = {
        "benchmark": "pdf_text",
        "evidence_texts": sum(map(len, evidence.values())),
        "pdfium": measure(lambda data, pages: read_with_pdfium(data, pages).pages, folder, evidence),
        "pypdf": measure(lambda data, pages: read_with_pypdf(data, pages).pages, folder, evidence),
        "document": measure(
            lambda data, pages: parse_pdf(data, Limits(pages)).text.split(PAGE_BREAK), folder, evidence
        ),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
