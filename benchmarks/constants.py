"""What a constant that decides is worth: the same calls and training steps with other values of it, in turn.

    python benchmarks/constants.py products.DIRECT_ROWS

A constant may be compiled into kernels, so each value has a process of its own, and compiled kernels of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from ctypes import POINTER, c_int64
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numba import cfunc, types
from of_kernels.cases import Shape, Timed
from of_kernels.contenders import of_backend
from of_kernels.problem import Problem
from of_training.peers.of_tinynet import Trained
from of_training.problem import SIZES, Size
from of_training.problem import Problem as TrainingProblem
from shared.clock import STEADY, Call, Timing, burst, calls_in_a_sample, settle
from shared.options import BadOption, check_output, write_json

import kernels
from kernels.hardware import as_lines, description
from kernels.numba_backend.native.calling_convention import WORDS, atomic_load, inlined, pause, yield_core
from kernels.text import aligned

NUMBA, NEVER = "kernels.numba_backend", 1 << 40
ROUNDS = 7


@dataclass(frozen=True)
class Constant:
    """module: where it is. values: what is tried. cases: calls or steps; threads: on how many."""

    module: str
    values: tuple[float, ...]
    cases: tuple[Timed | Size, ...]
    threads: int = 1


def calls(family: str, kernel: str, *shapes: Shape, note: str = "", **variant: Any) -> tuple[Timed, ...]:
    """A kernel at shapes, with the conformance case's options."""
    return tuple(Timed(kernel, family, shape, "", variant, note) for shape in shapes)


def products(
    *shapes: Shape, transpose_a: bool = False, transpose_b: bool = False, precision: str = "full"
) -> tuple[Timed, ...]:
    """m x k by k x n, either factor as it is or transposed."""
    note = "".join("T" if transposed else "N" for transposed in (transpose_a, transpose_b))
    options = {"transpose_a": transpose_a, "transpose_b": transpose_b, "precision": precision}
    return calls("products", "matmul", *shapes, note="" if note == "NN" else note, **options)


def steps(*names: str) -> tuple[Size, ...]:
    """Training steps."""
    return tuple(SIZES[name] for name in names)


