"""The Trainer: shuffled mini-batches, validation, history, progress, and stopping without losing anything."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from kernels.program import Profile, Program

from .backends import BackendLike, current, resolve, running_on
from .callbacks import Callback
from .checks import check_above_0, check_positive, check_whole
from .history import History
from .nn import BatchNorm1d, Module
from .optim import Optimizer
from .optim.optimizer import uninterrupted
from .schedule import Schedule
from .stepping import NonFiniteLoss, Stepper
from .tensor import Array, Tensor, no_grad

EVALUATION_ROWS = 4096  # rows a batch where nothing is learned: large enough for speed, small enough for any memory


@dataclass
class Position:
    """How far the current epoch has come, and for how many rows and which batch size its order was drawn."""

    rows: int = 0
    batch_size: int = 0
    steps_done: int = 0
    rows_done: int = 0
    loss: float = 0.0  # summed over the rows done


class Trainer:
    """Trains a model: for each batch, loss, gradients, one optimizer step.

    loss_function: called with the model's output and the targets, returns a scalar tensor. seed fixes the order of the
    batches: epoch e visits the rows as ``np.random.default_rng((seed, e)).permutation(rows)`` orders them. backend:
    a name or a loaded backend; by default the one in force when ``fit`` is called. schedule: sets the learning rate
    before each step. clip_norm: the gradients' largest global norm. progress: a bar on a terminal. compile: steps are
    recorded and replayed, with the same bits; a model or loss whose steps cannot be is trained step by step, and a
    warning says why.
    """

    def __init__(
        self,
        model: Module,
        loss_function: Any,
        optimizer: Optimizer,
        backend: BackendLike | None = None,
        seed: int = 0,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        compile: bool = True,  # noqa: A002 - the public name
    ):
        self.model, self.loss_function, self.optimizer = model, loss_function, optimizer
        self.backend = None if backend is None else resolve(backend)
        self.seed, self.schedule = check_whole("seed", seed), schedule
        self.clip_norm = None if clip_norm is None else check_above_0("clip_norm", clip_norm)
        self.callbacks, self.progress, self.compile = tuple(callbacks), progress, compile
        self.epoch = self.step = 0  # completed so far, over all calls of fit
        self.position = Position()  # within the epoch that comes next
        self.histories: list[History] = []  # of all calls of fit
        parameters = model.parameters()
        if not parameters:
            raise ValueError("the model has no parameters, so there is nothing to train")
        known = {id(parameter) for parameter in parameters}
        if any(id(p) not in known for group in optimizer.groups for p in group.params):
            raise ValueError("the optimizer holds parameters that are not the model's")
        self.dtype = parameters[0].dtype
        self._stepper = Stepper(self)
        self._program: Program | None = None

    @property
    def program(self) -> Program | None:
        """The recorded step that ``fit`` replayed last; print it for a listing. None if it replayed none.

        That of whole batches, not of the rows that an epoch's last one is left with.
        """
        return self._program or self._stepper.program

    @property
    def history(self) -> History:
        """Of all calls of ``fit``, as if they had been one."""
        return reduce(History.followed_by, self.histories, History())

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        time_limit: float | None = None,
    ) -> History:
        """Trains for some epochs more. X (rows, features), y (rows,) labels or (rows,) or (rows, outputs) numbers.

        An epoch that was cut short is gone on with where it stopped, and counts as one; with another number of rows or
        another batch size it begins anew.
        time_limit: seconds of training after which it stops, behind a whole step. Ctrl-C also stops, behind a whole
        step, and returns what there is: ``history.stopped`` says so. Raises ValueError or TypeError for data that do
        not fit, NonFiniteLoss if the loss becomes infinite or NaN.
        """
        check_positive("epochs", epochs), check_positive("batch_size", batch_size)
        limit = math.inf if time_limit is None else check_above_0("time_limit", time_limit)
        features, target = self._checked(X, y, "X", "y")
        validation = (
            None if validation_data is None else self._checked(*validation_data, "validation X", "validation y")
        )
        with running_on(self.backend):
            run = _Run(self, features, target, epochs, batch_size, validation, limit)
            self._check_fit(features, target)
            if validation is not None:
                self._check_fit(*validation)
            return run.run()

    def profile(self, X: ArrayLike, y: ArrayLike, batch_size: int = 32) -> Profile:
        """Where the time of a recorded step on these rows goes, kernel by kernel; print it for a table.

        Some hundred steps run, timed and untimed in turn; weights and averages are then as before. The steps are those
        of ``fit``, in training mode, but with a learning rate of 0. Raises ValueError where steps run eagerly
        (``compile=False``, or what cannot be recorded), NonFiniteLoss where the loss is not finite.
        """
        check_positive("batch_size", batch_size)
        features, target = self._checked(X, y, "X", "y")
        size = min(batch_size, len(features))
        batches = self.order(len(features))[: len(features) // size * size].reshape(-1, size)
        with running_on(self.backend):
            self._check_fit(features, target)
            self._stepper.fit_begins(features, target)
            return self._stepper.profile(batches)

    def order(self, rows: int) -> Array:
        """The numbers of all rows, in the order in which the next epoch visits them. A subclass may choose another."""
        return np.random.default_rng((self.seed, self.epoch)).permutation(rows)

    def evaluate(self, X: ArrayLike, y: ArrayLike) -> float:
        """The mean loss over all rows, in evaluation mode."""
        features, target = self._checked(X, y, "X", "y")
        with running_on(self.backend):
            return self._mean_loss(features, target)

    def predict(self, X: ArrayLike) -> Array:
        """The model's outputs for all rows, in evaluation mode, as an array."""
        features, _ = self._checked(X, None, "X", "y")
        with running_on(self.backend):
            return np.concatenate([output.numpy() for output, _ in self._evaluated(features)])

    def _checked(self, X: ArrayLike, y: ArrayLike | None, X_name: str, y_name: str) -> tuple[Array, Array]:
        """X in the model's dtype and y, checked as far as that goes without the model."""
        features = np.asarray(X)
        if features.ndim != 2 or features.shape[0] == 0:
            raise ValueError(f"{X_name} has shape {features.shape}, expected (rows, features) with at least one row")
        if features.dtype.kind not in "fiub":
            raise TypeError(f"{X_name} has dtype {features.dtype}, expected numbers")
        features = np.ascontiguousarray(features, self.dtype)
        if not np.isfinite(features).all():
            row, column = np.argwhere(~np.isfinite(features))[0]
            raise ValueError(
                f"{X_name} holds {features[row, column]} in row {row}, column {column}, expected finite numbers"
            )
        if y is None:
            return features, features
        target = np.asarray(y)
        if target.ndim not in (1, 2) or len(target) != len(features):
            raise ValueError(f"{y_name} has shape {target.shape}, expected {len(features)} rows as {X_name} has")
        if target.dtype.kind not in "fiub":
            raise TypeError(f"{y_name} has dtype {target.dtype}, expected numbers")
        if target.dtype.kind == "f" and not np.isfinite(target).all():
            raise ValueError(f"{y_name} holds NaN or infinity, expected finite numbers")
        as_numbers = target.dtype.kind == "f" or getattr(self.loss_function, "float_target", False)
        return features, np.ascontiguousarray(target, self.dtype if as_numbers else np.int64)

    def _check_fit(self, features: Array, target: Array) -> None:
        """Runs one row through the model, and has the loss check all targets, before anything is trained."""
        self.model.eval()
        with no_grad():
            output = self.model(Tensor(features[:1]))
        check = getattr(self.loss_function, "check_target", None)
        if check:
            check(target, output.shape[-1])

    def _evaluated(self, features: Array) -> Iterator[tuple[Tensor, slice]]:
        """The outputs for batches of rows, and which rows they are."""
        self.model.eval()
        with no_grad():
            for start in range(0, len(features), EVALUATION_ROWS):
                rows = slice(start, start + EVALUATION_ROWS)
                yield self.model(Tensor(features[rows])), rows

    def _mean_loss(self, features: Array, target: Array) -> float:
        total = 0.0
        for output, rows in self._evaluated(features):
            total += self.loss_function(output, target[rows]).item() * len(features[rows])
        return total / len(features)


