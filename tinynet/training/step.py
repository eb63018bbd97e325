"""A step as a program: recorded when first called, at the kernel boundary, and replayed while what it depends on stays.

A step is recorded twice, as it runs eagerly. If both recordings are the same calls on the same memory, the step is a
function of its arguments and of what lives on (parameters, averages, data), and the program replaces it for as long as
the snapshot of what the step depends on holds; if they are not, a sentence says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kernels import Backend
from kernels.locks import reentrant_lock
from kernels.program import (
    ARGUMENT,
    PERSISTENT,
    Program,
    Runner,
    difference,
    extent,
    optimised,
    prepare,
    recorder,
    recording,
)

from ..backends import running_on
from ..tensor import Array, Tensor, noting_leaves
from .form import Alike
from .snapshot import Snapshot

# Of a step that does something else each time. A compromise: the first may make what later ones find, such as averages,
# and each recording takes longer than an eager step.
MOST_RECORDINGS = 4
# That a step's programs may take; the least recently used go first. A compromise between several batch sizes of a large
# net and memory: 256 MiB.
MOST_BYTES = 1 << 28
INSTRUCTION_BYTES = 1 << 12  # that an instruction takes besides its temporaries, about
ADDS = (
    "backward() adds to gradients that were there before the step: call zero_grad() within the step, or give the "
    "Trainer transforms=[Accumulate(n)]"
)

Gradients = Sequence[tuple[Tensor, Array | None]]


class NotReplayable(ValueError):
    """A step that does something else each time, or that needs values while it runs."""


@dataclass
class Recording:
    """One eager run of a step: what it called, returned, which leaves got gradients, and what it depends on.

    begun: tensors whose gradient, or that there was none, mattered when the step began; cleared: those of which the
    step forgets what it finds.
    """

    program: Program
    outputs: tuple[Tensor, ...]
    with_grad: list[Tensor]
    snapshot: Snapshot
    begun: Gradients
    cleared: list[Tensor]

    @property
    def unchanged(self) -> bool:
        """Whether the step would do again what it did."""
        return self.snapshot.unchanged and all(tensor.grad is gradient for tensor, gradient in self.begun)

    @cached_property
    def written(self) -> list[int]:
        """The numbers of the arguments that the step writes."""
        views = [view for instruction in self.program.instructions for view in instruction.writes]
        return sorted({view.buffer.number for view in views if view.buffer.kind == ARGUMENT})

    @property
    def adds(self) -> bool:
        """Whether it read gradients that were there before."""
        return any(gradient is not None for _, gradient in self.begun)


@dataclass
class Replay:
    """A step for arguments of one kind. runner: what may run in its place, if two recordings agreed."""

    recording: Recording
    differed: int = 0  # recordings in a row that were not what the one before was
    used: bool = False  # a program has run in its place
    program: Program | None = None
    runner: Runner | None = None

    @property
    def nbytes(self) -> int:
        """What it takes in memory, about."""
        program, runner = self.recording.program, self.runner
        temporaries = sum(buffer.nbytes for buffer in program.temporaries) if runner is None else runner.plan.nbytes
        return temporaries + sum(buffer.nbytes for buffer in program.arguments) + INSTRUCTION_BYTES * len(program)


class Step:
    """A function of arrays, run eagerly or by programs. roots: where the walk for what it depends on begins."""

    decides_steps = False

    def __init__(self, function: Callable[..., Any], roots: Iterable[Any] = (), without: Collection[str] = ()):
        self.__setstate__((function, roots, tuple(without)))

    def __getstate__(self) -> Any:
        """A copy has no programs yet."""
        return self.function, self.roots, self.without

    def __setstate__(self, state: Any) -> None:
        self.function, self.roots, self.without = state
        self.replays: dict[Any, Replay] = {}  # the least recently used first
        self._alike: Alike | None = None
        self.turn = reentrant_lock()  # programs have one arena each: callers on several threads take turns

    def ready(self, key: Any) -> Replay | None:
        """What may run in the step's place for arguments of this kind, now."""
        replay = self.replays.get(key)
        if replay is None or replay.runner is None or not replay.recording.unchanged:
            return None
        self.replays[key] = self.replays.pop(key)
        return replay

    def recalled(self, key: Hashable, kind: Hashable, backend: Backend) -> Replay | None:
        """What may run in the place of a step that was never recorded, as one that was alike has been, and holds.

        kind: the key, but for the backend. The step must be of tinynet's code alone, make the same calls each time, and
        forget gradients first.
        """
        if self._alike is None or not self._alike.snapshot.unchanged:
            self._alike = Alike([self.function, *self.roots])
        program, snapshot = self._alike.recalled((kind, self.without), backend), self._alike.snapshot
        if program is None:
            return None
        recording = Recording(program, (), [], snapshot, [(tensor, None) for tensor in snapshot.tensors], [])
        self._keep(key, Replay(recording, program=program, runner=prepare(program, backend)))
        return self.ready(key)

    def record(
        self, key: Any, backend: Backend, arguments: Sequence[Any], arrays: Sequence[Array], kind: Hashable = None
    ) -> Any:
        """Runs the step eagerly, and compares its calls with those of the time before. Returns what it returns.

        arrays: those of the arguments, or of their tensors, that are the program's arguments. kind: as ``recalled`` has
        it, for a step that it may stand in for. One of which all is known beforehand need not be recorded twice. Raises
        NotReplayable where the calls differ again and again though nothing that the step depends on has changed.
        """
        replay = self.replays.pop(key, None)
        known = replay is not None and replay.recording.snapshot.unchanged
        before = [] if replay is None else [(t, t.grad) for t in replay.recording.snapshot.tensors]
        found, returned = self._recorded(backend, arguments, arrays, before)
        alike = None if kind is None else self._alike
        alike = alike if alike and alike.tells(found.program, found.snapshot.read) else None
        again = False
        if replay is None:
            replay = Replay(found)
        else:
            why = difference(replay.recording.program, found.program)
            why = ADDS if why and (found.adds or replay.recording.adds) else why
            replay.recording, replay.differed = found, replay.differed + 1 if why and known else 0
            again = why is None
            if not again:
                replay.runner = replay.program = None
            if replay.differed >= MOST_RECORDINGS - 1:
                raise NotReplayable(f"the step cannot be replayed: {why}")
        if replay.runner is None and (again or alike):
            replay.program = optimised(found.program, backend, self.without)
            replay.runner = prepare(replay.program, backend)
            if alike:
                alike.keep((kind, self.without), backend, found.program, found.snapshot.read, replay.program)
        self._keep(key, replay)
        return returned

    def _keep(self, key: Any, replay: Replay) -> None:
        left = MOST_BYTES - replay.nbytes
        for other, kept in reversed(self.replays.copy().items()):
            left -= kept.nbytes
            if left < 0:
                del self.replays[other]
        self.replays[key] = replay

    def _recorded(
        self, backend: Backend, arguments: Sequence[Any], arrays: Sequence[Array], before: Gradients
    ) -> tuple[Recording, Any]:
        """before: gradients that were there, as far as is known whose may matter."""
        with running_on(recorder(backend)), recording(arrays) as tape, noting_leaves() as leaves:
            returned = self.function(*arguments)
        if tape.refused:
            raise NotReplayable(f"the step cannot be replayed: {tape.refused}")
        outputs = returned if isinstance(returned, tuple) else (returned,)
        for output in outputs:
            if not isinstance(output, Tensor):
                raise NotReplayable(
                    f"the step returned a {type(output).__name__}, expected the loss, a Tensor, or a tuple of Tensors"
                )
        if not leaves:
            raise NotReplayable("the step never calls backward() on what it computes, so there is nothing to train")
        gradients = [(leaf, leaf.grad) for leaf, _ in leaves if leaf.grad is not None]
        results = [output.array for output in outputs]
        results += [gradient if gradient.ndim else gradient.reshape(1) for _, gradient in gradients]
        program = tape.program(results)
        memory = {extent(array) for buffer, array in tape.memory.items() if buffer.kind == PERSISTENT}
        snapshot = Snapshot([self.function, *self.roots, *(leaf for leaf, _ in leaves)], memory, tape.read)
        begun, cleared = _gradients(snapshot.tensors, leaves, before, memory)
        with_grad = [leaf for leaf, _ in gradients]
        return Recording(program, outputs, with_grad, snapshot, begun, cleared), returned


def _gradients(
    tensors: Iterable[Tensor], leaves: Gradients, before: Gradients, memory: Collection[tuple[int, int]]
) -> tuple[Gradients, list[Tensor]]:
    """Which gradients matter when a step begins, and what of them it forgets.

    leaves: what backward reached, with the gradients that it found there; before: those at the step's beginning.
    """
    known, reached = {id(tensor): gradient for tensor, gradient in before}, {id(leaf): found for leaf, found in leaves}
    begun, cleared = list[tuple[Tensor, Array | None]](), list[Tensor]()
    for tensor in tensors:
        was, now = known.get(id(tensor)), reached.get(id(tensor), tensor.grad)
        if was is not None and now is not was:
            cleared.append(tensor)
        elif was is None or id(tensor) in reached or extent(was) in memory:
            begun.append((tensor, now))
    return begun, cleared
