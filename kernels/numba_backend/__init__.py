"""Numba: every kernel written with explicit SIMD vectors, compiled to machine code on first use, cached on disk.

``create(threads, simd_width)``: threads share the output of large calls, by default one for each CPU of the process, or
as many as the environment says, by which joblib divides the CPUs among its workers; more than CPUs may be asked for,
but no more run at once, since any number computes the same bits. simd_width is the lanes of float32 in a vector (1:
scalar code), by default what the CPU's registers hold.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..contract import DECLARATIONS
from ..contract.checks import axis_length, overlap_pairs
from ..contract.code import Code
from .native.compilation import COUNTERS
from .runtime.call_cache import Shortcut
from .runtime.executor import Executor
from .runtime.machine import BUILDERS, Arrangement, Epilogue, Machine, best_threads, best_width
from .runtime.team import MOST_THREADS, at_once

Array = np.ndarray[Any, Any]
WIDTHS = (1, 4, 8, 16)


def create(threads: int | None = None, simd_width: int | None = None) -> dict[str, Any]:
    """The backend. Raises ValueError for threads or a simd_width out of range."""
    asked = best_threads() if threads is None else threads
    if not isinstance(asked, int) or isinstance(asked, bool) or not 1 <= asked <= MOST_THREADS:
        raise ValueError(f"threads is {threads!r}, expected a whole number in [1, {MOST_THREADS}]")
    width = best_width() if simd_width is None else simd_width
    if width not in WIDTHS:
        raise ValueError(f"simd_width is {simd_width!r}, expected one of {', '.join(map(str, WIDTHS))}")
    machine = Machine(width, asked if threads is None else at_once(asked))
    return {
        "implementations": implementations(machine),
        "executor": lambda program: Executor(program, machine, arrangements()),
        "options": {"threads": asked, "simd_width": width},
        "compile_seconds": lambda: COUNTERS.seconds,
        "kernels_compiled": lambda: COUNTERS.compiled,
        "code": lambda kernel, operands: code(machine, arrangements()[kernel](*operands)),
    }


def code(machine: Machine, arrangement: Arrangement) -> list[Code]:
    """The machine code of a call."""
    from .listing import codes  # which nothing else needs

    return codes(machine, arrangement)


def arrangements() -> dict[str, Callable[..., Arrangement]]:
    """How the arguments of each kernel of the contract become a machine kernel's operands."""
    return {name: straight(name) for name in BUILDERS if name in DECLARATIONS} | ARRANGEMENTS


def implementations(machine: Machine) -> dict[str, Callable[..., None]]:
    """The contract's kernels on the machine."""
    return {name: implementation(machine, name, arrange) for name, arrange in arrangements().items()}


def implementation(machine: Machine, name: str, arrange: Callable[..., Arrangement]) -> Callable[..., None]:
    """A kernel of the contract, with a shortcut for calls like earlier ones."""
    declaration = DECLARATIONS[name]
    places = {operand: place for place, operand in enumerate(declaration.parameter_names)}
    pairs = [(places[a], places[b], b in declaration.in_place) for a, b in overlap_pairs(declaration)]
    shortcut = Shortcut(pairs, [places[o.name] for o in declaration.inputs if o.kind == "Probability"])
    bounded = next((o for o in declaration.inputs if o.below), None)

    def run(*arguments: Any) -> None:
        kernel, char, operands, work = arrange(*arguments)
        machine.run(kernel, char, machine.linked(char, operands), work)

    def remember(arguments: tuple[Any, ...]) -> None:
        if shortcut.full:
            return
        kernel, char, operands, work = arrange(*arguments)
        if not machine.shares(kernel, work):
            address = machine.launcher(kernel, char).kernel
            bound = None
            if bounded is not None and bounded.below is not None:
                bound = places[bounded.name], axis_length(declaration, arguments, bounded.below)
            shortcut.remember(address, arguments, machine.linked(char, operands), bound)

    run.known, run.remember = shortcut.known, remember  # type: ignore[attr-defined]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(parameter, kind) for parameter in declaration.parameter_names]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


