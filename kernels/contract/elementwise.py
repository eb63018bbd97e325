"""Elementwise kernels: arithmetic with broadcasting, functions, activations and their gradients.

An activation's gradient is a kernel of its own, ``NAME_gradient(grad, saved)``: it takes the gradient of the loss with
respect to the activation's output and whichever of input ``x`` and output ``y`` makes the formula cheapest.
"""

# A required kernel has no body: its docstring is its definition, and the naive backend its executable form.
from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .declaration import Floats, fused, required

if TYPE_CHECKING:
    from .backend import Backend

SAME = "(...)->(...)"
PAIR = "(...),(...)->(...)"
BROADCAST = "(*),(*)->(*)"


# ---- arithmetic ---------------------------------------------------------------------------------------------------


@required(BROADCAST, in_place=("a", "b"))
def add(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a + b."""


@required(BROADCAST, in_place=("a", "b"))
def subtract(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a - b."""


@required(BROADCAST, in_place=("a", "b"))
def multiply(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a * b."""


@required(BROADCAST, in_place=("a", "b"))
def divide(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a / b; division by zero gives an infinity or NaN, as IEEE 754 says."""


@required(BROADCAST, in_place=("a", "b"))
def power(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a**b; NaN where a < 0 and b is not whole. 0**0 = 1, 1**NaN = 1."""


@required(BROADCAST, in_place=("a", "b"))
def maximum(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = max(a, b); NaN where either is NaN."""


@required(BROADCAST, in_place=("a", "b"))
def minimum(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = min(a, b); NaN where either is NaN."""


@required(BROADCAST, in_place=("a", "b"))
def greater(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = 1 where a > b, else 0; a comparison with NaN is false."""


@required("(*),(*),(*)->(*)", in_place=("condition", "a", "b"))
def where(condition: Floats, a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a where condition is not 0 (NaN is not), else b."""


@required("(...)->(...)", allocates=False)
def cast(x: Floats, *, out: Floats) -> None:
    """out = x, rounded to the dtype of out, which must be given. With equal dtypes this is a copy."""


@required("->(...)", allocates=False)
def fill(value: float, *, out: Floats) -> None:
    """out = value everywhere. out must be given."""


@fused(SAME, in_place=("x",))
def negative(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = -x."""
    backend.multiply(x, -1.0, out=out)


# ---- functions ----------------------------------------------------------------------------------------------------


@required(SAME, in_place=("x",))
def exp(x: Floats, *, out: Floats) -> None:
    """out = e**x."""


@required(SAME, in_place=("x",))
def expm1(x: Floats, *, out: Floats) -> None:
    """out = e**x - 1, accurate near 0."""


@required(SAME, in_place=("x",))
def log(x: Floats, *, out: Floats) -> None:
    """out = ln x; -inf at 0, NaN below."""


@required(SAME, in_place=("x",))
def log1p(x: Floats, *, out: Floats) -> None:
    """out = ln(1 + x), accurate near 0; -inf at -1, NaN below."""


@required(SAME, in_place=("x",))
def sqrt(x: Floats, *, out: Floats) -> None:
    """out = sqrt(x); NaN below 0."""


@required(SAME, in_place=("x",))
def sin(x: Floats, *, out: Floats) -> None:
    """out = sin x, x in radians; NaN at the infinities."""


@required(SAME, in_place=("x",))
def cos(x: Floats, *, out: Floats) -> None:
    """out = cos x, x in radians; NaN at the infinities."""


@required(SAME, in_place=("x",))
def tanh(x: Floats, *, out: Floats) -> None:
    """out = tanh x."""


@required(SAME, in_place=("x",))
def erf(x: Floats, *, out: Floats) -> None:
    """out = 2 / sqrt(pi) * integral of e**(-t**2) for t from 0 to x."""


@required(SAME, in_place=("x",))
def absolute(x: Floats, *, out: Floats) -> None:
    """out = |x|."""


@required(SAME, in_place=("x",))
def sign(x: Floats, *, out: Floats) -> None:
    """out = -1, 0 or 1 as x is negative, zero or positive; NaN at NaN."""


# ---- activations, each followed by its gradient -------------------------------------------------------------------


@fused(PAIR, in_place=("grad",))
def tanh_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out = grad * (1 - y**2), y = tanh x."""
    backend.multiply(grad, backend.subtract(1.0, backend.multiply(y, y)), out=out)


@fused(SAME, in_place=("x",))
def sigmoid(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = 1 / (1 + e**-x)."""
    backend.divide(1.0, backend.add(1.0, backend.exp(backend.negative(x))), out=out)


@fused(PAIR, in_place=("grad",))
def sigmoid_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out = grad * y * (1 - y), y = sigmoid(x)."""
    backend.multiply(grad, backend.multiply(y, backend.subtract(1.0, y)), out=out)


@fused(SAME, in_place=("x",))
def relu(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = max(x, 0); NaN stays NaN."""
    backend.maximum(x, 0.0, out=out)


@fused(PAIR, in_place=("grad",))
def relu_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out = grad where y > 0, else 0; y = relu(x)."""
    backend.where(backend.greater(y, 0.0), grad, 0.0, out=out)


@fused(SAME, in_place=("x",))
def leaky_relu(backend: Backend, x: Floats, slope: float = 0.01, *, out: Floats) -> None:
    """out = x where x > 0, else slope * x; slope >= 0."""
    backend.where(backend.greater(x, 0.0), x, backend.multiply(x, slope), out=out)


@fused(PAIR, in_place=("grad",))
def leaky_relu_gradient(backend: Backend, grad: Floats, y: Floats, slope: float = 0.01, *, out: Floats) -> None:
    """out = grad where y > 0, else slope * grad; y = leaky_relu(x, slope), which has the sign of x as slope >= 0."""
    backend.where(backend.greater(y, 0.0), grad, backend.multiply(grad, slope), out=out)


@fused(SAME, in_place=("x",))
def elu(backend: Backend, x: Floats, alpha: float = 1.0, *, out: Floats) -> None:
    """out = x where x > 0, else alpha * (e**x - 1); alpha >= 0 (Clevert et al. 2015, arXiv 1511.07289)."""
    below = backend.multiply(backend.expm1(backend.minimum(x, 0.0)), alpha)
    backend.where(backend.greater(x, 0.0), x, below, out=out)


@fused(PAIR, in_place=("grad",))
def elu_gradient(backend: Backend, grad: Floats, y: Floats, alpha: float = 1.0, *, out: Floats) -> None:
    """out = grad where y > 0, else grad * (y + alpha); y = elu(x, alpha)."""
    slope = backend.where(backend.greater(y, 0.0), 1.0, backend.add(y, alpha))
    backend.multiply(grad, slope, out=out)


@fused(SAME, in_place=("x",))
def gelu(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = x / 2 * (1 + erf(x / sqrt 2)): the exact GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""
    one_plus = backend.add(backend.erf(backend.multiply(x, 1 / math.sqrt(2))), 1.0)
    backend.multiply(backend.multiply(x, 0.5), one_plus, out=out)


@fused(PAIR, in_place=("grad",))
def gelu_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * (Phi(x) + x phi(x)), Phi and phi the normal distribution function and density."""
    phi = backend.exp(backend.multiply(backend.multiply(x, x), -0.5))
    density = backend.multiply(backend.multiply(x, phi), 1 / math.sqrt(2 * math.pi))
    half_erf = backend.multiply(backend.erf(backend.multiply(x, 1 / math.sqrt(2))), 0.5)
    backend.multiply(grad, backend.add(backend.add(half_erf, 0.5), density), out=out)


@fused(SAME, in_place=("x",))
def gelu_tanh(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = x / 2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x**3))): GELU's tanh approximation (same paper)."""
    one_plus = backend.add(_gelu_tanh_inner(backend, x), 1.0)
    backend.multiply(backend.multiply(x, 0.5), one_plus, out=out)


@fused(PAIR, in_place=("grad",))
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


@fused(SAME, in_place=("x",))
def silu(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = x * sigmoid(x), also called swish."""
    backend.multiply(x, backend.sigmoid(x), out=out)


@fused(PAIR, in_place=("grad",))
def silu_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    s = backend.sigmoid(x)
    slope = backend.multiply(s, backend.add(backend.multiply(x, backend.subtract(1.0, s)), 1.0))
    backend.multiply(grad, slope, out=out)


@fused(SAME, in_place=("x",))
def softplus(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = ln(1 + e**x), computed as max(x, 0) + ln(1 + e**-|x|) so that nothing overflows."""
    tail = backend.log1p(backend.exp(backend.negative(backend.absolute(x))))
    backend.add(backend.maximum(x, 0.0), tail, out=out)


@fused(PAIR, in_place=("grad",))
def softplus_gradient(backend: Backend, grad: Floats, x: Floats, *, out: Floats) -> None:
    """out = grad * sigmoid(x)."""
    backend.multiply(grad, backend.sigmoid(x), out=out)
