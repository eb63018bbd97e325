"""Losses as modules: called with the model's output and the target, they return a scalar tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import functional as F
from ..checks import check_fraction
from ..functional.losses import COUNTS, PROBABILITIES, check_labels, check_reduction, check_within
from ..tensor import Array, Tensor
from .module import Module


class CrossEntropyLoss(Module):
    """-sum_j t_ij ln softmax(logits)_ij, averaged; t one-hot labels, smoothed by label_smoothing.

    weight: one number a class; the mean is weighted by the labels' weights, as in PyTorch.
    """

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


class _Elementwise(Module):
    float_target = True  # whole numbers as targets mean numbers, not labels

    def __init__(self, reduction: str = "mean"):
        self.reduction = check_reduction(reduction)


class BCEWithLogitsLoss(_Elementwise):
    """ln(1 + e**z) - t z, z the logits, t in [0, 1]."""

    def check_target(self, target: Any, outputs: int) -> None:
        """Refuses targets outside of [0, 1], all at once, before training starts."""
        check_within("BCEWithLogitsLoss", target, *PROBABILITIES)

    def forward(self, logits: Tensor, target: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, target, self.reduction)


class MSELoss(_Elementwise):
    """(prediction - target)**2."""

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        return F.mse_loss(prediction, target, self.reduction)


class L1Loss(_Elementwise):
    """|prediction - target|."""

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        return F.l1_loss(prediction, target, self.reduction)


class HuberLoss(Module):
    """d**2 / 2 where |d| <= delta, else delta (|d| - delta / 2)."""

    float_target = True

    def __init__(self, delta: float = 1.0, reduction: str = "mean"):
        if not (delta > 0 and math.isfinite(delta)):
            raise ValueError(f"delta is {delta!r}, expected a finite number > 0")
        self.delta, self.reduction = delta, check_reduction(reduction)

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        return F.huber_loss(prediction, target, self.delta, self.reduction)


class PoissonNLLLoss(_Elementwise):
    """e**z - t z, z the logarithm of the expected count t (PyTorch's log_input=True)."""

    def check_target(self, target: Any, outputs: int) -> None:
        """Refuses counts below 0, all at once, before training starts."""
        check_within("PoissonNLLLoss", target, *COUNTS)

    def forward(self, log_rate: Tensor, target: Any) -> Tensor:
        return F.poisson_nll_loss(log_rate, target, self.reduction)
