"""Scores of predictions, by scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from kernels.spelling import did_you_mean

from .functional import sigmoid, softmax
from .tensor import Array, Tensor

LABELS, LOGITS, NUMBERS = "labels", "logits", "numbers"  # what targets are: classes, 0 or 1 of a logit, numbers

MetricsLike = str | Callable[..., Any] | Sequence[str | Callable[..., Any]] | Mapping[str, str | Callable[..., Any]]
Metric = Callable[[Any, Array], float]
"""Of predictions, as an estimator of scikit-learn's gives them, and of targets."""


def score_name(task: str) -> str:
    """What ``score`` measures for a task."""
    return {"classification": "accuracy", "regression": "R2"}[task]


def score(task: str, target: Array, output: Array) -> float:
    """Accuracy of the likeliest class, or R2 = 1 - residual / total sum of squares, averaged over outputs."""
    from sklearn.metrics import accuracy_score, r2_score

    if task == "classification":
        return float(accuracy_score(target, output.argmax(axis=1)))
    return float(r2_score(target, output.reshape(target.shape)))


def checked_metrics(given: MetricsLike) -> dict[str, Metric]:
    """By name what each metric is. Raises ValueError for a name that scikit-learn does not know, TypeError for others.

    given: one or several of scikit-learn's names of scorers ("accuracy", "r2", "f1_macro"), its scorers, or functions
    of true and predicted values (``sklearn.metrics.accuracy_score``); or a mapping from names to these.
    """
    if isinstance(given, Mapping):
        return {str(name): _metric(metric) for name, metric in given.items()}
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    return {_name(metric): _metric(metric) for metric in several}


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    function = getattr(metric, "_score_func", metric)  # a scorer's
    return getattr(function, "__name__", type(function).__name__)


def _metric(metric: Any) -> Metric:
    if isinstance(metric, str):
        from sklearn.metrics import get_scorer, get_scorer_names

        if metric not in get_scorer_names():
            raise ValueError(f"metric is {metric!r}: {did_you_mean(metric, get_scorer_names())}")
        metric = get_scorer(metric)
    if not callable(metric):
        raise TypeError(f"metric is {metric!r}, expected a name of one of scikit-learn's scorers, or a function")
    return partial(_by_scorer if hasattr(metric, "_score_func") else _by_function, metric)


def _by_scorer(scorer: Any, predictions: Any, target: Array) -> float:
    return float(scorer(predictions, predictions.output, target))


def _by_function(function: Any, predictions: Any, target: Array) -> float:
    return float(function(target, predictions.predict(predictions.output)))


def kind_of(target: Array, loss_function: Any) -> str:
    """What the targets are: one of LABELS, LOGITS, NUMBERS."""
    named = getattr(loss_function, "__name__", type(loss_function).__name__)
    if named in ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits"):
        return LOGITS
    return LABELS if target.dtype.kind == "i" else NUMBERS


def measure(metrics: Mapping[str, Metric], kind: str, output: Array, target: Array) -> dict[str, float]:
    """Each metric of a network's outputs. One that cannot be had, of a single class say, is NaN."""
    if kind == NUMBERS and target.ndim != output.ndim:
        output = output.reshape(target.shape)
    classifies = kind == LABELS or (kind == LOGITS and output.size == len(output))
    if kind == LOGITS:
        target = target.reshape(-1).astype(int) if classifies else target.astype(int)
    predictions = _estimators()[classifies](output, kind)
    found = {name: metric(predictions, target) for name, metric in metrics.items()}
    return {name: value if math.isfinite(value) else math.nan for name, value in found.items()}


@cache
def _estimators() -> tuple[type[Any], type[Any]]:
    """Estimators, as scorers take them, that have predicted already: a regressor and a classifier.

    Made when they are first needed: importing scikit-learn takes a second.
    """
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Predicted(BaseEstimator):  # type: ignore[misc]
        def __init__(self, output: Array, kind: str):
            self.output, self.kind = output, kind
            self.is_fitted_ = True

    class Numbers(RegressorMixin, Predicted):  # type: ignore[misc]
        def predict(self, X: Any) -> Array:
            found: Array = self.output
            return (found > 0).astype(int) if self.kind == LOGITS else found

    class Classes(ClassifierMixin, Predicted):  # type: ignore[misc]
        @property
        def classes_(self) -> Array:
            return np.array(range(2 if self.kind == LOGITS else self.output.shape[1]))

        def predict(self, X: Any) -> Array:
            found: Array = (
                (self.output.reshape(-1) > 0).astype(int) if self.kind == LOGITS else self.output.argmax(axis=1)
            )
            return found

        def predict_proba(self, X: Any) -> Array:
            if self.kind == LABELS:
                return softmax(Tensor(self.output, dtype=np.float64)).numpy()
            p = sigmoid(Tensor(self.output, dtype=np.float64)).numpy().reshape(-1, 1)
            return np.hstack([1 - p, p])

    return Numbers, Classes
