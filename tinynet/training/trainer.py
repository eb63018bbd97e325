"""The Trainer: shuffled mini-batches, validation, history, progress, and stopping without losing anything."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernels.program import Profile, Program

from ..backends import BackendLike, current, resolve, running_on
from ..checks import check_above_0, check_positive, check_whole, choose
from ..data.finite import finite_in
from ..data.sources import Source, as_source, is_source
from ..functional.arithmetic import noting_outer
from ..interrupts import holding_interrupts, uninterrupted
from ..metrics import MetricsLike, checked_metrics, kind_of, measure
from ..nn import BatchNorm1d, Module
from ..nn.ownership import abandoned, changing, reading
from ..optim import Accumulate, ClipNorm, Optimizer
from ..optim.transformations import Transform, checked_transforms
from ..precision import FLOAT32, PRECISIONS
from ..tensor import Array, Tensor, no_grad
from ..warning import warn
from .bars import progress_bar
from .callbacks import Callback
from .evaluation import EVALUATION_ROWS, outputs
from .history import NOT_FINITE, History
from .reachable import runs_only_ours
from .rows import Rows, Streamed, Table, checked_order
from .scheduled import ScheduleLike, Schedules
from .stepping import NonFiniteLoss, Stepper

WORTH_SAYING = 0.1  # of the time, in which rows are waited for: the bar says so


@dataclass
class Position:
    """How far the current epoch has come, and for how many rows and which batch size its order was drawn."""

    rows: int = 0
    batch_size: int = 0
    steps_done: int = 0
    rows_done: int = 0
    loss: float = 0.0  # summed over the rows done
    weight: float = 0.0  # of the rows done, in their mean loss
    source: int = 0  # the identity of the source that the rows are of

    @property
    def mean_loss(self) -> float:
        """Of the rows done."""
        return self.loss / self.weight if self.weight else math.nan


class Trainer:
    """Trains a model: for each batch, loss, gradients, one optimizer step.

    loss_function: called with the model's output and the targets, returns a scalar tensor. History's losses and what
    ``evaluate`` gives are the same mean over rows, however the rows are cut into batches: with reduction="sum" the sum
    divided by the rows, with the weights of CrossEntropyLoss weighted by them. A function of the user's is taken for a
    mean, and unless it is that of any rows, evaluated on as many at a time as a step has. seed fixes the order of the
    batches: epoch e visits the rows as ``np.random.default_rng((seed, e)).permutation(rows)`` orders them. backend: a
    name or a loaded backend; by default the one in force when ``fit`` is called. schedule: sets the learning rate
    before each step; or a mapping from names of options to what drives each, see ``tinynet.training.scheduled``.
    transforms: what is done to the gradients before each update, in order, see ``optim.transformations``; clip_norm,
    their largest global norm, is the last of them. progress: a bar on a terminal. compile: steps are recorded and
    replayed, with the same bits; a model or loss whose steps cannot be is trained step by step, and a warning says why.
    drop_last: an epoch is whole batches alone, and the rows that are left over in its order are not learned from; a
    table smaller than a batch is one batch. precision: of the products of training steps, forward and backward:
    "float32" (as the weights are), "bfloat16" (factors rounded to it, sums and weights as they are), or "auto",
    bfloat16 where that is faster (``tinynet.precision``); evaluation and prediction round nothing. note: a text that a
    callback may set, for the bar to show after the loss. metrics: what is measured after each epoch beside the loss, of
    the validation data, or where there are none of the training rows: one or several of scikit-learn's names of scorers
    ("accuracy", "r2", "roc_auc_ovr"), its scorers, or functions of true and predicted values such as
    ``sklearn.metrics.accuracy_score``; for classes those get the likeliest one. Shown by the bar, kept in
    ``history.metrics`` by name.
    """

    decides_steps = False

    def __init__(
        self,
        model: Module,
        loss_function: Any,
        optimizer: Optimizer,
        backend: BackendLike | None = None,
        seed: int = 0,
        schedule: ScheduleLike | None = None,
        clip_norm: float | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        compile: bool = True,  # noqa: A002 - the public name
        transforms: Sequence[Any] = (),
        drop_last: bool = False,
        precision: str = FLOAT32,
        metrics: MetricsLike = (),
    ):
        self.model, self.loss_function, self.optimizer = model, loss_function, optimizer
        self.backend = None if backend is None else resolve(backend)
        self.seed, self.schedule = check_whole("seed", seed), schedule
        self.clip_norm = None if clip_norm is None else check_above_0("clip_norm", clip_norm)
        self._given_transforms = checked_transforms(transforms)
        self._clipping: ClipNorm | None = None
        self.callbacks, self.progress, self.compile = tuple(callbacks), progress, compile
        self.drop_last, self.precision, self.note = drop_last, choose("precision", precision, PRECISIONS), ""
        self.metrics = checked_metrics(metrics)
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
    def schedule(self) -> ScheduleLike | None:
        """What drives options from step to step, as it was given."""
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: ScheduleLike | None) -> None:
        self._schedule = schedule
        self.schedules = None if schedule is None else Schedules(schedule, self.optimizer, self.model)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What is done to the gradients before an update, in order."""
        if self.clip_norm is None:
            return self._given_transforms
        if self._clipping is None or self._clipping.max_norm != self.clip_norm:
            self._clipping = ClipNorm(self.clip_norm)  # the same for as long as the norm is: steps hold it
        return (*self._given_transforms, self._clipping)

    @property
    def batches_an_update(self) -> int:
        """How many batches' gradients go into an update."""
        return next((each.every for each in self._given_transforms if isinstance(each, Accumulate)), 1)

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
        X: ArrayLike | Source,
        y: ArrayLike | None = None,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[ArrayLike, ArrayLike] | Source | None = None,
        time_limit: float | None = None,
        metrics: MetricsLike | None = None,
    ) -> History:
        """Trains for some epochs more. X (rows, features), y (rows,) labels or (rows,) or (rows, outputs) numbers.

        Or, in place of both, a source (`tinynet.scan`), whose rows are read while steps run and need not fit into
        memory; ``tinynet.data.sources.windows`` says in which order. validation_data may be one as well.

        An epoch that was cut short is continued where it stopped, and counts as one; with another number of rows or
        another batch size it begins again.
        time_limit: seconds of training after which it stops, when a step is whole. Ctrl-C also stops after a whole
        step, and returns what there is: ``history.stopped`` says so.
        metrics: in this run instead of the Trainer's. Raises ValueError or TypeError for data that do
        not fit, NonFiniteLoss if the loss or a weight becomes infinite or NaN, RuntimeError while another thread uses
        the model; callbacks may use it.
        """
        check_positive("epochs", epochs), check_positive("batch_size", batch_size)
        measured = self.metrics if metrics is None else checked_metrics(metrics)
        limit = math.inf if time_limit is None else check_above_0("time_limit", time_limit)
        rows = self._rows(X, y, "X", "y")
        validation = None
        if validation_data is not None:
            pair: Any = (validation_data, None) if is_source(validation_data) else validation_data
            X_held, y_held = pair
            validation = self._rows(X_held, y_held, "validation X", "validation y")
        with running_on(self.backend), changing("fit", self, self.model, self.optimizer), holding_interrupts():
            if abandoned(self):  # in a forked child, by a thread that it has not and that holds the recorded steps
                self._stepper = Stepper(self)
            run = _Run(self, rows, epochs, batch_size, validation, limit)
            run.metrics = measured
            self._check_fit(rows)
            if validation is not None:
                self._check_fit(validation)
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
        batches = checked_order(self.order(len(features)), len(features))[: len(features) // size * size].reshape(
            -1, size
        )
        with running_on(self.backend), changing("profile", self, self.model, self.optimizer):
            self._check_fit(Table(features, target))
            self._stepper.fit_begins(features, target)
            self._stepper.epoch_begins()
            return self._stepper.profile(batches)

    def __repr__(self) -> str:
        size = sum(parameter.size for parameter in self.model.parameters())
        loss = getattr(self.loss_function, "__name__", None) or repr(self.loss_function)
        said = [f"{type(self.model).__name__} of {size:,} parameters", loss, repr(self.optimizer)]
        said += [] if self.backend is None else [f"backend={self.backend.name!r}"]
        return f"Trainer({', '.join(said)}; {self.epoch} epochs and {self.step} steps done)"

    def order(self, rows: int) -> Array:
        """The numbers of all rows, in the order in which the next epoch visits them. A subclass may choose another."""
        return np.random.default_rng((self.seed, self.epoch)).permutation(rows)

    def evaluate(self, X: ArrayLike | Source, y: ArrayLike | None = None) -> float:
        """The mean loss over all rows, in evaluation mode: what History's losses are. A source in place of X and y."""
        rows = self._rows(X, y, "X", "y")
        with running_on(self.backend), reading("evaluate", self.model):
            return self._mean_loss(rows)

    def predict(self, X: ArrayLike | Source) -> Array:
        """The model's outputs for all rows, of a source in the order of its blocks, in evaluation mode, as an array."""
        given: Any = X
        rows: Rows = self._streamed(as_source(X)) if is_source(X) else Table(*self._checked(given, None, "X", "y"))
        with running_on(self.backend), reading("predict", self.model):
            found = [outputs(self.model, features) for features, _ in rows.pieces()]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _rows(self, X: Any, y: Any, X_name: str, y_name: str) -> Rows:
        """What is learned from, checked as far as that goes without the model."""
        if not is_source(X):
            if y is None:
                raise TypeError(f"{y_name} is None, expected the targets of {X_name}'s rows")
            return Table(*self._checked(X, y, X_name, y_name))
        if y is not None:
            raise TypeError(f"{y_name} is given beside a source, expected its target alone: tn.scan(..., target=...)")
        source = as_source(X)
        if not source.target:
            raise ValueError(f"{X_name} is a source without a target, expected tn.scan(..., target=...) to name it")
        return self._streamed(source)

    def _streamed(self, source: Source) -> Streamed:
        source.check_numbers()
        takes_numbers = getattr(self.loss_function, "float_target", source.target_kind == "numbers")
        return Streamed(source, self.dtype, self.dtype if takes_numbers else np.dtype(np.int64))

    def _checked(self, X: ArrayLike, y: ArrayLike | None, X_name: str, y_name: str) -> tuple[Array, Array]:
        """X in the model's dtype and y, checked as far as that goes without the model."""
        features = np.asarray(X)
        if features.ndim != 2 or features.shape[0] == 0:
            raise ValueError(f"{X_name} has shape {features.shape}, expected (rows, features) with at least one row")
        if features.dtype.kind not in "fiub":
            raise TypeError(f"{X_name} has dtype {features.dtype}, expected numbers")
        features = finite_in(X_name, features, self.dtype)
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
        return features, finite_in(y_name, target, self.dtype if as_numbers else np.dtype(np.int64))

    def _check_fit(self, rows: Rows) -> None:
        """Runs one row through the model, and has the loss check all targets, before anything is trained on them."""
        features, target = rows.sample
        self.model.eval()
        with no_grad():
            output = self.model(Tensor(features[:1]))
        check = getattr(self.loss_function, "check_target", None)
        if check:
            rows.check(lambda some: check(some, output.shape[-1]))
        columns = output.shape[1:]
        if (columns, target.shape[1:]) in (((1,), ()), ((), (1,))):
            self._warn_of_outer_products(features, target)

    def _warn_of_outer_products(self, features: Array, target: Array) -> None:
        """Warns where a loss function combines outputs (rows, 1) and targets (rows,) to (rows, rows).

        No code that broadcasts can know that the operands are a prediction and its target, so the loss is tried here,
        on two numbers of rows: another operand of that shape, one number a class say, does not grow with them.
        """
        shapes = []
        for rows in {min(3, len(features)), 2}:
            with no_grad():
                output = Tensor(self.model(Tensor(features[:rows])).data, requires_grad=True)
            with noting_outer() as found, suppress(Exception):  # which the first step will raise
                self.loss_function(output, target[:rows])
            shapes.append((rows, rows) in found)
        rows = len(features)
        if rows > 1 and all(shapes):
            warn(
                f"the loss function broadcasts outputs of shape {(rows, *output.shape[1:])} and y of shape "
                f"{target.shape} to {(rows, rows)}, each row with every other one: give y the shape of the outputs"
            )

    def _evaluated(self, features: Array, at_a_time: int = EVALUATION_ROWS) -> Iterator[tuple[Tensor, slice]]:
        """The outputs for batches of rows, and which rows they are."""
        self.model.eval()
        with no_grad():
            for start in range(0, len(features), at_a_time):
                rows = slice(start, start + at_a_time)
                yield self.model(Tensor(features[rows])), rows

    def _mean_loss(self, rows: Rows) -> float:
        found = Position()
        for features, target in rows.pieces():
            self._add_loss(found, features, target)
        return found.mean_loss

    def _add_loss(self, found: Position, features: Array, target: Array) -> None:
        """Adds these rows' losses and weights to what was found of others."""
        reduction = _reduction(self.loss_function)
        size = self._rows_of_a_loss(features, target)
        weights = row_weights(self.loss_function, target)
        for output, rows in self._evaluated(features, max(1, EVALUATION_ROWS // size) * size):
            for start in range(0, len(output), size):
                part = Tensor(output.data[start : start + size])
                some = slice(rows.start + start, rows.start + start + len(part))
                weight = float(len(part) if weights is None else weights[some].sum())
                if weight:  # a mean over rows without weight is none
                    found.loss += self.loss_function(part, target[some]).item() * (1 if reduction == "sum" else weight)
                    found.weight += weight

    def _rows_of_a_loss(self, features: Array, target: Array) -> int:
        """How many rows the loss is evaluated on at a time: as many as a step's, unless it is a mean over any rows."""
        size = self.position.batch_size
        if _reduction(self.loss_function) or not size:
            return EVALUATION_ROWS
        if 2 * size > len(features):
            return size
        outputs = next(output.data for output, _ in self._evaluated(features[: 2 * size], 2 * size))
        one, other, both = (
            self.loss_function(Tensor(outputs[rows]), target[: 2 * size][rows]).item()
            for rows in (slice(size), slice(size, None), slice(None))
        )
        is_mean = abs(both - (one + other) / 2) <= 1e-5 * (abs(one) + abs(other)) > 0
        return EVALUATION_ROWS if is_mean else size


def _reduction(loss_function: Any) -> str | None:
    """What a loss of tinynet's, or one like it, makes of its rows; None if it does not say."""
    found = getattr(loss_function, "reduction", None)
    return found if found in ("mean", "sum") else None


def row_weights(loss_function: Any, target: Array) -> Array | None:
    """The rows' weights in the loss, where it is a weighted mean; else None."""
    weights = getattr(loss_function, "row_weights", None)
    found: Array | None = weights(target) if weights else None
    return found


class _Run:
    """One call of ``fit``."""

    def __init__(
        self,
        trainer: Trainer,
        rows: Rows,
        epochs: int,
        batch_size: int,
        validation: Rows | None,
        limit: float,
    ):
        self.trainer, self.rows, self.bar = trainer, rows, None
        self.epochs, self.batch_size, self.validation, self.limit = epochs, batch_size, validation, limit
        self.backend, self.history, self.metrics = current(), History(), trainer.metrics
        trainer.note = ""
        self.batches = self._batches(rows.count, batch_size)
        self.stepper = trainer._stepper
        self.stepper.fit_begins(*rows.begin(trainer, max(size for _, size in self.batches), self._waiting))
        # Code of the user's runs between epochs: what it may have changed is looked for.
        self.others = not (self.stepper.runs_only_ours and runs_only_ours([trainer, *trainer.callbacks]))
        self.spent = self.waited = 0.0  # seconds of the epochs done, and for which rows were waited for
        self.weights = trainer.model.parameters()
        buffers = [array for _, array in trainer.model.named_buffers() if array.dtype == trainer.dtype]
        self.statistics = [array for array in buffers if array.ndim in (1, 2) and array.flags.c_contiguous]
        self.compiled_before = self.backend.compile_seconds, self.backend.kernels_compiled

    def _batches(self, rows: int, size: int) -> list[tuple[int, int]]:
        """How many batches of which size an epoch has. One row alone cannot be normalised: it joins another batch."""
        whole, rest = divmod(rows, size)
        normalises = any(isinstance(module, BatchNorm1d) for _, module in self.trainer.model.named_modules())
        if rest == 1 and normalises and whole:
            whole, rest = whole - 1, size + 1
        if self.trainer.drop_last and whole:
            rest = 0
        return [(count, length) for count, length in ((whole, size), (1, rest)) if count and length]

    @property
    def steps_per_epoch(self) -> int:
        return sum(count for count, _ in self.batches)

    @property
    def rows_per_epoch(self) -> int:
        return sum(count * size for count, size in self.batches)

    def run(self) -> History:
        trainer, history = self.trainer, self.history
        begun_with = trainer.position.rows, trainer.position.batch_size, trainer.position.source
        if begun_with != (self.rows.count, self.batch_size, self.rows.identity):
            trainer.position = self._beginning()
        history.continues = trainer.position.rows_done > 0
        trainer.histories.append(history)
        total_steps = self.epochs * self.steps_per_epoch - trainer.position.steps_done
        if trainer.schedules:
            begun = trainer.step - trainer.position.steps_done
            trainer.schedules.start(
                trainer.step, self.steps_per_epoch, trainer.step + total_steps, trainer.epoch, begun
            )
        with self._bar() as bar:
            self.bar = bar
            try:
                self._hooks("fit_begins", (self.validation or self.rows).sample)
                for left in reversed(range(self.epochs)):
                    self.stepper.epochs_left = left
                    self._epoch(bar, left == 0)
                    if history.stopped:
                        break
            except KeyboardInterrupt:
                history.stopped = "interrupted"
                if history.steps:
                    self._refuse_weights()
            except NonFiniteLoss:
                history.stopped = NOT_FINITE
                raise
            finally:
                history.waiting_seconds = self.rows.waited
                self.rows.end()
                self.stepper.fit_ended()
                self._hooks("fit_ended")
                history.compile_seconds = self.backend.compile_seconds - self.compiled_before[0]
                history.kernels_compiled = self.backend.kernels_compiled - self.compiled_before[1]
        return history

    def _beginning(self) -> Position:
        """That of an epoch."""
        return Position(self.rows.count, self.batch_size, source=self.rows.identity)

    def _hooks(self, name: str, *arguments: Any) -> None:
        """Calls the callbacks' methods of this name: of fit_begins the last callback's first."""
        with uninterrupted():
            for callback in self.trainer.callbacks[:: -1 if name == "fit_begins" else 1]:
                method = getattr(callback, name, None)
                if method is not None:
                    method(self.trainer, self.history, *arguments)

    def _bar(self) -> Any:
        samples = self.epochs * self.rows_per_epoch - self.trainer.position.rows_done
        if not self.trainer.progress:
            return _NoBar()
        bar = progress_bar(samples)
        bar.set_description("compiling kernels" if self.backend.compiles else "training")
        return bar

    def _epoch(self, bar: Any, last: bool) -> None:
        trainer, history, position = self.trainer, self.history, self.trainer.position
        batches = self.rows.epoch(trainer, self.batches, position.rows_done, self.stepper.epochs_left + 1)
        if self.others:
            self.stepper.other_code_ran()
        self.stepper.epoch_begins()
        history.learning_rate.append(trainer.optimizer.groups[0]["lr"])
        self.seconds, done_before = 0.0, position.rows_done
        try:
            for features, target, numbers in batches:
                self.stepper.features, self.stepper.target = features, target
                self.row_weights = row_weights(trainer.loss_function, target)
                self.seconds, self.waited = self.seconds + self.rows.waited - self.waited, self.rows.waited
                in_epoch = next(count for count, size in self.batches if size == numbers.shape[1])
                self._steps(numbers, in_epoch, bar)
                if history.stopped:
                    break
            seen = last or history.stopped or self.validation is not None or trainer.callbacks or self.limit < math.inf
            self._refuse_weights(in_use=bool(seen or self.metrics))
        except NonFiniteLoss:
            trainer.position = Position()  # the weights may be those at the epoch's start
            raise
        finally:
            if position.rows_done:
                history.train_loss.append(position.mean_loss)
                history.seconds.append(self.seconds)
                self.spent += self.seconds
                history.samples.append(position.rows_done - done_before)
            else:
                history.learning_rate.pop()
        if not history.stopped:
            self._epoch_ended()

    def _refuse_weights(self, in_use: bool = True) -> None:
        """Raises NonFiniteLoss where running statistics are not finite, or, if they are in use now, weights.

        A later step's loss shows what the last update made of the weights, but not of the statistics.
        """
        trainer, k = self.trainer, self.backend
        watched = [*self.statistics, *((weight.array for weight in self.weights) if in_use else ())]
        # A sum is one pass and makes no array of its own; squares overflow where the numbers may not yet.
        if all(math.isfinite(k.sum_of_squares(array).item()) for array in watched):
            return
        kept = self.stepper._kept  # with copies of the epoch's start: what was infinite then, a mask say, is meant so
        became = [id(a) for a, copy in kept if np.isfinite(copy).all() and not np.isfinite(a).all()]
        name = next((name for name, array in trainer.model.arrays().items() if id(array) in became), None)
        if name is None:
            return
        for array, copy in kept:
            np.copyto(array, copy)
        trainer.position = Position()
        rate, advice = trainer.optimizer.groups[0]["lr"], "try a smaller learning rate or gradient clipping"
        if "running" in name:
            advice = "scale what the layer gets, X for the first"
        raise NonFiniteLoss(
            f"{name} became infinite or NaN in epoch {trainer.epoch + 1}, step {trainer.step}, at learning rate "
            f"{rate:g}; the weights are those at the epoch's start: {advice}"
        )

    def _steps(self, batches: Array, in_epoch: int, bar: Any) -> None:
        """One step for each row of row numbers, as many at a time as the stepper takes."""
        trainer, history, position, done = self.trainer, self.history, self.trainer.position, 0
        while done < len(batches):
            # Steps, with their dropout counters and running averages, and what is noted of them belong together, so
            # Ctrl-C waits for a moment.
            with uninterrupted():
                started, compiled = time.perf_counter(), self.backend.compile_seconds
                losses = self.stepper.run(batches[done:], in_epoch)
                if batches.shape[1] == self.batches[0][1]:
                    trainer._program = self.stepper.program
                self.seconds += time.perf_counter() - started - (self.backend.compile_seconds - compiled)
                position.steps_done += len(losses)
                position.rows_done += len(losses) * batches.shape[1]
                self._add_losses(losses, batches[done : done + len(losses)])
                done += len(losses)
                history.step_loss.extend(losses)
                history.step_learning_rate.extend(self.stepper.rates(len(losses)))
            self.stepper.refuse_loss()
            if not losses:
                continue  # the first step was halted: the next one runs eagerly, and says why
            bar.set_description(self._said(), refresh=False)
            bar.update(len(losses) * batches.shape[1])
            if self.spent + self.seconds >= self.limit and position.rows_done < self.rows_per_epoch:
                history.stopped = "time limit"
                return

    def _said(self) -> str:
        """What the bar says: where training is, what a callback noted, and how long rows are waited for, if long."""
        position, waited = self.trainer.position, self.rows.waited
        said = [f"epoch {self.trainer.epoch + 1}, loss {position.mean_loss:.4f}"]
        said += [f"{name} {values[-1]:.4f}" for name, values in self.history.metrics.items()]
        said.append(self.trainer.note)
        if waited > WORTH_SAYING * (self.spent + self.seconds):
            said.append(f"{waited / (self.spent + self.seconds):.0%} waiting for rows to be read")
        return ", ".join(filter(None, said))

    def _waiting(self, seconds: float) -> None:
        """Says that rows are waited for, now."""
        if self.bar is not None:
            self.bar.set_description(f"epoch {self.trainer.epoch + 1}, waiting for rows to be read")

    def _add_losses(self, losses: list[float], batches: Array) -> None:
        """Adds batches' losses to the epoch's mean; one by one: the same bits however many came at a time."""
        position, rows = self.trainer.position, float(batches.shape[1])
        if self.row_weights is not None:
            for loss, weight in zip(losses, self.row_weights[batches].sum(axis=1).tolist(), strict=True):
                position.loss += loss * weight
                position.weight += weight
            return
        factor = 1.0 if _reduction(self.trainer.loss_function) == "sum" else rows
        for loss in losses:
            position.loss += loss * factor
        position.weight += rows * len(losses)

    def _epoch_ended(self) -> None:
        trainer, history = self.trainer, self.history
        if self.validation is not None:
            validation_loss = trainer._mean_loss(self.validation)
        measured = self._measured()
        with uninterrupted():  # Ctrl-C before this leaves an epoch whose end comes with the next call of fit
            if self.validation is not None:
                history.validation_loss.append(validation_loss)
            for name, value in measured.items():
                history.metrics.setdefault(name, []).append(value)
            trainer.epoch, trainer.position = trainer.epoch + 1, self._beginning()
            if trainer.schedules:
                trainer.schedules.epoch_ended(history.monitored)
                trainer.schedules.apply(trainer.step)
            for callback in trainer.callbacks:
                if callback(trainer, history):
                    history.stopped = getattr(callback, "stop_reason", getattr(callback, "__name__", "callback"))
        if self.spent >= self.limit:
            history.stopped = history.stopped or "time limit"

    def _measured(self) -> dict[str, float]:
        """The metrics of the validation data, or of the training rows where there are none."""
        if not self.metrics:
            return {}
        # A source's pieces are in memory that the next ones take.
        pieces = [(outputs(self.trainer.model, X), y.copy()) for X, y in (self.validation or self.rows).pieces()]
        output, target = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        return measure(self.metrics, kind_of(target, self.trainer.loss_function), output, target)


class _NoBar:
    """What takes a bar's place where none is wanted: tqdm looks through all bars of the process for a disabled one."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def set_description(self, said: str, refresh: bool = True) -> None:
        pass

    def update(self, samples: int) -> None:
        pass
