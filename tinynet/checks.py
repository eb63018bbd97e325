"""Checks of options, once, at the edge: one sentence that names the option, what came and what was expected."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from kernels.spelling import did_you_mean


def check_whole(name: str, value: Any, least: int = 0) -> int:
    """A whole number >= least."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected a whole number >= {least}") from None
    if number < least or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected a whole number >= {least}")
    return number


def check_positive(name: str, value: Any) -> int:
    """A whole number >= 1."""
    return check_whole(name, value, 1)


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, expected: str = "") -> float:
    """A finite number in [low, high]."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}, expected {expected or 'a number'}") from None
    except OverflowError:
        raise ValueError(f"{name} is a whole number beyond float64, expected {expected or 'a finite number'}") from None
    if not (math.isfinite(number) and low <= number <= high) or isinstance(value, bool | str):
        raise ValueError(f"{name} is {value!r}, expected {expected or f'a finite number in [{low:g}, {high:g}]'}")
    return number


def check_at_least_0(name: str, value: Any) -> float:
    """A finite number >= 0."""
    return check_number(name, value, 0.0, expected="a finite number >= 0")


def check_above_0(name: str, value: Any) -> float:
    """A finite number > 0."""
    return check_number(name, value, math.nextafter(0, 1), expected="a finite number > 0")


def check_fraction(name: str, value: Any, closed: bool = False) -> float:
    """A number in [0, 1), or with ``closed`` in [0, 1]."""
    number = check_number(name, value, 0.0, 1.0, f"a number in [0, 1{']' if closed else ')'}")
    if number == 1 and not closed:
        raise ValueError(f"{name} is {value!r}, expected a number in [0, 1)")
    return number


def choose(name: str, value: Any, known: Iterable[str]) -> str:
    """One of the known names; near misses are named."""
    known = list(known)
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}: {did_you_mean(str(value), known)}")
    return str(value)
