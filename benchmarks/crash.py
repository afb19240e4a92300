"""A campaign of crashes: ingests that are killed at random moments, over a folder that changes all the time.

Before each round some files are added, edited, copied and removed. `ragcli ingest` is started, and killed (three times
of four with SIGKILL, else interrupted with SIGINT) at a random moment: after it was started, after it began to read
documents, to commit them, or to store vectors. Then

- `ragcli check --deep` finds nothing wrong,
- every file that was in the index before is still there, in that version or the one on the disk, unless it was removed,
- each version that is there is found by a word that only it holds, and no other version is.

At the end an ingest that runs through makes the index equal to a new one of the same folder: in its files, its chunks'
ids, its vectors, and the hits of many questions. The seed decides what is done and for how long it is waited; what a
kill meets depends on the machine.

    python benchmarks/crash.py [--rounds 100] [--seed 0]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import ENCODER, ROOT, report
from made_up import document, sentence

from ragcli.embedding.onnx import SAME_COSINE
from ragcli.storage.catalog import FILE
from ragcli.storage.index import Index, open_to_write

MOMENTS = {"starting": 0.6, "reading": 1.5, "committing": 0.004, "storing": 0.4}
"""What a run does, in order; and how many seconds after its beginning a kill comes at the latest."""
_DECK = ("starting", "reading", "committing", "committing", "storing", "storing")
_COMMITS = 6
_LONGEST = 120
_LOOK = """
import json, sys
from ragcli.cli.app import run

