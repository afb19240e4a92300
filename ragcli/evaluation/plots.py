"""The report's pictures, as SVG that takes its colours from the page: matplotlib draws, text stays text.

A colour is drawn as a number that stands for a name of the page's palette, and becomes `var(--name)` afterwards, so
that one picture is right in light and in dark. Style attributes become presentation attributes, which the page's
content policy lets through. No text of a document, question or answer enters a picture.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ragcli.evaluation.statistics import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = {
    "#000001": "ink",
    "#000002": "muted",
    "#000003": "line",
    "#000004": "accent",
    "#000005": "good",
    "#000006": "bad",
    "#000007": "care",
    "#000008": "paper",
}
INK, MUTED, LINE, ACCENT, GOOD, BAD, CARE, PAPER = PALETTE
PALETTE["#000000"] = "ink"  # what matplotlib draws where nothing was said
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "text.color": INK,
    "text.parse_math": False,
}
MOST_RANKS = 20
"""Ranks that the score picture goes down to."""

Interval = tuple[float, float, float]
"""A value with its low and high bound."""


def stage_plane(
    illusory: Interval, flexible: Interval | None, limits: tuple[float, float], baseline: tuple[float, float] | None
) -> str:
    """Draw a run in the plane that the stages divide: the illusory share against the flexible share.

    Args:
        illusory: The illusory share with its interval, 0 to 1.
        flexible: The flexible share with its interval, or None where no case asks for an explanation.
        limits: The illusory share above which a run is in stage 1, and the flexible share from which it is in 3.
        baseline: The baseline's two shares, or None.
    """
    most, least = limits
    figure, axes = _figure((4.6, 3.5), grid=False)
    for left, right, bottom, top, colour in (
        (most, 1, 0, 1, BAD),
        (0, most, 0, least, CARE),
        (0, most, least, 1, GOOD),
    ):
        axes.fill_between([left, right], bottom, top, color=colour, alpha=0.13, linewidth=0)
    axes.axvline(most, color=LINE, linewidth=1)
    axes.plot([0, most], [least, least], color=LINE, linewidth=1)
    for x, y, name in ((0.985, 0.97, "1 illusory"), (0.015, 0.08, "2 rigid"), (0.015, 0.97, "3 flexible")):
        axes.text(x, y, name, color=INK, fontsize=9, va="top", ha="right" if x > 0.5 else "left")
    value, low, high = illusory
    if flexible is None:
        axes.axvspan(low, high, color=ACCENT, alpha=0.3, linewidth=0)
        axes.axvline(value, color=ACCENT, linewidth=2)
    else:
        y, bottom, top = flexible
        axes.plot([low, high], [y, y], color=ACCENT, linewidth=2)
        axes.plot([value, value], [bottom, top], color=ACCENT, linewidth=2)
        axes.plot([value], [y], "o", color=ACCENT, markersize=8)
        if baseline is not None:
            axes.plot(*[[point] for point in baseline], "o", markeredgecolor=MUTED, markerfacecolor=PAPER, markersize=7)
            axes.annotate("", (value, y), baseline, arrowprops={"arrowstyle": "->", "color": MUTED, "shrinkB": 7})
            axes.annotate("baseline", baseline, (7, -11), textcoords="offset points", color=MUTED, fontsize=9)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="illusory: wrong or unsupported answers, share of all")
    axes.set_ylabel("flexible: right, in own words")
    second = "no question asks for an explanation" if flexible is None else f"flexible share {flexible[0]:.2f}"
    return _svg(figure, "stage", f"Illusory share {value:.2f} ({low:.2f} to {high:.2f}), {second}.")


def right_by_rank(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the share of correct answers by the rank of the first right passage, 1 / mrr, with Wilson intervals."""
    shares = _right_by_rank(rows)
    if not shares:
        return None
    figure, axes = _figure()
    for place, (_, right, count) in enumerate(shares):
        axes.plot([place, place], wilson(right, count), color=ACCENT, linewidth=2)
        axes.plot([place], [right / count], "o", color=ACCENT, markersize=6, clip_on=False)
    axes.set_xticks(range(len(shares)), [f"{label}\nn {count}" for label, _, count in shares])
    axes.set(ylim=(0, 1), xlim=(-0.5, len(shares) - 0.5), xlabel="rank of the first right passage")
    axes.set_ylabel("share of answers correct")
    axes.grid(axis="x", visible=False)
    told = "; ".join(f"rank {label}: {right} of {count}" for label, right, count in shares)
    return _svg(figure, "ranks", f"Correct answers by the rank of the first right passage. {told}.")