# ---- how a call's arguments become a kernel's operands ------------------------------------------------------------


def straight(name: str) -> Callable[..., Arrangement]:
    """A kernel whose operands are the declaration's, in order; the last one's dtype is the kernel's."""

    def arrange(*arguments: Any) -> Arrangement:
        out = arguments[-1]
        return name, out.dtype.char, arguments, out.size

    return arrange


def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool, out: Array) -> Arrangement:
    work = out.size * a.shape[0 if transpose_a else 1]
    return "gemm", out.dtype.char, (a, b, None, out, float(transpose_a), float(transpose_b), None, None), work


def linear(x: Array, weight: Array, bias: Array | None, activation: str, out: Array) -> Arrangement:
    epilogue = None if activation == "identity" else Epilogue(activation)
    return "gemm", out.dtype.char, (x, weight, bias, out, 0.0, 0.0, epilogue, None), out.size * x.shape[1]


def matmul_gradient(
    a: Array, b: Array, y: Array, activation: str, transpose_a: bool, transpose_b: bool, out: Array
) -> Arrangement:
    epilogue, work = Epilogue(f"{activation}_gradient"), out.size * a.shape[0 if transpose_a else 1]
    return "gemm", out.dtype.char, (a, b, None, out, float(transpose_a), float(transpose_b), epilogue, y), work


def reduction(name: str) -> Callable[..., Arrangement]:
    def arrange(x: Array, axis: int | None, out: Array) -> Arrangement:
        which = "all" if axis is None or x.ndim == 1 else "rows" if axis else "columns"
        return f"{name}_{which}", x.dtype.char, (x, out), x.size

    return arrange


def cast(x: Array, out: Array) -> Arrangement:
    return f"cast_to_{out.dtype.name}", x.dtype.char, (x, out), x.size


def dropout_mask(counter: Array, seed: int, rate: float, out: Array) -> Arrangement:
    halves = float(seed >> 32), float(seed & 0xFFFFFFFF)
    return "dropout_mask", out.dtype.char, (counter, *halves, rate, out), out.size


def scheduled_dropout_mask(counter: Array, rate: Array, seed: int, out: Array) -> Arrangement:
    halves = float(seed >> 32), float(seed & 0xFFFFFFFF)
    return "scheduled_dropout_mask", out.dtype.char, (counter, *halves, rate, out), out.size


def to_indices(x: Array, limit: int, out: Array) -> Arrangement:
    return "to_indices", x.dtype.char, (x, float(limit), out), x.size


def watch(name: str) -> Callable[..., Arrangement]:
    def arrange(x: Array, flag: Array, *numbers: float) -> Arrangement:
        return name, flag.dtype.char, (x, flag, *map(float, numbers)), x.size

    return arrange


def update(name: str) -> Callable[..., Arrangement]:
    def arrange(parameter: Array, *rest: Any) -> Arrangement:
        return name, parameter.dtype.char, (parameter, *rest), parameter.size

    return arrange


def adam(parameter: Array, gradient: Array, first: Array, second: Array, hyper: Array, decoupled: bool) -> Arrangement:
    operands = (parameter, gradient, first, second, hyper, float(decoupled))
    return "adam", parameter.dtype.char, operands, parameter.size


ARRANGEMENTS: dict[str, Callable[..., Arrangement]] = {
    "matmul": matmul,
    "linear": linear,
    "matmul_gradient": matmul_gradient,
    "sum": reduction("sum"),
    "mean": reduction("mean"),
    "max": reduction("max"),
    "argmax": reduction("argmax"),
    "cast": cast,
    "dropout_mask": dropout_mask,
    "scheduled_dropout_mask": scheduled_dropout_mask,
    "to_indices": to_indices,
    "watch_finite": watch("watch_finite"),
    "watch_within": watch("watch_within"),
    "watch_below": watch("watch_below"),
    "sgd": update("sgd"),
    "rmsprop": update("rmsprop"),
    "adam": adam,
}
