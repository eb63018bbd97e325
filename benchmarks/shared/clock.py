"""Interleaved timing: in each of several rounds, every contender gets one short burst.

A shared machine has moods that last longer than a call. Contenders that take turns share them; the best burst of each
is what the code can do, and the spread between the bursts says how far the figure can be trusted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import repeat

ROUNDS = 5
SAMPLE_SECONDS = 5e-5  # calls are timed in groups that last this long, beside which reading the clock is nothing
PROBE_SECONDS, PROBES = 5e-3, 60  # how often and how many times to look whether idle threads have gone to sleep
STEADY = 1.3  # a larger spread is marked

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds a call, the best of each round."""

    rounds: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.rounds)

    @property
    def spread(self) -> float:
        """Slowest round over fastest."""
        return max(self.rounds) / min(self.rounds)


def seconds(call: Call, number: int) -> float:
    """Seconds that ``number`` calls take."""
    start = time.perf_counter()
    for _ in repeat(None, number):
        call()
    return time.perf_counter() - start


def calls_in_a_sample(call: Call) -> int:
    """How many calls last about ``SAMPLE_SECONDS``; 1 if one lasts longer."""
    number = 1
    while (taken := seconds(call, number)) < SAMPLE_SECONDS:
        number = max(2 * number, int(number * SAMPLE_SECONDS / max(taken, 1e-7)))
    return max(1, round(number * SAMPLE_SECONDS / taken))


def burst(call: Call, number: int, budget: float) -> float:
    """Seconds a call, the best of the samples that fit the budget; at least two, as the first finds cold caches."""
    best, samples, end = float("inf"), 0, time.perf_counter() + budget
    while samples < 2 or time.perf_counter() < end:
        best, samples = min(best, seconds(call, number)), samples + 1
    return best / number


def settle() -> None:
    """Waits until this process uses no CPU: OpenBLAS' threads spin for 0.1 seconds before they sleep."""
    for _ in range(PROBES):
        before = time.process_time()
        time.sleep(PROBE_SECONDS)
        if time.process_time() - before < 0.1 * PROBE_SECONDS:
            return


def fastest(calls: Mapping[str, Call], budget: float) -> str:
    """The name of the fastest in one burst each."""
    if len(calls) == 1:
        return next(iter(calls))
    return min(calls, key=lambda name: burst(calls[name], calls_in_a_sample(calls[name]), budget))


def contest(calls: Mapping[str, Call], budget: float, threads: int) -> dict[str, Timing]:
    """Times contenders in turn; each gets ``budget`` seconds in all. Every round begins with another one.

    With several threads, a burst waits until those of the contender before are asleep.
    """
    numbers = {name: calls_in_a_sample(call) for name, call in calls.items()}
    names, found = list(calls), {name: [] for name in calls}
    for turn in range(ROUNDS):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if threads > 1:
                settle()
            found[name].append(burst(calls[name], numbers[name], budget / ROUNDS))
    return {name: Timing(tuple(bests)) for name, bests in found.items()}