def scores_by_rank(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the retrieval score by rank: median, and 10th to 90th percentile, apart for right and wrong answers."""
    import numpy
    from matplotlib.ticker import MaxNLocator

    groups = {name: _scores_by_rank(rows, name == "correct") for name in ("correct", "not correct")}
    if not any(groups.values()):
        return None
    figure, axes = _figure()
    told = []
    for (name, by_rank), colour, dashes in zip(groups.items(), (GOOD, BAD), ("-", "--"), strict=True):
        if by_rank:
            at = sorted(by_rank)
            low, middle, high = numpy.array([numpy.quantile(by_rank[rank], (0.1, 0.5, 0.9)) for rank in at]).T
            axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
            axes.plot(at, middle, dashes, marker="o", color=colour, markersize=4, label=f"answer {name}")
            told.append(f"{name}: median {middle[0]:.2f} at rank {at[0]}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="rank in the context", ylabel="retrieval score")
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, labelcolor=MUTED)
    return _svg(figure, "scores", f"Retrieval score by rank. {'; '.join(told)}.")


def latency(times: Sequence[float]) -> str | None:
    """Draw the distribution of the time per question, in milliseconds, or None where none is known."""
    import numpy
    from matplotlib.ticker import MaxNLocator

    kept = numpy.array([time for time in times if time > 0])
    if not kept.size:
        return None
    low, high = float(kept.min()), float(kept.max())
    figure, axes = _figure()
    wide = high / low > 20
    edges = numpy.geomspace(low, high * 1.0001, 31) if wide else numpy.linspace(low * 0.999, high * 1.001, 31)
    axes.hist(kept, bins=list(edges), color=ACCENT, alpha=0.55, edgecolor=PAPER, linewidth=0.4)
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda *_: "")
    middle, late = (float(value) for value in numpy.quantile(kept, (0.5, 0.95)))
    for value in (middle, late):
        axes.axvline(value, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="milliseconds per question", ylabel="questions")
    axes.set_title(f"median {middle:,.0f} ms, 95% within {late:,.0f} ms", color=MUTED, fontsize=9)
    axes.grid(axis="x", visible=False)
    return _svg(figure, "latency", f"Time per question: median {middle:,.0f} ms, 95th percentile {late:,.0f} ms.")


def _right_by_rank(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """Return (rank, correct answers, answers) by the rank of the first right passage, the last for none found."""
    counted: dict[int, list[int]] = {}
    for row in rows:
        found = row["metrics"].get("mrr")
        if found is None or not row["answerable"] or not row["outcome"]:
            continue
        rank = round(1 / found) if found > 1e-6 else 0
        place = rank if rank <= 5 else 6
        count = counted.setdefault(place, [0, 0])
        count[0] += row["outcome"] == "correct"
        count[1] += 1
    order = sorted(counted, key=lambda place: place or 7)
    return [({0: "none", 6: "6 on"}.get(place, str(place)), *counted[place]) for place in order]  # type: ignore[misc]


def _scores_by_rank(rows: Iterable[Mapping[str, Any]], correct: bool) -> dict[int, list[float]]:
    """Return the retrieval scores by rank, of the rows whose answer is correct or of those whose answer is not."""
    scores: dict[int, list[float]] = {}
    for row in rows:
        if row["outcome"] and (row["outcome"] == "correct") == correct:
            for hit in row["hits"]:
                if hit["score"] is not None and hit["rank"] and 1 <= hit["rank"] <= MOST_RANKS:
                    scores.setdefault(int(hit["rank"]), []).append(hit["score"])
    return scores


def _figure(inches: tuple[float, float] = (4.0, 2.8), grid: bool = True) -> tuple[Figure, Axes]:
    """Return a figure of one panel. No window system and no state of pyplot is touched."""
    import matplotlib
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it tells of its first look at the fonts
    with matplotlib.rc_context({**_SETTINGS, "axes.grid": grid}):
        figure = Figure(figsize=inches, layout="constrained")
        return figure, figure.subplots()


def _svg(figure: Figure, name: str, told: str) -> str:
    """Return a figure as an `<svg>` element with the page's colours. `told` says in words what it shows."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    box = re.search(r'viewBox="[\d. ]+"', text)
    assert box is not None
    body = text[text.index("</defs>") + len("</defs>") :]  # behind the metadata and the style that holds for all
    body = re.sub(r' style="([^"]*)"', _attributes, body)
    body = re.sub(r'(id="|url\(#)', rf"\1{name}-", body).replace('xlink:href="#', f'href="#{name}-')
    return f'<svg class="plot" {box[0]} role="img" aria-label="{escape(told)}">{body.strip()}'


def _attributes(style: re.Match[str]) -> str:
    """Return a style as presentation attributes, its colours as the page's. The font is the page's."""
    pairs = [part.split(": ", 1) for part in style[1].split("; ")]
    kept = [(key, PALETTE.get(value, "")) + (value,) for key, value in pairs if key != "font-family"]
    return "".join(f' {key}="{f"var(--{name})" if name else value}"' for key, name, value in kept)
