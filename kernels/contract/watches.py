"""Watches: what must hold of values. Each raises a flag; a run of a recorded step ends where a flag is raised.

They are what a checked call refuses in a sentence, as instructions: whatever runs a step sees them, and nothing reads
through an index that a watch has not let pass.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .checks import outside
from .declaration import Floats, Indices, Mutable, fused

if TYPE_CHECKING:
    from .backend import Backend


@fused("(...),(1)->", halts=True)
def watch_finite(backend: Backend, x: Floats, flag: Mutable) -> None:
    """flag_0 <- NaN if any element of x is infinite or NaN; otherwise flag_0 stays as it is."""
    backend.add(flag, backend.sum(backend.multiply(x, 0.0)), out=flag)


@fused("(...),(1)->", halts=True)
def watch_within(backend: Backend, x: Floats, flag: Mutable, low: float, high: float) -> None:
    """flag_0 <- NaN unless every element of x is a finite number in [low, high]; else flag_0 stays as it is."""
    beyond = backend.add(backend.greater(low, x), backend.greater(x, high))
    # 1 / 0 is infinite, and infinity times 0 is NaN; 0 / 1 stays 0.
    infinite = backend.divide(beyond, backend.subtract(1.0, beyond))
    backend.add(flag, backend.sum(backend.multiply(backend.add(infinite, x), 0.0)), out=flag)


@fused("(r),(1)->", halts=True)
def watch_below(backend: Backend, indices: Indices, flag: Mutable, limit: int) -> None:
    """flag_0 <- NaN if any index is outside [0, limit); otherwise flag_0 stays as it is."""
    if outside(indices, limit) is not None:
        backend.fill(math.nan, out=flag)
