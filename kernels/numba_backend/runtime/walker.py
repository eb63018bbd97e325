"""The machine code that walks a program's rows of words, step after step, on one thread or on several.

Threads wait for each other at barriers. A run on several threads can end before its last step: where others have the
CPUs, a barrier waits for a thread that has none, for milliseconds, and one thread alone is faster. Whoever comes last
to a step's last barrier looks at the clock, and tells the others if the run is too far behind what one thread would
have done by then; all of them end after that step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ...memory import APART
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

# Flags of an instruction: wait after it; end the run there if the phase's flag is raised; look at that flag now. Above
# these bits is the number of the flag.
BARRIER, HALT, WATCH, FLAG_SHIFT = 1, 2, 4, 8
# Operands of the executor itself.
CODE, MOVES, ARGUMENTS, SHARED, STEPS, STATE, FLAGS, TIMES = range(8)
READINGS = 4  # of the clock, an instruction
ARRIVED, GENERATION, ENDING = 0, APART, 2 * APART  # places in the shared words
SHARED_WORDS = 3 * APART
# Words of the run's state: steps done and the ticks that they took, which it says; the number of instructions, and the
# ticks that it may be behind one thread, and that a step takes there, which it is told.
DONE, TOOK, COUNT, BEHIND, EACH = range(5)
STATE_WORDS = 5
# Looks at a barrier before a waiting thread gives way to others on its core. A compromise: longer than threads differ
# in a phase, and an end to waiting for a thread that has no core. With its pause a look takes 11 ns on a 2-core Xeon,
# as `benchmarks/constants.py walker.SPINS` measures first: some 0.2 ms.
SPINS = 20_000


@inlined
def wait(shared, threads, late):
    """A barrier: returns when all threads have come here. late: the last of them says that the run is to end."""
    generation = atomic_load(shared, GENERATION)
    if atomic_add(shared, ARRIVED, 1) == threads - 1:
        if late:
            atomic_store(shared, ENDING, 1)
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
        """Operands: code, what moves each step, arguments, shared words, steps, state, flags of phases.

        What moves are words that are addresses in arguments: the word, the argument's number, the offset in it. Of each
        argument its address in the first step, and how far it moves each step.

        Timed, also a row of clock readings for each thread: for each instruction the sum of what the kernel took, the
        sum of what waiting after it took, and when it began and ended last; then when the run began and ended.
        """
        code = place(follow(words, FIRST_OPERAND + OPERAND_WORDS * CODE), thread * (stride_bytes(words, CODE) // 8))
        times = place(follow(words, FIRST_OPERAND + OPERAND_WORDS * TIMES), thread * (stride_bytes(words, TIMES) // 8))
        moves = follow(words, FIRST_OPERAND + OPERAND_WORDS * MOVES)
        arguments = follow(words, FIRST_OPERAND + OPERAND_WORDS * ARGUMENTS)
        shared = follow(words, FIRST_OPERAND + OPERAND_WORDS * SHARED)
        state = follow(words, FIRST_OPERAND + OPERAND_WORDS * STATE)
        flags = follow(words, FIRST_OPERAND + OPERAND_WORDS * FLAGS)
        count, steps = state[COUNT], number(words, STEPS)
        for move in range(rows(words, MOVES)):
            code[moves[3 * move]] = arguments[2 * moves[3 * move + 1]] + moves[3 * move + 2]
        started = ticks(0)
        step, ended, halted, due = 0, started, False, started + state[BEHIND]
        if timed:
            times[READINGS * count] = started
        while step < steps:
            due += state[EACH]
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
                        wait(shared, threads, i == count - 1 and ticks(0) > due)
                        if timed:
                            began, ended = ended, ticks(0)
                            times[READINGS * i + 1] += ended - began
                    if mark & HALT != 0 and flags[mark >> FLAG_SHIFT] != 0:
                        if thread == 0:
                            state[DONE] = step
                        return
            for move in range(rows(words, MOVES)):
                code[moves[3 * move]] += arguments[2 * moves[3 * move + 1] + 1]
            step += 1
            if threads > 1 and atomic_load(shared, ENDING) != 0:
                break
        ended = ticks(0)
        if timed:
            times[READINGS * count + 1] = ended
        if thread == 0:
            state[DONE], state[TOOK] = step, ended - started

    return walk


@cache
def walker(timed: bool = False) -> Launcher:
    """What runs a program's rows; timed: it looks at a clock after each instruction."""
    return Launcher(address_of("executor-timed" if timed else "executor", lambda: _walker(timed)))
