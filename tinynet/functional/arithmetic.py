"""Differentiable arithmetic with broadcasting; the backward rule is under its forward."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..backends import current
from ..tensor import Array, Operand, Tensor, in_dtype, result

_outer: ContextVar[list[tuple[int, ...]] | None] = ContextVar("tinynet_outer", default=None)


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """A number or array as a constant tensor in the dtype of ``like``; the same number is always the same array."""
    if isinstance(value, numbers.Real):
        return Tensor(current().constant(float(value), like.dtype).reshape(()))
    return value if isinstance(value, Tensor) else Tensor(in_dtype(np.asarray(value), like.dtype))


def operands(a: Operand, b: Operand, name: str) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Both as tensors of one dtype, and the result's shape. Refuses what does not fit, naming both shapes."""
    for operand in (a, b):
        if not isinstance(operand, Tensor | numbers.Real | np.ndarray):
            raise TypeError(f"{name}: operand is a {type(operand).__name__}, expected a Tensor, an array or a number")
    like = a if isinstance(a, Tensor) else b
    assert isinstance(like, Tensor)
    x, y = as_tensor(a, like), as_tensor(b, like)
    if x.dtype != y.dtype:
        raise TypeError(f"{name}: operands have dtypes {x.dtype} and {y.dtype}, expected the same")
    try:
        shape = np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ValueError(f"{name}: shapes {x.shape} and {y.shape} do not broadcast") from None
    noted = _outer.get()
    if noted is not None and shape not in (x.shape, y.shape) and x.requires_grad != y.requires_grad:
        noted.append(shape)
    return x, y, shape


@contextmanager
def noting_outer() -> Iterator[list[tuple[int, ...]]]:
    """Collects, within the block and its thread, the shapes of results that neither operand has.

    Only those of an operand that follows from what requires a gradient, and one that does not.
    """
    found: list[tuple[int, ...]] = []
    token = _outer.set(found)
    try:
        yield found
    finally:
        _outer.reset(token)


def unbroadcast(gradient: Array, like: Tensor) -> Array:
    """The gradient summed over the axes along which ``like`` was repeated."""
    shape = like.array.shape
    if gradient.shape == shape:
        return gradient
    k = current()
    if like.size == 1 and gradient.size != 1:
        gradient = k.sum(gradient)
    elif gradient.ndim == 2 and shape[-1] == 1 and gradient.shape[1] != 1:
        gradient = k.sum(gradient, axis=1)
    elif gradient.ndim == 2 and (len(shape) == 1 or shape[0] == 1) and gradient.shape[0] != 1:
        gradient = k.sum(gradient, axis=0)
    return gradient.reshape(shape)


def add(a: Operand, b: Operand) -> Tensor:
    """a + b."""
    x, y, shape = operands(a, b, "add")
    out = current().add(x.array, y.array)
    return result(out, (x, y), lambda g: (unbroadcast(g, x), unbroadcast(g, y)), shape)


def subtract(a: Operand, b: Operand) -> Tensor:
    """a - b."""
    x, y, shape = operands(a, b, "subtract")
    out = current().subtract(x.array, y.array)

    def rule(g: Array) -> tuple[Array | None, ...]:
        negated = unbroadcast(current().negative(g), y) if y.requires_grad else None
        return unbroadcast(g, x), negated

    return result(out, (x, y), rule, shape)


def multiply(a: Operand, b: Operand) -> Tensor:
    """a * b, elementwise."""
    x, y, shape = operands(a, b, "multiply")
    out = current().multiply(x.array, y.array)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        dx = unbroadcast(k.multiply(g, y.array), x) if x.requires_grad else None
        return dx, unbroadcast(k.multiply(g, x.array), y) if y.requires_grad else None

    return result(out, (x, y), rule, shape)


