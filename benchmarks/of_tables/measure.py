"""One fit: its score, its seconds, and what a prediction takes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import r2_score, roc_auc_score

from .contenders import Contender, Setting
from .data import CLASSIFICATION, Data, Table

WARM_UP_ROWS = 500
BLOCK_ROWS = 10_000
ROUNDS = 3  # predictions of a block, of which the fastest counts
CALLS, CALL_SECONDS = 50, 0.5  # predictions of one row, until so many are done or so long has passed


class Measurer:
    """Fits one contender on table after table, in this process."""

    def __init__(self, contender: Contender, threads: int):
        self.contender, self.threads = contender, threads
        self.warm: set[str] = set()
        self.table: Table | None = None

    def result(self, table: Table, split: int) -> dict[str, Any]:
        """Scores and times; the split is the seed as well."""
        if table != self.table:
            self.table, self.data = table, table.load()
        data = self.data
        train, test = data.split(split)
        setting = Setting(data, self.threads, split)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.warm_up(setting, train[:WARM_UP_ROWS])
            estimator = self.contender.make(setting)
            X, y = data.X.iloc[train], data.y[train]
            wall, cpu = time.perf_counter(), time.process_time()
            estimator.fit(X, y)
            seconds = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
            predict = estimator.predict_proba if data.task == CLASSIFICATION else estimator.predict
            return {
                "score": score(data.task, data.y[test], predict(data.X.iloc[test])), **seconds,
                **prediction_microseconds(predict, data, test), "rows": len(data.y), "columns": data.X.shape[1],
            }  # fmt: skip

    def warm_up(self, setting: Setting, rows: np.ndarray) -> None:
        """A fit on a few rows, after which everything is imported, compiled and allocated once."""
        assert self.table is not None
        key = self.table.name if self.contender.compiles else self.table.task
        if key not in self.warm:
            data = setting.data
            self.contender.make(setting).fit(data.X.iloc[rows], data.y[rows])
            self.warm.add(key)


def score(task: str, y: np.ndarray, predicted: np.ndarray) -> float:
    """R2, or the area under the ROC curve: of one class against the rest where there are more than two, the mean.

    predicted: values, or probabilities of shape (rows, classes).
    """
    if task != CLASSIFICATION:
        return float(r2_score(y, np.ravel(predicted)))
    if predicted.shape[1] == 2:
        return float(roc_auc_score(y, predicted[:, 1]))
    probabilities = np.asarray(predicted, np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 probabilities are not close enough to 1
    return float(roc_auc_score(y, probabilities, multi_class="ovr", average="macro"))


def prediction_microseconds(predict: Callable[[Any], Any], data: Data, test: np.ndarray) -> dict[str, float]:
    """Microseconds a row, of a block of rows (test rows, repeated as needed) and of one row at a time."""
    block = data.X.iloc[np.resize(test, BLOCK_ROWS)]
    in_block = min(seconds(partial(predict, block)) for _ in range(ROUNDS))
    calls: list[float] = []
    while len(calls) < CALLS and sum(calls) < CALL_SECONDS:
        row = data.X.iloc[[test[len(calls) % len(test)]]]
        calls.append(seconds(partial(predict, row)))
    return {"block_microseconds": in_block / BLOCK_ROWS * 1e6, "row_microseconds": float(np.median(calls)) * 1e6}


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
