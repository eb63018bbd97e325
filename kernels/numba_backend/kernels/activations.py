"""Activations and their gradients, as expressions over vectors: one function for each that the contract declares.

The functions are staged: Python over vector registers, evaluated when a kernel is compiled. Kernels of their own and
the epilogues of products are made from them.
"""

from __future__ import annotations

import math

from ...contract.activations import SELU_ALPHA, SELU_SCALE
from .. import simd
from ..simd import select

# A tail ends, with 0, where it is e**40 times the least normal number: small gradients times it are normal numbers too.
# Units of a trained net get there, and steps that computed with subnormal numbers took 15 times as long.
TAIL = 40.0


def expression(name):
    """The function of that name, of this module or of ``simd``."""
    found = globals().get(name) or getattr(simd, name, None)
    if found is None:
        raise NotImplementedError(f"{__name__} lacks {name!r}, which the contract declares as an activation")
    return found


def _with_a_short_tail(function, x):
    """function(x), about e**x far below 0, with 0 in place of what would make subnormal numbers."""
    least = math.log(x.type.format.tiny) + TAIL
    return select(x < least, 0.0, function(simd.maximum(x, least)))


def _sigmoid(x):
    return _with_a_short_tail(simd.sigmoid, x)


def relu(x):
    return simd.fast_maximum(0.0, x)


def relu_gradient(grad, y):
    return select(y > 0.0, grad, 0.0)


def leaky_relu(x, slope):
    return select(x > 0.0, x, x * slope)


def leaky_relu_gradient(grad, y, slope):
    return select(y > 0.0, grad, grad * slope)


def elu(x, alpha):
    return select(x > 0.0, x, simd.expm1(simd.minimum(x, 0.0)) * alpha)


def elu_gradient(grad, y, alpha):
    return grad * select(y > 0.0, 1.0, y + alpha)


def selu(x):
    return elu(x, SELU_ALPHA) * SELU_SCALE


def selu_gradient(grad, y):
    return grad * select(y > 0.0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)


def gelu(x):
    return 0.5 * x * (1.0 + simd.erf(x * math.sqrt(0.5)))


def gelu_gradient(grad, x):
    density = _with_a_short_tail(simd.exp, -0.5 * (x * x)) * (1 / math.sqrt(2 * math.pi))
    return grad * (0.5 + 0.5 * simd.erf(x * math.sqrt(0.5)) + x * density)


def _gelu_tanh_inner(x):
    return simd.tanh(math.sqrt(2 / math.pi) * x * (1.0 + 0.044715 * (x * x)))


def gelu_tanh(x):
    return 0.5 * x * (1.0 + _gelu_tanh_inner(x))


def gelu_tanh_gradient(grad, x):
    t, square = _gelu_tanh_inner(x), x * x
    slope = math.sqrt(2 / math.pi) * (1.0 + 3 * 0.044715 * square)
    return grad * (0.5 * (1.0 + t) + 0.5 * (x * (1.0 - t * t)) * slope)


def sigmoid_gradient(grad, y):
    return grad * (y * (1.0 - y))


def tanh_gradient(grad, y):
    return grad * (1.0 - y * y)


def silu(x):
    return x * _sigmoid(x)


def silu_gradient(grad, x):
    s = _sigmoid(x)
    return grad * (s * (1.0 + x * (1.0 - s)))


def _exp_and_tanh_softplus(x):
    """e = e**x, and tanh(softplus(x)) = ((1 + e)**2 - 1) / ((1 + e)**2 + 1): one exponential. From 20 on it is 1."""
    e = _with_a_short_tail(simd.exp, simd.minimum(x, 20.0))
    n = e * (e + 2.0)
    return e, n / (n + 2.0)


def mish(x):
    return x * _exp_and_tanh_softplus(x)[1]


def mish_gradient(grad, x):
    e, t = _exp_and_tanh_softplus(x)
    return grad * (t + x * (e / (e + 1.0)) * (1.0 - t * t))


def softplus_gradient(grad, x):
    return grad * _sigmoid(x)
