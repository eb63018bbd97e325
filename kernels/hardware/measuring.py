"""Measures the machine's ceilings."""

from __future__ import annotations

from itertools import product

from .ceilings import LEVELS, Ceilings


def measure(dtype: str, threads: int, budget: float = 0.02, rounds: int = 3) -> Ceilings:
    """Measures the ceilings; budget: seconds for each of some twenty figures. Raises ImportError without Numba.

    Each figure is the best of the rounds, so that what disturbs the machine for a while spoils none.

    A level's bandwidth is the best of copying, adding, reading and updating in place: cores differ in how many loads
    and stores they do in a cycle.
    """
    try:
        from ..numba_backend.simd import host
        from . import peak
    except ImportError:
        raise ImportError("measuring the machine's peak needs Numba: pip install numba") from None
    widest = host.lanes(dtype)
    widths = [lanes for lanes in (1, 2, 4, 8, 16) if lanes < widest and (lanes == 1 or lanes >= widest // 4)] + [widest]
    gflops, gigabytes = dict.fromkeys(widths, 0.0), dict.fromkeys(LEVELS, 0.0)
    bfloat16: float | None = None
    for _ in range(rounds):
        for lanes in widths:
            gflops[lanes] = max(gflops[lanes], peak.gflops(dtype, threads, budget, lanes))
        rounded = peak.bfloat16_gflops(threads, budget) if dtype == "float32" else None
        bfloat16 = rounded if bfloat16 is None or rounded is None else max(bfloat16, rounded)
        for level, name in product(LEVELS, peak.streams()):
            gigabytes[level] = max(gigabytes[level], peak.gigabytes(level, threads, budget, name))
    return Ceilings(dtype, threads, gflops, gigabytes, peak.holds(threads), bfloat16)
