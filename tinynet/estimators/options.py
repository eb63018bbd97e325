"""The estimators' parameters: what each takes, what one for every hidden layer becomes, and what contradicts."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from kernels import Backend

from ..nn import ACTIVATIONS, NORMS
from ..schedule import SCHEDULES, Schedule
from ..training.callbacks import EarlyStopping
from .objectives import takes_weights

HIDDEN_ACTIVATIONS = {"logistic", *ACTIVATIONS} - {"sigmoid"}  # scikit-learn's four, and tinynet's others
SCIKIT_RATES = ("constant", "invscaling", "adaptive")


def at_least(kind: type, least: int) -> Any:
    """A number of a kind, least or more."""
    return Interval(kind, least, None, closed="left")


CONSTRAINTS: dict[str, Any] = {
    "hidden_layer_sizes": ["array-like", at_least(Integral, 1)],
    "activation": [StrOptions(HIDDEN_ACTIVATIONS), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [at_least(Real, 0)],
    "batch_size": [StrOptions({"auto"}), at_least(Integral, 1)],
    "learning_rate": [StrOptions({*SCIKIT_RATES, *SCHEDULES}), Schedule],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [at_least(Real, 0)],
    "max_iter": [at_least(Integral, 1)],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [at_least(Real, 0)],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [at_least(Integral, 1), Options(Real, {np.inf})],
    "max_fun": [at_least(Integral, 1)],
    "backend": [str, Backend, None],
    "threads": [at_least(Integral, 1), None],
    "dtype": [StrOptions({"float32", "float64"}), type, np.dtype],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "norm": [StrOptions(set(NORMS)), list, tuple],
    "weight_decay": [at_least(Real, 0)],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
    "callbacks": [list, tuple, None],
}


def of_each_layer(name: str, value: Any, layers: int, accepts: Callable[[Any], bool], expected: str) -> tuple[Any, ...]:
    """A parameter's value for each hidden layer, where the user gave one for all or a list of them."""
    if not isinstance(value, list | tuple):
        return (value,) * layers
    if len(value) != layers or not all(map(accepts, value)):
        raise ValueError(f"{name} is {value!r}, expected {expected}, or {layers} of them, one for each hidden layer")
    return tuple(value)


def hidden_layers(estimator: Any) -> tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...], tuple[float, ...]]:
    """The hidden layers' widths, activations, norms and dropout probabilities."""
    sizes = estimator.hidden_layer_sizes
    widths = tuple(sizes) if hasattr(sizes, "__iter__") else (sizes,)
    if any(width <= 0 for width in widths):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {list(widths)}.")

    def names(parameter: str, known: Any) -> tuple[str, ...]:
        def accepts(name: Any) -> bool:
            return isinstance(name, str) and name in known

        expected = f"one of {', '.join(sorted(known))}"
        return of_each_layer(parameter, getattr(estimator, parameter), len(widths), accepts, expected)

    def is_probability(value: Any) -> bool:
        return isinstance(value, Real) and 0 <= float(value) < 1

    dropouts = of_each_layer("dropout", estimator.dropout, len(widths), is_probability, "a number in [0, 1)")
    return (
        tuple(map(int, widths)), names("activation", HIDDEN_ACTIVATIONS), names("norm", NORMS),
        tuple(map(float, dropouts)),
    )  # fmt: skip


def schedule(estimator: Any) -> str | Schedule | None:
    """The learning rate's schedule where it is tinynet's, not scikit-learn's."""
    rate: str | Schedule = estimator.learning_rate
    return None if isinstance(rate, str) and rate in SCIKIT_RATES else rate


def refuse_contradictions(estimator: Any, incremental: bool, eval_set: Any, sample_weight: Any) -> None:
    """Raises ValueError or TypeError for parameters that make no sense together."""
    if estimator.early_stopping and incremental:
        raise ValueError(
            "partial_fit does not support early_stopping=True: the caller decides when to stop, by the "
            "validation_loss_curve_ of an eval_set"
        )
    if estimator.scoring is not None and not estimator.early_stopping:
        raise ValueError("scoring decides when to stop early: expected early_stopping=True with it, or scoring=None")
    given = [
        sample_weight,
        getattr(estimator, "class_weight", None),
        *(eval_set[2:] if isinstance(eval_set, tuple | list) else ()),
    ]
    weighted = any(weights is not None for weights in given)
    if callable(estimator.loss) and weighted and not takes_weights(estimator.loss):
        raise ValueError(
            "loss is a function without a parameter sample_weight: expected one, or a loss by name, with sample_weight "
            "or class_weight"
        )
    for callback in estimator.callbacks or ():
        if not callable(callback):
            raise TypeError(f"callbacks holds a {type(callback).__name__}, expected functions of (trainer, history)")
        if isinstance(callback, EarlyStopping):
            raise ValueError(
                "callbacks holds an EarlyStopping, which would remember one fit in the next: expected "
                "early_stopping=True, with scoring='loss' for the loss"
            )
    if estimator.solver == "lbfgs":
        _refuse_with_lbfgs(estimator, eval_set)


def _refuse_with_lbfgs(estimator: Any, eval_set: Any) -> None:
    _, _, norms, dropouts = hidden_layers(estimator)
    if any(dropouts) or "batch" in norms:
        raise ValueError("solver='lbfgs' needs a loss without randomness: expected dropout=0 and norm not 'batch'")
    given = {
        "a schedule as learning_rate": schedule(estimator) is not None,
        "max_grad_norm": estimator.max_grad_norm is not None,
        "weight_decay": estimator.weight_decay > 0,
        "callbacks": bool(estimator.callbacks),
        "eval_set": eval_set is not None,
    }
    for name, present in given.items():
        if present:
            raise ValueError(f"solver='lbfgs' has no epochs and no learning rate for {name}: expected 'adam' or 'sgd'")
