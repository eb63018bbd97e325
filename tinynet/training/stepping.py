"""The Trainer's steps: one function of a batch's row numbers, run eagerly or replayed many at a time."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from operator import is_
from typing import Any, Protocol

import numpy as np

from kernels.program import Profile, Program, Runner, flag, profile

from ..backends import current
from ..nn import Module
from ..optim import Optimizer
from ..optim.transformations import Transform, Transformation, apply_transformations
from ..precision import settled, use_precision
from ..tensor import Array, Tensor
from ..warning import warn
from .reachable import runs_only_ours
from .scheduled import Schedules
from .step import MOST_RECORDINGS, NotReplayable, Replay, Step

NO_VALUES = np.zeros(1)[None]  # the same for all steps
# Seconds of steps between which the bar moves and Ctrl-C is answered. A compromise: people take it for at once, and
# what Python does in between is done twenty times a second at most (`benchmarks/constants.py stepping.AT_A_TIME`
# compares).
AT_A_TIME = 0.05


class Training(Protocol):
    """What steps ask of their Trainer. step, epoch: completed so far."""

    model: Module
    loss_function: Any
    optimizer: Optimizer
    schedules: Schedules | None
    clip_norm: float | None
    precision: str
    compile: bool
    dtype: Any
    step: int
    epoch: int

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What is done to the gradients before an update."""

    @property
    def batches_an_update(self) -> int:
        """How many batches' gradients go into an update."""


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or NaN. The model holds the last finite weights."""


class Stepper:
    """Runs a Trainer's steps on whichever rows of the data it is given. Programs outlive a ``fit``."""

    decides_steps = False

    def __init__(self, trainer: Training):
        self.trainer, self.compiles = trainer, trainer.compile
        self._depends: dict[str, Any] = {}  # what a step calls, and whether schedules drive options of it
        self._failed: float | None = None  # the loss of a step that was not finished
        self._halted = False  # by a watch: the next step runs eagerly, and says why
        self._trusted: dict[Any, Replay] = {}  # programs that hold, since no code but tinynet's has run
        self._said = NO_VALUES  # what schedules said for the steps that ran last
        self._next: Array | None = None  # what schedules say for the step that comes next
        self._step = Step(self.step, [self._depends])
        self._step_seconds: dict[Any, float] = {}
        self._kept: list[tuple[Array, Array]] = []  # all that steps change, and copies of it
        self._data: tuple[weakref.ref[Array], ...] = ()
        self.epochs_left = 0  # after the current one
        self.runs_only_ours = False  # no code but tinynet's is called in a step
        self.program: Program | None = None  # the last that was replayed

    def fit_begins(self, features: Array, target: Array) -> None:
        """Takes the data of a ``fit``."""
        trainer = self.trainer
        self.features, self.target, self._failed, self._halted = features, target, None, False
        self._kind = tuple((array.shape, array.dtype) for array in (features, target))
        self.other_code_ran()
        self._note_calls()
        same = [array() for array in self._data]
        calls = [trainer.model, trainer.loss_function, trainer.optimizer, *trainer.transforms]
        self.runs_only_ours = runs_only_ours(calls)
        if not self.runs_only_ours and not all(map(is_, same, (features, target))):
            self._step = Step(self.step, [self._depends])  # a user's code may know the data by another name
        self._data = weakref.ref(features), weakref.ref(target)

    def fit_ended(self) -> None:
        """Lets go of what a fit learned from, which may be much."""
        self.features = self.target = NO_VALUES

    def other_code_ran(self) -> None:
        """Says that code of the user's, or an evaluation, may have changed what a step does."""
        self._trusted.clear()

    def _note_calls(self) -> None:
        """Notes what a step calls; a callback may have exchanged it."""
        trainer = self.trainer
        self._depends.update(
            model=trainer.model,
            loss=trainer.loss_function,
            optimizer=trainer.optimizer,
            transforms=trainer.transforms,
            clip_norm=trainer.clip_norm,
            scheduled=None if trainer.schedules is None else tuple(trainer.schedules.names),
        )

    def _note_arrays(self) -> None:
        trainer, parameters = self.trainer, self.trainer.model.parameters()
        transforms = [each for each in trainer.transforms if isinstance(each, Transformation)]
        for transform in transforms:
            transform.begin(parameters)
        arrays = [parameter.data for parameter in parameters]
        arrays += [array for average in trainer.optimizer.averages_of_all() for array in average]
        arrays += [array for transform in transforms for array in transform.arrays()]
        arrays += self._counters()
        if [id(array) for array in arrays] != [id(array) for array, _ in self._kept]:
            self._kept = [(array, np.empty_like(array)) for array in arrays]

    def _counters(self) -> list[Array]:
        """What a step may change before it knows whether it will be finished."""
        found = [buffer for _, buffer in self.trainer.model.named_buffers()]
        found += [group.hyper for group in self.trainer.optimizer.groups]
        found += [array for array, _ in self.trainer.optimizer.counters()]
        return list({id(array): array for array in found}.values())

    def epoch_begins(self) -> None:
        """Notes what to fall back to, and switches the model to training."""
        model = self.trainer.model
        if not self._trusted:
            self._note_calls()
            self._note_arrays()
        if not self._trusted or not model.training:  # an evaluation was last; a step that is halted is run eagerly
            model.train()
        for array, copy in self._kept:
            np.copyto(copy, array)

    def _key(self, size: int, last: bool) -> Any:
        """What decides which program runs. last: an update follows."""
        return current(), (settled(self.trainer.precision), size, last, self._kind)

    def run(self, batches: Array, in_epoch: int = 0) -> list[float]:
        """Steps on the first of these batches, each a row of row numbers; their losses.

        in_epoch: how many batches of this size each later epoch has.

        A step that was not finished, as its loss is not finite, is not among those returned: ``refuse_loss`` says so.
        Raises what a step raises, for instance ValueError for a label out of range; all is then as before that step.
        """
        # Batches until an update, which is a step of another kind.
        left = -(self.trainer.step + 1) % self.trainer.batches_an_update
        more = len(batches) + self.epochs_left * in_epoch
        batches, last = batches[: left or (1 if self.trainer.batches_an_update > 1 else None)], left == 0
        found = (
            self._replay(batches, last, more) if self.compiles and not self._halted else self._eager(batches[0], last)
        )
        self.trainer.step += len(found)
        if self.trainer.schedules:
            self.trainer.schedules.apply(self.trainer.step, self._next)
            self._next = None
        return found

    def _eager(self, rows: Array, last: bool) -> list[float]:
        loss, self._halted = np.zeros(1, self.trainer.dtype), False
        with self._undone():
            self.step(rows, self._values(1)[0], loss, self.features, self.target, last)
        return self._losses(loss)

    def _record(self, batches: Array, values: Array, last: bool) -> list[float]:
        """One eager step that is recorded; or, if steps cannot be replayed, the end of all recording."""
        loss = np.zeros(1, self.trainer.dtype)
        arrays = [batches[0].copy(), values[0], loss, self.features, self.target]
        with self._undone():
            try:
                key = self._key(batches.shape[1], last)
                self._step.record(key, current(), [*arrays, last], arrays, key[1] if self.runs_only_ours else None)
            except NotReplayable as why:
                self.compiles = False
                warn(f"training goes on step by step: {why}")
        return self._losses(loss)

    def _losses(self, loss: Array) -> list[float]:
        return [float(loss[0])] if self._failed is None else []

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Takes counters and running averages back where a step is not finished."""
        before = [(array, array.copy()) for array in self._counters()]
        try:
            yield
        except BaseException as error:
            for array, copy in before:
                np.copyto(array, copy)
            if not isinstance(error, _Unfinished):
                raise
            self._failed = error.args[0]

    def _replay(self, batches: Array, last: bool, more: int) -> list[float]:
        """more: batches of this size to come, these included."""
        key = self._key(batches.shape[1], last)
        replay = self._trusted.get(key) or self._step.ready(key)
        if replay is None and self.runs_only_ours:
            replay = self._step.recalled(key, key[1], current())
        if replay is None:
            self._trusted.clear()
            return self._record(batches, self._values(1), last)
        assert replay.runner is not None
        self._trusted[key] = replay
        self.program = replay.program
        batches = batches[: max(1, int(AT_A_TIME / self._step_seconds.get(key, AT_A_TIME)))]
        losses = np.full((len(batches), 1), math.nan, self.trainer.dtype)
        values = self._values(len(batches) + 1)
        arguments = self._arguments(batches, losses, values)
        started = time.perf_counter()
        done = replay.runner.run(len(batches), arguments, more - len(batches))
        self._step_seconds[key] = max(1e-7, (time.perf_counter() - started) / len(batches))
        self._halted, self._next = done < len(batches), values[-1 if len(values) == 1 else done]
        found: list[float] = losses[:done, 0].tolist()
        return found

    def _arguments(self, batches: Array, losses: Array, values: Array) -> list[Array]:
        """What a replayed step is given for each of the batches."""
        return [batches, values, losses, self.features[None], self.target[None]]

    def profile(self, batches: Array) -> Profile:
        """Profiles replayed steps on the batches, a few of them or all of them again and again.

        The learning rate is 0 meanwhile, so that however many steps run, none changes the weights; what else steps
        change is as before when it returns. Raises ValueError where steps are not replayed, NonFiniteLoss where the
        weights there are give no finite loss.
        """
        trainer, key = self.trainer, self._key(batches.shape[1], last=True)
        for array, copy in self._kept:
            np.copyto(copy, array)
        try:
            trainer.model.train()
            for group in trainer.optimizer.groups:
                group.hyper[group.names.index("lr")] = 0.0
            for _ in range(MOST_RECORDINGS):
                if self.compiles and self._failed is None and self._step.ready(key) is None:
                    self._record(batches, self._no_rates(1), last=True)
            replay = self._step.ready(key) if self.compiles else None
            if self._failed is None and (replay is None or replay.runner is None):
                raise ValueError("there is no recorded step to profile: the steps run eagerly")
            return self._profiled(replay.runner if replay else None, batches)
        finally:
            self._failed = None
            for array, copy in self._kept:
                np.copyto(array, copy)

    def _profiled(self, runner: Runner | None, batches: Array) -> Profile:
        def arguments(steps: int) -> list[Array]:
            rows = np.resize(batches, (steps, batches.shape[1]))
            return self._arguments(rows, np.empty((steps, 1), self.trainer.dtype), self._no_rates(steps))

        steps = len(batches)
        for _ in range(2):  # the first warms up
            given, started = arguments(steps), time.perf_counter()
            done = 0 if runner is None else runner.run(steps, given)
            if done < steps:
                if runner is not None:
                    self._eager_at_rest(batches[done])
                raise NonFiniteLoss("the loss is not finite with the weights there are, so no step can be profiled")
            seconds = (time.perf_counter() - started) / steps
        assert runner is not None
        steps = max(1, int(AT_A_TIME / seconds))
        return profile(runner, steps, arguments(steps))

    def _eager_at_rest(self, rows: Array) -> None:
        """A step that was halted, run eagerly: it raises what is wrong with its rows, if that is it."""
        with self._undone():
            self.step(rows, self._no_rates(1)[0], np.zeros(1, self.trainer.dtype), self.features, self.target)

    def _no_rates(self, steps: int) -> Array:
        """What schedules say, but for a learning rate of 0."""
        schedules = self.trainer.schedules
        if schedules is None:
            return NO_VALUES
        row = [0.0 if name == "lr" else float(array[place]) for name, (array, place) in self._scheduled()]
        return np.array([row] * steps)

    def _scheduled(self) -> list[tuple[str, tuple[Array, int]]]:
        """The name of each option that a schedule drives, and where it is kept."""
        schedules = self.trainer.schedules
        return [] if schedules is None else list(zip(schedules.names, schedules.targets(), strict=True))

    def step(
        self, rows: Array, values: Array, loss_out: Array, features: Array, target: Array, last: bool = True
    ) -> Tensor:
        """One step on these rows of the data. values: of the options that schedules drive; last: an update follows."""
        with use_precision(self.trainer.precision):
            return self._stepped(rows, values, loss_out, features, target, last)

    def _stepped(
        self, rows: Array, values: Array, loss_out: Array, features: Array, target: Array, last: bool
    ) -> Tensor:
        trainer, k = self.trainer, current()
        trainer.model.zero_grad()  # also of parameters that no group holds
        for i, (_, (array, place)) in enumerate(self._scheduled()):
            k.cast(values[i : i + 1], out=array[place : place + 1])
        output = trainer.model(Tensor(k.gather_rows(features, rows)))
        loss = trainer.loss_function(output, targets_of(target, rows))
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise TypeError(f"the loss function returned {loss!r}, expected a scalar Tensor")
        value = loss.array.reshape(1)
        k.cast(value, out=loss_out)
        if (raised := flag(value.dtype)) is not None:
            k.watch_finite(value, raised)
        if not math.isfinite(loss_out[0]):
            raise _Unfinished(float(loss_out[0]))
        loss.backward()
        if apply_transformations(trainer.transforms, trainer.model.parameters(), last):
            trainer.optimizer.step()
        trainer.model.zero_grad()
        return loss

    def _values(self, steps: int) -> Array:
        """What schedules say for so many steps from now on."""
        trainer = self.trainer
        self._said = NO_VALUES if trainer.schedules is None else trainer.schedules.values(trainer.step, steps)
        return self._said

    def rates(self, steps: int) -> list[float]:
        """The first group's learning rates in so many steps, those of the last run."""
        names = [name for name, _ in self._scheduled()]
        if "lr" in names:
            found: list[float] = self._said[:steps, names.index("lr")].tolist()
            return found
        return [self.trainer.optimizer.groups[0]["lr"]] * steps if steps else []

    def refuse_loss(self) -> None:
        """Raises NonFiniteLoss, with finite weights in the model, if the last step's loss was not finite."""
        if self._failed is None:
            return
        trainer = self.trainer
        lr, kept = trainer.optimizer.groups[0]["lr"], "the weights are those before this step"
        if not all(np.isfinite(array).all() for array, _ in self._kept):
            for array, copy in self._kept:
                np.copyto(array, copy)
            kept = "the weights are those at the epoch's start"
        raise NonFiniteLoss(
            f"the loss became {self._failed} in epoch {trainer.epoch + 1}, step {trainer.step + 1}, at learning rate "
            f"{lr:g}; {kept}: try a smaller learning rate or gradient clipping"
        )


def targets_of(target: Array, rows: Array) -> Array:
    """The rows of the targets: labels, numbers, or rows of numbers."""
    k = current()
    found: Array
    if target.dtype == np.int64:
        labels = target if target.ndim == 1 else target[:, 0]
        found = target[rows] if target.size != len(labels) else k.gather_labels(labels, rows)
    elif target.ndim == 1:
        found = k.gather_rows(target[:, None], rows).reshape(-1)
    else:
        found = k.gather_rows(target, rows)
    return found


class _Unfinished(Exception):
    """The step's loss, which is not finite, so that nothing was updated."""
