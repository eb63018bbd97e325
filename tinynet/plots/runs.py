"""Loss curves of runs, and how fast they were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernels.text import scaled

from ..experiments.comparison import times
from ..experiments.experiment import Run
from ..experiments.ladder import gains, samples_per_second, seconds_a_step
from .style import COLOURS, NARROW, new_figure, require_matplotlib, style, write_picture

BAR_INCHES = 0.3


def plot_runs(runs: Sequence[Run], path: Path) -> None:
    """Loss curves, one a backend, beside bars of samples/s."""
    require_matplotlib()
    with style():
        write_picture(_draw_both(runs), path)


def _draw_both(runs: Sequence[Run]) -> Any:
    figure = new_figure(10, 4.2)
    curves, bars = figure.subplots(1, 2)
    _draw_losses(curves, runs)
    curves.set_title(f"{runs[0].dataset}: training loss")
    curves.legend()
    speeds = [samples_per_second(run) for run in runs]
    slowest, over_last = min(speeds), gains(runs)
    ratios = [
        f"{times(gain, 1.0)} the last" if gain else times(speed, slowest) if len(runs) > 1 else ""
        for speed, gain in zip(speeds, over_last, strict=True)
    ]
    _draw_bars(bars, runs, speeds, [f"{speed:,.0f}" for speed in speeds], ratios, 3000)
    bars.set(xlabel="samples/s" + (" (logarithmic)" if len(runs) > 1 else ""), title="training speed")
    return figure


def draw_losses(runs: Sequence[Run], width: float) -> Any:
    """Loss curves, one a run."""
    wide = width > NARROW
    figure = new_figure(width, 3.6 if wide else 3.0 + 0.18 * len(runs))
    axes = figure.subplots()
    _draw_losses(axes, runs)
    if len(runs) > 1:
        figure.legend(loc="outside right upper" if wide else "outside lower center", ncols=1 if wide else 2)
    return figure


def draw_speeds(runs: Sequence[Run], width: float) -> Any:
    """A bar for each run, as long as a step takes; on a ladder with what it gains over the last."""
    wide = width > NARROW
    figure = new_figure(width, 0.9 + BAR_INCHES * len(runs))
    axes = figure.subplots()
    steps = [1e6 * seconds_a_step(run) for run in runs]
    ratios = [f"{times(gain, 1.0)} as fast" if gain else "" for gain in gains(runs)]
    _draw_bars(axes, runs, steps, [f"{step:,.1f}" for step in steps], ratios, 30 if wide else 3000)
    axes.set(xlabel="microseconds a step" + ", in the fastest epoch" * wide)
    return figure


def _draw_losses(axes: Any, runs: Sequence[Run]) -> None:
    from matplotlib.ticker import MaxNLocator

    for position, run in enumerate(runs):
        losses = run.history.train_loss
        width = 8 * (len(runs) - 1 - position) / max(4, len(runs) - 1)
        # Curves that agree cover each other: earlier ones are wider, so that all are seen.
        axes.plot(
            range(1, len(losses) + 1), losses, label=run.label, color=COLOURS[position % len(COLOURS)],
            linewidth=2 + width, alpha=0.75, marker="o" if len(losses) < 3 else None, markersize=4 + width,
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel="training loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if any(loss > 0 for run in runs for loss in run.history.train_loss):
        axes.set_yscale("log")
        for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            set_formatter(lambda value, _: _on_a_log_axis(value, *axes.get_ylim()))


def _on_a_log_axis(value: float, low: float, high: float) -> str:
    """A tick's label: of 1, 2 and 5 in each decade; of all of them where the axis has less than half a decade."""
    return f"{value:g}" if high < 4 * low or f"{value:e}"[0] in "125" else ""


def _draw_bars(
    axes: Any, runs: Sequence[Run], values: Sequence[float], labels: Sequence[str], ratios: Sequence[str], room: float
) -> None:
    """A bar for each run, from the top, and its label after it. room: on a logarithmic axis, times the longest."""
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(runs))]
    drawn = axes.barh([run.label for run in runs], values, color=colours)
    for bar, value, label, ratio in zip(drawn, values, labels, ratios, strict=True):
        axes.annotate(
            label + (f"  ({ratio})" if ratio else ""),
            (value, bar.get_y() + bar.get_height() / 2),
            (3, 0),
            textcoords="offset points",
            va="center",
        )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if len(runs) > 1 and min(values) > 0:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 3, max(values) * room)
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    else:
        axes.set_xlim(0, max(values) * 1.35 or 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: scaled(value))
