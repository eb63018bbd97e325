"""A program as rows of words, one a kernel call, but for the addresses of its memory.

Those are put in by each run's executor, so that programs which differ in their memory alone share what is made here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...program import arena
from ...program.dependencies import height
from ...program.instruction import ARGUMENT, TEMPORARY, Array, Buffer, View
from ...program.program import Program
from ...program.recording import address, extent
from ..kernels.entry import Arrangement
from ..native.calling_convention import FIRST_OPERAND, OPERAND_WORDS, ROW_WORDS
from .footprints import regions
from .machine import Machine
from .phases import phases
from .walker import BARRIER, FLAG_SHIFT, HALT, WATCH

Places = Array
"""Pairs of whole numbers: a word that is an address, and what it is the address of."""


@dataclass
class Lowered:
    """Rows of words. Those that are addresses begin as offsets in what they are addresses of.

    order: the numbers of the instructions of each phase. moving: words in arguments, the arguments' numbers, offsets.
    temporary: words in the arena. lasting: words in memory that outlives a run, with places in ``buffers``. flags:
    words, with the phases whose flags they are. kind: what programs that are alike have in common, kernels and shapes
    in the order in which they run.
    """

    order: list[list[int]]
    plan: arena.Plan
    code: Array
    moving: Array
    temporary: Array
    lasting: Places
    buffers: list[Buffer]
    flags: Places
    kind: bytes

    def located(self, arena: Array, memory: Mapping[Buffer, Array], flags: Array) -> Array:
        """The rows with addresses in place, but for those in arguments: offsets until a run begins.

        memory: what owns the buffers; flags: of the phases.
        """
        code = self.code.copy()
        code[self.temporary] += address(arena)
        code[self.lasting[:, 0]] += np.array([extent(memory[b])[0] for b in self.buffers], np.int64)[self.lasting[:, 1]]
        code[self.flags[:, 0]] = address(flags) + self.flags[:, 1] * flags.itemsize
        return code


def lower(program: Program, machine: Machine, arrangements: Mapping[str, Callable[..., Arrangement]]) -> Lowered:
    """arrangements: how a kernel's operands become those of the machine's kernels."""
    calls = [arrangements[i.kernel](*i.operands) for i in program.instructions]
    touched = [
        regions(instruction, kernel, operands, machine.threads)
        for instruction, (kernel, _, operands, _) in zip(program.instructions, calls, strict=True)
    ]
    order = phases(program.instructions, touched)
    together = order if machine.threads > 1 else [[i] for phase in order for i in phase]
    plan = arena.plan([[program.instructions[i] for i in phase] for phase in together], program)
    return _encoded(program, machine, calls, order, plan)


def _encoded(
    program: Program, machine: Machine, calls: Sequence[Arrangement], order: list[list[int]], plan: arena.Plan
) -> Lowered:
    """The rows, those of a phase together, a barrier after its last."""
    code, n = np.zeros(len(program) * ROW_WORDS, np.int64), 0
    moving, temporary = list[tuple[int, int, int]](), list[int]()
    lasting, raised = list[tuple[int, int]](), list[tuple[int, int]]()
    numbers: dict[Buffer, int] = {}
    for phase_number, phase in enumerate(order):
        flags = BARRIER
        for i in phase:
            instruction, (kernel, char, operands, _) = program.instructions[i], calls[i]
            words = code[n * ROW_WORDS : (n + 1) * ROW_WORDS]
            words[0] = machine.launcher(kernel, char).kernel
            flag = operands.index(instruction.flag) if instruction.halts else None
            for slot, operand in enumerate(machine.linked(char, operands)):
                at = FIRST_OPERAND + OPERAND_WORDS * slot
                word = n * ROW_WORDS + at
                if isinstance(operand, View):
                    buffer = operand.buffer
                    stride = operand.strides[0] if operand.ndim == 2 else 0
                    words[at : at + 4] = operand.offset, height(operand), operand.shape[-1], stride
                    if slot == flag:
                        raised.append((word, phase_number))
                    elif buffer.kind == ARGUMENT:
                        moving.append((word, buffer.number, operand.offset))
                    elif buffer.kind == TEMPORARY:
                        words[at] += plan.offsets[buffer]
                        temporary.append(word)
                    else:
                        lasting.append((word, numbers.setdefault(buffer, len(numbers))))
                elif isinstance(operand, float):
                    words[at] = np.float64(operand).view(np.int64)
            if flag is not None:
                words[1], flags = WATCH | phase_number << FLAG_SHIFT, flags | HALT
            n += 1
        code[(n - 1) * ROW_WORDS + 1] |= flags | phase_number << FLAG_SHIFT
    return Lowered(
        order, plan, code, np.array(moving, np.int64).reshape(-1, 3), np.array(temporary, np.int64), _pairs(lasting),
        [*numbers], _pairs(raised), _kind(code),
    )  # fmt: skip


def _pairs(found: Sequence[tuple[int, int]]) -> Places:
    return np.array(found, np.int64).reshape(-1, 2)


def _kind(code: Array) -> bytes:
    rows = code.reshape(-1, ROW_WORDS)
    heights, widths = (rows[:, FIRST_OPERAND + place :: OPERAND_WORDS] for place in (1, 2))
    return hashlib.blake2b(np.hstack([rows[:, :1], heights, widths]).tobytes(), digest_size=16).digest()
