"""Epochs of Adam or SGD, with scikit-learn's stopping rules heard at each epoch's end."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from ..history import History
from ..stepping import NonFiniteLoss
from ..tensor import Array
from .penalised import targets
from .session import Session


def train(
    estimator: Any,
    session: Session,
    X: Array,
    y: Array,
    weight: Array | None,
    incremental: bool,
    evaluation: tuple[Array, Array] | None,
) -> None:
    """Trains for up to max_iter epochs, or one if incremental. X in the session's dtype, y (rows, outputs)."""
    held_out = None
    if estimator.early_stopping:
        X, y, weight, held_out = _split(estimator, X, y, weight)
    target = targets(estimator.out_activation_, y, weight, session.design.structure.dtype)
    session.loss.weighted = weight is not None or estimator.out_activation_ == "exp"
    rows, random = len(X), estimator._random_state
    order = np.arange(rows)

    def next_order(rows: int) -> Array:
        nonlocal order
        if estimator.shuffle:
            positions = np.arange(rows)
            random.shuffle(positions)
            order = order[positions]
        return order

    watch = EpochEnd(estimator, session, rows, incremental, held_out, evaluation)
    trainer = session.trainer
    trainer.next_order, trainer.callbacks, trainer.progress = next_order, (watch,), bool(estimator.verbose)
    estimator.n_iter_ = 0
    try:
        history = trainer.fit(
            X, target, epochs=1 if incremental else estimator.max_iter, batch_size=_batch_size(estimator, rows)
        )
    except NonFiniteLoss as why:
        weighted = "" if weight is None else "; or the sample weights of a whole batch may be 0"
        raise ValueError(
            f"Solver produced non-finite parameter weights. The input data may contain large values and need to be "
            f"preprocessed: {why}{weighted}"
        ) from why
    finally:
        session.fit_ended(keep_steps=incremental or estimator.warm_start)
    if history.stopped == "interrupted":
        warnings.warn("Training interrupted by user.", stacklevel=5)
    if held_out is not None:
        watch.restore_best()


def _split(estimator: Any, X: Array, y: Array, weight: Array | None) -> Any:
    """The rows to learn from, and those held out, as scikit-learn splits them."""
    arrays = [X, y] if weight is None else [X, y, weight]
    parts = train_test_split(
        *arrays,
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=y if estimator._stratified() else None,
    )
    X, X_out, y, y_out = parts[:4]
    if len(X_out) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    weight, weight_out = (None, None) if weight is None else parts[4:]
    return X, y, weight, (X_out, estimator._original(y_out), weight_out)


def _batch_size(estimator: Any, rows: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return int(min(estimator.batch_size, rows))


class EpochEnd:
    """A Trainer's callback: curves, the learning rate, and whether to stop."""

    stop_reason = "converged"

    def __init__(
        self,
        estimator: Any,
        session: Session,
        rows: int,
        incremental: bool,
        held_out: tuple[Array, Array, Array | None] | None,
        evaluation: tuple[Array, Array] | None,
    ):
        self.estimator, self.session, self.rows, self.incremental = estimator, session, rows, incremental
        self.held_out, self.evaluation = held_out, evaluation
        self.best = session.model.state_dict() if held_out is not None else {}

    def __call__(self, trainer: Any, history: History) -> bool:
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_ = history.train_loss[-1]
        e.loss_curve_.append(e.loss_)
        if self.evaluation is not None:
            self._evaluate(*self.evaluation)
        improved = self._note_loss() if self.held_out is None else self._note_score(*self.held_out)
        e._no_improvement_count = 0 if improved else e._no_improvement_count + 1
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            self.session.rate = float(e.learning_rate_init) / (e.t_ + 1) ** e.power_t
        if e._no_improvement_count > e.n_iter_no_change:
            if not self._slower():
                return True
            e._no_improvement_count = 0
        if e.n_iter_ == e.max_iter and not self.incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the optimization hasn't "
                f"converged yet.",
                ConvergenceWarning,
                stacklevel=10,
            )
        return False

    def _evaluate(self, X: Array, target: Array) -> None:
        weighted, self.session.loss.weighted = self.session.loss.weighted, target.dtype.kind == "f" and self._exp
        loss = self.session.loss.data_loss(self.session.evaluated(X), target)
        self.session.loss.weighted = weighted
        curve = self.estimator.validation_loss_curve_
        self.estimator.validation_loss_curve_ = [*(curve or []), loss]

    @property
    def _exp(self) -> bool:
        return bool(self.estimator.out_activation_ == "exp")

    def _note_loss(self) -> bool:
        e = self.estimator
        improved = e.loss_ <= e.best_loss_ - e.tol
        e.best_loss_ = min(e.best_loss_, e.loss_)
        return bool(improved)

    def _note_score(self, X: Array, y: Array, weight: Array | None) -> bool:
        e = self.estimator
        score = e._score_outputs(self.session.outputs(X), y, weight)
        e.validation_scores_.append(score)
        improved = not score < e.best_validation_score_ + e.tol
        if score > e.best_validation_score_:
            e.best_validation_score_ = score
            self.best = self.session.model.state_dict()
        return improved

    def _slower(self) -> bool:
        """Divides an adaptive learning rate by 5; False where it is small already, or not adaptive."""
        e = self.estimator
        if e.solver != "sgd" or e.learning_rate != "adaptive" or self.session.rate <= 1e-6:
            return False
        self.session.rate = self.session.rate / 5
        return True

    def restore_best(self) -> None:
        """The weights of the epoch with the best score."""
        self.session.model.load_state_dict(self.best)
