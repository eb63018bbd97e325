"""scikit-learn: MLPClassifier.partial_fit, which trains one epoch on the rows in the order they come."""

from __future__ import annotations

import math

import numpy as np
from sklearn.neural_network import MLPClassifier

from ..problem import BETA2, EPS, LEARNING_RATE, Problem


class Trained:
    """An MLPClassifier without weight decay, which its loss would include, and without its own shuffling.

    Its Adam adds eps to sqrt(s), not to the corrected sqrt(s_hat), so it gets an eps with the first step's correction.
    Shuffling the rows beforehand is faster than shuffle=True, which gathers each batch.
    """

    def __init__(self, problem: Problem, threads: int):
        self.problem, self.epoch, size = problem, 0, problem.size
        classes = np.arange(size.widths[-1])
        self.model = MLPClassifier(
            size.widths[1:-1], solver="adam", alpha=0, batch_size=size.batch, learning_rate_init=LEARNING_RATE,
            epsilon=EPS * math.sqrt(1 - BETA2), shuffle=False, early_stopping=False,
        )  # fmt: skip
        # The first call makes the arrays and, by a step, the optimizer; then both start again.
        self.model.partial_fit(problem.features[: size.batch], problem.labels[: size.batch], classes=classes)
        del self.model._optimizer
        for own, given in zip(self.model.coefs_, problem.weights, strict=True):
            own[...] = given
        for own, given in zip(self.model.intercepts_, problem.biases, strict=True):
            own[...] = given

    def epochs(self, count: int) -> float:
        for _ in range(count):
            order = self.problem.order(self.epoch)
            self.model.partial_fit(self.problem.features[order], self.problem.labels[order])
            self.epoch += 1
        return float(self.model.loss_curve_[-1])
