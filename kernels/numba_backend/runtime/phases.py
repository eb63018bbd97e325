"""Groups a program's calls into phases, between which threads wait for each other."""

from __future__ import annotations

from collections.abc import Sequence

from ...program.dependencies import predecessors
from ...program.instruction import Instruction
from .footprints import Region, crosses


def phases(instructions: Sequence[Instruction], touched: Sequence[list[Region]]) -> list[list[int]]:
    """Numbers of the instructions of each phase, in an order that computes the same.

    A phase takes, in program order, every call that waits for none of those put off, and in which no thread touches
    what another thread writes within the phase: few barriers, since what would need one is put off to a later phase.
    """
    before = predecessors(instructions)
    left, found = list(range(len(instructions))), list[list[int]]()
    while left:
        phase, later = dict[int, None](), dict[int, None]()
        for i in left:
            if before[i].isdisjoint(later) and not any(
                _apart(instructions[j], instructions[i], touched[j], touched[i]) or crosses(touched[j], touched[i])
                for j in before[i]
                if j in phase
            ):
                phase[i] = None
            else:
                later[i] = None
        found.append([*phase])
        left = [*later]
    return found


def _apart(watch: Instruction, other: Instruction, watched: list[Region], touched: list[Region]) -> bool:
    """Whether the other must wait until all threads have watched.

    It changes what outlives the step, or a thread reads through indices that another one watches. A thread that has
    seen a wrong value of its own calls nothing more, so what reads only through those needs no barrier.
    """
    if not watch.guards(other):
        return False
    indices = {view.buffer for view in other.indices}
    return other.changes or any(
        view not in mine.reads
        for mine, others in zip(watched, touched, strict=True)
        for view in others.reads
        if view.buffer in indices
    )
