"""Moving averages of weights over epochs, which the model has after training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kernels.contract.dtypes import FLOATS

from ..backends import current
from ..checks import check_fraction, check_positive
from ..nn import Module
from ..tensor import Array
from .callbacks import Training, same
from .history import History


class WeightAverage:
    """average += s (weights - average) at the end of the n-th epoch that counts, s = max(1 - decay, 1 / n).

    So it is the mean at first, and then an exponential moving average; with decay=None it stays the mean of all epochs
    that count (Izmailov et al. 2018, arXiv 1803.05407). An epoch's end costs two passes over the weights, a step
    nothing. Running statistics of batch normalisation are averaged alike.

    A callback: whichever way ``fit`` ends, the model then has the averages. Another call of ``fit`` goes on with the
    weights that training had come to, and with the average. Losses in History are those of the weights, not of the
    averages.

    Args:
        decay: in [0, 1), or None.
        start: the first epoch that counts, from 1 on over all calls of ``fit``.
    """

    counts: ClassVar = ("averaged",)  # numbers of its state, beside weights

    def __init__(self, decay: float | None = 0.9, start: int = 1):
        self.decay = None if decay is None else check_fraction("decay", decay)
        self.start = check_positive("start", start)
        self.averaged = 0  # epochs
        self._weights: dict[str, Array] = {}
        self._last: Mapping[str, Array] = {}  # those of the last epoch, while the model has the averages

    def fit_begins(self, trainer: Training, history: History, rows: tuple[Array, Array]) -> None:
        """Gives the model the weights that training had come to, if it still has the averages."""
        if self._last and same(trainer.model.arrays(), self._weights):
            trainer.model.load_state_dict(self._last)
        self._last = {}

    def __call__(self, trainer: Training, history: History) -> None:
        if trainer.epoch < self.start:
            return
        self.averaged += 1
        share = max(0.0 if self.decay is None else 1 - self.decay, 1 / self.averaged)
        k, arrays = current(), trainer.model.arrays()
        weights = trainer.model.state_dict()  # the newest of what is not averaged: counters, seeds
        for name in _averaged(trainer.model) if self._weights else ():
            average, array = self._weights[name], arrays[name]
            weights[name] = k.lerp(average, array, share)
        self._weights = weights

    def fit_ended(self, trainer: Training, history: History) -> None:
        """Gives the model the averages."""
        if self._weights and not same(trainer.model.arrays(), self._weights):
            self._last = trainer.model.state_dict()
            averages = {name: self._weights[name] for name in _averaged(trainer.model)}
            self._weights = {**self._last, **averages}
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs: how many epochs were averaged, the average, where training had come to."""
        return {"averaged": self.averaged, "weights": self._weights, "last": self._last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what state_dict gave."""
        self.averaged, self._weights, self._last = state["averaged"], dict(state["weights"]), state["last"]


def _averaged(model: Module) -> list[str]:
    """Names of parameters and of running statistics; counters and seeds are not averaged."""
    modules = model.named_modules()
    kept = {f"{path}.{name}" if path else name for path, module in modules for name in module.float64_state}
    return [name for name, array in model.arrays().items() if name not in kept and array.dtype in FLOATS]
