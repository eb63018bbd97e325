"""Losses as modules: called with the model's output and the target, they return a scalar tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .. import functional as F
from ..checks import check_fraction
from ..functional.losses import check_labels, check_quantiles, check_reduction, check_within
from ..tensor import Array, Tensor
from .elementwise import Elementwise, module_of
from .module import Module


class CrossEntropyLoss(Module):
    """-sum_j t_ij ln softmax(logits)_ij, averaged; t one-hot labels, smoothed by label_smoothing.

    weight: one number a class; the mean is weighted by the labels' weights, as in PyTorch.
    """

    float_target = False  # numbers as targets mean labels

    def __init__(self, weight: ArrayLike | None = None, label_smoothing: float = 0.0, reduction: str = "mean"):
        self.weight = None if weight is None else np.asarray(weight, np.float64)
        if self.weight is not None and not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise ValueError("weight holds negative or non-finite numbers, expected one number >= 0 a class")
        self.label_smoothing = check_fraction("label_smoothing", label_smoothing)
        self.reduction = check_reduction(reduction)

    def check_target(self, target: Any, outputs: int) -> None:
        """Refuses labels that are not whole numbers in [0, outputs), all at once, before training starts."""
        check_labels("CrossEntropyLoss", target, len(target), outputs)

    def row_weights(self, target: Any) -> Array | None:
        """The rows' weights in the mean, for what averages the losses of batches; None where all count once."""
        if self.weight is None or self.reduction != "mean":
            return None
        found: Array = self.weight[np.asarray(target).reshape(-1).astype(np.int64)]
        return found

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        return F.cross_entropy(logits, labels, self.weight, self.label_smoothing, self.reduction)


class MultiQuantileLoss(Module):
    """mean_j max((1 - q_j) d_ij, -q_j d_ij), d_ij = prediction_ij - target_i: column j is least at the quantile q_j.

    Columns of a network may cross; those that go through Monotone do not.

    Args:
        quantiles: numbers in (0, 1), each greater than the one before.
        reduction: mean over rows and columns, sum, or none, one loss a row, the sum over columns.
    """

    float_target = True

    def __init__(self, quantiles: Sequence[float] = (0.1, 0.5, 0.9), reduction: str = "mean"):
        self.quantiles = check_quantiles("quantiles", quantiles)
        self.reduction = check_reduction(reduction)

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        return F.multi_quantile_loss(prediction, target, self.quantiles, self.reduction)


class Loss(Elementwise):
    """loss(prediction, target), which compares element by element."""

    float_target = True  # whole numbers as targets mean numbers, not labels
    within: ClassVar[tuple[float, float] | None]

    def check_target(self, target: Any, outputs: int) -> None:
        """Refuses targets outside of what they are within, all at once, before training starts."""
        if self.within is not None:
            check_within(type(self).__name__, target, *self.within)

    def extra_repr(self) -> str:
        return ""


MODULES = {
    made.module: module_of(made.module, made.function, made.checks, Loss, within=made.within)
    for made in F.losses.LOSSES.values()
}
globals().update(MODULES)  # where pickle looks for them
