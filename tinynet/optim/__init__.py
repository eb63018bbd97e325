"""Optimizers and what is done to gradients before an update, under PyTorch's names."""

from . import optimizers
from .clipping import clip_grad_norm_
from .optimizer import Optimizer, ParameterGroup
from .optimizers import *  # noqa: F403 - every optimizer
from .optimizers import parameter_groups
from .transformations import Accumulate, ClipNorm, ClipValue, Transformation, apply_transformations

OPTIMIZERS: dict[str, type[Optimizer]] = {
    name.lower(): found
    for name, found in vars(optimizers).items()
    if isinstance(found, type) and issubclass(found, Optimizer) and found is not Optimizer
}
"""Every optimizer, by the name that the command knows it by."""

__all__ = [
    *(found.__name__ for found in OPTIMIZERS.values()),
    "OPTIMIZERS",
    "Accumulate", "ClipNorm", "ClipValue", "Optimizer", "ParameterGroup", "Transformation", "apply_transformations",
    "clip_grad_norm_", "parameter_groups",
]  # fmt: skip
