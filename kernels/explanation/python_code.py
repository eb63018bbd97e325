"""What Python's interpreter runs: a kernel's bytecode, and how many of its steps a call takes.

A step is one bytecode instruction of a function written in Python; what a built-in function does, such as ``sum`` over
a ``map``, happens in C and counts as the instruction that called it.
"""

from __future__ import annotations

import dis
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ..contract.declaration import Declaration
from .report import Part

MOST_SHOWN = 3  # functions whose bytecode is shown: those that take the most steps
PACKAGE = os.path.dirname(os.path.dirname(__file__))


def python_part(
    declaration: Declaration, run: Callable[..., Any], implementation: Callable[..., Any], operands: Sequence[Any]
) -> Part:
    """The bytecode that a kernel's call takes most of its steps in, and their number for each element it computes."""
    code = getattr(implementation, "__code__", None)
    folders = (PACKAGE, os.path.dirname(code.co_filename)) if code else (PACKAGE,)
    steps = counted_steps(run, operands, folders)
    total, (items, what) = sum(steps.values()), work(declaration, operands)
    if not total:
        return Part(declaration.name, "Python", "compiled code that its backend does not show")
    listing = []
    for code, number in steps.most_common(MOST_SHOWN):
        where = f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"
        listing.append(f"{code.co_qualname} ({where}): {number:,} steps")
        listing += [f"    {line}" for line in dis.Bytecode(code).dis().splitlines() if line.strip()]
    each = total / max(1, items)
    sentence = f"The interpreter takes {total:,} steps for {items:,} {what}s: {each:.3g} for each"
    in_c = [name for name in ("sum", "map", "zip") if any(name in code.co_names for code in steps)]
    if each < 1:
        sentence += f"; the loop itself runs in C, in {' and '.join(in_c) or 'built-in functions'}, an object at a time"
    note = "interpreted bytecode; no machine code is made"
    return Part(declaration.name, "Python", note, listing=tuple(listing), sentence=sentence + ".")


def counted_steps(run: Callable[..., Any], operands: Sequence[Any], folders: tuple[str, ...]) -> Counter[CodeType]:
    """Bytecode instructions that a call executes in functions from these folders, by function."""
    steps: Counter[CodeType] = Counter()

    def counts(code: CodeType) -> bool:
        return code.co_filename.startswith(folders) and code.co_filename != __file__

    with _watched(steps, counts):
        run(*operands)
    return steps


@contextmanager
def _watched(steps: Counter[CodeType], counts: Callable[[CodeType], bool]) -> Iterator[None]:
    """Counts the instructions that run within the context, of the code that counts."""
    if sys.version_info >= (3, 12):
        # Since 3.12 a frame's f_trace_opcodes is too late for the call that it is set in.
        monitoring = sys.monitoring
        tool = next(number for number in range(6) if monitoring.get_tool(number) is None)

        def instruction(code: CodeType, offset: int) -> Any:
            if not counts(code):
                return monitoring.DISABLE
            steps[code] += 1
            return None

        monitoring.use_tool_id(tool, "kernels")
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, instruction)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        try:
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(tool)
            monitoring.restart_events()
        return

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not counts(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            steps[frame.f_code] += 1
        return step

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def work(declaration: Declaration, operands: Sequence[Any]) -> tuple[int, str]:
    """What a call computes, to be counted: multiply-adds of a product, elements of anything else."""
    by_name = dict(zip(declaration.parameter_names, operands, strict=True))
    axes = declaration.operands[0].shape.axes if declaration.operands[0].shape else ()
    if axes == ("m", "k"):
        out = by_name[declaration.results[0].name]
        return math.prod(out.shape) * operands[0].size // out.shape[0], "multiply-add"
    return max(operand.size for operand in operands if isinstance(operand, np.ndarray)), "element"
