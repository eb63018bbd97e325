"""The same net on several backends: do the losses agree, and how much faster is each."""

from __future__ import annotations

from collections.abc import Sequence

from kernels.text import aligned

from .experiment import Run


def epoch_losses(run: Run, steps_per_epoch: int, steps: int) -> list[float]:
    """The mean loss of each epoch, over the first ``steps`` steps only."""
    losses = run.history.step_loss[:steps]
    chunks = [losses[start : start + steps_per_epoch] for start in range(0, steps, steps_per_epoch)]
    return [sum(chunk) / len(chunk) for chunk in chunks]


def largest_difference(a: Run, b: Run) -> float:
    """max over epochs |a - b| / |b| of the loss curves, over the steps that both took."""
    steps = min(a.history.steps, b.history.steps)
    per_epoch = -(-max(a.history.samples + b.history.samples, default=0) // a.options.batch_size)
    pairs = zip(epoch_losses(a, per_epoch, steps), epoch_losses(b, per_epoch, steps), strict=True)
    return max((abs(x - y) / abs(y) if y else abs(x - y) for x, y in pairs), default=0.0)


def table(runs: Sequence[Run]) -> str:
    """The runs as text."""
    return "\n".join([aligned(cells(runs)), *stopped(runs)]) if runs else ""


def stopped(runs: Sequence[Run]) -> list[str]:
    """A sentence for each run that was cut short."""
    return [
        f"{run.label} stopped after {run.history.steps} steps: {run.history.stopped}"
        for run in runs
        if not run.complete
    ]


def cells(runs: Sequence[Run]) -> list[list[str]]:
    """A header and a row a run; with several also the speed-up over the slowest and how far the losses differ."""
    compared = len(runs) > 1
    header = ["backend", f"test {runs[0].score_name}", "kernels compiled", "seconds compiling", "training", "samples/s"]
    header += ["speed-up", "loss differs by"] if compared else []
    slowest = min(run.history.samples_per_second for run in runs)
    rows = [header]
    for run in runs:
        history = run.history
        row = [
            run.label,
            f"{run.test_score:.4f}",
            str(history.kernels_compiled),
            f"{history.compile_seconds:.2f}",
            f"{sum(history.seconds):.2f}",
            f"{history.samples_per_second:,.0f}",
        ]
        if compared:
            row.append(times(history.samples_per_second, slowest))
            row.append("-" if run is runs[-1] else f"{largest_difference(run, runs[-1]):.1e}")
        rows.append(row)
    return rows


def times(speed: float, slowest: float) -> str:
    """How many times as fast, to three digits."""
    if not slowest:
        return "-"
    ratio = speed / slowest
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.3g}x"
