"""What the machine can do at most: multiply-adds in registers, and bytes moved in each level of the memory hierarchy.

All loops are written with the numba backend's SIMD vectors and run on plain Python threads, so that no threading layer
and no array library has a part in them. A figure is the best of many short bursts.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

import numpy as np
from numba import njit

from ..cpus import cpu_count
from ..memory import aligned_empty
from ..numba_backend import simd
from ..numba_backend.simd import host
from ..numba_backend.simd.bfloat16 import add_products, has_pairs
from ..numba_backend.simd.tiles import SIDE, STEP, configure, has_tiles, multiply_tiles, release
from .ceilings import LEVELS

# In flight at once: two to four units, each with a latency of four or five cycles. More would not fit 16 registers.
ACCUMULATORS = 12 if host.vector_registers() == 16 else 24
# A compromise: short enough to end within a time slice of the system, so that the best of many was not interrupted, and
# long enough that starting threads, which takes microseconds, is nothing beside it.
BURST_SECONDS = 2e-3
TOGETHER = 0.9  # the part of a burst in which all threads run: where it is less, one had shared caches to itself
BYTES_MEMORY = 4  # the loops in memory work on this many times the last cache, which then holds a quarter at most


@simd.staged
def accumulators(zero: Any) -> Any:
    """The independent sums. Each starts from another number, or the compiler would see that they are equal."""
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
def multiply_add_loop(dtype: str, lanes: int) -> Any:
    """loop(rounds, factor, term): ``rounds`` times a multiply-add of every accumulator."""
    vector = simd.vector(dtype, lanes)

    @njit(nogil=True)
    def loop(rounds, factor, term):
        sums, factors, terms = accumulators(vector(0)), vector(factor), vector(term)
        for _ in range(rounds):
            sums = advance(sums, factors, terms)
        return total_of(sums)

    loop(1, 0.5, 0.25)
    return loop


@cache
def tile_loop() -> tuple[Any, int]:
    """loop(rounds) multiplies tiles, and how many operations a round does."""
    vector = simd.vector(np.float32, SIDE)

    @njit(nogil=True)
    def loop(rounds):
        configure(vector, 0)
        for _ in range(rounds):
            multiply_tiles(vector, 0)
        release(vector, 0)

    loop(1)
    return loop, 4 * 2 * SIDE * SIDE * STEP


@simd.staged
def add_pairs(sums: Any, words: Any) -> Any:
    """Each sum plus the products of the words' pairs with themselves."""
    return tuple(add_products(total, words, words) for total in sums)


@cache
def pair_loop() -> tuple[Any, int]:
    """The same of words of pairs, in vectors."""
    vector = simd.vector(np.float32, host.lanes(np.float32))
    word = vector.with_dtype("uint32")

    @njit(nogil=True)
    def loop(rounds):
        sums, words = accumulators(vector(0)), word(1)
        for _ in range(rounds):
            sums = add_pairs(sums, words)
        return total_of(sums)

    loop(1)
    return loop, 2 * 2 * ACCUMULATORS * vector.lanes


