"""Moving averages of weights over epochs, which the model has after training."""

from __future__ import annotations

from kernels.contract.dtypes import FLOATS

from ..backends import current
from ..checks import check_fraction, check_positive
from ..nn import Module
from .callbacks import KeepsWeights, Training
from .history import History


class WeightAverage(KeepsWeights):
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

    numbers = ("averaged",)
    averaged = 0  # epochs

    def __init__(self, decay: float | None = 0.9, start: int = 1):
        self.decay = None if decay is None else check_fraction("decay", decay)
        self.start = check_positive("start", start)
        super().__init__()

    def __call__(self, trainer: Training, history: History) -> None:
        if trainer.epoch < self.start:
            return
        self.averaged += 1
        share = max(0.0 if self.decay is None else 1 - self.decay, 1 / self.averaged)
        k, weights = current(), trainer.model.state_dict()  # the newest of what is not averaged: counters, seeds
        for name in _averaged(trainer.model) if self._weights else ():
            k.lerp(self._weights[name], weights[name], share, out=weights[name])
        self._weights = weights

    def fit_ended(self, trainer: Training, history: History) -> None:
        """Gives the model the averages."""
        if self._weights:
            averages = {name: self._weights[name] for name in _averaged(trainer.model)}
            self._weights = {**trainer.model.state_dict(), **averages}
        self._give(trainer)


def _averaged(model: Module) -> list[str]:
    """Names of parameters and of running statistics; counters and seeds are not averaged."""
    modules = model.named_modules()
    kept = {f"{path}.{name}" if path else name for path, module in modules for name in module.float64_state}
    return [name for name, array in model.arrays().items() if name not in kept and array.dtype in FLOATS]
