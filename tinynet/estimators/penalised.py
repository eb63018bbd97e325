"""The loss that scikit-learn's perceptrons report: the data's mean loss plus an L2 penalty over the batch's weight."""

from __future__ import annotations

from typing import Any

from kernels.program import OPTIMIZER, within

from ..backends import current
from ..nn import Module, Parameter
from ..tensor import Array, Tensor, result
from .objectives import Objective


class PenalisedLoss(Module):
    """loss + alpha / (2 W) * sum of the squares of all weights; W the batch's rows, or the sum of their weights.

    The gradient of the penalty, alpha / W * weight, is left to the optimizer: W changes with the batch, so every step
    writes the weight decay where the optimizer reads it. decay: that element of its options.
    """

    def __init__(self, objective: Objective, alpha: float, weights: list[Parameter], decay: Array):
        self.objective, self.alpha, self.weights, self.decay = objective, alpha, weights, decay

    def forward(self, prediction: Tensor, target: Array) -> Tensor:
        k = current()
        loss, total = self.objective(prediction, target)
        if not self.alpha:
            return loss
        squares = k.sum_of_squares(self.weights[0].array)
        for weight in self.weights[1:]:
            squares = k.add(squares, k.sum_of_squares(weight.array))
        with within(OPTIMIZER):
            if isinstance(total, float):
                k.fill(self.alpha / total, out=self.decay)
            else:
                k.cast(k.divide(self.alpha, total), out=self.decay)
        penalty = k.divide(k.multiply(squares, 0.5 * self.alpha), total)
        value = k.add(loss.array.reshape(1), penalty)

        def rule(g: Array) -> tuple[Array | None, ...]:
            return (g.reshape(loss.array.shape),)

        return result(value, (loss,), rule, ())

    def data_loss(self, prediction: Tensor, target: Any) -> float:
        """The loss without the penalty."""
        return self.objective(prediction, target)[0].item()
