"""A team of threads that run one kernel together, each on its share.

Numba's own parallel regions cost more the less they do, abort when two threads use them at once (workqueue) or die
after a fork (OpenMP). A team is a few Python threads that wait in native code, without the GIL: for a while by
spinning, which starts work within a microsecond, then asleep on a semaphore. The caller publishes a call by raising a
generation number, runs share 0 itself, and waits until the others have reported. A run of many steps, in which threads
wait for each other, begins when all have joined, and if one does not within a fraction of a millisecond, since others
have the CPUs, it is called off, and the caller runs alone. A team serves one caller at a time; a second one finds it
busy and runs its kernel alone. Its threads start when it first runs, end when no backend of so many threads is left,
and are started again in a forked child.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
import weakref
from functools import cache
from typing import Any

import numpy as np
from numba import types

from ...cpus import cpu_count
from ...locks import lock
from ...memory import APART, LINE_WORDS
from ..native.calling_convention import (
    ROW_WORDS,
    WORDS,
    atomic_add,
    atomic_exchange,
    atomic_load,
    atomic_store,
    call_kernel,
    inlined,
    pause,
    yield_core,
)
from ..native.compilation import address_of
from ..native.invocation import Launcher

# Places in the shared words, each on a cache line of its own; each thread has a flag that says it sleeps.
CALL, VERDICT, PENDING, REPORTED, SIZE, ASLEEP = (line * LINE_WORDS for line in range(6))
# A call is one word: its generation, a bit when nobody may join any more, and how many have joined. The verdict is
# twice the generation, and 1 more where the call is run.
CLOSED, GENERATION_SHIFT = 128, 8
JOINED = CLOSED - 1
ENDED = -(1 << 40)  # in place of a call: the threads are to end
MOST_THREADS = 62  # sleepers are told as the bits of one word
# A thread without work spins, then gives way to others, then sleeps. A compromise between the next call, which has to
# wake a thread that sleeps, and others who need the core. A spin takes some 1 ns and a yield 150 ns on a 2-core Xeon,
# as `benchmarks/constants.py team.SPINS` measures first: some 3 us of spinning, then 1 ms of giving way.
SPINS, YIELDS = 3000, 6000
# Looks for which a run waits for threads to join. After the first ones the core is given away in between, since a
# thread is often woken on the caller's own CPU. A compromise: longer than waking one takes, some 25 us on a 2-core
# Xeon, and little beside the time slices that are lost with a thread that has no CPU.
PATIENCE, EAGER = 2000, 200

Array = np.ndarray[Any, Any]

I64 = types.int64
LEAD, JOIN = I64(WORDS, WORDS, I64, I64, I64, I64), I64(WORDS, WORDS, I64, I64, I64)
FOLLOW = I64(WORDS, WORDS, I64, I64, I64)


@inlined
def all_join(shared, threads, generation, patience):
    """Whether all others join the call in time; if so, they begin. patience: looks; 0 where they have begun already."""
    looks = 0
    while patience > 0 and atomic_load(shared, CALL) & JOINED < threads - 1:
        looks += 1
        if looks > patience and atomic_add(shared, CALL, CLOSED) & JOINED < threads - 1:
            atomic_store(shared, VERDICT, 2 * generation)
            return False
        if looks > EAGER:
            yield_core(0)
        else:
            pause(0)
    atomic_store(shared, VERDICT, 2 * generation + 1)
    return True


@inlined
def run_first_share(shared, words, threads, reports, patience):
    """Runs share 0, and waits until the other threads have reported; -1 if the call was called off."""
    if not all_join(shared, threads, atomic_load(shared, CALL) >> GENERATION_SHIFT, patience):
        return -1
    call_kernel(words, 0, threads)
    spins = 0
    while atomic_load(shared, REPORTED) < reports:
        spins += 1
        if spins > SPINS:
            yield_core(0)
    return 0


def _lead(shared: Any, words: Any, threads: Any, generation: Any, reports: Any, patience: Any) -> Any:
    """Publishes the call; returns which threads sleep, as bits; if none does, what ``run_first_share`` does.

    Which sleep is also in the shared words for as long as the call is not done.
    """
    if patience == 0:
        atomic_store(shared, VERDICT, 2 * generation + 1)
    atomic_store(shared, CALL, generation << GENERATION_SHIFT)
    sleeping = 0
    for thread in range(1, threads):
        sleeping |= atomic_exchange(shared, ASLEEP + APART * thread, 0) << thread
    if sleeping != 0:
        atomic_store(shared, PENDING, sleeping)
        return sleeping
    return run_first_share(shared, words, threads, reports, patience)


def _join(shared: Any, words: Any, threads: Any, reports: Any, patience: Any) -> Any:
    """What is left of ``_lead`` when the sleepers have been woken."""
    found = run_first_share(shared, words, threads, reports, patience)
    atomic_store(shared, PENDING, 0)
    return found


@inlined
def begins(shared, generation):
    """Waits for the verdict on a call that this thread has joined: whether it is run."""
    spins = 0
    while True:
        verdict = atomic_load(shared, VERDICT)
        if verdict >= 2 * generation:
            return verdict == 2 * generation + 1
        spins += 1
        if spins > SPINS:
            yield_core(0)


def _follow(shared: Any, words: Any, thread: Any, threads: Any, seen: Any) -> Any:
    """A thread's life: returns the generation it has seen when it should sleep, -1 when it should end."""
    idle = 0
    while True:
        if atomic_load(shared, CALL) >> GENERATION_SHIFT != seen:
            call = atomic_add(shared, CALL, 1)
            if call < 0:
                return -1
            seen, idle = call >> GENERATION_SHIFT, 0
            if call & CLOSED == 0 and begins(shared, seen):
                call_kernel(words, thread, threads)
                atomic_add(shared, REPORTED, 1)
            continue
        idle += 1
        if idle <= SPINS:
            continue
        if idle <= SPINS + YIELDS:
            yield_core(0)
            continue
        atomic_exchange(shared, ASLEEP + APART * thread, 1)
        if atomic_load(shared, CALL) >> GENERATION_SHIFT == seen:
            return seen
        # Work came just now. If the caller has already seen the flag, it will wake this thread, which must then sleep.
        if atomic_exchange(shared, ASLEEP + APART * thread, 0) == 0:
            return seen
        idle = 0


