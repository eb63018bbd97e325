"""A loop of machine code: its instructions beside the source lines they come from, and its mix."""

from __future__ import annotations

import linecache
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ..contract.code import Code, Place
from .assembly import SYNTAXES, Function, Instruction, architecture, parse
from .instructions import CALL, FLOATING, OPERATIONS, Operation, has_frame_pointer
from .loops import NaturalLoop, natural_loops
from .mix import Mix, call_name

NEST = 10  # turns that an innermost loop is taken to make for one of the loop around it
# The first that an instruction matches: a narrow register beside a wide one is an operand of the wide one's operation.
SETS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"%tmm\d", "AMX"),
        (r"%zmm\d|%k\d", "AVX-512"),
        (r"%ymm\d|^v\w+ .*%xmm\d", "AVX"),
        (r"%xmm\d", "SSE"),
        (r"\bz\d+\.", "SVE"),
        (r"\bv\d+\b|\bq\d+\b", "NEON"),
    )
)
PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Line:
    """One instruction. places: its source lines, innermost first. every_turn: whether each turn of the loop runs it."""

    instruction: Instruction
    operation: Operation
    places: tuple[Place, ...]
    every_turn: bool


@dataclass(frozen=True)
class Loop:
    """A loop's own lines, those of loops inside it left out. depth: 1 where it is in no other loop.

    mix: of what every turn runs. rare: of what some turns run besides, on one path or another.
    """

    function: str
    depth: int
    innermost: bool
    lines: tuple[Line, ...]
    element: int
    available: int

    def _mix(self, every_turn: bool) -> Mix:
        chosen = tuple(line.operation for line in self.lines if line.every_turn is every_turn)
        return Mix(chosen, self.element, self.available, self.innermost and len(chosen) == len(self.lines))

    @cached_property
    def mix(self) -> Mix:
        return self._mix(True)

    @cached_property
    def rare(self) -> Mix:
        return self._mix(False)

    @property
    def weight(self) -> float:
        """An estimate of the part of the call's work that is done here."""
        return self.mix.work * (NEST if self.innermost else 1)

    @property
    def sentence(self) -> str:
        """What it does and what bounds it; and what some turns do besides."""
        rest = self.rare
        if not rest.operations:
            return self.mix.sentence
        calls = f", among them calls of {', '.join(sorted(set(map(call_name, rest.calls))))}" if rest.calls else ""
        return f"{self.mix.sentence} Some turns run up to {len(rest.operations)} more instructions{calls}."

    @cached_property
    def instruction_sets(self) -> tuple[str, ...]:
        """The extensions that its packed operations belong to, by the registers that they name."""
        packed = [line.instruction for line in self.lines if line.operation.bits and not line.operation.scalar]
        written = [f"{i.mnemonic} {', '.join(i.operands)}" for i in packed]
        found = (next((name for pattern, name in SETS if pattern.search(text)), "") for text in written)
        return tuple(sorted(set(filter(None, found))))

    @cached_property
    def source(self) -> Place | None:
        """The line of the kernel that most of its arithmetic comes from; without arithmetic, of its instructions."""
        for chosen in ([line for line in self.lines if line.operation.kind in FLOATING], self.lines):
            found = Counter(line.places[-1] for line in chosen if line.places)
            if found:
                return found.most_common(1)[0][0]
        return None

    def as_json(self) -> dict[str, object]:
        """The loop as JSON holds it."""
        return {
            "function": self.function,
            "depth": self.depth,
            "innermost": self.innermost,
            "instruction_sets": list(self.instruction_sets),
            "source": where(self.source) if self.source else None,
            "sentence": self.sentence,
            "mix": self.mix.as_json(),
            "sometimes": self.rare.as_json() if self.rare.operations else None,
            "lines": [
                {
                    "instruction": str(line.instruction),
                    "kind": line.operation.kind,
                    "every_turn": line.every_turn,
                    "source": [[where(place), text(place)] for place in line.places],
                }
                for line in self.lines
            ],
        }


def where(place: Place) -> str:
    """File and line, the file relative to the folder that holds this package where it is in there."""
    path, number = place
    try:
        path = Path(path).relative_to(PACKAGE.parent).as_posix()
    except ValueError:
        path = os.path.basename(path)
    return f"{path}:{number}"


def text(place: Place) -> str:
    """The source line itself."""
    return linecache.getline(*place).strip()


def loops_of(code: Code, element: int) -> list[Loop]:
    """The loops of machine code in the order of their heads. element: bits of the call's dtype.

    Raises KeyError for an architecture whose instructions are not known.
    """
    found = []
    for function in parse(code.text, code.triple):
        graph = [block.successors for block in function.blocks]
        found += [_loop(function, loop, code, element) for loop in natural_loops(graph)]
    return [loop for loop in found if loop.lines]


def known(triple: str) -> bool:
    """Whether the instructions of a target are known."""
    return architecture(triple) in SYNTAXES


def _named(operation: Operation, before: Sequence[Instruction]) -> Operation:
    """A call through a register by the symbol that was put into it last, as the function is laid out."""
    register = operation.target.removeprefix("%")
    if operation.kind != CALL or not register.isalnum():
        return operation
    for instruction in reversed(before):
        written = instruction.operands[-1].removeprefix("%") if instruction.operands else ""
        if written == register and instruction.mnemonic.startswith(("mov", "lea", "pop")):
            symbol = re.fullmatch(r"\$?([A-Za-z_][\w.]*)(@\w+)?(\(%rip\))?", instruction.operands[0])
            return replace(operation, target=symbol[1]) if symbol else operation
    return operation


def _loop(function: Function, loop: NaturalLoop, code: Code, element: int) -> Loop:
    arch = architecture(code.triple)
    framed = has_frame_pointer(arch, function.blocks[0].instructions)
    lines, before = list[Line](), list[Instruction]()
    for number, block in enumerate(function.blocks):
        for instruction in block.instructions:
            if number in loop.own:
                operation = _named(OPERATIONS[arch](instruction, framed), before)
                places = code.places[instruction.place]
                lines.append(Line(instruction, operation, places, number in loop.every_turn))
            before.append(instruction)
    return Loop(function.name, loop.depth, loop.innermost, tuple(lines), element, code.vector_bits // element)


def main_loop(loops: Sequence[Loop], turn: tuple[int, int] | None = None) -> Loop | None:
    """The loop where a call spends its time.

    By what a turn does, where the backend knows it for the call's shapes (see Code.turn), the compiler free to make a
    turn of several; otherwise the loop with the most floating-point instructions a turn (see Mix.work), an innermost
    one before one around others.
    """
    if turn is not None:
        products, loads = turn
        done = [(loop, loop.mix.multiply_adds) for loop in loops if loop.innermost]
        unrolled = [(loop, number // products) for loop, number in done if number and number % products == 0]
        near = [(abs(loop.mix.loads - times * loads), -times, i) for i, (loop, times) in enumerate(unrolled)]
        if near:
            return unrolled[min(near)[2]][0]
    return max(loops, key=lambda loop: loop.weight, default=None)
