"""One net, one technique more at a time: what compiling, SIMD, fusion, recording and threads each bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kernels
from kernels import Backend
from kernels.text import aligned

from .comparison import largest_difference, stopped, times
from .experiment import Run, Rung


def rungs() -> list[Rung]:
    """From plain Python to everything there is, and NumPy beside it; without Numba only what is left."""
    found = [Rung("naive", "Python's interpreter, one number at a time", kernels.load("naive"), True)]
    if "numba" in kernels.available():
        found += _compiled()
    return [*found, Rung("numpy", "for comparison: array by array, recorded", kernels.load("numpy"), False, True)]


def _compiled() -> list[Rung]:
    def numba(**options: Any) -> Backend:
        return kernels.load("numba", **options)

    best, threads = (numba().options[name] for name in ("simd_width", "threads"))
    found = [Rung("scalar", "machine code", numba(simd_width=1, threads=1, fused=False), True)]
    for lanes in (4, 8, 16):
        if lanes <= best:
            brings = f"vectors of {lanes} numbers"
            found.append(Rung(f"SIMD, {lanes} lanes", brings, numba(simd_width=lanes, threads=1, fused=False), True))
    found += [
        Rung("fused", "kernels that do several operations in one pass", numba(threads=1), True),
        Rung("recorded", "the whole step in one native call", numba(threads=1), False),
    ]
    if threads > 1:
        found.append(Rung(f"{threads} threads", "all CPUs", numba(), False))
    return found


def seconds_a_step(run: Run) -> float:
    """In the fastest epoch, Python's part included."""
    epochs = zip(run.history.seconds, run.history.samples, strict=True)
    rows: int = run.options.batch_size
    return min((seconds / samples for seconds, samples in epochs), default=0.0) * rows


def samples_per_second(run: Run) -> float:
    """Of a rung in its fastest epoch, as the table has it; of another run over all of them."""
    if run.rung is None or not seconds_a_step(run):
        return run.history.samples_per_second
    rows: int = run.options.batch_size
    return rows / seconds_a_step(run)


def gains(runs: Sequence[Run]) -> list[float | None]:
    """How many times as fast each rung is as the one before; None for the first and for references."""
    found: list[float | None] = []
    before: Run | None = None
    for run in runs:
        beside = run.rung is None or run.rung.reference
        found.append(None if beside or before is None else seconds_a_step(before) / (seconds_a_step(run) or 1.0))
        before = before if beside else run
    return found


def table(runs: Sequence[Run]) -> str:
    """The rungs as text."""
    return "\n".join([aligned(cells(runs)), *stopped(runs)])


def cells(runs: Sequence[Run]) -> list[list[str]]:
    """A header, and the rungs: what each brings, microseconds a step, times the last and the first, losses."""
    header = ["rung", "what it brings", "us a step", "over the last", "over the first", "loss differs by"]
    rows = [header]
    for run, gain in zip(runs, gains(runs), strict=True):
        assert run.rung is not None
        slowest, own = seconds_a_step(runs[0]), seconds_a_step(run)
        rows.append(
            [
                run.rung.name, run.rung.brings, f"{1e6 * own:,.1f}", "-" if gain is None else times(gain, 1.0),
                times(slowest, own), "-" if run is runs[-1] else f"{largest_difference(run, runs[-1]):.1e}",
            ]
        )  # fmt: skip
    return rows
