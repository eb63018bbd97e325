"""The training benchmark as a picture: bars for sizes, lines for a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from shared.pictures import NO_DATES

from .report import counted

Row = dict[str, Any]

FAMILIES = {  # by the first word of a contender's name: one thread, most threads
    "tinynet": ("#f4a582", "#ca0020"),
    "numpy": ("#bdbdbd", "#636363"),
    "sklearn": ("#fdd49e", "#d9a300"),
    "torch": ("#c2a5cf", "#7b3294"),
    "jax": ("#92c5de", "#0571b0"),
}
MARKS, DASHES = "osD^v*P", ("-", "--", ":", "-.")
BAR_INCHES = 0.24


def draw(document: dict[str, Any], path: Path) -> None:
    """Writes the picture in the format of the path's ending."""
    measured = [{**entry, "rows": [r for r in entry["rows"] if "us" in r]} for entry in document["measured"]]
    measured = [entry for entry in measured if entry["rows"]]
    if not measured:
        return
    figure = lines(document["sweep"], measured, document["peaks"]) if document["sweep"] else bars(measured)
    machine = document["machine"]
    figure.suptitle(
        f"A training step, float32, Adam: {machine['cpu']}, {counted(machine['cpus'], 'CPU')}, "
        f"{machine['vector_bits']}-bit vectors",
        fontsize=11,
    )
    figure.savefig(path, dpi=110, metadata=NO_DATES.get(path.suffix.lower(), {}))
    plt.close(figure)


# ---- sizes --------------------------------------------------------------------------------------------------------


def bars(measured: list[dict[str, Any]]) -> Any:
    """A panel for each size: a bar is the speed relative to the fastest peer, its label microseconds a step."""
    columns = min(2, len(measured))
    panel_rows = -(-len(measured) // columns)
    most = max(len(entry["rows"]) for entry in measured)
    figure, panels = plt.subplots(
        panel_rows, columns, figsize=(7 * columns, 0.8 + panel_rows * (0.9 + BAR_INCHES * most)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    threads = sorted({row["threads"] for entry in measured for row in entry["rows"]})
    for axes in panels.flat[len(measured) :]:
        axes.set_axis_off()
    for axes, entry in zip(panels.flat, measured, strict=False):
        panel(axes, entry, threads)
    present = dict.fromkeys(family(row["contender"]) for entry in measured for row in entry["rows"])
    handles = [Patch(color=FAMILIES[name][1], label=name) for name in FAMILIES if name in present]
    if len(threads) > 1:
        handles.append(Patch(color="#dddddd", label=f"pale: {counted(threads[0], 'thread')}"))
    figure.legend(handles=handles, fontsize=9, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def panel(axes: Any, entry: dict[str, Any], threads: list[int]) -> None:
    """The fastest on top. Without a peer, speeds are relative to the fastest."""
    rows, fastest = entry["rows"], entry["rows"][0]["us"]
    with_peer = rows[0]["times_fastest_peer"] is not None
    speeds = [row["times_fastest_peer"] or fastest / row["us"] for row in rows]
    for place, (row, speed) in enumerate(zip(rows, speeds, strict=True)):
        axes.barh(place, speed, color=colour(row, threads), height=0.78, zorder=2)
        figure = f"{row['us']:,.{1 if row['us'] < 1000 else 0}f} us"
        box = {"color": "white", "pad": 0.4}
        axes.text(speed + 0.01 * max(speeds), place, figure, va="center", fontsize=7.5, zorder=4, bbox=box)
    if with_peer:
        axes.axvline(1, color="black", linewidth=1, zorder=3)
    axes.set_yticks(range(len(rows)), [named(row) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.16 * max(*speeds, 1))
    axes.set_xlabel(f"speed relative to the fastest{' peer' * with_peer}", fontsize=8.5)
    shared = "; other processes had part of the CPUs" if entry["shared"] else ""
    axes.set_title(f"{entry['size']['name']}: {entry['label']}{shared}", fontsize=10)
    axes.grid(axis="x", color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)


# ---- sweeps -------------------------------------------------------------------------------------------------------


def lines(sweep: str, measured: list[dict[str, Any]], peaks: dict[Any, float]) -> Any:
    """Microseconds a step over the dimension, both logarithmic; below, the time that the peak alone would need."""
    figure, axes = plt.subplots(figsize=(8.5, 6), layout="constrained")
    series: dict[tuple[str, int | None], list[tuple[int, float]]] = {}
    for entry in measured:
        for row in entry["rows"]:
            key = (row["contender"], None if sweep == "threads" else row["threads"])
            series.setdefault(key, []).append((entry["value"], row["us"]))
    threads = sorted({count for _, count in series if count})
    doubtful = [
        (entry["value"], row["us"])
        for entry in measured
        for row in entry["rows"]
        if entry["shared"] and row["threads"] > 1
    ]
    of_family: dict[str, int] = {}
    for (name, count), points in sorted(series.items(), key=lambda item: -item[1][-1][1]):
        number = of_family[family(name)] = of_family.get(family(name), -1) + 1
        axes.plot(
            *zip(*sorted(points), strict=True), color=FAMILIES[family(name)][1], marker=MARKS[number % len(MARKS)],
            linestyle=DASHES[number % len(DASHES)], markersize=5,
            label=name if len(threads) < 2 else f"{name}, {counted(count or 1, 'thread')}",
        )  # fmt: skip
    by_threads = {int(count): gflops for count, gflops in peaks.items()}
    floor = [
        (e["value"], e["flops"] / by_threads[e["value"] if sweep == "threads" else threads[-1]] / 1e3) for e in measured
    ]
    axes.plot(*zip(*floor, strict=True), color="black", linewidth=1, linestyle=(0, (1, 2)), label="at the FMA peak")
    if doubtful:
        label = "had to share the CPUs"
        axes.plot(*zip(*doubtful, strict=True), "o", color="white", markersize=2.5, zorder=4)
        axes.plot([], [], "o", color="white", markeredgecolor="black", markersize=4, label=f"hollow: {label}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    values = [entry["value"] for entry in measured]
    axes.set_xticks(values, [str(value) for value in values])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel({"depth": "depth: hidden layers", "batch": "batch: rows"}.get(sweep, sweep))
    axes.set_ylabel("microseconds a step")
    fixed = f", {counted(threads[0], 'thread')}" if len(threads) == 1 else ""
    axes.set_title(f"{described(sweep, measured)}{fixed}", fontsize=10)
    axes.grid(color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def described(sweep: str, measured: list[dict[str, Any]]) -> str:
    """What stays the same, and from where to where the dimension goes."""
    if sweep == "threads":
        return f"threads, {measured[0]['label']}"
    first, last = measured[0]["label"], measured[-1]["label"]
    return f"{first}  to  {last}" if first != last else first


# ---- both ---------------------------------------------------------------------------------------------------------


def family(name: str) -> str:
    """tinynet-numba-eager is of tinynet."""
    return name.partition("-")[0]


def colour(row: Row, threads: list[int]) -> str:
    """Pale with the fewest threads, if there are several numbers of them."""
    pale, full = FAMILIES[family(row["contender"])]
    return pale if len(threads) > 1 and row["threads"] == threads[0] else full


def named(row: Row) -> str:
    """On the axis."""
    return f"{row['contender']}, {counted(row['threads'], 'thread')}"