LARGE = (512, 2048, 2048)
LENGTHS = [(1 << n,) for n in range(13, 20)]
CONSTANTS = {
    "products.DEPTH": Constant(
        f"{NUMBA}.kernels.products.gemm",
        (256, 512, 1024, 2048),
        (*products((128, 784, 512), LARGE), *products(LARGE, transpose_b=True)),
    ),
    "products.DIRECT_ROWS": Constant(
        f"{NUMBA}.kernels.products.gemm",
        (0, 32, 64, 128, 256),
        products(*((m, 64, 128) for m in (16, 32, 64, 128, 256)), *((m, 784, 512) for m in (32, 64, 128, 256))),
    ),
    "products.PACKED_STRIDE": Constant(
        f"{NUMBA}.kernels.products.gemm",
        (0, 2048, 4096, NEVER),
        products((128, 784, 512), (256, 256, 256), (784, 128, 512), (1024, 1024, 1024), transpose_a=True),
    ),
    "products.PACKED_COLUMNS": Constant(
        f"{NUMBA}.kernels.products.gemm",
        (16, 64, 128),
        products((2048, 512, 64), (1024, 128, 64), (784, 512, 64), transpose_a=True),
    ),
    "products.SHALLOW": Constant(
        f"{NUMBA}.kernels.products.gemm",
        (0, 64, 128),
        products((512, 10, 2048), (512, 32, 2048), (512, 64, 2048), (512, 128, 2048)),
    ),
    "products.LEFT_BYTES": Constant(
        f"{NUMBA}.kernels.products.gemm",
        (1 << 18, 1 << 19, 1 << 20),
        products((256, 784, 512), (512, 512, 512), LARGE),
    ),
    "pairs.DEPTH": Constant(
        f"{NUMBA}.kernels.products.pairs", (256, 512, 1024), products((128, 784, 512), LARGE, precision="bfloat16")
    ),
    "pairs.TALL": Constant(
        f"{NUMBA}.kernels.products.pairs", (128, 256, 512), products((128, 784, 512), LARGE, precision="bfloat16")
    ),
    "pairs.WIDE": Constant(
        f"{NUMBA}.kernels.products.pairs", (64, 128, 512), products((128, 784, 512), LARGE, precision="bfloat16")
    ),
    "micro_kernel.GROUP": Constant(
        f"{NUMBA}.kernels.products.micro_kernel", (1, 2, 4, 8, 14), products((32, 64, 128), (256, 128, 64), LARGE)
    ),
    "row_passes.COLUMN_VECTORS": Constant(
        f"{NUMBA}.kernels.row_passes",
        (1, 2, 4, 8, 16),
        (
            *calls("reductions", "sum", (32, 128), (128, 128), (2000, 2000), axis=0),
            *calls("reductions", "max", (128, 128), (2000, 2000), axis=0),
        ),
    ),
    "rows.NARROW": Constant(
        f"{NUMBA}.kernels.rows",
        (1, 2, 4, 8),
        calls("rows", "softmax", *((256, width) for width in (10, 30, 60, 100, 200))),
    ),
    "elementwise.SIDE_BY_SIDE": Constant(
        f"{NUMBA}.kernels.elementwise",
        (1, 2, 4, 8),
        tuple(line for name in ("exp", "tanh", "erf", "sqrt") for line in calls("functions", name, (16_384,))),
    ),
    "partition.WIDE_EACH": Constant(
        f"{NUMBA}.native.partition",
        (0, 128, 512, 1024, NEVER),
        (*products((128, 784, 512), LARGE), *steps("medium")),
        threads=2,
    ),
    "partition.ROWS_EACH": Constant(
        f"{NUMBA}.native.partition",
        (1, 4, 8, 16, 64),
        products(*((m, 784, 512) for m in (4, 8, 16, 32, 128))),
        threads=2,
    ),
    "team.SPINS": Constant(
        f"{NUMBA}.runtime.team",
        (30, 300, 3000, 30_000),
        (*products((128, 784, 512)), *steps("small32", "medium")),
        threads=2,
    ),
    "walker.SPINS": Constant(
        f"{NUMBA}.runtime.walker", (20, 200, 2000, 20_000, 200_000), steps("small32", "medium"), threads=2
    ),
    "machine.SHARED_FROM": Constant(
        f"{NUMBA}.runtime.machine",
        (0, 1 << 16, NEVER),
        (*calls("arithmetic", "add", *LENGTHS, mode="same"), *calls("functions", "exp", *LENGTHS)),
        threads=2,
    ),
    "machine.SHARED_FROM_PRODUCTS": Constant(
        f"{NUMBA}.runtime.machine",
        (0, 1 << 20, NEVER),
        products((32, 64, 64), (32, 64, 128), (64, 64, 128), (128, 64, 128), (128, 256, 128), (256, 256, 128)),
        threads=2,
    ),
    "passes.MOST_TRANSPOSED": Constant(
        "kernels.program.passes", (0, 1 << 18, 1 << 30), steps("small32", "small256", "medium")
    ),
    "stepping.AT_A_TIME": Constant("tinynet.training.stepping", (0.005, 0.05, 0.5), steps("small32", "medium")),
}


def in_force(name: str) -> float:
    """The value that the constant has."""
    return float(getattr(import_module(CONSTANTS[name].module), name.partition(".")[2]))


def label_of(case: Timed | Size) -> str:
    """As the report names it."""
    return f"{case.kernel} {case.label}" if isinstance(case, Timed) else f"step of {case.label}"


def call_of(case: Timed | Size, threads: int) -> tuple[Call, int]:
    """What is timed, and how often it does what a time is given for."""
    if isinstance(case, Timed):
        return of_backend(Problem(case, "float32"), kernels.load("numba", threads=threads), contiguous=True).call, 1
    trained = Trained(TrainingProblem(case), threads, "numba", recorded=True)
    return lambda: trained.epochs(1), case.steps


def waiting() -> dict[str, float]:
    """Seconds of a look at a word, of one with a pause, and of one after which the core is given to others."""

    def looks(step: Any) -> Any:
        def loop(words: Any, count: Any) -> Any:
            total = 0
            for _ in range(count):
                total += atomic_load(words, 0)
                step(0)
            return total

        return cfunc(types.int64(WORDS, types.int64))(loop)

    words, count = np.zeros(1, np.int64), 1000
    return {
        name: burst(partial(looks(step).ctypes, words.ctypes.data_as(POINTER(c_int64)), count), 1, 0.05) / count
        for name, step in {"a look": inlined(lambda x: None), "with a pause": pause, "with a yield": yield_core}.items()
    }


