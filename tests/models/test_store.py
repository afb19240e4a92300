"""The model store: a model is there whole or not at all, and damage is found."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import NoReturn

import pytest
from models.tiny_models import CONTENT

from ragcli.errors import ModelBad, ModelError, ModelMissing, UsageError
from ragcli.models.catalog import ALL_MINILM_L6_V2, ENCODERS, EncoderSpec
from ragcli.models.store import MANIFEST, ModelStore

GGUF = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)


def write_english(folder: Path) -> Path:
    """Make a folder with the files of the English encoder."""
    folder.mkdir(parents=True)
    for name, data in CONTENT["english"].items():
        (folder / name).write_bytes(data)
    return folder


def write_gguf(path: Path, more: bytes = b"") -> Path:
    """Make a file that begins like a GGUF."""
    path.write_bytes(GGUF + more)
    return path


def leftovers(store: ModelStore) -> list[str]:
    """Return what lies in the store's folder besides models."""
    return [path.name for path in store.folder.iterdir() if path.name.startswith(".")]


def test_the_catalog_is_what_the_issue_names() -> None:
    assert list(ENCODERS) == ["multilingual-e5-small", "all-minilm-l6-v2"]
    assert [spec.pinned for spec in ENCODERS.values()] == [False, True]
    assert all(spec.dimension == 384 for spec in ENCODERS.values())


def test_an_empty_store(store: ModelStore) -> None:
    assert store.list() == []
    assert store.get("tiny-english") is None
    assert store.intact("tiny-english") is None


def test_add_a_folder_and_read_it_back(store: ModelStore, english: EncoderSpec, tmp_path: Path) -> None:
    added = store.add(write_english(tmp_path / "given"))
    assert store.get(english.id) == added == store.require(english.id)
    assert store.list() == [added]
    assert (added.id, added.kind, added.source, added.license) == ("tiny-english", "encoder", "given", "MIT")
    assert [file.name for file in added.files] == ["encoder.onnx", "model.safetensors", "tokenizer.json"]
    assert added.entry == store.folder / "tiny-english" / "encoder.onnx"
    assert added.size == sum(path.stat().st_size for path in added.folder.iterdir() if path.name != MANIFEST)
    for name, data in CONTENT["english"].items():
        assert (added.folder / name).read_bytes() == data
    assert store.verify(english.id) == []
    assert leftovers(store) == []
    manifest = json.loads((added.folder / MANIFEST).read_text("utf-8"))
    assert manifest["format"] == 1
    assert [file["sha256"] for file in manifest["files"][1:]] == [file.sha256 for file in english.files]


def test_the_fingerprint_names_the_weights_and_not_the_graph(store: ModelStore, tmp_path: Path) -> None:
    added = store.add(write_english(tmp_path / "given"))
    lines = [f"{hashlib.sha256(CONTENT['english'][n]).hexdigest()}  {n}\n" for n in sorted(CONTENT["english"])]
    assert added.fingerprint == "tiny-english@" + hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def test_add_a_gguf(store: ModelStore, tmp_path: Path) -> None:
    added = store.add(write_gguf(tmp_path / "Small-1B.Q4_K_M.GGUF"))
    assert (added.id, added.kind) == ("Small-1B.Q4_K_M", "gguf")
    assert added.entry.name == "Small-1B.Q4_K_M.gguf"
    assert added.entry.read_bytes() == GGUF
    assert store.verify(added.id) == []


def test_a_gguf_behind_a_link_outlives_its_file(store: ModelStore, tmp_path: Path) -> None:
    blob = write_gguf(tmp_path / "blob")
    (tmp_path / "model.gguf").symlink_to(blob)
    added = store.add(tmp_path / "model.gguf")
    blob.unlink()
    assert not added.entry.is_symlink()
    assert added.entry.read_bytes() == GGUF


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a GGUF"),
        (b"GGU", "not a GGUF"),
        (b"ggml" + bytes(20), "not a GGUF"),
        (b"GGUF" + (1).to_bytes(4, "little"), "version 1"),
        (b"GGUF" + (3).to_bytes(4, "big"), "version 50331648"),
    ],
)
def test_a_bad_gguf(store: ModelStore, tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelBad, match=says):
        store.add(tmp_path / "bad.gguf")
    assert store.list() == []
    assert leftovers(store) == []


