"""Comparisons: tensors of 1 where they hold and 0 where not, without gradient; with NaN none holds but ``!=``.

They are kernels' results, not NumPy's bools, so that a recorded step compares anew each time it is replayed:
``(x > 0) * y``, ``where(x > y, a, b)``, ``(x == y).mean()``.
"""

from __future__ import annotations

from typing import Any

from ..backends import current
from ..tensor import Array, Operand, Tensor, result
from .arithmetic import operands


def _equal(a: Array, b: Array) -> Array:
    k = current()
    # sign() is -1, 0, 1 or NaN: below 2 unless a or b is NaN.
    numbers = k.greater(2.0, k.sign(k.maximum(a, b)))
    return k.where(k.add(k.greater(a, b), k.greater(b, a)), 0.0, numbers)


def _at_least(a: Array, b: Array) -> Array:
    k = current()
    return k.add(k.greater(a, b), _equal(a, b))


def _compared(name: str, a: Any, b: Any, compare: Any) -> Tensor:
    x, y, shape = operands(a, b, name)
    return result(compare(x.array, y.array), (), lambda g: (), shape)


def greater(a: Operand, b: Operand) -> Tensor:
    """1 where a > b, else 0."""
    return _compared("greater", a, b, lambda x, y: current().greater(x, y))


def less(a: Operand, b: Operand) -> Tensor:
    """1 where a < b, else 0."""
    return _compared("less", a, b, lambda x, y: current().greater(y, x))


def greater_equal(a: Operand, b: Operand) -> Tensor:
    """1 where a >= b, else 0."""
    return _compared("greater_equal", a, b, _at_least)


def less_equal(a: Operand, b: Operand) -> Tensor:
    """1 where a <= b, else 0."""
    return _compared("less_equal", a, b, lambda x, y: _at_least(y, x))


def equal(a: Operand, b: Operand) -> Tensor:
    """1 where a = b, else 0."""
    return _compared("equal", a, b, _equal)


def not_equal(a: Operand, b: Operand) -> Tensor:
    """1 where a is not b, NaN included, else 0."""
    return _compared("not_equal", a, b, lambda x, y: current().subtract(1.0, _equal(x, y)))