def lerp(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    """start + weight (end - start). start and end (rows, columns), weight (columns,)."""
    if start.ndim != 2 or start.shape != end.shape or weight.shape != start.shape[1:]:
        raise ValueError(
            f"lerp: start has shape {start.shape}, end {end.shape} and weight {weight.shape}, expected (rows, columns) "
            f"twice and (columns,)"
        )
    out = current().lerp(start.array, end.array, weight.array)
    return result(out, (start, end, weight), lambda g: current().lerp_gradient(g, start.array, end.array, weight.array))


def divide(a: Operand, b: Operand) -> Tensor:
    """a / b, elementwise."""
    x, y, shape = operands(a, b, "divide")
    out = current().divide(x.array, y.array)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        share = k.divide(g, y.array)
        dy = unbroadcast(k.negative(k.multiply(share, out)), y) if y.requires_grad else None
        return unbroadcast(share, x), dy

    return result(out, (x, y), rule, shape)


def power(a: Operand, b: Operand) -> Tensor:
    """a**b, elementwise. The gradient with respect to a is 0 where b = 0; that with respect to b, where a = 0 <= b.

    For a < 0 there is no gradient with respect to b: it is NaN.
    """
    x, y, shape = operands(a, b, "power")
    out = current().power(x.array, y.array)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        dx = dy = None
        if x.requires_grad:
            slope = k.multiply(k.power(x.array, k.subtract(y.array, 1.0)), y.array)
            if not isinstance(b, numbers.Real) or b == 0:  # 0**-1 is infinite
                slope = k.where(y.array, slope, 0.0)
            dx = unbroadcast(k.multiply(g, slope), x)
        if y.requires_grad:
            slope = k.multiply(out, k.log(x.array))
            # Where a = 0, it is 0 log 0 for b > 0, which is NaN, but right for b < 0.
            at_0 = k.where(k.greater(0.0, y.array), slope, k.minimum(y.array, 0.0))
            dy = unbroadcast(k.multiply(g, k.where(x.array, slope, at_0)), y)
        return dx, dy

    return result(out, (x, y), rule, shape)


def maximum(a: Operand, b: Operand) -> Tensor:
    """max(a, b), elementwise; where they are equal each gets half the gradient."""
    x, y, shape = operands(a, b, "maximum")
    out = current().maximum(x.array, y.array)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        lead = k.subtract(k.greater(x.array, y.array), k.greater(y.array, x.array))  # 1, 0 or -1
        share = k.add(k.multiply(lead, 0.5), 0.5)
        left = k.multiply(g, share)
        return unbroadcast(left, x), unbroadcast(k.subtract(g, left), y) if y.requires_grad else None

    return result(out, (x, y), rule, shape)


def minimum(a: Operand, b: Operand) -> Tensor:
    """min(a, b) = -max(-a, -b), elementwise."""
    x, y, _ = operands(a, b, "minimum")
    return negative(maximum(negative(x), negative(y)))


def clip(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:  # noqa: A002 - PyTorch's names
    """x, but min where it is less and max where it is more; None: no bound. The gradient is 0 where x was changed."""
    bounds = {name: bound for name, bound in (("min", min), ("max", max)) if bound is not None}
    if not bounds:
        raise ValueError("clip: min and max are both None, expected at least one bound")
    for name, bound in bounds.items():
        if not isinstance(bound, numbers.Real) or math.isnan(bound):
            raise TypeError(f"clip: {name} is {bound!r}, expected a number")
    low, high = float(bounds.get("min", -math.inf)), float(bounds.get("max", math.inf))
    if low > high:
        raise ValueError(f"clip: min is {min!r} and max {max!r}, expected min <= max")
    k = current()
    out = k.minimum(k.maximum(x.array, low), high)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        outside = k.add(k.greater(low, x.array), k.greater(x.array, high))
        return (k.where(outside, 0.0, g),)

    return result(out, (x,), rule, x.shape)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """a where condition is not 0 (or is true), else b, elementwise; all three broadcast. No gradient of condition."""
    like = next((operand for operand in (a, b, condition) if isinstance(operand, Tensor)), None)
    if like is None:
        raise TypeError("where: none of condition, a and b is a Tensor, expected at least one")
    chosen, x, y = (as_tensor(operand, like) for operand in (condition, a, b))
    try:
        shape = np.broadcast_shapes(chosen.shape, x.shape, y.shape)
    except ValueError:
        raise ValueError(f"where: shapes {chosen.shape}, {x.shape} and {y.shape} do not broadcast") from None
    out = current().where(chosen.array, x.array, y.array)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        dx = unbroadcast(k.where(chosen.array, g, 0.0), x) if x.requires_grad else None
        return dx, unbroadcast(k.where(chosen.array, 0.0, g), y) if y.requires_grad else None

    return result(out, (x, y), rule, shape)


def negative(x: Tensor) -> Tensor:
    """-x."""
    return result(current().negative(x.array), (x,), lambda g: (current().negative(g),), x.shape)


def absolute(x: Tensor) -> Tensor:
    """|x|; the gradient at 0 is 0. ``abs`` is another name of it."""
    out = current().absolute(x.array)
    return result(out, (x,), lambda g: (current().multiply(g, current().sign(x.array)),), x.shape)


def exp(x: Tensor) -> Tensor:
    """e**x."""
    out = current().exp(x.array)
    return result(out, (x,), lambda g: (current().multiply(g, out),), x.shape)


def log(x: Tensor) -> Tensor:
    """ln x."""
    return result(current().log(x.array), (x,), lambda g: (current().divide(g, x.array),), x.shape)


def sqrt(x: Tensor) -> Tensor:
    """sqrt(x)."""
    out = current().sqrt(x.array)
    return result(out, (x,), lambda g: (current().divide(current().multiply(g, 0.5), out),), x.shape)


def sin(x: Tensor) -> Tensor:
    """sin x."""
    out = current().sin(x.array)
    return result(out, (x,), lambda g: (current().multiply(g, current().cos(x.array)),), x.shape)


def cos(x: Tensor) -> Tensor:
    """cos x."""

    def rule(g: Array) -> tuple[Array | None, ...]:
        return (current().multiply(g, current().negative(current().sin(x.array))),)

    return result(current().cos(x.array), (x,), rule, x.shape)


def erf(x: Tensor) -> Tensor:
    """The error function; its derivative is 2 / sqrt(pi) * e**-x**2."""

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        bell = k.exp(k.negative(k.multiply(x.array, x.array)))
        return (k.multiply(k.multiply(g, bell), 2 / math.sqrt(math.pi)),)

    return result(current().erf(x.array), (x,), rule, x.shape)
