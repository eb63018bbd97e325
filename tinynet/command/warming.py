"""``tinynet warm``: compiles what runs will need, so that images and tests start with compiled kernels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import kernels
from kernels.environment import cache_folder

from ..tabular import TabularClassifier, TabularRegressor

HELP = """usage: tinynet warm [options of a run]

Trains one epoch with the options given, or with none the default net and small tables, so that
the kernels that such runs need are compiled and kept in the cache ($TINYNET_CACHE_DIR)."""


def main(arguments: Sequence[str], train: Callable[[Sequence[str]], int]) -> int:
    """Runs it; returns the exit status. train: the command's main, which refuses what is no option of a run."""
    if {"-h", "--help"} & {*arguments}:
        print(HELP)
        return 0
    status = train([*arguments, "--epochs", "1", "--quiet"])
    if status:
        return status
    if not arguments:
        _tables()
    backend = kernels.load("numba") if "numba" in kernels.available() else None
    if backend is not None:
        compiled, seconds = backend.kernels_compiled, backend.compile_seconds
        print(
            f"{compiled} kernels compiled in {seconds:.1f} s, all that was needed is in {cache_folder() / 'tinynet'}",
            file=sys.stderr,
        )
    return 0


def _tables() -> None:
    """A short fit of both estimators for tables."""
    random = np.random.default_rng(0)
    numbers, words = random.normal(size=(200, 2)), random.choice(["a", "b", "c"], 200)
    rows = [[*row, word] for row, word in zip(numbers.tolist(), words.tolist(), strict=True)]
    frame = np.array(rows, dtype=object)
    made: Any
    for made, target in ((TabularClassifier, numbers[:, 0] > 0), (TabularRegressor, numbers[:, 0])):
        made(max_epochs=2, random_state=0).fit(frame, target)
