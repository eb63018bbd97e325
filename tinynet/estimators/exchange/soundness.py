"""What a fitted estimator is made of, checked as scikit-learn checks parameters, when it is saved and when loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from kernels.contract.dtypes import FLOAT_NAMES

from ...checkpoints.tensor_files import CheckpointError
from ...checks import choose
from ...nn import NORMS
from ...schedule import SCHEDULES, Schedule
from ..classifier import MLPClassifier
from ..objectives import LOG_LOSS, OUTPUT_ACTIVATIONS, REGRESSION
from ..options import HIDDEN_ACTIVATIONS, SCIKIT_RATES
from ..perceptron import MultilayerPerceptron
from ..session import Design, Structure

COUNT, SIZE = (Interval(Integral, least, sys.maxsize, closed="both") for least in (0, 1))
LABEL = Interval(Integral, -sys.maxsize, sys.maxsize, closed="both")
ATTRIBUTES: dict[str, Any] = {
    "n_layers_": [SIZE],
    "n_outputs_": [SIZE],
    "n_features_in_": [SIZE],
    "out_activation_": [StrOptions(set(OUTPUT_ACTIVATIONS))],
    "n_iter_": [COUNT],
    "t_": [COUNT],
    "loss_": [Real],
}
CURVES: dict[str, Any] = {
    "_no_improvement_count": [COUNT],
    "loss_curve_": [list],
    "validation_loss_curve_": [list, None],
    "validation_scores_": [list, None],
    "best_loss_": [Real, None],
    "best_validation_score_": [Real, None],
}
OTHERS: dict[str, Any] = {
    "_random_state": [np.random.RandomState],
    "feature_names_in_": [np.ndarray],
}
LABELS: dict[str, Any] = {"_label_binarizer": [LabelBinarizer], "classes_": [np.ndarray]}
BINARIZER: dict[str, Any] = {
    "neg_label": [LABEL],
    "pos_label": [LABEL],
    "sparse_output": ["boolean"],
    "classes_": [np.ndarray],
    "y_type_": [StrOptions({"binary", "multiclass", "multilabel-indicator"})],
    "sparse_input_": ["boolean"],
}
CONSTRAINTS = MultilayerPerceptron._parameter_constraints
KERNELS = (*LOG_LOSS.values(), *REGRESSION.values())  # of losses
STRUCTURE: dict[str, Any] = {
    "widths": [SIZE],
    "activations": [StrOptions(HIDDEN_ACTIVATIONS)],
    "norms": [StrOptions(set(NORMS))],
    "dropouts": [Interval(Real, 0, 1, closed="left")],
    "dtype": [StrOptions(set(FLOAT_NAMES))],
}
DESIGN: dict[str, Any] = {
    **{name: CONSTRAINTS[name] for name in ("alpha", "solver", "epsilon", "weight_decay", "max_grad_norm")},
    "schedule": [StrOptions(set(SCHEDULES)), Schedule, None],
    "rate": [StrOptions(set(SCIKIT_RATES))],
    "first_rate": CONSTRAINTS["learning_rate_init"],
    "power_t": CONSTRAINTS["power_t"],
}


def check_parameters(estimator: MultilayerPerceptron) -> None:
    """Raises CheckpointError for parameters that no fit would take."""
    try:
        estimator._validate_params()
        estimator._design(estimator.n_features_in_)
        for value in estimator.get_params(deep=False).values():
            if isinstance(value, Real):
                float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"the estimator has parameters that no fit takes: {error}") from None


def check_design(design: Any) -> Design:
    """The design, if a network can be made of it."""
    if not isinstance(design, Design) or not isinstance(design.structure, Structure):
        raise CheckpointError(f"its design is {design!r}")
    choose("output", design.structure.output, OUTPUT_ACTIVATIONS)
    choose("loss", design.loss, KERNELS)
    _check(DESIGN, vars(design), "its design")
    for name, constraint in STRUCTURE.items():
        found = getattr(design.structure, name)
        _check_each(name, found if isinstance(found, tuple) else (found,), constraint, "its structure")
    return design


def _check(constraints: Mapping[str, Any], values: Mapping[str, Any], whose: str) -> None:
    try:
        validate_parameter_constraints(constraints, values, whose)
    except (ValueError, TypeError) as error:
        raise CheckpointError(str(error)) from None


def _check_each(name: str, values: Iterable[Any], constraint: Any, whose: str) -> None:
    for value in values:
        _check({name: constraint}, {name: value}, whose)


def check_attributes(estimator: MultilayerPerceptron, structure: Structure) -> None:
    """What predictions and further fits rely on."""
    own, widths = vars(estimator), structure.widths
    curves = CURVES if hasattr(estimator, "loss_curve_") else {}
    labels = LABELS if isinstance(estimator, MLPClassifier) else {}
    needed = ATTRIBUTES | curves | labels
    if missing := needed.keys() - own.keys():
        raise CheckpointError(f"it lacks the attribute {min(missing)}")
    _check(needed | OTHERS, own, "its attributes")
    for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_"):
        _check_each(name, own.get(name) or (), [Real], "its attributes")
    expected = {"n_layers_": len(widths), "n_outputs_": widths[-1], "n_features_in_": widths[0]}
    for name, value in {**expected, "out_activation_": structure.output}.items():
        if own[name] != value:
            raise CheckpointError(f"its {name} is {own[name]!r}, expected {value!r} as in its network")
    names = own.get("feature_names_in_")
    if names is not None and (names.shape != widths[:1] or not all(isinstance(name, str) for name in names)):
        raise CheckpointError(f"its feature_names_in_ are {names.shape} of {names.dtype}, expected {widths[0]} texts")
    if labels:
        _check_labels(estimator, structure)


def _check_labels(estimator: Any, structure: Structure) -> None:
    binarizer, classes, outputs = estimator._label_binarizer, estimator.classes_, estimator.n_outputs_
    check_is_fitted(binarizer)
    _check(BINARIZER, vars(binarizer), "its labels")
    if binarizer.neg_label >= binarizer.pos_label:
        raise CheckpointError(
            f"its labels are {binarizer.neg_label} and {binarizer.pos_label}, expected a larger second"
        )
    if classes.ndim != 1 or not np.array_equal(classes, binarizer.classes_):
        raise CheckpointError("its classes_ are not those of its labels")
    single = binarizer.y_type_ != "multilabel-indicator" and len(classes) <= 2
    if outputs != (1 if single else len(classes)) or (binarizer.y_type_ == "multiclass") != (
        structure.output == "softmax"
    ):
        raise CheckpointError(f"its classes_ are {len(classes)}, which does not fit its {outputs} outputs")
    estimator._original(np.zeros((1, outputs)))
