"""Differentiable activations. Each is one kernel forward and one backward."""

from __future__ import annotations

from ..backends import current
from ..tensor import Tensor, result


def tanh(x: Tensor) -> Tensor:
    """tanh x."""
    y = current().tanh(x.array)
    return result(y, (x,), lambda g: (current().tanh_gradient(g, y),), x.shape)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e**-x)."""
    y = current().sigmoid(x.array)
    return result(y, (x,), lambda g: (current().sigmoid_gradient(g, y),), x.shape)


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    y = current().relu(x.array)
    return result(y, (x,), lambda g: (current().relu_gradient(g, y),), x.shape)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    if not negative_slope >= 0:
        raise ValueError(f"negative_slope is {negative_slope}, expected a number >= 0")
    y = current().leaky_relu(x.array, negative_slope)
    return result(y, (x,), lambda g: (current().leaky_relu_gradient(g, y, negative_slope),), x.shape)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (e**x - 1)."""
    if not alpha >= 0:
        raise ValueError(f"alpha is {alpha}, expected a number >= 0")
    y = current().elu(x.array, alpha)
    return result(y, (x,), lambda g: (current().elu_gradient(g, y, alpha),), x.shape)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi the normal distribution function; with approximate="tanh", its tanh approximation."""
    if approximate == "tanh":
        y = current().gelu_tanh(x.array)
        return result(y, (x,), lambda g: (current().gelu_tanh_gradient(g, x.array),), x.shape)
    if approximate != "none":
        raise ValueError(f"approximate is {approximate!r}, expected 'none' or 'tanh'")
    y = current().gelu(x.array)
    return result(y, (x,), lambda g: (current().gelu_gradient(g, x.array),), x.shape)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    y = current().silu(x.array)
    return result(y, (x,), lambda g: (current().silu_gradient(g, x.array),), x.shape)


def softplus(x: Tensor) -> Tensor:
    """ln(1 + e**x)."""
    y = current().softplus(x.array)
    return result(y, (x,), lambda g: (current().softplus_gradient(g, x.array),), x.shape)


def softmax(x: Tensor) -> Tensor:
    """e**x_ij / sum_j e**x_ij, row by row."""
    y = current().softmax(x.array)
    return result(y, (x,), lambda g: (current().softmax_gradient(g, y),))


def log_softmax(x: Tensor) -> Tensor:
    """x_ij - ln sum_j e**x_ij, row by row."""
    y = current().log_softmax(x.array)
    return result(y, (x,), lambda g: (current().log_softmax_gradient(g, y),))
