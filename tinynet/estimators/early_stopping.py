"""Rows that nothing is learned from, and how they are scored to know when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from ..tensor import Array
from .objectives import targets
from .session import Session


@dataclass
class Validation:
    """Rows as the user gave them, and as the network and its loss take them."""

    given: Any
    y: Array
    weight: Array | None
    X: Array
    target: Array


def hold_out(estimator: Any, given: Any, X: Array, y: Array, weight: Array | None) -> Any:
    """X, y and weights of the rows to learn from, and those held out, as scikit-learn splits them.

    given: all rows as the user gave them; X, y, weight: the same as the network takes them.
    """
    arrays = [X, y, np.arange(len(X))] if weight is None else [X, y, np.arange(len(X)), weight]
    X, X_out, y, y_out, _, rows, *weights = train_test_split(
        *arrays,
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=y if estimator._stratified() else None,
    )
    if len(X_out) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    weight, weight_out = weights or (None, None)
    if weight_out is not None and not weight_out.any():
        weight_out = np.ones_like(weight_out)  # out of a bag, say, where nothing else is left to tell when to stop
    given = _safe_indexing(given, rows) if estimator.scoring not in (None, "loss") else X_out
    target = targets(estimator.out_activation_, y_out, weight_out, estimator._dtype())
    return X, y, weight, Validation(given, estimator._original(y_out), weight_out, X_out, target)


def score(estimator: Any, session: Session, validation: Validation) -> float:
    """What is to grow: accuracy or R2, minus the loss without the penalty, or what the scorer says."""
    if estimator.scoring is None:
        outputs = session.outputs(validation.X)
        return float(estimator._score_outputs(outputs, validation.y, validation.weight))
    if estimator.scoring == "loss":
        return -session.loss.data_loss(session.evaluated(validation.X), validation.target)
    scorer = get_scorer(estimator.scoring)
    weight = {} if validation.weight is None else {"sample_weight": validation.weight}
    found = scorer(estimator, validation.given, validation.y, **weight)
    if not isinstance(found, Real) or not np.isfinite(float(found)):
        raise ValueError(f"scoring gave {found!r}, expected a finite number")
    return float(found)
