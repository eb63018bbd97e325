"""An epoch of a source: blocks in an order drawn for it, cut into windows, each of whose rows are shuffled.

Of epoch e the blocks come as ``np.random.default_rng((seed, e)).permutation(len(source))`` orders them. Of these,
``source.window`` at a time are a window, and its rows come as ``default_rng((seed, e, window + 1))`` permutes them,
windows counted from 0. Batches are cut from all windows' rows one after the other: those that are left over at a
window's end are the first ones of a batch that the next window fills, so that only the epoch's last batch is smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinynet.data.sources.parts.part import Array
from tinynet.data.sources.reading_ahead import Buffer, Job, ReadingAhead
from tinynet.data.sources.source import Source

Batches = Sequence[tuple[int, int]]  # how many of which size an epoch has


@contextmanager
def noting_what_is_kept() -> Iterator[None]:
    """Says of what reading raises that training can go on."""
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        error.add_note("What was trained before is kept: once the source can be read, fit goes on from there.")
        raise


class Windows:
    """Batches of a source's rows, read ahead of the steps, in two buffers of one size that alternate.

    longest: rows of the longest batch; waiting: is told how many seconds the next window has been waited for.
    """

    def __init__(
        self, source: Source, seed: int, longest: int, dtype: Any, target_dtype: Any,
        waiting: Callable[[float], None] | None = None,
    ):  # fmt: skip
        self.source, self.seed, self.head, self.waiting = source, seed, longest, waiting
        self.check: Callable[[Array], None] | None = None  # of targets
        self.waited = 0.0  # seconds
        rows = source.window_rows
        self.buffers = [Buffer(source, longest, rows, dtype, target_dtype) for _ in range(2)]
        self._reader: ReadingAhead | None = None

    def epoch(self, epoch: int, batches: Batches, done: int, epochs: int) -> Iterator[tuple[Array, Array, Array]]:
        """(X, y, row numbers (batches, size)) for each window and size of batch, but for the first `done` rows.

        epochs: how many, this one included, are to come, for which windows are read ahead.
        """
        total = sum(count * size for count, size in batches)
        left = list(self._left(batches, done))
        with noting_what_is_kept():
            self.source.check_unchanged()  # also what was read ahead, so that it does not depend on how far that is
        kept = self.buffers[0].X[:0].copy(), self.buffers[0].y[:0].copy()
        for job in self.jobs(epoch, done, total):
            with noting_what_is_kept():
                buffer = self._take(job, epoch, done, total, epochs)
            first = self.head - len(kept[0])
            buffer.X[first : self.head], buffer.y[first : self.head] = kept
            rows = np.concatenate([np.arange(first, self.head), self._order(job)[max(0, done - job.start) :]])
            while left and len(rows) >= left[0][1]:
                count, size = left.pop(0)
                now = min(count, len(rows) // size)
                if now < count:
                    left.insert(0, (count - now, size))
                yield buffer.X, buffer.y, rows[: now * size].reshape(now, size)
                rows = rows[now * size :]
            kept = buffer.X[rows[: self.head]], buffer.y[rows[: self.head]]
            assert self._reader is not None
            self._reader.release(buffer)

    def jobs(self, epoch: int, done: int, total: int) -> Iterator[Job]:
        """The windows of an epoch that have rows from `done` on, before `total`."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.source))
        start = 0
        for number, first in enumerate(range(0, len(order), self.source.window)):
            blocks = order[first : first + self.source.window]
            job = Job(tuple(blocks.tolist()), int(self.source.block_rows[blocks].sum()), epoch, number, start)
            start = job.stop
            if job.start < total and job.stop > done:
                yield job

    def order(self, epoch: int) -> Array:
        """The numbers of all rows, counted block after block, in the order in which an epoch visits them."""
        starts = np.cumsum(self.source.block_rows) - self.source.block_rows
        found = []
        for job in self.jobs(epoch, 0, self.source.rows):
            rows = [np.arange(starts[b], starts[b] + self.source.block_rows[b]) for b in job.blocks]
            found.append(np.concatenate(rows)[self._order(job) - self.head])
        return np.concatenate(found)

    def close(self) -> None:
        """Ends the reading; the buffers may be used again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _order(self, job: Job) -> Array:
        """A window's rows as they are shuffled: their places in a buffer."""
        shuffled = np.random.default_rng((self.seed, job.epoch, job.number + 1)).permutation(job.rows)
        return self.head + shuffled

    def _take(self, job: Job, epoch: int, done: int, total: int, epochs: int) -> Buffer:
        """The buffer that holds a window; reading begins again where something else was read ahead."""
        started = time.perf_counter()
        found = None if self._reader is None else self._reader.take(self.waiting)
        if found is None or found[0] != job:
            self.close()
            ahead = (later for e in range(epochs) for later in self.jobs(epoch + e, done if e == 0 else 0, total))
            wanted = (later for later in ahead if (later.epoch, later.number) >= (job.epoch, job.number))
            self._reader = ReadingAhead(self.source, wanted, self.buffers, self.head)
            found = self._reader.take(self.waiting)
        assert found is not None and found[0] == job
        self.waited += time.perf_counter() - started
        self._check_targets(job, found[1].y)
        return found[1]

    def _check_targets(self, job: Job, y: Array) -> None:
        """Here rather than where they are read, as a loss may be a user's, and computes by the backend in force."""
        start, check = self.head, self.check
        if check is None:
            return
        for block in job.blocks:
            stop = start + int(self.source.block_rows[block])
            try:
                check(y[start:stop])
            except (ValueError, TypeError) as error:
                raise type(error)(f"{self.source.where(block)}: {error}") from None
            start = stop

    @staticmethod
    def _left(batches: Batches, done: int) -> Iterator[tuple[int, int]]:
        """The batches that come after so many rows."""
        for count, size in batches:
            taken = min(count, done // size)
            done -= taken * size
            if count > taken:
                yield count - taken, size
