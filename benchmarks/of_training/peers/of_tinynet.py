"""tinynet: Trainer.fit, as a user calls it."""

from __future__ import annotations

from typing import Any

import kernels
import tinynet as tn
from tinynet import nn, optim

from ..problem import LEARNING_RATE, SEED, Problem
from . import trainer_compiles


class Trained:
    """A Trainer on a backend; recorded: the step is recorded once and replayed, as by default; else eager.

    precision: of its products; None where this version of tinynet knows of none.
    """

    def __init__(self, problem: Problem, threads: int, backend: str, recorded: bool, precision: str | None = None):
        self.problem = problem
        last = len(problem.weights) - 1
        model = nn.Sequential(
            *(
                nn.Linear(*shape, activation="identity" if layer == last else "relu")
                for layer, shape in enumerate(problem.size.shapes)
            )
        )
        model.load_state_dict(
            {f"{layer}.weight": w for layer, w in enumerate(problem.weights)}
            | {f"{layer}.bias": b for layer, b in enumerate(problem.biases)}
        )
        mode: dict[str, Any] = {"compile": recorded} if trainer_compiles() else {}
        if precision is not None:
            mode["precision"] = precision
        self.trainer = tn.Trainer(
            model,
            nn.CrossEntropyLoss(),
            optim.Adam(model.parameters(), lr=LEARNING_RATE),
            _loaded(backend, threads),
            seed=SEED,
            progress=False,
            **mode,
        )

    def epochs(self, count: int) -> float:
        problem = self.problem
        history = self.trainer.fit(problem.features, problem.labels, count, problem.size.batch)
        return history.train_loss[-1]


def _loaded(name: str, threads: int) -> kernels.Backend:
    """With so many threads; where the backend has no such option, the environment limits those of its libraries."""
    try:
        return kernels.load(name, threads=threads)
    except ValueError:
        return kernels.load(name)
