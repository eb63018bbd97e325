"""A program as text, one instruction a line."""

from __future__ import annotations

from collections.abc import Sequence

from ..text import aligned, scaled
from .instruction import Buffer, Instruction, View


def operands_of(instruction: Instruction) -> str:
    """The operands, results after an arrow; options that have their default value are left out."""
    inputs, results = [], []
    declared = instruction.declaration.operands
    for operand, value in zip(declared, instruction.operands, strict=True):
        if operand.written:
            results.append(str(value))
        elif isinstance(value, View):
            inputs.append(f"{value}!" if operand.kind == "Mutable" else str(value))
        elif not (operand.optional and value == operand.default):
            inputs.append(f"{operand.name}={value:g}" if isinstance(value, float) else f"{operand.name}={value}")
    return ", ".join(inputs) + (f" -> {', '.join(results)}" if results else "")


def listing(instructions: Sequence[Instruction], temporaries: Sequence[Buffer], notes: Sequence[str]) -> str:
    """index, kernel, operands, FLOPs, bytes.

    a: argument, p: persistent, t: temporary, f: flag; ! marks what is updated.
    """
    rows = [
        (str(i), instruction.kernel, operands_of(instruction), scaled(instruction.flops), scaled(instruction.bytes))
        for i, instruction in enumerate(instructions)
    ]
    temporary, flops = sum(buffer.nbytes for buffer in temporaries), sum(each.flops for each in instructions)
    total = f"{len(instructions)} instructions, {scaled(flops)} FLOP, {scaled(temporary)}B of temporaries"
    return "\n".join([aligned([("", "kernel", "operands", "FLOP", "bytes"), *rows]), total, *notes])
