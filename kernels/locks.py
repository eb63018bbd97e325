"""Locks and forks: a forked child has none of the threads that held its parent's locks.

A lock of ``lock()`` or ``reentrant_lock()`` is open again in the child. That is enough where what it guards is whole at
any time; where it is not, or where other libraries work that are not put in order for the child, the work is
``Awaited``: a fork waits for its end.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

# Seconds that a fork waits for a lock at most: longer than kernels compile, and an end where a lock is never opened.
PATIENCE = 60.0

_locks: weakref.WeakSet[Any] = weakref.WeakSet()
_awaited: list[Awaited] = []


def lock() -> threading.Lock:
    """As threading.Lock() makes it, but open in a forked child."""
    made = threading.Lock()
    _locks.add(made)
    return made


def reentrant_lock() -> threading.RLock:
    """As threading.RLock() makes it, but open in a forked child."""
    made = threading.RLock()
    _locks.add(made)
    return made


class Awaited:
    """A context in which one thread works at a time, and for whose end a fork waits.

    A thread passes the door to come in, and a fork that waits keeps it shut: else a thread that comes again and again
    would always be first.
    """

    def __init__(self) -> None:
        self._door, self._room = lock(), reentrant_lock()
        self._taken: list[Any] = []  # of the two, by the thread that forks
        _awaited.append(self)

    def __enter__(self) -> None:
        with self._door:
            self._room.acquire()

    def __exit__(self, *error: object) -> None:
        self._room.release()

    def shut(self) -> None:
        """Waits until nobody works here, and lets nobody in."""
        self._taken = [one for one in (self._door, self._room) if one.acquire(timeout=PATIENCE)]

    def open(self) -> None:
        """Lets others in again."""
        while self._taken:
            self._taken.pop().release()


def _before_fork() -> None:
    for one in _awaited:
        one.shut()


def _in_parent() -> None:
    for one in _awaited:
        one.open()


def _in_child() -> None:
    for held in list(_locks):
        held._at_fork_reinit()  # as threading does with its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
