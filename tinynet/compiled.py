"""Compiled steps: recorded at the kernel boundary when first called, then replayed.

A step is recorded twice, as it runs eagerly. If both recordings are the same calls on the same memory, the step is a
function of its arguments and of what lives on (parameters, averages, data), and the program replaces it; if they are
not, the sentence that says why is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels import Backend
from kernels.contract.checks import check_below
from kernels.program import Profile, Program, Runner, View, difference, optimise, prepare, profile, recorder, recording

from .backends import current, running_on
from .checks import check_positive
from .nn.module import structure
from .tensor import Array, Tensor, noting_leaves


class NotReplayable(ValueError):
    """A step that does something else each time, or that needs values while it runs."""


@dataclass
class Recording:
    """One eager run of a step: what it called, returned, and which leaves got gradients."""

    program: Program
    outputs: tuple[Tensor, ...]
    leaves: list[tuple[Tensor, Array]]  # with the data they had
    with_grad: list[Tensor]

    @property
    def holds(self) -> bool:
        """Whether the leaves' data are still the arrays that were recorded."""
        return all(leaf.data is data for leaf, data in self.leaves)


def record(step: Callable[..., Any], arguments: Sequence[Any], arrays: Sequence[Array]) -> tuple[Recording, Any]:
    """Runs the step once and records it; the recording, and what the step returned.

    arrays: those of the arguments, or of their tensors, that are the program's arguments.
    """
    with running_on(recorder(current())), recording(arrays) as tape, noting_leaves() as leaves:
        returned = step(*arguments)
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
    with_grad = [leaf for leaf in leaves if leaf.grad is not None]
    results = [output.array for output in outputs]
    results += [leaf.grad if leaf.grad.ndim else leaf.grad.reshape(1) for leaf in with_grad if leaf.grad is not None]
    program = tape.program(results)
    return Recording(program, outputs, [(leaf, leaf.data) for leaf in leaves], with_grad), returned


class Replay:
    """A step for arguments of one shape: recorded until two recordings agree, then run as a program."""

    MOST_RECORDINGS = 4

    def __init__(self, step: Callable[..., Any], backend: Backend, without: Collection[str] = ()):
        self.step, self.backend, self.without = step, backend, without
        self.recorded: Recording | None = None
        self._program: Program | None = None
        self.runner: Runner | None = None
        self._recordings = 0
        self._structure = -1

    @property
    def program(self) -> Program | None:
        """What was recorded last, after all passes; None before that."""
        if self._program is None and self.recorded is not None:
            self._program = optimise(self.recorded.program, self.backend, self.without)
        return self._program

    @property
    def ready(self) -> bool:
        """Whether the program may run in the step's place."""
        current_structure = self._structure == structure()
        return self.runner is not None and current_structure and self.recorded is not None and self.recorded.holds

    def trust(self) -> None:
        """Says that nothing has changed what the step does, though modes were switched there and back."""
        if self._structure >= 0:
            self._structure = structure()

    def distrust(self) -> None:
        """Says that the step may have changed: it is recorded again before any program runs."""
        self._structure = -1

    def record(self, arguments: Sequence[Any], arrays: Sequence[Array]) -> Any:
        """Runs the step eagerly, and compares the calls with those of the time before. Returns what it returns.

        Raises NotReplayable where they differ again and again.
        """
        before, self._recordings = self.recorded, self._recordings + 1
        self.recorded, returned = record(self.step, arguments, arrays)
        changed = self._structure != structure()
        self._structure = structure()
        if before is None:
            return returned
        why = difference(before.program, self.recorded.program)
        if why is None:
            if self.runner is None or not before.holds:
                self._prepare()
            self._recordings = 0
        else:
            self.runner = self._program = None
            if self._recordings >= self.MOST_RECORDINGS and not changed:
                raise NotReplayable(f"the step cannot be replayed: {why}")
        return returned

    def _prepare(self) -> None:
        assert self.recorded is not None
        for bound in self.recorded.program.bounds:
            if bound.view.buffer.array is not None:
                owner = bound.view.buffer.array
                check_below(bound.kernel, bound.operand, _whole(bound.view, owner), bound.limit)
        self._program = optimise(self.recorded.program, self.backend, self.without)
        self.runner = prepare(self._program, self.backend)

    def check(self, arrays: Sequence[Array]) -> None:
        """Refuses indices among the arguments that are out of range."""
        assert self.program is not None
        for bound in self.program.bounds:
            if bound.view.buffer.array is None:
                argument = arrays[bound.view.buffer.number]
                check_below(bound.kernel, bound.operand, argument.reshape(-1), bound.limit)


