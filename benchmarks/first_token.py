"""How long a cold `ask` takes to its first token, against a bare script on the same file; and what `chat` saves.

The bare script starts Python, loads the file with llama_cpp's own `Llama`, reads a prompt of just as many tokens and
takes one token: no retrieval, no template. `ask` does all that it does for a user: it opens the index, embeds the
question, searches, packs the prompt, checks the model file, and loads the model meanwhile. Measured is from the start
of the process to the first byte on stdout. Both take turns, each in processes of their own, with the file in the page
cache; the median counts. The file is made up: Llama shape, F16, random weights. Then two questions are asked of one
`ragcli chat`, and the prompt tokens that the second one did not read again are counted.

    python benchmarks/first_token.py [--rounds 7] [--layers 14]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, index_of, ragcli, report
from made_up_model import write_model

from ragcli.generation.base import Message
from ragcli.llama.engine import LlamaGenerator
from ragcli.prompting import build_prompt

CONTEXT = 4096
QUESTIONS = ["Which fuse does the VC-8 controller need?", "How long is the warranty of the FP-60 probe?"]
BARE = """
import sys
from llama_cpp import Llama

path, threads, context, tokens = sys.argv[1], *map(int, sys.argv[2:5])
model = Llama(path, n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False)
model.eval([300 + i * 7 % 7000 for i in range(tokens)])
print(model.sample(temp=0.0), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, index_of(ROOT / "sample_docs") as index:
        path = write_model(Path(folder) / "model.gguf", options.layers)
        flags = ["--model", str(path), "--index", str(index), "--max-tokens", "4"]
        whole = json.loads(ragcli("ask", QUESTIONS[0], *flags, "--json"))
        prompt_tokens = whole["usage"]["prompt_tokens"]
        bare_command = [sys.executable, "-c", BARE, str(path), str(options.threads), str(CONTEXT), str(prompt_tokens)]
        ask_command = [sys.executable, "-m", "ragcli", "ask", QUESTIONS[0], *flags]
        ask, bare = [], []
        for number in range(options.rounds + 1):  # the first warms up
            ask.append(until_first_byte(ask_command))
            bare.append(until_first_byte(bare_command))
            print(f"round {number}: ask {ask[-1]:.2f} s, bare {bare[-1]:.2f} s", file=sys.stderr)
        lines = ragcli("chat", *flags, "--json", stdin="\n".join(QUESTIONS)).splitlines()
        second = json.loads(lines[1])["usage"]
        report(
            "first_token",
            file_mb=round(path.stat().st_size / 1e6),
            prompt_tokens=prompt_tokens,
            rounds=options.rounds,
            ask_seconds=round(statistics.median(ask[1:]), 2),
            bare_seconds=round(statistics.median(bare[1:]), 2),
            ratio=round(statistics.median(ask[1:]) / statistics.median(bare[1:]), 3),
            best_ratio=round(min(ask[1:]) / min(bare[1:]), 3),
            retrieve_ms=whole["timings"]["retrieve_ms"],
            load_ms=whole["timings"]["load_ms"],
            system_tokens=system_tokens(path, Path(folder)),
            second_question=second,
        )


def until_first_byte(command: list[str]) -> float:
    """Return the seconds from the start of a process to the first byte of its stdout; then end it."""
    environment = {"GOMP_SPINCOUNT": "1000", **os.environ}
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        if not process.stdout.read(1):
            sys.exit(f"{' '.join(command[:4])} printed nothing")
        seconds = time.perf_counter() - start
        process.kill()
    return seconds


def system_tokens(path: Path, folder: Path) -> int:
    """Return how many tokens the instructions have that all questions share, without what the chat template adds."""
    with LlamaGenerator(path, context_size=CONTEXT, hosts=folder / "hosts.json") as model:
        system, question = build_prompt("?", [], room=CONTEXT, count=model.count_tokens).messages
        letter = Message("system", "x")  # one token
        return model.count_tokens([system, question]) - model.count_tokens([letter, question]) + 1


if __name__ == "__main__":
    main()