def test_another_gguf_of_the_same_name_is_refused(store: ModelStore, tmp_path: Path) -> None:
    store.add(write_gguf(tmp_path / "model.gguf"))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ModelError, match="another model called model"):
        store.add(write_gguf(other / "model.gguf", b"other"))
    assert store.require("model").size == len(GGUF)
    assert store.add(tmp_path / "model.gguf") == store.get("model")


@pytest.mark.parametrize("name", ["tiny-english.gguf", "..x.gguf", "a\x1bb.gguf", "a\nb.gguf", "a:b.gguf"])
def test_names_that_a_gguf_cannot_have(store: ModelStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelBad, match="name"):
        store.add(write_gguf(tmp_path / name))
    assert store.list() == []


@pytest.mark.parametrize("name", ["notes.txt", "model.safetensors", "model.bin", "archive.zip"])
def test_other_files_are_refused(store: ModelStore, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ModelBad, match="not a model"):
        store.add(tmp_path / name)


def test_a_missing_path_is_wrong_usage(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        store.add(tmp_path / "nothing.gguf")


def test_a_pipe_is_not_opened(store: ModelStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ModelBad):
        store.add(tmp_path / "pipe.gguf")


def test_verify_finds_a_flipped_byte_and_add_mends_it(store: ModelStore, english: EncoderSpec, tmp_path: Path) -> None:
    given = write_english(tmp_path / "given")
    weights = store.add(given).folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[1234] ^= 1
    weights.write_bytes(data)
    assert store.require(english.id)
    (problem,) = store.verify(english.id)
    assert "model.safetensors has changed" in problem
    assert store.intact(english.id) is None
    store.add(given)
    assert store.verify(english.id) == []
    assert leftovers(store) == []


def test_missing_and_cut_files(store: ModelStore, english: EncoderSpec, tmp_path: Path) -> None:
    folder = store.add(write_english(tmp_path / "given")).folder
    (folder / "tokenizer.json").unlink()
    (folder / "model.safetensors").write_bytes(b"short")
    assert store.verify(english.id) == ["model.safetensors has 5 bytes, not 3000", "tokenizer.json is missing"]
    with pytest.raises(ModelBad, match="model.safetensors has 5 bytes") as caught:
        store.require(english.id)
    assert "ragcli models pull tiny-english" in caught.value.hint


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"format": 1}',
        b'{"format": 2, "files": []}',
        b'{"format": 1, "id": "tiny-english", "kind": "gguf", "source": "", "license": "", "added": "", "files": []}',
        b'{"format": 1, "id": "other", "kind": "gguf", "source": "", "license": "", "added": "",'
        b' "files": [{"name": "a", "sha256": "", "size": 1}]}',
        b'{"format": 1, "id": "tiny-english", "kind": "gguf", "source": "", "license": "", "added": "",'
        b' "files": [{"name": "../../a", "sha256": "", "size": 1}]}',
    ],
    ids=range(11),
)
def test_a_damaged_manifest_hides_no_other_model(store: ModelStore, tmp_path: Path, manifest: bytes) -> None:
    given = write_english(tmp_path / "given")
    other = store.add(write_gguf(tmp_path / "model.gguf"))
    path = store.add(given).folder / MANIFEST
    path.write_bytes(manifest)
    with pytest.raises(ModelBad):
        store.get("tiny-english")
    assert store.list() == [other]
    assert len(store.verify("tiny-english")) == 1
    store.add(given)
    assert [model.id for model in store.list()] == ["model", "tiny-english"]


