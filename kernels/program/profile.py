"""Where the time of a step goes: each instruction's seconds, operations, bytes, and how near it comes to the roof."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..markup import bar, preformatted, table
from ..text import aligned, scaled
from .instruction import BACKWARD, FORWARD, OPTIMIZER, PARTS, PERSISTENT, Array, Instruction
from .interpreter import restore
from .listing import operands_of
from .program import Program
from .timings import Timings

if TYPE_CHECKING:
    from ..hardware.ceilings import Ceilings
    from .interpreter import Runner

# The best of so many rounds, so that a neighbour's burst spoils none of them; each of so many seconds, since a run is
# native and Ctrl-C waits for its end.
ROUNDS, RUN_SECONDS = 5, 0.05
BAR = 20  # characters that the longest bar has
# Backward is two products a layer: the gradient of its weight and that of its input.
GROUPS = FORWARD, "dW", "dX", OPTIMIZER


@dataclass(frozen=True)
class Row:
    """An instruction with what it took: seconds are those of a step, the mean of the threads."""

    number: int
    instruction: Instruction
    group: str
    seconds: float
    waiting: float  # for other threads, after it
    roof_seconds: float | None  # that it would take under the machine's roof

    @property
    def gflops(self) -> float:
        """Billions of floating-point operations a second."""
        return self.instruction.flops / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gigabytes(self) -> float:
        """Billions of bytes a second, if each operand crosses the bus once."""
        return self.instruction.bytes / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def intensity(self) -> float:
        """Floating-point operations a byte."""
        return self.instruction.flops / self.instruction.bytes if self.instruction.bytes else math.inf

    @property
    def of_roof(self) -> float | None:
        """The part of the roof that it reaches."""
        return None if self.roof_seconds is None or not self.seconds else self.roof_seconds / self.seconds


@dataclass(frozen=True, repr=False)
class Profile:
    """A profiled step. seconds: of an untimed step, the best of several runs; timings: those of the fastest timed run.

    ceilings: the machine's, on as many threads, or None where they were not measured.
    """

    program: Program
    seconds: float
    timings: Timings
    ceilings: Ceilings | None = None

    @property
    def rows(self) -> list[Row]:
        """One for each instruction, in program order."""
        groups = _groups(self.program)
        kernels, waiting = self.timings.kernels.mean(0), self.timings.waiting.mean(0)
        return [
            Row(i, instruction, groups[i], float(kernels[i]), float(waiting[i]), self._roof(instruction))
            for i, instruction in enumerate(self.program.instructions)
        ]

    def _roof(self, instruction: Instruction) -> float | None:
        if self.ceilings is None:
            return None
        return self.ceilings.seconds(instruction.flops, instruction.bytes, instruction.footprint, instruction.precision)

    @property
    def in_kernels(self) -> float:
        """Seconds of a step in kernels."""
        return float(self.timings.kernels.mean(0).sum())

    @property
    def waiting(self) -> float:
        """Seconds of a step in which a thread waits for another."""
        return float(self.timings.waiting.mean(0).sum())

    @property
    def between(self) -> float:
        """Seconds of a step that are neither: going from call to call, starting threads, moving on to other rows."""
        return self.timings.step - self.in_kernels - self.waiting

    @property
    def cost_of_timing(self) -> float:
        """How much longer a timed step takes, as a part of an untimed one."""
        return self.timings.step / self.seconds - 1

    def subtotals(self) -> dict[str, float]:
        """Seconds of the kernels of each part of the step."""
        rows = self.rows
        return {part: sum(row.seconds for row in rows if row.instruction.part == part) for part in PARTS}

    def as_json(self) -> dict[str, Any]:
        """Everything, times in seconds."""
        return {
            "seconds": self.seconds,
            "timed_seconds": self.timings.step,
            "threads": self.timings.threads,
            "in_kernels": self.in_kernels,
            "waiting": self.waiting,
            "between": self.between,
            "flops": self.program.flops,
            "subtotals": self.subtotals(),
            "ceilings": None if self.ceilings is None else self.ceilings.as_json(),
            "instructions": [
                {
                    "number": row.number, "kernel": row.instruction.kernel, "operands": operands_of(row.instruction),
                    "part": row.instruction.part, "group": row.group, "seconds": row.seconds, "waiting": row.waiting,
                    "flops": row.instruction.flops, "bytes": row.instruction.bytes,
                    "footprint": row.instruction.footprint, "gflops": row.gflops,
                    "gigabytes": row.gigabytes, "of_roof": row.of_roof,
                    "begins": self.timings.begins[:, row.number].tolist(),
                    "ends": self.timings.ends[:, row.number].tolist(),
                }
                for row in self.rows
            ],
        }  # fmt: skip

    def under(self, ceilings: Ceilings) -> Profile:
        """The same beside the machine's ceilings."""
        return replace(self, ceilings=ceilings)

    def __repr__(self) -> str:
        return f"<Profile of {len(self.program)} instructions: {self._speed()}; print it for the table>"

    def _repr_html_(self) -> str:
        """The table as a notebook shows it; bars: the share of the step's time, and of the machine's roof."""
        rows = [
            [str(row.number), row.group, row.instruction.kernel, f"{1e6 * row.seconds:.2f}",
             bar(row.seconds / self.timings.step), f"{row.gflops:.1f}", f"{row.gigabytes:.1f}",
             "-" if row.of_roof is None else bar(row.of_roof), "-" if row.of_roof is None else f"{row.of_roof:.0%}",
             operands_of(row.instruction)]
            for row in self.rows
        ]  # fmt: skip
        head = ["", "part", "kernel", "us", "share", "GFLOP/s", "GB/s", "of roof", "", "operands"]
        return table(head, rows, f"A step of {self._speed()}") + preformatted("\n".join(self._summary()))

    def __str__(self) -> str:
        rows = self.rows
        longest = max((row.seconds for row in rows), default=0.0) or 1.0
        head = ("", "part", "kernel", "us", "share", "", "GFLOP/s", "GB/s", "FLOP/B", "% of roof", "operands")
        body = [
            (
                str(row.number), row.group, row.instruction.kernel, f"{1e6 * row.seconds:.2f}",
                f"{row.seconds / self.timings.step:.1%}", "#" * round(BAR * row.seconds / longest),
                f"{row.gflops:.1f}", f"{row.gigabytes:.1f}", f"{row.intensity:.2g}",
                "-" if row.of_roof is None else f"{100 * row.of_roof:.0f}", operands_of(row.instruction),
            )
            for row in rows
        ]  # fmt: skip
        return "\n".join([aligned([head, *body]), "", *self._summary()])

    def _summary(self) -> list[str]:
        """The step's parts, and what was measured how."""
        step = self.timings.step
        parts = {
            **{f"{part}, in kernels": seconds for part, seconds in self.subtotals().items()},
            "waiting for another thread": self.waiting,
            "between kernels": self.between,
            "a timed step": step,
        }
        rows = [(name, f"{1e6 * seconds:.2f}", f"{seconds / step:.1%}") for name, seconds in parts.items()]
        said = [
            f"untimed {1e6 * self.seconds:.2f} us: timing costs {self.cost_of_timing:.1%}",
            f"{scaled(self.program.flops)}FLOP a step, {self._rate()}",
        ]
        return [aligned([("", "us", "share"), *rows]), "", *said, *self._ceilings()]

    def _speed(self) -> str:
        """Of an untimed step."""
        return f"{1e6 * self.seconds:.2f} us a step, {self._rate()}"

    def _rate(self) -> str:
        rate, threads = self.program.flops / self.seconds / 1e9, self.timings.threads
        of_peak = "" if self.ceilings is None else f", {rate / self._peak(self.ceilings):.0%} of the measured peak"
        return f"{rate:.1f} GFLOP/s on {threads} thread{'s' * (threads > 1)}{of_peak}"

    def _peak(self, ceilings: Ceilings) -> float:
        """GFLOP/s at most of the fastest products that the step makes."""
        return max((ceilings.peak_of(i.precision) for i in self.program.instructions), default=ceilings.peak)

    def _ceilings(self) -> list[str]:
        if self.ceilings is None:
            return []
        widths = ", ".join(
            f"{lanes} lane{'s' * (lanes > 1)} {value:.0f}" for lanes, value in self.ceilings.gflops.items()
        )
        if self.ceilings.bfloat16 is not None:
            widths += f", products in bfloat16 {self.ceilings.bfloat16:,.0f}"
        levels = ", ".join(f"{level} {value:.0f}" for level, value in self.ceilings.gigabytes.items())
        return [f"measured ceilings: GFLOP/s with {widths}; GB/s in {levels}"]


