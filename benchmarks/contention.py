"""Fits beside busy neighbours: the threads that tinynet chooses beside one and all of them, and scikit-learn.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/contention.py
    python benchmarks/contention.py --neighbours 0,1 --units 64 --seconds 0.01,0.1 --rounds 9 --json report.json

A neighbour is a process that spins. Fits: a net of one hidden layer on digits, batches of 64, as many epochs as one
thread does in so many seconds on a quiet machine; "first" has forgotten what earlier fits learned about threads. Grid:
a grid search of small nets, its fits one after the other or side by side in threads. Contenders take turns, but for
scikit-learn, which takes up to a hundred times as long, in two rounds only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import joblib
import sklearn.neural_network
from shared.clock import settle
from shared.options import BadOption, check_output, words, write_json
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import tinynet as tn
from kernels import hardware
from kernels.numba_backend.runtime import thread_choice
from kernels.spelling import did_you_mean
from kernels.text import aligned
from tinynet.files import output_path

PARTS = ("fits", "grid")
BATCH, SKLEARN_ROUNDS = 64, 2
GRID = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]}
PACKAGES = ("numpy", "numba", "scikit-learn", "joblib")
# A process that spins until its standard input, and with it the benchmark, has gone.
SPIN = "import os, threading; threading.Thread(target=lambda: (os.read(0, 1), os._exit(0))).start()\nwhile True: pass"


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that spin meanwhile."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN], stdin=subprocess.PIPE) for _ in range(count)]
    try:
        time.sleep(0.2 * (count > 0))  # until they have started
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
            assert process.stdin
            process.stdin.close()


def forgetting() -> AbstractContextManager[None]:
    """What earlier fits learned is forgotten."""
    thread_choice.forget()
    return nullcontext()


# Name: a context to fit in, whose estimator, and its threads.
CONTENDERS: dict[str, tuple[Callable[[], AbstractContextManager[None]], Any, dict[str, int]]] = {
    "default": (nullcontext, tn.MLPClassifier, {}),
    "first": (forgetting, tn.MLPClassifier, {}),
    "one": (nullcontext, tn.MLPClassifier, {"threads": 1}),
    "all": (thread_choice.always_all, tn.MLPClassifier, {}),
    "sklearn": (nullcontext, sklearn.neural_network.MLPClassifier, {}),
}


def parser() -> argparse.ArgumentParser:
    """The options and what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--parts", type=words, default=list(PARTS), metavar="A,B", help=f"of {','.join(PARTS)} (default: both)")
    add("--neighbours", type=words, default=["0", "1", "2"], metavar="N,M", help="busy processes (default: 0,1,2)")
    add("--units", type=words, default=["64", "128", "256", "512"], metavar="N,M", help="of the hidden layer")
    add("--seconds", type=words, default=["0.01", "0.1", "1"], metavar="S,T", help="of a fit, about")
    add("--contenders", type=words, default=list(CONTENDERS), metavar="A,B", help=f"of {','.join(CONTENDERS)}")
    add("--rounds", type=int, default=5, help="fits of each contender (default: 5)")
    add("--json", type=output_path, metavar="PATH", help="write everything to this file; - for standard output")
    return parser


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options; BadOption where one makes no sense."""
    for option, known in (("parts", PARTS), ("contenders", list(CONTENDERS))):
        for name in getattr(options, option):
            if name not in known:
                raise BadOption(f"--{option} got {name!r}: {did_you_mean(name, list(known))}")
    numbers = (("neighbours", int, "whole numbers from 0 on", 0), ("units", int, "whole numbers above 0", 1))
    for option, kind, expected, least in (*numbers, ("seconds", float, "numbers of at least 0.001", 0.001)):
        given = getattr(options, option)
        try:
            found = [kind(text) for text in given]
        except ValueError:
            found = []
        if not found or min(found) < least:
            raise BadOption(f"--{option} got {','.join(given)!r}, expected {expected}")
        setattr(options, option, found)
    if options.rounds < 1:
        raise BadOption(f"--rounds got {options.rounds}, expected a whole number above 0")
    check_output("json", options.json)
    return options


def estimator(contender: str, units: int, epochs: int, **parameters: Any) -> Any:
    """One that trains so many epochs, whatever the loss does."""
    _, kind, threads = CONTENDERS[contender]
    return kind(
        (units,), batch_size=BATCH, max_iter=epochs, tol=0.0, n_iter_no_change=10**9, random_state=0, **threads,
        **parameters,
    )  # fmt: skip


def seconds_of(contender: str, work: Callable[[], object]) -> float:
    """Of a contender's work, after the threads of what ran before have gone to sleep."""
    settle()
    with CONTENDERS[contender][0]():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def epochs_in(units: int, seconds: float, X: Any, y: Any) -> int:
    """How many epochs one thread does in so many seconds."""
    few, many = 5, 25
    estimator("one", units, few).fit(X, y)  # compiles what is not in the cache
    taken = {
        epochs: min(seconds_of("one", lambda n=epochs: estimator("one", units, n).fit(X, y)) for _ in range(5))
        for epochs in (few, many)
    }
    each = max(1e-6, (taken[many] - taken[few]) / (many - few))
    return max(1, round((seconds - (taken[few] - few * each)) / each))


