"""What llama.cpp runs on here, and how many layers to put where. Used in the child process only."""

from __future__ import annotations

import ctypes
from typing import Any

_KINDS = {0: "cpu", 1: "gpu", 2: "gpu", 3: "accelerator"}  # ggml-backend.h: ggml_backend_dev_type


def offloads() -> bool:
    """Return whether this build of llama.cpp finds a device that layers can be put on."""
    from ragcli.llama.model import begin, c

    begin()
    return bool(c.llama_supports_gpu_offload())


def devices() -> list[dict[str, str]]:
    """Return name, kind and description of each device that llama.cpp sees."""
    from ragcli.llama.model import begin

    begin()
    try:
        from llama_cpp._ggml import libggml

        count = _function(libggml, "count", ctypes.c_size_t)()
        device = _function(libggml, "get", ctypes.c_void_p, ctypes.c_size_t)
        name, description = (_function(libggml, f, ctypes.c_char_p, ctypes.c_void_p) for f in ("name", "description"))
        kind = _function(libggml, "type", ctypes.c_int, ctypes.c_void_p)
    except (ImportError, AttributeError):  # another version keeps them elsewhere
        return []
    return [
        {
            "name": name(one).decode("utf-8", "replace"),
            "kind": _KINDS.get(kind(one), "other"),
            "description": description(one).decode("utf-8", "replace"),
        }
        for one in map(device, range(count))
    ]


def _function(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, f"ggml_backend_dev_{name}")
    function.restype, function.argtypes = result, list(arguments)
    return function


def layers_to_try(device: str, layers: int, can_offload: bool) -> list[int]:
    """Return how many layers to put on a GPU: all, and should it have no room for them, half, and then none.

    A model has `layers` and one for its output.
    """
    whole = layers + 1
    return [0] if device == "cpu" or not can_offload else list(dict.fromkeys([whole, whole // 2, 0]))
