"""One step on each thread: which instruction ran when."""

from __future__ import annotations

from typing import Any

from kernels.program import Profile

from .style import GROUPS, NARROW, PAPER, legend_of_groups, new_figure

POINTS_A_LETTER = 4.6  # of a label in a bar
SHARE = 0.86  # of the picture's width that the bars have


def draw_timeline(profile: Profile, width: float) -> Any:
    """A row for each thread, a bar for each instruction on it, named bar-THREAD-NUMBER."""
    timings, rows = profile.timings, profile.rows
    figure = new_figure(width, 1.25 + 0.55 * timings.threads + 0.25 * (width <= NARROW))
    axes = figure.subplots()
    whole = 1e6 * float(timings.ends.max(initial=0.0)) or 1.0
    points = 72 * SHARE * width / whole  # a microsecond
    for thread in range(timings.threads):
        for row in rows:
            begin, end = (1e6 * float(times[thread, row.number]) for times in (timings.begins, timings.ends))
            axes.barh(
                thread, end - begin, 0.7, begin, color=GROUPS[row.group][0], edgecolor=PAPER, linewidth=0.3,
                gid=f"bar-{thread}-{row.number}",
            )  # fmt: skip
            if (end - begin) * points > POINTS_A_LETTER * (len(row.instruction.kernel) + 1):
                axes.text(
                    (begin + end) / 2, thread, row.instruction.kernel, color=PAPER, fontsize=7.5, ha="center",
                    va="center",
                )  # fmt: skip
    axes.set(xlim=(0, whole), ylim=(timings.threads - 0.5, -0.5), xlabel="microseconds since the step began")
    axes.set_yticks(range(timings.threads), [f"thread {n}" for n in range(timings.threads)])
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    legend_of_groups(figure, profile, False)
    return figure
