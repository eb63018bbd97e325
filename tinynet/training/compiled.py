"""Compiled steps: a user's step function, recorded when first called and replayed after, with the same bits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from kernels.program import Profile, Program, profile

from ..backends import current
from ..checks import check_positive
from ..tensor import Array, Tensor
from .step import NotReplayable, Replay, Step

MOST_NUMBERS = 32  # different ones in a row, each of which is a program of its own


class CompiledStep:
    """What ``compile`` returns: call it as the step. ``program`` is what the last call ran, or will run."""

    decides_steps = False

    def __init__(self, step: Callable[..., Any], without: Collection[str] = ()):
        self.step = step
        self._step = Step(step, without=without)
        self._last: Replay | None = None
        self._numbers = 0  # recorded in a row for nothing but other numbers

    @property
    def program(self) -> Program:
        """The program for the shapes of the last call. Print it for a listing."""
        if self._last is None:
            raise ValueError("the step has no program yet: call it once")
        return self._last.program or self._last.recording.program

    def __call__(self, *arguments: Any) -> Any:
        with self._step.turn:
            prepared, arrays, key = _prepared(arguments)
            replay = self._step.ready(key)
            if replay is None:
                return self._recorded(prepared, arrays, key)
            self._last, self._numbers = replay, 0
            assert replay.runner is not None
            for leaf in replay.recording.leaves:
                leaf.grad = None
            replay.runner.leave_results()  # gradients of the last run that somebody else holds
            if replay.runner.run(1, [array[None] for array in arrays]) == 0:
                return self.step(*prepared)  # which says what is wrong
            return self._results(replay)

    def profile(self, *arguments: Any, steps: int = 100) -> Profile:
        """Where the time of the step goes, kernel by kernel, in up to so many replays with these arguments at a time.

        What steps change besides their arguments is as before when it returns. Raises ValueError unless the step has
        been replayed with arguments of these shapes: call it three times before.
        """
        check_positive("steps", steps)
        with self._step.turn:
            _, arrays, key = _prepared(arguments)
            replay = self._step.ready(key)
            if replay is None or replay.runner is None:
                raise ValueError("the step has not been replayed with such arguments: call it three times before")
            return profile(replay.runner, steps, [np.broadcast_to(a.copy(), (steps, *a.shape)) for a in arrays])

    def _recorded(self, prepared: Sequence[Any], arrays: Sequence[Array], key: Any) -> Any:
        """An eager call on copies of the arrays, which are then no other memory that the step knows."""
        if key not in self._step.replays:
            self._refuse_numbers(key)
        copies = {id(array): array.copy() for array in arrays}
        own = [_with_arrays(value, copies) for value in prepared]
        returned = self._step.record(key, current(), own, [copies[id(array)] for array in arrays])
        self._last = self._step.replays[key]
        for buffer in dict.fromkeys(
            view.buffer for i in self._last.recording.program.instructions for view in i.writes
        ):
            if buffer.kind == "argument":
                arrays[buffer.number][...] = copies[id(arrays[buffer.number])]
        return returned

    def _refuse_numbers(self, key: Any) -> None:
        """Refuses to record the step again and again for a number that is another in every call."""
        shapes = [part for part in key[1:] if part[0] not in (int, float)]
        alike = any(
            [part for part in other[1:] if part[0] not in (int, float)] == shapes for other in self._step.replays
        )
        self._numbers = self._numbers + 1 if alike else 0
        if self._numbers >= MOST_NUMBERS:
            position = next(i for i, part in enumerate(key[1:]) if part[0] in (int, float))
            raise NotReplayable(
                f"argument {position} of the step was another number in each of {MOST_NUMBERS} calls, and each is a "
                f"program of its own: pass it as an array or a Tensor of one element"
            )

    def _results(self, replay: Replay) -> Any:
        """Copies of what the step returns; the leaves' gradients are set where the step leaves them."""
        assert replay.runner is not None
        recorded, results = replay.recording, replay.runner.results()
        outputs = tuple(
            Tensor(array.reshape(output.shape).copy()) for output, array in zip(recorded.outputs, results, strict=False)
        )
        for leaf, gradient in zip(recorded.with_grad, results[len(outputs) :], strict=True):
            leaf.grad = gradient.reshape(leaf.shape)
        return outputs[0] if len(outputs) == 1 else outputs


def _prepared(arguments: Sequence[Any]) -> tuple[list[Any], list[Array], Any]:
    """The arguments as the step gets them, their arrays, and what of them decides which program runs."""
    prepared, arrays, key = list[Any](), list[Array](), list[Any]([current()])
    for position, value in enumerate(arguments):
        if isinstance(value, Tensor | np.ndarray):
            value = _as_array(position, value)
            array = value.data if isinstance(value, Tensor) else value
            same = next((i for i, other in enumerate(arrays) if other is array), None)
            if same is None and any(np.may_share_memory(array, other) for other in arrays):
                array = array.copy()
                value = Tensor(array) if isinstance(value, Tensor) else array
            arrays.append(array)
            key.append((type(value), array.shape, array.dtype, same))
        elif value is None or isinstance(value, bool | int | float | str):
            key.append((type(value), value.hex() if isinstance(value, float) else value))
        else:
            raise TypeError(
                f"argument {position} is a {type(value).__name__}, expected an array, a Tensor, a number, a string or "
                f"None"
            )
        prepared.append(value)
    return prepared, arrays, tuple(key)


def _as_array(position: int, value: Tensor | Array) -> Tensor | Array:
    """The argument with its elements side by side; whole numbers are int64."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise TypeError(f"argument {position} requires a gradient, expected data: let the step make it a parameter")
        data = np.asarray(value.data, order="C")
        return value if data is value.data else Tensor(data)
    return np.asarray(value, np.int64 if value.dtype.kind in "iub" else value.dtype, order="C")


def _with_arrays(value: Any, arrays: dict[int, Array]) -> Any:
    """An argument with the array that stands for its own."""
    if isinstance(value, Tensor):
        return Tensor(arrays[id(value.data)])
    return arrays[id(value)] if isinstance(value, np.ndarray) else value


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
