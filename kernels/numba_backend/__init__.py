"""Numba: every kernel written with explicit SIMD vectors, compiled to machine code on first use, cached on disk.

``create(threads, simd_width)``: threads share the output of large calls; simd_width is the lanes of float32 in a vector
(1: scalar code), by default what the CPU's registers hold.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..contract import DECLARATIONS
from .compilation import COUNTERS
from .elementwise import ACTIVATIONS
from .machine import BUILDERS, Machine, best_width
from .team import MOST_THREADS

Array = np.ndarray[Any, Any]
WIDTHS = (1, 4, 8, 16)


def create(threads: int | None = None, simd_width: int | None = None) -> dict[str, Any]:
    """The backend. Raises ValueError for threads or a simd_width out of range."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = min(cores, MOST_THREADS) if threads is None else threads
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads is {threads!r}, expected a whole number in [1, {MOST_THREADS}]")
    width = best_width() if simd_width is None else simd_width
    if width not in WIDTHS:
        raise ValueError(f"simd_width is {simd_width!r}, expected one of {', '.join(map(str, WIDTHS))}")
    machine = Machine(width, threads)
    return {
        "implementations": implementations(machine),
        "options": {"threads": threads, "simd_width": width},
        "compile_seconds": lambda: COUNTERS.seconds,
        "kernels_compiled": lambda: COUNTERS.compiled,
    }


def implementations(machine: Machine) -> dict[str, Callable[..., None]]:
    """The contract's kernels on the machine."""
    plain = {name: straight(machine, name) for name in BUILDERS if name in DECLARATIONS}
    return {**plain, **{name: make(machine) for name, make in SPECIAL.items()}}


def straight(machine: Machine, name: str) -> Callable[..., None]:
    """A kernel whose operands are the declaration's, in order; the last one's dtype is the kernel's."""

    def implementation(*arguments: Any) -> None:
        out = arguments[-1]
        machine.run(name, out.dtype.char, arguments, out.size)

    return declared(name, implementation)


def declared(name: str, implementation: Callable[..., None]) -> Callable[..., None]:
    """The implementation with the declaration's parameter names, which the loader compares."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(parameter, kind) for parameter in DECLARATIONS[name].parameter_names]
    implementation.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return implementation


# ---- kernels whose arguments need arranging -----------------------------------------------------------------------


def matmul(machine: Machine) -> Callable[..., None]:
    def implementation(a: Array, b: Array, transpose_a: bool, transpose_b: bool, out: Array) -> None:
        work = out.size * a.shape[0 if transpose_a else 1]
        machine.run("gemm", out.dtype.char, (a, b, None, out, float(transpose_a), float(transpose_b)), work)

    return implementation


def linear(machine: Machine) -> Callable[..., None]:
    names = {"identity": "gemm", **{name: f"gemm_{name}" for name in ACTIVATIONS}}

    def implementation(x: Array, weight: Array, bias: Array | None, activation: str, out: Array) -> None:
        work = out.size * x.shape[1]
        machine.run(names[activation], out.dtype.char, (x, weight, bias, out, 0.0, 0.0), work)

    return implementation


def reduction(name: str) -> Callable[[Machine], Callable[..., None]]:
    def make(machine: Machine) -> Callable[..., None]:
        def implementation(x: Array, axis: int | None, out: Array) -> None:
            which = "all" if axis is None or x.ndim == 1 else "rows" if axis else "columns"
            machine.run(f"{name}_{which}", x.dtype.char, (x, out), x.size)

        return implementation

    return make


def argmax(machine: Machine) -> Callable[..., None]:
    def implementation(x: Array, axis: int | None, out: Array) -> None:
        if axis == 0 and x.ndim == 2:
            machine.run("argmax_columns", x.dtype.char, (x, out), x.size)
        else:
            x = x if axis == 1 else np.ascontiguousarray(x).reshape(-1)
            machine.run("argmax_rows", x.dtype.char, (x, out), x.size)

    return implementation


def cast(machine: Machine) -> Callable[..., None]:
    def implementation(x: Array, out: Array) -> None:
        machine.run(f"cast_to_{out.dtype.name}", x.dtype.char, (x, out), x.size)

    return implementation


def dropout_mask(machine: Machine) -> Callable[..., None]:
    def implementation(counter: Array, seed: int, rate: float, out: Array) -> None:
        halves = float(seed >> 32), float(seed & 0xFFFFFFFF)
        machine.run("dropout_mask", out.dtype.char, (counter, *halves, rate, out), out.size)

    return implementation


def update(name: str) -> Callable[[Machine], Callable[..., None]]:
    def make(machine: Machine) -> Callable[..., None]:
        def implementation(*arguments: Any) -> None:
            parameter = arguments[0]
            if name == "adam":
                arguments = (*arguments[:-1], float(arguments[-1]))
            machine.run(name, parameter.dtype.char, arguments, parameter.size)

        return declared(name, implementation)

    return make


SPECIAL: dict[str, Callable[[Machine], Callable[..., None]]] = {
    "matmul": matmul,
    "linear": linear,
    "sum": reduction("sum"),
    "max": reduction("max"),
    "argmax": argmax,
    "cast": cast,
    "dropout_mask": dropout_mask,
    **{name: update(name) for name in ("sgd", "rmsprop", "adam")},
}
