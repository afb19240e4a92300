"""Whether a model has room in memory, asked before anything loads it: later, the system would end a process for it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ragcli.errors import ModelFailed
from ragcli.llama.gguf import GgufInfo, memory_needed

_LARGE = frozenset({"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1"})
"""Quantizations to which Q4_K_M is a smaller one."""
_GPU_LIBRARIES = ("cuda", "metal", "vulkan", "hip", "sycl", "musa", "cann", "opencl")


def check_memory(info: GgufInfo, context_size: int, device: str = "cpu", free: int | None = None) -> None:
    """Raise ModelFailed where weights and context are larger than the `free` memory; by default, this machine's.

    Weights on a GPU take none of it, so a build of llama.cpp that may put them there is left to find out for itself.
    """
    if device != "cpu" and _may_offload():
        return
    free = available_memory() if free is None else free
    needed = memory_needed(info, context_size)
    total = needed.weights + needed.cache
    if free is None or total <= free:
        return
    raise ModelFailed(
        f"the model needs about {_gb(total)} ({_gb(needed.weights)} file, {_gb(needed.cache)} for a context of "
        f"{context_size} tokens), and {_gb(free)} are free",
        _advice(info, context_size, free),
    )


def _advice(info: GgufInfo, context_size: int, free: int) -> str:
    fits = (size for size in (1 << n for n in range(20, 8, -1)) if size < context_size)
    context = next((size for size in fits if _total(info, size) <= free), 0)
    smaller = "a smaller quantization, such as Q4_K_M" if info.quantization in _LARGE else "a smaller model"
    if context:
        return f"lower the context with `ragcli config set context_size {context}`, or take {smaller}"
    return f"take {smaller}"


def _total(info: GgufInfo, context_size: int) -> int:
    needed = memory_needed(info, context_size)
    return needed.weights + needed.cache


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that programs may still take, or None where the system does not say.

    Files in the system's cache count as available: mapped weights that are there already are among them.
    """
    found = [n for n in (_by_meminfo(root), _by_control_group(root)) if n is not None]
    if found:
        return max(0, min(found))
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _by_meminfo(root: Path) -> int | None:
    try:
        return _value(root / "proc/meminfo", "MemAvailable:") * 1024
    except (OSError, ValueError, LookupError):
        return None


def _by_control_group(root: Path) -> int | None:
    """Return what the limits of this process's control group, and of those around it, leave (version 2)."""
    try:
        (line,) = (x for x in (root / "proc/self/cgroup").read_text("utf-8").splitlines() if x.startswith("0::"))
    except (OSError, ValueError):
        return None
    top = root / "sys/fs/cgroup"
    group = top / line.removeprefix("0::").lstrip("/")
    left = []
    for folder in (group, *group.parents):
        try:
            limit, used = ((folder / f"memory.{name}").read_text("ascii").strip() for name in ("max", "current"))
            left.append(int(limit) - int(used) + _value(folder / "memory.stat", "file"))
        except (OSError, ValueError, LookupError):  # no limit here
            pass
        if folder == top:
            break
    return min(left, default=None)


def _value(path: Path, name: str) -> int:
    """Return the number that stands after `name` in a file of lines."""
    values = dict(line.split()[:2] for line in path.read_text("ascii").splitlines() if len(line.split()) > 1)
    return int(values[name])


def _may_offload() -> bool:
    """Return whether llama.cpp was built with something for GPUs, without loading it."""
    package = importlib.util.find_spec("llama_cpp")
    folders = [] if package is None else [Path(f) / "lib" for f in package.submodule_search_locations or ()]
    names = [file.name for folder in folders if folder.is_dir() for file in folder.iterdir()]
    return any(f"ggml-{library}" in name for name in names for library in _GPU_LIBRARIES)
