"""One dimension at a time: how the cost of a step grows with the batch, the width, the depth or the threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernels.hardware import cpu_count

from .problem import SIZES, Size

ROWS, BATCH, FEATURES, WIDTH, CLASSES = 1792, 64, 64, 128, 10  # where the sweep does not say otherwise


@dataclass(frozen=True)
class Sweep:
    """values: the usual points. size: the network of a point."""

    values: tuple[int, ...]
    size: Callable[[int], Size]


def thread_counts() -> tuple[int, ...]:
    """The powers of two up to the number of CPUs, and that number."""
    cpus = cpu_count()
    return tuple(sorted({*(2**n for n in range(cpus.bit_length()) if 2**n <= cpus), cpus}))


SWEEPS = {
    "batch": Sweep(
        (8, 16, 32, 64, 128, 256, 512, 1024),
        lambda rows: Size(f"batch {rows}", (FEATURES, WIDTH, WIDTH // 2, CLASSES), rows, max(ROWS, 4 * rows)),
    ),
    "width": Sweep(
        (16, 32, 64, 128, 256, 512, 1024),
        lambda width: Size(f"width {width}", (FEATURES, width, width, CLASSES), BATCH, ROWS),
    ),
    "depth": Sweep(
        (1, 2, 3, 4, 6, 8),
        lambda layers: Size(f"depth {layers}", (FEATURES, *[WIDTH] * layers, CLASSES), BATCH, ROWS),
    ),
    "threads": Sweep(thread_counts(), lambda _: SIZES["medium"]),
}
# Who takes part unless others are named: the one of each library that is mostly its fastest.
CONTENDERS = ("tinynet-numba", "tinynet-numba-eager", "numpy", "torch-fused", "jax-scan")