# ---- the process of a value -----------------------------------------------------------------------------------------


def work(name: str, value: float) -> None:
    """Sets the constant, and times each case whenever a line with a budget in seconds comes."""
    constant = CONSTANTS[name]
    setattr(import_module(constant.module), name.partition(".")[2], value)
    timed = []
    for case in constant.cases:
        call, times = call_of(case, constant.threads)
        call()
        timed.append((call, calls_in_a_sample(call), times))
    print(json.dumps("ready"), flush=True)
    for budget in map(float, sys.stdin):
        found = []
        for call, number, times in timed:
            if constant.threads > 1:
                settle()
            found.append(burst(call, number, budget) / times)
        print(json.dumps(found), flush=True)


class Worker:
    """A value's process."""

    def __init__(self, name: str, value: float, folder: str):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", name, json.dumps(value)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "TINYNET_CACHE_DIR": folder},
        )  # fmt: skip

    def answer(self) -> Any:
        """The next line that it says."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("constants.py: a process ended before it had measured")
        return json.loads(line)

    def ask(self, budget: float) -> list[float]:
        """Seconds of each case."""
        assert self.process.stdin
        print(budget, file=self.process.stdin, flush=True)
        return list(self.answer())


def measured(name: str, values: Iterable[float], budget: float) -> dict[float, list[Timing]]:
    """For each value a timing for each case."""
    with tempfile.TemporaryDirectory() as folder:
        workers: dict[float, Worker] = {}
        try:
            for value in values:
                workers[value] = Worker(name, value, os.path.join(folder, str(value)))
                workers[value].answer()
            rounds = [{value: worker.ask(budget) for value, worker in workers.items()} for _ in range(ROUNDS)]
        finally:
            for worker in workers.values():
                worker.process.kill()
                worker.process.communicate()
    return {
        value: [Timing(tuple(turn[value][i] for turn in rounds)) for i in range(len(CONSTANTS[name].cases))]
        for value in workers
    }


def table(name: str, found: dict[float, list[Timing]]) -> str:
    """Microseconds; * marks the best of a case, ? a spread above the bound between rounds."""
    heads = (f"{'never' if value == NEVER else value}{' now' * (value == in_force(name))}" for value in found)
    rows = [(f"{name}, {CONSTANTS[name].threads} thread(s)", *heads)]
    for i, case in enumerate(CONSTANTS[name].cases):
        best = min(timings[i].best for timings in found.values())
        cells = (
            f"{1e6 * t[i].best:.2f}{'*' * (t[i].best == best)}{'?' * (t[i].spread > STEADY)}" for t in found.values()
        )
        rows.append((label_of(case), *cells))
    return aligned(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="; ".join(CONSTANTS))
    parser.add_argument("--budget", type=float, default=0.1, help="seconds of a case in a round")
    parser.add_argument("--json", type=Path, help="everything as JSON")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], json.loads(options.work[1]))
        return
    try:
        if unknown := sorted(set(options.names) - set(CONSTANTS)):
            raise BadOption(f"no constant is called {unknown[0]!r}, expected some of {', '.join(CONSTANTS)}")
        check_output("json", options.json)
    except BadOption as error:
        parser.error(str(error))
    machine, costs = description(), waiting()
    print("\n".join(as_lines(machine)))
    print("nanoseconds:", ", ".join(f"{name} {1e9 * seconds:.1f}" for name, seconds in costs.items()))
    document: dict[str, Any] = {"machine": machine, "waiting": costs, "constants": {}}
    for name in options.names or CONSTANTS:
        found = measured(name, CONSTANTS[name].values, options.budget)
        print(f"\n{table(name, found)}", flush=True)
        labels = [label_of(case) for case in CONSTANTS[name].cases]
        document["constants"][name] = [
            {"value": value, "seconds": dict(zip(labels, (list(t.rounds) for t in timings), strict=True))}
            for value, timings in found.items()
        ]
    if options.json:
        write_json(options.json, document)


if __name__ == "__main__":
    main()
