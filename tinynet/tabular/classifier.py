"""TabularClassifier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from ..checks import choose
from ..estimators.parameters import parameter
from ..nn import CrossEntropyLoss, Module
from ..tables.targets import blank_rows, refuse_blanks
from ..tensor import Array
from .estimator import Goal, Tabular
from .losses import WeightedCrossEntropy
from .validation import CLASSIFICATION, Held, Metric

SMOOTHING = 0.1
TINY = 1e-300  # a probability whose logarithm is finite


class TabularClassifier(ClassifierMixin, Tabular):  # type: ignore[misc]
    """The most probable class of each row of a table, by small nets whose defaults were measured to be good.

    X is a pandas, polars or Arrow frame, or an array; text, categories, dates and blanks are encoded by
    ``encoder_``. metric: `accuracy`, `log_loss`, `roc_auc`, or a function of (labels, probabilities, sample_weight)
    whose values are to grow.
    """

    class_weight: Mapping[Any, float] | str | None = parameter(
        [dict, StrOptions({"balanced"}), None], "weights of the classes in the loss", default=None
    )
    calibrate: bool = parameter(
        ["boolean"], "whether probabilities are made those that suit the held-out rows best, by a temperature",
        default=False,
    )  # fmt: skip

    _classes = True

    def _goal(self, y: Any) -> Goal:
        y = _labels(y, "y")
        check_classification_targets(y)
        self._labels = LabelEncoder()
        compared = self._labels.fit_transform(y).astype(np.int64)
        self.classes_ = self._labels.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {self.classes_.tolist()[0]!r}, expected two or more")
        count = len(self.classes_)

        def wanted(labels: Array, weight: Array | None) -> Array:
            if weight is None:
                return labels
            smoothed = np.full((len(labels), count), SMOOTHING / count, np.float32)
            smoothed[np.arange(len(labels)), labels] += 1 - SMOOTHING
            return np.column_stack([smoothed, weight.astype(np.float32)])

        def loss(weighted: bool) -> Module:
            return WeightedCrossEntropy(count) if weighted else CrossEntropyLoss(label_smoothing=SMOOTHING)

        return Goal(count, compared, loss, wanted, *self._metric())

    def _metric(self) -> tuple[Metric, str]:
        if callable(self.metric):
            function = self.metric
            return (
                lambda logits, labels, weight: float(
                    function(self.classes_[labels], softmax(logits.astype(float), axis=1), weight)
                )
            ), getattr(function, "__name__", "metric")
        name = self.metric or "log_loss"
        return CLASSIFICATION[choose("metric", name, CLASSIFICATION)], name

    def _compared(self, y: Any) -> Array:
        y = _labels(y, "y of eval_set")
        unknown = sorted(set(np.unique(y).tolist()) - set(self.classes_.tolist()))
        if unknown:
            raise ValueError(f"eval_set has the classes {unknown} that y has not")
        labels: Array = self._labels.transform(y).astype(np.int64)
        return labels

    def _weights(self, compared: Array, sample_weight: Array | None) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        of_classes = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[compared])
        by_class: Array = of_classes[compared]
        return by_class if sample_weight is None else by_class * sample_weight

    def _split(self, compared: Array, random: np.random.RandomState) -> tuple[Array, Array]:
        """Rows held out have the classes in the table's proportions, where each class has rows for both."""
        if np.bincount(compared).min() < 2 or round(self.validation_fraction * len(compared)) < len(self.classes_):
            return super()._split(compared, random)
        rows, out = train_test_split(
            np.arange(len(compared)), test_size=self.validation_fraction, random_state=random, stratify=compared
        )
        return np.sort(rows), np.sort(out)

    def _trained(self, held: Held) -> None:
        self.temperature_ = 1.0
        if not self.calibrate:
            return
        logits = self._outputs(held.X)

        def unlikelihood(log_temperature: float) -> float:
            p = _probabilities(logits, math.exp(log_temperature))[np.arange(len(held.target)), held.target]
            return float(np.average(-np.log(np.maximum(p, TINY)), weights=held.weight))

        found = minimize_scalar(unlikelihood, bounds=(-3, 3), method="bounded", options={"xatol": 1e-3})
        self.temperature_ = math.exp(found.x)

    def predict_proba(self, X: Any) -> Array:
        """Each class's probability, (rows, classes), in the order of classes_: the mean over members.

        Outputs are divided by temperature_ first, which is 1 without ``calibrate``.
        """
        logits = self._member_outputs(X)
        return _probabilities(logits, self.temperature_)

    def predict_log_proba(self, X: Any) -> Array:
        """ln predict_proba(X)."""
        logs: Array = np.log(self.predict_proba(X))
        return logs

    def predict(self, X: Any) -> Array:
        """The class that is most probable, (rows,)."""
        places = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[places]
        return labels


def _labels(y: Any, what: str) -> Array:
    """A target (rows,), none of them blank: of blanks NumPy makes text, and scikit-learn classes."""
    refuse_blanks(what, blank_rows(y))
    labels: Array = column_or_1d(y, warn=True)
    return labels


def _probabilities(logits: Sequence[Array], temperature: float) -> Array:
    """The mean of members' softmax(z / temperature)."""
    mean: Array = np.mean([softmax(z.astype(float) / temperature, axis=1) for z in logits], axis=0)
    return mean
