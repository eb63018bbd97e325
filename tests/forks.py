"""What processes that fork print: code that runs in a process of its own, and waits for the children it makes."""

import os
import sys
import textwrap
from pathlib import Path

from children import finished
from repository import ROOT

START = """
    import os, signal, sys, threading, time, warnings
    import numpy as np
    import kernels
    from kernels.numba_backend.native import compilation
    warnings.simplefilter("ignore")  # Python warns of forks beside threads, which is what is tested

    def ended(child, seconds=100):
        "The exit status of a child, which is killed where it takes too long."
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                found, status = os.waitpid(child, os.WNOHANG)
                if found:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.01)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "too long"
"""


def printed(body: str, root: Path = ROOT, timeout: float = 200, **environment: str) -> list[str]:
    """The words that a process of its own prints, of the packages in `root`; it must end well."""
    code = textwrap.dedent(START) + textwrap.dedent(body)
    done = finished([sys.executable, "-c", code], timeout, cwd=root,
                    env={**os.environ, "PYTHONPATH": str(root), **environment})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()
