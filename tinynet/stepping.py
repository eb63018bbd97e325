"""The Trainer's steps: one function of a batch's row numbers, run eagerly or replayed many at a time."""

from __future__ import annotations

import math
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.program import Profile, Program, profile

from .backends import current
from .compiled import NotReplayable, Replay
from .nn.module import structure
from .optim import clip_grad_norm_
from .tensor import Array, Tensor

if TYPE_CHECKING:
    from .training import Trainer

NO_RATES = np.zeros(1)[None]  # the same for all steps
PROGRAMS_KEPT = 64  # for batches and data of other shapes
AT_A_TIME = 0.05  # seconds of steps between which the bar moves and Ctrl-C is heard


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or NaN. The model holds the last finite weights."""


PLAIN = (bool, int, float, str, tuple, type(None))


class Stepper:
    """Runs a Trainer's steps on whichever rows of the data it is given. Programs outlive a ``fit``."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        self.flag = np.zeros(1, trainer.dtype)  # watch_finite raises it
        self.compiles = trainer.compile
        self._failed: float | None = None  # the loss of a step that was not finished
        self._replays: dict[Any, Replay] = {}
        self._step_seconds: dict[Any, float] = {}
        self._signature: Any = None
        self._kept: list[tuple[Array, Array]] = []  # all that steps change, and copies of it
        self.program: Program | None = None  # the last that was replayed

    def fit_begins(self, features: Array, target: Array) -> None:
        """Takes the data of a ``fit``."""
        self.features, self.target, self._failed = features, target, None
        self.flag[...] = 0
        self._check_steps(self._all_ours())
        arrays = [p.data for p in self.trainer.model.parameters()]
        arrays += [buffer for _, buffer in self.trainer.model.named_buffers()]
        arrays += [a for average in self.trainer.optimizer.averages_of_all() for a in average]
        arrays += [group.hyper for group in self.trainer.optimizer.groups]
        if [id(array) for array in arrays] != [id(array) for array, _ in self._kept]:
            self._kept = [(array, np.empty_like(array)) for array in arrays]

    def epoch_begins(self) -> None:
        """Notes what to fall back to, switches the model to training, and looks whether steps are what they were."""
        for array, copy in self._kept:
            np.copyto(copy, array)
        if self._structure != structure() or not all(map(_ours, self.trainer.callbacks)):
            # Validation has switched modes, or a callback has run code of the user's.
            self._check_steps(self._all_ours() or not self.trainer.callbacks)

    def _check_steps(self, watched: bool) -> None:
        """Whether what a step does is what it did; if that cannot be told, the next one is recorded again."""
        self.trainer.model.train()
        signature = self._signed()
        same = watched and signature == self._signature
        for replay in self._replays.values():
            if same:
                replay.trust()
            else:
                replay.distrust()
        self._signature, self._structure = signature, structure()

    def _all_ours(self) -> bool:
        """Whether steps run no code but tinynet's."""
        trainer = self.trainer
        parts = [*(module for _, module in trainer.model.named_modules()), trainer.loss_function, trainer.optimizer]
        return all(map(_ours, parts))

    def _signed(self) -> Any:
        """What a step depends on besides arrays: plain attributes of modules, loss and Trainer."""
        trainer = self.trainer
        parts = [*(module for _, module in trainer.model.named_modules()), trainer.loss_function]
        plain: list[tuple[int, str, Any]] = [
            (id(part), name, value)
            for part in parts
            for name, value in getattr(part, "__dict__", {}).items()
            if isinstance(value, PLAIN)
        ]
        # Dropout's seeds: whole numbers that a recorded step holds as constants.
        plain += [
            (id(part), name, value.tobytes())
            for part in parts
            for name, value in getattr(part, "__dict__", {}).items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "iu"
        ]
        trained = [(id(parameter), parameter.requires_grad) for parameter in trainer.model.parameters()]
        # Averages are other arrays after an optimizer was loaded with none; a program keeps those it writes alive.
        averages = [id(array) for arrays in trainer.optimizer.averages_of_all() for array in arrays]
        return plain, trained, averages, trainer.clip_norm, trainer.schedule is None, id(trainer.optimizer)

    def _key(self, size: int) -> Any:
        """What decides which program runs."""
        return current(), size, self.features.shape, self.target.shape, self.target.dtype

    def run(self, batches: Array) -> list[float]:
        """Steps on the first of these batches, each a row of row numbers; their losses.

        A step whose loss is not finite is not finished, nor is its loss among those returned: ``refuse_loss`` says so.
        """
        steps = self._replay(batches) if self.compiles else self._eager(batches)
        self.trainer.step += len(steps)
        if self.trainer.schedule:
            self.trainer.schedule.apply(self.trainer.optimizer, self.trainer.step)
        return steps

    def _eager(self, batches: Array) -> list[float]:
        loss = np.zeros(1, self.trainer.dtype)
        try:
            self.step(batches[0], self._rates(1)[0], loss, self.features, self.target)
        except _Unfinished:
            self._failed = float(loss[0])
            return []
        return [float(loss[0])]

    def _replay(self, batches: Array) -> list[float]:
        key = self._key(batches.shape[1])
        replay = self._replays.get(key)
        if replay is None:
            if len(self._replays) >= PROGRAMS_KEPT:
                self._replays.clear()
            replay = self._replays[key] = Replay(self.step, current())
        if not replay.ready:
            return self._record(replay, batches, self._rates(1))
        assert replay.runner is not None
        self.program = replay.program
        batches = batches[: max(1, int(AT_A_TIME / self._step_seconds.get(key, AT_A_TIME)))]
        count, counters = len(batches), self._counters()
        losses = np.full((count, 1), math.nan, self.trainer.dtype)
        arguments = self._arguments(batches, losses, self._rates(count))
        started = time.perf_counter()
        done = replay.runner.run(count, arguments)
        self._step_seconds[key] = max(1e-7, (time.perf_counter() - started) / count)
        if done < count:
            self._failed = float(losses[done, 0])
            for hyper, place, before in counters:  # updates are counted before the loss is known
                hyper[place] = before + done
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
            for group in trainer.optimizer.groups:
                group.hyper[group.names.index("lr")] = 0.0
            replay = self._replays.setdefault(key, Replay(self.step, current()))
            for _ in range(Replay.MOST_RECORDINGS):
                if self.compiles and not replay.ready and self._failed is None:
                    self._record(replay, batches, self._no_rates(1))
            if not self.compiles or (replay.runner is None and self._failed is None):
                raise ValueError("there is no recorded step to profile: the steps run eagerly")
            return self._profiled(replay, batches)
        finally:
            self._failed = None
            self.flag[...] = 0
            for array, copy in self._kept:
                np.copyto(array, copy)

    def _profiled(self, replay: Replay, batches: Array) -> Profile:
        def arguments(steps: int) -> list[Array]:
            rows = np.resize(batches, (steps, batches.shape[1]))
            return self._arguments(rows, np.empty((steps, 1), self.trainer.dtype), self._no_rates(steps))

        steps, runner = len(batches), replay.runner
        for _ in range(2):  # the first warms up
            given, started = arguments(steps), time.perf_counter()
            if self._failed is not None or runner is None or runner.run(steps, given) < steps:
                raise NonFiniteLoss("the loss is not finite with the weights there are, so no step can be profiled")
            seconds = (time.perf_counter() - started) / steps
        assert runner is not None
        steps = max(1, int(AT_A_TIME / seconds))
        return profile(runner, steps, arguments(steps))

    def _no_rates(self, steps: int) -> Array:
        """A learning rate of 0 for each group and step, if there is a schedule to say others."""
        return np.zeros((steps, len(self.trainer.optimizer.groups))) if self.trainer.schedule else NO_RATES

    def _record(self, replay: Replay, batches: Array, rates: Array) -> list[float]:
        """One eager step that is recorded; or, if steps cannot be replayed, the end of all recording."""
        loss = np.zeros(1, self.trainer.dtype)
        arguments = [batches[0].copy(), rates[0], loss, self.features, self.target]
        try:
            replay.record(arguments, arguments)
        except _Unfinished:
            self._failed = float(loss[0])
            return []
        except NotReplayable as why:
            self.compiles = False
            warnings.warn(f"training goes on step by step: {why}", stacklevel=6)
        return [float(loss[0])]

    def step(self, rows: Array, rates: Array, loss_out: Array, features: Array, target: Array) -> Tensor:
        """One optimizer step on these rows of the data. rates: each group's learning rate, if there is a schedule."""
        trainer, k = self.trainer, current()
        trainer.optimizer.zero_grad()
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
        k.watch_finite(value, self.flag)
        if not math.isfinite(loss_out[0]):
            raise _Unfinished
        loss.backward()
        if trainer.clip_norm is not None:
            clip_grad_norm_(trainer.model.parameters(), trainer.clip_norm)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        return loss

    def _rates(self, steps: int) -> Array:
        """The groups' learning rates for so many steps from now on."""
        trainer = self.trainer
        if not trainer.schedule:
            return NO_RATES
        return np.array([trainer.schedule.rates(trainer.step + step) for step in range(steps)])

    def _counters(self) -> list[tuple[Array, int, float]]:
        """Where the optimizer counts its updates."""
        groups = [group for group in self.trainer.optimizer.groups if "step" in group.names]
        places = [(group.hyper, group.names.index("step")) for group in groups]
        return [(hyper, place, float(hyper[place])) for hyper, place in places]

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


def _ours(part: Any) -> bool:
    """Whether an object runs no code but tinynet's."""
    return type(part).__module__.startswith("tinynet.")


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
    """The step's loss is not finite, so nothing was updated."""
