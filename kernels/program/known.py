"""Programs that were optimised before: the same calls on other arrays of the same kind need no pass again.

A program's form is its calls with buffers by kind, number and size, and without the seeds of random numbers: what
passes and executors decide depends on nothing else. What they made of a form is kept without arrays, and gets those of
a program of that form, and its seeds, when one comes.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..contract.backend import Backend
from ..locks import lock
from .instruction import ARGUMENT, PERSISTENT, TEMPORARY, Buffer, Instruction, Operand, View
from .passes import optimise
from .program import Program
from .recording import extent

# Programs kept a backend, the least recently used forgotten first: some kilobytes each. A grid search has two of each
# architecture, for whole batches and for what is left over.
MOST = 128
_known: WeakKeyDictionary[Backend, OrderedDict[Hashable, Program]] = WeakKeyDictionary()
_turn = lock()


def optimised(program: Program, backend: Backend, without: Collection[str] = ()) -> Program:
    """``optimise``, or what it made of a program of the same form, on this one's arrays."""
    found, form = recalled(program, backend, without), _form(program)
    if found is not None:
        return found
    if form is None:
        return optimise(program, backend, without)
    made = optimise(with_seeds(program, [_Seed(place) for place, _ in enumerate(_seeds(program))]), backend, without)
    with _turn:
        known = _known.setdefault(backend, OrderedDict())
        known[form, frozenset(without)] = on_buffers(made, _without_array)
        if len(known) > MOST:
            known.popitem(last=False)
    return on_buffers(made, lambda buffer: buffer, _seeds(program))


def recalled(program: Program, backend: Backend, without: Collection[str] = ()) -> Program | None:
    """What ``optimised`` made of a program of the same form, on this one's arrays; None if none has come yet."""
    key = _form(program), frozenset(without)
    with _turn:
        known = _known.get(backend)
        found = None if known is None else known.get(key)
        if known is None or found is None:
            return None
        known.move_to_end(key)
    return on_buffers(found, _owners(program), _seeds(program))


class _Seed(int):
    """The place of a seed among a program's."""


def _is_seed(name: str) -> bool:
    return name == "seed"


def _seeds(program: Program) -> list[int]:
    """The seeds of its calls, in order."""
    return [int(o) for i in program.instructions for name, o in i.named() if _is_seed(name) and isinstance(o, int)]


def with_seeds(program: Program, seeds: Sequence[int]) -> Program:
    """The program with other seeds, in order."""
    left = iter(seeds)
    return replace(program, instructions=[
        i.with_operands(seed=next(left)) if any(_is_seed(name) for name, _ in i.named()) else i
        for i in program.instructions
    ])  # fmt: skip


def _form(program: Program) -> Hashable | None:
    """What decides all that is made of a program; None where its arrays share memory, which the form does not say."""
    buffers = {view.buffer for view in _views(program)} | set(program.arguments)
    extents = sorted(extent(buffer.array) for buffer in buffers if buffer.array is not None)
    if any(end > start for (_, end), (start, _) in itertools.pairwise(extents)):
        return None
    return (
        tuple(
            (i.kernel, i.part, *(None if _is_seed(name) else _form_of(o) for name, o in i.named()))
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


def _views(program: Program) -> list[View]:
    found = [o for i in (*program.instructions, *program.prologue) for o in i.operands if isinstance(o, View)]
    return [*found, *program.results, *(view for pair in program.kept for view in pair)]


def _without_array(buffer: Buffer) -> Buffer:
    return buffer if buffer.array is None else replace(buffer, array=None)


def _owners(program: Program) -> Callable[[Buffer], Buffer]:
    """From a kept program's buffers to those of this program; copies that passes made are made again."""
    own = {(b.kind, b.number): b for b in (view.buffer for view in _views(program)) if b.array is not None}

    def owner(buffer: Buffer) -> Buffer:
        if buffer.kind in (ARGUMENT, TEMPORARY):  # they have no array, so all programs of the form share them
            return buffer
        found = own.get((buffer.kind, buffer.number))
        if found is None:
            assert buffer.kind == PERSISTENT, f"a program of the same form has no {buffer.name}"
            found = replace(buffer, array=np.empty(buffer.nbytes, np.uint8))
        return found

    return owner


def on_buffers(program: Program, of: Callable[[Buffer], Buffer], seeds: Sequence[int] = ()) -> Program:
    """The program on other buffers; what executors have worked out for it holds for both.

    seeds: by the places that stand for them in the program.
    """
    buffers, views = dict[Buffer, Buffer](), dict[View, View]()

    def operand(value: Any) -> Any:
        if not isinstance(value, View):
            return seeds[value] if seeds and isinstance(value, _Seed) else value
        if value not in views:
            if value.buffer not in buffers:
                buffers[value.buffer] = of(value.buffer)
            buffer = buffers[value.buffer]
            views[value] = value if buffer is value.buffer else replace(value, buffer=buffer)
        return views[value]

    def moved(instruction: Instruction) -> Instruction:
        operands = tuple(map(operand, instruction.operands))
        same = all(a is b for a, b in zip(operands, instruction.operands, strict=True))
        return instruction if same else Instruction(instruction.kernel, operands, instruction.part)

    return replace(
        program,
        instructions=[moved(each) for each in program.instructions],
        results=[operand(view) for view in program.results],
        kept=[(operand(view), operand(copy)) for view, copy in program.kept],
        prologue=[moved(each) for each in program.prologue],
    )
