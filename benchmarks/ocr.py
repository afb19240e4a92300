"""How well and how fast scanned pages are read: share of wrong characters, seconds a page, memory.

Pages of made-up English text and of the Chinese manual in sample_docs/ are drawn at 300, 200, 150 and 100 dots per
inch, as they are and as a bad scanner would give them (turned by 1.5 degrees, with noise), on their sides and on their
heads. Then they are spoilt more and more, to see what confidence goes with what share of wrong characters.

White space is left out of the comparison. Errors are edits (characters put in, left out or changed) divided by the
length of the truth. Seconds are of one thread, the page's drawing left out. Two columns of English are one more page.

    python benchmarks/ocr.py [--dpi 300 200 150 100] [--threads 1]
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import pypdfium2
from common import ROOT, report
from fpdf import FPDF
from made_up import sentence
from PIL import Image, ImageFilter

from ragcli.parsing.ocr.worker import DPI, Recogniser

LANGUAGES = ("en", "zh")
TILT, NOISE = 1.5, 12
SPOILT = ((72, 0.0), (72, 1.0), (50, 0.0), (50, 1.0), (40, 0.5), (40, 1.0), (30, 0.5))
"""Dots per inch of a scan, and how far it is blurred, in its pixels."""


def english_pdf() -> bytes:
    """Return a PDF of one page of prose in 11 points and one of two columns in 9 points."""
    rng = random.Random(5)
    pdf = FPDF()
    pdf.set_font("times", size=11)
    pdf.add_page()
    for _ in range(6):
        pdf.multi_cell(0, text=" ".join(sentence(rng) for _ in range(7)), h=5.2, align="L")
        pdf.ln(3)
    pdf.set_font("times", size=9)
    pdf.add_page()
    for left in (15, 110):
        pdf.set_xy(left, 20)
        for _ in range(5):
            pdf.set_x(left)
            pdf.multi_cell(85, text=" ".join(sentence(rng) for _ in range(6)), h=4.2, align="L")
    return bytes(pdf.output())


def pages() -> dict[str, tuple[pypdfium2.PdfDocument, int, str]]:
    """Return the pages by name: a document, the page's index in it, and its text."""
    english = pypdfium2.PdfDocument(english_pdf())
    (path,) = (ROOT / "sample_docs").glob("*/VC-4*.pdf")
    chinese = pypdfium2.PdfDocument(path)
    places = {"en": (english, 0), "columns": (english, 1), "zh": (chinese, 1)}
    return {name: (file, at, file[at].get_textpage().get_text_range()) for name, (file, at) in places.items()}


def scan(place: tuple[pypdfium2.PdfDocument, int, str], dpi: int, *, bad: bool = False, turn: int = 0) -> Image.Image:
    """Return a page as a scanner would give it."""
    document, at, _ = place
    drawn: Image.Image = document[at].render(scale=dpi / 72).to_pil().convert("L")
    if turn:
        drawn = drawn.rotate(turn, expand=True)
    if bad:
        drawn = drawn.rotate(TILT, fillcolor=255, resample=Image.Resampling.BICUBIC)
        noisy = np.asarray(drawn) + np.random.default_rng(7).normal(0, NOISE, (drawn.height, drawn.width))
        drawn = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    return drawn


def read(recogniser: Recogniser, drawn: Image.Image, dpi: int) -> tuple[str, float, float]:
    """Return a scan's text, the confidence, and the seconds it took, drawn as the worker draws a page."""
    size = (round(drawn.width * DPI / dpi), round(drawn.height * DPI / dpi))
    grey = np.asarray(drawn.resize(size, Image.Resampling.BILINEAR))
    image = np.ascontiguousarray(np.stack([grey] * 3, axis=-1))
    start = time.perf_counter()
    text, confidence = recogniser.read(image)
    return text, confidence, time.perf_counter() - start


def errors(truth: str, found: str) -> float:
    """Return the edits that make `truth` of `found`, divided by its length; white space is left out of both."""
    a, b = ("".join(text.split()) for text in (truth, found))
    letters = np.array([ord(letter) for letter in b])
    row = np.arange(len(b) + 1)
    for number, letter in enumerate(a, 1):
        free = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(letter)))
        row = np.concatenate(([number], free))
        steps = np.arange(len(row))
        row = np.minimum.accumulate(row - steps) + steps
    return float(row[-1]) / len(a)


def measured(recogniser: Recogniser, resolutions: Sequence[int]) -> dict[str, Any]:
    """Return the figures."""
    places = pages()
    wrong: dict[str, float] = {}
    seconds: dict[str, list[float]] = {name: [] for name in places}

    def measure(name: str, label: str, drawn: Image.Image, dpi: int) -> tuple[float, float]:
        text, confidence, took = read(recogniser, drawn, dpi)
        seconds[name].append(took)
        share = errors(places[name][2], text)
        print(f"{label}: {share:.4f} wrong, confidence {confidence:.2f}, {took:.1f} s", file=sys.stderr)
        return share, confidence

    def note(name: str, label: str, drawn: Image.Image, dpi: int) -> None:
        wrong[label] = round(measure(name, label, drawn, dpi)[0], 4)

    for name in LANGUAGES:
        for dpi in resolutions:
            note(name, f"{name} {dpi}", scan(places[name], dpi), dpi)
            note(name, f"{name} {dpi} bad", scan(places[name], dpi, bad=True), dpi)
    note("columns", "columns 150", scan(places["columns"], 150), 150)
    note("columns", "columns 150 bad", scan(places["columns"], 150, bad=True), 150)
    took = {name: round(median(seconds[name]), 1) for name in LANGUAGES}
    for name in LANGUAGES:
        for turn in (90, 180, 270):
            note(name, f"{name} 150 turned {turn}", scan(places[name], 150, turn=turn), 150)
    doubtful = []
    for name in LANGUAGES:
        for dpi, blur in SPOILT:
            drawn = scan(places[name], dpi).filter(ImageFilter.GaussianBlur(blur))
            share, confidence = measure(name, f"{name} {dpi} blurred by {blur}", drawn, dpi)
            doubtful.append([name, dpi, blur, round(confidence, 2), round(share, 3)])
    return {"wrong": wrong, "seconds_per_page": took, "spoilt: dpi, blur, confidence, wrong": doubtful}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dpi", type=int, nargs="+", default=[300, 200, 150, 100])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    start = time.perf_counter()
    recogniser = Recogniser(args.threads)
    recogniser.read(np.full((400, 400, 3), 255, dtype=np.uint8))
    loaded = time.perf_counter() - start
    figures = measured(recogniser, args.dpi)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report("ocr", threads=args.threads, start_seconds=round(loaded, 1), peak_memory_mb=round(peak), **figures)


if __name__ == "__main__":
    main()