@cache
def _native() -> tuple[Any, Any, Any]:
    word = ctypes.c_ssize_t
    lead = ctypes.CFUNCTYPE(*[word] * 7)(address_of("team-lead", lambda: _lead, LEAD))
    join = ctypes.CFUNCTYPE(*[word] * 6)(address_of("team-join", lambda: _join, JOIN))
    follow = ctypes.CFUNCTYPE(*[word] * 6)(address_of("team-follow", lambda: _follow, FOLLOW))
    return lead, join, follow


class Wake:
    """Ends a thread's sleep. To wake one that is awake does no harm: it will sleep once less.

    Unlike threading.Semaphore, a finalizer may call it, which comes from within anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.wait = self._lock.acquire

    def release(self) -> None:
        with contextlib.suppress(RuntimeError):  # awake
            self._lock.release()


class Team:
    """``threads`` threads, the caller's among them."""

    def __init__(self, threads: int):
        self.threads = threads
        self._busy = lock()
        self._reset()

    def _reset(self) -> None:
        """Nobody has been started yet."""
        threads = self.threads
        self._started = (
            0  # threads, with the caller's, when they have been started: fewer than wanted where so many fail
        )
        self._wake = [Wake() for _ in range(threads)]
        self._shared, self._words = np.zeros(ASLEEP + APART * threads, np.int64), np.zeros(ROW_WORDS, np.int64)
        self._shared[ASLEEP::APART] = 1
        self._shared_address, self._words_address = int(self._shared.ctypes.data), int(self._words.ctypes.data)

    def start(self) -> Team:
        """Starts the threads now rather than with the first call; the team."""
        if not self._started and self._busy.acquire(blocking=False):
            try:
                self._start()
            finally:
                self._busy.release()
        return self

    def _start(self) -> int:
        """Starts the threads, as many as the system allows; how many there are."""
        global _startable
        _native()
        _members[:] = [member for member in _members if member.is_alive()]
        started, end = 1, weakref.finalize(self, _dismiss, self._shared, self._wake)
        end.atexit = False
        try:
            for thread in range(1, self.threads):
                shared = (self._wake[thread], self._shared, self._words, thread)
                member = threading.Thread(target=_live, args=shared, name=f"tinynet-{thread}", daemon=True)
                try:
                    member.start()
                except (RuntimeError, MemoryError):  # a limit of processes or of memory
                    _startable = min(_startable, started)
                    break
                _members.append(member)
                started += 1
        except BaseException:  # Ctrl-C
            end()
            self._reset()
            raise
        self._shared[SIZE] = self._started = started
        return started

    def run(self, kernel: Launcher, arguments: tuple[Any, ...], fewer: bool = False, patience: int = 0) -> int:
        """Runs the kernel on all threads, or on the caller's alone if the team is busy or could not be started.

        fewer: the kernel may as well run on those that could be. patience: looks for which it waits for all to join,
        and runs on the caller's alone if they do not; 0 waits for all. Returns how many it ran on.
        """
        if not self._busy.acquire(blocking=False):
            kernel.run(arguments)
            return 1
        try:
            threads = self._started or self._start()
            if threads == 1 or not (fewer or threads == self.threads):
                kernel.run(arguments)
                return 1
            kernel.fill(arguments, self._words)
            shared, words = self._shared_address, self._words_address
            generation = (int(self._shared[CALL]) >> GENERATION_SHIFT) + 1
            reports = int(self._shared[REPORTED]) + threads - 1
            try:
                found = _native()[0](shared, words, threads, generation, reports, patience)
                if found > 0:
                    found = self._wake_and_join(found, reports, patience)
            except BaseException:
                # Ctrl-C between the native calls: what has been published has to be done, since threads that have begun
                # may wait for those that sleep and for this one, and hold on to the arrays.
                if self._shared[PENDING]:
                    self._wake_and_join(int(self._shared[PENDING]), reports, patience)
                raise
            if found < 0:
                kernel.run(arguments)
                return 1
            return threads
        finally:
            self._busy.release()

    def _wake_and_join(self, sleeping: int, reports: int, patience: int) -> int:
        """Wakes the threads whose bits are set and runs share 0; -1 if the call was called off."""
        for thread in range(1, self._started):
            if sleeping >> thread & 1:
                self._wake[thread].release()
        return int(_native()[1](self._shared_address, self._words_address, self._started, reports, patience))

    def end(self) -> None:
        """Ends the threads, soon."""
        with self._busy:
            _dismiss(self._shared, self._wake)