def _whole(view: View, owner: Array) -> Array:
    """The indices in persistent memory that a view shows."""
    start = view.offset // view.dtype.itemsize
    flat: Array = owner.reshape(-1)[start : start + view.size]
    return flat


class CompiledStep:
    """What ``compile`` returns: call it as the step. ``program`` is what the last call ran, or will run."""

    def __init__(self, step: Callable[..., Any], without: Collection[str] = ()):
        self.step, self.without = step, tuple(without)
        self._replays: dict[Any, Replay] = {}
        self._last: Replay | None = None

    @property
    def program(self) -> Program:
        """The program for the shapes of the last call. Print it for a listing."""
        if self._last is None or self._last.program is None:
            raise ValueError("the step has no program yet: call it once")
        return self._last.program

    def __call__(self, *arguments: Any) -> Any:
        prepared, key = zip(*map(_prepared, range(len(arguments)), arguments), strict=True) if arguments else ((), ())
        arrays = [a.data if isinstance(a, Tensor) else a for a in prepared if isinstance(a, Tensor | np.ndarray)]
        replay = self._replays.get((current(), key))
        if replay is None:
            replay = self._replays[current(), key] = Replay(self.step, current(), self.without)
        self._last = replay
        if not replay.ready:
            return replay.record(prepared, arrays)
        replay.check(arrays)
        assert replay.runner is not None
        replay.runner.run(1, [array[None] for array in arrays])
        return self._returned(replay)

    def profile(self, *arguments: Any, steps: int = 100) -> Profile:
        """Where the time of the step goes, kernel by kernel, in up to so many replays with these arguments at a time.

        What steps change besides their arguments is as before when it returns. Raises ValueError unless the step has
        been replayed with arguments of these shapes: call it three times before.
        """
        prepared, key = zip(*map(_prepared, range(len(arguments)), arguments), strict=True) if arguments else ((), ())
        arrays = [a.data if isinstance(a, Tensor) else a for a in prepared if isinstance(a, Tensor | np.ndarray)]
        check_positive("steps", steps)
        replay = self._replays.get((current(), key))
        if replay is None or replay.runner is None or not replay.ready:
            raise ValueError("the step has not been replayed with such arguments: call it three times before")
        replay.check(arrays)
        return profile(replay.runner, steps, [np.broadcast_to(a.copy(), (steps, *a.shape)) for a in arrays])

    def _returned(self, replay: Replay) -> Any:
        """Copies of what the step returns; the leaves' gradients are set where the step leaves them."""
        recorded = replay.recorded
        assert recorded is not None and replay.runner is not None
        count = len(recorded.outputs)
        outputs = tuple(
            Tensor(array.reshape(output.shape).copy())
            for output, array in zip(recorded.outputs, replay.runner.results, strict=False)
        )
        for leaf, _ in recorded.leaves:
            leaf.grad = None
        for leaf, gradient in zip(recorded.with_grad, replay.runner.results[count:], strict=True):
            leaf.grad = gradient.reshape(leaf.shape)
        return outputs[0] if count == 1 else outputs


def _prepared(position: int, value: Any) -> tuple[Any, Any]:
    """An argument as the step gets it, and what of it decides which program runs."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise TypeError(f"argument {position} requires a gradient, expected data: let the step make it a parameter")
        data = np.ascontiguousarray(value.data)
        return (value if data is value.data else Tensor(data)), ("tensor", data.shape, data.dtype)
    if isinstance(value, np.ndarray):
        wanted = np.int64 if value.dtype.kind in "iub" else value.dtype
        array = np.ascontiguousarray(value, wanted)
        return array, ("array", array.shape, array.dtype)
    if value is None or isinstance(value, bool | int | float | str):
        return value, (type(value), value)
    raise TypeError(
        f"argument {position} is a {type(value).__name__}, expected an array, a Tensor, a number, a string or None"
    )


def compile(step: Callable[..., Any], without: Collection[str] = ()) -> CompiledStep:
    """A training step that is recorded when first called and replayed after, with the same bits.

    step: a function of arrays, Tensors and numbers that returns the loss (or a tuple of Tensors) and calls backward();
    what else it computes with must live on between calls. Numbers are part of the program: another number, shape or
    dtype records another one. The first two calls run eagerly, and are compared. without: names of passes left out
    (kernels.program.PASSES). Raises ValueError (NotReplayable) for a step that cannot be replayed, saying why.
    """
    if not callable(step):
        raise TypeError(f"step is a {type(step).__name__}, expected a function")
    return CompiledStep(step, without)
