"""Groups a program's calls into phases, between which threads wait for each other."""

from __future__ import annotations

from collections.abc import Sequence

from ..program.dependencies import predecessors
from ..program.instruction import PERSISTENT, Instruction
from .access import Region, crosses


def phases(instructions: Sequence[Instruction], touched: Sequence[list[Region]]) -> list[list[int]]:
    """Numbers of the instructions of each phase, in an order that computes the same.

    A phase takes, in program order, every call that waits for none of those put off, and in which no thread touches
    what another thread writes within the phase: few barriers, since what would need one is put off to a later phase.
    """
    before = predecessors(instructions)
    left, found = list(range(len(instructions))), list[list[int]]()
    while left:
        phase, later = list[int](), list[int]()
        for i in left:
            waits = any(j in before[i] for j in later)
            if waits or any(
                _apart(instructions, j, i) or (j in before[i] and crosses(touched[j], touched[i])) for j in phase
            ):
                later.append(i)
            else:
                phase.append(i)
        found.append(phase)
        left = later
    return found


def _apart(instructions: Sequence[Instruction], first: int, second: int) -> bool:
    """Whether the second must not begin before the loss is known to be finite: it changes what outlives the step."""
    writes = instructions[second].writes
    return instructions[first].kernel == "watch_finite" and any(view.buffer.kind == PERSISTENT for view in writes)
