"""The roofline: what each instruction of a step does, under what the machine can do at most.

The operations a second, over the arithmetic intensity I (operations a byte). Horizontal lines are the measured
multiply-adds by lanes of a vector, slanted ones I x bandwidth of each level of memory. See kernels.hardware.ceilings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernels.hardware import LEVELS, Ceilings
from kernels.program import Profile, Row

from .style import GROUPS, INK, MUTED, NARROW, PAPER, WIDE, legend_of_groups, new_figure, style, write_picture

SAME = 1.12  # ceilings that are nearer to each other share a label
SMALLEST, LARGEST = 14.0, 700.0  # of a dot, square points
ALONG = (0.1, 0.5, 0.1, 0.5)  # where on its line a level's label is, so that none covers another


def dots(profile: Profile) -> list[Row]:
    """The instructions that do arithmetic; on logarithmic axes the others have no place."""
    return [row for row in profile.rows if row.instruction.flops]


def plot_roofline(profile: Profile, others: Sequence[Ceilings], path: Path, title: str) -> None:
    """Writes the picture; others: ceilings of other numbers of threads, which are dotted."""
    with style():
        figure = draw_roofline(profile, others, WIDE)
        figure.suptitle(title, fontsize=11)
        write_picture(figure, path)


def draw_roofline(profile: Profile, others: Sequence[Ceilings], width: float) -> Any:
    """A dot for each instruction, its area the share of the kernels' time; dots are named dot-0, dot-1, ..."""
    from matplotlib.lines import Line2D

    ceilings = profile.ceilings
    assert ceilings is not None
    wide = width > NARROW
    figure = new_figure(width, 0.58 * width if wide else 1.25 * width)
    axes = figure.subplots()
    shown = dots(profile)
    rounded = any(row.instruction.precision != "full" for row in shown)
    _scale(axes, shown, (ceilings, *others), wide, rounded)
    for other in others:
        _roof(axes, other, rounded, {"color": MUTED, "linewidth": 0.9, "linestyle": (0, (1, 2))})
    _roof(axes, ceilings, rounded, {"color": INK, "linewidth": 1.1})
    _name_peaks(axes, ceilings, others, wide, rounded)
    _name_levels(axes, ceilings, wide)
    for row in sorted(shown, key=lambda row: -row.seconds):
        colour, mark = GROUPS[row.group]
        size = max(SMALLEST, LARGEST * row.seconds / (profile.in_kernels or 1.0))
        axes.scatter(
            row.intensity, row.gflops, size, color=colour, marker=mark, edgecolor=PAPER, linewidth=0.6, alpha=0.85,
            zorder=4, gid=f"dot-{row.number}",
        )  # fmt: skip
    lines = [Line2D([], [], color=INK, label=_threads(ceilings))]
    lines += [Line2D([], [], color=MUTED, linestyle=(0, (1, 2)), label=_threads(other)) for other in others]
    legend_of_groups(figure, profile, True, *lines)
    return figure


def _threads(ceilings: Ceilings) -> str:
    return f"{ceilings.threads} thread{'s' * (ceilings.threads > 1)}"


def _peaks(ceilings: Ceilings, rounded: bool) -> dict[str, float]:
    """GFLOP/s of multiply-adds by lanes; rounded: of those in the widest vectors, and of products in bfloat16."""
    found = {f"{lanes} lane{'s' * (lanes > 1)}": gflops for lanes, gflops in ceilings.gflops.items()}
    if rounded and ceilings.bfloat16:
        *_, (widest, peak) = found.items()
        return {widest: peak, "bfloat16": ceilings.bfloat16}
    return found


def _scale(axes: Any, shown: Sequence[Row], measured: Sequence[Ceilings], wide: bool, rounded: bool) -> None:
    """Both axes logarithmic, as far as dots and ceilings need."""
    peaks = [gflops for ceilings in measured for gflops in _peaks(ceilings, rounded).values()]
    ridge = max(max(peaks) / min(ceilings.gigabytes.values()) for ceilings in measured)
    intensities, speeds = [row.intensity for row in shown], [row.gflops for row in shown]
    left, low = min(intensities, default=1.0), min(speeds, default=1.0)
    axes.set(
        xscale="log", yscale="log", xlabel="floating-point operations a byte", ylabel="GFLOP/s",
        xlim=(min(left / 2, 0.05), max(2 * ridge, (2 if wide else 12) * max(intensities, default=1.0))),
        ylim=(min(low / 2, min(peaks) / 4), 1.8 * max(peaks)),
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda value, _: "")
    axes.grid(visible=True, which="major", linewidth=0.6)


def _roof(axes: Any, ceilings: Ceilings, rounded: bool, line: dict[str, Any]) -> None:
    """Each level's slope up to the peak; each width's multiply-adds from the fastest level's slope on."""
    left, right = axes.get_xlim()
    peaks = _peaks(ceilings, rounded).values()
    for bandwidth in ceilings.gigabytes.values():
        axes.plot([left, max(peaks) / bandwidth], [left * bandwidth, max(peaks)], zorder=2, **line)
    fastest = max(ceilings.gigabytes.values())
    for gflops in peaks:
        axes.plot([gflops / fastest, right], [gflops, gflops], zorder=2, **line)


def _name_peaks(axes: Any, ceilings: Ceilings, others: Sequence[Ceilings], wide: bool, rounded: bool) -> None:
    """Names the horizontal lines: beside the picture, or on a phone above them, shorter."""
    right = axes.get_xlim()[1]
    for gflops, names in _together((ceilings, *others), rounded):
        if wide:
            axes.annotate(
                f"{gflops:,.0f}  {names[0]}" + "".join(f"\n{name}" for name in names[1:]), (right, gflops), (5, 0),
                textcoords="offset points", va="center", fontsize=7.5, annotation_clip=False, linespacing=1.0,
            )  # fmt: skip
        else:  # the legend says of how many threads
            axes.annotate(
                f"{names[0].partition(',')[0]}: {gflops:,.0f}", (right, gflops), (0, 1.5), textcoords="offset points",
                ha="right", va="bottom", fontsize=7, zorder=3,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.2},
            )  # fmt: skip


def _together(measured: Sequence[Ceilings], rounded: bool) -> list[tuple[float, list[str]]]:
    """Heights of the horizontal lines, each with its names; those of about the same height share a line."""
    found: list[tuple[float, list[str]]] = []
    for ceilings in measured:
        for what, gflops in _peaks(ceilings, rounded).items():
            name = f"{what}, {_threads(ceilings)}"
            near = next((names for other, names in found if max(gflops, other) < SAME * min(gflops, other)), None)
            if near is None:
                found.append((gflops, [name]))
            else:
                near.append(name)
    return found


def _name_levels(axes: Any, ceilings: Ceilings, wide: bool) -> None:
    """Names the slopes, on their lines and along them."""
    left, low = axes.get_xlim()[0], axes.get_ylim()[0]
    for along, (level, bandwidth) in zip(ALONG, ceilings.gigabytes.items(), strict=True):
        start, ridge = math.log(max(left, low / bandwidth)), math.log(ceilings.peak / bandwidth)
        x = math.exp(start + along * (ridge - start))
        unit = " GB/s" if wide or level == LEVELS[-1] else ""
        axes.text(
            x, x * bandwidth, f"{level} {bandwidth:,.0f}{unit}", rotation=math.degrees(math.atan(bandwidth)),
            rotation_mode="anchor", transform_rotates_text=True, ha="left", va="center", fontsize=7, zorder=3,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
