"""Programs that were optimised before: the same calls on other arrays of the same kind need no pass again.

A program's form is its calls with buffers by kind, number and size, and without the seeds of random numbers: what
passes and executors decide depends on nothing else. What they made of a form is kept without memory, and gets that of
a program of that form, and its seeds, when one comes.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..contract.backend import Backend
from .instruction import PERSISTENT, Array, Buffer, Operand, View
from .passes import optimise
from .program import Program
from .recent import Recent
from .recording import extent

NOTHING = np.empty(0, np.uint8)
_known = Recent[Program]()


def optimised(program: Program, backend: Backend, without: Collection[str] = ()) -> Program:
    """``optimise``, or what it made of a program of the same form, on this one's memory."""
    key = _form(program), frozenset(without)
    if key[0] is None:
        return optimise(program, backend, without)
    found = _known.get(backend, key)
    if found is None:
        found = without_memory(optimise(_with_places(program), backend, without))
        _known.keep(backend, key, found)
    arrays = {buffer.number: array for buffer, array in program.memory.items() if buffer.kind == PERSISTENT}
    return _with_seeds(on_memory(found, arrays), program.seeds)


class _Seed(int):
    """The place of a seed among a program's."""


def _with_seeds(program: Program, seeds: Sequence[int]) -> Program:
    """The program with these seeds, by the places that stand for them."""
    if not seeds:
        return program
    return replace(program, instructions=[
        i.with_operands(seed=seeds[operand]) if isinstance(operand := dict(i.named()).get("seed"), _Seed) else i
        for i in program.instructions
    ])  # fmt: skip


def _with_places(program: Program) -> Program:
    """The program with places for its seeds."""
    places = itertools.count()
    return replace(program, instructions=[
        i.with_operands(seed=_Seed(next(places))) if "seed" in i.declaration.parameter_names else i
        for i in program.instructions
    ])  # fmt: skip


def without_memory(program: Program) -> Program:
    """The program on memory of no bytes, for ``on_memory`` to give it some."""
    return replace(program, memory=dict.fromkeys(program.memory, NOTHING))


def on_memory(program: Program, arrays: Mapping[int, Array]) -> Program:
    """The program on other persistent memory, by the numbers of its buffers; flags and copies that passes made are new.

    What executors have worked out for it holds for both.
    """
    memory = dict[Buffer, Array]()
    for buffer in program.memory:
        array = arrays.get(buffer.number) if buffer.kind == PERSISTENT else None
        memory[buffer] = np.zeros(buffer.nbytes, np.uint8) if array is None else array
    return replace(program, memory=memory)


def _form(program: Program) -> Hashable | None:
    """What decides all that is made of a program; None where its arrays share memory, which the form does not say."""
    extents = sorted(map(extent, program.memory.values()))
    if any(end > start for (_, end), (start, _) in itertools.pairwise(extents)):
        return None
    return (
        tuple(
            (i.kernel, i.part, *(None if name == "seed" else _form_of(o) for name, o in i.named()))
            for i in program.instructions
        ),
        tuple((buffer.number, buffer.nbytes) for buffer in program.arguments),
        tuple(map(_form_of, program.results)),
        tuple((_form_of(view), _form_of(copy)) for view, copy in program.kept),
    )


def _form_of(operand: Operand) -> Hashable:
    if isinstance(operand, View):
        buffer = operand.buffer
        place = operand.offset, operand.shape, operand.strides, operand.dtype.str
        return (buffer.kind, buffer.number, buffer.nbytes, *place)
    # Numbers that compare equal are not the same bits: 0.0 and -0.0, True and 1.
    return type(operand), operand.hex() if isinstance(operand, float) else operand
