"""What a fitted estimator of tables is made of, checked when it is saved and when it is loaded."""

from __future__ import annotations

from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np

from ..checkpoints.tensor_files import CheckpointError
from ..checks import check_above_0, check_at_least_0, check_fraction, check_positive, check_whole, choose
from ..nn import ACTIVATIONS
from .classifier import TabularClassifier
from .recipe import Recipe, recipe

CURVES = ("loss_curves_", "validation_scores_")  # of each member, a number an epoch


def check_recipe(found: Recipe) -> None:
    """Raises ValueError or TypeError for a recipe that no net can be made of."""
    if not found.widths:
        raise ValueError("its recipe has no hidden layer")
    for size in (*found.widths, found.outputs, found.epochs, found.batch_size):
        check_positive("a size of its recipe", size)
    check_above_0("its rate", found.rate)
    check_fraction("its dropout", found.dropout)
    check_at_least_0("its weight_decay", found.weight_decay)
    choose("activation", found.activation, ACTIVATIONS)
    for name in ("embed_numbers", "ascending"):
        if not isinstance(getattr(found, name), bool):
            raise ValueError(f"its {name} is {getattr(found, name)!r}, expected True or False")


def check_parameters(estimator: Any) -> None:
    """Raises CheckpointError for parameters that no fit would take."""
    own = estimator.recipe_
    try:
        estimator._validate_params()
        check_recipe(recipe(estimator, own.batch_size, own.outputs, estimator._classes, own.ascending))
        estimator._metric(*(() if estimator._classes else (estimator._asked_quantiles(),)))
        for value in estimator.get_params(deep=False).values():
            if isinstance(value, Real):
                float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"the estimator has parameters that no fit takes: {error}") from None


def check_attributes(estimator: Any, members: int) -> None:
    """Raises CheckpointError, ValueError or TypeError for attributes that predictions, or their readers, trip over."""
    for name in CURVES:
        curves = getattr(estimator, name)
        if len(curves) != members or not all(map(_is_curve, curves)):
            raise CheckpointError(f"its {name} are no {members} lists of numbers")
    if len(estimator.best_epochs_) != members:
        raise CheckpointError(f"its best_epochs_ are {len(estimator.best_epochs_)}, expected {members}")
    for epoch in (*estimator.best_epochs_, estimator.n_iter_):
        check_whole("a number of epochs", epoch)
    if isinstance(estimator, TabularClassifier):
        _check_classes(estimator.classes_, estimator.recipe_)
        check_above_0("its temperature_", estimator.temperature_)
    else:
        _check_numbers(estimator, estimator.recipe_)


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(n, float | int) and not isinstance(n, bool) for n in value)


def _check_classes(classes: Any, own: Recipe) -> None:
    if classes.shape != (own.outputs,) or own.outputs < 2 or own.ascending:
        raise CheckpointError(f"its classes_ have shape {classes.shape}, its nets {own.outputs} outputs")
    labels = classes.tolist()
    if not all(isinstance(label, str | bool | int | float) for label in labels) or len(set(labels)) < len(labels):
        raise CheckpointError("its classes_ are no different texts or numbers")
    if not all(a < b for a, b in pairwise(labels)):
        raise CheckpointError("its classes_ are not in ascending order")


def _check_numbers(estimator: Any, own: Recipe) -> None:
    quantiles = estimator._asked_quantiles()
    columns = 1 if quantiles else own.outputs
    if estimator.n_outputs_ != columns or own.ascending != bool(quantiles) or len(quantiles) not in (0, own.outputs):
        raise CheckpointError(
            f"its loss is {estimator.loss} and its n_outputs_ {estimator.n_outputs_}, which does not fit its nets' "
            f"{own.outputs} {'ascending ' if own.ascending else ''}outputs"
        )
    for name in ("_mean", "_sd", "_low", "_high"):
        array = getattr(estimator, name)
        if array.shape != (columns,) or array.dtype != np.float64 or not np.isfinite(array).all():
            raise CheckpointError(f"its {name} is {array.dtype} {array.shape}, expected {columns} finite float64")
    if not (estimator._sd > 0).all() or not (estimator._low <= estimator._high).all():
        raise CheckpointError("its target has no spread above 0, or a least number above the largest")
