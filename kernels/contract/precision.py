"""What a product's precision means, and how a backend that knows of none has it.

bfloat16 is the upper half of a float32: 8 bits of exponent, 7 of mantissa. A product of precision "bfloat16" is the
product of its factors rounded to the nearest bfloat16, ties to even; subnormal numbers become 0, as in the instructions
of CPUs. float64 is rounded to float32 before.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .declaration import Declaration
from .dtypes import DTYPES

Array = np.ndarray[Any, Any]
PRECISION = "precision"
QUIET = 1 << 22  # the bit that makes a NaN quiet: what is left of one is never an infinity


def rounded(x: Array) -> Array:
    """x rounded to bfloat16, in an array of x's dtype."""
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    bits = single.view(np.uint32)
    nearest = bits + np.uint32(0x7FFF) + (bits >> 16 & 1)
    nearest = np.where(np.isnan(single), bits | QUIET, nearest) & np.uint32(0xFFFF0000)
    nearest = np.where(np.abs(single) < DTYPES["float32"].tiny, bits & np.uint32(0x80000000), nearest)
    return nearest.view(np.float32).astype(x.dtype)


def leaves_out(declaration: Declaration, parameters: tuple[str, ...]) -> bool:
    """Whether an implementation takes all that the declaration says but the precision, which then rounds for it."""
    return parameters != declaration.parameter_names and parameters == tuple(
        name for name in declaration.parameter_names if name != PRECISION
    )


def rounding(declaration: Declaration, implementation: Callable[..., Any]) -> Callable[..., Any]:
    """The implementation with a precision: where that says so, it gets factors that are rounded."""
    if not leaves_out(declaration, tuple(inspect.signature(implementation).parameters)):
        return implementation
    place = declaration.parameter_names.index(PRECISION)
    factors = [i for i, operand in enumerate(declaration.operands) if operand.factor]

    def implementation_with_precision(*arguments: Any) -> Any:
        operands = list(arguments)
        if operands.pop(place) != "full":
            for i in factors:
                operands[i] = rounded(operands[i])
        return implementation(*operands)

    implementation_with_precision.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in declaration.parameter_names]
    )
    return implementation_with_precision
