"""A recorded step: instructions in order, and what goes in and comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..markup import bar, table
from ..text import scaled
from .instruction import TEMPORARY, Array, Buffer, Instruction, View
from .listing import listing, operands_of


@dataclass(repr=False)
class Program:
    """A recorded step: instructions in order, and what goes in and comes out.

    arguments: the buffers that each run provides. results: what must be readable when a run ends. kept: persistent
    memory that a step may have written when it is halted, and where the step keeps what was there before. memory: the
    arrays that own persistent buffers and flags. All else is the same for all steps that make the same calls.
    """

    instructions: list[Instruction]
    arguments: list[Buffer]
    results: list[View]
    kept: list[tuple[View, View]] = field(default_factory=list)
    memory: dict[Buffer, Array] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what passes changed
    prologue: list[Instruction] = field(default_factory=list)  # what runs once before the first step of each run
    worked_out: dict[Any, Any] = field(default_factory=dict)  # by executors, for all programs of this form

    @property
    def temporaries(self) -> list[Buffer]:
        """The buffers that the step itself needs, in order of first use."""
        found: dict[Buffer, None] = {}
        for instruction in self.instructions:
            for view in [*instruction.reads, *instruction.writes]:
                if view.buffer.kind == TEMPORARY:
                    found[view.buffer] = None
        return list(found)

    @property
    def seeds(self) -> list[int]:
        """The seeds of its random numbers, in order."""
        operands = (o for i in self.instructions if "seed" in i.declaration.parameter_names for o in i.named())
        return [int(value) for name, value in operands if name == "seed" and isinstance(value, int)]

    @property
    def lasting(self) -> list[View]:
        """What must be readable when a run ends."""
        return [*self.results, *(copy for _, copy in self.kept)]

    @property
    def flops(self) -> int:
        return sum(instruction.flops for instruction in self.instructions)

    def __len__(self) -> int:
        return len(self.instructions)

    def __repr__(self) -> str:
        return f"<Program of {len(self)} instructions, {scaled(self.flops)}FLOP; print it for the listing>"

    def _repr_html_(self) -> str:
        """The listing as a notebook shows it; bars: each instruction's share of the FLOPs."""
        rows = [
            [str(i), each.part, each.kernel, operands_of(each), scaled(each.flops), bar(each.flops / (self.flops or 1)),
             scaled(each.bytes)]
            for i, each in enumerate(self.instructions)
        ]  # fmt: skip
        head = ["", "part", "kernel", "operands", "FLOP", "share", "bytes"]
        return table(head, rows, f"{len(self)} instructions, {scaled(self.flops)}FLOP")

    def __str__(self) -> str:
        return listing(self.instructions, self.temporaries, self.notes)
