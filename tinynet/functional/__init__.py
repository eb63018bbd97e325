"""Differentiable operations on tensors, each a call of kernels forward and a rule of kernels backward."""

from typing import Any

from ..tensor import Tensor
from . import activations, losses
from .activations import *  # noqa: F403 - every activation, as it is declared there
from .activations import log_softmax, relu, sigmoid, softmax, tanh
from .arithmetic import (
    absolute,
    add,
    cos,
    divide,
    erf,
    exp,
    lerp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sin,
    sqrt,
    subtract,
)  # fmt: skip
from .layers import batch_norm, batch_norm_inference, dropout, embedding, grouped_linear, layer_norm, linear, matmul
from .losses import *  # noqa: F403 - every loss, as it is declared there
from .losses import cross_entropy, multi_quantile_loss
from .shaping import argmax, concatenate, max, mean, reshape, sum, take, transpose

__all__ = [
    *activations.ACTIVATIONS,
    *losses.LOSSES,
    "absolute", "add", "argmax", "batch_norm", "batch_norm_inference",
    "concatenate", "cos", "cross_entropy", "divide", "dropout", "embedding", "erf", "exp", "grouped_linear",
    "layer_norm", "lerp", "linear", "log", "log_softmax", "matmul", "max", "maximum", "mean", "minimum",
    "multi_quantile_loss", "multiply", "negative", "power", "reshape", "sin",
    "softmax", "sqrt", "subtract", "sum", "take", "transpose",
]  # fmt: skip

# Tensor's operators and methods are these functions: `x.relu()` is `relu(x)`.
_METHODS: dict[str, Any] = {
    "__add__": add, "__sub__": subtract, "__mul__": multiply, "__truediv__": divide, "__pow__": power,
    "__radd__": lambda x, other: add(other, x), "__rsub__": lambda x, other: subtract(other, x),
    "__rmul__": lambda x, other: multiply(other, x), "__rtruediv__": lambda x, other: divide(other, x),
    "__rpow__": lambda x, other: power(other, x), "__neg__": negative, "__matmul__": matmul, "__getitem__": take,
    "T": property(transpose), "sum": sum, "mean": mean, "max": max, "argmax": argmax, "reshape": reshape, "exp": exp,
    "log": log, "sqrt": sqrt, "sin": sin, "cos": cos, "tanh": tanh, "sigmoid": sigmoid, "relu": relu,
    "softmax": softmax, "log_softmax": log_softmax,
}  # fmt: skip
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
