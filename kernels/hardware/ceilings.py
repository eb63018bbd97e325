"""The roofline: the most that arithmetic and memory allow a kernel, as measured on this machine.

A kernel that does F floating-point operations on B bytes has the arithmetic intensity I = F / B; it can do at most
min(peak, I x bandwidth) operations a second. Williams, Waterman, Patterson 2009, doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEVELS = ("L1", "L2", "L3", "memory")


@dataclass(frozen=True)
class Ceilings:
    """Measured limits of one dtype on so many threads.

    gflops: by lanes of a vector, the machine's widest last. gigabytes: a second, read and written, by level. holds:
    bytes that a level holds for all threads together.
    """

    dtype: str
    threads: int
    gflops: Mapping[int, float]
    gigabytes: Mapping[str, float]
    holds: Mapping[str, int]

    @property
    def peak(self) -> float:
        """GFLOP/s of multiply-adds in the widest vectors."""
        return max(self.gflops.values())

    def level(self, bytes_touched: int) -> str:
        """The smallest level that holds so many bytes."""
        return next((level for level, size in self.holds.items() if bytes_touched <= size), "memory")

    def attainable(self, flops: float, bytes_touched: int) -> float:
        """GFLOP/s under the roof for what does so many operations on so many bytes."""
        if not bytes_touched:
            return self.peak
        return min(self.peak, flops / bytes_touched * self.gigabytes[self.level(bytes_touched)])

    def seconds(self, flops: float, bytes_touched: int) -> float:
        """The least time under the roof: arithmetic and memory go on at the same time, so the longer of the two."""
        memory = bytes_touched / self.gigabytes[self.level(bytes_touched)] / 1e9
        return max(flops / self.peak / 1e9, memory)

    def as_json(self) -> dict[str, Any]:
        """As reports write it."""
        return {
            "dtype": self.dtype,
            "threads": self.threads,
            "gflops": {str(lanes): value for lanes, value in self.gflops.items()},
            "gigabytes": dict(self.gigabytes),
        }


def measure(dtype: str, threads: int, budget: float = 0.02) -> Ceilings:
    """Measures the ceilings; budget: seconds for each of some twenty figures. Raises ImportError without Numba.

    A level's bandwidth is the best of copying, adding and reading: cores differ in how many loads and stores they do
    in a cycle.
    """
    try:
        from ..numba_backend.simd import host
        from . import peak
    except ImportError:
        raise ImportError("measuring the machine's peak needs Numba: pip install numba") from None
    widest = host.lanes(dtype)
    widths = [lanes for lanes in (1, 2, 4, 8, 16) if lanes < widest and (lanes == 1 or lanes >= widest // 4)] + [widest]
    return Ceilings(
        dtype,
        threads,
        {lanes: peak.gflops(dtype, threads, budget, lanes) for lanes in widths},
        {level: max(peak.gigabytes(level, threads, budget, name) for name in peak.streams()) for level in LEVELS},
        {
            "L1": threads * host.cache_bytes(1),
            "L2": threads * host.cache_bytes(2),
            "L3": host.cache_bytes(3),
        },
    )
