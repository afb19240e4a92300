"""The child process that reads scanned pages. Run as `python -m ragcli.parsing.ocr.worker MEMORY_MB THREADS`.

It first says `{"ready": true}`. A request with `open` brings a PDF's bytes as payload and is answered by `{pages}`;
one with `page` (from 1) is answered by `{confidence, blank, spent}` with the page's text as payload; `blank` is a page
on which nothing is drawn. Either may be answered by `{failed}`, a reason. `spent` asks to be replaced.
"""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from statistics import median
from typing import Any

from ragcli.child import serve
from ragcli.parsing.building import clean
from ragcli.parsing.ocr.extra import models
from ragcli.parsing.ocr.lines import Piece, page_text, plain_line
from ragcli.parsing.worker import OUT_OF_MEMORY, resident_mb

DPI = 200
MAX_SIDE = 2600
"""Longest side of a page's image, in pixels: 13 inches at `DPI`. Larger pages are read less finely."""
_MIN_SIDE = 32
_DETECT_SIDE = 1600  # lines are looked for in a smaller image, and read in the large one
_PLAIN = 8  # levels between the lightest and the darkest pixel of a page on which nothing can be seen
_POLITENESS = 5  # lower priority than that of the encoder, which works at the same time
_WORST_LINE = 0.3  # a line that was read with less confidence is a stain or an ornament
_SURE = 0.85  # what is read with less than that may stand on its head
_ASKEW = math.radians(20)  # a page that lies more awry than that is rare
_LEVEL = 0.2  # of the lines that are less askew; the page is, too, then
_GUTTER = 0.6  # of a line's height, between two columns
_FEWEST_WIDTHS = 2  # heights of a line that what stands beside it is wide
_FEWEST_LINES, _SHARED = 4, 0.6  # that a gutter parts, and their share of those across it
_CELL = 4  # pixels
_SPECKS = 0.05  # of a strip's height: what is darker is no dirt
_SAMPLE = 12  # lines that are read both ways to tell
_MOST_TEXT = 1_000_000
_OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate", "Insufficient memory", "OutOfMemory", "Unable to allocate")
"""How OpenCV, ONNX Runtime and NumPy, through it, say that memory is at an end."""


class Recogniser:
    """The OCR library with the models of its package. Loading raises ImportError where a part is missing."""

    def __init__(self, threads: int) -> None:
        import cv2
        from rapidocr.main import RapidOCR, RapidOCRError

        cv2.setNumThreads(threads)
        self._nothing_found = RapidOCRError
        self._engine = RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_vertical_padding": False,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.limit_type": "max",
                "Det.limit_side_len": _DETECT_SIDE,
                **{f"{task}.model_path": str(path) for task, path in models().items()},
            }
        )

    def read(self, image: Any) -> tuple[str, float]:
        """Return the text of an image (height x width x 3 bytes) and the mean confidence of its characters, 0 to 1.

        A page that lies on its side or stands on its head is turned; one that is askew is read as if it were not.
        """
        import numpy as np

        crops, boxes = self._detect(image)
        if crops and _lies_on_its_side(boxes):
            image = np.ascontiguousarray(np.rot90(image))
            crops, boxes = self._detect(image)
        if not crops:
            return "", 0.0
        crops, boxes = _parted(crops, boxes)
        found = self._recognise(crops)
        if _confidence(found) < _SURE and self._is_on_its_head(crops):
            found = self._recognise(_turned(crops))
            far = np.array([image.shape[1], image.shape[0]], dtype=boxes.dtype)
            boxes = np.roll(far - boxes, 2, axis=1)
        kept = [(*line, box) for line, box in zip(found, boxes, strict=True) if line[0] and line[1] >= _WORST_LINE]
        places = _level([box for _, _, box in kept])
        pieces = [Piece(text, *place) for (text, _, _), place in zip(kept, places, strict=True)]
        return page_text(pieces)[:_MOST_TEXT], _confidence([(text, score) for text, score, _ in kept])

    def _detect(self, image: Any) -> tuple[list[Any], Any]:
        """Return the pictures of the lines, and their boxes: an array of lines x 4 corners x (x, y)."""
        try:
            crops, found = self._engine.detect_and_crop(image, {})
        except self._nothing_found:
            return [], None
        return crops, found.boxes

    def _recognise(self, crops: list[Any]) -> list[tuple[str, float]]:
        """Return the text of each picture of a line, and how sure of it the model is."""
        found = self._engine.recognize_txt(crops)
        return [(plain_line(clean(text)), float(score)) for text, score in zip(found.txts, found.scores, strict=True)]

    def _is_on_its_head(self, crops: list[Any]) -> bool:
        """Return whether lines are read with more confidence when they are turned round.

        The library has a model that tells this from the look of a line; now and then it takes a whole page the wrong
        way.
        """
        longest = sorted(crops, key=lambda crop: -crop.shape[1])[:_SAMPLE]
        return _confidence(self._recognise(_turned(longest))) > _confidence(self._recognise(longest))


