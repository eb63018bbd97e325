"""Epochs of Adam or SGD, with scikit-learn's stopping rules, which are asked after each epoch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..data.sources import Source
from ..tensor import Array
from ..training.history import History
from ..training.stepping import NonFiniteLoss
from .early_stopping import Validation, hold_out, score
from .objectives import targets
from .session import Session


def train(
    estimator: Any,
    session: Session,
    given: Any,
    X: Array | Source,
    y: Array,
    weight: Array | None,
    incremental: bool,
    evaluation: Validation | None,
) -> None:
    """Trains for up to max_iter epochs, or one if incremental.

    given: the rows as the user gave them; X: in the session's dtype, y (rows, outputs); or X a source, targets
    included, whose windows are shuffled by a seed drawn as the estimator's other numbers are. evaluation: the user's
    own rows for the validation loss; with early stopping they decide, and no others are held out.
    """
    deciding = evaluation if estimator.early_stopping else None
    random, target = estimator._random_state, None
    if isinstance(X, Source):
        rows, session.trainer.seed = X.rows, int(random.randint(1 << 31))
    else:
        if estimator.early_stopping and evaluation is None:
            X, y, weight, deciding = hold_out(estimator, given, X, y, weight)
        target = targets(estimator.out_activation_, y, weight, session.design.structure.dtype)
        rows = len(X)
    order = np.arange(rows)

    def next_order(rows: int) -> Array:
        nonlocal order
        if estimator.shuffle:
            positions = np.arange(rows)
            random.shuffle(positions)
            order = order[positions]
        return order

    watch = EpochEnd(estimator, session, rows, incremental, deciding, evaluation)
    trainer = session.trainer
    trainer.next_order, trainer.progress = next_order, bool(estimator.verbose)
    trainer.callbacks = (watch, *(estimator.callbacks or ()))
    if session.schedule is not None:
        session.schedule.epochs = estimator.max_iter
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
    if deciding is not None:
        watch.restore_best()


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
        deciding: Validation | None,
        evaluation: Validation | None,
    ):
        self.estimator, self.session, self.rows, self.incremental = estimator, session, rows, incremental
        self.deciding, self.evaluation = deciding, evaluation
        self.best = session.model.state_dict() if deciding is not None else {}

    def __call__(self, trainer: Any, history: History) -> bool:
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_ = history.train_loss[-1]
        e.loss_curve_.append(e.loss_)
        if self.evaluation is not None:
            loss = self.session.loss.data_loss(self.session.evaluated(self.evaluation.X), self.evaluation.target)
            e.validation_loss_curve_ = [*(e.validation_loss_curve_ or []), loss]
        improved = self._note_loss() if self.deciding is None else self._note_score(self.deciding)
        e._no_improvement_count = 0 if improved else e._no_improvement_count + 1
        design = self.session.design
        if design.solver == "sgd" and design.rate == "invscaling":
            self.session.rate = design.first_rate / (e.t_ + 1) ** design.power_t
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

    def _note_loss(self) -> bool:
        e = self.estimator
        improved = e.loss_ <= e.best_loss_ - e.tol
        e.best_loss_ = min(e.best_loss_, e.loss_)
        return bool(improved)

    def _note_score(self, deciding: Validation) -> bool:
        e = self.estimator
        found = score(e, self.session, deciding)
        e.validation_scores_.append(found)
        improved = found >= e.best_validation_score_ + e.tol
        if found > e.best_validation_score_:
            e.best_validation_score_ = found
            self.best = self.session.model.state_dict()
        return bool(improved)

    def _slower(self) -> bool:
        """Divides an adaptive learning rate by 5; False where it is small already, or not adaptive."""
        design = self.session.design
        if design.solver != "sgd" or design.rate != "adaptive" or self.session.rate <= 1e-6:
            return False
        self.session.rate = self.session.rate / 5
        return True

    def restore_best(self) -> None:
        """The weights of the epoch with the best score."""
        self.session.model.load_state_dict(self.best)
