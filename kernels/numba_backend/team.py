"""A team of threads that run one kernel together, each on its share.

Numba's own parallel regions cost more the less they do, abort when two threads use them at once (workqueue) or die
after a fork (OpenMP). A team is a few Python threads that wait in native code, without the GIL: for a while by
spinning, which starts work within a microsecond, then asleep on a semaphore. The caller publishes a call by raising a
generation number, runs share 0 itself, and waits until the others have reported. A team serves one caller at a time;
a second one finds it busy and runs its kernel alone. After a fork the child starts a team of its own.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from functools import cache
from typing import Any

import numpy as np
from numba import types

from .compilation import address_of
from .invocation import Launcher
from .words import WORDS, atomic_add, atomic_exchange, atomic_load, atomic_store, call_kernel, inlined, yield_core

# Places in the shared words, each on a cache line of its own; each thread has a flag that says it sleeps.
GENERATION, PENDING, REPORTED, ASLEEP, LINE = 0, 8, 16, 32, 16
MOST_THREADS = 62  # sleepers are told as the bits of one word
SPINS, YIELDS = 3000, 6000  # some 50 us of spinning, then some 2 ms of giving way, then sleep

I64 = types.int64
LEAD, JOIN = I64(WORDS, WORDS, I64, I64, I64), types.void(WORDS, WORDS, I64, I64)
FOLLOW = I64(WORDS, WORDS, I64, I64, I64)


@inlined
def run_first_share(shared, words, threads, reports):
    """Runs share 0, and waits until the other threads have reported."""
    call_kernel(words, 0, threads)
    spins = 0
    while atomic_load(shared, REPORTED) < reports:
        spins += 1
        if spins > SPINS:
            yield_core(0)


def _lead(shared: Any, words: Any, threads: Any, generation: Any, reports: Any) -> Any:
    """Publishes the call; returns which threads sleep, as bits; if none does, runs share 0 and waits for the others.

    Which sleep also stands in the shared words for as long as the call is not done.
    """
    atomic_store(shared, GENERATION, generation)
    sleeping = 0
    for thread in range(1, threads):
        sleeping |= atomic_exchange(shared, ASLEEP + LINE * thread, 0) << thread
    if sleeping != 0:
        atomic_store(shared, PENDING, sleeping)
        return sleeping
    run_first_share(shared, words, threads, reports)
    return 0


def _join(shared: Any, words: Any, threads: Any, reports: Any) -> None:
    """What is left of ``_lead`` when the sleepers have been woken."""
    run_first_share(shared, words, threads, reports)

    atomic_store(shared, PENDING, 0)


def _follow(shared: Any, words: Any, thread: Any, threads: Any, seen: Any) -> Any:
    """A thread's life: returns the generation it has seen when it should sleep, -1 when it should end."""
    idle = 0
    while True:
        generation = atomic_load(shared, GENERATION)
        if generation != seen:
            if generation < 0:
                return -1
            seen, idle = generation, 0
            call_kernel(words, thread, threads)
            atomic_add(shared, REPORTED, 1)
            continue
        idle += 1
        if idle <= SPINS:
            continue
        if idle <= SPINS + YIELDS:
            yield_core(0)
            continue
        atomic_exchange(shared, ASLEEP + LINE * thread, 1)
        if atomic_load(shared, GENERATION) == seen:
            return seen
        # Work came just now. If the caller has already seen the flag, it will wake this thread, which must then sleep.
        if atomic_exchange(shared, ASLEEP + LINE * thread, 0) == 0:
            return seen
        idle = 0


@cache
def _native() -> tuple[Any, Any, Any]:
    word = ctypes.c_ssize_t
    lead = ctypes.CFUNCTYPE(word, word, word, word, word, word)(address_of("team-lead", lambda: _lead, LEAD))
    join = ctypes.CFUNCTYPE(None, word, word, word, word)(address_of("team-join", lambda: _join, JOIN))
    follow = ctypes.CFUNCTYPE(word, word, word, word, word, word)(address_of("team-follow", lambda: _follow, FOLLOW))
    return lead, join, follow


class Team:
    """``threads`` threads, the caller's among them."""

    def __init__(self, threads: int):
        self.threads = threads
        self._busy = threading.Lock()
        # A semaphore for each: one for all could be taken twice by the same thread.
        self._wake = [threading.Semaphore(0) for _ in range(threads)]
        self._shared, self._words = np.zeros(ASLEEP + LINE * threads, np.int64), np.zeros(64, np.int64)
        self._shared_address, self._words_address = int(self._shared.ctypes.data), int(self._words.ctypes.data)
        self._members: list[threading.Thread] = []
        _native()
        for thread in range(1, threads):
            member = threading.Thread(target=self._live, args=(thread,), name=f"tinynet-{thread}", daemon=True)
            member.start()
            self._members.append(member)

    def _live(self, thread: int) -> None:
        follow, seen = _native()[2], 0
        while True:
            seen = follow(self._shared_address, self._words_address, thread, self.threads, seen)
            if seen < 0:
                return
            self._wake[thread].acquire()

    def run(self, kernel: Launcher, arguments: tuple[Any, ...]) -> None:
        """Runs the kernel on all threads, or on the caller's alone if the team is busy."""
        if not self._busy.acquire(blocking=False):
            kernel.run(arguments)
            return
        try:
            kernel.fill(arguments, self._words)
            shared, words = self._shared_address, self._words_address
            generation = int(self._shared[GENERATION]) + 1
            reports = int(self._shared[REPORTED]) + self.threads - 1
            try:
                sleeping = _native()[0](shared, words, self.threads, generation, reports)
                if sleeping:
                    self._wake_and_join(sleeping, reports)
            except BaseException:
                # Ctrl-C between the native calls: what has been published has to be done, since threads that have begun
                # may wait for those that sleep and for this one, and hold on to the arrays.
                if self._shared[PENDING]:
                    self._wake_and_join(int(self._shared[PENDING]), reports)
                raise
        finally:
            self._busy.release()

    def _wake_and_join(self, sleeping: int, reports: int) -> None:
        """Wakes the threads whose bits are set and runs share 0. To wake one that is awake does no harm."""
        for thread in range(1, self.threads):
            if sleeping >> thread & 1:
                self._wake[thread].release()
        _native()[1](self._shared_address, self._words_address, self.threads, reports)

    def _dismiss(self) -> None:
        """Ends the threads."""
        self._shared[GENERATION] = -1
        for wake in self._wake:
            wake.release()
        for member in self._members:
            member.join()

    def end(self) -> None:
        """Ends the threads, before the interpreter takes their code away."""
        with self._busy:
            self._dismiss()


_teams: dict[int, Team] = {}
_founding = threading.Lock()


def team_of(threads: int) -> Team:
    """The process's team of that many threads."""
    found = _teams.get(threads)
    if found is None:
        with _founding:
            found = _teams.get(threads) or _teams.setdefault(threads, Team(threads))
    return found


def _forget() -> None:
    """In a forked child there are no other threads, and a lock may be held by one of them for ever."""
    global _founding
    _founding = threading.Lock()
    _teams.clear()


@atexit.register
def _end_all() -> None:
    for team in _teams.values():
        team.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
