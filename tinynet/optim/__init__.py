"""Optimizers and what is done to gradients before an update, under PyTorch's names."""

from .clipping import clip_grad_norm_
from .optimizer import Optimizer, ParameterGroup
from .optimizers import OPTIMIZERS, SGD, Adam, AdamW, RMSprop
from .transformations import Accumulate, ClipNorm, ClipValue, Transformation, apply_transformations

__all__ = [
    "OPTIMIZERS", "SGD", "Accumulate", "Adam", "AdamW", "ClipNorm", "ClipValue", "Optimizer", "ParameterGroup",
    "RMSprop", "Transformation", "apply_transformations", "clip_grad_norm_",
]  # fmt: skip