commands = (["check", "--deep"], ["sources"], ["search", "--batch", "-", "-n", "3"])
print(json.dumps([run([*command, "--json", "--index", sys.argv[1]]) for command in commands]))
"""


@dataclass(frozen=True, slots=True)
class Version:
    """One content of a file: its SHA-256, and a word that stands in it and nowhere else."""

    digest: str
    word: str


@dataclass(frozen=True, slots=True)
class State:
    """How far an index is: when each folder of vectors last changed, and how many documents were ever committed."""

    folders: Mapping[str, int]
    documents: int


class Campaign:
    """A folder of documents that changes, and an index that is made of it by ingests that are killed.

    `problems` collects what should not have happened, `hits` what each kill met.
    """

    def __init__(self, folder: Path, seed: int, environment: Mapping[str, str], files: int = 40) -> None:
        self.documents = folder / "documents"
        self.index = folder / "index"
        self.problems: list[str] = []
        self.hits: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self._rng = random.Random(seed)
        self._environment = {**environment, "RAGCLI_ENCODER": ENCODER}
        self._wanted = files
        self._deck: list[str] = []
        self._disk: dict[str, Version] = {}
        self._held: dict[str, Version] = {}
        for _ in range(files // 2):
            self._add()

    def round(self) -> None:
        """Change some files, kill an ingest of them, and look at what is left."""
        for _ in range(self._rng.randint(0, max(1, self._wanted // 3))):
            self._change()
        self._kill()
        self._look()

    def finish(self) -> None:
        """Ingest everything, and compare the index with a new one."""
        new = self.index.with_name("new-index")
        for index in (self.index, new):
            self._ragcli("ingest", str(self.documents), "--index", str(index), "--yes")
        self._look()
        if self._held != self._disk:
            self.problems.append("the index does not hold what lies in the folder")
        if contents(self.index) != contents(new):
            self.problems.append("files, chunks or vectors differ from a new index")
            return
        cosine = share_vectors(self.index, new)
        if cosine < SAME_COSINE:
            self.problems.append(f"a vector has a cosine of {cosine:.4f} to that of a new index")
        self._ragcli("rebuild", "--index", str(new))
        questions = [version.word for version in self._disk.values()]
        questions += [sentence(self._rng) for _ in range(50)]
        if self._search(self.index, questions) != self._search(new, questions):
            self.problems.append("searches differ from those of a new index")

    # --- the folder --------------------------------------------------------------------------------------------

    def _change(self) -> None:
        room = len(self._disk) < self._wanted
        action = self._rng.choice((self._add, self._copy, self._edit) if room else (self._edit, self._remove))
        action()

    def _any(self) -> str:
        return self._rng.choice(sorted(self._disk))

    def _add(self) -> None:
        name = f"part-{self._rng.randint(0, 3)}/document-{self._rng.randint(0, 10**6)}.md"
        self._write(name, document(self._rng, self._rng.randint(200, 2500)))

    def _copy(self) -> None:
        """Copy a file, all but its last line, under the same name elsewhere: the two share vectors."""
        name = self._any()
        text, _, _ = (self.documents / name).read_text("utf-8").rpartition("\n\n")
        self._write(f"copies-{self._rng.randint(0, 10**6)}/{Path(name).name}", text)

    def _edit(self) -> None:
        """Replace one paragraph, or only the last line, which leaves the size as it was."""
        name = self._any()
        paragraphs = (self.documents / name).read_text("utf-8").split("\n\n")[:-1]
        if self._rng.random() < 0.7:
            paragraphs[self._rng.randrange(len(paragraphs))] = sentence(self._rng)
        self._write(name, "\n\n".join(paragraphs))

    def _remove(self) -> None:
        name = self._any()
        (self.documents / name).unlink()
        del self._disk[name]

    def _write(self, name: str, text: str) -> None:
        word = "q" + "".join(self._rng.choices("bcdfghjkmptvwz", k=11))
        data = f"{text.rstrip()}\n\nIts number is {word}.\n".encode()
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if self._rng.random() < 0.5:  # or its time is not trusted, and it is always read again
            os.utime(path, (time.time() - 60,) * 2)
        self._disk[name] = Version(hashlib.sha256(data).hexdigest(), word)

    # --- the kill ----------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        if not self._deck:
            self._deck = self._rng.sample(_DECK, len(_DECK))
        moment = self._deck.pop()
        pause = self._rng.uniform(0, MOMENTS[moment])
        commits = self._rng.randint(1, _COMMITS)
        number = signal.SIGINT if self._rng.random() < 0.25 else signal.SIGKILL
        before = self._state()
        command = ["ingest", str(self.documents), "--index", str(self.index), "--yes"]
        process = subprocess.Popen(
            [sys.executable, "-m", "ragcli", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment,
            cwd=ROOT,
            text=True,
        )
        deadline = time.monotonic() + _LONGEST
        while process.poll() is None and not self._has_come(moment, process.pid, before, commits):
            if time.monotonic() > deadline:
                self.problems.append(f"an ingest took over {_LONGEST} s")
                break
            time.sleep(0.001)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause)
        met = "ended"
        if process.poll() is None:
            met = next(m for m in reversed(MOMENTS) if self._has_come(m, process.pid, before))
            process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.problems.append(f"an ingest that was {met} went on for 30 s after {number.name}")
            process.kill()
            _, errors = process.communicate()
        self.hits[met if met == "ended" else f"{met} {number.name}"] += 1
        self.codes[process.returncode] += 1
        # Where a KeyboardInterrupt came out of an eval of text, as namedtuple has one, `python -m` ends by SIGINT,
        # whatever was made of it; and while Python itself is starting there is nobody to catch it.
        expected = (0,) if met == "ended" else (0, 130, -number)
        if process.returncode not in expected and met != "starting":
            self.problems.append(f"{met}, {number.name}: exit code {process.returncode}: {errors[-500:]}")

    def _has_come(self, moment: str, pid: int, before: State, commits: int = 1) -> bool:
        """Return whether a run has begun to do something; for "committing", whether it has made some commits."""
        match moment:
            case "reading":
                with contextlib.suppress(OSError):
                    return f'"pid": {pid},' in (self.index / "writer.json").read_text("utf-8")
                return False
            case "committing":
                return self._state().documents >= before.documents + commits
            case "storing":
                return self._state().folders != before.folders
        return True

    def _state(self) -> State:
        folders, documents = {}, 0
        for folder in self.index.glob("vectors-*"):
            with contextlib.suppress(FileNotFoundError):
                folders[folder.name] = folder.stat().st_mtime_ns
        with contextlib.suppress(sqlite3.Error):
            uri = f"{(self.index / FILE).as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                rows = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'documents'").fetchall()
                documents = rows[0][0] if rows else 0
        return State(folders, documents)

    # --- the look ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Compare what the index holds with what it held and what lies on the disk."""
        versions = {v.digest: v for v in (*self._held.values(), *self._disk.values())}
        rows = [{"id": v.digest, "question": v.word} for v in versions.values()]
        done = self._run("-c", _LOOK, str(self.index), stdin="\n".join(map(json.dumps, rows)))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if lines == [[4, 4, 4]] and "there is no index" in done.stderr and not self._held:
            return
        if not lines or lines[-1] != [0, 0, 0]:
            self.problems.append(f"exit codes {lines[-1:]}: {done.stdout[:500]} {done.stderr[-500:]}")
            return
        held = {row["source"]: row["sha256"] for row in lines[1]["sources"]}
        for name in sorted(self._held.keys() | self._disk.keys() | held.keys()):
            was, there = self._held.get(name), self._disk.get(name)
            allowed = {version.digest if version else None for version in (was, there)}
            if held.get(name) not in allowed:
                self.problems.append(f"{name} is {held.get(name)} in the index, and should be one of {allowed}")
        for row in lines[2:-1]:
            found = [hit["source"] for hit in row["hits"] if row["query"] in hit["text"]]
            if found != [name for name, digest in held.items() if digest == row["id"]]:
                self.problems.append(f"{row['query']} was found in {found}")
        self._held = {name: versions[digest] for name, digest in held.items() if digest in versions}

    def _search(self, index: Path, questions: list[str]) -> list[Any]:
        """Return the places of each question's hits; which of several with the same text comes first means nothing."""
        rows = [json.dumps({"id": n, "question": question}) for n, question in enumerate(questions)]
        done = self._ragcli("search", "--batch", "-", "--index", str(index), stdin="\n".join(rows))
        found = [json.loads(line)["hits"] for line in done.stdout.splitlines()]
        return [
            [sorted((place["source"], place["start"], place["end"]) for place in (hit, *hit["also"])) for hit in hits]
            for hits in found
        ]

    def _ragcli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = self._run("-m", "ragcli", *arguments, stdin=stdin)
        if done.returncode:
            self.problems.append(f"{arguments[0]} ended with {done.returncode}: {done.stderr[-500:]}")
        return done

    def _run(self, *arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self._environment,
            cwd=ROOT,
            timeout=_LONGEST,
        )


