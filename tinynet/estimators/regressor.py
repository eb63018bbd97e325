"""MLPRegressor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..tensor import Array
from .objectives import REGRESSION, Loss
from .parameters import FIRST, parameter
from .perceptron import MultilayerPerceptron, dense


class MLPRegressor(RegressorMixin, MultilayerPerceptron):  # type: ignore[misc]
    """Minimises the squared error, or another loss, of a multilayer perceptron: scikit-learn's MLPRegressor.

    Parameters, attributes and methods are scikit-learn's, with the same defaults and the same random numbers: initial
    weights, order of batches and held-out rows.

    verbose shows a progress bar on a terminal. Sparse matrices are made dense. Raises ValueError for parameters that
    contradict each other.
    """

    loss: str | Callable[..., Any] = parameter(
        [StrOptions(set(REGRESSION)), callable],
        "`squared_error`, `poisson`; also `huber` (delta 1), `absolute_error`, or a function of the predictions and "
        "the targets that returns a scalar `Tensor`",
        default="squared_error", kw_only=False, after=FIRST,
    )  # fmt: skip

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, eval_set: Any = None) -> Self:
        """Fits to X (rows, features) and y (rows,) or (rows, outputs).

        Or, in place of both, to a source (`tinynet.scan`) with a target, whose rows need not fit into memory.

        eval_set: (X, y) or (X, y, sample_weight), whose mean loss, without the penalty, is noted after each epoch in
        validation_loss_curve_. With early_stopping it decides when to stop, and all of X is learned from.
        """
        self._fit(X, y, sample_weight, eval_set=eval_set)
        return self

    @available_if(lambda self: self._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> Self:
        """One epoch over these rows. eval_set: as in fit."""
        self._fit(X, y, sample_weight, incremental=True, eval_set=eval_set)
        return self

    def predict(self, X: Any) -> Array:
        """The predicted values, (rows,) or (rows, outputs)."""
        check_is_fitted(self)
        return self._original(self._outputs_for(X))

    def _settle_loss(self) -> tuple[str, Loss]:
        if callable(self.loss):
            return "identity", self.loss
        return "exp" if self.loss == "poisson" else "identity", REGRESSION[self.loss]

    def _checked_targets(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Array, Array]:
        X, y = self._validated(X, y, multi_output=True, y_numeric=True, dtype=self._dtype(), reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._refuse_negative("y", y)
        return dense(X), y.reshape(len(y), -1)

    def _indicators(self, y: Any) -> Array:
        numbers: Array = check_array(y, ensure_2d=False, dtype=np.float64)
        numbers = numbers.reshape(len(numbers), -1)
        if numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"eval_set has {numbers.shape[1]} outputs, expected {self.n_outputs_} as y has")
        self._refuse_negative("eval_set", numbers)
        return numbers

    def _refuse_negative(self, name: str, y: Array) -> None:
        """The Poisson deviance has no value for targets below 0. The sentence begins as scikit-learn's."""
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(
                f"Some value(s) of {name} are out of the valid range of the loss 'poisson': {y.min():g}, expected >= 0"
            )

    def _original(self, y: Array) -> Array:
        return y.ravel() if y.shape[1] == 1 else y

    def _score_outputs(self, outputs: Array, y: Array, sample_weight: Array | None) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(r2_score(y, self._original(outputs), sample_weight=sample_weight))
