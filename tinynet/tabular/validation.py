"""How held-out rows are scored after each epoch, and the weights of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score

from ..nn import Module
from ..tensor import Array, Tensor, no_grad
from ..training.history import History

ROWS_AT_A_TIME = 4096  # of a prediction: enough for speed, little memory


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
    """The weighted mean over rows; blanks, which are NaN, count for nothing."""
    if errors.ndim > 1:
        errors = np.nanmean(errors, axis=1) if np.isnan(errors).any() else errors.mean(axis=1)
    return float(np.average(errors, weights=weight))


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


def outputs(model: Module, X: Array) -> Array:
    """The network's outputs for encoded rows, in evaluation mode."""
    model.eval()
    with no_grad():
        parts = [model(Tensor(X[i : i + ROWS_AT_A_TIME])).numpy() for i in range(0, len(X), ROWS_AT_A_TIME)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class BestEpoch:
    """A Trainer's callback that keeps the weights of the epoch whose metric is best, of equals the last.

    stop: says that training is to end. patience: epochs without a better one after which it ends too.
    """

    stop_reason = "early stopping"

    def __init__(self, held: Held, metric: Metric, name: str, stop: Callable[[], bool], patience: float = math.inf):
        self.held, self.metric, self.name, self.stop, self.patience = held, metric, name, stop, patience
        self.best, self.epoch, self.weights = -math.inf, 0, dict[str, Array]()
        self.scores: list[float] = []

    def __call__(self, trainer: Any, history: History) -> bool:
        score = float(self.metric(outputs(trainer.model, self.held.X), self.held.target, self.held.weight))
        self.scores.append(score)
        if score >= self.best or not self.weights:
            self.best, self.epoch = score, len(self.scores)
            self.weights = trainer.model.state_dict()
        trainer.note = f"{self.name} {score:.4f}"
        return self.stop() or len(self.scores) - self.epoch >= self.patience