def in_turn(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each in each round; every round begins with another one."""
    names, found = list(works), {name: list[float]() for name in works}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if name.startswith("sklearn") and turn >= SKLEARN_ROUNDS:
                continue
            found[name].append(seconds_of(name.split()[0], works[name]))
    return found


def row_of(case: dict[str, Any], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """A case with best and median seconds."""
    measures = {"best": min, "median": median}
    summary = {key: {name: measure(found) for name, found in seconds.items()} for key, measure in measures.items()}
    return {**case, "seconds": seconds, **summary}


def table(rows: list[dict[str, Any]]) -> str:
    """Milliseconds, best and median of the rounds; ratios of medians to the better of one and all threads."""
    names = list(rows[0]["seconds"])
    cases = [key for key in rows[0] if key not in ("seconds", "best", "median")]
    judged = [name for name in ("default", "first") if name in names and {"one", "all"} & {*names}]
    head = [*cases, *(f"{name} ms" for name in names), *(f"{name}/better" for name in judged)]
    body = []
    for row in rows:
        median_of, cells = row["median"], [str(row[key]) for key in cases]
        cells += [f"{1e3 * row['best'][name]:.1f} {1e3 * median_of[name]:.1f}" for name in names]
        better = min((median_of[name] for name in ("one", "all") if name in names), default=1.0)
        cells += [f"{median_of[name] / better:.2f}" for name in judged]
        body.append(cells)
    return aligned([head, *body])


def fits(options: argparse.Namespace, X: Any, y: Any) -> list[dict[str, Any]]:
    """A row for each number of neighbours, net and length of a fit."""
    cases = [
        (units, seconds, epochs_in(units, seconds, X, y)) for units in options.units for seconds in options.seconds
    ]
    rows = []
    for count in options.neighbours:
        with neighbours(count):
            for units, seconds, epochs in cases:
                works = {
                    name: partial(lambda n, u, e: estimator(n, u, e).fit(X, y), name, units, epochs)
                    for name in options.contenders
                }
                case = {"neighbours": count, "units": units, "s": seconds, "epochs": epochs}
                rows.append(row_of(case, in_turn(works, options.rounds)))
                print(table(rows).splitlines()[-1] if len(rows) > 1 else table(rows), flush=True)
    return rows


def grid(options: argparse.Namespace, X: Any, y: Any) -> list[dict[str, Any]]:
    """A row for each number of neighbours: a grid search one after the other, and side by side in threads."""

    def search(name: str, jobs: int) -> None:
        with joblib.parallel_backend("threading", n_jobs=jobs):
            GridSearchCV(estimator(name, 64, 20), GRID, cv=3, n_jobs=jobs, refit=False).fit(X, y)

    rows, jobs = [], hardware.cpu_count()
    for count in options.neighbours:
        with neighbours(count):
            works = {
                f"{name} n_jobs={n}": partial(search, name, n) for name in ("default", "sklearn") for n in (1, jobs)
            }
            rows.append(row_of({"neighbours": count}, in_turn(works, options.rounds)))
    print(f"\n{table(rows)}", flush=True)
    return rows


def run(options: argparse.Namespace) -> int:
    """Measures, prints, writes. No time decides the exit status."""
    described = hardware.description(PACKAGES)
    hardware.print_description(described)
    X, y = load_digits(return_X_y=True)
    found: dict[str, Any] = {"command": ["benchmarks/contention.py", *sys.argv[1:]], "machine": described}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for part, measure in (("fits", fits), ("grid", grid)):
            found[part] = measure(options, X, y) if part in options.parts else []
    if options.json:
        write_json(options.json, found)
    return 0


def main() -> int:
    """The exit status: 0, or 2 for options that make no sense."""
    try:
        return run(checked(parser().parse_args()))
    except BadOption as error:
        print(f"contention.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
