"""A process that trains one contender, started by ``contest``: JSON lines in, JSON lines out.

The first line says what to train; the answer holds the mean losses of a few epochs on a few rows. Every further line
asks for some seconds of training; the answer holds seconds a step, sample by sample. In between it sleeps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The project's folder first: in the benchmarks', which is next, ``kernels`` is a script. This one is a package there.
sys.path[:1] = [str(Path(__file__).resolve().parents[n]) for n in (2, 1)]

from shared.clock import settle

from of_training.peers import Trained, contenders
from of_training.problem import CHECKED_EPOCHS, Problem, Size

SAMPLE_SECONDS = 0.02  # epochs are timed in groups that last about this long, or singly if one lasts longer


def burst(trained: Trained, epochs: int, steps: int, budget: float) -> dict[str, Any]:
    """Seconds a step in each sample of so many epochs that fits the budget, at least one; and how many CPUs worked."""
    samples = []
    start, cpu_start = time.perf_counter(), time.process_time()
    while not samples or time.perf_counter() - start < budget:
        began = time.perf_counter()
        trained.epochs(epochs)
        samples.append((time.perf_counter() - began) / (epochs * steps))
    cpus = (time.process_time() - cpu_start) / (time.perf_counter() - start)
    settle()
    return {"samples": samples, "cpus": cpus}


def answers(requests: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """An answer to each request; the last one says under "error" what went wrong."""
    task = next(requests)
    size = Size(**task["size"])
    few, all_rows = Problem(size.checked), Problem(size)
    try:
        contender, start = contenders()[task["contender"]], time.perf_counter()
        checked = contender.start(few, task["threads"])
        losses = [checked.epochs(1)]
        warm_up = time.perf_counter() - start
        losses += [checked.epochs(1) for _ in range(CHECKED_EPOCHS - 1)]
        trained = contender.start(all_rows, task["threads"])
        trained.epochs(1)
        start = time.perf_counter()
        trained.epochs(1)
        epochs = max(1, round(SAMPLE_SECONDS / (time.perf_counter() - start)))
        settle()
        yield {"losses": losses, "warm_up_seconds": warm_up}
        for request in requests:
            yield burst(trained, epochs, size.steps, request["seconds"])
    except Exception as error:
        said = str(error).strip().splitlines() or [""]
        yield {"error": f"{type(error).__name__}: {said[0]}"}


def main() -> None:
    """Answers go to what was the standard output; what libraries print there goes to the standard error."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for answer in answers(json.loads(line) for line in sys.stdin):
        print(json.dumps(answer), file=out)


if __name__ == "__main__":
    main()
