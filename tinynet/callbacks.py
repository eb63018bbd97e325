"""Callbacks: functions that hear each epoch's end and may stop training.

``callback(trainer, history)`` is called after every epoch; returning True stops. ``stop_reason`` names it in History.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .checks import check_at_least_0, check_whole
from .history import History
from .tensor import Array

if TYPE_CHECKING:
    from .training import Trainer

Callback = Callable[[Any, History], bool | None]


class EarlyStopping:
    """Stops when the loss has not fallen by more than min_delta for patience epochs; restores the best weights.

    The loss is the validation loss if there is one, else the training loss.
    """

    stop_reason = "early stopping"

    def __init__(self, patience: int = 10, min_delta: float = 0.0, restore_best: bool = True):
        self.patience, self.min_delta = check_whole("patience", patience), check_at_least_0("min_delta", min_delta)
        self.restore_best = restore_best
        self.best, self.best_epoch, self._weights = math.inf, 0, dict[str, Array]()

    def __call__(self, trainer: Trainer, history: History) -> bool:
        epoch = trainer.epoch
        if history.monitored < self.best - self.min_delta:
            self.best, self.best_epoch = history.monitored, epoch
            if self.restore_best:
                self._weights = trainer.model.state_dict()
        if epoch - self.best_epoch <= self.patience:
            return False
        if self.restore_best:
            trainer.model.load_state_dict(self._weights)
        return True

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs: the best loss, its epoch, and the weights of then."""
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what state_dict gave."""
        self.best, self.best_epoch, self._weights = state["best"], state["best_epoch"], state["weights"]
