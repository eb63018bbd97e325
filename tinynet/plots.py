"""Pictures of runs. Needs matplotlib: pip install 'tinynet[plot]'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .comparison import times
from .experiment import Run
from .ladder import gains, samples_per_second

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def require_matplotlib() -> None:
    """Raises ImportError with what to install."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("a plot needs matplotlib: pip install 'tinynet[plot]'") from None


def plot_runs(runs: Sequence[Run], path: Path) -> None:
    """Loss curves, one a backend, beside bars of samples/s."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    curves, bars = figure.subplots(1, 2)
    for position, run in enumerate(runs):
        losses = run.history.train_loss
        width = 8 * (len(runs) - 1 - position) / max(4, len(runs) - 1)
        # Curves that agree lie on top of each other: earlier ones are wider, so that all are seen.
        curves.plot(
            range(1, len(losses) + 1), losses, label=run.label, color=COLOURS[position % len(COLOURS)],
            linewidth=2 + width, alpha=0.75, marker="o" if len(losses) < 3 else None, markersize=4 + 2 * width,
        )  # fmt: skip
    curves.set(xlabel="epoch", ylabel="training loss", title=f"{runs[0].dataset}: training loss")
    if any(loss > 0 for run in runs for loss in run.history.train_loss):
        curves.set_yscale("log")
    curves.legend()
    curves.grid(alpha=0.3)
    names, speeds = [run.label for run in runs], [samples_per_second(run) for run in runs]
    drawn = bars.barh(names, speeds, color=[COLOURS[i % len(COLOURS)] for i in range(len(runs))])
    slowest, over_last = min(speeds), gains(runs)
    for bar, speed, gain in zip(drawn, speeds, over_last, strict=True):
        ratio = f"{times(gain, 1.0)} the last" if gain else times(speed, slowest) if len(runs) > 1 else ""
        bars.annotate(
            f" {speed:,.0f}" + (f"  ({ratio})" if ratio else ""), (speed, bar.get_y() + bar.get_height() / 2),
            va="center",
        )  # fmt: skip
    bars.invert_yaxis()
    if len(runs) > 1:
        bars.set_xscale("log")
        bars.set_xlim(slowest / 3, max(speeds) * 3000)
    else:
        bars.set_xlim(0, max(speeds) * 1.35)
    bars.set(xlabel="samples/s" + (" (logarithmic)" if len(runs) > 1 else ""), title="training speed")
    figure.savefig(path, dpi=130)
