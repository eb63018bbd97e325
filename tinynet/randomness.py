"""The process's generator for initial weights and for the seeds of dropout layers, and its stream of masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

_generator = [np.random.default_rng()]
_within: ContextVar[np.random.Generator | None] = ContextVar("tinynet_generator", default=None)


class Masks:
    """The stream of ``functional.dropout``: what a seed decides is where the counter begins.

    The counter is always the same array, which recorded steps read and raise.
    """

    seed = 0x6D61736B  # any number

    def __init__(self) -> None:
        self.counter = np.zeros(1)
        self.restart(np.random.default_rng())

    def restart(self, random: np.random.Generator) -> None:
        """Begins somewhere below 2**52: as many draws follow before a float64 cannot count them."""
        self.counter[0] = random.integers(1 << 52)


MASKS = Masks()


def manual_seed(seed: int) -> None:
    """Makes initial weights and dropout masks drawn from here on repeatable; Trainer(seed=) orders the batches."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed is {seed!r}, expected a whole number >= 0")
    _generator[0] = np.random.default_rng(int(seed))
    MASKS.restart(np.random.default_rng((int(seed), MASKS.seed)))


def generator() -> np.random.Generator:
    """The generator in force: that of the innermost ``drawing_from``, else the process's."""
    return _within.get() or _generator[0]


@contextmanager
def drawing_from(own: np.random.Generator) -> Iterator[None]:
    """In the block, and its thread, weights and seeds are drawn from a generator of one's own."""
    before = _within.set(own)
    try:
        yield
    finally:
        _within.reset(before)


def draw_seed() -> int:
    """A 63-bit seed for a counter-based stream of its own."""
    return int(generator().integers(1 << 63))