def _parted(crops: list[Any], boxes: Any) -> tuple[list[Any], Any]:
    """Cut the pictures of lines, and their boxes, at white strips that several lines share.

    Columns that stand near each other are one line for the detector.
    """
    import numpy as np

    places = _level(list(boxes))
    strips = [list(_strips(crop)) for crop in crops]
    cells = [
        [_cells(left + a / crop.shape[1] * (right - left), left + b / crop.shape[1] * (right - left)) for a, b in its]
        for its, crop, (left, _, right, _) in zip(strips, crops, places, strict=True)
    ]
    white = Counter(cell for its in cells for cell in {cell for strip in its for cell in strip})
    crossed = Counter(cell for left, _, right, _ in places for cell in _cells(left, right))
    shared = {cell for cell, count in white.items() if count >= max(_FEWEST_LINES, _SHARED * crossed[cell])}
    parts: list[Any] = []
    corners: list[Any] = []
    for crop, its, theirs, (a, b, c, d) in zip(crops, strips, cells, boxes, strict=True):
        width = crop.shape[1]
        cuts = [strip for strip, covered in zip(its, theirs, strict=True) if not shared.isdisjoint(covered)]
        for (_, left), (right, _) in pairwise(((0, 0), *cuts, (width, width))):
            parts.append(np.ascontiguousarray(crop[:, left:right]))
            x, y = left / width, right / width
            corners.append((a + (b - a) * x, a + (b - a) * y, d + (c - d) * y, d + (c - d) * x))
    return parts, np.array(corners)


def _cells(left: float, right: float) -> range:
    """Return the cells of a page, each _CELL pixels wide, that lie between two of its x."""
    return range(math.ceil(left / _CELL), math.floor(right / _CELL))


def _strips(crop: Any) -> Iterator[tuple[int, int]]:
    """Yield the begin and end, in pixels, of each white strip in the picture of a line that is as wide as a gutter."""
    height, width = crop.shape[:2]
    grey = crop.mean(axis=2)
    ink = (grey < (grey.min() + grey.max()) / 2).mean(axis=0) > _SPECKS
    for before, after in pairwise(int(at) for at in ink.nonzero()[0]):
        if after - before > _GUTTER * height and min(before, width - after) > _FEWEST_WIDTHS * height:
            yield before + 1, after


def _turned(crops: list[Any]) -> list[Any]:
    import numpy as np

    return [np.ascontiguousarray(crop[::-1, ::-1]) for crop in crops]


def _confidence(lines: list[tuple[str, float]]) -> float:
    """Return the mean confidence of the characters of some lines; 0 where there are none."""
    count = sum(len(text) for text, _ in lines)
    return sum(len(text) * score for text, score in lines) / count if count else 0.0


