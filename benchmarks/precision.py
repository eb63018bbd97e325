"""Test scores of nets trained with float32 and with bfloat16 products: data set by data set, seed by seed.

    python benchmarks/precision.py
    python benchmarks/precision.py --data digits,friedman1 --seeds 10 --json report.json

A seed decides the split, the weights, the order and the dropout, the same for both precisions, so differences are taken
seed by seed. Noise is what seeds alone do to float32's mean score: its standard error. A mean difference beyond two of
them makes the exit status 1.
"""

from __future__ import annotations

import argparse
import sys
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shared.options import BadOption, check_output, words, write_json

from kernels import hardware
from kernels.spelling import did_you_mean
from tinynet.backends import resolve
from tinynet.data import names
from tinynet.experiments.experiment import Experiment, Options
from tinynet.files import output_path
from tinynet.precision import BFLOAT16, FLOAT32

DATA = ("digits", "breast_cancer", "wine", "classification:samples=4000", "diabetes", "friedman1:samples=4000")
PACKAGES = ("numpy", "numba", "scikit-learn")
NOISE = 2.0  # standard errors of float32's mean


def score(dataset: str, seed: int, precision: str, backend: str) -> float:
    """The test score after the command line's default training."""
    options = Options(dataset=dataset, seed=seed, precision=precision)
    return Experiment(options).run(resolve(backend), progress=False).test_score


def compared(dataset: str, seeds: int, backend: str) -> dict[str, Any]:
    """Both precisions' scores over the seeds, their mean difference, and the noise."""
    scores = {
        precision: [score(dataset, seed, precision, backend) for seed in range(seeds)]
        for precision in (FLOAT32, BFLOAT16)
    }
    differences = [half - full for full, half in zip(scores[FLOAT32], scores[BFLOAT16], strict=True)]
    return {
        "data": dataset,
        "scores": scores,
        "difference": fmean(differences),
        "standard_error": stdev(scores[FLOAT32]) / sqrt(seeds),
    }


def within_noise(row: dict[str, Any]) -> bool:
    """Whether seeds alone explain the difference."""
    return abs(row["difference"]) <= NOISE * row["standard_error"]


def parser() -> argparse.ArgumentParser:
    """The options and what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=words, default=list(DATA), metavar="A,B", help=f"data sets (default: {', '.join(DATA)})")
    add("--seeds", type=int, default=5, help="fits of each precision (default: 5)")
    add("--backend", default="numba", help="kernels to train on (default: numba)")
    add("--json", type=output_path, metavar="PATH", help="write everything to this file; - for standard output")
    return parser


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options; BadOption where one makes no sense."""
    for dataset in options.data:
        name = dataset.partition(":")[0]
        if name not in names():
            raise BadOption(f"--data got {name!r}: {did_you_mean(name, names())}")
    if options.seeds < 2:
        raise BadOption(f"--seeds got {options.seeds}, expected 2 or more: one tells nothing of noise")
    check_output("json", options.json)
    return options


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0; 1 where bfloat16 makes a difference beyond noise; 2 for options that make no sense."""
    try:
        options = checked(parser().parse_args(arguments))
    except BadOption as error:
        print(f"precision: {error}", file=sys.stderr)
        return 2
    described = hardware.description(PACKAGES)
    hardware.print_description(described)
    print(f"\n{'data set':<30}{'float32':>18}{'bfloat16':>18}{'difference':>13}{'noise':>9}")
    rows = []
    for dataset in options.data:
        rows.append(row := compared(dataset, options.seeds, options.backend))
        shown = [f"{fmean(found):.4f} ± {stdev(found):.4f}" for found in row["scores"].values()]
        mark = "" if within_noise(row) else "  beyond noise"
        print(
            f"{dataset:<30}{shown[0]:>18}{shown[1]:>18}{row['difference']:>+13.4f}{row['standard_error']:>9.4f}{mark}",
            flush=True,
        )
    if options.json:
        write_json(options.json, {"rows": rows, "machine": described})
    return 0 if all(map(within_noise, rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
