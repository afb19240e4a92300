"""What the extra `ragcli[ocr]` holds, found without loading any of it.

Its models lie inside its package, so nothing is ever downloaded: a model that is missing there is a part that is
missing, and the library, which would fetch it, is not started.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

INSTALL = 'pip install "ragcli[ocr]"'
REPAIR = 'pip install --force-reinstall "rapidocr>=3.10,<3.11"'
"""Not the extra itself: that would build llama.cpp anew."""

_LIBRARY = "rapidocr"
_NEEDED = ("cv2", "numpy", "omegaconf", "onnxruntime", "PIL", "pyclipper", "pypdfium2", "shapely", "yaml")
_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}


def is_installed() -> bool:
    """Return whether the OCR library is there, be it whole or not."""
    return _place(_LIBRARY) is not None


def lacking() -> tuple[str, ...]:
    """Return the names of the parts that are missing: modules and model files; none where OCR can start."""
    modules = [name for name in (_LIBRARY, *_NEEDED) if _place(name) is None]
    if _LIBRARY in modules:
        return tuple(modules)
    return (*modules, *(path.name for path in models().values() if not path.is_file()))


def version() -> int:
    """Return what OCR can do here: 0 where it cannot start, else the version of what it makes of a page, from 1."""
    return 0 if lacking() else 2


def models() -> dict[str, Path]:
    """Return the model files by the library's names of their tasks. The library has to be installed."""
    package = _place(_LIBRARY)
    assert package is not None
    return {task: package / "models" / name for task, name in _MODELS.items()}


def _place(module: str) -> Path | None:
    """Return the folder of a top-level package, or of a module, without loading it."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
