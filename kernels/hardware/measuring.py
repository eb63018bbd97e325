"""Measures the machine's ceilings."""

from __future__ import annotations

from functools import cache
from itertools import product

from .ceilings import LEVELS, Ceilings

NARROW_LANES, NARROW_STARTS = 4, 2.0  # float32 in 128 bits; operations on them that start in a cycle
ROUNDS, BUDGET = 4, 0.01  # a figure is the best of so many bursts of so many seconds


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


@cache
def starts(bits: int) -> float:
    """Multiply-adds in registers of that many bits that this machine starts in a cycle, measured once a process.

    The clock is not known, so the narrowest registers are the measure: cores with vectors start two of them in a cycle,
    and some only one of the widest. Widths that the machine does not have are taken to be as fast.
    """
    try:
        from ..numba_backend.simd import host
        from . import peak
    except ImportError:
        return NARROW_STARTS
    lanes = bits // 32
    if not NARROW_LANES < lanes <= host.lanes("float32"):
        return NARROW_STARTS
    best = dict.fromkeys((NARROW_LANES, lanes), 0.0)
    for _ in range(ROUNDS):  # in turns, so that a busy neighbour slows both
        for width in best:
            best[width] = max(best[width], peak.gflops("float32", 1, BUDGET, width) / width)
    return max(0.5, round(2 * NARROW_STARTS * best[lanes] / best[NARROW_LANES]) / 2)


@cache
def roof(dtype: str, threads: int, level: str) -> tuple[float, float]:
    """GFLOP/s and GB/s at most, the bytes in that level of the memory hierarchy. Raises ImportError without Numba."""
    from ..numba_backend.simd import host
    from . import peak

    gflops = max(peak.gflops(dtype, threads, BUDGET, host.lanes(dtype)) for _ in range(ROUNDS))
    gigabytes = max(peak.gigabytes(level, threads, BUDGET, n) for _ in range(ROUNDS) for n in peak.streams())
    return gflops, gigabytes


def level_of(bytes_touched: int, threads: int) -> str:
    """The nearest level of the memory hierarchy that holds so many bytes. Raises ImportError without Numba."""
    from . import peak

    return next((level for level, size in peak.holds(threads).items() if bytes_touched <= size), "memory")
