"""tinynet's estimators beside scikit-learn's: test scores by data set and seed, and seconds a fit.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/estimators.py
    python benchmarks/estimators.py --parts scores --data digits,wine --seeds 5 --json report.json

Scores: scikit-learn's defaults on standardised columns, a quarter of the rows held out, as many fits as seeds; the mean
scores must agree within a percentage point (R2: 0.01), or the exit status is 1. Fits: the same number of epochs for
both; the first fit, in which kernels are compiled and steps recorded, is given apart.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import sklearn.neural_network
from shared.clock import settle
from shared.options import BadOption, check_output, words, write_json
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import tinynet as tn
from kernels import hardware
from kernels.spelling import did_you_mean
from tinynet.files import output_path

AGREE = 0.01  # of accuracy or R2
PARTS = ("scores", "fits")
PACKAGES = ("numpy", "numba", "scikit-learn")
LIBRARIES = {"tinynet": tn, "scikit-learn": sklearn.neural_network}

Data = tuple[np.ndarray, np.ndarray]


def ten_thousand() -> Data:
    """Two classes, 10,000 rows of 100 columns of which 20 inform."""
    return make_classification(10_000, 100, n_informative=20, random_state=0)


# Name: the estimator and the rows.
DATA: dict[str, tuple[str, Callable[[], Data]]] = {
    "digits": ("MLPClassifier", lambda: load_digits(return_X_y=True)),
    "breast_cancer": ("MLPClassifier", lambda: load_breast_cancer(return_X_y=True)),
    "wine": ("MLPClassifier", lambda: load_wine(return_X_y=True)),
    "diabetes": ("MLPRegressor", lambda: load_diabetes(return_X_y=True)),
    "classification": ("MLPClassifier", ten_thousand),
}


@dataclass(frozen=True)
class Fit:
    """A fit of so many epochs, whatever the loss does."""

    data: str
    batch_size: int
    epochs: int
    hidden: tuple[int, ...] = (128, 64)

    def options(self, epochs: int) -> dict[str, Any]:
        """The estimator's parameters for so many epochs."""
        return {
            "hidden_layer_sizes": self.hidden, "batch_size": self.batch_size, "max_iter": epochs, "tol": 0.0,
            "n_iter_no_change": 10**9, "random_state": 0,
        }  # fmt: skip


FITS = [Fit("digits", 32, 100), Fit("digits", 200, 100), Fit("classification", 32, 20), Fit("classification", 200, 20)]


def parser() -> argparse.ArgumentParser:
    """The options and what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--parts", type=words, default=list(PARTS), metavar="A,B", help=f"of {','.join(PARTS)} (default: both)")
    add("--data", type=words, default=list(DATA), metavar="A,B", help=f"of {','.join(DATA)} (default: all)")
    add("--seeds", type=int, default=5, help="fits of each data set for the scores (default: 5)")
    add("--rounds", type=int, default=3, help="fits that each gets for the seconds (default: 3)")
    add("--epochs", type=int, help="of the fits for the seconds (default: 100, and 20 of classification)")
    add("--threads", type=int, default=hardware.cpu_count(), help="of both (default: all CPUs)")
    add("--json", type=output_path, metavar="PATH", help="write everything to this file; - for standard output")
    return parser


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options; BadOption where one makes no sense."""
    for option, known in (("parts", PARTS), ("data", list(DATA))):
        for name in getattr(options, option):
            if name not in known:
                raise BadOption(f"--{option} got {name!r}: {did_you_mean(name, list(known))}")
    for option in ("seeds", "rounds", "threads", "epochs"):
        if (number := getattr(options, option)) is not None and number < 1:
            raise BadOption(f"--{option} got {number}, expected a whole number above 0")
    check_output("json", options.json)
    return options


def make(library: str, kind: str, threads: int, **parameters: Any) -> Any:
    """An estimator; scikit-learn's threads are those that its BLAS is limited to."""
    own = {"threads": threads} if library == "tinynet" else {}
    return getattr(LIBRARIES[library], kind)(**parameters, **own)


