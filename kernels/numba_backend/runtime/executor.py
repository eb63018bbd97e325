"""Runs recorded programs in machine code: one call, and one parallel region, for as many steps as are wanted.

A program becomes rows of words, one a kernel call, which every thread walks on its own copy, calling each kernel with
its number. Threads wait for each other only where one reads or overwrites what another wrote: instructions are grouped
into phases with a barrier after each. The watches of a phase raise a flag of its own, at which all threads look after
its barrier; until then a thread that sees it raised calls nothing more. From step to step only the addresses of the
arguments move on; each thread advances them in its copy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from ...locks import lock
from ...memory import APART
from ...program import arena
from ...program.dependencies import height
from ...program.instruction import ARGUMENT, TEMPORARY, Array, View
from ...program.interpreter import persistent, restore
from ...program.program import Program
from ...program.recording import address, extent
from ...program.timings import Timings
from ..kernels.entry import Arrangement
from ..native.calling_convention import (  # fmt: skip
    FIRST_OPERAND,
    OPERAND_WORDS,
    ROW_WORDS,
    atomic_add,
    atomic_load,
    atomic_store,
    call_kernel,
    follow,
    inlined,
    number,
    pause,
    place,
    rows,
    stride_bytes,
    ticks,
    yield_core,
)
from ..native.compilation import address_of
from ..native.invocation import Launcher
from .footprints import regions
from .machine import Machine
from .phases import phases
from .team import team_of
from .thread_choice import Choice

# Flags of an instruction: wait after it; end the run there if the phase's flag is raised; look at that flag now. Above
# these bits is the number of the flag.
BARRIER, HALT, WATCH, FLAG_SHIFT = 1, 2, 4, 8
# Operands of the executor itself.
CODE, MOVES, SHARED, STEPS, DONE, FLAGS, TIMES = range(7)
READINGS = 4  # of the clock, an instruction
ARRIVED, GENERATION = 0, APART  # places in the shared words
# Looks at a barrier before a waiting thread gives way to others on its core. A compromise: longer than threads differ
# in a phase, and an end to waiting for a thread that has no core. With its pause a look takes 11 ns on a 2-core Xeon,
# as `benchmarks/constants.py executor.SPINS` measures first: some 0.2 ms.
SPINS = 20_000


@inlined
def wait(shared, threads):
    """A barrier: returns when all threads have come here."""
    generation = atomic_load(shared, GENERATION)
    if atomic_add(shared, ARRIVED, 1) == threads - 1:
        atomic_store(shared, ARRIVED, 0)
        atomic_store(shared, GENERATION, generation + 1)
        return
    spins = 0
    while atomic_load(shared, GENERATION) == generation:
        spins += 1
        if spins > SPINS:
            yield_core(0)
        else:
            pause(0)


def _walker(timed: bool) -> Callable[..., None]:
    """The kernel that walks the rows; timed: it also notes what each call took."""

    def walk(words: Any, thread: Any, threads: Any) -> None:
        """Operands: code, what moves each step and how far, shared words, steps, steps done, flags of phases.

        Timed, also a row of clock readings for each thread: for each instruction the sum of what the kernel took, the
        sum of what waiting after it took, and when it began and ended last; then when the run began and ended.
        """
        code = place(follow(words, FIRST_OPERAND + OPERAND_WORDS * CODE), thread * (stride_bytes(words, CODE) // 8))
        times = place(follow(words, FIRST_OPERAND + OPERAND_WORDS * TIMES), thread * (stride_bytes(words, TIMES) // 8))
        moves = follow(words, FIRST_OPERAND + OPERAND_WORDS * MOVES)
        shared = follow(words, FIRST_OPERAND + OPERAND_WORDS * SHARED)
        done = follow(words, FIRST_OPERAND + OPERAND_WORDS * DONE)
        flags = follow(words, FIRST_OPERAND + OPERAND_WORDS * FLAGS)
        count, steps = done[1], number(words, STEPS)
        step, ended, halted = 0, 0, False
        if timed:
            times[READINGS * count] = ticks(0)
        while step < steps:
            if timed:
                ended = ticks(0)
            for i in range(count):
                row = place(code, i * ROW_WORDS)
                if not halted:
                    call_kernel(row, thread, threads)
                if timed:
                    began, ended = ended, ticks(0)
                    times[READINGS * i] += ended - began
                    times[READINGS * i + 2], times[READINGS * i + 3] = began, ended
                mark = row[1]
                if mark & WATCH != 0:
                    halted = flags[mark >> FLAG_SHIFT] != 0
                if mark & BARRIER != 0:
                    if threads > 1:
                        wait(shared, threads)
                        if timed:
                            began, ended = ended, ticks(0)
                            times[READINGS * i + 1] += ended - began
                    if mark & HALT != 0 and flags[mark >> FLAG_SHIFT] != 0:
                        if thread == 0:
                            done[0] = step
                        return
            for move in range(rows(words, MOVES)):
                code[moves[2 * move]] += moves[2 * move + 1]
            step += 1
        if timed:
            times[READINGS * count + 1] = ticks(0)
        if thread == 0:
            done[0] = step

    return walk


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
        self._shared, self._done = np.zeros(2 * GENERATION, np.int64), np.array([0, len(program)], np.int64)
        self._launcher = Launcher(address_of("executor", lambda: _walker(timed=False)))
        self._turn = lock()
        self.choice = Choice(machine.threads)
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

    def run(self, steps: int, arguments: Sequence[Array]) -> int:
        """See kernels.program.Runner. Callers on several threads take turns: code and arena are one run's."""
        with self._turn:
            threads, seconds = self._run(self._launcher, self.choice.next(), steps, arguments)
            self.choice.note(threads, seconds / steps)
            return int(self._done[0])

    def timed(self, steps: int, arguments: Sequence[Array]) -> Timings:
        """See kernels.program.Runner."""
        with self._turn:
            threads, count = self.choice.fastest, len(self.program)
            readings = np.zeros((threads, READINGS * count + 2), np.int64)
            threads, seconds = self._run(_timed_launcher(), threads, steps, arguments, readings)
        readings = readings[:threads]
        began, ended = readings[:, -2:].T
        unit = seconds / max(1, ended[0] - began[0])
        in_program_order = np.argsort(self._order)
        times = readings[:, :-2].reshape(threads, count, READINGS)[:, in_program_order] * unit
        last = readings[:, :-2].reshape(threads, count, READINGS)[:, in_program_order, 2:]
        last = (last - last[..., 0].min(initial=ended.max())) * unit
        return Timings(seconds / steps, times[..., 0] / steps, times[..., 1] / steps, last[..., 0], last[..., 1])

    def _run(
        self, launcher: Launcher, threads: int, steps: int, arguments: Sequence[Array], readings: Array | None = None
    ) -> tuple[int, float]:
        """Runs the steps on so many threads, or on one where others are busy or cannot start: which, and seconds."""
        places = [address(argument) for argument in arguments]
        for i, (word, position, offset) in enumerate(self._moving):
            self._code[:, word] = places[position] + offset
            self._moves[i, 1] = arguments[position].strides[0]
        operands = (self._code, self._moves, self._shared, float(steps), self._done, self._flags, readings)
        for kernel, arrays in self._prologue:
            kernel.run(arrays)
        started = time.perf_counter()
        if threads > 1:
            threads = team_of(threads).run(launcher, operands)
        else:
            launcher.run(operands)
        seconds = time.perf_counter() - started
        if self._done[0] < steps:
            self._flags[...] = 0
            restore(self._kept)
        return threads, seconds


@cache
def _timed_launcher() -> Launcher:
    return Launcher(address_of("executor-timed", lambda: _walker(timed=True)))
