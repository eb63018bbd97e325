"""Losses of tables: rows that weigh, and targets with blanks."""

from __future__ import annotations

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
