"""Activations, each followed by its gradient, and the exact answers that both are compared with.

A declaration here is all that the contract's other readers need: ``linear`` can end with an activation that has no
options, ``matmul_gradient`` with the gradient of one that takes the output ``y``; the conformance suite makes a
kernel's case from its reference, a backend finds its own expression under the kernel's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .declaration import ACTIVATIONS, OUTPUT_ACTIVATIONS, Floats, Function, fused, required

if TYPE_CHECKING:
    from .backend import Backend


class Reference(NamedTuple):
    """The exact answer: ``function`` of the kernel's inputs by name, in float64, independent of every backend.

    The last array is drawn from [low, high]. options: numbers that each further input takes. cancels: the error is
    relative to the input's size, since the result is a small difference of larger numbers.
    """

    function: Callable[..., Any]
    low: float
    high: float
    options: dict[str, tuple[float, ...]]
    cancels: bool = False

    @property
    def variants(self) -> tuple[dict[str, float], ...]:
        """Every combination of the options' numbers."""
        return tuple(dict(zip(self.options, numbers, strict=True)) for numbers in product(*self.options.values()))


REFERENCES: dict[str, Reference] = {}
"""By kernel: the activations and their gradients."""


def activation(
    reference: Callable[..., Any], low: float = -6, high: float = 6, cancels: bool = False, **options: tuple[float, ...]
) -> Callable[[Function], Function]:
    """Declares out = f(x) or f(x, option) elementwise: required where the function has no body, else fused."""

    def decorate(function: Function) -> Function:
        name = function.__name__
        REFERENCES[name] = Reference(reference, low, high, options, cancels)
        if not options:
            ACTIVATIONS.append(name)
        return (fused if "backend" in function.__annotations__ else required)("(...)->(...)", in_place=("x",))(function)

    return decorate


def gradient(reference: Callable[..., Any], low: float = -6, high: float = 6) -> Callable[[Function], Function]:
    """Declares NAME_gradient(grad, saved) of the activation NAME, whose options it takes too.

    grad is the loss's gradient with respect to the activation's output, saved whichever of input ``x`` and output
    ``y`` makes the formula cheapest.
    """

    def decorate(function: Function) -> Function:
        name = function.__name__.removesuffix("_gradient")
        options = REFERENCES[name].options
        REFERENCES[function.__name__] = Reference(reference, low, high, options)
        if not options and "y" in function.__annotations__:
            OUTPUT_ACTIVATIONS.append(name)
        return fused("(...),(...)->(...)", in_place=("grad",))(function)

    return decorate


def _special(name: str) -> Callable[[Any], Any]:
    """SciPy's function of that name, imported only when the suite calls it."""

    def function(x: Any) -> Any:
        from scipy import special

        return getattr(special, name)(x)

    return function


_erf, _sigmoid, _normal_distribution = _special("erf"), _special("expit"), _special("ndtr")


# ---- of the input's sign ------------------------------------------------------------------------------------------


@activation(lambda x: np.maximum(x, 0))
def relu(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = max(x, 0); NaN stays NaN."""
    backend.maximum(x, 0.0, out=out)


@gradient(lambda grad, y: np.where(y > 0, grad, 0))
def relu_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out = grad where y > 0, else 0; y = relu(x)."""
    backend.where(backend.greater(y, 0.0), grad, 0.0, out=out)


@activation(lambda x, slope: np.where(x > 0, x, slope * x), slope=(0.01, 0.3))
def leaky_relu(backend: Backend, x: Floats, slope: float = 0.01, *, out: Floats) -> None:
    """out = x where x > 0, else slope * x; slope >= 0."""
    backend.where(backend.greater(x, 0.0), x, backend.multiply(x, slope), out=out)


@gradient(lambda grad, y, slope: np.where(y > 0, grad, slope * grad))
def leaky_relu_gradient(backend: Backend, grad: Floats, y: Floats, slope: float = 0.01, *, out: Floats) -> None:
    """out = grad where y > 0, else slope * grad; y = leaky_relu(x, slope), which has the sign of x as slope >= 0."""
    backend.where(backend.greater(y, 0.0), grad, backend.multiply(grad, slope), out=out)


def _elu(x: Any, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@activation(_elu, alpha=(1.0, 0.5))
def elu(backend: Backend, x: Floats, alpha: float = 1.0, *, out: Floats) -> None:
    """out = x where x > 0, else alpha * (e**x - 1); alpha >= 0 (Clevert et al. 2015, arXiv 1511.07289)."""
    below = backend.multiply(backend.expm1(backend.minimum(x, 0.0)), alpha)
    backend.where(backend.greater(x, 0.0), x, below, out=out)


@gradient(lambda grad, y, alpha: grad * np.where(y > 0, 1, y + alpha), low=-0.5)
def elu_gradient(backend: Backend, grad: Floats, y: Floats, alpha: float = 1.0, *, out: Floats) -> None:
    """out = grad where y > 0, else grad * (y + alpha); y = elu(x, alpha)."""
    slope = backend.where(backend.greater(y, 0.0), 1.0, backend.add(y, alpha))
    backend.multiply(grad, slope, out=out)


# With weights and inputs of mean 0 and variance 1, these two keep both through any number of layers.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@activation(lambda x: SELU_SCALE * _elu(x, SELU_ALPHA))
def selu(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = scale * elu(x, alpha), alpha = 1.6733, scale = 1.0507 (Klambauer et al. 2017, arXiv 1706.02515)."""
    backend.multiply(backend.elu(x, SELU_ALPHA), SELU_SCALE, out=out)


@gradient(lambda grad, y: grad * np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA), low=-1.7)
def selu_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out = scale * grad where y > 0, else grad * (y + scale * alpha); y = selu(x)."""
    slope = backend.where(backend.greater(y, 0.0), SELU_SCALE, backend.add(y, SELU_SCALE * SELU_ALPHA))
    backend.multiply(grad, slope, out=out)


# ---- of the normal distribution -----------------------------------------------------------------------------------


@activation(lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2))), cancels=True)
def gelu(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = x / 2 * (1 + erf(x / sqrt 2)): the exact GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""
    one_plus = backend.add(backend.erf(backend.multiply(x, 1 / math.sqrt(2))), 1.0)
    backend.multiply(backend.multiply(x, 0.5), one_plus, out=out)


@gradient(lambda grad, x: grad * (_normal_distribution(x) + x * (np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))))
def gelu_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * (Phi(x) + x phi(x)), Phi and phi the normal distribution function and density."""
    phi = backend.exp(backend.multiply(backend.multiply(x, x), -0.5))
    density = backend.multiply(backend.multiply(x, phi), 1 / math.sqrt(2 * math.pi))
    half_erf = backend.multiply(backend.erf(backend.multiply(x, 1 / math.sqrt(2))), 0.5)
    backend.multiply(grad, backend.add(backend.add(half_erf, 0.5), density), out=out)


def _tanh_of_cubic(x: Any) -> Any:
    return np.tanh(np.sqrt(2 / np.pi) * x * (1 + 0.044715 * x * x))


def _gelu_tanh_slope(x: Any) -> Any:
    t, inner = _tanh_of_cubic(x), np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner


@activation(lambda x: 0.5 * x * (1 + _tanh_of_cubic(x)), cancels=True)
def gelu_tanh(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = x / 2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x**3))): GELU's tanh approximation (same paper)."""
    one_plus = backend.add(_gelu_tanh_inner(backend, x), 1.0)
    backend.multiply(backend.multiply(x, 0.5), one_plus, out=out)


