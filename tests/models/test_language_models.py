"""Language models by name: what the catalog says of them, fetching them, finding them in the store."""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import pytest
from models.local_hub import COMMIT, LocalHub, serve

from ragcli.errors import DownloadFailed, ModelBad, ModelError, ModelMissing, UsageError
from ragcli.models.catalog import ENCODERS
from ragcli.models.download import fetch_language_model
from ragcli.models.hub import Address, Hub, Unreachable, parse_address
from ragcli.models.language import LANGUAGE_MODELS
from ragcli.models.store import ModelStore, StoredModel, near_names

GGUF = b"GGUF" + (3).to_bytes(4, "little") + bytes(range(256)) * 1000
ADDRESS = Address("maker/tiny-GGUF", "folder/tiny-1b.Q4_K_M.gguf")
FILE = "maker/tiny-GGUF/folder/tiny-1b.Q4_K_M.gguf"


@pytest.fixture
def hub(hub: LocalHub) -> LocalHub:
    """A hub that has a language model, too."""
    hub.files[FILE] = GGUF
    return hub


def fetch(
    store: ModelStore, hub: LocalHub, address: Address = ADDRESS, id: str = "tiny", offline: bool = False
) -> StoredModel:
    """Fetch without losing time."""
    client = Hub(hub.url, answer_seconds=1, read_seconds=1, pause_seconds=0.01)
    return fetch_language_model(address, id, store, license="MIT", offline=offline, hub=client)


# --- the catalog -----------------------------------------------------------------------------------------------------


def test_the_families_of_the_catalog() -> None:
    assert {spec.family for spec in LANGUAGE_MODELS.values()} == {"Llama", "Mistral", "Gemma", "Qwen"}
    assert 8 <= len(LANGUAGE_MODELS) <= 14
    assert not LANGUAGE_MODELS.keys() & ENCODERS.keys()
    assert list(LANGUAGE_MODELS.values()) == sorted(LANGUAGE_MODELS.values(), key=lambda spec: spec.parameters)


@pytest.mark.parametrize("spec", LANGUAGE_MODELS.values(), ids=lambda spec: spec.id)
def test_each_is_a_whole_quantized_file_with_terms(spec) -> None:  # type: ignore[no-untyped-def]
    assert parse_address(str(Address(spec.repo, spec.path))) == Address(spec.repo, spec.path)
    assert "-of-" not in spec.path and spec.quantization.lower() in spec.path.lower()
    assert "instruct" in spec.path.lower() or "-it-" in spec.path
    # Four bits and a half for each weight, or eight and a half; vocabularies are often kept finer.
    assert (0.5 if spec.quantization == "Q4_K_M" else 1.0) < spec.size / spec.parameters < 1.4
    assert spec.license and spec.languages and spec.context >= 8192
    terms = {"Llama": "Llama 3.2", "Gemma": "Gemma Terms", "Mistral": "Apache-2.0", "Qwen": ""}
    assert terms[spec.family] in spec.license


def test_the_licence_that_differs_from_its_sisters() -> None:
    research = [spec.id for spec in LANGUAGE_MODELS.values() if "Research" in spec.license]
    assert research == ["qwen2.5-3b"]


