"""The report as a picture: how much faster than NumPy each kernel is, and how near the products come to the peak."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from shared.pictures import NO_DATES

Row = dict[str, Any]

BAR_INCHES = 0.19
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
NUMPY_MARK, ALL_MARK, ROW_MARK = "#000000", "#000000", "#555555"


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean logarithm."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs))


def draw(document: dict[str, Any], path: Path) -> None:
    """Writes the picture in the format of the path's ending. Rows that had to share the CPUs are left out."""
    rows = [row for row in document["rows"] if "times" in row and not row["shared"]]
    if not rows:
        return
    one, most = min(r["threads"] for r in rows), max(r["threads"] for r in rows)
    kernels = list(dict.fromkeys(row["kernel"] for row in rows))
    products = list(dict.fromkeys(row["label"] for row in rows if row["kernel"] == "matmul"))
    bars = max(len(kernels), 2 * len(products), 8)
    figure, panels = plt.subplots(
        1, 2 if products else 1, figsize=(14 if products else 8, 1.8 + BAR_INCHES * bars), squeeze=False,
        layout="constrained", width_ratios=(1.25, 1) if products else None,
    )  # fmt: skip
    ratios(panels[0, 0], rows, kernels, one, most)
    if products:
        shares(panels[0, 1], [row for row in rows if row["kernel"] == "matmul"], products, one, most)
    machine, backend = document["machine"], document["backend"]["name"]
    figure.suptitle(
        f"{backend} kernels, {document['dtype']}, {machine['cpu']}, {machine['cpus']} CPUs, "
        f"{machine['vector_bits']}-bit vectors, NumPy {machine['versions']['numpy']}",
        fontsize=11,
    )
    figure.savefig(path, dpi=110, metadata=NO_DATES.get(path.suffix.lower(), {}))
    plt.close(figure)


def ratios(axes: Any, rows: list[Row], kernels: list[str], one: int, most: int) -> None:
    """A bar a kernel: the geometric mean over shapes with the fewest threads. A dot is one shape."""
    families = list(dict.fromkeys(row["family"] for row in rows))
    colours = dict(zip(families, plt.get_cmap("tab10").colors, strict=False))
    for place, kernel in enumerate(kernels):
        by_threads = {
            threads: [r for r in rows if r["kernel"] == kernel and r["threads"] == threads] for threads in (one, most)
        }
        for row in by_threads[one]:
            axes.plot(row["ratios"]["numpy"], place, ".", color=ROW_MARK, markersize=3, zorder=3)
        if by_threads[one]:
            mean = geometric_mean(row["ratios"]["numpy"] for row in by_threads[one])
            axes.barh(place, mean - 1, left=1, color=colours[by_threads[one][0]["family"]], height=0.72, zorder=2)
        if most > one and by_threads[most]:
            mean = geometric_mean(row["ratios"]["numpy"] for row in by_threads[most])
            axes.plot(mean, place, "D", color="white", markeredgecolor=ALL_MARK, markersize=4.5, zorder=4)
    axes.axvline(1, color="black", linewidth=1.2, zorder=5)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    by_kernel(axes, kernels, "times as fast as the best NumPy expression (log scale; right of 1 is faster)")
    handles: list[Any] = [Patch(color=colours[family], label=family) for family in families]
    handles.append(Line2D([], [], marker=".", color=ROW_MARK, linestyle="", label=f"one shape, {counted(one)}"))
    if most > one:
        mark = {"marker": "D", "color": "white", "markeredgecolor": ALL_MARK, "linestyle": ""}
        handles.append(Line2D([], [], label=f"mean, {counted(most)}", **mark))
    axes.legend(handles=handles, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.045), ncols=4, frameon=False)
    axes.set_title(f"bars: geometric mean over shapes, {counted(one)}", fontsize=10)


def shares(axes: Any, rows: list[Row], products: list[str], one: int, most: int) -> None:
    """Two bars a product, one thread and all; the tick on a bar is NumPy's share."""
    counts = sorted({one, most})
    colours = dict(zip(counts, ("#9ecae1", "#2171b5"), strict=False))
    height = 0.8 / len(counts)
    found = {(row["label"], row["threads"]): row for row in rows}
    for place, label in enumerate(products):
        for n, threads in enumerate(counts):
            row = found.get((label, threads))
            if row is None:
                continue
            centre = place + (n - (len(counts) - 1) / 2) * height
            share = row["percent_of_peak"]
            axes.barh(centre, share, height=height * 0.92, color=colours[threads], zorder=2)
            axes.text(share + 1, centre, f"{share:.0f}", va="center", fontsize=6.5, zorder=4)
            theirs = share / row["ratios"]["numpy"]
            axes.plot([theirs] * 2, [centre - height / 2, centre + height / 2], color=NUMPY_MARK, linewidth=2, zorder=3)
    axes.set_xlim(0, 108)
    by_kernel(axes, products, "% of the measured FMA peak of as many threads")
    handles: list[Any] = [Patch(color=colours[threads], label=counted(threads)) for threads in counts]
    handles.append(Line2D([], [], color=NUMPY_MARK, linewidth=2, label="NumPy"))
    axes.legend(handles=handles, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.045), ncols=3, frameon=False)
    axes.set_title("matmul m x k x n; T: that factor transposed", fontsize=10)


def by_kernel(axes: Any, names: list[str], label: str) -> None:
    """What both panels share: a name on each line, the first on top."""
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(label, fontsize=9)
    axes.grid(axis="x", color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)


def counted(threads: int) -> str:
    """1 thread, 2 threads."""
    return f"{threads} thread{'s' * (threads > 1)}"
