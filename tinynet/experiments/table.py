"""A run of the estimators of tables, as the command line describes it: a table as it comes, in and scored."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kernels import Backend

from .. import data
from ..checkpoints.checkpoint import save_checkpoint
from ..checks import choose
from ..data.table import Table, column_position, to_dataset
from ..files import printable
from ..metrics import score_name
from ..tables.sources import TABLE_SUFFIXES, table_suffix
from ..training.history import History
from .experiment import Keeping, Options, Run

if TYPE_CHECKING:
    import polars as pl

PARAMETERS: Mapping[str, str] = {
    "hidden": "hidden_layer_sizes", "activation": "activation", "dropout": "dropout", "weight_decay": "weight_decay",
    "lr": "learning_rate_init", "batch_size": "batch_size", "epochs": "max_epochs", "seed": "random_state",
    "threads": "threads", "precision": "precision", "members": "n_members", "time_limit": "time_limit",
    "metric": "metric", "calibrate": "calibrate", "categorical": "categorical", "numeric": "numeric",
    "ignore": "ignore",
}  # fmt: skip
"""Options, and the estimators' parameters that they set."""


@dataclass(frozen=True)
class TableOptions:
    """What is trained, and how. None is what suits the table: `tinynet.tabular.recipe`."""

    dataset: str = Options.dataset
    target: str | None = None
    hidden: tuple[int, ...] | None = None
    activation: str | None = None
    dropout: float | None = None
    weight_decay: float | None = None
    lr: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    seed: int = Options.seed
    threads: int | None = None
    precision: str | None = None
    members: int | None = None
    time_limit: float | None = None
    metric: str | None = None
    calibrate: bool | None = None
    categorical: tuple[str, ...] | None = None
    numeric: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    window: int | None = None
    test_size: float = Options.test_size
    # What the plain model's runs may choose.
    optimizer: ClassVar[str] = "adamw"
    dtype: ClassVar[str] = "float32"
    eager: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        """The estimator's parameters that are asked for."""
        asked = {parameter: getattr(self, name) for name, parameter in PARAMETERS.items()}
        return {parameter: value for parameter, value in asked.items() if value is not None}

    def trained(self, estimator: Any) -> TableOptions:
        """The options with what the estimator chose."""
        recipe = estimator.recipe_
        return replace(
            self, hidden=recipe.widths, activation=recipe.activation, dropout=recipe.dropout, lr=recipe.rate,
            weight_decay=recipe.weight_decay, batch_size=recipe.batch_size, epochs=recipe.epochs,
            members=len(estimator.members_),
        )  # fmt: skip


def is_table(dataset: str) -> bool:
    """Whether a data set's name is that of a file of a table, rather than a known set's or an .npz file's."""
    separators = {os.sep, os.altsep} - {None}
    suffix = table_suffix(Path(dataset))
    return suffix in TABLE_SUFFIXES or (suffix != ".npz" and any(one in dataset for one in separators if one))


@dataclass
class Rows:
    """A table without its target, and the target: labels, or numbers."""

    name: str
    target_name: str
    frame: pl.DataFrame
    target: Any
    whole: data.Dataset  # the target as a data set has it, with the numbers of the rows as the one feature

    @property
    def classes(self) -> bool:
        """Whether the target's values are classes."""
        return self.task == "classification"

    @property
    def task(self) -> data.Task:
        """What the target asks for."""
        return self.whole.task


def read_features(options: TableOptions) -> pl.DataFrame:
    """The columns of a table that are no target; all of them where no target is named."""
    if not is_table(options.dataset):
        return _known_set(options).frame
    from ..tables import read_table

    frame = read_table(options.dataset)
    if options.target is None:
        return frame
    return frame.drop(frame.columns[column_position(options.dataset, frame.columns, options.target)])


def read_rows(options: TableOptions) -> Rows:
    """The table of a file, or of a known set.

    Raises ValueError, TypeError, OSError: one sentence of what is wrong with the file, its target or an option.
    """
    return _file(options) if is_table(options.dataset) else _known_set(options)


def _file(options: TableOptions) -> Rows:
    from ..tables import read_table, read_target

    path = Path(options.dataset)
    frame = read_table(path)
    name = frame.columns[column_position(str(path), frame.columns, options.target)]
    features = frame.drop(name)
    if not features.width:
        raise ValueError(f"{path}: the target {name!r} is the only column, expected at least one to predict it from")
    target, task = read_target(frame[name], name)
    numbers = np.arange(frame.height, dtype=np.float64)[:, None]
    table = Table(str(path), numbers, target, ("row",), (name,), lambda row: f"row {row}")
    stem = path.name.removesuffix("".join(path.suffixes[-2:])) or path.name
    return Rows(printable(stem), name, features, target, to_dataset(printable(stem), table, task))


