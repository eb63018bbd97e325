"""Gradient clipping by global norm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kernels.program import OPTIMIZER, within

from ..backends import current
from ..checks import check_above_0
from ..nn import Parameter
from ..tensor import Array


def clip_grad_norm_(params: Iterable[Parameter], max_norm: float) -> Array:
    """g <- g * min(1, max_norm / |g|), |g| = sqrt(sum of squares of all gradients); returns |g|.

    |g| is an array of one element. Pascanu et al. 2013, arXiv 1211.5063.
    """
    check_above_0("max_norm", max_norm)
    gradients = [p.grad.reshape(p.array.shape) for p in params if p.grad is not None]
    if not gradients:
        raise ValueError("clip_grad_norm_ got no parameter with a gradient: call it between backward() and step()")
    with within(OPTIMIZER):
        return clip_norm(gradients, max_norm)


def clip_norm(gradients: Sequence[Array], max_norm: float) -> Array:
    """Scales the gradients in place, so that together they have at most this norm; returns the norm they had."""
    k = current()
    total = k.sum_of_squares(gradients[0])
    for gradient in gradients[1:]:
        total = k.add(total, k.sum_of_squares(gradient))
    norm: Array = k.sqrt(total)
    factor = k.minimum(k.divide(max_norm, norm), 1.0)  # a norm of 0 gives infinity, and so the factor 1
    for gradient in gradients:
        k.multiply(gradient, factor, out=gradient)
    return norm
