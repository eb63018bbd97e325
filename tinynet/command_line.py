"""The command's entry point, ``tinynet.command_line:main``; what it does is in ``tinynet.command``."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Sequence

INTERRUPTED = 130  # 128 and the signal's number

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status. See ``tinynet.command.command_line.main``."""
    try:
        from .command import command_line
    except KeyboardInterrupt:  # imports take a second
        return INTERRUPTED
    # At its end a process looks for cycles among all that was imported, which took as long as a small training.
    atexit.register(gc.freeze)
    return command_line.main(arguments)
