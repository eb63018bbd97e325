"""Scores against seconds: a point for each contender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from shared.pictures import NO_DATES

from .summary import Result, geometric_mean, means, names

FAMILIES = {  # by the first word of a contender's name
    "tinynet": "#ca0020", "RealMLP": "#7b3294", "sklearn": "#d9a300", "HistGradientBoosting": "#0571b0",
    "LightGBM": "#0571b0", "CatBoost": "#0571b0",
}  # fmt: skip
POINT = 5  # pixels from a point's centre to its edge
# Where a name may be, the best first: points to the right and up from its point, and which of its ends is there.
PLACES = [
    (side * right, up, end)
    for right, up in ((8, 0), (8, 12), (8, -12), (8, 24), (8, -24), (8, 36), (8, -36), (20, 48), (20, -48))
    for side, end in ((1, "left"), (-1, "right"))
]


def points(results: Sequence[Result]) -> tuple[int, dict[str, tuple[float, float]]]:
    """How many tables all contenders were measured on; by contender, CPU seconds and score on these.

    Seconds are the geometric mean; scores are normalised, 0 for the worst on a table and 1 for the best, and averaged.
    """
    contenders = names(results, "contender")
    scores, seconds = (means(results, value, contenders) for value in ("score", "cpu_seconds"))
    return len(scores), {
        name: (
            geometric_mean([of_table[name] for of_table in seconds.values()]),
            fmean(normalised(of_table)[name] for of_table in scores.values()),
        )
        for name in (contenders if scores else [])
    }


def normalised(scores: dict[str, float]) -> dict[str, float]:
    """From 0, the worst, to 1, the best; 1 for all where all are equal."""
    low, high = min(scores.values()), max(scores.values())
    return {name: (score - low) / (high - low) if high > low else 1.0 for name, score in scores.items()}


def draw(results: Sequence[Result], machine: dict[str, Any], path: Path) -> None:
    """Writes the picture in the format of the path's ending; nothing where contenders have no table in common."""
    tables, found = points(results)
    if not found:
        return
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.set_xscale("log")
    for name, (seconds, score) in found.items():
        axes.scatter(seconds, score, color=colour(name), s=50, zorder=3)
    axes.set_xlim(min(s for s, _ in found.values()) / 2, max(s for s, _ in found.values()) * 2)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel("CPU seconds of a fit, geometric mean")
    axes.set_ylabel("score: 0 the worst, 1 the best on a table; mean")
    axes.set_title(f"{tables} table{'s' * (tables > 1)}: {machine['cpu']}", fontsize=10)
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
    axes.grid(color="#dddddd", zorder=0)
    label(figure, axes, found)
    figure.savefig(path, dpi=120, metadata=NO_DATES.get(path.suffix.lower(), {}))
    plt.close(figure)


def colour(name: str) -> str:
    """The same for contenders of one family."""
    return FAMILIES.get(name.split("-")[0], FAMILIES["tinynet"])  # a variant has not the family in its name


def label(figure: Any, axes: Any, found: dict[str, tuple[float, float]]) -> None:
    """Names beside their points, each at the first place where it is inside and covers no point and no other name."""
    figure.draw_without_rendering()  # fixes where things are
    inside = axes.get_window_extent()
    places = [axes.transData.transform(point) for point in found.values()]
    taken = [Bbox.from_extents(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in places]
    for name, point in found.items():
        for place in PLACES:
            text = axes.annotate(
                f"{name}, {point[0]:.2g} s", point, place[:2], textcoords="offset points", ha=place[2], va="center",
                fontsize=9, color=colour(name), arrowprops={"arrowstyle": "-", "color": "#aaaaaa", "shrinkA": 0},
            )  # fmt: skip
            text.get_window_extent()  # moves the text to where it belongs
            box = Text.get_window_extent(text)  # without its line
            fits = inside.containsx(box.x0) and inside.containsx(box.x1) and inside.containsy(box.y0)
            if (fits and not box.count_overlaps(taken)) or place is PLACES[-1]:
                taken.append(box)
                break
            text.remove()
