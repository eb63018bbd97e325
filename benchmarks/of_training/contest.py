"""The contest: one process a contender, checked first, then timed in turn; the others sleep meanwhile.

Contenders that take turns share the moods of the machine; the best of all samples is what the code can do. Each has a
process of its own, since libraries in one process disturb each other: thread pools, allocators, environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from threading import Timer
from typing import Any

from shared.clock import Timing, settle
from shared.quiet import cpu_share

from .peers import Contender
from .problem import Problem, Size

Row = dict[str, Any]

WORKER = Path(__file__).with_name("worker.py")
START_SECONDS = 600.0  # after which a contender that is not ready is given up
BURST_SECONDS = 60.0  # the same for a burst, beyond the seconds asked for
SHARED = 0.9  # several threads of which one ran less than this part of the time make rows that do not count
# What libraries read their number of threads from; XLA reads NPROC.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC")
SETTINGS = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "TORCHINDUCTOR_COMPILE_THREADS": "1"}


class Failed(Exception):
    """A contender cannot run, or computes something else; the message says why."""


class Worker:
    """A contender's process, made ready and checked. Raises Failed."""

    def __init__(self, contender: Contender, threads: int, size: Size, problem: Problem):
        """problem: the few rows on which the contender is checked, with the exact losses."""
        self.contender, self.threads = contender, threads
        self.rounds: list[list[float]] = []
        self.cpus: list[float] = []
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed with the process
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, **SETTINGS, **dict.fromkeys(THREADS, str(threads))},
        )  # fmt: skip
        try:
            task = {"size": size.as_json(), "contender": contender.name, "threads": threads}
            ready = self.ask(task, START_SECONDS)
            if wrong := problem.wrong(ready["losses"], contender.tolerance):
                raise Failed(wrong)
        except BaseException:
            self.close()
            raise
        self.losses, self.warm_up_seconds = ready["losses"], ready["warm_up_seconds"]

    def ask(self, request: dict[str, Any], patience: float) -> dict[str, Any]:
        """The answer to a request. Raises Failed if there is none within so many seconds, or if it is an error."""
        assert self.process.stdin and self.process.stdout
        timer = Timer(patience, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late = not timer.is_alive()
            timer.cancel()
        if not line:
            raise Failed(f"did not answer within {patience:.0f} seconds" if late else f"ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def train(self, seconds: float) -> None:
        """One burst."""
        answer = self.ask({"seconds": seconds}, BURST_SECONDS + 10 * seconds)
        self.rounds.append(answer["samples"])
        self.cpus.append(answer["cpus"])

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _last_words(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"


def contest(
    size: Size, entrants: Iterable[tuple[Contender, int]], rounds: int, budget: float, peaks: dict[int, float]
) -> tuple[list[Row], float]:
    """A row for each contender and number of threads; and the part of the time that as many busy threads really ran.

    budget: seconds of training for each, over all rounds. peaks: GFLOP/s by number of threads.
    """
    problem = Problem(size.checked)
    rows, workers, most = [], [], max(peaks)
    try:
        for contender, threads in entrants:
            try:
                workers.append(Worker(contender, threads, size, problem))
            except Failed as failure:
                rows.append({**_entry(contender, threads), "refused": str(failure)})
        settle()
        share = cpu_share(most)
        for turn in range(rounds):
            first = turn % max(1, len(workers))
            for worker in workers[first:] + workers[:first]:
                try:
                    worker.train(budget / rounds)
                except Failed as failure:
                    rows.append({**_entry(worker.contender, worker.threads), "refused": str(failure)})
                    workers = [other for other in workers if other is not worker]
                    worker.close()
        share = min(share, cpu_share(most))
        measured = [_measured(worker, size, peaks[worker.threads]) for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    return [*compared(measured), *rows], share


def _entry(contender: Contender, threads: int) -> Row:
    return {"contender": contender.name, "says": contender.says, "peer": contender.peer, "threads": threads}


def _measured(worker: Worker, size: Size, peak_gflops: float) -> Row:
    timing = Timing(tuple(min(samples) for samples in worker.rounds))
    gflops = size.flops / timing.best / 1e9
    return {
        **_entry(worker.contender, worker.threads),
        "us": timing.best * 1e6,
        "median_us": median(sample for samples in worker.rounds for sample in samples) * 1e6,
        "spread": timing.spread,
        "samples_per_second": size.batch / timing.best,
        "gflops": gflops,
        "percent_of_peak": 100 * gflops / peak_gflops,
        "cpus": median(worker.cpus),
        "losses": worker.losses,
        "warm_up_seconds": worker.warm_up_seconds,
    }


def compared(rows: list[Row]) -> list[Row]:
    """The rows, fastest first, each with its speed relative to the fastest peer's; None where no peer took part."""
    fastest = min((row["us"] for row in rows if row["peer"]), default=None)
    return [
        {**row, "times_fastest_peer": fastest and fastest / row["us"]}
        for row in sorted(rows, key=lambda row: row["us"])
    ]
