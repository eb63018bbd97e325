"""MLPRegressor."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..tensor import Array
from .objectives import REGRESSION, Loss
from .perceptron import MultilayerPerceptron, dense


class MLPRegressor(RegressorMixin, MultilayerPerceptron):  # type: ignore[misc]
    """Minimises the squared error, or another loss, of a multilayer perceptron: scikit-learn's MLPRegressor.

    Parameters, attributes and methods are scikit-learn's, with the same defaults and the same random numbers: initial
    weights, order of batches and held-out rows. Beyond them:

    loss: also "huber" (delta 1), "absolute_error", or a function of the predictions and the targets, Tensors
    (rows, outputs), that returns a scalar Tensor.
    activation also takes tinynet's other activations; activation, norm ("none", "batch", "layer") and dropout (the
    probability behind a layer) one for all hidden layers or a list.
    learning_rate also takes tinynet's schedules, by name or as objects, for "sgd" and "adam".
    weight_decay is decoupled, as AdamW's; max_grad_norm bounds a step's gradient.
    scoring, for early stopping: None for R2, "loss", a scorer's name or a scorer.
    callbacks: functions of (trainer, history) that hear each epoch's end; True stops.
    backend: a name or a loaded one; threads: how many it may use; dtype: of weights and outputs.

    verbose shows a progress bar on a terminal. Sparse matrices are made dense. Raises ValueError for parameters that
    contradict each other.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MultilayerPerceptron._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION)), callable],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: Any = None,
        dtype: Any = "float32",
        dropout: Any = 0.0,
        norm: Any = "none",
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        scoring: Any = None,
        callbacks: Any = None,
        threads: int | None = None,
    ):
        self.loss = loss
        self.hidden_layer_sizes, self.activation, self.solver, self.alpha = (
            hidden_layer_sizes, activation, solver, alpha
        )  # fmt: skip
        self.batch_size, self.learning_rate, self.learning_rate_init = batch_size, learning_rate, learning_rate_init
        self.power_t, self.max_iter, self.shuffle, self.random_state = power_t, max_iter, shuffle, random_state
        self.tol, self.verbose, self.warm_start, self.momentum = tol, verbose, warm_start, momentum
        self.nesterovs_momentum, self.early_stopping = nesterovs_momentum, early_stopping
        self.validation_fraction, self.beta_1, self.beta_2 = validation_fraction, beta_1, beta_2
        self.epsilon, self.n_iter_no_change, self.max_fun = epsilon, n_iter_no_change, max_fun
        self.backend, self.dtype, self.dropout, self.norm = backend, dtype, dropout, norm
        self.weight_decay, self.max_grad_norm, self.scoring = weight_decay, max_grad_norm, scoring
        self.callbacks, self.threads = callbacks, threads

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> Self:
        """Fits to X (rows, features) and y (rows,) or (rows, outputs).

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
        return self._original(self._outputs(self._checked_X(X)))

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
