"""Runs recorded programs in machine code: one call, and one parallel region, for as many steps as are wanted.

A program becomes rows of words, one a kernel call, which every thread walks on its own copy (``walker``), calling each
kernel with its number. Threads wait for each other only where one reads or overwrites what another wrote: instructions
are grouped into phases with a barrier after each. The watches of a phase raise a flag of its own, at which all threads
look after its barrier; until then a thread that sees it raised calls nothing more. From step to step only the addresses
of the arguments move on; each thread advances them in its copy.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...locks import lock
from ...program import arena
from ...program.dependencies import height
from ...program.instruction import ARGUMENT, TEMPORARY, Array, View
from ...program.interpreter import persistent, restore
from ...program.program import Program
from ...program.recording import address, extent
from ...program.timings import Timings
from ..kernels.entry import Arrangement
from ..native.calling_convention import FIRST_OPERAND, OPERAND_WORDS, ROW_WORDS
from ..native.invocation import Launcher
from .callers import CALLERS
from .footprints import regions
from .machine import Machine
from .phases import phases
from .team import PATIENCE, team_of
from .thread_choice import BEHIND as BEHIND_SECONDS
from .thread_choice import Decision, record_of
from .walker import (
    BARRIER,
    BEHIND,
    COUNT,
    DONE,
    EACH,
    ENDING,
    FLAG_SHIFT,
    HALT,
    READINGS,
    SHARED_WORDS,
    STATE_WORDS,
    TOOK,
    WATCH,
    walker,
)

NEVER = 1 << 60  # ticks


def _worked_out(program: Program, threads: int, calls: Sequence[Arrangement]) -> tuple[list[list[int]], arena.Plan]:
    """Which instructions make up each phase, and where temporaries are."""
    touched = [
        regions(instruction, kernel, operands, threads)
        for instruction, (kernel, _, operands, _) in zip(program.instructions, calls, strict=True)
    ]
    order = phases(program.instructions, touched)
    together = order if threads > 1 else [[i] for phase in order for i in phase]
    return order, arena.plan([[program.instructions[i] for i in phase] for phase in together], program)


class Executor:
    """A program, ready to run natively. See kernels.program.Runner."""

    def __init__(self, program: Program, machine: Machine, arrangements: Mapping[str, Callable[..., Arrangement]]):
        """arrangements: how a kernel's operands become those of the machine's kernels."""
        self.program, self.machine = program, machine
        calls = [arrangements[i.kernel](*i.operands) for i in program.instructions]
        order, self.plan = program.worked_out.get(machine.threads) or program.worked_out.setdefault(
            machine.threads, _worked_out(program, machine.threads, calls)
        )
        self.phases = [[program.instructions[i] for i in phase] for phase in order]
        self._memory = self.plan.allocate()
        self._moving: list[tuple[int, int, int]] = []  # word, argument, offset
        self._temporary: list[int] = []  # words with addresses in the arena
        self._flags = np.zeros(len(order) + 1, np.int64)  # of each phase; watches write a NaN of either dtype there
        self._code = np.zeros((machine.threads, len(program) * ROW_WORDS), np.int64)
        self._order = [i for phase in order for i in phase]
        self._encode(order, calls)
        # One thread runs the prologue: it is short, and its calls may depend on each other. It has no temporaries.
        self._prologue = [
            (machine.launcher(kernel, char), tuple(self._array(o) if isinstance(o, View) else o for o in operands))
            for kernel, char, operands, _ in (arrangements[i.kernel](*i.operands) for i in program.prologue)
        ]
        self._moves = np.array([(word, 0) for word, _, _ in self._moving], np.int64).reshape(-1, 2)
        self._shared, self._state = np.zeros(SHARED_WORDS, np.int64), np.zeros(STATE_WORDS, np.int64)
        self._state[COUNT] = len(program)
        self._turn = lock()
        self._record, self._steps = record_of(machine.threads, self._kind()), 0  # run so far
        self._kept = [(self._array(view), self._array(copy)) for view, copy in program.kept]
        self._holders = arena.holders(self._memory)

    def _address(self, view: View) -> int:
        """Where an operand is; arguments are placed when a run begins."""
        buffer = view.buffer
        if buffer.array is not None:
            return extent(buffer.array)[0] + view.offset
        return address(self._memory) + self.plan.offsets[buffer] + view.offset if buffer.kind == TEMPORARY else 0

    def _array(self, view: View) -> Array:
        if view.buffer.array is not None:
            return persistent(view, view.buffer.array)
        return view.on(self._memory, self.plan.offsets[view.buffer])

    def _encode(self, order: Sequence[Sequence[int]], calls: Sequence[Arrangement]) -> None:
        """Writes the rows of words, those of a phase together, a barrier after its last."""
        code, n = self._code[0], 0
        for phase_number, phase in enumerate(order):
            flags = BARRIER
            for i in phase:
                kernel, char, operands, _ = calls[i]
                words = code[n * ROW_WORDS : (n + 1) * ROW_WORDS]
                words[0] = self.machine.launcher(kernel, char).kernel
                for slot, operand in enumerate(self.machine.linked(char, operands)):
                    at = FIRST_OPERAND + OPERAND_WORDS * slot
                    if isinstance(operand, View):
                        stride = operand.strides[0] if operand.ndim == 2 else 0
                        words[at : at + 4] = self._address(operand), height(operand), operand.shape[-1], stride
                        if operand.buffer.kind == ARGUMENT:
                            self._moving.append((n * ROW_WORDS + at, operand.buffer.number, operand.offset))
                        elif operand.buffer.kind == TEMPORARY:
                            self._temporary.append(n * ROW_WORDS + at)
                    elif isinstance(operand, float):
                        words[at] = np.float64(operand).view(np.int64)
                if self.program.instructions[i].halts:
                    slot = operands.index(self.program.instructions[i].flag)
                    words[FIRST_OPERAND + OPERAND_WORDS * slot] = address(self._flags[phase_number:])
                    words[1], flags = WATCH | phase_number << FLAG_SHIFT, flags | HALT
                n += 1
            code[(n - 1) * ROW_WORDS + 1] |= flags | phase_number << FLAG_SHIFT
        self._code[1:] = code

    def _kind(self) -> bytes:
        """What programs that are alike have in common: kernels and shapes, in the order in which they run."""
        rows = self._code[0].reshape(-1, ROW_WORDS)
        heights, widths = (rows[:, FIRST_OPERAND + place :: OPERAND_WORDS] for place in (1, 2))
        return hashlib.blake2b(np.hstack([rows[:, :1], heights, widths]).tobytes(), digest_size=16).digest()

    def results(self) -> list[Array]:
        """See kernels.program.Runner."""
        return [self._array(view) for view in self.program.results]

    def leave_results(self) -> None:
        """See kernels.program.Runner."""
        if arena.holders(self._memory) > self._holders:
            before, self._memory = self._memory, self.plan.allocate()
            self._code[:, self._temporary] += address(self._memory) - address(before)
            self._kept = [(self._array(view), self._array(copy)) for view, copy in self.program.kept]
            self._holders = arena.holders(self._memory)

    def run(self, steps: int, arguments: Sequence[Array], more: int | None = None) -> int:
        """See kernels.program.Runner. Callers on several threads take turns: code and arena are one run's.

        Where nobody knows how many steps come after these, as many are expected as have been.
        """
        done, more = 0, self._steps if more is None else more
        with self._turn, CALLERS.working() as only:
            halted = False
            while done < steps and not halted:
                decision = self._record.decide(steps - done, steps - done + more, only)
                ran = self._run(walker(), decision, arguments, done)
                if ran.steps:
                    self._record.note(decision, ran.threads, ran.steps, ran.seconds)
                done, halted = done + ran.steps, ran.halted
            self._steps += done
        return done

    def timed(self, steps: int, arguments: Sequence[Array]) -> Timings:
        """See kernels.program.Runner."""
        with self._turn:
            decision, count = Decision(self._record.fastest, steps, math.inf), len(self.program)
            readings = np.zeros((decision.threads, READINGS * count + 2), np.int64)
            ran = self._run(walker(timed=True), decision, arguments, readings=readings)
        seconds, threads = ran.seconds, ran.threads
        readings = readings[:threads]
        began, ended = readings[:, -2:].T
        unit = seconds / max(1, ended[0] - began[0])
        in_program_order = np.argsort(self._order)
        times = readings[:, :-2].reshape(threads, count, READINGS)[:, in_program_order] * unit
        last = readings[:, :-2].reshape(threads, count, READINGS)[:, in_program_order, 2:]
        last = (last - last[..., 0].min(initial=ended.max())) * unit
        return Timings(seconds / steps, times[..., 0] / steps, times[..., 1] / steps, last[..., 0], last[..., 1])

    def _run(
        self,
        launcher: Launcher,
        decision: Decision,
        arguments: Sequence[Array],
        first: int = 0,
        readings: Array | None = None,
    ) -> _Ran:
        """Runs steps from the first on; on one thread where others have the team, or it cannot start."""
        places = [address(argument) + first * argument.strides[0] for argument in arguments]
        for i, (word, position, offset) in enumerate(self._moving):
            self._code[:, word] = places[position] + offset
            self._moves[i, 1] = arguments[position].strides[0]
        for kernel, arrays in self._prologue:
            kernel.run(arrays)
        state, limited = self._state, decision.alone < math.inf and _ticks > 0.0
        state[BEHIND : EACH + 1] = (BEHIND_SECONDS * _ticks, decision.alone * _ticks) if limited else (NEVER, 0)
        self._shared[ENDING] = 0
        operands = (self._code, self._moves, self._shared, float(decision.steps), state, self._flags, readings)
        threads = decision.threads
        team = team_of(threads).start() if threads > 1 else None
        started = time.perf_counter()
        if team is not None:
            threads = team.run(launcher, operands, patience=PATIENCE)
        else:
            launcher.run(operands)
        seconds, steps = time.perf_counter() - started, int(state[DONE])
        halted = steps < decision.steps and bool(self._flags.any())
        if halted:
            self._flags[...] = 0
            restore(self._kept)
        else:
            _note_ticks(int(state[TOOK]), seconds)
        return _Ran(threads, steps, seconds, halted)


class _Ran(NamedTuple):
    """A native run."""

    threads: int
    steps: int
    seconds: float
    halted: bool  # by a watch, in the step that came next


_ticks = 0.0  # of the CPU's clock in a second


def _note_ticks(ticks: int, seconds: float) -> None:
    """Takes a run's ticks and seconds: the most a second are right, as a call takes a moment besides."""
    global _ticks
    _ticks = max(_ticks, ticks / seconds)
