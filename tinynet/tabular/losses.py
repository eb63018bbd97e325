"""Losses of tables: rows that weigh, targets with blanks, several quantiles at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import functional as F
from ..nn import Module
from ..tensor import Array, Tensor


class WeightedCrossEntropy(Module):
    """sum_i w_i sum_j -t_ij ln softmax(z)_ij / rows, t the targets as probabilities, w weights whose mean is 1.

    The target is one array, (rows, classes + 1): t, and w as the last column.
    """

    float_target = True
    reduction = "mean"

    def __init__(self, classes: int):
        self.classes = classes

    def forward(self, logits: Tensor, target: Array) -> Tensor:
        t, w = Tensor(target[:, : self.classes]), Tensor(target[:, self.classes :])
        each = F.multiply(F.log_softmax(logits), t)
        return F.negative(F.mean(F.sum(F.multiply(each, w), axis=1)))


class WeightedElements(Module):
    """A loss of s p and s y in place of p and y, element by element: the weights are what the loss makes of s.

    That is s**2 for the squared error, and s for the quantile loss. A blank has s = 0. The target is one array,
    (rows, 2 columns): y, and s.
    """

    float_target = True
    reduction = "mean"

    def __init__(self, loss: Module, columns: int):
        self.loss, self.columns = loss, columns

    def forward(self, prediction: Tensor, target: Array) -> Tensor:
        y, s = target[:, : self.columns], target[:, self.columns :]
        scaled: Tensor = self.loss(F.multiply(prediction, Tensor(s)), F.multiply(Tensor(y), Tensor(s)).array)
        return scaled


class QuantileColumns(Module):
    """The mean of max((1 - q_j) d_ij, -q_j d_ij), d = prediction - target: column j is the target's quantile q_j."""

    float_target = True
    reduction = "mean"

    def __init__(self, quantiles: Sequence[float]):
        self.above = np.array([[1 - q for q in quantiles]], np.float32)
        self.below = np.array([[-q for q in quantiles]], np.float32)

    def forward(self, prediction: Tensor, target: Array) -> Tensor:
        d = F.subtract(prediction, Tensor(target))
        return F.mean(F.maximum(F.multiply(d, Tensor(self.above)), F.multiply(d, Tensor(self.below))))


class Ascending(Module):
    """y_0 = x_0, y_j = y_(j-1) + softplus(x_j): columns that never cross. x (rows, columns)."""

    def __init__(self, columns: int):
        self.columns = columns
        self.sums = np.triu(np.ones((columns, columns), np.float32))  # x @ sums adds up the columns to the left

    def forward(self, x: Tensor) -> Tensor:
        if self.columns == 1:
            return x
        steps = F.softplus(x[:, 1:])
        return F.matmul(F.concatenate([x[:, :1], steps]), Tensor(self.sums))

    def extra_repr(self) -> str:
        return str(self.columns)
