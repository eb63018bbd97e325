"""Scores against seconds: a point for each contender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .summary import Result, geometric_mean, means, names

NO_DATES = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # the same report, the same file
FAMILIES = {  # by the first word of a contender's name
    "tinynet": "#ca0020", "RealMLP": "#7b3294", "sklearn": "#d9a300", "HistGradientBoosting": "#0571b0",
    "LightGBM": "#0571b0", "CatBoost": "#0571b0",
}  # fmt: skip
LABEL_HEIGHT = 0.045  # of the axes


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
        colour = FAMILIES[name.split("-")[0]]
        axes.scatter(seconds, score, color=colour, s=50, zorder=3)
    low, high = min(s for s, _ in found.values()), max(s for s, _ in found.values())
    axes.set_xlim(low / 1.6, high * 6)  # room for the labels, which are right of their points
    axes.set_ylim(-0.05, 1.05)
    for (name, (seconds, score)), height in zip(found.items(), heights(found), strict=True):
        axes.annotate(
            f"{name}, {seconds:.2g} s", (seconds, score), (seconds * 1.12, height), va="center", fontsize=9,
            color=FAMILIES[name.split("-")[0]], arrowprops={"arrowstyle": "-", "color": "#aaaaaa", "shrinkB": 3},
        )  # fmt: skip
    axes.set_xlabel("CPU seconds of a fit, geometric mean")
    axes.set_ylabel("score: 0 the worst, 1 the best on a table; mean")
    axes.set_title(f"{tables} table{'s' * (tables > 1)}: {machine['cpu']}", fontsize=10)
    axes.grid(color="#dddddd", zorder=0)
    figure.savefig(path, dpi=120, metadata=NO_DATES.get(path.suffix.lower(), {}))
    plt.close(figure)


def heights(found: dict[str, tuple[float, float]]) -> list[float]:
    """Where the labels go: at their points' heights, moved up where the one below would be covered."""
    placed: dict[str, float] = {}
    for name, (_, score) in sorted(found.items(), key=lambda pair: pair[1][1]):
        least = max((height for height in placed.values()), default=-1.0) + LABEL_HEIGHT
        placed[name] = max(score, least)
    above = max(0.0, max(placed.values()) - 1.03)
    return [placed[name] - above for name in found]