@cache
def streams() -> dict[str, tuple[int, int, Any]]:
    """Loops over arrays, four registers at a time, each with how many arrays' bytes it moves, and how many it has.

    copy: out = x; add: out = x + y, two loads for a store; read: loads alone; update: out = -out, in place. What a core
    can do in a cycle of each differs from CPU to CPU. Behind the L1, an update is the fastest: elsewhere a line that is
    written has to be fetched first, which counts for nothing. The names are those of McCalpin's STREAM benchmark, but
    for read and update.
    """
    vector = simd.vector(np.float32, host.lanes(np.float32))
    lanes = vector.lanes

    @njit(nogil=True)
    def update(out, x, y, repeats):
        zero = vector(0)
        for _ in range(repeats):
            for i in range(0, len(out) - 4 * lanes + 1, 4 * lanes):
                a, b = vector.load(out, i), vector.load(out, i + lanes)
                c, d = vector.load(out, i + 2 * lanes), vector.load(out, i + 3 * lanes)
                simd.store(out, i, zero - a)
                simd.store(out, i + lanes, zero - b)
                simd.store(out, i + 2 * lanes, zero - c)
                simd.store(out, i + 3 * lanes, zero - d)

    @njit(nogil=True)
    def copy(out, x, y, repeats):
        for _ in range(repeats):
            for i in range(0, len(x) - 4 * lanes + 1, 4 * lanes):
                a, b = vector.load(x, i), vector.load(x, i + lanes)
                c, d = vector.load(x, i + 2 * lanes), vector.load(x, i + 3 * lanes)
                simd.store(out, i, a)
                simd.store(out, i + lanes, b)
                simd.store(out, i + 2 * lanes, c)
                simd.store(out, i + 3 * lanes, d)

    @njit(nogil=True)
    def add(out, x, y, repeats):
        for _ in range(repeats):
            for i in range(0, len(x) - 4 * lanes + 1, 4 * lanes):
                a, b = vector.load(x, i) + vector.load(y, i), vector.load(x, i + lanes) + vector.load(y, i + lanes)
                c = vector.load(x, i + 2 * lanes) + vector.load(y, i + 2 * lanes)
                d = vector.load(x, i + 3 * lanes) + vector.load(y, i + 3 * lanes)
                simd.store(out, i, a)
                simd.store(out, i + lanes, b)
                simd.store(out, i + 2 * lanes, c)
                simd.store(out, i + 3 * lanes, d)

    @njit(nogil=True)
    def read(out, x, y, repeats):
        for _ in range(repeats):
            a, b, c, d = vector(0), vector(0), vector(0), vector(0)
            for i in range(0, len(x) - 4 * lanes + 1, 4 * lanes):
                a, b = a + vector.load(x, i), b + vector.load(x, i + lanes)
                c, d = c + vector.load(x, i + 2 * lanes), d + vector.load(x, i + 3 * lanes)
            out[0] = simd.sum_lanes(a + b + (c + d))

    return {"copy": (2, 2, copy), "add": (3, 3, add), "read": (1, 1, read), "update": (2, 1, update)}


def together_seconds(pool: ThreadPoolExecutor, works: list[Any]) -> float:
    """Seconds that works of the same size take side by side, a thread each."""
    barrier = Barrier(len(works))

    def run(work: Any) -> tuple[float, float]:
        barrier.wait()
        start = time.perf_counter()
        work()
        return start, time.perf_counter()

    try:
        return seconds_of(list(pool.map(run, works)))
    except RuntimeError:  # a thread that cannot be started: the others do not wait for it
        barrier.abort()
        raise


def seconds_of(times: list[tuple[float, float]]) -> float:
    """Seconds that works of the same size took, from when each began and ended.

    Threads that a barrier wakes start some microseconds apart: where they ran together for nearly all of the time, it
    is the harmonic mean of what each took itself; else it is all from the first start to the last end.
    """
    starts, ends = zip(*times, strict=True)
    own = [end - start for start, end in times]
    if min(ends) - max(starts) < TOGETHER * max(own):
        return max(ends) - min(starts)
    return len(own) / sum(1 / seconds for seconds in own)


def own_cpu(threads: int) -> Callable[[], None] | None:
    """What gives each of the threads its own CPU, if there are as many CPUs as threads.

    Else two of them may share one for longer than all bursts last. With fewer threads than CPUs the system chooses: it
    knows which CPUs are of one core.
    """
    if threads == 1 or threads != cpu_count() or not hasattr(os, "sched_setaffinity"):
        return None
    free = iter(sorted(os.sched_getaffinity(0)))
    return lambda: os.sched_setaffinity(0, {next(free)})


