"""llama_cpp's C interface without the rest of its package. Used in the child process only.

`import llama_cpp` loads numpy, jinja2 and more for its `Llama` class, which is not used here, in twice the time that
the C interface takes with all else that the child does before it loads a model.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGE = "llama_cpp"


def bindings() -> Any:
    """Return the module `llama_cpp.llama_cpp`. The package itself stays as it was: loaded by whoever imports it."""
    spec = None if _PACKAGE in sys.modules else importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        return importlib.import_module(f"{_PACKAGE}.llama_cpp")
    stand_in = ModuleType(_PACKAGE)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = stand_in
    try:
        return importlib.import_module(f"{_PACKAGE}.llama_cpp")
    finally:
        del sys.modules[_PACKAGE]
