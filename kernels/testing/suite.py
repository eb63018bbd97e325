"""Runs the table against a backend: results, memory discipline, layouts, aliasing, special values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..contract import DECLARATIONS, Backend
from ..contract.declaration import Declaration
from ..contract.dtypes import DTYPES, FLOAT_NAMES
from .cases import Arguments, Array, Case, elementwise_cases, product_cases, row_cases
from .training_cases import loss_cases, normalisation_cases, optimizer_cases

CASES: dict[str, Case] = {
    **elementwise_cases(),
    **product_cases(),
    **row_cases(),
    **loss_cases(),
    **normalisation_cases(),
    **optimizer_cases(),
}
# No 0.5: np.power(-inf, 0.5) is NaN or infinity depending on how the exponent is shaped.
SPECIAL_VALUES = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e18, -1e18, 0.25)
LAYOUTS = ("contiguous", "strided", "special")
CANARY = 12345.0  # fills the padding of strided rows: it must still be there afterwards


@dataclass(frozen=True)
class Failure:
    """One thing a backend got wrong."""

    kernel: str
    dtype: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kernel} [{self.dtype}, {self.where}]: {self.what}"


@dataclass(frozen=True)
class Trial:
    """One kernel with one dtype: all its shapes, options and layouts."""

    kernel: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.kernel}-{self.dtype}"

    def run(self, backend: Backend) -> list[Failure]:
        """What the backend gets wrong; empty if nothing."""
        return list(_run(backend, self))


def trials() -> list[Trial]:
    """Every kernel x dtype."""
    return [Trial(kernel, dtype) for kernel in CASES for dtype in FLOAT_NAMES]


def check(backend: Backend) -> list[Failure]:
    """Everything the backend gets wrong over the whole suite."""
    return [failure for trial in trials() for failure in trial.run(backend)]


def _run(backend: Backend, trial: Trial) -> Iterator[Failure]:
    case, declaration = CASES[trial.kernel], DECLARATIONS[trial.kernel]
    for layout in LAYOUTS:
        if layout == "special" and not case.special_values:
            continue
        for variant in case.variants:
            for shape in case.shapes:
                arguments = _arguments(case, declaration, shape, variant, layout, trial.dtype)
                if arguments is None:
                    continue
                where = f"{layout}, shape {shape}" + (f", {variant}" if variant else "")
                for what in _Call(backend, case, declaration, arguments, layout, np.dtype(trial.dtype)).problems():
                    yield Failure(trial.kernel, trial.dtype, where, what)


def _arguments(
    case: Case, declaration: Declaration, shape: tuple[int, ...], variant: Arguments, layout: str, dtype: str
) -> Arguments | None:
    """Arguments by name with floats already rounded to dtype, or None where the variant does not fit the shape."""
    if variant.get("axis") == 1 and len(shape) == 1:
        return None
    if variant.get("axis") is not None and declaration.results[0].shape.axes[0].endswith("!") and 0 in shape:  # type: ignore[union-attr]
        return None
    rng = np.random.default_rng(sum(shape) + 1)

    def draw(*size: int, low: float = -2, high: float = 2) -> Array:
        values = rng.choice(SPECIAL_VALUES, size) if layout == "special" else rng.uniform(low, high, size)
        with np.errstate(all="ignore"):
            return values.astype(dtype).astype(np.float64)

    accepted = inspect.signature(case.arguments).parameters
    arguments = case.arguments(draw, shape, **{name: v for name, v in variant.items() if name in accepted})
    options = {name: value for name, value in variant.items() if name in declaration.parameter_names}
    return {**options, **arguments}


def strided(x: Array) -> Array:
    """A copy of x in rows with padding between them; a 1-D array within a longer one."""
    if x.ndim == 1:
        buffer = np.full(x.size + 3, CANARY if x.dtype.kind == "f" else 0, x.dtype)
        view = buffer[1 : x.size + 1]
    else:
        buffer = np.full((x.shape[0], x.shape[1] + 3), CANARY if x.dtype.kind == "f" else 0, x.dtype)
        view = buffer[:, 1 : x.shape[1] + 1]
    view[...] = x
    return view


class _Call:
    """One call of one kernel, made several times to see what it reads and writes."""

    def __init__(
        self, backend: Backend, case: Case, declaration: Declaration, arguments: Arguments, layout: str, dtype: Any
    ):
        self.method, self.case, self.declaration = getattr(backend, declaration.name), case, declaration
        self.arguments, self.dtype, self.layout = arguments, dtype, layout
        self.operands = {o.name: o for o in declaration.operands}
        with np.errstate(all="ignore"):
            expected = case.reference(**arguments)
            magnitude = case.magnitude(**arguments) if case.magnitude else 0
        self.expected = list(expected) if isinstance(expected, tuple) else [expected]
        self.magnitude = magnitude if isinstance(expected, tuple) is False else np.max(magnitude, initial=0)

    def prepared(self) -> Arguments:
        """Fresh arguments for one call, in the dtype and layout under test."""
        result = {}
        for name, value in self.arguments.items():
            operand = self.operands.get(name)
            if operand is None:
                continue
            if isinstance(value, np.ndarray) and operand.kind in ("Floats", "Mutable"):
                with np.errstate(all="ignore"):
                    value = value.astype(self.dtype)
            if isinstance(value, np.ndarray):
                value = strided(value) if self.layout == "strided" and operand.kind != "State" else value.copy()
            result[name] = value
        return result

    def outputs(self, fill: float) -> dict[str, Array]:
        """Arrays for the results, filled with something that must not be read."""
        shapes = [np.shape(value) for value in self.expected]
        if self.case.out_shape:
            shapes[0] = self.case.out_shape(**self.arguments)
        out = {}
        for operand, shape in zip(self.declaration.results, shapes, strict=False):
            dtype = np.dtype(np.int64) if operand.kind == "Indices" else self.dtype
            with np.errstate(all="ignore"):
                filled = np.full(shape, fill).astype(dtype)
            out[operand.name] = strided(filled) if self.layout == "strided" else filled
        return out

    def problems(self) -> Iterator[str]:
        try:
            with np.errstate(all="ignore"):  # a backend may but need not silence NumPy's warnings
                found = [*self.result_problems(), *self.allocation_problems(), *self.in_place_problems()]
        except Exception as error:
            found = [f"raises {type(error).__name__}: {error}"]
        yield from found

    def result_problems(self) -> Iterator[str]:
        """The results, that inputs and padding stay as they were, and that what was in ``out`` does not matter."""
        first = None
        for fill in (np.nan, 7.0):
            arguments, outputs = self.prepared(), self.outputs(fill)
            before = {name: np.copy(v) for name, v in arguments.items() if isinstance(v, np.ndarray)}
            padding = {name: _padding(value) for name, value in (arguments | outputs).items()}
            returned = self.method(**arguments, **outputs)
            results = list(outputs.values())
            if results and returned is not results[0] and (len(results) == 1 or returned[0] is not results[0]):
                yield "does not return out"
            for name, value in arguments.items():
                if name in before and name not in self.case.updates and not _equal(before[name], value):
                    yield f"writes its input {name}"
            for name, value in (arguments | outputs).items():
                if padding[name] is not None and not _equal(padding[name], _padding(value)):
                    yield f"writes beyond the rows of {name}"
            results += [arguments[name] for name in self.case.updates]
            if first is None:
                first = results
                yield from self.compared(results)
            elif not all(map(_equal, first, results)):
                yield "reads out, or leaves part of it unwritten"

    def compared(self, results: list[Array]) -> Iterator[str]:
        format = DTYPES[self.dtype.name]
        names = [operand.name for operand in self.declaration.results] + list(self.case.updates)
        for name, result, expected in zip(names, results, self.expected, strict=True):
            with np.errstate(all="ignore"):
                rounded = np.asarray(expected).astype(result.dtype)
                size = np.maximum(np.abs(expected), np.where(np.isfinite(self.magnitude), self.magnitude, 0))
                tolerance = self.case.tolerance * format.eps * np.asarray(size) + format.tiny
                error = np.abs(result.astype(np.float64) - expected)
                # Where the exact result is near the dtype's largest number, infinity is as near as the number is.
                overflow = np.isinf(result) & (np.abs(expected) > 0.99 * format.largest)
                if self.layout == "special":  # intermediate results may overflow where the reference's do not
                    overflow |= ~np.isfinite(result) & (np.abs(expected) > 1e30)
                wrong = ~(
                    (error <= tolerance) | (rounded == result) | (np.isnan(result) & np.isnan(expected)) | overflow
                )
            if wrong.any():
                place = tuple(int(i) for i in np.argwhere(wrong)[0])
                yield (
                    f"{name}{list(place)} is {result[place]}, expected {rounded[place]} "
                    f"({int(wrong.sum())} of {wrong.size} elements wrong)"
                )

    def allocation_problems(self) -> Iterator[str]:
        """Without out, the results have the dtype and values of those with it."""
        if not self.declaration.allocates or not self.declaration.results:
            return
        arguments = self.prepared()
        with_out = self.method(**self.prepared(), **self.outputs(7.0))
        without = self.method(**arguments)
        pairs = zip(*((r if isinstance(r, tuple) else (r,)) for r in (with_out, without)), strict=True)
        if not all(a.dtype == b.dtype and _equal(a, b) for a, b in pairs):
            yield "gives another result without out than with it"

    def in_place_problems(self) -> Iterator[str]:
        """Where the declaration lets ``out`` be an input, the result is the same."""
        if not self.declaration.in_place:
            return
        expected = self.method(**self.prepared())
        for name in self.declaration.in_place:
            arguments = self.prepared()
            if not isinstance(arguments[name], np.ndarray) or arguments[name].shape != expected.shape:
                continue
            if not _equal(self.method(**arguments, out=arguments[name]), expected):
                yield f"gives another result with out={name}"


def _padding(value: Any) -> Array | None:
    """A copy of what is around a strided array's elements, or None where nothing does."""
    if not isinstance(value, np.ndarray) or value.base is None or value.dtype.kind != "f":
        return None
    around = value.base.copy()
    inside = around[1 : value.size + 1] if value.ndim == 1 else around[:, 1 : value.shape[1] + 1]
    inside[...] = 0
    return around


def _equal(a: Array | None, b: Array | None) -> bool:
    """The same values; NaN equals NaN."""
    return a is not None and b is not None and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