def best_seconds(works: list[Any], budget: float) -> float:
    """The shortest of as many runs as the budget in seconds allows, at least three; each work has its own thread."""
    best, runs, end = math.inf, 0, time.perf_counter() + budget
    with ThreadPoolExecutor(len(works), initializer=own_cpu(len(works))) as pool:
        while runs < 3 or time.perf_counter() < end:
            best, runs = min(best, together_seconds(pool, works)), runs + 1
    return best


def repeats_for(work: Callable[[int], object]) -> int:
    """How many repeats last about a burst."""
    repeats = 1
    while True:
        start = time.perf_counter()
        work(repeats)
        if (seconds := time.perf_counter() - start) > BURST_SECONDS / 4:
            return max(1, round(repeats * BURST_SECONDS / seconds))
        repeats *= 4


def gflops(dtype: str, threads: int, budget: float, lanes: int | None = None) -> float:
    """Billions of floating-point operations a second; a multiply-add is two. lanes: by default those of a register."""
    wide = host.lanes(dtype) if lanes is None else lanes
    loop = multiply_add_loop(dtype, wide)
    rounds = repeats_for(lambda rounds: loop(rounds, 0.5, 0.25))
    seconds = best_seconds([lambda: loop(rounds, 0.5, 0.25)] * threads, budget)
    return 2.0 * rounds * ACCUMULATORS * wide * threads / seconds / 1e9


def bfloat16_gflops(threads: int, budget: float) -> float | None:
    """The same of products of bfloat16 pairs, or None where the CPU has no instructions for them."""
    vector = simd.vector(np.float32, host.lanes(np.float32))
    if not (has_tiles(vector) or has_pairs(vector)):
        return None
    loop, flops = tile_loop() if has_tiles(vector) else pair_loop()
    rounds = repeats_for(loop)
    return float(flops * rounds * threads / best_seconds([lambda: loop(rounds)] * threads, budget) / 1e9)


def gigabytes(level: str, threads: int, budget: float, stream: str = "copy") -> float:
    """Billions of bytes a second, read and written, by threads that each work on their own arrays.

    A thread's arrays fill half of its L1 or L2; all threads' together half of the L3, or four times that of memory.
    """
    moved, count, loop = streams()[stream]
    sets = []
    for _ in range(threads):
        arrays = [aligned_empty((working_set(level, threads) // (4 * count),), np.float32) for _ in range(count)]
        for array in arrays:
            array.fill(1)  # memory that was never written is one page of zeros, over and over
        sets.append(arrays + [arrays[-1]] * (3 - count))
    out, x, y = sets[0]
    loop(out if stream == "read" else out[:0], x[:0], y[:0], 1)
    repeats = repeats_for(lambda repeats: loop(out, x, y, repeats))
    seconds = best_seconds([lambda arrays=arrays: loop(*arrays, repeats) for arrays in sets], budget)
    return float(moved) * x.nbytes * repeats * threads / seconds / 1e9


def working_set(level: str, threads: int) -> int:
    """Bytes that each thread works on to be slowed down by a level, and by none that is further away."""
    second, third = host.cache_bytes(2), host.cache_bytes(3) * host.cache_count(3)
    if level == "L3":
        return int(max(third // 2 // threads, 2 * second))  # more than the L2 that is a thread's own
    if level == "memory":
        return int(BYTES_MEMORY * max(third // threads, second))
    return int(host.cache_bytes(LEVELS.index(level) + 1) // 2)


def holds(threads: int) -> dict[str, int]:
    """Bytes that each level holds for so many threads: L1 and L2 belong to a thread, L3 is shared."""
    third = host.cache_bytes(3) * host.cache_count(3)
    return {"L1": threads * host.cache_bytes(1), "L2": threads * host.cache_bytes(2), "L3": third}


def level_of(bytes_touched: int, threads: int) -> str:
    """The smallest level that holds what a kernel touches."""
    return next((level for level, size in holds(threads).items() if bytes_touched <= size), "memory")
