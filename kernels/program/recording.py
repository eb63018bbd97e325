"""Records the kernel calls of a block as a program.

A recording backend is a backend of the same kernels whose methods run each call and note it. Compositions run on it as
on any backend, so what is noted are the calls of the backend's own kernels.
"""

from __future__ import annotations

import inspect
import sys
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..contract.backend import Backend
from ..contract.checks import axis_length
from ..contract.declaration import DECLARATIONS
from .instruction import (
    ARGUMENT,
    FLAG,
    FORWARD,
    PERSISTENT,
    SMALL,
    TEMPORARY,
    Array,
    Buffer,
    Instruction,
    Operand,
    View,
)
from .program import Program

_tape: ContextVar[Tape | None] = ContextVar("kernels_tape", default=None)


def address(array: Array) -> int:
    """Where the array's first element is."""
    found: int = array.__array_interface__["data"][0]
    return found


def owner(array: Array) -> Array:
    """The array whose memory this one is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def extent(array: Array) -> tuple[int, int]:
    """The addresses of the first byte it touches and of the one after its last."""
    if array.flags.c_contiguous:
        start = address(array)
        return start, start + array.nbytes
    low, high = np.lib.array_utils.byte_bounds(array)
    return int(low), int(high)


class Tape:
    """What has been recorded so far."""

    def __init__(self, arguments: Sequence[Array]):
        self.instructions: list[Instruction] = []
        self.arrays: list[Array] = []  # kept alive, so that no address is used twice
        self.buffers: list[tuple[int, int, Buffer]] = []
        self.memory: dict[Buffer, Array] = {}
        self._sorted: list[tuple[int, int, int]] = []  # where buffers begin and end, and their numbers in the list
        self._nested = False  # some buffer's memory is part of another's
        self.counts = {ARGUMENT: 0, PERSISTENT: 0, TEMPORARY: 0, FLAG: 0}
        self.arguments = [self.add(ARGUMENT, array) for array in arguments]
        self.part = FORWARD  # of the step, which comes now
        self.refused: str | None = None  # why what was recorded is not the whole step
        self.flags: dict[str, Array] = {}  # what watches raise, by dtype
        self.read: list[tuple[Array, bytes]] = []  # by value, and what was there

    def add(self, kind: str, array: Array) -> Buffer:
        """A buffer for an array's memory."""
        low, high = extent(array)
        buffer = Buffer(kind, self.counts[kind], high - low)
        if kind in (PERSISTENT, FLAG):
            self.memory[buffer] = array
        self.counts[kind] += 1
        self.arrays.append(array)
        place = bisect(self._sorted, (low, high, len(self.buffers)))
        around = self._sorted[max(0, place - 1) : place + 1]
        self._nested = self._nested or any(start < high and low < end for start, end, _ in around)
        self._sorted.insert(place, (low, high, len(self.buffers)))
        self.buffers.append((low, high, buffer))
        return buffer

    def view(self, array: Array) -> View:
        """The operand that an array is: a view of a known buffer, or of persistent memory met for the first time."""
        if not array.size:  # it has no memory, so it is nobody else's either
            return View(self.add(TEMPORARY, array), 0, array.shape, array.strides, array.dtype)
        low, high = extent(array)
        # Of several buffers the latest; where none is part of another only the last that begins there can be it.
        place = bisect(self._sorted, (low, sys.maxsize, 0))
        some = (
            reversed(self.buffers) if self._nested else (self.buffers[i] for *_, i in self._sorted[place - 1 : place])
        )
        known = ((start, buffer) for start, end, buffer in some if start <= low and high <= end > start)
        start, buffer = next(known, (0, None))
        if buffer is None:
            base = owner(array)
            start, buffer = extent(base)[0], self.add(PERSISTENT, base)
        first = low if array.flags.c_contiguous else address(array)
        return View(buffer, first - start, array.shape, array.strides, array.dtype)

    def flag(self, dtype: Any) -> Array:
        """What watches of the step raise."""
        name = np.dtype(dtype).name
        if name not in self.flags:
            self.flags[name] = np.zeros(1, dtype)
            self.add(FLAG, self.flags[name])
        return self.flags[name]

    def note(self, kernel: str, arguments: Sequence[Any]) -> None:
        """Notes a call, and before it a watch of the indices that it reads through."""
        declaration = DECLARATIONS[kernel]
        operands: list[Operand] = [self.view(a) if isinstance(a, np.ndarray) else a for a in arguments]
        for operand, indices in zip(declaration.operands, operands, strict=True):
            if operand.below and indices is not None:
                limit = axis_length(declaration, operands, operand.below)
                watch = (indices, self.view(self.flag(np.float64)), limit)
                self.instructions.append(Instruction("watch_below", watch, self.part))
        self.instructions.append(Instruction(kernel, tuple(operands), self.part))

    def program(self, results: Sequence[Array]) -> Program:
        """What was recorded, as a program with these results."""
        kept = self._kept()
        copies = [Instruction("cast", pair) for pair in kept]
        views = [self.view(array) for array in results]
        # An argument that is returned as it came: a run has no memory of its own for it.
        given = {view: self.view(self._temporary(view)) for view in views if view.buffer.kind == ARGUMENT}
        returned = [Instruction("cast", pair) for pair in given.items()]
        return Program(
            [*copies, *self.instructions, *returned],
            self.arguments,
            [given.get(view, view) for view in views],
            kept,
            self.memory,
        )

    def _kept(self) -> list[tuple[View, View]]:
        """Persistent memory that a halted step may have written, each with a temporary for what it held before.

        That is what is written before the last watch, and counters and the like wherever they are written.
        """
        last = max((i for i, instruction in enumerate(self.instructions) if instruction.halts), default=-1)
        written = dict.fromkeys(
            self._whole(view)
            for i, instruction in enumerate(self.instructions if last >= 0 else ())
            if not instruction.halts and (i < last or not instruction.changes)
            for view in instruction.writes
            if view.buffer.kind == PERSISTENT and view.dtype.kind == "f"
        )
        return [(view, self.view(self._temporary(view))) for view in written]

    def _whole(self, view: View) -> View:
        """A small buffer as a whole: of several counters one copy is made."""
        array = self.memory.get(view.buffer)
        if array is None or view.buffer.nbytes > SMALL or not array.flags.c_contiguous:
            return view
        return self.view(array.reshape(-1))

    def _temporary(self, view: View) -> Array:
        array = np.empty(view.shape, view.dtype)
        self.add(TEMPORARY, array)
        return array


