"""Optimizers, under PyTorch's names."""

from .clipping import clip_grad_norm_
from .optimizer import Optimizer, ParameterGroup
from .optimizers import OPTIMIZERS, SGD, Adam, AdamW, RMSprop

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Optimizer", "ParameterGroup", "RMSprop", "clip_grad_norm_"]
