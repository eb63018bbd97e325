"""Runs a program on any backend: the implementations one after the other on prepared operands.

Neither autograd nor checks nor allocation: operands are made once, temporaries lie in an arena, and arguments are
copied into buffers of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import arena
from .instruction import ARGUMENT, PERSISTENT, TEMPORARY, Array, Program, View

if TYPE_CHECKING:
    from ..contract.backend import Backend


class Runner(Protocol):
    """A program, ready to run."""

    program: Program
    plan: arena.Plan
    results: list[Array]

    def run(self, steps: int, arguments: Sequence[Array]) -> int:
        """Runs so many steps; how many were run before ``watch_finite`` ended the run.

        arguments: contiguous arrays with one entry for each step along a first axis. A step may write its entry.
        ``self.results`` hold what the last step returned.
        """


class Interpreter:
    """Runs a program by calling a backend's implementations."""

    def __init__(self, program: Program, backend: Backend):
        self.program = program
        self.plan = arena.plan([[instruction] for instruction in program.instructions], program)
        memory = self.plan.allocate()
        self._arguments = [np.empty(buffer.nbytes, np.uint8) for buffer in program.arguments]

        def array(view: View) -> Array:
            buffer = view.buffer
            if buffer.kind == TEMPORARY:
                start = self.plan.offsets[buffer]
                return view.on(memory[start : start + buffer.nbytes])
            if buffer.kind == ARGUMENT:
                return view.on(self._arguments[buffer.number])
            assert buffer.kind == PERSISTENT and buffer.array is not None
            return persistent(view, buffer.array)

        self._calls = [
            (
                backend.implementations[instruction.kernel],
                tuple(array(o) if isinstance(o, View) else o for o in instruction.operands),
            )
            for instruction in program.instructions
        ]
        written = [view.buffer for instruction in program.instructions for view in instruction.writes]
        self._written = sorted({buffer.number for buffer in written if buffer.kind == ARGUMENT})
        self._watch = backend.implementations.get("watch_finite")
        self.results = [array(view) for view in program.results]

    def run(self, steps: int, arguments: Sequence[Array]) -> int:
        """See Runner."""
        for step in range(steps):
            for memory, argument in zip(self._arguments, arguments, strict=True):
                memory[:] = argument[step].reshape(-1).view(np.uint8)
            for implementation, operands in self._calls:
                implementation(*operands)
                if implementation is self._watch and operands[1][0] != 0:  # type: ignore[index]
                    return step
            for number in self._written:
                arguments[number][step].reshape(-1).view(np.uint8)[:] = self._arguments[number]
        return steps


def persistent(view: View, owner: Array) -> Array:
    """The operand in persistent memory, as a view of the array that owns it."""
    low = np.lib.array_utils.byte_bounds(owner)[0] - owner.__array_interface__["data"][0]
    array: Array = np.asarray(_Memory(owner, int(low) + view.offset, view))
    return array


class _Memory:
    """Gives NumPy a view into an array's memory, and keeps the array alive."""

    def __init__(self, owner: Array, offset: int, view: View):
        start = owner.__array_interface__["data"][0] + offset
        self.owner = owner
        self.__array_interface__: dict[str, Any] = {
            "shape": view.shape, "strides": view.strides, "typestr": view.dtype.str, "data": (start, False),
            "version": 3,
        }  # fmt: skip
