"""Differentiable losses: one kernel gives the loss of each row and the gradient; backward only passes it on.

reduction: "mean" over the rows' elements, "sum", or "none", one loss a row (the sum over its columns).

What ``loss`` is put on also becomes a module of the name given there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernels.program import flag

from ..backends import current
from ..checks import check_above_0, check_number
from ..tensor import Array, Tensor, as_float_array, in_dtype, is_unit, result
from . import arithmetic, shaping
from .activations import Check, Function, log_softmax

REDUCTIONS = ("mean", "sum", "none")
PROBABILITIES, COUNTS = (0.0, 1.0), (0.0, math.inf)  # what targets are within


def _finish(name: str, prediction: Tensor, losses: Array, gradient: Array, reduction: str) -> Tensor:
    """The rows' losses, or their sum, with the saved gradient as the backward rule."""

    def rule(g: Array) -> tuple[Array | None, ...]:
        if is_unit(g):
            return (gradient.reshape(prediction.array.shape),)
        scaled = current().multiply(gradient, g[:, None] if reduction == "none" else g)
        return (scaled.reshape(prediction.array.shape),)

    if reduction == "none":
        return result(losses, (prediction,), rule)
    return result(current().sum(losses), (prediction,), rule, ())


def check_reduction(reduction: str) -> str:
    """One of REDUCTIONS."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}, expected one of {', '.join(REDUCTIONS)}")
    return reduction


def check_labels(name: str, labels: Any, rows: int, classes: int) -> Array:
    """Labels as int64 in [0, classes), one a row. Whole numbers in a float array are taken as what they mean."""
    array = np.asarray(labels.data if isinstance(labels, Tensor) else labels)
    if array.shape not in ((rows,), (rows, 1)):
        raise ValueError(f"{name}: labels have shape {array.shape}, expected ({rows},), one for each row of the logits")
    if array.dtype != np.int64:
        if array.dtype.kind not in "iuf" or (array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array))):
            raise TypeError(f"{name}: labels have dtype {array.dtype}, expected whole numbers")
        array = array.astype(np.int64)
    if array.size and (array.min() < 0 or array.max() >= classes):
        bad = int(array.min() if array.min() < 0 else array.max())
        raise ValueError(f"{name}: labels hold {bad}, expected whole numbers in [0, {classes})")
    return array.reshape(rows)


def check_within(name: str, target: Array, low: float, high: float) -> None:
    """Refuses targets outside of [low, high], and those that are NaN or infinite; a recorded step watches them."""
    if (raised := flag(target.dtype)) is not None:
        current().watch_within(target, raised, low, high)
    if not target.size or (low <= target.min() and target.max() <= high and math.isfinite(target.max())):
        return
    inside = (target >= low) & (target <= high) & np.isfinite(target)
    expected = f"numbers in [{low:g}, {high:g}]" if math.isfinite(high) else f"finite numbers >= {low:g}"
    raise ValueError(f"{name}: target holds {target[~inside][0]:g}, expected {expected}")


def cross_entropy(
    logits: Tensor,
    labels: Any,
    weight: Array | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """-sum_j t_ij ln softmax(logits)_ij, t the one-hot labels, smoothed: (1 - s) one_hot + s / classes.

    weight: one number a class, multiplying t's columns; the mean then divides by the sum of the labels' weights
    (PyTorch's convention). logits (rows, classes), labels (rows,) whole numbers.
    """
    check_reduction(reduction)
    if logits.ndim != 2 or not logits.shape[1]:
        raise ValueError(
            f"cross_entropy: logits have shape {logits.shape}, expected (rows, classes), one class or more"
        )
    rows, classes = logits.shape
    labels = check_labels("cross_entropy", labels, rows, classes)
    k = current()
    if weight is None:
        scale = 1.0 / rows if reduction == "mean" and rows else 1.0
        losses, gradient = k.softmax_cross_entropy(logits.array, labels, None, label_smoothing, scale)
        return _finish("cross_entropy", logits, losses, gradient, reduction)
    weight = as_float_array(weight)
    if weight.shape != (classes,):
        raise ValueError(f"cross_entropy: weight has shape {weight.shape}, expected ({classes},), one for each class")
    weight = in_dtype(weight, logits.dtype)
    row_weight = k.gather_rows(weight[:, None], labels)[:, 0]
    if reduction == "mean":
        row_weight = k.divide(row_weight, k.sum(row_weight))
    if not label_smoothing:
        losses, gradient = k.softmax_cross_entropy(logits.array, labels, row_weight, 0.0, 1.0)
        return _finish("cross_entropy", logits, losses, gradient, reduction)
    return _smoothed_and_weighted(logits, labels, weight, label_smoothing, reduction)


def _smoothed_and_weighted(
    logits: Tensor, labels: Array, weight: Array, label_smoothing: float, reduction: str
) -> Tensor:
    """Smoothing spreads the target over classes of different weights: no row weight, so composed of operations."""
    k = current()
    target = k.one_hot(labels, out=k.empty(logits.shape, logits.dtype))
    target = k.add(k.multiply(target, 1.0 - label_smoothing), label_smoothing / logits.shape[1])
    losses = shaping.sum(arithmetic.multiply(log_softmax(logits), k.multiply(target, k.negative(weight))), axis=1)
    if reduction == "none":
        return losses
    total = shaping.sum(losses)
    if reduction == "sum" or not logits.shape[0]:
        return total
    return arithmetic.divide(total, k.sum(k.gather_rows(weight[:, None], labels)).reshape(()))


class Loss(NamedTuple):
    """A loss that compares element by element. within: what targets are in. checks: of its options, by name."""

    function: Callable[..., Tensor]
    module: str  # its class's name in tinynet.nn
    within: tuple[float, float] | None
    checks: dict[str, Check]


LOSSES: dict[str, Loss] = {}


def loss(module: str, within: tuple[float, float] | None = None, **checks: Check) -> Callable[[Function], Function]:
    """Registers a function (prediction, target, options, reduction): its module's name, a check for each option."""

    def decorate(function: Function) -> Function:
        every = {**checks, "reduction": lambda name, value: check_reduction(value)}
        if [*every, "return"] != [*function.__annotations__][2:]:
            raise TypeError(f"{function.__name__}: checks are of {[*checks]}, expected one for each option, in order")
        LOSSES[function.__name__] = Loss(function, module, within, every)
        return function

    return decorate


def _elementwise(name: str, kernel: str, prediction: Tensor, target: Any, reduction: str, **options: float) -> Tensor:
    """The loss of that name, by a kernel. prediction and target (rows,) or (rows, columns)."""
    itself = LOSSES[name]
    check_reduction(reduction)
    options = {option: itself.checks[option](f"{name}: {option}", value) for option, value in options.items()}
    wanted = np.asarray(target.data if isinstance(target, Tensor) else target)
    if wanted.dtype.kind not in "fiub":
        raise TypeError(f"{name}: target has dtype {wanted.dtype}, expected numbers")
    if wanted.shape != prediction.shape and (*wanted.shape, 1) != prediction.shape:
        raise ValueError(f"{name}: target has shape {wanted.shape}, expected {prediction.shape} as the prediction has")
    if prediction.ndim == 0:
        raise ValueError(f"{name}: prediction has shape (), expected (rows,) or (rows, columns)")
    x = prediction.array if prediction.ndim == 2 else prediction.array[:, None]
    y = as_float_array(in_dtype(wanted.reshape(x.shape), x.dtype))
    scale = 1.0 / x.size if reduction == "mean" and x.size else 1.0
    if itself.within is not None:
        check_within(name, y, *itself.within)
    losses, gradient = getattr(current(), kernel)(x, y, None, scale, **options)
    return _finish(name, prediction, losses, gradient, reduction)


@loss("BCEWithLogitsLoss", PROBABILITIES)
def binary_cross_entropy_with_logits(logits: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """ln(1 + e**z) - t z, z the logits, t the targets in [0, 1]."""
    return _elementwise("binary_cross_entropy_with_logits", "sigmoid_cross_entropy", logits, target, reduction)


@loss("MSELoss")
def mse_loss(prediction: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """(prediction - target)**2."""
    return _elementwise("mse_loss", "squared_error", prediction, target, reduction)


@loss("L1Loss")
def l1_loss(prediction: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """|prediction - target|."""
    return _elementwise("l1_loss", "absolute_error", prediction, target, reduction)


def between_0_and_1(name: str, value: Any) -> float:
    """A number in (0, 1)."""
    return check_number(name, value, math.nextafter(0, 1), math.nextafter(1, 0), "a number in (0, 1)")


@loss("QuantileLoss", quantile=between_0_and_1)
def quantile_loss(prediction: Tensor, target: Any, quantile: float = 0.5, reduction: str = "mean") -> Tensor:
    """max((1 - q) d, -q d), d = prediction - target: least where the prediction is the target's quantile q."""
    return _elementwise("quantile_loss", "quantile_error", prediction, target, reduction, quantile=quantile)


def multi_quantile_loss(
    prediction: Tensor, target: Any, quantiles: Sequence[float] = (0.1, 0.5, 0.9), reduction: str = "mean"
) -> Tensor:
    """sum_j max((1 - q_j) d_ij, -q_j d_ij), d_ij = prediction_ij - target_i: quantile_loss of each column, one target.

    prediction (rows, quantiles); target (rows,) or (rows, 1).
    """
    check_reduction(reduction)
    quantiles = check_quantiles("multi_quantile_loss: quantiles", quantiles)
    wanted = np.asarray(target.data if isinstance(target, Tensor) else target)
    if wanted.dtype.kind not in "fiub":
        raise TypeError(f"multi_quantile_loss: target has dtype {wanted.dtype}, expected numbers")
    if prediction.ndim != 2 or prediction.shape[1] != len(quantiles):
        raise ValueError(
            f"multi_quantile_loss: prediction has shape {prediction.shape}, expected (rows, {len(quantiles)})"
        )
    rows = len(prediction)
    if wanted.shape not in ((rows,), (rows, 1)):
        raise ValueError(f"multi_quantile_loss: target has shape {wanted.shape}, expected ({rows},), one for each row")
    k, x = current(), prediction.array
    y = as_float_array(in_dtype(wanted.reshape(rows, 1), x.dtype))
    scale = 1.0 / x.size if reduction == "mean" and x.size else 1.0
    gradient, total = k.empty(x.shape, x.dtype), None
    for j, quantile in enumerate(quantiles):
        column = slice(j, j + 1)
        losses, _ = k.quantile_error(x[:, column], y, None, scale, quantile=quantile, gradient=gradient[:, column])
        total = losses if total is None else k.add(total, losses)
    assert total is not None
    return _finish("multi_quantile_loss", prediction, total, gradient, reduction)


def check_quantiles(name: str, quantiles: Any) -> tuple[float, ...]:
    """One or more numbers in (0, 1), each greater than the one before."""
    found = tuple(between_0_and_1(name, quantile) for quantile in quantiles)
    if not found or any(a >= b for a, b in itertools.pairwise(found)):
        raise ValueError(
            f"{name} are {found}, expected one or more numbers in (0, 1), each greater than the one before"
        )
    return found


@loss("HuberLoss", delta=check_above_0)
def huber_loss(prediction: Tensor, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """d**2 / 2 where |d| <= delta, else delta (|d| - delta / 2); d = prediction - target."""
    return _elementwise("huber_loss", "huber", prediction, target, reduction, delta=delta)


@loss("PoissonNLLLoss", COUNTS)
def poisson_nll_loss(log_rate: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """e**z - t z, z the logarithm of the expected count t (PyTorch's log_input=True); without the constant ln t!."""
    return _elementwise("poisson_nll_loss", "poisson_nll", log_rate, target, reduction)
