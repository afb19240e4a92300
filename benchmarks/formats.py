"""Search over a folder of files in every format: are sentences found that were planted in all the places a format has?

Makes `--files` files (300) of all formats in turn, in English and Chinese and in several encodings, with three known
sentences in each: in paragraphs, tables, lists, notes, comments, attachments, cells. Ingests them by the whole command,
and searches for each sentence, and for what is left of it when every third word is taken out (`partial`). A sentence is
found where one of the first three hits comes from its file and holds all of it.

Prints one JSON line: the shares found, by format and language, and what could not be read.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from common import batch_search, index_of, report, squeeze
from made_up_files import PLANTED, WRITERS, sentence, write

FIRST = 3


class Planted(NamedTuple):
    """A sentence, and the file that it stands in."""

    sentence: str
    source: str
    chinese: bool


def make(folder: Path, files: int, seed: int) -> list[Planted]:
    """Write the files and return what was planted in them."""
    planted = []
    for number in range(files):
        suffix = list(WRITERS)[number % len(WRITERS)]
        chinese = number // len(WRITERS) % 2 == 1 and suffix != ".pdf"  # a PDF would need a Chinese font
        rng = random.Random(f"{seed} {number}")
        name = f"{'文件' if chinese else 'file'}-{number:03}{suffix}"
        source = f"part-{number % 7}/{name}"
        known = [sentence(rng, chinese) for _ in range(PLANTED)]
        write(folder / source, known, rng, chinese)
        planted += [Planted(one, source, chinese) for one in known]
    return planted


def partial(one: Planted) -> str:
    """Return a sentence without every third of its words; Chinese is cut into pieces of two characters."""
    words = [one.sentence[i : i + 2] for i in range(0, len(one.sentence), 2)] if one.chinese else one.sentence.split()
    return ("" if one.chinese else " ").join(word for i, word in enumerate(words) if i % 3 != 2)


def found(index: Path, planted: list[Planted], queries: list[str]) -> list[bool]:
    """Return for each query whether its sentence is among the first hits, whole and in its file."""
    return [
        any(hit["source"] == one.source and squeeze(one.sentence) in squeeze(hit["text"]) for hit in hits)
        for one, hits in zip(planted, batch_search(index, queries, FIRST), strict=True)
    ]


def shares(planted: list[Planted], results: list[bool], key: str) -> dict[str, float]:
    """Return the share of sentences found, by format (`suffix`) or `language`."""
    groups = defaultdict(list)
    for one, result in zip(planted, results, strict=True):
        groups[Path(one.source).suffix if key == "suffix" else "zh" if one.chinese else "en"].append(result)
    return {name: round(sum(group) / len(group), 4) for name, group in sorted(groups.items())}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        planted = make(folder, arguments.files, arguments.seed)
        with index_of(folder) as index:
            whole = found(index, planted, [one.sentence for one in planted])
            part = found(index, planted, [partial(one) for one in planted])
    for one, result in zip(planted, whole, strict=True):
        if not result:
            print(f"not found: {one.source}: {one.sentence}", file=sys.stderr)
    by_format = shares(planted, whole, "suffix")
    report(
        "formats",
        files=arguments.files,
        sentences=len(planted),
        found=round(sum(whole) / len(whole), 4),
        worst_format=min(by_format.values()),
        by_format=by_format,
        by_language=shares(planted, whole, "language"),
        partial=round(sum(part) / len(part), 4),
        partial_by_format=shares(planted, part, "suffix"),
    )


if __name__ == "__main__":
    main()
