"""What `ragcli ask --model FILE` makes of damaged GGUF files, and `--adapter FILE` of damaged adapters.

Sound tiny models of several families and quantizations are cut at random places, given a bad header, or changed
inside: in the numbers that describe the model, in the vocabulary, in the weights. Each is asked a question by the whole
command, in a process of its own, on an index of a small folder. A cut file, or one with a bad header, must be refused:
exit 5 within 10 seconds. One that was changed inside may be refused or answer, but neither crash the command nor hang
it.

Prints one JSON line: how often each exit code came, the slowest in seconds, crashes and hangs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import ENCODER, ROOT, ragcli, report

sys.path.insert(0, str(ROOT / "tests"))

import gguf  # noqa: E402
import numpy as np  # noqa: E402
import tiny_gguf  # noqa: E402

from ragcli.llama import header  # noqa: E402

QUESTION = "How long does the warranty last?"
DOCUMENTS = {
    "warranty.md": "# Warranty\n\nThe warranty lasts 24 months from the day of delivery.\n",
    "care.md": "# Care\n\nKeep the controller dry. Wipe it with a soft cloth.\n",
    "returns.md": "# Returns\n\nSend a faulty unit back with its invoice.\n",
}
SECONDS, HANG = 10.0, 60.0
MODELS = (
    {"quantize": "Q8_0"},
    {"vocabulary": "spm"},
    {"family": "llama3", "quantize": "Q4_K_M"},
    {"family": "gemma2"},
    {"family": "qwen2"},
    {"family": "mistral", "quantize": "Q8_0"},
)
NUMBERS = (0, 1, 2, 3, 7, 255, 256, 1000, 4096, 65_535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


class Damaged(NamedTuple):
    """A damaged file. One that is `broken` must be refused; any other may also work."""

    kind: str
    data: bytes
    broken: bool


def sound_adapter(path: Path, seed: int = 0, architecture: str = "llama") -> Path:
    """Write a LoRA adapter for the tiny Llamas to `path` and return it."""
    chance = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    width = tiny_gguf.EMBEDDING
    for name in ("blk.0.attn_q", "blk.0.attn_output"):
        for part, shape in (("a", (8, width)), ("b", (width, 8))):
            writer.add_tensor(f"{name}.weight.lora_{part}", chance.normal(0, 0.02, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def damage(path: Path, seed: int) -> Damaged:
    """Return the file's bytes with the damage that belongs to `seed`: kinds take turns."""
    chance = random.Random(seed)
    whole = path.read_bytes()
    contents = header.read(path)
    kind = ("cut", "header", "number", "cut", "table", "vocabulary", "weights", "bits")[seed % 8]
    match kind:
        case "cut":
            return Damaged(kind, whole[: _place_of_cut(whole, contents, chance)], True)
        case "header":
            return Damaged(kind, _bad_beginning(whole, chance), True)
        case "table":
            return Damaged(kind, _bad_table(whole, contents, chance), True)
        case "number":
            return Damaged(kind, _change_number(whole, contents, chance), False)
        case "vocabulary":
            arrays = [a for name, a in contents.arrays.items() if name.startswith("tokenizer.")]
            places = [(a.start, a.end) for a in arrays] or [(24, len(whole))]
            return Damaged(kind, _noise(whole, *chance.choice(places), chance), False)
        case "weights":
            return Damaged(kind, _noise(whole, _data_start(whole, contents), len(whole), chance), False)
    end = _data_start(whole, contents)
    data = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return Damaged(kind, bytes(data), False)


def _data_start(whole: bytes, contents: header.Contents) -> int:
    """Return about where the tensors' data begin: after the table's last name."""
    name = contents.tensors[-1].name.encode()
    return whole.index(struct.pack("<Q", len(name)) + name) + 8 + len(name) + 32


def _place_of_cut(whole: bytes, contents: header.Contents, chance: random.Random) -> int:
    return chance.randrange(chance.choice((64, _data_start(whole, contents), len(whole) - 31)))


def _bad_beginning(whole: bytes, chance: random.Random) -> bytes:
    """Return the file with another magic, version or count."""
    start, end = chance.choice(((0, 4), (4, 8), (8, 16), (16, 24), (0, 24)))
    new = bytes(chance.randrange(256) for _ in range(end - start))
    return whole[:start] + (new if new != whole[start:end] else bytes(end - start)) + whole[end:]


def _bad_table(whole: bytes, contents: header.Contents, chance: random.Random) -> bytes:
    """Return the file with a tensor's dimension, type or place changed."""
    tensor = chance.choice(contents.tensors)
    name = tensor.name.encode()
    at = whole.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)
    rank = len(tensor.dimensions)
    place, form, old = chance.choice(
        (
            (at, "I", rank),
            (at + 4, "Q", tensor.dimensions[0]),
            (at + 4 + 8 * (rank - 1), "Q", tensor.dimensions[-1]),
            (at + 4 + 8 * rank, "I", tensor.type),
            (at + 8 + 8 * rank, "Q", tensor.offset),
        )
    )
    new = chance.choice([n for n in NUMBERS if n != old])
    return whole[:place] + struct.pack("<" + form, new) + whole[place + struct.calcsize(form) :]


