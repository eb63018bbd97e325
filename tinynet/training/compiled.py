"""Compiled steps: a user's step function, recorded when first called and replayed after, with the same bits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from kernels.contract.dtypes import FLOATS
from kernels.program import Profile, Program, profile, taping
from kernels.program.interpreter import persistent, restore
from kernels.program.profile import written

from ..backends import current
from ..checks import check_positive
from ..precision import products
from ..tensor import Array, Tensor, recording
from .step import NotReplayable, Replay, Step

# Numbers, each of which is a program of its own that has not yet been replayed. A compromise: a few are options, so
# many are a count or a rate that changes in each call.
MOST_NUMBERS = 32


class CompiledStep:
    """What ``compile`` returns: call it as the step. ``program`` is what the last call ran, or will run."""

    decides_steps = False

    def __init__(self, step: Callable[..., Any], without: Collection[str] = ()):
        self.step = self.__wrapped__ = step
        self._step = Step(step, without=without)
        self._last: Replay | None = None

    @property
    def program(self) -> Program:
        """The program for the shapes of the last call. Print it for a listing."""
        if self._last is None:
            raise ValueError("the step has no program yet: call it once")
        return self._last.program or self._last.recording.program

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        arguments = self._by_position(arguments, named) if named else arguments
        if taping():  # within another step that is recorded, of which it is a part
            return self.step(*arguments)
        with self._step.turn:
            prepared, arrays, key = _prepared(arguments)
            replay = self._step.ready(key)
            if replay is None:
                return self._recorded(arguments, prepared, arrays, key)
            self._last, replay.used = replay, True
            assert replay.runner is not None
            for tensor in (*replay.recording.cleared, *replay.recording.with_grad):
                tensor.grad = None
            replay.runner.leave_results()  # gradients of the last run that somebody else holds
            if replay.runner.run(1, [array[None] for array in arrays]) == 0:
                return self._halted(replay, prepared)
            _write_back(replay, arguments, arrays)
            return self._results(replay)

    def _by_position(self, arguments: Sequence[Any], named: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments in order."""
        bound = inspect.signature(self.step).bind(*arguments, **named)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(f"the step takes {', '.join(bound.kwargs)} by name alone, expected by position as well")
        return bound.args

    def _halted(self, replay: Replay, prepared: Sequence[Any]) -> Any:
        """The step, run eagerly, which says what is wrong; counters and the like are then as before."""
        for tensor, gradient in replay.recording.begun:
            tensor.grad = gradient
        assert replay.program is not None
        kept = [persistent(view, replay.program.memory[view.buffer]) for view, _ in replay.program.kept]
        before = [(array, array.copy()) for array in kept]
        try:
            return self.step(*prepared)
        except BaseException:
            restore(before)
            raise

    def profile(self, *arguments: Any, steps: int = 100) -> Profile:
        """Where the time of the step goes, kernel by kernel, in up to so many replays with these arguments at a time.

        What steps change besides their arguments is as before when it returns. Raises ValueError unless the step has
        been replayed with arguments of these shapes: call it three times before.
        """
        check_positive("steps", steps)
        with self._step.turn:
            prepared, arrays, key = _prepared(arguments)
            replay = self._step.ready(key)
            if replay is None or replay.runner is None:
                raise ValueError("the step has not been replayed with such arguments: call it three times before")
            try:
                return profile(replay.runner, steps, [np.broadcast_to(a.copy(), (steps, *a.shape)) for a in arrays])
            except ArithmeticError:  # if it is the arguments' fault, the eager step says so
                kept = [(array, array.copy()) for array in written(replay.runner.program)]
                try:
                    self._halted(replay, prepared)
                finally:
                    restore(kept)
                raise

    def _recorded(self, arguments: Sequence[Any], prepared: Sequence[Any], arrays: Sequence[Array], key: Any) -> Any:
        """An eager call on copies of the arrays, which are then no other memory that the step knows."""
        if key not in self._step.replays:
            self._refuse_numbers(key)
        copies = {id(array): array.copy() for array in arrays}
        for array in arrays:
            copies[id(array)].flags.writeable = array.flags.writeable
        own = [_with_arrays(value, copies) for value in prepared]
        returned = self._step.record(key, current(), own, [copies[id(array)] for array in arrays])
        self._last = self._step.replays[key]
        for number in self._last.recording.written:
            arrays[number][...] = copies[id(arrays[number])]
        _write_back(self._last, arguments, arrays)
        return returned

    def _refuse_numbers(self, key: Any) -> None:
        """Refuses to record the step again and again for a number that is another in every call."""
        shapes = [part for part in key[1:] if not _is_number(part[0])]
        unused = [other for other, replay in self._step.replays.items() if not replay.used]
        alike = sum([part for part in other[1:] if not _is_number(part[0])] == shapes for other in unused)
        if alike >= MOST_NUMBERS:
            position = next(i for i, part in enumerate(key[1:]) if _is_number(part[0]))
            raise NotReplayable(
                f"argument {position} of the step was {MOST_NUMBERS} other numbers in calls none of which could be "
                f"replayed, as each number is a program of its own: pass it as an array or a Tensor of one element"
            )

    def _results(self, replay: Replay) -> Any:
        """Copies of what the step returns; the leaves' gradients are set where the step leaves them."""
        assert replay.runner is not None
        recorded, results = replay.recording, replay.runner.results()
        outputs = tuple(
            Tensor(array.reshape(output.shape).copy()) for output, array in zip(recorded.outputs, results, strict=False)
        )
        for leaf, gradient in zip(recorded.with_grad, results[len(outputs) :], strict=True):
            leaf.grad = gradient if gradient.shape == leaf.shape else gradient.reshape(leaf.shape)
        return outputs[0] if len(outputs) == 1 else outputs


