"""A step as a program: recorded when first called, at the kernel boundary, and replayed while what it depends on stays.

A step is recorded twice, as it runs eagerly. If both recordings are the same calls on the same memory, the step is a
function of its arguments and of what lives on (parameters, averages, data), and the program replaces it for as long as
the snapshot of what the step depends on holds; if they are not, a sentence says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kernels import Backend
from kernels.locks import reentrant_lock
from kernels.program import Program, Runner, difference, optimise, prepare, recorder, recording

from ..backends import running_on
from ..tensor import Array, Tensor, noting_leaves
from .snapshot import Snapshot

MOST_RECORDINGS = 4  # of a step that does something else each time
MOST_BYTES = 1 << 28  # that a step's programs may take; the least recently used go first
INSTRUCTION_BYTES = 1 << 12  # that an instruction takes besides its temporaries, about


class NotReplayable(ValueError):
    """A step that does something else each time, or that needs values while it runs."""


@dataclass
class Recording:
    """One eager run of a step: what it called, returned, which leaves got gradients, and what it depends on."""

    program: Program
    outputs: tuple[Tensor, ...]
    leaves: list[Tensor]
    with_grad: list[Tensor]
    snapshot: Snapshot


@dataclass
class Replay:
    """A step for arguments of one kind. runner: what may run in its place, if two recordings agreed."""

    recording: Recording
    differed: int = 0  # recordings in a row that were not what the one before was
    program: Program | None = None
    runner: Runner | None = None

    @property
    def nbytes(self) -> int:
        """What it takes in memory, about."""
        program = self.recording.program
        temporaries = sum(buffer.nbytes for buffer in [*program.temporaries, *program.arguments])
        return temporaries + INSTRUCTION_BYTES * len(program)


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
        self.turn = reentrant_lock()  # programs have one arena each: callers on several threads take turns

    def ready(self, key: Any) -> Replay | None:
        """What may run in the step's place for arguments of this kind, now."""
        replay = self.replays.get(key)
        if replay is None or replay.runner is None or not replay.recording.snapshot.unchanged:
            return None
        self.replays[key] = self.replays.pop(key)
        return replay

    def record(self, key: Any, backend: Backend, arguments: Sequence[Any], arrays: Sequence[Array]) -> Any:
        """Runs the step eagerly, and compares its calls with those of the time before. Returns what it returns.

        arrays: those of the arguments, or of their tensors, that are the program's arguments. Raises NotReplayable
        where the calls differ again and again though nothing that the step depends on has changed.
        """
        replay = self.replays.pop(key, None)
        known = replay is not None and replay.recording.snapshot.unchanged
        found, returned = self._recorded(backend, arguments, arrays)
        if replay is None:
            replay = Replay(found)
        else:
            why = difference(replay.recording.program, found.program)
            replay.recording, replay.differed = found, replay.differed + 1 if why and known else 0
            if why is not None:
                replay.runner = replay.program = None
            elif replay.runner is None:
                replay.program = optimise(found.program, backend, self.without)
                replay.runner = prepare(replay.program, backend)
            if replay.differed >= MOST_RECORDINGS - 1:
                raise NotReplayable(f"the step cannot be replayed: {why}")
        self._keep(key, replay)
        return returned

    def _keep(self, key: Any, replay: Replay) -> None:
        left = MOST_BYTES - replay.nbytes
        for other, kept in reversed(self.replays.copy().items()):
            left -= kept.nbytes
            if left < 0:
                del self.replays[other]
        self.replays[key] = replay

    def _recorded(self, backend: Backend, arguments: Sequence[Any], arrays: Sequence[Array]) -> tuple[Recording, Any]:
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
        gradients = [(leaf, leaf.grad) for leaf in leaves if leaf.grad is not None]
        results = [output.array for output in outputs]
        results += [gradient if gradient.ndim else gradient.reshape(1) for _, gradient in gradients]
        snapshot = Snapshot([self.function, *self.roots, *leaves])
        return Recording(tape.program(results), outputs, leaves, [leaf for leaf, _ in gradients], snapshot), returned