def recorder(backend: Backend) -> Backend:
    """The backend whose calls are those of ``backend``, noted on the tape in force."""
    if backend.recorder is None:  # each holds the other: both go together
        # What depends on values is noted as such also where it is a composition.
        whole = (name for name, declaration in DECLARATIONS.items() if declaration.whole)
        noted = {**{name: backend.implementation(name) for name in whole}, **backend.implementations}
        implementations = {name: _noting(name, function) for name, function in noted.items()}
        backend.recorder = Backend(
            backend.name, implementations, backend.options, _Allocator(backend), context=backend.context
        )
    return backend.recorder


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


def flag(dtype: Any) -> Array | None:
    """An array of one element for watches of the step to raise, if this thread records."""
    tape = _tape.get()
    return None if tape is None else tape.flag(dtype)


def read_by_value(array: Array) -> None:
    """Says, if this thread records, that the step takes an array's numbers as constants, as they are now."""
    tape = _tape.get()
    if tape is not None:
        tape.read.append((array, array.tobytes()))


def taping() -> bool:
    """Whether this thread records."""
    return _tape.get() is not None


def refuse(why: str) -> None:
    """Says, if this thread records, that what it does cannot be replayed."""
    tape = _tape.get()
    if tape is not None and tape.refused is None:
        tape.refused = why


def difference(first: Program, second: Program) -> str | None:
    """What makes two recordings of a step differ, as a sentence; None if they are the same program."""
    calls = [_calls(program) for program in (first, second)]
    if len(calls[0]) != len(calls[1]):
        return f"it made {len(calls[0])} kernel calls the first time and {len(calls[1])} the second"
    pairs: dict[Buffer, Buffer] = {}

    def same_memory(one: Buffer, other: Buffer) -> bool:
        if one.kind == other.kind == PERSISTENT:
            return extent(first.memory[one]) == extent(second.memory[other])
        return one.kind == other.kind and pairs.setdefault(one, other) is other

    for i, (one, other) in enumerate(zip(*calls, strict=True)):
        if one.kernel != other.kernel:
            return f"call {i} was {one.kernel} the first time and {other.kernel} the second"
        for (name, a), b in zip(one.named(), other.operands, strict=True):
            where = f"{name} of call {i}, {one.kernel},"
            if not isinstance(a, View) or not isinstance(b, View):
                if a != b or type(a) is not type(b):
                    return f"{where} was {a} the first time and {b} the second"
            elif (a.shape, a.strides, a.dtype, a.offset) != (b.shape, b.strides, b.dtype, b.offset):
                return f"{where} had shape {a.shape} the first time and {b.shape} the second"
            elif not same_memory(a.buffer, b.buffer):
                return (
                    f"{where} of shape {a.shape} is an array made outside of the kernels and new in every step: pass "
                    f"it to the step as an argument, or make it once, before the step, in the step's dtype (whole "
                    f"numbers are converted again each time)"
                )
    for a, b in zip(first.results, second.results, strict=True):
        if not same_memory(a.buffer, b.buffer):
            return "it returned something else the second time"
    return None


def _calls(program: Program) -> list[Instruction]:
    """What the step itself called: without the copies to go back to and the watches of indices."""
    return [i for i in program.instructions[len(program.kept) :] if i.kernel != "watch_below"]
