"""Runs a program on any backend: the implementations one after the other on prepared operands.

Neither autograd nor checks nor allocation: operands are made once, temporaries are in an arena, and arguments are
copied into buffers of their own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import arena
from .instruction import ARGUMENT, TEMPORARY, Array, View
from .program import Program
from .recording import address
from .timings import Timings

if TYPE_CHECKING:
    from ..contract.backend import Backend


# Bytes up to which an argument is copied to where the operands are, rather than all operands made again for it: a
# compromise, as copying takes time by the byte and making operands by the instruction. Not measured.
COPIED = 1 << 20


class Runner(Protocol):
    """A program, ready to run."""

    program: Program
    plan: arena.Plan

    def run(self, steps: int, arguments: Sequence[Array], more: int | None = None) -> int:
        """Runs so many steps; how many were run before a watch halted the run.

        What a halted step wrote outside of itself is then as it was before that step.
        arguments: arrays with one entry for each step along a first axis (of stride 0 where all steps take the same
        one), each entry contiguous. A step may write an entry of its own.
        more: how many steps are to come after these, as far as is known: what may be tried depends on it.
        """

    def results(self) -> list[Array]:
        """What the last step returned, in place: the next run writes there."""

    def leave_results(self) -> None:
        """Takes other memory for temporaries if somebody holds results: they stay as they are."""

    def timed(self, steps: int, arguments: Sequence[Array]) -> Timings:
        """The same, looking at a clock after each instruction."""


class Interpreter:
    """Runs a program by calling a backend's implementations."""

    def __init__(self, program: Program, backend: Backend):
        self.program = program
        if Interpreter not in program.worked_out:
            one_after_the_other = [[instruction] for instruction in program.instructions]
            program.worked_out[Interpreter] = arena.plan(one_after_the_other, program)
        self.plan: arena.Plan = program.worked_out[Interpreter]
        self._memory = self.plan.allocate()
        self._arguments = [np.empty(buffer.nbytes, np.uint8) for buffer in program.arguments]
        self._own = list(self._arguments)
        self._implementations = [backend.implementation(i.kernel) for i in program.instructions]
        written = [view.buffer for instruction in program.instructions for view in instruction.writes]
        self._written = sorted({buffer.number for buffer in written if buffer.kind == ARGUMENT})
        self._context = backend.context or nullcontext
        self._halting = {i for i, instruction in enumerate(program.instructions) if instruction.halts}
        self._place()

    def _place(self) -> None:
        """Makes the operands."""
        self._calls = [
            (implementation, tuple(self._array(o) if isinstance(o, View) else o for o in instruction.operands))
            for implementation, instruction in zip(self._implementations, self.program.instructions, strict=True)
        ]
        self._kept = [(self._array(view), self._array(copy)) for view, copy in self.program.kept]
        self._flags = {i: self._array(self.program.instructions[i].flag) for i in self._halting}
        self._holders = arena.holders(self._memory)

    def _array(self, view: View) -> Array:
        buffer = view.buffer
        if buffer.kind == TEMPORARY:
            return view.on(self._memory, self.plan.offsets[buffer])
        if buffer.kind == ARGUMENT:
            return view.on(self._arguments[buffer.number])
        return persistent(view, self.program.memory[buffer])

    def _share(self, steps: int, arguments: Sequence[Array]) -> list[bool]:
        """Puts the operands where those arguments are that are the same for all steps; says which those are.

        One of moderate size, wanted for a single step, is copied in less time than the operands are made again.
        """
        shared = [
            argument.strides[0] == 0 and (steps > 1 or argument.nbytes > COPIED or address(argument) == address(place))
            for argument, place in zip(arguments, self._arguments, strict=True)
        ]
        places = [
            argument[0].reshape(-1).view(np.uint8) if same else own
            for argument, own, same in zip(arguments, self._own, shared, strict=True)
        ]
        if any(address(a) != address(b) for a, b in zip(places, self._arguments, strict=True)):
            self._arguments = places
            self._place()
        return shared

    def results(self) -> list[Array]:
        """See Runner."""
        return [self._array(view) for view in self.program.results]

    def leave_results(self) -> None:
        """See Runner."""
        if arena.holders(self._memory) > self._holders:
            self._memory = self.plan.allocate()
            self._place()

    def run(self, steps: int, arguments: Sequence[Array], more: int | None = None) -> int:
        """See Runner."""
        with self._context():
            return self._run(steps, arguments)

    def timed(self, steps: int, arguments: Sequence[Array]) -> Timings:
        """See Runner."""
        count = len(self.program)
        taken, begins, ends = np.zeros(count), np.zeros(count), np.zeros(count)
        started = time.perf_counter()
        with self._context():
            self._run(steps, arguments, (taken, begins, ends))
        seconds = time.perf_counter() - started
        first = begins.min(initial=math.inf)
        return Timings(
            seconds / steps, taken[None] / steps, np.zeros((1, count)), begins[None] - first, ends[None] - first
        )

    def _run(self, steps: int, arguments: Sequence[Array], clock: tuple[Array, Array, Array] | None = None) -> int:
        shared = self._share(steps, arguments)
        for step in range(steps):
            for memory, argument, same in zip(self._arguments, arguments, shared, strict=True):
                if not same:
                    memory[:] = argument[step].reshape(-1).view(np.uint8)
            for i, (implementation, operands) in enumerate(self._calls):
                if clock is None:
                    implementation(*operands)
                else:
                    _timed_call(implementation, operands, i, *clock)
                if i in self._halting and self._flags[i][0] != 0:
                    self._flags[i][0] = 0
                    restore(self._kept)
                    return step
            for number in self._written:
                arguments[number][step].reshape(-1).view(np.uint8)[:] = self._arguments[number]
        return steps


def _timed_call(
    implementation: Callable[..., None], operands: tuple[Any, ...], i: int, taken: Array, begins: Array, ends: Array
) -> None:
    """Calls an implementation, and notes when it began, when it ended, and the sum of what its calls took."""
    begins[i] = time.perf_counter()
    implementation(*operands)
    ends[i] = time.perf_counter()
    taken[i] += ends[i] - begins[i]


def restore(kept: Sequence[tuple[Array, Array]]) -> None:
    """Copies the second array of each pair into the first."""
    for array, copy in kept:
        np.copyto(array, copy)


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
