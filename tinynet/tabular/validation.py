"""How held-out rows are scored after each epoch, and the weights of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score

from ..tensor import Array
from ..training.evaluation import outputs
from ..training.history import History


@dataclass(frozen=True)
class Held:
    """Rows that nothing is learned from: encoded, with what the metric compares with, and their weights.

    target: labels (rows,), or standardised numbers (rows, columns) with NaN for blanks.
    """

    X: Array
    target: Array
    weight: Array | None


Metric = Callable[[Array, Array, Array | None], float]
"""(outputs of the network, target, weights) -> what is to grow."""


def mean(errors: Array, weight: Array | None) -> float:
    """The weighted mean over elements; blanks, which are NaN, count for nothing. NaN if nothing is left."""
    known = ~np.isnan(errors)
    shares = known if weight is None else known * (weight if errors.ndim == 1 else weight[:, None])
    return float(np.average(np.where(known, errors, 0.0), weights=shares)) if shares.any() else math.nan


def accuracy(logits: Array, labels: Array, weight: Array | None) -> float:
    """The share of rows whose largest output is the label's."""
    return mean((logits.argmax(axis=1) == labels).astype(float), weight)


def log_likelihood(logits: Array, labels: Array, weight: Array | None) -> float:
    """The mean of ln softmax(z)[label]."""
    return mean(log_softmax(logits.astype(float), axis=1)[np.arange(len(labels)), labels], weight)


def area(logits: Array, labels: Array, weight: Array | None) -> float:
    """The area under the ROC curve; of more than two classes the mean over each class against the rest."""
    present = np.unique(labels)
    if len(present) < 2:
        return math.nan
    p = softmax(logits.astype(float), axis=1)
    if p.shape[1] == 2:
        return float(roc_auc_score(labels, p[:, 1], sample_weight=weight))
    return float(np.mean([roc_auc_score(labels == c, p[:, c], sample_weight=weight) for c in present]))


def squares(outputs: Array, target: Array, weight: Array | None) -> float:
    """Minus the mean squared error."""
    return -mean((outputs - target) ** 2, weight)


def absolutes(outputs: Array, target: Array, weight: Array | None) -> float:
    """Minus the mean absolute error."""
    return -mean(np.abs(outputs - target), weight)


def pinball(quantiles: tuple[float, ...]) -> Metric:
    """Minus the mean quantile loss."""
    q = np.array(quantiles)

    def metric(outputs: Array, target: Array, weight: Array | None) -> float:
        d = outputs - target
        return -mean(np.maximum((1 - q) * d, -q * d), weight)

    return metric


CLASSIFICATION: dict[str, Metric] = {"accuracy": accuracy, "log_loss": log_likelihood, "roc_auc": area}
REGRESSION: dict[str, Metric] = {"squared_error": squares, "absolute_error": absolutes}


class BestEpoch:
    """A Trainer's callback that keeps the weights of the epoch whose metric is best, of equals the last.

    stop: says that training is to end. It ends too after so many epochs of patience without a better one, or, where
    patience is None, at the end of a wave of the rates, which end after the epochs `waves`, that brought no better one.
    """

    stop_reason = "early stopping"

    def __init__(
        self,
        held: Held,
        metric: Metric,
        name: str,
        stop: Callable[[], bool],
        patience: int | None = None,
        waves: Sequence[int] = (),
    ):
        self.held, self.metric, self.name, self.stop, self.patience = held, metric, name, stop, patience
        self.waves = tuple((begin, end) for begin, end in pairwise(waves) if begin < end)  # but the first
        self.best, self.epoch, self.weights = -math.inf, 0, dict[str, Array]()
        self.scores: list[float] = []

    def __call__(self, trainer: Any, history: History) -> bool:
        score = float(self.metric(outputs(trainer.model, self.held.X), self.held.target, self.held.weight))
        self.scores.append(score)
        if score >= self.best or math.isnan(self.best) or not self.weights:
            self.best, self.epoch = score, len(self.scores)
            self.weights = trainer.model.state_dict()
        trainer.note = f"{self.name} {score:.4f}"
        return self.stop() or self._is_in_vain()

    def _is_in_vain(self) -> bool:
        done = len(self.scores)
        if self.patience is not None:
            return done - self.epoch >= self.patience
        return any(done == end and self.epoch <= begin for begin, end in self.waves)
