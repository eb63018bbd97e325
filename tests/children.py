"""Processes that tests start: each ends within its limit, and with its test, together with what it started itself."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any

LIMIT = 120.0  # seconds: enough for a slow machine, so what takes longer hangs


@contextlib.contextmanager
def started(command: Sequence[str | os.PathLike], limit: float = LIMIT, **options: Any) -> Iterator[subprocess.Popen]:
    """A process whose output is read as text. After `limit` seconds it is killed, so reading and waiting both end."""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, start_new_session=True, **{**piped, **options})
    watchdog = threading.Timer(limit, _kill, (process,))
    watchdog.daemon = True
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        _kill(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait(timeout=LIMIT)


def _kill(process: subprocess.Popen) -> None:
    """The process and all that it started: they are a session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says so of one that has ended
        os.killpg(process.pid, signal.SIGKILL)


def finished(
    command: Sequence[str | os.PathLike], limit: float = LIMIT, check: bool = False, **options: Any
) -> subprocess.CompletedProcess:
    """The process when it has ended, with its output. check: it must have ended well."""
    with started(command, limit, **options) as process:
        output, errors = process.communicate()
    done = subprocess.CompletedProcess(command, process.returncode, output, errors)
    assert not check or done.returncode == 0, done
    return done