class _Run:
    """One call of ``fit``."""

    def __init__(
        self,
        trainer: Trainer,
        features: Array,
        target: Array,
        epochs: int,
        batch_size: int,
        validation: tuple[Array, Array] | None,
        limit: float,
    ):
        self.trainer, self.features, self.target = trainer, features, target
        self.epochs, self.batch_size, self.validation, self.limit = epochs, batch_size, validation, limit
        self.backend, self.history = current(), History()
        self.batches = self._batches(len(features), batch_size)
        self.stepper = trainer._stepper
        self.stepper.fit_begins(features, target)
        self.compiled_before = self.backend.compile_seconds, self.backend.kernels_compiled

    def _batches(self, rows: int, size: int) -> list[tuple[int, int]]:
        """How many batches of which size an epoch has. One row alone cannot be normalised: it joins another batch."""
        whole, rest = divmod(rows, size)
        normalises = any(isinstance(module, BatchNorm1d) for _, module in self.trainer.model.named_modules())
        if rest == 1 and normalises and whole:
            whole, rest = whole - 1, size + 1
        return [(count, length) for count, length in ((whole, size), (1, rest)) if count and length]

    @property
    def steps_per_epoch(self) -> int:
        return sum(count for count, _ in self.batches)

    def run(self) -> History:
        trainer, history = self.trainer, self.history
        rows, size = len(self.features), self.batch_size
        if (trainer.position.rows, trainer.position.batch_size) != (rows, size):
            trainer.position = Position(rows, size)
        history.continues = trainer.position.rows_done > 0
        trainer.histories.append(history)
        total_steps = self.epochs * self.steps_per_epoch - trainer.position.steps_done
        if trainer.schedule:
            trainer.schedule.start(trainer.optimizer, trainer.step, self.steps_per_epoch, trainer.step + total_steps)
        with self._bar() as bar:
            try:
                for _ in range(self.epochs):
                    self._epoch(bar)
                    if history.stopped:
                        break
            except KeyboardInterrupt:
                history.stopped = "interrupted"
            finally:
                history.compile_seconds = self.backend.compile_seconds - self.compiled_before[0]
                history.kernels_compiled = self.backend.kernels_compiled - self.compiled_before[1]
        return history

    def _bar(self) -> Any:
        samples = self.epochs * len(self.features) - self.trainer.position.rows_done
        # disable=None: only on a terminal.
        bar = tqdm(total=samples, unit=" samples", unit_scale=True, disable=None if self.trainer.progress else True)
        bar.set_description("compiling kernels" if self.backend.compiles else "training")
        return bar

    def _epoch(self, bar: Any) -> None:
        trainer, history, position = self.trainer, self.history, self.trainer.position
        order = trainer.order(len(self.features))
        self.stepper.epoch_begins()
        history.learning_rate.append(trainer.optimizer.groups[0]["lr"])
        self.seconds, done_before, stop = 0.0, position.rows_done, 0
        try:
            for count, size in self.batches:
                stop += count * size
                if position.rows_done < stop:
                    self._steps(order[position.rows_done : stop].reshape(-1, size), bar)
                if history.stopped:
                    return
        except NonFiniteLoss:
            trainer.position = Position()  # the weights may be those at the epoch's start
            raise
        finally:
            if position.rows_done:
                history.train_loss.append(position.loss / position.rows_done)
                history.seconds.append(self.seconds)
                history.samples.append(position.rows_done - done_before)
            else:
                history.learning_rate.pop()
        self._epoch_ended()

    def _steps(self, batches: Array, bar: Any) -> None:
        """One step for each row of row numbers, as many at a time as the stepper takes."""
        trainer, history, position, done = self.trainer, self.history, self.trainer.position, 0
        while done < len(batches):
            # Steps, with their dropout counters and running averages, and what is noted of them belong together, so
            # Ctrl-C waits for a moment.
            with uninterrupted():
                started, compiled = time.perf_counter(), self.backend.compile_seconds
                losses = self.stepper.run(batches[done:])
                if batches.shape[1] == self.batches[0][1]:
                    trainer._program = self.stepper.program
                self.seconds += time.perf_counter() - started - (self.backend.compile_seconds - compiled)
                done += len(losses)
                position.steps_done += len(losses)
                position.rows_done += len(losses) * batches.shape[1]
                for loss in losses:  # one by one: the same bits however many came at a time
                    position.loss += loss * batches.shape[1]
                history.step_loss.extend(losses)
            self.stepper.refuse_loss()
            mean = position.loss / position.rows_done
            bar.set_description(f"epoch {trainer.epoch + 1}, loss {mean:.4f}", refresh=False)
            bar.update(len(losses) * batches.shape[1])
            if sum(history.seconds) + self.seconds >= self.limit and position.rows_done < position.rows:
                history.stopped = "time limit"
                return

    def _epoch_ended(self) -> None:
        trainer, history = self.trainer, self.history
        if self.validation is not None:
            validation_loss = trainer._mean_loss(*self.validation)
        with uninterrupted():  # Ctrl-C before this leaves an epoch whose end comes with the next call of fit
            if self.validation is not None:
                history.validation_loss.append(validation_loss)
            trainer.epoch, trainer.position = trainer.epoch + 1, Position(len(self.features), self.batch_size)
            if trainer.schedule:
                trainer.schedule.epoch_ended(history.monitored)
                trainer.schedule.apply(trainer.optimizer, trainer.step)
            for callback in trainer.callbacks:
                if callback(trainer, history):
                    history.stopped = getattr(callback, "stop_reason", getattr(callback, "__name__", "callback"))
        if sum(history.seconds) >= self.limit:
            history.stopped = history.stopped or "time limit"
