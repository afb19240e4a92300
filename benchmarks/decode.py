"""How fast the engine writes, against a bare loop over llama_cpp's own `Llama` on the same file, in tokens a second.

The file is made up: Llama shape, F16, random weights. F16, because quantized models end the bare loop's process on
machines whose AMX faults, and `Llama` has no switch for it. Both sides hold the model in a process of its own, with the
same number of threads and the same prompt, and take turns; the fastest turn of each counts. Measured is what whoever
asks sees: from the first token that arrives to the last. The bare loop's threads wait for each other as the engine's
do (GOMP_SPINCOUNT); left to itself, it is two to three times slower on a machine that does other work too.

    python benchmarks/decode.py [--rounds 6] [--tokens 64] [--layers 14]
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

from common import report
from made_up_model import write_model

from ragcli.generation.base import Message
from ragcli.llama.engine import LlamaGenerator

CONTEXT = 2048
PROMPT = "Answer from the passages. " * 20
BARE = """
import json, sys, time
from llama_cpp import Llama

path, threads, context, tokens, prompt = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
model = Llama(path, n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False)
ids = model.tokenize(prompt.encode(), add_bos=False, special=True)
print(json.dumps(len(ids)), flush=True)
for _ in sys.stdin:
    model.reset()
    times, text = [], b""
    for token in model.generate(ids, temp=0.0):
        text += model.detokenize([token])
        times.append(time.perf_counter())
        if len(times) == tokens:
            break
    print(json.dumps((tokens - 1) / (times[-1] - times[0])), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(Path(folder) / "model.gguf", options.layers)
        engine, bare = measure(path, Path(folder), options.rounds, options.tokens, options.threads)
        size = path.stat().st_size
    report(
        "decode",
        file_mb=round(size / 1e6),
        threads=options.threads,
        tokens=options.tokens,
        rounds=options.rounds,
        engine_tokens_per_s=round(max(engine), 2),
        bare_tokens_per_s=round(max(bare), 2),
        ratio=round(max(engine) / max(bare), 3),
        median_ratio=round(statistics.median(e / b for e, b in zip(engine, bare, strict=True)), 3),
    )


def measure(path: Path, folder: Path, rounds: int, tokens: int, threads: int) -> tuple[list[float], list[float]]:
    """Return each round's tokens a second, of the engine and of the bare loop."""
    prompt = f"<|im_start|>user\n{PROMPT.strip()}<|im_end|>\n<|im_start|>assistant\n"
    arguments = [sys.executable, "-c", BARE, str(path), *map(str, (threads, CONTEXT, tokens)), prompt]
    engine, bare = [], []
    environment = {"GOMP_SPINCOUNT": "1000", **os.environ}
    model = LlamaGenerator(path, context_size=CONTEXT, threads=threads, hosts=folder / "hosts.json")
    pipe = subprocess.PIPE
    with model, subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        assert process.stdin is not None and process.stdout is not None
        size = json.loads(process.stdout.readline())
        if size != model.count_tokens([Message("user", PROMPT)]):
            sys.exit("the two sides would read different prompts")
        for number in range(rounds + 1):
            engine.append(engine_speed(model, tokens))
            process.stdin.write("go\n")
            process.stdin.flush()
            bare.append(json.loads(process.stdout.readline()))
            print(f"round {number}: engine {engine[-1]:.2f}, bare {bare[-1]:.2f}", file=sys.stderr)
        process.stdin.close()
    return engine[1:], bare[1:]  # the first warms up


def engine_speed(model: LlamaGenerator, tokens: int) -> float:
    """Return the tokens a second of one answer."""
    times: list[float] = []
    made = model.generate(
        [Message("user", PROMPT)], max_tokens=tokens, on_text=lambda _: times.append(time.perf_counter())
    )
    if made.completion_tokens != tokens or len(times) < tokens * 0.8:
        sys.exit(f"the engine gave {made.completion_tokens} tokens in {len(times)} pieces")
    return (len(times) - 1) / (times[-1] - times[0])


if __name__ == "__main__":
    main()
