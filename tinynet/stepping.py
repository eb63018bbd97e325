"""The Trainer's steps: one function of a batch's row numbers, run eagerly or replayed many at a time."""

from __future__ import annotations

import math
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np

from .backends import current
from .callbacks import EarlyStopping
from .compiled import NotReplayable, Replay
from .optim import clip_grad_norm_
from .tensor import Array, Tensor

if TYPE_CHECKING:
    from .training import Trainer

AT_A_TIME = 0.05  # seconds of steps between which the bar moves and Ctrl-C is heard


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or NaN. The model holds the last finite weights."""


class Stepper:
    """Runs the steps of one ``fit`` on whichever rows it is given."""

    def __init__(self, trainer: Trainer, features: Array, target: Array):
        self.trainer, self.features, self.target = trainer, features, target
        self.flag = np.zeros(1, trainer.dtype)  # watch_finite raises it
        self.compiles = trainer.compile
        self._failed: float | None = None  # the loss of a step that was not finished
        self._replays: dict[int, Replay] = {}
        self._step_seconds: dict[int, float] = {}

    def epoch_begins(self) -> None:
        """Notes what to fall back to, and switches the model to training."""
        trainer = self.trainer
        self._before = trainer.model.state_dict(), trainer.optimizer.state_dict()
        trainer.model.train()
        # Between epochs only callbacks run code of the user's, which might change what a step does.
        if all(isinstance(callback, EarlyStopping) for callback in trainer.callbacks):
            for replay in self._replays.values():
                replay.trust()

    def replays(self, size: int) -> bool:
        """Whether the next steps of so many rows are replayed."""
        return size in self._replays and self._replays[size].ready

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
            self.step(batches[0], self._rates(1)[0], loss)
        except _Unfinished:
            self._failed = float(loss[0])
            return []
        return [float(loss[0])]

    def _replay(self, batches: Array) -> list[float]:
        size = batches.shape[1]
        replay = self._replays.get(size)
        if replay is None:
            replay = self._replays[size] = Replay(self.step, current())
        if not replay.ready:
            return self._record(replay, batches)
        assert replay.runner is not None
        if size in self._step_seconds:
            batches = batches[: max(1, int(AT_A_TIME / self._step_seconds[size]))]
        else:
            batches = batches[:1]
        count, counters = len(batches), self._counters()
        losses = np.full((count, 1), math.nan, self.trainer.dtype)
        started = time.perf_counter()
        done = replay.runner.run(count, [batches, self._rates(count), losses])
        self._step_seconds[size] = max(1e-7, (time.perf_counter() - started) / count)
        if done < count:
            self._failed = float(losses[done, 0])
            for hyper, place, before in counters:  # updates are counted before the loss is known
                hyper[place] = before + done
        found: list[float] = losses[:done, 0].tolist()
        return found

    def _record(self, replay: Replay, batches: Array) -> list[float]:
        """One eager step that is recorded; or, if steps cannot be replayed, the end of all recording."""
        loss, arguments = np.zeros(1, self.trainer.dtype), [batches[0].copy(), self._rates(1)[0]]
        try:
            replay.record([*arguments, loss], [*arguments, loss])
        except _Unfinished:
            self._failed = float(loss[0])
            return []
        except NotReplayable as why:
            self.compiles = False
            warnings.warn(f"training goes on step by step: {why}", stacklevel=6)
        return [float(loss[0])]

    def step(self, rows: Array, rates: Array, loss_out: Array) -> Tensor:
        """One optimizer step on these rows of the data. rates: each group's learning rate, if there is a schedule."""
        trainer, k = self.trainer, current()
        trainer.optimizer.zero_grad()
        if trainer.schedule:
            for i, group in enumerate(trainer.optimizer.groups):
                place = group.names.index("lr")
                k.cast(rates[i : i + 1], out=group.hyper[place : place + 1])
        output = trainer.model(Tensor(k.gather_rows(self.features, rows)))
        loss = trainer.loss_function(output, self._target(rows))
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

    def _target(self, rows: Array) -> Array:
        k = current()
        if self.target.dtype == np.int64:
            labels = self.target if self.target.ndim == 1 else self.target[:, 0]
            found: Array = self.target[rows] if self.target.size != len(labels) else k.gather_labels(labels, rows)
        elif self.target.ndim == 1:
            found = k.gather_rows(self.target[:, None], rows).reshape(-1)
        else:
            found = k.gather_rows(self.target, rows)
        return found

    def _rates(self, steps: int) -> Array:
        """The groups' learning rates for so many steps from now on."""
        trainer = self.trainer
        if not trainer.schedule:
            return np.zeros((steps, 1))
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
        averages = [array for state in trainer.optimizer.state.values() for array in state.values()]
        if not all(np.isfinite(array).all() for array in [*trainer.model.state_dict().values(), *averages]):
            trainer.model.load_state_dict(self._before[0])
            trainer.optimizer.load_state_dict(self._before[1])
            kept = "the weights are those at the epoch's start"
        raise NonFiniteLoss(
            f"the loss became {self._failed} in epoch {trainer.epoch + 1}, step {trainer.step + 1}, at learning rate "
            f"{lr:g}; {kept}: try a smaller learning rate or gradient clipping"
        )


class _Unfinished(Exception):
    """The step's loss is not finite, so nothing was updated."""
