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
    bytes that a level holds for all threads together. bfloat16: GFLOP/s of products of factors rounded to bfloat16,
    where the machine has instructions for them.
    """

    dtype: str
    threads: int
    gflops: Mapping[int, float]
    gigabytes: Mapping[str, float]
    holds: Mapping[str, int]
    bfloat16: float | None = None

    @property
    def peak(self) -> float:
        """GFLOP/s of multiply-adds in the widest vectors."""
        return max(self.gflops.values())

    def peak_of(self, precision: str) -> float:
        """GFLOP/s at most of a product of that precision."""
        return self.peak if precision == "full" or self.bfloat16 is None else max(self.peak, self.bfloat16)

    def level(self, bytes_touched: int) -> str:
        """The smallest level that holds so many bytes."""
        return next((level for level, size in self.holds.items() if bytes_touched <= size), "memory")

    def seconds(self, flops: float, bytes_moved: int, footprint: int | None = None, precision: str = "full") -> float:
        """The least time under the roof: arithmetic and memory go on at the same time, so the longer of the two.

        footprint: bytes at different places, if what is read and written again counts twice in bytes_moved. As much of
        them as a level holds may be there from the instruction before, and only the rest comes from further away.
        """
        distinct, nearer, memory = bytes_moved if footprint is None else footprint, 0, 0.0
        for level in LEVELS:
            held = min(distinct, self.holds.get(level, distinct))
            if held > nearer:
                memory += bytes_moved * (held - nearer) / distinct / self.gigabytes[level] / 1e9
                nearer = held
        return max(flops / self.peak_of(precision) / 1e9, memory)

    def as_json(self) -> dict[str, Any]:
        """As reports write it."""
        return {
            "dtype": self.dtype,
            "threads": self.threads,
            "gflops": {str(lanes): value for lanes, value in self.gflops.items()},
            "gigabytes": dict(self.gigabytes),
            "holds": dict(self.holds),
            "bfloat16": self.bfloat16,
        }
