"""Whether several threads of the process compute at once, each a net of its own: each then runs on one CPU.

A team for each of them would be more threads than CPUs, that wait for each other at barriers.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Seconds for which callers that were seen at work together are taken to be still: longer than what a fit does between
# two runs of its steps. Not measured.
LASTS = 0.2


class Callers:
    """Who computes now, by thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._at_work = clock, set[int]()
        self._together = -LASTS  # when several were last seen at once

    @contextmanager
    def working(self) -> Iterator[bool]:
        """A block in which this thread computes; whether it is the only one lately."""
        me, now = threading.get_ident(), self._clock()
        others = len(self._at_work) - (me in self._at_work)
        if others:
            self._together = now
        nested = me in self._at_work
        self._at_work.add(me)
        try:
            yield now - self._together >= LASTS
        finally:
            if not nested:
                self._at_work.discard(me)

    def forget(self) -> None:
        """In a forked child there are no other threads."""
        self._at_work.clear()
        self._together = -LASTS


CALLERS = Callers()  # the process's

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=CALLERS.forget)