@pytest.mark.parametrize("id", ["", ".", "..", "../home", "/etc", "a/b", "a\\b", "x" * 300, "a\0b"])
def test_ids_that_are_no_names(store: ModelStore, id: str) -> None:
    assert store.get(id) is None
    with pytest.raises(ModelMissing):
        store.require(id)
    with pytest.raises(ModelMissing):
        store.remove(id)


def test_hints_name_what_to_do(store: ModelStore, tmp_path: Path) -> None:
    store.add(write_gguf(tmp_path / "llama-3.2-1b.gguf"))
    hints = {}
    for id in ("tiny-english", "tiny-englsh", "Llama-3.2-1B", "nothing-like-it"):
        with pytest.raises(ModelMissing) as caught:
            store.require(id)
        hints[id] = caught.value.hint
    assert hints["tiny-english"].startswith("`ragcli models pull tiny-english`")
    assert "ragcli models add WHEEL_OR_FOLDER" in hints["tiny-english"]
    assert hints["tiny-englsh"].startswith("did you mean tiny-english")
    assert hints["Llama-3.2-1B"].startswith("did you mean llama-3.2-1b?")
    assert "ragcli models list" in hints["nothing-like-it"]


def test_remove(store: ModelStore, english: EncoderSpec, tmp_path: Path) -> None:
    store.add(write_english(tmp_path / "given"))
    (store.folder / ".partial-tiny-english").mkdir()
    store.remove(english.id)
    assert store.list() == []
    assert list(store.folder.iterdir()) == []
    with pytest.raises(ModelMissing):
        store.remove(english.id)


class Stop(Exception):
    """Raised in the middle of an add."""


def test_an_interrupted_add_leaves_nothing(store: ModelStore, tmp_path: Path) -> None:
    def stop(label: str, done: int, total: int) -> NoReturn:
        raise Stop

    for path in (write_english(tmp_path / "given"), write_gguf(tmp_path / "model.gguf")):
        with pytest.raises(Stop):
            store.add(path, stop)
        assert list(store.folder.iterdir()) == []


def test_a_killed_add_leaves_no_model(store: ModelStore, tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    script = f"""
import os, signal
from pathlib import Path
from ragcli.models.store import ModelStore
def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)
ModelStore(Path({str(store.folder)!r})).add(Path({str(tmp_path / "model.gguf")!r}), die)
"""
    died = subprocess.run([sys.executable, "-c", script], check=False)
    assert died.returncode == -signal.SIGKILL
    assert store.list() == []
    (left,) = store.folder.iterdir()
    store.add(tmp_path / "model.gguf")
    assert left.exists(), "it could be another process's, still at work"
    yesterday = time.time() - 25 * 3600
    os.utime(left, (yesterday, yesterday))
    store.add(tmp_path / "model.gguf")
    assert leftovers(store) == []


def test_many_processes_add_the_same_model(store: ModelStore, tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", bytes(3_000_000))
    script = f"""
from pathlib import Path
from ragcli.models.store import ModelStore
for _ in range(5):
    ModelStore(Path({str(store.folder)!r})).add(Path({str(tmp_path / "model.gguf")!r}))
"""
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(4)]
    assert [process.wait(30) for process in processes] == [0, 0, 0, 0]
    assert store.verify("model") == []
    assert leftovers(store) == []


def test_a_folder_of_the_users_is_not_replaced(store: ModelStore, tmp_path: Path) -> None:
    own = store.folder / "tiny-english"
    own.mkdir(parents=True)
    (own / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(ModelError, match="in the way"):
        store.add(write_english(tmp_path / "given"))
    assert (own / "notes.txt").read_text("utf-8") == "mine"
    assert leftovers(store) == []


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    store = ModelStore(tmp_path / "file" / "models")
    with pytest.raises(ModelError, match="cannot add model.gguf: Not a directory"):
        store.add(write_gguf(tmp_path / "model.gguf"))


def test_the_shipped_graph_is_in_the_package() -> None:
    graph = resources.files("ragcli").joinpath("embedding", ALL_MINILM_L6_V2.shipped_graph)
    assert 10_000 < len(graph.read_bytes()) < 30_000
