"""How long a call takes, and its place under the machine's roofline."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import hardware
from ..mix import Mix

BUDGET, MOST = 0.2, 1000  # seconds that the calls may take together, and their number
LONG_ENOUGH = 2e-6  # a call that takes less is Python's way to the function, and says nothing of its loops


def measured(
    call: Callable[..., Any], arguments: Sequence[Any], mix: Mix | None, dtype: str, threads: int, once: bool
) -> str:
    """The best time of several calls on copies of the arguments, in a sentence.

    The roof is min(peak, intensity x bandwidth), with the loop's own intensity: FLOP for each byte that it loads and
    stores. once: whether the arrays pass through the loop once; where they pass more often nothing is said of the roof.
    """
    copies = [copy.copy(value) if not isinstance(value, np.ndarray) else value.copy(order="K") for value in arguments]
    copies = [_as_laid_out(given, copied) for given, copied in zip(arguments, copies, strict=True)]
    result, best = call(*copies), float("inf")  # the first call compiles
    until = time.perf_counter() + BUDGET
    for _ in range(MOST):
        start = time.perf_counter()
        call(*copies)
        end = time.perf_counter()
        best = min(best, end - start)
        if end > until:
            break
    took = f"A call takes {best * 1e6:,.3g} us on {threads} thread{'s' * (threads > 1)}"
    arrays = [value for value in (*copies, result) if isinstance(value, np.ndarray)]
    moved = sum({array.ctypes.data: array.nbytes for array in arrays}.values())
    if not (moved and mix and mix.bytes_moved and once) or best < LONG_ENOUGH:
        return f"{took}."
    level = hardware.level_of(moved, threads)
    peak, bandwidth = hardware.roof(dtype, threads, level)
    intensity = mix.flops / mix.bytes_moved
    under = min(peak, intensity * bandwidth) if intensity else 0.0
    gigabytes = moved / best / 1e9
    share = gigabytes * intensity / under if under else gigabytes / bandwidth
    which = f"{bandwidth:,.0f} GB/s from {level}" if intensity * bandwidth <= peak else f"{peak:,.0f} GFLOP/s"
    return (
        f"{took}: {gigabytes:,.3g} GB/s of its arrays' {moved:,} bytes, {gigabytes * intensity:,.3g} GFLOP/s at "
        f"{intensity:.2g} FLOP a byte, which is {share:.0%} of this machine's roof there ({which}, measured)."
    )


def _as_laid_out(given: Any, copied: Any) -> Any:
    """The copy with the strides of what was given, where NumPy made it contiguous."""
    if not isinstance(given, np.ndarray) or given.strides == copied.strides or given.size == 0:
        return copied
    if min(given.strides, default=0) <= 0:
        return given.copy()
    span = sum((n - 1) * s for n, s in zip(given.shape, given.strides, strict=True)) + given.itemsize
    memory = np.empty(span, np.uint8)
    laid: np.ndarray[Any, Any] = np.ndarray(given.shape, given.dtype, memory, 0, given.strides)
    laid[...] = given
    return laid
