"""Blocks read on a thread of their own into two buffers that alternate, while steps run on the other one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.memory import aligned_empty
from tinynet.data.sources.parts.part import Array
from tinynet.data.sources.source import Source

# Seconds between looks whether Ctrl-C came: polars, once it was used, has signals not wake a wait.
LOOK_UP = 0.05
AT_ONCE = 0.1  # seconds of waiting that nobody needs to be told of
LEAVE_BEHIND = 5.0  # seconds after which a read that does not end is left to itself, as on a disk that is not answering


class Buffer:
    """Memory of a window: head rows for what is left over from the window before, then the window's own."""

    def __init__(self, source: Source, head: int, rows: int, dtype: Any, target_dtype: Any):
        self.X = aligned_empty((head + rows, len(source.features)), dtype)
        self.y = np.zeros((head + rows, *source.target_shape), target_dtype)  # rows without data have a label, too


@dataclass(frozen=True)
class Job:
    """Blocks that are read together. number: in the epoch; start: rows of the epoch before them."""

    blocks: tuple[int, ...]
    rows: int
    epoch: int = 0
    number: int = 0
    start: int = field(default=0, compare=False)

    @property
    def stop(self) -> int:
        """Rows of the epoch before those after them."""
        return self.start + self.rows


class ReadingAhead:
    """Reads jobs in order; ``take`` gives them one by one, ``release`` says that a buffer may be written again."""

    def __init__(self, source: Source, jobs: Iterable[Job], buffers: Sequence[Buffer], head: int):
        self.source, self.jobs, self.head = source, iter(jobs), head
        self._free: queue.SimpleQueue[Buffer | None] = queue.SimpleQueue()
        self._read: queue.SimpleQueue[tuple[Job, Buffer] | BaseException | None] = queue.SimpleQueue()
        for buffer in buffers:
            self._free.put(buffer)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="tinynet reads ahead", daemon=True)
        self._thread.start()

    def take(self, waiting: Callable[[float], None] | None = None) -> tuple[Job, Buffer] | None:
        """The next job with the buffer that holds its rows from ``head`` on; None after the last.

        waiting: is told again and again how many seconds have been waited, once that takes longer than a moment.
        Raises what reading raised.
        """
        started = time.perf_counter()
        while True:
            try:
                found = self._read.get(timeout=LOOK_UP)
                break
            except queue.Empty:
                waited = time.perf_counter() - started
                if waiting is not None and waited > AT_ONCE:
                    waiting(waited)
        if isinstance(found, BaseException):
            raise found
        return found

    def release(self, buffer: Buffer) -> None:
        """Lets the buffer be written."""
        self._free.put(buffer)

    def close(self) -> None:
        """Ends the thread, once the block is read that is being read."""
        self._stopped = True
        self._free.put(None)
        self._thread.join(LEAVE_BEHIND)

    def _run(self) -> None:
        try:
            for job in self.jobs:
                buffer = self._free.get()
                if buffer is None or not self._fill(job, buffer):
                    return
                self._read.put((job, buffer))
            self._read.put(None)
        except BaseException as error:
            self._read.put(error)

    def _fill(self, job: Job, buffer: Buffer) -> bool:
        start = self.head
        for block in job.blocks:
            if self._stopped:
                return False
            stop = start + int(self.source.block_rows[block])
            if stop == start:
                continue
            self.source.read_into(block, buffer.X[start:stop], buffer.y[start:stop])
            start = stop
        return True


def in_order(source: Source, dtype: Any, target_dtype: Any) -> Iterator[tuple[Array, Array]]:
    """Each block's (X, y), one after the other; a block's arrays hold the block after the next one later."""
    jobs = (Job((block,), int(rows)) for block, rows in enumerate(source.block_rows))
    buffers = [Buffer(source, 0, int(source.block_rows.max()), dtype, target_dtype) for _ in range(2)]
    reader = ReadingAhead(source, jobs, buffers, 0)
    try:
        while (found := reader.take()) is not None:
            job, buffer = found
            if job.rows:
                yield buffer.X[: job.rows], buffer.y[: job.rows]
            reader.release(buffer)
    finally:
        reader.close()
