"""Write the tests' tiny models into a folder: every family's shape, in F16, Q8_0 and Q4_K_M.

    python scripts/make_tiny_models.py FOLDER [--family NAME]... [--answer TEXT]

Each file, of 2 to 6 MB, is one that llama.cpp loads, with the vocabulary's kind, the control tokens and the chat
template of its family, and it says the answer to whatever it is asked. tests/tiny_gguf.py tells how they are made. It
takes the development packages.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import tiny_gguf  # noqa: E402

QUANTIZED: tuple[Literal["Q8_0", "Q4_K_M"] | None, ...] = (None, "Q8_0", "Q4_K_M")


def main() -> None:
    """Write the files, and their names to stdout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; made if it is not there")
    parser.add_argument("--family", action="append", choices=tiny_gguf.FAMILIES, help="only this one; may be repeated")
    parser.add_argument("--answer", default=tiny_gguf.ANSWER, help="what they say (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for family in arguments.family or tiny_gguf.FAMILIES:
        for quantize in QUANTIZED:
            path = arguments.folder / f"{family}-{quantize or 'F16'}.gguf"
            tiny_gguf.build(path, arguments.answer, quantize, family=family)
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
