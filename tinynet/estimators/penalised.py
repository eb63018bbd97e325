"""The loss that scikit-learn's perceptrons report: the data's mean loss plus an L2 penalty over the batch's weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.special import xlogy

from ..backends import current
from ..functional import exp, sigmoid, softmax
from ..nn import Module, Parameter
from ..tensor import Array, Tensor, is_unit, result

# Output activation -> the kernel that gives losses and gradients, its scale, what makes outputs of the model's.
KERNELS: dict[str, tuple[str, float, Any]] = {
    "softmax": ("softmax_cross_entropy", 1.0, softmax),
    "logistic": ("sigmoid_cross_entropy", 1.0, sigmoid),
    "identity": ("squared_error", 0.5, None),
    "exp": ("poisson_nll", 1.0, exp),
}


def targets(output: str, y: Array, weight: Array | None, dtype: DTypeLike) -> Array:
    """The Trainer's target: labels or columns of numbers; with weights, those are the last column.

    y: (rows, outputs), for classes an indicator matrix. Poisson targets have weights always, and before them a column
    of y ln y - y, the part of the deviance that depends on no prediction.
    """
    if output == "exp":
        weight = np.ones(len(y)) if weight is None else weight
        constant = (xlogy(y, y) - y).sum(axis=1)
        return np.ascontiguousarray(np.column_stack([y, constant, weight]), dtype)
    if weight is not None:
        return np.ascontiguousarray(np.column_stack([y, weight]), dtype)
    return y.argmax(axis=1) if output == "softmax" else np.ascontiguousarray(y, dtype)


class PenalisedLoss(Module):
    """sum_i w_i loss_i / W + alpha / (2 W) * sum of the squares of all weights; W = sum_i w_i, or the batch's rows.

    The gradient of the penalty, alpha / W * weight, is left to the optimizer: W changes with the batch, so every step
    writes the weight decay where the optimizer reads it. decay: that element of its options. Squared errors are summed
    over outputs in the gradient, and averaged in the value, as in scikit-learn.
    """

    def __init__(self, output: str, outputs: int, alpha: float, weights: list[Parameter], decay: Array):
        self.output, self.outputs, self.alpha, self.weights, self.decay = output, outputs, alpha, weights, decay
        self.weighted = False

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        k = current()
        losses, gradient, total = self.data_term(prediction.array, target)
        value = k.sum(losses)
        if self.output == "identity" and self.outputs > 1:
            value = k.multiply(value, 1.0 / self.outputs)
        if self.alpha:
            squares = k.sum_of_squares(self.weights[0].array)
            for weight in self.weights[1:]:
                squares = k.add(squares, k.sum_of_squares(weight.array))
            value = k.add(value, k.divide(k.multiply(squares, 0.5 * self.alpha), total))
            if isinstance(total, float):
                k.fill(self.alpha / total, out=self.decay)
            else:
                k.cast(k.divide(self.alpha, total), out=self.decay)

        def rule(g: Array) -> tuple[Array | None, ...]:
            return (gradient if is_unit(g) else k.multiply(gradient, g),)

        return result(value, (prediction,), rule, ())

    def data_term(self, prediction: Array, target: Array) -> tuple[Array, Array, Any]:
        """Each row's share of the mean loss, its gradient, and the rows' weight, a number or an array of one."""
        k = current()
        name, scale, _ = KERNELS[self.output]
        kernel, rows = getattr(k, name), len(prediction)
        if not self.weighted:
            options = (0.0,) if self.output == "softmax" else ()
            return *kernel(prediction, target, None, *options, scale / rows), float(rows)
        y, weight = target[:, : self.outputs], k.sum(target[:, -1:], axis=1)  # the sum of one column: it, side by side
        total = k.sum(weight)
        share = k.divide(weight, total)
        if self.output == "softmax":
            log_p = k.log_softmax(prediction)
            losses = k.multiply(k.sum(k.multiply(log_p, y), axis=1), k.negative(share))
            return losses, k.multiply(k.subtract(k.exp(log_p), y), share[:, None]), total
        losses, gradient = kernel(prediction, y, share, scale)
        if self.output == "exp":
            constant = k.sum(target[:, self.outputs : self.outputs + 1], axis=1)
            losses = k.add(losses, k.multiply(constant, share))
        return losses, gradient, total

    def data_loss(self, prediction: Tensor, target: Array) -> float:
        """The mean loss without the penalty."""
        losses, _, _ = self.data_term(prediction.array, target)
        return float(current().sum(losses)[0]) / (self.outputs if self.output == "identity" else 1)
