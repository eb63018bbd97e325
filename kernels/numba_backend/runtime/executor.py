"""Runs recorded programs in machine code: one call, and one parallel region, for as many steps as are wanted.

A program becomes rows of words, one a kernel call (``lowering``), which every thread walks on its own copy
(``walker``), calling each kernel with its number. Threads wait for each other only where one reads or overwrites what
another wrote: instructions are grouped into phases with a barrier after each. The watches of a phase raise a flag of
its own, at which all threads look after its barrier; until then a thread that sees it raised calls nothing more. From
step to step only the addresses of the arguments move on; each thread advances them in its copy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...locks import lock
from ...program import arena
from ...program.instruction import Array, View
from ...program.interpreter import persistent, restore
from ...program.program import Program
from ...program.recording import address
from ...program.timings import Timings
from ..kernels.entry import Arrangement
from ..native.invocation import Launcher
from .callers import CALLERS
from .lowering import lower
from .machine import Machine
from .team import PATIENCE, team_of
from .thread_choice import BEHIND as BEHIND_SECONDS
from .thread_choice import Decision, record_of
from .walker import (
    BEHIND,
    COUNT,
    DONE,
    EACH,
    ENDING,
    READINGS,
    SHARED_WORDS,
    STATE_WORDS,
    TOOK,
    walker,
)

NEVER = 1 << 60  # ticks


class Executor:
    """A program, ready to run natively. See kernels.program.Runner."""

    def __init__(self, program: Program, machine: Machine, arrangements: Mapping[str, Callable[..., Arrangement]]):
        """arrangements: how a kernel's operands become those of the machine's kernels."""
        self.program, self.machine = program, machine
        seeds = program.seeds  # which are among the words
        known = program.worked_out.get(machine)
        if known is None or known[0] != seeds:
            known = program.worked_out[machine] = seeds, lower(program, machine, arrangements)
        lowered = self._lowered = known[1]
        self.phases = [[program.instructions[i] for i in phase] for phase in lowered.order]
        self.plan = lowered.plan
        self._memory = self.plan.allocate()
        self._flags = np.zeros(len(lowered.order) + 1, np.int64)  # of each phase; watches write a NaN of either dtype
        self._code = np.tile(lowered.located(self._memory, program.memory, self._flags), (machine.threads, 1))
        self._order = [i for phase in lowered.order for i in phase]
        # One thread runs the prologue: it is short, and its calls may depend on each other. It has no temporaries.
        self._prologue = [
            (machine.launcher(kernel, char), tuple(self._array(o) if isinstance(o, View) else o for o in operands))
            for kernel, char, operands, _ in (arrangements[i.kernel](*i.operands) for i in program.prologue)
        ]
        self._shared, self._state = np.zeros(SHARED_WORDS, np.int64), np.zeros(STATE_WORDS, np.int64)
        self._state[COUNT] = len(program)
        self._turn = lock()
        self._record, self._steps = record_of(machine.threads, lowered.kind), 0  # run so far
        self._kept = [(self._array(view), self._array(copy)) for view, copy in program.kept]
        self._holders = arena.holders(self._memory)

    def _array(self, view: View) -> Array:
        owner = self.program.memory.get(view.buffer)
        if owner is not None:
            return persistent(view, owner)
        return view.on(self._memory, self.plan.offsets[view.buffer])

    def results(self) -> list[Array]:
        """See kernels.program.Runner."""
        return [self._array(view) for view in self.program.results]

    def leave_results(self) -> None:
        """See kernels.program.Runner."""
        if arena.holders(self._memory) > self._holders:
            before, self._memory = self._memory, self.plan.allocate()
            self._code[:, self._lowered.temporary] += address(self._memory) - address(before)
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
        places = np.array([(address(a) + first * a.strides[0], a.strides[0]) for a in arguments], np.int64)
        for kernel, arrays in self._prologue:
            kernel.run(arrays)
        state, limited = self._state, decision.alone < math.inf and _ticks > 0.0
        state[BEHIND : EACH + 1] = (BEHIND_SECONDS * _ticks, decision.alone * _ticks) if limited else (NEVER, 0)
        self._shared[ENDING] = 0
        operands = (
            self._code, self._lowered.moving, places.reshape(-1, 2), self._shared, float(decision.steps), state,
            self._flags, readings,
        )  # fmt: skip
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
