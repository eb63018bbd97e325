"""Where a program's temporaries are in one piece of memory: those that are not alive together share bytes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..memory import LINE, aligned_empty
from .instruction import TEMPORARY, Array, Buffer, Instruction
from .program import Program


@dataclass(frozen=True)
class Plan:
    """Offsets in the arena, its size, and what the buffers would take without sharing."""

    offsets: Mapping[Buffer, int]
    nbytes: int
    unshared: int

    def allocate(self) -> Array:
        """The arena: bytes that begin on a cache line."""
        return aligned_empty((self.nbytes,), np.uint8)


def holders(arena: Array) -> int:
    """How many objects hold the arena's memory: each array in it is one, whatever it was cut from."""
    return sys.getrefcount(arena.base)


def lifetimes(phases: Sequence[Sequence[Instruction]], program: Program) -> dict[Buffer, tuple[int, int]]:
    """For each temporary the first and the last phase that touches it. What a run returns lives to its end."""
    found: dict[Buffer, tuple[int, int]] = {}
    for phase, instructions in enumerate(phases):
        for instruction in instructions:
            for view in [*instruction.reads, *instruction.writes]:
                if view.buffer.kind == TEMPORARY:
                    found[view.buffer] = (found.get(view.buffer, (phase, phase))[0], phase)
    for view in program.lasting:
        if view.buffer in found:
            found[view.buffer] = (found[view.buffer][0], len(phases))
    return found


def plan(phases: Sequence[Sequence[Instruction]], program: Program) -> Plan:
    """Places the largest first, each as low as those allow that are alive together with it.

    phases: instructions of one phase may run at the same time, on different threads, so that their buffers never share.
    """
    alive = lifetimes(phases, program)
    sizes = {buffer: -(-buffer.nbytes // LINE) * LINE for buffer in alive}
    arena = _Pieces()
    offsets = {
        buffer: arena.place(sizes[buffer], *alive[buffer])
        for buffer in sorted(alive, key=lambda b: (-b.nbytes, b.number))
    }
    return Plan(offsets, sum(arena.lengths), sum(sizes.values()))


class _Pieces:
    """The arena in pieces, from its beginning: how many bytes each has, and the phases in which it is taken, as bits.

    There are as many pieces as there are different ends of buffers, and of them a program has few: its temporaries
    share their places. That is what makes this fast where comparing all with all is not.
    """

    def __init__(self) -> None:
        self.lengths, self.taken = list[int](), list[int]()

    def place(self, size: int, first: int, last: int) -> int:
        """Takes the lowest place of so many bytes that nobody has from the first phase to the last."""
        if size == 0:
            return 0
        wanted = (1 << last + 1) - (1 << first)
        place = free = begin = 0  # the place, its bytes so far, its first piece
        end = len(self.taken)  # the piece after it
        for piece, taken in enumerate(self.taken):
            if taken & wanted:
                place, free, begin = place + free + self.lengths[piece], 0, piece + 1
                continue
            free += self.lengths[piece]
            if free >= size:
                end = piece + 1
                break
        if free < size:
            self.lengths.append(size - free)
            self.taken.append(0)
            end = len(self.taken)
        elif free > size:  # its last piece is cut
            self.lengths[end - 1 : end] = [self.lengths[end - 1] - (free - size), free - size]
            self.taken.insert(end, self.taken[end - 1])
        for piece in range(begin, end):
            self.taken[piece] |= wanted
        return place