def _prepared(arguments: Sequence[Any]) -> tuple[list[Any], list[Array], Any]:
    """The arguments as the step gets them, their arrays, and what of them decides which program runs."""
    prepared, arrays, key = list[Any](), list[Array](), list[Any]([(current(), recording(), products())])
    for position, value in enumerate(arguments):
        if isinstance(value, Tensor | np.ndarray):
            value = _as_array(position, value)
            array = value.data if isinstance(value, Tensor) else value
            same = next((i for i, other in enumerate(arrays) if other is array), None)
            if same is None and any(np.may_share_memory(array, other) for other in arrays):
                array = array.copy()
                value = Tensor(array) if isinstance(value, Tensor) else array
            arrays.append(array)
            key.append((type(value), array.shape, array.dtype, array.flags.writeable, same))
        elif value is None or isinstance(value, bool | int | float | str):
            key.append((type(value), value.hex() if isinstance(value, float) else value))
        elif isinstance(value, np.number):
            key.append((type(value), value.tobytes()))
        else:
            raise TypeError(
                f"argument {position} is a {type(value).__name__}, expected an array, a Tensor, a number, a string or "
                f"None"
            )
        prepared.append(value)
    return prepared, arrays, tuple(key)


def _as_array(position: int, value: Tensor | Array) -> Tensor | Array:
    """The argument with its elements side by side, in a dtype that kernels take: whole numbers are int64."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise TypeError(f"argument {position} requires a gradient, expected data: let the step make it a parameter")
        data = np.asarray(value.data, order="C")
        return value if data is value.data else Tensor(data)
    dtype = value.dtype
    if dtype.kind in "iu" and dtype != np.uint64:
        dtype = np.dtype(np.int64)
    elif dtype.kind == "f" and dtype not in FLOATS:
        dtype = FLOATS[0]  # as Tensor makes of it
    return np.asarray(value, dtype, order="C")


def _is_number(kind: type) -> bool:
    """Whether an argument of this type is a number, and none of a few."""
    return kind is not bool and issubclass(kind, int | float | np.number)


def _write_back(replay: Replay, arguments: Sequence[Any], arrays: Sequence[Array]) -> None:
    """What the step wrote into arguments, where it got copies of them: of another layout, or of shared memory."""
    if not replay.recording.written:
        return
    given = [value.data if isinstance(value, Tensor) else value for value in arguments]
    given = [value for value in given if isinstance(value, np.ndarray)]
    for number in replay.recording.written:
        if not np.may_share_memory(given[number], arrays[number]):
            given[number][...] = arrays[number]


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
