"""Passes: each turns a program into one that computes the same bits with less work or better locality.

``optimise`` runs them in order; any can be left out by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

import numpy as np

from ..contract.backend import Backend
from ..contract.declaration import ACTIVATIONS, OUTPUT_ACTIVATIONS
from ..contract.optimizers import UPDATES
from ..memory import LINE, PAGE
from .dependencies import overlap, predecessors
from .instruction import OPTIMIZER, PERSISTENT, SMALL, TEMPORARY, Buffer, Instruction, View
from .program import Program

Pass = Callable[[Program, Backend], Program]

# Bytes of a weight that is kept in both layouts: both stay in an L2 cache of 512 KiB. In a larger one a weight could be
# larger, but its copy is then written from further away at each update. `benchmarks/constants.py
# passes.MOST_TRANSPOSED` compares none, this and all.
MOST_TRANSPOSED = 1 << 18
COPIES = 1000  # from here on, numbers of persistent buffers that are copies


def remove_dead_calls(program: Program, backend: Backend) -> Program:
    """Leaves out calls whose results nobody reads."""
    needed: set[Buffer] = {view.buffer for view in program.lasting}
    kept: list[Instruction] = []
    for instruction in reversed(program.instructions):
        if all(view.buffer.kind == TEMPORARY and view.buffer not in needed for view in instruction.writes):
            continue
        kept.append(instruction)
        needed.update(view.buffer for view in instruction.reads)
    return replace(program, instructions=kept[::-1])


def fuse_activations(program: Program, backend: Backend) -> Program:
    """linear, then an activation that alone reads its result: one call."""

    def fused(first: Instruction, second: Instruction, between: View) -> Instruction | None:
        if second.kernel not in ACTIVATIONS or "linear" not in backend.native:
            return None
        if dict(first.named())["activation"] != "identity":
            return None
        return first.with_operands(activation=second.kernel, out=dict(second.named())["out"])

    return _fuse(program, "linear", fused)


def fuse_activation_gradients(program: Program, backend: Backend) -> Program:
    """matmul, then the gradient of an activation that alone reads its result: one call."""
    kernels = {f"{activation}_gradient": activation for activation in OUTPUT_ACTIVATIONS}

    def fused(first: Instruction, second: Instruction, between: View) -> Instruction | None:
        if second.kernel not in kernels or "matmul_gradient" not in backend.native:
            return None
        product, gradient = dict(first.named()), dict(second.named())
        if gradient["grad"] != between:
            return None
        a, b, *options = (product[name] for name in ("a", "b", "transpose_a", "transpose_b", "precision"))
        operands = (a, b, gradient["y"], kernels[second.kernel], *options, gradient["out"])
        return Instruction("matmul_gradient", operands, first.part)

    return _fuse(program, "matmul", fused)


def _fuse(
    program: Program, kernel: str, fused: Callable[[Instruction, Instruction, View], Instruction | None]
) -> Program:
    """Replaces pairs of which the first calls the kernel, and the second alone reads its only result."""
    instructions: list[Instruction | None] = list(program.instructions)
    lasting = {view.buffer for view in program.lasting}
    touching: dict[Buffer, set[int]] = {}
    for i, instruction in enumerate(program.instructions):
        _touch(touching, instruction, i)
    for i, first in enumerate(program.instructions):
        between = first.writes[0] if first.kernel == kernel and len(first.writes) == 1 else None
        if between is None or instructions[i] is not first or between.buffer in lasting:
            continue
        j, second = _other(instructions, touching[between.buffer], i)
        if between.buffer.kind != TEMPORARY or second is None or j < i or between not in second.reads:
            continue
        made, skipped = fused(first, second, between), [each for each in instructions[i + 1 : j] if each is not None]
        # It comes where the second came, so its operands must not change before that.
        if made is not None and not any(_written(read, skipped) for read in made.reads):
            instructions[i], instructions[j] = None, made
            _touch(touching, first, i, j)
    return replace(program, instructions=[instruction for instruction in instructions if instruction is not None])


def _touch(touching: dict[Buffer, set[int]], instruction: Instruction, place: int, now: int | None = None) -> None:
    """Notes which buffers an instruction touches; now: where another one does instead."""
    for view in [*instruction.reads, *instruction.writes]:
        found = touching.setdefault(view.buffer, set())
        found.add(place)
        if now is not None:
            found.remove(place)
            found.add(now)


def _other(instructions: Sequence[Instruction | None], places: set[int], i: int) -> tuple[int, Instruction | None]:
    """Of two instructions the one that is not number i."""
    others = places - {i}
    if len(others) != 1:
        return i, None
    (j,) = others
    return j, instructions[j]


def watch_once(program: Program, backend: Backend) -> Program:
    """Indices are watched once, until they are written again: what is below a limit is below a greater one."""
    kept, watched = list[Instruction](), list[tuple[View, int]]()
    for instruction in program.instructions:
        if instruction.kernel == "watch_below":
            indices, _, limit = instruction.operands
            assert isinstance(indices, View) and isinstance(limit, int)
            if any(indices == other and least <= limit for other, least in watched):
                continue
            watched.append((indices, limit))
        else:
            watched = [pair for pair in watched if not _written(pair[0], [instruction])]
        kept.append(instruction)
    return replace(program, instructions=kept)


def watch_early(program: Program, backend: Backend) -> Program:
    """Indices are watched as soon as they are there, so that a step which is halted has changed nothing."""
    found = list[Instruction]()
    for instruction in program.instructions:
        place = len(found)
        if instruction.kernel == "watch_below":
            indices = instruction.operands[0]
            assert isinstance(indices, View)
            writers = [i for i, earlier in enumerate(found) if _written(indices, [earlier])]
            place = writers[-1] + 1 if writers else len(program.kept)  # the copies to go back to come first
            while place < len(found) and found[place].halts:
                place += 1
        found.insert(place, instruction)
    return replace(program, instructions=found)


def watch_rows(program: Program, backend: Backend) -> Program:
    """The losses of the rows are watched instead of their sum: a thread sees those of its own rows without waiting."""
    instructions = list(program.instructions)
    for i, instruction in enumerate(instructions):
        if instruction.kernel != "watch_finite":
            continue
        source = instruction.operands[0]
        writers = [j for j in range(i) if any(view == source for view in instructions[j].writes)]
        if writers and instructions[writers[-1]].kernel in ("sum", "mean"):
            summed, axis, _ = instructions[writers[-1]].operands
            between = instructions[writers[-1] : i]
            if axis is None and isinstance(summed, View) and not _written(summed, between):
                instructions[i] = instruction.with_operands(x=summed)
    return replace(program, instructions=instructions)


def _written(view: View, instructions: Sequence[Instruction]) -> bool:
    """Whether one of the instructions writes what the view shows."""
    return any(overlap(written, view) for instruction in instructions for written in instruction.writes)


def update_after_gradient(program: Program, backend: Backend) -> Program:
    """Each parameter is updated as soon as its gradient is there, while that is in the cache."""
    before = predecessors(program.instructions)

    def first(instruction: Instruction) -> bool:
        """What updates wait for, and the updates themselves, come as early as they can."""
        counts = all(view.buffer.kind == PERSISTENT and view.nbytes <= SMALL for view in instruction.writes)
        return counts or instruction.kernel in UPDATES

    early = [first(instruction) for instruction in program.instructions]
    after: list[list[int]] = [[] for _ in before]
    waits = [len(earlier) for earlier in before]
    for i, earlier in enumerate(before):
        for j in earlier:
            after[j].append(i)
    ready = [(not early[i], i) for i, count in enumerate(waits) if count == 0]
    order: list[int] = []
    heapify(ready)
    while ready:
        _, chosen = heappop(ready)
        order.append(chosen)
        for i in after[chosen]:
            waits[i] -= 1
            if waits[i] == 0:
                heappush(ready, (not early[i], i))
    return replace(program, instructions=[program.instructions[i] for i in order])


def keep_transposed(program: Program, backend: Backend) -> Program:
    """A small weight that a product wants transposed is kept transposed as well, and written again when it is updated.

    For backends whose products transpose such a factor in every call, each thread the whole of it.
    """
    if backend.executor is None:
        return program
    instructions, copies = list(program.instructions), dict[View, View]()
    memory = dict(program.memory)
    writers: dict[Buffer, list[Instruction]] = {}
    for instruction in instructions:
        for view in instruction.writes:
            writers.setdefault(view.buffer, []).append(instruction)
    for i, instruction in enumerate(instructions):
        operands = dict(instruction.named())
        weight = operands.get("b")
        if not isinstance(weight, View) or not operands.get("transpose_b") or not _kept(weight, writers):
            continue
        if weight not in copies:
            rows, columns = weight.shape
            array = np.empty((columns, rows), weight.dtype)
            buffer = Buffer(PERSISTENT, COPIES + len(copies), array.nbytes)
            memory[buffer] = array
            copies[weight] = View(buffer, 0, array.shape, array.strides, array.dtype)
        instructions[i] = instruction.with_operands(b=copies[weight], transpose_b=False)
    if not copies:
        return program
    transposed = {weight: Instruction("transpose", (weight, copy), OPTIMIZER) for weight, copy in copies.items()}
    found = list[Instruction]()
    for instruction in instructions:
        found.append(instruction)
        if instruction.kernel in UPDATES:
            found += [transposed[written] for written in instruction.writes if written in transposed]
    return replace(program, instructions=found, prologue=[*program.prologue, *transposed.values()], memory=memory)


def _kept(weight: View, writers: Mapping[Buffer, Sequence[Instruction]]) -> bool:
    """Whether a weight is small, and written by its optimizer alone."""
    writing = [i for i in writers.get(weight.buffer, ()) if any(overlap(written, weight) for written in i.writes)]
    return (
        weight.buffer.kind == PERSISTENT
        and weight.nbytes <= MOST_TRANSPOSED
        and len(writing) == 1
        and writing[0].kernel in UPDATES
        and weight in writing[0].writes
    )


def pad_rows(program: Program, backend: Backend) -> Program:
    """Temporaries whose rows are whole pages get rows that are a cache line longer.

    Elements below each other would share a few places of the first cache, which then holds fewer of them than a
    product reads at a time. Not where a kernel sums all elements: rows end where they are, so the order may change.
    """
    if backend.executor is None:
        return program
    views: dict[Buffer, set[View]] = {}
    fixed = {view.buffer for view in program.lasting}
    for instruction in program.instructions:
        touched = [operand for operand in instruction.operands if isinstance(operand, View)]
        for view in touched:
            views.setdefault(view.buffer, set()).add(view)
        if instruction.kernel in ("sum_of_squares", "dot") or dict(instruction.named()).get("axis", 0) is None:
            fixed.update(view.buffer for view in touched)
    padded = {
        view: _padded(view)
        for buffer, found in views.items()
        for view in found
        if buffer not in fixed and len(found) == 1 and _pages(view)
    }
    return replace(
        program,
        instructions=[
            replace(instruction, operands=tuple(
                padded.get(operand, operand) if isinstance(operand, View) else operand
                for operand in instruction.operands
            )) if any(view in padded for view in (*instruction.reads, *instruction.writes)) else instruction
            for instruction in program.instructions
        ],
    )  # fmt: skip


def _pages(view: View) -> bool:
    """Whether a view shows a whole temporary of several rows, each of whole pages."""
    whole = view.buffer.kind == TEMPORARY and view.nbytes == view.buffer.nbytes and not view.offset
    return whole and view.ndim == 2 and view.shape[0] > 1 and view.strides == (view.nbytes // view.shape[0],
        view.dtype.itemsize) and view.strides[0] % PAGE == 0  # fmt: skip


def _padded(view: View) -> View:
    stride = view.strides[0] + LINE
    buffer = Buffer(TEMPORARY, view.buffer.number, view.shape[0] * stride)
    return replace(view, buffer=buffer, strides=(stride, view.strides[1]))


PASSES: dict[str, Pass] = {
    "dead": remove_dead_calls,
    "activation": fuse_activations,
    "activation_gradient": fuse_activation_gradients,
    "watch": watch_rows,
    "watch_once": watch_once,
    "watch_early": watch_early,
    "transposed": keep_transposed,
    "update": update_after_gradient,
    "padded": pad_rows,
}


def optimise(program: Program, backend: Backend, without: Collection[str] = ()) -> Program:
    """The program after all passes but those named in ``without``; its notes say what each changed."""
    for name, run in PASSES.items():
        if name in without:
            continue
        before = program.instructions
        program = run(program, backend)
        if program.instructions != before:
            fewer, same = len(before) - len(program), sorted(map(id, before)) == sorted(map(id, program.instructions))
            what = "another order" if same else "other operands"
            what = f"{abs(fewer)} instructions {'fewer' if fewer > 0 else 'more'}" if fewer else what
            program = replace(program, notes=[*program.notes, f"pass {name}: {what}"])
    return program
