"""Losses of a batch without a penalty: by name, one kernel's losses and gradient; or a function of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.special import xlogy

from ..backends import current
from ..data.finite import finite_in
from ..functional import exp, sigmoid, softmax
from ..tensor import Array, Tensor, is_unit, result

Loss = str | Callable[..., Tensor]

# scikit-learn's name of an output activation -> what makes outputs of the network's.
OUTPUT_ACTIVATIONS: dict[str, Any] = {"softmax": softmax, "logistic": sigmoid, "identity": None, "exp": exp}
LOG_LOSS = {"softmax": "softmax_cross_entropy", "logistic": "sigmoid_cross_entropy"}
# A regressor's losses, and their kernels.
REGRESSION = {
    "squared_error": "squared_error",
    "poisson": "poisson_nll",
    "huber": "huber",
    "absolute_error": "absolute_error",
}


def targets(output: str, y: Array, weight: Array | None, dtype: DTypeLike, name: str = "y") -> Array:
    """The Trainer's target: labels or columns of numbers; with weights, those are the last column.

    y: (rows, outputs), for classes an indicator matrix. Poisson targets have weights always, and before them a column
    of y ln y - y, the part of the deviance that depends on no prediction. Raises ValueError, naming y, for numbers that
    the dtype does not hold.
    """
    if output == "softmax" and weight is None:
        labels: Array = y.argmax(axis=1)
        return labels
    columns = [finite_in(name, y, dtype)]
    if output == "exp":
        weight = np.ones(len(y)) if weight is None else weight
        columns.append(finite_in(f"{name} ln {name} - {name}", (xlogy(y, y) - y).sum(axis=1), dtype))
    if weight is not None:
        columns.append(finite_in(f"the sample_weight of {name}", weight, dtype))
    found: Array = columns[0] if len(columns) == 1 else np.column_stack(columns)
    return found


class KernelObjective:
    """sum_i w_i loss_i / W by a kernel; W = sum_i w_i, or the rows where there are no weights.

    loss_i: squared errors are halved, and as in scikit-learn summed over outputs in the gradient but averaged in the
    value; Huber's and absolute errors are averaged over outputs, log-losses and Poisson deviances summed.
    """

    def __init__(self, kernel: str, outputs: int):
        self.kernel, self.outputs = kernel, outputs
        self.scale = 0.5 if kernel == "squared_error" else 1.0
        if kernel in ("huber", "absolute_error"):
            self.scale /= outputs

    def __call__(self, prediction: Tensor, target: Array) -> tuple[Tensor, Any]:
        """The loss, a scalar, and W, a number or an array of one. target: what ``targets`` gives, or rows of it."""
        k = current()
        losses, gradient, total = self._rows(prediction.array, target)
        value = k.sum(losses)
        if self.kernel == "squared_error" and self.outputs > 1:
            value = k.multiply(value, 1.0 / self.outputs)

        def rule(g: Array) -> tuple[Array | None, ...]:
            return (gradient if is_unit(g) else k.multiply(gradient, g),)

        return result(value, (prediction,), rule, ()), total

    def _rows(self, prediction: Array, target: Array) -> tuple[Array, Array, Any]:
        """Each row's share of the loss, its gradient, and W."""
        k = current()
        kernel, rows = getattr(k, self.kernel), len(prediction)
        if target.ndim == 1 or target.shape[1] == self.outputs:
            options = (0.0,) if self.kernel == "softmax_cross_entropy" else ()
            return *kernel(prediction, target, None, *options, self.scale / rows), float(rows)
        y, weight = target[:, : self.outputs], k.sum(target[:, -1:], axis=1)  # the sum of one column: it, side by side
        total = k.sum(weight)
        share = k.divide(weight, total)
        if self.kernel == "softmax_cross_entropy":
            log_p = k.log_softmax(prediction)
            losses = k.multiply(k.sum(k.multiply(log_p, y), axis=1), k.negative(share))
            return losses, k.multiply(k.subtract(k.exp(log_p), y), share[:, None]), total
        losses, gradient = kernel(prediction, y, share, self.scale)
        if self.kernel == "poisson_nll":
            constant = k.sum(target[:, self.outputs : self.outputs + 1], axis=1)
            losses = k.add(losses, k.multiply(constant, share))
        return losses, gradient, total


class FunctionObjective:
    """The user's function of the network's raw outputs and the targets, which gives the loss of a batch.

    It is called as function(outputs, targets), and where there are weights as function(outputs, targets,
    sample_weight=weights). targets: labels, int64 (rows,), if ``classes``, else a Tensor (rows, outputs); weights: a
    Tensor (rows,).
    """

    def __init__(self, function: Callable[..., Tensor], outputs: int, classes: bool):
        self.function, self.outputs, self.classes = function, outputs, classes

    def __call__(self, prediction: Tensor, target: Array) -> tuple[Tensor, Any]:
        """The loss, a scalar, and W: the sum of the weights, or the rows where there are none.

        Raises TypeError where the function returns something else.
        """
        k = current()
        wanted: Any = target if target.ndim == 1 else target[:, : self.outputs]
        if self.classes and target.ndim == 2:
            wanted = k.argmax(wanted, axis=1)
        wanted = wanted if self.classes else Tensor(wanted)
        weights: dict[str, Any] = {}
        total: Any = float(len(prediction))
        if target.ndim == 2 and target.shape[1] > self.outputs:
            weight = k.sum(target[:, -1:], axis=1)
            weights, total = {"sample_weight": Tensor(weight)}, k.sum(weight)
        value = self.function(prediction, wanted, **weights)
        if not isinstance(value, Tensor) or value.size != 1:
            what = f"a Tensor of shape {value.shape}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise TypeError(f"loss returned {what}, expected a scalar Tensor")
        return value, total


Objective = KernelObjective | FunctionObjective


def objective(loss: Loss, output: str, outputs: int) -> Objective:
    """A kernel's name or a function as the loss of a network with so many outputs and an output activation."""
    if isinstance(loss, str):
        return KernelObjective(loss, outputs)
    return FunctionObjective(loss, outputs, classes=output == "softmax")


def takes_weights(function: Callable[..., Tensor]) -> bool:
    """Whether a function has a parameter sample_weight."""
    return "sample_weight" in inspect.signature(function).parameters
