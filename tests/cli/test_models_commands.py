"""`ragcli models` as users and scripts meet it: a local hub, real GGUF files, text, JSON and exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from models.local_hub import COMMIT, LocalHub, serve
from shared import Done, environment_of
from tiny_gguf import build

from ragcli.cli.app import run
from ragcli.models.catalog import ENCODERS
from ragcli.models.language import LANGUAGE_MODELS

SPEC = LANGUAGE_MODELS["llama-3.2-1b"]
OTHER = "maker/Other-GGUF/sub/Other-1B.Q8_0.gguf"

Call = Callable[..., Done]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of a few megabytes that llama.cpp loads."""
    return build(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def content(model: Path) -> bytes:
    return model.read_bytes()


@pytest.fixture
def hub(content: bytes) -> Iterator[LocalHub]:
    """A hub that has one known language model and one other."""
    with serve(LocalHub({f"{SPEC.repo}/{SPEC.path}": content, OTHER: content[:-32] + bytes(32)})) as running:
        yield running


@pytest.fixture
def call(tmp_path: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `ragcli models` in this process, with an empty store and the local hub."""
    monkeypatch.chdir(tmp_path)
    for name in set(os.environ) - set(environment_of(tmp_path)):
        monkeypatch.delenv(name)
    for name, value in (environment_of(tmp_path / "home") | hub_variables(hub)).items():
        monkeypatch.setenv(name, value)

    def call(*arguments: object) -> Done:
        code = run(["models", *map(str, arguments)])
        return Done(code, *capsys.readouterr())

    return call


def hub_variables(hub: LocalHub) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "NO_PROXY": "*", "no_proxy": "*"}


def error_of(done: Done) -> tuple[str, str]:
    """Return an error's line and its hint's."""
    *_, error, hint = done.err.splitlines()
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


# --- pull ------------------------------------------------------------------------------------------------------------


def test_pull_by_short_name_list_show_verify_rm(call: Call, content: bytes, tmp_path: Path) -> None:
    done = call("pull", SPEC.id, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == {
        "id": "llama-3.2-1b",
        "kind": "gguf",
        "stored": True,
        "folder": f"{tmp_path}/home/models/llama-3.2-1b",
        "size": len(content),
        "source": f"hf:{SPEC.repo}@{COMMIT}/{SPEC.path}",
        "license": "Llama 3.2 Community License",
        "added": done.json["added"],
        "files": [{"name": "llama-3.2-1b.gguf", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}],
    }
    assert call("list").out.splitlines()[0].split() == ["llama-3.2-1b", "gguf", f"{len(content) / 1e6:.1f}", "MB"]
    assert call("verify", SPEC.id).out == "llama-3.2-1b: ok\n"
    again = call("pull", SPEC.id)
    assert (again.code, again.err) == (0, "llama-3.2-1b is in the store already\n")
    assert call("rm", SPEC.id).out == "removed llama-3.2-1b\n"
    assert not call("list").out.startswith("llama")


def test_pull_by_address_and_another_name(call: Call, hub: LocalHub) -> None:
    assert call("pull", f"hf:{OTHER}").code == 0
    assert call("pull", f"hf:{OTHER.replace('GGUF/', f'GGUF@{COMMIT}/')}", "--as", "mine").code == 0
    assert [row["id"] for row in call("list", "--json").json["models"][:2]] == ["Other-1B.Q8_0", "mine"]
    hub.requests.clear()
    done = call("pull", "mine")  # a name of the store's own
    assert (done.code, done.err) == (0, "mine is in the store already\n")
    assert hub.requests == []


def test_pull_mends_what_it_fetched(call: Call, tmp_path: Path) -> None:
    call("pull", f"hf:{OTHER}", "--as", "mine")
    file = tmp_path / "home" / "models" / "mine" / "mine.gguf"
    file.write_bytes(file.read_bytes()[::-1])
    done = call("verify", "mine")
    assert (done.code, done.err) == (5, "hint: `ragcli models pull mine` fetches it again\n")
    assert "has changed" in done.out
    done = call("pull", "mine")
    assert call("verify", "mine").code == 0


def test_a_name_that_is_taken(call: Call) -> None:
    call("pull", SPEC.id)
    done = call("pull", f"hf:{OTHER}", "--as", SPEC.id)
    assert done.code == 5
    assert error_of(done)[0] == "another model called llama-3.2-1b is in the model store"


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["lama-3.2-1b"], 5, "no model is called 'lama-3.2-1b'", "did you mean llama-3.2-1b? `ragcli models pull"),
        (["nothing-like-it"], 5, "no model is called 'nothing-like-it'", "`ragcli models list` shows"),
        (["hf:a/../b.gguf"], 2, "'hf:a/../b.gguf' is not the address of a model", "a model's address is hf:OWNER"),
        (["hf:a/b"], 2, "'hf:a/b' is not the address", "a model's address"),
        (["https://huggingface.co/a/b"], 2, "'https://huggingface.co/a/b' is not the address", "a model's address"),
        (["hf:a/b/m-00001-of-00002.gguf"], 5, "m-00001-of-00002.gguf is piece 1 of 2", "choose a file that is whole"),
        (["hf:maker/none/m.gguf"], 5, "127.0.0.1 answers 404 for maker/none/m.gguf", "check the names"),
        (["llama-3.2-1b", "--as", "../x"], 5, "'../x' cannot be the name of a model", "use letters"),
        (["llama-3.2-1b", "--as", "all-minilm-l6-v2"], 5, "all-minilm-l6-v2 is the name of an encoder", "take another"),
        (["all-minilm-l6-v2", "--as", "x"], 2, "an encoder keeps its name", "`ragcli models pull all-minilm"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_pulled(call: Call, arguments: list[str], code: int, message: str, hint: str) -> None:
    done = call("pull", *arguments)
    assert (done.code, done.out) == (code, "")
    assert error_of(done)[0].startswith(message) and error_of(done)[1].startswith(hint)


def test_a_model_that_is_only_here_cannot_be_pulled(call: Call, model: Path) -> None:
    assert call("add", model).code == 0
    done = call("pull", "tiny")
    assert done.code == 5
    assert error_of(done) == ("tiny did not come from a hub", "`ragcli models rm tiny`, then `ragcli models add FILE`")


@pytest.mark.parametrize("name", [SPEC.id, f"hf:{SPEC.repo}/{SPEC.path}"])
def test_offline(call: Call, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("RAGCLI_OFFLINE", "1")
    done = call("pull", name)
    assert (done.code, done.out) == (5, "")
    message, hint = error_of(done)
    assert message.endswith("is not in the model store, and the network is forbidden")
    assert f"`ragcli models pull {name}`" in hint and "`ragcli models add FILE`" in hint
    assert hub.requests == []


@pytest.mark.parametrize("damage", ["page", "vocabulary", "cut"])
def test_what_comes_must_be_a_model(call: Call, hub: LocalHub, content: bytes, tmp_path: Path, damage: str) -> None:
    no_tensors = content[:8] + bytes(8) + content[16:]
    hub.files[f"{SPEC.repo}/{SPEC.path}"] = {
        "page": b"<html>sign in</html>",
        "vocabulary": no_tensors,
        "cut": content[: len(content) // 2],
    }[damage]
    done = call("pull", SPEC.id)
    assert (done.code, done.out) == (5, "")
    message, _ = error_of(done)
    assert message.startswith("llama-3.2-1b.gguf as the hub has it is not a model that can be used: it ")
    assert ".part" not in message and str(tmp_path) not in message
    assert not (tmp_path / "home" / "models" / SPEC.id).exists()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(hub.files[f"{SPEC.repo}/{SPEC.path}"])
    assert call("add", bad).code == 5
    assert not (tmp_path / "home" / "models" / "bad").exists()


def test_wrong_bytes(call: Call, hub: LocalHub) -> None:
    hub.wrong_bytes = True
    done = call("pull", SPEC.id)
    assert (done.code, error_of(done)) == (5, ("llama-3.2-1b.gguf came with a wrong checksum", "try again"))


def test_cut_off_in_the_middle_and_gone_on_with(call: Call, hub: LocalHub, content: bytes) -> None:
    third = len(content) // 3
    hub.cuts = [third, 1 << 20, 0, 0, 0]
    done = call("pull", SPEC.id)
    assert done.code == 5 and "goes on where it stopped" in error_of(done)[1]
    hub.requests.clear()
    assert call("pull", SPEC.id).code == 0
    assert [request.headers.get("range") for request in hub.gets()] == [f"bytes={third + (1 << 20)}-"]
    assert call("verify", SPEC.id).code == 0


def test_interrupted_by_ctrl_c_and_gone_on_with(hub: LocalHub, call: Call, tmp_path: Path) -> None:
    hub.stalls = [1_000_000]
    process = subprocess.Popen(
        [sys.executable, "-m", "ragcli", "models", "pull", SPEC.id],
        **dict.fromkeys(("stdout", "stderr"), subprocess.PIPE),  # type: ignore[call-overload]
        env=environment_of(tmp_path / "home") | hub_variables(hub),
        text=True,
    )
    part = tmp_path / "home" / "models" / ".partial-llama-3.2-1b" / "llama-3.2-1b.gguf.part"
    end = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "interrupted; the same command goes on where it stopped\n")
    assert time.monotonic() - start < 5
    came = part.stat().st_size
    assert 0 < came <= 1_000_000
    hub.requests.clear()
    assert call("pull", SPEC.id).code == 0
    assert [request.headers.get("range") for request in hub.gets()] == [f"bytes={came}-"]


# --- list ------------------------------------------------------------------------------------------------------------


def test_list_of_an_empty_store(call: Call) -> None:
    value = call("list", "--json").json
    assert [row["id"] for row in value["models"]] == [*ENCODERS, *LANGUAGE_MODELS]
    assert value["available"] > 0 and value["suggestion"] is None
    assert value["models"][0] == {
        "id": "multilingual-e5-small",
        "kind": "encoder",
        "stored": False,
        "size": 487_000_000,
        "license": "MIT",
        "languages": ["*"],
    }
    row = value["models"][2]
    assert row == {
        "id": "qwen2.5-0.5b",
        "kind": "gguf",
        "stored": False,
        "family": "Qwen",
        "parameters": 494_000_000,
        "quantization": "Q8_0",
        "size": 675_710_816,
        "memory": LANGUAGE_MODELS["qwen2.5-0.5b"].memory(4096),
        "license": "Apache-2.0",
        "languages": list(LANGUAGE_MODELS["qwen2.5-0.5b"].languages),
        "context": 32_768,
        "fits": row["fits"],
    }
    lines = call("list").out.splitlines()
    assert len(lines) == len(value["models"])
    assert lines[1] == ("all-minilm-l6-v2       encoder  not fetched; 91.3 MB; reads en; Apache-2.0")
    assert lines[4].startswith("llama-3.2-1b           gguf     not fetched; 807.7 MB, needs 1.2 GB")
    assert "reads en, de and 6 more; Llama 3.2 Community License" in lines[4]


def test_list_fits(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    value = call("list", "--fits", "--json").json
    assert all(row["kind"] == "gguf" and row["fits"] and row["memory"] <= value["available"] for row in value["models"])
    comfortable = [row["parameters"] for row in value["models"] if row["memory"] <= 0.7 * value["available"]]
    assert comfortable == sorted(comfortable, reverse=True)
    done = call("list", "--fits")
    if value["models"]:
        assert done.out.splitlines()[-1] == value["suggestion"] == f"ragcli models pull {value['models'][0]['id']}"
    assert "memory free" in done.err
    monkeypatch.setenv("RAGCLI_CONTEXT_SIZE", str(1 << 20))
    larger = {row["id"]: row["memory"] for row in call("list", "--json").json["models"] if row["kind"] == "gguf"}
    assert all(larger[row["id"]] > row["memory"] for row in value["models"])


def test_list_fits_knows_what_is_stored(call: Call, model: Path, tmp_path: Path) -> None:
    call("add", model)
    broken = tmp_path / "home" / "models" / "tiny" / "tiny.gguf"
    rows = {row["id"]: row for row in call("list", "--fits", "--json").json["models"]}
    assert rows["tiny"]["stored"] and rows["tiny"]["memory"] > rows["tiny"]["size"]
    broken.unlink()  # it is a second name of the file that was given
    broken.write_bytes(b"GGUF")
    assert "tiny" not in {row["id"] for row in call("list", "--fits", "--json").json["models"]}


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_of_a_stored_model(call: Call, model: Path, content: bytes, tmp_path: Path) -> None:
    call("add", model)
    value = call("show", "tiny", "--json").json
    sha256 = hashlib.sha256(content).hexdigest()
    assert value.pop("memory") > len(content)
    assert value.pop("parameters") > 1_000_000 and value.pop("vocabulary") > 400
    assert value.pop("added")
    assert value == {
        "id": "tiny",
        "kind": "gguf",
        "stored": True,
        "folder": f"{tmp_path}/home/models/tiny",
        "size": len(content),
        "source": "tiny.gguf",
        "license": "",
        "files": [{"name": "tiny.gguf", "size": len(content), "sha256": sha256}],
        "name": "tiny",
        "architecture": "llama",
        "quantization": "F16",
        "context": 32768,
        "template": "ChatML",
        "tokenizer": "gpt2",
        "pretokenizer": "gpt-2",
        "context_size": 4096,
        "fits": True,
    }
    lines = dict(line.split(maxsplit=1) for line in call("show", "tiny").out.splitlines() if " " in line.strip())
    assert lines["architecture"] == "llama" and lines["quantization"] == "F16"
    assert lines["context"] == "32,768 tokens" and lines["template"] == "its own, ChatML"
    assert lines["vocabulary"].endswith(" tokens, byte-level BPE (gpt-2)")
    assert lines["memory"].endswith(" MB with a context of 4,096 tokens")
    assert lines["file"] == f"tiny.gguf  {len(content)} bytes  sha256 {sha256}"


def test_show_of_a_path(call: Call, tmp_path: Path) -> None:
    path = build(tmp_path / "dir.gguf", vocabulary="spm", chat_template=None)
    value = call("show", path, "--json").json
    assert (value["id"], value["stored"], value["source"], value["template"]) == ("dir", False, str(path), None)
    assert value["files"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    out = call("show", "dir.gguf").out
    assert "template     none: a plain form is used\n" in out and "tokens, SentencePiece\n" in out


@pytest.mark.parametrize(
    ("template", "family"),
    [
        ("{% for m in messages %}<start_of_turn>{{ m.content }}{% endfor %}", "Gemma"),
        ("{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}", "Mistral"),
        ("{% for m in messages %}<<SYS>>[INST] {{ m.content }}{% endfor %}", "Llama 2"),
        ("{% for m in messages %}<|start_header_id|>{{ m.content }}{% endfor %}", "Llama 3"),
        ("{{ messages[0].content }}", "other"),
    ],
)
def test_families_of_templates(call: Call, tmp_path: Path, template: str, family: str) -> None:
    build(tmp_path / "m.gguf", chat_template=template)
    assert call("show", "m.gguf", "--json").json["template"] == family


def test_show_of_what_is_not_fetched(call: Call) -> None:
    done = call("show", "qwen3-4b")
    assert done.code == 0
    assert "license      Apache-2.0\n" in done.out and "memory       3.4 GB" in done.out
    assert done.err == "hint: it is not in the store; `ragcli models pull qwen3-4b` fetches it\n"
    assert call("show", "qwen3-4b", "--json").json["stored"] is False
    assert call("show", "all-minilm-l6-v2", "--json").json == {
        "id": "all-minilm-l6-v2",
        "kind": "encoder",
        "stored": False,
        "size": 91_334_623,
        "license": "Apache-2.0",
        "languages": ["en"],
    }


def test_show_of_what_is_bad_or_nowhere(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\x03\0\0\0")
    for name in ("bad.gguf", "none.gguf", "./none", "lama-3.2-1b"):
        done = call("show", name)
        assert (done.code, done.out) == (5, "") and len(done.err.splitlines()) == 2
    assert "did you mean llama-3.2-1b?" in done.err


@pytest.mark.parametrize("command", ["show", "verify", "rm"])
def test_near_names(call: Call, model: Path, command: str) -> None:
    call("add", model)
    done = call(command, "TINI")
    assert done.code == 5
    assert error_of(done) == (
        "no model called TINI in the model store",
        "did you mean tiny? `ragcli models list` shows what is here",
    )


def test_text_of_a_model_is_safe(call: Call, tmp_path: Path) -> None:
    evil = "{{ messages }}\x1b]0;title\x07"
    build(tmp_path / "m.gguf", chat_template=evil)
    data = (tmp_path / "m.gguf").read_bytes().replace(b"gpt-2", b"g\x1b[2J", 1)
    (tmp_path / "m.gguf").write_bytes(data)
    out = call("show", "m.gguf").out
    assert "\x1b" not in out and "(g\\x1b[2J)" in out
    assert json.loads(json.dumps(call("show", "m.gguf", "--json").json))["pretokenizer"] == "g\x1b[2J"
