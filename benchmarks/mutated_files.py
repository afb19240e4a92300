"""What `ragcli ingest` makes of damaged files of every format.

Sound files of all formats are cut, overwritten, flipped, repeated or grafted onto one another at random places; of
containers (Office files, OpenDocument, EPUB) also the members within, so that the damage reaches the parsers. All go
through the parser pool, each with its time taken, and then, with 50 sound files among them, through the whole command.

Prints one JSON line:
    crashes        the command ended by a signal, with a traceback, or with another exit code than 0 or 1;
                   or a file has no line in its report, or a sound file is not in
    wrongly_read   files called read, without a warning, that lost more than half of their text. Text formats are what
                   they are: there is no telling what a text lost, and they are not counted
    overruns       files that took over 2 s longer than the limit
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from common import ENCODER, ROOT, report
from made_up_files import PLANTED, WRITERS, Text, sentence, write, zipped

sys.path.insert(0, str(ROOT))

from ragcli.errors import ParseFailed  # noqa: E402
from ragcli.formats import BY_SUFFIX  # noqa: E402
from ragcli.parsing.pool import ParserPool  # noqa: E402
from ragcli.records import TEXT_FORMATS  # noqa: E402

SECONDS, MEMORY_MB, GRACE = 20, 1024, 2.0
GOOD = 50
TEXTS = TEXT_FORMATS | {"html", "mail", "mbox", "notebook"}
"""Formats that any bytes can be, more or less; what is lost of the others can be told."""


class Mutant(NamedTuple):
    """A damaged file: its name, its bytes, and those that it was made of."""

    name: str
    data: bytes
    sound: bytes


def damage(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to four kinds of damage."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out)) if out else 0
        size = rng.choice((1, 4, 64, 1024, max(1, len(out) // 3)))
        match rng.randrange(8):
            case 0:
                del out[at:]
            case 1:
                del out[at : at + size]
            case 2:
                out[at : at + size] = bytes(min(size, len(out) - at))
            case 3:
                out[at : at + size] = rng.randbytes(min(size, len(out) - at))
            case 4:
                for spot in rng.sample(range(len(out)), min(len(out), rng.choice((1, 8, 64)))):
                    out[spot] ^= 1 << rng.randrange(8)
            case 5:
                out[at:at] = out[at : at + size] * rng.choice((1, 3, 200))
            case 6:
                graft = rng.randrange(max(1, len(other)))
                out[at:at] = other[graft : graft + size]
            case 7:
                digits = [spot for spot in range(len(out)) if out[spot : spot + 1].isdigit()]
                for spot in rng.sample(digits, min(len(digits), 20)):
                    out[spot] = ord(rng.choice("0123456789"))
    return bytes(out)


def damage_inside(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage one to three members of a container, and put it together again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    for name in rng.sample(sorted(members), min(len(members), rng.randint(1, 3))):
        if rng.random() < 0.1:
            del members[name]
        else:
            members[name] = damage(bytes(members[name]), other, rng)  # type: ignore[arg-type]
    return zipped(members)


def mutants(count: int, seed: int) -> list[Mutant]:
    """Return damaged files of all formats in turn."""
    made = []
    suffixes = list(WRITERS)
    previous = b"previous"
    for number in range(count):
        suffix = suffixes[number % len(suffixes)]
        rng = random.Random(f"{seed} {number}")
        chinese = suffix != ".pdf" and rng.random() < 0.3
        sound = WRITERS[suffix](Text([sentence(rng, chinese) for _ in range(PLANTED)], rng, chinese))
        is_container = sound.startswith(b"PK") and rng.random() < 0.7
        data = (damage_inside if is_container else damage)(sound, previous, rng)
        made.append(Mutant(f"mutant-{number:05}{suffix}", data, sound))
        previous = sound
    return made


class Verdict(NamedTuple):
    """What the parser pool made of a mutant."""

    seconds: float
    reason: str
    is_lost: bool


def judge(pool: ParserPool, one: Mutant) -> Verdict:
    """Parse a mutant, with its time, and tell whether it is called read though most of it is lost."""
    format = BY_SUFFIX[Path(one.name).suffix].name
    start = time.perf_counter()
    try:
        document = pool.parse(one.data, format, one.name)
    except ParseFailed as error:
        return Verdict(time.perf_counter() - start, error.message, False)
    seconds = time.perf_counter() - start
    if document.warnings or format in TEXTS:
        return Verdict(seconds, "", False)
    sound = pool.parse(one.sound, format, one.name)
    kept = sum(map(str.isalnum, document.text)) / sum(map(str.isalnum, sound.text))
    return Verdict(seconds, "", kept < 0.5)


def run_command(folder: Path) -> tuple[Counter[str], int, list[str]]:
    """Ingest a folder by the whole command, and return its counts, exit code, and what was wrong."""
    wrong = []
    with tempfile.TemporaryDirectory() as index:
        command = [sys.executable, "-m", "ragcli", "ingest", str(folder), "--index", index, "--json"]
        limits = {"RAGCLI_PARSE_SECONDS": str(SECONDS), "RAGCLI_PARSE_MEMORY_MB": str(MEMORY_MB)}
        environment = {**os.environ, **limits, "RAGCLI_ENCODER": ENCODER}
        done = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT)
        listed = subprocess.run(
            [sys.executable, "-m", "ragcli", "sources", "--index", index, "--json"],
            capture_output=True, env=environment, cwd=ROOT,
        )  # fmt: skip
    if done.returncode not in (0, 1) or b"Traceback" in done.stderr:
        return Counter(), done.returncode, [done.stderr.decode("utf-8", "replace")[-2000:]]
    told = json.loads(done.stdout)
    stored = {row["source"] for row in json.loads(listed.stdout)["sources"]}
    named = {Path(row["path"]).name for kind in ("failed", "skipped") for row in told[kind]}
    for path in folder.iterdir():
        if path.name not in stored | named:
            wrong.append(f"{path.name} has no line")
        if path.name.startswith("good") and path.name not in stored:
            wrong.append(f"{path.name} is not in")
    counts = Counter(added=told["added"], **{kind: len(told[kind]) for kind in ("failed", "skipped", "warnings")})
    return counts, done.returncode, wrong


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the files whose verdict is wrong into this folder")
    arguments = parser.parse_args()
    made = mutants(arguments.files, arguments.seed)
    with (
        ParserPool(os.cpu_count() or 1, SECONDS, MEMORY_MB, 5000) as pool,
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        verdicts = list(threads.map(lambda one: judge(pool, one), made))
    lost = [one for one, verdict in zip(made, verdicts, strict=True) if verdict.is_lost]
    late = [one for one, verdict in zip(made, verdicts, strict=True) if verdict.seconds > SECONDS + GRACE]
    for one in (*lost, *late):
        print(f"{one.name}: {'lost' if one in lost else 'late'}", file=sys.stderr)
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / one.name).write_bytes(one.data)
            (arguments.keep / f"sound-{one.name}").write_bytes(one.sound)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for one in made:
            (folder / one.name).write_bytes(one.data)
        for number in range(GOOD):
            suffix = list(WRITERS)[number % len(WRITERS)]
            write(folder / f"good-{number:02}{suffix}", (), random.Random(number))
        counts, code, wrong = run_command(folder)
    for line in wrong:
        print(line, file=sys.stderr)
    reasons = Counter(verdict.reason.split(":")[0][:60] for verdict in verdicts if verdict.reason)
    report(
        "mutated_files",
        files=len(made),
        crashes=len(wrong),
        wrongly_read=len(lost),
        overruns=len(late),
        slowest_s=round(max(verdict.seconds for verdict in verdicts), 2),
        exit_code=code,
        **counts,
        crashed_parsers=sum("crashed" in verdict.reason for verdict in verdicts),
        digest=zlib.crc32(b"".join(one.data for one in made)),
        reasons=dict(reasons.most_common(12)),
    )


if __name__ == "__main__":
    main()
