"""Curves over epochs as an SVG picture of a few hundred bytes, for notebooks: no library has to be there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 460, 220, 56, 34, 10
COLOURS = ("#1f5fae", "#c2570c", "#2f7d32", "#7b3fa0", "#8a6d00")


def svg(curves: Mapping[str, Sequence[float]]) -> str:
    """Each curve over epochs 1, 2, ...; the vertical axis is logarithmic where all values are above 0."""
    curves = {name: values for name, values in curves.items() if any(map(math.isfinite, values))}
    finite = [value for values in curves.values() for value in values if math.isfinite(value)]
    if not finite:
        return ""
    logarithmic = min(finite) > 0
    scale = math.log10 if logarithmic else float
    low, high = scale(min(finite)), scale(max(finite))
    longest = max(map(len, curves.values()))
    right = WIDTH - 10

    def x(epoch: int) -> float:
        return LEFT + (right - LEFT) * ((epoch - 1) / (longest - 1) if longest > 1 else 0.5)

    def y(value: float) -> float:
        share = (scale(value) - low) / (high - low) if high > low else 0.5
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 16 * len(curves)}" '
        f'style="max-width:{WIDTH}px" role="img" aria-label="{escape(", ".join(curves))} over epochs" '
        f'font-family="sans-serif" font-size="11" fill="currentColor">',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{right}" fill="none" stroke="currentColor" stroke-opacity="0.5"/>',
        *(
            f'<text x="{LEFT - 4}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
            for value in {min(finite), max(finite)}
        ),
        *(
            f'<text x="{x(epoch):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{epoch}</text>'
            for epoch in sorted({1, longest})
        ),
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 4}" text-anchor="middle">epoch</text>',
    ]
    for i, (name, values) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = [(x(j + 1), y(value)) for j, value in enumerate(values) if math.isfinite(value)]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in points if len(points) == 1]
        below = HEIGHT + 12 + 16 * i
        parts.append(f'<path d="M{LEFT} {below - 4}h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{LEFT + 24}" y="{below}">{escape(name)}: {values[-1]:.4g}</text>')
    return "".join([*parts, "</svg>"])
