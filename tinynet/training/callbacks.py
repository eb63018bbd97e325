"""Callbacks: functions that are called after each epoch and may stop training.

``callback(trainer, history)`` is called after every epoch; returning True stops. ``stop_reason`` names it in History.
Two methods are called where a callback has them: ``fit_begins(trainer, history, rows)`` before the first step, rows
the features and targets whose loss is ``history.monitored``, and ``fit_ended(trainer, history)`` however ``fit``
ends, an exception included; the last callback's ``fit_begins`` and the first one's ``fit_ended`` come first.
"""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from ..checks import check_at_least_0, check_whole
from ..nn import Module
from ..tensor import Array
from .history import NOT_FINITE, History


class Training(Protocol):
    """What a callback of ours asks of its Trainer."""

    model: Module
    epoch: int


Callback = Callable[[Any, History], bool | None]
ROWS_LOOKED_AT = 4096  # to tell whether a loss is that of the same rows: a large table need not be read whole


class KeepsWeights(ABC):
    """A callback that gives the model other weights than training came to when ``fit`` ends; checkpoints hold both."""

    numbers: ClassVar[tuple[str, ...]]  # of its state, beside weights; the class has those of before the first epoch
    _weights: Mapping[str, Array]
    _last: Mapping[str, Array]  # those of the last epoch, while the model has the kept ones

    def __init__(self) -> None:
        self.load_state_dict({})

    @abstractmethod
    def __call__(self, trainer: Training, history: History) -> bool | None: ...

    def fit_begins(self, trainer: Training, history: History, rows: tuple[Array, Array]) -> None:
        """Gives the model the weights that training had come to, if it still has the kept ones."""
        if self._last and same(trainer.model.arrays(), self._weights):
            trainer.model.load_state_dict(self._last)
        self._last = {}

    def _give(self, trainer: Training, keep_last: bool = True) -> None:
        """Gives the model the kept weights; keep_last: the next ``fit`` goes on with those that it had."""
        if not self._weights or same(trainer.model.arrays(), self._weights):
            return
        if keep_last:
            self._last = trainer.model.state_dict()
        trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs: its numbers, the weights that it keeps, and where training had come to."""
        return {**{name: getattr(self, name) for name in self.numbers}, "weights": self._weights, "last": self._last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what state_dict gave; what is not in it is as before the first epoch."""
        for name in self.numbers:
            setattr(self, name, state.get(name, getattr(type(self), name)))
        self._weights, self._last = state.get("weights", {}), state.get("last", {})


class EarlyStopping(KeepsWeights):
    """Stops when the loss has not fallen by more than min_delta for patience epochs.

    The loss is the validation loss if there is one, else the training loss; one that is not finite has not fallen.
    restore_best: however ``fit`` ends, the model then has the weights of the epoch with the lowest loss. Another
    call of ``fit`` with the same rows continues with the last weights of training, and with the epochs waited; after
    one that this has stopped, or whose loss was not finite, with the best weights and no epochs waited. With other
    rows, whose losses cannot be compared, all begins again.
    """

    numbers = ("best", "best_epoch", "waited", "rows")
    best, best_epoch, waited, rows = math.inf, 0, 0, 0

    def __init__(self, patience: int = 10, min_delta: float = 0.0, restore_best: bool = True):
        self.patience, self.min_delta = check_whole("patience", patience), check_at_least_0("min_delta", min_delta)
        self.restore_best = restore_best
        super().__init__()

    @property
    def stop_reason(self) -> str:
        """What History says of a run that this has stopped."""
        return "early stopping" if self.best < math.inf else "early stopping: no loss was finite"

    @property
    def _stops(self) -> bool:
        return self.waited >= max(1, self.patience)

    def fit_begins(self, trainer: Training, history: History, rows: tuple[Array, Array]) -> None:
        """Continues from what the last call of ``fit`` left, if this one has the same rows."""
        if (looked := _checksum(rows)) != self.rows:
            self.load_state_dict({"rows": looked})  # all begins again
        if self._stops:
            self.waited = 0
        super().fit_begins(trainer, history, rows)

    def __call__(self, trainer: Training, history: History) -> bool:
        loss = history.monitored
        self.waited += 1
        if math.isfinite(loss) and loss < self.best - self.min_delta:
            self.best, self.best_epoch, self.waited = loss, trainer.epoch, 0
            if self.restore_best:
                self._weights = trainer.model.state_dict()
        if self._stops and self._weights:  # now, so that callbacks after this one have them too
            trainer.model.load_state_dict(self._weights)
        return self._stops

    def fit_ended(self, trainer: Training, history: History) -> None:
        """Gives the model the best weights."""
        self._give(trainer, keep_last=not self._stops and history.stopped != NOT_FINITE)


def same(arrays: Mapping[str, Array], others: Mapping[str, Array]) -> bool:
    """Whether the arrays have the bits of those of the same names."""
    return all(array.tobytes() == others[name].tobytes() for name, array in arrays.items())


def _checksum(arrays: tuple[Array, ...]) -> int:
    found = 0
    for array in arrays:
        some = np.ascontiguousarray(array[:: -(-len(array) // ROWS_LOOKED_AT)])
        found = zlib.crc32(some.data, zlib.crc32(repr((array.shape, array.dtype.str)).encode(), found))
    return found
