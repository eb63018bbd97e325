"""Differentiable activations, each one kernel forward and one backward; softmax along rows.

What ``activation`` is put on also becomes a module of the name given there, and a choice wherever one is offered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from kernels import DECLARATIONS

from ..backends import current
from ..checks import check_number
from ..tensor import Tensor, result

Function = TypeVar("Function", bound=Callable[..., Tensor])
Check = Callable[[str, Any], Any]


class Activation(NamedTuple):
    """A function of a tensor and options that works on each element. checks: of its options, by name."""

    function: Callable[..., Tensor]
    module: str  # its class's name in tinynet.nn
    checks: dict[str, Check]


ACTIVATIONS: dict[str, Activation] = {}


def activation(module: str, **checks: Check) -> Callable[[Function], Function]:
    """Registers a differentiable function: the name of its module, and a check for each option."""

    def decorate(function: Function) -> Function:
        if [*checks] != [*inspect.signature(function).parameters][1:]:
            raise TypeError(f"{function.__name__}: checks are of {[*checks]}, expected one for each option, in order")
        ACTIVATIONS[function.__name__] = Activation(function, module, checks)
        return function

    return decorate


def elementwise(kernel: str, x: Tensor, *options: float) -> Tensor:
    """A kernel's result, differentiated by the kernel NAME_gradient, from the input or the output as that declares."""
    y, gradient = getattr(current(), kernel)(x.array, *options), f"{kernel}_gradient"
    saved = y if DECLARATIONS[gradient].parameter_names[1] == "y" else x.array
    return result(y, (x,), lambda g: (getattr(current(), gradient)(g, saved, *options),), x.shape)


@activation("ReLU")
def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return elementwise("relu", x)


def at_least_0(name: str, value: Any) -> float:
    """A finite number >= 0."""
    return check_number(name, value, 0, expected="a number >= 0")


@activation("LeakyReLU", negative_slope=at_least_0)
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return elementwise("leaky_relu", x, at_least_0("negative_slope", negative_slope))


@activation("ELU", alpha=at_least_0)
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (e**x - 1)."""
    return elementwise("elu", x, at_least_0("alpha", alpha))


@activation("SELU")
def selu(x: Tensor) -> Tensor:
    """1.0507 * x where x > 0, else 1.0507 * 1.6733 * (e**x - 1)."""
    return elementwise("selu", x)


def none_or_tanh(name: str, value: Any) -> str:
    """GELU's two ways."""
    if value not in ("none", "tanh"):
        raise ValueError(f"{name} is {value!r}, expected 'none' or 'tanh'")
    return str(value)


@activation("GELU", approximate=none_or_tanh)
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi the normal distribution function; with approximate="tanh", its tanh approximation."""
    return elementwise("gelu_tanh" if none_or_tanh("approximate", approximate) == "tanh" else "gelu", x)


@activation("Sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e**-x)."""
    return elementwise("sigmoid", x)


@activation("Tanh")
def tanh(x: Tensor) -> Tensor:
    """tanh x."""
    return elementwise("tanh", x)


@activation("SiLU")
def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return elementwise("silu", x)


@activation("Mish")
def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x))."""
    return elementwise("mish", x)


@activation("Softplus")
def softplus(x: Tensor) -> Tensor:
    """ln(1 + e**x)."""
    return elementwise("softplus", x)


def softmax(x: Tensor) -> Tensor:
    """e**x_ij / sum_j e**x_ij, row by row."""
    y = current().softmax(x.array)
    return result(y, (x,), lambda g: (current().softmax_gradient(g, y),))


def log_softmax(x: Tensor) -> Tensor:
    """x_ij - ln sum_j e**x_ij, row by row."""
    y = current().log_softmax(x.array)
    return result(y, (x,), lambda g: (current().log_softmax_gradient(g, y),))