@gradient(lambda grad, x: grad * _gelu_tanh_slope(x))
def gelu_tanh_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * ((1 + t) / 2 + x / 2 * (1 - t**2) * sqrt(2/pi) * (1 + 3 * 0.044715 x**2)), t gelu_tanh's tanh."""
    t = _gelu_tanh_inner(backend, x)
    square = backend.multiply(x, x)
    inner = backend.multiply(backend.add(backend.multiply(square, 3 * 0.044715), 1.0), math.sqrt(2 / math.pi) / 2)
    steep = backend.multiply(backend.multiply(x, backend.subtract(1.0, backend.multiply(t, t))), inner)
    slope = backend.add(backend.multiply(backend.add(t, 1.0), 0.5), steep)
    backend.multiply(grad, slope, out=out)


def _gelu_tanh_inner(backend: Backend, x: Floats) -> Floats:
    cubic = backend.add(backend.multiply(backend.multiply(x, x), 0.044715), 1.0)
    result: Floats = backend.tanh(backend.multiply(backend.multiply(x, cubic), math.sqrt(2 / math.pi)))
    return result


# ---- of exponentials ----------------------------------------------------------------------------------------------


@activation(_sigmoid)
def sigmoid(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = 1 / (1 + e**-x)."""
    backend.divide(1.0, backend.add(1.0, backend.exp(backend.negative(x))), out=out)


@gradient(lambda grad, y: grad * (y * (1 - y)), low=0, high=1)
def sigmoid_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out = grad * y * (1 - y), y = sigmoid(x)."""
    backend.multiply(grad, backend.multiply(y, backend.subtract(1.0, y)), out=out)


@activation(lambda x: np.tanh(x), low=-10, high=10)
def tanh(x: Floats, *, out: Floats) -> None:
    """out = tanh x."""


@gradient(lambda grad, y: grad * (1 - y * y), low=-1, high=1)
def tanh_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out = grad * (1 - y**2), y = tanh x."""
    backend.multiply(grad, backend.subtract(1.0, backend.multiply(y, y)), out=out)


@activation(lambda x: x * _sigmoid(x))
def silu(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = x * sigmoid(x), also called swish."""
    backend.multiply(x, backend.sigmoid(x), out=out)


@gradient(lambda grad, x: grad * (_sigmoid(x) * (1 + x * (1 - _sigmoid(x)))))
def silu_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    s = backend.sigmoid(x)
    slope = backend.multiply(s, backend.add(backend.multiply(x, backend.subtract(1.0, s)), 1.0))
    backend.multiply(grad, slope, out=out)


@activation(lambda x: x * np.tanh(np.logaddexp(0, x)))
def mish(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = x * tanh(softplus(x)) (Misra 2019, arXiv 1908.08681)."""
    backend.multiply(x, backend.tanh(backend.softplus(x)), out=out)


def _mish_slope(x: Any) -> Any:
    t = np.tanh(np.logaddexp(0, x))
    return t + x * _sigmoid(x) * (1 - t * t)


@gradient(lambda grad, x: grad * _mish_slope(x))
def mish_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * (t + x * sigmoid(x) * (1 - t**2)), t = tanh(softplus(x))."""
    t = backend.tanh(backend.softplus(x))
    steep = backend.multiply(backend.multiply(x, backend.sigmoid(x)), backend.subtract(1.0, backend.multiply(t, t)))
    backend.multiply(grad, backend.add(t, steep), out=out)


@activation(lambda x: np.logaddexp(0, x))
def softplus(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = ln(1 + e**x), computed as max(x, 0) + ln(1 + e**-|x|) so that nothing overflows."""
    tail = backend.log1p(backend.exp(backend.negative(backend.absolute(x))))
    backend.add(backend.maximum(x, 0.0), tail, out=out)


@gradient(lambda grad, x: grad * _sigmoid(x))
def softplus_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * sigmoid(x)."""
    backend.multiply(grad, backend.sigmoid(x), out=out)
