"""Whether the machine is quiet enough to measure on several threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

from kernels.hardware.peak import multiply_add_loop
from kernels.numba_backend.simd import host

from .clock import settle

GAUGE_SECONDS = 2e-2  # longer than the slices in which an operating system gives CPUs to others


def _loop() -> Any:
    return multiply_add_loop("float32", host.lanes("float32"))


def cpu_share(threads: int) -> float:
    """The part of the time that so many busy threads really ran, the least of them: 1 if no one else wants the CPUs."""
    settle()
    loop, barrier = _loop(), Barrier(threads)
    rounds = int(GAUGE_SECONDS / seconds_per_round())

    def run(_: int) -> float:
        barrier.wait()
        wall, running = time.perf_counter(), time.thread_time()
        loop(rounds, 0.5, 0.25)
        return (time.thread_time() - running) / (time.perf_counter() - wall)

    with ThreadPoolExecutor(threads) as pool:
        return min(pool.map(run, range(threads)))


@cache
def seconds_per_round() -> float:
    """How long a round of multiply-adds takes, roughly."""
    loop, start = _loop(), time.perf_counter()
    loop(100_000, 0.5, 0.25)
    return (time.perf_counter() - start) / 100_000
