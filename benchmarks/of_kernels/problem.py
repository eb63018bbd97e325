"""A line of the report made concrete: arguments, exact results, arrays for each contender, and the amount of work."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels import DECLARATIONS
from kernels.memory import aligned_empty
from kernels.testing import CASES

from .cases import Arguments, Array, Shape, Timed, arguments_of, reference_of

Allocate = Callable[[Shape, Any], Array]


class Problem:
    """One kernel's arguments and exact results, in float64 rounded to ``dtype``."""

    def __init__(self, line: Timed, dtype: str):
        self.line, self.dtype = line, np.dtype(dtype)
        self.declaration, self.case = DECLARATIONS[line.kernel], CASES[line.kernel]
        self.operands = {operand.name: operand for operand in self.declaration.operands}
        self.arguments = self._arguments()
        expected = reference_of(line.kernel)(**self.arguments)
        self.expected = [np.asarray(e) for e in (expected if isinstance(expected, tuple) else (expected,))]
        magnitude = self.case.magnitude(**self.arguments) if self.case.magnitude else 0.0
        self.magnitude = np.max(magnitude) if isinstance(expected, tuple) else magnitude

    def _arguments(self) -> Arguments:
        rng = np.random.default_rng(0)

        def draw(*size: int, low: float = -2, high: float = 2) -> Array:
            return rng.uniform(low, high, size).astype(self.dtype).astype(np.float64)

        make, variant = arguments_of(self.line.kernel), self.line.variant
        accepted = inspect.signature(make).parameters
        arguments = make(draw, self.line.shape, **{name: v for name, v in variant.items() if name in accepted})
        options = {name: value for name, value in variant.items() if name in self.operands}
        return {**options, **arguments}

    @property
    def result_dtype(self) -> np.dtype[Any]:
        """The dtype of float results: the call's, but ``cast`` goes to the other one."""
        other = {"float32": "float64", "float64": "float32"}[self.dtype.name]
        return np.dtype(other) if self.line.kernel == "cast" else self.dtype

    def inputs(self, allocate: Allocate) -> Arguments:
        """Fresh arguments, in arrays from ``allocate``."""
        fresh = {}
        for name, value in self.arguments.items():
            if name not in self.operands:  # a shape, which the reference needs and the kernel reads off ``out``
                continue
            if isinstance(value, np.ndarray) and self.operands[name].kind in ("Floats", "Mutable"):
                fresh[name] = allocate(value.shape, self.dtype)
                fresh[name][...] = value
            else:
                fresh[name] = value.copy() if isinstance(value, np.ndarray) else value
        return fresh

    def outputs(self, allocate: Allocate) -> dict[str, Array]:
        """Arrays for the results, by name, filled with NaN (or -1)."""
        results = {}
        for operand, expected in zip(self.declaration.results, self.expected, strict=False):
            whole = operand.kind == "Indices"
            array = aligned_empty(expected.shape, np.int64) if whole else allocate(expected.shape, self.result_dtype)
            array.fill(-1 if whole else np.nan)
            results[operand.name] = array
        return results

    def results(self, inputs: Arguments, outputs: dict[str, Array]) -> list[Array]:
        """What a call has written, in the order of the exact results."""
        return [*outputs.values(), *(inputs[name] for name in self.case.updates)]

    # ---- correctness ----------------------------------------------------------------------------------------------

    @property
    def tolerance(self) -> float:
        """Units of eps: the conformance case's; sqrt(n) for long sums of n terms, as for products."""
        return max(self.case.tolerance, math.sqrt(SUMMED[self.line.family](self.line)))

    def wrong(self, found: list[Array]) -> str | None:
        """What is wrong with results, or None."""
        names = [*(operand.name for operand in self.declaration.results), *self.case.updates]
        for name, result, expected in zip(names, found, self.expected, strict=True):
            result = np.asarray(result).reshape(expected.shape)
            with np.errstate(all="ignore"):
                if result.dtype.kind == "f":
                    size = np.maximum(np.abs(expected), self.magnitude)
                    allowed = self.tolerance * np.finfo(result.dtype).eps * size + np.finfo(result.dtype).tiny
                    bad = ~(np.abs(result - expected) <= allowed)
                else:
                    bad = result != expected
            if bad.any():
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                count = f"{int(bad.sum())} of {bad.size} elements wrong"
                return f"{name}{list(place)} is {result[place]}, expected {expected[place]} ({count})"
        return None

    # ---- the amount of work ---------------------------------------------------------------------------------------

    @property
    def flops(self) -> int:
        """Floating-point operations of a product, 0 for everything else. A bias is m n more; activations are free."""
        if self.line.family != "products":
            return 0
        m, k, n = self.line.shape
        return 2 * m * k * n + (m * n if self.line.kernel == "linear" else 0)

    @property
    def bytes(self) -> int:
        """Bytes that must move: each array read once, each result written once, each updated array both.

        Passes that an implementation makes beyond these do not count, nor does what a cache reads before it writes. Of
        gather_rows' table the rows taken count, each time they are taken.
        """
        moved = 0
        for name, value in self.arguments.items():
            operand = self.operands.get(name)
            if operand is None or not isinstance(value, np.ndarray):
                continue
            floats = operand.kind in ("Floats", "Mutable")
            count = self.expected[0].size if (self.line.kernel, name) == ("gather_rows", "table") else value.size
            moved += count * (self.dtype.itemsize if floats else 8) * (2 if operand.kind == "Mutable" else 1)
        for operand, expected in zip(self.declaration.results, self.expected, strict=False):
            moved += expected.size * (8 if operand.kind == "Indices" else self.result_dtype.itemsize)
        return moved

    @property
    def touched(self) -> int:
        """Bytes of all arrays together: what a cache must hold. Updated arrays count once."""
        updated = sum(self.arguments[name].size for name in self.case.updates) * self.dtype.itemsize
        return self.bytes - updated


# How many terms the longest sum has, by family; 1 where nothing is summed.
SUMMED: dict[str, Callable[[Timed], int]] = {
    **dict.fromkeys(("arithmetic", "functions", "activations", "rows", "optimizers"), lambda line: 1),
    "products": lambda line: line.shape[1] if line.shape[1] > 1024 else 1,
    "reductions": lambda line: math.prod(line.shape),
    "losses": lambda line: line.shape[1],
    "normalisation": lambda line: max(line.shape),
}