def seconds_to_fit(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Of one fit, after the threads of what ran before have gone to sleep."""
    settle()
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start


def in_turn(turn: int) -> list[str]:
    """The libraries, every other time in the other order."""
    return list(LIBRARIES) if turn % 2 == 0 else list(LIBRARIES)[::-1]


# ---- scores --------------------------------------------------------------------------------------------------------


def scores_on(name: str, seeds: int, threads: int) -> dict[str, Any]:
    """Test scores and seconds of both, a fit for each seed, which decides split, weights and order."""
    kind, load = DATA[name]
    X, y = load()
    row: dict[str, Any] = {"data": name, "rows": len(X), "columns": X.shape[1], "measure": "R2"}
    row |= {} if kind == "MLPRegressor" else {"measure": "accuracy"}
    scores: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    seconds: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    for seed in range(seeds):
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)
        scaler = StandardScaler().fit(X_train)
        X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
        if seed == 0:
            make("tinynet", kind, threads, max_iter=1).fit(X_train, y_train)  # compiles what is not in the cache
        for library in in_turn(seed):
            estimator = make(library, kind, threads, random_state=seed)
            seconds[library].append(seconds_to_fit(estimator, X_train, y_train))
            scores[library].append(float(estimator.score(X_test, y_test)))
    means = {library: fmean(found) for library, found in scores.items()}
    row |= {"scores": scores, "mean": means, "seconds": {library: median(s) for library, s in seconds.items()}}
    row["difference"] = means["tinynet"] - means["scikit-learn"]
    return row


def print_scores(rows: list[dict[str, Any]], seeds: int) -> None:
    """A line a data set."""
    print(f"\ntest scores, mean and standard deviation of {seeds} seeds; seconds a fit, median")
    print(
        f"{'data':<16}{'measure':<10}{'tinynet':>16}{'scikit-learn':>16}{'difference':>12}{'tinynet s':>11}"
        f"{'sklearn s':>11}{'ratio':>8}"
    )
    for row in rows:
        shown = {
            library: f"{row['mean'][library]:.4f} {stdev(found) if len(found) > 1 else 0.0:.4f}"
            for library, found in row["scores"].items()
        }
        ours, theirs = row["seconds"]["tinynet"], row["seconds"]["scikit-learn"]
        mark = "" if abs(row["difference"]) <= AGREE else "  DIFFERS"
        print(
            f"{row['data']:<16}{row['measure']:<10}{shown['tinynet']:>16}{shown['scikit-learn']:>16}"
            f"{row['difference']:>+12.4f}{ours:>11.3f}{theirs:>11.3f}{theirs / ours:>8.1f}{mark}",
            flush=True,
        )


# ---- fits ----------------------------------------------------------------------------------------------------------


def seconds_of(fit: Fit, epochs: int, rounds: int, threads: int) -> dict[str, Any]:
    """Seconds of equal fits of both, in turn."""
    kind, load = DATA[fit.data]
    X, y = load()
    X = StandardScaler().fit_transform(X)
    first = seconds_to_fit(make("tinynet", kind, threads, **fit.options(1)), X, y)
    found: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    losses: dict[str, float] = {}
    for turn in range(rounds):
        for library in in_turn(turn):
            estimator = make(library, kind, threads, **fit.options(epochs))
            found[library].append(seconds_to_fit(estimator, X, y))
            losses[library] = float(estimator.loss_)
            if estimator.n_iter_ != epochs:
                raise RuntimeError(f"{library} trained {estimator.n_iter_} epochs, expected {epochs}")
    row = {**asdict(fit), "epochs": epochs, "rows": len(X), "columns": X.shape[1], "first_fit_seconds": first}
    return row | {"seconds": found, "best": {library: min(s) for library, s in found.items()}, "loss": losses}


def print_fits(rows: list[dict[str, Any]], rounds: int) -> None:
    """A line a fit."""
    print(
        f"\nseconds a fit, best of {rounds}; spread: slowest over fastest; first fit: one epoch, with what is compiled"
    )
    print(
        f"{'data':<16}{'layers':<10}{'batch':>6}{'epochs':>8}{'tinynet s':>11}{'spread':>8}{'sklearn s':>11}"
        f"{'spread':>8}{'ratio':>8}{'first fit s':>13}{'loss':>10}{'sklearn':>10}"
    )
    for row in rows:
        ours, theirs = row["best"]["tinynet"], row["best"]["scikit-learn"]
        layers = "-".join(map(str, row["hidden"]))
        spreads = {library: max(s) / min(s) for library, s in row["seconds"].items()}
        print(
            f"{row['data']:<16}{layers:<10}{row['batch_size']:>6}{row['epochs']:>8}{ours:>11.3f}"
            f"{spreads['tinynet']:>8.2f}{theirs:>11.3f}{spreads['scikit-learn']:>8.2f}{theirs / ours:>8.1f}"
            f"{row['first_fit_seconds']:>13.3f}{row['loss']['tinynet']:>10.6f}{row['loss']['scikit-learn']:>10.6f}",
            flush=True,
        )


def run(options: argparse.Namespace) -> int:
    """Measures, prints, writes. The exit status is 1 if scores differ; no time decides it."""
    described = hardware.description(PACKAGES)
    hardware.print_description(described)
    print(f"threads: {options.threads}")
    scores: list[dict[str, Any]] = []
    fits: list[dict[str, Any]] = []
    with warnings.catch_warnings(), threadpool_limits(options.threads):
        warnings.simplefilter("ignore", ConvergenceWarning)
        if "scores" in options.parts:
            scores = [scores_on(name, options.seeds, options.threads) for name in options.data]
            print_scores(scores, options.seeds)
        if "fits" in options.parts:
            wanted = [fit for fit in FITS if fit.data in options.data]
            fits = [seconds_of(fit, options.epochs or fit.epochs, options.rounds, options.threads) for fit in wanted]
            print_fits(fits, options.rounds)
    if options.json:
        document = {
            "command": ["benchmarks/estimators.py", *sys.argv[1:]], "machine": described, "threads": options.threads,
            "scores": scores, "fits": fits,
        }  # fmt: skip
        write_json(options.json, document)
    return int(any(abs(row["difference"]) > AGREE for row in scores))


def main() -> int:
    """The exit status: 0, 1 for scores that differ, 2 for options that make no sense."""
    try:
        return run(checked(parser().parse_args()))
    except BadOption as error:
        print(f"estimators.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
