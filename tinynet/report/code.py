"""What a step's instructions run on the machine, for those who open them: loops of machine code, NumPy's functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels import Backend
from kernels.explanation import Part, explain_call
from kernels.explanation.report import disassembly, mix_table
from kernels.program import Instruction, View

from ..tensor import Array

Piece = tuple[str, str, str]
"""Of the code of a call: its name, what it does in a sentence, its text."""


def kind_of_code(backend: Backend) -> str | None:
    """What there is to show of a kernel. None for backends that are interpreted: their code is Python."""
    if backend.code is not None:
        return "the loop where it spends its time"
    return "the NumPy functions that it calls" if backend.name == "numpy" else None


def pieces_of(instructions: Sequence[Instruction], backend: Backend) -> list[list[Piece]]:
    """For each instruction the code that it runs, if there is any to show."""
    if kind_of_code(backend) is None:
        return [[] for _ in instructions]
    return [_pieces(instruction, backend) for instruction in instructions]


def _pieces(instruction: Instruction, backend: Backend) -> list[Piece]:
    """The explanation of a call on arrays laid out as the instruction's are."""
    operands = tuple(_array(operand) if isinstance(operand, View) else operand for operand in instruction.operands)
    dtype = next((view.dtype for view in instruction.writes if view.dtype.kind == "f"), np.dtype("float32"))
    return [_piece(part) for part in explain_call(backend, instruction.kernel, operands, dtype.name).parts]


def _array(view: View) -> Array:
    """Halves, as a rate, a variance, a number of steps: every kernel can compute with them; zeros as indices."""
    array = view.on(np.zeros(max(view.buffer.nbytes, view.span[1]), np.uint8))
    if view.dtype.kind == "f" and array.flags.writeable:
        array.fill(0.5)
    return array


def _piece(part: Part) -> Piece:
    if part.main is None:
        return part.name, part.sentence or part.note, "\n".join(part.listing)
    return part.name, part.main.sentence, "\n".join([*mix_table(part.main.mix), "", *disassembly(part.main.lines)])
