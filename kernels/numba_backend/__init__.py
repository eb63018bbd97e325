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

from ..contract import DECLARATIONS
from ..contract.checks import axis_length, overlap_pairs
from ..contract.code import Code
from .kernels.entry import Arrangement
from .kernels.table import arrangements
from .native.compilation import COUNTERS
from .runtime.call_cache import Shortcut
from .runtime.executor import Executor
from .runtime.machine import Machine, best_threads, best_width
from .runtime.team import MOST_THREADS, at_once

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
