"""Memory is checked before anything loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from llama.llama_types import Build, Open

from ragcli.errors import ModelFailed
from ragcli.llama.gguf import inspect, memory_needed
from ragcli.llama.memory import available_memory, check_memory

MB = 1 << 20


def system(root: Path, meminfo: str = "", group: str = "", **files: str) -> Path:
    """Write the files in which a Linux system says what memory it has."""
    for name, text in {"proc/meminfo": meminfo, "proc/self/cgroup": group, **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:  16000000 kB\nMemFree:  1000 kB\nMemAvailable:    8000 kB\nHugePages_Total:       0\n"


def test_what_the_system_has(tmp_path: Path) -> None:
    assert available_memory(system(tmp_path, MEMINFO)) == 8000 * 1024


def test_a_control_group_may_have_less(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/team/job"
    group.mkdir(parents=True)
    system(tmp_path, MEMINFO, "0::/team/job\n")
    assert available_memory(tmp_path) == 8000 * 1024  # no limit is set
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text(f"{3 * MB}\n")
    (group / "memory.stat").write_text(f"anon {MB}\nfile {2 * MB}\n")
    assert available_memory(tmp_path) == 8000 * 1024
    (group / "memory.max").write_text(f"{5 * MB}\n")
    assert available_memory(tmp_path) == 4 * MB  # what is cached of files can be given up
    for name, text in (("max", 6 * MB), ("current", 5 * MB)):
        (group.parent / f"memory.{name}").write_text(f"{text}\n")
    (group.parent / "memory.stat").write_text("file 0\n")
    assert available_memory(tmp_path) == MB  # the group around it has less
    (group / "memory.max").write_text("0\n")
    assert available_memory(tmp_path) == 0


@pytest.mark.parametrize("text", ["", "MemAvailable:\n", "MemAvailable: lots kB\n", "\xff"])
def test_a_system_that_says_nothing_of_use(tmp_path: Path, text: str) -> None:
    free = available_memory(system(tmp_path, text, "1:name=systemd:/\nnonsense"))
    assert free is None or free > 0


def test_a_model_that_does_not_fit(build: Build) -> None:
    info = inspect(build())
    needed = memory_needed(info, 32768)
    check_memory(info, 32768, free=needed.weights + needed.cache)
    with pytest.raises(ModelFailed, match="the model needs about 0.0 GB") as caught:
        check_memory(info, 32768, free=needed.weights + needed.cache - 1)
    assert caught.value.exit_code == 5
    assert "context of 32768 tokens), and 0.0 GB are free" in caught.value.message
    assert caught.value.hint.startswith("lower the context with `ragcli config set context_size 16384`")
    assert "Q4_K_M" in caught.value.hint  # it is F16
    with pytest.raises(ModelFailed) as caught:
        check_memory(info, 32768, free=1000)
    assert caught.value.hint == "take a smaller quantization, such as Q4_K_M"
    with pytest.raises(ModelFailed) as caught:
        check_memory(inspect(build(quantize="Q4_K_M")), 32768, free=1000)
    assert caught.value.hint == "take a smaller model"


def test_a_context_larger_than_memory_is_refused_before_anything_starts(build: Build, open_model: Open) -> None:
    free = available_memory()
    if free is None:
        pytest.skip("this system does not say what memory it has")
    path = build(context_length=2**31)
    each = memory_needed(inspect(path), 1 << 20).cache // (1 << 20)
    context = min(2**31, free // each + (1 << 20))
    with pytest.raises(ModelFailed, match=f"GB for a context of {context} tokens") as caught:
        open_model(path, context_size=context)
    assert "context_size" in caught.value.hint
