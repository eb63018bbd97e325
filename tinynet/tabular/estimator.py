"""What both estimators of tables share: encoding, holding rows out, training members, predicting."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, _num_samples, check_consistent_length, check_is_fitted

from kernels import Backend, hardware

from ..backends import resolve, running_on, with_options
from ..data.sources import Source, as_source, is_source, scan
from ..nn import Module
from ..nn.ownership import reading
from ..tables import TableEncoder
from ..tensor import Array
from ..training.evaluation import outputs
from .members import Data, Deadline, Member, Plan, train_all
from .network import Layout
from .options import TabularParameters
from .recipe import recipe
from .streaming import Encoded, passed
from .validation import Held, Metric

# Rows that a level needs to have a code of its own, and what share of a small table they are. A column of loans has
# 4,741 levels, mostly of one row: R2 is 0.42 without such a bound, 0.444, 0.447, 0.453, 0.454 with 2, 3, 5, 10.
LEAST_ROWS, LEAST_SHARE = 5, 0.01
FEW_ROWS = 10  # with fewer, none are held out: all rows say which epoch is best


@dataclass(frozen=True)
class Goal:
    """What a target makes of a net: its outputs, its loss, and the numbers that both compare with.

    wanted: what the loss takes for rows, given what is compared of them and their weights (rows,) or None.
    """

    outputs: int
    compared: Array  # with the outputs by metrics: labels, or standardised numbers
    loss: Callable[[bool], Module]  # with weights or without
    wanted: Callable[[Array, Array | None], Array]
    metric: Metric
    metric_name: str
    ascending: bool = False


class Tabular(TabularParameters, BaseEstimator):  # type: ignore[misc]
    """The base of TabularClassifier and TabularRegressor."""

    _classes: ClassVar[bool]  # whether classes are learned

    def _goal(self, y: Any) -> Goal:
        """Learns what the target is, and says what is to be learned."""
        raise NotImplementedError

    def _compared(self, y: Any) -> Array:
        """The target of other rows, as metrics compare it."""
        raise NotImplementedError

    def _weights(self, compared: Array, sample_weight: Array | None) -> Array | None:
        """Rows' weights in the loss."""
        return sample_weight

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, eval_set: Any = None) -> Self:
        """Fits to a table X, as a frame or an array, and a target y (rows,) or (rows, outputs).

        Or, in place of both, to a source (`tinynet.scan`) with a target, that need not fit into memory: what of it is
        exact and what a sample says is in `tinynet.tables.summary`; at most 100,000 rows are held out.

        sample_weight: (rows,), at least 0. eval_set: (X, y) or (X, y, sample_weight), which decides which epoch was
        best; no rows of X are held out then. Ctrl-C ends the training with the best weights so far.
        """
        self._validate_params()
        deadline = Deadline(self.time_limit)
        random = check_random_state(self.random_state)
        if is_source(X):
            goal, data = self._streamed(as_source(X), y, sample_weight, eval_set, random)
        else:
            goal, data = self._in_memory(X, y, sample_weight, eval_set, random)
        rows = data.X.rows if isinstance(data.X, Source) else len(data.X)
        self.recipe_ = recipe(self, rows, goal.outputs, self._classes, goal.ascending)
        plan = Plan(
            data,
            self.recipe_,
            self._backend,
            self._cores(),
            deadline,
            self.patience,
            bool(self.verbose),
            self.precision,
        )
        self._note(train_all(plan, _seeds(random), self.n_members), deadline)
        self._trained(data.held)
        return self

    def _in_memory(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, random: np.random.RandomState
    ) -> tuple[Goal, Data]:
        """What is learned of a table in memory, and from which rows."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        Z = self._encoder(_num_samples(y)).fit_transform(X)
        goal = self._goal(y)
        check_consistent_length(Z, goal.compared)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, Z, ensure_non_negative=True)
        self._note_features()
        rows, held = self._held_out(Z, goal, weight, eval_set, random)
        in_loss = self._weights(goal.compared, weight)
        if in_loss is not None:
            in_loss = in_loss[rows] / _mean_above_0("sample_weight", in_loss[rows])
        return goal, Data(
            Z[rows], goal.wanted(goal.compared[rows], in_loss),
            Layout.of(self.encoder_), held, lambda: goal.loss(in_loss is not None), goal.metric, goal.metric_name,
        )  # fmt: skip

    def _streamed(
        self, source: Source, y: Any, sample_weight: Any, eval_set: Any, random: np.random.RandomState
    ) -> tuple[Goal, Data]:
        """What is learned of a source, and from which rows, after one pass over it."""
        for name, given in (("y", y), ("sample_weight", sample_weight)):
            if given is not None:
                raise TypeError(f"{name} is given beside a source, expected the source alone: tn.scan(..., target=...)")
        share = self.validation_fraction if eval_set is None and source.rows >= FEW_ROWS else 0.0
        found = passed(source, share, int(random.randint(1 << 31)), self.categorical, self._classes)
        encoder = self._encoder(found.summary.rows).fit(found.summary)
        goal, sample = self._goal(found.target), found.summary.sample
        self._note_features()
        if eval_set is not None:
            held = self._evaluation(eval_set)
        elif found.held.height:
            held = Held(encoder.transform(found.held), self._compared(found.held_target), None)
        else:  # too few: all rows say which epoch is best
            held = Held(encoder.transform(sample), goal.compared[: sample.height], None)
        weights = self._weights(goal.compared[: sample.height], None)  # of classes, if any
        by_class = np.ones(goal.outputs)
        if weights is not None:
            weights = weights / _mean_above_0("class_weight", weights)
            by_class[:] = weights.max()  # of a class that is too rare for the sample
            by_class[goal.compared[: sample.height]] = weights

        def wanted(target: Any) -> Array:
            compared = self._compared(target)
            return goal.wanted(compared, None if weights is None else by_class[compared])

        rows = Encoded(source, found, encoder.transform, wanted)
        return goal, Data(
            scan(rows, window=source.asked_window), None, Layout.of(encoder), held,
            lambda: goal.loss(weights is not None), goal.metric, goal.metric_name,
        )  # fmt: skip

    def _encoder(self, rows: int) -> TableEncoder:
        """A new encoder, which is to be fitted to so many rows."""
        self.encoder_ = TableEncoder(
            categorical=self.categorical,
            numeric=self.numeric,
            ignore=self.ignore,
            min_frequency=_least(rows) if self.min_frequency is None else self.min_frequency,
        )
        return self.encoder_

    def _note_features(self) -> None:
        self.n_features_in_ = self.encoder_.n_features_in_
        if hasattr(self.encoder_, "feature_names_in_"):
            self.feature_names_in_ = self.encoder_.feature_names_in_

    def _trained(self, held: Held) -> None:
        """What is learned from the held-out rows once all members are trained."""

    def _note(self, members: list[Member], deadline: Deadline) -> None:
        """The attributes that a fit leaves."""
        self.members_ = [member.model for member in members]
        self.histories_ = [member.history for member in members]
        self.loss_curves_ = [member.history.train_loss for member in members]
        self.validation_scores_ = [member.scores for member in members]
        self.best_epochs_ = [member.best_epoch for member in members]
        self.best_validation_score_ = float(np.mean([member.best_score for member in members]))
        self.n_iter_ = max(len(scores) for scores in self.validation_scores_)
        if deadline.interrupted.is_set():
            warnings.warn("Training interrupted by user.", stacklevel=3)

    def _held_out(
        self, Z: Array, goal: Goal, weight: Array | None, eval_set: Any, random: np.random.RandomState
    ) -> tuple[Array, Held]:
        """The numbers of the rows to learn from, and those held out."""
        every = np.arange(len(Z))
        if eval_set is not None:
            return every, self._evaluation(eval_set)
        if len(Z) < FEW_ROWS:
            return every, Held(Z, goal.compared, weight)
        rows, out = self._split(goal.compared, random)
        return rows, Held(Z[out], goal.compared[out], None if weight is None else weight[out])

    def _split(self, compared: Array, random: np.random.RandomState) -> tuple[Array, Array]:
        """Rows to learn from and rows held out, in the order of the table."""
        order = random.permutation(len(compared))
        out = min(max(1, round(self.validation_fraction * len(compared))), len(compared) - 1)
        return np.sort(order[out:]), np.sort(order[:out])

    def _evaluation(self, eval_set: Any) -> Held:
        if not isinstance(eval_set, tuple | list) or len(eval_set) not in (2, 3):
            raise ValueError("eval_set is no pair, expected (X, y) or (X, y, sample_weight)")
        Z, compared = self.encoder_.transform(eval_set[0]), self._compared(eval_set[1])
        if len(Z) != len(compared):
            raise ValueError(f"eval_set has {len(Z)} rows of X and {len(compared)} of y, expected as many")
        given = None if len(eval_set) == 2 else eval_set[2]
        weight = None if given is None else _check_sample_weight(given, Z, ensure_non_negative=True)
        return Held(Z, compared, weight)

    def _cores(self) -> int:
        """Threads that may be used."""
        return int(self.threads or resolve(self.backend).options.get("threads") or hardware.cpu_count())

    def _backend(self, threads: int) -> Backend:
        """The backend on so many threads, where it can be told."""
        base = resolve(self.backend)
        return with_options(base, threads=threads) if base.name == "numba" else base

    def _member_outputs(self, X: Any) -> list[Array]:
        """Each member's outputs for the rows."""
        check_is_fitted(self)
        if is_source(X):
            blocks = [self._outputs(self.encoder_.transform(frame)) for frame in as_source(X).frames()]
            return [np.concatenate(of_member) for of_member in zip(*blocks, strict=True)]
        return self._outputs(self.encoder_.transform(X))

    def _outputs(self, Z: Array) -> list[Array]:
        """Each member's outputs for encoded rows."""
        with running_on(self._backend(self._cores())), reading("predict", *self.members_):
            return [outputs(model, Z) for model in self.members_]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for model in getattr(self, "members_", ()):  # what joblib has mapped from a file is no plain array
            for parameter in model.parameters():
                parameter.data = np.array(parameter.data)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags


def _seeds(random: np.random.RandomState) -> Iterator[int]:
    while True:
        yield int(random.randint(1 << 31))


def _least(rows: int) -> int:
    return min(LEAST_ROWS, max(1, int(LEAST_SHARE * rows)))


def _mean_above_0(name: str, weight: Array) -> float:
    mean = float(weight.mean())
    if not mean > 0:
        raise ValueError(f"{name} has the sum {weight.sum():g}, expected a sum above 0")
    return mean
