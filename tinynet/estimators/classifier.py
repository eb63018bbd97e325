"""MLPClassifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_class_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted

from ..tensor import Array
from .objectives import LOG_LOSS, Loss
from .parameters import parameter
from .perceptron import MultilayerPerceptron, dense


class MLPClassifier(ClassifierMixin, MultilayerPerceptron):  # type: ignore[misc]
    """Minimises the log-loss, or any other, of a multilayer perceptron: scikit-learn's MLPClassifier, and more.

    Parameters, attributes and methods are scikit-learn's, with the same defaults and the same random numbers: initial
    weights, order of batches and held-out rows.

    verbose shows a progress bar on a terminal. Sparse matrices are made dense. Raises ValueError for parameters that
    contradict each other.
    """

    class_weight: str | dict[Any, float] | None = parameter(
        [StrOptions({"balanced"}), dict, None], "`balanced`, or a dict; in `partial_fit` a dict only", default=None,
        after="dtype",
    )  # fmt: skip
    loss: str | Callable[..., Any] = parameter(
        [StrOptions({"log_loss"}), callable],
        "`log_loss`, or a function of the network's raw outputs and the targets that returns a scalar `Tensor`",
        default="log_loss", after="norm",
    )  # fmt: skip

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, eval_set: Any = None) -> Self:
        """Fits to X (rows, features) and y, labels (rows,) or an indicator matrix (rows, labels).

        Or, in place of both, to a source (`tinynet.scan`) with a target, whose rows need not fit into memory.

        eval_set: (X, y) or (X, y, sample_weight), whose mean loss, without the penalty, is noted after each epoch in
        validation_loss_curve_; its classes weigh as much as in training. With early_stopping it decides when to stop,
        and all of X is learned from.
        """
        self._fit(X, y, sample_weight, eval_set=eval_set)
        return self

    @available_if(lambda self: self._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None, eval_set: Any = None) -> Self:
        """One epoch over these rows. classes: all there will be, needed in the first call. eval_set: as in fit."""
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' needs all labels at once: give partial_fit a dict")
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        self._fit(X, y, sample_weight, incremental=True, eval_set=eval_set)
        return self

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row; for indicator matrices the labels with a probability above 1/2."""
        check_is_fitted(self)
        return self._original(self._outputs_for(X))

    def predict_proba(self, X: Any) -> Array:
        """Each class's probability, (rows, classes), in the order of classes_."""
        if "coefs_" not in vars(self):  # looking through all attributes takes longer than one row
            check_is_fitted(self)
        outputs = self._outputs_for(X)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    def predict_log_proba(self, X: Any) -> Array:
        """ln predict_proba(X), computed without the rounding of probabilities near 0."""
        check_is_fitted(self)
        X = self._checked_X(X)
        with self._running(), self._reading() as network:
            logs, complements = network.log_outputs(X)
        return logs if complements is None or self.n_outputs_ > 1 else np.hstack([complements, logs])

    def _settle_loss(self) -> tuple[str, Loss]:
        output = "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"
        return output, self.loss if callable(self.loss) else LOG_LOSS[output]

    def _checked_targets(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Array, Array]:
        X, y = self._validated(X, y, multi_output=True, dtype=self._dtype(), reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            if self._label_binarizer.y_type_ == "multiclass":  # what it was fitted on need not be checked once more
                return dense(X), y[:, None] == self.classes_
        else:
            self._check_classes(unique_labels(y))
        return dense(X), self._label_binarizer.transform(y).astype(bool)

    def _weights_by_class(self, y: Array) -> Callable[[Array], Array] | None:
        if self.class_weight is None:
            return None
        if not self._label_binarizer.y_type_.startswith("multilabel"):
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self._original(y))
            return lambda y: weights[y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0].astype(int)]
        if self.class_weight != "balanced":
            raise ValueError(
                f"class_weight is {self.class_weight!r}, expected 'balanced' or None for several labels a row"
            )
        columns = []
        for column in y.T:
            columns.append(np.ones(2))
            present = np.unique(column)
            columns[-1][present.astype(int)] = compute_class_weight("balanced", classes=present, y=column)
        return lambda y: np.prod([w[column.astype(int)] for w, column in zip(columns, y.T, strict=True)], axis=0)

    def _check_classes(self, classes: Array) -> None:
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                f"warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )
        if not set(classes) <= set(self.classes_):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _indicators(self, y: Any) -> Array:
        y = np.asarray(y)
        self._check_classes_known(y)
        indicators: Array = self._label_binarizer.transform(y).astype(bool)
        return indicators

    def _check_classes_known(self, y: Array) -> None:
        unknown = set(unique_labels(y)) - set(self.classes_)
        if unknown:
            raise ValueError(f"eval_set has the classes {sorted(unknown)} that y has not")

    def _original(self, y: Array) -> Array:
        labels: Array = self._label_binarizer.inverse_transform(y.ravel() if self.n_outputs_ == 1 else y)
        return labels

    def _score_outputs(self, outputs: Array, y: Array, sample_weight: Array | None) -> float:
        return float(accuracy_score(y, self._original(outputs), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
