"""An explanation: its parts, as text and as JSON."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..contract.code import Place
from ..markup import paragraph, preformatted
from .instructions import COMPUTING, FLOATING, MASK, SHUFFLE
from .loop import Line, Loop, text, where
from .mix import Mix, call_name, counted

SHOWN = 8  # loops besides the main one that are listed
WIDTH, SOURCE = 50, 84  # columns of an instruction, and of the source line beside it


@dataclass(frozen=True)
class Reason:
    """Why a loop is not packed, or slower than it looks. name: to look it up by. remedy: what to write instead."""

    name: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class Verdict:
    """What became of a loop of Python. packed: whether one instruction works on several elements, and on how many."""

    place: Place
    packed: bool
    lanes: int
    reasons: tuple[Reason, ...]
    loop: Loop | None = None

    @property
    def sentence(self) -> str:
        """In one line."""
        if self.packed and self.loop:
            return f"packed, {self.lanes} of {self.loop.available} lanes"
        return "not vectorised: one element at a time" if self.loop else "no machine loop is left of it"

    def lines(self) -> list[str]:
        """The report's lines: the loop, then each reason with its remedy."""
        found = [f"{where(self.place)}  {text(self.place)}", f"  {self.sentence}"]
        for reason in self.reasons:
            found += [f"  {reason.name}: {reason.sentence}", f"    remedy: {reason.remedy}"]
        return found

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON holds it."""
        return {
            "source": where(self.place),
            "line": text(self.place),
            "packed": self.packed,
            "lanes": self.lanes,
            "reasons": [vars(reason) for reason in self.reasons],
        }


@dataclass(frozen=True)
class Part:
    """One piece of code that a call runs. kind: machine code, NumPy, Python or composition.

    main: the loop where the call spends its time. listing: bytecode or calls, where there are no
    loops to show. verdicts: which of a user's loops were vectorised, and why not.
    """

    name: str
    kind: str
    note: str
    loops: tuple[Loop, ...] = ()
    main: Loop | None = None
    assembly: str = ""
    listing: tuple[str, ...] = ()
    sentence: str = ""
    verdicts: tuple[Verdict, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The part as JSON holds it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "note": self.note,
            "sentence": self.main.sentence if self.main else self.sentence,
            "main_loop": self.loops.index(self.main) if self.main else None,
            "loops": [loop.as_json() for loop in self.loops],
            "verdicts": [verdict.as_json() for verdict in self.verdicts],
            "listing": list(self.listing),
        }


@dataclass(frozen=True)
class Explanation:
    """What a call of a kernel runs. ``str()`` is a report with the main loops, ``text("all")`` one with every loop."""

    kernel: str
    formula: str
    backend: str
    options: dict[str, Any]
    dtype: str
    operands: str
    parts: tuple[Part, ...]

    @property
    def loops(self) -> tuple[Loop, ...]:
        """Every loop of machine code."""
        return tuple(loop for part in self.parts for loop in part.loops)

    @property
    def main(self) -> Loop | None:
        """The loop where the call spends its time; None where there is no machine code to show."""
        return next((part.main for part in self.parts if part.main), None)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of a function of the user's own: which of its loops were vectorised, and why the others were not."""
        return tuple(verdict for part in self.parts for verdict in part.verdicts)

    @property
    def mix(self) -> Mix | None:
        """The instruction mix of that loop."""
        return self.main.mix if self.main else None

    @property
    def sentence(self) -> str:
        """What the kernel does, in a sentence or two."""
        return next((found for part in self.parts if (found := part.main.sentence if part.main else part.sentence)), "")

    def as_json(self) -> dict[str, Any]:
        """The explanation as JSON holds it."""
        return {
            "kernel": self.kernel,
            "formula": self.formula,
            "backend": self.backend,
            "options": self.options,
            "dtype": self.dtype,
            "operands": self.operands,
            "sentence": self.sentence,
            "parts": [part.as_json() for part in self.parts],
        }

    def json(self) -> str:
        """The same as text."""
        return json.dumps(self.as_json(), indent=1)

    def text(self, loops: str = "main") -> str:
        """The report. loops: ``main`` shows the code of each part's main loop, ``all`` that of the others as well."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        lines = [f"{self.kernel}: {self.formula}", f"backend {self.backend}{options}, {self.dtype}: {self.operands}"]
        for part in self.parts:
            lines += ["", f"{part.name} ({part.kind}): {part.note}"]
            lines += [f"  {line}" for line in part.listing]
            lines += [part.sentence] if part.sentence else []
            for verdict in part.verdicts:
                lines += ["", *verdict.lines()]
            if part.main:
                lines += _machine_code(part, part.main, loops == "all")
            elif part.assembly and part.kind == "machine code":
                lines += ["it has no loop"] if not part.loops and not part.note.endswith("here they are") else []
                lines += part.assembly.splitlines()
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The sentence, and the report, as a notebook shows them."""
        return paragraph(self.sentence) + preformatted(self.text())

    def __str__(self) -> str:
        return self.text()


