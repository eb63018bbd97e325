"""Records the kernel calls of a block as a program.

A recording backend is a backend of the same kernels whose methods run each call and note it. Compositions run on it as
on any backend, so what is noted are the calls of the backend's own kernels.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..contract.backend import Backend
from ..contract.checks import axis_length
from .instruction import (
    ARGUMENT,
    FORWARD,
    PERSISTENT,
    TEMPORARY,
    Array,
    Bound,
    Buffer,
    Instruction,
    Operand,
    Program,
    View,
)

WATCH = "watch_finite"

_tape: ContextVar[Tape | None] = ContextVar("kernels_tape", default=None)


def address(array: Array) -> int:
    """Where the array's first element lies."""
    found: int = array.__array_interface__["data"][0]
    return found


def owner(array: Array) -> Array:
    """The array whose memory this one is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def extent(array: Array) -> tuple[int, int]:
    """The addresses of the first byte it touches and of the one behind its last."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return int(low), int(high)


class Tape:
    """What has been recorded so far."""

    def __init__(self, arguments: Sequence[Array]):
        self.instructions: list[Instruction] = []
        self.arrays: list[Array] = []  # kept alive, so that no address is used twice
        self.buffers: list[tuple[int, int, Buffer]] = []
        self.counts = {ARGUMENT: 0, PERSISTENT: 0, TEMPORARY: 0}
        self.arguments = [self.add(ARGUMENT, array) for array in arguments]
        self.part = FORWARD  # of the step, which comes now
        self.refused: str | None = None  # why what was recorded is not the whole step

    def add(self, kind: str, array: Array) -> Buffer:
        """A buffer for an array's memory."""
        low, high = extent(array)
        buffer = Buffer(kind, self.counts[kind], high - low, array if kind == PERSISTENT else None)
        self.counts[kind] += 1
        self.arrays.append(array)
        self.buffers.append((low, high, buffer))
        return buffer

    def view(self, array: Array) -> View:
        """The operand that an array is: a view of a known buffer, or of persistent memory met for the first time."""
        low, high = extent(array)
        known = (
            (start, buffer) for start, end, buffer in reversed(self.buffers) if start <= low and high <= end > start
        )
        start, buffer = next(known, (0, None))
        if buffer is None:
            base = owner(array)
            start, buffer = extent(base)[0], self.add(PERSISTENT, base)
        return View(buffer, address(array) - start, array.shape, array.strides, array.dtype)

    def note(self, kernel: str, arguments: Sequence[Any]) -> None:
        operands: list[Operand] = [self.view(a) if isinstance(a, np.ndarray) else a for a in arguments]
        self.instructions.append(Instruction(kernel, tuple(operands), self.part))

    def program(self, results: Sequence[Array]) -> Program:
        """What was recorded, as a program with these results."""
        views = [self.view(array) for array in results]
        return Program(self.instructions, self.arguments, views, bounds_of(self.instructions))


def bounds_of(instructions: Sequence[Instruction]) -> list[Bound]:
    """What values of indices the instructions rely on, followed back to where the values come from."""
    gathered: dict[Buffer, View] = {}
    found: dict[tuple[Buffer, int, int], Bound] = {}
    for instruction in instructions:
        operands = dict(instruction.named())
        if instruction.kernel == "gather_labels":
            out, table = operands["out"], operands["labels"]
            assert isinstance(out, View) and isinstance(table, View)
            gathered[out.buffer] = gathered.get(table.buffer, table)
        for operand in instruction.declaration.inputs:
            view = operands[operand.name]
            if operand.below and isinstance(view, View):
                source = gathered.get(view.buffer, view)
                limit = axis_length(instruction.declaration, instruction.operands, operand.below)
                found.setdefault(
                    (source.buffer, source.offset, limit), Bound(source, limit, instruction.kernel, operand.name)
                )
    return list(found.values())


_recorders: weakref.WeakKeyDictionary[Backend, Backend] = weakref.WeakKeyDictionary()


def recorder(backend: Backend) -> Backend:
    """The backend whose calls are those of ``backend``, noted on the tape in force."""
    found = _recorders.get(backend)
    if found is None:
        # A run has to end behind watch_finite, so it is noted as such also where it is a composition.
        noted = {**backend.implementations, WATCH: backend.implementation(WATCH)}
        implementations = {name: _noting(name, function) for name, function in noted.items()}
        found = _recorders[backend] = Backend(
            backend.name, implementations, backend.options, _Allocator(backend), context=backend.context
        )
    return found


class _Allocator:
    """Allocates as the backend does, and tells the tape."""

    def __init__(self, backend: Backend):
        self.allocate = backend.empty

    def __call__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        array, tape = self.allocate(shape, dtype), _tape.get()
        if tape is not None:
            tape.add(TEMPORARY, owner(array))
        return array


def _noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any) -> None:
        function(*arguments)
        tape = _tape.get()
        if tape is not None:
            tape.note(name, arguments)

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return run


@contextmanager
def recording(arguments: Sequence[Array] = ()) -> Iterator[Tape]:
    """Within the block (and its thread) the calls of recording backends are noted on the tape."""
    tape = Tape(arguments)
    token = _tape.set(tape)
    try:
        yield tape
    finally:
        _tape.reset(token)


@contextmanager
def within(part: str) -> Iterator[None]:
    """Says, if this thread records, which part of the step the block is."""
    tape = _tape.get()
    if tape is None:
        yield
        return
    before, tape.part = tape.part, part
    try:
        yield
    finally:
        tape.part = before


def refuse(why: str) -> None:
    """Says, if this thread records, that what it does cannot be replayed."""
    tape = _tape.get()
    if tape is not None and tape.refused is None:
        tape.refused = why


def difference(first: Program, second: Program) -> str | None:
    """What makes two recordings of a step differ, as a sentence; None if they are the same program."""
    if len(first) != len(second):
        return f"it made {len(first)} kernel calls the first time and {len(second)} the second"
    pairs: dict[Buffer, Buffer] = {}
    for i, (one, other) in enumerate(zip(first.instructions, second.instructions, strict=True)):
        if one.kernel != other.kernel:
            return f"call {i} was {one.kernel} the first time and {other.kernel} the second"
        for (name, a), b in zip(one.named(), other.operands, strict=True):
            where = f"{name} of call {i}, {one.kernel},"
            if not isinstance(a, View) or not isinstance(b, View):
                if a != b or type(a) is not type(b):
                    return f"{where} was {a} the first time and {b} the second"
            elif (a.shape, a.strides, a.dtype, a.offset) != (b.shape, b.strides, b.dtype, b.offset):
                return f"{where} had shape {a.shape} the first time and {b.shape} the second"
            elif not _same_memory(a.buffer, b.buffer, pairs):
                return (
                    f"{where} of shape {a.shape} is an array made outside of the kernels and new in every step: pass "
                    f"it to the step as an argument"
                )
    for a, b in zip(first.results, second.results, strict=True):
        if not _same_memory(a.buffer, b.buffer, pairs):
            return "it returned something else the second time"
    return None


def _same_memory(one: Buffer, other: Buffer, pairs: dict[Buffer, Buffer]) -> bool:
    if one.kind != other.kind:
        return False
    if one.kind == PERSISTENT:
        assert one.array is not None and other.array is not None
        return extent(one.array) == extent(other.array)
    return pairs.setdefault(one, other) is other
