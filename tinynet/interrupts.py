"""Ctrl-C, held back for as long as a block lasts, so that what belongs together is done as a whole."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_Handler = Callable[[int, FrameType | None], Any]


class _Held:
    """The handler of SIGINT while blocks may hold it back: it waits in a block, and else does what it did before."""

    def __init__(self, before: _Handler | signal.Handlers | int):
        self.before, self.depth, self.thread = before, 0, threading.get_ident()
        self.caught: list[tuple[int, FrameType | None]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.caught.append((number, frame))
        if not self.depth:
            self.release()

    def release(self) -> None:
        """Does what the signals that came would have done."""
        caught, self.caught = self.caught, []
        for number, frame in caught:
            if callable(self.before):
                self.before(number, frame)
            else:  # the default action, which ends the process, or none; a SIGTERM's own handler is asked again
                signal.signal(signal.SIGINT, self.before)
                signal.raise_signal(number)
                signal.signal(signal.SIGINT, self)


_held: _Held | None = None  # set by the main thread alone, which alone gets signals


@contextmanager
def holding_interrupts() -> Iterator[_Held | None]:
    """Within it ``uninterrupted`` costs next to nothing, as the handler is exchanged once and not for each block.

    Gives the handler, or None where signals cannot be held back: in another thread, and where the handler was not
    set from Python. Where Ctrl-C is ignored there is one too, by which SIGTERM waits (``Termination``).
    """
    global _held
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    if _held is not None:
        yield _held
        return
    before = signal.getsignal(signal.SIGINT)
    if before is None:  # a handler that was not set from Python, which could not be put back
        yield None
        return
    _held = held = _Held(before)
    signal.signal(signal.SIGINT, held)
    try:
        yield held
    finally:
        if signal.getsignal(signal.SIGINT) is held:  # not one that a callback has set
            signal.signal(signal.SIGINT, before)
        _held = None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds back Ctrl-C until the block ends, so that no update is half done. Only the main thread gets signals."""
    with holding_interrupts() as held:
        if held is None:
            yield
            return
        held.depth += 1
        try:
            yield
        finally:
            held.depth -= 1
            if held.caught and not held.depth:
                held.release()


def _forget_other_threads() -> None:
    if _held is not None and _held.thread != threading.get_ident():
        _held.depth = 0  # its block goes on in the parent alone


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
