"""Differentiable operations on tensors, each a call of kernels forward and a rule of kernels backward."""

from numbers import Real
from typing import Any

import numpy as np

from ..tensor import Tensor
from . import activations, losses
from .activations import *  # noqa: F403 - every activation, as it is declared there
from .activations import log_softmax, relu, sigmoid, softmax, tanh
from .arithmetic import (
    absolute,
    add,
    clip,
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
    where,
)  # fmt: skip
from .comparisons import equal, greater, greater_equal, less, less_equal, not_equal
from .layers import (
    batch_norm,
    batch_norm_inference,
    dropout,
    embedding,
    grouped_linear,
    layer_norm,
    linear,
    matmul,
    one_hot,
)
from .losses import *  # noqa: F403 - every loss, as it is declared there
from .losses import cross_entropy, multi_quantile_loss
from .shaping import argmax, concatenate, max, mean, reshape, stack, std, sum, take, transpose, var

abs = absolute

__all__ = [
    *activations.ACTIVATIONS,
    *losses.LOSSES,
    "abs", "absolute", "add", "argmax", "batch_norm", "batch_norm_inference",
    "clip", "concatenate", "cos", "cross_entropy", "divide", "dropout", "embedding", "equal", "erf", "exp",
    "greater", "greater_equal", "grouped_linear", "less", "less_equal",
    "layer_norm", "lerp", "linear", "log", "log_softmax", "matmul", "max", "maximum", "mean", "minimum",
    "multi_quantile_loss", "multiply", "negative", "not_equal", "one_hot", "power", "reshape", "sin",
    "softmax", "sqrt", "stack", "std", "subtract", "sum", "take", "transpose", "var", "where",
]  # fmt: skip


def _or_not_implemented(compare: Any) -> Any:
    """== and != with what is no number are Python's: False and True."""

    def operator(x: Tensor, other: Any) -> Any:
        return compare(x, other) if isinstance(other, Tensor | Real | np.ndarray) else NotImplemented

    return operator


# Tensor's operators and methods are these functions: `x.relu()` is `relu(x)`.
_METHODS: dict[str, Any] = {
    "__add__": add, "__sub__": subtract, "__mul__": multiply, "__truediv__": divide, "__pow__": power,
    "__radd__": lambda x, other: add(other, x), "__rsub__": lambda x, other: subtract(other, x),
    "__rmul__": lambda x, other: multiply(other, x), "__rtruediv__": lambda x, other: divide(other, x),
    "__rpow__": lambda x, other: power(other, x), "__neg__": negative, "__matmul__": matmul, "__getitem__": take,
    "T": property(transpose), "sum": sum, "mean": mean, "max": max, "argmax": argmax, "reshape": reshape, "exp": exp,
    "log": log, "sqrt": sqrt, "sin": sin, "cos": cos, "tanh": tanh, "sigmoid": sigmoid, "relu": relu,
    "softmax": softmax, "log_softmax": log_softmax, "abs": absolute, "__abs__": absolute, "clip": clip, "clamp": clip,
    "std": std, "var": var, "__gt__": greater, "__lt__": less, "__ge__": greater_equal, "__le__": less_equal,
    "__eq__": _or_not_implemented(equal), "__ne__": _or_not_implemented(not_equal),
}  # fmt: skip
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
