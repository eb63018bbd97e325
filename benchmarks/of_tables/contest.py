"""A process a contender, whose thread pools are limited from the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
# What libraries read their number of threads from, before they are imported.
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)  # fmt: skip


class Worker:
    """One contender's process. It is started with the first request, and again after it has died."""

    def __init__(self, contender: str, threads: int):
        self.task = {"contender": contender, "threads": threads}
        self.process: subprocess.Popen[str] | None = None

    def result(self, table: str, split: int) -> dict[str, Any]:
        """What a fit brought, or what went wrong under "error"."""
        if self.process is None:
            self.start()
        assert self.process is not None and self.process.stdout is not None
        try:
            self.send({"table": table, "split": split})
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        said = self.last_words()
        self.close()
        return {"error": f"the process ended: {said}"}

    def start(self) -> None:
        """A new process, told who it is."""
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed with the process
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, **dict.fromkeys(THREADS, str(self.task["threads"]))},
        )  # fmt: skip
        self.send(self.task)

    def send(self, request: dict[str, Any]) -> None:
        """A line to the process."""
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def last_words(self) -> str:
        """The last line of its standard error."""
        assert self.process is not None
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()
            self.errors.close()
            self.process = None
