"""The process's generator for initial weights and for the seeds of dropout layers."""

from __future__ import annotations

import numpy as np

_generator = [np.random.default_rng()]


def manual_seed(seed: int) -> None:
    """Makes initial weights and dropout masks drawn from here on repeatable; Trainer(seed=) orders the batches."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed is {seed!r}, expected a whole number >= 0")
    _generator[0] = np.random.default_rng(int(seed))


def generator() -> np.random.Generator:
    """The generator in force."""
    return _generator[0]


def draw_seed() -> int:
    """A 63-bit seed for a counter-based stream of its own."""
    return int(_generator[0].integers(1 << 63))
