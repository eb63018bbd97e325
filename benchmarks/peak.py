"""What the machine can do at most: multiply-adds in registers, and copies within each level of the memory hierarchy.

Both loops are written with the backend's SIMD vectors and run on plain Python threads, so that no threading layer and
no array library has a part in them. A figure is the best of many short bursts.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

import numpy as np
from clock import settle
from numba import njit
from problem import aligned

from kernels.numba_backend import simd
from kernels.numba_backend.simd import host

# In flight at once: two to four units, each with a latency of four or five cycles. More would not fit 16 registers.
ACCUMULATORS = 12 if host.vector_registers() == 16 else 24
LEVELS = ("L1", "L2", "L3", "memory")
BURST_SECONDS = 2e-3
GAUGE_SECONDS = 2e-2  # longer than the slices in which an operating system gives CPUs to others
BYTES_MEMORY = 4  # the copy in memory works on this many times the last cache


@simd.staged
def accumulators(zero: Any) -> Any:
    """The independent sums, each starting elsewhere, lest the compiler sees that they are equal."""
    return tuple(zero + float(n) for n in range(ACCUMULATORS))


@simd.staged
def advance(sums: Any, factor: Any, term: Any) -> Any:
    """Each sum times factor plus term."""
    return tuple(simd.multiply_add(total, factor, term) for total in sums)


@simd.staged
def total_of(sums: Any) -> Any:
    """All sums in one, so that none of them can be left out."""
    result = sums[0]
    for other in sums[1:]:
        result = result + other
    return simd.sum_lanes(result)


@cache
def multiply_add_loop(dtype: str) -> Any:
    """loop(rounds, factor, term): ``rounds`` times a multiply-add of every accumulator."""
    vector = simd.vector(dtype, host.lanes(dtype))

    @njit(nogil=True)
    def loop(rounds, factor, term):
        sums, factors, terms = accumulators(vector(0)), vector(factor), vector(term)
        for _ in range(rounds):
            sums = advance(sums, factors, terms)
        return total_of(sums)

    loop(1, 0.5, 0.25)
    return loop


@cache
def copy_loop() -> Any:
    """loop(x, out, repeats): out = x, four registers at a time."""
    vector = simd.vector(np.float32, host.lanes(np.float32))
    lanes = vector.lanes

    @njit(nogil=True)
    def loop(x, out, repeats):
        for _ in range(repeats):
            for i in range(0, len(x) - 4 * lanes + 1, 4 * lanes):
                a, b = vector.load(x, i), vector.load(x, i + lanes)
                c, d = vector.load(x, i + 2 * lanes), vector.load(x, i + 3 * lanes)
                simd.store(out, i, a)
                simd.store(out, i + lanes, b)
                simd.store(out, i + 2 * lanes, c)
                simd.store(out, i + 3 * lanes, d)

    loop(np.zeros(0, np.float32), np.zeros(0, np.float32), 1)
    return loop


def together_seconds(pool: ThreadPoolExecutor, works: list[Any]) -> float:
    """Seconds from a common start until the last thread has done its work."""
    barrier = Barrier(len(works))

    def run(work: Any) -> tuple[float, float]:
        barrier.wait()
        start = time.perf_counter()
        work()
        return start, time.perf_counter()

    times = list(pool.map(run, works))
    return max(end for _, end in times) - min(start for start, _ in times)


def best_seconds(pool: ThreadPoolExecutor, works: list[Any], budget: float) -> float:
    """The shortest of as many runs as the budget, in seconds, allows; at least three."""
    best, runs, end = float("inf"), 0, time.perf_counter() + budget
    while runs < 3 or time.perf_counter() < end:
        best, runs = min(best, together_seconds(pool, works)), runs + 1
    return best


def repeats_for(work: Any, arguments: Any) -> int:
    """How many repeats last about a burst."""
    repeats = 1
    while True:
        start = time.perf_counter()
        work(*arguments(repeats))
        if (seconds := time.perf_counter() - start) > BURST_SECONDS / 4:
            return max(1, round(repeats * BURST_SECONDS / seconds))
        repeats *= 4


def gflops(dtype: str, threads: int, budget: float) -> float:
    """Billions of floating-point operations a second; a multiply-add is two."""
    loop = multiply_add_loop(dtype)
    rounds = repeats_for(loop, lambda rounds: (rounds, 0.5, 0.25))
    with ThreadPoolExecutor(threads) as pool:
        seconds = best_seconds(pool, [lambda: loop(rounds, 0.5, 0.25)] * threads, budget)
    return 2.0 * rounds * ACCUMULATORS * host.lanes(dtype) * threads / seconds / 1e9


def gigabytes(level: str, threads: int, budget: float) -> float:
    """Billions of bytes a second, read and written, by threads that each copy an array of their own.

    A thread's two arrays fill half of its L1 or L2; all threads' together half of the L3, or four times that of memory.
    """
    loop, number = copy_loop(), LEVELS.index(level) + 1
    if number <= 2:
        working_set = host.cache_bytes(number) // 2
    else:
        working_set = int(host.cache_bytes(3) * (0.5 if level == "L3" else BYTES_MEMORY)) // threads
    pairs = [tuple(aligned((working_set // 8,), np.float32) for _ in range(2)) for _ in range(threads)]
    for pair in pairs:
        for array in pair:
            array.fill(1)
    repeats = repeats_for(loop, lambda repeats: (*pairs[0], repeats))
    with ThreadPoolExecutor(threads) as pool:
        seconds = best_seconds(pool, [lambda p=pair: loop(*p, repeats) for pair in pairs], budget)
    return 2.0 * pairs[0][0].nbytes * repeats * threads / seconds / 1e9


def cpu_share(threads: int) -> float:
    """The part of the time that so many busy threads really ran, the least of them: 1 if no one else wants the CPUs."""
    settle()
    loop, barrier = multiply_add_loop("float32"), Barrier(threads)
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
    loop, start = multiply_add_loop("float32"), time.perf_counter()
    loop(100_000, 0.5, 0.25)
    return (time.perf_counter() - start) / 100_000


def level_of(bytes_touched: int, threads: int) -> str:
    """The smallest level that holds what a kernel touches; L1 and L2 belong to a thread, L3 is shared."""
    holds = {"L1": threads * host.cache_bytes(1), "L2": threads * host.cache_bytes(2), "L3": host.cache_bytes(3)}
    return next((level for level, size in holds.items() if bytes_touched <= size), "memory")


def measure(dtype: str, threads: int, budget: float) -> dict[str, float]:
    """GFLOP/s under "gflops", and GB/s by level."""
    copies = {level: gigabytes(level, threads, budget) for level in LEVELS}
    return {"gflops": gflops(dtype, threads, budget), **copies}