def _live(wake: Wake, shared: Array, words: Array, thread: int) -> None:
    """A member's life. It does not hold the team, which ends when nobody else does."""
    follow, seen = _native()[2], 0
    while seen >= 0:
        wake.wait()
        seen = follow(int(shared.ctypes.data), int(words.ctypes.data), thread, int(shared[SIZE]), seen)


def _dismiss(shared: Array, wakes: list[Wake]) -> None:
    """Tells the threads to end."""
    shared[CALL] = ENDED
    for wake in wakes:
        wake.release()


_teams: weakref.WeakValueDictionary[int, Team] = weakref.WeakValueDictionary()
_members: list[threading.Thread] = []  # that have been started, of all teams
_founding = lock()
_startable = MOST_THREADS  # threads of a team, the caller's among them: fewer after a limit was met


def team_of(threads: int) -> Team:
    """The process's team of that many threads, which lives as long as somebody holds it."""
    with _founding:
        found = _teams.get(threads)
        if found is None:
            found = _teams[threads] = Team(threads)
        return found


def at_once(threads: int) -> int:
    """How many of so many threads run at once: no more than CPUs, since those without one keep all others waiting."""
    return 1 if threads == 1 else min(threads, cpu_count(), _startable)


def _forget() -> None:
    """In a forked child there are no other threads."""
    _members.clear()
    for team in list(_teams.values()):
        team._reset()


@atexit.register
def _end_all() -> None:
    """Ends all threads, before the interpreter takes their code away."""
    for team in list(_teams.values()):
        team.end()
    for member in _members:
        member.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
