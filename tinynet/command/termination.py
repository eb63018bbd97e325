"""SIGTERM, as `kill`, service managers and batch systems send it, stops the command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

INTERRUPTED, TERMINATED = 130, 143  # exit statuses: 128 and the signal's number


class Termination:
    """``with Termination() as stop``: within, SIGTERM stops as Ctrl-C does; ``stop.status`` is the exit status then.

    A SIGTERM that is ignored or handled already stays so. Only the main thread gets signals.
    """

    def __init__(self) -> None:
        self.status = INTERRUPTED
        self._ours = False

    def __enter__(self) -> Termination:
        self._ours = (
            threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        )
        if self._ours:
            signal.signal(signal.SIGTERM, self._terminated)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self.status = TERMINATED
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):  # which during an update waits for its end
            interrupt(number, frame)
        else:  # a shell has what it starts in the background ignore Ctrl-C
            raise KeyboardInterrupt
