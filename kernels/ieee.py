"""Functions of one or two Python floats that return infinities and NaN where Python's own raise, as IEEE 754 asks."""

from __future__ import annotations

import math
from math import inf, nan


def divide(a: float, b: float) -> float:
    """a / b."""
    if b == 0:
        return nan if a == 0 or a != a else math.copysign(inf, a) * math.copysign(1.0, b)
    return a / b


def exp(x: float) -> float:
    """e**x."""
    try:
        return math.exp(x)
    except OverflowError:
        return inf


def expm1(x: float) -> float:
    """e**x - 1."""
    try:
        return math.expm1(x)
    except OverflowError:
        return inf


def log(x: float) -> float:
    """ln x."""
    return math.log(x) if x > 0 else -inf if x == 0 else nan


def log1p(x: float) -> float:
    """ln(1 + x)."""
    return math.log1p(x) if x > -1 else -inf if x == -1 else nan


def sqrt(x: float) -> float:
    """sqrt(x)."""
    return math.sqrt(x) if x >= 0 else nan


def sin(x: float) -> float:
    """sin x."""
    return math.sin(x) if math.isfinite(x) else nan


def cos(x: float) -> float:
    """cos x."""
    return math.cos(x) if math.isfinite(x) else nan


def power(a: float, b: float) -> float:
    """a**b, by C's rules for pow."""
    try:
        return math.pow(a, b)
    except OverflowError:
        return -inf if a < 0 and b % 2 == 1 else inf
    except ValueError:  # a < 0 with a fraction for b, or 0 to a negative power
        if a == 0:
            return math.copysign(inf, a) if b % 2 == 1 else inf
        return nan