def contents(folder: Path) -> Any:
    """Return the files, chunks and vectors of an index by their names, each of which is a hash of what it is."""
    with contextlib.closing(Index(folder)) as index:
        catalog = index.catalog
        files = {file.source: (file.hash, [c.chunk_id for c in catalog.chunks_of(file.id)]) for file in catalog.files()}
        return files, catalog.vector_keys()


def share_vectors(old: Path, new: Path) -> float:
    """Give an index the vectors of another with the same chunks; return the lowest cosine between those of both.

    The encoder is quicker, and a little less exact, where it has many texts at once. So a vector depends on what was
    embedded together with it, and a hit's place among others that are nearly as good may do so, too.
    """
    with contextlib.closing(Index(old)) as index:
        rows = index.catalog.vectors(index.catalog.vector_keys())
    with open_to_write(new, 0) as index:
        there = index.catalog.vectors(rows)
        index.catalog.put_vectors(rows)
    return min(float(np.frombuffer(rows[key], "<f4") @ np.frombuffer(there[key], "<f4")) for key in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options.seed, os.environ)
        for number in range(options.rounds):
            campaign.round()
            print(f"round {number + 1}: {dict(campaign.hits)}, {campaign.problems}", file=sys.stderr)
        campaign.finish()
    print(*campaign.problems, sep="\n", file=sys.stderr)
    report(
        "crash",
        rounds=options.rounds,
        seed=options.seed,
        kills=dict(sorted(campaign.hits.items())),
        exit_codes={str(code): count for code, count in sorted(campaign.codes.items())},
        problems=len(campaign.problems),
        seconds=round(time.perf_counter() - start),
    )
    sys.exit(1 if campaign.problems else 0)


if __name__ == "__main__":
    main()
