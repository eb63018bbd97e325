"""What a fit learns from, batch by batch: arrays in memory, or a source whose windows are read ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..data.sources import Source
from ..data.sources.reading_ahead import in_order
from ..data.sources.windows import Windows
from ..tensor import Array
from .evaluation import EVALUATION_ROWS

Batches = Sequence[tuple[int, int]]  # how many of which size an epoch has
Pieces = Iterator[tuple[Array, Array]]


class Training(Protocol):
    """What rows ask of their Trainer."""

    seed: int
    epoch: int

    def order(self, rows: int) -> Any:
        """The numbers of all rows, in the order of the next epoch."""


class Table:
    """Rows in memory: features (rows, columns) and target.

    Attributes:
        count: of the rows.
        identity: another number where the order of an epoch would be another one; 0 in memory.
        sample: features and target of some rows.
        waited: seconds that steps have waited for rows to be read.
    """

    identity, waited = 0, 0.0

    def __init__(self, features: Array, target: Array):
        self.sample = self._all = features, target
        self.count = len(features)

    def begin(self, trainer: Training, longest: int, waiting: Callable[[float], None]) -> tuple[Array, Array]:
        """Arrays such as batches will be of."""
        return self._all

    def check(self, check: Callable[[Array], None]) -> None:
        """Has all targets checked, now or when they are read."""
        check(self._all[1])

    def epoch(
        self, trainer: Training, batches: Batches, done: int, epochs: int
    ) -> Iterator[tuple[Array, Array, Array]]:
        """(features, target, row numbers (batches, size)) of an epoch, but for the first `done` rows."""
        return self._cut(checked_order(trainer.order(self.count), self.count), batches, done)

    def _cut(self, order: Array, batches: Batches, done: int) -> Iterator[tuple[Array, Array, Array]]:
        stop = 0
        for count, size in batches:
            stop += count * size
            if done < stop:
                yield *self._all, order[max(done, stop - count * size) : stop].reshape(-1, size)

    def pieces(self) -> Pieces:
        """Features and target of all rows, in their order, as many at a time as are in memory."""
        yield self._all

    def end(self) -> None:
        """Nothing is read any more."""


class Streamed:
    """Rows of a source, in these dtypes."""

    def __init__(self, source: Source, dtype: Any, target_dtype: Any):
        self.source, self.dtypes = source, (dtype, target_dtype)
        self.count, self.identity = source.rows, source.identity
        self.sample = source.sample(EVALUATION_ROWS, *self.dtypes)
        self._check: Callable[[Array], None] | None = None
        self._windows: Windows | None = None

    def begin(self, trainer: Training, longest: int, waiting: Callable[[float], None]) -> tuple[Array, Array]:
        self._windows = Windows(self.source, trainer.seed, longest, *self.dtypes, waiting)
        self._windows.check = self._check
        return self._windows.buffers[0].X, self._windows.buffers[0].y

    def check(self, check: Callable[[Array], None]) -> None:
        check(self.sample[1])
        self._check = check
        if self._windows is not None:
            self._windows.check = check

    def epoch(
        self, trainer: Training, batches: Batches, done: int, epochs: int
    ) -> Iterator[tuple[Array, Array, Array]]:
        assert self._windows is not None
        return self._windows.epoch(trainer.epoch, batches, done, epochs)

    @property
    def waited(self) -> float:
        return 0.0 if self._windows is None else self._windows.waited

    def pieces(self) -> Pieces:
        return in_order(self.source, *self.dtypes)

    def end(self) -> None:
        if self._windows is not None:
            self._windows.close()
            self._windows = None


Rows = Table | Streamed


def checked_order(order: Any, rows: int) -> Array:
    """What order() returned, as int64. Some rows may come more than once, and others not at all."""
    if isinstance(order, list | tuple | range | np.ndarray):
        found = np.asarray(order)
        if found.dtype.kind not in "iu":
            raise TypeError(f"order() returned an array of dtype {found.dtype}, expected whole numbers in [0, {rows})")
        if found.shape != (rows,):
            raise ValueError(f"order() returned an array of shape {found.shape}, expected ({rows},)")
        outside = found[(found < 0) | (found >= rows)]
        if outside.size:
            raise ValueError(
                f"order() returned an array that holds {outside[0]}, expected whole numbers in [0, {rows})"
            )
        return np.ascontiguousarray(found, np.int64)
    raise TypeError(f"order() returned a {type(order).__name__}, expected an array of {rows} row numbers")