def _groups(program: Program) -> list[str]:
    """For each instruction what it computes: in the backward part dW if an update reads its results, else dX."""
    wanted = {
        view.buffer
        for instruction in program.instructions
        if instruction.part == OPTIMIZER
        for view in instruction.reads
    }
    return [
        instruction.part
        if instruction.part != BACKWARD
        else ("dW" if any(view.buffer in wanted for view in instruction.writes) else "dX")
        for instruction in program.instructions
    ]


def profile(runner: Runner, steps: int, arguments: Sequence[Array]) -> Profile:
    """Runs the steps, or as many of them as fit into a twentieth of a second, untimed and timed in turn.

    The fastest of each is kept.
    What the steps change outside of themselves, parameters and averages, is as before when it returns.
    """
    kept = [(array, array.copy()) for array in written(runner.program)]
    untimed, timed = math.inf, list[Timings]()
    try:
        for _ in range(2):  # the first warms up
            started = time.perf_counter()
            runner.run(1, arguments)
            one = time.perf_counter() - started
        steps = min(steps, max(1, int(RUN_SECONDS / one)))
        for _ in range(ROUNDS):
            restore(kept)
            started = time.perf_counter()
            if runner.run(steps, arguments) < steps:
                raise ArithmeticError(
                    "a value that must be finite became NaN or infinite, so the steps were not all run"
                )
            untimed = min(untimed, (time.perf_counter() - started) / steps)
            restore(kept)
            timed.append(runner.timed(steps, arguments))
    finally:
        restore(kept)
    return Profile(runner.program, untimed, min(timed, key=lambda timings: timings.step))


def written(program: Program) -> list[Array]:
    """The persistent arrays that a step changes."""
    written = [view.buffer for instruction in program.instructions for view in instruction.writes]
    return [program.memory[buffer] for buffer in dict.fromkeys(written) if buffer.kind == PERSISTENT]
