"""The Trainer's steps: one function of a batch's row numbers, run eagerly or replayed many at a time."""

from __future__ import annotations

import math
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.program import Profile, Program, Runner, flag, profile

from .backends import current
from .optim import clip_grad_norm_
from .snapshot import runs_only_ours
from .step import MOST_RECORDINGS, NotReplayable, Step
from .tensor import Array, Tensor

if TYPE_CHECKING:
    from .training import Trainer

NO_RATES = np.zeros(1)[None]  # the same for all steps
AT_A_TIME = 0.05  # seconds of steps between which the bar moves and Ctrl-C is heard


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or NaN. The model holds the last finite weights."""


class Stepper:
    """Runs a Trainer's steps on whichever rows of the data it is given. Programs outlive a ``fit``."""

    decides_steps = False

    def __init__(self, trainer: Trainer):
        self.trainer, self.compiles = trainer, trainer.compile
        self._failed: float | None = None  # the loss of a step that was not finished
        self._halted = False  # by a watch: the next step runs eagerly, and says why
        self._step = self._new_step()
        self._step_seconds: dict[Any, float] = {}
        self._kept: list[tuple[Array, Array]] = []  # all that steps change, and copies of it
        self._data: tuple[weakref.ref[Array], ...] = ()
        self.program: Program | None = None  # the last that was replayed

    def _new_step(self) -> Step:
        return Step(self.step, self._parts())

    def _parts(self) -> list[Any]:
        """What a step calls."""
        trainer = self.trainer
        return [trainer.model, trainer.loss_function, trainer.optimizer, trainer.clip_norm, trainer.schedule is None]

    def fit_begins(self, features: Array, target: Array) -> None:
        """Takes the data of a ``fit``."""
        self.features, self.target, self._failed, self._halted = features, target, None, False
        same = [array() for array in self._data]
        if not runs_only_ours(self._parts()[:3]) and not all(map(is_, same, (features, target))):
            self._step = self._new_step()  # a user's code may know the data by another name
        self._data = weakref.ref(features), weakref.ref(target)
        self._step.roots = self._parts()
        arrays = [p.data for p in self.trainer.model.parameters()]
        arrays += [array for average in self.trainer.optimizer.averages_of_all() for array in average]
        arrays += self._counters()
        if [id(array) for array in arrays] != [id(array) for array, _ in self._kept]:
            self._kept = [(array, np.empty_like(array)) for array in arrays]

    def _counters(self) -> list[Array]:
        """What a step may change before it knows whether it will be finished."""
        buffers = [buffer for _, buffer in self.trainer.model.named_buffers()]
        return buffers + [group.hyper for group in self.trainer.optimizer.groups]

    def epoch_begins(self) -> None:
        """Notes what to fall back to, and switches the model to training."""
        for array, copy in self._kept:
            np.copyto(copy, array)
        self.trainer.model.train()

    def _key(self, size: int) -> Any:
        """What decides which program runs."""
        return current(), size, self.features.shape, self.target.shape, self.target.dtype

    def run(self, batches: Array) -> list[float]:
        """Steps on the first of these batches, each a row of row numbers; their losses.

        A step that was not finished, as its loss is not finite, is not among those returned: ``refuse_loss`` says so.
        Raises what a step raises, for instance ValueError for a label out of range; all is then as before that step.
        """
        steps = self._replay(batches) if self.compiles and not self._halted else self._eager(batches[0])
        self.trainer.step += len(steps)
        if self.trainer.schedule:
            self.trainer.schedule.apply(self.trainer.optimizer, self.trainer.step)
        return steps

    def _eager(self, rows: Array) -> list[float]:
        loss, self._halted = np.zeros(1, self.trainer.dtype), False
        with self._undone():
            self.step(rows, self._rates(1)[0], loss, self.features, self.target)
        return self._losses(loss)

    def _record(self, batches: Array, rates: Array) -> list[float]:
        """One eager step that is recorded; or, if steps cannot be replayed, the end of all recording."""
        loss = np.zeros(1, self.trainer.dtype)
        arguments = [batches[0].copy(), rates[0], loss, self.features, self.target]
        with self._undone():
            try:
                self._step.record(self._key(batches.shape[1]), current(), arguments, arguments)
            except NotReplayable as why:
                self.compiles = False
                warnings.warn(f"training goes on step by step: {why}", stacklevel=7)
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

    def _replay(self, batches: Array) -> list[float]:
        key = self._key(batches.shape[1])
        replay = self._step.ready(key)
        if replay is None:
            return self._record(batches, self._rates(1))
        assert replay.runner is not None
        self.program = replay.program
        batches = batches[: max(1, int(AT_A_TIME / self._step_seconds.get(key, AT_A_TIME)))]
        losses = np.full((len(batches), 1), math.nan, self.trainer.dtype)
        arguments = self._arguments(batches, losses, self._rates(len(batches)))
        started = time.perf_counter()
        done = replay.runner.run(len(batches), arguments)
        self._step_seconds[key] = max(1e-7, (time.perf_counter() - started) / len(batches))
        self._halted = done < len(batches)
        found: list[float] = losses[:done, 0].tolist()
        return found

    def _arguments(self, batches: Array, losses: Array, rates: Array) -> list[Array]:
        """What a replayed step is given for each of the batches."""
        return [batches, rates, losses, self.features[None], self.target[None]]

    def profile(self, batches: Array) -> Profile:
        """Profiles replayed steps on the batches, a few of them or all of them again and again.

        The learning rate is 0 meanwhile, so that however many steps run, none changes the weights; what else steps
        change is as before when it returns. Raises ValueError where steps are not replayed, NonFiniteLoss where the
        weights there are give no finite loss.
        """
        trainer, key = self.trainer, self._key(batches.shape[1])
        for array, copy in self._kept:
            np.copyto(copy, array)
        try:
            trainer.model.train()
            for group in trainer.optimizer.groups:
                group.hyper[group.names.index("lr")] = 0.0
            for _ in range(MOST_RECORDINGS):
                if self.compiles and self._failed is None and self._step.ready(key) is None:
                    self._record(batches, self._no_rates(1))
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
            if runner is None or runner.run(steps, given) < steps:
                raise NonFiniteLoss("the loss is not finite with the weights there are, so no step can be profiled")
            seconds = (time.perf_counter() - started) / steps
        assert runner is not None
        steps = max(1, int(AT_A_TIME / seconds))
        return profile(runner, steps, arguments(steps))

    def _no_rates(self, steps: int) -> Array:
        """A learning rate of 0 for each group and step, if there is a schedule to say others."""
        return np.zeros((steps, len(self.trainer.optimizer.groups))) if self.trainer.schedule else NO_RATES

    def step(self, rows: Array, rates: Array, loss_out: Array, features: Array, target: Array) -> Tensor:
        """One optimizer step on these rows of the data. rates: each group's learning rate, if there is a schedule."""
        trainer, k = self.trainer, current()
        trainer.model.zero_grad()  # also of parameters that no group holds
        if trainer.schedule:
            for i, group in enumerate(trainer.optimizer.groups):
                place = group.names.index("lr")
                k.cast(rates[i : i + 1], out=group.hyper[place : place + 1])
        output = trainer.model(Tensor(k.gather_rows(features, rows)))
        loss = trainer.loss_function(output, targets_of(target, rows))
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise TypeError(f"the loss function returned {loss!r}, expected a scalar Tensor")
        value = loss.array.reshape(1)
        k.cast(value, out=loss_out)
        k.watch_finite(value, flag(value.dtype))
        if not math.isfinite(loss_out[0]):
            raise _Unfinished(float(loss_out[0]))
        loss.backward()
        if trainer.clip_norm is not None:
            clip_grad_norm_(trainer.model.parameters(), trainer.clip_norm)
        trainer.optimizer.step()
        trainer.model.zero_grad()
        return loss

    def _rates(self, steps: int) -> Array:
        """The groups' learning rates for so many steps from now on."""
        trainer = self.trainer
        if not trainer.schedule:
            return NO_RATES
        return np.array([trainer.schedule.rates(trainer.step + step) for step in range(steps)])

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
