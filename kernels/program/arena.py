"""Where a program's temporaries lie in one piece of memory: those that are not alive together share bytes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .instruction import TEMPORARY, Array, Buffer, Instruction, Program

LINE = 64  # bytes of a cache line, which every buffer begins on


@dataclass(frozen=True)
class Plan:
    """Offsets in the arena, its size, and what the buffers would take without sharing."""

    offsets: Mapping[Buffer, int]
    nbytes: int
    unshared: int

    def allocate(self) -> Array:
        """The arena: bytes that begin on a cache line."""
        memory = np.empty(self.nbytes + LINE, np.uint8)
        return memory[-memory.ctypes.data % LINE :][: self.nbytes]


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
    offsets: dict[Buffer, int] = {}
    sizes = {buffer: -(-buffer.nbytes // LINE) * LINE for buffer in alive}
    for buffer in sorted(alive, key=lambda b: (-b.nbytes, b.number)):
        first, last = alive[buffer]
        others = sorted(
            (offset, offset + sizes[other])
            for other, offset in offsets.items()
            if alive[other][0] <= last and first <= alive[other][1]
        )
        place = 0
        for start, end in others:
            if place + sizes[buffer] <= start:
                break
            place = max(place, end)
        offsets[buffer] = place
    total = max((offsets[buffer] + sizes[buffer] for buffer in offsets), default=0)
    return Plan(offsets, total, sum(sizes.values()))
