"""Whether a program runs on one thread or on all, by what its runs have taken."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

RUNS = 3  # in a row by which a number of threads is judged: the first may have to wake them
# Seconds of a step that is not worth waking anyone: waking and barriers alone take as long. Not measured.
WORTH = 6e-6
# Seconds of a trial at most: threads that wake up on the same CPU need some milliseconds until the system moves one.
TRIAL = 15e-3
# Seconds after which the slower is tried once more, for neighbours come and go: a trial is then 0.3 % of the time.
AGAIN = 5.0
HOPELESS = 3.0  # times as slow: such a trial ends early


class Choice:
    """The number of threads that was fastest in recent runs; the other is tried from time to time."""

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic):
        self.threads, self._clock = threads, clock
        self._recent = {count: deque[float](maxlen=RUNS) for count in (1, threads)}  # seconds a step of the last runs
        self._tried, self._runs, self._until, self._next = 0, 0, 0.0, 0.0  # a trial's threads, runs and end

    def next(self) -> int:
        """How many threads the next run gets."""
        alone = self._recent[1]
        if self.threads == 1 or len(alone) < RUNS - 1 or min(alone) < WORTH:
            return 1
        now = self._clock()
        if self._tried and self._decided(now):
            self._tried = 0
        elif not self._tried and now >= self._next:
            self._tried, self._runs = self.threads if self.fastest == 1 else 1, 0
            self._recent[self._tried].clear()
            self._until, self._next = now + TRIAL, now + AGAIN
        return self._tried or self.fastest

    def _decided(self, now: float) -> bool:
        """Whether a trial has gone on for long enough, or has been won or lost."""
        tried, other = self._recent[self._tried], self._recent[1 if self._tried != 1 else self.threads]
        if self._runs < RUNS:
            return False
        return now >= self._until or not min(other) <= min(tried) <= HOPELESS * min(other)

    def note(self, threads: int, seconds: float) -> None:
        """Takes the seconds a step of a run that is done."""
        self._recent[threads].append(seconds)
        self._runs += threads == self._tried

    @property
    def fastest(self) -> int:
        """The number of threads of the fastest of the last runs; before any, one."""
        known = {count: min(recent) for count, recent in self._recent.items() if recent}
        return min(known, key=known.__getitem__, default=1)
