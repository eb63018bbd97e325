"""Who uses a network and its optimizer: one thread changes them, or several read them, never both at once.

Training switches a network's mode and leaves its weights half updated in the middle of a step, so whoever reads them
then in another thread would see masks of dropout, or a torn file. The thread that changes them may also read them.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any


@dataclass
class _Use:
    part: Any
    thread: int
    what: str
    alone: bool


_lock = threading.RLock()  # a signal's handler may read what its own thread trains
_uses: dict[int, list[_Use]] = {}  # by the identity of what is used, as long as it is
_abandoned: dict[int, Any] = {}  # what a thread was changing when this process was forked


class _Using:
    """A block that uses parts. A class, as a generator takes as long as a layer does for one row."""

    def __init__(self, doing: str, parts: tuple[Any, ...], alone: bool):
        self.doing, self.parts, self.alone = doing, parts, alone
        self.mine = list[_Use]()

    def __enter__(self) -> None:
        what = f"{self.doing} in {threading.current_thread().name}"
        self.mine = [_Use(part, threading.get_ident(), what, self.alone) for part in self.parts]
        try:
            with _lock:
                for use in self.mine:
                    _refuse_other_threads(self.doing, use)
                for use in self.mine:
                    _uses.setdefault(id(use.part), []).append(use)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        with _lock:
            for use in self.mine:
                left = [other for other in _uses.pop(id(use.part), ()) if other is not use]
                if left:
                    _uses[id(use.part)] = left


def changing(doing: str, *parts: Any) -> AbstractContextManager[None]:
    """The block changes the parts. Raises RuntimeError where another thread uses one of them."""
    return _Using(doing, parts, alone=True)


def reading(doing: str, *parts: Any) -> AbstractContextManager[None]:
    """The block reads the parts. Raises RuntimeError where another thread changes one of them."""
    return _Using(doing, parts, alone=False)


def _refuse_other_threads(doing: str, use: _Use) -> None:
    for other in _uses.get(id(use.part), ()):
        if other.thread != use.thread and (other.alone or use.alone):
            raise RuntimeError(
                f"{use.what}: another thread uses this {type(use.part).__name__}, {other.what}: expected one at a "
                f"time; wait for it, or call {doing} in a callback of its fit"
            )


def abandoned(part: Any) -> bool:
    """Whether a thread was changing the part when this process was forked; that thread is not here. Says so once."""
    return _abandoned.pop(id(part), None) is not None


def _forget_other_threads() -> None:
    global _lock
    _lock, me = threading.RLock(), threading.get_ident()
    for uses in _uses.values():
        _abandoned.update({id(use.part): use.part for use in uses if use.alone and use.thread != me})
        uses[:] = [use for use in uses if use.thread == me]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