def test_memory_is_file_and_cache_and_room() -> None:
    spec = LANGUAGE_MODELS["llama-3.2-1b"]
    assert spec.cache(4096) == 2 * 2 * 16 * 8 * 64 * 4096 == 134_217_728
    assert spec.memory(4096) == 807_694_464 + 134_217_728 + 4 * 512 * 128_256
    assert spec.memory(8192) == spec.memory(4096) + 134_217_728
    large = LANGUAGE_MODELS["mistral-7b-v0.3"]
    assert large.cache(4096) == 536_870_912
    assert large.memory(4096) == int((4_372_812_000 + 536_870_912) * 1.1)


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/q.gguf", Address("Qwen/Qwen2.5-0.5B-Instruct-GGUF", "q.gguf")),
        ("hf:a/b@v1.0/dir/sub/M.GGUF", Address("a/b", "dir/sub/M.GGUF", "v1.0")),
        (f"hf:a/b@{COMMIT}/m.gguf", Address("a/b", "m.gguf", COMMIT)),
    ],
)
def test_an_address(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("hf:", "hf:a", "hf:a/b", "hf:a/b/", "hf:a/b/m.bin", "hf:/a/m.gguf", "a/b/m.gguf", "hf:a/b:Q4_K_M"),
        *("hf:a/../m.gguf", "hf:../b/m.gguf", "hf:a/b/../../m.gguf", "hf:a/b/./m.gguf", "hf:a/b/.m.gguf"),
        *("hf:a/b@/m.gguf", "hf:a/b@../m.gguf", "hf:a/b@v1@v2/m.gguf", "hf:a/b/m n.gguf", "hf:a/b/m%2e.gguf"),
        *("hf:a/b/m.gguf?x", "hf:a/b/m.gguf#x", "hf:a/b/m\n.gguf", "hf:a/b/m.gguf\n", "hf:a/b/\x1b[31m.gguf"),
        *("hf:a\\b/c/m.gguf", "https://huggingface.co/a/b/resolve/main/m.gguf", "hf:a/b/" + "d/" * 9 + "m.gguf"),
        "hf:a/b/" + "m" * 100 + ".gguf",
    ],
)
def test_no_address(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert "hf:OWNER/REPOSITORY/FILE.gguf" in caught.value.hint


# --- fetching --------------------------------------------------------------------------------------------------------


def test_fetch(hub: LocalHub, store: ModelStore) -> None:
    model = fetch(store, hub)
    assert model == store.require("tiny")
    assert (model.kind, model.license, model.source) == (
        *("gguf", "MIT"),
        f"hf:maker/tiny-GGUF@{COMMIT}/folder/tiny-1b.Q4_K_M.gguf",
    )
    assert model.files[0].sha256 == hashlib.sha256(GGUF).hexdigest()
    assert model.entry == store.folder / "tiny" / "tiny.gguf" == store.language_model("tiny")
    assert model.entry.read_bytes() == GGUF
    assert store.verify("tiny") == []


def test_what_is_there_is_not_fetched_again(hub: LocalHub, store: ModelStore) -> None:
    first = fetch(store, hub)
    hub.requests.clear()
    assert fetch(store, hub) == fetch(store, hub, offline=True) == first
    assert fetch(store, hub, Address(ADDRESS.repo, ADDRESS.path, COMMIT)) == first
    assert hub.requests == []


def test_the_same_content_from_elsewhere_is_there_too(hub: LocalHub, store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(GGUF)
    added = store.add(tmp_path / "tiny.gguf")
    assert fetch(store, hub) == added
    assert hub.gets() == []


def test_another_model_of_the_name_is_kept(hub: LocalHub, store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(GGUF + b"more")
    added = store.add(tmp_path / "tiny.gguf")
    for offline in (False, True):
        with pytest.raises(ModelError, match="another model called tiny is in the model store") as caught:
            fetch(store, hub, offline=offline)
        assert "--as NAME" in caught.value.hint
    assert store.get("tiny") == added and hub.gets() == []


def test_damage_is_mended(hub: LocalHub, store: ModelStore) -> None:
    entry = fetch(store, hub).entry
    entry.write_bytes(GGUF[::-1])
    assert store.again_hint("tiny") == "`ragcli models pull tiny` fetches it again"
    fetch(store, hub)
    assert store.verify("tiny") == []


def test_cut_several_times_and_gone_on_with(hub: LocalHub, store: ModelStore) -> None:
    hub.cuts = [100_000, 50_000, 0, 0, 0]
    with pytest.raises(DownloadFailed, match="tiny could not be fetched") as caught:
        fetch(store, hub)
    assert "goes on where it stopped" in caught.value.hint
    assert store.list() == [] and store.get("tiny") is None
    hub.cuts = [20_000]
    hub.requests.clear()
    fetch(store, hub)
    assert [request.headers.get("range") for request in hub.gets()] == ["bytes=150000-", "bytes=170000-"]
    assert store.verify("tiny") == []
    assert {path.name for path in store.folder.iterdir()} <= {"tiny", ".partial-tiny.lock"}


def test_a_web_page_in_the_middle_takes_nothing_away(hub: LocalHub, store: ModelStore) -> None:
    hub.cuts = [100_000, 0, 0]
    with pytest.raises(DownloadFailed):
        fetch(store, hub)
    hub.log_ins = 1
    with pytest.raises(DownloadFailed, match="sends a web page instead of tiny") as caught:
        fetch(store, hub)
    assert "log-in page" in caught.value.hint
    hub.requests.clear()
    fetch(store, hub)
    assert [request.headers.get("range") for request in hub.gets()] == ["bytes=100000-"]


def test_a_web_page_from_the_start(hub: LocalHub, store: ModelStore) -> None:
    hub.log_ins = 1
    with pytest.raises(Unreachable, match="sends a web page"):
        fetch(store, hub)
    hub.page = b"<html>Welcome to the airport</html>"
    with pytest.raises(Unreachable, match="does not answer as a model hub does"):
        fetch(store, hub)
    assert store.list() == []


def test_wrong_bytes_are_not_kept(hub: LocalHub, store: ModelStore) -> None:
    hub.wrong_bytes = True
    with pytest.raises(DownloadFailed, match="tiny.gguf came with a wrong checksum"):
        fetch(store, hub)
    assert store.list() == [] and not (store.folder / ".partial-tiny").exists()
    hub.wrong_bytes = False
    fetch(store, hub)


def test_what_is_no_gguf_is_not_kept(hub: LocalHub, store: ModelStore) -> None:
    hub.files[FILE] = b"version https://git-lfs.github.com/spec/v1\n"
    with pytest.raises(ModelBad, match="tiny.gguf as the hub has it is not a model that can be used: is not a GGUF"):
        fetch(store, hub)
    assert store.list() == [] and not (store.folder / ".partial-tiny").exists()


@pytest.mark.parametrize("path", ["m-00001-of-00003.gguf", "dir/m-00002-of-00002.GGUF"])
def test_a_piece_is_refused_before_anything_is_asked(hub: LocalHub, store: ModelStore, path: str) -> None:
    with pytest.raises(ModelBad, match=r"is piece \d of \d") as caught:
        fetch(store, hub, Address("maker/large", path))
    assert "whole" in caught.value.hint
    assert hub.requests == []


def test_a_piece_is_not_added_either(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "m-00001-of-00003.gguf").write_bytes(GGUF)
    with pytest.raises(ModelBad, match="is piece 1 of 3"):
        store.add(tmp_path / "m-00001-of-00003.gguf")


@pytest.mark.parametrize("id", ["tiny-english", "../x", "a/b", "", ".x", "a\x1bb", "x" * 201])
def test_names_that_it_cannot_have(hub: LocalHub, store: ModelStore, id: str) -> None:
    with pytest.raises(ModelBad, match="name"):
        fetch(store, hub, id=id)
    assert hub.requests == []


def test_a_full_disk_is_told_before_the_download(hub: LocalHub, store: ModelStore) -> None:
    free = shutil.disk_usage("/").free
    if free > 190_000_000_000:
        pytest.skip("no file that a hub may have fills this disk")
    hub.claims[FILE] = free + 1_000_000_000
    with pytest.raises(ModelError, match="MB are needed in"):
        fetch(store, hub)
    assert hub.gets() == []


def test_a_file_that_is_not_there(hub: LocalHub, store: ModelStore) -> None:
    with pytest.raises(Unreachable, match="answers 404 for maker/tiny-GGUF/other.gguf") as caught:
        fetch(store, hub, Address("maker/tiny-GGUF", "other.gguf"))
    assert "check the names" in caught.value.hint


def test_offline_asks_nobody(hub: LocalHub, store: ModelStore) -> None:
    with pytest.raises(DownloadFailed, match="tiny is not in the model store, and the network is forbidden") as caught:
        fetch(store, hub, offline=True)
    assert f"`ragcli models pull {ADDRESS} --as tiny`" in caught.value.hint
    assert "https://huggingface.co/maker/tiny-GGUF" in caught.value.hint
    assert "`ragcli models add FILE`" in caught.value.hint
    assert hub.requests == [] and not store.folder.exists()


def test_two_at_once_download_once(hub: LocalHub, store: ModelStore) -> None:
    threads = [threading.Thread(target=fetch, args=(store, hub)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.verify("tiny") == []
    assert len(hub.gets()) == 1


def test_the_token_goes_to_the_hub_only(hub: LocalHub, store: ModelStore) -> None:
    with serve(LocalHub(), host="localhost") as storage:
        hub.storage = storage
        fetch_language_model(ADDRESS, "tiny", store, hub=Hub(hub.url, "secret"))
        assert {request.headers.get("authorization") for request in hub.requests} == {"Bearer secret"}
        assert {request.headers.get("authorization") for request in storage.requests} == {None}


# --- names -----------------------------------------------------------------------------------------------------------


def hint_for(store: ModelStore, name: str) -> tuple[str, str]:
    """Return what is said of a language model that is not there."""
    with pytest.raises(ModelMissing) as caught:
        store.language_model(name)
    return caught.value.message, caught.value.hint


def test_a_language_model_that_is_not_there(store: ModelStore) -> None:
    message, hint = hint_for(store, "lama-3.2-1b")
    assert message == "no language model is called 'lama-3.2-1b'"
    assert hint == "did you mean llama-3.2-1b? `ragcli models pull llama-3.2-1b`"
    assert hint_for(store, "llama-3.2-1b") == (
        "no model called llama-3.2-1b in the model store",
        "`ragcli models pull llama-3.2-1b` fetches it, about 808 MB",
    )
    message, hint = hint_for(store, "tiny-english")
    assert message == "tiny-english is an encoder, not a language model"
    message, hint = hint_for(store, "nothing-like-it")
    assert hint.startswith("`ragcli models list` shows the store") and "GGUF file" in hint


def test_near_names_know_the_store(hub: LocalHub, store: ModelStore) -> None:
    fetch(store, hub, id="My-Own-Model")
    assert hint_for(store, "my-own-modl")[1] == "did you mean My-Own-Model? `ragcli models list` shows what is here"
    with pytest.raises(ModelMissing) as caught:
        store.remove("MY-OWN-MODEL")
    assert caught.value.hint.startswith("did you mean My-Own-Model?")
    assert store.unknown("tiny-englsh").hint.startswith("did you mean tiny-english? `ragcli models pull tiny-english`")


def test_near_names() -> None:
    known = ["qwen2.5-0.5b", "qwen2.5-1.5b", "llama-3.2-1b", "Llama-3.2-3B"]
    assert near_names("qwen", known) == ["qwen2.5-0.5b", "qwen2.5-1.5b"]
    assert near_names("LLAMA-3.2-3b", known) == ["Llama-3.2-3B"]
    assert near_names("lama-3.2-3b", known) == ["Llama-3.2-3B"]
    assert near_names("", known) == near_names("b", known) == near_names("gpt", known) == []