def _lies_on_its_side(boxes: Any) -> bool:
    """Return whether most of the text, by its length, runs up or down the page."""
    level = upright = 0.0
    for corners in boxes:
        width, height = _distance(corners[0], corners[1]), _distance(corners[0], corners[3])
        if width > height * 1.5:
            level += width
        elif height > width * 1.5:
            upright += height
    return upright > level


def _level(boxes: list[Any]) -> list[tuple[float, float, float, float]]:
    """Return the boxes as left, top, right and bottom, turned so that the lines of the page run level."""
    long = [box for box in boxes if _distance(box[0], box[1]) > 4 * _distance(box[0], box[3])]
    slopes = [math.atan2(box[1][1] - box[0][1], box[1][0] - box[0][0]) for box in long]
    usual = [slope for slope in slopes if abs(slope) < _ASKEW]  # others may be labels of a figure
    slope = median((usual if len(usual) >= _LEVEL * len(slopes) else slopes) or [0.0])
    cos, sin = math.cos(slope), math.sin(slope)
    places = []
    for box in boxes:
        x, y = float(sum(corner[0] for corner in box)) / 4, float(sum(corner[1] for corner in box)) / 4
        width, height = _distance(box[0], box[1]), _distance(box[0], box[3])
        x, y = x * cos + y * sin, y * cos - x * sin
        places.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return places


def _distance(a: Any, b: Any) -> float:
    return math.hypot(float(a[0] - b[0]), float(a[1] - b[1]))


def draw(page: Any) -> Any:
    """Return a page of pdfium as an image, an array of height x width x 3 bytes, of at most MAX_SIDE each way."""
    import numpy as np

    width, height = (max(1.0, side) for side in page.get_size())
    scale = min(DPI / 72, MAX_SIDE / max(width, height))
    image = page.render(scale=scale, maybe_alpha=False).to_numpy()[:, :, :3]
    missing = [(0, max(0, _MIN_SIDE - side)) for side in image.shape[:2]]
    return np.ascontiguousarray(np.pad(image, (*missing, (0, 0)), constant_values=255))


class _Pages:
    """The PDF that is open, and the recogniser of its pages."""

    def __init__(self, threads: int) -> None:
        self._recogniser = Recogniser(threads)
        self._document: Any = None

    def answer(self, request: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes | None]:
        """Do what is asked, and return the reply with its payload. Only MemoryError gets out."""
        try:
            return self._open(data) if "open" in request else self._read(request["page"])
        except MemoryError:
            raise
        except Exception as error:
            if any(word in str(error) for word in _OUT_OF_MEMORY):
                raise MemoryError from None
            last = str(error).strip().rpartition("\n")[2]
            return {"failed": f"{type(error).__name__}: {last}" if last else type(error).__name__}, None

    def _open(self, data: bytes) -> tuple[dict[str, Any], bytes | None]:
        import pypdfium2

        if self._document is not None:
            self._document.close()
            self._document = None
        self._document = pypdfium2.PdfDocument(data)
        return {"pages": len(self._document)}, None

    def _read(self, number: int) -> tuple[dict[str, Any], bytes | None]:
        import pypdfium2

        page = self._document[number - 1]
        try:
            is_empty = pypdfium2.raw.FPDFPage_CountObjects(page) == 0
            image = draw(page)
        finally:
            page.close()
        if is_empty or int(image.max()) - int(image.min()) < _PLAIN:
            return {"confidence": 0.0, "blank": is_empty}, b""
        text, confidence = self._recogniser.read(image)
        return {"confidence": confidence, "blank": False}, text.encode("utf-8", "replace")


def main() -> None:
    """Answer requests until the parent closes the channel."""
    memory_mb, threads = int(sys.argv[1]), int(sys.argv[2])
    channel = serve(memory_mb)
    with suppress(AttributeError, OSError):
        os.nice(_POLITENESS)
    pages = _Pages(threads)
    channel.send({"ready": True})
    while True:
        try:
            reply, text = pages.answer(*channel.receive())
            channel.send({**reply, "spent": resident_mb() > memory_mb / 2}, text)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main()