def _machine_code(part: Part, main: Loop, everything: bool) -> list[str]:
    lines = ["", f"The loop where the call spends its time, {_from(main)}", "", main.sentence, *mix_table(main.mix)]
    lines += [f"  {'instruction set':<23}{', '.join(main.instruction_sets) or 'none of vectors'}", ""]
    lines += disassembly(main.lines)
    others = sorted((loop for loop in part.loops if loop is not main and loop.innermost), key=lambda loop: -loop.weight)
    if others:
        lines += ["", f"{counted(len(others), 'other innermost loop')}, the most work a turn first:"]
    for loop in others if everything else others[:SHOWN]:
        lines += [f"- {_from(loop)}", f"  {loop.sentence}"]
        if everything:
            lines += ["", *mix_table(loop.mix), "", *disassembly(loop.lines), ""]
    if len(others) > SHOWN and not everything:
        lines += [f"- and {len(others) - SHOWN} more: --loops all shows them"]
    return lines


def _from(loop: Loop) -> str:
    return f"{where(loop.source)}  {text(loop.source)}" if loop.source else "from code without a source line"


def mix_table(mix: Mix) -> list[str]:
    """The counts of a turn, a line each."""
    kinds = mix.kinds
    widths = ", ".join(f"{count} of {bits} bits" for bits, count in mix.widths.items())
    share = f", {mix.fma_share:.0%} of them fused multiply-adds" if mix.packed + mix.scalar else ""
    other = sum(kinds[kind] for kind in COMPUTING - FLOATING - {SHUFFLE, MASK})
    rows = [
        ("instructions a turn", str(len(mix.operations))),
        ("floating-point", f"{mix.packed} packed, {mix.scalar} scalar{share}"),
        ("packed operations", widths or "none"),
        ("lanes", f"{mix.lanes} used of {mix.available}"),
        ("FLOP, bytes a turn", f"{mix.flops}, {mix.bytes_moved}"),
        ("loads, stores", f"{mix.loads}, {mix.stores}"),
        ("shuffles", str(kinds[SHUFFLE])),
        ("integer, logic, select", str(other)),
        ("mask operations", str(kinds[MASK])),
        (
            "registers spilled",
            f"{counted(mix.spills, 'access', 'accesses')} to the stack, {mix.vector_spills} of vector registers"
            if mix.spills
            else "none",
        ),
        ("calls", ", ".join(f"{n} x {name}" for name, n in Counter(map(call_name, mix.calls)).items()) or "none"),
        ("estimated cycles", ", ".join(f"{name} {n:.3g}" for name, n in mix.cycles.items() if n)),
    ]
    return [f"  {name:<23}{value}" for name, value in rows]


def disassembly(lines: tuple[Line, ...]) -> list[str]:
    """Instructions, each run of them from one source line beside that line; ``?`` marks what only some turns run."""
    found = []
    for places, run in itertools.groupby(lines, key=lambda line: line.places[:1]):
        beside = shortened(f"{where(places[0]).rpartition('/')[2]}  {text(places[0])}") if places else ""
        for line in run:
            mark = " " if line.every_turn else "?"
            found.append(f" {mark} {line.instruction!s:<{WIDTH}} {'| ' + beside if beside else '|'}".rstrip())
            beside = ""
    return found


def shortened(line: str) -> str:
    """The line, cut off where it is longer than a terminal has room for."""
    return line if len(line) <= SOURCE else line[: SOURCE - 3] + "..."
