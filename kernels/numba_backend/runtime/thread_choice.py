"""Whether a program runs on one thread or on all, by what runs of programs like it have taken in this process.

Two things are learned, and kept for the process. Of programs that are alike (the same kernels on the same shapes):
what a step takes on one thread and on all. Of the machine: whether others want its CPUs, which a run on all threads
shows that falls behind one thread by as much as an operating system's time slice; it then ends early, and nothing runs
on several threads for a while. Both are looked at again after a while that grows with each look in vain. Nothing is
tried unless what it may cost is little beside the work that is left.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...locks import lock

# Seconds of a step that is not worth waking anyone: waking and barriers alone take as long. Not measured.
WORTH = 6e-6
# A trial is so many runs, of so many seconds each at most; the first, which may have to wake threads, does not count.
PIECES, PIECE = 3, 1e-3
FEWEST = 2  # runs on one thread before there is a trial: the first does not count, either
# Seconds that a run on all threads may be behind one thread before it ends: longer than waking takes.
BEHIND = 0.3e-3
# Seconds behind that mean that a thread had no CPU: systems give CPUs to others for 2 ms and more.
SLICE = 1e-3
# Seconds that a trial costs, to begin with; what trials really lost takes its place.
COST = 0.5e-3
EARNED = 8  # times that cost which the work that is left must take
# Seconds until the next look: the first ones, and at most. A look beside busy others costs a slice or two.
SHORTEST, LONGEST = 0.02, 1.0  # at the machine
SOONEST, LATEST = 0.1, 5.0  # at the other number of threads
KEPT = 0.7  # of what is known of a number of threads, with each run that follows
MOST_RECORDS = 256  # of programs that are not alike; the least recently used go first

Clock = Callable[[], float]


class Decision(NamedTuple):
    """How the next steps run: on how many threads, how many steps at most, and what a step takes on one thread.

    alone: seconds, by which a run on several threads is behind; infinite where none ends early.
    """

    threads: int
    steps: int
    alone: float


class Neighbours:
    """Whether others want the CPUs: for how long nothing runs on several threads, and what a try costs."""

    def __init__(self, clock: Clock = time.monotonic):
        self.clock = clock
        self.forget()

    def forget(self) -> None:
        """Nothing is known."""
        self._cost, self._pause, self._until = COST, SHORTEST, -math.inf

    def allow(self, left: float) -> bool:
        """Whether several threads may run now. left: seconds of work to come."""
        return self.clock() >= self._until and (self._cost == COST or self.earns(left))

    def earns(self, left: float) -> bool:
        """Whether a try that fails costs little beside so many seconds of work."""
        return left >= EARNED * self._cost

    def disturbed(self, lost: float) -> None:
        """A run on several threads lost so many seconds to others."""
        self._cost = max(COST, (self._cost + lost) / 2)
        self._until, self._pause = self.clock() + self._pause, min(LONGEST, 2 * self._pause)

    def undisturbed(self, seconds: float) -> None:
        """A run on several threads had the CPUs for so long."""
        left = 0.5 ** (seconds / SHORTEST)
        self._pause, self._cost = max(SHORTEST, self._pause * left), max(COST, self._cost * left)


class Speed:
    """Seconds a step: the mean of recent runs, in which a run counts less with each that follows."""

    def __init__(self) -> None:
        self.runs, self._steps, self._seconds = 0, 0.0, 0.0

    def again(self) -> None:
        """What is known goes as soon as there is something new."""
        self.runs = 0

    def note(self, steps: int, seconds: float) -> None:
        """Takes a run."""
        kept = KEPT if self.runs > 1 else 0.0  # the first has cold caches, or wakes threads
        self._steps, self._seconds = kept * self._steps + steps, kept * self._seconds + seconds
        self.runs += 1

    @property
    def seconds(self) -> float:
        """Of a step; infinite where nothing is known."""
        return self._seconds / self._steps if self._steps else math.inf


class Record:
    """What is known of programs that are alike, on one thread and on all."""

    def __init__(self, threads: int, neighbours: Neighbours):
        self.threads, self._neighbours = threads, neighbours
        self._speeds = {count: Speed() for count in (1, threads)}
        self._trial, self._was = 0, 0  # the threads that are tried, and those that were faster before
        self._next, self._pause = -math.inf, SOONEST  # when the next trial may begin

    @property
    def fastest(self) -> int:
        """The number of threads of the faster runs; before any, one."""
        if _forced:
            return self.threads
        return min(self._speeds, key=lambda count: self._speeds[count].seconds)

    def decide(self, steps: int, left: int, only: bool = True) -> Decision:
        """How the next of these steps run. left: steps to come, these included; only: nobody else computes here."""
        if _forced:
            return Decision(self.threads, steps, math.inf)
        alone = self._speeds[1].seconds
        if not only:
            return Decision(1, steps, alone)
        piece = steps if alone == math.inf else max(1, min(steps, int(PIECE / alone)))
        if self.threads == 1 or alone < WORTH or self._speeds[1].runs < FEWEST:
            return Decision(1, steps if self.threads == 1 or alone < WORTH else piece, alone)
        fastest = self.fastest
        seconds = left * self._speeds[fastest].seconds
        if not self._trial and self._neighbours.clock() >= self._next and self._neighbours.earns(seconds):
            self._trial, self._was = (self.threads if fastest == 1 else 1), fastest
            self._speeds[self._trial].again()
        wanted = self._trial or fastest
        if wanted > 1 and not self._neighbours.allow(seconds):
            return Decision(1, steps, alone)
        return Decision(wanted, piece if self._trial else steps, alone)

    def note(self, decision: Decision, threads: int, steps: int, seconds: float) -> None:
        """Takes what a run of so many steps took, that was decided so, and on how many threads it ran."""
        if threads < decision.threads:  # not all could come
            self._neighbours.disturbed(0.0)
            return
        lost = seconds - steps * decision.alone
        if threads > 1 and lost > max(SLICE, decision.alone):
            self._neighbours.disturbed(lost)
            return
        if threads > 1:
            self._neighbours.undisturbed(seconds)
        self._speeds[threads].note(steps, seconds)
        runs = self._speeds[threads].runs
        # The first run of a trial may find threads that were woken on one CPU, which takes a moment to mend.
        if threads == self._trial and (runs >= PIECES or (runs > 1 and lost > BEHIND)):
            same = self.fastest == self._was
            self._trial, self._pause = 0, min(LATEST, 2 * self._pause) if same else SOONEST
            self._next = self._neighbours.clock() + self._pause


NEIGHBOURS = Neighbours()  # the process's
_records: OrderedDict[Hashable, Record] = OrderedDict()
_turn = lock()
_forced = False


def record_of(threads: int, kind: Hashable) -> Record:
    """The process's record of programs of a kind on so many threads."""
    with _turn:
        found = _records.pop((threads, kind), None) or Record(threads, NEIGHBOURS)
        _records[threads, kind] = found
        if len(_records) > MOST_RECORDS:
            _records.popitem(last=False)
        return found


def forget() -> None:
    """Nothing is known of any program, nor of the machine; for benchmarks."""
    with _turn:
        _records.clear()
        NEIGHBOURS.forget()


@contextmanager
def always_all() -> Iterator[None]:
    """A block in which all programs run on all threads to their end, whatever that takes; for tests and benchmarks."""
    global _forced
    _forced = True
    try:
        yield
    finally:
        _forced = False
