"""Optimizers and what is done to gradients before an update, under PyTorch's names."""

from . import optimizers
from .clipping import clip_grad_norm_
from .optimizer import Optimizer, ParameterGroup
from .optimizers import *  # noqa: F403 - every optimizer
from .transformations import Accumulate, ClipNorm, ClipValue, Transformation, apply_transformations

__all__ = [
    *optimizers.__all__,
    "Accumulate", "ClipNorm", "ClipValue", "Optimizer", "ParameterGroup", "Transformation", "apply_transformations",
    "clip_grad_norm_",
]  # fmt: skip