def _change_number(whole: bytes, contents: header.Contents, chance: random.Random) -> bytes:
    """Return the file with one of the numbers that describe the model changed."""
    keys = [key for key, kind in contents.types.items() if kind in header.SCALARS]
    key = chance.choice(keys)
    form = header.SCALARS[contents.types[key]]
    at = whole.index(key.encode()) + len(key) + 4
    size = struct.calcsize(form)
    new = chance.choice((*NUMBERS, chance.getrandbits(32))).to_bytes(8, "little")[:size]
    if form == "f":
        new = struct.pack("<f", chance.choice((0.0, -1.0, 1e30, float("nan"), float("inf"))))
    return whole[:at] + new + whole[at + size :]


def _noise(whole: bytes, start: int, end: int, chance: random.Random) -> bytes:
    """Return the file with some bytes between two places replaced by any others."""
    data = bytearray(whole)
    for _ in range(chance.choice((1, 4, 64))):
        data[chance.randrange(start, end)] = chance.randrange(256)
    return bytes(data)


class Outcome(NamedTuple):
    """What a damaged file came to."""

    name: str
    kind: str
    broken: bool
    code: int
    seconds: float
    error: str

    @property
    def problem(self) -> str:
        """What is wrong with it, or ""."""
        if self.code < 0:
            return "hang" if self.code == -1000 else "crash"
        if "Traceback" in self.error:
            return "traceback"
        if self.code not in ((5,) if self.broken else (0, 3, 5)):
            return f"exit {self.code}"
        if self.code == 5 and (self.error.count("error:") != 1 or "hint:" not in self.error):
            return "no message"
        return "slow" if self.seconds > SECONDS else ""


def ask(index: Path, home: Path, name: str, damaged: Damaged, *flags: str | Path) -> Outcome:
    """Run the whole command once."""
    command = [sys.executable, "-m", "ragcli", "ask", QUESTION, "--index", str(index), *map(str, flags)]
    environment = {**os.environ, "RAGCLI_HOME": str(home), "PYTHONPATH": str(ROOT), "RAGCLI_CONTEXT_SIZE": "2048"}
    start = time.monotonic()
    try:
        done = subprocess.run(
            [*command, "--max-tokens", "32", "--json"],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=HANG,
        )
        code, error = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        code, error = -1000, ""
    return Outcome(name, damaged.kind, damaged.broken, code, time.monotonic() - start, error)


def campaign(
    folder: Path, index: Path, home: Path, models: range, adapters: range, jobs: int
) -> Iterator[tuple[str, Outcome]]:
    """Give the outcome of each damaged model, and then of each damaged adapter."""
    made = [tiny_gguf.build(folder / f"model{i}.gguf", **how) for i, how in enumerate(MODELS)]  # type: ignore[arg-type]
    base = tiny_gguf.build(folder / "base.gguf", answer=None)
    sound = sound_adapter(folder / "adapter.gguf")

    def model(seed: int) -> tuple[str, Outcome]:
        damaged = damage(made[seed // 8 % len(made)], seed)
        path = folder / f"damaged{seed}.gguf"
        path.write_bytes(damaged.data)
        try:
            return "models", ask(index, home, f"model {seed}", damaged, "--model", path)
        finally:
            path.unlink()

    def adapter(seed: int) -> tuple[str, Outcome]:
        damaged = damage(sound, seed)
        path = folder / f"damaged-adapter{seed}.gguf"
        path.write_bytes(damaged.data)
        return "adapters", ask(index, home, f"adapter {seed}", damaged, "--model", base, "--adapter", path)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(model, models)
        yield from pool.map(adapter, adapters)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of some outcomes."""
    problems = Counter(outcome.problem for outcome in outcomes if outcome.problem)
    return {
        "files": len(outcomes),
        "exit_codes": dict(sorted(Counter(str(o.code) for o in outcomes).items())),
        "broken_refused": f"{sum(o.code == 5 for o in outcomes if o.broken)}/{sum(o.broken for o in outcomes)}",
        "slowest_seconds": round(max((o.seconds for o in outcomes), default=0.0), 1),
        "crashes": problems["crash"] + problems["traceback"],
        "hangs": problems["hang"],
        "llama_cpp_died": sum("its process ended" in o.error for o in outcomes),
        "problems": dict(problems),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=300, help="damaged models")
    parser.add_argument("--adapters", type=int, default=50, help="damaged adapters")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of each")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="commands at a time")
    parser.add_argument("--home", type=Path, help="a RAGCLI_HOME whose model store has the encoder")
    arguments = parser.parse_args()
    models, adapters = (range(arguments.first, arguments.first + n) for n in (arguments.models, arguments.adapters))
    outcomes: dict[str, list[Outcome]] = {"models": [], "adapters": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = arguments.home or Path(os.environ.get("RAGCLI_HOME", folder / "home"))
        documents = folder / "documents"
        documents.mkdir()
        for name, text in DOCUMENTS.items():
            (documents / name).write_text(text, "utf-8")
        environment = {"RAGCLI_HOME": str(home), "RAGCLI_ENCODER": ENCODER}
        index = folder / "index"
        ragcli("ingest", documents, "--index", index, environment=environment)
        for what, outcome in campaign(folder, index, home, models, adapters, arguments.jobs):
            outcomes[what].append(outcome)
            if outcome.problem:
                print(outcome.problem, outcome, file=sys.stderr)  # noqa: T201
    report("damaged_models", **{what: summary(some) for what, some in outcomes.items()})


if __name__ == "__main__":
    main()
