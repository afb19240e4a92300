"""`ragcli config` and `ragcli models`: what they print."""

from __future__ import annotations

from pathlib import Path

from corpora import Corpus

from ragcli.settings import FIELDS


def test_config_show_names_every_setting_and_its_origin(ragcli, home: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (home / "config.toml").write_text("max_pages = 7\n", "utf-8")
    (tmp_path / "ragcli.toml").write_text('device = "cpu"\n', "utf-8")
    done = ragcli("config", "show", RAGCLI_JOBS="3")
    assert (done.code, done.err) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.out.splitlines()}
    assert list(rows) == [field.name for field in FIELDS]
    assert rows["max_pages"] == ["7", f"{home}/config.toml"]
    assert rows["device"] == ["cpu", f"{tmp_path}/ragcli.toml"]
    assert rows["jobs"] == ["3", "RAGCLI_JOBS"]
    assert rows["offline"] == ["false", "default"]
    assert rows["model"] == ["-", "default"]
    value = ragcli("config", "show", "--json", RAGCLI_JOBS="3").json
    assert value["settings"]["jobs"] == {
        "value": 3,
        "origin": "RAGCLI_JOBS",
        "variable": "RAGCLI_JOBS",
        "help": next(field.help for field in FIELDS if field.name == "jobs"),
    }
    assert (value["home"], value["index"]) == (str(home), f"{home}/index")


def test_config_show_line_by_line(ragcli) -> None:  # type: ignore[no-untyped-def]
    assert ragcli("config", "show").out.splitlines()[:3] == [
        "index            -            default",
        "offline          false        default",
        "encoder          -            default",
    ]


def test_config_path(ragcli, home: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert ragcli("config", "path").out == (
        f"home     {home}\nuser     {home}/config.toml\nproject  -\nindex    {home}/index\n"
    )
    assert ragcli("init").code == 0
    rows = ragcli("config", "path", "--json").json
    assert rows["project"] == f"{tmp_path}/ragcli.toml" and rows["index"] == f"{tmp_path}/.ragcli"


def test_config_set(ragcli, home: Path) -> None:  # type: ignore[no-untyped-def]
    done = ragcli("config", "set", "max_tokens", "99")
    assert (done.code, done.out) == (0, f"max_tokens = 99 in {home}/config.toml\n")
    assert ragcli("config", "show", "--json").json["settings"]["max_tokens"]["value"] == 99
    assert (home / "config.toml").stat().st_mode & 0o077 == 0


def test_models_list_and_show(small: Corpus) -> None:
    assert small.call("models", "list").out.splitlines()[:2] == [
        "all-minilm-l6-v2       encoder  91.4 MB",
        "multilingual-e5-small  encoder  not fetched; 487.0 MB; reads 100 languages; MIT",
    ]
    shown = small.call("models", "show", "all-minilm-l6-v2").out.splitlines()
    assert shown[0] == "id       all-minilm-l6-v2"
    assert shown[1] == "kind     encoder"
    assert any(line.startswith("file     model.safetensors  90868376 bytes  sha256 53aa5117") for line in shown)


def test_models_verify(small: Corpus) -> None:
    done = small.call("models", "verify", "all-minilm-l6-v2")
    assert (done.code, done.out) == (0, "all-minilm-l6-v2: ok\n")


def test_offline_names_the_command_that_gets_what_is_missing(ragcli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.md").write_text("pump", "utf-8")
    empty = str(tmp_path / "empty")
    for arguments in (["models", "pull", "all-minilm-l6-v2"], ["ingest", "a.md"]):
        done = ragcli(*arguments, RAGCLI_HOME=empty, RAGCLI_OFFLINE="1")
        assert (done.code, done.out) == (5, "")
        assert done.err.splitlines()[-1].startswith("hint: ") and "ragcli models" in done.err


def test_looking_at_an_index(small: Corpus) -> None:
    assert small.call("sources").out == (
        "price.csv  csv  main\npump.md  markdown  main\nsheet.pdf  pdf  2 pages  main\nsub/阀门.md  markdown  main\n"
    )
    assert small.run(["show", "pump.md"]).stdout == (small.documents / "pump.md").read_bytes() + b"\n"
    assert small.call("show", "sheet.pdf:p2").out == "The fuse is on page two.\n"
    done = small.call("sources", "--failed")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1] == "no file failed"


def test_status(small: Corpus) -> None:
    value = small.call("status", "--json").json
    lines = small.call("status").out.splitlines()
    assert lines[:5] == [
        f"index        {small.index}",
        "documents    4",
        "chunks       5, 4 with a vector",
        "collections  main",
        "encoder      all-minilm-l6-v2",
    ]
    assert lines[-1] == f"from         {small.documents}"
    assert (value["documents"], value["chunks"], value["vectors"], value["damage"]) == (4, 5, 4, None)
