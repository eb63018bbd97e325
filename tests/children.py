"""Processes that tests start: each ends within its limit, and with its test, together with what it started itself."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from repository import ROOT, TESTS

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
LIMIT = 120.0  # seconds: enough for a slow machine, so what takes longer hangs


def python(body: str) -> list[str]:
    """The command that runs this code in a new process, where a warning is an error."""
    return [sys.executable, "-W", "error", "-c", textwrap.dedent(body)]


def path_to(file: str) -> str:
    """The PYTHONPATH on which a process can import a file of tests, and what it needs."""
    return os.pathsep.join(map(str, (ROOT, TESTS, Path(file).parent)))


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


def forked(work: Callable[[], int], limit: float = LIMIT) -> int:
    """What a forked child returns from its work, its exit status; it is killed after `limit` seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks beside threads, which is what is tested
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = work()
        finally:
            os._exit(status)
    watchdog = threading.Timer(limit, os.kill, (child, signal.SIGKILL))
    watchdog.daemon = True
    watchdog.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        watchdog.cancel()