def _known_set(options: TableOptions) -> Rows:
    import polars as pl

    whole = data.load(options.dataset, target=options.target)
    names = whole.feature_names
    frame = pl.DataFrame(whole.features, schema=list(names))
    target = np.array(whole.classes)[whole.target] if whole.task == "classification" else whole.target
    numbers = np.arange(len(target), dtype=np.float64)[:, None]
    return Rows(
        whole.name, ", ".join(whole.target_names), frame, target,
        replace(whole, features=numbers, feature_names=("row",)),
    )  # fmt: skip


class TableExperiment:
    """The options with their table, split as `tinynet.data.split` does it; columns are what the whole table says."""

    def __init__(self, options: TableOptions):
        self.options, self.rows = options, read_rows(options)
        parts = data.split(self.rows.whole, options.test_size, options.seed)
        self._train, self._test = (part.features[:, 0].astype(np.int64) for part in (parts.train, parts.test))
        self._check()
        self._told = self._categories()

    def _check(self) -> None:
        from ..tabular.validation import CLASSIFICATION, REGRESSION

        if self.options.metric is not None:
            choose("metric", self.options.metric, CLASSIFICATION if self.rows.classes else REGRESSION)
        if self.options.calibrate and not self.rows.classes:
            raise ValueError(f"--calibrate is for classes, and the target {self.rows.target_name!r} is a quantity")

    @property
    def summary(self) -> str:
        """The data set and its size, in words."""
        return f"{self.rows.name}: {len(self._train)} rows x {self.rows.frame.width} columns"

    def _categories(self) -> tuple[str, ...]:
        """Columns that hold categories. One that has a text in a test row alone would look like numbers in training."""
        from ..tables import describe_columns

        told = (self.options.categorical or (), self.options.numeric or (), self.options.ignore or ())
        whole = describe_columns(self.rows.frame, *told)
        train = describe_columns(self.rows.frame[self._train], *told)
        differing = [one.name for one, other in zip(whole, train, strict=True)
                     if one.kind == "category" and other.kind not in ("category", "ignored")]  # fmt: skip
        return (*told[0], *differing)

    def estimator(self, backend: Backend, time_limit: float | None = None, progress: bool = True) -> Any:
        """A new estimator."""
        from ..tabular import TabularClassifier, TabularRegressor

        parameters = self.options.parameters() | {"categorical": self._told, "verbose": progress, "backend": backend}
        if time_limit is not None:  # a comparison is of one net each
            parameters = {"n_members": 1, **parameters, "time_limit": time_limit}
        return (TabularClassifier if self.rows.classes else TabularRegressor)(**parameters)

    def run(
        self,
        backend: Backend,
        time_limit: float | None = None,
        progress: bool = True,
        eager: bool | None = None,
        keeping: Keeping | None = None,
        explain: bool = False,
    ) -> Run:
        """Trains on the backend and scores the test part. Steps are recorded, and none is explained."""
        rows, estimator = self.rows, self.estimator(backend, time_limit, progress)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Training interrupted by user")
            self._fit(estimator)
        seconds = time.perf_counter() - started
        histories: list[History] = estimator.histories_
        if keeping and keeping.path:
            save_checkpoint(keeping.path, estimator, self._notes())
        score = self._score(estimator)
        options = self.options.trained(estimator)
        return Run(
            backend, options, rows.name, histories[0], score, score_name(rows.task),
            interrupted=any(history.stopped == "interrupted" for history in histories),
            unprofiled="the tabular model keeps none, and --model mlp does",
            more={
                "model": "tabular", "members": len(histories), "fit_seconds": seconds,
                "metric": options.metric or ("log_loss" if rows.classes else "squared_error"),
                "best_validation_score": estimator.best_validation_score_, "best_epochs": estimator.best_epochs_,
            },
        )  # fmt: skip

    def _fit(self, estimator: Any) -> None:
        estimator.fit(self.rows.frame[self._train], self.rows.target[self._train])

    def _score(self, estimator: Any) -> float:
        return float(estimator.score(self.rows.frame[self._test], self.rows.target[self._test]))

    def _notes(self) -> dict[str, Any]:
        given = {name: value for name, value in vars(self.options).items() if value is not None}
        return {"target": self.rows.target_name, "options": given}
